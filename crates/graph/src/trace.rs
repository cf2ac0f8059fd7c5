//! What is being traced on this thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
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
    /// The last assignment of each variable, in their order.
    pub(crate) assigns: Vec<Assigned>,
    /// The variables whose present value a tensor was handed out as, by its number.
    handed_out: HashMap<u64, u64>,
}

/// An assignment of a trace.
#[derive(Clone)]
pub(crate) struct Assigned {
    pub(crate) variable: Variable,
    pub(crate) value: Tensor,
    /// The slab and the elements of it.
    pub(crate) slab: u64,
    pub(crate) range: Range<usize>,
}

struct Active {
    id: TraceId,
    what: What,
    turns: Turns,
    recorded: Recorded,
}

/// How often what is being traced as a body runs each time that its surroundings do.
#[derive(Clone)]
pub(crate) enum Turns {
    /// Once at most.
    Once,
    /// Many times; the number of the turn, `i32 []`.
    Numbered(Tensor),
    /// Nobody can say.
    Unknown,
}

/// What is being traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A function: its variables are state, assignments are recorded.
    Function,
    /// A branch or the body of a loop, of an operation: values and nothing else.
    Body(&'static str),
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
    let active = Active { id, what, turns: Turns::Unknown, recorded: Recorded::default() };
    STACK.with_borrow_mut(|stack| stack.push(active));
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
            What::Body(op) => {
                let message = "a variable cannot be assigned inside a branch or a loop: pass its value in, return the new \
                               one as a result, and assign that outside";
                return Err(Error::Operation { op, message: message.into(), at });
            }
            What::Host(op) => return Err(in_host(op, at)),
        }
        let assigns = &mut active.recorded.assigns;
        // In the order of the last assignments: a slab may be assigned between two of one of its variables.
        if let Some(known) = assigns.iter().position(|a| a.variable == *variable) {
            assigns.remove(known);
        }
        let (slab, offset) = variable.place();
        let range = offset..offset + variable.len();
        assigns.push(Assigned { variable: variable.clone(), value: value.clone(), slab: slab.id, range });
        Ok(true)
    })
}

/// Does something with the effects of the function being traced on this thread.
fn with_function<R>(then: impl FnOnce(&mut Recorded) -> R) -> Option<R> {
    STACK.with_borrow_mut(|stack| {
        let inner = stack.iter_mut().rev().find(|a| !matches!(a.what, What::Body(_)))?;
        (inner.what == What::Function).then(|| then(&mut inner.recorded))
    })
}

/// The assignments so far of the function being traced to elements of a slab, in their order.
pub(crate) fn assigned(slab: u64, range: &Range<usize>) -> Vec<Assigned> {
    let overlaps = |a: &&Assigned| {
        let same = a.range == *range;
        a.slab == slab && (same || a.range.start < range.end && range.start < a.range.end)
    };
    with_function(|recorded| recorded.assigns.iter().filter(overlaps).cloned().collect()).unwrap_or_default()
}

/// Remembers that a tensor is what a variable's value is at this point of the trace.
pub(crate) fn hand_out(variable: u64, tensor: &Tensor) {
    with_function(|recorded| recorded.handed_out.insert(tensor.node.id, variable));
}

/// The variable whose value at one point of the trace a tensor is.
pub(crate) fn handed_out(tensor: &Tensor) -> Option<u64> {
    with_function(|recorded| recorded.handed_out.get(&tensor.node.id).copied()).flatten()
}

/// Says how often the body being traced runs.
pub(crate) fn set_turns(turns: Turns) {
    STACK.with_borrow_mut(|stack| {
        if let Some(active) = stack.last_mut() {
            active.turns = turns;
        }
    });
}

/// The numbers of the turns of all loops whose bodies are being traced, from the outermost on.
///
/// # Errors
/// Where nobody can say which turn it is.
pub(crate) fn turns(at: At) -> Result<Vec<Tensor>> {
    STACK.with_borrow(|stack| {
        let first = stack.iter().rposition(|a| !matches!(a.what, What::Body(_))).map_or(0, |n| n + 1);
        let mut numbers = vec![];
        for active in &stack[first..] {
            match (&active.turns, active.what) {
                (Turns::Once, _) => {}
                (Turns::Numbered(turn), _) => numbers.push(turn.clone()),
                (Turns::Unknown, what) => {
                    let op = if let What::Body(op) = what { op } else { "random" };
                    let message = "random numbers cannot be drawn here, since they would be the same every time: draw a key \
                                   outside, and make one of it for each time";
                    return Err(Error::Operation { op, message: message.into(), at });
                }
            }
        }
        Ok(numbers)
    })
}

/// Puts back what [`outside`] has taken, also where its closure panics.
struct Restorer(Vec<Active>);

impl Drop for Restorer {
    fn drop(&mut self) {
        STACK.with_borrow_mut(|stack| stack.append(&mut self.0));
    }
}

/// Does something as if it stood before the bodies of branches and loops that are being traced.
pub(crate) fn outside<R>(then: impl FnOnce() -> R) -> R {
    let bodies = STACK.with_borrow_mut(|stack| {
        let first = stack.iter().rposition(|a| !matches!(a.what, What::Body(_))).map_or(0, |n| n + 1);
        stack.split_off(first)
    });
    let _restorer = Restorer(bodies);
    then()
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
        Some(What::Body(op)) => {
            let message = "a value cannot be read inside a branch or a loop: it is computed only when that runs. Return \
                           the tensor from it and read the result";
            Err(Error::Operation { op, message: message.into(), at })
        }
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
        Some(What::Body(op)) => {
            let message = "a variable cannot be created inside a branch or a loop: create it before";
            Err(Error::Operation { op, message: message.into(), at })
        }
        Some(What::Host(op)) => Err(in_host(op, at)),
    }
}
