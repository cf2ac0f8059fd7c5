//! Metrics: what training reports.
//!
//! A [`Metric`] keeps its sums in variables on the device and takes every batch in as part of the compiled step;
//! nothing is read until [`Metric::result`] is. A closure with a name is a metric too, and so is a name of Keras':
//!
//! ```
//! use kiln_graph::Tensor;
//! use kiln_nn::metrics::{self, Metric};
//! let accuracy = metrics::from_name("sparse_categorical_accuracy")?;
//! let scores = Tensor::from_vec(&[0.1f32, 0.9, 0.8, 0.2], &[2, 2]);
//! accuracy.update(&Tensor::from_slice(&[1, 1]), &scores, None)?;
//! assert_eq!(accuracy.result().item::<f32>()?, 0.5);
//! # Ok::<(), kiln_nn::Error>(())
//! ```

mod accuracy;
mod mean;
mod of_losses;
mod source;

use kiln_graph::{Tensor, Variable};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::training::names;

pub use accuracy::{
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
};
pub use mean::Mean;
pub use of_losses::{
    BinaryCrossentropy, CategoricalCrossentropy, MeanAbsoluteError, MeanSquaredError,
    SparseCategoricalCrossentropy,
};
pub use source::{FunctionMetric, IntoMetric, MetricSource};

/// Whether more or less of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More is better, as with accuracies.
    Up,
    /// Less is better, as with errors.
    Down,
}

/// What training reports: streaming state in variables, updated inside the compiled step.
pub trait Metric: Send + Sync {
    /// Its name in logs and history.
    fn name(&self) -> &str;

    /// Its state.
    fn variables(&self) -> Vec<Variable>;

    /// Takes a batch in: records assignments, with [`Variable::assign_add`] for instance.
    ///
    /// # Errors
    /// Where labels and predictions do not fit.
    fn update(
        &self,
        y_true: &Tensor,
        y_pred: &Tensor,
        sample_weight: Option<&Tensor>,
    ) -> kiln_graph::Result<()>;

    /// The value over everything taken in since the last reset: a scalar expression of the variables.
    fn result(&self) -> Tensor;

    /// Forgets everything: sets the variables to 0.
    ///
    /// # Errors
    /// Those of the device.
    fn reset(&self) -> kiln_graph::Result<()> {
        for variable in self.variables() {
            variable.assign(Tensor::full(variable.shape(), 0.0, variable.dtype()))?;
        }
        Ok(())
    }

    /// Whether more or less is better, where that is known: what callbacks that look for the best go by.
    fn direction(&self) -> Option<Direction> {
        None
    }
}

/// Metrics that are means of a formula of labels and predictions.
///
/// Each has a constructor, a setter for every parameter, `named`, and is made from a configuration by [`from_config`].
macro_rules! mean_metrics {
    ($(
        $(#[$doc:meta])*
        $class:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* }
        $name:literal $direction:ident |$self:ident, $t:ident, $p:ident| $formula:expr;
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $class {
            mean: $crate::metrics::Mean,
            $($field: $type,)*
        }

        impl $class {
            /// With Keras' defaults.
            ///
            /// # Errors
            /// Where the device has no memory for its state.
            pub fn new() -> $crate::error::Result<$class> {
                Ok($class { mean: $crate::metrics::Mean::new($name)?, $($field: $default,)* })
            }

            /// The same metric under another name.
            pub fn named(mut self, name: impl Into<String>) -> $class {
                self.mean = self.mean.named(name);
                self
            }

            $(
                $(#[$field_doc])*
                #[allow(clippy::wrong_self_convention)]
                pub fn $field(mut self, $field: $type) -> $class {
                    self.$field = $field;
                    self
                }
            )*

            #[allow(unused_variables, unused_mut)]
            pub(crate) fn from_config(config: &serde_json::Value) -> $crate::error::Result<$class> {
                let mut metric = $class::new()?;
                $(
                    if let Some(value) = config.get(stringify!($field)).filter(|v| !v.is_null()) {
                        metric.$field = serde_json::from_value(value.clone()).map_err(|e| {
                            $crate::Error::invalid(stringify!($class), format!("{}: {e}", stringify!($field)))
                        })?;
                    }
                )*
                match config.get("name").and_then(|n| n.as_str()) {
                    Some(name) => Ok(metric.named(name)),
                    None => Ok(metric),
                }
            }
        }

        impl $crate::metrics::Metric for $class {
            fn name(&self) -> &str {
                self.mean.name()
            }

            fn variables(&self) -> Vec<kiln_graph::Variable> {
                self.mean.variables()
            }

            fn update(
                &$self,
                $t: &kiln_graph::Tensor,
                $p: &kiln_graph::Tensor,
                sample_weight: Option<&kiln_graph::Tensor>,
            ) -> kiln_graph::Result<()> {
                let values: kiln_graph::Tensor = $formula;
                $self.mean.update_values(&values, sample_weight)
            }

            fn result(&self) -> kiln_graph::Tensor {
                self.mean.result()
            }

            fn direction(&self) -> Option<$crate::metrics::Direction> {
                Some($crate::metrics::Direction::$direction)
            }
        }
    )* };
}
pub(crate) use mean_metrics;

/// One metric: its class, its names, and how it is made from a configuration.
struct Entry {
    class: &'static str,
    names: &'static [&'static str],
    make: fn(&Value) -> Result<Box<dyn Metric>>,
}

macro_rules! table {
    ($($class:ident $names:expr;)*) => {
        const TABLE: &[Entry] = &[$(Entry {
            class: stringify!($class),
            names: &$names,
            make: |config| Ok(Box::new($class::from_config(config)?)),
        },)*];
    };
}

impl Mean {
    fn from_config(config: &Value) -> Result<Mean> {
        Mean::new(config.get("name").and_then(Value::as_str).unwrap_or("mean"))
    }
}

// "accuracy" and "crossentropy" depend on shapes and are resolved by `MetricSource`.
table! {
    Mean ["mean"];
    Accuracy [];
    BinaryAccuracy ["binary_accuracy"];
    CategoricalAccuracy ["categorical_accuracy"];
    SparseCategoricalAccuracy ["sparse_categorical_accuracy"];
    TopKCategoricalAccuracy ["top_k_categorical_accuracy"];
    SparseTopKCategoricalAccuracy ["sparse_top_k_categorical_accuracy"];
    MeanSquaredError ["mean_squared_error", "mse"];
    MeanAbsoluteError ["mean_absolute_error", "mae"];
    BinaryCrossentropy ["binary_crossentropy", "bce"];
    CategoricalCrossentropy ["categorical_crossentropy"];
    SparseCategoricalCrossentropy ["sparse_categorical_crossentropy"];
}

/// The metric of a name of Keras' (`"mse"`) or of a class, with its defaults. Its own name is the one given.
///
/// `"accuracy"` and `"crossentropy"` depend on the shapes they meet: see [`MetricSource`].
///
/// # Errors
/// Where the name is unknown; the message lists what is near.
pub fn from_name(name: &str) -> Result<Box<dyn Metric>> {
    let known = |e: &&Entry| e.class == name || e.names.contains(&name);
    match TABLE.iter().find(known) {
        Some(entry) if entry.class == name => (entry.make)(&serde_json::json!({})),
        Some(entry) => (entry.make)(&serde_json::json!({ "name": name })),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let names = TABLE.iter().flat_map(|e| e.names.iter().copied());
    names::unknown("metric", name, names.chain(["accuracy", "acc", "crossentropy", "ce"]))
}

/// The metric of a class with a configuration under Keras' names; what is missing has its default.
///
/// # Errors
/// Where the class is unknown, an entry does not fit, or the device has no memory.
pub fn from_config(class: &str, config: &Value) -> Result<Box<dyn Metric>> {
    let entry = TABLE
        .iter()
        .find(|e| e.class == class)
        .ok_or_else(|| names::unknown("metric", class, TABLE.iter().map(|e| e.class)))?;
    (entry.make)(config)
}
