//! What can go wrong in a graph.

use std::fmt;
use std::panic::Location;

use kiln_device::Cause;

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
    /// An error of the user's own code, in the closure of a function for instance; see [`Error::user`].
    #[error("[user] {source} (at {at})")]
    User {
        /// The error itself.
        source: Cause,
        /// Where it joined Kiln's.
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

impl Error {
    /// An error of any type, or a text, so that it passes through closures that return Kiln's: [`Error::source`] gives it
    /// back. The usual ones of the standard library convert by `?` alone; so do those that you implement `From` for.
    ///
    /// ```
    /// use std::error::Error as _;
    /// use kiln_graph::{Error, Function, Tensor};
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the scale {0} is not positive")]
    /// struct BadScale(f32);
    ///
    /// let scaled = Function::new("scaled", |x| {
    ///     let scale: f32 = "-2.5".parse()?;
    ///     if scale <= 0.0 {
    ///         return Err(Error::user(BadScale(scale)));
    ///     }
    ///     Ok(vec![&x[0] * scale])
    /// });
    /// let error = scaled.call(&[Tensor::ones(&[1])]).unwrap_err();
    /// assert!(error.to_string().starts_with("[user] the scale -2.5 is not positive (at "));
    /// assert_eq!(error.source().and_then(|e| e.downcast_ref::<BadScale>()).map(|e| e.0), Some(-2.5));
    /// ```
    ///
    /// [`Error::source`]: std::error::Error::source
    #[track_caller]
    pub fn user(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let at = At(Location::caller());
        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
        match error.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => Error::User { source: other.into(), at },
        }
    }
}

macro_rules! converted {
    ($($type:ty),* $(,)?) => { $(
        impl From<$type> for Error {
            #[track_caller]
            fn from(error: $type) -> Error {
                Error::user(error)
            }
        }
    )* };
}

converted! {
    Box<dyn std::error::Error + Send + Sync>,
    String,
    &str,
    std::array::TryFromSliceError,
    std::char::ParseCharError,
    std::env::VarError,
    fmt::Error,
    std::io::Error,
    std::num::ParseFloatError,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::sync::mpsc::RecvError,
    std::time::SystemTimeError,
}

/// The result of a graph operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
