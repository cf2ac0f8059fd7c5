//! Assignments that change rows of a state, done where the state is.
//!
//! A scatter is a whole-array operation: it takes its operand from the start of a buffer. A variable in a slab stands
//! anywhere in one. Its rows are then rows of the slab, which the indices are made to count; where the variable does not
//! stand at a multiple of its rows, at shorter ones, of which several make up one of its own.

use std::collections::{BTreeSet, HashMap, HashSet};

use kiln_device::{BinaryOp, CompareOp, DType, Device, DeviceKind, Value};

use super::prepare::{Layout, is_computed, is_whole, wanted};
use crate::error::At;
use crate::graph::{Assign, Graph, Node, NodeId};
use crate::op::Op;

/// Where a scatter finds the rows of a state that does not start its slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Rows of the slab before those of the state.
    pub(crate) first: usize,
    /// Rows of the slab that make up one of the state.
    pub(crate) parts: usize,
}

/// What an assignment of updated rows writes to its state, one value over the other.
#[derive(Debug)]
pub(super) struct Chain {
    /// What the first scatter changes, where that is not in the state already.
    pub(super) base: Option<Base>,
    /// In the order of writing; the last is what is assigned.
    pub(super) scatters: Vec<NodeId>,
    /// For every scatter, where the state does not start its slab.
    pub(super) moved: Option<Vec<Moved>>,
}

/// What stands in a state before its rows are updated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base {
    /// A value that nobody else needs: it is computed there.
    Computed(NodeId),
    /// A copy of what the first scatter takes.
    Copied,
}

/// For every assignment, the updates that it consists of, where they can be done in place. Those of `apart` cannot.
pub(super) fn chains(
    graph: &Graph,
    live: &[bool],
    device: &Device,
    apart: &BTreeSet<usize>,
) -> Vec<Option<Chain>> {
    let is_update = |a: &Assign| matches!(graph.node(a.value).op, Op::Scatter { .. });
    if !graph.assigns.iter().any(is_update) {
        return graph.assigns.iter().map(|_| None).collect();
    }
    let (users, wanted) = (users(graph, live), wanted(graph));
    let mut taken = HashSet::new();
    let chain = |(n, assign): (usize, &Assign)| {
        let refused = apart.contains(&n) || !is_update(assign) || !taken.insert(assign.value);
        // Somebody takes the value from the start of a buffer.
        let from_start = assign.offset != 0 && wanted[assign.value.index()] == Layout::Whole;
        if refused || from_start { None } else { chain(graph, assign, &users, device) }
    };
    graph.assigns.iter().enumerate().map(chain).collect()
}

fn chain(graph: &Graph, assign: &Assign, users: &[usize], device: &Device) -> Option<Chain> {
    let mut scatters = vec![assign.value];
    let mut last = assign.value;
    let (operand, is_alone) = loop {
        let (operand, is_alone) = behind_reshapes(graph, graph.node(last).inputs[0], users);
        if !is_alone || !matches!(graph.node(operand).op, Op::Scatter { .. }) {
            break (operand, is_alone);
        }
        scatters.push(operand);
        last = operand;
    };
    scatters.reverse();
    let op = &graph.node(operand).op;
    let base = if is_range(graph, operand, assign) {
        None
    } else if is_alone && is_computed(op) && !is_whole(op) {
        Some(Base::Computed(operand))
    } else {
        (assign.offset != 0).then_some(Base::Copied)
    };
    let moved = match assign.offset {
        0 => None,
        _ => Some(scatters.iter().map(|s| moved(graph, *s, assign, device)).collect::<Option<Vec<_>>>()?),
    };
    Some(Chain { base, scatters, moved })
}

/// How often every live node is asked for.
fn users(graph: &Graph, live: &[bool]) -> Vec<usize> {
    let mut users = vec![0; graph.nodes.len()];
    let inputs = graph.nodes.iter().zip(live).filter(|(_, live)| **live).flat_map(|(node, _)| &node.inputs);
    for id in inputs.chain(&graph.outputs).chain(graph.assigns.iter().map(|a| &a.value)) {
        users[id.index()] += 1;
    }
    users
}

/// What a value reshapes, and whether nobody else needs that.
fn behind_reshapes(graph: &Graph, id: NodeId, users: &[usize]) -> (NodeId, bool) {
    let (mut id, mut is_alone) = (id, users[id.index()] == 1);
    while graph.node(id).op == Op::Reshape {
        id = graph.node(id).inputs[0];
        is_alone &= users[id.index()] == 1;
    }
    (id, is_alone)
}

/// True for the present contents of the range that is assigned.
fn is_range(graph: &Graph, id: NodeId, assign: &Assign) -> bool {
    let node = graph.node(id);
    let all = |id: NodeId| graph.node(id).op == Op::Input(assign.leaf);
    match &node.op {
        Op::Slice { start, step } => start[..] == [assign.offset] && step[..] == [1] && all(node.inputs[0]),
        _ => assign.offset == 0 && all(id),
    }
}

/// The rows of the slab for a scatter into a part of it; none where they would be too many.
fn moved(graph: &Graph, scatter: NodeId, assign: &Assign, device: &Device) -> Option<Moved> {
    let node = graph.node(scatter);
    let (targets, updates) = (node.shape[0], graph.node(node.inputs[1]).len());
    let width: usize = node.shape[1..].iter().product();
    if updates == 0 || node.is_empty() {
        return None;
    }
    let short = greatest_common_divisor(assign.offset, width);
    let parts = width / short;
    let all = graph.leaves[assign.leaf].shape[0] / short;
    let is_worth_it = parts == 1
        || match device.info().kind {
            // Every index is some nanoseconds.
            DeviceKind::Cpu => updates.saturating_mul(8 * parts) <= node.len(),
            // Every row that is updated looks at all indices; beside the state, every row of that would.
            DeviceKind::Gpu | DeviceKind::Software => updates.saturating_mul(parts * parts) <= targets,
        };
    (is_worth_it && i32::try_from(all).is_ok()).then_some(Moved { first: assign.offset / short, parts })
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// By scatter, where it finds its rows.
pub(super) fn moves(chains: &[Option<Chain>]) -> HashMap<NodeId, Moved> {
    let of = |chain: &Chain| {
        let moved = chain.moved.clone().unwrap_or_default();
        chain.scatters.iter().copied().zip(moved).collect::<Vec<_>>()
    };
    chains.iter().flatten().flat_map(of).collect()
}

/// Appends what makes the indices of a scatter to `targets` rows count the rows of the slab; none stays none.
pub(super) fn rows_of_slab(graph: &mut Graph, indices: NodeId, targets: usize, moved: Moved) -> NodeId {
    let count = graph.node(indices).len();
    let (at, shape) = (graph.node(indices).at, vec![count, moved.parts]);
    let mut rows = Rows { graph, shape, at };
    let index = rows.push(Op::Broadcast { axes: vec![0] }, &[indices], DType::I32);
    let (zero, last) = (rows.number(0), rows.number(targets - 1));
    let raised = rows.binary(BinaryOp::Max, index, zero);
    let nearest = rows.binary(BinaryOp::Min, raised, last);
    let is_row = rows.push(Op::Compare(CompareOp::Eq), &[nearest, index], DType::Bool);
    let (parts, first) = (rows.number(moved.parts), rows.number(moved.first));
    let start = rows.binary(BinaryOp::Mul, nearest, parts);
    let start = rows.binary(BinaryOp::Add, start, first);
    let part = rows.push(Op::Iota { axis: 1 }, &[], DType::I32);
    let row = rows.binary(BinaryOp::Add, start, part);
    let none = rows.push(Op::Constant(Value::I32(-1)), &[], DType::I32);
    let row = rows.push(Op::Select, &[is_row, row, none], DType::I32);
    rows.shape = vec![count * moved.parts];
    rows.push(Op::Reshape, &[row], DType::I32)
}

/// Appends nodes of one shape.
struct Rows<'a> {
    graph: &'a mut Graph,
    shape: Vec<usize>,
    at: At,
}

impl Rows<'_> {
    fn push(&mut self, op: Op, inputs: &[NodeId], dtype: DType) -> NodeId {
        let node = Node { op, inputs: inputs.to_vec(), shape: self.shape.clone(), dtype, at: self.at };
        self.graph.nodes.push(node);
        NodeId(self.graph.nodes.len() as u32 - 1)
    }

    fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> NodeId {
        self.push(Op::Binary(op), &[a, b], DType::I32)
    }

    fn number(&mut self, n: usize) -> NodeId {
        self.push(Op::Constant(Value::I32(n as i32)), &[], DType::I32)
    }
}
