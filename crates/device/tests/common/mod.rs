//! What several tests share.

pub(crate) mod api {
    pub(crate) use kiln_device::*;
}
pub(crate) mod kernels;
pub(crate) mod naive;
