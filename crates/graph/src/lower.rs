//! From groups to kernels: every stored node of a group is written out as instructions, back to what is in memory.

use std::collections::{BTreeMap, HashMap};

use kiln_device::{
    Access, Affine, Binding, Body, CheckSite, DType, Device, Guard, HostStep, Instr, Kernel, Map, Operand,
    Reg, Step, Tape, Value, size,
};

use crate::error::{Error, Result};
use crate::fuse::{
    Coordinate, Fence, Fused, Group, GroupId, Kind, Linear, Moved, Place, Room, Spot, Var, is_view, through,
};
use crate::graph::{Node, NodeId};
use crate::op::{Loop, Op};
use crate::report::Report;
use crate::shape::strides;

pub(crate) mod call;
mod phases;
mod value;

/// A piece of memory of a program, before it is given a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The n-th leaf.
    Leaf(usize),
    /// The n-th output.
    Output(usize),
    /// The value of a node that lives inside the program.
    Node(NodeId),
    /// The n-th piece of memory that a node's kernel or call needs beside its results.
    Scratch(NodeId, usize),
}

/// Where a node's value is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) key: Key,
    /// Elements before the first.
    pub(crate) offset: usize,
    /// Elements between neighbours of each axis.
    pub(crate) strides: Vec<usize>,
    /// True where the elements stand in row-major order without gaps.
    pub(crate) contiguous: bool,
}

impl Storage {
    /// A dense array at an offset.
    pub(crate) fn dense(key: Key, offset: usize, shape: &[usize]) -> Storage {
        Storage { key, offset, strides: strides(shape), contiguous: true }
    }
}

/// A group as a step, with the memory that each binding stands for.
#[derive(Clone, Debug)]
pub(crate) struct Lowered {
    pub(crate) work: Work,
    pub(crate) keys: Vec<Key>,
}

/// What a step does; buffers are numbers of its bindings.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Kernel(Kernel),
    Host(HostStep),
    Branch { index: usize, arms: Vec<Part> },
    Loop { looped: Box<Loop>, body: Part },
}

/// The steps of a graph inside a step.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) steps: Vec<Step>,
    pub(crate) report: Report,
}

/// What lowering needs to know of the whole program.
pub(crate) struct Context<'a> {
    pub(crate) fused: &'a Fused,
    /// By node; none where the value is in no memory.
    pub(crate) storage: &'a [Option<Storage>],
    pub(crate) checks: Vec<CheckSite>,
    /// Bytes of every [`Key::Scratch`].
    pub(crate) scratch: BTreeMap<Key, usize>,
    pub(crate) device: &'a Device,
    /// What kernels may hold.
    pub(crate) room: Room,
}

struct Lowering<'a, 'b> {
    context: &'a mut Context<'b>,
    id: GroupId,
    loops: crate::fuse::Loops,
    /// Place of every live variable among the kernel's, and how many there are.
    order: HashMap<Var, usize>,
    variables: usize,
    instrs: Vec<Instr>,
    registers: HashMap<Instr, Reg>,
    known: HashMap<(NodeId, Place), Reg>,
    bindings: Vec<(Key, DType)>,
}

/// Lowers a group; `once` are groups of scalars that ride along.
pub(crate) fn lower(context: &mut Context<'_>, id: GroupId, once: &[GroupId]) -> Result<Lowered> {
    let group = context.fused.groups[id].clone();
    let loops = group.loops.clone();
    let vars: Vec<Var> = loops.live().collect();
    let order: HashMap<Var, usize> = vars.iter().enumerate().map(|(i, v)| (*v, i)).collect();
    let variables = vars.len();
    let mut lowering = Lowering {
        context,
        id,
        loops,
        order,
        variables,
        instrs: vec![],
        registers: HashMap::new(),
        known: HashMap::new(),
        bindings: vec![],
    };
    if let Some(step) = lowering.call(&group)? {
        return Ok(step);
    }
    let body = lowering.body(&group)?;
    let mut once_tape = Tape::default();
    for rider in once {
        let scalars = lowering.context.fused.groups[*rider].clone();
        let first = once_tape.instrs.len() as Reg;
        lowering.enter(*rider, scalars.loops.clone());
        lowering.stores(&scalars)?;
        once_tape.instrs.extend(std::mem::take(&mut lowering.instrs).into_iter().map(|i| shifted(i, first)));
    }
    let extents = |vars: &[Var]| group.loops.extents(vars);
    let mut kernel = Kernel {
        name: name(lowering.context.fused, &group),
        rows: extents(&group.loops.rows),
        inner: extents(&group.loops.inner),
        buffers: vec![],
        body,
        once: once_tape,
    };
    let access = accesses(&kernel, lowering.bindings.len());
    kernel.buffers =
        lowering.bindings.iter().zip(access).map(|(b, access)| Binding { dtype: b.1, access }).collect();
    Ok(Lowered { keys: lowering.bindings.iter().map(|b| b.0).collect(), work: Work::Kernel(kernel) })
}

/// The operations inside, for people.
fn name(fused: &Fused, group: &Group) -> String {
    let mut ops: Vec<&str> = vec![];
    for (id, _) in group.members.iter().rev() {
        let op = fused.prepared.graph.node(*id).op.name();
        if !ops.contains(&op) {
            ops.push(op);
        }
    }
    if let Kind::Whole(id) = group.kind {
        ops.push(fused.prepared.graph.node(id).op.name());
    }
    let shown = ops.len().min(6);
    let more = if ops.len() > shown { "+…" } else { "" };
    format!("{}{more}", ops[..shown].join("+"))
}

fn accesses(kernel: &Kernel, count: usize) -> Vec<Access> {
    let mut used = vec![(false, false); count];
    let mut tape = |instrs: &[Instr]| {
        for instr in instrs {
            match instr {
                Instr::Load { buffer, .. } | Instr::LoadAt { buffer, .. } => used[*buffer].0 = true,
                Instr::Store { buffer, .. } => used[*buffer].1 = true,
                _ => {}
            }
        }
    };
    tape(&kernel.once.instrs);
    match &kernel.body {
        Body::Map(t) | Body::Row { tape: t, .. } => tape(&t.instrs),
        Body::Contract { epilogue, lhs, rhs, .. } => {
            tape(&epilogue.instrs);
            used[lhs.buffer].0 = true;
            used[rhs.buffer].0 = true;
        }
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {
            let outputs = match &kernel.body {
                Body::Scatter { .. } => 3..4,
                Body::Sort { .. } => 1..3,
                _ => 1..2,
            };
            for (i, entry) in used.iter_mut().enumerate() {
                if outputs.contains(&i) { entry.1 = true } else { entry.0 = true }
            }
        }
    }
    let access = |(read, write): (bool, bool)| match (read, write) {
        (true, true) => Access::ReadWrite,
        (false, true) => Access::Write,
        _ => Access::Read,
    };
    used.into_iter().map(access).collect()
}

/// The instruction with its operands moved by `by` registers.
fn shifted(instr: Instr, by: Reg) -> Instr {
    match instr {
        Instr::LoadAt { buffer, index, len } => Instr::LoadAt { buffer, index: index + by, len },
        Instr::Store { buffer, map, value } => Instr::Store { buffer, map, value: value + by },
        Instr::Unary(op, a) => Instr::Unary(op, a + by),
        Instr::Binary(op, a, b) => Instr::Binary(op, a + by, b + by),
        Instr::Compare(op, a, b) => Instr::Compare(op, a + by, b + by),
        Instr::Select(a, b, c) => Instr::Select(a + by, b + by, c + by),
        Instr::Cast(to, a) => Instr::Cast(to, a + by),
        Instr::Bitcast(to, a) => Instr::Bitcast(to, a + by),
        Instr::Round(to, a) => Instr::Round(to, a + by),
        Instr::Random { key, counter } => Instr::Random { key: key.map(|k| k + by), counter: counter + by },
        Instr::Reduce(op, a) => Instr::Reduce(op, a + by),
        Instr::Check { ok, value, position, site } => {
            Instr::Check { ok: ok + by, value: value + by, position: position + by, site }
        }
        plain @ (Instr::Const(_) | Instr::Index(_) | Instr::Load { .. } | Instr::Accumulator) => plain,
    }
}

impl Lowering<'_, '_> {
    fn enter(&mut self, id: GroupId, loops: crate::fuse::Loops) {
        self.id = id;
        self.loops = loops;
        self.order.clear();
        self.known.clear();
        self.registers.clear();
    }

    fn node(&self, id: NodeId) -> &Node {
        self.context.fused.prepared.graph.node(id)
    }

    fn bug(&self, id: NodeId, what: &str) -> Error {
        Error::Internal(format!("%{} {} in group {}: {what}", id.0, self.node(id).op.name(), self.id))
    }

    fn body(&mut self, group: &Group) -> Result<Body> {
        match group.kind {
            Kind::Map => {
                self.stores(group)?;
                Ok(Body::Map(Tape { instrs: std::mem::take(&mut self.instrs) }))
            }
            Kind::Row if group.loops.inner.is_empty() => {
                self.stores(group)?;
                Ok(Body::Map(Tape { instrs: std::mem::take(&mut self.instrs) }))
            }
            Kind::Row => {
                self.stores(group)?;
                Ok(phases::row(std::mem::take(&mut self.instrs), group.loops.rows.len()))
            }
            Kind::Contract(_) => {
                let mut operands = vec![];
                for (node, place) in &group.operands {
                    let (buffer, map, _) = self.address(*node, &place.resolved(&group.loops))?;
                    operands.push(Operand { buffer, map });
                }
                self.stores(group)?;
                let epilogue = Tape { instrs: std::mem::take(&mut self.instrs) };
                let [lhs, rhs]: [Operand; 2] = operands
                    .try_into()
                    .map_err(|_| Error::Internal("a contraction has two operands".into()))?;
                let count = |sum: &Linear| group.loops.resolve(sum).terms.len();
                let (batch, m) = (count(&group.batch_and_m.0), count(&group.batch_and_m.1));
                Ok(Body::Contract { batch, m, lhs, rhs, epilogue })
            }
            Kind::Whole(id) => self.whole(id),
        }
    }

    fn whole(&mut self, id: NodeId) -> Result<Body> {
        let node = self.node(id).clone();
        let storage = self.storage(id)?.clone();
        let (key, shape) = (storage.key, &node.shape);
        let moved = self.context.fused.prepared.moved.get(&id).copied();
        for (n, input) in node.inputs.iter().enumerate() {
            let in_slab = moved.filter(|_| n == 0);
            let (from, offset) = match in_slab {
                Some(_) => self.memory_behind(*input)?,
                None => self.memory(*input, false)?,
            };
            let start = if in_slab.is_some() { (key, storage.offset) } else { (from, 0) };
            if (from, offset) != start {
                return Err(self.bug(*input, "a whole array does not start at its buffer"));
            }
            self.bind_anew(from, self.node(*input).dtype);
        }
        match node.op {
            Op::Scatter { op } => {
                let out = node.dtype;
                self.bind_anew(key, out);
                let updates = self.node(node.inputs[1]).len();
                let Moved { first, parts } = moved.unwrap_or(Moved { first: 0, parts: 1 });
                let width = shape[1..].iter().product::<usize>() / parts;
                Ok(Body::Scatter { op, targets: first + shape[0] * parts, updates, width })
            }
            Op::ArgSort { descending } => {
                let length = shape.last().copied().unwrap_or(1);
                let lines = node.len() / length.max(1);
                // The sorted keys are not used.
                let (sorted, dtype) = (Key::Scratch(id, 0), self.node(node.inputs[0]).dtype);
                let bytes = size::byte_length(node.len(), self.context.device.element_size(dtype))?;
                self.context.scratch.insert(sorted, bytes);
                self.bind_anew(sorted, dtype);
                self.bind_anew(key, DType::I32);
                Ok(Body::Sort { lines, length, descending })
            }
            Op::Scan { op, axis, reverse } => {
                self.bind_anew(key, node.dtype);
                let (outer, inner) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
                Ok(Body::Scan { op, outer, length: shape[axis], inner, reverse })
            }
            _ => Err(self.bug(id, "is no whole-array operation")),
        }
    }

    /// Everything is loaded before the first store: a store may be to what is loaded.
    fn stores(&mut self, group: &Group) -> Result<()> {
        let mut values = vec![];
        for id in &group.stores {
            let positions = group.position(*id).ok_or_else(|| self.bug(*id, "is stored but not a member"))?;
            let place = Place::at(positions);
            values.push((id, self.value(*id, &place)?, place));
        }
        for (id, value, place) in values {
            let storage = self.storage(*id)?.clone();
            let map = self.map(&storage, &place)?;
            let buffer = self.bind(storage.key, self.node(*id).dtype);
            self.instrs.push(Instr::Store { buffer, map, value });
        }
        Ok(())
    }

    fn storage(&self, id: NodeId) -> Result<&Storage> {
        self.context.storage[id.index()].as_ref().ok_or_else(|| self.bug(id, "has no memory"))
    }

    fn bind(&mut self, key: Key, dtype: DType) -> usize {
        match self.bindings.iter().position(|b| *b == (key, dtype)) {
            Some(at) => at,
            None => self.bind_anew(key, dtype),
        }
    }

    fn bind_anew(&mut self, key: Key, dtype: DType) -> usize {
        self.bindings.push((key, dtype));
        self.bindings.len() - 1
    }

    /// The register of an instruction: an equal one that is there, or a new one.
    fn push(&mut self, instr: Instr) -> Reg {
        if let Some(reg) = self.registers.get(&instr) {
            return *reg;
        }
        let reg = self.instrs.len() as Reg;
        self.registers.insert(instr.clone(), reg);
        self.instrs.push(instr);
        reg
    }

    fn constant(&mut self, value: Value) -> Reg {
        self.push(Instr::Const(value))
    }

    fn affine(&self, linear: &Linear) -> Result<Affine> {
        let mut affine = Affine::constant(self.variables, linear.offset);
        for (var, coefficient) in &self.loops.resolve(linear).terms {
            let at = self
                .order
                .get(var)
                .ok_or_else(|| Error::Internal(format!("variable {var} is not a loop")))?;
            affine.coefficients[*at] += coefficient;
        }
        Ok(affine)
    }

    fn index(&mut self, linear: &Linear) -> Result<Reg> {
        let affine = self.affine(linear)?;
        Ok(self.push(Instr::Index(affine)))
    }

    /// The memory that holds all of a node, looking through views that keep it whole: anywhere in a buffer, or from its
    /// start on.
    fn memory(&self, id: NodeId, anywhere: bool) -> Result<(Key, usize)> {
        let (mut id, mut place) = (id, Place::whole(self.node(id).len(), anywhere));
        loop {
            // A view that is stored for others is not there yet, maybe.
            if let (true, Spot::Whole { offset, .. }) = (self.is_read(id), &place.spot) {
                let storage = self.storage(id)?;
                if !storage.contiguous {
                    return Err(self.bug(id, "is stored with gaps"));
                }
                return Ok((storage.key, storage.offset + offset));
            }
            (id, place) = self.through_whole(id, &place)?;
        }
    }

    /// The memory behind the views of a node, also where a copy of a view is read beside it.
    fn memory_behind(&self, id: NodeId) -> Result<(Key, usize)> {
        let (mut id, mut place) = (id, Place::whole(self.node(id).len(), true));
        while is_view(&self.node(id).op) {
            (id, place) = self.through_whole(id, &place)?;
        }
        let (storage, offset) = (self.storage(id)?, place.range(&self.loops, 0).start);
        if storage.contiguous {
            Ok((storage.key, storage.offset + offset))
        } else {
            Err(self.bug(id, "is stored with gaps"))
        }
    }

    /// The input of a view, and where in it all of the view is.
    fn through_whole(&self, id: NodeId, place: &Place) -> Result<(NodeId, Place)> {
        let node = self.node(id);
        let input = *node.inputs.first().ok_or_else(|| self.bug(id, "is in no memory"))?;
        let mut loops = self.loops.clone();
        let there = through(node, self.node(input), place, &mut loops, false);
        Ok((input, there.ok_or_else(|| self.bug(id, "is not whole in memory"))?))
    }

    /// True where this group reads the node from memory.
    fn is_read(&self, id: NodeId) -> bool {
        match self.context.fused.stored_by[id.index()] {
            Some(group) => group != self.id && self.context.fused.readers[group].contains(&self.id),
            None => matches!(self.node(id).op, Op::Input(_) | Op::Concat { .. }),
        }
    }

    /// The memory and address of a node that is read, looking through views.
    fn address(&mut self, id: NodeId, place: &Place) -> Result<(usize, Map, Value)> {
        if self.is_read(id) {
            let storage = self.storage(id)?.clone();
            let map = self.map(&storage, place)?;
            let dtype = self.node(id).dtype;
            return Ok((
                self.bind(storage.key, dtype),
                map,
                place.fill.unwrap_or(Value::zero(dtype.scalar())),
            ));
        }
        let node = self.node(id).clone();
        let Some(input) = node.inputs.first().copied().filter(|_| is_view(&node.op)) else {
            return Err(self.bug(id, "is needed in memory and is not there"));
        };
        let from = self.node(input).clone();
        let place = through(&node, &from, place, &mut self.loops, false)
            .ok_or_else(|| self.bug(id, "cannot be looked through"))?;
        self.address(input, &place)
    }

    fn map(&self, storage: &Storage, place: &Place) -> Result<Map> {
        let mut guards: Vec<Guard> = vec![];
        for Fence { position, divisor, extent } in &place.fences {
            let position = self.affine(position)?;
            guards.push(Guard { position, divisor: *divisor, extent: *extent as i64, stride: 0 });
        }
        let mut base = Linear::constant(storage.offset as i64);
        match &place.spot {
            Spot::At(coordinates) => {
                for (Coordinate { position, divisor }, stride) in coordinates.iter().zip(&storage.strides) {
                    if *divisor == 1 {
                        base = base.plus(position, *stride as i64);
                        continue;
                    }
                    let affine = self.affine(position)?;
                    let known = guards
                        .iter_mut()
                        .find(|g| g.position == affine && g.divisor == *divisor && g.stride == 0);
                    match known {
                        Some(guard) => guard.stride = *stride as i64,
                        None => guards.push(Guard {
                            position: affine,
                            divisor: *divisor,
                            extent: i32::MAX as i64,
                            stride: *stride as i64,
                        }),
                    }
                }
            }
            Spot::Flat(flat) if storage.contiguous => base = base.plus(flat, 1),
            Spot::Flat(_) | Spot::Whole { .. } => {
                return Err(Error::Internal("a flat address of memory with gaps".into()));
            }
        }
        Ok(Map { base: self.affine(&base)?, guards })
    }
}
