//! The backward sweep that puts every node into a group.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use kiln_device::Value;

use super::linear::{Linear, Loops};
use super::prepare::{Prepared, from_start, is_view};
use super::view::{Place, Spot, through};
use super::{Fused, Group, GroupId, Kind, Refusal};
use crate::error::{Error, Result};
use crate::graph::{Node, NodeId};
use crate::op::Op;
use crate::shape::strides;

mod contract;
mod cost;
mod join;
mod merge;
mod reduce;
mod room;
mod width;

use room::Memory;
pub(crate) use room::{Contents, Room};

/// How a group needs a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// The value at a place; it may be computed inside the group.
    Value,
    /// The value in memory.
    Stored,
    /// Nothing but that it is there first: it is a part of something the group reads.
    Order,
}

/// A group asks for a node.
#[derive(Clone, Debug)]
struct Request {
    group: GroupId,
    place: Place,
    need: Need,
}

struct Sweep {
    prepared: Prepared,
    groups: Vec<Group>,
    requests: Vec<Vec<Request>>,
    /// The node must be in memory: it is an output, is assigned, or is a part of a concatenation.
    homed: Vec<bool>,
    /// The computed nodes that make up a concatenation.
    parts_of: HashMap<NodeId, Vec<NodeId>>,
    stored_by: Vec<Option<GroupId>>,
    readers: Vec<Vec<GroupId>>,
    leaf_reads: Vec<(usize, GroupId, Place)>,
    refusals: Vec<Refusal>,
    cheap: Vec<bool>,
    sources: Vec<cost::Source>,
    reduces: Vec<bool>,
    /// The memory of every node, should it be stored, and the memory behind it.
    memory: Vec<Memory>,
    behind: Vec<Option<Memory>>,
    room: Room,
    /// The groups of calls.
    calls: HashMap<NodeId, GroupId>,
}

/// Divides a prepared graph into groups that a device has room for.
pub(crate) fn fuse(prepared: Prepared, room: Room) -> Result<Fused> {
    let count = prepared.graph.nodes.len();
    let mut homed = vec![false; count];
    let mut parts_of: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for id in prepared.graph.outputs.iter().chain(prepared.written.iter().flatten()) {
        homed[id.index()] = true;
    }
    for (i, part) in prepared.part.iter().enumerate() {
        if let Some(part) = part {
            homed[i] = true;
            parts_of.entry(part.of).or_default().push(NodeId(i as u32));
        }
    }
    let cheap = cost::cheap(&prepared.graph);
    let sources = cost::sources(&prepared.graph);
    let reduces = cost::reduces(&prepared.graph);
    let (memory, behind) = room::memories(&prepared);
    let mut sweep = Sweep {
        groups: vec![],
        requests: vec![vec![]; count],
        homed,
        parts_of,
        stored_by: vec![None; count],
        readers: vec![],
        leaf_reads: vec![],
        refusals: vec![],
        cheap,
        sources,
        reduces,
        memory,
        behind,
        room,
        calls: HashMap::new(),
        prepared,
    };
    for i in (0..count).rev().filter(|i| sweep.prepared.live[*i]).collect::<Vec<_>>() {
        sweep.visit(NodeId(i as u32))?;
    }
    Ok(Fused {
        prepared: sweep.prepared,
        groups: sweep.groups,
        stored_by: sweep.stored_by,
        readers: sweep.readers,
        leaf_reads: sweep.leaf_reads,
        refusals: sweep.refusals,
    })
}

impl Sweep {
    fn node(&self, id: NodeId) -> &Node {
        self.prepared.graph.node(id)
    }

    fn visit(&mut self, id: NodeId) -> Result<()> {
        let requests = self.take_requests(id);
        match self.node(id).op {
            Op::Input(leaf) => {
                requests.iter().for_each(|r| self.binds(r.group, id));
                self.leaf_reads.extend(requests.into_iter().map(|r| (leaf, r.group, r.place)));
                Ok(())
            }
            Op::Concat { .. } => {
                self.concat(id, &requests);
                Ok(())
            }
            Op::Result { .. } => {
                let call = self.node(id).inputs[0];
                let known = self.calls.get(&call).copied();
                let group = known.unwrap_or_else(|| self.open(Kind::Whole(call)));
                self.calls.insert(call, group);
                self.store(id, group, &requests);
                Ok(())
            }
            Op::Call(ref call) => {
                let Some(group) = self.calls.get(&id).copied() else { return Ok(()) };
                let starts = from_start(call);
                for (n, input) in self.node(id).inputs.clone().into_iter().enumerate() {
                    self.ask_all(input, group, starts.get(n) != Some(&true));
                }
                Ok(())
            }
            ref op if is_view(op) => self.view(id, requests),
            _ => self.compute(id, requests),
        }
    }

    /// A concatenation is memory: whoever reads it comes after all its parts.
    fn concat(&mut self, id: NodeId, requests: &[Request]) {
        requests.iter().filter(|r| r.need != Need::Order).for_each(|r| self.binds(r.group, id));
        for part in self.parts_of.get(&id).cloned().unwrap_or_default() {
            for request in requests {
                let place = Place::whole(self.node(part).len(), true);
                self.ask(part, Request { group: request.group, place, need: Need::Order });
            }
        }
    }

    /// Hands the requests of a view on to its input, or stores it where it cannot be looked through.
    fn view(&mut self, id: NodeId, requests: Vec<Request>) -> Result<()> {
        let input = self.node(id).inputs[0];
        let stored_input = matches!(self.node(input).op, Op::Input(_) | Op::Concat { .. });
        let mut stuck = vec![];
        for request in requests {
            let may_split = !stored_input && request.need == Need::Value;
            let graph = &self.prepared.graph;
            let loops = &mut self.groups[request.group].loops;
            // Operands of a product have zeros outside their fences.
            let zero = Value::zero(graph.node(id).dtype.scalar());
            let fits = |p: &Place| request.need == Need::Value || p.fill.is_none_or(|fill| fill == zero);
            let asked = through(graph.node(id), graph.node(input), &request.place, loops, may_split);
            match asked.filter(fits) {
                Some(place) => self.ask(input, Request { place, ..request }),
                None => stuck.push(request),
            }
        }
        if stuck.is_empty() {
            return Ok(());
        }
        self.refuse(id, "its coordinates cannot be followed inside a kernel: it is copied".into());
        let group = self.open(Kind::Map);
        let positions = self.fresh_rows(group, id);
        self.groups[group].members.push((id, positions.clone()));
        self.store(id, group, &stuck);
        let graph = &self.prepared.graph;
        let loops = &mut self.groups[group].loops;
        let place = through(graph.node(id), graph.node(input), &Place::at(positions), loops, !stored_input)
            .ok_or_else(|| Error::Internal(format!("view %{} cannot be copied", id.0)))?;
        self.ask(input, Request { group, place, need: Need::Value });
        Ok(())
    }

    fn compute(&mut self, id: NodeId, requests: Vec<Request>) -> Result<()> {
        let homed = self.homed[id.index()];
        let plain = requests.iter().all(|r| r.need == Need::Value && r.place.positions().is_some());
        let inline = matches!(self.node(id).op, Op::Constant(_) | Op::Iota { .. });
        if inline
            && !homed
            && requests.iter().all(|r| r.need == Need::Value && !matches!(r.place.spot, Spot::Flat(_)))
        {
            return Ok(());
        }
        let requests = self.merge_askers(id, requests);
        let askers = askers(&requests);
        let mut must_store = homed || !plain || cost::is_stored(&self.node(id).op);
        if !must_store
            && self.cheap[id.index()]
            && (askers.len() > 1 || positions_of(&requests, askers[0]).is_none())
            && askers.iter().all(|group| self.has_room(id, *group, false).is_ok())
            && askers.iter().all(|group| self.same_width(id, *group))
        {
            for request in &requests {
                if let Some(positions) = request.place.positions() {
                    self.ask_inputs(id, request.group, &positions);
                }
            }
            return Ok(());
        }
        must_store |= askers.len() > 1;
        let mut reason = String::new();
        for group in &askers {
            match self.join(id, *group, &requests, must_store) {
                Ok(()) => return Ok(()),
                Err(why) if reason.is_empty() => reason = why,
                Err(_) => {}
            }
        }
        if !askers.is_empty() && !reason.is_empty() {
            self.refuse(id, reason);
        }
        self.own(id, &requests)
    }

    /// Opens a group for a node, stored.
    fn own(&mut self, id: NodeId, requests: &[Request]) -> Result<()> {
        match self.node(id).op.clone() {
            Op::Reduce { .. } => {
                let group = self.open(Kind::Map);
                let positions = self.fresh_rows(group, id);
                self.join_reduce(id, group, positions).map_err(Error::Internal)?;
                self.store(id, group, requests);
            }
            Op::MatMul | Op::Conv { .. } => {
                let group = self.open(Kind::Map);
                self.own_contraction(id, group);
                self.store(id, group, requests);
            }
            Op::Scatter { .. } | Op::ArgSort { .. } | Op::Scan { .. } => {
                let group = self.open(Kind::Whole(id));
                self.store(id, group, requests);
                let moved = self.prepared.moved.contains_key(&id);
                for (n, input) in self.node(id).inputs.clone().into_iter().enumerate() {
                    self.ask_all(input, group, moved && n == 0);
                }
            }
            _ => {
                let group = self.open(Kind::Map);
                let positions = self.fresh_rows(group, id);
                self.groups[group].members.push((id, positions.clone()));
                self.store(id, group, requests);
                self.ask_inputs(id, group, &positions);
            }
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind) -> GroupId {
        self.groups.push(Group::new(kind));
        self.readers.push(vec![]);
        self.groups.len() - 1
    }

    fn fresh_rows(&mut self, group: GroupId, id: NodeId) -> Vec<Linear> {
        let shape = self.node(id).shape.clone();
        shape.iter().map(|extent| self.groups[group].loops.row(*extent)).collect()
    }

    /// Records that a group stores a node, and who reads it.
    fn store(&mut self, id: NodeId, group: GroupId, requests: &[Request]) {
        self.groups[group].stores.push(id);
        self.stored_by[id.index()] = Some(group);
        self.binds(group, id);
        requests.iter().filter(|r| r.need != Need::Order).for_each(|r| self.binds(r.group, id));
        for asker in askers(requests) {
            if asker != group && !self.readers[group].contains(&asker) {
                self.readers[group].push(asker);
            }
        }
    }

    /// Asks for all of a node in memory, which may be anywhere in a buffer or is to be at its start.
    fn ask_all(&mut self, id: NodeId, group: GroupId, anywhere: bool) {
        let place = Place::whole(self.node(id).len(), anywhere);
        self.ask(id, Request { group, place, need: Need::Stored });
    }

    /// Asks for the inputs of an elementwise node computed at some positions of a group.
    fn ask_inputs(&mut self, id: NodeId, group: GroupId, positions: &[Linear]) {
        let node = self.node(id);
        let inputs = node.inputs.clone();
        let asked: Vec<(NodeId, Place, Need)> = match &node.op {
            Op::Gather => {
                let index_rank = self.node(inputs[1]).shape.len();
                let index = Place::at(positions[..index_rank].iter().cloned());
                let rows = Place::whole(self.node(inputs[0]).len(), true);
                vec![(inputs[0], rows, Need::Stored), (inputs[1], index, Need::Value)]
            }
            Op::Random => {
                let word = |n: i64| (inputs[0], Place::at([Linear::constant(n)]), Need::Stored);
                vec![word(0), word(1)]
            }
            _ => inputs.iter().map(|n| (*n, Place::at(positions.iter().cloned()), Need::Value)).collect(),
        };
        for (input, place, need) in asked {
            self.ask(input, Request { group, place, need });
        }
    }

    fn refuse(&mut self, id: NodeId, reason: String) {
        let op = self.node(id).op.name();
        self.refusals.push(Refusal { node: id.0, op, reason });
    }
}

/// The number of an element in row-major order.
fn flat(positions: &[Linear], shape: &[usize]) -> Linear {
    let mut flat = Linear::default();
    for (position, stride) in positions.iter().zip(strides(shape)) {
        flat = flat.plus(position, stride as i64);
    }
    flat
}

/// The groups that ask, each once, in order.
fn askers(requests: &[Request]) -> Vec<GroupId> {
    let mut groups: Vec<GroupId> = vec![];
    for request in requests {
        if !groups.contains(&request.group) {
            groups.push(request.group);
        }
    }
    groups
}

/// The groups that ask for the value at plain positions, always the same, in order.
fn plain_askers<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Vec<(GroupId, Vec<Linear>)> {
    let mut found: Vec<(GroupId, Option<Vec<Linear>>)> = vec![];
    let mut numbers: HashMap<GroupId, usize> = HashMap::new();
    for request in requests {
        let positions = request.place.positions().filter(|_| request.need == Need::Value);
        match numbers.entry(request.group) {
            Entry::Vacant(entry) => {
                entry.insert(found.len());
                found.push((request.group, positions));
            }
            Entry::Occupied(entry) => {
                let known = &mut found[*entry.get()].1;
                if *known != positions {
                    *known = None;
                }
            }
        }
    }
    found.into_iter().filter_map(|(group, positions)| Some((group, positions?))).collect()
}

/// The positions at which a group asks for the value, where they are plain and all the same.
fn positions_of(requests: &[Request], group: GroupId) -> Option<Vec<Linear>> {
    plain_askers(requests.iter().filter(|r| r.group == group)).pop().map(|(_, positions)| positions)
}

/// The loops of a group, for the parts of the sweep in other files.
impl Sweep {
    fn loops(&mut self, group: GroupId) -> &mut Loops {
        &mut self.groups[group].loops
    }
}
