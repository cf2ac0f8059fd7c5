//! Instructions over blocks of lanes of 64 bits; those of 32 bits go to the fast path's.

use std::ops::Range;

use crate::cpu::isa::{Isa, multiversion};
use crate::cpu::lanes::{self, Kind, Source};
use crate::dtype::{DType, Scalar, nearest_bf16, nearest_f16};
use crate::math;
use crate::op::{BinaryOp, CompareOp, UnaryOp};

/// The lanes of one register, as wide as its type.
#[derive(Clone, Debug)]
pub(crate) enum Lanes {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

/// A 64-bit operand: one value per lane, or one for all.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Long<'a> {
    Lanes(&'a [u64]),
    Splat(u64),
}

/// An operand of either width.
#[derive(Clone, Copy)]
pub(crate) enum View<'a> {
    Narrow(Source<'a>),
    Wide(Long<'a>),
}

impl Lanes {
    /// No lanes of a type.
    pub(crate) fn of(scalar: Scalar) -> Lanes {
        if scalar.is_wide() { Lanes::Wide(Vec::new()) } else { Lanes::Narrow(Vec::new()) }
    }

    /// Exactly `count` lanes of some bits.
    pub(crate) fn filled(scalar: Scalar, bits: u64, count: usize) -> Lanes {
        if scalar.is_wide() {
            Lanes::Wide(vec![bits; count])
        } else {
            Lanes::Narrow(vec![bits as u32; count])
        }
    }

    /// Makes room for `count` lanes, whose values are to be written.
    pub(crate) fn resize(&mut self, count: usize) {
        match self {
            Lanes::Narrow(lanes) => lanes.resize(count, 0),
            Lanes::Wide(lanes) => lanes.resize(count, 0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Lanes::Narrow(lanes) => lanes.len(),
            Lanes::Wide(lanes) => lanes.len(),
        }
    }

    /// One more lane.
    pub(crate) fn push(&mut self, bits: u64) {
        match self {
            Lanes::Narrow(lanes) => lanes.push(bits as u32),
            Lanes::Wide(lanes) => lanes.push(bits),
        }
    }

    /// Sets one lane.
    pub(crate) fn put(&mut self, lane: usize, bits: u64) {
        match self {
            Lanes::Narrow(lanes) => lanes[lane] = bits as u32,
            Lanes::Wide(lanes) => lanes[lane] = bits,
        }
    }

    /// Some of the lanes as an operand.
    pub(crate) fn part(&self, range: Range<usize>) -> View<'_> {
        match self {
            Lanes::Narrow(lanes) => View::Narrow(Source::Lanes(&lanes[range])),
            Lanes::Wide(lanes) => View::Wide(Long::Lanes(&lanes[range])),
        }
    }

    /// The lanes as an operand; the first one for all where the register is `uniform`.
    pub(crate) fn view(&self, uniform: bool) -> View<'_> {
        match self {
            Lanes::Narrow(lanes) if uniform => View::Narrow(Source::Splat(lanes[0])),
            Lanes::Narrow(lanes) => View::Narrow(Source::Lanes(lanes)),
            Lanes::Wide(lanes) if uniform => View::Wide(Long::Splat(lanes[0])),
            Lanes::Wide(lanes) => View::Wide(Long::Lanes(lanes)),
        }
    }
}

impl View<'_> {
    /// The bits of one lane.
    pub(crate) fn bits(&self, lane: usize) -> u64 {
        match self {
            View::Narrow(Source::Lanes(lanes)) => u64::from(lanes[lane]),
            View::Narrow(Source::Splat(bits)) => u64::from(*bits),
            View::Wide(Long::Lanes(lanes)) => lanes[lane],
            View::Wide(Long::Splat(bits)) => *bits,
        }
    }

    /// `count` lanes of their own.
    pub(crate) fn to_lanes(self, count: usize) -> Lanes {
        match self {
            View::Narrow(Source::Lanes(lanes)) => Lanes::Narrow(lanes[..count].to_vec()),
            View::Narrow(Source::Splat(bits)) => Lanes::Narrow(vec![bits; count]),
            View::Wide(Long::Lanes(lanes)) => Lanes::Wide(lanes[..count].to_vec()),
            View::Wide(Long::Splat(bits)) => Lanes::Wide(vec![bits; count]),
        }
    }

    fn narrow(&self) -> Source<'_> {
        match self {
            View::Narrow(source) => *source,
            View::Wide(_) => unreachable!("verified: the operand has 32 bits"),
        }
    }

    fn wide(&self) -> Long<'_> {
        match self {
            View::Wide(source) => *source,
            View::Narrow(_) => unreachable!("verified: the operand has 64 bits"),
        }
    }
}

/// Executes one instruction over as many lanes as `out` has. Operands that it lacks are any view.
pub(crate) fn compute(isa: Isa, kind: Kind, args: [View; 3], out: &mut Lanes) {
    let [a, b, c] = &args;
    match (kind, out) {
        (Kind::Select, Lanes::Wide(out)) => choose(isa, a.narrow(), [b.wide(), c.wide()], out),
        (Kind::Cast(from, to), Lanes::Wide(out)) if !from.is_wide() => widen(isa, from, to, a.narrow(), out),
        (kind, Lanes::Wide(out)) => arithmetic(isa, kind, a.wide(), pair(a, b), out),
        (Kind::Cast(from, to), Lanes::Narrow(out)) if from.is_wide() => {
            narrowed(isa, from, to, a.wide(), out)
        }
        (Kind::Compare(op, scalar), Lanes::Narrow(out)) if scalar.is_wide() => {
            compare(isa, op, scalar, a.wide(), b.wide(), out)
        }
        (Kind::Unary(UnaryOp::IsNan, Scalar::F64), Lanes::Narrow(out)) => {
            compare(isa, CompareOp::Ne, Scalar::F64, a.wide(), a.wide(), out)
        }
        (kind, Lanes::Narrow(out)) => lanes::compute(isa, kind, [a.narrow(), b.narrow(), c.narrow()], out),
    }
}

/// The second operand, or the first where there is none of 64 bits.
fn pair<'a>(a: &'a View, b: &'a View) -> Long<'a> {
    match b {
        View::Wide(b) => *b,
        View::Narrow(_) => a.wide(),
    }
}

#[inline(always)]
fn map<R: Copy>(a: Long, out: &mut [R], f: impl Fn(u64) -> R) {
    match a {
        Long::Lanes(a) => {
            for (out, a) in out.iter_mut().zip(a) {
                *out = f(*a);
            }
        }
        Long::Splat(a) => out.fill(f(a)),
    }
}

#[inline(always)]
fn zip<R: Copy>(a: Long, b: Long, out: &mut [R], f: impl Fn(u64, u64) -> R) {
    match (a, b) {
        (Long::Lanes(a), Long::Lanes(b)) => {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = f(*a, *b);
            }
        }
        (Long::Lanes(a), Long::Splat(b)) => {
            for (out, a) in out.iter_mut().zip(a) {
                *out = f(*a, b);
            }
        }
        (Long::Splat(a), Long::Lanes(b)) => {
            for (out, b) in out.iter_mut().zip(b) {
                *out = f(a, *b);
            }
        }
        (Long::Splat(a), Long::Splat(b)) => out.fill(f(a, b)),
    }
}

// The bodies of the loops are functions that are always inlined: a closure that several loops share would be compiled
// once, for the instruction set of the program.

#[inline(always)]
fn doubles(op: BinaryOp, a: Long, b: Long, out: &mut [u64]) {
    macro_rules! each {
        ($($op:ident)*) => {
            match op {
                $(BinaryOp::$op => {
                    #[inline(always)]
                    fn apply(a: u64, b: u64) -> u64 {
                        math::binary_double(BinaryOp::$op, f64::from_bits(a), f64::from_bits(b)).to_bits()
                    }
                    zip(a, b, out, apply)
                })*
                _ => unreachable!("verified: {} takes no floats", op.name()),
            }
        };
    }
    each!(Add Sub Mul Div Rem Pow Max Min Atan2)
}

#[inline(always)]
fn integers(op: BinaryOp, a: Long, b: Long, out: &mut [u64]) {
    macro_rules! each {
        ($($op:ident)*) => {
            match op {
                $(BinaryOp::$op => {
                    #[inline(always)]
                    fn apply(a: u64, b: u64) -> u64 {
                        math::binary_i64(BinaryOp::$op, a as i64, b as i64) as u64
                    }
                    zip(a, b, out, apply)
                })*
                _ => unreachable!("verified: {} takes no integers", op.name()),
            }
        };
    }
    each!(Add Sub Mul Div Rem Pow Max Min And Or Xor Shl Shr)
}

#[inline(always)]
fn any_far(a: Long) -> bool {
    let far = |x: &u64| u64::from(!math::sine_is_near(f64::from_bits(*x)));
    match a {
        Long::Lanes(a) => a.iter().map(far).fold(0, |any, far| any | far) != 0,
        Long::Splat(a) => far(&a) != 0,
    }
}

#[inline(always)]
fn unary_doubles(op: UnaryOp, a: Long, out: &mut [u64]) {
    macro_rules! each {
        ($($op:ident)*) => {
            match op {
                UnaryOp::Sin | UnaryOp::Cos if any_far(a) => {
                    map(a, out, |x| math::unary_double(op, f64::from_bits(x)).to_bits())
                }
                $(UnaryOp::$op => {
                    #[inline(always)]
                    fn apply(x: u64) -> u64 {
                        math::near_double(UnaryOp::$op, f64::from_bits(x)).to_bits()
                    }
                    map(a, out, apply)
                })*
                UnaryOp::Not | UnaryOp::IsNan => unreachable!("verified: {} gives no float", op.name()),
            }
        };
    }
    each!(Neg Abs Sign Exp Expm1 Log Log1p Sqrt Rsqrt Sin Cos Tanh Atan Erf Sigmoid Floor Ceil Round Trunc)
}

#[inline(always)]
fn unary(op: UnaryOp, scalar: Scalar, a: Long, out: &mut [u64]) {
    match (scalar, op) {
        (Scalar::F64, _) => unary_doubles(op, a, out),
        (_, UnaryOp::Neg) => map(a, out, u64::wrapping_neg),
        (_, UnaryOp::Abs) => map(a, out, |x| (x as i64).wrapping_abs() as u64),
        (_, UnaryOp::Sign) => map(a, out, |x| (x as i64).signum() as u64),
        (_, UnaryOp::Not) => map(a, out, |x| !x),
        _ => unreachable!("verified: {} is not on integers", op.name()),
    }
}

#[inline(always)]
fn arithmetic_body(kind: Kind, a: Long, b: Long, out: &mut [u64]) {
    let rounded = |round: fn(f64) -> f64| move |x: u64| round(f64::from_bits(x)).to_bits();
    match kind {
        Kind::Unary(op, scalar) => unary(op, scalar, a, out),
        Kind::Binary(op, Scalar::F64) => doubles(op, a, b, out),
        Kind::Binary(op, _) => integers(op, a, b, out),
        Kind::Cast(Scalar::F64, Scalar::I64) => map(a, out, |x| f64::from_bits(x) as i64 as u64),
        Kind::Cast(Scalar::I64, Scalar::F64) => map(a, out, |x| (x as i64 as f64).to_bits()),
        Kind::Round(DType::F16) => map(a, out, rounded(|x| nearest_f16(x).to_f64())),
        Kind::Round(DType::BF16) => map(a, out, rounded(|x| nearest_bf16(x).to_f64())),
        Kind::Round(DType::F32) => map(a, out, |x| f64::from(f64::from_bits(x) as f32).to_bits()),
        Kind::Cast(..) | Kind::Round(_) => map(a, out, |x| x),
        Kind::Compare(..) | Kind::Select | Kind::Random => unreachable!("verified: the result has 32 bits"),
    }
}

multiversion! {
    /// Operations from 64 bits to 64 bits.
    fn arithmetic(kind: Kind, a: Long<'_>, b: Long<'_>, out: &mut [u64]) = arithmetic_body
}

#[inline(always)]
fn compare_body(op: CompareOp, scalar: Scalar, a: Long, b: Long, out: &mut [u32]) {
    macro_rules! each {
        ($of:expr) => {{
            let of = $of;
            match op {
                CompareOp::Eq => zip(a, b, out, |a, b| u32::from(of(a) == of(b))),
                CompareOp::Ne => zip(a, b, out, |a, b| u32::from(of(a) != of(b))),
                CompareOp::Lt => zip(a, b, out, |a, b| u32::from(of(a) < of(b))),
                CompareOp::Le => zip(a, b, out, |a, b| u32::from(of(a) <= of(b))),
                CompareOp::Gt => zip(a, b, out, |a, b| u32::from(of(a) > of(b))),
                CompareOp::Ge => zip(a, b, out, |a, b| u32::from(of(a) >= of(b))),
            }
        }};
    }
    match scalar {
        Scalar::F64 => each!(f64::from_bits),
        _ => each!(|bits: u64| bits as i64),
    }
}

multiversion! {
    /// Comparisons of 64-bit operands.
    fn compare(op: CompareOp, scalar: Scalar, a: Long<'_>, b: Long<'_>, out: &mut [u32]) = compare_body
}

#[inline(always)]
fn choose_body(condition: Source, [a, b]: [Long; 2], out: &mut [u64]) {
    let condition = match condition {
        Source::Lanes(condition) => condition,
        Source::Splat(bits) => return map(if bits != 0 { a } else { b }, out, |x| x),
    };
    let pick = |c: u32, a: u64, b: u64| if c != 0 { a } else { b };
    match (a, b) {
        (Long::Lanes(a), Long::Lanes(b)) => {
            for (((out, c), a), b) in out.iter_mut().zip(condition).zip(a).zip(b) {
                *out = pick(*c, *a, *b);
            }
        }
        (Long::Lanes(a), Long::Splat(b)) => {
            for ((out, c), a) in out.iter_mut().zip(condition).zip(a) {
                *out = pick(*c, *a, b);
            }
        }
        (Long::Splat(a), Long::Lanes(b)) => {
            for ((out, c), b) in out.iter_mut().zip(condition).zip(b) {
                *out = pick(*c, a, *b);
            }
        }
        (Long::Splat(a), Long::Splat(b)) => {
            for (out, c) in out.iter_mut().zip(condition) {
                *out = pick(*c, a, b);
            }
        }
    }
}

multiversion! {
    /// The first of two operands where the condition holds, else the second.
    fn choose(condition: Source<'_>, values: [Long<'_>; 2], out: &mut [u64]) = choose_body
}

#[inline(always)]
fn widen_body(from: Scalar, to: Scalar, a: Source, out: &mut [u64]) {
    match (from, to) {
        (Scalar::F32, Scalar::F64) => grow(a, out, |x| f64::from(f32::from_bits(x)).to_bits()),
        (Scalar::F32, _) => grow(a, out, |x| f32::from_bits(x) as i64 as u64),
        (Scalar::I32, Scalar::F64) => grow(a, out, |x| f64::from(x as i32).to_bits()),
        (Scalar::I32, _) => grow(a, out, |x| i64::from(x as i32) as u64),
        (_, Scalar::F64) => grow(a, out, |x| f64::from(x).to_bits()),
        _ => grow(a, out, u64::from),
    }
}

#[inline(always)]
fn grow(a: Source, out: &mut [u64], f: impl Fn(u32) -> u64) {
    match a {
        Source::Lanes(a) => {
            for (out, a) in out.iter_mut().zip(a) {
                *out = f(*a);
            }
        }
        Source::Splat(a) => out.fill(f(a)),
    }
}

multiversion! {
    /// Conversion of 32 bits to 64.
    fn widen(from: Scalar, to: Scalar, a: Source<'_>, out: &mut [u64]) = widen_body
}

#[inline(always)]
fn narrowed_body(from: Scalar, to: Scalar, a: Long, out: &mut [u32]) {
    let double = f64::from_bits;
    match (from, to) {
        (Scalar::F64, Scalar::F32) => map(a, out, |x| (double(x) as f32).to_bits()),
        (Scalar::F64, Scalar::I32) => map(a, out, |x| double(x) as i32 as u32),
        (Scalar::F64, Scalar::U32) => map(a, out, |x| double(x) as u32),
        (Scalar::F64, _) => map(a, out, |x| u32::from(double(x) != 0.0)),
        (_, Scalar::F32) => map(a, out, |x| (x as i64 as f32).to_bits()),
        (_, Scalar::Bool) => map(a, out, |x| u32::from(x != 0)),
        _ => map(a, out, |x| x as u32),
    }
}

multiversion! {
    /// Conversion of 64 bits to 32: floats saturate, integers wrap.
    fn narrowed(from: Scalar, to: Scalar, a: Long<'_>, out: &mut [u32]) = narrowed_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::fold::Fold;
    use crate::cpu::wide::fold;
    use crate::op::ReduceOp;

    /// Bits of all sizes where `any`, else numbers of ordinary size.
    fn numbers(key: u32, any: bool) -> Vec<u64> {
        let number = |i: u32| {
            let [high, low] = math::threefry2x32([key, 5], [i, 0]);
            let bits = u64::from(high) << 32 | u64::from(low);
            if any { bits } else { (f64::from(high) / 1e8 - f64::from(low) / 1e9).to_bits() }
        };
        (0..777).map(number).collect()
    }

    fn same(a: u64, b: u64) -> bool {
        a == b || (f64::from_bits(a).is_nan() && f64::from_bits(b).is_nan())
    }

    #[test]
    fn doubles_have_the_same_bits_on_every_instruction_set() {
        let floats = |op: &&UnaryOp| op.result(Scalar::F64) == Some(Scalar::F64);
        for any in [false, true] {
            let (a, b) = (numbers(1, any), numbers(2, any));
            let mut cases = vec![];
            for op in UnaryOp::ALL.iter().filter(floats) {
                let want: Vec<u64> =
                    a.iter().map(|x| math::unary_double(*op, f64::from_bits(*x)).to_bits()).collect();
                cases.push((Kind::Unary(*op, Scalar::F64), want));
            }
            for op in BinaryOp::ALL.iter().filter(|op| op.accepts(Scalar::F64)) {
                let of = |(a, b): (&u64, &u64)| {
                    math::binary_double(*op, f64::from_bits(*a), f64::from_bits(*b)).to_bits()
                };
                cases.push((Kind::Binary(*op, Scalar::F64), a.iter().zip(&b).map(of).collect()));
            }
            for (kind, want) in cases {
                for isa in Isa::runnable() {
                    let mut out = Lanes::Wide(vec![0; a.len()]);
                    let [a, b] = [&a, &b].map(|lanes| View::Wide(Long::Lanes(lanes)));
                    compute(isa, kind, [a, b, a], &mut out);
                    let Lanes::Wide(out) = out else { unreachable!("as it was made") };
                    assert!(out.iter().zip(&want).all(|(a, b)| same(*a, *b)), "{kind:?} on {isa:?}");
                }
            }
        }
    }

    #[test]
    fn one_value_for_all_lanes_is_as_many_of_it() {
        let lanes = numbers(3, false);
        let one = [lanes[0]; 777];
        for op in [BinaryOp::Sub, BinaryOp::Pow] {
            let on = |a: Long, b: Long| {
                let mut out = Lanes::Wide(vec![0; lanes.len()]);
                let (a, b) = (View::Wide(a), View::Wide(b));
                compute(Isa::detect(), Kind::Binary(op, Scalar::F64), [a, b, a], &mut out);
                (0..lanes.len()).map(|i| out.view(false).bits(i)).collect::<Vec<u64>>()
            };
            let (many, all, splat) = (Long::Lanes(&lanes), Long::Lanes(&one), Long::Splat(lanes[0]));
            assert_eq!(on(many, splat), on(many, all));
            assert_eq!(on(splat, many), on(all, many));
            assert_eq!(on(splat, splat), on(all, all));
        }
    }

    #[test]
    fn folds_of_64_bits_give_the_same_bits_on_every_instruction_set() {
        let lanes = numbers(4, false);
        for op in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min] {
            for (scalar, count) in [Scalar::F64, Scalar::I64].into_iter().zip([777, 31]) {
                let fold = Fold { op, scalar };
                let on = |isa| fold::collapse(isa, fold, View::Wide(Long::Lanes(&lanes[..count])), count);
                let first = on(Isa::Baseline);
                assert!(Isa::runnable().into_iter().all(|isa| same(on(isa), first)), "{fold:?}");
            }
        }
    }
}
