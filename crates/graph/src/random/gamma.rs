//! Gamma and beta: rejection (Marsaglia and Tsang 2000) with a fixed number of rounds.

use kiln_device::DType;

use super::{Seed, box_muller, finished, open_unit, parameter, split, want_float};
use crate::ops::Operand;
use crate::tensor::{Tensor, here};

/// A round accepts with probability ≥ 0.9518: the chance that all reject is below 4·10⁻¹¹.
const ROUNDS: i64 = 8;

/// Gamma numbers of `float32` shapes `alpha > 0`, with their logarithms, which stay finite where the numbers are 0.
fn gamma_and_log(alpha: &Tensor, key: &Tensor) -> (Tensor, Tensor) {
    let shape = alpha.shape();
    let rounds = open_unit(key, &[&[3 * ROUNDS as usize + 1], shape].concat());
    let draw = |i: i64| rounds.slice_axis(0, i, i + 1).squeeze(0);
    // Below 1: a number of alpha + 1 times u^(1 / alpha).
    let small = alpha.less(1.0);
    let d = Tensor::select(&small, alpha + 1.0, alpha) - 1.0 / 3.0;
    let c = (&d * 9.0).rsqrt();
    let mut v = d.ones_like();
    for round in (0..ROUNDS).rev() {
        let x = box_muller(&draw(3 * round), &draw(3 * round + 1));
        let root = &c * &x + 1.0;
        let positive = root.greater(0.0);
        let cube = Tensor::select(&positive, &root * root.square(), 1.0);
        let limit = x.square() * 0.5 + &d * (1.0 - &cube + cube.log());
        let accepted = draw(3 * round + 2).log().less(limit).logical_and(positive);
        v = Tensor::select(&accepted, cube, &v);
    }
    let shrink = Tensor::select(&small, draw(3 * ROUNDS).log() / alpha, 0.0);
    let logarithm = (&d * &v).log() + &shrink;
    (d * v * shrink.exp(), logarithm)
}

/// Gamma with shape `alpha` > 0, which broadcasts to the result's shape, and scale 1. No gradient flows to alpha. Keras'
/// default dtype is `float32`.
///
/// # Errors
/// Where the dtype is no float or alpha does not broadcast. NaN where alpha is negative or NaN.
#[track_caller]
pub fn gamma(shape: &[usize], alpha: impl Operand, dtype: DType, seed: impl Into<Seed>) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("gamma", dtype, at) {
        return failed;
    }
    let alpha = parameter(alpha, shape, at).stop_gradient();
    let value = gamma_and_log(&alpha, seed.into().key()).0;
    let value = Tensor::select(&alpha.greater_equal(0.0), value, f32::NAN);
    finished("gamma", &value, dtype, at)
}

/// Beta with shapes `alpha` and `beta` > 0, which broadcast to the result's shape. No gradient flows to them. Keras' default
/// dtype is `float32`.
///
/// # Errors
/// As [`gamma`].
#[track_caller]
pub fn beta(
    shape: &[usize],
    alpha: impl Operand,
    beta: impl Operand,
    dtype: DType,
    seed: impl Into<Seed>,
) -> Tensor {
    let at = here();
    if let Err(failed) = want_float("beta", dtype, at) {
        return failed;
    }
    let (alpha, beta) =
        (parameter(alpha, shape, at).stop_gradient(), parameter(beta, shape, at).stop_gradient());
    let [first, second] = split(seed.into().key());
    // x / (x + y), of logarithms: both may be 0.
    let (x, y) = (gamma_and_log(&alpha, &first).1, gamma_and_log(&beta, &second).1);
    let valid = alpha.greater(0.0).logical_and(beta.greater(0.0));
    finished("beta", &Tensor::select(&valid, (x - y).sigmoid(), f32::NAN), dtype, at)
}
