//! Bits: of integers (and, or, shifts, common divisors), and of floats (signs, infinities, neighbours, exponents).

use kiln_device::DType;

use super::arithmetic::{binary, met};
use super::pointwise::{composed, in_working, unary, with_slope, working};
use crate::ops::Operand;
use crate::shape::broadcast;
use crate::tensor::{Tensor, here};

/// What the bits of a working type mean.
pub(super) struct Marks {
    /// The integers of as many bits.
    pub(super) whole: DType,
    /// The exponent of infinity.
    pub(super) exponent: i64,
    /// The sign, and all other bits.
    pub(super) sign: i64,
    pub(super) size: i64,
    /// Bits of the fraction.
    pub(super) fraction: i64,
    /// The largest exponent.
    pub(super) bias: i64,
}

/// The marks of `float64`, or of `float32`.
pub(super) fn marks(dtype: DType) -> Marks {
    match dtype {
        DType::F64 => Marks {
            whole: DType::I64,
            exponent: 0x7ff0_0000_0000_0000,
            sign: i64::MIN,
            size: i64::MAX,
            fraction: 52,
            bias: 1023,
        },
        _ => Marks {
            whole: DType::I32,
            exponent: 0x7f80_0000,
            sign: i32::MIN as i64,
            size: i32::MAX as i64,
            fraction: 23,
            bias: 127,
        },
    }
}

/// The bits of a tensor of a working type.
pub(super) fn bits_of(x: &Tensor) -> Tensor {
    x.bitcast(marks(x.dtype()).whole)
}

/// `2^n` in a working type, of whole numbers from 1 − bias to the bias (127, 1023).
pub(super) fn power_of_two(n: &Tensor, dtype: DType) -> Tensor {
    let Marks { whole, fraction, bias, .. } = marks(dtype);
    (n.cast(whole) + bias).left_shift(fraction).bitcast(dtype)
}

/// A magnitude with the sign of a tensor of a working type, that of −0 and NaN included.
pub(super) fn copy_sign(magnitude: &Tensor, sign: &Tensor) -> Tensor {
    Tensor::select(&bits_of(sign).less(0), -magnitude, magnitude)
}

fn only_whole(x: &Tensor, build: impl FnOnce() -> Tensor) -> Tensor {
    match x.dtype() {
        dtype if dtype.is_float() => {
            Tensor::invalid("", format!("expected integers or bool, received {dtype}; cast it first"))
        }
        _ => build(),
    }
}

unary! {
    /// Every bit flipped; logical not of booleans. Floats are an error.
    bitwise_not(x) = only_whole(x, || x.logical_not());
    /// Every bit flipped, under NumPy's other name.
    bitwise_invert(x) = bitwise_not(x);
    /// True where the sign bit is set, that of −0 and NaN included; integers: where negative.
    signbit(x) = match x.dtype() {
        DType::I32 | DType::I64 => x.less(0),
        _ => of_bits(x, false, |bits, _| bits.less(0)),
    };
    /// True for +∞ and −∞.
    isinf(x) = of_bits(x, false, |bits, marks| bits.logical_and(marks.size).equal(marks.exponent));
    /// True for +∞.
    isposinf(x) = of_bits(x, false, |bits, marks| bits.equal(marks.exponent));
    /// True for −∞.
    isneginf(x) = of_bits(x, false, |bits, marks| bits.equal(marks.exponent | marks.sign));
    /// True where neither NaN nor infinite.
    isfinite(x) = of_bits(x, true, |bits, marks| bits.logical_and(marks.exponent).not_equal(marks.exponent));
    /// True everywhere, because tensors are real.
    isreal(x) = Tensor::full(x.shape(), 1.0, DType::Bool);
}

/// A test of the bits of floats; `otherwise` for every whole number.
fn of_bits(x: &Tensor, otherwise: bool, test: impl FnOnce(&Tensor, Marks) -> Tensor) -> Tensor {
    if x.dtype().is_float() {
        let dtype = working(x.dtype());
        return test(&bits_of(&x.cast(dtype)), marks(dtype));
    }
    Tensor::full(x.shape(), f64::from(u8::from(otherwise)), DType::Bool)
}

binary! {
    /// Bitwise and of integers; logical and of booleans. Floats are an error.
    bitwise_and(met, a, b) = only_whole(a, || a.logical_and(b));
    /// Bitwise or of integers; logical or of booleans. Floats are an error.
    bitwise_or(met, a, b) = only_whole(a, || a.logical_or(b));
    /// Bitwise exclusive or of integers; logical of booleans. Floats are an error.
    bitwise_xor(met, a, b) = only_whole(a, || a.logical_xor(b));
    /// Bits moved up by `x2`; 0 for a distance outside 0..width. Booleans count as `int32`; floats are an error.
    bitwise_left_shift(met, a, b) = only_whole(a, || shifted(a, b, |a, b| a.left_shift(b), |a| a.zeros_like()));
    /// Bits moved down by `x2`, arithmetically on signed integers; 0 or −1 for a distance outside 0..width. Booleans count as
    /// `int32`; floats are an error.
    bitwise_right_shift(met, a, b) = only_whole(a, || {
        shifted(a, b, |a, b| a.right_shift(b), |a| match a.dtype() {
            DType::I32 => a.right_shift(31),
            DType::I64 => a.right_shift(63),
            _ => a.zeros_like(),
        })
    });
    /// Bits moved up, under NumPy's other name.
    #[doc(alias = "bitwise_left_shift")]
    left_shift(met, a, b) = bitwise_left_shift(a, b);
    /// Bits moved down, under NumPy's other name.
    #[doc(alias = "bitwise_right_shift")]
    right_shift(met, a, b) = bitwise_right_shift(a, b);
    /// The greatest common divisor of integers, not negative; 0 of two zeros. Floats and booleans are an error.
    gcd(met, a, b) = integers(a, || common_divisor(a, b));
    /// The least common multiple of integers, not negative; 0 where either is 0. Floats and booleans are an error.
    lcm(met, a, b) = integers(a, || {
        let divisor = common_divisor(a, b);
        // By a divisor of 0 the quotient is 0.
        magnitude(&(a.floor_divide(divisor) * b)).cast(a.dtype())
    });
    /// The next number after `x1` towards `x2`, in their float type. The gradient goes to `x1` whole.
    nextafter(met, a, b) = {
        let (a, b) = (a.to_float(), b.to_float());
        let dtype = a.dtype();
        in_working(&a, |a| {
            let next = neighbour(a, &b.cast(a.dtype()), dtype);
            Tensor::custom_gradient(&next, std::slice::from_ref(a), |g, _, _| vec![Some(g.clone())])
        })
    };
}

fn shifted(
    a: &Tensor,
    b: &Tensor,
    shift: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    beyond: impl FnOnce(&Tensor) -> Tensor,
) -> Tensor {
    let number = |t: &Tensor| if t.dtype() == DType::Bool { t.cast(DType::I32) } else { t.clone() };
    let (a, b) = (number(a), number(b));
    let width = match a.dtype() {
        DType::U8 => 8,
        DType::I64 => 64,
        _ => 32,
    };
    let inside = b.greater_equal(0).logical_and(b.less(width));
    Tensor::select(&inside, shift(&a, &b), beyond(&a))
}

fn integers(x: &Tensor, build: impl FnOnce() -> Tensor) -> Tensor {
    if x.dtype().is_integer() {
        return build();
    }
    Tensor::invalid("", format!("expected integers, received {}; cast it first", x.dtype()))
}

/// |x| as `uint32`, which holds that of the lowest `int32` too, or as `int64`.
fn magnitude(x: &Tensor) -> Tensor {
    match x.dtype() {
        DType::I64 => x.abs(),
        DType::I32 => x.abs().cast(DType::U32),
        _ => x.cast(DType::U32),
    }
}

/// Euclid's algorithm, unrolled for as many steps as two Fibonacci numbers of the width need.
fn common_divisor(a: &Tensor, b: &Tensor) -> Tensor {
    let steps = match a.dtype() {
        DType::U8 => 13,
        DType::I64 => 92,
        _ => 47,
    };
    let (mut high, mut low) = (magnitude(a), magnitude(b));
    for _ in 0..steps {
        // The remainder by 0 is 0: once it is reached, nothing changes any more.
        let rest = high.modulo(&low);
        high = Tensor::select(&low.equal(0), &high, &low);
        low = rest;
    }
    high.cast(a.dtype())
}

/// The neighbour of `a` towards `b` among the numbers of a float type, in the working type.
fn neighbour(a: &Tensor, b: &Tensor, dtype: DType) -> Tensor {
    let size = a.abs();
    let (outer, inner) = match dtype {
        DType::F16 => half_neighbours(&size),
        DType::BF16 => bit_neighbours(&size, 1 << 16),
        _ => bit_neighbours(&size, 1),
    };
    let away = Tensor::select(&a.greater(0.0), b.greater(a), b.less(a));
    let moved = copy_sign(&Tensor::select(&away, outer, inner), a);
    // The bits of the smallest subnormal number.
    let smallest = match dtype {
        DType::F16 => i64::from(2f32.powi(-24).to_bits()),
        DType::BF16 => 1 << 16,
        _ => 1,
    };
    let sign = marks(b.dtype()).sign;
    let from_zero = bits_of(b).logical_and(sign).logical_or(smallest).bitcast(b.dtype());
    let moved = Tensor::select(&bits_of(&size).equal(0), from_zero, moved);
    let moved = Tensor::select(&a.equal(b), b, moved);
    Tensor::select(&a.is_nan().logical_or(b.is_nan()), f64::NAN, moved)
}

/// The next magnitude above and below a positive one, `step` of its bits away.
fn bit_neighbours(size: &Tensor, step: i64) -> (Tensor, Tensor) {
    let bits = bits_of(size);
    ((&bits + step).bitcast(size.dtype()), (bits - step).bitcast(size.dtype()))
}

/// As [`bit_neighbours`] in `float16`, whose subnormal numbers below 2⁻¹⁴ lie 2⁻²⁴ apart and whose ∞ follows 65504.
fn half_neighbours(size: &Tensor) -> (Tensor, Tensor) {
    let (outer, inner) = bit_neighbours(size, 1 << 13);
    let (normal, least) = (2f32.powi(-14), 2f32.powi(-24));
    let outer = Tensor::select(&size.less(normal), size + least, outer);
    let inner = Tensor::select(&size.less_equal(normal), size - least, inner);
    (outer, Tensor::select(&size.greater(65504.0), 65504.0, inner))
}

/// `x1 · 2^x2`, exact unless it leaves the range of the type; the exponents must be integers.
#[track_caller]
pub fn ldexp(x1: impl Operand, x2: impl Operand) -> Tensor {
    let at = here();
    let (x, n) = (x1.tensor(DType::F32, at), x2.tensor(DType::I32, at));
    composed("ldexp", at, &[&x, &n], || {
        if !n.dtype().is_integer() {
            return Tensor::invalid("", format!("expected integer exponents, received {}", n.dtype()));
        }
        let Some(shape) = broadcast(x.shape(), n.shape()) else {
            let message = format!("shapes {:?} and {:?} do not broadcast", x.shape(), n.shape());
            return Tensor::invalid("", message);
        };
        let (x, n) = (x.to_float().broadcast_to(&shape), exponent(&n).broadcast_to(&shape));
        in_working(&x, |x| scaled(x, &n))
    })
}

/// Exponents as `int32`, those beyond every float's range as less.
fn exponent(n: &Tensor) -> Tensor {
    let n = if n.dtype() == DType::U32 { n.minimum(4000) } else { n.clone() };
    n.narrow_index(here()).clip(-4000, 4000)
}

/// Three factors, so that every part of 2^n is a float; the first two keep the value normal where the result is.
fn scaled(x: &Tensor, n: &Tensor) -> Tensor {
    let Marks { fraction, bias, .. } = marks(x.dtype());
    // A normal number that becomes a subnormal one at once: of two roundings the first would be lost.
    let (least, most) = (fraction + 2 - bias, bias);
    let first = n.clip(least, most);
    let rest = n - &first;
    let second = rest.clip(least, most);
    let third = (rest - &second).clip(1 - bias, most);
    let power = |n: &Tensor| power_of_two(n, x.dtype());
    let value = x * power(&first) * power(&second) * power(&third);
    let n = n.clone();
    with_slope(x, &value, move |x, _| scaled(&x.ones_like(), &n))
}
