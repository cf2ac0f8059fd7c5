//! From one value a sample to the scalar that is differentiated.

use kiln_graph::Tensor;
use serde::{Deserialize, Serialize};

/// How the weighted values of the samples become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// `Σ w·l / N`: the number of values divides, not the sum of the weights. Keras' default.
    #[default]
    SumOverBatchSize,
    /// `Σ w·l`.
    Sum,
    /// `w·l`, not reduced.
    None,
    /// `Σ w·l / Σ w`.
    MeanWithSampleWeight,
    /// The same as `SumOverBatchSize`.
    Mean,
}

/// The values of the samples, weighted and reduced.
///
/// `values` has one value a sample (`[n, ..]`), `sample_weight` the same shape or its first axes only: `[n]` weights
/// every step of `[n, t]` alike. A mean of nothing, or by weights that sum to 0, is 0. A scalar stays what it is.
pub fn reduce(values: &Tensor, sample_weight: Option<&Tensor>, reduction: Reduction) -> Tensor {
    let Some(weight) = sample_weight else {
        return divide(values, None, reduction);
    };
    let weight = weight.cast(values.dtype());
    let (values, weight) = same_rank(values, &weight);
    let spread = leading(&weight, &values);
    divide(&(&values * spread), Some(&weight), reduction)
}

fn divide(values: &Tensor, weight: Option<&Tensor>, reduction: Reduction) -> Tensor {
    if reduction == Reduction::None || values.rank() == 0 {
        return values.clone();
    }
    match (reduction, weight) {
        (Reduction::Sum, _) => values.sum(()),
        (Reduction::MeanWithSampleWeight, Some(weight)) => {
            let divisor = weight.sum(());
            let nothing = divisor.equal(0.0);
            let quotient = values.sum(()) / Tensor::select(&nothing, 1.0, divisor);
            Tensor::select(&nothing, 0.0, quotient)
        }
        _ if values.is_empty() => values.sum(()),
        _ => values.mean(()),
    }
}

/// Weights of the first axes only, with axes of extent 1 for the others.
pub(crate) fn leading(weight: &Tensor, values: &Tensor) -> Tensor {
    (weight.rank()..values.rank()).fold(weight.clone(), |w, _| w.expand_dims(-1))
}

/// Two tensors of which one may have a last axis of extent 1 too many: it is removed there, or added to the other
/// where that has one axis only. Keras' `squeeze_or_expand_to_same_rank`.
pub(crate) fn same_rank(a: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    let column = |t: &Tensor| t.shape().last() == Some(&1);
    match (a.rank(), b.rank()) {
        (m, n) if m == n + 1 && column(a) && n == 1 => (a.clone(), b.expand_dims(-1)),
        (m, n) if m == n + 1 && column(a) => (a.squeeze(-1), b.clone()),
        (m, n) if n == m + 1 && column(b) && m == 1 => (a.expand_dims(-1), b.clone()),
        (m, n) if n == m + 1 && column(b) => (a.clone(), b.squeeze(-1)),
        _ => (a.clone(), b.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reduction_has_keras_name() {
        let name = |r: Reduction| serde_json::to_value(r).expect("a name");
        assert_eq!(name(Reduction::SumOverBatchSize), "sum_over_batch_size");
        assert_eq!(name(Reduction::MeanWithSampleWeight), "mean_with_sample_weight");
        assert_eq!(name(Reduction::None), "none");
    }

    #[test]
    fn weights_follow_the_first_axes() {
        let values = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
        let weight = Tensor::from_slice(&[1.0f32, 0.0]);
        let reduced = |r| reduce(&values, Some(&weight), r);
        assert_eq!(reduced(Reduction::Sum).item::<f32>().expect("a sum"), 3.0);
        assert_eq!(reduced(Reduction::Mean).item::<f32>().expect("a mean"), 0.75);
        assert_eq!(reduced(Reduction::None).to_vec::<f32>().expect("values"), [1.0, 2.0, 0.0, 0.0]);
        let nothing = reduce(&values, Some(&weight.zeros_like()), Reduction::MeanWithSampleWeight);
        assert_eq!(nothing.item::<f32>().expect("a mean"), 0.0);
    }
}
