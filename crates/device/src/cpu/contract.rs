//! Contractions: blocks of the result are computed from panels of the operands, then the epilogue runs on them.
//!
//! The left operand is read where it lies in memory, where its rows or its columns have runs there, windows with
//! padding (convolutions) among them; else it is packed, as the right one is. All splits of the sum follow from sizes
//! alone: results do not depend on the number of threads.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::cpu::address::{Axes, Walk};
use crate::cpu::block::{Block, Launched};
use crate::cpu::matmul::{Kernels, MAX_COLUMNS, MAX_ROWS};
use crate::cpu::panel::{Side, product};
use crate::cpu::parallel;
use crate::cpu::separable::{Pointer, Separable};
use crate::cpu::tape::{Level, Op, Translator};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::kernel::{Access, Affine, Instr, Kernel, Map, Operand, Reg, Tape};

mod compute;
#[cfg(test)]
mod tests;

/// Most elements, columns and rows of one task's block.
const BLOCK: usize = 576 * BLOCK_N;
const BLOCK_N: usize = 512;
const TALLEST: usize = 4608;
/// Rows and length of what is computed at a time: its panels fit a second-level cache together.
const PANEL_M: usize = 144;
const BLOCK_K: usize = 384;
/// Longest run that is read without packing.
const LONGEST_RUN: usize = 1 << 16;
/// Shortest run of rows that fills a tile well enough.
const SHORTEST_RUN: usize = 8;
/// Lanes of an epilogue block.
const WIDTH: usize = 1024;
/// Tasks below which the result is cut finer, or the sum is split.
const FEW: usize = 16;
/// Multiplications from which packing the right operand once for all tasks is worth a launch of its own, and the most
/// elements that are packed so.
const LARGE: usize = 1 << 26;
const MOST_PACKED: usize = 1 << 22;
/// Results of a split sum that are put together at a time.
const SUMMED: usize = 8192;

/// How tiles of the left operand are read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    Packed,
    /// In place, through the runs of its rows.
    Rows,
    /// In place, through the runs of its columns.
    Columns,
}

/// How tiles of the right operand are read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Right {
    /// Packed by every task.
    Packed,
    /// Packed once, before all tasks.
    Shared,
    /// In place; elements between its rows.
    InPlace(isize),
}

/// A translated contraction.
#[derive(Debug)]
pub(crate) struct ContractKernel {
    lhs: Side,
    rhs: Side,
    integer: bool,
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    block_m: usize,
    block_n: usize,
    /// Rows whose panels are made ready at a time.
    panel_m: usize,
    splits: usize,
    left: Left,
    right: Right,
    kernels: Kernels,
    /// What of the epilogue is the same for all rows.
    invariant: Vec<Op>,
    pub(crate) epilogue: Vec<Op>,
    accumulator: usize,
    slots: usize,
    /// Buffer, addresses and distance of rows, where the epilogue is a plain store of whole tiles.
    output: Option<(usize, Walk, usize)>,
    /// What rows outside the left operand's guards point to.
    zeros: Vec<f32>,
    /// The right operand, packed, where it is shared.
    shared: Mutex<Vec<f32>>,
    /// Results of the parts of a split sum: `splits` matrices for each batch index.
    partials: Mutex<Vec<f32>>,
}

#[derive(Default)]
struct Scratch {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    line: Vec<u32>,
    table: Vec<Pointer>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Grows a vector that is kept between runs.
fn at_least<T: Clone + Default>(vector: &mut Vec<T>, count: usize) {
    if vector.len() < count {
        vector.resize(count, T::default());
    }
}

/// A block of the result: batch index, rows and columns (first, count), and part of the sum.
#[derive(Clone, Copy)]
struct Area {
    batch: usize,
    m: (usize, usize),
    n: (usize, usize),
    k: (usize, usize),
}

/// Where results go: the first element, and the elements between rows.
#[derive(Clone, Copy)]
struct Results {
    c: *mut f32,
    row: usize,
}

fn cut(length: usize, block: usize, number: usize) -> (usize, usize) {
    let first = (number * block).min(length);
    (first, block.min(length - first))
}

fn is_accumulator(tape: &Tape, reg: Reg) -> bool {
    matches!(tape.instrs[reg as usize], Instr::Accumulator)
}

type AxesSlice<'a> = &'a [(usize, usize)];

/// The store of an epilogue that does nothing else, into rows of `f32` of one distance.
fn plain_store(
    kernel: &Kernel,
    tape: &Tape,
    (batch, m, n): (AxesSlice, AxesSlice, AxesSlice),
) -> Option<(usize, Walk, usize)> {
    let [Instr::Accumulator, Instr::Store { buffer, map, value: 0 }] = tape.instrs.as_slice() else {
        return None;
    };
    let row = Walk::new(map, &m.to_vec()).single_stride()?;
    let walk = Walk::new(map, &[batch, m, n].concat());
    let plain = walk.guards.is_empty() && Walk::new(map, &n.to_vec()).contiguous().is_some();
    (plain && kernel.buffers[*buffer].dtype == DType::F32).then_some((
        *buffer,
        walk,
        usize::try_from(row).ok()?,
    ))
}

/// The registers of an epilogue that are the same for all rows, whose variables are the first ones; constants count.
fn invariant(kernel: &Kernel, tape: &Tape, row_variables: usize) -> Vec<bool> {
    let still = |affine: &Affine| affine.coefficients[..row_variables].iter().all(|c| *c == 0);
    let still_map = |map: &Map| still(&map.base) && map.guards.iter().all(|g| still(&g.position));
    let mut found: Vec<bool> = Vec::with_capacity(tape.instrs.len());
    for instr in &tape.instrs {
        let read_only = |buffer: &usize| kernel.buffers[*buffer].access == Access::Read;
        let own = match instr {
            Instr::Accumulator | Instr::Store { .. } | Instr::Check { .. } | Instr::Reduce(..) => false,
            Instr::Load { buffer, map, .. } => read_only(buffer) && still_map(map),
            Instr::LoadAt { buffer, .. } => read_only(buffer),
            Instr::Index(affine) => still(affine),
            _ => true,
        };
        found.push(own && instr.operands().iter().all(|r| found[*r as usize]));
    }
    found
}

impl ContractKernel {
    pub(crate) fn new(
        kernel: &Kernel,
        (batch, m): (usize, usize),
        (lhs, rhs): (&Operand, &Operand),
        tape: &Tape,
        kernels: Kernels,
    ) -> Result<ContractKernel> {
        let rows: Axes = kernel.rows.iter().copied().enumerate().collect();
        let inner: Axes = kernel.inner.iter().enumerate().map(|(i, n)| (rows.len() + i, *n)).collect();
        let (batch_axes, m_axes, n_axes) = (&rows[..batch], &rows[batch..batch + m], &rows[batch + m..]);
        let (lhs, rhs) = (
            Side::left(kernel, lhs, [batch_axes, m_axes, &inner]),
            Side::right(kernel, rhs, [batch_axes, n_axes, &inner]),
        );
        let mut translator = Translator::new(kernel, tape)?;
        let accumulator = translator.define_accumulator();
        let still = invariant(kernel, tape, batch + m);
        let (first, rest): (Vec<Reg>, Vec<Reg>) =
            (0..tape.instrs.len() as Reg).partition(|reg| still[*reg as usize]);
        translator.plan_uses(&[first.clone(), rest.clone()].concat());
        for reg in (0..tape.instrs.len() as Reg).filter(|r| still[*r as usize] || is_accumulator(tape, *r)) {
            translator.pin(reg);
        }
        let before = translator.section(&first, 0, Level::Points, &rows, &mut Vec::new());
        let epilogue = translator.section(&rest, first.len(), Level::Points, &rows, &mut Vec::new());
        let whole_tiles = rhs.rows % kernels.columns == 0;
        let output = plain_store(kernel, tape, (&rows[..batch], m_axes, n_axes)).filter(|_| whole_tiles);
        let integer = kernel.buffers[lhs.buffer].dtype.scalar() != Scalar::F32;
        let mut contract = ContractKernel {
            integer,
            batch: product(batch_axes),
            m: lhs.rows,
            n: rhs.rows,
            k: lhs.k,
            lhs,
            rhs,
            block_m: PANEL_M,
            panel_m: PANEL_M,
            block_n: BLOCK_N,
            splits: 1,
            left: Left::Packed,
            right: Right::Packed,
            kernels,
            invariant: before,
            epilogue,
            accumulator,
            slots: translator.slots,
            output,
            zeros: Vec::new(),
            shared: Mutex::default(),
            partials: Mutex::default(),
        };
        contract.choose_blocks();
        contract.choose_forms();
        Ok(contract)
    }

    fn choose_blocks(&mut self) {
        let even = |length: usize, most: usize, unit: usize| {
            let parts = length.div_ceil(most).max(1);
            length.div_ceil(parts).next_multiple_of(unit).max(unit)
        };
        self.block_n = even(self.n, BLOCK_N, MAX_COLUMNS);
        // Narrow results are cut into taller blocks, so that the right operand is packed less often.
        self.block_m = even(self.m, (BLOCK / self.block_n).min(TALLEST), MAX_ROWS);
        let small = self.m * self.n <= 1 << 18 && self.k >= 1024 && !self.integer;
        if small && self.k / 4 >= self.m + self.n {
            // Long sums of few results: the operands are read once.
            self.splits = (self.k / 512).min(FEW / self.tasks().clamp(1, FEW));
        }
        while self.tasks() < FEW && self.block_m > PANEL_M {
            self.block_m = even(self.m, self.block_m / 2, MAX_ROWS);
        }
        while self.tasks() < FEW && self.block_n > 64 {
            self.block_n = even(self.n, self.block_n / 2, MAX_COLUMNS);
        }
        if self.tasks() < FEW && small && self.splits == 1 {
            self.splits = (self.k / 512).min(FEW);
        }
        if self.splits > 1 {
            self.partials = Mutex::new(vec![0.0; self.batch * self.splits * self.m * self.padded()]);
        }
    }

    fn choose_forms(&mut self) {
        if self.integer {
            return;
        }
        let short = |s: &&Separable| (1..=LONGEST_RUN).contains(&s.run);
        let rows = self.lhs.runs.as_ref().filter(short);
        let columns = self.lhs.columns.as_ref().filter(short);
        let columns = columns.filter(|s| s.run >= SHORTEST_RUN || s.run == self.m);
        (self.left, self.zeros) = match (rows, columns) {
            (Some(s), _) => (Left::Rows, vec![0.0; if s.guarded() { s.run.min(BLOCK_K) } else { 0 }]),
            (_, Some(s)) => (Left::Columns, vec![0.0; if s.guarded() { s.run } else { 0 }]),
            _ => (Left::Packed, vec![]),
        };
        if self.left == Left::Packed {
            // A line of the operand is walked once for many rows.
            self.panel_m = self.block_m.clamp(MAX_ROWS, 4 * PANEL_M);
        }
        let (tile_m, tile_n) = (self.kernels.rows, self.kernels.columns);
        let uses = self.block_m.min(self.m).div_ceil(tile_m);
        let work = self.batch.saturating_mul(self.m * self.n).saturating_mul(self.k);
        self.right = match self.rhs.plain {
            Some((1, k)) if self.n.is_multiple_of(tile_n) && (k == tile_n as isize || uses <= 2) => {
                Right::InPlace(k)
            }
            _ if self.splits == 1 && self.blocks().0 > 1 && work >= LARGE => match self.shared_size() {
                size if size <= MOST_PACKED => {
                    self.shared = Mutex::new(vec![0.0; size]);
                    Right::Shared
                }
                _ => Right::Packed,
            },
            _ => Right::Packed,
        };
    }

    /// Elements between rows of results in scratch memory: room for whole tiles.
    fn padded(&self) -> usize {
        self.n.next_multiple_of(MAX_COLUMNS)
    }

    fn blocks(&self) -> (usize, usize) {
        (self.m.div_ceil(self.block_m), self.n.div_ceil(self.block_n))
    }

    pub(crate) fn tasks(&self) -> usize {
        if self.batch * self.m * self.n == 0 {
            return 0;
        }
        self.batch * self.blocks().0 * self.blocks().1 * self.splits
    }

    fn area(&self, task: usize) -> Area {
        let (task, split) = (task / self.splits, task % self.splits);
        let (blocks_m, blocks_n) = self.blocks();
        Area {
            batch: task / (blocks_m * blocks_n),
            m: cut(self.m, self.block_m, task / blocks_n % blocks_m),
            n: cut(self.n, self.block_n, task % blocks_n),
            k: cut(self.k, self.part(), split),
        }
    }

    /// Length of a part of the sum: whole runs of the left operand.
    fn part(&self) -> usize {
        let part = self.k.div_ceil(self.splits);
        match (self.left, &self.lhs.runs) {
            (Left::Rows, Some(runs)) if runs.run <= BLOCK_K => part.next_multiple_of(runs.run),
            _ => part,
        }
    }

    pub(crate) fn run(&self, launched: Launched) {
        if self.integer {
            return self.run_integer(launched);
        }
        if self.splits > 1 {
            return self.run_split(launched);
        }
        let mut shared = self.shared.lock().unwrap_or_else(|e| e.into_inner());
        if self.right == Right::Shared {
            self.pack_shared(launched, &mut shared);
        }
        let shared = shared.as_slice();
        parallel(self.tasks(), |task| {
            let area = self.area(task);
            SCRATCH.with_borrow_mut(|scratch| {
                let next = (task + 1 < self.tasks()).then(|| self.area(task + 1));
                self.compute(launched, area, scratch, shared, (self.output(launched, area), next));
            });
        });
    }

    /// Where the area's results go at once: the epilogue is a plain store.
    fn output(&self, launched: Launched, area: Area) -> Option<Results> {
        let (buffer, walk, row) = self.output.as_ref()?;
        let first = walk.address((area.batch * self.m + area.m.0) * self.n + area.n.0)?;
        let c = launched.bases.0[*buffer].cast::<f32>().wrapping_offset(first as isize);
        Some(Results { c, row: *row })
    }

    /// Runs the epilogue over a block of results.
    fn finish(&self, launched: Launched, area: Area, c: &[f32], row: usize) {
        Block::with(launched, self.slots, WIDTH, |block| {
            let point = |i: usize| (area.batch * self.m + area.m.0 + i) * self.n + area.n.0;
            // Rows that follow each other in memory and in the row space are one run of lanes.
            let whole = row == self.n && self.n <= WIDTH;
            let (lines, length, chunk) = match whole {
                true => (1, area.m.1 * row, WIDTH / row * row),
                false => (area.m.1, area.n.1, WIDTH),
            };
            for first in (0..length).step_by(chunk) {
                let count = chunk.min(length - first);
                if first == 0 || !whole {
                    block.execute(&self.invariant, point(0) + first, count);
                }
                for i in 0..lines {
                    block.borrow(self.accumulator, &c[i * row + first..][..count]);
                    block.execute(&self.epilogue, point(i) + first, count);
                }
            }
        });
    }

    fn run_split(&self, launched: Launched) {
        let mut partials = self.partials.lock().unwrap_or_else(|e| e.into_inner());
        let row = self.padded();
        let size = self.m * row;
        let target = Target(partials.as_mut_ptr());
        parallel(self.tasks(), |task| {
            let (area, split) = (self.area(task), task % self.splits);
            let first = (area.batch * self.splits + split) * size + area.m.0 * row + area.n.0;
            let results = Results { c: target.at(first), row };
            SCRATCH
                .with_borrow_mut(|scratch| self.compute(launched, area, scratch, &[], (Some(results), None)));
        });
        let lines = (SUMMED / row).max(1);
        let blocks = self.m.div_ceil(lines);
        parallel(self.batch * blocks, |task| {
            let (batch, m) = (task / blocks, cut(self.m, lines, task % blocks));
            let part = |split: usize| target.at((batch * self.splits + split) * size + m.0 * row);
            // SAFETY: every task has its own rows of all parts, which lie within the vector.
            let sum = unsafe { std::slice::from_raw_parts_mut(part(0), m.1 * row) };
            for split in 1..self.splits {
                // SAFETY: as above.
                let other = unsafe { std::slice::from_raw_parts(part(split), m.1 * row) };
                for (sum, other) in sum.iter_mut().zip(other) {
                    *sum += other;
                }
            }
            self.finish(launched, Area { batch, m, n: (0, self.n), k: (0, self.k) }, sum, row);
        });
    }

    /// Integer operands: plain sums of wrapping products.
    fn run_integer(&self, launched: Launched) {
        parallel(self.batch * self.m, |task| {
            let (batch, m) = (task / self.m, task % self.m);
            let mut sums = vec![0u32; self.n];
            for k in 0..self.k {
                let a = self.lhs.element(launched, batch, m, k);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.wrapping_add(a.wrapping_mul(self.rhs.element(launched, batch, n, k)));
                }
            }
            Block::with(launched, self.slots, WIDTH, |block| {
                for first in (0..self.n).step_by(WIDTH) {
                    let count = WIDTH.min(self.n - first);
                    block.execute(&self.invariant, task * self.n + first, count);
                    block.slot_mut(self.accumulator, count).copy_from_slice(&sums[first..first + count]);
                    block.execute(&self.epilogue, task * self.n + first, count);
                }
            });
        });
    }
}

/// A vector whose parts several tasks write.
#[derive(Clone, Copy)]
struct Target(*mut f32);

// SAFETY: tasks write disjoint elements.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    fn at(&self, element: usize) -> *mut f32 {
        self.0.wrapping_add(element)
    }
}
