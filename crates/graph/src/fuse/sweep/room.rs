//! How much one kernel may hold: buffers that it binds, reductions, numbers of its addresses.
//!
//! A group has asked for values that the sweep has not visited yet. Each of them ends in memory that the kernel reads, or
//! is computed in it, which asks for others. So what is bound and what stands behind the open questions together are the
//! most that the kernel can come to bind: a node joins only where that stays within the device's limit, and is else one
//! stored value, which was counted already.

use std::collections::{HashMap, HashSet};

use kiln_device::{Device, Kernel};

use super::{Need, Request, Sweep};
use crate::fuse::prepare::Prepared;
use crate::fuse::view::{Place, Spot};
use crate::fuse::{GroupId, is_view};
use crate::graph::{Graph, NodeId};
use crate::op::Op;

/// Most values that one kernel stores.
const MOST_STORES: usize = 8;

/// Most numbers of sizes, constants and addresses in one kernel. They are the parameters of a shader, of which the
/// smallest devices take 4096, some of them once for every pass over a row; and so long a text compiles at once.
const MOST_WORDS: usize = 2048;

/// The memory that a binding of a kernel stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Memory {
    /// The n-th leaf.
    Leaf(usize),
    /// A stored node, or the concatenation that it is a part of.
    Node(NodeId),
    /// Where failed checks are reported.
    Reports,
}

/// What the kernels of a device may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Buffers.
    pub(crate) bindings: usize,
}

impl Room {
    pub(crate) fn of(device: &Device) -> Room {
        Room { bindings: device.info().max_bindings }
    }
}

/// What a group's kernel holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Memory that it reads or writes.
    bound: HashSet<Memory>,
    /// Memory behind the values that it has asked for, and how many of them have not been visited.
    asked: HashMap<Memory, usize>,
    /// Numbers of its addresses, about.
    words: usize,
}

impl Contents {
    /// Number of bindings of a kernel that holds both.
    fn bindings_with(&self, other: impl IntoIterator<Item = Memory>) -> usize {
        let all: HashSet<Memory> = self.all().chain(other).collect();
        all.len()
    }

    fn all(&self) -> impl Iterator<Item = Memory> + '_ {
        self.bound.iter().chain(self.asked.keys()).copied()
    }

    /// True where one kernel can hold both.
    pub(crate) fn fits_with(&self, other: &Contents, room: Room) -> bool {
        self.words + other.words <= MOST_WORDS && self.bindings_with(other.all()) <= room.bindings
    }

    /// Takes in what another group holds.
    pub(crate) fn absorb(&mut self, other: &Contents) {
        self.bound.extend(&other.bound);
        for (memory, times) in &other.asked {
            *self.asked.entry(*memory).or_default() += times;
        }
        self.words += other.words;
    }
}

/// For every node, the memory that it is stored in if it is stored, and the memory behind it: through views, and none
/// for what is computed wherever it is needed.
pub(super) fn memories(prepared: &Prepared) -> (Vec<Memory>, Vec<Option<Memory>>) {
    let graph: &Graph = &prepared.graph;
    let mut own: Vec<Memory> = (0..graph.nodes.len()).map(|i| Memory::Node(NodeId(i as u32))).collect();
    for (i, part) in prepared.part.iter().enumerate() {
        if let Some(part) = part {
            own[i] = Memory::Node(part.of);
        }
    }
    for (assign, written) in graph.assigns.iter().zip(&prepared.written) {
        written.iter().for_each(|id| own[id.index()] = Memory::Leaf(assign.leaf));
    }
    let mut behind: Vec<Option<Memory>> = Vec::with_capacity(own.len());
    for (i, node) in graph.nodes.iter().enumerate() {
        if let Op::Input(leaf) = node.op {
            own[i] = Memory::Leaf(leaf);
        }
        behind.push(match &node.op {
            op if is_view(op) => behind[node.inputs[0].index()],
            Op::Constant(_) | Op::Iota { .. } => None,
            _ => Some(own[i]),
        });
    }
    (own, behind)
}

impl Place {
    /// Numbers of an address here, about.
    fn words(&self) -> usize {
        let spot = match &self.spot {
            Spot::At(coordinates) => coordinates.iter().map(|c| c.position.terms.len()).sum(),
            Spot::Flat(flat) => flat.terms.len(),
            Spot::Whole { .. } => 0,
        };
        let fences: usize = self.fences.iter().map(|f| 2 + f.position.terms.len()).sum();
        1 + spot + fences
    }
}

impl Sweep {
    /// Records that a group asks for a node.
    pub(super) fn ask(&mut self, id: NodeId, request: Request) {
        let contents = &mut self.groups[request.group].contents;
        contents.words += request.place.words();
        if let Some(memory) = self.behind[id.index()].filter(|_| request.need != Need::Order) {
            *contents.asked.entry(memory).or_default() += 1;
        }
        self.requests[id.index()].push(request);
    }

    /// Takes the requests of a node, which is visited now.
    pub(super) fn take_requests(&mut self, id: NodeId) -> Vec<Request> {
        let mut requests = std::mem::take(&mut self.requests[id.index()]);
        for request in &mut requests {
            let group = &mut self.groups[request.group];
            request.place = request.place.resolved(&group.loops);
            let Some(memory) = self.behind[id.index()].filter(|_| request.need != Need::Order) else {
                continue;
            };
            if let Some(times) = group.contents.asked.get_mut(&memory) {
                *times -= 1;
                if *times == 0 {
                    group.contents.asked.remove(&memory);
                }
            }
        }
        requests
    }

    /// Records that a group reads or writes a stored node.
    pub(super) fn binds(&mut self, group: GroupId, id: NodeId) {
        let memory = self.memory[id.index()];
        self.groups[group].contents.bound.insert(memory);
    }

    /// Whether a kernel has room for a node: for what it is computed from, and for its own memory where it is stored.
    pub(super) fn has_room(&self, id: NodeId, group: GroupId, stored: bool) -> Result<(), String> {
        let entry = &self.groups[group];
        if stored && entry.stores.len() >= MOST_STORES {
            return Err("the kernel stores enough already".into());
        }
        let node = self.node(id);
        // Not only reductions: one that was refused would then stand alone, and all others after it.
        if self.reduces[id.index()] && entry.reduced.len() >= Kernel::MOST_REDUCTIONS {
            return Err("the kernel reduces enough already".into());
        }
        if entry.contents.words >= MOST_WORDS {
            return Err("the kernel is long enough already".into());
        }
        let inputs = node.inputs.iter().filter_map(|input| self.behind[input.index()]);
        let checked = matches!(node.op, Op::CheckIndex { .. }).then_some(Memory::Reports);
        let own = stored.then_some(self.memory[id.index()]);
        if entry.contents.bindings_with(inputs.chain(checked).chain(own)) > self.room.bindings {
            return Err("the kernel would bind more buffers than the device lets it".into());
        }
        Ok(())
    }

    /// Whether one kernel can hold two groups.
    pub(super) fn have_room(&self, a: GroupId, b: GroupId) -> bool {
        let (a, b) = (&self.groups[a], &self.groups[b]);
        a.stores.len() + b.stores.len() <= MOST_STORES
            && a.reduced.len() + b.reduced.len() <= Kernel::MOST_REDUCTIONS
            && a.contents.fits_with(&b.contents, self.room)
    }
}
