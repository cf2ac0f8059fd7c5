//! What can be given as a metric of a model.

use kiln_graph::{Tensor, Variable};

use super::{Direction, Mean, Metric, from_name, unknown};
use crate::error::Result;

/// A metric of a model, or a name that depends on the shapes it will meet.
pub enum MetricSource {
    /// A metric.
    Ready(Box<dyn Metric>),
    /// `"accuracy"` or `"acc"`: binary accuracy where predictions have one column, sparse categorical where labels have
    /// fewer axes or one column, categorical else. The metric keeps the name given.
    Accuracy(String),
    /// `"crossentropy"` or `"ce"`: resolved in the same way.
    Crossentropy(String),
}

impl MetricSource {
    /// The metric for labels and predictions of these shapes.
    ///
    /// # Errors
    /// Where the device has no memory for its state.
    pub fn resolve(self, y_true: &[usize], y_pred: &[usize]) -> Result<Box<dyn Metric>> {
        let (stem, name) = match self {
            MetricSource::Ready(metric) => return Ok(metric),
            MetricSource::Accuracy(name) => ("Accuracy", name),
            MetricSource::Crossentropy(name) => ("Crossentropy", name),
        };
        let column = |shape: &[usize]| shape.last() == Some(&1);
        let prefix = if column(y_pred) {
            "Binary"
        } else if y_true.len() < y_pred.len() || column(y_true) {
            "SparseCategorical"
        } else {
            "Categorical"
        };
        super::from_config(&format!("{prefix}{stem}"), &serde_json::json!({ "name": name }))
    }
}

/// What can be given as a metric: a metric, a name of Keras', or a name with a closure.
pub trait IntoMetric {
    /// The metric, or a name to resolve.
    ///
    /// # Errors
    /// Where a name is unknown, or the device has no memory.
    fn into_metric(self) -> Result<MetricSource>;
}

impl<M: Metric + 'static> IntoMetric for M {
    fn into_metric(self) -> Result<MetricSource> {
        Ok(MetricSource::Ready(Box::new(self)))
    }
}

impl IntoMetric for Box<dyn Metric> {
    fn into_metric(self) -> Result<MetricSource> {
        Ok(MetricSource::Ready(self))
    }
}

impl IntoMetric for &str {
    fn into_metric(self) -> Result<MetricSource> {
        match self {
            "accuracy" | "acc" => Ok(MetricSource::Accuracy(self.into())),
            "crossentropy" | "ce" => Ok(MetricSource::Crossentropy(self.into())),
            name => match from_name(name) {
                Ok(metric) => Ok(MetricSource::Ready(metric)),
                Err(crate::Error::Invalid { what, .. }) if what == "metric" => Err(unknown(name)),
                Err(other) => Err(other),
            },
        }
    }
}

impl<F> IntoMetric for (&str, F)
where
    F: Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
{
    fn into_metric(self) -> Result<MetricSource> {
        Ok(MetricSource::Ready(Box::new(FunctionMetric::new(self.0, self.1)?)))
    }
}

type Formula = dyn Fn(&Tensor, &Tensor) -> Tensor + Send + Sync;

/// The mean over all samples of a formula of labels and predictions.
pub struct FunctionMetric {
    mean: Mean,
    formula: Box<Formula>,
    direction: Option<Direction>,
}

impl FunctionMetric {
    /// A metric of a closure from labels and predictions to one value a sample.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// use kiln_nn::metrics::{FunctionMetric, Metric};
    /// let largest = FunctionMetric::new("largest", |_: &Tensor, y_pred: &Tensor| y_pred.max(-1))?;
    /// let y = Tensor::from_vec(&[1.0f32, 2.0, 4.0, 3.0], &[2, 2]);
    /// largest.update(&y, &y, None)?;
    /// assert_eq!(largest.result().item::<f32>()?, 3.0);
    /// # Ok::<(), kiln_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the device has no memory for its state.
    pub fn new(
        name: impl Into<String>,
        formula: impl Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
    ) -> Result<FunctionMetric> {
        Ok(FunctionMetric { mean: Mean::new(name)?, formula: Box::new(formula), direction: None })
    }

    /// Whether more or less is better, for callbacks that look for the best.
    pub fn with_direction(self, direction: Direction) -> FunctionMetric {
        FunctionMetric { direction: Some(direction), ..self }
    }
}

impl Metric for FunctionMetric {
    fn name(&self) -> &str {
        self.mean.name()
    }

    fn variables(&self) -> Vec<Variable> {
        self.mean.variables()
    }

    fn update(
        &self,
        y_true: &Tensor,
        y_pred: &Tensor,
        sample_weight: Option<&Tensor>,
    ) -> kiln_graph::Result<()> {
        self.mean.update_values(&(self.formula)(y_true, y_pred), sample_weight)
    }

    fn result(&self) -> Tensor {
        self.mean.result()
    }

    fn direction(&self) -> Option<Direction> {
        self.direction
    }
}
