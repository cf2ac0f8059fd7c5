//! What goes wrong with queues.

use std::time::Duration;

use crate::error::{At, Error};

/// What went wrong with a queue.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The queue is closed and will not hold as many elements again.
    #[error("[{op}] the queue is closed and holds {held} elements, expected {wanted} (at {at})")]
    Closed {
        /// The operation.
        op: &'static str,
        /// How many elements were wanted; 0 for putting one in.
        wanted: usize,
        /// How many there are.
        held: usize,
        /// The user's line.
        at: At,
    },
    /// The queue was closed, and what waited to be put in was cancelled.
    #[error("[{op}] the queue is closed and takes no elements (at {at})")]
    Cancelled {
        /// The operation.
        op: &'static str,
        /// The user's line.
        at: At,
    },
    /// The time allowed is over.
    #[error(
        "[{op}] waited {waited:?} in vain; allow more with with_timeout, or fill or drain the queue (at {at})"
    )]
    TimedOut {
        /// The operation.
        op: &'static str,
        /// The time allowed.
        waited: Duration,
        /// The user's line.
        at: At,
    },
    /// A wrong argument, or values that could not be computed.
    #[error(transparent)]
    Operation(#[from] Error),
}
