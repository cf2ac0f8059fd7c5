//! Scatter, sort and scan of 64-bit elements, on dense row-major buffers.

use std::ops::Range;

use crate::cpu::block::{self, Launched};
use crate::cpu::fold::Fold;
use crate::cpu::whole::{Cut, Part};
use crate::cpu::wide::fold::accumulate_words;
use crate::cpu::wide::memory;
use crate::dtype::{DType, Scalar};
use crate::kernel::{Kernel, ScatterOp};
use crate::op::ReduceOp;

const TASK: usize = 16_384;
const WIDTH: usize = 512;

/// A kernel without loops of its own.
#[derive(Debug)]
pub(crate) struct WholeKernel {
    cut: Cut,
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

    fn fold(&self, op: ReduceOp) -> Fold {
        Fold { op, scalar: self.cut.dtypes[0].scalar() }
    }

    /// The rows `range` of the result: every task looks at all indices and takes its own, in their order.
    fn scatter(&self, launched: Launched, op: ScatterOp, range: Range<usize>, updates: usize, width: usize) {
        let [operand, indices, values] = [0, 1, 2].map(|b| launched.bases.0[b]);
        let out = launched.bases.0.get(3).copied().unwrap_or(operand);
        let (operand, values, out) = (operand.cast::<u64>(), values.cast::<u64>(), out.cast::<u64>());
        if operand != out {
            let first = range.start * width;
            // SAFETY: both buffers hold `targets × width` elements, and no other task touches these rows of `out`.
            unsafe { std::ptr::copy_nonoverlapping(operand.add(first), out.add(first), range.len() * width) };
        }
        for i in 0..updates {
            // SAFETY: there are `updates` indices.
            let index = unsafe { block::read(indices, self.cut.dtypes[1], i as i64) } as i32;
            let Some(target) = usize::try_from(index).ok().filter(|t| range.contains(t)) else {
                continue;
            };
            // SAFETY: row `target` belongs to this task alone; both rows are within their buffers.
            let (to, from) = unsafe {
                (
                    std::slice::from_raw_parts_mut(out.add(target * width), width),
                    std::slice::from_raw_parts(values.add(i * width), width),
                )
            };
            match op {
                ScatterOp::Set => to.copy_from_slice(from),
                ScatterOp::Fold(op) => accumulate_words(launched.isa, self.fold(op), to, from),
            }
        }
    }

    fn sort(&self, launched: Launched, line: usize, length: usize, descending: bool) {
        let [keys, sorted, positions] = [0, 1, 2].map(|b| launched.bases.0[b]);
        let dtype = self.cut.dtypes[0];
        let first = (line * length) as i64;
        // SAFETY: the line is within the buffer.
        let read = |i: usize| unsafe { memory::read(keys, dtype, first + i as i64) };
        let key = |i: usize| (sort_key(read(i), dtype.scalar(), descending), i as u32);
        let mut order: Vec<(u64, u32)> = (0..length).map(key).collect();
        order.sort_unstable();
        for (i, (_, from)) in order.iter().enumerate() {
            let to = first + i as i64;
            // SAFETY: the line is within all three buffers, and only this task writes it.
            unsafe {
                memory::write(sorted, dtype, to, read(*from as usize));
                block::write(positions, DType::I32, to, *from);
            }
        }
    }

    fn scan(
        &self,
        launched: Launched,
        op: ReduceOp,
        (outer, length, inner): (usize, usize, usize),
        (first, count): (usize, usize),
        reverse: bool,
    ) {
        let (input, output) = (launched.bases.0[0].cast::<u64>(), launched.bases.0[1].cast::<u64>());
        let fold = self.fold(op);
        let mut sum = vec![op.identity(fold.scalar).bits(); count];
        for step in 0..length {
            let step = if reverse { length - 1 - step } else { step };
            let at = (outer * length + step) * inner + first;
            // SAFETY: the arrays have `outer × length × inner` elements, and only this task uses these columns.
            unsafe {
                accumulate_words(
                    launched.isa,
                    fold,
                    &mut sum,
                    std::slice::from_raw_parts(input.add(at), count),
                );
                std::ptr::copy_nonoverlapping(sum.as_ptr(), output.add(at), count);
            }
        }
    }
}

/// Bits that compare as unsigned numbers in the order of sorting; NaN is the largest either way.
fn sort_key(bits: u64, scalar: Scalar, descending: bool) -> u64 {
    const SIGN: u64 = 1 << 63;
    let key = match scalar {
        Scalar::F64 => {
            let value = f64::from_bits(bits);
            if value.is_nan() {
                return u64::MAX;
            }
            // Zeros of both signs are equal.
            let bits = (value + 0.0).to_bits();
            if bits & SIGN != 0 { !bits } else { bits | SIGN }
        }
        _ => bits ^ SIGN,
    };
    if descending { !key } else { key }
}
