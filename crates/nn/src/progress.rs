//! The progress line of `fit`, `evaluate` and `predict`: Keras', redrawn in place on a terminal, one line an epoch
//! elsewhere. Nothing else in this crate prints.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::history::Logs;

/// How often at most values are read from the device for a line that is redrawn.
const READ_INTERVAL: Duration = Duration::from_millis(200);
const WIDTH: usize = 20;

/// What is shown while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbose {
    /// As `Bar`.
    #[default]
    Auto,
    /// Nothing; Keras' 0.
    Silent,
    /// A bar redrawn in place on a terminal, a line an epoch elsewhere; Keras' 1.
    Bar,
    /// A line an epoch; Keras' 2.
    Line,
}

impl From<u8> for Verbose {
    /// Keras' numbers.
    fn from(level: u8) -> Verbose {
        match level {
            0 => Verbose::Silent,
            1 => Verbose::Bar,
            _ => Verbose::Line,
        }
    }
}

/// The progress of one run through the data after another.
pub(crate) struct Progress {
    verbose: Verbose,
    total: usize,
    bar: Option<ProgressBar>,
    started: Instant,
    /// When the first step, which compiles, had ended.
    warm: Option<Instant>,
    read: Option<Instant>,
    shown: String,
}

impl Progress {
    pub(crate) fn new(verbose: Verbose) -> Progress {
        let started = Instant::now();
        Progress { verbose, total: 0, bar: None, started, warm: None, read: None, shown: String::new() }
    }

    /// A run of `total` steps begins, under a heading.
    pub(crate) fn begin(&mut self, heading: Option<String>, total: usize) {
        (self.total, self.started, self.warm, self.read) = (total, Instant::now(), None, None);
        self.shown.clear();
        if self.verbose == Verbose::Silent {
            return;
        }
        if let Some(heading) = heading {
            print(&heading);
        }
        if self.verbose != Verbose::Line && stdout().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stdout());
            let template = format!("{{pos:.bold}}/{{len:.bold}} {{bar:{WIDTH}.green/white}} {{msg}}");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("━━━"));
            }
            self.bar = Some(bar);
        }
    }

    /// Whether values would be shown if they were read now.
    pub(crate) fn wants_values(&self) -> bool {
        self.bar.is_some() && self.read.is_none_or(|at| at.elapsed() >= READ_INTERVAL)
    }

    /// A step has ended; `logs` where they were read.
    pub(crate) fn step(&mut self, done: usize, logs: Option<&Logs>) {
        if done == 1 {
            self.warm = Some(Instant::now());
        }
        if let Some(logs) = logs {
            self.shown = values(logs);
            self.read = Some(Instant::now());
        }
        if let Some(bar) = &self.bar {
            let each = self.per_step(done);
            let left = each * self.total.saturating_sub(done) as f64;
            bar.set_message(format!("{} {}{}", remaining(left), duration(each), self.shown));
            bar.set_position(done as u64);
        }
    }

    /// The run has ended after `done` steps.
    pub(crate) fn end(&mut self, done: usize, logs: &Logs) {
        if self.verbose == Verbose::Silent {
            return;
        }
        let (each, elapsed) = (duration(self.per_step(done)), self.started.elapsed().as_secs_f64());
        let (total, values) = (self.total, values(logs));
        let digits = total.to_string().len();
        let text = match self.verbose {
            Verbose::Line => format!("{done:>digits$}/{total} - {elapsed:.0}s - {each}{values}"),
            _ => {
                let full = (WIDTH * done).checked_div(total).unwrap_or(WIDTH);
                let (full, rest) = ("━".repeat(full), "─".repeat(WIDTH - full.min(WIDTH)));
                format!("{done:>digits$}/{total} {full}{rest} {elapsed:.0}s {each}{values}")
            }
        };
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        print(&text);
    }

    /// Seconds a step, the first left out where there are others.
    fn per_step(&self, done: usize) -> f64 {
        match self.warm {
            Some(warm) if done > 1 => warm.elapsed().as_secs_f64() / (done - 1) as f64,
            _ => self.started.elapsed().as_secs_f64() / done.max(1) as f64,
        }
    }
}

fn print(text: &str) {
    // A closed pipe is no reason to stop training.
    let _ = writeln!(stdout().lock(), "{text}");
}

/// ` - name: value` for each, those of validation last.
fn values(logs: &Logs) -> String {
    let (validation, training): (Vec<_>, Vec<_>) =
        logs.iter().partition(|(name, _)| name.starts_with("val_"));
    training.into_iter().chain(validation).map(|(name, v)| format!(" - {name}: {}", number(*v))).collect()
}

/// Four decimals, or for small numbers four digits and an exponent, as Python writes it.
fn number(value: f64) -> String {
    if value.is_nan() || value.abs() > 1e-3 {
        return format!("{value:.4}");
    }
    let text = format!("{value:.4e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 || s == 0.0 => format!("{s:.0}s/step"),
        s if s >= 1e-3 => format!("{:.0}ms/step", s * 1e3),
        s => format!("{:.0}us/step", s * 1e6),
    }
}

fn remaining(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        3601.. => format!("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60),
        61.. => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_written_as_keras_writes_them() {
        assert_eq!([number(0.5), number(0.0005), number(0.0)], ["0.5000", "5.0000e-04", "0.0000e+00"]);
        assert_eq!(
            [duration(1.4), duration(0.0281), duration(2.5e-5)],
            ["1s/step", "28ms/step", "25us/step"]
        );
        assert_eq!([remaining(5.9), remaining(61.0), remaining(3725.0)], ["5s", "1:01", "1:02:05"]);
        let logs: Logs =
            [("val_loss", 0.25), ("zeal", 1.0), ("loss", 0.5)].map(|(n, v)| (n.into(), v)).into();
        assert_eq!(values(&logs), " - loss: 0.5000 - zeal: 1.0000 - val_loss: 0.2500");
    }
}
