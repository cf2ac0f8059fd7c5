//! Logs as a table of comma-separated values.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Callback, Handle};
use crate::error::{Error, Result};
use crate::history::Logs;

/// Writes the logs of every epoch as a line of a file; the first line has the names.
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    columns: Option<Vec<String>>,
}

impl CsvLogger {
    /// To a file, which is written anew.
    pub fn new(path: impl AsRef<Path>) -> CsvLogger {
        CsvLogger { path: path.as_ref().to_path_buf(), separator: ',', append: false, columns: None }
    }

    /// What stands between values; default a comma.
    pub fn separator(self, separator: char) -> Self {
        Self { separator, ..self }
    }

    /// Whether lines are added to a file that is there, without names; default false.
    pub fn append(self, append: bool) -> Self {
        Self { append, ..self }
    }

    fn write(&self, line: &str, fresh: bool) -> Result<()> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(!fresh).truncate(fresh);
        let written = options.open(&self.path).and_then(|mut file| writeln!(file, "{line}"));
        written.map_err(|e| Error::File {
            path: self.path.clone(),
            message: format!("{e}; is the folder there?"),
        })
    }
}

impl Callback for CsvLogger {
    fn on_train_begin(&mut self, _: &mut Handle<'_>) -> Result<()> {
        self.columns = None;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, _: &mut Handle<'_>) -> Result<()> {
        let separator = self.separator.to_string();
        if self.columns.is_none() {
            let columns: Vec<String> = logs.keys().cloned().collect();
            let known = self.append && std::fs::metadata(&self.path).is_ok_and(|file| file.len() > 0);
            if !known {
                let names: Vec<&str> =
                    ["epoch"].into_iter().chain(columns.iter().map(String::as_str)).collect();
                self.write(&names.join(&separator), true)?;
            }
            self.columns = Some(columns);
        }
        let value = |name: &String| logs.get(name).map_or_else(|| "NA".into(), f64::to_string);
        let values = self.columns.iter().flatten().map(value);
        let line: Vec<String> = [epoch.to_string()].into_iter().chain(values).collect();
        self.write(&line.join(&separator), false)
    }
}
