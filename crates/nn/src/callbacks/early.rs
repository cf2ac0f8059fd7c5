//! Stopping early.

use kiln_graph::Tensor;

use super::monitor::Monitor;
use super::{Callback, Handle, Mode};
use crate::error::Result;
use crate::history::Logs;

/// Stops training when a value has not improved for some epochs, and if wished goes back to the weights of the best.
///
/// A value that is not in the logs is an error (Keras warns and never stops).
///
/// ```
/// use kiln_nn::callbacks::EarlyStopping;
/// let early = EarlyStopping::new("val_loss").patience(5).restore_best_weights(true);
/// # let _ = early;
/// ```
#[derive(Debug)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    wait: usize,
    best: Option<f64>,
    best_epoch: usize,
    best_weights: Option<Vec<Tensor>>,
    stopped_epoch: Option<usize>,
}

impl EarlyStopping {
    /// Watching a value of the logs, with Keras' defaults: patience 0, least difference 0.
    pub fn new(monitor: impl Into<String>) -> EarlyStopping {
        EarlyStopping {
            monitor: Monitor::new(monitor),
            patience: 0,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            state: State::default(),
        }
    }

    /// How much better counts as better; default 0.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.monitor.min_delta = min_delta.abs();
        self
    }

    /// How many epochs without improvement it bears; default 0.
    pub fn patience(self, patience: usize) -> Self {
        Self { patience, ..self }
    }

    /// Whether the value should fall or rise; default what the metric says.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// What the value has to beat to be called an improvement; default none.
    pub fn baseline(self, baseline: f64) -> Self {
        Self { baseline: Some(baseline), ..self }
    }

    /// Whether the weights of the best epoch are put back at the end; default false.
    pub fn restore_best_weights(self, restore: bool) -> Self {
        Self { restore_best_weights: restore, ..self }
    }

    /// The first epoch that is looked at; default 0.
    pub fn start_from_epoch(self, epoch: usize) -> Self {
        Self { start_from_epoch: epoch, ..self }
    }

    /// The epoch that ended training, counted from 0; `None` where it ran to its end.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.state.stopped_epoch
    }

    /// The best epoch, counted from 0.
    pub fn best_epoch(&self) -> usize {
        self.state.best_epoch
    }

    /// The best value.
    pub fn best(&self) -> Option<f64> {
        self.state.best
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _: &mut Handle<'_>) -> Result<()> {
        self.state = State::default();
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Handle<'_>) -> Result<()> {
        if epoch < self.start_from_epoch {
            return Ok(());
        }
        let current = self.monitor.value("EarlyStopping", logs, model)?;
        let state = &mut self.state;
        if self.restore_best_weights && state.best_weights.is_none() {
            // Whatever comes, these are the best so far.
            (state.best_weights, state.best_epoch) = (Some(model.weights()), epoch);
        }
        state.wait += 1;
        if self.monitor.improves(current, state.best) {
            (state.best, state.best_epoch) = (Some(current), epoch);
            if self.restore_best_weights {
                state.best_weights = Some(model.weights());
            }
            if self.baseline.is_none() || self.monitor.improves(current, self.baseline) {
                state.wait = 0;
            }
        } else if state.wait >= self.patience && epoch > 0 {
            state.stopped_epoch = Some(epoch);
            model.stop_training();
        }
        Ok(())
    }

    fn on_train_end(&mut self, _: &Logs, model: &mut Handle<'_>) -> Result<()> {
        match self.state.best_weights.take() {
            Some(weights) => model.set_weights(&weights),
            None => Ok(()),
        }
    }
}
