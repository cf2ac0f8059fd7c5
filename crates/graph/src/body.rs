//! Bodies of branches and loops: expressions of parameters alone.
//!
//! What a closure has made of its placeholders is closed before anything else is done with it: every tensor that it took
//! from outside becomes a parameter too. A body can then stand anywhere, be differentiated, and be rebuilt.

use std::collections::{HashMap, HashSet};

use kiln_device::DType;

use crate::error::{At, Error};
use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::{Kind, Tensor};
use crate::trace::{self, TraceId};

/// A body of a branch.
pub(crate) struct Closed {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) results: Vec<Tensor>,
}

/// What [`close`] makes of expressions.
pub(crate) struct Closing {
    /// The tensors that were taken from outside.
    pub(crate) captured: Vec<Tensor>,
    /// What stands for each.
    pub(crate) parameters: Vec<Tensor>,
    /// The expressions, of parameters.
    pub(crate) roots: Vec<Tensor>,
}

/// A parameter of a body or function being traced.
pub(crate) fn parameter(trace: TraceId, shape: Shape, dtype: DType, at: At) -> Tensor {
    match trace::active(trace) {
        Some(traced) => Tensor::new(Kind::Placeholder(traced), vec![], shape, dtype, at),
        None => Tensor::from_error(Error::Internal("a parameter outside of its trace".into()), at),
    }
}

/// A parameter of the form of a tensor.
pub(crate) fn like(trace: TraceId, tensor: &Tensor) -> Tensor {
    parameter(trace, tensor.shape().to_vec(), tensor.dtype(), tensor.node.at)
}

/// The numbers of some tensors.
pub(crate) fn ids<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> HashSet<u64> {
    tensors.into_iter().map(|t| t.node.id).collect()
}

/// Views that are free inside a body and no larger outside: they go in, so that what they show is captured.
pub(crate) fn goes_in(tensor: &Tensor) -> bool {
    let view =
        matches!(tensor.node.kind, Kind::Op(Op::Broadcast { .. } | Op::Reshape | Op::Transpose { .. }));
    view && tensor.node.value.get().is_none()
}

/// What the roots reach, inputs before outputs; what `stop` holds is not looked into.
pub(crate) fn reached(roots: &[Tensor], stop: impl Fn(&Tensor) -> bool) -> Vec<Tensor> {
    let mut order = vec![];
    let mut seen = HashSet::new();
    let mut stack: Vec<(Tensor, bool)> = roots.iter().rev().map(|t| (t.clone(), false)).collect();
    while let Some((tensor, entered)) = stack.pop() {
        if entered {
            order.push(tensor);
        } else if seen.insert(tensor.node.id) {
            stack.push((tensor.clone(), true));
            if !stop(&tensor) {
                stack.extend(tensor.node.inputs.iter().rev().map(|t| (t.clone(), false)));
            }
        }
    }
    order
}

/// The sources and all that is computed from them.
pub(crate) fn dependents(roots: &[Tensor], sources: &HashSet<u64>) -> HashSet<u64> {
    let mut found = sources.clone();
    let older = before(sources);
    for tensor in reached(roots, |t| older(t) || sources.contains(&t.node.id)) {
        if tensor.node.inputs.iter().any(|t| found.contains(&t.node.id)) {
            found.insert(tensor.node.id);
        }
    }
    found
}

/// Whether a tensor cannot have been computed from any of these: it was made before them, as its inputs were.
pub(crate) fn before(sources: &HashSet<u64>) -> impl Fn(&Tensor) -> bool + use<> {
    let first = sources.iter().min().copied().unwrap_or(u64::MAX);
    move |tensor| tensor.node.id < first
}

/// The expressions with other tensors in the place of some.
pub(crate) fn substitute(roots: &[Tensor], replaced: &HashMap<u64, Tensor>) -> Vec<Tensor> {
    let mut map = replaced.clone();
    for tensor in reached(roots, |t| replaced.contains_key(&t.node.id)) {
        let node = &tensor.node;
        if map.contains_key(&node.id) {
            continue;
        }
        let inputs: Vec<Tensor> = node.inputs.iter().map(|t| map[&t.node.id].clone()).collect();
        let changed = inputs.iter().zip(&node.inputs).any(|(a, b)| a.node.id != b.node.id);
        let made = match changed {
            true => Tensor::new(node.kind.clone(), inputs, node.shape.clone(), node.dtype, node.at),
            false => tensor.clone(),
        };
        map.insert(node.id, made);
    }
    roots.iter().map(|t| map[&t.node.id].clone()).collect()
}

/// Makes parameters of everything that the roots take from outside; constants are inside.
pub(crate) fn close(roots: &[Tensor], trace: TraceId, inside: impl Fn(&Tensor) -> bool) -> Closing {
    let constant = |t: &Tensor| matches!(t.node.kind, Kind::Op(_)) && t.node.inputs.is_empty();
    let stays = |t: &Tensor| constant(t) || inside(t) || goes_in(t);
    let captured: Vec<Tensor> = reached(roots, |t| !stays(t)).into_iter().filter(|t| !stays(t)).collect();
    let parameters: Vec<Tensor> = captured.iter().map(|t| like(trace, t)).collect();
    let replaced = captured.iter().map(|t| t.node.id).zip(parameters.iter().cloned()).collect();
    let roots = substitute(roots, &replaced);
    Closing { captured, parameters, roots }
}
