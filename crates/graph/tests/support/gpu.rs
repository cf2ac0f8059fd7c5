//! The device of the WGSL path, where there is one.

use std::io::Write;

use kiln_graph::Device;

/// A GPU, or the software rasteriser. Where there is neither, says so on the terminal, past the harness's capture;
/// with `KILN_REQUIRE_GPU` set that is a failure.
pub(crate) fn gpu() -> Option<Device> {
    if !cfg!(feature = "gpu") {
        return None;
    }
    match Device::open("gpu").or_else(|_| Device::open("software")) {
        Ok(device) => Some(device),
        Err(error) => {
            assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none(), "KILN_REQUIRE_GPU is set, but: {error}");
            let _ = writeln!(std::io::stderr(), "skipped: no Vulkan driver ({error})");
            None
        }
    }
}
