//! Learning rates that the host sets.

use super::monitor::Monitor;
use super::{Callback, Handle, Mode};
use crate::error::Result;
use crate::history::Logs;

/// Sets the learning rate at the beginning of every epoch, by a closure from epoch and present rate; the logs get
/// `learning_rate`.
///
/// ```
/// use kiln_nn::callbacks::LearningRateScheduler;
/// let halved = LearningRateScheduler::new(|epoch, rate| if epoch > 0 && epoch % 10 == 0 { rate / 2.0 } else { rate });
/// # let _ = halved;
/// ```
pub struct LearningRateScheduler<F> {
    schedule: F,
}

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// By a closure from the epoch, counted from 0, and the present rate.
    pub fn new(schedule: F) -> LearningRateScheduler<F> {
        LearningRateScheduler { schedule }
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut Handle<'_>) -> Result<()> {
        let rate = (self.schedule)(epoch, model.learning_rate()?);
        model.set_learning_rate(rate)
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Logs, model: &mut Handle<'_>) -> Result<()> {
        logs.insert("learning_rate".into(), model.learning_rate()?);
        Ok(())
    }
}

/// Lowers the learning rate when a value has not improved for some epochs; the logs get `learning_rate`.
#[derive(Debug)]
pub struct ReduceLROnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    cooldown: usize,
    min_lr: f64,
    best: Option<f64>,
    wait: usize,
    resting: usize,
}

impl ReduceLROnPlateau {
    /// Watching a value of the logs, with Keras' defaults: factor 0.1, patience 10, least difference 1e-4.
    pub fn new(monitor: impl Into<String>) -> ReduceLROnPlateau {
        let monitor = Monitor { min_delta: 1e-4, ..Monitor::new(monitor) };
        ReduceLROnPlateau {
            monitor,
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_lr: 0.0,
            best: None,
            wait: 0,
            resting: 0,
        }
    }

    /// What the rate is multiplied by; default 0.1.
    pub fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// How many epochs without improvement it bears; default 10.
    pub fn patience(self, patience: usize) -> Self {
        Self { patience, ..self }
    }

    /// Whether the value should fall or rise; default what the metric says.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// How much better counts as better; default 1e-4.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.monitor.min_delta = min_delta.abs();
        self
    }

    /// How many epochs it rests after lowering the rate; default 0.
    pub fn cooldown(self, cooldown: usize) -> Self {
        Self { cooldown, ..self }
    }

    /// The lowest rate; default 0.
    pub fn min_lr(self, min_lr: f64) -> Self {
        Self { min_lr, ..self }
    }
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _: &mut Handle<'_>) -> Result<()> {
        (self.best, self.wait, self.resting) = (None, 0, 0);
        Ok(())
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Logs, model: &mut Handle<'_>) -> Result<()> {
        let rate = model.learning_rate()?;
        logs.insert("learning_rate".into(), rate);
        let current = self.monitor.value("ReduceLROnPlateau", logs, model)?;
        if self.resting > 0 {
            (self.resting, self.wait) = (self.resting - 1, 0);
        }
        if self.monitor.improves(current, self.best) {
            (self.best, self.wait) = (Some(current), 0);
        } else if self.resting == 0 {
            self.wait += 1;
            if self.wait >= self.patience && rate > self.min_lr {
                model.set_learning_rate((rate * self.factor).max(self.min_lr))?;
                (self.resting, self.wait) = (self.cooldown, 0);
            }
        }
        Ok(())
    }
}
