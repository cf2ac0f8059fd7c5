//! Hyperbolic functions, inverse ones, and lengths, sound over the whole range of floats: no overflow on the way to a
//! finite result, no cancellation near 0.
//!
//! Each computes in `float32` (integers become floats) and has its gradient as a formula of its own, so that a branch
//! that is not taken never reaches it.

use std::f32::consts::LN_2;

use super::arithmetic::{binary, met_in_single};
use super::bits::{copy_sign, isinf};
use super::pointwise::{in_single, unary, with_slope};
use crate::tensor::Tensor;

/// Beyond it e^x overflows though half of it does not.
const LARGE: f32 = 88.0;
/// 235 · ln 2: this multiple is a float to within 3·10⁻⁸ (FreeBSD's `__expo2f` uses it so).
pub(super) const SHIFT: f32 = 162.889_59;
/// From here on x² + 1 and x² are one float.
const WIDE: f32 = 16384.0;

unary! {
    /// Hyperbolic sine.
    sinh(x) = in_single(x, |x| with_slope(x, &sinh_single(x), |x, _| cosh(x)));
    /// Hyperbolic cosine.
    cosh(x) = in_single(x, |x| with_slope(x, &cosh_single(x), |x, _| sinh(x)));
    /// Inverse sine, in −π/2..π/2; NaN outside −1..1.
    #[doc(alias = "asin")]
    arcsin(x) = in_single(x, |x| with_slope(x, &x.arctan2(leg(x)), |x, _| leg(x).reciprocal()));
    /// Inverse cosine, in 0..π; NaN outside −1..1.
    #[doc(alias = "acos")]
    arccos(x) = in_single(x, |x| with_slope(x, &leg(x).arctan2(x), |x, _| -leg(x).reciprocal()));
    /// Inverse hyperbolic sine.
    #[doc(alias = "asinh")]
    arcsinh(x) = in_single(x, |x| {
        with_slope(x, &arcsinh_single(x), |x, _| hypotenuse(x, &x.ones_like()).reciprocal())
    });
    /// Inverse hyperbolic cosine; NaN below 1.
    #[doc(alias = "acosh")]
    arccosh(x) = in_single(x, |x| {
        with_slope(x, &arccosh_single(x), |x, _| ((x - 1.0).sqrt() * (x + 1.0).sqrt()).reciprocal())
    });
    /// Inverse hyperbolic tangent; ±∞ at ±1, NaN outside −1..1.
    #[doc(alias = "atanh")]
    arctanh(x) = in_single(x, |x| {
        let size = x.abs();
        let value = (&size * 2.0 / (1.0 - &size)).log1p() * 0.5;
        with_slope(x, &copy_sign(&value, x), |x, _| ((1.0 - x) * (1.0 + x)).reciprocal())
    });
}

binary! {
    /// The length of the hypotenuse, `sqrt(x1² + x2²)`, as a float; ∞ where either is infinite, even beside NaN. The
    /// gradient is 0 where both are 0.
    ///
    /// ```
    /// use kiln_graph::{Tensor, ops};
    /// let x = Tensor::from_slice(&[3.0f32, 3e30]);
    /// let y = Tensor::from_slice(&[4.0f32, 4e30]);
    /// assert_eq!(ops::hypot(&x, &y).to_vec::<f32>()?, [5.0, 5e30]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    hypot(met_in_single, a, b) = hypotenuse(a, b);
}

/// `e^size / 2` for magnitudes near the end of the range.
fn half_exp(size: &Tensor) -> Tensor {
    let scale = 2f32.powi(117);
    (size - SHIFT).exp() * scale * scale
}

fn sinh_single(x: &Tensor) -> Tensor {
    let size = x.abs();
    let less_one = size.minimum(LARGE).expm1();
    let inside = (&less_one + &less_one / (&less_one + 1.0)) * 0.5;
    let value = Tensor::select(&size.greater(LARGE), half_exp(&size), inside);
    copy_sign(&value, x)
}

fn cosh_single(x: &Tensor) -> Tensor {
    let size = x.abs();
    let power = size.minimum(LARGE).exp();
    Tensor::select(&size.greater(LARGE), half_exp(&size), &power * 0.5 + 0.5 / &power)
}

/// The other leg of a right triangle with hypotenuse 1: `sqrt(1 − x²)` without cancellation.
fn leg(x: &Tensor) -> Tensor {
    ((1.0 - x) * (1.0 + x)).sqrt()
}

fn arcsinh_single(x: &Tensor) -> Tensor {
    let size = x.abs();
    let square = size.minimum(WIDE).square();
    let near = (&size + &square / ((&square + 1.0).sqrt() + 1.0)).log1p();
    copy_sign(&Tensor::select(&size.greater(WIDE), size.log() + LN_2, near), x)
}

fn arccosh_single(x: &Tensor) -> Tensor {
    let above = x - 1.0;
    let near = (&above + above.sqrt() * (&above + 2.0).sqrt()).log1p();
    Tensor::select(&x.greater(WIDE), x.log() + LN_2, near)
}

pub(super) fn hypotenuse(a: &Tensor, b: &Tensor) -> Tensor {
    let (a_size, b_size) = (a.abs(), b.abs());
    let high = a_size.maximum(&b_size);
    let flat = high.equal(0.0);
    let ratio = a_size.minimum(&b_size) / Tensor::select(&flat, 1.0, &high);
    let length = high * (ratio.square() + 1.0).sqrt();
    let endless = isinf(a).logical_or(isinf(b));
    let value = Tensor::select(&endless, f32::INFINITY, length);
    Tensor::custom_gradient(&value, &[a.clone(), b.clone()], |g, y, x| {
        // The length has no slope at the origin; 0 is among its subgradients.
        let length = Tensor::select(&y.equal(0.0), 1.0, y);
        vec![Some(g * (&x[0] / &length)), Some(g * (&x[1] / length))]
    })
}
