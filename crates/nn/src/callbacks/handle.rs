//! What a callback can do with the model.

use std::path::Path;

use kiln_graph::{Tensor, Variable};

use crate::error::{Error, Result};
use crate::history::Logs;
use crate::layer::Layer;
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
        self.model.variables().iter().map(Variable::read).collect()
    }

    /// Sets all variables, to what [`Handle::weights`] gave.
    ///
    /// # Errors
    /// Where number or shapes differ.
    pub fn set_weights(&mut self, weights: &[Tensor]) -> Result<()> {
        let variables = self.model.variables();
        if variables.len() != weights.len() {
            let message = format!("expected {} tensors, received {}", variables.len(), weights.len());
            return Err(Error::invalid("set_weights", message));
        }
        for (variable, weight) in variables.iter().zip(weights) {
            variable.assign(weight)?;
        }
        Ok(())
    }

    /// Saves the weights to a file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn save_weights(&self, path: &Path) -> Result<()> {
        save(self.model, path)
    }

    /// Whether more or less of a value of the logs is better, where its metric says so.
    pub fn direction(&self, name: &str) -> Option<Direction> {
        self.model.trainer().compiled("logs").ok()?.direction(name)
    }
}

/// Where weight files are written; joined with `crate::weights::save` when that is there.
fn save(layer: &dyn Layer, path: &Path) -> Result<()> {
    let message = format!("weights of {} cannot be written yet", layer.class_name());
    Err(Error::File { path: path.to_path_buf(), message })
}
