//! Folds of lanes of either width, in orders that follow from their number alone.

use crate::cpu::fold::{self, Fold};
use crate::cpu::isa::{Isa, multiversion};
use crate::cpu::wide::lanes::Lanes;
use crate::dtype::Scalar;
use crate::math;
use crate::op::ReduceOp;

#[inline(always)]
fn accumulate_body(fold: Fold, target: &mut [u64], other: &[u64]) {
    macro_rules! each {
        ($($op:ident)*) => {
            match (fold.scalar, fold.op) {
                $((Scalar::F64, ReduceOp::$op) => {
                    for (target, other) in target.iter_mut().zip(other) {
                        let (a, b) = (f64::from_bits(*target), f64::from_bits(*other));
                        *target = math::binary_double(ReduceOp::$op.combine(), a, b).to_bits();
                    }
                })*
                $((_, ReduceOp::$op) => {
                    for (target, other) in target.iter_mut().zip(other) {
                        *target = math::binary_i64(ReduceOp::$op.combine(), *target as i64, *other as i64) as u64;
                    }
                })*
            }
        };
    }
    each!(Sum Prod Max Min)
}

multiversion! {
    /// `target = target op other`, lane by lane.
    fn accumulate_words(fold: Fold, target: &mut [u64], other: &[u64]) = accumulate_body
}

/// `target = target op other`, lane by lane.
pub(crate) fn accumulate(isa: Isa, fold: Fold, target: &mut Lanes, other: &Lanes) {
    match (target, other) {
        (Lanes::Narrow(target), Lanes::Narrow(other)) => fold::accumulate(isa, fold, target, other),
        (Lanes::Wide(target), Lanes::Wide(other)) => accumulate_words(isa, fold, target, other),
        _ => unreachable!("a fold has one type"),
    }
}

/// Folds all lanes, of which there is at least one, into one: halves on halves.
pub(crate) fn collapse(isa: Isa, fold: Fold, mut lanes: Lanes) -> Lanes {
    match &mut lanes {
        Lanes::Narrow(lanes) => {
            let identity = fold.op.identity(fold.scalar).word();
            let mut result = [identity];
            fold::rows(isa, fold, identity, lanes, lanes.len(), &mut result);
            lanes[0] = result[0];
        }
        Lanes::Wide(lanes) => {
            let mut left = lanes.len();
            while left > 1 {
                let half = left / 2;
                let (low, high) = lanes[..left].split_at_mut(left - half);
                accumulate_words(isa, fold, &mut low[..half], high);
                left -= half;
            }
        }
    }
    lanes.resize(1);
    lanes
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
            accumulate(isa, fold, &mut lower, &lanes);
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
            accumulate(isa, fold, &mut lower, &result);
            result = lower;
        }
        result
    }
}
