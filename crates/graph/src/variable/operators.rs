//! Variables in expressions: each stands for its value where it is written.

use kiln_device::DType;

use super::Variable;
use crate::error::At;
use crate::ops::Operand;
use crate::tensor::{Tensor, here};

impl Operand for Variable {
    fn tensor(&self, _: DType, at: At) -> Tensor {
        self.read_at(at)
    }
}

impl Operand for &Variable {
    fn tensor(&self, _: DType, at: At) -> Tensor {
        self.read_at(at)
    }
}

// A variable to the right of a tensor is an operand like others.
macro_rules! operator {
    ($($trait:ident $method:ident;)*) => { $(
        impl<R: Operand> std::ops::$trait<R> for &Variable {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: R) -> Tensor {
                std::ops::$trait::$method(self.read_at(here()), other)
            }
        }
        operator!(@left $trait $method, f64);
        operator!(@left $trait $method, i32);
    )* };
    (@left $trait:ident $method:ident, $lhs:ty) => {
        impl std::ops::$trait<&Variable> for $lhs {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Variable) -> Tensor {
                std::ops::$trait::$method(self, other.read_at(here()))
            }
        }
    };
}

operator! {
    Add add;
    Sub sub;
    Mul mul;
    Div div;
    Rem rem;
}

impl std::ops::Neg for &Variable {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -self.read_at(here())
    }
}
