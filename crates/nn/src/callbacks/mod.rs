//! Callbacks: what happens beside training.
//!
//! A [`Callback`] has Keras' hooks in Keras' order: `on_train_begin`; in each epoch `on_epoch_begin`, around each batch
//! `on_train_batch_begin` and `on_train_batch_end`, with validation `on_test_begin`, `on_test_batch_begin`,
//! `on_test_batch_end` and `on_test_end`, then `on_epoch_end` with the logs of both; last `on_train_end`. Callbacks are
//! called in the order given, and history and progress bar see the logs after them.
//!
//! ```
//! use kiln_nn::callbacks::LambdaCallback;
//! use kiln_nn::training::Fit;
//! let report = LambdaCallback::new().on_epoch_end(|epoch, logs, model| {
//!     if logs["loss"] < 0.1 {
//!         model.stop_training();
//!     }
//!     model.set_learning_rate(0.1 / (epoch + 1) as f64)
//! });
//! let settings = Fit::new().callback(report);
//! # drop(settings);
//! ```

mod checkpoint;
mod csv;
mod early;
mod handle;
mod lambda;
mod monitor;
mod nan;
mod rate;

use kiln_graph::Tensor;

use crate::error::Result;
use crate::history::Logs;

pub use checkpoint::ModelCheckpoint;
pub use csv::CsvLogger;
pub use early::EarlyStopping;
pub use handle::Handle;
pub use lambda::LambdaCallback;
pub use monitor::Mode;
pub use nan::TerminateOnNaN;
pub use rate::{LearningRateScheduler, ReduceLROnPlateau};

macro_rules! hooks {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => {
        /// What happens beside training. Every hook does nothing unless it is written, and may fail, which ends training.
        pub trait Callback {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The callback's own; they end training.
                fn $name(&mut self, $($argument: $type,)* model: &mut Handle<'_>) -> Result<()> {
                    let _ = ($($argument,)* model);
                    Ok(())
                }
            )*
        }

        impl<C: Callback + ?Sized> Callback for &mut C {
            $(
                fn $name(&mut self, $($argument: $type,)* model: &mut Handle<'_>) -> Result<()> {
                    (**self).$name($($argument,)* model)
                }
            )*
        }
    };
}

hooks! {
    /// Before the first epoch.
    on_train_begin();
    /// After the last epoch, with its logs.
    on_train_end(logs: &Logs);
    /// Before an epoch, counted from 0.
    on_epoch_begin(epoch: usize);
    /// After an epoch and its validation. Values added to the logs are in the history.
    on_epoch_end(epoch: usize, logs: &mut Logs);
    /// Before a batch of training, counted from 0 in each epoch.
    on_train_batch_begin(batch: usize);
    /// After a batch of training, which the device may still be computing. [`Handle::logs`] waits for it.
    on_train_batch_end(batch: usize);
    /// Before evaluation or validation.
    on_test_begin();
    /// After evaluation or validation, with its logs.
    on_test_end(logs: &Logs);
    /// Before a batch of evaluation.
    on_test_batch_begin(batch: usize);
    /// After a batch of evaluation.
    on_test_batch_end(batch: usize);
    /// Before prediction.
    on_predict_begin();
    /// After prediction.
    on_predict_end();
    /// Before a batch of prediction.
    on_predict_batch_begin(batch: usize);
    /// After a batch of prediction, with the predictions.
    on_predict_batch_end(batch: usize, outputs: &Tensor);
}
