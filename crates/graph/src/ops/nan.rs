//! Reductions that leave NaN out, and NaN replaced.

use kiln_device::{DType, ReduceOp};

use super::convert::largest;
use super::pointwise::{composed, in_working, working};
use super::statistics::{positions, reductions, root, running};
use crate::shape::Axes;
use crate::tensor::{Tensor, here};

/// The tensor with NaN replaced by a number; others than floats have none.
fn filled(x: &Tensor, number: f64) -> Tensor {
    if x.dtype().is_float() { Tensor::select(&x.is_nan(), number, x) } else { x.clone() }
}

/// Number of elements over some axes that are not NaN, as floats.
pub(super) fn counted(x: &Tensor, axes: &Axes) -> Tensor {
    x.is_nan().logical_not().cast(working(x.dtype())).sum(axes.clone())
}

reductions! {
    /// Sum of what is not NaN; 0 of nothing.
    nansum(x, axes) = filled(x, 0.0).sum(axes.clone());
    /// Mean of what is not NaN, as a float; NaN of nothing.
    nanmean(x, axes) = in_working(x, |x| mean_of_numbers(x, axes));
    /// Mean squared distance from the mean of what is not NaN, as a float; NaN of nothing.
    nanvar(x, axes) = in_working(x, |x| variance_of_numbers(x, axes));
    /// Square root of the variance of what is not NaN, as a float. Its gradient is 0 where the variance is 0.
    nanstd(x, axes) = in_working(x, |x| root(&variance_of_numbers(x, axes)));
    /// Product of what is not NaN; 1 of nothing.
    nanprod(x, axes) = filled(x, 1.0).prod(axes.clone());
    /// Largest element that is not NaN; NaN where all are. No elements are an error.
    nanmax(x, axes) = extreme(x, axes, ReduceOp::Max);
    /// Smallest element that is not NaN; NaN where all are. No elements are an error.
    nanmin(x, axes) = extreme(x, axes, ReduceOp::Min);
}

fn mean_of_numbers(x: &Tensor, axes: &Axes) -> Tensor {
    filled(x, 0.0).sum(axes.clone()) / counted(x, axes)
}

fn variance_of_numbers(x: &Tensor, axes: &Axes) -> Tensor {
    let mean = mean_of_numbers(x, axes).keep_dims(x, axes.clone());
    let distance = Tensor::select(&x.is_nan(), 0.0, filled(x, 0.0) - mean);
    distance.square().sum(axes.clone()) / counted(x, axes)
}

fn extreme(x: &Tensor, axes: &Axes, op: ReduceOp) -> Tensor {
    let max = op == ReduceOp::Max;
    let fold = |x: &Tensor| {
        if max { super::amax(x, axes.clone(), false) } else { super::amin(x, axes.clone(), false) }
    };
    if !x.dtype().is_float() {
        return fold(x);
    }
    let filled = filled(x, if max { f64::NEG_INFINITY } else { f64::INFINITY });
    Tensor::select(&x.is_nan().all(axes.clone()), f64::NAN, fold(&filled))
}

/// The first element that is not NaN and equals the extreme of these; −1 where all are NaN.
fn first_of_numbers(x: &Tensor, axis: i64, max: bool) -> Tensor {
    if !x.dtype().is_float() {
        return if max { x.argmax(axis) } else { x.argmin(axis) };
    }
    let filled = filled(x, if max { f64::NEG_INFINITY } else { f64::INFINITY });
    let best = if max { super::amax(&filled, axis, true) } else { super::amin(&filled, axis, true) };
    let hit = x.equal(best);
    // Of booleans the first that is true is the largest.
    Tensor::select(&hit.any(axis), hit.cast(DType::I32).argmax(axis), -1)
}

/// Position of the first largest element that is not NaN along an axis, or in the flattened tensor for `()`; `int32`, −1
/// where all are NaN.
#[track_caller]
pub fn nanargmax(x: &Tensor, axis: impl Into<Axes>, keepdims: bool) -> Tensor {
    positions("nanargmax", here(), x, &axis.into(), keepdims, |x, axis| first_of_numbers(x, axis, true))
}

/// Position of the first smallest element that is not NaN along an axis, or in the flattened tensor for `()`; `int32`, −1
/// where all are NaN.
#[track_caller]
pub fn nanargmin(x: &Tensor, axis: impl Into<Axes>, keepdims: bool) -> Tensor {
    positions("nanargmin", here(), x, &axis.into(), keepdims, |x, axis| first_of_numbers(x, axis, false))
}

/// Running sum with NaN as 0, along an axis or over the flattened tensor for `()`.
#[track_caller]
pub fn nancumsum(x: &Tensor, axis: impl Into<Axes>, dtype: Option<DType>) -> Tensor {
    running("nancumsum", here(), x, &axis.into(), dtype, |x, axis| filled(x, 0.0).cumsum(axis))
}

/// Running product with NaN as 1, along an axis or over the flattened tensor for `()`.
#[track_caller]
pub fn nancumprod(x: &Tensor, axis: impl Into<Axes>, dtype: Option<DType>) -> Tensor {
    running("nancumprod", here(), x, &axis.into(), dtype, |x, axis| filled(x, 1.0).cumprod(axis))
}

/// The tensor with NaN, +∞ and −∞ replaced; the infinities by the largest and lowest number of the type where none is
/// given.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[f32::NAN, f32::INFINITY, 1.0]);
/// assert_eq!(ops::nan_to_num(&x, 0.0, Some(9.0), None).to_vec::<f32>()?, [0.0, 9.0, 1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn nan_to_num(x: &Tensor, nan: impl Into<f64>, posinf: Option<f64>, neginf: Option<f64>) -> Tensor {
    let nan = nan.into();
    composed("nan_to_num", here(), &[x], || {
        if !x.dtype().is_float() {
            return x.clone();
        }
        let limit = largest(x.dtype());
        let y = Tensor::select(&super::isposinf(x), posinf.unwrap_or(limit), filled(x, nan));
        Tensor::select(&super::isneginf(x), neginf.unwrap_or(-limit), y)
    })
}
