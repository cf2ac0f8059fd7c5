//! Buffers for the memory of a program: values that are not alive at the same time take turns in one slot.

use std::collections::BTreeMap;

use kiln_device::{
    Access, Body, BufferSpec, CheckSite, DType, Device, Instr, Kernel, Launch, Map, Program, Role, Step, size,
};

use super::{External, KernelReport, Plan, Report};
use crate::error::Result;
use crate::fuse::Fused;
use crate::lower::{Key, Lowered, Work};

/// A temporary buffer of the program.
struct Slot {
    bytes: usize,
    /// The step that writes its present value first.
    since: usize,
    /// The step after which it is free.
    until: usize,
}

/// Gives every key a buffer and puts the program together.
pub(super) fn assemble(
    fused: &Fused,
    lowered: Vec<Lowered>,
    checks: Vec<CheckSite>,
    scratch: &BTreeMap<Key, (DType, usize)>,
    device: &Device,
) -> Result<Plan> {
    let mut lives: BTreeMap<Key, (usize, usize)> = BTreeMap::new();
    for (step, kernel) in lowered.iter().enumerate() {
        for key in &kernel.keys {
            lives.entry(*key).or_insert((step, step)).1 = step;
        }
    }
    let mut bytes: BTreeMap<Key, usize> = BTreeMap::new();
    for key in lives.keys() {
        let (dtype, count) = extent(fused, scratch, *key);
        bytes.insert(*key, size::byte_length(count, device.element_size(dtype))?);
    }
    let is_inside = |key: &Key| matches!(key, Key::Node(_) | Key::Scratch(..));
    let (slots, slot_of) = share_slots(&lowered, &lives, &bytes, is_inside);

    let mut buffers = vec![];
    let mut buffer_of: BTreeMap<Key, usize> = BTreeMap::new();
    let mut externals = vec![];
    for key in lives.keys().filter(|k| !is_inside(k)) {
        buffer_of.insert(*key, buffers.len());
        buffers.push(BufferSpec { role: Role::External(externals.len()), bytes: bytes[key] });
        externals.push(match key {
            Key::Output(n) => External::Output(*n),
            Key::Leaf(n) => External::Leaf(*n),
            Key::Node(_) | Key::Scratch(..) => continue,
        });
    }
    let first_slot = buffers.len();
    buffers.extend(slots.iter().map(|slot| BufferSpec { role: Role::Temporary, bytes: slot.bytes }));
    for (key, slot) in slot_of {
        buffer_of.insert(key, first_slot + slot);
    }

    let sum =
        |wanted: fn(&Key) -> bool| bytes.iter().filter(|(k, _)| wanted(k)).map(|(_, b)| *b as u64).sum();
    let mut report = Report {
        kernels: lowered.iter().map(|l| describe(l, &bytes)).collect(),
        temporary_bytes: slots.iter().map(|s| s.bytes as u64).sum(),
        leaf_bytes: sum(|k| matches!(k, Key::Leaf(_))),
        output_bytes: sum(|k| matches!(k, Key::Output(_))),
        live_bytes: 0,
        refusals: fused.refusals.clone(),
    };
    for step in 0..lowered.len() {
        let alive = |(key, (from, to)): (&Key, &(usize, usize))| {
            if is_inside(key) && *from <= step && step <= *to { bytes[key] as u64 } else { 0 }
        };
        report.live_bytes = report.live_bytes.max(lives.iter().map(alive).sum());
    }
    let steps = lowered
        .into_iter()
        .map(|l| {
            let bound: Vec<usize> = l.keys.iter().map(|k| buffer_of[k]).collect();
            match l.work {
                Work::Kernel(kernel) => {
                    let (kernel, buffers) = one_binding_each(kernel, bound);
                    Step::Launch(Box::new(Launch { kernel, buffers }))
                }
                Work::Host(mut host) => {
                    for binding in host.inputs.iter_mut().chain(&mut host.outputs) {
                        binding.buffer = bound[binding.buffer];
                    }
                    Step::Host(Box::new(host))
                }
            }
        })
        .collect();
    Ok(Plan { program: Program { buffers, steps, checks }, externals, report })
}

/// The elements that a key stands for.
fn extent(fused: &Fused, scratch: &BTreeMap<Key, (DType, usize)>, key: Key) -> (DType, usize) {
    let graph = &fused.prepared.graph;
    match key {
        Key::Leaf(n) => (graph.leaves[n].dtype, graph.leaves[n].shape.iter().product()),
        Key::Output(n) => (graph.node(graph.outputs[n]).dtype, graph.node(graph.outputs[n]).len()),
        Key::Node(id) => (graph.node(id).dtype, graph.node(id).len()),
        Key::Scratch(..) => scratch.get(&key).copied().unwrap_or((DType::F32, 0)),
    }
}

/// A slot for every inside key, in order of first use: that of a value which the same kernel reads for the last time
/// at the element it writes, else the free slot that fits best, else a new one.
fn share_slots(
    lowered: &[Lowered],
    lives: &BTreeMap<Key, (usize, usize)>,
    bytes: &BTreeMap<Key, usize>,
    is_inside: impl Fn(&Key) -> bool,
) -> (Vec<Slot>, BTreeMap<Key, usize>) {
    let mut slots: Vec<Slot> = vec![];
    let mut slot_of: BTreeMap<Key, usize> = BTreeMap::new();
    let mut starts: Vec<(Key, usize, usize)> =
        lives.iter().filter(|(k, _)| is_inside(k)).map(|(k, (from, to))| (*k, *from, *to)).collect();
    starts.sort_by_key(|(key, from, _)| (*from, std::cmp::Reverse(bytes[key])));
    for (key, from, to) in starts {
        let wanted = bytes[&key];
        let kernel = &lowered[from];
        let dying = kernel.keys.iter().filter(|k| is_inside(k) && lives[*k].1 == from && bytes[*k] == wanted);
        let in_place = dying.filter(|k| takes_over(kernel, **k, key)).find_map(|k| {
            let slot = slot_of.get(k)?;
            // Not where another value of this kernel has taken it over.
            (slots[*slot].until == from && slots[*slot].since < from).then_some(*slot)
        });
        let free = |(_, slot): &(usize, &Slot)| slot.until < from;
        let slot = in_place.or_else(|| {
            let fitting = slots.iter().enumerate().filter(free).filter(|(_, s)| s.bytes >= wanted);
            let largest =
                || slots.iter().enumerate().filter(free).max_by_key(|(_, s)| s.bytes).map(|(i, _)| i);
            fitting.min_by_key(|(_, s)| s.bytes).map(|(i, _)| i).or_else(largest)
        });
        let slot = slot.unwrap_or_else(|| {
            slots.push(Slot { bytes: 0, since: 0, until: 0 });
            slots.len() - 1
        });
        slots[slot].bytes = slots[slot].bytes.max(wanted);
        (slots[slot].since, slots[slot].until) = (from, to);
        slot_of.insert(key, slot);
    }
    (slots, slot_of)
}

/// True where a kernel may write `new` over `old`: it reads `old` only at the element it writes.
fn takes_over(lowered: &Lowered, old: Key, new: Key) -> bool {
    let place = |key: Key| lowered.keys.iter().position(|k| *k == key);
    let (Some(from), Some(to)) = (place(old), place(new)) else { return false };
    let Work::Kernel(kernel) = &lowered.work else { return false };
    if kernel.buffers[from].dtype != kernel.buffers[to].dtype || kernel.buffers[from].access != Access::Read {
        return false;
    }
    let tape = match &kernel.body {
        Body::Map(tape) => tape,
        Body::Contract { lhs, rhs, epilogue, .. } if lhs.buffer != from && rhs.buffer != from => epilogue,
        _ => return false,
    };
    let touches = |i: &Instr| match i {
        Instr::Load { buffer, .. } | Instr::LoadAt { buffer, .. } => *buffer == from,
        Instr::Store { buffer, .. } => *buffer == to,
        _ => false,
    };
    if kernel.once.instrs.iter().any(touches) {
        return false;
    }
    let mut stored: Option<&Map> = None;
    let mut loaded: Vec<&Map> = vec![];
    for instr in &tape.instrs {
        match instr {
            Instr::Load { buffer, map, .. } if *buffer == from => loaded.push(map),
            Instr::LoadAt { buffer, .. } if *buffer == from => return false,
            Instr::Store { buffer, map, .. } if *buffer == to && stored.replace(map).is_some() => {
                return false;
            }
            _ => {}
        }
    }
    stored.is_some_and(|stored| loaded.iter().all(|l| *l == stored))
}

/// One binding per buffer: two keys of one slot become one binding that is read and written.
fn one_binding_each(mut kernel: Kernel, bound: Vec<usize>) -> (Kernel, Vec<usize>) {
    let whole = matches!(kernel.body, Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. });
    let mut buffers: Vec<usize> = vec![];
    let mut bindings = vec![];
    let mut renamed = vec![];
    for (binding, buffer) in kernel.buffers.iter().zip(bound) {
        let same = |(b, other): (&usize, &kiln_device::Binding)| *b == buffer && other.dtype == binding.dtype;
        match buffers.iter().zip(&bindings).position(same).filter(|_| !whole) {
            Some(at) => {
                let entry: &mut kiln_device::Binding = &mut bindings[at];
                if entry.access != binding.access {
                    entry.access = Access::ReadWrite;
                }
                renamed.push(at);
            }
            None => {
                renamed.push(buffers.len());
                buffers.push(buffer);
                bindings.push(*binding);
            }
        }
    }
    kernel.buffers = bindings;
    let rename = |instrs: &mut Vec<Instr>| {
        for instr in instrs {
            if let Instr::Load { buffer, .. } | Instr::LoadAt { buffer, .. } | Instr::Store { buffer, .. } =
                instr
            {
                *buffer = renamed[*buffer];
            }
        }
    };
    rename(&mut kernel.once.instrs);
    match &mut kernel.body {
        Body::Map(tape) | Body::Row { tape, .. } => rename(&mut tape.instrs),
        Body::Contract { lhs, rhs, epilogue, .. } => {
            lhs.buffer = renamed[lhs.buffer];
            rhs.buffer = renamed[rhs.buffer];
            rename(&mut epilogue.instrs);
        }
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {}
    }
    (kernel, buffers)
}

fn describe(lowered: &Lowered, bytes: &BTreeMap<Key, usize>) -> KernelReport {
    let bytes_of = |keys: &[Key]| keys.iter().map(|k| bytes[k] as u64).sum();
    let kernel = match &lowered.work {
        Work::Kernel(kernel) => kernel,
        Work::Host(host) => {
            let name = host.function.op().to_owned();
            return KernelReport {
                name,
                kind: "host",
                bytes: bytes_of(&lowered.keys),
                ..KernelReport::default()
            };
        }
    };
    let points: u64 = kernel.rows.iter().chain(&kernel.inner).map(|e| *e as u64).product();
    let rows: u64 = kernel.rows.iter().map(|e| *e as u64).product();
    let arithmetic = |instrs: &[Instr]| {
        instrs
            .iter()
            .filter(|i| matches!(i, Instr::Unary(..) | Instr::Binary(..) | Instr::Reduce(..)))
            .count() as u64
    };
    let (kind, flops) = match &kernel.body {
        Body::Map(tape) => ("map", rows * arithmetic(&tape.instrs)),
        Body::Row { tape, .. } => ("row", points * arithmetic(&tape.instrs)),
        Body::Contract { epilogue, .. } => ("contract", 2 * points + rows * arithmetic(&epilogue.instrs)),
        Body::Scatter { updates, width, .. } => ("scatter", (updates * width) as u64),
        Body::Sort { .. } => ("sort", 0),
        Body::Scan { outer, length, inner, .. } => ("scan", (outer * length * inner) as u64),
    };
    KernelReport {
        name: kernel.name.clone(),
        kind,
        rows: kernel.rows.clone(),
        inner: kernel.inner.clone(),
        bytes: bytes_of(&lowered.keys),
        flops,
        once: arithmetic(&kernel.once.instrs) as usize,
        time: None,
    }
}
