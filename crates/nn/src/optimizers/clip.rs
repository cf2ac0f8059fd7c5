//! Limits on gradients.

use kiln_graph::{DType, Tensor};

/// A limit on gradients. One at most, as in Keras.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clip {
    /// On the Euclidean norm of each variable's gradient.
    Norm(f64),
    /// On every element's size.
    Value(f64),
    /// On the Euclidean norm of all gradients together.
    GlobalNorm(f64),
}

impl Clip {
    /// Keras' name of the limit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Clip::Norm(_) => "clipnorm",
            Clip::Value(_) => "clipvalue",
            Clip::GlobalNorm(_) => "global_clipnorm",
        }
    }

    /// The limit.
    pub(crate) fn limit(self) -> f64 {
        match self {
            Clip::Norm(limit) | Clip::Value(limit) | Clip::GlobalNorm(limit) => limit,
        }
    }

    /// The gradients limited, each of its own shape.
    pub(crate) fn apply(self, gradients: &[Tensor]) -> Vec<Tensor> {
        match self {
            Clip::Norm(limit) => {
                // g · limit / max(|g|, limit)
                let clip = |g: &Tensor| {
                    let norm = square_norm(g).sqrt();
                    g * (limit / norm.maximum(limit)).cast(g.dtype())
                };
                gradients.iter().map(clip).collect()
            }
            Clip::Value(limit) => gradients.iter().map(|g| g.clip(-limit, limit)).collect(),
            Clip::GlobalNorm(limit) => {
                let Some(norm) = gradients.iter().map(square_norm).reduce(|a, b| a + b).map(|s| s.sqrt())
                else {
                    return vec![];
                };
                // Infinite norms give NaN, as in Keras, rather than a step of 0.
                let scale = limit / norm.maximum(limit);
                let scale = Tensor::select(&norm.is_finite(), scale, f32::NAN);
                gradients.iter().map(|g| g * scale.cast(g.dtype())).collect()
            }
        }
    }
}

fn square_norm(gradient: &Tensor) -> Tensor {
    gradient.cast(DType::F32).square().sum(())
}
