//! Where an operation of the host stands: its name, the user's line, and how its failures travel.

use kiln_device::{DType, size};

use crate::error::{At, Error, Result};
use crate::tensor::{Kind, Tensor, here};
use crate::trace;

/// What can carry an error in the place of a value.
pub(crate) trait Fallible {
    /// The carrier of an error.
    fn carrying(error: Error, at: At) -> Self;
}

impl Fallible for Tensor {
    fn carrying(error: Error, at: At) -> Tensor {
        Tensor::from_error(error, at)
    }
}

impl<A: Fallible, B: Fallible> Fallible for (A, B) {
    fn carrying(error: Error, at: At) -> (A, B) {
        (A::carrying(error.clone(), at), B::carrying(error, at))
    }
}

/// The name of an operation and the line that called it.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    pub(crate) op: &'static str,
    pub(crate) at: At,
}

impl Site {
    /// The operation, at its caller's line.
    #[track_caller]
    pub(crate) fn new(op: &'static str) -> Site {
        Site { op, at: here() }
    }

    /// An error of the operation.
    pub(crate) fn error(self, message: impl Into<String>) -> Error {
        Error::Operation { op: self.op, message: message.into(), at: self.at }
    }

    /// `Err` of the message where the condition does not hold.
    pub(crate) fn expect(self, condition: bool, message: impl FnOnce() -> String) -> Result<()> {
        if condition { Ok(()) } else { Err(self.error(message())) }
    }

    /// What `body` makes, or a value that carries its error.
    pub(crate) fn settle<T: Fallible>(self, body: impl FnOnce() -> Result<T>) -> T {
        body().unwrap_or_else(|error| T::carrying(error, self.at))
    }

    /// An error of a part as an error of this operation.
    pub(crate) fn part(self, tensor: Tensor) -> Result<Tensor> {
        match tensor.error() {
            Some(Error::Operation { message, .. }) => Err(self.error(message.clone())),
            Some(other) => Err(other.clone()),
            None => Ok(tensor),
        }
    }

    /// The product of dimensions.
    pub(crate) fn count(self, dims: &[usize]) -> Result<usize> {
        size::element_count(dims).map_err(|error| self.error(error.to_string()))
    }

    /// An index or extent as the `i32` that index tensors hold.
    pub(crate) fn index(self, number: usize) -> Result<i32> {
        i32::try_from(number)
            .map_err(|_| self.error(format!("expected sizes and indices below 2³¹, received {number}")))
    }

    /// An error where the elements of a tensor are not known yet, because a function is being traced.
    fn readable(self, tensor: &Tensor) -> Result<()> {
        tensor.check()?;
        let known = matches!(tensor.node.kind, Kind::Host(_)) || tensor.node.value.get().is_some();
        if known || trace::current().is_none() {
            return Ok(());
        }
        Err(Error::Trace {
            message: format!(
                "[{}] the structure of the result depends on values, which are known only when the function runs; do \
                 this outside of the function, and pass it what came out",
                self.op
            ),
            at: self.at,
        })
    }

    /// The elements of an integer or bool tensor, now.
    pub(crate) fn integers(self, tensor: &Tensor) -> Result<Vec<i32>> {
        let wide = self.wide_integers(tensor)?;
        let narrow = |n: i64| {
            i32::try_from(n).map_err(|_| self.error(format!("expected integers of `int32`, received {n}")))
        };
        wide.into_iter().map(narrow).collect()
    }

    /// The elements of an integer or bool tensor, now, whatever its type.
    pub(crate) fn wide_integers(self, tensor: &Tensor) -> Result<Vec<i64>> {
        self.readable(tensor)?;
        let wide = match tensor.dtype() {
            DType::I64 => tensor.to_vec::<i64>()?,
            DType::I32 => tensor.to_vec::<i32>()?.into_iter().map(i64::from).collect(),
            DType::U32 => tensor.to_vec::<u32>()?.into_iter().map(i64::from).collect(),
            DType::U8 => tensor.to_vec::<u8>()?.into_iter().map(i64::from).collect(),
            DType::Bool => tensor.to_vec::<bool>()?.into_iter().map(i64::from).collect(),
            other => return Err(self.error(format!("expected integers, received {other}"))),
        };
        Ok(wide)
    }

    /// The elements of a float tensor, now.
    pub(crate) fn floats(self, tensor: &Tensor) -> Result<Vec<f64>> {
        self.readable(tensor)?;
        Ok(match tensor.dtype() {
            DType::F64 => tensor.to_vec::<f64>()?,
            DType::F32 => tensor.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
            DType::F16 => tensor.to_vec::<half::f16>()?.into_iter().map(f64::from).collect(),
            DType::BF16 => tensor.to_vec::<half::bf16>()?.into_iter().map(f64::from).collect(),
            other => return Err(self.error(format!("expected floats, received {other}"))),
        })
    }

    /// The elements of a bool tensor, now.
    pub(crate) fn flags(self, tensor: &Tensor) -> Result<Vec<bool>> {
        self.readable(tensor)?;
        if tensor.dtype() != DType::Bool {
            return Err(self.error(format!("expected bool, received {}", tensor.dtype())));
        }
        tensor.to_vec::<bool>()
    }

    /// Which elements of a tensor are not 0, now.
    pub(crate) fn nonzero(self, tensor: &Tensor) -> Result<Vec<bool>> {
        match tensor.dtype().is_float() {
            true => Ok(self.floats(tensor)?.iter().map(|x| *x != 0.0).collect()),
            false => Ok(self.wide_integers(tensor)?.iter().map(|n| *n != 0).collect()),
        }
    }

    /// Computes a tensor and keeps its value; an error where a function is being traced.
    pub(crate) fn computed(self, tensor: &Tensor) -> Result<()> {
        self.readable(tensor)?;
        if !matches!(tensor.node.kind, Kind::Host(_)) {
            tensor.eval()?;
        }
        Ok(())
    }
}
