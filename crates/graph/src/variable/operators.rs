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

macro_rules! operator {
    ($($trait:ident $method:ident;)*) => { $(
        operator!(@right $trait $method, &Variable, |v: &Variable, at| v.read_at(at));
        operator!(@right $trait $method, Tensor, |t: Tensor, _| t);
        operator!(@right $trait $method, &Tensor, |t: &Tensor, _| t.clone());
        operator!(@right $trait $method, f32, |number: f32, _| number);
        operator!(@right $trait $method, i32, |number: i32, _| number);
        operator!(@left $trait $method, Tensor);
        operator!(@left $trait $method, &Tensor);
        operator!(@left $trait $method, f32);
        operator!(@left $trait $method, i32);
    )* };
    (@right $trait:ident $method:ident, $rhs:ty, $value:expr) => {
        impl std::ops::$trait<$rhs> for &Variable {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $rhs) -> Tensor {
                let at = here();
                #[allow(clippy::redundant_closure_call, reason = "one form for values and readings")]
                let other = ($value)(other, at);
                std::ops::$trait::$method(self.read_at(at), other)
            }
        }
    };
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
