//! What training has reported, epoch by epoch.

use std::collections::BTreeMap;

/// Named values, in alphabetical order: `loss`, metrics, and with validation the same with `val_` before.
pub type Logs = BTreeMap<String, f64>;

/// The settings of a call of `fit`, as Keras' History has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The epoch that training was to end before.
    pub epochs: usize,
    /// Batches an epoch.
    pub steps: usize,
}

/// What `fit` returns: the logs of every epoch.
///
/// ```
/// use kiln_nn::history::History;
/// let mut history = History::default();
/// history.record(0, &[("loss".to_string(), 2.0)].into());
/// history.record(1, &[("loss".to_string(), 1.0)].into());
/// assert_eq!(history.history["loss"], [2.0, 1.0]);
/// assert_eq!(history.last("loss"), Some(1.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The values of each name, one an epoch.
    pub history: BTreeMap<String, Vec<f64>>,
    /// The epochs run, counted from 0.
    pub epoch: Vec<usize>,
    /// The settings of the call.
    pub params: Params,
}

impl History {
    /// Adds an epoch.
    pub fn record(&mut self, epoch: usize, logs: &Logs) {
        self.epoch.push(epoch);
        for (name, value) in logs {
            self.history.entry(name.clone()).or_default().push(*value);
        }
    }

    /// The values of a name, one an epoch; nothing where there is no such name.
    pub fn get(&self, name: &str) -> &[f64] {
        self.history.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of a name in the last epoch.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }
}
