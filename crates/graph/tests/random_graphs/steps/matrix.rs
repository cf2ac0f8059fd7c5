//! Linear algebra, on the host.

use kiln_graph::{DType, ops};

use crate::decode::Decoder;

/// Routines on a small matrix that is far from singular.
pub(super) fn matrix(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.plain() && f.rank() == 2 && (1..=4).contains(&f.shape[1]) && f.shape[0] <= 20)?;
    let n = d.facts(x).shape[1];
    let kind = d.choose(5);
    let right = d.leaf_of(vec![n, 2], DType::F32)?;
    let text = format!("{} of xᵀ · x + 4", ["inv", "solve", "cholesky", "det", "solve"][kind]);
    d.push(text, &[x, right], move |x| {
        let square = x[0].swap_axes(-1, -2).matmul(&x[0]) * 0.125 + kiln_graph::Tensor::eye(n) * 4.0;
        match kind {
            0 => ops::inv(&square),
            2 => ops::cholesky(&square, false),
            3 => ops::det(&square),
            _ => ops::solve(&square, &x[1]),
        }
    })
}
