//! Every template is valid WGSL.

use naga::valid::{Capabilities, ValidationFlags, Validator};

#[test]
fn math_is_valid() {
    let module = naga::front::wgsl::parse_str(kiln_shaders::MATH)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string(kiln_shaders::MATH)));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    if let Err(error) = validator.validate(&module) {
        panic!("{}", error.emit_to_string(kiln_shaders::MATH));
    }
}
