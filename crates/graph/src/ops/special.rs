//! Special functions.

use std::f64::consts::PI;

use kiln_device::DType;

use super::double;
use super::hyperbolic::{End, end};
use super::pointwise::{in_working, one_of, unary, with_slope};
use crate::tensor::Tensor;

unary! {
    /// `sin(πx) / πx`, 1 at 0: exactly 0 at other whole numbers.
    sinc(x) = in_working(x, |x| with_slope(x, &sinc_value(x), sinc_slope));
    /// Modified Bessel function of the first kind, order 0. In `float32` polynomials of Kiln's own, within 10⁻⁸ of the
    /// function before rounding; in `float64` its series.
    i0(x) = in_working(x, |x| match x.dtype() {
        DType::F64 => double::i0_with_slope(x, exp_scaled),
        _ => i0_value(x),
    });
}

/// sin(πx) and cos(πx), from the distance to the nearest whole number, which is exact.
fn half_turns(x: &Tensor) -> (Tensor, Tensor) {
    let whole = x.round();
    let rest = (x - &whole) * PI;
    let half = &whole * 0.5;
    let odd = half.not_equal(half.floor());
    let sign = one_of(&odd, [-1.0, 1.0], x.dtype());
    (rest.sin() * &sign, rest.cos() * sign)
}

fn sinc_value(x: &Tensor) -> Tensor {
    let zero = x.equal(0.0);
    let angle = Tensor::select(&zero, 1.0, x) * PI;
    Tensor::select(&zero, 1.0, half_turns(x).0 / angle)
}

/// `(cos πx − sinc x) / x`, by its series near 0.
fn sinc_slope(x: &Tensor, y: &Tensor) -> Tensor {
    let near = x.abs().less(0.3);
    let angle = Tensor::select(&near, x * PI, 0.0);
    let square = angle.square();
    // (−1)^k · 2k / (2k + 1)!
    let mut series = &square * (1.0 / 22_230_464_256_000.0) - 1.0 / 93_405_312_000.0;
    for coefficient in
        [1.0 / 518_918_400.0, -1.0 / 3_991_680.0, 1.0 / 45_360.0, -1.0 / 840.0, 1.0 / 30.0, -1.0 / 3.0]
    {
        series = series * &square + coefficient;
    }
    let safe = Tensor::select(&near, 1.0, x);
    Tensor::select(&near, series * angle * PI, (half_turns(x).1 - y) / safe)
}

/// I0(x) in t = x²/4 for |x| ≤ 7.75.
const NEAR: [f64; 11] = [
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
const FAR: [f64; 6] = [0.39894226, 0.049870033, 0.027867721, 0.034544002, -0.021373134, 0.41389546];
const LIMIT: f64 = 7.75;

/// `e^x · factor` for x above some size, where e^x overflows before the product does: moved by a multiple of ln 2.
fn exp_scaled(x: &Tensor, factor: Tensor) -> Tensor {
    let End { large, shift, power, .. } = end(x.dtype());
    let shifts = x.greater(large);
    let chosen = |number: f64, otherwise: f64| one_of(&shifts, [number, otherwise], x.dtype());
    let scale = |power| chosen(2f64.powi(power), 1.0);
    let exponential = (x - chosen(shift, 0.0)).exp();
    exponential * scale((power - 1) / 2) * factor * scale((power + 1) / 2)
}

fn i0_value(x: &Tensor) -> Tensor {
    let size = x.abs();
    let far = size.greater(LIMIT);
    let small = Tensor::select(&far, 0.0, x);
    let near = double::polynomial(&(small.square() * 0.25), &NEAR);
    let large = Tensor::select(&far, size.minimum(100.0), LIMIT);
    let value = exp_scaled(&large, double::polynomial(&large.reciprocal(), &FAR) * large.rsqrt());
    Tensor::select(&far, value, near)
}
