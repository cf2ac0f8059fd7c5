//! The rule of loops.
//!
//! A loop of a number of turns that all rows share runs once, over all rows. A loop whose condition differs between rows
//! runs until no row goes on; a row that has ended keeps its values. Where such a loop is run backwards, every row is at
//! another turn: its arrays are then looked up and written for each row on its own.

use std::collections::{HashMap, HashSet};

use kiln_device::{DType, ScatterOp};

use super::bundles::BODY;
use super::{Batched, Batcher, Sources};
use crate::body::{dependents, like, parameter};
use crate::control::{Layout, LoopBody, LoopInputs, LoopResults, make_loop};
use crate::error::{At, Result};
use crate::tensor::Tensor;
use crate::trace::{self, TraceId};

/// Which values of a loop differ between rows.
struct Differs {
    carried: Vec<bool>,
    rows: Vec<bool>,
    constants: Vec<bool>,
    /// The turns themselves: the condition does.
    turns: bool,
    /// The place in the arrays does.
    place: bool,
}

impl Differs {
    /// From what the loop starts with and reads, until nothing more comes to differ.
    fn new(body: &LoopBody, inputs: &[Batched], layout: &Layout) -> Differs {
        let of = |range: std::ops::Range<usize>| inputs[range].iter().map(Batched::is_rows).collect();
        let mut differs = Differs {
            carried: of(0..layout.counter),
            rows: of(layout.arrays..layout.constants),
            constants: of(layout.constants..layout.all),
            turns: false,
            place: false,
        };
        loop {
            let reached = differs.reached(body);
            let next: Vec<bool> = body
                .next
                .iter()
                .zip(&differs.carried)
                .map(|(t, before)| differs.turns || *before || reached.contains(&t.node.id))
                .collect();
            differs.place = reached.contains(&body.row.node.id);
            let turns = body.conditional && next[0];
            let known = next == differs.carried && turns == differs.turns;
            (differs.carried, differs.turns) = (next, turns);
            if known {
                return differs;
            }
        }
    }

    /// All that is computed from what differs.
    fn reached(&self, body: &LoopBody) -> HashSet<u64> {
        let kept = |list: &[Tensor], differs: &[bool]| -> Vec<u64> {
            list.iter().zip(differs).filter(|(_, differs)| **differs).map(|(t, _)| t.node.id).collect()
        };
        let mut starts: HashSet<u64> = HashSet::new();
        starts.extend(kept(&body.carried, &self.carried));
        starts.extend(kept(&body.rows, &self.rows));
        starts.extend(kept(&body.constants, &self.constants));
        let roots = [&body.next[..], &body.stacked, std::slice::from_ref(&body.row)].concat();
        dependents(&roots, &starts)
    }
}

/// A parameter of all rows, where its value differs between them.
fn stand_in(id: TraceId, one: &Tensor, rows: Option<usize>) -> Tensor {
    match rows {
        Some(rows) => parameter(id, [&[rows], one.shape()].concat(), one.dtype(), one.node.at),
        None => like(id, one),
    }
}

/// What every batched loop begins with.
struct Begun {
    counter: Tensor,
    carried: Vec<Tensor>,
    constants: Vec<Tensor>,
    sources: Sources,
}

fn of(tensor: Tensor, rows: bool) -> Batched {
    if rows { Batched::Rows(tensor) } else { Batched::Same(tensor) }
}

/// The first two axes exchanged: turns and rows.
fn exchanged(x: &Tensor) -> Tensor {
    x.swap_axes(0, 1)
}

impl Batcher {
    pub(super) fn looped(&self, body: &LoopBody, inputs: &[Batched], at: At) -> Result<Vec<Batched>> {
        let layout = body.layout();
        let differs = Differs::new(body, inputs, &layout);
        let traced = trace::record(BODY, |id| match differs.turns || differs.place {
            false => self.together(id, body, inputs, &differs, at),
            true => self.apart(id, body, inputs, &differs, at),
        });
        traced.0
    }

    /// Parameters for the carried values or constants, and what they stand for.
    fn parameters(
        &self,
        id: TraceId,
        list: &[Tensor],
        differs: &[bool],
        sources: &mut Sources,
    ) -> Vec<Tensor> {
        let one = |(t, rows): (&Tensor, &bool)| {
            let own = stand_in(id, t, rows.then_some(self.rows));
            sources.insert(t.node.id, of(own.clone(), *rows));
            own
        };
        list.iter().zip(differs).map(one).collect()
    }

    /// Inputs, of all rows where they differ.
    fn given(&self, inputs: &[Batched], differs: &[bool]) -> Vec<Tensor> {
        let one = |(v, rows): (&Batched, &bool)| if *rows { self.rows_of(v) } else { v.tensor().clone() };
        inputs.iter().zip(differs).map(one).collect()
    }

    /// The body's loop as one of all rows: its counter, carried values and constants, and what they stand for.
    fn begun(&self, id: TraceId, body: &LoopBody, differs: &Differs) -> Begun {
        let mut sources: Sources = HashMap::new();
        let counter = like(id, &body.counter);
        sources.insert(body.counter.node.id, Batched::Same(counter.clone()));
        let carried = self.parameters(id, &body.carried, &differs.carried, &mut sources);
        let constants = self.parameters(id, &body.constants, &differs.constants, &mut sources);
        Begun { counter, carried, constants, sources }
    }

    /// All rows make the same turns.
    fn together(
        &self,
        id: TraceId,
        body: &LoopBody,
        inputs: &[Batched],
        differs: &Differs,
        at: At,
    ) -> Result<Vec<Batched>> {
        let layout = body.layout();
        let Begun { counter, carried, constants, mut sources } = self.begun(id, body, differs);
        let rows = self.parameters(id, &body.rows, &differs.rows, &mut sources);
        let roots = [&body.next[..], &body.stacked, std::slice::from_ref(&body.row)].concat();
        let mut found = self.run(&roots, sources)?;
        let row = found.pop().map_or_else(|| counter.clone(), |v| v.tensor().clone());
        let stacks = found.split_off(body.next.len());
        let next = self.given(&found, &differs.carried);
        let stacked = stacks.iter().map(|v| v.tensor().clone()).collect();
        let (most, conditional) = (body.most, body.conditional);
        let batched = LoopBody { counter, carried, rows, constants, row, next, stacked, most, conditional };
        let mut arrays = self.given(&inputs[layout.arrays..layout.constants], &differs.rows);
        for (array, _) in arrays.iter_mut().zip(&differs.rows).filter(|(_, rows)| **rows) {
            *array = exchanged(array);
        }
        let given = LoopInputs {
            carried: self.given(&inputs[..layout.counter], &differs.carried),
            arrays,
            constants: self.given(&inputs[layout.constants..], &differs.constants),
        };
        let LoopResults { carried, turns, arrays } = make_loop(batched, given, id, None, at)?;
        let carried = carried.into_iter().zip(&differs.carried).map(|(t, rows)| of(t, *rows));
        let arrays = arrays.iter().zip(&stacks).map(|(t, v)| match v.is_rows() {
            true => Batched::Rows(exchanged(t)),
            false => Batched::Same(t.clone()),
        });
        Ok(carried.chain([Batched::Same(turns)]).chain(arrays).collect())
    }

    /// Rows make different turns, or stand at different places of the arrays. Carried: whether any row goes on, the
    /// loop's own values, the number of turns of each row, and the arrays that are written.
    fn apart(
        &self,
        id: TraceId,
        body: &LoopBody,
        inputs: &[Batched],
        differs: &Differs,
        at: At,
    ) -> Result<Vec<Batched>> {
        let layout = body.layout();
        let Begun { counter, carried, mut constants, mut sources } = self.begun(id, body, differs);
        let turns = parameter(id, vec![self.rows], DType::I32, at);
        // Without a condition of its own, every row goes on to the end.
        let active = if differs.turns {
            carried[0].clone()
        } else {
            self.repeated(&Tensor::full(&[], 1.0, DType::Bool))
        };
        let inner = self.masked(&active);
        let row = inner.run(std::slice::from_ref(&body.row), sources.clone())?.remove(0);
        let row = self.rows_of(&row);
        for (n, one) in body.rows.iter().enumerate() {
            let value = &inputs[layout.arrays + n];
            let array = like(id, value.tensor());
            let place = row.maximum(0).minimum(body.most.min(i32::MAX as usize).saturating_sub(1) as i32);
            let looked_up = self.gather(&[of(array.clone(), value.is_rows()), Batched::Rows(place)], at);
            sources.insert(one.node.id, Batched::Rows(looked_up));
            constants.push(array);
        }
        let roots = [&body.next[..], &body.stacked].concat();
        let mut found = inner.run(&roots, sources)?;
        let stacked = found.split_off(body.next.len());
        let stacks: Vec<Tensor> = body
            .stacked
            .iter()
            .map(|t| parameter(id, [&[self.rows, body.most], t.shape()].concat(), t.dtype(), at))
            .collect();
        let mut next = vec![];
        for ((value, before), rows) in found.iter().zip(&carried).zip(&differs.carried) {
            next.push(match (rows, differs.turns) {
                (true, true) => self.choose(&active, &self.rows_of(value), before, at),
                (true, false) => self.rows_of(value),
                (false, _) => value.tensor().clone(),
            });
        }
        if differs.turns {
            next[0] = next[0].logical_and(&active);
        }
        next.push(&turns + active.cast(DType::I32));
        let place = Tensor::select(&active, &row, -1).reshape_at(vec![self.rows, 1], at);
        for (stack, value) in stacks.iter().zip(&stacked) {
            let update = self.rows_of(value);
            let update = update.reshape_at([&[self.rows, 1], &update.shape()[1..]].concat(), at);
            let parts = [stack.clone(), place.clone(), update].map(Batched::Rows);
            next.push(self.scatter(ScatterOp::Set, &parts, at));
        }
        let any = |flags: &Tensor| if differs.turns { flags.any(()) } else { flags.clone() };
        let mut start = self.given(&inputs[..layout.counter], &differs.carried);
        if let (true, Some(mask)) = (differs.turns, &self.mask) {
            start[0] = start[0].logical_and(mask);
        }
        start.push(Tensor::full(&[self.rows], 0.0, DType::I32));
        start.extend(stacks.iter().map(Tensor::zeros_like));
        let mut all = [&carried[..], &[turns], &stacks].concat();
        if body.conditional {
            let flag = parameter(id, vec![], DType::Bool, at);
            all.insert(0, flag);
            next.insert(0, any(&next[0]));
            start.insert(0, any(&start[0]));
        }
        let (most, conditional) = (body.most, body.conditional);
        let row = counter.clone();
        let (rows, arrays, stacked) = (vec![], vec![], vec![]);
        let batched =
            LoopBody { counter, carried: all, rows, constants, row, next, stacked, most, conditional };
        let mut given = self.given(&inputs[layout.constants..], &differs.constants);
        given.extend(inputs[layout.arrays..layout.constants].iter().map(|v| v.tensor().clone()));
        let given = LoopInputs { carried: start, arrays, constants: given };
        let results = make_loop(batched, given, id, None, at)?;
        let own = results.carried.into_iter().skip(usize::from(body.conditional));
        let which = differs.carried.iter().copied().chain(std::iter::repeat(true));
        Ok(own.zip(which).map(|(t, rows)| of(t, rows)).collect())
    }
}
