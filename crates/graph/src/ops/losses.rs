//! Crossentropies, encodings of labels, and measures of images, under Keras' names.

use kiln_device::DType;

use super::spatial::failed_of;
use crate::shape::resolve_axis;
use crate::tensor::{Tensor, here};

/// Keras' `epsilon()`: probabilities are kept this far from 0 and 1.
const EPSILON: f64 = 1e-7;

/// Probabilities within [1e-7, 1 − 1e-7]; no gradient flows outside.
fn clipped(probabilities: &Tensor) -> Tensor {
    probabilities.clip(EPSILON, 1.0 - EPSILON)
}

#[track_caller]
fn of_one_shape(op: &'static str, target: &Tensor, output: &Tensor) -> Option<Tensor> {
    let at = here();
    if let Some(failed) = failed_of(&[target, output]) {
        return Some(failed);
    }
    let message = || {
        format!(
            "arguments `target` and `output` must have the same shape, received {:?} and {:?}",
            target.shape(),
            output.shape()
        )
    };
    (target.shape() != output.shape()).then(|| Tensor::failed(op, message(), at))
}

/// `−t · log p − (1 − t) · log(1 − p)`, elementwise. The output holds probabilities, kept within [1e-7, 1 − 1e-7], or
/// logits.
///
/// # Errors
/// Where the shapes differ.
#[doc(alias("sigmoid_cross_entropy_with_logits", "binary_cross_entropy"))]
#[track_caller]
pub fn binary_crossentropy(target: &Tensor, output: &Tensor, from_logits: bool) -> Tensor {
    if let Some(failed) = of_one_shape("binary_crossentropy", target, output) {
        return failed;
    }
    let output = output.to_float();
    let target = target.cast(output.dtype());
    if from_logits {
        // max(x, 0) − x·t + log(1 + e^−|x|), in a form whose gradient at 0 is right.
        let positive = output.greater_equal(0.0);
        let minus_abs = Tensor::select(&positive, -&output, &output);
        let linear = Tensor::select(&positive, &output, 0.0) - &output * target;
        return linear + minus_abs.exp().log1p();
    }
    let p = clipped(&output);
    -(&target * p.log() + (1.0 - &target) * (1.0 - p).log())
}

/// `−Σ t · log p` along an axis. The output holds probabilities, divided by their sum and then kept within
/// [1e-7, 1 − 1e-7], or logits. Keras' default axis is −1.
///
/// # Errors
/// Where the shapes differ or the axis is out of range.
#[doc(alias("softmax_cross_entropy_with_logits", "cross_entropy"))]
#[track_caller]
pub fn categorical_crossentropy(target: &Tensor, output: &Tensor, from_logits: bool, axis: i64) -> Tensor {
    let at = here();
    if let Some(failed) = of_one_shape("categorical_crossentropy", target, output) {
        return failed;
    }
    let output = output.to_float();
    let logarithm = if from_logits {
        output.log_softmax(axis)
    } else {
        let sum = output.sum(axis).keep_dims(&output, axis);
        clipped(&(&output / sum)).log()
    };
    let value = -(target.cast(output.dtype()) * logarithm).sum(axis);
    value.part_of("categorical_crossentropy", at, std::slice::from_ref(&output))
}

/// `−log p(target)` of integer targets along an axis; Keras' default is −1.
///
/// `target` has the output's shape without the axis, or with extent 1 there. The output holds logits, or probabilities,
/// kept within [1e-7, 1 − 1e-7] and then divided by their sum, as with TensorFlow. A target outside the classes is an error
/// of the run.
///
/// # Errors
/// Where the shapes do not fit or the axis is out of range.
#[doc(alias("sparse_softmax_cross_entropy_with_logits", "nll_loss"))]
#[track_caller]
pub fn sparse_categorical_crossentropy(
    target: &Tensor,
    output: &Tensor,
    from_logits: bool,
    axis: i64,
) -> Tensor {
    const OP: &str = "sparse_categorical_crossentropy";
    let at = here();
    if let Some(failed) = failed_of(&[target, output]) {
        return failed;
    }
    let Some(resolved) = resolve_axis(axis, output.rank()) else {
        let message = crate::shape::no_axis(axis, output.shape());
        return Tensor::failed(OP, message, at);
    };
    let last = output.to_float().swap_axes(axis, -1);
    // The labels' axes in the order of the logits' after the exchange.
    let column = target.rank() == output.rank() && target.shape()[resolved] == 1;
    let wide = if column { target.clone() } else { target.expand_dims(resolved as i64) };
    let mut expected = output.shape().to_vec();
    expected[resolved] = 1;
    if wide.shape() != expected {
        expected.remove(resolved);
        let message = format!(
            "arguments `target` and `output` must have the same shape but for axis {axis}: expected target \
             {expected:?}, received {:?} for output {:?}",
            target.shape(),
            output.shape()
        );
        return Tensor::failed(OP, message, at);
    }
    let logits = if from_logits { last } else { clipped(&last).log() };
    let labels = wide.narrow_index(at).swap_axes(axis, -1).squeeze(-1);
    let values = logits.cross_entropy_of(&labels, OP, at);
    let values = values.expand_dims(-1).swap_axes(axis, -1).squeeze(axis);
    values.part_of(OP, at, &[target.clone(), output.clone()])
}

/// 1 where the class along a new axis is the label, else 0; labels outside `0..num_classes` give zeros. Keras' defaults:
/// axis −1, `float32`.
///
/// # Errors
/// Where labels are not integers or the axis is out of range.
#[track_caller]
pub fn one_hot(x: &Tensor, num_classes: usize, axis: i64, dtype: DType) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    let labels = if x.dtype() == DType::Bool { x.cast(DType::I32) } else { x.clone() };
    let Some(axis) = resolve_axis(axis, x.rank() + 1) else {
        let message = crate::shape::no_axis_of_rank(axis, x.rank() + 1);
        return Tensor::failed("one_hot", message, at);
    };
    let hot = labels.one_hot(num_classes, dtype);
    let rank = x.rank() as i64;
    let axis = axis as i64;
    let order: Vec<i64> = (0..axis).chain([rank]).chain(axis..rank).collect();
    hot.transpose(&order).part_of("one_hot", at, std::slice::from_ref(x))
}

/// 1 for every class that is among the labels: `[n, labels]` to `[n, num_classes]`, `[labels]` to `[num_classes]`. Keras'
/// defaults: axis −1, `float32`.
///
/// As in Keras, labels are encoded along `axis` as by [`one_hot`], and then axis 1 (0 for a vector) is folded away.
///
/// # Errors
/// As [`one_hot`].
#[track_caller]
pub fn multi_hot(inputs: &Tensor, num_classes: usize, axis: i64, dtype: DType) -> Tensor {
    let at = here();
    let labels = if inputs.dtype().is_float() { inputs.cast(DType::I32) } else { inputs.clone() };
    let hot = one_hot(&labels, num_classes, axis, DType::I32);
    let folded = hot.max(if inputs.rank() > 1 { 1 } else { 0 }).maximum(0);
    folded.cast(dtype).part_of("multi_hot", at, std::slice::from_ref(inputs))
}

/// Peak signal-to-noise ratio of two tensors of one shape, in decibels: `20 log₁₀(max_val) − 10 log₁₀(mean((x1 − x2)²))`.
///
/// # Errors
/// Where the shapes differ.
#[track_caller]
pub fn psnr(x1: &Tensor, x2: &Tensor, max_val: impl Into<f64>) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x1, x2]) {
        return failed;
    }
    if x1.shape() != x2.shape() {
        let message = format!("shapes must be equal, received {:?} and {:?}", x1.shape(), x2.shape());
        return Tensor::failed("psnr", message, at);
    }
    let error = (x1 - x2).square().mean(());
    let peak = 20.0 * max_val.into().log10();
    peak - error.log() * (10.0 / std::f64::consts::LN_10)
}

/// Real and imaginary part of complex numbers of a magnitude and an angle in radians.
///
/// # Errors
/// Where the shapes do not broadcast.
#[track_caller]
pub fn polar(magnitude: &Tensor, angle: &Tensor) -> (Tensor, Tensor) {
    let (at, inputs) = (here(), [magnitude.clone(), angle.clone()]);
    let part = |direction: Tensor| (magnitude * direction).part_of("polar", at, &inputs);
    (part(angle.cos()), part(angle.sin()))
}
