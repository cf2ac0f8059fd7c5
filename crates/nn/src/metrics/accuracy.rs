//! Accuracies: the share of predictions that are right.

use kiln_graph::{DType, Tensor, ops};

use super::mean_metrics;
use crate::losses::same_rank;

mean_metrics! {
    /// The share of predictions that equal their labels, both of one shape. For scores of classes use
    /// [`SparseCategoricalAccuracy`] or [`CategoricalAccuracy`], or the name `"accuracy"`, which chooses.
    Accuracy {} "accuracy" Up |self, t, p| {
        let (t, p) = same_rank(&t.cast(p.dtype()), p);
        fitting("accuracy", &t, &p, || t.equal(&p).cast(DType::F32))
    };

    /// The share of predictions on the side of the threshold that their labels, 0 and 1, say: `(y_pred > threshold) ==
    /// y_true`.
    BinaryAccuracy {
        /// Predictions above it count as 1; default 0.5, which suits probabilities. Use 0 for logits.
        threshold: f64 = 0.5
    } "binary_accuracy" Up |self, t, p| {
        let (t, p) = same_rank(&t.cast(DType::F32), p);
        let above = p.greater(self.threshold as f32).cast(DType::F32);
        fitting("binary_accuracy", &t, &p, || t.equal(&above).cast(DType::F32))
    };

    /// The share of samples whose largest score is at the class of their one-hot label: labels and predictions
    /// `[n, .., classes]`, probabilities or logits alike. Of equal scores the first counts.
    CategoricalAccuracy {} "categorical_accuracy" Up |self, t, p| {
        fitting("categorical_accuracy", t, p, || p.matches_argmax(&t.argmax(-1)))
    };

    /// The share of samples whose largest score is at their label: labels `[n, ..]` or `[n, .., 1]`, predictions
    /// `[n, .., classes]`, probabilities or logits alike. Of equal scores the first counts.
    SparseCategoricalAccuracy {} "sparse_categorical_accuracy" Up |self, t, p| {
        with_labels("sparse_categorical_accuracy", t, p, |labels| p.matches_argmax(labels))
    };

    /// The share of samples whose label's score is among the k largest; one-hot labels `[n, .., classes]`. A score tied
    /// with others for the k-th place counts as within.
    TopKCategoricalAccuracy {
        /// How many places count; default 5.
        k: usize = 5
    } "top_k_categorical_accuracy" Up |self, t, p| {
        fitting("top_k_categorical_accuracy", t, p, || within_top(&t.argmax(-1), p, self.k))
    };

    /// The share of samples whose label's score is among the k largest; integer labels `[n, ..]`. A score tied with
    /// others for the k-th place counts as within.
    SparseTopKCategoricalAccuracy {
        /// How many places count; default 5.
        k: usize = 5
    } "sparse_top_k_categorical_accuracy" Up |self, t, p| {
        with_labels("sparse_top_k_categorical_accuracy", t, p, |labels| within_top(labels, p, self.k))
    };
}

/// 1 where fewer than k scores are larger than the label's, else 0.
fn within_top(labels: &Tensor, scores: &Tensor, k: usize) -> Tensor {
    let labels =
        labels.check_labels(scores.shape().last().copied().unwrap_or(0), "top_k_categorical_accuracy");
    let own = scores.take_along_axis(&labels.expand_dims(-1), -1);
    let larger = scores.greater(&own).sum(-1);
    let place = larger.less(k.min(i32::MAX as usize) as i32);
    place.logical_and(own.squeeze(-1).is_finite()).cast(DType::F32)
}

/// The formula of labels and predictions of one shape, or what is wrong.
fn fitting(op: &'static str, y_true: &Tensor, y_pred: &Tensor, formula: impl Fn() -> Tensor) -> Tensor {
    if let Some(failed) = [y_true, y_pred].into_iter().find(|t| t.error().is_some()) {
        return failed.clone();
    }
    if y_true.shape() == y_pred.shape() {
        return formula();
    }
    let message = format!(
        "expected y_true and y_pred of one shape, received y_true {:?}, y_pred {:?}; integer class labels go with the \
         sparse form of the metric",
        y_true.shape(),
        y_pred.shape()
    );
    Tensor::invalid(op, message)
}

/// The formula of integer labels `[n, ..]` for scores `[n, .., classes]`, or what is wrong.
fn with_labels(
    op: &'static str,
    y_true: &Tensor,
    y_pred: &Tensor,
    formula: impl Fn(&Tensor) -> Tensor,
) -> Tensor {
    if let Some(failed) = [y_true, y_pred].into_iter().find(|t| t.error().is_some()) {
        return failed.clone();
    }
    let column = y_true.rank() == y_pred.rank() && y_true.shape().last() == Some(&1);
    let labels = if column { y_true.squeeze(-1) } else { y_true.clone() };
    if y_pred.rank() > 0 && labels.shape() == &y_pred.shape()[..y_pred.rank() - 1] {
        return formula(&ops::saturate_cast(&labels, DType::I32));
    }
    let message = format!(
        "expected one integer label a prediction, received y_true {:?}, y_pred {:?}; one-hot labels go with \
         categorical_accuracy",
        y_true.shape(),
        y_pred.shape()
    );
    Tensor::invalid(op, message)
}
