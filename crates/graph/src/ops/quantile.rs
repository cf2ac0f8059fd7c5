//! Quantiles: where a share of the sorted elements lies below.

use kiln_device::DType;

use super::elementwise::Operand;
use super::nan::counted;
use super::pointwise::{composed, float_of, one_of, working};
use crate::error::At;
use crate::shape::Axes;
use crate::tensor::{Tensor, here};

/// What a quantile is between two elements; NumPy's `method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuantileMethod {
    /// On the straight line between both.
    #[default]
    Linear,
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
    /// Half-way.
    Midpoint,
    /// The nearer one; of equally near ones that at an even position.
    Nearest,
}

impl std::str::FromStr for QuantileMethod {
    type Err = String;

    fn from_str(name: &str) -> Result<QuantileMethod, String> {
        Ok(match name {
            "linear" => QuantileMethod::Linear,
            "lower" => QuantileMethod::Lower,
            "higher" => QuantileMethod::Higher,
            "midpoint" => QuantileMethod::Midpoint,
            "nearest" => QuantileMethod::Nearest,
            other => {
                return Err(format!(
                    "expected a method linear, lower, higher, midpoint or nearest, received {other:?}"
                ));
            }
        })
    }
}

/// The q-quantiles over some axes, as a float; NaN where an element is NaN, there are none, or q lies outside 0..1.
/// A vector of `q` gives a first axis.
///
/// ```
/// use kiln_graph::{Tensor, ops, ops::QuantileMethod};
/// let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 4.0]);
/// assert_eq!(ops::quantile(&x, 0.5, (), QuantileMethod::Linear, false).item::<f32>()?, 2.5);
/// assert_eq!(ops::quantile(&x, 0.5, (), QuantileMethod::Lower, false).item::<f32>()?, 2.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "percentile")]
#[track_caller]
pub fn quantile(
    x: &Tensor,
    q: impl Operand,
    axes: impl Into<Axes>,
    method: QuantileMethod,
    keepdims: bool,
) -> Tensor {
    let at = here();
    quantiles(
        "quantile",
        at,
        x,
        &q.tensor(working(x.dtype()), at),
        &Request { axes: axes.into(), method, keepdims, skip: false },
    )
}

/// As [`quantile`], with `q` from 0 to 100.
#[track_caller]
pub fn percentile(
    x: &Tensor,
    q: impl Operand,
    axes: impl Into<Axes>,
    method: QuantileMethod,
    keepdims: bool,
) -> Tensor {
    let at = here();
    let share = q.tensor(working(x.dtype()), at).cast(working(x.dtype())) / 100.0;
    quantiles("percentile", at, x, &share, &Request { axes: axes.into(), method, keepdims, skip: false })
}

/// As [`quantile`], of what is not NaN; NaN only of nothing.
#[track_caller]
pub fn nanquantile(
    x: &Tensor,
    q: impl Operand,
    axes: impl Into<Axes>,
    method: QuantileMethod,
    keepdims: bool,
) -> Tensor {
    let at = here();
    quantiles(
        "nanquantile",
        at,
        x,
        &q.tensor(working(x.dtype()), at),
        &Request { axes: axes.into(), method, keepdims, skip: true },
    )
}

/// As [`percentile`], of what is not NaN; NaN only of nothing.
#[track_caller]
pub fn nanpercentile(
    x: &Tensor,
    q: impl Operand,
    axes: impl Into<Axes>,
    method: QuantileMethod,
    keepdims: bool,
) -> Tensor {
    let at = here();
    let share = q.tensor(working(x.dtype()), at).cast(working(x.dtype())) / 100.0;
    quantiles("nanpercentile", at, x, &share, &Request { axes: axes.into(), method, keepdims, skip: true })
}

/// The middle of the sorted elements, or the mean of both middle ones, as a float; NaN where an element is NaN.
#[track_caller]
pub fn median(x: &Tensor, axes: impl Into<Axes>, keepdims: bool) -> Tensor {
    let request = Request { axes: axes.into(), method: QuantileMethod::Linear, keepdims, skip: false };
    quantiles("median", here(), x, &Tensor::full(&[], 0.5, working(x.dtype())), &request)
}

/// As [`median`], of what is not NaN; NaN only of nothing.
#[track_caller]
pub fn nanmedian(x: &Tensor, axes: impl Into<Axes>, keepdims: bool) -> Tensor {
    let request = Request { axes: axes.into(), method: QuantileMethod::Linear, keepdims, skip: true };
    quantiles("nanmedian", here(), x, &Tensor::full(&[], 0.5, working(x.dtype())), &request)
}

/// How the quantiles are taken.
struct Request {
    axes: Axes,
    method: QuantileMethod,
    keepdims: bool,
    /// NaN is left out, else the result is NaN.
    skip: bool,
}

fn quantiles(name: &'static str, at: At, x: &Tensor, q: &Tensor, request: &Request) -> Tensor {
    composed(name, at, &[x, q], || {
        let axes = match request.axes.resolve(x.rank()) {
            Ok(axes) => axes,
            Err(message) => return Tensor::invalid("", message),
        };
        if q.rank() > 1 {
            return Tensor::invalid(
                "",
                format!("expected q as a number or a vector, received shape {:?}", q.shape()),
            );
        }
        let rest: Vec<usize> = (0..x.rank()).filter(|i| !axes.contains(i)).collect();
        let order: Vec<i64> = rest.iter().chain(&axes).map(|i| *i as i64).collect();
        let line = x.cast(working(x.dtype())).transpose(&order).flatten_from(rest.len());
        let found = of_lines(&line, &q.cast(line.dtype()).reshape(&[-1]), request);
        // [rest.., q] → [q, rest..]
        let rank = rest.len() as i64;
        let first: Vec<i64> = [rank].into_iter().chain(0..rank).collect();
        let mut shape: Vec<i64> = q.shape().iter().map(|d| *d as i64).collect();
        if request.keepdims {
            shape.extend((0..x.rank()).map(|i| if axes.contains(&i) { 1 } else { x.shape()[i] as i64 }));
        } else {
            shape.extend(rest.iter().map(|i| x.shape()[*i] as i64));
        }
        found.transpose(&first).reshape(&shape).cast(float_of(x.dtype()))
    })
}

/// Quantiles `[q]` of the last axis of `[rest.., n]`, as `[rest.., q]`.
fn of_lines(line: &Tensor, q: &Tensor, request: &Request) -> Tensor {
    let (rank, length) = (line.rank(), line.shape()[line.rank() - 1]);
    let mut shape = line.shape().to_vec();
    shape[rank - 1] = q.len();
    if length == 0 {
        return Tensor::full(&shape, f64::NAN, line.dtype());
    }
    let last = axis_of(line);
    let sorted = line.sort(last);
    let count = match request.skip {
        true => counted(line, &Axes::from(last)).expand_dims(-1),
        false => Tensor::full(&[1], length as f64, line.dtype()),
    };
    let position = (q * (&count - 1.0)).broadcast_to(&shape);
    let below = position.floor();
    let value = |position: &Tensor| {
        let index = position.clip(0.0, (length - 1) as f64).cast(DType::I32).stop_gradient();
        sorted.take_along_axis(&index, last)
    };
    let found = match request.method {
        QuantileMethod::Lower => value(&below),
        QuantileMethod::Higher => value(&position.ceil()),
        QuantileMethod::Nearest => value(&position.round()),
        QuantileMethod::Midpoint => between(&value(&below), &value(&position.ceil()), &{
            one_of(&position.equal(&below), [0.0, 0.5], line.dtype())
        }),
        // At an element the slope by q is that of the way to the next.
        QuantileMethod::Linear => between(&value(&below), &value(&(&below + 1.0)), &(&position - &below)),
    };
    let undefined = match request.skip {
        true => count.equal(0.0),
        // NaN stands last.
        false => sorted.slice_axis(last, -1, length as i64).is_nan(),
    };
    let outside = q.less(0.0).logical_or(q.greater(1.0)).logical_or(q.is_nan());
    Tensor::select(&undefined.logical_or(outside), f64::NAN, found)
}

fn axis_of(line: &Tensor) -> i64 {
    line.rank() as i64 - 1
}

/// The point so far on the way between two numbers; between equal infinities these.
fn between(low: &Tensor, high: &Tensor, share: &Tensor) -> Tensor {
    let apart = (high - low).is_finite().logical_or(share.greater(0.0));
    let moves = low.not_equal(high).logical_and(apart);
    // Of the value that is not taken nothing may come, even if it is infinite.
    let far = Tensor::select(&moves, high, 0.0);
    let near = Tensor::select(&moves, low, 0.0);
    // Equal numbers are exact, and share the gradient as others do.
    let same = low.equal(high).logical_and(low.is_finite());
    let gap = Tensor::select(&same, high - low, 0.0);
    Tensor::select(&moves, near * (1.0 - share) + far * share, low + gap * share)
}
