//! Errors of operations on two elements.

use kiln_device::BinaryOp;
use kiln_graph::DType;

use super::Near;
use super::number::{SMALLEST, U, stored};

/// The largest distance of a function from `y` at the corners of two intervals.
fn corners(f: impl Fn(f64, f64) -> f64, a: Near, b: Near, y: f64) -> f64 {
    let mut error = 0.0f64;
    for x in [a.low(), a.high()] {
        for z in [b.low(), b.high()] {
            let distance = (f(x, z) - y).abs();
            error = if distance.is_nan() { f64::INFINITY } else { error.max(distance) };
        }
    }
    error
}

/// An operation on two elements of one type; the interpreter's result is `y`.
pub(super) fn binary(op: BinaryOp, dtype: DType, a: Near, b: Near, y: f64) -> Near {
    if matches!(op, BinaryOp::Max | BinaryOp::Min) {
        return extreme(op == BinaryOp::Max, a, b);
    }
    if !dtype.is_float() {
        return whole(op, dtype, a, b, y);
    }
    if a.value.is_nan() && a.is_exact() || b.value.is_nan() && b.is_exact() {
        // A power of 0, and of 1, is 1 whatever the other is.
        return if y.is_nan() && !folds(op, a, b) { Near::exact(y) } else { Near::unknown(y) };
    }
    let factor = |x: &Near| x.is_exact() && x.value == 0.0;
    if a.is_unknown() || b.is_unknown() {
        return Near::unknown(y);
    }
    if !(a.value.is_finite() && b.value.is_finite()) {
        return infinite(op, a, b, y);
    }
    let error = match op {
        BinaryOp::Add => a.error + b.error,
        BinaryOp::Sub if a.copies(&b) => 0.0,
        BinaryOp::Sub => a.error + b.error,
        BinaryOp::Mul if factor(&a) || factor(&b) => 0.0,
        BinaryOp::Mul => a.value.abs() * b.error + b.value.abs() * a.error + a.error * b.error,
        BinaryOp::Div => quotient(a, b, y),
        BinaryOp::Rem => remainder(a, b, y),
        BinaryOp::Pow => power(a, b, y),
        BinaryOp::Atan2 => angle(a, b, y),
        _ => f64::INFINITY,
    };
    stored(Near::within(y, error), dtype)
}

/// Whether a compiler of WGSL, which may assume finite numbers, gives x − x, x / x or x · 0 without a look at x.
fn folds(op: BinaryOp, a: Near, b: Near) -> bool {
    let zero = |x: &Near| x.is_exact() && x.value == 0.0;
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Div => !a.value.is_finite() && !b.value.is_finite(),
        BinaryOp::Mul => zero(&a) || zero(&b),
        _ => false,
    }
}

/// With infinite operands: exact where the finite one's sign is known, or does not matter.
fn infinite(op: BinaryOp, a: Near, b: Near, y: f64) -> Near {
    let signed = |x: &Near| x.error < x.value.abs();
    let known = match op {
        _ if y.is_nan() && folds(op, a, b) => false,
        BinaryOp::Add | BinaryOp::Sub => true,
        BinaryOp::Mul => signed(&a) && signed(&b),
        BinaryOp::Div => b.value.is_infinite() || signed(&b) && b.value != 0.0,
        // Infinite arguments of the others are the business of the table of cases.
        _ => false,
    };
    if known { Near::exact(y) } else { Near::unknown(y) }
}

/// Three units in the last place. The sign of a zero is not promised, nor so the infinity of a division by it.
fn quotient(a: Near, b: Near, y: f64) -> f64 {
    if a.copies(&b) && b.error < b.value.abs() {
        return 6.0 * U;
    }
    if b.error >= b.value.abs() {
        return f64::INFINITY;
    }
    if a.is_exact() && a.value == 0.0 {
        return 0.0;
    }
    corners(|a, b| a / b, a, b, y) + 6.0 * U * y.abs()
}

/// It jumps where the quotient is whole.
fn remainder(a: Near, b: Near, y: f64) -> f64 {
    if b.error >= b.value.abs() {
        return f64::INFINITY;
    }
    let turns = (a.value / b.value).floor().abs();
    if a.is_exact() && b.is_exact() {
        // The remainder towards zero is exact; adding the divisor to it rounds.
        let toward_zero = a.value % b.value;
        let sum = if toward_zero == y { 0.0 } else { U * b.value.abs() };
        return sum;
    }
    let error = a.error + (turns + 1.0) * b.error + U * b.value.abs();
    let edge = y.abs().min(b.value.abs() - y.abs());
    if edge <= error { b.value.abs() + error } else { error }
}

/// Sixteen units in the last place for results in 1e-30..1e30.
fn power(a: Near, b: Near, y: f64) -> f64 {
    if !y.is_finite() || y.abs() > 1e30 {
        return f64::INFINITY;
    }
    let own = 32.0 * U * y.abs() + if y.abs() < 1e-30 { y.abs() } else { 0.0 };
    if a.is_exact() && b.is_exact() {
        let saturated = a.value == 0.0 && b.value > 0.0 || a.value == 1.0 || b.value == 0.0;
        return if saturated { 0.0 } else { own };
    }
    if a.low() > 0.0 {
        return corners(f64::powf, a, b, y) + own;
    }
    let reach = a.value.abs() + a.error;
    if b.is_exact() && b.value >= 1.0 && b.value.fract() == 0.0 {
        return b.value * reach.powf(b.value - 1.0) * a.error + own + SMALLEST;
    }
    f64::INFINITY
}

/// Eight units in the last place. The angle jumps on the negative axis and has no meaning at the origin.
fn angle(a: Near, b: Near, y: f64) -> f64 {
    if a.error >= a.value.abs() && b.low() <= 0.0 {
        return f64::INFINITY;
    }
    corners(f64::atan2, a, b, y) + 16.0 * U * y.abs()
}

/// The larger or smaller of two numbers: a copy of one where it is known of which.
pub(super) fn extreme(larger: bool, a: Near, b: Near) -> Near {
    let nan = |x: &Near| x.value.is_nan() && x.is_exact();
    if nan(&a) || nan(&b) {
        return Near::exact(f64::NAN);
    }
    let sign = if larger { 1.0 } else { -1.0 };
    let y = sign * (sign * a.value).max(sign * b.value);
    if a.is_unknown() || b.is_unknown() {
        return Near::unknown(y);
    }
    let ends = |x: Near| (sign * x.value - x.error, sign * x.value + x.error);
    let ((a_low, a_high), (b_low, b_high)) = (ends(a), ends(b));
    if a.copies(&b) || a_low >= b_high {
        return a;
    }
    if b_low >= a_high {
        return b;
    }
    let (low, high) = (a_low.max(b_low), a_high.max(b_high));
    Near::within(y, (high - sign * y).max(sign * y - low))
}

/// Least and largest number of an integer type.
pub(super) fn range(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::U32 => (0.0, f64::from(u32::MAX)),
        DType::U8 => (0.0, 255.0),
        _ => (0.0, 1.0),
    }
}

/// Integers and booleans: exact where the operands are, and an interval where nothing wraps.
fn whole(op: BinaryOp, dtype: DType, a: Near, b: Near, y: f64) -> Near {
    if a.is_exact() && b.is_exact() {
        return Near::exact(y);
    }
    let (low, high) = range(dtype);
    let kept = |value: f64, error: f64| {
        if value - error >= low && value + error <= high { error } else { f64::INFINITY }
    };
    let is = |x: &Near, value: f64| x.is_exact() && x.value == value;
    let error = match op {
        BinaryOp::Add => kept(a.value + b.value, a.error + b.error),
        BinaryOp::Sub if a.copies(&b) => 0.0,
        BinaryOp::Sub => kept(a.value - b.value, a.error + b.error),
        BinaryOp::Mul | BinaryOp::And if is(&a, 0.0) || is(&b, 0.0) => 0.0,
        BinaryOp::Mul => {
            kept(a.value * b.value, a.value.abs() * b.error + b.value.abs() * a.error + a.error * b.error)
        }
        BinaryOp::Or if dtype == DType::Bool && (is(&a, 1.0) || is(&b, 1.0)) => 0.0,
        _ if dtype == DType::Bool => 1.0,
        _ => f64::INFINITY,
    };
    Near::within(y, error)
}
