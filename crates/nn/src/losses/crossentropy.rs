//! Crossentropies: of logits, or of probabilities as Keras clips them.

use kiln_graph::{DType, Tensor, ops};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Loss, Reduction, aligned, working};

/// `−log p(label)` of integer labels: labels `[n, ..]` or `[n, .., 1]` in `0..classes`, predictions
/// `[n, .., classes]`, values `[n, ..]`.
///
/// Predictions are probabilities, clipped to [1e-7, 1 − 1e-7] and renormalised as Keras does, or with
/// [`from_logits`](Self::from_logits) any numbers, which is more accurate and faster. A label outside the classes is
/// an error of the run, which names it.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::losses::{Loss, SparseCategoricalCrossentropy};
/// let labels = Tensor::from_slice(&[1, 2]);
/// let logits = Tensor::zeros(&[2, 3]);
/// let loss = SparseCategoricalCrossentropy::new().from_logits(true).reduced(&labels, &logits, None);
/// assert!((loss.item::<f32>()? - 3f32.ln()).abs() < 1e-6);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SparseCategoricalCrossentropy {
    from_logits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_class: Option<i32>,
    reduction: Reduction,
}

impl SparseCategoricalCrossentropy {
    /// With Keras' defaults: of probabilities.
    pub fn new() -> SparseCategoricalCrossentropy {
        SparseCategoricalCrossentropy::default()
    }

    /// Whether predictions are logits instead of probabilities; default false.
    #[allow(clippy::wrong_self_convention)]
    pub fn from_logits(self, from_logits: bool) -> Self {
        Self { from_logits, ..self }
    }

    /// A label whose samples count 0, −1 or 255 for instance; default none. They stay in the number of samples that
    /// divides.
    pub fn ignore_class(self, label: i32) -> Self {
        Self { ignore_class: Some(label), ..self }
    }

    /// How the values of the samples become one; default `SumOverBatchSize`.
    pub fn reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }
}

/// Integer labels without a last axis of extent 1, and predictions with one axis more in the type of the loss.
fn sparse(op: &'static str, y_true: &Tensor, y_pred: &Tensor) -> Result<(Tensor, Tensor), Tensor> {
    if let Some(failed) = [y_true, y_pred].into_iter().find(|t| t.error().is_some()) {
        return Err(failed.clone());
    }
    let y_pred = y_pred.cast(working(y_pred));
    let column = y_true.rank() == y_pred.rank() && y_true.shape().last() == Some(&1);
    let labels = if column { y_true.squeeze(-1) } else { y_true.clone() };
    if y_pred.rank() == 0 || labels.shape() != &y_pred.shape()[..y_pred.rank() - 1] {
        let way_out = if labels.shape() == y_pred.shape() {
            "one-hot labels go with categorical_crossentropy"
        } else {
            "labels are one integer a prediction"
        };
        let message = format!(
            "arguments y_true and y_pred must have the same shape up until the last dimension, received y_true {:?}, \
             y_pred {:?}; {way_out}",
            y_true.shape(),
            y_pred.shape()
        );
        return Err(Tensor::invalid(op, message));
    }
    Ok((ops::saturate_cast(&labels, DType::I32), y_pred))
}

impl Loss for SparseCategoricalCrossentropy {
    fn name(&self) -> &str {
        "sparse_categorical_crossentropy"
    }

    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Tensor {
        let (labels, predictions) = match sparse("sparse_categorical_crossentropy", y_true, y_pred) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        let ignored = self.ignore_class.map(|class| labels.equal(class));
        let labels = ignored.as_ref().map_or_else(|| labels.clone(), |i| Tensor::select(i, 0, &labels));
        let values = ops::sparse_categorical_crossentropy(&labels, &predictions, self.from_logits, -1);
        ignored.map_or_else(|| values.clone(), |i| Tensor::select(&i, 0.0, &values))
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn config(&self) -> Value {
        json!(self)
    }
}

/// `−Σ y_true · log p` over the last axis, of one-hot or soft labels: labels and predictions `[n, .., classes]`,
/// values `[n, ..]`.
///
/// Predictions are probabilities, divided by their sum and then clipped to [1e-7, 1 − 1e-7], or with
/// [`from_logits`](Self::from_logits) any numbers. Label smoothing s makes labels `y · (1 − s) + s / classes`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CategoricalCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
    reduction: Reduction,
}

impl CategoricalCrossentropy {
    /// With Keras' defaults: of probabilities, no smoothing.
    pub fn new() -> CategoricalCrossentropy {
        CategoricalCrossentropy::default()
    }

    /// Whether predictions are logits instead of probabilities; default false.
    #[allow(clippy::wrong_self_convention)]
    pub fn from_logits(self, from_logits: bool) -> Self {
        Self { from_logits, ..self }
    }

    /// The share of every label that is spread over all classes, 0 to 1; default 0.
    pub fn label_smoothing(self, label_smoothing: f64) -> Self {
        Self { label_smoothing, ..self }
    }

    /// How the values of the samples become one; default `SumOverBatchSize`.
    pub fn reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }
}

impl Loss for CategoricalCrossentropy {
    fn name(&self) -> &str {
        "categorical_crossentropy"
    }

    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Tensor {
        let (mut labels, predictions) = match aligned("categorical_crossentropy", y_true, y_pred) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        if self.label_smoothing != 0.0 {
            let classes = labels.shape().last().copied().unwrap_or(1) as f64;
            labels = labels * (1.0 - self.label_smoothing) + (self.label_smoothing / classes);
        }
        ops::categorical_crossentropy(&labels, &predictions, self.from_logits, -1)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn config(&self) -> Value {
        json!(self)
    }
}

/// `mean(−y · log p − (1 − y) · log(1 − p))` over the last axis, of labels 0 and 1: labels and predictions
/// `[n, .., k]`, values `[n, ..]`; a column of predictions `[n, 1]` also takes labels `[n]`.
///
/// Predictions are probabilities, clipped to [1e-7, 1 − 1e-7], or with [`from_logits`](Self::from_logits) any numbers.
/// Label smoothing s makes labels `y · (1 − s) + s / 2`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BinaryCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
    reduction: Reduction,
}

impl BinaryCrossentropy {
    /// With Keras' defaults: of probabilities, no smoothing.
    pub fn new() -> BinaryCrossentropy {
        BinaryCrossentropy::default()
    }

    /// Whether predictions are logits instead of probabilities; default false.
    #[allow(clippy::wrong_self_convention)]
    pub fn from_logits(self, from_logits: bool) -> Self {
        Self { from_logits, ..self }
    }

    /// How far labels move towards ½, 0 to 1; default 0.
    pub fn label_smoothing(self, label_smoothing: f64) -> Self {
        Self { label_smoothing, ..self }
    }

    /// How the values of the samples become one; default `SumOverBatchSize`.
    pub fn reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }
}

impl Loss for BinaryCrossentropy {
    fn name(&self) -> &str {
        "binary_crossentropy"
    }

    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Tensor {
        let (mut labels, predictions) = match aligned("binary_crossentropy", y_true, y_pred) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        if self.label_smoothing != 0.0 {
            labels = labels * (1.0 - self.label_smoothing) + (0.5 * self.label_smoothing);
        }
        ops::binary_crossentropy(&labels, &predictions, self.from_logits).mean(-1)
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn config(&self) -> Value {
        json!(self)
    }
}
