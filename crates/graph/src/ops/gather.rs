//! Gathering and scattering by tensors of coordinates. Keras' and TensorFlow's names and rules.

use kiln_device::{DType, ReduceOp, ScatterOp};

use super::arrange::{failed_among, permuted};
use super::choose::linear;
use crate::error::At;
use crate::tensor::{Tensor, here};

/// Slices of `x` along an axis: `x[b.., o.., indices[b.., n..], i..]` in shape `[b.., o.., n.., i..]`, where the first
/// `batch_dims` axes belong together. Negative indices count from the end; out-of-range ones are an error of the run.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::range(6).reshape(&[2, 3]);
/// let places = Tensor::from_vec(&[2i32, 0], &[2, 1]);
/// assert_eq!(ops::gather(&x, &places, 1, 1).to_vec::<i32>()?, [2, 3]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "take")]
#[track_caller]
pub fn gather(x: &Tensor, indices: &Tensor, axis: i64, batch_dims: usize) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among([x, indices]) {
        return failed;
    }
    let axis = match super::arrange::axis_of(x, axis, "gather", at) {
        Ok(axis) => axis,
        Err(failed) => return failed,
    };
    let fits = batch_dims <= axis
        && batch_dims <= indices.rank()
        && x.shape()[..batch_dims] == indices.shape()[..batch_dims];
    if !fits {
        let message = format!(
            "expected {batch_dims} equal leading axes before axis {axis}, received {:?} and indices {:?}",
            x.shape(),
            indices.shape()
        );
        return Tensor::failed("gather", message, at);
    }
    let front: Vec<usize> = (0..batch_dims).chain([axis]).collect();
    let table = super::diagonal::with_in_front(x, &front, at);
    let taken = rows(&table, batch_dims, vec![indices.clone()], indices.shape(), "gather", at);
    // [batch.., n.., outer.., inner..] → [batch.., outer.., n.., inner..]
    let (n, outer) = (indices.rank() - batch_dims, axis - batch_dims);
    let order = (0..batch_dims)
        .chain(batch_dims + n..batch_dims + n + outer)
        .chain(batch_dims..batch_dims + n)
        .chain(batch_dims + n + outer..taken.rank())
        .collect();
    permuted(&taken, order, at).part_of("gather", at, &[x.clone(), indices.clone()])
}

/// Slices of `x` at coordinates: the last axis of `indices [b.., n.., k]` holds a place on the `k` axes of
/// `x [b.., k axes.., rest..]` after the first `batch_dims`; the result is `[b.., n.., rest..]`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::range(6).reshape(&[2, 3]);
/// let places = Tensor::from_vec(&[0i32, 2, 1, 0], &[2, 2]);
/// assert_eq!(ops::gather_nd(&x, &places, 0).to_vec::<i32>()?, [2, 3]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn gather_nd(x: &Tensor, indices: &Tensor, batch_dims: usize) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among([x, indices]) {
        return failed;
    }
    let depth = indices.shape().last().copied().unwrap_or(0);
    let fits = indices.rank() > batch_dims
        && depth.checked_add(batch_dims).is_some_and(|n| n <= x.rank())
        && x.shape()[..batch_dims] == indices.shape()[..batch_dims];
    if !fits {
        let message = format!(
            "expected indices [b.., n.., k] with {batch_dims} leading axes of {:?} and k of at most its others, received {:?}",
            x.shape(),
            indices.shape()
        );
        return Tensor::failed("gather_nd", message, at);
    }
    let places = coordinates(indices, at);
    let like = &indices.shape()[..indices.rank() - 1];
    rows(x, batch_dims, places, like, "gather_nd", at).part_of("gather_nd", at, &[x.clone(), indices.clone()])
}

/// Zeros of a shape with values added at the places that the last axis of `indices [n.., k]` names.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let places = Tensor::from_vec(&[0i32, 1, 1, 1], &[2, 2]);
/// let y = ops::scatter(&places, &Tensor::ones(&[2]), &[2, 2]);
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 1.0, 0.0, 1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "index_put")]
#[track_caller]
pub fn scatter(indices: &Tensor, values: &Tensor, shape: &[usize]) -> Tensor {
    added_to_zeros(indices, values, shape, "scatter", here())
}

fn added_to_zeros(indices: &Tensor, values: &Tensor, shape: &[usize], op: &'static str, at: At) -> Tensor {
    if let Some(failed) = failed_among([indices, values]) {
        return failed;
    }
    let zeros = Tensor::full(shape, 0.0, values.dtype()).part_of(op, at, &[]);
    written(&zeros, indices, values, ScatterOp::Fold(ReduceOp::Sum), op, at)
}

/// TensorFlow's name of [`scatter`].
#[doc(alias = "index_put")]
#[track_caller]
pub fn scatter_nd(indices: &Tensor, updates: &Tensor, shape: &[usize]) -> Tensor {
    added_to_zeros(indices, updates, shape, "scatter_nd", here())
}

/// `x` with updates `[n.., rest..]` at the places that the last axis of `indices [n.., k]` names on the first `k` axes of
/// `x`: set (the last one stays) or folded in.
///
/// ```
/// use kiln_graph::{ReduceOp, ScatterOp, Tensor, ops};
/// let places = Tensor::from_vec(&[0i32, 0, 1], &[3, 1]);
/// let add = ScatterOp::Fold(ReduceOp::Sum);
/// let y = ops::scatter_update(&Tensor::zeros(&[4]), &places, &Tensor::ones(&[3]), add);
/// assert_eq!(y.to_vec::<f32>()?, [2.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn scatter_update(x: &Tensor, indices: &Tensor, updates: &Tensor, reduction: ScatterOp) -> Tensor {
    written(x, indices, updates, reduction, "scatter_update", here())
}

/// TensorFlow's names of [`scatter_update`] with each reduction.
macro_rules! tensor_scatter {
    ($($(#[$doc:meta])* $name:ident $op:expr;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x: &Tensor, indices: &Tensor, updates: &Tensor) -> Tensor {
            written(x, indices, updates, $op, stringify!($name), here())
        }
    )* };
}

tensor_scatter! {
    /// [`scatter_update`] that sets.
    tensor_scatter_nd_update ScatterOp::Set;
    /// [`scatter_update`] that adds.
    tensor_scatter_nd_add ScatterOp::Fold(ReduceOp::Sum);
    /// [`scatter_update`] that keeps the smaller.
    tensor_scatter_nd_min ScatterOp::Fold(ReduceOp::Min);
    /// [`scatter_update`] that keeps the larger.
    tensor_scatter_nd_max ScatterOp::Fold(ReduceOp::Max);
}

/// [`scatter_update`] that subtracts.
#[track_caller]
pub fn tensor_scatter_nd_sub(x: &Tensor, indices: &Tensor, updates: &Tensor) -> Tensor {
    written(x, indices, &-updates, ScatterOp::Fold(ReduceOp::Sum), "tensor_scatter_nd_sub", here())
}

fn written(
    x: &Tensor,
    indices: &Tensor,
    updates: &Tensor,
    reduction: ScatterOp,
    op: &'static str,
    at: At,
) -> Tensor {
    if let Some(failed) = failed_among([x, indices, updates]) {
        return failed;
    }
    let depth = indices.shape().last().copied();
    let Some(depth) = depth.filter(|k| *k <= x.rank()) else {
        let message = format!(
            "expected indices [n.., k] with k of at most {}, received {:?}",
            x.rank(),
            indices.shape()
        );
        return Tensor::failed(op, message, at);
    };
    let expected = [&indices.shape()[..indices.rank() - 1], &x.shape()[depth..]].concat();
    let given = updates.shape();
    let updates = updates.cast_at(x.dtype(), at).broadcast_to(&expected);
    if updates.error().is_some() {
        let message =
            format!("expected updates of shape {expected:?}, or that broadcast to it, received {given:?}");
        return Tensor::failed(op, message, at);
    }
    let (places, extents) = (coordinates(indices, at), &x.shape()[..depth]);
    let index = match linear(&places, extents, &indices.shape()[..indices.rank() - 1], op, at) {
        Ok(index) => index,
        Err(failed) => return failed,
    };
    let table = x.reshape_at([&[extents.iter().product()], &x.shape()[depth..]].concat(), at);
    if updates.is_empty() {
        return x.clone();
    }
    table.scatter_rows(&index, &updates, reduction, at).reshape_at(x.shape().to_vec(), at)
}

/// Rows of a table of extents `[e.., rest..]` that the last axis of `indices [n.., k]` names on its `k` first axes; all −1,
/// which no scatter writes, where one of them is out of range, beside the error of the run.
pub(crate) fn rows_or_none(
    indices: &Tensor,
    extents: &[usize],
    op: &'static str,
    at: At,
) -> Result<Tensor, Tensor> {
    let places = coordinates(indices, at);
    let like = &indices.shape()[..indices.rank() - 1];
    let index = linear(&places, extents, like, op, at)?;
    let mut outside = Tensor::full(like, 0.0, DType::Bool);
    for (place, extent) in places.iter().zip(extents) {
        let extent = *extent as i32;
        outside = outside.logical_or(place.greater_equal(extent));
        if matches!(place.dtype(), DType::I32 | DType::I64) {
            outside = outside.logical_or(place.less(-extent));
        }
    }
    let outside = outside.cast_at(DType::I32, at).max(()).greater(0).broadcast_at(like, at);
    let rows = Tensor::select(&outside, -1, index);
    rows.check().map(|_| rows.clone()).map_err(|_| rows.clone())
}

/// The columns of `indices [.., k]`.
fn coordinates(indices: &Tensor, at: At) -> Vec<Tensor> {
    let last = indices.rank().saturating_sub(1);
    let shape = indices.shape()[..last].to_vec();
    let column = |i: usize| {
        super::arrange::stepped(indices, last, i, 1, 1, "gather_nd", at).reshape_at(shape.clone(), at)
    };
    (0..indices.shape()[last]).map(column).collect()
}

/// Slices of `x` at places on its first axes: those of the first `batch` are the places' own coordinates.
fn rows(x: &Tensor, batch: usize, places: Vec<Tensor>, like: &[usize], op: &'static str, at: At) -> Tensor {
    let own = (0..batch).map(|axis| Tensor::iota(like, axis));
    let places: Vec<Tensor> = own.chain(places).collect();
    let (extents, rest) = x.shape().split_at(places.len());
    let index = match linear(&places, extents, like, op, at) {
        Ok(index) => index,
        Err(failed) => return failed,
    };
    let shape = [&[extents.iter().product()], rest].concat();
    x.reshape_at(shape, at).gather_rows(&index, at)
}
