//! What can go wrong in a model.

use std::path::PathBuf;

/// An error of layers, models, training and files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of a tensor, function or device.
    #[error(transparent)]
    Graph(kiln_graph::Error),
    /// A layer, loss, metric, optimizer or call was configured or used wrongly.
    #[error("[{what}] {message}")]
    Invalid {
        /// The layer, loss, metric or method.
        what: String,
        /// What was expected, what came, the way out.
        message: String,
    },
    /// A file could not be read or written.
    #[error("[file] {path}: {message}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What happened, and the way out.
        message: String,
    },
}

/// The result of a model operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(what: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Invalid { what: what.into(), message: message.into() }
    }
}

impl From<kiln_graph::Error> for Error {
    fn from(error: kiln_graph::Error) -> Error {
        match error {
            kiln_graph::Error::File { path, message } => Error::File { path, message },
            other => Error::Graph(other),
        }
    }
}

impl From<kiln_graph::DeviceError> for Error {
    fn from(error: kiln_graph::DeviceError) -> Error {
        Error::Graph(error.into())
    }
}
