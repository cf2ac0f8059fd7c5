//! Functions of two tensors, element by element: both broadcast to one shape and meet in one type ([`super::promote`]).

use kiln_device::{BinaryOp, DType};

use super::bits::copy_sign;
use super::elementwise::Operand;
use super::pointwise::{composed, in_working};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// Both operands as tensors; a plain number takes the type of the tensor it meets where that can hold it.
pub(super) fn operands(x1: &impl Operand, x2: &impl Operand, at: At) -> (Tensor, Tensor) {
    let (first, second) = (x1.tensor(DType::I32, at), x2.tensor(DType::I32, at));
    (x1.tensor(second.dtype(), at), x2.tensor(first.dtype(), at))
}

/// What a composite makes of two tensors that have met in one shape and type.
pub(super) fn met(
    name: &'static str,
    at: At,
    (x1, x2): (Tensor, Tensor),
    build: impl FnOnce(&Tensor, &Tensor) -> Tensor,
) -> Tensor {
    composed(name, at, &[&x1, &x2], || match x1.meet(&x2, name, at) {
        Ok((a, b)) => build(&a, &b),
        Err(failed) => failed,
    })
}

/// As [`met`], with both in the working type; a result in float goes back to the float type in which they meet.
pub(super) fn met_in_working(
    name: &'static str,
    at: At,
    pair: (Tensor, Tensor),
    build: impl FnOnce(&Tensor, &Tensor) -> Tensor,
) -> Tensor {
    met(name, at, pair, |a, b| in_working(a, |a| build(a, &b.cast(a.dtype()))))
}

/// `binary!` makes a function of two tensors from its composition.
macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident($met:ident, $a:ident, $b:ident) = $body:expr;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x1: impl $crate::Operand, x2: impl $crate::Operand) -> $crate::Tensor {
            let at = $crate::tensor::here();
            let pair = $crate::ops::arithmetic::operands(&x1, &x2, at);
            $met(stringify!($name), at, pair, |$a: &$crate::Tensor, $b: &$crate::Tensor| $body)
        }
    )* };
}
pub(super) use binary;

/// `primitives!` makes a function of two tensors from a primitive.
macro_rules! primitives {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x1: impl Operand, x2: impl Operand) -> Tensor {
            let at = here();
            let (x1, x2) = operands(&x1, &x2, at);
            x1.binary(BinaryOp::$op, &x2, at).part_of(stringify!($name).trim_end_matches('_'), at, &[x1, x2])
        }
    )* };
}

primitives! {
    /// The larger of two; NaN if either is. Where both are equal, the gradient goes to the first, as in TensorFlow.
    maximum = Max;
    /// The smaller of two; NaN if either is. Where both are equal, the gradient goes to the first, as in TensorFlow.
    minimum = Min;
    /// The remainder with the sign of the divisor; integers give 0 where the divisor is 0, floats NaN. Keras'
    /// `mod`, whose name is a word of Rust's.
    #[doc(alias = "floormod")]
    mod_ = Rem;
    /// `x1` to the power of `x2`, within 16 ulp. Integers multiply; their negative powers are 0 unless the base is ±1.
    #[doc(alias = "pow")]
    power = Pow;
    /// The angle of the point (`x2`, `x1`) in −π..π, as a float.
    #[doc(alias = "atan2")]
    arctan2 = Atan2;
}

binary! {
    /// `x1 + x2`; logical or on booleans, as in NumPy.
    ///
    /// ```
    /// use kiln_graph::{Tensor, ops};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0]);
    /// assert_eq!(ops::add(&x, 1).to_vec::<f32>()?, [2.0, 3.0]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    add(met, a, b) = if a.dtype() == DType::Bool { a.logical_or(b) } else { a + b };
    /// `x1 − x2`. Booleans are an error, as in NumPy: use [`super::logical_xor`].
    #[doc(alias = "sub")]
    subtract(met, a, b) = match a.dtype() {
        DType::Bool => Tensor::invalid("", "expected numbers, received two bool tensors; use logical_xor"),
        _ => a - b,
    };
    /// `x1 · x2`; logical and on booleans, as in NumPy.
    #[doc(alias = "mul")]
    multiply(met, a, b) = if a.dtype() == DType::Bool { a.logical_and(b) } else { a * b };
    /// `x1 / x2`; the quotient of integers is `float32`.
    divide(met, a, b) = a / b;
    /// `x1 / x2`, under NumPy's other name.
    #[doc(alias = "div")]
    true_divide(met, a, b) = a / b;
    /// `x1 / x2`, and 0 where `x2` is 0; the quotient of integers is `float32`.
    divide_no_nan(met, a, b) = {
        let zero = b.equal(0);
        Tensor::select(&zero, 0, a / Tensor::select(&zero, 1, b))
    };
    /// The remainder with the sign of the dividend, as C's `fmod`, exact; integers give 0 where the divisor is 0.
    fmod(met, a, b) = match a.dtype() {
        dtype if dtype.is_float() => fmod_float(a, b),
        DType::Bool => fmod_whole(&a.cast(DType::I32), &b.cast(DType::I32)),
        _ => fmod_whole(a, b),
    };
    /// The larger of two; the other where one is NaN. Where they are equal, the gradient goes to the first.
    fmax(met, a, b) = {
        let (a, b) = without_nan(a, b);
        a.maximum(b)
    };
    /// The smaller of two; the other where one is NaN. Where they are equal, the gradient goes to the first.
    fmin(met, a, b) = {
        let (a, b) = without_nan(a, b);
        a.minimum(b)
    };
    /// 0 where `x1` is negative, 1 where it is positive, `x2` where it is 0, NaN where it is NaN; as a float.
    heaviside(met, a, b) = {
        let (a, b) = (a.to_float(), b.to_float());
        let signs = Tensor::select(&a.equal(0.0), b, a.greater(0.0).cast(a.dtype()));
        Tensor::select(&a.is_nan(), &a, signs)
    };
}

/// The values limited to `x_min..=x_max`, whose gradient at both limits is 1; NaN stays. All three broadcast and meet in one
/// type.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[-3, 1, 9]);
/// assert_eq!(ops::clip(&x, 0, 5).to_vec::<i32>()?, [0, 1, 5]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("clamp", "clip_by_value"))]
#[track_caller]
pub fn clip(x: &Tensor, x_min: impl Operand, x_max: impl Operand) -> Tensor {
    let at = here();
    let (low, high) = (x_min.tensor(x.dtype(), at), x_max.tensor(x.dtype(), at));
    composed("clip", at, &[x, &low, &high], || x.clip(&low, &high))
}

/// Each where it is a number, else the other. The gradient goes to the number alone.
fn without_nan(a: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    if !a.dtype().is_float() {
        return (a.clone(), b.clone());
    }
    (Tensor::select(&a.is_nan(), b, a), Tensor::select(&b.is_nan(), a, b))
}

fn fmod_float(a: &Tensor, b: &Tensor) -> Tensor {
    // Of magnitudes the remainder is exact.
    let (size, rest) = (a.abs(), a.abs().modulo(b.abs()));
    // What is its own remainder stays as it is, −0 too.
    let value = Tensor::select(&rest.equal(size), a, Tensor::select(&a.less(0.0), -&rest, &rest));
    Tensor::custom_gradient(&value, &[a.clone(), b.clone()], |g, _, x| {
        vec![Some(g.clone()), Some(-(g * (&x[0] / &x[1]).trunc()))]
    })
}

fn fmod_whole(a: &Tensor, b: &Tensor) -> Tensor {
    let rest = a.modulo(b);
    if !matches!(a.dtype(), DType::I32 | DType::I64) {
        return rest;
    }
    let other_sign = a.less(0).not_equal(b.less(0)).logical_and(rest.not_equal(0));
    Tensor::select(&other_sign, &rest - b, rest)
}

/// The quotient rounded down. Integers give 0 where the divisor is 0; floats divide as [`divide`] there.
#[doc(alias = "floordiv")]
#[track_caller]
pub fn floor_divide(x1: impl Operand, x2: impl Operand) -> Tensor {
    let at = here();
    let (x1, x2) = operands(&x1, &x2, at);
    floor_divide_at(&x1, &x2, at)
}

pub(super) fn floor_divide_at(x1: &Tensor, x2: &Tensor, at: At) -> Tensor {
    met("floor_divide", at, (x1.clone(), x2.clone()), |a, b| match a.dtype() {
        dtype if dtype.is_float() => in_working(a, |a| floor_divide_float(a, &b.cast(a.dtype()))),
        _ => a.binary(BinaryOp::Div, b, at),
    })
}

/// The quotient of what is left without the remainder: `floor(a / b)` is one too much where the quotient rounds up.
fn floor_divide_float(a: &Tensor, b: &Tensor) -> Tensor {
    let zero = b.equal(0.0);
    let divisor = Tensor::select(&zero, 1.0, b);
    let rest = fmod_float(a, &divisor);
    let whole = ((a - &rest) / &divisor).round();
    let above = rest.not_equal(0.0).logical_and(rest.less(0.0).not_equal(divisor.less(0.0)));
    let quotient = Tensor::select(&above, &whole - 1.0, whole);
    let real = a / b;
    let quotient = Tensor::select(&quotient.equal(0.0), copy_sign(&quotient.abs(), &real), quotient);
    Tensor::select(&zero, real, quotient).stop_gradient()
}
