//! Arrays of tensors, written and read one by one.

use kiln_device::{DType, ScatterOp, Value};

use crate::error::{At, Error};
use crate::op::Op;
use crate::ops::Operand;
use crate::site::Site;
use crate::tensor::{Kind, Tensor, here};

mod tree;

const OP: &str = "tensor_array";

/// An array of tensors of one type.
///
/// It never changes: a write gives another array. It is a structure of tensors ([`Tree`](crate::tree::Tree)): the loops of [`crate::tree`]
/// carry it as a variable, and a write in a loop changes one row in place. Elements that have not been written are zeros.
/// Gradients flow through everything.
///
/// Elements have one shape and stand in one dense tensor, whose first axis counts them, except after a
/// [`split`](TensorArray::split) into unequal parts: then each is a tensor of its own, found by plain numbers only.
///
/// An array that carries an error gives tensors that carry it.
///
/// ```
/// use kiln_graph::{DType, Tensor, TensorArray, tree};
/// // The squares of 0, 1, 2, 3.
/// let empty = TensorArray::new(4, &[], DType::I32);
/// let squares = tree::fori_loop(0, 4, |i, array: TensorArray| array.write(i, &(i * i)), empty);
/// assert_eq!(squares.stack().to_vec::<i32>()?, [0, 1, 4, 9]);
/// assert_eq!(squares.read(2).item::<i32>()?, 4);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorArray {
    elements: Elements,
    grows: bool,
}

#[derive(Clone, Debug)]
enum Elements {
    /// Along the first axis. The length (`i32 []`) of an array that grows in a loop counts rows up to the last written.
    Rows(Tensor, Option<Tensor>),
    /// Of different extents along their first axes.
    Parts(Vec<Tensor>),
}
use Elements::{Parts, Rows};

/// A number that the graph knows.
fn known(index: &Tensor) -> Option<i64> {
    match index.node.kind {
        Kind::Op(Op::Constant(Value::I32(value))) => Some(i64::from(value)),
        _ => None,
    }
}

/// A length that the graph knows.
fn length_of(rows: usize, at: At) -> Tensor {
    crate::control::number(rows, at)
}

impl TensorArray {
    /// An array of `size` elements of zeros.
    #[track_caller]
    pub fn new(size: usize, element_shape: &[usize], dtype: DType) -> TensorArray {
        let elements = Tensor::full(&[&[size], element_shape].concat(), 0.0, dtype);
        TensorArray::rows(elements.part_of(OP, here(), &[]))
    }

    fn rows(elements: Tensor) -> TensorArray {
        TensorArray { elements: Rows(elements, None), grows: false }
    }

    /// The same array, which a write at a plain number past its end makes longer.
    ///
    /// A loop of [`crate::tree`] of at most `n` turns gives it room for `n` more elements, so that every turn can append
    /// one; for more a turn, [`reserve`](TensorArray::reserve) them before. Its [`size`](TensorArray::size) counts the room
    /// from then on, and [`length`](TensorArray::length) the elements up to the last that was written.
    ///
    /// ```
    /// use kiln_graph::{DType, Tensor, TensorArray, tree};
    /// // The powers of 3 below 100.
    /// let none = TensorArray::new(0, &[], DType::I32).dynamic();
    /// let (_, powers) = tree::while_loop(
    ///     |(power, _): &(Tensor, TensorArray)| power.less(100),
    ///     |(power, powers)| (&power * 3, powers.write(powers.length(), &power)),
    ///     (Tensor::scalar(1), none),
    ///     Some(10),
    /// );
    /// assert_eq!(powers.trimmed().stack().to_vec::<i32>()?, [1, 3, 9, 27, 81]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[doc(alias = "dynamic_size")]
    pub fn dynamic(self) -> TensorArray {
        TensorArray { grows: true, ..self }
    }

    /// Whether it is [dynamic](TensorArray::dynamic).
    pub fn is_dynamic(&self) -> bool {
        self.grows
    }

    /// The same dynamic array with room for more elements: loops can write them, and their number is known when the loop
    /// has run.
    ///
    /// # Errors
    /// Carried by the array: it is not dynamic, or its elements differ in shape.
    #[track_caller]
    pub fn reserve(&self, additional: usize) -> TensorArray {
        self.reserved(additional, here())
    }

    fn reserved(&self, additional: usize, at: At) -> TensorArray {
        let Rows(elements, length) = &self.elements else {
            return self.failing("elements of different shapes leave no room to reserve".into(), at);
        };
        if elements.error().is_some() {
            return self.clone();
        }
        if !self.grows {
            return self.failing("expected a dynamic array; call dynamic() before reserve()".into(), at);
        }
        let length = length.clone().unwrap_or_else(|| length_of(self.size(), at));
        let mut padding = vec![(0, 0); elements.rank()];
        padding[0].1 = additional;
        let elements = elements.pad(&padding, 0.0).part_of(OP, at, std::slice::from_ref(elements));
        TensorArray { elements: Rows(elements, Some(length)), grows: true }
    }

    /// An array of the slices of a tensor along its first axis.
    #[track_caller]
    pub fn unstack(value: &Tensor) -> TensorArray {
        if value.error().is_none() && value.rank() == 0 {
            return TensorArray::failed("expected a tensor with an axis, received a scalar".into(), here());
        }
        TensorArray::rows(value.clone())
    }

    /// An array of parts of a tensor along its first axis, of these lengths.
    ///
    /// Where they are unequal, elements are read and written at plain numbers only, and can be concatenated, not stacked.
    ///
    /// ```
    /// use kiln_graph::{Tensor, TensorArray};
    /// let parts = TensorArray::split(&Tensor::range(5), &[2, 3]);
    /// assert_eq!(parts.read(1).to_vec::<i32>()?, [2, 3, 4]);
    /// assert_eq!(parts.write(0, &Tensor::from([9])).concat().to_vec::<i32>()?, [9, 2, 3, 4]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn split(value: &Tensor, lengths: &[usize]) -> TensorArray {
        let at = here();
        if value.error().is_some() {
            return TensorArray::rows(value.clone());
        }
        let sum = lengths.iter().try_fold(0usize, |sum, n| sum.checked_add(*n));
        if value.rank() == 0 || sum != Some(value.shape()[0]) {
            let message = format!(
                "expected lengths that add up to the first axis of {:?}, received {lengths:?}",
                value.shape()
            );
            return TensorArray::failed(message, at);
        }
        let length = lengths.first().copied().unwrap_or(0);
        if lengths.iter().all(|n| *n == length) {
            let shape = [&[lengths.len(), length], &value.shape()[1..]].concat();
            return TensorArray::rows(value.reshape_at(shape, at));
        }
        let mut first = 0;
        let part = |n: &usize| {
            let part = value.slice_axis(0, first, first + *n as i64);
            first += *n as i64;
            part
        };
        TensorArray { elements: Parts(lengths.iter().map(part).collect()), grows: false }
    }

    fn failed(message: String, at: At) -> TensorArray {
        let error = Error::Operation { op: OP, message, at };
        TensorArray::rows(Tensor::from_error(error, at))
    }

    /// An array of this kind that carries an error.
    fn failing(&self, message: String, at: At) -> TensorArray {
        TensorArray { grows: self.grows, ..TensorArray::failed(message, at) }
    }

    /// The first error of the array or of some tensors.
    fn failure(&self, others: &[&Tensor]) -> Option<Tensor> {
        let own: &[Tensor] = match &self.elements {
            Rows(elements, _) => std::slice::from_ref(elements),
            Parts(parts) => parts,
        };
        own.iter().chain(others.iter().copied()).find(|t| t.error().is_some()).cloned()
    }

    /// Number of elements, with those that have been reserved and not written.
    pub fn size(&self) -> usize {
        match &self.elements {
            Rows(elements, _) => elements.shape().first().copied().unwrap_or(0),
            Parts(parts) => parts.len(),
        }
    }

    /// Number of elements up to the last that was written (`int32`, a scalar): that of all for an array that has not grown
    /// in a loop.
    #[track_caller]
    pub fn length(&self) -> Tensor {
        match &self.elements {
            Rows(elements, _) if elements.error().is_some() => elements.clone(),
            Rows(_, Some(length)) => length.clone(),
            _ => length_of(self.size(), here()),
        }
    }

    /// The array without the room after its last element, once the loop that wrote it has run.
    ///
    /// # Errors
    /// Carried by the array: inside a function being traced the length is not known, and shapes do not depend on values.
    #[track_caller]
    pub fn trimmed(&self) -> TensorArray {
        let (Rows(elements, Some(length)), site) = (&self.elements, Site::new(OP)) else {
            return self.clone();
        };
        let trimmed = site.settle(|| {
            elements.check()?;
            let rows = site.integers(length)?.first().copied().unwrap_or(0);
            Ok(elements.slice_axis(0, 0, i64::from(rows)))
        });
        TensorArray { elements: Rows(trimmed, None), grows: self.grows }
    }

    /// The shape of an element; where elements differ, that of the first.
    pub fn element_shape(&self) -> &[usize] {
        match &self.elements {
            Rows(elements, _) => elements.shape().get(1..).unwrap_or_default(),
            Parts(parts) => parts.first().map_or(&[], Tensor::shape),
        }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match &self.elements {
            Rows(elements, _) => elements.dtype(),
            Parts(parts) => parts.first().map_or(DType::F32, Tensor::dtype),
        }
    }

    /// The array itself.
    pub fn identity(&self) -> TensorArray {
        self.clone()
    }

    /// All elements along a new first axis, those that have been reserved and not written as zeros (see
    /// [`trimmed`](TensorArray::trimmed)).
    ///
    /// # Errors
    /// Carried by the tensor: the elements differ in shape.
    #[track_caller]
    pub fn stack(&self) -> Tensor {
        match &self.elements {
            Rows(elements, _) => elements.clone(),
            Parts(parts) => {
                let message = || "; concatenate elements of different shapes, or pad them".to_owned();
                let stacked = Tensor::stack(parts, 0);
                match (self.failure(&[]), stacked.error()) {
                    (Some(failed), _) => failed,
                    (None, Some(Error::Operation { message: why, .. })) => {
                        Tensor::failed(OP, format!("{why}{}", message()), here())
                    }
                    _ => stacked,
                }
            }
        }
    }

    /// All elements behind one another along their own first axis.
    ///
    /// # Errors
    /// Carried by the tensor: the elements are scalars.
    #[track_caller]
    pub fn concat(&self) -> Tensor {
        let at = here();
        if let Some(failed) = self.failure(&[]) {
            return failed;
        }
        let elements = match &self.elements {
            Rows(elements, _) => elements,
            Parts(parts) => return Tensor::concat(parts, 0).part_of(OP, at, parts),
        };
        let [size, length, rest @ ..] = elements.shape() else {
            return Tensor::failed(OP, "scalars cannot be concatenated; stack them".into(), at);
        };
        match size.checked_mul(*length) {
            Some(all) => elements.reshape_at([&[all], rest].concat(), at),
            None => Tensor::failed(OP, "too many elements".into(), at),
        }
    }

    /// The element of a number (`int32`, a scalar or a plain number). One out of range is an error.
    #[track_caller]
    pub fn read(&self, index: impl Operand) -> Tensor {
        let at = here();
        let index = index.tensor(DType::I32, at);
        if let Some(failed) = self.failure(&[&index]) {
            return failed;
        }
        if let Err(message) = self.check_index(&index) {
            return Tensor::failed(OP, message, at);
        }
        match (&self.elements, known(&index)) {
            (Rows(elements, _), Some(n)) => {
                elements.slice_axis(0, n, n + 1).reshape_at(self.element_shape().to_vec(), at)
            }
            (Rows(elements, _), None) => self.taken(elements, &index, at),
            (Parts(parts), Some(n)) => parts[n as usize].clone(),
            (Parts(_), None) => Tensor::failed(OP, self.unequal(), at),
        }
    }

    /// What cannot be done with elements of different shapes, and the way out.
    fn unequal(&self) -> String {
        "the elements differ in shape: read and write them at plain numbers, or pad them to one shape and stack them".into()
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

    fn taken(&self, elements: &Tensor, indices: &Tensor, at: At) -> Tensor {
        let indices = indices.checked_index(self.size(), OP, at);
        if indices.error().is_some() {
            return indices;
        }
        let shape = [indices.shape(), self.element_shape()].concat();
        Tensor::op(Op::Gather, vec![elements.clone(), indices], shape, self.dtype(), at)
    }

    /// The array with another element at a number (`int32`, a scalar or a plain number). One out of range is an error,
    /// unless the array is [dynamic](TensorArray::dynamic) and the number is plain.
    ///
    /// # Errors
    /// Carried by the array, also where the element has another shape or type than the array's.
    #[track_caller]
    pub fn write(&self, index: impl Operand, value: &Tensor) -> TensorArray {
        let at = here();
        let index = index.tensor(DType::I32, at);
        if let Some(failed) = self.failure(&[&index, value]) {
            return TensorArray { elements: Rows(failed, None), grows: self.grows };
        }
        let (elements, length) = match &self.elements {
            Rows(elements, length) => (elements, length),
            Parts(parts) => return self.replaced(parts, &index, value, at),
        };
        if value.shape() != self.element_shape() || value.dtype() != self.dtype() {
            return self.failing(self.other_element(value), at);
        }
        let longer = match known(&index) {
            Some(n) if self.grows && n >= self.size() as i64 => n as usize + 1 - self.size(),
            _ => 0,
        };
        let mut padding = vec![(0, 0); elements.rank()];
        padding[0].1 = longer;
        let array =
            TensorArray { elements: Rows(elements.pad(&padding, 0.0), length.clone()), grows: self.grows };
        match array.check_index(&index) {
            Ok(()) => {}
            Err(message) if !self.grows && known(&index).is_some() => {
                return self.failing(format!("{message}; a dynamic array grows"), at);
            }
            Err(message) => return self.failing(message, at),
        }
        if self.grows && self.size() == 0 && longer == 0 {
            let message = "the array has no room for a number that is known only when it runs; reserve() elements, or \
                           carry it in a loop of kiln's tree module, which does";
            return self.failing(message.into(), at);
        }
        let rows = value.reshape_at([&[1], value.shape()].concat(), at);
        array.written(&index.reshape_at(vec![1], at), &rows, at)
    }

    fn other_element(&self, value: &Tensor) -> String {
        format!(
            "expected an element {} {:?}, received {} {:?}",
            self.dtype(),
            self.element_shape(),
            value.dtype(),
            value.shape()
        )
    }

    /// A write among elements of different shapes.
    fn replaced(&self, parts: &[Tensor], index: &Tensor, value: &Tensor, at: At) -> TensorArray {
        let fits = value.dtype() == self.dtype() && value.shape().get(1..) == self.element_shape().get(1..);
        match (self.check_index(index), known(index)) {
            (Err(message), _) => self.failing(message, at),
            (Ok(()), None) => self.failing(self.unequal(), at),
            (Ok(()), Some(_)) if !fits => {
                self.failing(format!("{}; only the first axis may differ", self.other_element(value)), at)
            }
            (Ok(()), Some(n)) => {
                let mut parts = parts.to_vec();
                parts[n as usize] = value.clone();
                TensorArray { elements: Parts(parts), grows: self.grows }
            }
        }
    }

    fn written(&self, indices: &Tensor, rows: &Tensor, at: At) -> TensorArray {
        let Rows(elements, length) = &self.elements else {
            return self.failing(self.unequal(), at);
        };
        let indices = indices.checked_index(self.size(), OP, at);
        let elements = match indices.error() {
            Some(_) => indices.clone(),
            None => elements.scatter_rows(&indices, rows, ScatterOp::Set, at),
        };
        let length = length.as_ref().map(|length| match indices.is_empty() {
            true => length.clone(),
            false => length.maximum((&indices + 1).max(())),
        });
        TensorArray { elements: Rows(elements, length), grows: self.grows }
    }

    /// The elements of several numbers (`int32 [n]`), stacked.
    ///
    /// # Errors
    /// Carried by the tensor: a number is out of range, or the elements differ in shape.
    #[track_caller]
    pub fn gather(&self, indices: &Tensor) -> Tensor {
        let at = here();
        match (self.failure(&[indices]), &self.elements) {
            (Some(failed), _) => failed,
            (None, Rows(elements, _)) => self.taken(elements, indices, at),
            (None, Parts(_)) => Tensor::failed(OP, self.unequal(), at),
        }
    }

    /// The array with other elements, the slices of `value` along its first axis, at several numbers (`int32 [n]`).
    ///
    /// # Errors
    /// Carried by the array: a number is out of range, shapes or types differ.
    #[track_caller]
    pub fn scatter(&self, indices: &Tensor, value: &Tensor) -> TensorArray {
        let at = here();
        if let Some(failed) = self.failure(&[indices, value]) {
            return TensorArray { elements: Rows(failed, None), grows: self.grows };
        }
        if matches!(self.elements, Parts(_)) {
            return self.failing(self.unequal(), at);
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
            return self.failing(message, at);
        }
        self.written(indices, value, at)
    }
}
