//! Folds over blocks of lanes, for each instruction set. The order of every fold follows from its length alone.

use crate::cpu::isa::multiversion;
use crate::cpu::lanes::Lane;
use crate::dtype::Scalar;
use crate::math;
use crate::op::ReduceOp;

/// What is folded, and with what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fold {
    pub(crate) op: ReduceOp,
    pub(crate) scalar: Scalar,
}

/// Something to do with the operation of a fold once its type is known.
trait Visit {
    fn visit<A: Lane>(self, f: impl Fn(A, A) -> A);
}

impl Fold {
    #[inline(always)]
    fn visit(self, visitor: impl Visit) {
        match (self.scalar, self.op) {
            (Scalar::F32, ReduceOp::Sum) => visitor.visit(|a: f32, b: f32| a + b),
            (Scalar::F32, ReduceOp::Prod) => visitor.visit(|a: f32, b: f32| a * b),
            (Scalar::F32, ReduceOp::Max) => visitor.visit(math::max),
            (Scalar::F32, ReduceOp::Min) => visitor.visit(math::min),
            (Scalar::Bool, ReduceOp::Sum | ReduceOp::Max) => visitor.visit(|a: u32, b: u32| a | b),
            (Scalar::Bool, ReduceOp::Prod | ReduceOp::Min) => visitor.visit(|a: u32, b: u32| a & b),
            (_, ReduceOp::Sum) => visitor.visit(u32::wrapping_add),
            (_, ReduceOp::Prod) => visitor.visit(u32::wrapping_mul),
            (Scalar::I32, ReduceOp::Max) => visitor.visit(|a: i32, b: i32| a.max(b)),
            (Scalar::I32, ReduceOp::Min) => visitor.visit(|a: i32, b: i32| a.min(b)),
            (_, ReduceOp::Max) => visitor.visit(|a: u32, b: u32| a.max(b)),
            (_, ReduceOp::Min) => visitor.visit(|a: u32, b: u32| a.min(b)),
        }
    }
}

struct Accumulate<'a> {
    target: &'a mut [u32],
    other: &'a [u32],
}

impl Visit for Accumulate<'_> {
    #[inline(always)]
    fn visit<A: Lane>(self, f: impl Fn(A, A) -> A) {
        for (target, other) in self.target.iter_mut().zip(self.other) {
            *target = f(A::of(*target), A::of(*other)).bits();
        }
    }
}

#[inline(always)]
fn accumulate_body(fold: Fold, target: &mut [u32], other: &[u32]) {
    fold.visit(Accumulate { target, other });
}

multiversion! {
    /// `target = target op other`, lane by lane.
    fn accumulate(fold: Fold, target: &mut [u32], other: &[u32]) = accumulate_body
}

struct Rows<'a> {
    identity: u32,
    values: &'a [u32],
    length: usize,
    results: &'a mut [u32],
}

/// Lanes that a fold of many, and of few values keeps side by side.
const WIDE: usize = 64;
const NARROW: usize = 16;
/// Values that fold one after the other, in all lanes together, before they fold with those of the next part.
const PART: usize = 16 * WIDE;

#[inline(always)]
fn fold_lanes<A: Lane, const LANES: usize>(
    sums: &mut [A; LANES],
    values: &[u32; LANES],
    f: &impl Fn(A, A) -> A,
) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum = f(*sum, A::of(*value));
    }
}

#[inline(always)]
fn fold_row<A: Lane, const LANES: usize>(identity: u32, values: &[u32], f: &impl Fn(A, A) -> A) -> u32 {
    let mut total = [A::of(identity); LANES];
    for part in values.chunks(PART) {
        let mut sums = [A::of(identity); LANES];
        let (blocks, rest) = part.as_chunks::<LANES>();
        for block in blocks {
            fold_lanes(&mut sums, block, f);
        }
        if !rest.is_empty() {
            let mut padded = [identity; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            fold_lanes(&mut sums, &padded, f);
        }
        for (total, sum) in total.iter_mut().zip(sums) {
            *total = f(*total, sum);
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            total[i] = f(total[i], total[i + width]);
        }
    }
    total[0].bits()
}

// Loops, not `for_each`: its closure would be compiled for the instruction set of the program.
impl Visit for Rows<'_> {
    #[inline(always)]
    fn visit<A: Lane>(self, f: impl Fn(A, A) -> A) {
        let rows = self.results.iter_mut().zip(self.values.chunks_exact(self.length));
        if self.length < 4 * WIDE {
            for (result, row) in rows {
                *result = fold_row::<A, NARROW>(self.identity, row, &f);
            }
        } else {
            for (result, row) in rows {
                *result = fold_row::<A, WIDE>(self.identity, row, &f);
            }
        }
    }
}

#[inline(always)]
fn rows_body(fold: Fold, identity: u32, values: &[u32], length: usize, results: &mut [u32]) {
    fold.visit(Rows { identity, values, length, results });
}

multiversion! {
    /// Folds every `length` lanes into one result, starting from the operation's identity.
    fn rows(fold: Fold, identity: u32, values: &[u32], length: usize, results: &mut [u32]) = rows_body
}

struct Columns<'a> {
    values: &'a [u32],
    width: usize,
    target: &'a mut [u32],
}

impl Visit for Columns<'_> {
    #[inline(always)]
    fn visit<A: Lane>(self, f: impl Fn(A, A) -> A) {
        let half = self.values.len() / self.width / 2 * self.width;
        let mut left = self.values.len() - half;
        let (low, high) = self.values.split_at(left);
        for ((target, low), high) in self.target.iter_mut().zip(low).zip(high) {
            *target = f(A::of(*low), A::of(*high)).bits();
        }
        self.target[half..left].copy_from_slice(&low[half..]);
        while left > self.width {
            let half = left / self.width / 2 * self.width;
            left -= half;
            let (low, high) = self.target.split_at_mut(left);
            for (low, high) in low.iter_mut().zip(&high[..half]) {
                *low = f(A::of(*low), A::of(*high)).bits();
            }
        }
    }
}

#[inline(always)]
fn columns_body(fold: Fold, values: &[u32], width: usize, target: &mut [u32]) {
    fold.visit(Columns { values, width, target });
}

multiversion! {
    /// Folds rows of `width` lanes into the first `width` lanes of `target`, halving their number until one is left.
    /// `target` must hold half of the rows, rounded up.
    fn columns(fold: Fold, values: &[u32], width: usize, target: &mut [u32]) = columns_body
}
