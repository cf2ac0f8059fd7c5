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
        let id = claim(&mut out, &mut claimed, map[output.index()], |_| true);
        out.outputs.push(id);
    }
    let layouts = layouts(&out);
    for assign in &graph.assigns {
        let anywhere = |id: NodeId| layouts[id.index()] < Layout::Whole;
        let value = claim(&mut out, &mut claimed, map[assign.value.index()], anywhere);
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
    !is_view(op) && !matches!(op, Op::Input(_) | Op::Concat { .. } | Op::Call(_))
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
    matches!(op, Op::Scatter { .. } | Op::ArgSort { .. } | Op::Scan { .. } | Op::Result { .. })
}

/// The node itself where nothing else claims it and its place suits it, else a copy.
fn claim(graph: &mut Graph, claimed: &mut Vec<bool>, id: NodeId, suits: impl Fn(NodeId) -> bool) -> NodeId {
    if is_computed(&graph.node(id).op) && !claimed[id.index()] && suits(id) {
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
    let live = graph.live();
    let layouts = layouts(&graph);
    for (i, node) in graph.nodes.iter().enumerate() {
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|n| map[n.index()]).collect();
        let mut parts = vec![];
        if let Op::Concat { axis } = node.op {
            let mut start = 0;
            for (input, original) in inputs.iter_mut().zip(&node.inputs).filter(|_| live[i]) {
                let shape = &graph.node(*original).shape;
                let extent = shape[axis];
                let most = match shape[..axis].iter().all(|d| *d == 1) {
                    true => Layout::Dense,
                    false => Layout::Strided,
                };
                let owner = owner(&graph, *original, axis).filter(|o| layouts[o.index()] <= most);
                let free = owner.map(|o| map[o.index()]).filter(|o| !claimed_out[o.index()]);
                let owner = free.unwrap_or_else(|| {
                    let copy = Node { op: Op::Barrier, inputs: vec![*input], ..out.node(*input).clone() };
                    *input = push(&mut out, copy);
                    part.push(None);
                    claimed_out.push(false);
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

/// What a node's memory must be like for whoever writes and reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layout {
    /// Any distance between neighbours of an axis.
    Strided,
    /// No gaps: somebody looks up its rows or reshapes it.
    Dense,
    /// No gaps, from the start of a buffer: a whole-array operation writes or takes it.
    Whole,
}

fn layouts(graph: &Graph) -> Vec<Layout> {
    let mut layouts = vec![Layout::Strided; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        let mut of_all = Layout::Strided;
        if is_whole(&node.op) {
            (layouts[i], of_all) = (Layout::Whole, Layout::Whole);
        } else if is_view(&node.op) {
            of_all = layouts[i].max(if node.op == Op::Reshape { Layout::Dense } else { Layout::Strided });
        }
        for (n, input) in node.inputs.iter().enumerate() {
            let table = node.op == Op::Gather && n == 0 || matches!(node.op, Op::Call(_));
            let wanted = if table { Layout::Dense } else { of_all };
            layouts[input.index()] = layouts[input.index()].max(wanted);
        }
    }
    layouts
}

/// The node that computes an input of a concatenation: itself, or what it reshapes where its part is contiguous.
fn owner(graph: &Graph, input: NodeId, axis: usize) -> Option<NodeId> {
    let mut id = input;
    let contiguous = graph.node(input).shape[..axis].iter().all(|d| *d == 1);
    while graph.node(id).op == Op::Reshape && contiguous {
        id = graph.node(id).inputs[0];
    }
    is_computed(&graph.node(id).op).then_some(id)
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
