//! Hand-written WGSL of Kiln: the library of functions that every printed kernel may use.

/// The operations of `kiln_device::op` for which a WGSL built-in is missing or not accurate enough, named `kiln_…`.
pub const MATH: &str = include_str!("math.wgsl");
