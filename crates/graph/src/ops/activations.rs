//! Activation functions: `keras.ops.relu` and its kin.
//!
//! Each takes and gives floats elementwise, except where it says along which axis it works; integers become `float32`.

use kiln_device::DType;

use super::spatial::failed_of;
use crate::shape::{Axes, resolve_axis};
use crate::tensor::{Tensor, here};

/// `max(x, 0)`; its gradient at 0 is 0. Integers stay integers.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// assert_eq!(ops::relu(&Tensor::from_slice(&[-1.0f32, 2.0])).to_vec::<f32>()?, [0.0, 2.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn relu(x: &Tensor) -> Tensor {
    match x.dtype() {
        DType::Bool => x.cast(DType::I32),
        dtype if dtype.is_integer() => x.maximum(0),
        _ => x.relu(),
    }
}

/// `min(max(x, 0), 6)`; its gradient at 0 and at 6 is 0.
#[track_caller]
pub fn relu6(x: &Tensor) -> Tensor {
    if x.dtype().is_integer() {
        return x.clip(0, 6);
    }
    Tensor::select(&x.greater_equal(6.0), 6.0, x.relu())
}

/// `x` above 0, `negative_slope · x` below and at 0.
#[track_caller]
pub fn leaky_relu(x: &Tensor, negative_slope: impl Into<f64>) -> Tensor {
    let x = &x.to_float();
    Tensor::select(&x.greater(0.0), x, x * negative_slope.into())
}

/// `x` above 0, `alpha · (e^x − 1)` below; its gradient at 0 is `alpha`.
#[track_caller]
pub fn elu(x: &Tensor, alpha: impl Into<f64>) -> Tensor {
    let x = &x.to_float();
    let above = x.greater(0.0);
    let below = Tensor::select(&above, 0.0, x).expm1();
    Tensor::select(&above, x, below * alpha.into())
}

/// Scaled exponential linear unit (Klambauer et al. 2017): `1.0507 · x` from 0 on, `1.7581 · (e^x − 1)` below.
#[track_caller]
pub fn selu(x: &Tensor) -> Tensor {
    const ALPHA: f64 = 1.673_263_242_354_377_2;
    const SCALE: f64 = 1.050_700_987_355_480_5;
    let x = &x.to_float();
    let negative = x.less(0.0);
    let below = Tensor::select(&negative, x, 0.0).expm1();
    Tensor::select(&negative, below * (SCALE * ALPHA), x * SCALE)
}

/// `x` above 0, `alpha · (e^(x / alpha) − 1)` below (Barron 2017).
#[track_caller]
pub fn celu(x: &Tensor, alpha: impl Into<f64>) -> Tensor {
    let (x, alpha) = (&x.to_float(), alpha.into());
    let above = x.greater(0.0);
    let below = (Tensor::select(&above, 0.0, x) / alpha).expm1();
    Tensor::select(&above, x, below * alpha)
}

/// `1 / (1 + e^−x)`.
#[track_caller]
pub fn sigmoid(x: &Tensor) -> Tensor {
    x.sigmoid()
}

/// `log(sigmoid(x))`, finite for every finite `x`.
#[track_caller]
pub fn log_sigmoid(x: &Tensor) -> Tensor {
    -softplus(&-x)
}

/// `log(1 + e^x)`, without overflow.
#[track_caller]
pub fn softplus(x: &Tensor) -> Tensor {
    let x = x.to_float();
    let value = x.maximum(0.0) + (-x.abs()).exp().log1p();
    Tensor::custom_gradient(&value, &[x], |g, _, x| vec![Some(g * x[0].sigmoid())])
}

/// `x / (1 + |x|)`.
#[track_caller]
pub fn softsign(x: &Tensor) -> Tensor {
    x / (x.abs() + 1.0)
}

/// `x · Φ(x)` (Hendrycks and Gimpel 2016), with the normal distribution function Φ exact, or by a tanh where
/// `approximate`, as is Keras' default.
#[track_caller]
pub fn gelu(x: &Tensor, approximate: bool) -> Tensor {
    const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
    if approximate {
        let inner = (x + x * x * x * 0.044_715) * SQRT_2_OVER_PI;
        return x * 0.5 * (inner.tanh() + 1.0);
    }
    x * 0.5 * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)
}

/// `x · sigmoid(x)`, also called swish.
#[doc(alias = "swish")]
#[track_caller]
pub fn silu(x: &Tensor) -> Tensor {
    x * x.sigmoid()
}

/// `relu6(x + 3) / 6`.
#[track_caller]
pub fn hard_sigmoid(x: &Tensor) -> Tensor {
    relu6(&(x + 3.0)) / 6.0
}

/// `x · hard_sigmoid(x)`, also called hard swish.
#[track_caller]
pub fn hard_silu(x: &Tensor) -> Tensor {
    x * hard_sigmoid(x)
}

/// `x` limited to −1 … 1; its gradient at the limits is 1. Integers stay integers, booleans become `int32`.
#[track_caller]
pub fn hard_tanh(x: &Tensor) -> Tensor {
    match x.dtype() {
        DType::Bool => return x.cast(DType::I32),
        DType::I32 | DType::I64 => return x.clip(-1, 1),
        dtype if dtype.is_integer() => return x.minimum(1),
        _ => {}
    }
    Tensor::select(&x.greater(1.0), 1.0, Tensor::select(&x.less(-1.0), -1.0, x))
}

/// `x` where `|x| > threshold`, else 0.
#[track_caller]
pub fn hard_shrink(x: &Tensor, threshold: impl Into<f64>) -> Tensor {
    let x = &x.to_float();
    Tensor::select(&x.abs().greater(threshold.into()), x, 0.0)
}

/// `x` drawn by the threshold towards 0, and 0 where it would cross.
#[track_caller]
pub fn soft_shrink(x: &Tensor, threshold: impl Into<f64>) -> Tensor {
    let (x, threshold) = (&x.to_float(), threshold.into());
    let below = Tensor::select(&x.less(-threshold), x + threshold, 0.0);
    Tensor::select(&x.greater(threshold), x - threshold, below)
}

/// `x − tanh(x)`.
#[track_caller]
pub fn tanh_shrink(x: &Tensor) -> Tensor {
    x - x.tanh()
}

/// `(x + sqrt(x² + b)) / 2`.
#[track_caller]
pub fn squareplus(x: &Tensor, b: impl Into<f64>) -> Tensor {
    (x + (x.square() + b.into()).sqrt()) * 0.5
}

/// 0 up to −1, `(x + 1)² / 4` up to 1, then `x`.
#[track_caller]
pub fn sparse_plus(x: &Tensor) -> Tensor {
    let x = &x.to_float();
    let middle = Tensor::select(&x.less(1.0), (x + 1.0).square() * 0.25, x);
    Tensor::select(&x.less_equal(-1.0), 0.0, middle)
}

/// 0 up to −1, `(x + 1) / 2` up to 1, then 1.
#[track_caller]
pub fn sparse_sigmoid(x: &Tensor) -> Tensor {
    let middle = Tensor::select(&x.greater_equal(1.0), 1.0, (x + 1.0) * 0.5);
    Tensor::select(&x.less_equal(-1.0), 0.0, middle)
}

/// `x` above the threshold, else the default value.
#[track_caller]
pub fn threshold(x: &Tensor, threshold: impl Into<f64>, default_value: impl Into<f64>) -> Tensor {
    let x = &x.to_float();
    Tensor::select(&x.greater(threshold.into()), x, default_value.into())
}

/// Gated linear unit (Dauphin et al. 2016): the first half of an axis times the sigmoid of the second.
///
/// # Errors
/// Where the axis is out of range or its extent is odd.
#[track_caller]
pub fn glu(x: &Tensor, axis: i64) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let extent = resolve_axis(axis, x.rank()).map(|i| x.shape()[i]);
    let Some(extent) = extent.filter(|e| e.is_multiple_of(2)) else {
        let message = format!("expected axis {axis} to divide by 2, received shape {:?}", x.shape());
        return Tensor::failed("glu", message, at);
    };
    let half = extent as i64 / 2;
    x.slice_axis(axis, 0, half) * x.slice_axis(axis, half, extent as i64).sigmoid()
}

/// `exp(x) / Σ exp(x)` along some axes, `()` for all.
#[track_caller]
pub fn softmax(x: &Tensor, axes: impl Into<Axes>) -> Tensor {
    x.softmax(axes)
}

/// `log(softmax(x))` along some axes, `()` for all.
#[doc(alias = "logsoftmax")]
#[track_caller]
pub fn log_softmax(x: &Tensor, axes: impl Into<Axes>) -> Tensor {
    x.log_softmax(axes)
}

/// The nearest point of the probability simplex along an axis (Martins and Astudillo 2016): `max(x − τ, 0)` with the τ
/// that makes the sum 1.
///
/// # Errors
/// Where the axis is out of range or empty.
#[track_caller]
pub fn sparsemax(x: &Tensor, axis: i64) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    let Some(resolved) = resolve_axis(axis, x.rank()).filter(|i| x.shape()[*i] > 0) else {
        let message = format!("axis {axis} is out of range or empty for shape {:?}", x.shape());
        return Tensor::failed("sparsemax", message, at);
    };
    // A shift changes nothing but the rounding.
    let given = [x.clone()];
    let x = x.to_float();
    let shifted = &x - x.max(axis).keep_dims(&x, axis).stop_gradient();
    let fixed = shifted.stop_gradient();
    let sorted = -((-fixed).sort(axis));
    let rank = Tensor::iota(sorted.shape(), resolved).cast(sorted.dtype()) + 1.0;
    let supported = sorted.greater((sorted.cumsum(axis) - 1.0) / rank);
    // The smallest supported element tells which elements are; τ then is their mean less 1 / count.
    let smallest = Tensor::select(&supported, &sorted, f64::INFINITY).min(axis).keep_dims(&x, axis);
    let chosen = shifted.greater_equal(smallest);
    let count = chosen.cast(x.dtype()).sum(axis);
    let threshold = (Tensor::select(&chosen, &shifted, 0.0).sum(axis) - 1.0) / count;
    (&shifted - threshold.keep_dims(&x, axis)).relu().part_of("sparsemax", at, &given)
}
