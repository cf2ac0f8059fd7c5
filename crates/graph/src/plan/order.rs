//! The order of the kernels.

use std::collections::BTreeSet;

use kiln_device::Device;

use super::Edges;
use crate::error::{Error, Result};
use crate::fuse::{Fused, GroupId};
use crate::graph::NodeId;
use crate::lower::{Key, Storage};

/// What a group takes of the memory inside the program, and whose values it reads last.
struct Uses {
    /// Bytes of what each group stores.
    bytes: Vec<usize>,
    /// The groups whose values each group reads.
    makers: Vec<Vec<GroupId>>,
    /// How many readers of each group have not run.
    unread: Vec<usize>,
}

impl Uses {
    fn new(fused: &Fused, storage: &[Option<Storage>], edges: &Edges, device: &Device) -> Uses {
        let inside =
            |id: &&NodeId| storage[id.index()].as_ref().is_some_and(|s| matches!(s.key, Key::Node(_)));
        let size = |id: &NodeId| {
            let node = fused.prepared.graph.node(*id);
            node.len().saturating_mul(device.element_size(node.dtype))
        };
        let stored = fused.groups.iter().map(|g| g.stores.iter().filter(inside).map(size).sum());
        let mut makers = vec![vec![]; edges.len()];
        let mut unread = vec![0; edges.len()];
        for (maker, list) in edges.iter().enumerate() {
            for reader in list.iter().collect::<BTreeSet<_>>() {
                makers[*reader].push(maker);
                unread[maker] += 1;
            }
        }
        Uses { bytes: stored.collect(), makers, unread }
    }

    /// Whether less memory is in use after a group has run than before.
    fn shrinks(&self, group: GroupId) -> bool {
        let last = self.makers[group].iter().filter(|m| self.unread[**m] == 1);
        last.map(|m| self.bytes[*m]).sum::<usize>() > self.bytes[group]
    }

    fn run(&mut self, group: GroupId) {
        for maker in &self.makers[group] {
            self.unread[*maker] -= 1;
        }
    }
}

/// Groups in an order that respects who reads what. Among those that are ready: one that leaves less memory in use, as
/// the gradient of a weight does that reads an activation last; else the one that the program made first.
pub(super) fn schedule(
    fused: &Fused,
    storage: &[Option<Storage>],
    edges: &Edges,
    riders: &[Option<GroupId>],
    device: &Device,
) -> Result<Vec<GroupId>> {
    let runs = |g: GroupId| fused.groups[g].alive && riders[g].is_none();
    let mut uses = Uses::new(fused, storage, edges, device);
    let mut waiting = vec![0usize; fused.groups.len()];
    for list in edges {
        for reader in list {
            waiting[*reader] += 1;
        }
    }
    let first = |g: GroupId| fused.groups[g].stores.iter().max().map_or(0, |n| n.0);
    let all = (0..fused.groups.len()).filter(|g| runs(*g));
    let mut ready: BTreeSet<(u32, GroupId)> =
        all.clone().filter(|g| waiting[*g] == 0).map(|g| (first(g), g)).collect();
    let mut order = vec![];
    while let Some(next) = ready.iter().find(|(_, g)| uses.shrinks(*g)).or(ready.first()).copied() {
        let (_, group) = next;
        ready.remove(&next);
        uses.run(group);
        order.push(group);
        for reader in &edges[group] {
            waiting[*reader] -= 1;
            if waiting[*reader] == 0 {
                ready.insert((first(*reader), *reader));
            }
        }
    }
    if order.len() != all.count() {
        return Err(Error::Internal("the groups wait for one another".into()));
    }
    Ok(order)
}
