//! Distributions over the real numbers that are functions of uniform numbers.

use kiln_device::DType;

use super::{Seed, box_muller, finished, open_unit, open_units, parameter, want_float};
use crate::ops::Operand;
use crate::tensor::{Tensor, here};

/// Uniform in `[minval, maxval)`, in steps of 2⁻²⁴ of the range. Bounds broadcast to the shape; gradients flow to them.
/// Keras' defaults: 0, 1, `float32`.
///
/// # Errors
/// Where the dtype is no float or a bound does not broadcast.
#[doc(alias = "rand")]
#[track_caller]
pub fn uniform(
    shape: &[usize],
    minval: impl Operand,
    maxval: impl Operand,
    dtype: DType,
    seed: impl Into<Seed>,
) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("uniform", dtype, at) {
        return failed;
    }
    let (low, high) = (parameter(minval, shape, at), parameter(maxval, shape, at));
    let unit = Tensor::random_uniform(seed.into().key(), shape);
    let value = finished("uniform", &(unit * (&high - &low) + &low), dtype, at);
    // Rounding may reach the upper bound; such a number, one in 2²⁴ at most in float32, becomes the lower one.
    let reached = value.greater_equal(high.cast(dtype));
    finished("uniform", &Tensor::select(&reached, low.cast(dtype), &value), dtype, at)
}

/// Normal with a mean and a standard deviation, which broadcast to the shape; gradients flow to them. By the method of Box
/// and Muller, up to 5.7 standard deviations. Keras' defaults: 0, 1, `float32`.
///
/// # Errors
/// Where the dtype is no float or a parameter does not broadcast.
#[doc(alias = "randn")]
#[track_caller]
pub fn normal(
    shape: &[usize],
    mean: impl Operand,
    stddev: impl Operand,
    dtype: DType,
    seed: impl Into<Seed>,
) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("normal", dtype, at) {
        return failed;
    }
    let [a, b] = open_units(seed.into().key(), shape);
    let value = box_muller(&a, &b) * parameter(stddev, shape, at) + parameter(mean, shape, at);
    finished("normal", &value, dtype, at)
}

/// Normal, without what is further from the mean than two standard deviations. Parameters as in [`normal`].
///
/// # Errors
/// As [`normal`].
#[track_caller]
pub fn truncated_normal(
    shape: &[usize],
    mean: impl Operand,
    stddev: impl Operand,
    dtype: DType,
    seed: impl Into<Seed>,
) -> Tensor {
    // erf(2 / √2): uniform numbers up to it are normal ones up to 2.
    const LIMIT: f32 = 0.954_499_7;
    let at = here();
    if let Err(failed) = want_float("truncated_normal", dtype, at) {
        return failed;
    }
    let centred = open_unit(seed.into().key(), shape) * (2.0 * LIMIT) - LIMIT;
    let normal = inverse_erf(&centred) * std::f32::consts::SQRT_2;
    let value = normal * parameter(stddev, shape, at) + parameter(mean, shape, at);
    finished("truncated_normal", &value, dtype, at)
}

/// Inverse error function for |x| ≤ 0.99 (Giles 2010, the central branch: w < 5).
fn inverse_erf(x: &Tensor) -> Tensor {
    const COEFFICIENTS: [f32; 9] = [
        2.810_226_4e-8,
        3.432_739_4e-7,
        -3.523_387_7e-6,
        -4.391_506_5e-6,
        2.185_808_7e-4,
        -1.253_725_e-3,
        -4.177_681_6e-3,
        2.466_407_3e-1,
        1.501_409_4,
    ];
    let w = -(1.0 - x.square()).log() - 2.5;
    let polynomial = COEFFICIENTS.iter().skip(1).fold(w.zeros_like() + COEFFICIENTS[0], |p, c| p * &w + *c);
    polynomial * x
}

/// Exponential with a mean, which broadcasts to the shape; gradients flow to it. Up to 16 times the mean.
///
/// # Errors
/// As [`normal`].
#[track_caller]
pub fn exponential(shape: &[usize], mean: impl Operand, dtype: DType, seed: impl Into<Seed>) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("exponential", dtype, at) {
        return failed;
    }
    let value = -open_unit(seed.into().key(), shape).log() * parameter(mean, shape, at);
    finished("exponential", &value, dtype, at)
}

/// Laplace with a mean and a scale, which broadcast to the shape; gradients flow to them.
///
/// # Errors
/// As [`normal`].
#[track_caller]
pub fn laplace(
    shape: &[usize],
    mean: impl Operand,
    scale: impl Operand,
    dtype: DType,
    seed: impl Into<Seed>,
) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("laplace", dtype, at) {
        return failed;
    }
    // The sign and the size of one number apart: 22 bits for the size.
    let centred = open_unit(seed.into().key(), shape) * 2.0 - 1.0;
    let size = -(1.0 - centred.abs()).log();
    let value = centred.sign() * size * parameter(scale, shape, at) + parameter(mean, shape, at);
    finished("laplace", &value, dtype, at)
}

/// Gumbel (the largest of many exponential numbers) with a mode and a scale, which broadcast to the shape; gradients flow to
/// them.
///
/// # Errors
/// As [`normal`].
#[track_caller]
pub fn gumbel(
    shape: &[usize],
    mode: impl Operand,
    scale: impl Operand,
    dtype: DType,
    seed: impl Into<Seed>,
) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("gumbel", dtype, at) {
        return failed;
    }
    let standard = -(-open_unit(seed.into().key(), shape).log()).log();
    finished("gumbel", &(standard * parameter(scale, shape, at) + parameter(mode, shape, at)), dtype, at)
}
