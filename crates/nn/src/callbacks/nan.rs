//! Stopping at NaN.

use super::{Callback, Handle};
use crate::error::Result;

/// Stops training after the first batch whose loss is NaN or infinite, so that `fit` returns what it has.
///
/// It reads the loss from the device after every batch, which costs time on a GPU; without it `fit` notices at the end
/// of the epoch and returns an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNaN;

impl TerminateOnNaN {
    /// The callback.
    pub fn new() -> TerminateOnNaN {
        TerminateOnNaN
    }
}

impl Callback for TerminateOnNaN {
    fn on_train_batch_end(&mut self, _: usize, model: &mut Handle<'_>) -> Result<()> {
        if model.logs()?.get("loss").is_some_and(|loss| !loss.is_finite()) {
            model.stop_training();
        }
        Ok(())
    }
}
