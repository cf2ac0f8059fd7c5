//! Casts and the like.

use crate::Run;

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("cast", |c| vec![c.x(0).cast(c.dtype("dtype"))]),
    ("stop_gradient", |c| vec![c.x(0).stop_gradient()]),
];
