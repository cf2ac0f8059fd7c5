//! Hyperbolic functions, inverse ones, and lengths, sound over the whole range of floats: no overflow on the way to a
//! finite result, no cancellation near 0.
//!
//! Each computes in `float32`, or in `float64` for its own (integers become floats), and has its gradient as a formula of its own, so that a branch
//! that is not taken never reaches it.

use std::f64::consts::LN_2;

use kiln_device::DType;

use super::arithmetic::{binary, met_in_working};
use super::bits::{copy_sign, isinf};
use super::pointwise::{in_working, unary, with_slope};
use crate::tensor::Tensor;

/// Where e^x nears the end of a working type's range.
pub(super) struct End {
    /// Beyond it e^x overflows though half of it does not.
    pub(super) large: f64,
    /// A multiple of ln 2 that is nearly a float (those of FreeBSD's `__expo2f` and `__expo2`), and which one.
    pub(super) shift: f64,
    pub(super) power: i32,
    /// From here on x² + 1 and x² are one float.
    wide: f64,
}

/// The end of `float64`, or of `float32`.
pub(super) fn end(dtype: DType) -> End {
    match dtype {
        DType::F64 => End { large: 709.0, shift: 1_416.099_689_883_968_3, power: 2043, wide: 268_435_456.0 },
        _ => End { large: 88.0, shift: 162.889_59, power: 235, wide: 16384.0 },
    }
}

unary! {
    /// Hyperbolic sine.
    sinh(x) = in_working(x, |x| with_slope(x, &sinh_value(x), |x, _| cosh(x)));
    /// Hyperbolic cosine.
    cosh(x) = in_working(x, |x| with_slope(x, &cosh_value(x), |x, _| sinh(x)));
    /// Inverse sine, in −π/2..π/2; NaN outside −1..1.
    #[doc(alias = "asin")]
    arcsin(x) = in_working(x, |x| with_slope(x, &x.arctan2(leg(x)), |x, _| leg(x).reciprocal()));
    /// Inverse cosine, in 0..π; NaN outside −1..1.
    #[doc(alias = "acos")]
    arccos(x) = in_working(x, |x| with_slope(x, &leg(x).arctan2(x), |x, _| -leg(x).reciprocal()));
    /// Inverse hyperbolic sine.
    #[doc(alias = "asinh")]
    arcsinh(x) = in_working(x, |x| {
        with_slope(x, &arcsinh_value(x), |x, _| hypotenuse(x, &x.ones_like()).reciprocal())
    });
    /// Inverse hyperbolic cosine; NaN below 1.
    #[doc(alias = "acosh")]
    arccosh(x) = in_working(x, |x| {
        with_slope(x, &arccosh_value(x), |x, _| ((x - 1.0).sqrt() * (x + 1.0).sqrt()).reciprocal())
    });
    /// Inverse hyperbolic tangent; ±∞ at ±1, NaN outside −1..1.
    #[doc(alias = "atanh")]
    arctanh(x) = in_working(x, |x| {
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
    hypot(met_in_working, a, b) = hypotenuse(a, b);
}

/// `e^size / 2` for magnitudes near the end of the range.
fn half_exp(size: &Tensor) -> Tensor {
    let End { shift, power, .. } = end(size.dtype());
    let scale = 2f64.powi((power - 1) / 2);
    (size - shift).exp() * scale * scale
}

fn sinh_value(x: &Tensor) -> Tensor {
    let size = x.abs();
    let End { large, .. } = end(x.dtype());
    let less_one = size.minimum(large).expm1();
    let inside = (&less_one + &less_one / (&less_one + 1.0)) * 0.5;
    let value = Tensor::select(&size.greater(large), half_exp(&size), inside);
    copy_sign(&value, x)
}

fn cosh_value(x: &Tensor) -> Tensor {
    let size = x.abs();
    let End { large, .. } = end(x.dtype());
    let power = size.minimum(large).exp();
    Tensor::select(&size.greater(large), half_exp(&size), &power * 0.5 + 0.5 / &power)
}

/// The other leg of a right triangle with hypotenuse 1: `sqrt(1 − x²)` without cancellation.
fn leg(x: &Tensor) -> Tensor {
    ((1.0 - x) * (1.0 + x)).sqrt()
}

fn arcsinh_value(x: &Tensor) -> Tensor {
    let size = x.abs();
    let End { wide, .. } = end(x.dtype());
    let square = size.minimum(wide).square();
    let near = (&size + &square / ((&square + 1.0).sqrt() + 1.0)).log1p();
    copy_sign(&Tensor::select(&size.greater(wide), size.log() + LN_2, near), x)
}

fn arccosh_value(x: &Tensor) -> Tensor {
    let above = x - 1.0;
    let near = (&above + above.sqrt() * (&above + 2.0).sqrt()).log1p();
    Tensor::select(&x.greater(end(x.dtype()).wide), x.log() + LN_2, near)
}

pub(super) fn hypotenuse(a: &Tensor, b: &Tensor) -> Tensor {
    let (a_size, b_size) = (a.abs(), b.abs());
    let high = a_size.maximum(&b_size);
    let flat = high.equal(0.0);
    let ratio = a_size.minimum(&b_size) / Tensor::select(&flat, 1.0, &high);
    let length = high * (ratio.square() + 1.0).sqrt();
    let endless = isinf(a).logical_or(isinf(b));
    let value = Tensor::select(&endless, f64::INFINITY, length);
    Tensor::custom_gradient(&value, &[a.clone(), b.clone()], |g, y, x| {
        // The length has no slope at the origin; 0 is among its subgradients.
        let length = Tensor::select(&y.equal(0.0), 1.0, y);
        vec![Some(g * (&x[0] / &length)), Some(g * (&x[1] / length))]
    })
}
