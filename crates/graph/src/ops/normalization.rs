//! Moments and normalisation under Keras' names.

use kiln_device::DType;

use super::pointwise::float_of;
use super::spatial::failed_of;
use crate::error::At;
use crate::shape::{Axes, resolve_axis};
use crate::tensor::{Tensor, here};

/// Half precision as `float32` for statistics, other floats as they are, integers as `float32`.
fn wide(x: &Tensor) -> Tensor {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.cast(DType::F32),
        _ => x.to_float(),
    }
}

/// Mean and variance (mean squared distance from the mean) over some axes, `()` for all.
///
/// Half precision is computed in `float32`, and limited to what it can hold where it goes back.
///
/// # Errors
/// Where an axis is out of range or named twice.
#[doc(alias = "var_mean")]
#[track_caller]
pub fn moments(x: &Tensor, axes: impl Into<Axes>, keepdims: bool) -> (Tensor, Tensor) {
    let (at, axes) = (here(), axes.into());
    if let Some(failed) = failed_of(&[x]) {
        return (failed.clone(), failed);
    }
    let wide = wide(x);
    let finish = |moment: Tensor| {
        let kept = if keepdims { moment.keep_dims(x, axes.clone()) } else { moment };
        let limited = match x.dtype() {
            // The float16 range for bfloat16 too, as in Keras.
            DType::F16 | DType::BF16 => kept.clip(-65504.0, 65504.0).cast(x.dtype()),
            _ => kept,
        };
        limited.part_of("moments", at, std::slice::from_ref(x))
    };
    (finish(wide.mean(axes.clone())), finish(wide.variance(axes.clone())))
}

/// A vector along one axis of a tensor of `rank` axes, or what is wrong with it.
fn along(name: &str, vector: &Tensor, x: &Tensor, axis: usize, at: At) -> Result<Tensor, String> {
    if vector.rank() != 1 || vector.len() != x.shape()[axis] {
        return Err(format!(
            "expected `{name}` of shape [{}] for axis {axis} of {:?}, received {:?}",
            x.shape()[axis],
            x.shape(),
            vector.shape()
        ));
    }
    let mut shape = vec![1; x.rank()];
    shape[axis] = vector.len();
    Ok(vector.reshape_at(shape, at))
}

/// `(x − mean) / sqrt(variance + epsilon) · scale + offset` with vectors along one axis; Keras' default epsilon is 1e-3.
///
/// # Errors
/// Where the axis is out of range, or a vector has another shape than `[extent]`.
#[track_caller]
pub fn batch_normalization(
    x: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    axis: i64,
    offset: Option<&Tensor>,
    scale: Option<&Tensor>,
    epsilon: impl Into<f64>,
) -> Tensor {
    let at = here();
    let given: Vec<&Tensor> = [x, mean, variance].into_iter().chain(offset).chain(scale).collect();
    if let Some(failed) = failed_of(&given) {
        return failed;
    }
    let Some(axis) = resolve_axis(axis, x.rank()) else {
        let message = crate::shape::no_axis(axis, x.shape());
        return Tensor::failed("batch_normalization", message, at);
    };
    let epsilon = epsilon.into();
    let normalised = || -> Result<Tensor, String> {
        let factor = (along("variance", variance, x, axis, at)? + epsilon).rsqrt();
        let factor = match scale {
            Some(scale) => factor * along("scale", scale, x, axis, at)?,
            None => factor,
        };
        let centred = (x - along("mean", mean, x, axis, at)?) * factor;
        Ok(match offset {
            Some(offset) => centred + along("offset", offset, x, axis, at)?,
            None => centred,
        })
    };
    normalised().unwrap_or_else(|message| Tensor::failed("batch_normalization", message, at))
}

/// A weight of the normalised axes in a shape that broadcasts against `x`.
fn weight(name: &str, weight: &Tensor, x: &Tensor, axes: &[usize], at: At) -> Result<Tensor, String> {
    let wanted: Vec<usize> = axes.iter().map(|i| x.shape()[*i]).collect();
    let mut shape = vec![1; x.rank()];
    for axis in axes {
        shape[*axis] = x.shape()[*axis];
    }
    if weight.shape() != wanted && weight.shape() != shape {
        return Err(format!("expected `{name}` of shape {wanted:?}, received {:?}", weight.shape()));
    }
    Ok(weight.cast(x.dtype()).reshape_at(shape, at))
}

/// Mean 0 and variance 1 over some axes, then `· gamma + beta` (Ba et al. 2016); weights have the shape of these axes.
/// Keras' defaults: axis −1, epsilon 1e-7.
///
/// Half precision is computed in `float32`.
///
/// # Errors
/// Where an axis is out of range or a weight has another shape.
#[track_caller]
pub fn layer_normalization(
    x: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    axes: impl Into<Axes>,
    epsilon: impl Into<f64>,
) -> Tensor {
    let (at, axes) = (here(), axes.into());
    let given: Vec<&Tensor> = [x].into_iter().chain(gamma).chain(beta).collect();
    if let Some(failed) = failed_of(&given) {
        return failed;
    }
    let epsilon = epsilon.into();
    let normalised = || -> Result<Tensor, String> {
        let resolved = axes.resolve(x.rank())?;
        let wide = wide(x);
        let mut y = wide.normalize_moments(axes.clone(), epsilon);
        if let Some(gamma) = gamma {
            y = y * weight("gamma", gamma, &wide, &resolved, at)?;
        }
        if let Some(beta) = beta {
            y = y + weight("beta", beta, &wide, &resolved, at)?;
        }
        Ok(y.cast(float_of(x.dtype())))
    };
    normalised().unwrap_or_else(|message| Tensor::failed("layer_normalization", message, at))
}

/// `x / sqrt(mean(x²) + epsilon)` over some axes, times the scale, which broadcasts (Zhang and Sennrich 2019). Keras'
/// defaults: axis −1, epsilon 1e-7.
///
/// Half precision is computed in `float32`.
///
/// # Errors
/// Where an axis is out of range or the scale does not broadcast.
#[track_caller]
pub fn rms_normalization(
    x: &Tensor,
    scale: Option<&Tensor>,
    axes: impl Into<Axes>,
    epsilon: impl Into<f64>,
) -> Tensor {
    let (at, axes) = (here(), axes.into());
    let given: Vec<Tensor> = [x].into_iter().chain(scale).cloned().collect();
    let wide = wide(x);
    let wide = if wide.rank() == 0 { wide.reshape(&[1]) } else { wide };
    let mean = wide.square().mean(axes.clone()).keep_dims(&wide, axes);
    let mut y = &wide * (mean + epsilon.into()).rsqrt();
    if let Some(scale) = scale {
        y = y * scale.cast(wide.dtype());
    }
    y.cast(float_of(x.dtype())).part_of("rms_normalization", at, &given)
}

/// Length 1 along some axes: `x / max(‖x‖, epsilon)` with the norm of an order ≥ 1. Keras' defaults: axis −1, order 2,
/// epsilon 1e-7.
///
/// # Errors
/// Where an axis is out of range or the order is 0.
#[doc(alias = "l2_normalize")]
#[track_caller]
pub fn normalize(x: &Tensor, axes: impl Into<Axes>, order: u32, epsilon: impl Into<f64>) -> Tensor {
    let (at, axes) = (here(), axes.into());
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    // In single precision: the square of a small epsilon is 0 in half.
    let dtype = if x.dtype().is_float() { x.dtype() } else { DType::F32 };
    let x = if dtype == DType::F64 { x.clone() } else { x.cast(DType::F32) };
    let x = if x.rank() == 0 { x.reshape(&[1]) } else { x };
    let sum = |t: Tensor| t.sum(axes.clone()).keep_dims(&x, axes.clone());
    let epsilon = epsilon.into();
    let y = match order {
        0 => return Tensor::failed("normalize", "expected an order ≥ 1, received 0".into(), at),
        1 => &x / sum(x.abs()).maximum(epsilon),
        // In a form whose gradient at 0 is finite.
        2 => &x * sum(x.square()).maximum(epsilon * epsilon).rsqrt(),
        _ => {
            let power = f64::from(order);
            let least =
                if x.dtype() == DType::F64 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
            let total = sum(x.abs().pow(power)).maximum(epsilon.powf(power).max(least));
            &x / total.pow(1.0 / power)
        }
    };
    y.part_of("normalize", at, std::slice::from_ref(&x)).cast(dtype)
}
