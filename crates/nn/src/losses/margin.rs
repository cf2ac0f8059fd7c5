//! Losses that ask for a margin: labels are −1 or 1, predictions any number.

use kiln_graph::Tensor;

use super::plain_losses;

plain_losses! {
    /// `mean(max(1 − y_true · y_pred, 0))` over the last axis. Labels that are all 0 or 1 count as −1 and 1.
    Hinge, "hinge", |t, p| (1.0 - signed(&t) * p).maximum(0.0).mean(-1);

    /// `mean(max(1 − y_true · y_pred, 0)²)` over the last axis. Labels that are all 0 or 1 count as −1 and 1.
    SquaredHinge, "squared_hinge", |t, p| (1.0 - signed(&t) * p).maximum(0.0).square().mean(-1);

    /// `max(max((1 − y_true) · y_pred) − Σ y_true · y_pred + 1, 0)` over the last axis, for one-hot labels.
    CategoricalHinge, "categorical_hinge", |t, p| {
        let positive = (&t * &p).sum(-1);
        let negative = ((1.0 - t) * p).max(-1);
        (negative - positive + 1.0).maximum(0.0)
    };
}

/// Labels 0 and 1 as −1 and 1, where the batch has no others.
fn signed(labels: &Tensor) -> Tensor {
    let binary = labels.equal(0.0).logical_or(labels.equal(1.0)).all(());
    Tensor::select(&binary, labels * 2.0 - 1.0, labels)
}
