//! Arrays of tensors, written and read one by one.

use kiln_device::{DType, ScatterOp, Value};

use crate::error::{At, Error};
use crate::op::Op;
use crate::ops::Operand;
use crate::tensor::{Kind, Tensor, here};

/// An array of tensors of one shape and type, as one dense tensor whose first axis counts them.
///
/// It never changes: a write gives another array. In a loop, carry the tensor of [`TensorArray::stack`] and make an array
/// of it again with [`TensorArray::unstack`]; neither costs anything, and a write then changes one row in place. Elements
/// that have not been written are zeros. Gradients flow through everything.
///
/// An array that carries an error gives tensors that carry it.
///
/// ```
/// use kiln_graph::{DType, Tensor, TensorArray, ops};
/// // The squares of 0, 1, 2, 3.
/// let empty = TensorArray::new(4, &[], DType::I32);
/// let body = |i: &Tensor, x: &[Tensor]| vec![TensorArray::unstack(&x[0]).write(i, &(i * i)).stack()];
/// let squares = TensorArray::unstack(&ops::fori_loop(0, 4, body, &[empty.stack()])[0]);
/// assert_eq!(squares.stack().to_vec::<i32>()?, [0, 1, 4, 9]);
/// assert_eq!(squares.read(2).item::<i32>()?, 4);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorArray {
    elements: Tensor,
    grows: bool,
}

/// A number that the graph knows.
fn known(index: &Tensor) -> Option<i64> {
    match index.node.kind {
        Kind::Op(Op::Constant(Value::I32(value))) => Some(i64::from(value)),
        _ => None,
    }
}

impl TensorArray {
    /// An array of `size` elements of zeros.
    #[track_caller]
    pub fn new(size: usize, element_shape: &[usize], dtype: DType) -> TensorArray {
        let elements = Tensor::full(&[&[size], element_shape].concat(), 0.0, dtype);
        TensorArray { elements: elements.part_of("tensor_array", here(), &[]), grows: false }
    }

    /// The same array, which a write at a plain number past its end makes longer. Not for use in loops, whose variables
    /// keep their shapes.
    pub fn dynamic(self) -> TensorArray {
        TensorArray { grows: true, ..self }
    }

    /// An array of the slices of a tensor along its first axis.
    #[track_caller]
    pub fn unstack(value: &Tensor) -> TensorArray {
        if value.error().is_none() && value.rank() == 0 {
            return TensorArray::failed("expected a tensor with an axis, received a scalar".into(), here());
        }
        TensorArray { elements: value.clone(), grows: false }
    }

    /// An array of parts of a tensor along its first axis, of these lengths, which must be equal: elements have one shape.
    #[track_caller]
    pub fn split(value: &Tensor, lengths: &[usize]) -> TensorArray {
        let at = here();
        if value.error().is_some() {
            return TensorArray { elements: value.clone(), grows: false };
        }
        let length = lengths.first().copied().unwrap_or(0);
        let fits = value.rank() > 0
            && lengths.iter().all(|n| *n == length)
            && length.checked_mul(lengths.len()) == Some(value.shape()[0]);
        if !fits {
            let message = format!(
                "expected equal lengths that add up to the first axis of {:?}, received {lengths:?}",
                value.shape()
            );
            return TensorArray::failed(message, at);
        }
        let shape = [&[lengths.len(), length], &value.shape()[1..]].concat();
        TensorArray { elements: value.reshape_at(shape, at), grows: false }
    }

    fn failed(message: String, at: At) -> TensorArray {
        let error = Error::Operation { op: "tensor_array", message, at };
        TensorArray { elements: Tensor::from_error(error, at), grows: false }
    }

    /// Number of elements.
    pub fn size(&self) -> usize {
        self.elements.shape().first().copied().unwrap_or(0)
    }

    /// The shape of an element.
    pub fn element_shape(&self) -> &[usize] {
        self.elements.shape().get(1..).unwrap_or_default()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.elements.dtype()
    }

    /// The array itself.
    pub fn identity(&self) -> TensorArray {
        self.clone()
    }

    /// All elements along a new first axis.
    pub fn stack(&self) -> Tensor {
        self.elements.clone()
    }

    /// All elements behind one another along their own first axis.
    #[track_caller]
    pub fn concat(&self) -> Tensor {
        let at = here();
        if self.elements.error().is_some() {
            return self.elements.clone();
        }
        let [size, length, rest @ ..] = self.elements.shape() else {
            return Tensor::failed("tensor_array", "scalars cannot be concatenated; stack them".into(), at);
        };
        match size.checked_mul(*length) {
            Some(all) => self.elements.reshape_at([&[all], rest].concat(), at),
            None => Tensor::failed("tensor_array", "too many elements".into(), at),
        }
    }

    /// The element of a number (`int32`, a scalar or a plain number). One out of range is an error.
    #[track_caller]
    pub fn read(&self, index: impl Operand) -> Tensor {
        let at = here();
        let index = index.tensor(DType::I32, at);
        if let Some(failed) = [&self.elements, &index].into_iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        if let Err(message) = self.check_index(&index) {
            return Tensor::failed("tensor_array", message, at);
        }
        match known(&index) {
            Some(n) => {
                let shape = self.element_shape().to_vec();
                self.elements.slice_axis(0, n, n + 1).reshape_at(shape, at)
            }
            None => self.rows("tensor_array", &index, at),
        }
    }

    fn check_index(&self, index: &Tensor) -> Result<(), String> {
        if index.rank() != 0 || !index.dtype().is_integer() {
            let message = format!(
                "expected an integer scalar as index, received {} {:?}",
                index.dtype(),
                index.shape()
            );
            return Err(message);
        }
        match known(index) {
            Some(n) if !(0..self.size() as i64).contains(&n) => {
                Err(format!("index {n} is out of range, expected 0 ≤ index < {}", self.size()))
            }
            _ => Ok(()),
        }
    }

    fn rows(&self, op: &'static str, indices: &Tensor, at: At) -> Tensor {
        let indices = indices.checked_index(self.size(), op, at);
        if indices.error().is_some() {
            return indices;
        }
        let shape = [indices.shape(), self.element_shape()].concat();
        Tensor::op(Op::Gather, vec![self.elements.clone(), indices], shape, self.dtype(), at)
    }

    /// The array with another element at a number (`int32`, a scalar or a plain number). One out of range is an error,
    /// unless the array is [dynamic](TensorArray::dynamic) and the number is plain.
    #[track_caller]
    pub fn write(&self, index: impl Operand, value: &Tensor) -> TensorArray {
        let at = here();
        let index = index.tensor(DType::I32, at);
        if let Some(failed) = [&self.elements, &index, value].into_iter().find(|t| t.error().is_some()) {
            return TensorArray { elements: failed.clone(), grows: self.grows };
        }
        if value.shape() != self.element_shape() || value.dtype() != self.dtype() {
            let message = format!(
                "expected an element {} {:?}, received {} {:?}",
                self.dtype(),
                self.element_shape(),
                value.dtype(),
                value.shape()
            );
            return TensorArray::failed(message, at);
        }
        let longer = match known(&index) {
            Some(n) if self.grows && n >= self.size() as i64 => n as usize + 1 - self.size(),
            _ => 0,
        };
        let mut padding = vec![(0, 0); self.elements.rank()];
        padding[0].1 = longer;
        let array = TensorArray { elements: self.elements.pad(&padding, 0.0), grows: self.grows };
        match array.check_index(&index) {
            Ok(()) => {}
            Err(message) if !self.grows && known(&index).is_some() => {
                return TensorArray::failed(format!("{message}; a dynamic array grows"), at);
            }
            Err(message) => return TensorArray::failed(message, at),
        }
        let rows = value.reshape_at([&[1], value.shape()].concat(), at);
        array.written(&index.reshape_at(vec![1], at), &rows, at)
    }

    fn written(&self, indices: &Tensor, rows: &Tensor, at: At) -> TensorArray {
        let indices = indices.checked_index(self.size(), "tensor_array", at);
        let elements = match indices.error() {
            Some(_) => indices,
            None => self.elements.scatter_rows(&indices, rows, ScatterOp::Set, at),
        };
        TensorArray { elements, grows: self.grows }
    }

    /// The elements of several numbers (`int32 [n]`), stacked.
    #[track_caller]
    pub fn gather(&self, indices: &Tensor) -> Tensor {
        let at = here();
        match [&self.elements, indices].into_iter().find(|t| t.error().is_some()) {
            Some(failed) => failed.clone(),
            None => self.rows("tensor_array", indices, at),
        }
    }

    /// The array with other elements, the slices of `value` along its first axis, at several numbers (`int32 [n]`).
    #[track_caller]
    pub fn scatter(&self, indices: &Tensor, value: &Tensor) -> TensorArray {
        let at = here();
        if let Some(failed) = [&self.elements, indices, value].into_iter().find(|t| t.error().is_some()) {
            return TensorArray { elements: failed.clone(), grows: self.grows };
        }
        let expected = [indices.shape(), self.element_shape()].concat();
        if indices.rank() != 1 || value.shape() != expected || value.dtype() != self.dtype() {
            let message = format!(
                "expected indices [n] and elements {} {:?}, received {:?} and {} {:?}",
                self.dtype(),
                expected,
                indices.shape(),
                value.dtype(),
                value.shape()
            );
            return TensorArray::failed(message, at);
        }
        self.written(indices, value, at)
    }
}
