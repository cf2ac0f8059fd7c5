//! Contractions: areas of the result from packed panels, then the epilogue on each.

use crate::cpu::address::{Axes, Walk};
use crate::cpu::block::Launched;
use crate::cpu::parallel;
use crate::cpu::wide::lanes::Lanes;
use crate::cpu::wide::product::{self, COLUMNS, MAX_ROWS, Number, Piece, Side};
use crate::cpu::wide::tape::{Plan, Registers, Section};
use crate::dtype::Scalar;
use crate::error::{Error, Result};
use crate::kernel::{Instr, Kernel, Operand, Reg, Tape};

/// Most rows and columns of one task's area, and terms of the sum that are packed at a time.
const AREA_M: usize = 128;
const AREA_N: usize = 256;
const TERMS: usize = 256;
/// Lanes of an epilogue block.
const WIDTH: usize = 512;

/// A translated contraction.
#[derive(Debug)]
pub(crate) struct ContractKernel {
    lhs: Side,
    rhs: Side,
    scalar: Scalar,
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    plan: Plan,
    epilogue: Section,
    /// The registers that hold the sums.
    accumulators: Vec<Reg>,
}

/// A part of the result: batch index, rows and columns (first, count).
#[derive(Clone, Copy)]
struct Area {
    batch: usize,
    m: (usize, usize),
    n: (usize, usize),
}

fn side(kernel: &Kernel, operand: &Operand, [batch, own, inner]: [&Axes; 3]) -> Side {
    let across = Walk::new(&operand.map, &[&batch[..], inner, own].concat());
    let along = Walk::new(&operand.map, &[&batch[..], own, inner].concat());
    // Lines of neighbours in memory, else the ones along the sum.
    let is_along = across.last_stride() != 1 || along.last_stride() == 1;
    let dtype = kernel.buffers[operand.buffer].dtype;
    let walk = if is_along { along } else { across };
    Side { buffer: operand.buffer, dtype, walk, along: is_along }
}

fn cut(length: usize, block: usize, number: usize) -> (usize, usize) {
    let first = (number * block).min(length);
    (first, block.min(length - first))
}

impl ContractKernel {
    pub(crate) fn new(
        kernel: &Kernel,
        (batch, m): (usize, usize),
        (lhs, rhs): (&Operand, &Operand),
        tape: &Tape,
    ) -> Result<ContractKernel> {
        let rows: Axes = kernel.rows.iter().copied().enumerate().collect();
        let inner: Axes = kernel.inner.iter().enumerate().map(|(i, n)| (rows.len() + i, *n)).collect();
        let (batch_axes, rest) = (rows[..batch].to_vec(), &rows[batch..]);
        let (m_axes, n_axes) = (rest[..m].to_vec(), rest[m..].to_vec());
        let (lhs, rhs) = (
            side(kernel, lhs, [&batch_axes, &m_axes, &inner]),
            side(kernel, rhs, [&batch_axes, &n_axes, &inner]),
        );
        let scalar = lhs.dtype.scalar();
        if rhs.dtype.scalar() != scalar || scalar == Scalar::Bool {
            return Err(Error::Kernel(format!("{}: operands of different types", kernel.name)));
        }
        let plan = Plan::new(kernel, tape)?;
        let all: Vec<Reg> = (0..tape.instrs.len() as Reg).collect();
        let is_sum = |reg: &Reg| matches!(tape.instrs[*reg as usize], Instr::Accumulator);
        let points = |axes: &Axes| axes.iter().map(|a| a.1).product();
        Ok(ContractKernel {
            epilogue: plan.section(kernel, tape, &all, &rows),
            accumulators: all.iter().copied().filter(is_sum).collect(),
            batch: points(&batch_axes),
            m: points(&m_axes),
            n: points(&n_axes),
            k: points(&inner),
            lhs,
            rhs,
            scalar,
            plan,
        })
    }

    fn areas(&self) -> (usize, usize) {
        (self.m.div_ceil(AREA_M), self.n.div_ceil(AREA_N))
    }

    pub(crate) fn tasks(&self) -> usize {
        self.batch * self.areas().0 * self.areas().1
    }

    pub(crate) fn run(&self, launched: Launched) {
        match self.scalar {
            Scalar::F64 => self.all::<f64>(launched, |sums| Lanes::Wide(bytemuck::cast_slice(sums).to_vec())),
            Scalar::I64 => self.all::<i64>(launched, |sums| Lanes::Wide(bytemuck::cast_slice(sums).to_vec())),
            Scalar::F32 => {
                self.all::<f32>(launched, |sums| Lanes::Narrow(bytemuck::cast_slice(sums).to_vec()))
            }
            _ => self.all::<u32>(launched, |sums| Lanes::Narrow(sums.to_vec())),
        }
    }

    fn all<T: Number>(&self, launched: Launched, lanes: impl Fn(&[T]) -> Lanes + Sync) {
        let (down, across) = self.areas();
        parallel(self.tasks(), |task| {
            let (batch, rest) = (task / (down * across), task % (down * across));
            let area =
                Area { batch, m: cut(self.m, AREA_M, rest / across), n: cut(self.n, AREA_N, rest % across) };
            let sums = self.sums::<T>(launched, area);
            let mut registers = self.plan.registers(launched);
            let row = |i: usize| (batch * self.m + area.m.0 + i) * self.n + area.n.0;
            if area.n.1 == self.n {
                self.finish(&mut registers, &sums, row(0), &lanes);
            } else {
                for (i, sums) in sums.chunks_exact(area.n.1.max(1)).enumerate() {
                    self.finish(&mut registers, sums, row(i), &lanes);
                }
            }
        });
    }

    /// The sums of an area, row by row.
    fn sums<T: Number>(&self, launched: Launched, area: Area) -> Vec<T> {
        let Area { batch, m, n } = area;
        let (isa, height) = (launched.isa, product::rows(launched.isa));
        let base = |side: &Side| launched.bases.0[side.buffer].cast_const();
        let (mut a, mut b, mut line) = (vec![], vec![], vec![]);
        let mut sums = vec![T::default(); m.1 * n.1];
        for number in 0..self.k.div_ceil(TERMS) {
            let k = cut(self.k, TERMS, number);
            let left = Piece { batch: (batch, self.m, self.k), lines: m, terms: k, width: height };
            self.lhs.pack(base(&self.lhs), left, (&mut a, &mut line));
            let right = Piece { batch: (batch, self.n, self.k), lines: n, terms: k, width: COLUMNS };
            self.rhs.pack(base(&self.rhs), right, (&mut b, &mut line));
            for (q, b) in b.chunks_exact(k.1 * COLUMNS).enumerate() {
                for (p, a) in a.chunks_exact(k.1 * height).enumerate() {
                    let mut tile = [T::default(); MAX_ROWS * COLUMNS];
                    T::tile(isa, height, a, b, &mut tile[..height * COLUMNS]);
                    let (top, first) = (p * height, q * COLUMNS);
                    for (i, tile) in tile.chunks_exact(COLUMNS).take(height.min(m.1 - top)).enumerate() {
                        let row = &mut sums[(top + i) * n.1..(top + i + 1) * n.1];
                        for (sum, value) in row[first..].iter_mut().zip(tile) {
                            *sum = sum.add(*value);
                        }
                    }
                }
            }
        }
        sums
    }

    /// Executes the epilogue on sums of consecutive points.
    fn finish<T: Number>(
        &self,
        registers: &mut Registers,
        sums: &[T],
        start: usize,
        lanes: impl Fn(&[T]) -> Lanes,
    ) {
        for (number, sums) in sums.chunks(WIDTH).enumerate() {
            for reg in &self.accumulators {
                registers.set(*reg, lanes(sums), false);
            }
            registers.execute(&self.epilogue, start + number * WIDTH, sums.len(), false);
        }
    }
}
