//! Tapes made ready for blocks of lanes of either width, and their execution.

use crate::cpu::address::{Axes, Path, Walk};
use crate::cpu::block::{self, Launched};
use crate::cpu::lanes::{Kind, Source};
use crate::cpu::tape::STREAM;
use crate::cpu::wide::lanes::{self, Lanes, Long, View};
use crate::cpu::wide::memory;
use crate::dtype::{DType, Scalar, Value};
use crate::error::Result;
use crate::kernel::{Access, Instr, Kernel, Reg, Tape};

/// What an instruction does; its result is the register of its number.
#[derive(Debug)]
enum Step {
    Index(Path),
    /// The register may be elements of the buffer themselves where it may `borrow`.
    Load {
        path: Path,
        buffer: usize,
        dtype: DType,
        fill: u64,
        borrow: bool,
    },
    LoadAt {
        buffer: usize,
        dtype: DType,
        index: Reg,
        len: usize,
    },
    /// Past the cache where it is to `stream`.
    Store {
        path: Path,
        buffer: usize,
        dtype: DType,
        value: Reg,
        stream: bool,
    },
    Compute {
        kind: Kind,
        args: Vec<Reg>,
    },
    Same(Reg),
    Check {
        ok: Reg,
        value: Reg,
        position: Reg,
        site: u32,
    },
}

/// Instructions in order, with the addresses that they have along some axes.
#[derive(Debug, Default)]
pub(crate) struct Section {
    steps: Vec<(Reg, Step)>,
}

impl Section {
    /// The number of its instructions.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }
}

/// The types and constants of a tape's registers.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) types: Vec<Scalar>,
    constants: Vec<(Reg, Value)>,
}

impl Plan {
    pub(crate) fn new(kernel: &Kernel, tape: &Tape) -> Result<Plan> {
        let constants = tape.instrs.iter().enumerate().filter_map(|(reg, instr)| match instr {
            Instr::Const(value) => Some((reg as Reg, *value)),
            _ => None,
        });
        Ok(Plan { constants: constants.collect(), types: tape.types(kernel)? })
    }

    /// Registers in which only the constants are set.
    pub(crate) fn registers<'a>(&self, launched: Launched<'a>) -> Registers<'a> {
        let mut lanes: Vec<Lanes> = self.types.iter().map(|scalar| Lanes::of(*scalar)).collect();
        let mut uniform = vec![false; lanes.len()];
        for (reg, value) in &self.constants {
            lanes[*reg as usize] = Lanes::filled(value.scalar(), value.bits(), 1);
            uniform[*reg as usize] = true;
        }
        Registers { launched, borrowed: vec![None; lanes.len()], lanes, uniform }
    }

    /// The instructions `regs` of the tape, walking along `axes`. Those that others execute (constants, reductions, the
    /// accumulator) are left out.
    pub(crate) fn section(&self, kernel: &Kernel, tape: &Tape, regs: &[Reg], axes: &Axes) -> Section {
        let mut steps = vec![];
        for reg in regs {
            if let Some(step) = self.step(kernel, &tape.instrs[*reg as usize], axes) {
                steps.push((*reg, step));
            }
        }
        Section { steps }
    }

    fn step(&self, kernel: &Kernel, instr: &Instr, axes: &Axes) -> Option<Step> {
        let of = |reg: &Reg| self.types[*reg as usize];
        let path = |map| Path::new(Walk::new(map, axes));
        let dtype = |buffer: &usize| kernel.buffers[*buffer].dtype;
        let kind = match instr {
            Instr::Const(_) | Instr::Accumulator | Instr::Reduce(..) => return None,
            Instr::Index(affine) => return Some(Step::Index(Path::new(Walk::of_affine(affine, axes)))),
            Instr::Load { buffer, map, fill } => {
                let (dtype, fill) = (dtype(buffer), fill.bits());
                // Nothing writes to such a buffer while the kernel runs.
                let borrow = dtype.is_wide() && kernel.buffers[*buffer].access == Access::Read;
                return Some(Step::Load { path: path(map), buffer: *buffer, dtype, fill, borrow });
            }
            Instr::LoadAt { buffer, index, len } => {
                return Some(Step::LoadAt {
                    buffer: *buffer,
                    dtype: dtype(buffer),
                    index: *index,
                    len: *len,
                });
            }
            Instr::Store { buffer, map, value } => {
                let (path, dtype) = (path(map), dtype(buffer));
                let bytes = path.walk.extents.iter().product::<usize>() * dtype.host_size();
                let stream = dtype.is_wide() && bytes >= STREAM;
                return Some(Step::Store { path, buffer: *buffer, dtype, value: *value, stream });
            }
            Instr::Check { ok, value, position, site } => {
                return Some(Step::Check { ok: *ok, value: *value, position: *position, site: *site });
            }
            Instr::Bitcast(_, a) => return Some(Step::Same(*a)),
            Instr::Unary(op, a) => Kind::Unary(*op, of(a)),
            Instr::Binary(op, a, _) => Kind::Binary(*op, of(a)),
            Instr::Compare(op, a, _) => Kind::Compare(*op, of(a)),
            Instr::Select(..) => Kind::Select,
            Instr::Cast(to, a) => Kind::Cast(of(a), *to),
            Instr::Round(to, _) => Kind::Round(*to),
            Instr::Random { .. } => Kind::Random,
        };
        Some(Step::Compute { kind, args: instr.operands() })
    }
}

/// The registers of one task.
pub(crate) struct Registers<'a> {
    pub(crate) launched: Launched<'a>,
    lanes: Vec<Lanes>,
    /// Where a load left its lanes in the buffer.
    borrowed: Vec<Option<&'a [u64]>>,
    /// Registers whose first lane stands for all.
    uniform: Vec<bool>,
}

impl Drop for Registers<'_> {
    /// Orders streamed stores before what follows the task.
    fn drop(&mut self) {
        block::settle();
    }
}

impl Registers<'_> {
    pub(crate) fn view(&self, reg: Reg) -> View<'_> {
        let (register, uniform) = (reg as usize, self.uniform[reg as usize]);
        match self.borrowed[register] {
            Some(lanes) if uniform => View::Wide(Long::Splat(lanes[0])),
            Some(lanes) => View::Wide(Long::Lanes(lanes)),
            None => self.lanes[register].view(uniform),
        }
    }

    /// Gives a register its lanes: one for each point, or one for all.
    pub(crate) fn set(&mut self, reg: Reg, lanes: Lanes, uniform: bool) {
        self.lanes[reg as usize] = lanes;
        self.borrowed[reg as usize] = None;
        self.uniform[reg as usize] = uniform;
    }

    /// The lanes of a load in the buffer itself, if they lie side by side there and stay what they are.
    fn borrow(&mut self, reg: Reg, step: &Step, start: usize, count: usize) -> bool {
        let Step::Load { path, buffer, borrow: true, .. } = step else { return false };
        let Some(first) = path.walk.run(start, count) else { return false };
        let base = self.launched.bases.0[*buffer].cast_const().cast::<u64>();
        // SAFETY: the points of a run are within the buffer, whose memory is aligned to 64 bytes, holds for as long as the
        // launch, and is only read by this kernel.
        let lanes = unsafe { std::slice::from_raw_parts(base.offset(first as isize), count) };
        self.borrowed[reg as usize] = Some(lanes);
        true
    }

    /// Executes a section at the points `start..start + count` of its axes; `uniform` results stand for all lanes of
    /// sections to come.
    pub(crate) fn execute(&mut self, section: &Section, start: usize, count: usize, uniform: bool) {
        for (reg, step) in &section.steps {
            let out = *reg as usize;
            if self.borrow(*reg, step, start, count) {
                self.uniform[out] = uniform;
                continue;
            }
            self.borrowed[out] = None;
            let mut lanes = std::mem::replace(&mut self.lanes[out], Lanes::Narrow(Vec::new()));
            lanes.resize(count);
            self.step(step, &mut lanes, start, count);
            self.lanes[out] = lanes;
            self.uniform[out] = uniform;
        }
    }

    fn step(&self, step: &Step, out: &mut Lanes, start: usize, count: usize) {
        let base = |buffer: &usize| self.launched.bases.0[*buffer];
        match step {
            Step::Index(path) => {
                if let Lanes::Narrow(out) = out {
                    block::index(path, start, out);
                }
            }
            Step::Load { path, buffer, dtype, fill, .. } => {
                memory::load(base(buffer).cast_const(), *dtype, path, *fill, start, out)
            }
            Step::LoadAt { buffer, dtype, index, len } => {
                if let View::Narrow(index) = self.view(*index) {
                    memory::gather(base(buffer).cast_const(), *dtype, index, *len, out);
                }
            }
            Step::Store { path, buffer, dtype, value, stream } => {
                match (self.view(*value), path.walk.run(start, count)) {
                    (View::Wide(Long::Lanes(lanes)), Some(first)) if *stream => {
                        let lanes = bytemuck::cast_slice(&lanes[..count]);
                        // SAFETY: the run is within the buffer, and no other task uses these elements (kernel contract).
                        unsafe {
                            block::stream_run(base(buffer).cast::<u32>().offset(2 * first as isize), lanes);
                        }
                    }
                    (value, _) => memory::store(base(buffer), *dtype, path, value, start, count),
                }
            }
            Step::Compute { kind, args } => {
                let none = View::Narrow(Source::Splat(0));
                let view = |i: usize| args.get(i).map_or(none, |reg| self.view(*reg));
                lanes::compute(self.launched.isa, *kind, [view(0), view(1), view(2)], out);
            }
            Step::Same(source) => *out = self.view(*source).to_lanes(count),
            Step::Check { ok, value, position, site } => self.check([*ok, *value, *position], *site, count),
        }
    }

    fn check(&self, [ok, value, position]: [Reg; 3], site: u32, count: usize) {
        let of = |reg: Reg| self.view(reg);
        let wide = matches!(of(value), View::Wide(_));
        for i in (0..count).filter(|i| of(ok).bits(*i) == 0) {
            let bits = of(value).bits(i);
            let number = if wide { bits as i64 } else { i64::from(bits as u32 as i32) };
            self.launched.fail(site, of(position).bits(i) as u32, number);
        }
    }
}
