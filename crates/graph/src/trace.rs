//! What is being traced on this thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{At, Error, Result};
use crate::tensor::{Tensor, next_id};
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
    /// The latest of these of each variable, until one of its elements is assigned.
    present: HashMap<u64, (Tensor, u64, Range<usize>)>,
    /// Whether variables were created.
    pub(crate) created: bool,
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
    traced: Arc<Traced>,
    /// Whether variables may be created.
    creates: bool,
    turns: Turns,
    recorded: Recorded,
}

/// One trace, as its placeholders know it.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) id: TraceId,
    what: What,
    name: String,
    /// Tensors of smaller numbers were made before its end; the largest number while it goes on.
    ended: AtomicU64,
}

impl Traced {
    /// True for a tensor that was made before the end.
    pub(crate) fn has_made(&self, tensor: &Tensor) -> bool {
        tensor.node.id < self.ended.load(Ordering::Relaxed)
    }

    /// Whether it goes on, on this thread or another.
    pub(crate) fn is_active(&self) -> bool {
        self.ended.load(Ordering::Relaxed) == u64::MAX
    }
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Function => write!(f, "function `{}`", self.name),
            What::Body(op) | What::Host(op) => write!(f, "the body of a `{op}`"),
        }
    }
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
        let ended = STACK.with_borrow_mut(Vec::pop);
        if let Some(active) = &ended {
            active.traced.ended.store(next_id(), Ordering::Relaxed);
        }
        // Dropped here, outside of the borrow: what it recorded may hold the last of other tensors.
        drop(ended);
    }
}

/// Runs the body of an operation as a trace and returns its result with the effects recorded.
pub(crate) fn record<R>(what: What, body: impl FnOnce(TraceId) -> R) -> (R, Recorded) {
    begin(what, String::new(), false, body)
}

/// Runs the closure of a function as a trace, in which variables may be created or not.
pub(crate) fn record_function<R>(
    name: &str,
    creates: bool,
    body: impl FnOnce(TraceId) -> R,
) -> (R, Recorded) {
    begin(What::Function, name.to_owned(), creates, body)
}

fn begin<R>(what: What, name: String, creates: bool, body: impl FnOnce(TraceId) -> R) -> (R, Recorded) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = TraceId(NEXT.fetch_add(1, Ordering::Relaxed));
    let traced = Arc::new(Traced { id, what, name, ended: AtomicU64::new(u64::MAX) });
    let active = Active { traced, creates, turns: Turns::Unknown, recorded: Recorded::default() };
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
    let function = |a: &&Active| a.traced.what == What::Function;
    STACK.with_borrow(|stack| stack.iter().rev().find(function).map(|a| a.traced.id))
}

/// A trace that goes on on this thread, for its placeholders.
pub(crate) fn active(id: TraceId) -> Option<Arc<Traced>> {
    STACK.with_borrow(|stack| stack.iter().rev().find(|a| a.traced.id == id).map(|a| a.traced.clone()))
}

fn innermost() -> Option<Arc<Traced>> {
    STACK.with_borrow(|stack| stack.last().map(|a| a.traced.clone()))
}

/// Whether a call of a function becomes a part of what is being traced.
///
/// # Errors
/// Inside a function of the host.
pub(crate) fn is_inside(at: At) -> Result<bool> {
    match innermost().map(|traced| traced.what) {
        Some(What::Host(op)) => Err(in_host(op, at)),
        Some(What::Function | What::Body(_)) => Ok(true),
        None => Ok(false),
    }
}

/// Whether anything is being traced on this thread.
pub(crate) fn is_active() -> bool {
    STACK.with_borrow(|stack| !stack.is_empty())
}

/// Records an assignment in the current trace; false where there is none.
///
/// # Errors
/// Where what is being traced cannot assign.
pub(crate) fn assign(variable: &Variable, value: &Tensor, at: At) -> Result<bool> {
    let (slab, offset) = variable.place();
    let range = offset..offset + variable.len();
    // What is replaced is dropped outside of the borrow: it may hold the last of other tensors.
    let replaced = STACK.with_borrow_mut(|stack| {
        let Some(active) = stack.last_mut() else {
            return Ok(None);
        };
        match active.traced.what {
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
        let known = assigns.iter().position(|a| a.slab == slab.id && a.range == range);
        let replaced = known.map(|n| assigns.remove(n));
        let past = active.recorded.present.extract_if(|_, (_, other, theirs)| {
            *other == slab.id && theirs.start < range.end && range.start < theirs.end
        });
        let past: Vec<_> = past.collect();
        assigns.push(Assigned { variable: variable.clone(), value: value.clone(), slab: slab.id, range });
        Ok(Some((replaced, past)))
    })?;
    Ok(replaced.is_some())
}

/// Does something with the effects of the function being traced on this thread.
fn with_function<R>(then: impl FnOnce(&mut Recorded) -> R) -> Option<R> {
    STACK.with_borrow_mut(|stack| {
        let inner = stack.iter_mut().rev().find(|a| !matches!(a.traced.what, What::Body(_)))?;
        (inner.traced.what == What::Function).then(|| then(&mut inner.recorded))
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
pub(crate) fn hand_out(variable: u64, tensor: &Tensor, slab: u64, range: Range<usize>) {
    with_function(|recorded| {
        recorded.handed_out.insert(tensor.node.id, variable);
        recorded.present.insert(variable, (tensor.clone(), slab, range))
    });
}

/// What has been handed out as a variable's value at this point of the trace.
pub(crate) fn present(variable: u64) -> Option<Tensor> {
    with_function(|recorded| recorded.present.get(&variable).map(|(tensor, ..)| tensor.clone())).flatten()
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
        let first = stack.iter().rposition(|a| !matches!(a.traced.what, What::Body(_))).map_or(0, |n| n + 1);
        let mut numbers = vec![];
        for active in &stack[first..] {
            match (&active.turns, active.traced.what) {
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
        let first = stack.iter().rposition(|a| !matches!(a.traced.what, What::Body(_))).map_or(0, |n| n + 1);
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

/// An error inside a trace where something is asked for that is not a part of it.
pub(crate) fn forbid(action: &str, at: At) -> Result<()> {
    let Some(traced) = innermost() else { return Ok(()) };
    match traced.what {
        What::Host(op) => Err(in_host(op, at)),
        What::Function | What::Body(_) => {
            let message = format!("{action} while {traced} is being traced; do it before");
            Err(Error::Trace { message, at })
        }
    }
}

/// An error where a value that is not computed yet is read inside a trace.
pub(crate) fn forbid_reading(at: At) -> Result<()> {
    let Some(traced) = innermost() else { return Ok(()) };
    match traced.what {
        What::Function => {
            let message = format!(
                "a value cannot be read while {traced} is being traced: it is computed only when the function runs. \
                 Return the tensor and read it outside; to branch on it use `ops::cond` or `Tensor::select`, to loop \
                 `ops::while_loop`, to compute with it in Rust `host_call`"
            );
            Err(Error::Trace { message, at })
        }
        What::Body(op) => {
            let message = "a value cannot be read inside a branch or a loop: it is computed only when that runs. Return \
                           the tensor and read the result; to branch on it use `ops::cond` or `Tensor::select`, to \
                           compute with it in Rust `host_call`";
            Err(Error::Operation { op, message: message.into(), at })
        }
        What::Host(op) => Err(in_host(op, at)),
    }
}

/// Notes that a variable is made; an error where the trace may not.
pub(crate) fn create_variable(at: At) -> Result<()> {
    STACK.with_borrow_mut(|stack| {
        let Some(active) = stack.last_mut() else { return Ok(()) };
        match active.traced.what {
            What::Function if active.creates => {
                active.recorded.created = true;
                Ok(())
            }
            What::Function => {
                let message = format!(
                    "{} creates a variable whenever it is traced, so that there would be one for every signature. Create \
                     it before, or build the model before; or create it at the first call alone and keep it",
                    active.traced
                );
                Err(Error::Trace { message, at })
            }
            What::Body(op) => {
                let message = "a variable cannot be created inside a branch or a loop: create it, or build the model, \
                               before";
                Err(Error::Operation { op, message: message.into(), at })
            }
            What::Host(op) => Err(in_host(op, at)),
        }
    })
}
