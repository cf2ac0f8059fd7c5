//! Whether a node is computed in the kernel of a group that asks for it.

use super::{Request, Sweep, askers, cost, flat, positions_of, reduce};
use crate::fuse::linear::Linear;
use crate::fuse::{GroupId, Kind, reaches};
use crate::graph::NodeId;
use crate::op::Op;

impl Sweep {
    /// Joins a group of an asker, or says why not. `must_store`: somebody needs the value in memory.
    pub(super) fn join(
        &mut self,
        id: NodeId,
        group: GroupId,
        requests: &[Request],
        must_store: bool,
    ) -> Result<(), String> {
        let Some(positions) = positions_of(requests, group) else {
            return Err(
                "it is read from memory, behind padding, or at several coordinates of one kernel".into()
            );
        };
        if !self.same_width(id, group) {
            return Err("kernels of 64 bits and of 32 have executors of their own".into());
        }
        let node = self.node(id);
        let flat = flat(&positions, &node.shape);
        let loops = &self.groups[group].loops;
        if must_store {
            if !loops.enumerates(&loops.resolve(&flat), node.len()) {
                return Err("it is stored, and this kernel computes only some of its elements".into());
            }
            let others = askers(requests).into_iter().filter(|g| *g != group);
            if others.clone().any(|other| reaches(&self.readers, other, group)) {
                return Err("another kernel needs it before this one can run".into());
            }
        }
        self.has_room(id, group, must_store)?;
        match &node.op {
            Op::Reduce { .. } => self.join_reduce(id, group, positions)?,
            Op::MatMul | Op::Conv { .. } => self.join_contraction(id, group, positions)?,
            op if cost::is_stored(op) && !matches!(op, Op::Barrier) => return Err(String::new()),
            _ => {
                self.take_rows(id, group, &positions);
                self.agrees(id, group, &positions)?;
                if must_store {
                    self.stores_in_order(id, group, &flat)?;
                }
                self.groups[group].members.push((id, positions.clone()));
                self.ask_inputs(id, group, &positions);
            }
        }
        if must_store {
            self.store(id, group, requests);
        }
        Ok(())
    }

    /// Makes a Map group a Row where a value follows from a reduction over the last of its variables.
    fn take_rows(&mut self, id: NodeId, group: GroupId, positions: &[Linear]) {
        let cost::Source::Reduction(extents) = &self.sources[id.index()] else { return };
        let entry = &self.groups[group];
        let used = entry.loops.used(positions);
        let rows = &entry.loops.rows;
        let fits = entry.kind == Kind::Map
            && used.len() < rows.len()
            && rows[..used.len()] == used[..]
            && reduce::lines_up(&entry.loops.extents(&rows[used.len()..]), extents)
            && reduce::is_worth_a_row(entry.loops.points(&used), entry.loops.points(&rows[used.len()..]));
        if fits {
            let entry = &mut self.groups[group];
            entry.kind = Kind::Row;
            entry.loops.inner = entry.loops.rows.split_off(used.len());
        }
    }

    /// Whether a kernel that reduces may store a full value as well: only in the order of its loops, and not where the
    /// value could be written by the product that it follows from.
    fn stores_in_order(&self, id: NodeId, group: GroupId, flat: &Linear) -> Result<(), String> {
        let entry = &self.groups[group];
        let flat = entry.loops.resolve(flat);
        if entry.kind != Kind::Row || !entry.loops.inner.iter().any(|v| flat.uses(*v)) {
            return Ok(());
        }
        if self.sources[id.index()] == cost::Source::Product {
            return Err("it is stored by the product that it follows from".into());
        }
        let mut terms = flat.terms.clone();
        terms.sort_by_key(|t| std::cmp::Reverse(t.1));
        if !terms.into_iter().map(|t| t.0).eq(entry.loops.live()) {
            return Err("it is stored, and this kernel runs through it across the rows".into());
        }
        Ok(())
    }

    /// Whether a value at these positions is computed about once per element in the group's loops.
    fn agrees(&self, id: NodeId, group: GroupId, positions: &[Linear]) -> Result<(), String> {
        let group = &self.groups[group];
        let used = group.loops.used(positions);
        let (rows, all) = (group.loops.rows.len(), group.loops.rows.len() + group.loops.inner.len());
        let uses_rows = group.loops.rows.iter().all(|v| used.contains(v));
        let full = match group.kind {
            Kind::Map => used.len() == rows,
            Kind::Contract(_) => uses_rows && used.len() == rows,
            Kind::Row => uses_rows && (used.len() == rows || used.len() == all),
            Kind::Whole(_) => return Err("whole-array operations take no others along".into()),
        };
        if !full {
            return Err(
                "it has fewer coordinates than the kernel's loops: it would be computed again and again"
                    .into(),
            );
        }
        if group.loops.points(&used) as f64 > 1.25 * self.node(id).len() as f64 {
            return Err("windows overlap: it would be computed again for each".into());
        }
        Ok(())
    }
}
