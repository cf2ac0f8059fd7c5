//! What is cheap enough to be computed twice.

use kiln_device::{BinaryOp, CompareOp, UnaryOp};

use crate::fuse::is_view;
use crate::graph::{Graph, NodeId};
use crate::op::Op;

/// Most operations in a value that is computed again rather than stored.
const CHEAP: u32 = 10;

/// True for operations whose value is always in memory.
pub(super) fn is_stored(op: &Op) -> bool {
    matches!(op, Op::Scatter { .. } | Op::ArgSort { .. } | Op::Scan { .. } | Op::Barrier)
}

/// For every node, whether all that it is computed from are leaves and a few operations, and nobody would notice if two
/// computations of it rounded differently.
pub(super) fn cheap(graph: &Graph) -> Vec<bool> {
    // (operations, bytes of leaves), or none where something in it is not elementwise.
    let mut cones: Vec<Option<(u32, usize)>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let inputs = || {
            node.inputs.iter().try_fold((0u32, 0usize), |sum, n| {
                let cone = cones[n.index()]?;
                Some((sum.0.saturating_add(cone.0), sum.1.saturating_add(cone.1)))
            })
        };
        cones.push(match &node.op {
            Op::Input(_) => Some((0, node.len().saturating_mul(4))),
            Op::Constant(_) | Op::Iota { .. } => Some((0, 0)),
            op if is_view(op) => inputs(),
            op => {
                operations(op).and_then(|cost| inputs().map(|(ops, bytes)| (ops.saturating_add(cost), bytes)))
            }
        });
    }
    let judge = |(cone, len): (&Option<(u32, usize)>, usize)| {
        cone.is_some_and(|(ops, bytes)| ops <= CHEAP && bytes as f64 <= 1.25 * (4 * len).max(64) as f64)
    };
    let mut cheap: Vec<bool> = cones.iter().zip(graph.nodes.iter().map(|n| n.len())).map(judge).collect();
    for id in compared(graph) {
        cheap[id.index()] = false;
    }
    cheap
}

/// Computed floats that are asked whether they equal other ones, as the gradient of a maximum asks. WGSL lets a driver
/// round the same expression differently in two kernels, so they are computed in one.
fn compared(graph: &Graph) -> impl Iterator<Item = NodeId> + '_ {
    let base = |mut id: NodeId| {
        while is_view(&graph.node(id).op) {
            id = graph.node(id).inputs[0];
        }
        id
    };
    let equalities = graph.nodes.iter().filter(|n| matches!(n.op, Op::Compare(CompareOp::Eq)));
    let sides = equalities.map(move |n| [base(n.inputs[0]), base(n.inputs[1])]);
    sides
        .filter(|sides| sides.iter().all(|id| !matches!(graph.node(*id).op, Op::Constant(_))))
        .flatten()
        .filter(|id| graph.node(*id).dtype.is_float())
}

/// Operations per element of an elementwise primitive, roughly.
fn operations(op: &Op) -> Option<u32> {
    Some(match op {
        Op::Unary(op) => match op {
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Not | UnaryOp::IsNan => 1,
            UnaryOp::Floor
            | UnaryOp::Ceil
            | UnaryOp::Round
            | UnaryOp::Trunc
            | UnaryOp::Sqrt
            | UnaryOp::Rsqrt => 2,
            _ => 12,
        },
        Op::Binary(BinaryOp::Pow | BinaryOp::Atan2 | BinaryOp::Rem) => 16,
        Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast | Op::Bitcast => 1,
        Op::Random => 5,
        _ => return None,
    })
}

/// For every node, the operation that makes its elements one by one: through elementwise operations and views that
/// keep their number, back to a reduction or a product.
pub(super) fn sources(graph: &Graph) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let through = || {
            let alike = node.inputs.iter().filter(|n| graph.node(**n).len() == node.len());
            alike.map(|n| sources[n.index()].clone()).find(|s| *s != Source::Other).unwrap_or(Source::Other)
        };
        sources.push(match &node.op {
            Op::MatMul | Op::Conv { .. } => Source::Product,
            Op::Reduce { axes, .. } => {
                let input = &graph.node(node.inputs[0]).shape;
                Source::Reduction(axes.iter().map(|a| input[*a]).filter(|e| *e != 1).collect())
            }
            Op::Reshape => through(),
            op if operations(op).is_some() => through(),
            _ => Source::Other,
        });
    }
    sources
}

/// For every node, whether a kernel that computes it reduces: there is a reduction behind elementwise operations and
/// views.
pub(super) fn reduces(graph: &Graph) -> Vec<bool> {
    let mut reduces: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let through = is_view(&node.op) || operations(&node.op).is_some();
        let is_reduction = matches!(node.op, Op::Reduce { .. });
        reduces.push(is_reduction || through && node.inputs.iter().any(|n| reduces[n.index()]));
    }
    reduces
}

/// What makes a value, seen through elementwise operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A product of matrices or a convolution.
    Product,
    /// A reduction over axes of these extents.
    Reduction(Vec<usize>),
    /// Anything else.
    Other,
}
