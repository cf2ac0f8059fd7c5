//! Instructions over blocks of lanes: loops that the compiler vectorises, for each instruction set.
//!
//! A lane holds 32 bits: an `f32`, `i32`, `u32`, or 0 or 1 for a `bool`.

use crate::cpu::block::WIDE;
use crate::cpu::isa::multiversion;
use crate::dtype::{DType, Scalar};
use crate::math;
use crate::op::{BinaryOp, CompareOp, UnaryOp};

/// What an instruction computes from its operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Unary(UnaryOp, Scalar),
    Binary(BinaryOp, Scalar),
    Compare(CompareOp, Scalar),
    Select,
    Cast(Scalar, Scalar),
    Round(DType),
    Random,
}

/// An operand: one value per lane, or one for all.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Lanes(&'a [u32]),
    Splat(u32),
}

/// A type that a lane may hold.
pub(crate) trait Lane: Copy {
    fn of(bits: u32) -> Self;
    fn bits(self) -> u32;
}

macro_rules! lane {
    ($type:ty, $of:expr, $bits:expr) => {
        impl Lane for $type {
            #[inline(always)]
            fn of(bits: u32) -> Self {
                ($of)(bits)
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                ($bits)(self)
            }
        }
    };
}
lane!(f32, f32::from_bits, f32::to_bits);
lane!(i32, |b| b as i32, |v| v as u32);
lane!(u32, |b| b, |v| v);
lane!(bool, |b| b != 0, u32::from);

#[inline(always)]
fn map<A: Lane, R: Lane>(a: Source, out: &mut [u32], f: impl Fn(A) -> R) {
    match a {
        Source::Lanes(a) => {
            for (out, a) in out.iter_mut().zip(a) {
                *out = f(A::of(*a)).bits();
            }
        }
        Source::Splat(a) => out.fill(f(A::of(a)).bits()),
    }
}

#[inline(always)]
fn zip<A: Lane, R: Lane>(a: Source, b: Source, out: &mut [u32], f: impl Fn(A, A) -> R) {
    match (a, b) {
        (Source::Lanes(a), Source::Lanes(b)) => {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = f(A::of(*a), A::of(*b)).bits();
            }
        }
        (Source::Lanes(a), Source::Splat(b)) => {
            let b = A::of(b);
            for (out, a) in out.iter_mut().zip(a) {
                *out = f(A::of(*a), b).bits();
            }
        }
        (Source::Splat(a), Source::Lanes(b)) => {
            let a = A::of(a);
            for (out, b) in out.iter_mut().zip(b) {
                *out = f(a, A::of(*b)).bits();
            }
        }
        (Source::Splat(a), Source::Splat(b)) => out.fill(f(A::of(a), A::of(b)).bits()),
    }
}

#[inline(always)]
fn unary_f32<const FUSED: bool>(op: UnaryOp, a: Source, out: &mut [u32]) {
    match op {
        UnaryOp::Neg => map(a, out, |x: f32| -x),
        UnaryOp::Abs => map(a, out, f32::abs),
        UnaryOp::Sign => map(a, out, math::sign),
        UnaryOp::Exp => map(a, out, math::exp::<FUSED>),
        UnaryOp::Expm1 => map(a, out, math::expm1::<FUSED>),
        UnaryOp::Log => map(a, out, math::log::<FUSED>),
        UnaryOp::Log1p => map(a, out, math::log1p::<FUSED>),
        UnaryOp::Sqrt => map(a, out, math::sqrt),
        UnaryOp::Rsqrt => map(a, out, math::rsqrt),
        UnaryOp::Sin => map(a, out, math::sin::<FUSED>),
        UnaryOp::Cos => map(a, out, math::cos::<FUSED>),
        UnaryOp::Tanh => map(a, out, math::tanh::<FUSED>),
        UnaryOp::Atan => map(a, out, math::atan::<FUSED>),
        UnaryOp::Erf => map(a, out, math::erf::<FUSED>),
        UnaryOp::Sigmoid => map(a, out, math::sigmoid::<FUSED>),
        UnaryOp::Floor => map(a, out, f32::floor),
        UnaryOp::Ceil => map(a, out, f32::ceil),
        UnaryOp::Round => map(a, out, math::round),
        UnaryOp::Trunc => map(a, out, f32::trunc),
        UnaryOp::IsNan => map(a, out, math::is_nan),
        UnaryOp::Not => unreachable!("verified: not on floats"),
    }
}

#[inline(always)]
fn unary<const FUSED: bool>(op: UnaryOp, scalar: Scalar, a: Source, out: &mut [u32]) {
    match (scalar, op) {
        (Scalar::F32, _) => unary_f32::<FUSED>(op, a, out),
        (Scalar::Bool, _) => map(a, out, |x: bool| !x),
        (_, UnaryOp::Not) => map(a, out, |x: u32| !x),
        (_, UnaryOp::Neg) => map(a, out, u32::wrapping_neg),
        (Scalar::I32, UnaryOp::Abs) => map(a, out, i32::wrapping_abs),
        (Scalar::I32, _) => map(a, out, math::sign_i32),
        (Scalar::U32, UnaryOp::Sign) => map(a, out, |x: u32| x.min(1)),
        (Scalar::U32, _) => map(a, out, |x: u32| x),
        (Scalar::F64 | Scalar::I64, _) => unreachable!("{WIDE}"),
    }
}

#[inline(always)]
fn binary_f32<const FUSED: bool>(op: BinaryOp, a: Source, b: Source, out: &mut [u32]) {
    match op {
        BinaryOp::Add => zip(a, b, out, |a: f32, b| a + b),
        BinaryOp::Sub => zip(a, b, out, |a: f32, b| a - b),
        BinaryOp::Mul => zip(a, b, out, |a: f32, b| a * b),
        BinaryOp::Div => zip(a, b, out, |a: f32, b| a / b),
        BinaryOp::Rem => zip(a, b, out, math::rem),
        BinaryOp::Pow => zip(a, b, out, math::pow::<FUSED>),
        BinaryOp::Max => zip(a, b, out, math::max),
        BinaryOp::Min => zip(a, b, out, math::min),
        BinaryOp::Atan2 => zip(a, b, out, math::atan2::<FUSED>),
        _ => unreachable!("verified: bit operations take no floats"),
    }
}

#[inline(always)]
fn binary_integer(op: BinaryOp, signed: bool, a: Source, b: Source, out: &mut [u32]) {
    match (op, signed) {
        (BinaryOp::Add, _) => zip(a, b, out, u32::wrapping_add),
        (BinaryOp::Sub, _) => zip(a, b, out, u32::wrapping_sub),
        (BinaryOp::Mul, _) => zip(a, b, out, u32::wrapping_mul),
        (BinaryOp::And, _) => zip(a, b, out, |a: u32, b| a & b),
        (BinaryOp::Or, _) => zip(a, b, out, |a: u32, b| a | b),
        (BinaryOp::Xor, _) => zip(a, b, out, |a: u32, b| a ^ b),
        (BinaryOp::Shl, _) => zip(a, b, out, math::shl_u32),
        (BinaryOp::Div, true) => zip(a, b, out, math::div_i32),
        (BinaryOp::Rem, true) => zip(a, b, out, math::rem_i32),
        (BinaryOp::Pow, true) => zip(a, b, out, math::pow_i32),
        (BinaryOp::Max, true) => zip(a, b, out, |a: i32, b| a.max(b)),
        (BinaryOp::Min, true) => zip(a, b, out, |a: i32, b| a.min(b)),
        (BinaryOp::Shr, true) => zip(a, b, out, math::shr_i32),
        (BinaryOp::Div, false) => zip(a, b, out, math::div_u32),
        (BinaryOp::Rem, false) => zip(a, b, out, math::rem_u32),
        (BinaryOp::Pow, false) => zip(a, b, out, math::pow_u32),
        (BinaryOp::Max, false) => zip(a, b, out, |a: u32, b| a.max(b)),
        (BinaryOp::Min, false) => zip(a, b, out, |a: u32, b| a.min(b)),
        (BinaryOp::Shr, false) => zip(a, b, out, math::shr_u32),
        (BinaryOp::Atan2, _) => unreachable!("verified: atan2 takes floats"),
    }
}

#[inline(always)]
fn binary<const FUSED: bool>(op: BinaryOp, scalar: Scalar, a: Source, b: Source, out: &mut [u32]) {
    match scalar {
        Scalar::F32 => binary_f32::<FUSED>(op, a, b, out),
        Scalar::I32 => binary_integer(op, true, a, b, out),
        Scalar::U32 | Scalar::Bool => binary_integer(op, false, a, b, out),
        Scalar::F64 | Scalar::I64 => unreachable!("{WIDE}"),
    }
}

#[inline(always)]
fn compare_as<A: Lane + PartialOrd>(op: CompareOp, a: Source, b: Source, out: &mut [u32]) {
    match op {
        CompareOp::Eq => zip(a, b, out, |a: A, b| a == b),
        CompareOp::Ne => zip(a, b, out, |a: A, b| a != b),
        CompareOp::Lt => zip(a, b, out, |a: A, b| a < b),
        CompareOp::Le => zip(a, b, out, |a: A, b| a <= b),
        CompareOp::Gt => zip(a, b, out, |a: A, b| a > b),
        CompareOp::Ge => zip(a, b, out, |a: A, b| a >= b),
    }
}

#[inline(always)]
fn compare(op: CompareOp, scalar: Scalar, a: Source, b: Source, out: &mut [u32]) {
    match scalar {
        Scalar::F32 => compare_as::<f32>(op, a, b, out),
        Scalar::I32 => compare_as::<i32>(op, a, b, out),
        Scalar::U32 | Scalar::Bool => compare_as::<u32>(op, a, b, out),
        Scalar::F64 | Scalar::I64 => unreachable!("{WIDE}"),
    }
}

#[inline(always)]
fn choose(condition: Source, a: Source, b: Source, out: &mut [u32]) {
    let Source::Lanes(condition) = condition else {
        let Source::Splat(bits) = condition else { return };
        return map(if bits != 0 { a } else { b }, out, |x: u32| x);
    };
    let pick = |c: u32, a: u32, b: u32| if c != 0 { a } else { b };
    match (a, b) {
        (Source::Lanes(a), Source::Lanes(b)) => {
            for (((out, c), a), b) in out.iter_mut().zip(condition).zip(a).zip(b) {
                *out = pick(*c, *a, *b);
            }
        }
        (Source::Lanes(a), Source::Splat(b)) => {
            for ((out, c), a) in out.iter_mut().zip(condition).zip(a) {
                *out = pick(*c, *a, b);
            }
        }
        (Source::Splat(a), Source::Lanes(b)) => {
            for ((out, c), b) in out.iter_mut().zip(condition).zip(b) {
                *out = pick(*c, a, *b);
            }
        }
        (Source::Splat(a), Source::Splat(b)) => {
            for (out, c) in out.iter_mut().zip(condition) {
                *out = pick(*c, a, b);
            }
        }
    }
}

#[inline(always)]
fn cast(from: Scalar, to: Scalar, a: Source, out: &mut [u32]) {
    match (from, to) {
        (Scalar::F32, Scalar::I32) => map(a, out, |x: f32| x as i32),
        (Scalar::F32, Scalar::U32) => map(a, out, |x: f32| x as u32),
        (Scalar::F32, Scalar::Bool) => map(a, out, |x: f32| x != 0.0),
        (Scalar::I32, Scalar::F32) => map(a, out, |x: i32| x as f32),
        (Scalar::U32 | Scalar::Bool, Scalar::F32) => map(a, out, |x: u32| x as f32),
        (Scalar::I32 | Scalar::U32, Scalar::Bool) => map(a, out, |x: u32| x != 0),
        _ => map(a, out, |x: u32| x),
    }
}

#[inline(always)]
fn random(key: [Source; 2], counter: Source, out: &mut [u32]) {
    if let (Source::Splat(first), Source::Splat(second), Source::Lanes(counter)) = (key[0], key[1], counter) {
        for (out, counter) in out.iter_mut().zip(counter) {
            *out = math::threefry2x32([first, second], [*counter, 0])[0];
        }
        return;
    }
    let at = |source: Source, i: usize| match source {
        Source::Lanes(lanes) => lanes[i],
        Source::Splat(bits) => bits,
    };
    for (i, out) in out.iter_mut().enumerate() {
        *out = math::threefry2x32([at(key[0], i), at(key[1], i)], [at(counter, i), 0])[0];
    }
}

#[inline(always)]
fn compute_body<const FUSED: bool>(kind: Kind, args: [Source; 3], out: &mut [u32]) {
    let [a, b, c] = args;
    match kind {
        Kind::Unary(op, scalar) => unary::<FUSED>(op, scalar, a, out),
        Kind::Binary(op, scalar) => binary::<FUSED>(op, scalar, a, b, out),
        Kind::Compare(op, scalar) => compare(op, scalar, a, b, out),
        Kind::Select => choose(a, b, c, out),
        Kind::Cast(from, to) => cast(from, to, a, out),
        Kind::Round(DType::F16) => map(a, out, |x: f32| half::f16::from_f32(x).to_f32()),
        Kind::Round(DType::BF16) => map(a, out, |x: f32| half::bf16::from_f32(x).to_f32()),
        Kind::Round(_) => map(a, out, |x: u32| x),
        Kind::Random => random([a, b], c, out),
    }
}

multiversion! {
    /// Executes one instruction over `out.len()` lanes.
    fn compute(kind: Kind, args: [Source<'_>; 3], out: &mut [u32]) = compute_body<FUSED>
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::fold::{self, Fold};
    use crate::cpu::isa::Isa;
    use crate::op::ReduceOp;

    /// Half of the numbers are of ordinary size, the others are any bit pattern.
    fn numbers(key: u32) -> Vec<u32> {
        let ordinary = |bits: u32| {
            if bits & 1 == 0 { ((bits >> 8) as f32 / 1e6 - 8.0).to_bits() } else { bits }
        };
        bits(key).into_iter().map(ordinary).collect()
    }

    fn bits(key: u32) -> Vec<u32> {
        (0..777).map(|i| math::threefry2x32([key, 1], [i, 0])[0]).collect()
    }

    /// How many floats lie between two, at most: all NaN are one.
    fn distance(a: u32, b: u32) -> u64 {
        let place = |bits: u32| {
            let x = f32::from_bits(bits);
            let magnitude = i64::from(bits & 0x7fff_ffff);
            if x.is_nan() {
                i64::from(u32::MAX)
            } else if bits >> 31 == 1 {
                -magnitude
            } else {
                magnitude
            }
        };
        place(a).abs_diff(place(b))
    }

    /// Last places by which a fused multiply-add may change a result.
    fn places(kind: Kind) -> u64 {
        use UnaryOp::{Atan, Cos, Erf, Exp, Expm1, Log, Log1p, Sigmoid, Sin, Tanh};
        match kind {
            Kind::Unary(Exp | Expm1 | Log | Log1p | Sigmoid | Tanh | Atan | Erf, Scalar::F32) => 6,
            Kind::Unary(Sin | Cos, Scalar::F32) => u64::MAX,
            Kind::Binary(BinaryOp::Pow | BinaryOp::Atan2, Scalar::F32) => 8,
            _ => 0,
        }
    }

    #[test]
    fn instruction_sets_differ_by_fused_multiply_adds_alone() {
        let mut kinds: Vec<(Kind, Scalar)> =
            vec![(Kind::Round(DType::F16), Scalar::F32), (Kind::Random, Scalar::U32)];
        for scalar in [Scalar::F32, Scalar::I32, Scalar::U32] {
            let unary = UnaryOp::ALL.iter().filter(|op| op.result(scalar).is_some());
            kinds.extend(unary.map(|op| (Kind::Unary(*op, scalar), scalar)));
            let binary = BinaryOp::ALL.iter().filter(|op| op.accepts(scalar));
            kinds.extend(binary.map(|op| (Kind::Binary(*op, scalar), scalar)));
        }
        for (kind, scalar) in kinds {
            let data = if scalar == Scalar::F32 { [numbers(1), numbers(2)] } else { [bits(1), bits(2)] };
            let args = [Source::Lanes(&data[0]), Source::Lanes(&data[1]), Source::Splat(5)];
            let on = |isa: Isa| {
                let mut out = vec![0; data[0].len()];
                compute(isa, kind, args, &mut out);
                out
            };
            let first = on(Isa::Baseline);
            let others: Vec<Vec<u32>> = Isa::runnable().into_iter().skip(1).map(on).collect();
            for other in &others {
                let worst = first.iter().zip(other).map(|(a, b)| distance(*a, *b)).max();
                assert!(worst <= Some(places(kind)), "{kind:?}: {worst:?} places between instruction sets");
                let same = others[0].iter().zip(other).all(|(a, b)| distance(*a, *b) == 0);
                assert!(same, "{kind:?} depends on the width of vectors");
            }
        }
    }

    #[test]
    fn folds_give_the_same_bits_on_every_instruction_set() {
        let data = numbers(1);
        for op in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min] {
            let fold = Fold { op, scalar: Scalar::F32 };
            let on = |isa: Isa| {
                let (mut rows, mut columns) = (vec![0; 3], vec![0; 4 * 111]);
                fold::rows(isa, fold, op.identity(Scalar::F32).word(), &data, data.len() / 3, &mut rows);
                fold::columns(isa, fold, &data, 111, &mut columns);
                [rows, columns[..111].to_vec()].concat()
            };
            let first = on(Isa::Baseline);
            for isa in Isa::runnable() {
                assert!(first.iter().zip(on(isa)).all(|(a, b)| distance(*a, b) == 0), "{op:?} on {isa:?}");
            }
        }
    }
}
