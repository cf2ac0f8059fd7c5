//! Contractions: blocks of the result are computed from packed panels of the operands, then the epilogue runs on them.
//!
//! Packing follows the operand's map, so that windows with padding (convolutions) need no copy of their own. All
//! block sizes and splits of the sum follow from sizes alone: results do not depend on the number of threads.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::cpu::address::{Axes, Walk};
use crate::cpu::block::{Block, Launched};
use crate::cpu::matmul::{Kernels, Left, MAX_COLUMNS, MAX_ROWS, Tile};
use crate::cpu::panel::{Part, Side, pitch, product};
use crate::cpu::parallel;
use crate::cpu::separable::{Pointer, Separable};
use crate::cpu::tape::{Level, Op, Translator};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::kernel::{Instr, Kernel, Operand, Reg, Tape};

/// Most elements, columns and rows of one task's block.
const BLOCK: usize = 576 * BLOCK_N;
const BLOCK_N: usize = 512;
const TALLEST: usize = 4608;
/// Rows and length of what is computed at a time: its panels fit a second-level cache together.
const PANEL_M: usize = 144;
const BLOCK_K: usize = 256;
/// Longest run that is read without packing.
const LONGEST_RUN: usize = 1 << 16;
/// Lanes of an epilogue block.
const WIDTH: usize = 1024;
/// Tasks below which the result is cut finer, or the sum is split.
const FEW: usize = 16;

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
    /// Rows whose panels are packed at a time.
    panel_m: usize,
    splits: usize,
    kernels: Kernels,
    pub(crate) epilogue: Vec<Op>,
    accumulator: usize,
    slots: usize,
    /// Buffer, addresses and distance of rows, where the epilogue is a plain store of whole tiles.
    output: Option<(usize, Walk, usize)>,
    /// What rows outside the left operand's guards point to.
    zeros: Vec<f32>,
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
            Side::new(kernel, lhs, [batch_axes, m_axes, &inner]),
            Side::new(kernel, rhs, [batch_axes, n_axes, &inner]),
        );
        let mut translator = Translator::new(kernel, tape)?;
        let accumulator = translator.define_accumulator();
        let schedule: Vec<Reg> = (0..tape.instrs.len() as Reg).collect();
        translator.plan_uses(&schedule);
        for reg in &schedule {
            if matches!(tape.instrs[*reg as usize], Instr::Accumulator) {
                translator.pin(*reg);
            }
        }
        let epilogue = translator.section(&schedule, 0, Level::Points, &rows, &mut Vec::new());
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
            kernels,
            epilogue,
            accumulator,
            slots: translator.slots,
            output,
            zeros: Vec::new(),
            partials: Mutex::default(),
        };
        contract.choose_blocks();
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
        while self.tasks() < FEW && self.block_m > PANEL_M {
            self.block_m = even(self.m, self.block_m / 2, MAX_ROWS);
        }
        while self.tasks() < FEW && self.block_n > 64 {
            self.block_n = even(self.n, self.block_n / 2, MAX_COLUMNS);
        }
        let small = self.m * self.n <= 1 << 18;
        if self.tasks() < FEW && self.k >= 1024 && small && !self.integer {
            self.splits = (self.k / 512).min(16);
            let count = self.batch * self.splits * self.m * self.n;
            self.partials = Mutex::new(vec![0.0; count]);
        }
        if self.runs().is_none() {
            // A line of the operand is walked once for many rows.
            self.panel_m = self.block_m.clamp(MAX_ROWS, 4 * PANEL_M);
        }
        self.zeros = vec![0.0; self.runs().map_or(0, |r| r.run.min(BLOCK_K))];
    }

    /// The left operand's runs, where it is read as it lies in memory.
    fn runs(&self) -> Option<&Separable> {
        self.lhs.runs.as_ref().filter(|r| self.splits == 1 && (1..=LONGEST_RUN).contains(&r.run))
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
        let part = self.k.div_ceil(self.splits);
        Area {
            batch: task / (blocks_m * blocks_n),
            m: cut(self.m, self.block_m, task / blocks_n % blocks_m),
            n: cut(self.n, self.block_n, task % blocks_n),
            k: cut(self.k, part, split),
        }
    }

    pub(crate) fn run(&self, launched: Launched) {
        if self.integer {
            return self.run_integer(launched);
        }
        if self.splits > 1 {
            return self.run_split(launched);
        }
        parallel(self.tasks(), |task| {
            let area = self.area(task);
            SCRATCH.with_borrow_mut(|scratch| {
                if let Some(result) = self.output(launched, area) {
                    return self.compute(launched, area, scratch, result);
                }
                let row = self.compute_scratch(launched, area, scratch);
                self.finish(launched, area, &scratch.c, row);
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

    /// Computes an area into scratch memory; returns the elements between its rows.
    fn compute_scratch(&self, launched: Launched, area: Area, scratch: &mut Scratch) -> usize {
        let row = area.n.1.next_multiple_of(MAX_COLUMNS);
        at_least(&mut scratch.c, area.m.1 * row);
        let c = scratch.c.as_mut_ptr();
        self.compute(launched, area, scratch, Results { c, row });
        row
    }

    /// The parts of a sum that are computed one after another: (first, length of a run, runs).
    fn steps(&self, (first, count): (usize, usize)) -> impl Iterator<Item = (usize, usize, usize)> {
        let run = self.runs().map_or(usize::MAX, |r| r.run);
        let (unit, runs) = if run <= BLOCK_K { (run, BLOCK_K / run) } else { (BLOCK_K, 1) };
        let mut at = first;
        std::iter::from_fn(move || {
            let left = first + count - at;
            if left == 0 {
                return None;
            }
            let step = if run <= BLOCK_K {
                (at, unit, runs.min(left / unit))
            } else {
                // Never across the end of a run.
                (at, unit.min(run - at % run).min(left), 1)
            };
            at += step.1 * step.2;
            Some(step)
        })
    }

    /// Computes an area from the operands; its rows have room for a multiple of the tile's columns.
    fn compute(&self, launched: Launched, area: Area, scratch: &mut Scratch, results: Results) {
        let (tile_m, tile_n) = (self.kernels.rows, self.kernels.columns);
        let n = area.n.1;
        if area.k.1 == 0 {
            for i in 0..area.m.1 {
                // SAFETY: the results have this row, of at least `n` elements.
                unsafe { results.c.add(i * results.row).write_bytes(0, n) };
            }
        }
        at_least(&mut scratch.a, self.panel_m.div_ceil(tile_m) * pitch(BLOCK_K, tile_m));
        at_least(&mut scratch.b, n.div_ceil(tile_n) * pitch(BLOCK_K, tile_n));
        at_least(&mut scratch.line, MAX_COLUMNS * BLOCK_K.max(BLOCK_N));
        for (first, length, runs) in self.steps(area.k) {
            let k = (first, length * runs);
            let part = Part { batch: area.batch, rows: area.n, k };
            self.rhs.pack(launched, part, tile_n, &mut scratch.line, &mut scratch.b);
            for top in (0..area.m.1).step_by(self.panel_m) {
                let rows = (area.m.0 + top, self.panel_m.min(area.m.1 - top));
                let part = Part { batch: area.batch, rows, k };
                self.left(launched, part, (length, runs), scratch);
                for j in (0..n).step_by(tile_n) {
                    for i in (0..rows.1).step_by(tile_m) {
                        let a = if self.runs().is_some() {
                            Left::Rows(scratch.table[i / tile_m * runs * MAX_ROWS..].as_ptr().cast())
                        } else {
                            Left::Packed(scratch.a[i / tile_m * pitch(k.1, tile_m)..].as_ptr())
                        };
                        let tile = Tile {
                            rows: tile_m.min(rows.1 - i),
                            k: length,
                            runs,
                            a,
                            b: scratch.b[j / tile_n * pitch(k.1, tile_n)..].as_ptr(),
                            c: results.c.wrapping_add((top + i) * results.row + j),
                            c_row: results.row,
                            accumulate: first > area.k.0,
                        };
                        // SAFETY: the panels hold `k` columns of full tiles, the table all runs of the tile's rows;
                        // the results have room for whole tiles.
                        unsafe { self.kernels.run(&tile) };
                    }
                }
            }
        }
    }

    /// Packs the left operand's part, or finds its rows.
    fn left(&self, launched: Launched, part: Part, (length, runs): (usize, usize), scratch: &mut Scratch) {
        let tile_m = self.kernels.rows;
        let Some(separable) = self.runs() else {
            return self.lhs.pack(launched, part, tile_m, &mut scratch.line, &mut scratch.a);
        };
        at_least(&mut scratch.table, self.panel_m.div_ceil(tile_m) * runs * MAX_ROWS);
        let base = launched.bases.0[self.lhs.buffer].cast::<f32>().cast_const();
        let run = part.k.0 / separable.run;
        let base = base.wrapping_add(part.k.0 - run * separable.run);
        for (panel, row) in (0..part.rows.1).step_by(tile_m).enumerate() {
            let first = part.batch * self.m + part.rows.0 + row;
            let table = &mut scratch.table[panel * runs * MAX_ROWS..][..runs * MAX_ROWS];
            let rows = (first, tile_m.min(part.rows.1 - row));
            separable.fill(rows, run..run + runs, MAX_ROWS, [base, self.zeros.as_ptr()], table);
        }
        debug_assert!(length <= self.zeros.len());
    }

    /// Runs the epilogue over a block of results.
    fn finish(&self, launched: Launched, area: Area, c: &[f32], row: usize) {
        Block::with(launched, self.slots, WIDTH, |block| {
            let point = |i: usize| (area.batch * self.m + area.m.0 + i) * self.n + area.n.0;
            // Rows that follow each other in memory and in the row space are one run of lanes.
            let whole = row == self.n;
            let (lines, length) = if whole { (1, area.m.1 * row) } else { (area.m.1, area.n.1) };
            for i in 0..lines {
                for first in (0..length).step_by(WIDTH) {
                    let count = WIDTH.min(length - first);
                    block.borrow(self.accumulator, &c[i * row + first..][..count]);
                    block.execute(&self.epilogue, point(i) + first, count);
                }
            }
        });
    }

    fn run_split(&self, launched: Launched) {
        let mut partials = self.partials.lock().unwrap_or_else(|e| e.into_inner());
        let size = self.m * self.n;
        let target = Target(partials.as_mut_ptr());
        parallel(self.tasks(), |task| {
            let (area, split) = (self.area(task), task % self.splits);
            SCRATCH.with_borrow_mut(|scratch| {
                let row = self.compute_scratch(launched, area, scratch);
                for i in 0..area.m.1 {
                    let at = (area.batch * self.splits + split) * size + (area.m.0 + i) * self.n + area.n.0;
                    // SAFETY: every task writes the elements of its own area and part.
                    unsafe { target.write(at, &scratch.c[i * row..][..area.n.1]) };
                }
            });
        });
        for batch in 0..self.batch {
            let parts = &mut partials[batch * self.splits * size..][..self.splits * size];
            let (sum, others) = parts.split_at_mut(size);
            for other in others.chunks_exact(size) {
                for (sum, other) in sum.iter_mut().zip(other) {
                    *sum += other;
                }
            }
            let area = Area { batch, m: (0, self.m), n: (0, self.n), k: (0, self.k) };
            self.finish(launched, area, sum, self.n);
        }
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
                    block.slot_mut(self.accumulator, count).copy_from_slice(&sums[first..first + count]);
                    block.execute(&self.epilogue, task * self.n + first, count);
                }
            });
        });
    }
}

struct Target(*mut f32);

// SAFETY: tasks write disjoint elements.
unsafe impl Sync for Target {}

impl Target {
    /// # Safety
    /// No other task may use these elements, and they must be within the vector that the pointer is from.
    unsafe fn write(&self, at: usize, values: &[f32]) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.0.add(at), values.len()) }
    }
}
