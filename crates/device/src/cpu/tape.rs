//! Tapes translated for blocks of lanes: registers become slots that are used again, addresses become walks.

use crate::cpu::address::{Axes, Path, Walk};
use crate::cpu::fold::Fold;
use crate::cpu::lanes::Kind;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::kernel::{Access, Instr, Kernel, Reg, Tape};

/// Where an operand is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arg {
    /// A block register.
    Slot(usize),
    /// The first lane of a block register, for every lane.
    First(usize),
    /// A constant.
    Bits(u32),
}

/// Where a check's position is found.
#[derive(Clone, Debug)]
pub(crate) enum Position {
    /// It was computed like any value.
    Value(Arg),
    /// It follows from the point, and is asked for where a check fails.
    Walked(Path),
}

/// One translated instruction; `out` is the slot of its result.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Index {
        path: Path,
        out: usize,
    },
    Load {
        path: Path,
        buffer: usize,
        dtype: DType,
        fill: u32,
        /// The register may be the buffer's elements themselves.
        borrow: bool,
        /// The buffer is too large to be in the cache: the next block's elements are fetched early.
        ahead: bool,
        out: usize,
    },
    LoadAt {
        buffer: usize,
        dtype: DType,
        index: Arg,
        len: usize,
        out: usize,
    },
    Store {
        path: Path,
        buffer: usize,
        dtype: DType,
        value: Arg,
        /// Runs bypass the cache, which could not hold the result until somebody reads it.
        stream: bool,
    },
    Compute {
        kind: Kind,
        args: [Arg; 3],
        out: usize,
        /// The write-only buffer and the addresses where the result is stored at once.
        store: Option<(usize, Path)>,
    },
    Check {
        ok: Arg,
        value: Arg,
        position: Position,
        site: u32,
    },
    /// Repeats the lanes of a row register over a block of full lanes.
    Expand {
        row: usize,
        out: usize,
    },
    /// Folds a block of full lanes into accumulator `accumulator`.
    Reduce {
        source: Arg,
        accumulator: usize,
    },
}

/// A fold over the inner loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accumulator {
    pub(crate) fold: Fold,
    pub(crate) identity: u32,
    /// The row register that holds its result.
    pub(crate) out: usize,
}

/// Where a value lives that instructions have computed.
#[derive(Clone, Copy, Debug)]
enum Place {
    Nowhere,
    Bits(u32),
    /// One value per full lane.
    Full(usize),
    /// One value per row of the block.
    Row(usize),
    /// One value for the whole kernel.
    Kernel(usize),
}

/// Bytes of a load whose blocks are fetched early: a part of what the second cache of a core holds.
const AHEAD: usize = 1 << 19;
/// Bytes of a result that goes past the cache: as much as the last cache of a processor holds.
const STREAM: usize = 1 << 25;

/// How full lanes relate to row values in a section.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Level {
    /// Lanes are points of a Map, or rows.
    Points,
    /// Lanes are inner points of a single row: row values are splats.
    OneRow,
    /// Lanes are rows × inner points: row values are expanded.
    ManyRows,
}

/// Translates the instructions of one kernel.
pub(crate) struct Translator<'a> {
    kernel: &'a Kernel,
    tape: &'a Tape,
    types: Vec<Scalar>,
    places: Vec<Place>,
    /// Position in the current schedule after which a register is not needed.
    last_use: Vec<usize>,
    free: Vec<usize>,
    /// Number of slots used so far.
    pub(crate) slots: usize,
    /// Instructions whose results are the same at every point, to be executed for one lane before all others; `None`
    /// where they are executed with the others.
    pub(crate) once: Option<Vec<Op>>,
    /// Position in the current schedule of the first store to each buffer.
    first_store: Vec<usize>,
    expanded: Vec<Option<usize>>,
    /// Registers that are nothing but the positions of checks.
    reported: Vec<bool>,
}

impl<'a> Translator<'a> {
    pub(crate) fn new(kernel: &'a Kernel, tape: &'a Tape) -> Result<Translator<'a>> {
        let count = tape.instrs.len();
        Ok(Translator {
            kernel,
            tape,
            types: tape.types(kernel)?,
            places: vec![Place::Nowhere; count],
            last_use: vec![usize::MAX; count],
            free: Vec::new(),
            slots: 0,
            once: None,
            first_store: vec![usize::MAX; kernel.buffers.len()],
            expanded: vec![None; count],
            reported: reported(tape),
        })
    }

    /// The register whose bits a chain of bitcasts shows.
    fn root(&self, mut reg: Reg) -> Reg {
        while let Instr::Bitcast(_, source) = self.tape.instrs[reg as usize] {
            reg = source;
        }
        reg
    }

    /// Frees registers after their last use in this schedule; ones used outside it must be pinned afterwards.
    pub(crate) fn plan_uses(&mut self, schedule: &[Reg]) {
        self.first_store.fill(usize::MAX);
        for (at, reg) in schedule.iter().enumerate() {
            if let Instr::Store { buffer, .. } = &self.tape.instrs[*reg as usize] {
                self.first_store[*buffer] = self.first_store[*buffer].min(at);
            }
            let root = self.root(*reg) as usize;
            self.last_use[root] = at;
            for operand in self.tape.instrs[*reg as usize].operands() {
                let root = self.root(operand) as usize;
                self.last_use[root] = at;
            }
        }
    }

    /// Keeps a register for the rest of the kernel.
    pub(crate) fn pin(&mut self, reg: Reg) {
        let root = self.root(reg) as usize;
        self.last_use[root] = usize::MAX;
    }

    /// A slot that was never used.
    fn fresh_slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn take_slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| self.fresh_slot())
    }

    /// Puts the accumulator of a contraction into a slot.
    pub(crate) fn define_accumulator(&mut self) -> usize {
        let slot = self.take_slot();
        for (at, instr) in self.tape.instrs.iter().enumerate() {
            if matches!(instr, Instr::Accumulator) {
                self.places[at] = Place::Full(slot);
                self.last_use[at] = usize::MAX;
            }
        }
        slot
    }

    fn arg(&mut self, reg: Reg, level: Level, expansions: &mut Vec<Op>) -> Arg {
        let reg = self.root(reg) as usize;
        match (self.places[reg], level) {
            (Place::Bits(bits), _) => Arg::Bits(bits),
            (Place::Full(slot), _) | (Place::Row(slot), Level::Points) => Arg::Slot(slot),
            (Place::Row(slot), Level::OneRow) | (Place::Kernel(slot), _) => Arg::First(slot),
            (Place::Row(row), Level::ManyRows) => {
                let out = match self.expanded[reg] {
                    Some(out) => out,
                    None => {
                        // Never from the free ones: it is written before the section's other instructions.
                        let out = self.fresh_slot();
                        expansions.push(Op::Expand { row, out });
                        self.expanded[reg] = Some(out);
                        out
                    }
                };
                Arg::Slot(out)
            }
            (Place::Nowhere, _) => unreachable!("verified: operands precede uses"),
        }
    }

    /// Translates a list of instructions, whose position in the planned schedule starts at `first`.
    pub(crate) fn section(
        &mut self,
        regs: &[Reg],
        first: usize,
        level: Level,
        axes: &Axes,
        expansions: &mut Vec<Op>,
    ) -> Vec<Op> {
        let mut ops = Vec::new();
        for (at, reg) in regs.iter().enumerate() {
            self.instruction(*reg, level, axes, expansions, &mut ops);
            self.release(*reg, first + at);
        }
        ops
    }

    fn release(&mut self, reg: Reg, at: usize) {
        let mut dead: Vec<usize> =
            self.tape.instrs[reg as usize].operands().iter().map(|r| self.root(*r) as usize).collect();
        dead.push(self.root(reg) as usize);
        dead.sort_unstable();
        dead.dedup();
        for reg in dead {
            if self.last_use[reg] == at {
                if let Place::Full(slot) = self.places[reg] {
                    self.free.push(slot);
                }
                if matches!(self.places[reg], Place::Full(_)) {
                    self.places[reg] = Place::Nowhere;
                }
            }
        }
    }

    fn instruction(
        &mut self,
        reg: Reg,
        level: Level,
        axes: &Axes,
        expansions: &mut Vec<Op>,
        ops: &mut Vec<Op>,
    ) {
        let instr = &self.tape.instrs[reg as usize];
        if let Instr::Const(value) = instr {
            self.places[reg as usize] = Place::Bits(value.word());
            return;
        }
        let known = !matches!(self.places[reg as usize], Place::Nowhere);
        if known || matches!(instr, Instr::Bitcast(..) | Instr::Accumulator | Instr::Reduce(..)) {
            return;
        }
        if let Instr::Check { ok, value, position, site } = *instr {
            let [ok, value] = [ok, value].map(|reg| self.arg(reg, level, expansions));
            let position = match &self.tape.instrs[position as usize] {
                Instr::Index(affine) if self.reported[position as usize] => {
                    Position::Walked(Path::new(Walk::of_affine(affine, axes)))
                }
                _ => Position::Value(self.arg(position, level, expansions)),
            };
            ops.push(Op::Check { ok, value, position, site });
            return;
        }
        if self.reported[reg as usize] {
            return;
        }
        let operands: Vec<Arg> = instr.operands().iter().map(|r| self.arg(*r, level, expansions)).collect();
        let binding = |buffer: &usize| self.kernel.buffers[*buffer].dtype;
        let bytes = |walk: &Walk| walk.extents.iter().product::<usize>() * 4;
        if let Instr::Store { buffer, map, .. } = instr {
            let (walk, dtype, value) = (Walk::new(map, axes), binding(buffer), operands[0]);
            let stream = bytes(&walk) >= STREAM && dtype.host_size() == 4;
            let path = Path::new(walk);
            if stream || !self.stored_at_once(*buffer, &path, value, ops) {
                ops.push(Op::Store { path, buffer: *buffer, dtype, value, stream });
            }
            return;
        }
        let once = self.once.is_some() && self.same_everywhere(instr, &operands, axes);
        let out = if once { self.fresh_slot() } else { self.take_slot() };
        self.places[reg as usize] = if once { Place::Kernel(out) } else { Place::Full(out) };
        let op = match instr {
            Instr::Index(affine) => Op::Index { path: Path::new(Walk::of_affine(affine, axes)), out },
            Instr::Load { buffer, map, fill } => {
                let walk = Walk::new(map, axes);
                Op::Load {
                    buffer: *buffer,
                    dtype: binding(buffer),
                    fill: fill.word(),
                    borrow: self.outlives(reg, *buffer),
                    ahead: bytes(&walk) >= AHEAD,
                    path: Path::new(walk),
                    out,
                }
            }
            Instr::LoadAt { buffer, len, .. } => {
                Op::LoadAt { buffer: *buffer, dtype: binding(buffer), index: operands[0], len: *len, out }
            }
            other => Op::Compute { kind: self.kind(other), args: three(&operands), out, store: None },
        };
        match &mut self.once {
            Some(list) if once => list.push(op),
            _ => ops.push(op),
        }
    }

    /// True where all points of the kernel have the same result.
    fn same_everywhere(&self, instr: &Instr, operands: &[Arg], axes: &Axes) -> bool {
        match instr {
            Instr::Load { buffer, map, .. } => {
                self.kernel.buffers[*buffer].access == Access::Read && Walk::new(map, axes).is_constant()
            }
            Instr::Index(affine) => Walk::of_affine(affine, axes).is_constant(),
            Instr::LoadAt { .. } => false,
            _ => operands.iter().all(|a| matches!(a, Arg::Bits(_)) || self.of_kernel(*a)),
        }
    }

    fn of_kernel(&self, arg: Arg) -> bool {
        matches!(arg, Arg::First(slot) if self.places.iter().any(|p| matches!(p, Place::Kernel(s) if *s == slot)))
    }

    /// True where the elements that a load reads stay in the buffer for as long as the register is used.
    fn outlives(&self, reg: Reg, buffer: usize) -> bool {
        match self.kernel.buffers[buffer].access {
            Access::Read => true,
            Access::Write => false,
            Access::ReadWrite => self.last_use[reg as usize] <= self.first_store[buffer],
        }
    }

    /// Lets the instruction before compute into a write-only buffer, where its result is what is stored.
    fn stored_at_once(&self, buffer: usize, path: &Path, value: Arg, ops: &mut [Op]) -> bool {
        let binding = self.kernel.buffers[buffer];
        let plain = binding.access == Access::Write && binding.dtype.host_size() == 4;
        match ops.last_mut() {
            Some(Op::Compute { out, store, .. }) if plain && store.is_none() && value == Arg::Slot(*out) => {
                *store = Some((buffer, path.clone()));
                true
            }
            _ => false,
        }
    }

    fn kind(&self, instr: &Instr) -> Kind {
        let of = |r: &Reg| self.types[*r as usize];
        match instr {
            Instr::Unary(op, a) => Kind::Unary(*op, of(a)),
            Instr::Binary(op, a, _) => Kind::Binary(*op, of(a)),
            Instr::Compare(op, a, _) => Kind::Compare(*op, of(a)),
            Instr::Select(..) => Kind::Select,
            Instr::Cast(to, a) => Kind::Cast(of(a), *to),
            Instr::Round(to, _) => Kind::Round(*to),
            Instr::Random { .. } => Kind::Random,
            _ => unreachable!("handled before"),
        }
    }

    /// Makes results of a row section row values.
    pub(crate) fn mark_rows(&mut self, regs: &[Reg]) {
        for reg in regs {
            if let Place::Full(slot) = self.places[*reg as usize] {
                self.places[*reg as usize] = Place::Row(slot);
            }
        }
    }

    /// Forgets expansions, which hold during one phase.
    pub(crate) fn end_phase(&mut self) {
        self.expanded.fill(None);
    }

    /// Gives a reduction its accumulator and result slot, and adds the fold to the section.
    pub(crate) fn reduce(
        &mut self,
        reg: Reg,
        level: Level,
        accumulators: &mut Vec<Accumulator>,
        expansions: &mut Vec<Op>,
        each: &mut Vec<Op>,
    ) {
        let Instr::Reduce(op, source) = self.tape.instrs[reg as usize] else {
            return;
        };
        let scalar = self.types[reg as usize];
        let source = self.arg(source, level, expansions);
        let out = self.fresh_slot();
        each.push(Op::Reduce { source, accumulator: accumulators.len() });
        let identity = op.identity(scalar).word();
        accumulators.push(Accumulator { fold: Fold { op, scalar }, identity, out });
        self.places[reg as usize] = Place::Row(out);
    }
}

/// Which registers are indices that are used as positions of checks alone.
fn reported(tape: &Tape) -> Vec<bool> {
    let mut reported: Vec<bool> = tape.instrs.iter().map(|i| matches!(i, Instr::Index(_))).collect();
    let mut used = vec![false; reported.len()];
    for instr in &tape.instrs {
        let position = match instr {
            Instr::Check { position, .. } => Some(*position),
            _ => None,
        };
        for operand in instr.operands() {
            used[operand as usize] = true;
            reported[operand as usize] &= position == Some(operand);
        }
    }
    reported.iter().zip(used).map(|(reported, used)| *reported && used).collect()
}

fn three(operands: &[Arg]) -> [Arg; 3] {
    let at = |i: usize| operands.get(i).copied().unwrap_or(Arg::Bits(0));
    [at(0), at(1), at(2)]
}
