//! Kernels of 64 bits stay apart from those of 32.
//!
//! One 64-bit value makes a whole kernel slow, because another executor runs it: a float64 metric or an int64 counter
//! must not take a float32 kernel along. So a node joins only groups of its own width; between the two lies memory.

use super::Sweep;
use crate::fuse::GroupId;
use crate::graph::NodeId;

impl Sweep {
    /// True where a node has 64 bits, or is computed from what has.
    fn is_wide(&self, id: NodeId) -> bool {
        let node = self.node(id);
        node.dtype.is_wide() || node.inputs.iter().any(|input| self.node(*input).dtype.is_wide())
    }

    /// True where a node may be computed in a group: one without members takes any.
    pub(super) fn same_width(&self, id: NodeId, group: GroupId) -> bool {
        let first = self.groups[group].members.first();
        first.is_none_or(|(member, _)| self.is_wide(*member) == self.is_wide(id))
    }

    /// True where two groups may become one.
    pub(super) fn equal_widths(&self, a: GroupId, b: GroupId) -> bool {
        let first = self.groups[a].members.first();
        first.is_none_or(|(member, _)| self.same_width(*member, b))
    }
}
