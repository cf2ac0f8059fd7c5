//! Branches and loops: from closed bodies to the graphs of a call.
//!
//! A loop carries values from turn to turn, reads one row of some arrays in each turn and writes one row of others. In
//! the graph the arrays are values too: constant ones read by a gather at the turn's row, and carried ones written by a
//! scatter of it, which happens in place. So the graph's loop knows carried values and constants, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use kiln_device::{DType, ScatterOp};

use crate::body::{Closed, close, dependents, ids, like, parameter, substitute};
use crate::build::{branch_graph, loop_graph};
use crate::bundle::{Source, bundle};
use crate::error::{At, Result};
use crate::op::{Call, Extended, Form, Loop, Op, Work};
use crate::tensor::Tensor;
use crate::trace::TraceId;

/// What a loop does in one turn, as expressions of its parameters.
#[derive(Clone)]
pub(crate) struct LoopBody {
    /// The number of the turn, `i32 []`.
    pub(crate) counter: Tensor,
    /// What is carried; the first is the flag where the loop is conditional.
    pub(crate) carried: Vec<Tensor>,
    /// One row each of the arrays that are read.
    pub(crate) rows: Vec<Tensor>,
    /// What does not change.
    pub(crate) constants: Vec<Tensor>,
    /// The row that is read and written, `i32 []`.
    pub(crate) row: Tensor,
    /// The carried values of the next turn.
    pub(crate) next: Vec<Tensor>,
    /// One row each of the arrays that are written.
    pub(crate) stacked: Vec<Tensor>,
    /// How often, or how often at most; the largest number is no bound.
    pub(crate) most: usize,
    /// Whether the first carried value says if there is another turn.
    pub(crate) conditional: bool,
}

/// What a loop starts from and reads.
pub(crate) struct LoopInputs {
    pub(crate) carried: Vec<Tensor>,
    pub(crate) arrays: Vec<Tensor>,
    /// For the constants that the body has already.
    pub(crate) constants: Vec<Tensor>,
}

/// A loop's results.
pub(crate) struct LoopResults {
    pub(crate) carried: Vec<Tensor>,
    /// How many turns there were, `i32 []`.
    pub(crate) turns: Tensor,
    pub(crate) arrays: Vec<Tensor>,
}

/// Where the kinds of inputs and results of a loop begin: carried values, then the counter, then what follows.
pub(crate) struct Layout {
    pub(crate) counter: usize,
    pub(crate) stacks: usize,
    pub(crate) arrays: usize,
    pub(crate) constants: usize,
    pub(crate) all: usize,
}

impl LoopBody {
    pub(crate) fn layout(&self) -> Layout {
        let counter = self.carried.len();
        let stacks = counter + 1;
        let arrays = stacks + self.stacked.len();
        let constants = arrays + self.rows.len();
        Layout { counter, stacks, arrays, constants, all: constants + self.constants.len() }
    }

    /// The parameters that differ from turn to turn.
    pub(crate) fn varying(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.counter).chain(&self.carried).chain(&self.rows)
    }

    /// All parameters.
    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        self.varying().chain(&self.constants)
    }
}

/// A scalar `i32`.
pub(crate) fn number(value: usize, at: At) -> Tensor {
    Tensor::constant(kiln_device::Value::I32(value.min(i32::MAX as usize) as i32), vec![], DType::I32, at)
}

/// A loop of a body that may still name tensors from outside; what it captures becomes constants of its own.
/// `extends` is a loop that this one's body is a continuation of, with its inputs.
pub(crate) fn make_loop(
    mut body: LoopBody,
    mut inputs: LoopInputs,
    trace: TraceId,
    extends: Option<(&Call, &LoopBody)>,
    at: At,
) -> Result<LoopResults> {
    for tensor in body.next.iter().chain(&body.stacked).chain([&body.row]) {
        tensor.check()?;
    }
    let roots = [&body.next[..], &body.stacked, std::slice::from_ref(&body.row)].concat();
    let inside = dependents(&roots, &ids(body.parameters()));
    let closing = close(&roots, trace, |t| inside.contains(&t.node.id));
    body.constants.extend(closing.parameters);
    inputs.constants.extend(closing.captured);
    let mut closed = closing.roots;
    body.row = closed.pop().unwrap_or(body.row);
    body.stacked = closed.split_off(body.next.len());
    body.next = closed;

    let stack = |row: &Tensor| [&[body.most], row.shape()].concat();
    let stacks: Vec<Tensor> =
        body.stacked.iter().map(|row| Tensor::full(&stack(row), 0.0, row.dtype())).collect();
    let all = [&inputs.carried[..], &[number(0, at)], &stacks, &inputs.arrays, &inputs.constants].concat();
    for tensor in &all {
        tensor.check()?;
    }
    let layout = body.layout();
    let looped = Loop {
        body: graph_of(&body, &inputs, trace, at)?,
        most: (body.most < usize::MAX).then_some(body.most),
        conditional: body.conditional,
        extends: extends.map(|(call, other)| Box::new(extended(call, other, &layout))),
    };
    let forms: Vec<Form> = all[..layout.arrays].iter().map(|t| (t.shape().to_vec(), t.dtype())).collect();
    let call = Arc::new(Call { results: forms.clone(), work: Work::Loop(looped) });
    let described: Vec<_> = all.iter().map(|t| (t.shape(), t.dtype())).collect();
    call.check(&described).map_err(crate::error::Error::Internal)?;
    let mut results = bundle(Source::Loop(call, Box::new(body)), all, forms, at);
    let arrays = results.split_off(layout.stacks);
    let turns = results.pop().unwrap_or_else(|| number(0, at));
    Ok(LoopResults { carried: results, turns, arrays })
}

/// Which inputs of a loop of this layout are those of a loop that it extends.
fn extended(call: &Call, other: &LoopBody, layout: &Layout) -> Extended {
    let narrow = other.layout();
    let tail = (layout.arrays..).take(narrow.constants - narrow.arrays);
    let constants = (layout.constants..).take(narrow.all - narrow.constants);
    Extended { call: call.clone(), inputs: (0..narrow.arrays).chain(tail).chain(constants).collect() }
}

/// The body with arrays in the place of rows, as a graph.
fn graph_of(body: &LoopBody, inputs: &LoopInputs, trace: TraceId, at: At) -> Result<crate::graph::Graph> {
    let arrays: Vec<Tensor> = inputs.arrays.iter().map(|t| like(trace, t)).collect();
    let gather = |(array, row): (&Tensor, &Tensor)| {
        let from = vec![array.clone(), body.row.clone()];
        (row.node.id, Tensor::op(Op::Gather, from, row.shape().to_vec(), row.dtype(), at))
    };
    let rows: HashMap<u64, Tensor> = arrays.iter().zip(&body.rows).map(gather).collect();
    let values = substitute(&[&body.next[..], &body.stacked].concat(), &rows);
    let (next, stacked) = values.split_at(body.next.len());
    let stack = |row: &Tensor| parameter(trace, [&[body.most], row.shape()].concat(), row.dtype(), at);
    let stacks: Vec<Tensor> = stacked.iter().map(stack).collect();
    let index = body.row.reshape_at(vec![1], at);
    let written = stacks.iter().zip(stacked).map(|(stack, row)| {
        let row = row.reshape_at([&[1], row.shape()].concat(), at);
        stack.scatter_rows(&index, &row, ScatterOp::Set, at)
    });
    let counted = body.counter.add_at(&number(1, at), at);
    let next: Vec<Tensor> = next.iter().cloned().chain([counted]).chain(written).collect();
    for tensor in &next {
        tensor.check()?;
    }
    let counter = std::slice::from_ref(&body.counter);
    loop_graph(&[&body.carried[..], counter, &stacks, &arrays, &body.constants].concat(), &next)
}

/// A branch that may still name tensors from outside.
pub(crate) struct OpenArm<'a> {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) results: Vec<Tensor>,
    /// Whether a tensor is computed in the branch.
    pub(crate) inside: Box<dyn Fn(&Tensor) -> bool + 'a>,
}

/// One of several branches, by `index` (`i32 []`). `passed` are the inputs of the parameters that all have; what they
/// capture is passed too.
pub(crate) fn make_switch(
    index: &Tensor,
    arms: Vec<OpenArm<'_>>,
    passed: &[Tensor],
    trace: TraceId,
    at: At,
) -> Result<Vec<Tensor>> {
    let mut captured: Vec<Tensor> = vec![];
    let mut closings = vec![];
    for arm in arms {
        let own = ids(&arm.parameters);
        let closing = close(&arm.results, trace, |t| own.contains(&t.node.id) || (arm.inside)(t));
        let new = closing.captured.iter().filter(|t| !captured.iter().any(|c| c.node.id == t.node.id));
        captured.extend(new.cloned().collect::<Vec<_>>());
        closings.push((arm.parameters, closing));
    }
    let mut closed = vec![];
    for (mut parameters, closing) in closings {
        for tensor in &captured {
            let known = closing.captured.iter().position(|t| t.node.id == tensor.node.id);
            parameters.push(known.map_or_else(|| like(trace, tensor), |n| closing.parameters[n].clone()));
        }
        closed.push(Closed { parameters, results: closing.roots });
    }
    let arms = closed.iter().map(|arm| branch_graph(&arm.parameters, &arm.results)).collect::<Result<_>>()?;
    let first = closed.first().map_or(&[][..], |arm| &arm.results);
    let forms: Vec<Form> = first.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect();
    let call = Arc::new(Call { results: forms.clone(), work: Work::Switch(arms) });
    let inputs = [std::slice::from_ref(index), passed, &captured].concat();
    for tensor in &inputs {
        tensor.check()?;
    }
    let described: Vec<_> = inputs.iter().map(|t| (t.shape(), t.dtype())).collect();
    call.check(&described).map_err(crate::error::Error::Internal)?;
    Ok(bundle(Source::Switch(call, closed), inputs, forms, at))
}
