//! Contractions: blocks of the result are computed from packed panels of the operands, then the epilogue runs on them.
//!
//! Packing follows the operand's map, so that windows with padding (convolutions) need no copy of their own. All
//! block sizes and splits of the sum follow from sizes alone: results do not depend on the number of threads.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::cpu::address::{Axes, Walk};
use crate::cpu::block::{self, Block, Launched};
use crate::cpu::matmul::{Kernels, MAX_COLUMNS, MAX_ROWS, Tile};
use crate::cpu::parallel;
use crate::cpu::tape::{Level, Op, Translator};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::kernel::{Instr, Kernel, Operand, Reg, Tape};

/// Rows, columns and length of a block: its panels fit a second-level cache together.
const BLOCK_M: usize = 144;
const BLOCK_N: usize = 512;
const BLOCK_K: usize = 256;
/// Lanes of an epilogue block.
const WIDTH: usize = 1024;
/// Tasks below which the result is cut finer, or the sum is split.
const FEW: usize = 8;

/// One operand as a matrix of rows (m or n) by k, for every batch index.
#[derive(Debug)]
struct Side {
    buffer: usize,
    dtype: DType,
    walk: Walk,
    /// The walk's fastest axes are the rows, not k.
    rows_fast: bool,
    rows: usize,
    k: usize,
    /// Elements between rows where the matrix lies in memory with k contiguous: it needs no packing.
    direct: Option<usize>,
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
    splits: usize,
    kernels: Kernels,
    pub(crate) epilogue: Vec<Op>,
    accumulator: usize,
    slots: usize,
    /// Results of the parts of a split sum: `splits` matrices for each batch index.
    partials: Mutex<Vec<f32>>,
}

fn product(axes: &[(usize, usize)]) -> usize {
    axes.iter().map(|a| a.1).product()
}

impl Side {
    fn new(
        kernel: &Kernel,
        operand: &Operand,
        batch: &[(usize, usize)],
        rows: &[(usize, usize)],
        k: &[(usize, usize)],
    ) -> Side {
        let dtype = kernel.buffers[operand.buffer].dtype;
        let alone = |axes: &[(usize, usize)]| Walk::new(&operand.map, &axes.to_vec());
        let (along_rows, along_k) = (alone(rows), alone(k));
        let rows_fast =
            along_k.last_stride() != 1 && (along_rows.last_stride() == 1 || product(k) < product(rows));
        let axes: Axes = if rows_fast {
            [batch, k, rows].concat()
        } else {
            [batch, rows, k].concat()
        };
        let plain = dtype == DType::F32 && operand.map.guards.is_empty() && along_k.contiguous().is_some();
        let direct = along_rows.single_stride().filter(|s| plain && *s > 1);
        Side {
            buffer: operand.buffer,
            dtype,
            walk: Walk::new(&operand.map, &axes),
            rows_fast,
            rows: product(rows),
            k: product(k),
            direct: direct.map(|s| s as usize),
        }
    }

    fn point(&self, batch: usize, row: usize, k: usize) -> usize {
        if self.rows_fast {
            (batch * self.k + k) * self.rows + row
        } else {
            (batch * self.rows + row) * self.k + k
        }
    }

    fn line(&self, launched: Launched, start: usize, out: &mut [u32]) {
        let base = launched.bases.0[self.buffer].cast_const();
        block::load(base, self.dtype, &self.walk, 0, start, out);
    }

    /// Packs rows `row..row + rows` of columns `k..k + length` as panels of `width` rows, k by k, padded with zeros.
    #[allow(clippy::too_many_arguments)]
    fn pack(
        &self,
        launched: Launched,
        batch: usize,
        (row, rows): (usize, usize),
        (k, length): (usize, usize),
        width: usize,
        line: &mut [u32],
        panels: &mut [f32],
    ) {
        if self.rows_fast {
            for step in 0..length {
                let line = &mut line[..rows];
                self.line(launched, self.point(batch, row, k + step), line);
                for (panel, lanes) in line.chunks(width).enumerate() {
                    let target = &mut panels[(panel * length + step) * width..][..width];
                    copy_padded(target, lanes);
                }
            }
            return;
        }
        for (panel, first) in (0..rows).step_by(width).enumerate() {
            let count = width.min(rows - first);
            let line = &mut line[..width * length];
            for i in 0..count {
                self.line(
                    launched,
                    self.point(batch, row + first + i, k),
                    &mut line[i * length..][..length],
                );
            }
            line[count * length..].fill(0);
            let target = &mut panels[panel * length * width..][..length * width];
            for (step, target) in target.chunks_exact_mut(width).enumerate() {
                for (i, target) in target.iter_mut().enumerate() {
                    *target = f32::from_bits(line[i * length + step]);
                }
            }
        }
    }
}

fn copy_padded(target: &mut [f32], lanes: &[u32]) {
    for (target, lane) in target.iter_mut().zip(lanes) {
        *target = f32::from_bits(*lane);
    }
    target[lanes.len()..].fill(0.0);
}

#[derive(Default)]
struct Scratch {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    line: Vec<u32>,
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
        kernels: Kernels,
    ) -> Result<ContractKernel> {
        let rows: Axes = kernel.rows.iter().copied().enumerate().collect();
        let inner: Axes = kernel
            .inner
            .iter()
            .enumerate()
            .map(|(i, n)| (rows.len() + i, *n))
            .collect();
        let (batch_axes, m_axes, n_axes) = (&rows[..batch], &rows[batch..batch + m], &rows[batch + m..]);
        let (lhs, rhs) = (
            Side::new(kernel, lhs, batch_axes, m_axes, &inner),
            Side::new(kernel, rhs, batch_axes, n_axes, &inner),
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
        let integer = kernel.buffers[lhs.buffer].dtype.scalar() != Scalar::F32;
        let mut contract = ContractKernel {
            integer,
            batch: product(batch_axes),
            m: lhs.rows,
            n: rhs.rows,
            k: lhs.k,
            lhs,
            rhs,
            block_m: BLOCK_M,
            block_n: BLOCK_N,
            splits: 1,
            kernels,
            epilogue,
            accumulator,
            slots: translator.slots,
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
        self.block_m = even(self.m, BLOCK_M, MAX_ROWS);
        self.block_n = even(self.n, BLOCK_N, MAX_COLUMNS);
        while self.tasks() < FEW && self.block_n > 128 {
            self.block_n = even(self.n, self.block_n / 2, MAX_COLUMNS);
        }
        let small = self.m * self.n <= 1 << 18;
        if self.tasks() < FEW && self.k >= 1024 && small && !self.integer {
            self.splits = (self.k / 512).min(16);
            let count = self.batch * self.splits * self.m * self.n;
            self.partials = Mutex::new(vec![0.0; count]);
        }
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
                let row = area.n.1.next_multiple_of(MAX_COLUMNS);
                at_least(&mut scratch.c, self.block_m * row);
                let mut c = std::mem::take(&mut scratch.c);
                self.compute(launched, area, scratch, &mut c, row);
                self.finish(launched, area, &c, row);
                scratch.c = c;
            });
        });
    }

    /// Computes `c` (rows of `row` elements, a multiple of the tile's columns) from the operands.
    fn compute(&self, launched: Launched, area: Area, scratch: &mut Scratch, c: &mut [f32], row: usize) {
        let (tile_m, tile_n) = (self.kernels.rows, self.kernels.columns);
        let (m, n) = (area.m.1, area.n.1);
        if area.k.1 == 0 {
            c[..m * row].fill(0.0);
        }
        at_least(&mut scratch.a, m.next_multiple_of(tile_m) * BLOCK_K);
        at_least(&mut scratch.b, n.next_multiple_of(tile_n) * BLOCK_K);
        at_least(&mut scratch.line, MAX_COLUMNS * BLOCK_K.max(BLOCK_N));
        for (step, first) in (0..area.k.1).step_by(BLOCK_K).enumerate() {
            let k = (area.k.0 + first, BLOCK_K.min(area.k.1 - first));
            self.rhs.pack(
                launched,
                area.batch,
                area.n,
                k,
                tile_n,
                &mut scratch.line,
                &mut scratch.b,
            );
            let (a, a_row, a_k) = match self.lhs.direct {
                Some(stride) => {
                    let base = launched.bases.0[self.lhs.buffer].cast::<f32>().cast_const();
                    let address = self
                        .lhs
                        .walk
                        .address(self.lhs.point(area.batch, area.m.0, k.0))
                        .unwrap_or(0);
                    (base.wrapping_offset(address as isize), stride, 1)
                }
                None => {
                    self.lhs.pack(
                        launched,
                        area.batch,
                        area.m,
                        k,
                        tile_m,
                        &mut scratch.line,
                        &mut scratch.a,
                    );
                    (scratch.a.as_ptr(), 1, tile_m)
                }
            };
            for j in (0..n).step_by(tile_n) {
                for i in (0..m).step_by(tile_m) {
                    let skip = if a_row == 1 { i * k.1 } else { i * a_row };
                    let tile = Tile {
                        rows: tile_m.min(m - i),
                        k: k.1,
                        a: a.wrapping_add(skip),
                        a_row,
                        a_k,
                        b: scratch.b[j * k.1..].as_ptr(),
                        b_k: tile_n,
                        c: c[i * row + j..].as_mut_ptr(),
                        c_row: row,
                        accumulate: step > 0,
                    };
                    // SAFETY: the panels hold `k` columns of full tiles, a direct operand all rows of the tile; `c`
                    // has rows of a multiple of the tile's columns.
                    unsafe { self.kernels.run(&tile) };
                }
            }
        }
    }

    /// Runs the epilogue over a block of results.
    fn finish(&self, launched: Launched, area: Area, c: &[f32], row: usize) {
        Block::with(launched, self.slots, WIDTH, |block| {
            let point = |i: usize| (area.batch * self.m + area.m.0 + i) * self.n + area.n.0;
            // Rows that follow each other in memory and in the row space are one run of lanes.
            let whole = row == self.n;
            let (lines, length) = if whole {
                (1, area.m.1 * row)
            } else {
                (area.m.1, area.n.1)
            };
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
                let row = area.n.1.next_multiple_of(MAX_COLUMNS);
                at_least(&mut scratch.c, self.block_m * row);
                let mut c = std::mem::take(&mut scratch.c);
                self.compute(launched, area, scratch, &mut c, row);
                for i in 0..area.m.1 {
                    let at = (area.batch * self.splits + split) * size + (area.m.0 + i) * self.n + area.n.0;
                    // SAFETY: every task writes the elements of its own area and part.
                    unsafe { target.write(at, &c[i * row..][..area.n.1]) };
                }
                scratch.c = c;
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
            let area = Area {
                batch,
                m: (0, self.m),
                n: (0, self.n),
                k: (0, self.k),
            };
            self.finish(launched, area, sum, self.n);
        }
    }

    /// Integer operands: plain sums of wrapping products.
    fn run_integer(&self, launched: Launched) {
        parallel(self.batch * self.m, |task| {
            let (batch, m) = (task / self.m, task % self.m);
            let mut sums = vec![0u32; self.n];
            for k in 0..self.k {
                let at = |side: &Side, row: usize| {
                    let mut lane = [0];
                    side.line(launched, side.point(batch, row, k), &mut lane);
                    lane[0]
                };
                let a = at(&self.lhs, m);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.wrapping_add(a.wrapping_mul(at(&self.rhs, n)));
                }
            }
            Block::with(launched, self.slots, WIDTH, |block| {
                for first in (0..self.n).step_by(WIDTH) {
                    let count = WIDTH.min(self.n - first);
                    block
                        .slot_mut(self.accumulator, count)
                        .copy_from_slice(&sums[first..first + count]);
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
