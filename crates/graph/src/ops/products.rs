//! Sums of products: inner, outer and tensor products. NumPy's and Keras' names and rules.

use kiln_device::DType;

use super::arrange::{axis_of, failed_among, moveaxis, permuted, ravel};
use super::promote;
use crate::error::At;
use crate::shape::{Axes, broadcast};
use crate::tensor::{Tensor, here};

/// Matrix product with NumPy's rules: vectors are rows or columns, leading axes broadcast.
#[doc(alias("mm", "bmm", "dot"))]
#[track_caller]
pub fn matmul(x1: &Tensor, x2: &Tensor) -> Tensor {
    x1.matmul(x2)
}

/// NumPy's `dot`: the sum over the last axis of `x1` and the second to last (or only) one of `x2`; a scalar multiplies.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// assert_eq!(ops::dot(&Tensor::ones(&[2, 3]), &Tensor::ones(&[4, 3, 5])).shape(), [2, 4, 5]);
/// ```
#[track_caller]
pub fn dot(x1: &Tensor, x2: &Tensor) -> Tensor {
    if x1.rank() == 0 || x2.rank() == 0 {
        return as_kind(x1 * x2, &[x1, x2]).part_of("dot", here(), &[x1.clone(), x2.clone()]);
    }
    let second = if x2.rank() == 1 { -1 } else { -2 };
    contracted(x1, x2, vec![-1], vec![second], "dot", here())
}

/// The sum over the last axes of both; a scalar multiplies.
#[track_caller]
pub fn inner(x1: &Tensor, x2: &Tensor) -> Tensor {
    if x1.rank() == 0 || x2.rank() == 0 {
        return as_kind(x1 * x2, &[x1, x2]).part_of("inner", here(), &[x1.clone(), x2.clone()]);
    }
    contracted(x1, x2, vec![-1], vec![-1], "inner", here())
}

/// Every element of the flattened `x1` with every element of the flattened `x2`: a matrix.
#[doc(alias = "ger")]
#[track_caller]
pub fn outer(x1: &Tensor, x2: &Tensor) -> Tensor {
    let column = super::expand_dims(&ravel(x1), -1);
    as_kind(column * ravel(x2), &[x1, x2]).part_of("outer", here(), &[x1.clone(), x2.clone()])
}

/// The sum of the products of all elements, in row-major order.
#[track_caller]
pub fn vdot(x1: &Tensor, x2: &Tensor) -> Tensor {
    contracted(&ravel(x1), &ravel(x2), vec![-1], vec![-1], "vdot", here()).part_of(
        "vdot",
        here(),
        &[x1.clone(), x2.clone()],
    )
}

/// Which axes a tensor product sums over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contraction {
    /// So many last axes of the first with as many first axes of the second.
    Count(usize),
    /// These axes of the first with these of the second, in order.
    Of(Vec<i64>, Vec<i64>),
}

impl From<usize> for Contraction {
    fn from(count: usize) -> Contraction {
        Contraction::Count(count)
    }
}

impl From<(i64, i64)> for Contraction {
    fn from((first, second): (i64, i64)) -> Contraction {
        Contraction::Of(vec![first], vec![second])
    }
}

impl<const N: usize> From<([i64; N], [i64; N])> for Contraction {
    fn from((first, second): ([i64; N], [i64; N])) -> Contraction {
        Contraction::Of(first.to_vec(), second.to_vec())
    }
}

impl From<(Vec<i64>, Vec<i64>)> for Contraction {
    fn from((first, second): (Vec<i64>, Vec<i64>)) -> Contraction {
        Contraction::Of(first, second)
    }
}

/// The sum of products over some axes; the remaining axes of `x1`, then those of `x2`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let y = ops::tensordot(&Tensor::ones(&[2, 3, 4]), &Tensor::ones(&[4, 3]), ([1, 2], [1, 0]));
/// assert_eq!(y.to_vec::<f32>()?, [12.0, 12.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn tensordot(x1: &Tensor, x2: &Tensor, axes: impl Into<Contraction>) -> Tensor {
    let at = here();
    let (first, second) = match axes.into() {
        Contraction::Count(n) if n > x1.rank() || n > x2.rank() => {
            if let Some(failed) = failed_among([x1, x2]) {
                return failed;
            }
            let message = format!("{n} axes are more than {:?} and {:?} have", x1.shape(), x2.shape());
            return Tensor::failed("tensordot", message, at);
        }
        Contraction::Count(n) => {
            let n = n as i64;
            (((x1.rank() as i64 - n)..x1.rank() as i64).collect(), (0..n).collect())
        }
        Contraction::Of(first, second) => (first, second),
    };
    contracted(x1, x2, first, second, "tensordot", at)
}

fn contracted(
    x1: &Tensor,
    x2: &Tensor,
    first: Vec<i64>,
    second: Vec<i64>,
    op: &'static str,
    at: At,
) -> Tensor {
    if let Some(failed) = failed_among([x1, x2]) {
        return failed;
    }
    let resolve = |axes: Vec<i64>, x: &Tensor| Axes::Of(axes).resolve_in_order(x.rank());
    let (first, second) = match (resolve(first, x1), resolve(second, x2)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(message), _) | (_, Err(message)) => return Tensor::failed(op, message, at),
    };
    let extents = |x: &Tensor, axes: &[usize]| axes.iter().map(|a| x.shape()[*a]).collect::<Vec<usize>>();
    let (summed, other) = (extents(x1, &first), extents(x2, &second));
    if summed != other {
        let message = format!(
            "axes {first:?} of {:?} with extents {summed:?} must match axes {second:?} of {:?} with extents {other:?}",
            x1.shape(),
            x2.shape()
        );
        return Tensor::failed(op, message, at);
    }
    let kept =
        |x: &Tensor, axes: &[usize]| (0..x.rank()).filter(|i| !axes.contains(i)).collect::<Vec<usize>>();
    let (rows, columns) = (kept(x1, &first), kept(x2, &second));
    let (row_shape, column_shape) = (extents(x1, &rows), extents(x2, &columns));
    let product = |shape: &[usize]| shape.iter().product::<usize>();
    let (m, k, n) = (product(&row_shape), product(&summed), product(&column_shape));
    let left = permuted(x1, [rows, first].concat(), at).reshape_at(vec![m, k], at);
    let right = permuted(x2, [second, columns].concat(), at).reshape_at(vec![k, n], at);
    let result = left.matmul(&right).reshape_at([row_shape, column_shape].concat(), at);
    result.part_of(op, at, &[x1.clone(), x2.clone()])
}

/// The Kronecker product: every element of `x1` times all of `x2`, laid out in blocks.
#[track_caller]
pub fn kron(x1: &Tensor, x2: &Tensor) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among([x1, x2]) {
        return failed;
    }
    let rank = x1.rank().max(x2.rank());
    let extent = |x: &Tensor, i: usize| (i + x.rank()).checked_sub(rank).map_or(1, |i| x.shape()[i]);
    let joined: Option<Vec<usize>> = (0..rank).map(|i| extent(x1, i).checked_mul(extent(x2, i))).collect();
    let Some(joined) = joined else {
        return Tensor::failed("kron", format!("{:?} times {:?} overflows", x1.shape(), x2.shape()), at);
    };
    let blocks = x1.reshape_at((0..rank).flat_map(|i| [extent(x1, i), 1]).collect(), at);
    let cells = x2.reshape_at((0..rank).flat_map(|i| [1, extent(x2, i)]).collect(), at);
    (blocks * cells).reshape_at(joined, at).part_of("kron", at, &[x1.clone(), x2.clone()])
}

/// The axes that hold the vectors of a cross product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossAxes {
    /// Of the first operand.
    pub a: i64,
    /// Of the second.
    pub b: i64,
    /// Of the result.
    pub c: i64,
}

impl Default for CrossAxes {
    /// The last ones.
    fn default() -> CrossAxes {
        CrossAxes { a: -1, b: -1, c: -1 }
    }
}

impl From<i64> for CrossAxes {
    fn from(axis: i64) -> CrossAxes {
        CrossAxes { a: axis, b: axis, c: axis }
    }
}

/// The cross product of vectors of 2 or 3 components; a missing third one is 0. Two vectors of 2 give the third component
/// alone. The other axes broadcast.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 0.0, 0.0]);
/// let y = Tensor::from_slice(&[0.0f32, 1.0, 0.0]);
/// assert_eq!(ops::cross(&x, &y, -1).to_vec::<f32>()?, [0.0, 0.0, 1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn cross(x1: &Tensor, x2: &Tensor, axes: impl Into<CrossAxes>) -> Tensor {
    let (at, axes, inputs) = (here(), axes.into(), [x1.clone(), x2.clone()]);
    if let Some(failed) = failed_among(&inputs) {
        return failed;
    }
    let components = |x: &Tensor, axis: i64| {
        let axis = axis_of(x, axis, "cross", at)?;
        let extent = x.shape()[axis];
        if !(2..=3).contains(&extent) {
            let message =
                format!("expected 2 or 3 components along axis {axis}, received shape {:?}", x.shape());
            return Err(Tensor::failed("cross", message, at));
        }
        Ok(super::unstack(x, None, axis as i64))
    };
    let (a, b) = match (components(x1, axes.a), components(x2, axes.b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(failed), _) | (_, Err(failed)) => return failed,
    };
    let minor = |i: usize, j: usize| match (a.get(i), a.get(j), b.get(i), b.get(j)) {
        (Some(ai), Some(aj), Some(bi), Some(bj)) => ai * bj - aj * bi,
        // The third component that one of them lacks is 0.
        (Some(ai), None, Some(_), Some(bj)) => ai * bj,
        (Some(_), Some(aj), Some(bi), None) => -(aj * bi),
        (None, Some(aj), Some(bi), Some(_)) => -(aj * bi),
        (Some(ai), Some(_), None, Some(bj)) => ai * bj,
        _ => Tensor::failed("cross", "expected vectors of 2 or 3 components".into(), at),
    };
    if a.len() == 2 && b.len() == 2 {
        return minor(0, 1).part_of("cross", at, &inputs);
    }
    let parts = [minor(1, 2), minor(2, 0), minor(0, 1)];
    let shape = parts.iter().try_fold(vec![], |s, p| broadcast(&s, p.shape()));
    let parts = match shape {
        Some(shape) => parts.map(|p| p.broadcast_at(&shape, at)),
        None => parts,
    };
    let stacked = Tensor::stack(&parts, -1);
    moveaxis(&stacked, -1, axes.c).part_of("cross", at, &inputs)
}

/// A product of booleans is a boolean, as in NumPy: whether any term is true.
pub(super) fn as_kind(product: Tensor, operands: &[&Tensor]) -> Tensor {
    let all = operands.iter().all(|t| t.dtype() == DType::Bool);
    if all && product.error().is_none() { product.cast(DType::Bool) } else { product }
}

/// The dtype that operands of a product meet in: integers where all are `bool`.
pub(super) fn product_dtype(operands: &[Tensor]) -> DType {
    let met = operands.iter().map(Tensor::dtype).reduce(promote);
    match met.unwrap_or(DType::F32) {
        DType::Bool => DType::I32,
        dtype => dtype,
    }
}
