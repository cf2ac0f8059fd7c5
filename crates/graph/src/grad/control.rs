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
        let message = "a loop without a bound has no reverse-mode gradient: give maximum_iterations, or pass its inputs \
                       through stop_gradient";
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
        let (body, layout, at) = (self.body, self.body.layout(), self.at);
        let x = &self.bundle.node.inputs;
        let (residuals, read) = self.residuals();
        let packs = pack(&residuals);
        let (turns, saved) = self.widened(call, &packs)?;

        // The turn forwards that this turn undoes, counted from the last.
        let counter = parameter(self.trace, vec![], DType::I32, at);
        let turns = if body.conditional { turns } else { number(body.most, at) };
        let forward = &turns - 1 - &counter;
        let mut replaced = HashMap::from([(body.counter.node.id, forward)]);
        let mut rows: Vec<Tensor> = self.stacks.iter().map(|(_, g)| g.clone()).collect();
        let mut arrays: Vec<Tensor> =
            self.stacks.iter().filter_map(|(n, _)| gs[layout.stacks + n].clone()).collect();
        for (n, row) in body.rows.iter().enumerate().filter(|(_, row)| read.contains(&row.node.id)) {
            rows.push(like(self.trace, row));
            arrays.push(x[layout.arrays + n].clone());
            replaced.insert(row.node.id, rows[rows.len() - 1].clone());
        }
        for ((all, parts), stack) in packs.iter().zip(saved) {
            let row = like(self.trace, all);
            unpack(&row, parts, &mut replaced);
            rows.push(row);
            arrays.push(stack);
        }
        for (n, constant) in body.constants.iter().enumerate() {
            replaced.insert(constant.node.id, x[layout.constants + n].clone());
        }
        let mut roots = self.roots();
        roots.push(body.row.clone());
        let mut roots = substitute(&roots, &replaced);
        let row = roots.pop().unwrap_or_else(|| counter.clone());
        let added = roots.split_off(self.carried.len() + self.rows.len());
        let stacked = roots.split_off(self.carried.len());

        let flag = |turn: &Tensor| turn.less(&turns);
        let mut carried: Vec<Tensor> = vec![];
        let (mut next, mut start) = (vec![], vec![]);
        if body.conditional {
            carried.push(parameter(self.trace, vec![], DType::Bool, at));
            next.push(flag(&(&counter + 1)));
            start.push(flag(&number(0, at)));
        }
        let first = carried.len();
        for (((n, g), value), result) in
            self.carried.iter().zip(roots).map(|(c, v)| (c, v)).map(|(c, v)| ((c, v), &gs[c.0]))
        {
            carried.push(g.clone());
            next.push(value);
            let zeros =
                || Tensor::constant(Value::zero(g.dtype().scalar()), x[*n].shape().to_vec(), g.dtype(), at);
            start.push(result.clone().unwrap_or_else(zeros));
        }
        for ((n, _), value) in self.constants.iter().zip(added) {
            let sum = like(self.trace, &body.constants[*n]);
            next.push(sum.add_at(&value, at));
            start.push(body.constants[*n].zeros_like());
            carried.push(sum);
        }
        let (most, conditional) = (body.most, body.conditional);
        let backward =
            LoopBody { counter, carried, rows, constants: vec![], row, next, stacked, most, conditional };
        let inputs = LoopInputs { carried: start, arrays, constants: vec![] };
        let results = make_loop(backward, inputs, self.trace, None, at)?;

        let mut gradients = vec![None; x.len()];
        let mut values = results.carried.into_iter().skip(first);
        for ((n, _), g) in self.carried.iter().zip(values.by_ref()) {
            gradients[*n] = Some(g);
        }
        for ((n, _), g) in self.constants.iter().zip(values) {
            gradients[layout.constants + n] = Some(g);
        }
        for ((n, _), g) in self.rows.iter().zip(results.arrays) {
            gradients[layout.arrays + n] = Some(g);
        }
        Ok(gradients)
    }

    /// The number of turns, and the stacks of packed residuals, from a loop that does what this one's does and stacks
    /// them as well.
    fn widened(&self, call: &Call, packs: &[Pack]) -> Result<(Tensor, Vec<Tensor>)> {
        let (body, layout) = (self.body, self.body.layout());
        if packs.is_empty() {
            let results = crate::bundle::results(self.bundle);
            return Ok((results[layout.counter].clone(), vec![]));
        }
        let x = &self.bundle.node.inputs;
        let mut wide = body.clone();
        wide.stacked.extend(packs.iter().map(|(all, _)| all.clone()));
        let inputs = LoopInputs {
            carried: x[..layout.counter].to_vec(),
            arrays: x[layout.arrays..layout.constants].to_vec(),
            constants: x[layout.constants..].to_vec(),
        };
        let mut results = make_loop(wide, inputs, self.trace, Some((call, body)), self.at)?;
        Ok((results.turns, results.arrays.split_off(body.stacked.len())))
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
