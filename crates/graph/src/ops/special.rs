//! Special functions.

use std::f32::consts::PI;

use super::hyperbolic::SHIFT;
use super::pointwise::{in_single, unary, with_slope};
use crate::tensor::Tensor;

unary! {
    /// `sin(πx) / πx`, 1 at 0: exactly 0 at other whole numbers.
    sinc(x) = in_single(x, |x| with_slope(x, &sinc_single(x), sinc_slope));
    /// Modified Bessel function of the first kind, order 0. Polynomials of Kiln's own, within 10⁻⁸ of the function
    /// before rounding.
    i0(x) = in_single(x, i0_single);
}

/// sin(πx) and cos(πx), from the distance to the nearest whole number, which is exact.
fn half_turns(x: &Tensor) -> (Tensor, Tensor) {
    let whole = x.round();
    let rest = (x - &whole) * PI;
    let half = &whole * 0.5;
    let odd = half.not_equal(half.floor());
    let sign = Tensor::select(&odd, -1.0, 1.0);
    (rest.sin() * &sign, rest.cos() * sign)
}

fn sinc_single(x: &Tensor) -> Tensor {
    let zero = x.equal(0.0);
    let angle = Tensor::select(&zero, 1.0, x) * PI;
    Tensor::select(&zero, 1.0, half_turns(x).0 / angle)
}

/// `(cos πx − sinc x) / x`, by its series near 0.
fn sinc_slope(x: &Tensor, y: &Tensor) -> Tensor {
    let near = x.abs().less(0.3);
    let angle = Tensor::select(&near, x * PI, 0.0);
    let square = angle.square();
    let mut series = &square * (-1.0 / 3_991_680.0) + 1.0 / 45_360.0;
    for coefficient in [-1.0 / 840.0, 1.0 / 30.0, -1.0 / 3.0] {
        series = series * &square + coefficient;
    }
    let safe = Tensor::select(&near, 1.0, x);
    Tensor::select(&near, series * angle * PI, (half_turns(x).1 - y) / safe)
}

/// I0(x) in t = x²/4 for |x| ≤ 7.75.
const NEAR: [f32; 11] = [
    1.0,
    1.0,
    0.25000003,
    0.027777744,
    0.0017361359,
    6.9434136e-05,
    1.9315628e-06,
    3.8978452e-08,
    6.5184746e-10,
    5.529602e-12,
    1.3732972e-13,
];
/// √x · e^−x · I0(x) in 1/x beyond.
const FAR: [f32; 6] = [0.39894226, 0.049870033, 0.027867721, 0.034544002, -0.021373134, 0.41389546];
const LIMIT: f32 = 7.75;

/// Beyond it e^x is computed as e^(x − 235 ln 2) · 2^235, because it overflows before I0 does.
const LARGE: f32 = 82.0;

fn polynomial(coefficients: &[f32], x: &Tensor) -> Tensor {
    coefficients.iter().rev().fold(x.zeros_like(), |sum, c| sum * x + *c)
}

fn i0_single(x: &Tensor) -> Tensor {
    let size = x.abs();
    let far = size.greater(LIMIT);
    let small = Tensor::select(&far, 0.0, x);
    let near = polynomial(&NEAR, &(small.square() * 0.25));
    let large = Tensor::select(&far, size.minimum(100.0), LIMIT);
    let shifts = large.greater(LARGE);
    let scale = |power| Tensor::select(&shifts, 2f32.powi(power), 1.0);
    let exponential = (&large - Tensor::select(&shifts, SHIFT, 0.0)).exp();
    let value = exponential * polynomial(&FAR, &large.reciprocal()) * large.rsqrt() * scale(117) * scale(118);
    Tensor::select(&far, value, near)
}
