//! Which of two values of a log is better.

use super::Handle;
use crate::error::{Error, Result};
use crate::history::Logs;
use crate::metrics::Direction;

/// Whether a monitored value should fall or rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What the metric says; a loss should fall.
    #[default]
    Auto,
    /// It should fall.
    Min,
    /// It should rise.
    Max,
}

/// A value of the logs that is watched.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) min_delta: f64,
    pub(super) rising: Option<bool>,
}

impl Monitor {
    pub(crate) fn new(name: impl Into<String>) -> Monitor {
        Monitor { name: name.into(), mode: Mode::Auto, min_delta: 0.0, rising: None }
    }

    /// The value, or an error that says what there is instead.
    pub(crate) fn value(&mut self, what: &str, logs: &Logs, model: &Handle<'_>) -> Result<f64> {
        let Some(value) = logs.get(&self.name) else {
            let known: Vec<&str> = logs.keys().map(String::as_str).collect();
            let way_out = if self.name.starts_with("val_") && !known.iter().any(|k| k.starts_with("val_")) {
                "; give fit validation_split or validation_data, or monitor a value of training"
            } else {
                ""
            };
            let message =
                format!("`{}` is not available, available are: {}{way_out}", self.name, known.join(", "));
            return Err(Error::invalid(what, message));
        };
        if self.rising.is_none() {
            self.rising = Some(self.is_rising(what, model)?);
        }
        Ok(*value)
    }

    fn is_rising(&self, what: &str, model: &Handle<'_>) -> Result<bool> {
        match (self.mode, model.direction(&self.name)) {
            (Mode::Max, _) | (Mode::Auto, Some(Direction::Up)) => Ok(true),
            (Mode::Min, _) | (Mode::Auto, Some(Direction::Down)) => Ok(false),
            (Mode::Auto, None) => {
                let message = format!(
                    "it is not known whether `{}` should rise or fall; say so with mode(Mode::Max) or mode(Mode::Min)",
                    self.name
                );
                Err(Error::invalid(what, message))
            }
        }
    }

    /// Whether a value is better than another by at least the least difference.
    pub(crate) fn improves(&self, value: f64, best: Option<f64>) -> bool {
        match (best, self.rising) {
            (None, _) => true,
            (Some(best), Some(true)) => value - self.min_delta > best,
            (Some(best), _) => value + self.min_delta < best,
        }
    }
}
