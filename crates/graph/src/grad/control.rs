//! Gradients of branches and loops.
//!
//! A branch is differentiated inside a branch: what it computed is computed again, in the one that is taken. A loop is
//! run backwards by another one. What that needs of a turn is stacked by a wider copy of the loop (see
//! [`crate::op::Loop::extends`]), in whose place the narrow one is removed when the graph is built.

use std::collections::{HashMap, HashSet};

use kiln_device::{DType, Value};

use super::pull_back;
use crate::body::{Closed, dependents, goes_in, ids, like, parameter, reached, substitute};
use crate::control::{LoopBody, LoopInputs, OpenArm, make_loop, make_switch, number};
use crate::error::{At, Error, Result};
use crate::op::{Call, Op};
use crate::tensor::{Kind, Tensor};
use crate::trace::{self, TraceId, What};

/// The gradients of what a branch was passed.
pub(super) fn of_switch(
    bundle: &Tensor,
    arms: &[Closed],
    gs: &[Option<Tensor>],
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let (x, at) = (&bundle.node.inputs[..], bundle.node.at);
    let flows = |n: &usize| wanted[*n] && x[*n].dtype().is_float();
    let targets: Vec<usize> = (1..x.len()).filter(flows).collect();
    let given: Vec<usize> = (0..gs.len()).filter(|n| gs[*n].is_some()).collect();
    let cotangents: Vec<Tensor> = given.iter().filter_map(|n| gs[*n].clone()).collect();
    let traced = trace::record(What::Body("gradients"), |id| {
        let mut open = vec![];
        for arm in arms {
            let g: Vec<Tensor> = cotangents.iter().map(|t| like(id, t)).collect();
            let pairs: Vec<_> =
                given.iter().map(|n| arm.results[*n].clone()).zip(g.iter().cloned()).collect();
            let of: Vec<Tensor> = targets.iter().map(|n| arm.parameters[n - 1].clone()).collect();
            let found = pull_back(&pairs, &of)?;
            let results: Vec<Tensor> =
                found.into_iter().zip(&of).map(|(g, t)| g.unwrap_or_else(|| t.zeros_like())).collect();
            let parameters = [&arm.parameters[..], &g].concat();
            let inside = dependents(&results, &ids(&parameters));
            let inside = Box::new(move |t: &Tensor| inside.contains(&t.node.id));
            open.push(OpenArm { parameters, results, inside });
        }
        make_switch(&x[0], open, &[&x[1..], &cotangents].concat(), id, at)
    });
    let mut gradients = vec![None; x.len()];
    for (n, gradient) in targets.into_iter().zip(traced.0?) {
        gradients[n] = Some(gradient);
    }
    Ok(gradients)
}

/// The gradients of what a loop started from, read and captured.
pub(super) fn of_loop(
    bundle: &Tensor,
    call: &Call,
    body: &LoopBody,
    gs: &[Option<Tensor>],
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    if body.conditional && body.most == usize::MAX {
        let message = "a loop without a bound has no reverse-mode gradient: give maximum_iterations (fori_loop: \
                       constant ends), or pass its inputs through stop_gradient";
        return Err(Error::Operation { op: "while_loop", message: message.into(), at: bundle.node.at });
    }
    let backward = |id| Backward::new(id, bundle, body, gs, wanted)?.run(call, gs);
    trace::record(What::Body("gradients"), backward).0
}

/// One turn of the loop that runs backwards.
struct Backward<'a> {
    trace: TraceId,
    at: At,
    bundle: &'a Tensor,
    body: &'a LoopBody,
    /// The float values among the carried, and what stands for their gradients.
    carried: Vec<(usize, Tensor)>,
    /// The stacks whose gradients flow in, and what stands for a row of them.
    stacks: Vec<(usize, Tensor)>,
    /// Gradients of the carried values, in the order of `carried`.
    next: Vec<Tensor>,
    /// Arrays that are read, and the gradient of a row of each.
    rows: Vec<(usize, Tensor)>,
    /// Constants, and what a turn adds to the gradient of each.
    constants: Vec<(usize, Tensor)>,
}

impl<'a> Backward<'a> {
    fn new(
        trace: TraceId,
        bundle: &'a Tensor,
        body: &'a LoopBody,
        gs: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Backward<'a>> {
        let layout = body.layout();
        let stand_in = |list: &[Tensor], kept: &dyn Fn(usize) -> bool| -> Vec<(usize, Tensor)> {
            let kept = list.iter().enumerate().filter(|(n, t)| t.dtype().is_float() && kept(*n));
            kept.map(|(n, t)| (n, like(trace, t))).collect()
        };
        let carried = stand_in(&body.carried, &|_| true);
        let stacks = stand_in(&body.stacked, &|n| gs[layout.stacks + n].is_some());
        let of_carried = carried.iter().map(|(n, g)| (body.next[*n].clone(), g.clone()));
        let of_stacks = stacks.iter().map(|(n, g)| (body.stacked[*n].clone(), g.clone()));
        let pairs: Vec<(Tensor, Tensor)> = of_carried.chain(of_stacks).collect();
        let flows = |list: &[Tensor], first: usize| -> Vec<usize> {
            (0..list.len()).filter(|n| wanted[first + n] && list[*n].dtype().is_float()).collect()
        };
        let rows = flows(&body.rows, layout.arrays);
        let constants = flows(&body.constants, layout.constants);
        let targets: Vec<Tensor> = carried
            .iter()
            .map(|(n, _)| body.carried[*n].clone())
            .chain(rows.iter().map(|n| body.rows[*n].clone()))
            .chain(constants.iter().map(|n| body.constants[*n].clone()))
            .collect();
        let mut found = pull_back(&pairs, &targets)?.into_iter();
        let or_zeros = |(g, (_, t)): (Option<Tensor>, &(usize, Tensor))| g.unwrap_or_else(|| t.zeros_like());
        let next = found.by_ref().take(carried.len()).zip(&carried).map(or_zeros).collect();
        let present = |(n, g): (usize, Option<Tensor>)| g.map(|g| (n, g));
        let count = rows.len();
        let rows = rows.into_iter().zip(found.by_ref().take(count)).filter_map(present).collect();
        let constants = constants.into_iter().zip(found).filter_map(present).collect();
        Ok(Backward { trace, at: bundle.node.at, bundle, body, carried, stacks, next, rows, constants })
    }

    /// What the turn computes.
    fn roots(&self) -> Vec<Tensor> {
        let others = self.rows.iter().chain(&self.constants).map(|(_, g)| g.clone());
        self.next.iter().cloned().chain(others).collect()
    }

    /// What it needs of the turn forwards: values that depend on no gradient, as far back as they are cheap to compute
    /// from what the forward turn computes anyway; and the rows that it reads again.
    fn residuals(&self) -> (Vec<Tensor>, HashSet<u64>) {
        let (body, roots) = (self.body, self.roots());
        let cotangents = ids(self.carried.iter().chain(&self.stacks).map(|(_, g)| g));
        let varying = ids(body.varying());
        let after = dependents(&roots, &cotangents);
        let forward: Vec<Tensor> = body.next.iter().chain(&body.stacked).cloned().collect();
        let forward = dependents(&forward, &varying);
        let any = dependents(&roots, &varying.union(&cotangents).copied().collect());
        let carried = ids(&body.carried);
        let free = |t: &Tensor| !any.contains(&t.node.id) || cotangents.contains(&t.node.id);
        let keeps = |t: &Tensor| {
            let id = t.node.id;
            let known = !after.contains(&id) && !varying.contains(&id);
            carried.contains(&id) || known && !goes_in(t) && (forward.contains(&id) || !is_elementwise(t))
        };
        let seen = reached(&roots, |t| free(t) || varying.contains(&t.node.id) || keeps(t));
        let rows = ids(seen.iter().filter(|t| body.rows.iter().any(|r| r.node.id == t.node.id)));
        (seen.into_iter().filter(|t| !free(t) && keeps(t)).collect(), rows)
    }

    fn run(self, call: &Call, gs: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let (residuals, read) = self.residuals();
        // What the loop stacks anyway is not stacked again.
        let (known, rest): (Vec<Tensor>, Vec<Tensor>) =
            residuals.into_iter().partition(|t| self.body.stacked.iter().any(|y| y.node.id == t.node.id));
        let packs = pack(&rest);
        let (turns, stacked) = self.widened(call, &packs)?;
        let turns = if self.body.conditional { turns } else { number(self.body.most, self.at) };
        let counter = parameter(self.trace, vec![], DType::I32, self.at);
        // The turn forwards that this turn undoes, counted from the last.
        let forward = &turns - 1 - &counter;
        let mut replaced = HashMap::from([(self.body.counter.node.id, forward)]);
        let (mut rows, mut arrays) = self.reads(gs, &read, &mut replaced);
        for (y, stack) in self.body.stacked.iter().zip(&stacked) {
            if known.iter().any(|t| t.node.id == y.node.id) && !replaced.contains_key(&y.node.id) {
                rows.push(like(self.trace, y));
                arrays.push(stack.clone());
                replaced.insert(y.node.id, rows[rows.len() - 1].clone());
            }
        }
        for ((all, parts), stack) in packs.iter().zip(&stacked[self.body.stacked.len()..]) {
            let row = like(self.trace, all);
            unpack(&row, parts, &mut replaced);
            rows.push(row);
            arrays.push(stack.clone());
        }
        let mut roots = self.roots();
        roots.push(self.body.row.clone());
        let mut roots = substitute(&roots, &replaced);
        let row = roots.pop().unwrap_or_else(|| counter.clone());
        let added = roots.split_off(self.carried.len() + self.rows.len());
        let stacked = roots.split_off(self.carried.len());

        let (mut carried, mut next, mut start) = self.flag(&counter, &turns);
        let flags = carried.len();
        for ((n, g), value) in self.carried.iter().zip(roots) {
            carried.push(g.clone());
            next.push(value);
            start.push(gs[*n].clone().unwrap_or_else(|| self.zeros(g)));
        }
        for ((n, _), value) in self.constants.iter().zip(added) {
            let sum = like(self.trace, &self.body.constants[*n]);
            next.push(sum.add_at(&value, self.at));
            start.push(self.zeros(&sum));
            carried.push(sum);
        }
        let (most, conditional) = (self.body.most, self.body.conditional);
        let backward =
            LoopBody { counter, carried, rows, constants: vec![], row, next, stacked, most, conditional };
        let inputs = LoopInputs { carried: start, arrays, constants: vec![] };
        let results = make_loop(backward, inputs, self.trace, None, self.at)?;
        Ok(self.placed(results.carried.into_iter().skip(flags), results.arrays))
    }

    /// The rows that a turn reads and the arrays that they are of: gradients that flow in, and what the loop forwards
    /// read. What they stand for in the expressions is added to `replaced`, and the constants.
    fn reads(
        &self,
        gs: &[Option<Tensor>],
        read: &HashSet<u64>,
        replaced: &mut HashMap<u64, Tensor>,
    ) -> (Vec<Tensor>, Vec<Tensor>) {
        let (body, layout) = (self.body, self.body.layout());
        let x = &self.bundle.node.inputs;
        let mut rows: Vec<Tensor> = self.stacks.iter().map(|(_, g)| g.clone()).collect();
        let mut arrays: Vec<Tensor> =
            self.stacks.iter().filter_map(|(n, _)| gs[layout.stacks + n].clone()).collect();
        for (n, row) in body.rows.iter().enumerate().filter(|(_, row)| read.contains(&row.node.id)) {
            let again = like(self.trace, row);
            replaced.insert(row.node.id, again.clone());
            rows.push(again);
            arrays.push(x[layout.arrays + n].clone());
        }
        let constants = body.constants.iter().zip(&x[layout.constants..]);
        replaced.extend(constants.map(|(parameter, value)| (parameter.node.id, value.clone())));
        (rows, arrays)
    }

    /// The flag of a loop that ends when as many turns have been undone: as parameter, for the next turn, and at first.
    fn flag(&self, counter: &Tensor, turns: &Tensor) -> (Vec<Tensor>, Vec<Tensor>, Vec<Tensor>) {
        if !self.body.conditional {
            return (vec![], vec![], vec![]);
        }
        let flag = parameter(self.trace, vec![], DType::Bool, self.at);
        (vec![flag], vec![(counter + 1).less(turns)], vec![number(0, self.at).less(turns)])
    }

    fn zeros(&self, like: &Tensor) -> Tensor {
        let zero = Value::zero(like.dtype().scalar());
        Tensor::constant(zero, like.shape().to_vec(), like.dtype(), self.at)
    }

    /// The gradients at the places of the loop's inputs.
    fn placed(&self, mut carried: impl Iterator<Item = Tensor>, stacked: Vec<Tensor>) -> Vec<Option<Tensor>> {
        let layout = self.body.layout();
        let mut gradients = vec![None; layout.all];
        let first =
            |list: &[(usize, Tensor)], at: usize| list.iter().map(|(n, _)| at + n).collect::<Vec<_>>();
        for place in first(&self.carried, 0).into_iter().chain(first(&self.constants, layout.constants)) {
            gradients[place] = carried.next();
        }
        for (place, g) in first(&self.rows, layout.arrays).into_iter().zip(stacked) {
            gradients[place] = Some(g);
        }
        gradients
    }

    /// The number of turns, and all stacks, of a loop that does what this one does and stacks packed residuals as well.
    fn widened(&self, call: &Call, packs: &[Pack]) -> Result<(Tensor, Vec<Tensor>)> {
        let (body, layout) = (self.body, self.body.layout());
        if packs.is_empty() {
            let mut results = crate::bundle::results(self.bundle);
            let stacks = results.split_off(layout.stacks);
            return Ok((results[layout.counter].clone(), stacks));
        }
        let x = &self.bundle.node.inputs;
        let mut wide = body.clone();
        wide.stacked.extend(packs.iter().map(|(all, _)| all.clone()));
        let inputs = LoopInputs {
            carried: x[..layout.counter].to_vec(),
            arrays: x[layout.arrays..layout.constants].to_vec(),
            constants: x[layout.constants..].to_vec(),
        };
        let results = make_loop(wide, inputs, self.trace, Some((call, body)), self.at)?;
        Ok((results.turns, results.arrays))
    }
}

/// Values of one element type behind one another as a vector.
type Pack = (Tensor, Vec<Tensor>);

/// One vector for each element type.
fn pack(values: &[Tensor]) -> Vec<Pack> {
    let mut packs: Vec<Pack> = vec![];
    for dtype in DType::ALL {
        let of_type: Vec<Tensor> = values.iter().filter(|t| t.dtype() == dtype).cloned().collect();
        if !of_type.is_empty() {
            let flat: Vec<Tensor> = of_type.iter().map(|t| t.reshape(&[-1])).collect();
            packs.push((Tensor::concat(&flat, 0), of_type));
        }
    }
    packs
}

/// Lets parts of a vector stand for the values that were packed.
fn unpack(row: &Tensor, parts: &[Tensor], replaced: &mut HashMap<u64, Tensor>) {
    let mut first = 0i64;
    for part in parts {
        let last = first + part.len() as i64;
        let value = row.slice_axis(0, first, last).reshape_at(part.shape().to_vec(), part.node.at);
        replaced.insert(part.node.id, value);
        first = last;
    }
}

/// True for what costs little to compute again from its inputs.
fn is_elementwise(tensor: &Tensor) -> bool {
    let Kind::Op(op) = &tensor.node.kind else { return false };
    match op {
        Op::Constant(_) | Op::Iota { .. } | Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select => {
            true
        }
        Op::Cast | Op::Bitcast | Op::CheckIndex { .. } | Op::StopGradient | Op::Barrier => true,
        Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice { .. } | Op::Pad { .. } => true,
        Op::Window { .. } | Op::Unwindow { .. } => true,
        Op::Input(_) | Op::Random | Op::Reduce { .. } | Op::MatMul | Op::Conv { .. } => false,
        Op::Concat { .. } | Op::Gather | Op::Scatter { .. } | Op::ArgSort { .. } | Op::Scan { .. } => false,
        Op::Call(_) | Op::Result { .. } => false,
    }
}
