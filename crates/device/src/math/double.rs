//! The operations on `f64`, as the executor of 64-bit kernels computes them.
//!
//! The transcendental functions are branch-free polynomials, so that a loop over them vectorises, without fused
//! multiply-adds, so that every machine gives the same bits: the units that add beside those that multiply lose
//! little by it. Their coefficients are minimax approximations. Only angles too large for a reduction of three parts go
//! to the `libm` crate, one at a time. Bounds are tested in `tests/double.rs`.

mod angle;
mod error;
mod exponential;
mod logarithm;
mod power;

pub use angle::sine_is_near;

use crate::op::{BinaryOp, UnaryOp};

/// A unary operation but `Not` and `IsNan`, which do not give a float.
#[inline(always)]
pub fn unary_double(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Sin if !sine_is_near(x) => libm::sin(x),
        UnaryOp::Cos if !sine_is_near(x) => libm::cos(x),
        _ => near_double(op, x),
    }
}

/// [`unary_double`] without branches: sines and cosines only of what [`sine_is_near`].
#[inline(always)]
pub fn near_double(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => sign(x),
        UnaryOp::Exp => exponential::exp(x),
        UnaryOp::Expm1 => exponential::expm1(x),
        UnaryOp::Log => logarithm::log(x),
        UnaryOp::Log1p => logarithm::log1p(x),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Sin => angle::sin(x),
        UnaryOp::Cos => angle::cos(x),
        UnaryOp::Tanh => exponential::tanh(x),
        UnaryOp::Atan => angle::atan(x),
        UnaryOp::Erf => error::erf(x),
        UnaryOp::Sigmoid => exponential::sigmoid(x),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Trunc => x.trunc(),
        UnaryOp::Not | UnaryOp::IsNan => unreachable!("{} gives no float", op.name()),
    }
}

/// A binary operation; verified kernels have no others on floats.
#[inline(always)]
pub fn binary_double(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => rem(a, b),
        BinaryOp::Pow => power::pow(a, b),
        BinaryOp::Max => larger(a, b),
        BinaryOp::Min => -larger(-a, -b),
        BinaryOp::Atan2 => angle::atan2(a, b),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => {
            unreachable!("{} takes no floats", op.name())
        }
    }
}

const SIGN: u64 = 1 << 63;
/// Adding 1.5·2^52 leaves the nearest whole number in the low bits of a float below 2^51.
const MAGIC: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; the first has 32 bits, so that its product with an exponent is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

#[inline(always)]
fn copy_sign(magnitude: f64, sign: f64) -> f64 {
    f64::from_bits((magnitude.to_bits() & !SIGN) | (sign.to_bits() & SIGN))
}

/// Clamps, keeping NaN.
#[inline(always)]
fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The first 21 bits of a number, whose products with another's are exact.
#[inline(always)]
fn head(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & 0xffff_ffff_0000_0000)
}

/// A polynomial in `x`, the highest coefficient first.
#[inline(always)]
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = sum * x + *coefficient;
    }
    sum
}

/// The nearest whole number of `x · factor`, as a float and as an integer; its magnitude must be below 2^51.
#[inline(always)]
fn nearest(x: f64, factor: f64) -> (f64, u64) {
    let shifted = x * factor + MAGIC;
    (shifted - MAGIC, shifted.to_bits().wrapping_sub(MAGIC.to_bits()))
}

/// `2^n` for `n` in −1022..=1023, in two's complement.
#[inline(always)]
fn power_of_two(n: u64) -> f64 {
    f64::from_bits(n.wrapping_add(1023) << 52)
}

/// `value · 2^n` for `n` in −2044..=2046, in two steps, so that subnormal and overflowing results come out right.
#[inline(always)]
fn scale(value: f64, n: u64) -> f64 {
    // Not an arithmetic shift, which vectors of 64-bit integers lack before AVX-512.
    let half = (n.wrapping_add(4096) >> 1).wrapping_sub(2048);
    value * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    let larger = if a > b { a } else { b };
    if a.is_nan() { a } else { larger }
}

#[inline(always)]
fn rem(a: f64, b: f64) -> f64 {
    let r = a % b;
    if r == 0.0 {
        r.copysign(b)
    } else if (r < 0.0) != (b < 0.0) {
        r + b
    } else {
        r
    }
}
