//! Evenly spaced numbers, on straight, logarithmic and geometric scales, between numbers or tensors.

use kiln_device::DType;

use super::arithmetic::{met, operands};
use super::elementwise::Operand;
use super::pointwise::{float_of, working};
use crate::error::At;
use crate::shape::resolve_axis;
use crate::tensor::{Tensor, here};

/// Where the samples stand between both ends, along a new axis.
struct Places {
    /// Both ends with the new axis of extent 1.
    start: Tensor,
    stop: Tensor,
    /// Number of the sample along the new axis, and how far the last is from the first.
    position: Tensor,
    intervals: f64,
    /// Of the result.
    dtype: DType,
}

impl Places {
    /// Share of the way that lies behind a sample, and before it; both rounded once.
    fn shares(&self) -> (Tensor, Tensor) {
        (&self.position / self.intervals, (self.intervals - &self.position) / self.intervals)
    }

    fn first(&self) -> Tensor {
        self.position.equal(0.0)
    }

    /// The samples with one division, so that those which are whole come out whole; where a sum of such size leaves the
    /// range of floats, with the ends divided first.
    fn straight(&self) -> Tensor {
        let (start, stop, intervals) = (&self.start, &self.stop, self.intervals);
        let once = (start * (intervals - &self.position) + stop * &self.position) / intervals;
        let (behind, before) = self.shares();
        Tensor::select(&once.is_finite(), &once, start * before + stop * behind)
    }

    fn finish(&self, samples: Tensor) -> Tensor {
        // Integers round down, as in NumPy.
        if self.dtype.is_float() { samples.cast(self.dtype) } else { samples.floor().cast(self.dtype) }
    }
}

/// Both ends; plain numbers in `float64` where that is asked for.
fn ends(start: &impl Operand, stop: &impl Operand, dtype: Option<DType>, at: At) -> (Tensor, Tensor) {
    match dtype {
        Some(DType::F64) => (start.tensor(DType::F64, at), stop.tensor(DType::F64, at)),
        _ => operands(start, stop, at),
    }
}

/// What is asked for.
struct Samples {
    num: usize,
    endpoint: bool,
    dtype: Option<DType>,
    axis: i64,
}

/// What `make` gives for the places between the ends, in `float32`, on a new axis of the result.
fn space(
    name: &'static str,
    at: At,
    ends: (Tensor, Tensor),
    samples: Samples,
    make: impl FnOnce(&Places) -> Tensor,
) -> Tensor {
    let Samples { num, endpoint, dtype, axis } = samples;
    met(name, at, ends, |start, stop| {
        let rank = start.rank() + 1;
        let Some(place) = resolve_axis(axis, rank) else {
            return Tensor::invalid("", crate::shape::no_axis_of_rank(axis, rank));
        };
        let work = working(match dtype {
            Some(DType::F64) => DType::F64,
            _ => start.dtype(),
        });
        let end = |t: &Tensor| t.cast(work).expand_dims(axis);
        let mut shape = vec![1; rank];
        shape[place] = num;
        let intervals = if endpoint { num.saturating_sub(1) } else { num };
        let places = Places {
            start: end(start),
            stop: end(stop),
            position: Tensor::iota(&shape, place).cast(work),
            intervals: intervals.max(1) as f64,
            dtype: dtype.unwrap_or(float_of(start.dtype())),
        };
        places.finish(make(&places))
    })
}

/// `num` evenly spaced numbers from `start` to `stop`, the latter included where `endpoint`, along a new `axis`.
/// Integers round down. The distance of two samples is `(stop − start) / (num − 1)`, or `/ num` without the endpoint.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// assert_eq!(ops::linspace(0.0, 1.0, 5, true, None, 0).to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75, 1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn linspace(
    start: impl Operand,
    stop: impl Operand,
    num: usize,
    endpoint: bool,
    dtype: Option<DType>,
    axis: i64,
) -> Tensor {
    let (at, samples) = (here(), Samples { num, endpoint, dtype, axis });
    space("linspace", at, ends(&start, &stop, dtype, at), samples, Places::straight)
}

/// `base^x` for `num` evenly spaced x from `start` to `stop`.
#[track_caller]
pub fn logspace(
    start: impl Operand,
    stop: impl Operand,
    num: usize,
    endpoint: bool,
    base: impl Into<f64>,
    dtype: Option<DType>,
    axis: i64,
) -> Tensor {
    let (at, samples) = (here(), Samples { num, endpoint, dtype, axis });
    space("logspace", at, ends(&start, &stop, dtype, at), samples, |places| {
        let samples = places.straight();
        Tensor::full(&[], base.into(), samples.dtype()).pow(samples)
    })
}

/// `num` numbers from `start` to `stop`, each a fixed multiple of the one before: within 16 ulp, and one
/// more for every factor of e between the ends. Ends of different signs, or 0, give NaN.
#[track_caller]
pub fn geomspace(
    start: impl Operand,
    stop: impl Operand,
    num: usize,
    endpoint: bool,
    dtype: Option<DType>,
    axis: i64,
) -> Tensor {
    let (at, samples) = (here(), Samples { num, endpoint, dtype, axis });
    space("geomspace", at, ends(&start, &stop, dtype, at), samples, |places| {
        let (start, stop) = (&places.start, &places.stop);
        let (behind, before) = places.shares();
        let one_sign = (start.sign() * stop.sign()).greater(0.0);
        let size = |end: &Tensor| Tensor::select(&one_sign, end.abs(), f64::NAN);
        let inside = size(start).pow(&before) * size(stop).pow(&behind) * start.sign();
        let last = behind.equal(1.0);
        // The ends themselves, not what powers make of them.
        let ended = Tensor::select(&last.logical_and(&one_sign), stop, inside);
        Tensor::select(&places.first().logical_and(one_sign), start, ended)
    })
}
