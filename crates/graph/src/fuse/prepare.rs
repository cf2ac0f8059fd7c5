//! The last rewriting before fusion: long reductions in two stages, and a place of its own for everything stored.
//!
//! Afterwards every output, every assigned value and every part of a concatenation is computed by a node that nothing
//! else claims, so that its kernel can write it where it belongs.

use std::collections::{BTreeSet, HashMap, HashSet};

use kiln_device::{Device, ReduceOp};

use super::updates::{self, Base, Chain, Moved};

use crate::graph::{Assign, Graph, Node, NodeId};
use crate::op::{Call, Op, Work, without};

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
    /// What every assignment writes to its state, in order: the value alone, or rows updated several times.
    pub(crate) written: Vec<Vec<NodeId>>,
    /// Scatters whose indices count the rows of a slab.
    pub(crate) moved: HashMap<NodeId, Moved>,
}

impl Prepared {
    /// True where an assignment is only right in place.
    pub(crate) fn is_update_in_place(&self, assign: usize) -> bool {
        let written = &self.written[assign];
        written.len() > 1 || written.iter().any(|id| self.moved.contains_key(id))
    }
}

/// A reduction of fewer results than this, of more elements each than [`LONG`], is done in two stages.
const FEW: usize = 2048;
const LONG: usize = 8192;

/// Prepares a graph for a device. The assignments of `apart` are not done in place, by number.
pub(crate) fn prepare(graph: &Graph, device: &Device, apart: &BTreeSet<usize>) -> Prepared {
    let live = graph.live();
    let chains = updates::chains(graph, &live, device, apart);
    let Copied { graph: mut out, map, written, moved } = copied(graph, &live, &chains);
    let mut claimed = vec![false; out.nodes.len()];
    written.iter().flatten().for_each(|id| claimed[id.index()] = true);
    for output in &graph.outputs {
        let id = map[output.index()];
        // The parts of a concatenation are written to the output itself.
        let is_free = matches!(out.node(id).op, Op::Concat { .. }) && !claimed[id.index()];
        claimed[id.index()] |= is_free;
        let own = if is_free { id } else { claim(&mut out, &mut claimed, id, |_| true) };
        out.outputs.push(own);
    }
    let layouts = layouts(&out);
    let out_ops: Vec<Op> = out.nodes.iter().map(|n| n.op.clone()).collect();
    for (assign, written) in graph.assigns.iter().zip(&written) {
        // A whole-array operation may write a state from its start.
        let is_result = |id: NodeId| matches!(out_ops[id.index()], Op::Result { .. });
        let anywhere =
            |id: NodeId| layouts[id.index()] < Layout::Whole || assign.offset == 0 && !is_result(id);
        let value = match written.last() {
            Some(value) => *value,
            None => claim(&mut out, &mut claimed, map[assign.value.index()], anywhere),
        };
        out.assigns.push(Assign { value, ..assign.clone() });
    }
    let (out, part, places) = place_parts(out, claimed);
    let of_assign = |(assign, written): (&Assign, &Vec<NodeId>)| match &written[..] {
        [] => vec![assign.value],
        all => all.iter().map(|id| places[id.index()]).collect(),
    };
    let written = out.assigns.iter().zip(&written).map(of_assign).collect();
    let moved = moved.into_iter().map(|(id, moved)| (places[id.index()], moved)).collect();
    Prepared { live: out.live(), graph: out, part, written, moved }
}

/// A copy of a graph, and the numbers of its nodes in it.
struct Copied {
    graph: Graph,
    map: Vec<NodeId>,
    /// Of updates in place, by assignment.
    written: Vec<Vec<NodeId>>,
    moved: HashMap<NodeId, Moved>,
}

/// The live nodes of a graph, with a copy of all that is to be written where it begins.
fn copied(graph: &Graph, live: &[bool], chains: &[Option<Chain>]) -> Copied {
    let moves = updates::moves(chains);
    let starts = chains.iter().flatten().filter(|c| matches!(c.base, Some(Base::Copied)));
    let starts: HashSet<NodeId> = starts.map(|c| c.scatters[0]).collect();
    let mut out = Graph::of_leaves(graph.leaves.clone());
    let mut map = vec![NodeId(0); graph.nodes.len()];
    let mut moved = HashMap::new();
    for (i, node) in graph.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        let id = NodeId(i as u32);
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|n| map[n.index()]).collect();
        let copies = match &node.op {
            // What a loop carries starts in the memory of its result.
            Op::Call(call) => call.carried(),
            _ => usize::from(starts.contains(&id)),
        };
        for input in inputs.iter_mut().take(copies) {
            *input = copy_of(&mut out, *input);
        }
        let rows = moves.get(&id);
        if let Some(rows) = rows {
            inputs[1] = updates::rows_of_slab(&mut out, inputs[1], node.shape[0], *rows);
        }
        map[i] = match &node.op {
            Op::Reduce { op, axes } => reduce(&mut out, *op, axes, node, inputs[0]),
            _ => push(&mut out, Node { inputs, ..node.clone() }),
        };
        moved.extend(rows.map(|rows| (map[i], *rows)));
    }
    let of_chain = |chain: &Option<Chain>| {
        let Some(chain) = chain else { return vec![] };
        let base = chain.base.map(|base| match base {
            Base::Computed(id) => map[id.index()],
            Base::Copied => out.node(map[chain.scatters[0].index()]).inputs[0],
        });
        base.into_iter().chain(chain.scatters.iter().map(|s| map[s.index()])).collect()
    };
    let written = chains.iter().map(of_chain).collect();
    Copied { graph: out, map, written, moved }
}

fn copy_of(graph: &mut Graph, id: NodeId) -> NodeId {
    let copy = Node { op: Op::Barrier, inputs: vec![id], ..graph.node(id).clone() };
    push(graph, copy)
}

fn push(graph: &mut Graph, node: Node) -> NodeId {
    graph.nodes.push(node);
    NodeId(graph.nodes.len() as u32 - 1)
}

/// True where a kernel computes the node's elements and can write them where they are wanted.
pub(super) fn is_computed(op: &Op) -> bool {
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
pub(super) fn is_whole(op: &Op) -> bool {
    matches!(op, Op::Scatter { .. } | Op::ArgSort { .. } | Op::Scan { .. } | Op::Result { .. })
}

/// The node itself where nothing else claims it and its place suits it, else a copy.
fn claim(graph: &mut Graph, claimed: &mut Vec<bool>, id: NodeId, suits: impl Fn(NodeId) -> bool) -> NodeId {
    if is_computed(&graph.node(id).op) && !claimed[id.index()] && suits(id) {
        claimed[id.index()] = true;
        return id;
    }
    claimed.push(true);
    copy_of(graph, id)
}

/// Gives every input of every concatenation a node of its own, in a graph where copies stand before their use: that, the
/// parts, and the numbers of the nodes in it.
fn place_parts(graph: Graph, claimed: Vec<bool>) -> (Graph, Vec<Option<Part>>, Vec<NodeId>) {
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
                    *input = copy_of(&mut out, *input);
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
    let assign = |a: &Assign| Assign { value: map[a.value.index()], ..a.clone() };
    out.assigns = graph.assigns.iter().map(assign).collect();
    (out, part, map)
}

/// What a node's memory must be like for whoever writes and reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// Any distance between neighbours of an axis.
    Strided,
    /// No gaps: somebody looks up its rows or reshapes it.
    Dense,
    /// No gaps, from the start of a buffer: a whole-array operation writes or takes it.
    Whole,
}

fn layouts(graph: &Graph) -> Vec<Layout> {
    let of = |(node, wanted): (&Node, Layout)| if is_whole(&node.op) { Layout::Whole } else { wanted };
    graph.nodes.iter().zip(wanted(graph)).map(of).collect()
}

/// What the memory of every node must be like for whoever reads it.
pub(super) fn wanted(graph: &Graph) -> Vec<Layout> {
    let mut layouts = vec![Layout::Strided; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        let mut of_all = Layout::Strided;
        if is_whole(&node.op) {
            of_all = Layout::Whole;
        } else if is_view(&node.op) {
            of_all = layouts[i].max(if node.op == Op::Reshape { Layout::Dense } else { Layout::Strided });
        }
        let starts = match &node.op {
            Op::Call(call) => from_start(call),
            _ => vec![],
        };
        for (n, input) in node.inputs.iter().enumerate() {
            let table = node.op == Op::Gather && n == 0;
            let wanted = match starts.get(n) {
                Some(true) => Layout::Whole,
                Some(false) => Layout::Dense,
                None if table => Layout::Dense,
                None => of_all,
            };
            layouts[input.index()] = layouts[input.index()].max(wanted);
        }
    }
    layouts
}

/// For every input of a call, whether it must stand at the start of a buffer.
pub(crate) fn from_start(call: &Call) -> Vec<bool> {
    let of_leaves = |graph: &Graph| {
        let mut starts = vec![false; graph.leaves.len()];
        let layouts = layouts(graph);
        for (node, layout) in graph.nodes.iter().zip(layouts) {
            if let Op::Input(leaf) = node.op {
                starts[leaf] = layout == Layout::Whole;
            }
        }
        starts
    };
    match &call.work {
        Work::Host(_) => vec![],
        Work::Switch(arms) => {
            let mut starts = vec![true];
            starts.resize(1 + arms.first().map_or(0, |arm| arm.leaves.len()), false);
            for arm in arms {
                starts[1..].iter_mut().zip(of_leaves(arm)).for_each(|(all, one)| *all |= one);
            }
            starts
        }
        // Carried values have memory of their own.
        Work::Loop(looped) => of_leaves(&looped.body),
    }
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
