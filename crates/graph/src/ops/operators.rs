//! Rust's operators on tensors.
//!
//! Arithmetic is NumPy's and Python's: `/` gives floats, `%` has the sign of the divisor. `&`, `|`, `^`, `!` are of bits of
//! integers, and logical of booleans. An assignment such as `x += y` makes `x` stand for another tensor: the one that it
//! stood for never changes.

use kiln_device::{BinaryOp, UnaryOp};

use super::Operand;
use super::bits::{bitwise_left_shift, bitwise_right_shift};
use crate::error::At;
use crate::tensor::{Tensor, here};

type Call = fn(&Tensor, &Tensor, At) -> Tensor;

// One implementation for every right operand: more would leave the type of `x + 1.0` open until the literal's is known.
// On the left stand `f64` and `i32`, the types of literals.
macro_rules! operator {
    ($($trait:ident $method:ident $assign:ident $assigned:ident [$($number:ty),*] $call:expr;)*) => { $(
        operator!(@one $trait $method $call, Tensor);
        operator!(@one $trait $method $call, &Tensor);
        impl<R: Operand> std::ops::$assign<R> for Tensor {
            #[track_caller]
            fn $assigned(&mut self, other: R) {
                let at = here();
                const CALL: Call = $call;
                *self = CALL(self, &other.tensor(self.dtype(), at), at);
            }
        }
        $(
            operator!(@left $trait $method $call, $number, Tensor);
            operator!(@left $trait $method $call, $number, &Tensor);
        )*
    )* };
    (@one $trait:ident $method:ident $call:expr, $lhs:ty) => {
        impl<R: Operand> std::ops::$trait<R> for $lhs {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: R) -> Tensor {
                let at = here();
                const CALL: Call = $call;
                CALL(&self, &other.tensor(self.dtype(), at), at)
            }
        }
    };
    (@left $trait:ident $method:ident $call:expr, $lhs:ty, $rhs:ty) => {
        impl std::ops::$trait<$rhs> for $lhs {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $rhs) -> Tensor {
                let at = here();
                const CALL: Call = $call;
                CALL(&self.tensor(other.dtype(), at), &other, at)
            }
        }
    };
}

operator! {
    Add add AddAssign add_assign [f64, i32] |a, b, at| a.binary(BinaryOp::Add, b, at);
    Sub sub SubAssign sub_assign [f64, i32] |a, b, at| a.binary(BinaryOp::Sub, b, at);
    Mul mul MulAssign mul_assign [f64, i32] |a, b, at| a.binary(BinaryOp::Mul, b, at);
    Div div DivAssign div_assign [f64, i32] |a, b, at| a.true_divide(b, at);
    Rem rem RemAssign rem_assign [f64, i32] |a, b, at| a.binary(BinaryOp::Rem, b, at);
    BitAnd bitand BitAndAssign bitand_assign [i32] |a, b, at| a.binary(BinaryOp::And, b, at);
    BitOr bitor BitOrAssign bitor_assign [i32] |a, b, at| a.binary(BinaryOp::Or, b, at);
    BitXor bitxor BitXorAssign bitxor_assign [i32] |a, b, at| a.binary(BinaryOp::Xor, b, at);
    Shl shl ShlAssign shl_assign [i32] |a, b, at| {
        bitwise_left_shift(a, b).part_of("left_shift", at, &[a.clone(), b.clone()])
    };
    Shr shr ShrAssign shr_assign [i32] |a, b, at| {
        bitwise_right_shift(a, b).part_of("right_shift", at, &[a.clone(), b.clone()])
    };
}

macro_rules! prefix {
    ($($trait:ident $method:ident $op:ident $type:ty;)*) => { $(
        impl std::ops::$trait for $type {
            type Output = Tensor;
            #[track_caller]
            fn $method(self) -> Tensor {
                self.unary(UnaryOp::$op, here())
            }
        }
    )* };
}

prefix! {
    Neg neg Neg Tensor;
    Neg neg Neg &Tensor;
    Not not Not Tensor;
    Not not Not &Tensor;
}
