//! The last rewriting before fusion: long reductions in two stages, and a place of its own for everything stored.
//!
//! Afterwards every output, every assigned value and every part of a concatenation is computed by a node that nothing
//! else claims, so that its kernel can write it where it belongs.

use kiln_device::ReduceOp;

use crate::graph::{Graph, Node, NodeId};
use crate::op::{Op, without};

/// A node's value is stored as a range of another's: `part` of the concatenation `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) of: NodeId,
    /// First coordinate along the axis of the concatenation.
    pub(crate) start: usize,
}

/// A graph ready for fusion.
pub(crate) struct Prepared {
    pub(crate) graph: Graph,
    pub(crate) live: Vec<bool>,
    /// For every node that is a part of a concatenation, which.
    pub(crate) part: Vec<Option<Part>>,
}

/// A reduction of fewer results than this, of more elements each than [`LONG`], is done in two stages.
const FEW: usize = 2048;
const LONG: usize = 8192;

pub(crate) fn prepare(graph: &Graph) -> Prepared {
    let live = graph.live();
    let mut out = Graph::of_leaves(graph.leaves.clone());
    let mut map = vec![NodeId(0); graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|n| map[n.index()]).collect();
        map[i] = match &node.op {
            Op::Reduce { op, axes } => reduce(&mut out, *op, axes, node, inputs[0]),
            _ => push(&mut out, Node { inputs, ..node.clone() }),
        };
    }
    let mut claimed = vec![false; out.nodes.len()];
    for output in &graph.outputs {
        let id = claim(&mut out, &mut claimed, map[output.index()], true);
        out.outputs.push(id);
    }
    let whole = needed_whole(&out);
    for assign in &graph.assigns {
        // A state's range starts anywhere in its buffer; whoever needs a whole array needs one of its own.
        let value = map[assign.value.index()];
        if whole[value.index()] {
            claimed[value.index()] = true;
        }
        let value = claim(&mut out, &mut claimed, value, false);
        out.assigns.push(crate::graph::Assign { value, ..assign.clone() });
    }
    let (out, part) = place_parts(out, claimed);
    Prepared { live: out.live(), graph: out, part }
}

fn push(graph: &mut Graph, node: Node) -> NodeId {
    graph.nodes.push(node);
    NodeId(graph.nodes.len() as u32 - 1)
}

/// True where a kernel computes the node's elements and can write them where they are wanted.
fn is_computed(op: &Op) -> bool {
    !is_view(op) && !matches!(op, Op::Input(_) | Op::Concat { .. })
}

pub(crate) fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape
            | Op::Transpose { .. }
            | Op::Broadcast { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Window { .. }
            | Op::Unwindow { .. }
    )
}

/// True for whole-array operations, which write from the start of a buffer.
fn is_whole(op: &Op) -> bool {
    matches!(op, Op::Scatter { .. } | Op::ArgSort { .. } | Op::Scan { .. })
}

/// Which nodes a whole-array operation reads, directly or through views.
fn needed_whole(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        if is_whole(&node.op) || (is_view(&node.op) && needed[i]) {
            for input in &node.inputs {
                needed[input.index()] = true;
            }
        }
    }
    needed
}

/// How many nodes read each node.
fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.nodes.len()];
    for input in graph.nodes.iter().flat_map(|n| &n.inputs) {
        uses[input.index()] += 1;
    }
    uses
}

/// The node itself where nothing else claims it, else a copy. `own_buffer`: its place is a whole buffer.
fn claim(graph: &mut Graph, claimed: &mut Vec<bool>, id: NodeId, own_buffer: bool) -> NodeId {
    let op = &graph.node(id).op;
    if is_computed(op) && !claimed[id.index()] && (own_buffer || !is_whole(op)) {
        claimed[id.index()] = true;
        return id;
    }
    let node = graph.node(id);
    let copy = Node { op: Op::Barrier, inputs: vec![id], ..node.clone() };
    claimed.push(true);
    push(graph, copy)
}

/// Gives every input of every concatenation a node of its own, in a graph where copies stand before their use.
fn place_parts(graph: Graph, claimed: Vec<bool>) -> (Graph, Vec<Option<Part>>) {
    let mut out = Graph::of_leaves(graph.leaves.clone());
    let mut claimed = claimed;
    let mut map: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    let mut part: Vec<Option<Part>> = vec![];
    let mut claimed_out: Vec<bool> = vec![];
    let mut whole_out: Vec<bool> = vec![];
    let mut uses_out: Vec<usize> = vec![];
    let live = graph.live();
    let (whole, uses) = (needed_whole(&graph), uses(&graph));
    for (i, node) in graph.nodes.iter().enumerate() {
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|n| map[n.index()]).collect();
        let mut parts = vec![];
        if let Op::Concat { axis } = node.op {
            let mut start = 0;
            for input in inputs.iter_mut().filter(|_| live[i]) {
                let extent = out.node(*input).shape[axis];
                let owner = owner(&out, *input, axis);
                // With gaps between its rows it is only good for the concatenation.
                let gaps = node.shape[..axis].iter().any(|d| *d != 1);
                let fits = |o: &NodeId| !(whole_out[o.index()] || gaps && uses_out[o.index()] > 1);
                let free = owner.filter(|o| !claimed_out[o.index()] && fits(o));
                let owner = free.unwrap_or_else(|| {
                    let copy = Node { op: Op::Barrier, inputs: vec![*input], ..out.node(*input).clone() };
                    *input = push(&mut out, copy);
                    part.push(None);
                    claimed_out.push(false);
                    whole_out.push(false);
                    uses_out.push(1);
                    *input
                });
                claimed_out[owner.index()] = true;
                parts.push((owner, start));
                start += extent;
            }
        }
        let id = push(&mut out, Node { inputs, ..node.clone() });
        part.push(None);
        claimed_out.push(std::mem::take(&mut claimed[i]));
        whole_out.push(whole[i]);
        uses_out.push(uses[i]);
        map.push(id);
        for (owner, start) in parts {
            part[owner.index()] = Some(Part { of: id, start });
        }
    }
    out.outputs = graph.outputs.iter().map(|n| map[n.index()]).collect();
    let assign = |a: &crate::graph::Assign| crate::graph::Assign { value: map[a.value.index()], ..a.clone() };
    out.assigns = graph.assigns.iter().map(assign).collect();
    (out, part)
}

/// The node that computes an input of a concatenation: itself, or what it reshapes where its part is contiguous.
fn owner(graph: &Graph, input: NodeId, axis: usize) -> Option<NodeId> {
    let mut id = input;
    let contiguous = graph.node(input).shape[..axis].iter().all(|d| *d == 1);
    while graph.node(id).op == Op::Reshape && contiguous {
        id = graph.node(id).inputs[0];
    }
    let op = &graph.node(id).op;
    (is_computed(op) && !is_whole(op)).then_some(id)
}

/// A reduction, in two stages where it has few results and is long.
fn reduce(graph: &mut Graph, op: ReduceOp, axes: &[usize], node: &Node, input: NodeId) -> NodeId {
    let shape = graph.node(input).shape.clone();
    let (few, long) = (node.len(), graph.node(input).len() / node.len().max(1));
    let whole = |graph: &mut Graph| {
        push(graph, Node { op: Op::Reduce { op, axes: axes.to_vec() }, inputs: vec![input], ..node.clone() })
    };
    if few >= FEW || long < LONG {
        return whole(graph);
    }
    let Some((axis, parts)) = split_of(&shape, axes, few, long) else { return whole(graph) };
    let mut split = shape.clone();
    split.splice(axis..=axis, [parts, shape[axis] / parts]);
    let base = |shape: Vec<usize>, op: Op, inputs: Vec<NodeId>| Node {
        op,
        inputs,
        shape,
        dtype: node.dtype,
        at: node.at,
    };
    let reshaped = push(graph, base(split.clone(), Op::Reshape, vec![input]));
    let first: Vec<usize> = axes.iter().map(|a| if *a >= axis { a + 1 } else { *a }).collect();
    let partial = without(&split, &first).unwrap_or_default();
    let staged = push(graph, base(partial, Op::Reduce { op, axes: first }, vec![reshaped]));
    let second = axis - axes.iter().filter(|a| **a < axis).count();
    push(graph, Node { op: Op::Reduce { op, axes: vec![second] }, inputs: vec![staged], ..node.clone() })
}

/// Which axis to cut into how many parts: towards 4096 partial results of at least 64 elements.
fn split_of(shape: &[usize], axes: &[usize], few: usize, long: usize) -> Option<(usize, usize)> {
    let wanted = (4096 / few.max(1)).clamp(2, 512);
    let cost = |parts: usize| if parts > wanted { parts / wanted } else { wanted / parts };
    let candidates = axes.iter().flat_map(|axis| {
        (2..=512usize).filter(|d| shape[*axis].is_multiple_of(*d) && long / d >= 64).map(|d| (*axis, d))
    });
    candidates.min_by_key(|(_, parts)| cost(*parts))
}
