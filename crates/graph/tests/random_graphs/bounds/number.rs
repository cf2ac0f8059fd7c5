//! Errors of single elements: functions, comparisons, selection and conversion.

use kiln_device::{CompareOp, UnaryOp};
use kiln_graph::DType;

use super::Near;

/// Half the distance of 1 from the next `f32`.
pub(super) const U: f64 = 1.0 / (1u64 << 24) as f64;
/// Below it `f32` is subnormal, and a GPU may have 0.
pub(super) const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

fn unit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-11),
        DType::BF16 => 2f64.powi(-8),
        _ => U,
    }
}

fn largest(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 65504.0,
        DType::BF16 => f64::from(half::bf16::MAX),
        _ => f64::from(f32::MAX),
    }
}

/// The nearest number of a float type.
fn nearest(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::F16 => kiln_device::nearest_f16(x).to_f64(),
        DType::BF16 => kiln_device::nearest_bf16(x).to_f64(),
        _ => f64::from(x as f32),
    }
}

/// A computed number after it was rounded to its type, which correct rounding loses at most.
pub(super) fn stored(near: Near, dtype: DType) -> Near {
    if !dtype.is_float() || !near.value.is_finite() || near.is_unknown() {
        return near;
    }
    let Near { value, error, .. } = near;
    let reach = value.abs() + error;
    if reach > largest(dtype) {
        return Near::unknown(value);
    }
    // Not the distance of this very number: a compiler of WGSL may form a·b + a·c as a·(b + c).
    let lost = match dtype {
        _ if error == 0.0 && nearest(dtype, value) == value => 0.0,
        // The last place of subnormal half floats is 2^−24.
        DType::F16 => (unit(dtype) * reach).max(2f64.powi(-25)),
        _ => unit(dtype) * reach,
    };
    let flushed = if value.abs() - error < SMALLEST { reach.min(SMALLEST) } else { 0.0 };
    let error = error + lost.max(flushed);
    if error == 0.0 { near } else { Near::within(value, error) }
}

/// The distance of a monotone function's value at both ends of an interval from `y`, that in its middle.
pub(super) fn spread(f: impl Fn(f64) -> f64, x: Near, y: f64) -> f64 {
    if x.is_exact() {
        return 0.0;
    }
    let (a, b) = ((f(x.low()) - y).abs(), (f(x.high()) - y).abs());
    if a.is_finite() && b.is_finite() { a.max(b) } else { f64::INFINITY }
}

/// An operation on one element of type `from`; the interpreter's result is `y`.
pub(super) fn unary(op: UnaryOp, (from, to): (DType, DType), x: Near, y: f64) -> Near {
    if x.is_exact() && (!from.is_float() || y.is_nan()) {
        return Near::exact(y);
    }
    if !from.is_float() {
        let error = match (op, from) {
            (UnaryOp::Not, _) => x.error,
            (UnaryOp::Neg | UnaryOp::Abs, DType::I32) => x.error,
            (UnaryOp::Sign, _) => 2.0,
            _ => f64::INFINITY,
        };
        return Near::within(y, error);
    }
    if x.is_unknown() {
        return if to == DType::Bool { Near::within(y, 1.0) } else { Near::unknown(y) };
    }
    if !x.value.is_finite() {
        // Limits that are whole numbers are held exactly, those that are not, as π/2, rounded.
        return stored(
            Near::within(y, if y.is_infinite() || y.fract() == 0.0 { 0.0 } else { 8.0 * U * y.abs() }),
            to,
        );
    }
    let units = |last_places: f64| 2.0 * last_places * U * y.abs();
    let error = match op {
        UnaryOp::Neg | UnaryOp::Abs => return Near::within(y, x.error),
        UnaryOp::Sign => spread(|x| if x == 0.0 { 0.0 } else { x.signum() }, x, y),
        UnaryOp::Floor => spread(f64::floor, x, y),
        UnaryOp::Ceil => spread(f64::ceil, x, y),
        UnaryOp::Round => spread(f64::round_ties_even, x, y),
        UnaryOp::Trunc => spread(f64::trunc, x, y),
        UnaryOp::IsNan => return Near::exact(y),
        UnaryOp::Not => f64::INFINITY,
        UnaryOp::Exp => spread(f64::exp, x, y) + units(4.0),
        UnaryOp::Expm1 => spread(f64::exp_m1, x, y) + units(4.0),
        UnaryOp::Log => spread(f64::ln, x, y) + units(4.0),
        UnaryOp::Log1p => spread(f64::ln_1p, x, y) + units(4.0),
        UnaryOp::Tanh => spread(f64::tanh, x, y) + units(4.0),
        UnaryOp::Atan => spread(f64::atan, x, y) + units(4.0),
        UnaryOp::Sigmoid => spread(|x| 1.0 / (1.0 + (-x).exp()), x, y) + units(4.0),
        UnaryOp::Erf => {
            let slope =
                std::f64::consts::FRAC_2_SQRT_PI * (-(x.value.abs() - x.error).max(0.0).powi(2)).exp();
            (x.error * slope).min(2.0) + units(4.0)
        }
        UnaryOp::Sqrt => spread(f64::sqrt, x, y) + units(3.0),
        UnaryOp::Rsqrt => spread(|x| 1.0 / x.sqrt(), x, y) + units(3.0),
        // Accurate to 1e-6 up to 1e4.
        UnaryOp::Sin | UnaryOp::Cos if x.value.abs() + x.error <= 1e4 => x.error.min(2.0) + 1e-6,
        UnaryOp::Sin | UnaryOp::Cos => f64::INFINITY,
    };
    stored(Near::within(y, error), to)
}

pub(super) fn compare(op: CompareOp, a: Near, b: Near, y: f64) -> Near {
    let apart = (a.value - b.value).abs() > a.error + b.error;
    let has_nan = a.value.is_nan() && a.is_exact() || b.value.is_nan() && b.is_exact();
    if has_nan || a.is_exact() && b.is_exact() {
        return Near::exact(y);
    }
    if a.is_unknown() || b.is_unknown() {
        return Near::within(y, 1.0);
    }
    if a.copies(&b) {
        let holds = matches!(op, CompareOp::Eq | CompareOp::Le | CompareOp::Ge);
        return Near::exact(f64::from(u8::from(holds)));
    }
    Near::within(y, if apart { 0.0 } else { 1.0 })
}

/// One of two numbers; where it is not known which, an interval that holds both.
pub(super) fn select(condition: Near, a: Near, b: Near, y: f64) -> Near {
    if condition.is_exact() {
        return if condition.value != 0.0 { a } else { b };
    }
    if a.copies(&b) || a.is_exact() && b.is_exact() && a.value == b.value {
        return a;
    }
    Near::within(y, ((a.value - y).abs() + a.error).max((b.value - y).abs() + b.error))
}

/// Conversion by value.
pub(super) fn cast(from: DType, to: DType, x: Near, y: f64) -> Near {
    if to == DType::F16 && !x.is_exact() && x.value.abs() + x.error > 65504.0 {
        return Near::unknown(y);
    }
    if from == to || from == DType::F16 && to == DType::F32 || from == DType::BF16 && to == DType::F32 {
        return x;
    }
    if x.is_exact() {
        return stored(Near::exact(y), to);
    }
    if to == DType::Bool {
        return Near::within(y, if x.error < x.value.abs() { 0.0 } else { 1.0 });
    }
    if x.is_unknown() {
        return Near::unknown(y);
    }
    if to.is_float() {
        let error = if from.is_float() { spread(|x| nearest(to, x), x, y) } else { x.error };
        return stored(Near::within(y, error), to);
    }
    let (low, high) = match to {
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::U32 => (0.0, f64::from(u32::MAX)),
        _ => (0.0, 255.0),
    };
    // Floats saturate, integers wrap.
    if from.is_float() {
        return Near::within(y, spread(|x| x.trunc().clamp(low, high), x, y));
    }
    Near::within(y, if x.low() >= low && x.high() <= high { x.error } else { f64::INFINITY })
}

/// The bits of NaN are not said, nor is the sign of zero, and a subnormal may have been flushed.
pub(super) fn bitcast(from: DType, to: DType, x: Near, y: f64) -> Near {
    let said = !from.is_float() || !x.value.is_nan() && x.value != 0.0;
    if x.is_exact() && said { stored(Near::exact(y), to) } else { Near::unknown(y) }
}
