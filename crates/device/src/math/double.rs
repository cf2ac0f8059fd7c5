//! The operations on `f64`, as the executor of 64-bit kernels computes them.
//!
//! Transcendental functions are those of the `libm` crate: pure Rust, the same bits on every machine, within a few units
//! in the last place (tested in `tests/math.rs`).

use crate::op::{BinaryOp, UnaryOp};

/// A unary operation but `Not` and `IsNan`, which do not give a float.
#[inline(always)]
pub fn unary_double(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => sign(x),
        UnaryOp::Exp => libm::exp(x),
        UnaryOp::Expm1 => libm::expm1(x),
        UnaryOp::Log => libm::log(x),
        UnaryOp::Log1p => libm::log1p(x),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Sin => libm::sin(x),
        UnaryOp::Cos => libm::cos(x),
        UnaryOp::Tanh => libm::tanh(x),
        UnaryOp::Atan => libm::atan(x),
        UnaryOp::Erf => libm::erf(x),
        UnaryOp::Sigmoid => sigmoid(x),
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
        BinaryOp::Pow => libm::pow(a, b),
        BinaryOp::Max => larger(a, b),
        BinaryOp::Min => -larger(-a, -b),
        BinaryOp::Atan2 => libm::atan2(a, b),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => {
            unreachable!("{} takes no floats", op.name())
        }
    }
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

/// `1 / (1 + e^−x)`, from `e^−|x|` so that neither end overflows.
fn sigmoid(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    let larger = if a > b { a } else { b };
    if a.is_nan() { a } else { larger }
}

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

/// The nearest `f32`, but never by rounding to even: what is cut off is marked in the last bit, so that a second
/// rounding to a narrower type gives what one rounding would.
pub fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || x.is_nan() || x.is_infinite() {
        return near;
    }
    let towards_zero = if f64::from(near).abs() > x.abs() { near.to_bits() - 1 } else { near.to_bits() };
    f32::from_bits(towards_zero | 1)
}

#[cfg(test)]
mod tests {
    use super::to_odd;

    #[test]
    fn two_roundings_give_what_one_would() {
        // Just above the middle of two halves: rounding to f32 first would land on the middle.
        let middle = 1.0 + 2f64.powi(-11);
        let above = middle + 2f64.powi(-40);
        assert_eq!(half::f16::from_f32(above as f32).to_f64(), 1.0);
        assert_eq!(half::f16::from_f32(to_odd(above)).to_f64(), 1.0 + 2f64.powi(-10));
        assert_eq!(half::f16::from_f32(to_odd(middle)).to_f64(), 1.0);
        assert_eq!(to_odd(1e300), f32::MAX);
        assert_eq!(half::bf16::from_f32(to_odd(-1e300)), half::bf16::NEG_INFINITY);
        assert_eq!(to_odd(f64::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(to_odd(f64::NAN).is_nan());
        assert_eq!(to_odd(0.5), 0.5);
    }
}
