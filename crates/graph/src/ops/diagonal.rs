//! Diagonals and triangles of matrices.

use kiln_device::DType;

use super::arrange::{moveaxis, permuted, stepped};
use crate::error::At;
use crate::shape::Axes;
use crate::tensor::{Tensor, here};

/// A matrix with a vector on its diagonal `k`, or the diagonal `k` of a matrix. `k > 0` lies above the main one.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let m = ops::diag(&Tensor::from_slice(&[1i32, 2]), 1);
/// assert_eq!(m.to_vec::<i32>()?, [0, 1, 0, 0, 0, 2, 0, 0, 0]);
/// assert_eq!(ops::diag(&m, 1).to_vec::<i32>()?, [1, 2]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("diag_embed", "matrix_diag"))]
#[track_caller]
pub fn diag(x: &Tensor, k: i64) -> Tensor {
    let at = here();
    match x.rank() {
        _ if x.error().is_some() => x.clone(),
        1 => placed(x, k, at).part_of("diag", at, std::slice::from_ref(x)),
        2 => diagonal(x, k, 0, 1).part_of("diag", at, std::slice::from_ref(x)),
        _ => {
            let message = format!("expected a vector or a matrix, received shape {:?}", x.shape());
            Tensor::failed("diag", message, at)
        }
    }
}

/// A matrix with the flattened tensor on its diagonal `k`.
#[track_caller]
pub fn diagflat(x: &Tensor, k: i64) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    placed(&x.flatten_from(0), k, at).part_of("diagflat", at, std::slice::from_ref(x))
}

fn placed(vector: &Tensor, k: i64, at: At) -> Tensor {
    let shift = usize::try_from(k.unsigned_abs()).ok();
    let extent = shift.and_then(|s| vector.len().checked_add(s)).filter(|n| i32::try_from(*n).is_ok());
    let (Some(shift), Some(extent)) = (shift, extent) else {
        return Tensor::failed(
            "diag",
            format!(
                "expected a diagonal that fits a matrix of int32 indices, received diagonal {k} of {} elements",
                vector.len()
            ),
            at,
        );
    };
    let square = [extent, extent];
    // Above the main diagonal an element stands in the row of its number, below in the column.
    let lone = if k >= 0 { vec![extent, 1] } else { vec![1, extent] };
    let spread = vector.pad(&[(0, shift)], 0.0).reshape_at(lone, at).broadcast_at(&square, at);
    let offset = Tensor::iota(&square, 1) - Tensor::iota(&square, 0);
    Tensor::select(&offset.equal(k as i32), &spread, spread.zeros_like())
}

/// The diagonals of the matrices that two axes form, along a new last axis. `offset > 0` lies above the main one.
#[track_caller]
pub fn diagonal(x: &Tensor, offset: i64, axis1: i64, axis2: i64) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    if let Err(message) = Axes::from([axis1, axis2]).resolve(x.rank()) {
        return Tensor::failed("diagonal", message, at);
    }
    let matrices = moveaxis(x, [axis1, axis2], [-2, -1]);
    let rank = matrices.rank();
    let (m, n) = (matrices.shape()[rank - 2], matrices.shape()[rank - 1]);
    let shift = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let count = if offset >= 0 { m.min(n.saturating_sub(shift)) } else { n.min(m.saturating_sub(shift)) };
    let start = match (count, offset >= 0) {
        (0, _) => 0,
        (_, true) => shift,
        (_, false) => shift * n,
    };
    let flat = matrices.flatten_from(rank - 2);
    stepped(&flat, rank - 2, start, n as i64 + 1, count, "diagonal", at)
}

/// The sum of the diagonal of the matrices that two axes form. Booleans and bytes count as 32-bit integers.
#[doc(alias = "matrix_trace")]
#[track_caller]
pub fn trace(x: &Tensor, offset: i64, axis1: i64, axis2: i64) -> Tensor {
    let at = here();
    let diagonal = diagonal(x, offset, axis1, axis2);
    let numbers = if x.dtype() == DType::U8 { diagonal.cast(DType::U32) } else { diagonal };
    numbers.sum(-1).part_of("trace", at, std::slice::from_ref(x))
}

/// The lower triangle of matrices, zeros above diagonal `k`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let m = ops::tril(&Tensor::ones(&[2, 2]), 0);
/// assert_eq!(m.to_vec::<f32>()?, [1.0, 0.0, 1.0, 1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("matrix_band_part", "band_part"))]
#[track_caller]
pub fn tril(x: &Tensor, k: i64) -> Tensor {
    triangle(x, k, "tril", here(), |offset, k| offset.less_equal(k))
}

/// The upper triangle of matrices, zeros below diagonal `k`.
#[doc(alias("matrix_band_part", "band_part"))]
#[track_caller]
pub fn triu(x: &Tensor, k: i64) -> Tensor {
    triangle(x, k, "triu", here(), |offset, k| offset.greater_equal(k))
}

fn triangle(x: &Tensor, k: i64, op: &'static str, at: At, inside: fn(&Tensor, i32) -> Tensor) -> Tensor {
    if x.error().is_some() {
        return x.clone();
    }
    // As in NumPy, a vector is the row of a square matrix.
    let matrices = match x.shape() {
        [] => return Tensor::failed(op, "expected at least one axis, received a scalar".into(), at),
        [n] => x.broadcast_at(&[*n, *n], at),
        _ => x.clone(),
    };
    let (shape, rank) = (matrices.shape(), matrices.rank());
    if matrices.error().is_some() {
        return matrices.part_of(op, at, std::slice::from_ref(x));
    }
    let offset = Tensor::iota(shape, rank - 1) - Tensor::iota(shape, rank - 2);
    let k = k.clamp(i32::MIN as i64, i32::MAX as i64) as i32;
    let kept = Tensor::select(&inside(&offset, k), &matrices, matrices.zeros_like());
    kept.part_of(op, at, std::slice::from_ref(x))
}

/// Axes `front` first, in order, then the others in theirs.
pub(super) fn with_in_front(x: &Tensor, front: &[usize], at: At) -> Tensor {
    let rest = (0..x.rank()).filter(|i| !front.contains(i));
    permuted(x, front.iter().copied().chain(rest).collect(), at)
}
