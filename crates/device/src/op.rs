//! The elementwise and reduction operations: one table for the graph, the kernels, both executors and the interpreter.
//!
//! Float operations compute in the type of their registers on a device and in `f64` in the reference interpreter. Integer
//! arithmetic wraps.

use serde::{Deserialize, Serialize};

/// `op!` declares an enum with a name for every variant and the list of all of them.
macro_rules! op {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every operation of the table.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The name under which the operation is printed.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

op! {
    /// An operation on one value.
    UnaryOp {
        /// `-x`; wraps on integers.
        Neg => "neg",
        /// `|x|`.
        Abs => "abs",
        /// −1, 0 or 1; NaN stays NaN.
        Sign => "sign",
        /// `e^x`.
        Exp => "exp",
        /// `e^x − 1`, accurate near 0.
        Expm1 => "expm1",
        /// Natural logarithm; NaN below 0, −∞ at 0.
        Log => "log",
        /// `log(1 + x)`, accurate near 0.
        Log1p => "log1p",
        /// Square root; NaN below 0.
        Sqrt => "sqrt",
        /// `1 / sqrt(x)`.
        Rsqrt => "rsqrt",
        /// Sine, in radians.
        Sin => "sin",
        /// Cosine, in radians.
        Cos => "cos",
        /// Hyperbolic tangent.
        Tanh => "tanh",
        /// Inverse tangent, in radians.
        Atan => "atan",
        /// Gauss error function.
        Erf => "erf",
        /// `1 / (1 + e^−x)`.
        Sigmoid => "sigmoid",
        /// Largest whole number not above `x`.
        Floor => "floor",
        /// Smallest whole number not below `x`.
        Ceil => "ceil",
        /// Nearest whole number, halves to even.
        Round => "round",
        /// The whole part, towards 0.
        Trunc => "trunc",
        /// Logical not of a `bool`; bitwise not of an integer.
        Not => "not",
        /// True where a float is NaN; the result is `bool`.
        IsNan => "is_nan",
    }
}

op! {
    /// An operation on two values of one type.
    BinaryOp {
        /// `a + b`.
        Add => "add",
        /// `a − b`.
        Sub => "sub",
        /// `a · b`.
        Mul => "mul",
        /// `a / b`; on integers the quotient rounded down (0 where `b` is 0), as NumPy's `floor_divide`.
        Div => "div",
        /// The remainder with the sign of `b`, as NumPy's `mod`; integers give 0 where `b` is 0.
        Rem => "rem",
        /// `a` to the power of `b`, as C's `powf`; on integers repeated multiplication (negative `b`: 0 unless `a` is ±1).
        Pow => "pow",
        /// The larger; NaN if either is. Logical or on `bool`.
        Max => "max",
        /// The smaller; NaN if either is. Logical and on `bool`.
        Min => "min",
        /// The angle of the point (b, a), in radians.
        Atan2 => "atan2",
        /// Logical and of `bool`s; bitwise and of integers.
        And => "and",
        /// Logical or; bitwise or.
        Or => "or",
        /// Exclusive or.
        Xor => "xor",
        /// Left shift of an integer; the distance is taken modulo the bits of the type.
        Shl => "shl",
        /// Right shift of an integer, arithmetic on signed ones; the distance is taken modulo the bits of the type.
        Shr => "shr",
    }
}

op! {
    /// A comparison; the result is `bool`. A comparison with NaN is false, except `Ne`.
    CompareOp {
        /// `a == b`.
        Eq => "eq",
        /// `a != b`.
        Ne => "ne",
        /// `a < b`.
        Lt => "lt",
        /// `a <= b`.
        Le => "le",
        /// `a > b`.
        Gt => "gt",
        /// `a >= b`.
        Ge => "ge",
    }
}

op! {
    /// An associative operation that folds many values into one.
    ReduceOp {
        /// Sum; starts at 0.
        Sum => "sum",
        /// Product; starts at 1.
        Prod => "prod",
        /// Maximum; NaN if any is; starts at the type's lowest value (−∞). Logical or on `bool`.
        Max => "max",
        /// Minimum; NaN if any is; starts at the type's highest value (+∞). Logical and on `bool`.
        Min => "min",
    }
}

use crate::dtype::{Scalar, Value};

impl ReduceOp {
    /// The value that changes nothing: what an empty reduction gives.
    pub const fn identity(self, scalar: Scalar) -> Value {
        match (self, scalar) {
            (ReduceOp::Sum, s) => Value::zero(s),
            (ReduceOp::Prod, Scalar::F32) => Value::F32(1.0),
            (ReduceOp::Prod, Scalar::F64) => Value::F64(1.0),
            (ReduceOp::Prod, Scalar::I32) => Value::I32(1),
            (ReduceOp::Prod, Scalar::I64) => Value::I64(1),
            (ReduceOp::Prod, Scalar::U32) => Value::U32(1),
            (ReduceOp::Prod, Scalar::Bool) => Value::Bool(true),
            (ReduceOp::Max, Scalar::F32) => Value::F32(f32::NEG_INFINITY),
            (ReduceOp::Max, Scalar::F64) => Value::F64(f64::NEG_INFINITY),
            (ReduceOp::Max, Scalar::I32) => Value::I32(i32::MIN),
            (ReduceOp::Max, Scalar::I64) => Value::I64(i64::MIN),
            (ReduceOp::Max, Scalar::U32) => Value::U32(0),
            (ReduceOp::Max, Scalar::Bool) => Value::Bool(false),
            (ReduceOp::Min, Scalar::F32) => Value::F32(f32::INFINITY),
            (ReduceOp::Min, Scalar::F64) => Value::F64(f64::INFINITY),
            (ReduceOp::Min, Scalar::I32) => Value::I32(i32::MAX),
            (ReduceOp::Min, Scalar::I64) => Value::I64(i64::MAX),
            (ReduceOp::Min, Scalar::U32) => Value::U32(u32::MAX),
            (ReduceOp::Min, Scalar::Bool) => Value::Bool(true),
        }
    }

    /// The binary operation that folds two partial results.
    pub const fn combine(self) -> BinaryOp {
        match self {
            ReduceOp::Sum => BinaryOp::Add,
            ReduceOp::Prod => BinaryOp::Mul,
            ReduceOp::Max => BinaryOp::Max,
            ReduceOp::Min => BinaryOp::Min,
        }
    }
}

impl UnaryOp {
    /// The register type of the result, or `None` where the operation has no meaning on `of`.
    pub const fn result(self, of: Scalar) -> Option<Scalar> {
        match self {
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign if !matches!(of, Scalar::Bool) => Some(of),
            UnaryOp::Not if !of.is_float() => Some(of),
            UnaryOp::IsNan if of.is_float() => Some(Scalar::Bool),
            UnaryOp::Not => None,
            _ if of.is_float() => Some(of),
            _ => None,
        }
    }
}

impl BinaryOp {
    /// True where the operation has a meaning on registers of type `of`; the result has the same type.
    pub const fn accepts(self, of: Scalar) -> bool {
        match self {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem | BinaryOp::Pow => {
                !matches!(of, Scalar::Bool)
            }
            BinaryOp::Max | BinaryOp::Min => true,
            BinaryOp::Atan2 => of.is_float(),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => !of.is_float(),
            BinaryOp::Shl | BinaryOp::Shr => of.is_integer(),
        }
    }
}
