//! Saving weights while training.

use std::path::PathBuf;

use super::monitor::Monitor;
use super::{Callback, Handle, Mode};
use crate::error::{Error, Result};
use crate::history::Logs;

/// Saves the weights after every epoch, or only those of the best.
///
/// The path may hold the epoch, counted from 1, and values of the logs, in Python's format: `{epoch:02d}`,
/// `{val_loss:.2f}`.
///
/// ```
/// use kiln_nn::callbacks::ModelCheckpoint;
/// let best = ModelCheckpoint::new("runs/{epoch:02d}-{val_loss:.2f}.safetensors").save_best_only(true);
/// # let _ = best;
/// ```
#[derive(Debug)]
pub struct ModelCheckpoint {
    path: String,
    monitor: Monitor,
    save_best_only: bool,
    save_freq: usize,
    best: Option<f64>,
    last: Option<PathBuf>,
}

impl ModelCheckpoint {
    /// To a path; Keras' defaults: after every epoch, watching `val_loss`.
    pub fn new(path: impl Into<String>) -> ModelCheckpoint {
        let monitor = Monitor::new("val_loss");
        ModelCheckpoint {
            path: path.into(),
            monitor,
            save_best_only: false,
            save_freq: 1,
            best: None,
            last: None,
        }
    }

    /// The value of the logs that says which epoch is best; default `val_loss`.
    pub fn monitor(mut self, name: impl Into<String>) -> Self {
        self.monitor = Monitor { mode: self.monitor.mode, ..Monitor::new(name) };
        self
    }

    /// Whether the value should fall or rise; default what the metric says.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.monitor.mode = mode;
        self
    }

    /// Whether only an epoch better than all before is saved; default false.
    pub fn save_best_only(self, save_best_only: bool) -> Self {
        Self { save_best_only, ..self }
    }

    /// What a value has to beat to be saved; default none.
    pub fn initial_value_threshold(self, value: f64) -> Self {
        Self { best: Some(value), ..self }
    }

    /// Saves after every so many epochs; default 1.
    pub fn save_freq(self, epochs: usize) -> Self {
        Self { save_freq: epochs, ..self }
    }

    /// The file saved last.
    pub fn last_saved(&self) -> Option<&std::path::Path> {
        self.last.as_deref()
    }
}

impl Callback for ModelCheckpoint {
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Handle<'_>) -> Result<()> {
        if !(epoch + 1).is_multiple_of(self.save_freq.max(1)) {
            return Ok(());
        }
        if self.save_best_only {
            let current = self.monitor.value("ModelCheckpoint", logs, model)?;
            if !self.monitor.improves(current, self.best) {
                return Ok(());
            }
            self.best = Some(current);
        }
        let path = PathBuf::from(filled(&self.path, epoch + 1, logs)?);
        if let Some(folder) = path.parent() {
            let failed =
                |e: std::io::Error| Error::File { path: folder.to_path_buf(), message: e.to_string() };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        model.save_weights(&path)?;
        self.last = Some(path);
        Ok(())
    }
}

/// A path with epoch and values put in.
fn filled(pattern: &str, epoch: usize, logs: &Logs) -> Result<String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let error =
            |message: String| Error::invalid("ModelCheckpoint", format!("path `{pattern}`: {message}"));
        let (field, after) = after.split_once('}').ok_or_else(|| error("a { without }".into()))?;
        let (name, format) = field.split_once(':').unwrap_or((field, ""));
        let value = match name {
            "epoch" => epoch as f64,
            _ => *logs.get(name).ok_or_else(|| {
                let known: Vec<&str> = logs.keys().map(String::as_str).collect();
                error(format!("`{name}` is not in the logs, which have epoch, {}", known.join(", ")))
            })?,
        };
        text.push_str(before);
        text.push_str(
            &formatted(value, format)
                .ok_or_else(|| error(format!("`{format}` is not a format like 02d or .2f")))?,
        );
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// A number in Python's format `d`, `02d`, `f`, `.2f` or none.
fn formatted(value: f64, format: &str) -> Option<String> {
    if format.is_empty() {
        return Some(value.to_string());
    }
    let (size, kind) = format.split_at(format.len().checked_sub(1)?);
    let (width, precision) = size.split_once('.').unwrap_or((size, ""));
    let parse = |text: &str, default: usize| if text.is_empty() { Some(default) } else { text.parse().ok() };
    let (zeros, width) = (width.starts_with('0'), parse(width, 0)?);
    let text = match kind {
        "d" => format!("{value:.0}"),
        "f" => format!("{value:.*}", parse(precision, 6)?),
        _ => return None,
    };
    Some(if zeros { format!("{text:0>width$}") } else { format!("{text:>width$}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_filled_as_python_fills_them() {
        let logs: Logs = [("val_loss".to_string(), 0.256)].into();
        let fill = |pattern: &str| filled(pattern, 7, &logs).map_err(|e| e.to_string());
        assert_eq!(fill("a/{epoch:02d}-{val_loss:.2f}.x").as_deref(), Ok("a/07-0.26.x"));
        assert_eq!(fill("{epoch}").as_deref(), Ok("7"));
        assert!(fill("{loss:.2f}").is_err_and(|e| e.contains("epoch, val_loss")));
        assert!(fill("{epoch:x}").is_err());
        assert!(fill("{epoch").is_err());
    }
}
