//! Elementwise operations, with broadcasting and dtype promotion.

use kiln_device::{BinaryOp, CompareOp, DType, UnaryOp, Value};

use super::arithmetic::operands;
use super::creation::value_of;
use crate::error::At;
use crate::op::Op;
use crate::shape;
use crate::tensor::{Tensor, here};

/// The dtype in which two tensors meet, as Keras has it: `bool` < integers < floats; no integer makes a float wider, not
/// even `int64`. The one exception: `uint32` and `int32` meet in `int32`, not in `int64`, which GPUs lack.
pub fn promote(a: DType, b: DType) -> DType {
    use DType::{BF16, Bool, F16, F32, F64, I32, I64, U8, U32};
    match (a, b) {
        (a, b) if a == b => a,
        (Bool, other) | (other, Bool) => other,
        (F64, _) | (_, F64) => F64,
        (F32, _) | (_, F32) | (F16, BF16) | (BF16, F16) => F32,
        (F16, _) | (_, F16) => F16,
        (BF16, _) | (_, BF16) => BF16,
        (I64, _) | (_, I64) => I64,
        (U8, other) | (other, U8) => other,
        (I32 | U32, I32 | U32) => I32,
    }
}

/// A tensor or a plain number, which takes the dtype of the tensor it meets where that can hold it.
pub trait Operand {
    /// As a tensor that meets another of dtype `with`.
    fn tensor(&self, with: DType, at: At) -> Tensor;
}

impl Operand for Tensor {
    fn tensor(&self, _: DType, _: At) -> Tensor {
        self.clone()
    }
}

impl Operand for &Tensor {
    fn tensor(&self, _: DType, _: At) -> Tensor {
        (*self).clone()
    }
}

impl Operand for f32 {
    fn tensor(&self, with: DType, at: At) -> Tensor {
        f64::from(*self).tensor(with, at)
    }
}

impl Operand for f64 {
    /// The number rounded to the float type that it meets, and to `float32` beside integers and booleans.
    fn tensor(&self, with: DType, at: At) -> Tensor {
        let dtype = if with.is_float() { with } else { DType::F32 };
        Tensor::constant(value_of(*self, dtype), vec![], dtype, at)
    }
}

impl Operand for i32 {
    fn tensor(&self, with: DType, at: At) -> Tensor {
        i64::from(*self).tensor(with, at)
    }
}

impl Operand for i64 {
    /// The number in the type that it meets, or in the next integer type that holds it.
    fn tensor(&self, with: DType, at: At) -> Tensor {
        let fits = match with {
            DType::U8 => u8::try_from(*self).is_ok(),
            DType::U32 => u32::try_from(*self).is_ok(),
            DType::I32 => i32::try_from(*self).is_ok(),
            DType::Bool => false,
            DType::I64 | DType::F32 | DType::F64 | DType::F16 | DType::BF16 => true,
        };
        let dtype = match i32::try_from(*self) {
            _ if fits => with,
            Ok(_) => DType::I32,
            Err(_) => DType::I64,
        };
        let value = if dtype == DType::I64 { Value::I64(*self) } else { value_of(*self as f64, dtype) };
        Tensor::constant(value, vec![], dtype, at)
    }
}

impl Tensor {
    pub(super) fn unary(&self, op: UnaryOp, at: At) -> Tensor {
        let dtype = match op.result(self.dtype().scalar()) {
            Some(scalar) if scalar == self.dtype().scalar() => self.dtype(),
            Some(_) => DType::Bool,
            // Integers become floats where the operation asks for them, as in NumPy and Keras.
            None if op.result(DType::F32.scalar()).is_some() && self.error().is_none() => {
                return self.cast_at(DType::F32, at).unary(op, at);
            }
            None => {
                return self.or_failed(op.name(), || format!("is not defined on {}", self.dtype()), at);
            }
        };
        Tensor::op(Op::Unary(op), vec![self.clone()], self.shape().to_vec(), dtype, at)
    }

    fn or_failed(&self, op: &'static str, message: impl FnOnce() -> String, at: At) -> Tensor {
        if self.error().is_some() { self.clone() } else { Tensor::failed(op, message(), at) }
    }

    /// Both tensors in one shape and dtype, or a failed one.
    pub(super) fn meet(&self, other: &Tensor, op: &'static str, at: At) -> Result<(Tensor, Tensor), Tensor> {
        if let Some(failed) = [self, other].into_iter().find(|t| t.error().is_some()) {
            return Err(failed.clone());
        }
        let dtype = promote(self.dtype(), other.dtype());
        let Some(shape) = shape::broadcast(self.shape(), other.shape()) else {
            let message = format!(
                "shapes {:?} and {:?} do not broadcast: dimensions, aligned from the last, must be equal or 1",
                self.shape(),
                other.shape()
            );
            return Err(Tensor::failed(op, message, at));
        };
        let fit = |t: &Tensor| t.cast_at(dtype, at).broadcast_at(&shape, at);
        Ok((fit(self), fit(other)))
    }

    pub(crate) fn binary(&self, op: BinaryOp, other: &Tensor, at: At) -> Tensor {
        let (a, b) = match self.meet(other, op.name(), at) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        if !op.accepts(a.dtype().scalar()) {
            // As NumPy: arithmetic on booleans happens in integers, float functions on integers in floats.
            let to = if a.dtype() == DType::Bool { DType::I32 } else { DType::F32 };
            if matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr) {
                return Tensor::failed(
                    op.name(),
                    format!("expected integers or bool, received {}", a.dtype()),
                    at,
                );
            }
            return a.cast_at(to, at).binary(op, &b.cast_at(to, at), at);
        }
        let (shape, dtype) = (a.shape().to_vec(), a.dtype());
        Tensor::op(Op::Binary(op), vec![a, b], shape, dtype, at)
    }

    pub(super) fn compare(&self, op: CompareOp, other: &Tensor, at: At) -> Tensor {
        match self.meet(other, op.name(), at) {
            Ok((a, b)) => {
                let shape = a.shape().to_vec();
                Tensor::op(Op::Compare(op), vec![a, b], shape, DType::Bool, at)
            }
            Err(failed) => failed,
        }
    }

    pub(crate) fn cast_at(&self, dtype: DType, at: At) -> Tensor {
        if self.dtype() == dtype {
            return self.clone();
        }
        Tensor::op(Op::Cast, vec![self.clone()], self.shape().to_vec(), dtype, at)
    }

    /// Conversion by value: floats to integers truncate and saturate (NaN gives 0), anything to `bool` is `≠ 0`.
    #[doc(alias = "astype")]
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        self.cast_at(dtype, here())
    }

    /// The same bits as another type of as many: among `float32`, `int32` and `uint32`, or `float64` and `int64`.
    #[track_caller]
    pub fn bitcast(&self, dtype: DType) -> Tensor {
        Tensor::op(Op::Bitcast, vec![self.clone()], self.shape().to_vec(), dtype, here())
    }

    /// Elements of `a` where the condition (`bool`) is true, else of `b`; NumPy's `where`. All three broadcast. A plain
    /// number has the dtype of the tensor beside it, two of them are `int32` or `float32`, as in Keras.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// let x = Tensor::from_slice(&[-1.0f32, 2.0]);
    /// assert_eq!(Tensor::select(&x.greater(0.0), &x, 0.0).to_vec::<f32>()?, [0.0, 2.0]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[doc(alias = "where")]
    #[track_caller]
    pub fn select(condition: &Tensor, a: impl Operand, b: impl Operand) -> Tensor {
        let at = here();
        let (a, b) = operands(&a, &b, at);
        let (a, b) = match a.meet(&b, "select", at) {
            Ok(pair) => pair,
            Err(failed) => return failed,
        };
        if condition.error().is_some() {
            return condition.clone();
        }
        if condition.dtype() != DType::Bool {
            let message =
                format!("expected a bool condition, received {}; compare it first", condition.dtype());
            return Tensor::failed("select", message, at);
        }
        let Some(shape) = shape::broadcast(condition.shape(), a.shape()) else {
            let message =
                format!("condition {:?} and values {:?} do not broadcast", condition.shape(), a.shape());
            return Tensor::failed("select", message, at);
        };
        let dtype = a.dtype();
        let inputs = [condition, &a, &b].map(|t| t.broadcast_at(&shape, at)).to_vec();
        Tensor::op(Op::Select, inputs, shape, dtype, at)
    }

    /// `x · x`.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self.binary(BinaryOp::Mul, self, here())
    }

    /// `1 / x`.
    #[track_caller]
    pub fn reciprocal(&self) -> Tensor {
        let at = here();
        1.0f64.tensor(self.dtype(), at).true_divide(self, at)
    }

    pub(super) fn true_divide(&self, other: &Tensor, at: At) -> Tensor {
        if self.dtype().is_float() || other.dtype().is_float() {
            return self.binary(BinaryOp::Div, other, at);
        }
        self.cast_at(DType::F32, at).binary(BinaryOp::Div, &other.cast_at(DType::F32, at), at)
    }

    /// The quotient rounded down.
    #[doc(alias = "floordiv")]
    #[track_caller]
    pub fn floor_divide(&self, other: impl Operand) -> Tensor {
        super::arithmetic::floor_divide_at(self, &other.tensor(self.dtype(), here()), here())
    }

    /// The values limited to `low..=high`; their gradient at both limits is 1.
    #[doc(alias("clamp", "clip_by_value"))]
    #[track_caller]
    pub fn clip(&self, low: impl Operand, high: impl Operand) -> Tensor {
        let at = here();
        let raised = self.binary(BinaryOp::Max, &low.tensor(self.dtype(), at), at);
        raised.binary(BinaryOp::Min, &high.tensor(self.dtype(), at), at)
    }

    /// True where a float is neither NaN nor infinite.
    #[doc(alias = "isfinite")]
    #[track_caller]
    pub fn is_finite(&self) -> Tensor {
        let at = here();
        let limit = f64::INFINITY.tensor(self.dtype(), at);
        self.unary(UnaryOp::Abs, at).compare(CompareOp::Lt, &limit, at)
    }

    /// Tangent, in radians.
    #[track_caller]
    pub fn tan(&self) -> Tensor {
        let at = here();
        self.unary(UnaryOp::Sin, at).binary(BinaryOp::Div, &self.unary(UnaryOp::Cos, at), at)
    }
}

macro_rules! unary {
    ($($(#[$doc:meta])* $method:ident => $op:ident,)*) => {
        impl Tensor { $(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(&self) -> Tensor {
                self.unary(UnaryOp::$op, here())
            }
        )* }
    };
}

unary! {
    /// `−x`.
    #[doc(alias = "negative")]
    neg => Neg,
    /// `|x|`; its gradient at 0 is 0.
    abs => Abs,
    /// −1, 0 or 1.
    sign => Sign,
    /// `e^x`.
    exp => Exp,
    /// `e^x − 1`, accurate near 0.
    expm1 => Expm1,
    /// Natural logarithm.
    log => Log,
    /// `log(1 + x)`, accurate near 0.
    log1p => Log1p,
    /// Square root.
    sqrt => Sqrt,
    /// `1 / sqrt(x)`.
    rsqrt => Rsqrt,
    /// Sine, in radians.
    sin => Sin,
    /// Cosine, in radians.
    cos => Cos,
    /// Hyperbolic tangent.
    tanh => Tanh,
    /// Inverse tangent, in radians.
    #[doc(alias = "atan")]
    arctan => Atan,
    /// Gauss error function.
    erf => Erf,
    /// `1 / (1 + e^−x)`.
    sigmoid => Sigmoid,
    /// Rounded down.
    floor => Floor,
    /// Rounded up.
    #[doc(alias = "ceiling")]
    ceil => Ceil,
    /// Rounded to the nearest whole number, halves to even.
    round => Round,
    /// The whole part.
    trunc => Trunc,
    /// Logical not of `bool`; bitwise not of integers.
    #[doc(alias = "bitwise_not")]
    logical_not => Not,
    /// True where a float is NaN.
    #[doc(alias = "isnan")]
    is_nan => IsNan,
}

macro_rules! binary {
    ($($(#[$doc:meta])* $method:ident => $op:ident,)*) => {
        impl Tensor { $(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(&self, other: impl Operand) -> Tensor {
                let at = here();
                self.binary(BinaryOp::$op, &other.tensor(self.dtype(), at), at)
            }
        )* }
    };
}

binary! {
    /// The larger of two; NaN if either is. Where they are equal, the gradient goes to the first.
    maximum => Max,
    /// The smaller of two; NaN if either is. Where they are equal, the gradient goes to the first.
    minimum => Min,
    /// `x` to the power of `other`. The gradient is 0 for an exponent where `x` ≤ 0, and for `x` where the exponent is 0.
    #[doc(alias = "power")]
    pow => Pow,
    /// The angle of the point (other, self), in radians.
    #[doc(alias = "atan2")]
    arctan2 => Atan2,
    /// The remainder with the sign of the divisor.
    #[doc(alias("mod", "floormod", "remainder"))]
    modulo => Rem,
    /// Logical and; bitwise on integers.
    #[doc(alias = "bitwise_and")]
    logical_and => And,
    /// Logical or; bitwise on integers.
    #[doc(alias = "bitwise_or")]
    logical_or => Or,
    /// Exclusive or; bitwise on integers.
    #[doc(alias = "bitwise_xor")]
    logical_xor => Xor,
    /// Left shift of integers.
    #[doc(alias = "bitwise_left_shift")]
    left_shift => Shl,
    /// Right shift of integers.
    #[doc(alias = "bitwise_right_shift")]
    right_shift => Shr,
}

macro_rules! compare {
    ($($(#[$doc:meta])* $method:ident => $op:ident,)*) => {
        impl Tensor { $(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(&self, other: impl Operand) -> Tensor {
                let at = here();
                self.compare(CompareOp::$op, &other.tensor(self.dtype(), at), at)
            }
        )* }
    };
}

compare! {
    /// Elementwise `==`, as `bool`.
    #[doc(alias = "eq")]
    equal => Eq,
    /// Elementwise `!=`.
    #[doc(alias = "ne")]
    not_equal => Ne,
    /// Elementwise `<`.
    #[doc(alias("lt", "less_than"))]
    less => Lt,
    /// Elementwise `<=`.
    #[doc(alias = "le")]
    less_equal => Le,
    /// Elementwise `>`.
    #[doc(alias = "gt")]
    greater => Gt,
    /// Elementwise `>=`.
    #[doc(alias = "ge")]
    greater_equal => Ge,
}
