//! Fusion: which nodes share a kernel.
//!
//! One sweep from the results back to the leaves. Every node knows who asks for it, and at which coordinates of the
//! asker's loops (looking through views). It joins the group of an asker where the loops agree; it is stored where
//! somebody else needs it too; it is computed again where that is cheap; else it opens a group. Every refusal records
//! a reason. Groups form a graph without cycles at every step.

mod linear;
mod prepare;
mod sweep;
mod updates;
mod view;

pub(crate) use linear::{Linear, Loops, Var};
pub(crate) use prepare::{Prepared, is_view, prepare};
pub(crate) use sweep::{Contents, Room, fuse};
pub(crate) use updates::Moved;
pub(crate) use view::{Coordinate, Fence, Place, Spot, through};

use crate::graph::NodeId;

/// Index into [`Fused::groups`].
pub(crate) type GroupId = usize;

/// What a group's kernel will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Elementwise over the rows.
    Map,
    /// Reductions over the inner variables for every row.
    Row,
    /// A product of matrices or a convolution, with what follows it.
    Contract(NodeId),
    /// A whole-array operation.
    Whole(NodeId),
}

/// Nodes that share a kernel.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) loops: Loops,
    /// The nodes computed, and where: one position per axis. In order of joining, so consumers before producers.
    pub(crate) members: Vec<(NodeId, Vec<Linear>)>,
    /// The members that are stored.
    pub(crate) stores: Vec<NodeId>,
    /// Where the reductions among the members read their input.
    pub(crate) reduced: Vec<(NodeId, Place)>,
    /// The operands of a contraction, in kernel order.
    pub(crate) operands: Vec<(NodeId, Place)>,
    /// For [`Kind::Contract`]: the sum of the batch variables among the rows, and that of the left operand's. They come
    /// first, in this order, also when variables are split.
    pub(crate) batch_and_m: (Linear, Linear),
    /// What its kernel holds.
    pub(crate) contents: Contents,
    /// False once it has been merged into another group.
    pub(crate) alive: bool,
}

impl Group {
    fn new(kind: Kind) -> Group {
        Group {
            kind,
            loops: Loops::default(),
            members: vec![],
            stores: vec![],
            reduced: vec![],
            operands: vec![],
            batch_and_m: (Linear::default(), Linear::default()),
            contents: Contents::default(),
            alive: true,
        }
    }

    /// Where a member is computed.
    pub(crate) fn position(&self, node: NodeId) -> Option<Vec<Linear>> {
        let (_, at) = self.members.iter().find(|m| m.0 == node)?;
        Some(at.iter().map(|l| self.loops.resolve(l)).collect())
    }
}

/// Why two nodes do not share a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The node that is stored.
    pub node: u32,
    /// Its operation.
    pub op: &'static str,
    /// The reason.
    pub reason: String,
}

/// A graph divided into groups.
pub(crate) struct Fused {
    pub(crate) prepared: Prepared,
    pub(crate) groups: Vec<Group>,
    /// The group that stores a node.
    pub(crate) stored_by: Vec<Option<GroupId>>,
    /// Edges from a group to those that read what it stores.
    pub(crate) readers: Vec<Vec<GroupId>>,
    /// Which groups read which leaves, and where.
    pub(crate) leaf_reads: Vec<(usize, GroupId, Place)>,
    pub(crate) refusals: Vec<Refusal>,
}

/// True where `to` needs, directly or not, what `from` stores.
pub(crate) fn reaches(readers: &[Vec<GroupId>], from: GroupId, to: GroupId) -> bool {
    let mut seen = vec![false; readers.len()];
    let mut stack = vec![from];
    while let Some(group) = stack.pop() {
        if group == to {
            return true;
        }
        for reader in &readers[group] {
            if !std::mem::replace(&mut seen[*reader], true) {
                stack.push(*reader);
            }
        }
    }
    false
}
