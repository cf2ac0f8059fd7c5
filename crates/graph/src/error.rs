//! What can go wrong in a graph.

use std::fmt;
use std::panic::Location;

/// A line of the user's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At(pub &'static Location<'static>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}

/// An error of tensors, functions and variables.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation that could not be built: wrong shape, type, axis or value. Carried by the tensor it made, and
    /// returned by the first read, call, compile or fit that needs it.
    #[error("[{op}] {message} (at {at})")]
    Operation {
        /// The operation.
        op: &'static str,
        /// What was expected, what came, the way out.
        message: String,
        /// The user's line.
        at: At,
    },
    /// Something was asked for that tracing does not allow.
    #[error("[trace] {message} (at {at})")]
    Trace {
        /// What was done and what to do instead.
        message: String,
        /// The user's line.
        at: At,
    },
    /// A file could not be read or written.
    #[error("[file] {path}: {message}")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// What happened, and the way out.
        message: String,
    },
    /// An error of the device.
    #[error(transparent)]
    Device(#[from] kiln_device::Error),
    /// A stage broke an invariant of the graph: a bug in Kiln.
    #[error("[graph] {0}; this is a bug in Kiln, please report it")]
    Internal(String),
}

/// The result of a graph operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
