//! Training: what makes a layer a model that can be compiled, fitted, evaluated and asked.
//!
//! [`Model`] is a [`Layer`] with a [`Trainer`] inside. One step of training (forward, loss, backward, optimizer,
//! metrics) is traced once for each shape of batch and compiled as one program; loss and metrics are sums on the device,
//! which are read at the end of an epoch and now and then for the progress bar, never at every step.
//!
//! ```
//! use kiln_graph::{Tensor, Variable};
//! use kiln_nn::training::{Compile, Fit, Model, Trainer};
//! use kiln_nn::{Context, Layer, Result, Seeds};
//!
//! /// `w · x`: one weight.
//! struct Line {
//!     weight: Option<Variable>,
//!     trainer: Trainer,
//! }
//!
//! impl Layer for Line {
//!     fn class_name(&self) -> &'static str {
//!         "Line"
//!     }
//!     fn build(&mut self, _: &[Option<usize>], _: &mut Seeds) -> Result<()> {
//!         self.weight = Some(Variable::new(&Tensor::scalar(0.0f32))?.named("weight"));
//!         Ok(())
//!     }
//!     fn call(&self, input: &Tensor, _: &Context) -> Tensor {
//!         self.weight.as_ref().map_or_else(|| Tensor::invalid("Line", "not built"), |w| input * w.read())
//!     }
//!     fn variables(&self) -> Vec<Variable> {
//!         self.weight.iter().cloned().collect()
//!     }
//! }
//!
//! impl Model for Line {
//!     fn trainer(&self) -> &Trainer {
//!         &self.trainer
//!     }
//!     fn trainer_mut(&mut self) -> &mut Trainer {
//!         &mut self.trainer
//!     }
//! }
//!
//! let x = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[4, 1]);
//! let y = &x * 3.0;
//! let mut model = Line { weight: None, trainer: Trainer::new() };
//! model.compile(Compile::new("sgd", "mse").metric("mae"))?;
//! let history = model.fit(&x, &y, Fit::new().epochs(20).batch_size(2).verbose(0))?;
//! assert!(history.last("loss") < Some(0.01));
//! # Ok::<(), kiln_nn::Error>(())
//! ```

mod compile;
mod data;
mod fit;
pub(crate) mod names;
mod run;

use kiln_graph::{FunctionCache, Tensor};

use crate::error::{Error, Result};
use crate::history::{History, Logs};
use crate::layer::Layer;

pub use crate::progress::Verbose;
pub use compile::Compile;
pub(crate) use compile::Compiled;
pub use fit::{Fit, fit};
pub use run::{Evaluate, Predict, evaluate, predict, test_on_batch, train_on_batch};

/// What a model carries to be trained: what it was compiled with, and its compiled steps.
pub struct Trainer {
    compiled: Option<Compiled>,
    predicting: FunctionCache,
    stop_training: bool,
    built: bool,
    seed: u64,
}

impl Default for Trainer {
    fn default() -> Trainer {
        Trainer::new()
    }
}

impl Trainer {
    /// Of a model that is neither built nor compiled, with seed 0.
    pub fn new() -> Trainer {
        let predicting = FunctionCache::new("predict");
        Trainer { compiled: None, predicting, stop_training: false, built: false, seed: 0 }
    }

    /// Sets the seed of weights, dropout and shuffling; before the model is built.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// The seed of weights, dropout and shuffling.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether the model has been built.
    pub fn is_built(&self) -> bool {
        self.built
    }

    /// Says that the model has been built, so that `fit` does not build it again.
    pub fn set_built(&mut self) {
        self.built = true;
    }

    pub(crate) fn compiled(&self, what: &str) -> Result<&Compiled> {
        self.compiled.as_ref().ok_or_else(|| not_compiled(what))
    }

    pub(crate) fn compiled_mut(&mut self, what: &str) -> Result<&mut Compiled> {
        self.compiled.as_mut().ok_or_else(|| not_compiled(what))
    }
}

fn not_compiled(what: &str) -> Error {
    let message = "call compile before it, for instance \
                   model.compile(Compile::new(\"adam\", \"mse\").metric(\"mae\"))?";
    Error::invalid(what, format!("the model has not been compiled; {message}"))
}

/// A layer that can be trained.
///
/// Implement it for a struct of your own by giving it a [`Trainer`]: see the example of this module.
/// [`Layer::build`] is called by the first call that brings data, unless the trainer says that it has been.
pub trait Model: Layer {
    /// The trainer inside.
    fn trainer(&self) -> &Trainer;

    /// The trainer inside.
    fn trainer_mut(&mut self) -> &mut Trainer;

    /// Sets optimizer, loss and metrics. Weights stay; the state of an earlier optimizer goes.
    ///
    /// # Errors
    /// Where a name is unknown.
    fn compile(&mut self, compile: Compile) -> Result<()> {
        self.trainer_mut().compiled = Some(compile.into_compiled()?);
        Ok(())
    }

    /// Trains on samples along the first axis of `x` and `y`.
    ///
    /// # Errors
    /// Where the model is not compiled, data is empty or does not fit, the loss of an epoch is NaN, or a callback fails.
    #[track_caller]
    fn fit(&mut self, x: &Tensor, y: &Tensor, settings: Fit<'_>) -> Result<History>
    where
        Self: Sized,
    {
        fit(self, x, y, settings)
    }

    /// The loss and metrics on data, by name, in batches of 32 and without a progress bar.
    ///
    /// # Errors
    /// Where the model is not compiled, or data is empty or does not fit.
    #[track_caller]
    fn evaluate(&mut self, x: &Tensor, y: &Tensor) -> Result<Logs>
    where
        Self: Sized,
    {
        evaluate(self, x, y, Evaluate::new().verbose(0))
    }

    /// [`Model::evaluate`] with settings.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    #[track_caller]
    fn evaluate_with(&mut self, x: &Tensor, y: &Tensor, settings: Evaluate<'_>) -> Result<Logs>
    where
        Self: Sized,
    {
        evaluate(self, x, y, settings)
    }

    /// The predictions for all samples, computed in batches of 32.
    ///
    /// # Errors
    /// Where data is empty or does not fit.
    #[track_caller]
    fn predict(&mut self, x: &Tensor) -> Result<Tensor>
    where
        Self: Sized,
    {
        predict(self, x, Predict::new().verbose(0))
    }

    /// [`Model::predict`] with settings.
    ///
    /// # Errors
    /// As [`Model::predict`].
    #[track_caller]
    fn predict_with(&mut self, x: &Tensor, settings: Predict<'_>) -> Result<Tensor>
    where
        Self: Sized,
    {
        predict(self, x, settings)
    }

    /// One step on one batch: the loss and metrics since the last [`Model::reset_metrics`].
    ///
    /// # Errors
    /// As [`Model::fit`].
    #[track_caller]
    fn train_on_batch(&mut self, x: &Tensor, y: &Tensor, sample_weight: Option<&Tensor>) -> Result<Logs>
    where
        Self: Sized,
    {
        train_on_batch(self, x, y, sample_weight)
    }

    /// The loss and metrics with one batch more, since the last [`Model::reset_metrics`].
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    #[track_caller]
    fn test_on_batch(&mut self, x: &Tensor, y: &Tensor, sample_weight: Option<&Tensor>) -> Result<Logs>
    where
        Self: Sized,
    {
        test_on_batch(self, x, y, sample_weight)
    }

    /// Forgets what loss and metrics have summed up.
    ///
    /// # Errors
    /// Where the model is not compiled.
    fn reset_metrics(&mut self) -> Result<()> {
        self.trainer().compiled("reset_metrics")?.reset()
    }

    /// Ends `fit` after the present batch.
    fn stop_training(&mut self) {
        self.trainer_mut().stop_training = true;
    }

    /// The learning rate of the next step.
    ///
    /// # Errors
    /// Where the model is not compiled.
    fn learning_rate(&self) -> Result<f64> {
        self.trainer().compiled("learning_rate")?.optimizer.current_learning_rate()
    }

    /// Sets the learning rate from the next step on.
    ///
    /// # Errors
    /// Where the model is not compiled, or a schedule decides.
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        self.trainer_mut().compiled_mut("set_learning_rate")?.optimizer.set_learning_rate(learning_rate)
    }

    /// Why and for which batches each step was compiled, a line a trace.
    fn trace_report(&self) -> Vec<String> {
        let trainer = self.trainer();
        let steps =
            trainer.compiled.iter().flat_map(|c| [c.training.trace_report(), c.testing.trace_report()]);
        steps.flatten().chain(trainer.predicting.trace_report()).collect()
    }
}
