//! Padding: what stands beyond the edges.

use std::str::FromStr;

use super::arrange::stepped;
use crate::error::At;
use crate::tensor::{Tensor, here};

/// What padding holds; NumPy's words.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PadMode {
    /// One number.
    Constant(f64),
    /// The nearest element of the edge.
    Edge,
    /// The elements mirrored at the edge, which is not repeated.
    Reflect,
    /// The elements mirrored beyond the edge, which is repeated.
    Symmetric,
    /// The elements from the other end.
    Wrap,
    /// Evenly spaced numbers from the edge down to 0.
    LinearRamp,
    /// The largest element along the axis.
    Maximum,
    /// The smallest element along the axis.
    Minimum,
    /// The mean along the axis.
    Mean,
}

impl FromStr for PadMode {
    type Err = String;

    fn from_str(name: &str) -> Result<PadMode, String> {
        Ok(match name {
            "constant" => PadMode::Constant(0.0),
            "edge" => PadMode::Edge,
            "reflect" => PadMode::Reflect,
            "symmetric" => PadMode::Symmetric,
            "wrap" | "circular" => PadMode::Wrap,
            "linear_ramp" => PadMode::LinearRamp,
            "maximum" => PadMode::Maximum,
            "minimum" => PadMode::Minimum,
            "mean" => PadMode::Mean,
            other => {
                return Err(format!(
                    "expected padding mode `constant`, `edge`, `reflect`, `symmetric`, `wrap`, `linear_ramp`, `maximum`, \
                     `minimum` or `mean`, received `{other}`"
                ));
            }
        })
    }
}

/// How many elements to add before and after each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PadWidth {
    /// (before, after) of every axis.
    All(usize, usize),
    /// One (before, after) an axis.
    Of(Vec<(usize, usize)>),
}

impl From<usize> for PadWidth {
    fn from(width: usize) -> PadWidth {
        PadWidth::All(width, width)
    }
}

impl From<(usize, usize)> for PadWidth {
    fn from((before, after): (usize, usize)) -> PadWidth {
        PadWidth::All(before, after)
    }
}

impl From<&[(usize, usize)]> for PadWidth {
    fn from(widths: &[(usize, usize)]) -> PadWidth {
        PadWidth::Of(widths.to_vec())
    }
}

impl From<Vec<(usize, usize)>> for PadWidth {
    fn from(widths: Vec<(usize, usize)>) -> PadWidth {
        PadWidth::Of(widths)
    }
}

impl<const N: usize> From<[(usize, usize); N]> for PadWidth {
    fn from(widths: [(usize, usize); N]) -> PadWidth {
        PadWidth::Of(widths.to_vec())
    }
}

/// `x` with elements added before and after its axes. One pair, or one number, serves every axis.
///
/// ```
/// use kiln_graph::{Tensor, ops, ops::PadMode};
/// let x = Tensor::from_slice(&[1i32, 2, 3]);
/// assert_eq!(ops::pad(&x, 2, PadMode::Reflect).to_vec::<i32>()?, [3, 2, 1, 2, 3, 2, 1]);
/// assert_eq!(ops::pad(&x, (0, 2), PadMode::Wrap).to_vec::<i32>()?, [1, 2, 3, 1, 2]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn pad(x: &Tensor, pad_width: impl Into<PadWidth>, mode: PadMode) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let widths = match pad_width.into() {
        PadWidth::All(before, after) => vec![(before, after); x.rank()],
        PadWidth::Of(widths) if widths.len() == 1 => vec![widths[0]; x.rank()],
        PadWidth::Of(widths) => widths,
    };
    if let PadMode::Constant(value) = mode {
        return x.pad(&widths, value).part_of("pad", at, std::slice::from_ref(x));
    }
    if widths.len() != x.rank() {
        let message = format!("expected {} pairs, received {}", x.rank(), widths.len());
        return Tensor::failed("pad", message, at);
    }
    let mut padded = x.clone();
    for (axis, (low, high)) in widths.into_iter().enumerate() {
        if (low, high) == (0, 0) || padded.error().is_some() {
            continue;
        }
        let extent = padded.shape()[axis];
        let fits =
            low.checked_add(high).and_then(|n| n.checked_add(extent)).is_some_and(|n| n <= i32::MAX as usize);
        if extent == 0 || !fits {
            let message = format!(
                "axis {axis} of extent {extent} cannot grow by ({low}, {high}) in mode {mode:?}{}",
                if extent == 0 { ": it has no elements; use constant padding" } else { "" }
            );
            return Tensor::failed("pad", message, at);
        }
        padded = pad_axis(&padded, axis, low, high, mode, at);
    }
    padded.part_of("pad", at, std::slice::from_ref(x))
}

fn pad_axis(x: &Tensor, axis: usize, low: usize, high: usize, mode: PadMode, at: At) -> Tensor {
    let extent = x.shape()[axis];
    let whole = |values: &Tensor| {
        let kept = values.keep_dims(x, axis as i64).cast(x.dtype());
        around(x, axis, (low, &kept), (high, &kept), at)
    };
    let (first, last) = (stepped(x, axis, 0, 1, 1, "pad", at), stepped(x, axis, extent - 1, 1, 1, "pad", at));
    match mode {
        PadMode::Constant(_) => x.clone(),
        PadMode::Edge => around(x, axis, (low, &first), (high, &last), at),
        PadMode::Maximum => whole(&x.max(axis as i64)),
        PadMode::Minimum => whole(&x.min(axis as i64)),
        PadMode::Mean => {
            let mean = x.mean(axis as i64);
            whole(&if x.dtype().is_float() { mean } else { mean.round() })
        }
        PadMode::LinearRamp => {
            let (before, after) = (ramp(&first, axis, low, false, at), ramp(&last, axis, high, true, at));
            Tensor::concat(&[before, x.clone(), after], axis as i64)
        }
        PadMode::Wrap => periodic(x, x, axis, low, high, at),
        PadMode::Symmetric => {
            let period = Tensor::concat(&[x.clone(), x.flip(axis as i64)], axis as i64);
            periodic(x, &period, axis, low, high, at)
        }
        PadMode::Reflect if extent == 1 => periodic(x, x, axis, low, high, at),
        PadMode::Reflect => {
            let inner = stepped(x, axis, extent - 1 - usize::from(extent > 1), -1, extent - 2, "pad", at);
            let period = Tensor::concat(&[x.clone(), inner], axis as i64);
            periodic(x, &period, axis, low, high, at)
        }
    }
}

/// `x` between so many copies of two slices of extent 1.
fn around(x: &Tensor, axis: usize, before: (usize, &Tensor), after: (usize, &Tensor), at: At) -> Tensor {
    let spread = |(count, slice): (usize, &Tensor)| {
        let mut shape = x.shape().to_vec();
        shape[axis] = count;
        if count == 0 { stepped(slice, axis, 0, 1, 0, "pad", at) } else { slice.broadcast_at(&shape, at) }
    };
    Tensor::concat(&[spread(before), x.clone(), spread(after)], axis as i64)
}

/// Numbers from 0 at the far end to the edge, which is not one of them.
fn ramp(edge: &Tensor, axis: usize, count: usize, falling: bool, at: At) -> Tensor {
    if count == 0 {
        return stepped(edge, axis, 0, 1, 0, "pad", at);
    }
    let mut shape = edge.shape().to_vec();
    shape[axis] = count;
    let position = Tensor::iota(&shape, axis);
    let steps = if falling { count as i32 - 1 - position } else { position };
    let value = edge.to_float() * steps.cast(edge.to_float().dtype()) * (1.0 / count as f64);
    // Integers are rounded down, as NumPy's ramp is.
    // The end is 0, not −0.
    if edge.dtype().is_float() { value + 0.0 } else { value.floor().cast(edge.dtype()) }
}

/// The part of an endless repetition of `period`, which starts as `x` does, that the padded axis shows.
fn periodic(x: &Tensor, period: &Tensor, axis: usize, low: usize, high: usize, at: At) -> Tensor {
    if period.error().is_some() {
        return period.clone();
    }
    let (total, length) = (low + x.shape()[axis] + high, period.shape()[axis]);
    let start = (length - low % length) % length;
    let mut repeats = vec![1; x.rank()];
    repeats[axis] = (start + total).div_ceil(length);
    stepped(&super::tile(period, &repeats), axis, start, 1, total, "pad", at)
}
