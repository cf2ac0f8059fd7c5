//! Distributions over whole numbers.

use kiln_device::DType;

use super::{Seed, finished, open_unit, parameter, want_float};
use crate::ops::Operand;
use crate::tensor::{Tensor, here};

/// Rounds of transformed rejection: one accepts with probability ≥ 0.7 (measured), all reject in fewer than 4·10⁻¹⁰.
const ROUNDS: i64 = 18;
/// Means up to which the distribution function is added up, and the terms it then has: of a Poisson distribution with mean 10,
/// 2·10⁻¹⁰ lie beyond 36.
const SMALL_MEAN: f32 = 10.0;
const TERMS: usize = 36;

/// The high and the low word of the product of two `uint32` tensors.
fn wide_product(a: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    let halves = |t: &Tensor| (t.right_shift(16), t.logical_and(Tensor::full(&[], 65535.0, DType::U32)));
    let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
    let low = &a0 * &b0;
    let middle = &a1 * &b0 + low.right_shift(16);
    let other = &a0 * &b1 + halves(&middle).1;
    let high = &a1 * &b1 + middle.right_shift(16) + other.right_shift(16);
    (high, a * b)
}

/// Whole numbers from `minval` up to, not including, `maxval`, all equally likely (to 2⁻³²). Keras' default dtype is `int32`.
///
/// # Errors
/// Where the dtype is no integer, cannot hold the bounds, or the range is empty; in `int64`, where it has 2³² numbers or
/// more.
#[track_caller]
pub fn randint(shape: &[usize], minval: i64, maxval: i64, dtype: DType, seed: impl Into<Seed>) -> Tensor {
    let at = here();
    let holds = match dtype {
        DType::I32 => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
        // As many numbers as 32 random bits tell apart, anywhere.
        DType::I64 if maxval.abs_diff(minval) <= u64::from(u32::MAX) => Some((i64::MIN, i64::MAX)),
        DType::U32 => Some((0, i64::from(u32::MAX))),
        DType::U8 => Some((0, 255)),
        _ => None,
    };
    let Some((least, most)) =
        holds.filter(|(low, high)| *low <= minval && minval < maxval && maxval - 1 <= *high)
    else {
        let message = format!(
            "expected an integer dtype that holds minval < maxval, received {minval}, {maxval} and {dtype}"
        );
        return Tensor::failed("randint", message, at);
    };
    let key = seed.into();
    let bits = Tensor::random_bits(key.key(), &[&[2], shape].concat());
    let word = |i: i64| bits.slice_axis(0, i, i + 1).squeeze(0);
    let span = maxval.abs_diff(minval);
    let offset = if most.abs_diff(least).checked_add(1) == Some(span) && span > u64::from(u32::MAX) {
        word(0)
    } else {
        // The high word of 64 random bits times the span.
        let span = Tensor::from_slice(&[span as u32]).broadcast_at(shape, at);
        let (high, low) = wide_product(&word(0), &span);
        let carried = wide_product(&word(1), &span).0;
        let carry = (&low + &carried).less(low).cast(DType::U32);
        high + carry
    };
    if dtype == DType::I64 {
        return (offset.cast(dtype) + minval).part_of("randint", at, &[]);
    }
    let shifted = offset + Tensor::from_slice(&[minval as u32]).broadcast_at(shape, at);
    let value = if dtype == DType::I32 { shifted.bitcast(DType::I32) } else { shifted.cast(dtype) };
    value.part_of("randint", at, &[])
}

/// 1 with a probability, which broadcasts to the shape, else 0.
///
/// # Errors
/// Where the probability does not broadcast.
#[track_caller]
pub fn bernoulli(shape: &[usize], probability: impl Operand, dtype: DType, seed: impl Into<Seed>) -> Tensor {
    let at = here();
    let unit = Tensor::random_uniform(seed.into().key(), shape);
    finished("bernoulli", &unit.less(parameter(probability, shape, at)), dtype, at)
}

/// `log k! − (k + ½) log(k + 1) + (k + 1) − ½ log 2π`: the end of Stirling's series.
fn stirling_rest(k: &Tensor) -> Tensor {
    const OF_ZERO: f32 = 0.081_061_47;
    let y = k + 1.0;
    let inverse = y.square().reciprocal();
    let series = (1.0 / 12.0 - (1.0 / 360.0 - &inverse * (1.0 / 1260.0)) * &inverse) / y;
    Tensor::select(&k.less(0.5), OF_ZERO, series)
}

/// The smallest k with `unit ≤ P(0) + … + P(k)`, where P(0) is `first` and P(k + 1) is P(k) times `ratio(k)`.
fn inverted(unit: &Tensor, first: &Tensor, ratio: impl Fn(f32) -> Tensor) -> Tensor {
    let mut term = first.clone();
    let mut sum = term.clone();
    let mut count = sum.zeros_like();
    for k in 0..TERMS {
        count = count + unit.greater(&sum).cast(DType::F32);
        term = term * ratio(k as f32);
        sum = sum + &term;
    }
    count
}

/// What transformed rejection (Hörmann 1993) needs of a distribution.
struct Hat {
    /// Where the hat stands, and its width and slope.
    centre: Tensor,
    width: Tensor,
    slope: Tensor,
    /// Below it, numbers near the centre are accepted at once.
    squeeze: Tensor,
    /// The factor of the hat.
    height: Tensor,
    /// What an element gets that no round accepts.
    mode: Tensor,
}

/// Numbers k of a distribution under a hat; `log_ratio` is the logarithm of P(k) over what `height` refers to, and `inside`
/// where k has a probability.
fn rejected(
    hat: &Hat,
    units: &Tensor,
    inside: impl Fn(&Tensor) -> Tensor,
    log_ratio: impl Fn(&Tensor) -> Tensor,
) -> Tensor {
    let draw = |i: i64| units.slice_axis(0, i, i + 1).squeeze(0);
    let mut found = hat.mode.clone();
    for round in (0..ROUNDS).rev() {
        let (u, v) = (draw(2 * round) - 0.5, draw(2 * round + 1));
        let edge = 0.5 - u.abs();
        let k = ((&hat.slope * 2.0 / &edge + &hat.width) * u + &hat.centre).floor();
        let near = edge.greater_equal(0.07).logical_and(v.less_equal(&hat.squeeze));
        let counts = inside(&k);
        let safe = Tensor::select(&counts, &k, &hat.mode);
        let height = (v * &hat.height / (&hat.slope / edge.square() + &hat.width)).log();
        let accepted = near.logical_or(counts.logical_and(height.less_equal(log_ratio(&safe))));
        found = Tensor::select(&accepted, k, &found);
    }
    found
}

/// How many of `counts` trials succeed, each with a probability; both broadcast to the shape. Exact for counts up to 2²⁴.
/// Keras' default dtype is `float32`.
///
/// Means below 10 by inversion, others by transformed rejection.
///
/// # Errors
/// Where the dtype is no float or a parameter does not broadcast. NaN where a count is negative or a probability outside of
/// `[0, 1]`.
#[track_caller]
pub fn binomial(
    shape: &[usize],
    counts: impl Operand,
    probabilities: impl Operand,
    dtype: DType,
    seed: impl Into<Seed>,
) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("binomial", dtype, at) {
        return failed;
    }
    let n = parameter(counts, shape, at).stop_gradient().floor();
    let p = parameter(probabilities, shape, at).stop_gradient();
    let flipped = p.greater(0.5);
    let q = Tensor::select(&flipped, 1.0 - &p, &p);
    let units = open_unit(seed.into().key(), &[&[2 * ROUNDS as usize + 1], shape].concat());
    let few = (&n * &q).less(SMALL_MEAN);
    // Parameters that do not disturb the branch that is not taken.
    let (n_few, q_few) = (Tensor::select(&few, &n, 0.0), Tensor::select(&few, &q, 0.0));
    let (n_many, q_many) = (Tensor::select(&few, 100.0, &n), Tensor::select(&few, 0.5, &q));
    let unit = units.slice_axis(0, 2 * ROUNDS, 2 * ROUNDS + 1).squeeze(0);
    let odds = &q_few / (1.0 - &q_few);
    let first = (&n_few * (-&q_few).log1p()).exp();
    let by_sum =
        inverted(&unit, &first, |k| (&n_few - k).maximum(0.0) * &odds * (1.0 / (k + 1.0))).minimum(&n_few);
    let k = Tensor::select(&few, by_sum, many_trials(&n_many, &q_many, &units));
    let k = Tensor::select(&flipped, &n - &k, k);
    let valid = n.greater_equal(0.0).logical_and(p.greater_equal(0.0)).logical_and(p.less_equal(1.0));
    finished("binomial", &Tensor::select(&valid, k, f32::NAN), dtype, at)
}

/// Successes of `n` trials with probability `q` ≤ ½ and `n · q` ≥ 10 (Hörmann's BTRS).
fn many_trials(n: &Tensor, q: &Tensor, units: &Tensor) -> Tensor {
    let deviation = (n * q * (1.0 - q)).sqrt();
    let width = &deviation * 2.53 + 1.15;
    let mode = ((n + 1.0) * q).floor();
    let hat = Hat {
        centre: n * q + 0.5,
        slope: &width * 0.0248 - 0.0873 + q * 0.01,
        squeeze: 0.92 - 4.2 / &width,
        height: (5.1 / &width + 2.83) * &deviation,
        width,
        mode: mode.clone(),
    };
    let others = n - &mode;
    let odds = ((q / (1.0 - q)) * (&others + 1.0) / (&mode + 1.0)).log();
    let rest = stirling_rest(&mode) + stirling_rest(&others);
    // log P(k) − log P(mode) by Stirling's formula, in differences that stay small.
    let log_ratio = |k: &Tensor| {
        let step = k - &mode;
        let left = n - k;
        let of_k = (k + 0.5) * (&step / (&mode + 1.0)).log1p();
        let of_left = (&left + 0.5) * (-(&step) / (&others + 1.0)).log1p();
        &step * &odds - of_k - of_left + &rest - stirling_rest(k) - stirling_rest(&left)
    };
    let inside = |k: &Tensor| k.greater_equal(0.0).logical_and(k.less_equal(n));
    rejected(&hat, units, inside, log_ratio).clip(0.0, n)
}

/// Poisson with a mean, which broadcasts to the shape: how many independent events happen. Means below 10 by inversion, others
/// by transformed rejection. Exact for means up to 2²³.
///
/// # Errors
/// Where the dtype is no float or the mean does not broadcast. NaN where the mean is negative.
#[track_caller]
pub fn poisson(shape: &[usize], mean: impl Operand, dtype: DType, seed: impl Into<Seed>) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("poisson", dtype, at) {
        return failed;
    }
    let mean = parameter(mean, shape, at).stop_gradient();
    let units = open_unit(seed.into().key(), &[&[2 * ROUNDS as usize + 1], shape].concat());
    let unit = units.slice_axis(0, 2 * ROUNDS, 2 * ROUNDS + 1).squeeze(0);
    let few = mean.less(SMALL_MEAN);
    let (low, high) = (Tensor::select(&few, &mean, 1.0), Tensor::select(&few, 100.0, &mean));
    let by_sum = inverted(&unit, &(-&low).exp(), |k| &low * (1.0 / (k + 1.0)));
    let k = Tensor::select(&few, by_sum, many_events(&high, &units));
    finished("poisson", &Tensor::select(&mean.greater_equal(0.0), k, f32::NAN), dtype, at)
}

/// Events with a mean ≥ 10 (Hörmann's PTRS).
fn many_events(mean: &Tensor, units: &Tensor) -> Tensor {
    const HALF_LOG_TAU: f32 = 0.918_938_5;
    let width = mean.sqrt() * 2.53 + 0.931;
    let hat = Hat {
        centre: mean + 0.43,
        slope: &width * 0.02483 - 0.059,
        squeeze: 0.9277 - 3.6224 / (&width - 2.0),
        height: 1.1328 / (&width - 3.4) + 1.1239,
        width,
        mode: mean.floor(),
    };
    let constant = mean.log() * -0.5 - HALF_LOG_TAU;
    // log P(k) by Stirling's formula, in differences that stay small.
    let log_ratio = |k: &Tensor| {
        let step = k + 1.0 - mean;
        &step - (k + 0.5) * (&step / mean).log1p() + &constant - stirling_rest(k)
    };
    rejected(&hat, units, |k: &Tensor| k.greater_equal(0.0), log_ratio).maximum(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_of_two_words_has_two() {
        let words = [0u32, 1, 65535, 65536, 0x1234_5678, 0xffff_ffff, 0x8000_0001];
        let pairs: Vec<(u32, u32)> = words.iter().flat_map(|a| words.map(|b| (*a, b))).collect();
        let column =
            |f: fn(&(u32, u32)) -> u32| Tensor::from_slice(&pairs.iter().map(f).collect::<Vec<u32>>());
        let (high, low) = wide_product(&column(|p| p.0), &column(|p| p.1));
        let (high, low) = (high.to_vec::<u32>().unwrap(), low.to_vec::<u32>().unwrap());
        for (i, (a, b)) in pairs.iter().enumerate() {
            let whole = u64::from(*a) * u64::from(*b);
            assert_eq!((high[i], low[i]), ((whole >> 32) as u32, whole as u32), "{a} · {b}");
        }
    }
}
