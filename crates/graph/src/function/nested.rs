//! Functions that call functions: the closure of the inner one becomes a part of what is being traced.

use std::cell::RefCell;

use super::signature::{self, Signature};
use crate::error::{At, Error, Result};

/// How deep a function may call itself with ever new signatures, by halving its argument for instance.
const DEEPEST: usize = 64;

thread_local! {
    /// The functions whose closures run on this thread, outermost first: by address, which they keep while they run.
    static RUNNING: RefCell<Vec<(usize, Signature)>> = const { RefCell::new(Vec::new()) };
}

/// That a closure runs, until it is dropped.
pub(super) struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(|running| running.pop());
    }
}

/// Notes that the closure of a function runs.
///
/// # Errors
/// Where that would have no end: it runs for this signature already, or too deep.
pub(super) fn enter<F>(function: &F, name: &str, signature: &Signature, at: At) -> Result<Running> {
    let address = std::ptr::from_ref(function) as usize;
    RUNNING.with_borrow_mut(|running| {
        let mut own = running.iter().filter(|(a, _)| *a == address);
        let again = own.clone().any(|(_, known)| known == signature);
        if again || own.nth(DEEPEST - 1).is_some() {
            let message = format!(
                "{} calls itself {}: a trace of it has no end. Loop with `ops::while_loop`, `ops::fori_loop` or \
                 `ops::scan`, or in Rust over an ordinary function",
                signature::as_call(name, signature),
                if again { "with the same signature".into() } else { format!("more than {DEEPEST} times deep") }
            );
            return Err(Error::Trace { message, at });
        }
        running.push((address, signature.clone()));
        Ok(Running)
    })
}
