//! Losses: what training makes small.
//!
//! A [`Loss`] maps labels and predictions to one value a sample; [`reduce`] weights and reduces these to the scalar
//! that is differentiated. A closure is a loss, and so is a name of Keras':
//!
//! ```
//! use kiln_graph::Tensor;
//! use kiln_nn::losses::{self, Loss, MeanSquaredError};
//!
//! let (y_true, y_pred) = (Tensor::from_vec(&[0.0f32, 1.0], &[2, 1]), Tensor::from_vec(&[0.5f32, 1.0], &[2, 1]));
//! let mse = MeanSquaredError::new();
//! assert_eq!(mse.call(&y_true, &y_pred).shape(), [2]);
//! assert_eq!(mse.reduced(&y_true, &y_pred, None).shape(), [0usize; 0]);
//!
//! let cubic = |y_true: &Tensor, y_pred: &Tensor| (y_true - y_pred).abs().pow(3.0).mean(-1);
//! assert_eq!(cubic.call(&y_true, &y_pred).shape(), [2]);
//! assert_eq!(losses::from_name("mse")?.name(), "mean_squared_error");
//! # Ok::<(), kiln_nn::Error>(())
//! ```

mod crossentropy;
mod distribution;
mod margin;
mod reduction;
mod regression;

use std::sync::Arc;

use kiln_graph::{DType, Tensor};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::training::names;

pub use crossentropy::{BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy};
pub use distribution::{CosineSimilarity, KLDivergence, Poisson};
pub use margin::{CategoricalHinge, Hinge, SquaredHinge};
pub(crate) use reduction::same_rank;
pub use reduction::{Reduction, reduce};
pub use regression::{
    Huber, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError,
};

/// What training makes small.
///
/// Closures from labels and predictions to one value a sample are losses too.
pub trait Loss: Send + Sync {
    /// Its name, `mean_squared_error` for instance.
    fn name(&self) -> &str {
        "loss"
    }

    /// One value a sample: `[n, .., k]` gives `[n, ..]`. What cannot be built carries its error.
    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Tensor;

    /// How the values of the samples become one.
    fn reduction(&self) -> Reduction {
        Reduction::SumOverBatchSize
    }

    /// The configuration under Keras' names, enough to make the loss again.
    fn config(&self) -> Value {
        json!({})
    }

    /// The loss weighted and reduced, by [`reduce`].
    fn reduced(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Tensor {
        reduce(&self.call(y_true, y_pred), sample_weight, self.reduction())
    }
}

impl<F: Fn(&Tensor, &Tensor) -> Tensor + Send + Sync> Loss for F {
    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Tensor {
        self(y_true, y_pred)
    }
}

/// What can be given as the loss of a model: a loss, a closure, or a name of Keras'.
pub trait IntoLoss {
    /// The loss itself.
    ///
    /// # Errors
    /// Where a name is unknown.
    fn into_loss(self) -> Result<Arc<dyn Loss>>;
}

impl<L: Loss + 'static> IntoLoss for L {
    fn into_loss(self) -> Result<Arc<dyn Loss>> {
        Ok(Arc::new(self))
    }
}

impl IntoLoss for &str {
    fn into_loss(self) -> Result<Arc<dyn Loss>> {
        from_name(self)
    }
}

impl IntoLoss for Arc<dyn Loss> {
    fn into_loss(self) -> Result<Arc<dyn Loss>> {
        Ok(self)
    }
}

/// One loss: its class, its names, and how it is made from a configuration.
struct Entry {
    class: &'static str,
    names: &'static [&'static str],
    make: fn(Value) -> serde_json::Result<Arc<dyn Loss>>,
}

macro_rules! table {
    ($($class:ident $names:expr;)*) => {
        const TABLE: &[Entry] = &[$(Entry {
            class: stringify!($class),
            names: &$names,
            make: |config| Ok(Arc::new(serde_json::from_value::<$class>(config)?)),
        },)*];
    };
}

table! {
    SparseCategoricalCrossentropy ["sparse_categorical_crossentropy"];
    CategoricalCrossentropy ["categorical_crossentropy"];
    BinaryCrossentropy ["binary_crossentropy", "bce"];
    MeanSquaredError ["mean_squared_error", "mse"];
    MeanAbsoluteError ["mean_absolute_error", "mae"];
    MeanAbsolutePercentageError ["mean_absolute_percentage_error", "mape"];
    MeanSquaredLogarithmicError ["mean_squared_logarithmic_error", "msle"];
    Huber ["huber", "huber_loss"];
    LogCosh ["log_cosh", "logcosh"];
    Hinge ["hinge"];
    SquaredHinge ["squared_hinge"];
    CategoricalHinge ["categorical_hinge"];
    KLDivergence ["kl_divergence", "kld"];
    Poisson ["poisson"];
    CosineSimilarity ["cosine_similarity"];
}

/// The loss of a name of Keras' (`"mse"`, `"sparse_categorical_crossentropy"`) or of a class, with its defaults.
///
/// # Errors
/// Where the name is unknown; the message lists what is near.
pub fn from_name(name: &str) -> Result<Arc<dyn Loss>> {
    let known = |e: &&Entry| e.class == name || e.names.contains(&name);
    match TABLE.iter().find(known) {
        Some(entry) => from_config(entry.class, &json!({})),
        None => Err(names::unknown("loss", name, TABLE.iter().flat_map(|e| e.names.iter().copied()))),
    }
}

/// The loss of a class with a configuration under Keras' names; what is missing has its default.
///
/// # Errors
/// Where the class is unknown or an entry does not fit.
pub fn from_config(class: &str, config: &Value) -> Result<Arc<dyn Loss>> {
    let entry = TABLE
        .iter()
        .find(|e| e.class == class)
        .ok_or_else(|| names::unknown("loss", class, TABLE.iter().map(|e| e.class)))?;
    (entry.make)(names::without_nulls(config))
        .map_err(|e| Error::invalid(class, format!("configuration: {e}")))
}

/// The type of a loss: `float64` of `float64` predictions, else `float32`, which is what Keras' losses have with `dtype` as
/// the predictions'.
pub(crate) fn working(y_pred: &Tensor) -> DType {
    if y_pred.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Labels and predictions in the type of the loss and of one shape, or a tensor that says what is wrong.
///
/// As in Keras a last axis of extent 1 that only one of them has is squeezed or added; unlike in Keras other
/// differences do not broadcast, because `[n, 1]` against `[n, k]` is a mistake more often than a wish.
pub(crate) fn aligned(
    op: &'static str,
    y_true: &Tensor,
    y_pred: &Tensor,
) -> Result<(Tensor, Tensor), Tensor> {
    if let Some(failed) = [y_true, y_pred].into_iter().find(|t| t.error().is_some()) {
        return Err(failed.clone());
    }
    let dtype = working(y_pred);
    let (y_true, y_pred) = same_rank(&y_true.cast(dtype), &y_pred.cast(dtype));
    if y_true.shape() != y_pred.shape() || y_pred.rank() == 0 {
        let message = format!(
            "arguments y_true and y_pred must have the same shape of at least one axis, received y_true {:?}, y_pred \
             {:?}; {}",
            y_true.shape(),
            y_pred.shape(),
            way_out(&y_true, &y_pred),
        );
        return Err(Tensor::invalid(op, message));
    }
    Ok((y_true, y_pred))
}

fn way_out(y_true: &Tensor, y_pred: &Tensor) -> String {
    match (y_true.shape().last(), y_pred.shape().last()) {
        (Some(labels), Some(units)) if y_true.rank() == y_pred.rank() && *labels != 1 => {
            format!("give the last layer {labels} units instead of {units}")
        }
        _ => "for integer class labels use the sparse form of the loss".into(),
    }
}

/// A loss without parameters: the formula of aligned `y_true` and `y_pred`, one value a sample.
macro_rules! plain_losses {
    ($($(#[$doc:meta])* $class:ident, $name:literal, |$t:ident, $p:ident| $formula:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $class {
            reduction: $crate::losses::Reduction,
        }

        impl $class {
            /// With Keras' defaults.
            pub fn new() -> $class {
                $class::default()
            }

            /// How the values of the samples become one; default `SumOverBatchSize`.
            pub fn reduction(self, reduction: $crate::losses::Reduction) -> $class {
                $class { reduction }
            }
        }

        impl $crate::losses::Loss for $class {
            fn name(&self) -> &str {
                $name
            }

            fn call(&self, y_true: &kiln_graph::Tensor, y_pred: &kiln_graph::Tensor) -> kiln_graph::Tensor {
                match $crate::losses::aligned($name, y_true, y_pred) {
                    Ok(($t, $p)) => $formula,
                    Err(failed) => failed,
                }
            }

            fn reduction(&self) -> $crate::losses::Reduction {
                self.reduction
            }

            fn config(&self) -> serde_json::Value {
                serde_json::json!(self)
            }
        }
    )* };
}
pub(crate) use plain_losses;

/// `log(1 + e^x)` without overflow, and with gradient ½ at 0.
pub(crate) fn softplus(x: &Tensor) -> Tensor {
    let positive = x.greater_equal(0.0);
    let minus_abs = Tensor::select(&positive, -x, x);
    Tensor::select(&positive, x, 0.0) + minus_abs.exp().log1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_makes_its_loss_and_every_loss_its_configuration() {
        for entry in TABLE {
            for name in entry.names {
                let loss = from_name(name).expect("a name of the table");
                assert_eq!(loss.config()["reduction"], "sum_over_batch_size");
                assert!(entry.names.contains(&loss.name()), "{}", loss.name());
                from_config(entry.class, &loss.config()).expect("its own configuration");
            }
        }
        let error = from_name("mean_square_error").err().expect("no such loss").to_string();
        assert!(error.contains("mean_squared_error"), "{error}");
    }

    #[test]
    fn shapes_that_differ_say_so() {
        let (t, p) = (Tensor::zeros(&[4, 5]), Tensor::zeros(&[4, 3]));
        let error = MeanSquaredError::new().call(&t, &p).error().expect("an error").to_string();
        assert!(error.contains("give the last layer 5 units instead of 3"), "{error}");
        let error =
            CategoricalCrossentropy::new().call(&Tensor::zeros(&[4]), &p).error().expect("one").to_string();
        assert!(error.contains("sparse"), "{error}");
    }

    /// In doubles every loss is what it is in singles, with more digits and no number rounded to singles among them.
    #[test]
    fn losses_of_doubles_are_doubles() {
        kiln_graph::set_default_device(&kiln_graph::Device::cpu());
        let odds = [0.2f64, 0.7, 0.1, 0.25, 0.35, 0.4];
        let (p, labels) = (Tensor::from_vec(odds, &[2, 3]), Tensor::from_slice(&[1, 0]));
        let one_hot = Tensor::from_vec([0.0f64, 1.0, 0.0, 1.0, 0.0, 0.0], &[2, 3]);
        for entry in TABLE {
            let loss = from_name(entry.names[0]).expect("a loss");
            let t = if entry.class.starts_with("Sparse") { &labels } else { &one_hot };
            let value = |p: &Tensor| loss.call(t, p).sum(());
            let double = value(&p).item::<f64>().expect("a double");
            let single = value(&p.cast(DType::F32)).item::<f32>().expect("a single");
            assert!((double - f64::from(single)).abs() <= 2e-6 * double.abs(), "{}", entry.class);
            assert_eq!(value(&p.cast(DType::F16)).dtype(), DType::F32, "{}", entry.class);
        }
        let of = |name: &str, t: &Tensor| {
            from_name(name).expect("a loss").reduced(t, &p, None).item::<f64>().expect("a double")
        };
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-15, "{got} instead of {want}");
        near(of("sparse_categorical_crossentropy", &labels), -(0.7f64.ln() + 0.25f64.ln()) / 2.0);
        near(of("categorical_crossentropy", &one_hot), -(0.7f64.ln() + 0.25f64.ln()) / 2.0);
        let error = |i: usize| odds[i] - f64::from(u8::from(i == 1 || i == 3));
        near(of("mse", &one_hot), (0..6).map(|i| error(i).powi(2)).sum::<f64>() / 6.0);
        near(of("log_cosh", &one_hot), (0..6).map(|i| error(i).cosh().ln()).sum::<f64>() / 6.0);
        let poisson = |i: usize| odds[i] - if i == 1 || i == 3 { (odds[i] + 1e-7).ln() } else { 0.0 };
        near(of("poisson", &one_hot), (0..6).map(poisson).sum::<f64>() / 6.0);
    }

    #[test]
    fn a_column_of_labels_fits_a_column_of_predictions() {
        let (flat, column) = (Tensor::zeros(&[4]), Tensor::zeros(&[4, 1]));
        for loss in ["bce", "mse", "hinge"] {
            let loss = from_name(loss).expect("a loss");
            assert_eq!(loss.call(&flat, &column).shape(), [4]);
            assert_eq!(loss.call(&column, &flat).shape(), [4]);
        }
    }
}
