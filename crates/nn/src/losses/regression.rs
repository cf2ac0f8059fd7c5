//! Losses of real-valued targets: `[n, .., k]` gives the mean over the last axis, `[n, ..]`.

use kiln_graph::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Loss, Reduction, aligned, plain_losses, softplus};

/// What Keras adds where a quotient or logarithm could be of 0.
pub(crate) const EPSILON: f64 = 1e-7;

plain_losses! {
    /// `mean((y_true − y_pred)²)` over the last axis.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// use kiln_nn::losses::{Loss, MeanSquaredError};
    /// let (t, p) = (Tensor::from_vec(&[0.0f32, 1.0, 0.0, 0.0], &[2, 2]), Tensor::from_vec(&[1.0f32, 1.0, 1.0, 0.0], &[2, 2]));
    /// assert_eq!(MeanSquaredError::new().reduced(&t, &p, None).item::<f32>()?, 0.5);
    /// # Ok::<(), kiln_nn::Error>(())
    /// ```
    MeanSquaredError, "mean_squared_error", |t, p| (p - t).square().mean(-1);

    /// `mean(|y_true − y_pred|)` over the last axis; no gradient where they are equal.
    MeanAbsoluteError, "mean_absolute_error", |t, p| (p - t).abs().mean(-1);

    /// `100 · mean(|y_true − y_pred| / max(|y_true|, 1e-7))` over the last axis.
    MeanAbsolutePercentageError, "mean_absolute_percentage_error",
        |t, p| ((&t - p) / t.abs().maximum(EPSILON)).abs().mean(-1) * 100.0;

    /// `mean((log(y_true + 1) − log(y_pred + 1))²)` over the last axis, values below 1e-7 taken as 1e-7.
    MeanSquaredLogarithmicError, "mean_squared_logarithmic_error",
        |t, p| ((p.maximum(EPSILON) + 1.0).log() - (t.maximum(EPSILON) + 1.0).log()).square().mean(-1);

    /// `mean(log(cosh(y_pred − y_true)))` over the last axis: square near 0, absolute far from it.
    LogCosh, "log_cosh", |t, p| {
        let error = p - t;
        (&error + softplus(&(&error * -2.0)) - std::f64::consts::LN_2).mean(-1)
    };
}

/// `mean(e²/2 where |e| ≤ δ, else δ|e| − δ²/2)` over the last axis, e = y_pred − y_true: square near 0, absolute far
/// from it.
///
/// P. J. Huber, "Robust Estimation of a Location Parameter", 1964.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Huber {
    delta: f64,
    reduction: Reduction,
}

impl Default for Huber {
    fn default() -> Huber {
        Huber { delta: 1.0, reduction: Reduction::default() }
    }
}

impl Huber {
    /// With Keras' defaults.
    pub fn new() -> Huber {
        Huber::default()
    }

    /// Where the square becomes the absolute error; default 1.
    pub fn delta(self, delta: f64) -> Huber {
        Huber { delta, ..self }
    }

    /// How the values of the samples become one; default `SumOverBatchSize`.
    pub fn reduction(self, reduction: Reduction) -> Huber {
        Huber { reduction, ..self }
    }
}

impl Loss for Huber {
    fn name(&self) -> &str {
        "huber_loss"
    }

    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Tensor {
        let (t, p) = match aligned("huber_loss", y_true, y_pred) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        let (error, delta) = (p - t, self.delta);
        let size = error.abs();
        let far = &size * delta - 0.5 * delta * delta;
        Tensor::select(&size.less_equal(delta), error.square() * 0.5, far).mean(-1)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn config(&self) -> Value {
        json!(self)
    }
}
