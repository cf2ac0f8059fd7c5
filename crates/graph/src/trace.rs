//! What is being traced on this thread.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{At, Error, Result};
use crate::tensor::Tensor;
use crate::variable::Variable;

/// A number that no other trace of this process has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TraceId(u64);

/// The effects that a trace has recorded.
#[derive(Default)]
pub(crate) struct Recorded {
    /// The last assignment of each variable, in order of the first.
    pub(crate) assigns: Vec<(Variable, Tensor)>,
}

struct Active {
    id: TraceId,
    what: What,
    recorded: Recorded,
}

/// What is being traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A function: its variables are state, assignments are recorded.
    Function,
    /// A function of the host is running: nothing is traced and nothing can be computed.
    Host(&'static str),
}

thread_local! {
    static STACK: RefCell<Vec<Active>> = const { RefCell::new(Vec::new()) };
}

/// Ends the trace also where the traced closure panics.
struct Ender;

impl Drop for Ender {
    fn drop(&mut self) {
        STACK.with_borrow_mut(|stack| stack.pop());
    }
}

/// Runs `body` as a trace and returns its result with the effects recorded.
pub(crate) fn record<R>(what: What, body: impl FnOnce(TraceId) -> R) -> (R, Recorded) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = TraceId(NEXT.fetch_add(1, Ordering::Relaxed));
    STACK.with_borrow_mut(|stack| stack.push(Active { id, what, recorded: Recorded::default() }));
    let ender = Ender;
    let result = body(id);
    let recorded = STACK.with_borrow_mut(|stack| stack.last_mut().map(|a| std::mem::take(&mut a.recorded)));
    drop(ender);
    (result, recorded.unwrap_or_default())
}

/// Runs a function of the host: values cannot be computed in it, nor variables made or assigned.
pub(crate) fn host<R>(op: &'static str, body: impl FnOnce() -> R) -> R {
    record(What::Host(op), |_| body()).0
}

/// The function being traced on this thread.
pub(crate) fn current() -> Option<TraceId> {
    STACK.with_borrow(|stack| stack.iter().rev().find(|a| a.what == What::Function).map(|a| a.id))
}

/// Records an assignment in the current trace; false where there is none.
///
/// # Errors
/// Where what is being traced cannot assign.
pub(crate) fn assign(variable: &Variable, value: &Tensor, at: At) -> Result<bool> {
    STACK.with_borrow_mut(|stack| {
        let Some(active) = stack.last_mut() else {
            return Ok(false);
        };
        match active.what {
            What::Function => {}
            What::Host(op) => return Err(in_host(op, at)),
        }
        let assigns = &mut active.recorded.assigns;
        match assigns.iter_mut().find(|(v, _)| v == variable) {
            Some(entry) => entry.1 = value.clone(),
            None => assigns.push((variable.clone(), value.clone())),
        }
        Ok(true)
    })
}

/// The value that the current trace has assigned to a variable so far.
pub(crate) fn assigned(variable: &Variable) -> Option<Tensor> {
    STACK.with_borrow(|stack| {
        let active = stack.last()?;
        active.recorded.assigns.iter().find(|(v, _)| v == variable).map(|(_, t)| t.clone())
    })
}

fn in_host(op: &'static str, at: At) -> Error {
    let message = "tensors and variables cannot be used inside a function of the host: the device waits for it. Work on \
                   the arrays that it is passed";
    Error::Operation { op, message: message.into(), at }
}

/// An error where a value is read inside a trace.
pub(crate) fn forbid_reading(at: At) -> Result<()> {
    let what = STACK.with_borrow(|stack| stack.last().map(|a| a.what));
    match what {
        None => Ok(()),
        Some(What::Function) => Err(Error::Trace {
            message: "a value cannot be read while a function is traced: it is computed only when the function runs. \
                      Return the tensor from the function and read it outside, or branch with `Tensor::select`"
                .into(),
            at,
        }),
        Some(What::Host(op)) => Err(in_host(op, at)),
    }
}

/// An error where a variable is made inside a trace.
pub(crate) fn forbid_variables(at: At) -> Result<()> {
    let what = STACK.with_borrow(|stack| stack.last().map(|a| a.what));
    match what {
        None => Ok(()),
        Some(What::Function) => Err(Error::Trace {
            message:
                "a variable cannot be created while a function is traced: every call would make a new one. \
                      Create it before, and capture it"
                    .into(),
            at,
        }),
        Some(What::Host(op)) => Err(in_host(op, at)),
    }
}
