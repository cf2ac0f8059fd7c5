//! Folds of lanes of either width, in orders that follow from their number alone.

use crate::cpu::fold::{self, Fold};
use crate::cpu::isa::{Isa, multiversion};
use crate::cpu::lanes::Source;
use crate::cpu::wide::lanes::{Lanes, Long, View};
use crate::dtype::Scalar;
use crate::math;
use crate::op::ReduceOp;

/// Calls a function with what a fold does to two 64-bit registers, as a function that is always inlined.
macro_rules! visit {
    ($fold:expr, |$combine:ident| $call:expr) => {
        visit!($fold, |$combine| $call, Sum Prod Max Min)
    };
    ($fold:expr, |$combine:ident| $call:expr, $($op:ident)*) => {
        match ($fold.scalar, $fold.op) {
            $((Scalar::F64, ReduceOp::$op) => {
                #[inline(always)]
                fn $combine(a: u64, b: u64) -> u64 {
                    math::binary_double(ReduceOp::$op.combine(), f64::from_bits(a), f64::from_bits(b)).to_bits()
                }
                $call
            })*
            $((_, ReduceOp::$op) => {
                #[inline(always)]
                fn $combine(a: u64, b: u64) -> u64 {
                    math::binary_i64(ReduceOp::$op.combine(), a as i64, b as i64) as u64
                }
                $call
            })*
        }
    };
}

#[inline(always)]
fn fold_lanes(target: &mut [u64], other: &[u64], combine: impl Fn(u64, u64) -> u64) {
    for (target, other) in target.iter_mut().zip(other) {
        *target = combine(*target, *other);
    }
}

#[inline(always)]
fn accumulate_body(fold: Fold, target: &mut [u64], other: &[u64]) {
    visit!(fold, |combine| fold_lanes(target, other, combine))
}

multiversion! {
    /// `target = target op other`, lane by lane.
    fn accumulate_words(fold: Fold, target: &mut [u64], other: &[u64]) = accumulate_body
}

/// `target = target op other`, lane by lane.
pub(crate) fn accumulate(isa: Isa, fold: Fold, target: &mut Lanes, other: View) {
    match (target, other) {
        (Lanes::Narrow(target), View::Narrow(Source::Lanes(other))) => {
            fold::accumulate(isa, fold, target, other);
        }
        (Lanes::Wide(target), View::Wide(Long::Lanes(other))) => accumulate_words(isa, fold, target, other),
        (target, other) => {
            let count = target.len();
            accumulate(isa, fold, target, other.to_lanes(count).view(false));
        }
    }
}

/// Lanes that a fold of a block keeps side by side.
const SIDE: usize = 32;

/// The lanes of a block in one: as many as are kept side by side one after the other, then halves on halves.
#[inline(always)]
fn fold_block(identity: u64, lanes: &[u64], combine: impl Fn(u64, u64) -> u64) -> u64 {
    let mut sums = [identity; SIDE];
    let (parts, rest) = lanes.as_chunks::<SIDE>();
    for part in parts {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum = combine(*sum, *value);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = combine(*sum, *value);
    }
    let mut width = SIDE;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] = combine(sums[i], sums[i + width]);
        }
    }
    sums[0]
}

#[inline(always)]
fn collapse_body(fold: Fold, identity: u64, lanes: &[u64], result: &mut u64) {
    visit!(fold, |combine| *result = fold_block(identity, lanes, combine))
}

multiversion! {
    /// Folds the lanes of a block into one.
    fn collapse_words(fold: Fold, identity: u64, lanes: &[u64], result: &mut u64) = collapse_body
}

/// Folds `count` lanes, at least one, into one.
pub(crate) fn collapse(isa: Isa, fold: Fold, lanes: View, count: usize) -> u64 {
    match lanes {
        View::Narrow(Source::Lanes(lanes)) => {
            let identity = fold.op.identity(fold.scalar).word();
            let mut result = [identity];
            fold::rows(isa, fold, identity, lanes, count, &mut result);
            u64::from(result[0])
        }
        View::Wide(Long::Lanes(lanes)) => {
            let identity = fold.op.identity(fold.scalar).bits();
            let mut result = identity;
            collapse_words(isa, fold, identity, lanes, &mut result);
            result
        }
        splat => collapse(isa, fold, splat.to_lanes(count).view(false), count),
    }
}

/// Folds the results of blocks into one, `width` at a time; the identity where there are none.
pub(crate) fn finish(isa: Isa, fold: Fold, blocks: &mut Lanes, width: usize) {
    if blocks.len() == 0 {
        blocks.push(fold.op.identity(fold.scalar).bits());
    }
    while blocks.len() > 1 {
        let count = blocks.len().div_ceil(width);
        for i in 0..count {
            let range = i * width..((i + 1) * width).min(blocks.len());
            let result = collapse(isa, fold, blocks.part(range.clone()), range.len());
            blocks.put(i, result);
        }
        blocks.resize(count);
    }
}

/// Partial results that fold in pairs of equal weight: the error grows with the logarithm of their number.
#[derive(Debug, Default)]
pub(crate) struct Cascade {
    levels: Vec<(usize, Lanes)>,
}

impl Cascade {
    /// Adds a partial result.
    pub(crate) fn push(&mut self, isa: Isa, fold: Fold, lanes: Lanes) {
        let (mut weight, mut lanes) = (1, lanes);
        while let Some((_, mut lower)) = self.levels.pop_if(|level| level.0 == weight) {
            accumulate(isa, fold, &mut lower, lanes.view(false));
            lanes = lower;
            weight *= 2;
        }
        self.levels.push((weight, lanes));
    }

    /// All of them together; `count` lanes of the identity where there are none.
    pub(crate) fn finish(mut self, isa: Isa, fold: Fold, count: usize) -> Lanes {
        let Some((_, mut result)) = self.levels.pop() else {
            return Lanes::filled(fold.scalar, fold.op.identity(fold.scalar).bits(), count);
        };
        while let Some((_, mut lower)) = self.levels.pop() {
            accumulate(isa, fold, &mut lower, result.view(false));
            result = lower;
        }
        result
    }
}
