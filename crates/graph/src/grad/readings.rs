//! Targets that are readings of variables.
//!
//! A variable that is read, assigned and read again has given two tensors. Who asks for the gradient with respect to the
//! second means the variable, of which the loss has read the first.

use super::pull_back;
use crate::body::{ids, reached};
use crate::error::{At, Error, Result};
use crate::tensor::{Kind, Tensor};
use crate::trace::{self, TraceId};

/// What was read, and by which trace.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Read {
    variable: u64,
    trace: Option<TraceId>,
    /// After an assignment of the trace.
    assigned: bool,
}

fn read_of(tensor: &Tensor) -> Option<Read> {
    if let Kind::Variable(reading) = &tensor.node.kind {
        return Some(Read { variable: reading.variable, trace: reading.trace, assigned: false });
    }
    let variable = trace::handed_out(tensor)?;
    Some(Read { variable, trace: trace::current(), assigned: true })
}

/// The gradient with respect to a target that `y` does not depend on: that of the other readings of its variable that `y`
/// has been computed from.
///
/// # Errors
/// Where these are not of the same trace or several at different points of it.
pub(super) fn of_others(
    y: &Tensor,
    cotangent: &Tensor,
    target: &Tensor,
    nodes: &[Tensor],
    at: At,
) -> Result<Option<Tensor>> {
    let Some(wanted) = read_of(target) else { return Ok(None) };
    if ids(nodes).contains(&target.node.id) {
        return Ok(None);
    }
    let same = |t: &&Tensor| read_of(t).is_some_and(|read| read.variable == wanted.variable);
    let found: Vec<Tensor> = nodes.iter().filter(same).cloned().collect();
    let error = |message: &str| {
        let message = format!("{message}. Keep the tensor that the loss has read, and pass that");
        Err(Error::Operation { op: "gradients", message, at })
    };
    if found.is_empty() {
        if nodes.iter().any(|t| share(t, target)) {
            return error("the loss has read the elements of this variable as another one, of the same slab");
        }
        return Ok(None);
    }
    if found.iter().any(|t| read_of(t).is_some_and(|read| read.trace != wanted.trace)) {
        return error(
            "the loss has read this variable outside of the function being traced, or inside of another one",
        );
    }
    if found.len() > 1 && found.iter().any(|t| read_of(t).is_some_and(|read| read.assigned)) {
        return error("the loss has read this variable before and after an assignment");
    }
    let gradients = pull_back(&[(y.clone(), cotangent.clone())], &found)?;
    Ok(gradients.into_iter().flatten().reduce(|sum, gradient| sum.add_at(&gradient, at)))
}

/// Whether two readings have elements in common.
fn share(a: &Tensor, b: &Tensor) -> bool {
    let (Kind::Variable(x), Kind::Variable(y)) = (&a.node.kind, &b.node.kind) else { return false };
    x.slab.id == y.slab.id && x.offset < y.offset + b.len() && y.offset < x.offset + a.len()
}

/// All that a tensor has been computed from.
pub(super) fn all_of(y: &Tensor) -> Vec<Tensor> {
    reached(std::slice::from_ref(y), |_| false)
}

/// Whether a tensor is what a variable was at some moment.
pub(super) fn is_reading(tensor: &Tensor) -> bool {
    read_of(tensor).is_some()
}
