//! Losses between distributions and directions.

use kiln_graph::Tensor;

use super::plain_losses;
use super::regression::EPSILON;

plain_losses! {
    /// `Σ y_true · log(y_true / y_pred)` over the last axis, both limited to [1e-7, 1].
    KLDivergence, "kl_divergence", |t, p| {
        let (t, p) = (t.clip(EPSILON, 1.0), p.clip(EPSILON, 1.0));
        (&t * (&t / p).log()).sum(-1)
    };

    /// `mean(y_pred − y_true · log(y_pred + 1e-7))` over the last axis: the likelihood of counts, up to a constant.
    Poisson, "poisson", |t, p| (&p - t * (&p + EPSILON).log()).mean(-1);

    /// `−Σ u · v` over the last axis of the directions of labels and predictions: −1 where they agree, 1 where they
    /// are opposite.
    CosineSimilarity, "cosine_similarity", |t, p| -(direction(&t) * direction(&p)).sum(-1);
}

/// `x / max(‖x‖, 1e-7)` along the last axis.
fn direction(x: &Tensor) -> Tensor {
    let square = x.square().sum(-1).expand_dims(-1);
    x * square.maximum(1e-14).rsqrt()
}
