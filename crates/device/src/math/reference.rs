//! The operations in `f64`, for the reference interpreter and for tests.

use crate::op::{BinaryOp, UnaryOp};

/// Gauss error function to about 1e-15.
pub fn erf_f64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() > 6.0 {
        return x.signum();
    }
    // 2/√π · e^(−x²) · Σ 2^n x^(2n+1) / (1·3·5···(2n+1)): every term has one sign.
    let square = x * x;
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= 2.0 * square / (2.0 * n + 1.0);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-square).exp() * sum
}

/// A unary operation on numbers; truth is 0 or 1, and `Not` is that of a `bool`.
pub fn unary_f64(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign if x == 0.0 || x.is_nan() => x,
        UnaryOp::Sign => x.signum(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Expm1 => x.exp_m1(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Log1p => x.ln_1p(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Atan => x.atan(),
        UnaryOp::Erf => erf_f64(x),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Trunc => x.trunc(),
        UnaryOp::Not => f64::from(x == 0.0),
        UnaryOp::IsNan => f64::from(x.is_nan()),
    }
}

/// A binary operation on float numbers; `And`, `Or` and `Xor` are those of `bool`s.
///
/// # Panics
/// For shifts, which are integer operations.
pub fn binary_f64(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => rem_f64(a, b),
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Max if a.is_nan() || a > b => a,
        BinaryOp::Min if a.is_nan() || a < b => a,
        BinaryOp::Max | BinaryOp::Min => b,
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::And => f64::from(a != 0.0 && b != 0.0),
        BinaryOp::Or => f64::from(a != 0.0 || b != 0.0),
        BinaryOp::Xor => f64::from((a != 0.0) != (b != 0.0)),
        BinaryOp::Shl | BinaryOp::Shr => panic!("{} is an integer operation", op.name()),
    }
}

fn rem_f64(a: f64, b: f64) -> f64 {
    let r = a % b;
    if r == 0.0 {
        r.copysign(b)
    } else if (r < 0.0) != (b < 0.0) {
        r + b
    } else {
        r
    }
}
