//! From a graph to a program: where every value lives, in which order the kernels run, and how much memory that takes.

use std::collections::{BTreeMap, BTreeSet};

use kiln_device::{
    Access, Affine, Binding, Body, CheckSite, Device, Guard, Instr, Kernel, Map, Program, Tape, Value,
};

use crate::error::Result;
use crate::fuse::{Contents, Fused, GroupId, Kind, Room, fuse, prepare, reaches};
use crate::graph::{Graph, NodeId};
use crate::lower::{Context, Key, Lowered, Storage, Work, lower};
use crate::op::Op;
use crate::report::{KernelReport, Report};
use crate::shape::strides;

mod memory;
mod merge;
mod order;
#[cfg(test)]
mod tests;
mod writes;

/// Who an external buffer of a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum External {
    /// The n-th leaf.
    Leaf(usize),
    /// The n-th output.
    Output(usize),
}

/// A program, who its external buffers are, and what it does.
pub(crate) struct Plan {
    pub(crate) program: Program,
    pub(crate) externals: Vec<External>,
    pub(crate) report: Report,
}

/// From every group to those that must run after it.
type Edges = Vec<Vec<GroupId>>;

/// Plans a graph for a device.
pub(crate) fn plan(graph: &Graph, device: &Device) -> Result<Plan> {
    plan_part(graph, &vec![0; graph.leaves.len()], vec![], device, Room::of(device))
}

/// Plans a graph whose leaves stand so many elements after the start of their buffers, in kernels that there is room
/// for. The program's checks are the given ones and then its own.
pub(crate) fn plan_part(
    graph: &Graph,
    offsets: &[usize],
    checks: Vec<CheckSite>,
    device: &Device,
    offered: Room,
) -> Result<Plan> {
    let (mut room, mut apart) = (offered, BTreeSet::new());
    loop {
        let fused = fuse(prepare(graph, device, &apart), room)?;
        let mut edges = fused.readers.clone();
        let deferred = writes::order(&fused, &mut edges);
        let known = apart.len();
        apart.extend(deferred.iter().filter(|n| fused.prepared.is_update_in_place(**n)));
        if apart.len() > known {
            continue;
        }
        let attempt = attempt(&fused, (edges, &deferred), offsets, checks.clone(), device, room)?;
        let most = attempt.lowered.iter().map(bindings).max().unwrap_or(0);
        let excess = most.saturating_sub(offered.bindings);
        if excess == 0 || room.bindings < FEWEST_BINDINGS + excess {
            return memory::assemble(&fused, attempt.lowered, attempt.checks, &attempt.scratch, device);
        }
        // A state that is not written in place, say: fusing less leaves room for it.
        room.bindings -= excess;
    }
}

/// Bindings of the largest kernel of a single operation.
const FEWEST_BINDINGS: usize = 4;

/// The steps of a graph, before they are given buffers.
struct Attempt {
    lowered: Vec<Lowered>,
    checks: Vec<CheckSite>,
    scratch: BTreeMap<Key, usize>,
}

/// Buffers that a kernel binds, the reports of its checks among them.
fn bindings(lowered: &Lowered) -> usize {
    let Work::Kernel(kernel) = &lowered.work else { return 0 };
    let tape = match &kernel.body {
        Body::Map(tape) | Body::Row { tape, .. } | Body::Contract { epilogue: tape, .. } => &tape.instrs[..],
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => &[],
    };
    let checks = tape.iter().chain(&kernel.once.instrs).any(|i| matches!(i, Instr::Check { .. }));
    kernel.buffers.len() + usize::from(checks)
}

/// Lowers groups into kernels that bind about as many buffers as there is room for.
fn attempt(
    fused: &Fused,
    (mut edges, deferred): (Edges, &[usize]),
    offsets: &[usize],
    checks: Vec<CheckSite>,
    device: &Device,
    room: Room,
) -> Result<Attempt> {
    let riders = ride_along(fused, &mut edges, room);
    let storage = storages(fused, deferred, offsets);
    let order = order::schedule(fused, &storage, &edges, &riders, device)?;
    let mut context = Context { fused, storage: &storage, checks, scratch: BTreeMap::new(), device, room };
    let mut lowered = vec![];
    for group in order {
        let once: Vec<GroupId> = (0..riders.len()).filter(|s| riders[*s] == Some(group)).collect();
        lowered.push(lower(&mut context, group, &once)?);
    }
    let Context { checks, scratch, .. } = context;
    let mut lowered = merge::copies(lowered, room);
    let mut copies = deferred_copies(fused, deferred);
    if let Some(first) = copies.first_mut() {
        ride_on_copy(&mut lowered, first, room);
    }
    lowered.extend(copies);
    // Nothing to compute: no launch. What rides along is computed all the same.
    lowered.retain(|l| match &l.work {
        Work::Kernel(kernel) => !kernel.rows.contains(&0) || !kernel.once.instrs.is_empty(),
        Work::Host(_) | Work::Branch { .. } | Work::Loop { .. } => true,
    });
    Ok(Attempt { lowered, checks, scratch })
}

/// Lets groups of scalars ride along in a kernel that neither needs them nor is needed by them: who hosts whom.
fn ride_along(fused: &Fused, edges: &mut Edges, room: Room) -> Vec<Option<GroupId>> {
    let mut hosts = vec![None; fused.groups.len()];
    let mut contents: Vec<Contents> = fused.groups.iter().map(|g| g.contents.clone()).collect();
    for rider in 0..fused.groups.len() {
        let group = &fused.groups[rider];
        let scalar = group.alive && group.kind == Kind::Map && group.loops.rows.is_empty();
        if !scalar || has_host(&hosts, rider) {
            continue;
        }
        let fits = |host: &GroupId| {
            let other = &fused.groups[*host];
            *host != rider
                && other.alive
                && hosts[*host].is_none()
                && !matches!(other.kind, Kind::Whole(_))
                && contents[*host].fits_with(&group.contents, room)
                && !shares_written_state(fused, rider, *host)
                && !reaches(edges, rider, *host)
                && !reaches(edges, *host, rider)
        };
        let Some(host) = (0..fused.groups.len()).rev().find(fits) else { continue };
        hosts[rider] = Some(host);
        contents[host].absorb(&group.contents);
        let moved = std::mem::take(&mut edges[rider]);
        edges[host].extend(moved);
        for (group, list) in edges.iter_mut().enumerate() {
            for reader in list.iter_mut().filter(|r| **r == rider) {
                *reader = host;
            }
            list.sort_unstable();
            list.dedup();
            list.retain(|r| *r != group);
        }
    }
    hosts
}

fn has_host(hosts: &[Option<GroupId>], group: GroupId) -> bool {
    hosts.contains(&Some(group))
}

/// True where both groups write ranges of one state, or one writes what the other reads.
fn shares_written_state(fused: &Fused, a: GroupId, b: GroupId) -> bool {
    let written = |group: GroupId| {
        let prepared = &fused.prepared;
        let assigns = prepared.graph.assigns.iter().zip(&prepared.written);
        let writes = move |id: &NodeId| fused.stored_by[id.index()] == Some(group);
        assigns.filter(move |(_, written)| written.iter().any(writes)).map(|(assign, _)| assign.leaf)
    };
    let reads = |group: GroupId, leaf: usize| fused.leaf_reads.iter().any(|r| r.0 == leaf && r.1 == group);
    written(a).any(|leaf| reads(b, leaf) || written(b).any(|other| other == leaf))
        || written(b).any(|leaf| reads(a, leaf))
}

/// The memory of every stored node and leaf.
fn storages(fused: &Fused, deferred: &[usize], offsets: &[usize]) -> Vec<Option<Storage>> {
    let graph = &fused.prepared.graph;
    let mut storage: Vec<Option<Storage>> = vec![None; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        storage[i] = match node.op {
            Op::Input(leaf) => Some(Storage::dense(Key::Leaf(leaf), offsets[leaf], &node.shape)),
            Op::Concat { .. } => Some(Storage::dense(Key::Node(NodeId(i as u32)), 0, &node.shape)),
            _ => fused.stored_by[i].map(|_| Storage::dense(Key::Node(NodeId(i as u32)), 0, &node.shape)),
        };
    }
    for (n, output) in graph.outputs.iter().enumerate() {
        storage[output.index()] = Some(Storage::dense(Key::Output(n), 0, &graph.node(*output).shape));
    }
    for (n, assign) in graph.assigns.iter().enumerate().filter(|(n, _)| !deferred.contains(n)) {
        for id in &fused.prepared.written[n] {
            let shape = &graph.node(*id).shape;
            storage[id.index()] = Some(Storage::dense(Key::Leaf(assign.leaf), assign.offset, shape));
        }
    }
    for (i, node) in graph.nodes.iter().enumerate().filter(|(i, _)| fused.prepared.live[*i]) {
        let Op::Call(call) = &node.op else { continue };
        for (n, input) in node.inputs.iter().enumerate().take(call.carried()) {
            let id = NodeId(i as u32);
            let result = (0..graph.nodes.len()).find(|r| {
                let other = &graph.nodes[*r];
                storage[*r].is_some() && other.op == Op::Result { index: n } && other.inputs == [id]
            });
            let key = result.and_then(|r| storage[r].as_ref()).map_or(Key::Scratch(id, n), |s| s.key);
            storage[input.index()] = Some(Storage::dense(key, 0, &graph.node(*input).shape));
        }
    }
    for (i, part) in fused.prepared.part.iter().enumerate() {
        let Some(part) = part else { continue };
        let whole = graph.node(part.of);
        let (Op::Concat { axis }, Some(of)) = (&whole.op, &storage[part.of.index()]) else { continue };
        let (axis, all) = (*axis, strides(&whole.shape));
        let (offset, key) = (part.start * all[axis], of.key);
        let contiguous = whole.shape[..axis].iter().all(|d| *d == 1);
        let shape = &graph.nodes[i].shape;
        storage[i] = Some(match contiguous {
            true => Storage::dense(key, offset, shape),
            false => Storage { key, offset, strides: all, contiguous: false },
        });
    }
    storage
}

/// Lets scalars that are computed last ride along in the first copy, as in other kernels: in a loop that is one launch
/// less in every turn.
fn ride_on_copy(lowered: &mut Vec<Lowered>, copy: &mut Lowered, room: Room) {
    let Some(last) = lowered.pop() else { return };
    let apart = last.keys.iter().all(|key| !copy.keys.contains(key))
        && bindings(&last) + bindings(copy) <= room.bindings;
    let (Work::Kernel(scalars), Work::Kernel(host)) = (&last.work, &mut copy.work) else {
        lowered.push(last);
        return;
    };
    let Body::Map(tape) = &scalars.body else {
        lowered.push(last);
        return;
    };
    if !apart || !scalars.rows.is_empty() || !scalars.once.instrs.is_empty() {
        lowered.push(last);
        return;
    }
    let first = host.buffers.len();
    host.once.instrs = tape.instrs.iter().map(|i| at_no_point(i.clone(), first, host.rows.len())).collect();
    host.buffers.extend(&scalars.buffers);
    copy.keys.extend(&last.keys);
}

/// An instruction of a kernel without loops in one with some, whose buffers come after `first` others.
fn at_no_point(instr: Instr, first: usize, variables: usize) -> Instr {
    let affine = |a: Affine| Affine::constant(variables, a.offset);
    let map = |map: Map| Map {
        base: affine(map.base),
        guards: map.guards.into_iter().map(|g| Guard { position: affine(g.position), ..g }).collect(),
    };
    match instr {
        Instr::Index(position) => Instr::Index(affine(position)),
        Instr::Load { buffer, map: m, fill } => Instr::Load { buffer: buffer + first, map: map(m), fill },
        Instr::LoadAt { buffer, index, len } => Instr::LoadAt { buffer: buffer + first, index, len },
        Instr::Store { buffer, map: m, value } => Instr::Store { buffer: buffer + first, map: map(m), value },
        plain @ (Instr::Const(_)
        | Instr::Unary(..)
        | Instr::Binary(..)
        | Instr::Compare(..)
        | Instr::Select(..)
        | Instr::Cast(..)
        | Instr::Bitcast(..)
        | Instr::Round(..)
        | Instr::Random { .. }
        | Instr::Reduce(..)
        | Instr::Accumulator
        | Instr::Check { .. }) => plain,
    }
}

/// Kernels that copy values to the states they could not be written to directly.
fn deferred_copies(fused: &Fused, deferred: &[usize]) -> Vec<Lowered> {
    let graph = &fused.prepared.graph;
    let copy = |n: &usize| {
        let assign = &graph.assigns[*n];
        let node = graph.node(assign.value);
        let vector = |offset: usize| {
            let base = kiln_device::Affine { coefficients: vec![1], offset: offset as i64 };
            Map { base, guards: vec![] }
        };
        let load = Instr::Load { buffer: 0, map: vector(0), fill: Value::zero(node.dtype.scalar()) };
        let store = Instr::Store { buffer: 1, map: vector(assign.offset), value: 0 };
        let binding = |access: Access| Binding { dtype: node.dtype, access };
        let kernel = Kernel {
            name: "assign".into(),
            rows: vec![node.len()],
            inner: vec![],
            buffers: vec![binding(Access::Read), binding(Access::Write)],
            body: Body::Map(Tape { instrs: vec![load, store] }),
            once: Tape::default(),
        };
        Lowered { work: Work::Kernel(kernel), keys: vec![Key::Node(assign.value), Key::Leaf(assign.leaf)] }
    };
    deferred.iter().map(copy).collect()
}
