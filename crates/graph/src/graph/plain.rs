//! Plain graphs: as the expressions say, with nothing simplified, and the way from them to the graphs that run.
//!
//! What is simple depends on sizes: a mean over one element needs no division, two counts may be one constant. A plain
//! graph has the same nodes for every size, and [`simplified`] makes of it what building the graph at once would.

use std::cell::Cell;
use std::sync::Arc;

use super::{Graph, NodeId, subsume};
use crate::op::{Call, Extended, Loop, Op, Work};

thread_local! {
    static PLAIN: Cell<bool> = const { Cell::new(false) };
}

/// Ends also where the closure panics.
struct Ender(bool);

impl Drop for Ender {
    fn drop(&mut self) {
        PLAIN.set(self.0);
    }
}

/// Builds plain graphs meanwhile, on this thread.
pub(crate) fn plainly<R>(build: impl FnOnce() -> R) -> R {
    let _ender = Ender(PLAIN.replace(true));
    build()
}

/// Whether graphs built now on this thread are plain.
pub(crate) fn is_plain() -> bool {
    PLAIN.get()
}

/// What a graph is the graph of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Branch,
    Turn,
}

/// The graph that runs, of a plain one that has been verified.
pub(crate) fn simplified(plain: &Graph) -> Graph {
    of_part(plain, Part::Whole)
}

fn of_part(plain: &Graph, part: Part) -> Graph {
    let mut out = Graph::of_leaves(plain.leaves.clone());
    let mut map: Vec<NodeId> = Vec::with_capacity(plain.nodes.len());
    for node in &plain.nodes {
        let inputs = node.inputs.iter().map(|id| map[id.index()]).collect();
        let (shape, dtype, at) = (node.shape.clone(), node.dtype, node.at);
        let id = match &node.op {
            Op::Input(_) => out.insert(node.clone()),
            Op::Call(call) => out.add(Op::Call(Arc::new(of_call(call))), inputs, shape, dtype, at),
            op => out.add(op.clone(), inputs, shape, dtype, at),
        };
        map.push(id);
    }
    out.outputs = plain.outputs.iter().map(|id| map[id.index()]).collect();
    for assign in &plain.assigns {
        let mut assign = assign.clone();
        assign.value = map[assign.value.index()];
        if part == Part::Whole {
            assign.value = out.flat(assign.value);
        }
        if part != Part::Turn || parameter(plain, assign.leaf).map(|n| map[n]) != Some(assign.value) {
            out.assigns.push(assign);
        }
    }
    subsume(out)
}

/// The node of what a loop carries, which is a reshape of a flat leaf.
fn parameter(body: &Graph, leaf: usize) -> Option<usize> {
    let leaf = body.nodes.iter().position(|n| n.op == Op::Input(leaf))?;
    let is_one = |n: &super::Node| n.op == Op::Reshape && n.inputs[..] == [NodeId(leaf as u32)];
    body.nodes.iter().position(is_one)
}

fn of_call(call: &Call) -> Call {
    let branch = |arm: &Graph| of_part(arm, Part::Branch);
    let work = match &call.work {
        Work::Host(host) => Work::Host(host.clone()),
        Work::Switch(arms) => Work::Switch(arms.iter().map(branch).collect()),
        Work::Loop(looped) => Work::Loop(Loop {
            body: of_part(&looped.body, Part::Turn),
            extends: looped.extends.as_ref().map(|extended| {
                Box::new(Extended { call: of_call(&extended.call), inputs: extended.inputs.clone() })
            }),
            ..looped.clone()
        }),
    };
    Call { results: call.results.clone(), work }
}
