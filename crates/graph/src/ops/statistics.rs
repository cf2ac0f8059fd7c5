//! Reductions and running folds: sums, extremes, moments, positions.
//!
//! Of zeros of both signs, which are equal, a largest or smallest element may be either.
//!
//! `axes` is `()` for all axes, a number, or a list; negative ones count from the end. With `keepdims` the reduced axes
//! stay as ones.

use kiln_device::{DType, ReduceOp};

use super::pointwise::{composed, in_working, with_slope};
use crate::error::At;
use crate::shape::{Axes, resolve_axis};
use crate::tensor::{Tensor, here};

/// The result of a reduction of `x`, with the reduced axes as ones where they are kept.
pub(super) fn kept(y: Tensor, x: &Tensor, axes: &Axes, keepdims: bool) -> Tensor {
    if keepdims { y.keep_dims(x, axes.clone()) } else { y }
}

/// `reductions!` makes a function of a tensor and axes from the reduction without `keepdims`.
macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident($x:ident, $axes:ident) = $body:expr;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x: &$crate::Tensor, axes: impl Into<$crate::Axes>, keepdims: bool) -> $crate::Tensor {
            let build = |$x: &$crate::Tensor, $axes: &$crate::Axes| $body;
            let axes: $crate::Axes = axes.into();
            $crate::ops::pointwise::composed(stringify!($name), $crate::tensor::here(), &[x], || {
                $crate::ops::statistics::kept(build(x, &axes), x, &axes, keepdims)
            })
        }
    )* };
}
pub(super) use reductions;

reductions! {
    /// Sum. Booleans count as `int32`, `uint8` as `uint32`; integers wrap.
    #[doc(alias = "reduce_sum")]
    sum(x, axes) = x.sum(axes.clone());
    /// Arithmetic mean, as a float; NaN of no elements. Half precision is added in `float32`.
    #[doc(alias = "reduce_mean")]
    mean(x, axes) = in_working(x, |x| x.mean(axes.clone()));
    /// Mean squared distance from the mean (divided by the count), in two passes, as a float.
    #[doc(alias = "reduce_variance")]
    var(x, axes) = in_working(x, |x| x.variance(axes.clone()));
    /// Square root of the variance, as a float. Its gradient is 0 where the variance is 0.
    #[doc(alias = "reduce_std")]
    std(x, axes) = in_working(x, |x| root(&x.variance(axes.clone())));
    /// True where any element is not 0; NaN is not.
    #[doc(alias = "reduce_any")]
    any(x, axes) = x.any(axes.clone());
    /// True where no element is 0.
    #[doc(alias = "reduce_all")]
    all(x, axes) = x.all(axes.clone());
    /// Largest element; NaN if any is. Elements that are equally large share the gradient. No elements are an error.
    amax(x, axes) = extreme(x, axes, ReduceOp::Max, None);
    /// Smallest element; NaN if any is. Elements that are equally small share the gradient. No elements are an error.
    amin(x, axes) = extreme(x, axes, ReduceOp::Min, None);
    /// Largest less smallest element ("peak to peak"). No elements, or booleans, are an error.
    ptp(x, axes) = match x.dtype() {
        DType::Bool => Tensor::invalid("", "expected numbers, received bool; cast it first"),
        _ => extreme(x, axes, ReduceOp::Max, None) - extreme(x, axes, ReduceOp::Min, None),
    };
}

/// The square root of a value that is not negative; its gradient is 0 at 0.
pub(super) fn root(x: &Tensor) -> Tensor {
    with_slope(x, &x.sqrt(), |_, y| {
        let flat = y.equal(0.0);
        Tensor::select(&flat, 0.0, 0.5 / Tensor::select(&flat, 1.0, y))
    })
}

/// A maximum or minimum. Of no elements it is the initial value, or an error.
fn extreme(x: &Tensor, axes: &Axes, op: ReduceOp, initial: Option<f64>) -> Tensor {
    let folded = x.reduce(op, axes, "", here());
    if x.is_empty() && !folded.is_empty() && folded.error().is_none() && initial.is_none() {
        return Tensor::invalid(
            "",
            format!("there are no elements in shape {:?}; pass an initial value", x.shape()),
        );
    }
    let Some(initial) = initial else { return folded };
    let initial = Tensor::full(&[], initial, x.dtype());
    if op == ReduceOp::Max { folded.maximum(initial) } else { folded.minimum(initial) }
}

/// Largest element over some axes, and `initial` if given; NaN if any is. Elements that are equally large share the
/// gradient. No elements without an initial value are an error.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_vec(&[1.0f32, 5.0, 3.0, 4.0], &[2, 2]);
/// assert_eq!(ops::max(&x, -1, false, None).to_vec::<f32>()?, [5.0, 4.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("reduce_max", "amax"))]
#[track_caller]
pub fn max(x: &Tensor, axes: impl Into<Axes>, keepdims: bool, initial: Option<f64>) -> Tensor {
    let axes = axes.into();
    composed("max", here(), &[x], || kept(extreme(x, &axes, ReduceOp::Max, initial), x, &axes, keepdims))
}

/// Smallest element over some axes, and `initial` if given; NaN if any is. Elements that are equally small share the
/// gradient. No elements without an initial value are an error.
#[doc(alias("reduce_min", "amin"))]
#[track_caller]
pub fn min(x: &Tensor, axes: impl Into<Axes>, keepdims: bool, initial: Option<f64>) -> Tensor {
    let axes = axes.into();
    composed("min", here(), &[x], || kept(extreme(x, &axes, ReduceOp::Min, initial), x, &axes, keepdims))
}

/// Product over some axes, in `dtype` if given. Booleans count as `int32`, `uint8` as `uint32`; integers wrap.
#[doc(alias = "reduce_prod")]
#[track_caller]
pub fn prod(x: &Tensor, axes: impl Into<Axes>, keepdims: bool, dtype: Option<DType>) -> Tensor {
    let axes = axes.into();
    composed("prod", here(), &[x], || {
        let x = dtype.map_or(x.clone(), |dtype| x.cast(dtype));
        let product = x.prod(axes.clone());
        let product = dtype.map_or(product.clone(), |dtype| product.cast(dtype));
        kept(product, &x, &axes, keepdims)
    })
}

/// Number of elements over some axes that are not 0, `int32`.
#[track_caller]
pub fn count_nonzero(x: &Tensor, axes: impl Into<Axes>) -> Tensor {
    let axes = axes.into();
    composed("count_nonzero", here(), &[x], || x.cast(DType::Bool).sum(axes))
}

/// A tensor and one of its axes; the flattened tensor and axis 0 where all axes are asked for.
pub(super) fn along(x: &Tensor, axes: &Axes) -> Result<(Tensor, i64), Tensor> {
    match axes {
        Axes::All => Ok((x.flatten_from(0), 0)),
        Axes::Of(named) => match named[..] {
            [axis] if resolve_axis(axis, x.rank()).is_some() => Ok((x.clone(), axis)),
            [axis] => Err(Tensor::invalid("", crate::shape::no_axis(axis, x.shape()))),
            _ => Err(Tensor::invalid(
                "",
                format!("expected one axis, or () for the flattened tensor, received {named:?}"),
            )),
        },
    }
}

/// Positions found along one axis, or in the flattened tensor: `find(tensor, axis)`.
pub(super) fn positions(
    name: &'static str,
    at: At,
    x: &Tensor,
    axes: &Axes,
    keepdims: bool,
    find: impl FnOnce(&Tensor, i64) -> Tensor,
) -> Tensor {
    composed(name, at, &[x], || match along(x, axes) {
        Ok((line, axis)) => kept(find(&line, axis), x, axes, keepdims),
        Err(failed) => failed,
    })
}

/// Position of the first largest element along an axis, or in the flattened tensor for `()`; `int32`. The first NaN
/// where there is one.
#[track_caller]
pub fn argmax(x: &Tensor, axis: impl Into<Axes>, keepdims: bool) -> Tensor {
    positions("argmax", here(), x, &axis.into(), keepdims, |x, axis| x.argmax(axis))
}

/// Position of the first smallest element along an axis, or in the flattened tensor for `()`; `int32`. The first NaN
/// where there is one.
#[track_caller]
pub fn argmin(x: &Tensor, axis: impl Into<Axes>, keepdims: bool) -> Tensor {
    positions("argmin", here(), x, &axis.into(), keepdims, |x, axis| x.argmin(axis))
}

/// A running fold along an axis or over the flattened tensor, in `dtype` if given.
pub(super) fn running(
    name: &'static str,
    at: At,
    x: &Tensor,
    axes: &Axes,
    dtype: Option<DType>,
    fold: impl FnOnce(&Tensor, i64) -> Tensor,
) -> Tensor {
    composed(name, at, &[x], || match along(x, axes) {
        Ok((line, axis)) => {
            let folded = fold(&dtype.map_or(line.clone(), |dtype| line.cast(dtype)), axis);
            dtype.map_or(folded.clone(), |dtype| folded.cast(dtype))
        }
        Err(failed) => failed,
    })
}

/// Running sum along an axis, or over the flattened tensor for `()`. Booleans count as `int32`; integers wrap.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_vec(&[1, 2, 3, 4], &[2, 2]);
/// assert_eq!(ops::cumsum(&x, (), None).to_vec::<i32>()?, [1, 3, 6, 10]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "cumulative_sum")]
#[track_caller]
pub fn cumsum(x: &Tensor, axis: impl Into<Axes>, dtype: Option<DType>) -> Tensor {
    running("cumsum", here(), x, &axis.into(), dtype, |x, axis| x.cumsum(axis))
}

/// Running product along an axis, or over the flattened tensor for `()`. Booleans count as `int32`; integers wrap.
#[track_caller]
pub fn cumprod(x: &Tensor, axis: impl Into<Axes>, dtype: Option<DType>) -> Tensor {
    running("cumprod", here(), x, &axis.into(), dtype, |x, axis| x.cumprod(axis))
}

/// Mean over some axes, weighted if weights are given: `Σ x·w / Σ w`, as a float. Weights have the tensor's shape, or
/// are one vector along the only axis.
#[track_caller]
pub fn average(x: &Tensor, axes: impl Into<Axes>, weights: Option<&Tensor>) -> Tensor {
    let (at, axes) = (here(), axes.into());
    let Some(weights) = weights else {
        return composed("average", at, &[x], || mean(x, axes, false));
    };
    composed("average", at, &[x, weights], || {
        let wide = match &axes {
            _ if weights.shape() == x.shape() => weights.clone(),
            Axes::Of(named) if named.len() == 1 && weights.rank() == 1 => {
                match resolve_axis(named[0], x.rank()).filter(|axis| x.shape()[*axis] == weights.len()) {
                    Some(axis) => {
                        let mut shape = vec![1; x.rank()];
                        shape[axis] = weights.len() as i64;
                        weights.reshape(&shape).broadcast_to(x.shape())
                    }
                    None => weights.clone(),
                }
            }
            _ => weights.clone(),
        };
        if wide.shape() != x.shape() {
            let message = format!(
                "expected weights of shape {:?}, or a vector along one axis, received {:?}",
                x.shape(),
                weights.shape()
            );
            return Tensor::invalid("", message);
        }
        // `x` alone says which half-precision type, if any, is meant where the weights are whole.
        let dtype = super::promote(x.dtype(), weights.dtype());
        let work = super::pointwise::working(dtype);
        let (x, w) = (x.cast(work), wide.cast(work));
        let average = (x * &w).sum(axes.clone()) / w.sum(axes);
        average.cast(super::pointwise::float_of(dtype))
    })
}
