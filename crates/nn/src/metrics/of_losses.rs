//! Losses as metrics: their mean over all samples.

use super::mean_metrics;
use crate::losses::{self, Loss};

mean_metrics! {
    /// The mean of `(y_true − y_pred)²`.
    MeanSquaredError {} "mean_squared_error" Down |self, t, p| losses::MeanSquaredError::new().call(t, p);

    /// The mean of `|y_true − y_pred|`.
    MeanAbsoluteError {} "mean_absolute_error" Down |self, t, p| losses::MeanAbsoluteError::new().call(t, p);

    /// The mean of [`losses::BinaryCrossentropy`].
    BinaryCrossentropy {
        /// Whether predictions are logits instead of probabilities; default false.
        from_logits: bool = false,
        /// How far labels move towards ½; default 0.
        label_smoothing: f64 = 0.0
    } "binary_crossentropy" Down |self, t, p| {
        losses::BinaryCrossentropy::new()
            .from_logits(self.from_logits)
            .label_smoothing(self.label_smoothing)
            .call(t, p)
    };

    /// The mean of [`losses::CategoricalCrossentropy`], of one-hot labels.
    CategoricalCrossentropy {
        /// Whether predictions are logits instead of probabilities; default false.
        from_logits: bool = false,
        /// The share of every label that is spread over all classes; default 0.
        label_smoothing: f64 = 0.0
    } "categorical_crossentropy" Down |self, t, p| {
        losses::CategoricalCrossentropy::new()
            .from_logits(self.from_logits)
            .label_smoothing(self.label_smoothing)
            .call(t, p)
    };

    /// The mean of [`losses::SparseCategoricalCrossentropy`], of integer labels.
    SparseCategoricalCrossentropy {
        /// Whether predictions are logits instead of probabilities; default false.
        from_logits: bool = false
    } "sparse_categorical_crossentropy" Down |self, t, p| {
        losses::SparseCategoricalCrossentropy::new().from_logits(self.from_logits).call(t, p)
    };
}
