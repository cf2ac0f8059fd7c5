//! Kernels over whole arrays: scatter, sort and scan, on dense row-major buffers.

use std::cell::RefCell;
use std::ops::Range;

use crate::cpu::block::{self, Block, Launched, WIDE};
use crate::cpu::fold::{self, Fold};
use crate::cpu::parallel;
use crate::dtype::{DType, Scalar};
use crate::kernel::{Body, Kernel, ScatterOp};
use crate::op::ReduceOp;

const TASK: usize = 32_768;
const WIDTH: usize = 1024;

/// What one task of a kernel over whole arrays does.
pub(crate) enum Part {
    /// Rows of a scatter's result.
    Scatter { op: ScatterOp, range: Range<usize>, updates: usize, width: usize },
    /// A line to sort.
    Sort { line: usize, length: usize, descending: bool },
    /// Lanes of a scan: the number of the outer one, lengths, and first and count of the inner ones.
    Scan { op: ReduceOp, shape: (usize, usize, usize), lanes: (usize, usize), reverse: bool },
}

/// A kernel over whole arrays, cut into tasks.
#[derive(Debug)]
pub(crate) struct Cut {
    body: Body,
    /// The stored types of its buffers.
    pub(crate) dtypes: Vec<DType>,
    /// Elements of a scatter's task.
    task: usize,
    /// Lanes of a scan's task.
    width: usize,
}

impl Cut {
    pub(crate) fn new(kernel: &Kernel, task: usize, width: usize) -> Cut {
        let dtypes = kernel.buffers.iter().map(|b| b.dtype).collect();
        Cut { body: kernel.body.clone(), dtypes, task, width }
    }

    pub(crate) fn tasks(&self) -> usize {
        match self.body {
            // In place only the updated rows are work.
            Body::Scatter { updates, width, .. } if self.dtypes.len() == 3 => {
                (updates * width).div_ceil(self.task).min(16)
            }
            Body::Scatter { targets, width, .. } => (targets * width).div_ceil(self.task).min(16),
            Body::Sort { lines, .. } => lines,
            Body::Scan { outer, inner, .. } => outer * inner.div_ceil(self.width),
            _ => 0,
        }
    }

    /// Executes every task's part.
    pub(crate) fn run(&self, execute: impl Fn(Part) + Sync) {
        parallel(self.tasks(), |task| match self.body {
            Body::Scatter { op, targets, updates, width } => {
                let part = targets.div_ceil(self.tasks());
                let range = (task * part).min(targets)..((task + 1) * part).min(targets);
                execute(Part::Scatter { op, range, updates, width });
            }
            Body::Sort { length, descending, .. } => execute(Part::Sort { line: task, length, descending }),
            Body::Scan { op, length, inner, reverse, .. } => {
                let parts = inner.div_ceil(self.width);
                let first = task % parts * self.width;
                let (shape, lanes) = ((task / parts, length, inner), (first, self.width.min(inner - first)));
                execute(Part::Scan { op, shape, lanes, reverse });
            }
            _ => {}
        });
    }
}

/// A kernel without loops of its own.
#[derive(Debug)]
pub(crate) struct WholeKernel {
    cut: Cut,
}

thread_local! {
    static KEYS: RefCell<Vec<u64>> = RefCell::default();
}

impl WholeKernel {
    pub(crate) fn new(kernel: &Kernel) -> WholeKernel {
        WholeKernel { cut: Cut::new(kernel, TASK, WIDTH) }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.cut.tasks()
    }

    pub(crate) fn run(&self, launched: Launched) {
        self.cut.run(|part| match part {
            Part::Scatter { op, range, updates, width } => self.scatter(launched, op, range, updates, width),
            Part::Sort { line, length, descending } => self.sort(launched, line, length, descending),
            Part::Scan { op, shape, lanes, reverse } => self.scan(launched, op, shape, lanes, reverse),
        });
    }

    /// The rows `range` of the result: every task looks at all indices and takes its own, in their order.
    fn scatter(&self, launched: Launched, op: ScatterOp, range: Range<usize>, updates: usize, width: usize) {
        let [operand, indices, values] = [0, 1, 2].map(|b| launched.bases.0[b]);
        let out = launched.bases.0.get(3).copied().unwrap_or(operand);
        let dtype = self.cut.dtypes[0];
        let size = dtype.host_size();
        let first = range.start * width * size;
        let is_half = dtype.is_float() && size == 2;
        if operand != out {
            // SAFETY: both buffers hold `targets × width` elements, and no other task touches these rows of `out`.
            unsafe {
                std::ptr::copy_nonoverlapping(operand.add(first), out.add(first), range.len() * width * size)
            };
        }
        if let (true, ScatterOp::Fold(op)) = (is_half, op) {
            let fold = Fold { op, scalar: dtype.scalar() };
            return self.scatter_half(launched, fold, range, updates, width);
        }
        for i in 0..updates {
            // SAFETY: there are `updates` indices.
            let index = unsafe { block::read(indices, self.cut.dtypes[1], i as i64) } as i32;
            let Some(target) = usize::try_from(index).ok().filter(|t| range.contains(t)) else {
                continue;
            };
            // SAFETY: row `target` belongs to this task alone; both rows are within their buffers.
            unsafe {
                let (to, from) = (out.add(target * width * size), values.add(i * width * size));
                match op {
                    ScatterOp::Set => std::ptr::copy_nonoverlapping(from, to, width * size),
                    ScatterOp::Fold(op) if size == 4 => {
                        let fold = Fold { op, scalar: dtype.scalar() };
                        let to = std::slice::from_raw_parts_mut(to.cast::<u32>(), width);
                        let from = std::slice::from_raw_parts(from.cast::<u32>(), width);
                        fold::accumulate(launched.isa, fold, to, from);
                    }
                    ScatterOp::Fold(op) => {
                        let fold = Fold { op, scalar: dtype.scalar() };
                        for j in 0..width as i64 {
                            let mut sum = [block::read(to, dtype, j)];
                            fold::accumulate(launched.isa, fold, &mut sum, &[block::read(from, dtype, j)]);
                            block::write(to, dtype, j, sum[0]);
                        }
                    }
                }
            }
        }
    }

    /// [`Self::scatter`] of half floats into rows that are there: each element is rounded once, after all its updates.
    fn scatter_half(
        &self,
        launched: Launched,
        fold: Fold,
        range: Range<usize>,
        updates: usize,
        width: usize,
    ) {
        let [operand, indices, values] = [0, 1, 2].map(|b| launched.bases.0[b]);
        let out = launched.bases.0.get(3).copied().unwrap_or(operand);
        KEYS.with_borrow_mut(|order| {
            order.clear();
            for i in 0..updates {
                // SAFETY: there are `updates` indices.
                let index = unsafe { block::read(indices, self.cut.dtypes[1], i as i64) } as i32;
                if let Some(target) = usize::try_from(index).ok().filter(|t| range.contains(t)) {
                    order.push((target as u64) << 32 | i as u64);
                }
            }
            order.sort_unstable();
            for of_row in order.chunk_by(|a, b| a >> 32 == b >> 32) {
                let row = (of_row[0] >> 32) as usize * width;
                for column in 0..width {
                    let at = (row + column) as i64;
                    // SAFETY: the row belongs to this task alone; it and those of the updates are within their buffers.
                    unsafe {
                        let mut sum = [block::read(out, self.cut.dtypes[0], at)];
                        for update in of_row {
                            let from = (*update as u32 as usize * width + column) as i64;
                            let term = [block::read(values, self.cut.dtypes[0], from)];
                            fold::accumulate(launched.isa, fold, &mut sum, &term);
                        }
                        block::write(out, self.cut.dtypes[0], at, sum[0]);
                    }
                }
            }
        });
    }

    fn sort(&self, launched: Launched, line: usize, length: usize, descending: bool) {
        let [keys, sorted, positions] = [0, 1, 2].map(|b| launched.bases.0[b]);
        let dtype = self.cut.dtypes[0];
        let first = (line * length) as i64;
        KEYS.with_borrow_mut(|order| {
            order.clear();
            for i in 0..length {
                // SAFETY: the line is within the buffer.
                let lane = unsafe { block::read(keys, dtype, first + i as i64) };
                order.push(u64::from(sort_key(lane, dtype.scalar(), descending)) << 32 | i as u64);
            }
            order.sort_unstable();
            for (i, key) in order.iter().enumerate() {
                let (from, to) = (first + i64::from(*key as u32), first + i as i64);
                // SAFETY: the line is within all three buffers, and only this task writes it.
                unsafe {
                    block::write(sorted, dtype, to, block::read(keys, dtype, from));
                    block::write(positions, DType::I32, to, *key as u32);
                }
            }
        });
    }

    fn scan(
        &self,
        launched: Launched,
        op: ReduceOp,
        (outer, length, inner): (usize, usize, usize),
        (first, count): (usize, usize),
        reverse: bool,
    ) {
        let (input, output) = (launched.bases.0[0], launched.bases.0[1]);
        let (from, to) = (self.cut.dtypes[0], self.cut.dtypes[1]);
        Block::with(launched, 2, WIDTH, |block| {
            let (sum, lanes) = (block.slot_mut(0, count), block.slot_mut(1, count));
            let fold = Fold { op, scalar: from.scalar() };
            sum.fill(op.identity(fold.scalar).word());
            for step in 0..length {
                let step = if reverse { length - 1 - step } else { step };
                let at = ((outer * length + step) * inner + first) as i64;
                for (i, lane) in lanes.iter_mut().enumerate() {
                    // SAFETY: the array has `outer × length × inner` elements.
                    *lane = unsafe { block::read(input, from, at + i as i64) };
                }
                fold::accumulate(launched.isa, fold, sum, lanes);
                for (i, lane) in sum.iter().enumerate() {
                    // SAFETY: as above, and only this task writes these columns.
                    unsafe { block::write(output, to, at + i as i64, *lane) };
                }
            }
        });
    }
}

/// Bits that compare as unsigned numbers in the order of sorting; NaN is the largest either way.
fn sort_key(lane: u32, scalar: Scalar, descending: bool) -> u32 {
    let key = match scalar {
        Scalar::F32 => {
            let value = f32::from_bits(lane);
            if value.is_nan() {
                return u32::MAX;
            }
            // Zeros of both signs are equal.
            let bits = (value + 0.0).to_bits();
            if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 }
        }
        Scalar::I32 => lane ^ 0x8000_0000,
        Scalar::U32 | Scalar::Bool => lane,
        Scalar::F64 | Scalar::I64 => unreachable!("{WIDE}"),
    };
    if descending { !key } else { key }
}
