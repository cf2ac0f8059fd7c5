//! Which states are written where they are, and what must have read them before.

use std::ops::Range;

use super::Edges;
use crate::fuse::{Fused, GroupId, Kind, Linear, Place, Spot, is_view, reaches};
use crate::graph::{Assign, NodeId};
use crate::op::Op;
use crate::shape::strides;

/// Puts the readers of a state before its writer. Where that cannot be, the value is written to memory of its own and
/// copied at the end: those assignments, by number.
pub(super) fn order(fused: &Fused, edges: &mut Edges) -> Vec<usize> {
    let assigns = &fused.prepared.graph.assigns;
    let mut deferred = vec![];
    for (n, assign) in assigns.iter().enumerate() {
        let Some(write) = Write::of(fused, n) else { continue };
        let overlaps =
            |other: &Assign| other.leaf == assign.leaf && overlap(&write.range, &range(fused, other));
        let readers = write.readers(fused);
        let is_free = |reader: &GroupId| !reaches(edges, write.first(), *reader);
        let in_place = !assigns[..n].iter().any(overlaps)
            && write.steps.iter().all(|(node, group)| write.may_read_beside(fused, *node, *group))
            && readers.as_ref().is_some_and(|readers| readers.iter().all(is_free));
        let Some(readers) = readers.filter(|_| in_place) else {
            deferred.push(n);
            continue;
        };
        for reader in readers {
            if !edges[reader].contains(&write.first()) {
                edges[reader].push(write.first());
            }
        }
    }
    deferred
}

/// The elements of its state that an assignment writes.
fn range(fused: &Fused, assign: &Assign) -> Range<usize> {
    assign.offset..assign.offset + fused.prepared.graph.node(assign.value).len()
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// An assignment done in place.
struct Write<'a> {
    assign: &'a Assign,
    range: Range<usize>,
    /// The values that are written one over the other, and the groups that do.
    steps: Vec<(NodeId, GroupId)>,
}

impl Write<'_> {
    /// None where nothing is computed for it.
    fn of(fused: &Fused, n: usize) -> Option<Write<'_>> {
        let assign = &fused.prepared.graph.assigns[n];
        let step = |id: &NodeId| Some((*id, fused.stored_by[id.index()]?));
        let steps = fused.prepared.written[n].iter().map(step).collect::<Option<Vec<_>>>()?;
        Some(Write { assign, range: range(fused, assign), steps })
    }

    /// The group that writes first: whoever needs the value from before runs before it.
    fn first(&self) -> GroupId {
        self.steps[0].1
    }

    /// The other groups that read elements which are written; none where one of those that write reads others than it
    /// writes next.
    fn readers(&self, fused: &Fused) -> Option<Vec<GroupId>> {
        let count = fused.prepared.graph.leaves[self.assign.leaf].shape.iter().product();
        let mut readers = vec![];
        for (leaf, group, place) in &fused.leaf_reads {
            let place = place.resolved(&fused.groups[*group].loops);
            let read = || place.range(&fused.groups[*group].loops, count);
            if *leaf != self.assign.leaf || !overlap(&read(), &self.range) {
                continue;
            }
            match self.steps.iter().position(|step| step.1 == *group) {
                Some(0) if self.reads_what_it_writes(fused, &place) => {}
                Some(_) => return None,
                None => readers.push(*group),
            }
        }
        Some(readers)
    }

    /// True where the group that writes first reads the state only at the element that it writes next.
    fn reads_what_it_writes(&self, fused: &Fused, place: &Place) -> bool {
        let (value, group) = self.steps[0];
        let entry = &fused.groups[group];
        if let Kind::Whole(_) = entry.kind {
            // Rows are read where they are written.
            return matches!(place.spot, Spot::Whole { offset, .. } if offset == self.assign.offset);
        }
        let Some(positions) = entry.position(value) else { return false };
        let mut written = Linear::constant(self.assign.offset as i64);
        for (position, stride) in positions.iter().zip(strides(&fused.prepared.graph.node(value).shape)) {
            written = written.plus(position, stride as i64);
        }
        let read = match (&place.spot, place.fences.is_empty()) {
            (Spot::At(coordinates), true) if coordinates.len() == 1 && coordinates[0].divisor == 1 => {
                &coordinates[0].position
            }
            (Spot::Flat(flat), true) => flat,
            _ => return false,
        };
        let per_row = !entry.loops.inner.iter().any(|v| written.uses(*v));
        match entry.kind {
            Kind::Map | Kind::Contract(_) => *read == written,
            // A row value is loaded before the first pass and written after a later one.
            Kind::Row => *read == written && per_row,
            Kind::Whole(_) => false,
        }
    }

    /// Whether a kernel that writes a part of a state may read others: not as operand of a product or input of a
    /// whole-array operation, which is another binding of the same buffer.
    fn may_read_beside(&self, fused: &Fused, value: NodeId, group: GroupId) -> bool {
        let entry = &fused.groups[group];
        let is_apart = |id: &NodeId| !self.is_in_state(fused, *id, group);
        match entry.kind {
            Kind::Map | Kind::Row => true,
            Kind::Contract(_) => entry.operands.iter().all(|(node, _)| is_apart(node)),
            Kind::Whole(_) => match fused.prepared.graph.node(value).op {
                Op::Scatter { .. } => fused.prepared.graph.node(value).inputs[1..].iter().all(is_apart),
                _ => fused.prepared.graph.node(value).inputs.iter().all(is_apart),
            },
        }
    }

    /// True for views of the state, and of what is assigned to parts of it, as a group reads them.
    fn is_in_state(&self, fused: &Fused, id: NodeId, group: GroupId) -> bool {
        let graph = &fused.prepared.graph;
        // A view may be stored for others only.
        let is_read =
            |id: NodeId| fused.stored_by[id.index()].is_some_and(|g| fused.readers[g].contains(&group));
        let mut id = id;
        while is_view(&graph.node(id).op) && !is_read(id) {
            id = graph.node(id).inputs[0];
        }
        let written = |(assign, written): (&Assign, &Vec<NodeId>)| {
            assign.leaf == self.assign.leaf && written.contains(&id)
        };
        graph.node(id).op == Op::Input(self.assign.leaf)
            || graph.assigns.iter().zip(&fused.prepared.written).any(written)
    }
}
