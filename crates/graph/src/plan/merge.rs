//! Copies of small values that stand next to one another, as one kernel: a concatenation of many has one each.

use kiln_device::{Access, Affine, Body, DType, Guard, Instr, Kernel, Map, Reg, Tape};

use crate::fuse::Room;
use crate::lower::{Key, Lowered, Work};

/// Most copies of one kernel, and loops of one that is joined: each may come to have a guard at both addresses.
const MOST_COPIES: usize = 32;
const MOST_LOOPS: usize = 4;

/// Threads without work that are as cheap as another launch.
const IDLE: usize = 4096;

/// Joins copies that follow one another.
pub(super) fn copies(lowered: Vec<Lowered>, room: Room) -> Vec<Lowered> {
    let mut merged: Vec<Lowered> = vec![];
    let mut open: Option<Copies> = None;
    for next in lowered {
        open = match (open.take(), OneCopy::of(&next)) {
            (None, Some(copy)) => Some(Copies::new(next, copy)),
            (Some(mut copies), Some(copy)) => match copies.takes(&next, &copy, room) {
                true => {
                    copies.absorb(&next, copy);
                    Some(copies)
                }
                false => {
                    merged.push(copies.kernel());
                    Some(Copies::new(next, copy))
                }
            },
            (copies, None) => {
                merged.extend(copies.map(Copies::kernel));
                merged.push(next);
                None
            }
        };
    }
    merged.extend(open.map(Copies::kernel));
    merged
}

/// What a kernel that only copies loads and stores.
struct OneCopy {
    rows: Vec<usize>,
    load: Instr,
    store: Instr,
}

impl OneCopy {
    fn of(lowered: &Lowered) -> Option<OneCopy> {
        let Work::Kernel(kernel) = &lowered.work else { return None };
        let Body::Map(tape) = &kernel.body else { return None };
        let is_plain = kernel.once.instrs.is_empty()
            && kernel.rows.len() <= MOST_LOOPS
            && !kernel.rows.contains(&0)
            && kernel.buffers.iter().all(|b| b.access != Access::ReadWrite);
        match &tape.instrs[..] {
            [load @ Instr::Load { map: from, .. }, store @ Instr::Store { value: 0, map: to, .. }]
                if is_plain && from.guards.is_empty() && to.guards.is_empty() =>
            {
                Some(OneCopy { rows: kernel.rows.clone(), load: load.clone(), store: store.clone() })
            }
            _ => None,
        }
    }

    fn points(&self) -> usize {
        self.rows.iter().product()
    }

    /// The copy in larger loops, its bindings by other numbers.
    fn within(self, rows: &[usize], numbers: &[usize]) -> [Instr; 2] {
        let cut = |mut map: Map| {
            for (i, (mine, _)) in
                self.rows.iter().zip(rows).enumerate().filter(|(_, (mine, all))| mine != all)
            {
                let mut position = Affine::constant(rows.len(), 0);
                position.coefficients[i] = 1;
                map.guards.push(Guard { position, divisor: 1, extent: *mine as i64, stride: 0 });
            }
            map
        };
        let moved = |instr: Instr| match instr {
            Instr::Load { buffer, map, fill } => Instr::Load { buffer: numbers[buffer], map: cut(map), fill },
            Instr::Store { buffer, map, value } => {
                Instr::Store { buffer: numbers[buffer], map: cut(map), value }
            }
            other => other,
        };
        [moved(self.load.clone()), moved(self.store.clone())]
    }
}

/// Copies that become one kernel.
struct Copies {
    /// The first, with the bindings of all.
    lowered: Lowered,
    /// Each with the numbers of its bindings.
    all: Vec<(OneCopy, Vec<usize>)>,
    rows: Vec<usize>,
    points: usize,
}

impl Copies {
    fn new(lowered: Lowered, copy: OneCopy) -> Copies {
        let numbers = (0..lowered.keys.len()).collect();
        Copies { lowered, rows: copy.rows.clone(), points: copy.points(), all: vec![(copy, numbers)] }
    }

    /// Whether a kernel can copy another value as well: of the same type; it reads nothing that the others write, nor
    /// they what it writes; it has room; and few threads would have nothing to do.
    fn takes(&self, next: &Lowered, copy: &OneCopy, room: Room) -> bool {
        if self.all.len() >= MOST_COPIES || self.rows.len() != copy.rows.len() {
            return false;
        }
        let rows = joined(&self.rows, &copy.rows);
        let count = self.all.len() + 1;
        let threads = rows.iter().product::<usize>().saturating_mul(count);
        let work = self.points + copy.points();
        let (mine, theirs) = (bindings(&self.lowered), bindings(next));
        let new = theirs.iter().filter(|b| !mine.contains(b)).count();
        let alike = |(key, dtype, access): &(Key, DType, Access)| {
            mine.iter().all(|(k, d, a)| d == dtype && (k != key || a == access))
        };
        theirs.iter().all(alike) && mine.len() + new <= room.bindings && threads <= 2 * work + IDLE * count
    }

    fn absorb(&mut self, next: &Lowered, copy: OneCopy) {
        let (Work::Kernel(kernel), Work::Kernel(other)) = (&mut self.lowered.work, &next.work) else {
            return;
        };
        let keys = &mut self.lowered.keys;
        let mut number = |(key, binding)| {
            let known = keys.iter().zip(&kernel.buffers).position(|(k, b)| (k, b) == (key, binding));
            known.unwrap_or_else(|| {
                keys.push(*key);
                kernel.buffers.push(*binding);
                keys.len() - 1
            })
        };
        let numbers = next.keys.iter().zip(&other.buffers).map(&mut number).collect();
        self.rows = joined(&self.rows, &copy.rows);
        self.points += copy.points();
        self.all.push((copy, numbers));
    }

    fn kernel(self) -> Lowered {
        let Work::Kernel(kernel) = self.lowered.work else { return self.lowered };
        // Everything is loaded before the first store, which may be to what is loaded.
        let (mut instrs, mut stores) = (vec![], vec![]);
        for (value, (copy, numbers)) in self.all.into_iter().enumerate() {
            let [load, store] = copy.within(&self.rows, &numbers);
            instrs.push(load);
            stores.push(match store {
                Instr::Store { buffer, map, .. } => Instr::Store { buffer, map, value: value as Reg },
                other => other,
            });
        }
        instrs.append(&mut stores);
        let kernel = Kernel { rows: self.rows, body: Body::Map(Tape { instrs }), ..kernel };
        Lowered { work: Work::Kernel(kernel), keys: self.lowered.keys }
    }
}

/// What a kernel binds, and how.
fn bindings(lowered: &Lowered) -> Vec<(Key, DType, Access)> {
    let Work::Kernel(kernel) = &lowered.work else { return vec![] };
    lowered.keys.iter().zip(&kernel.buffers).map(|(key, b)| (*key, b.dtype, b.access)).collect()
}

/// The larger extent of every loop.
fn joined(a: &[usize], b: &[usize]) -> Vec<usize> {
    a.iter().zip(b).map(|(a, b)| *a.max(b)).collect()
}
