//! Functions of one tensor, element by element, that are primitives or a step from one.
//!
//! Integers and booleans become `float32` in functions whose results are not whole, as in Keras.

use kiln_device::{DType, UnaryOp};

use crate::error::At;
use crate::tensor::{Tensor, here};

/// What a composite makes of `inputs`: the first error among them, or `build()` with errors of its parts in its name.
pub(super) fn composed(
    name: &'static str,
    at: At,
    inputs: &[&Tensor],
    build: impl FnOnce() -> Tensor,
) -> Tensor {
    match inputs.iter().find(|t| t.error().is_some()) {
        Some(failed) => (*failed).clone(),
        None => build().part_of(name, at, &[]),
    }
}

/// The type in which composites compute: `float64` in itself, all else in `float32`.
pub(crate) fn working(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// `f` of the values in the working type, given back in a half-precision tensor's own: for what looks at bits, or loses
/// too much in half precision.
pub(super) fn in_working(x: &Tensor, f: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
    let y = f(&x.cast(working(x.dtype())));
    if x.dtype().is_float() && y.dtype().is_float() { y.cast(x.dtype()) } else { y }
}

/// The type of a function's values whose results are not whole.
pub(super) fn float_of(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::F32 }
}

/// One of two numbers, in the type that they are for: two plain ones would be `float32`.
pub(super) fn one_of(condition: &Tensor, [a, b]: [f64; 2], dtype: DType) -> Tensor {
    Tensor::select(condition, Tensor::full(&[], a, dtype), b)
}

/// A value whose gradient with respect to its only input is `g · slope(x, y)`.
pub(super) fn with_slope(
    x: &Tensor,
    value: &Tensor,
    slope: impl Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
) -> Tensor {
    Tensor::custom_gradient(value, std::slice::from_ref(x), move |g, y, x| vec![Some(g * slope(&x[0], y))])
}

/// `unary!` makes a function of one tensor from its composition in primitives.
macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident($x:ident) = $body:expr;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x: &$crate::Tensor) -> $crate::Tensor {
            let build = |$x: &$crate::Tensor| $body;
            $crate::ops::pointwise::composed(stringify!($name), $crate::tensor::here(), &[x], || build(x))
        }
    )* };
}
pub(super) use unary;

/// `primitives!` makes a function of one tensor from a primitive.
macro_rules! primitives {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x: &Tensor) -> Tensor {
            let at = here();
            x.unary(UnaryOp::$op, at).part_of(stringify!($name), at, std::slice::from_ref(x))
        }
    )* };
}

primitives! {
    /// `e^x`.
    exp = Exp;
    /// `e^x − 1`, accurate near 0.
    expm1 = Expm1;
    /// Natural logarithm; NaN below 0, −∞ at 0.
    log = Log;
    /// `log(1 + x)`, accurate near 0.
    log1p = Log1p;
    /// Square root; NaN below 0.
    sqrt = Sqrt;
    /// Sine, in radians: within 10⁻⁶ for |x| ≤ 10⁴ in `float32`.
    sin = Sin;
    /// Cosine, in radians: within 10⁻⁶ for |x| ≤ 10⁴ in `float32`.
    cos = Cos;
    /// Hyperbolic tangent.
    tanh = Tanh;
    /// Inverse tangent, in −π/2..π/2.
    #[doc(alias = "atan")]
    arctan = Atan;
    /// The largest whole number not above `x`, as a float.
    floor = Floor;
    /// The smallest whole number not below `x`, as a float.
    #[doc(alias = "ceiling")]
    ceil = Ceil;
    /// True where a float is NaN.
    isnan = IsNan;
}

unary! {
    /// `|x|`, whose gradient at 0 is 0; integers and booleans keep their type.
    abs(x) = if x.dtype() == DType::Bool { x.clone() } else { x.abs() };
    /// `|x|`, under NumPy's other name.
    absolute(x) = abs(x);
    /// `|x|`, as a float.
    fabs(x) = x.to_float().abs();
    /// `−x`; wraps on unsigned integers. Booleans are an error, as in NumPy: use [`crate::ops::logical_not`].
    negative(x) = if x.dtype() == DType::Bool { no_bool("logical_not") } else { -x };
    /// −1, 0 or 1; NaN and −0 stay. Booleans are an error, as in NumPy.
    sign(x) = if x.dtype() == DType::Bool { no_bool("cast") } else { x.sign() };
    /// `x · x`; booleans count as `int32`.
    square(x) = x.square();
    /// `1 / x`, as a float.
    reciprocal(x) = x.reciprocal();
    /// The whole part, towards 0; integers and booleans stay as they are.
    trunc(x) = if x.dtype().is_float() { x.trunc() } else { x.clone() };
    /// Degrees as radians: `x · π / 180`.
    deg2rad(x) = x * (std::f64::consts::PI / 180.0);
    /// Radians as degrees: `x · 180 / π`.
    rad2deg(x) = x * (180.0 / std::f64::consts::PI);
    /// Tangent, in radians: as accurate as sine and cosine.
    tan(x) = {
        let x = &x.to_float();
        with_slope(x, &x.tan(), |_, y| 1.0 + y.square())
    };
    /// The value itself. A tensor never changes, so that nothing is copied.
    copy(x) = x.clone();
    /// The complex conjugate: the value itself, because tensors are real.
    conj(x) = x.clone();
    /// The complex conjugate, under NumPy's other name.
    conjugate(x) = x.clone();
    /// The real part: the value itself, because tensors are real.
    real(x) = x.clone();
    /// The imaginary part: zeros of the same type, because tensors are real.
    imag(x) = x.zeros_like();
    /// The angle of a real number in the complex plane: 0, or π for negative ones (−0 too), as a float. Its gradient is 0.
    angle(x) = {
        let x = x.to_float().stop_gradient();
        x.zeros_like().arctan2(&x)
    };
}

fn no_bool(instead: &str) -> Tensor {
    Tensor::invalid("", format!("expected numbers, received bool; use {instead}"))
}

/// Rounded to so many decimals, halves to even; negative `decimals` round tens, hundreds and so on. Integers keep their
/// type; booleans are an error, as in NumPy.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[2.5f32, 1.256]);
/// assert_eq!(ops::round(&x, 0).to_vec::<f32>()?, [2.0, 1.0]);
/// assert_eq!(ops::round(&x, 2).to_vec::<f32>()?, [2.5, 1.26]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn round(x: &Tensor, decimals: i32) -> Tensor {
    composed("round", here(), &[x], || match x.dtype() {
        DType::Bool => no_bool("cast"),
        dtype if dtype.is_integer() => round_whole(x, decimals),
        _ if decimals == 0 => x.round(),
        _ => in_working(x, |x| round_float(x, decimals)),
    })
}

/// From some size on every float is whole, and a product with a power of ten might overflow.
fn round_float(x: &Tensor, decimals: i32) -> Tensor {
    let (most, whole) = if x.dtype() == DType::F64 { (308, 2f64.powi(52)) } else { (38, 2f64.powi(23)) };
    let scale = 10f64.powi(decimals.saturating_abs().min(most));
    if decimals < 0 {
        return (x / scale).round() * scale;
    }
    let inside = x.abs().less(whole);
    let scaled = Tensor::select(&inside, x, 0.0) * scale;
    // What overflows now has fewer decimals than are asked for.
    let fits = inside.logical_and(scaled.is_finite());
    Tensor::select(&fits, scaled.round() / scale, x)
}

fn round_whole(x: &Tensor, decimals: i32) -> Tensor {
    if decimals >= 0 {
        return x.clone();
    }
    let step = 10i64.checked_pow(decimals.unsigned_abs());
    let most = if x.dtype() == DType::I64 { i64::MAX } else { i64::from(i32::MAX) };
    let Some(step) = step.filter(|step| *step <= most) else {
        return x.zeros_like();
    };
    if step > 255 && x.dtype() == DType::U8 {
        // 255 is nearer to 0 than to 1000; it has no 1000 either.
        return x.zeros_like();
    }
    let quotient = x.floor_divide(step);
    let rest = x - &quotient * step;
    let odd = quotient.logical_and(1).equal(1);
    // `step` is even: the half is whole.
    let half = step / 2;
    let up = rest.greater(half).logical_or(rest.equal(half).logical_and(odd));
    (quotient + up.cast(x.dtype())) * step
}
