//! What can go wrong in a model.

use std::panic::Location;
use std::path::PathBuf;

use kiln_graph::{At, Error as GraphError};

/// An error of layers, models, training and files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of a tensor, function or device.
    #[error(transparent)]
    Graph(GraphError),
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

    /// The error of a call at `at`, of which this crate's own lines say nothing.
    pub(crate) fn seen_from(self, at: At) -> Error {
        match self {
            Error::Graph(error) => Error::Graph(seen_from(error, at)),
            other => other,
        }
    }
}

/// The caller's line, through `#[track_caller]`.
#[track_caller]
pub(crate) fn here() -> At {
    At(Location::caller())
}

/// The error with the line `at` in the place of one of this crate's own; lines of layers of the user's stay.
pub(crate) fn seen_from(error: GraphError, at: At) -> GraphError {
    let line = |own: At| {
        let folder = file!().strip_suffix("error.rs").unwrap_or(file!());
        if own.0.file().starts_with(folder) { at } else { own }
    };
    match error {
        GraphError::Operation { op, message, at } => GraphError::Operation { op, message, at: line(at) },
        GraphError::Trace { message, at } => GraphError::Trace { message, at: line(at) },
        other => other,
    }
}

impl From<Error> for GraphError {
    /// So that `?` passes an error of a model through the closure of a function.
    #[track_caller]
    fn from(error: Error) -> GraphError {
        match error {
            Error::Graph(error) => error,
            Error::File { path, message } => GraphError::File { path, message },
            other => GraphError::user(other),
        }
    }
}

impl From<GraphError> for Error {
    fn from(error: GraphError) -> Error {
        match error {
            GraphError::File { path, message } => Error::File { path, message },
            other => Error::Graph(other),
        }
    }
}

impl From<kiln_graph::DeviceError> for Error {
    fn from(error: kiln_graph::DeviceError) -> Error {
        Error::Graph(error.into())
    }
}
