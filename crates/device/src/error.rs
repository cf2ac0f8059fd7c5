//! What can go wrong on a device.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::dtype::DType;

/// An error of code that is not Kiln's, kept as it is: it derefs to that error, and equals itself alone.
#[derive(Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl From<Box<dyn std::error::Error + Send + Sync>> for Cause {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Cause {
        Cause(error.into())
    }
}

impl Deref for Cause {
    type Target = dyn std::error::Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An error of a device, its buffers or its kernels.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device asked for is not there.
    #[error("[device] no device named `{asked}`; available: {available}{hint}")]
    UnknownDevice {
        /// The name asked for.
        asked: String,
        /// What there is, comma separated.
        available: String,
        /// What to do instead, with its separator, or nothing.
        hint: String,
    },
    /// The driver refused to give a device.
    #[error("[device] `{device}` could not be opened: {reason}")]
    Open {
        /// The adapter's name.
        device: String,
        /// The driver's words.
        reason: String,
    },
    /// Memory ran out, on the device or against its budget.
    #[error(
        "[memory] {requested} bytes do not fit on `{device}`: {in_use} bytes in use, {limit} allowed; use a smaller \
         batch, drop tensors, or raise the budget. Largest live buffers: {largest}"
    )]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// Bytes asked for.
        requested: u64,
        /// Bytes in use when asked.
        in_use: u64,
        /// The budget or the device's limit.
        limit: u64,
        /// The ten largest live buffers in bytes.
        largest: String,
    },
    /// A size is above a limit of the device.
    #[error("[{what}] {value} is above the limit {limit} of `{device}`; {hint}")]
    Limit {
        /// What was too large.
        what: &'static str,
        /// Its size.
        value: u64,
        /// The most there may be.
        limit: u64,
        /// The device's name.
        device: String,
        /// The way out.
        hint: &'static str,
    },
    /// The device has no elements of a type.
    #[error(
        "[{op}] {dtype} is not available on the device `{device}`: WGSL has no 64-bit {kind}; cast to {narrower}, or use \
         Device::cpu(){at}", kind = if dtype.is_float() { "floats" } else { "integers" },
        narrower = if dtype.is_float() { "float32" } else { "int32" }
    )]
    Unsupported {
        /// What needed it.
        op: String,
        /// The type.
        dtype: DType,
        /// The device's name.
        device: String,
        /// The user's file and line, with its separator, or nothing.
        at: String,
    },
    /// A product of sizes does not fit.
    #[error("[size] {what} overflows: {detail}; use smaller dimensions")]
    SizeOverflow {
        /// What was computed.
        what: &'static str,
        /// The factors.
        detail: String,
    },
    /// An index read from data was out of range. A CPU says so with the run. A GPU tells the thread of the run, with
    /// the next value that it reads, and the first other one that reads something made by runs of that thread.
    /// The run goes on with some valid index instead, and so do variables that it assigns.
    #[error("[{op}] index {value} at position {position} is out of range, expected 0 ≤ index < {bound}{at}")]
    IndexOutOfRange {
        /// The operation that read it.
        op: String,
        /// The first bad value.
        value: i64,
        /// Its flat position in the index tensor.
        position: u64,
        /// The number of valid indices.
        bound: u64,
        /// The user's file and line, with its separator, or nothing.
        at: String,
    },
    /// A function of the host that a program calls failed.
    #[error("[{op}] {message}{at}")]
    Host {
        /// The operation that called it.
        op: String,
        /// Its words.
        message: String,
        /// The user's file and line, with its separator, or nothing.
        at: String,
        /// The error that the function returned, where it did.
        source: Option<Cause>,
    },
    /// The device is gone; everything on it is lost.
    #[error("[device] `{device}` was lost: {reason}; open it again and restore from a checkpoint")]
    Lost {
        /// The device's name.
        device: String,
        /// The driver's words.
        reason: String,
    },
    /// A buffer of another device, or of the wrong size, was passed.
    #[error("[buffer] {0}")]
    Buffer(String),
    /// A kernel broke the contract: a bug in Kiln.
    #[error("[kernel] {0}; this is a bug in Kiln, please report it")]
    Kernel(String),
}

/// The result of a device operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
