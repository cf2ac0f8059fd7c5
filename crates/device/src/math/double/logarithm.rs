//! Logarithms.

use super::{LN2_HIGH, LN2_LOW, MAGIC, polynomial};

/// The bits of √½.
const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
const FRACTION: u64 = (1 << 52) - 1;

/// A positive, finite number as `(1 + f) · 2^k` with `1 + f` in √½..√2.
#[inline(always)]
fn log_parts(x: f64) -> (f64, f64) {
    let small = x < f64::MIN_POSITIVE;
    let scaled = if small { x * 18_014_398_509_481_984.0 } else { x };
    let bits = scaled.to_bits().wrapping_add(1.0f64.to_bits() - SQRT_HALF);
    // The exponent as a float through the low bits of one: vectors before AVX-512 do not convert 64-bit integers.
    let exponent = f64::from_bits((bits >> 52) | MAGIC.to_bits()) - MAGIC;
    let k = exponent - if small { 1023.0 + 54.0 } else { 1023.0 };
    (f64::from_bits((bits & FRACTION) + SQRT_HALF) - 1.0, k)
}

/// The logarithm of `(1 + f) · 2^k`, by the series of `2 artanh(s)` with `s = f / (2 + f)`.
#[inline(always)]
fn log_of_parts(f: f64, k: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd =
        polynomial(w, [1.531_375_557_449_763_7e-1, 2.222_219_837_829_503_3e-1, 3.999_999_999_940_748e-1]);
    let even = polynomial(
        w,
        [
            1.479_906_769_411_860_6e-1,
            1.818_357_517_384_938e-1,
            2.857_142_874_414_331e-1,
            6.666_666_666_666_735e-1,
        ],
    );
    let series = z * even + w * odd;
    let half_square = 0.5 * f * f;
    let rest = s * (half_square + series) + k * LN2_LOW;
    k * LN2_HIGH + ((rest - half_square) + f)
}

/// The values of a logarithm of `x` outside the positive finite numbers; elsewhere `inside`.
#[inline(always)]
fn log_special(x: f64, inside: f64) -> f64 {
    let y = if x == f64::INFINITY { x } else { inside };
    let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
    // True also for NaN, unlike `x < 0.0`.
    if x >= 0.0 { y } else { f64::NAN }
}

/// Natural logarithm.
#[inline(always)]
pub(super) fn log(x: f64) -> f64 {
    let (f, k) = log_parts(x);
    log_special(x, log_of_parts(f, k))
}

/// `log(1 + x)`: near 0 of `x` itself, elsewhere of the rounded sum and what its rounding lost.
#[inline(always)]
pub(super) fn log1p(x: f64) -> f64 {
    let u = 1.0 + x;
    let near = x > -0.29 && x < 0.41;
    let (f, k) = log_parts(u);
    let (f, k) = (if near { x } else { f }, if near { 0.0 } else { k });
    let correction = if near { 0.0 } else { (x - (u - 1.0)) / u };
    let y = log_special(u, log_of_parts(f, k) + correction);
    if x == 0.0 { x } else { y }
}
