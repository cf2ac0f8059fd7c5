//! Casts and the like.

use kiln_graph::{DType, Tensor, ops, promote};

use crate::Run;

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("cast", |c| vec![ops::cast(c.x(0), c.dtype("dtype"))]),
    ("stop_gradient", |c| vec![ops::stop_gradient(c.x(0))]),
    ("saturate_cast", |c| vec![ops::saturate_cast(c.x(0), c.dtype("dtype"))]),
    ("result_type", |_| {
        // As `KINDS` of the case file.
        use DType::{BF16, Bool, F16, F32, I32, U8, U32};
        let kinds = [F32, F16, BF16, I32, U32, U8, Bool];
        let place = |dtype| kinds.iter().position(|kind| *kind == dtype).map_or(-1, |place| place as i32);
        let meetings: Vec<i32> =
            kinds.iter().flat_map(|a| kinds.iter().map(move |b| place(promote(*a, *b)))).collect();
        vec![Tensor::from_vec(&meetings, &[7, 7])]
    }),
];
