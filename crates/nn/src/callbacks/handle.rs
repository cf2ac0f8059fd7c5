//! What a callback can do with the model.

use std::path::Path;

use kiln_graph::{Tensor, Variable};

use crate::error::Result;
use crate::history::Logs;
use crate::metrics::Direction;
use crate::training::Model;

/// The model in training, as callbacks see it.
pub struct Handle<'a> {
    model: &'a mut dyn Model,
}

impl<'a> Handle<'a> {
    pub(crate) fn new(model: &'a mut dyn Model) -> Handle<'a> {
        Handle { model }
    }

    /// Ends training after the present batch.
    pub fn stop_training(&mut self) {
        self.model.stop_training();
    }

    /// The learning rate of the next step.
    ///
    /// # Errors
    /// Those of the device.
    pub fn learning_rate(&self) -> Result<f64> {
        self.model.learning_rate()
    }

    /// Sets the learning rate from the next step on. Compiled steps stay compiled.
    ///
    /// # Errors
    /// Where it is negative or not finite, or a schedule decides.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        self.model.set_learning_rate(learning_rate)
    }

    /// Loss and metrics so far. Waits for the device, so that doing it at every batch slows training down.
    ///
    /// # Errors
    /// Those of the device.
    pub fn logs(&self) -> Result<Logs> {
        self.model.trainer().compiled("logs")?.logs()
    }

    /// The model's variables.
    pub fn variables(&self) -> Vec<Variable> {
        self.model.variables()
    }

    /// The present values of all variables. They stay on the device.
    pub fn weights(&self) -> Vec<Tensor> {
        self.model.get_weights()
    }

    /// Sets all variables, to what [`Handle::weights`] gave.
    ///
    /// # Errors
    /// Where number or shapes differ.
    pub fn set_weights(&mut self, weights: &[Tensor]) -> Result<()> {
        self.model.set_weights(weights)
    }

    /// Saves the weights to a safetensors file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn save_weights(&self, path: &Path) -> Result<()> {
        crate::weights::save_weights(self.model, path)
    }

    /// Whether more or less of a value of the logs is better, where its metric says so.
    pub fn direction(&self, name: &str) -> Option<Direction> {
        self.model.trainer().compiled("logs").ok()?.direction(name)
    }
}
