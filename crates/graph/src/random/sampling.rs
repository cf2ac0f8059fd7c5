//! Choices, masks and permutations.

use kiln_device::DType;

use super::{Seed, open_unit};
use crate::ops::spatial::failed_of;
use crate::shape::resolve_axis;
use crate::tensor::{Tensor, here};

/// Classes drawn with the probabilities `softmax(logits)`: `[batch, classes]` to `[batch, num_samples]`. Keras' default dtype is
/// `int32`.
///
/// # Errors
/// Where the logits are no matrix of at least one class.
#[doc(alias = "multinomial")]
#[track_caller]
pub fn categorical(logits: &Tensor, num_samples: usize, dtype: DType, seed: impl Into<Seed>) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[logits]) {
        return failed;
    }
    let [batch, classes] = *logits.shape() else {
        let message = format!("expected logits [batch, classes], received {:?}", logits.shape());
        return Tensor::failed("categorical", message, at);
    };
    // The largest logit with Gumbel noise is at class c with the probability of c.
    let noise = -(-open_unit(seed.into().key(), &[batch, num_samples, classes]).log()).log();
    let noisy = logits.cast(DType::F32).expand_dims(1) + noise;
    noisy.argmax(-1).cast(dtype).part_of("categorical", at, std::slice::from_ref(logits))
}

/// 0 with probability `rate`, else the input divided by `1 − rate`.
///
/// `noise_shape` is the shape of the mask, which broadcasts to the input's, `None` standing for the input's extent.
///
/// # Errors
/// Where the rate is outside of `[0, 1]` or the noise shape does not broadcast.
#[track_caller]
pub fn dropout(
    inputs: &Tensor,
    rate: f32,
    noise_shape: Option<&[Option<usize>]>,
    seed: impl Into<Seed>,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[inputs]) {
        return failed;
    }
    if !(0.0..=1.0).contains(&rate) {
        let message = format!("expected a rate between 0 and 1, received {rate}");
        return Tensor::failed("dropout", message, at);
    }
    let extents = inputs.shape();
    let fits = |(noise, extent): (&Option<usize>, &usize)| noise.is_none_or(|n| n == 1 || n == *extent);
    let shape = match noise_shape {
        None => extents.to_vec(),
        Some(noise) if noise.len() == extents.len() && noise.iter().zip(extents).all(fits) => {
            noise.iter().zip(extents).map(|(noise, extent)| noise.unwrap_or(*extent)).collect()
        }
        Some(noise) => {
            let message = format!(
                "expected a noise shape that broadcasts to the input {extents:?}, received {noise:?}"
            );
            return Tensor::failed("dropout", message, at);
        }
    };
    if rate == 0.0 {
        return inputs.clone();
    }
    if rate == 1.0 {
        return inputs.zeros_like();
    }
    let kept = Tensor::random_uniform(seed.into().key(), &shape).greater_equal(rate);
    let dropped = Tensor::select(&kept, inputs * (1.0 / (1.0 - rate)), 0.0);
    dropped.part_of("dropout", at, std::slice::from_ref(inputs))
}

/// The slices along an axis in random order. Keras' default axis is 0.
///
/// As with TensorFlow and NumPy, whole slices change places. (Keras on JAX shuffles each vector along the axis apart.)
///
/// # Errors
/// Where the axis is out of range.
#[doc(alias("permutation", "randperm"))]
#[track_caller]
pub fn shuffle(x: &Tensor, axis: i64, seed: impl Into<Seed>) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    let Some(resolved) = resolve_axis(axis, x.rank()) else {
        let message = crate::shape::no_axis(axis, x.shape());
        return Tensor::failed("shuffle", message, at);
    };
    let order = Tensor::random_bits(seed.into().key(), &[x.shape()[resolved]]).argsort(0, false);
    x.take(&order, axis).part_of("shuffle", at, std::slice::from_ref(x))
}
