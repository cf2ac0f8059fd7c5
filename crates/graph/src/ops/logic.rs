//! Comparisons, logic, and choice by a condition.

use kiln_device::{CompareOp, DType};

use super::arithmetic::{binary, met, operands};
use super::bits::isfinite;
use super::pointwise::{composed, unary, working};
use crate::ops::Operand;
use crate::tensor::{Tensor, here};

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(x1: impl Operand, x2: impl Operand) -> Tensor {
            let at = here();
            let (x1, x2) = operands(&x1, &x2, at);
            x1.compare(CompareOp::$op, &x2, at).part_of(stringify!($name), at, &[x1, x2])
        }
    )* };
}

comparisons! {
    /// Elementwise `==`, as `bool`; false beside NaN.
    #[doc(alias = "eq")]
    equal = Eq;
    /// Elementwise `≠`, as `bool`; true beside NaN.
    #[doc(alias = "ne")]
    not_equal = Ne;
    /// Elementwise `<`, as `bool`; false beside NaN.
    #[doc(alias("lt", "less_than"))]
    less = Lt;
    /// Elementwise `≤`, as `bool`; false beside NaN.
    #[doc(alias = "le")]
    less_equal = Le;
    /// Elementwise `>`, as `bool`; false beside NaN.
    #[doc(alias = "gt")]
    greater = Gt;
    /// Elementwise `≥`, as `bool`; false beside NaN.
    #[doc(alias = "ge")]
    greater_equal = Ge;
}

unary! {
    /// True where the value is 0.
    #[doc(alias = "bitwise_not")]
    logical_not(x) = x.cast(DType::Bool).logical_not();
}

binary! {
    /// True where both values are not 0.
    #[doc(alias = "bitwise_and")]
    logical_and(met, a, b) = a.cast(DType::Bool).logical_and(b.cast(DType::Bool));
    /// True where at least one value is not 0.
    #[doc(alias = "bitwise_or")]
    logical_or(met, a, b) = a.cast(DType::Bool).logical_or(b.cast(DType::Bool));
    /// True where exactly one value is not 0.
    #[doc(alias = "bitwise_xor")]
    logical_xor(met, a, b) = a.cast(DType::Bool).logical_xor(b.cast(DType::Bool));
}

/// True where `|x1 − x2| ≤ atol + rtol · |x2|`, or both are the same infinity; with `equal_nan` also where both are NaN.
#[track_caller]
pub fn isclose(
    x1: impl Operand,
    x2: impl Operand,
    rtol: impl Into<f64>,
    atol: impl Into<f64>,
    equal_nan: bool,
) -> Tensor {
    let at = here();
    met("isclose", at, operands(&x1, &x2, at), |a, b| {
        let same = a.equal(b);
        let work = working(a.dtype());
        let (a, b) = (&a.cast(work), &b.cast(work));
        let near = (a - b).abs().less_equal(b.abs() * rtol.into() + atol.into());
        let close = near.logical_and(isfinite(a)).logical_and(isfinite(b)).logical_or(same);
        if equal_nan { close.logical_or(a.is_nan().logical_and(b.is_nan())) } else { close }
    })
}

/// True (a scalar) where [`isclose`] holds for all elements.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 2.0]);
/// assert!(ops::allclose(&x, &(&x + 1e-7), 1e-5, 1e-8, false).item::<bool>()?);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn allclose(
    x1: impl Operand,
    x2: impl Operand,
    rtol: impl Into<f64>,
    atol: impl Into<f64>,
    equal_nan: bool,
) -> Tensor {
    let at = here();
    let (x1, x2) = operands(&x1, &x2, at);
    composed("allclose", at, &[&x1, &x2], || isclose(&x1, &x2, rtol, atol, equal_nan).all(()))
}

/// Elements of `x1` where the condition is true (not 0), else of `x2`; all three broadcast. Keras' `where`, whose name
/// is a word of Rust's; for the positions of true elements see `nonzero`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[-1.0f32, 2.0]);
/// assert_eq!(ops::where_(&x.greater(0.0), &x, 0.0).to_vec::<f32>()?, [0.0, 2.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "where")]
#[track_caller]
pub fn where_(condition: &Tensor, x1: impl Operand, x2: impl Operand) -> Tensor {
    let at = here();
    let (a, b) = operands(&x1, &x2, at);
    composed("where", at, &[condition, &a, &b], || Tensor::select(&condition.cast(DType::Bool), &a, &b))
}
