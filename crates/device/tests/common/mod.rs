//! What several tests share.

pub mod api {
    pub use kiln_device::*;
}
pub mod kernels;
pub mod naive;
