//! `e^x` and what is made of it.

use super::{LN2_HIGH, LN2_LOW, clamp, copy_sign, nearest, polynomial, power_of_two, scale};

/// `e^(r + low) − 1` for |r| ≤ ln 2 / 2 and `low` below its last place.
#[inline(always)]
pub(super) fn expm1_near(r: f64, low: f64) -> f64 {
    let square = r * r;
    let even = [
        2.092_176_236_708_142_4e-9,
        2.755_725_239_900_254e-7,
        2.480_158_734_787_263_4e-5,
        1.388_888_888_887_417_2e-3,
        4.166_666_666_666_668_5e-2,
        0.5,
    ];
    let odd = [
        2.510_541_992_788_084e-8,
        2.755_725_491_160_583e-6,
        1.984_126_987_520_663_5e-4,
        8.333_333_333_326_025e-3,
        1.666_666_666_666_667e-1,
    ];
    let tail = polynomial(square, even) + r * polynomial(square, odd);
    r + (low + square * tail)
}

/// `x` as `whole · ln 2 + r` with small `r`: `e^r − 1` and `whole`.
#[inline(always)]
fn exp_parts(x: f64) -> (f64, u64) {
    let (n, whole) = nearest(x, std::f64::consts::LOG2_E);
    let head = x - n * LN2_HIGH;
    let tail = n * LN2_LOW;
    let r = head - tail;
    (expm1_near(r, (head - r) - tail), whole)
}

/// `e^x`.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    let (p, whole) = exp_parts(clamp(x, -746.0, 710.0));
    scale(1.0 + p, whole)
}

/// `e^x − 1`.
#[inline(always)]
pub(super) fn expm1(x: f64) -> f64 {
    let (p, whole) = exp_parts(clamp(x, -60.0, 710.0));
    // Half of the result first, because 2^1024 does not fit.
    let s = power_of_two(whole.wrapping_sub(1));
    let y = 2.0 * (s * p + (s - 0.5));
    // Half of a subnormal number may lose its last bit.
    if x.abs() < 1e-300 { x } else { y }
}

/// Hyperbolic tangent: `(e^2x − 1) / (e^2x + 1)` of the magnitude; from 20 on it is 1 in `f64`.
#[inline(always)]
pub(super) fn tanh(x: f64) -> f64 {
    let (p, whole) = exp_parts(2.0 * clamp(x.abs(), 0.0, 20.0));
    let s = power_of_two(whole);
    let grown = s * p + (s - 1.0);
    let divisor = 2.0 + grown;
    let (larger, smaller) = if grown > 2.0 { (grown, 2.0) } else { (2.0, grown) };
    let lost = (larger - divisor) + smaller;
    let y = grown / divisor;
    // The reciprocal of the divisor is (1 − y) / 2.
    copy_sign(y - y * (lost * (0.5 - 0.5 * y)), x)
}

/// `1 / (1 + e^−x)`, from `e^−|x|` so that neither end overflows.
#[inline(always)]
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    let divisor = 1.0 + e;
    let lost = (1.0 - divisor) + e;
    let y = numerator / divisor;
    let reciprocal = if x < 0.0 { 1.0 - y } else { y };
    y - y * (lost * reciprocal)
}
