//! What sparse and ragged tensors hold: numbers or strings, as items along a first axis.

use kiln_device::{DType, ReduceOp, ScatterOp};

use crate::error::{At, Error, Result};
use crate::op::Op;
use crate::site::{Fallible, Site};
use crate::tensor::Tensor;
use crate::text::StringTensor;

/// The values of a [`crate::SparseTensor`] or [`crate::RaggedTensor`]: a [`Tensor`], whose values are lazy and have
/// gradients, or a [`StringTensor`].
pub trait Values: sealed::Items {
    /// The dimensions.
    fn dims(&self) -> &[usize];

    /// The error that is carried in the place of values, if there is one.
    fn fault(&self) -> Option<&Error>;
}

impl Values for Tensor {
    fn dims(&self) -> &[usize] {
        self.shape()
    }

    fn fault(&self) -> Option<&Error> {
        self.error()
    }
}

impl Values for StringTensor {
    fn dims(&self) -> &[usize] {
        self.shape()
    }

    fn fault(&self) -> Option<&Error> {
        self.error()
    }
}

pub(crate) use sealed::Items;

mod sealed {
    use super::{At, DType, Error, Result, Tensor};

    /// What the structures of this crate do with values. Every index is in range: it is checked where it is made.
    pub trait Items: Clone + Sized {
        /// The carrier of an error.
        fn failed_with(error: Error, at: At) -> Self;

        /// The items that indices name, in their order.
        fn pick(&self, indices: &[i32], at: At) -> Self;

        /// The same elements under another shape.
        fn reshaped(&self, shape: Vec<usize>, at: At) -> Self;

        /// Values behind one another along an axis, where their other dimensions and their types agree.
        fn joined(parts: &[Self], axis: usize, op: &'static str, at: At) -> Result<Self>;

        /// `cells` items: item `i` of the values at `positions[i]` (all different), `default` elsewhere, which
        /// broadcasts to an item.
        fn placed(
            &self,
            cells: usize,
            positions: &[i32],
            default: &Self,
            op: &'static str,
            at: At,
        ) -> Result<Self>;

        /// The items that an index tensor, known to be in range, names, in its shape.
        fn at_places(&self, places: &Tensor, op: &'static str, at: At) -> Result<Self>;

        /// Which elements are not 0, or not empty.
        fn present(&self, op: &'static str, at: At) -> Result<Vec<bool>>;

        /// Which items equal one, which broadcasts to an item.
        fn equal_to(&self, item: &Self, op: &'static str, at: At) -> Result<Vec<bool>>;

        /// The type of numbers, where these are.
        fn number_type(&self) -> Option<DType>;

        /// A single 0 of their type, or an empty string.
        fn blank(&self, at: At) -> Self;

        /// Computes what has not been computed.
        fn settled(&self, op: &'static str, at: At) -> Result<()>;
    }
}

/// An index leaf of the program.
pub(crate) fn index_tensor(indices: &[i32], at: At) -> Tensor {
    let bytes = bytemuck::cast_slice::<i32, u8>(indices);
    Tensor::from_host(bytes.into(), vec![indices.len()], DType::I32, at)
}

/// True for `0, 1, … count − 1`.
pub(crate) fn is_identity(indices: &[i32], count: usize) -> bool {
    indices.len() == count && indices.iter().enumerate().all(|(i, index)| *index as usize == i)
}

impl Items for Tensor {
    fn failed_with(error: Error, at: At) -> Tensor {
        Tensor::carrying(error, at)
    }

    fn pick(&self, indices: &[i32], at: At) -> Tensor {
        if self.error().is_some() || is_identity(indices, self.shape()[0]) {
            return self.clone();
        }
        if let Some(range) = contiguous(indices) {
            let mut shape = self.shape().to_vec();
            shape[0] = indices.len();
            let mut start = vec![0; self.rank()];
            start[0] = range;
            let slice = Op::Slice { start, step: vec![1; self.rank()] };
            return Tensor::op(slice, vec![self.clone()], shape, self.dtype(), at);
        }
        self.pick_rows(&index_tensor(indices, at), at)
    }

    fn reshaped(&self, shape: Vec<usize>, at: At) -> Tensor {
        if self.error().is_some() { self.clone() } else { self.reshape_at(shape, at) }
    }

    fn joined(parts: &[Tensor], axis: usize, op: &'static str, at: At) -> Result<Tensor> {
        match parts {
            [one] => Ok(one.clone()),
            _ => Site { op, at }.part(Tensor::concat(parts, axis as i64)),
        }
    }

    fn placed(
        &self,
        cells: usize,
        positions: &[i32],
        default: &Tensor,
        op: &'static str,
        at: At,
    ) -> Result<Tensor> {
        let site = Site { op, at };
        let mut shape = vec![cells];
        shape.extend_from_slice(&self.shape()[1..]);
        let default = default.cast_at(self.dtype(), at);
        let base = site.part(default.broadcast_to(&shape))?;
        if positions.is_empty() {
            return Ok(base);
        }
        if is_identity(positions, cells) {
            return Ok(self.clone());
        }
        site.part(base.scatter_rows(&index_tensor(positions, at), self, ScatterOp::Set, at))
    }

    fn at_places(&self, places: &Tensor, op: &'static str, at: At) -> Result<Tensor> {
        Site { op, at }.part(self.pick_rows(places, at))
    }

    fn present(&self, op: &'static str, at: At) -> Result<Vec<bool>> {
        Site { op, at }.nonzero(self)
    }

    fn equal_to(&self, item: &Tensor, op: &'static str, at: At) -> Result<Vec<bool>> {
        let site = Site { op, at };
        item.check()?;
        let fits = crate::shape::broadcast(item.shape(), &self.shape()[1..]);
        site.expect(fits.as_deref() == Some(&self.shape()[1..]), || {
            format!("value {:?} does not broadcast to an item of {:?}", item.shape(), self.shape())
        })?;
        let axes: Vec<i64> = (1..self.rank() as i64).collect();
        site.nonzero(&self.equal(item.cast_at(self.dtype(), at)).all(axes))
    }

    fn number_type(&self) -> Option<DType> {
        Some(self.dtype())
    }

    fn blank(&self, _: At) -> Tensor {
        Tensor::full(&[], 0.0, self.dtype())
    }

    fn settled(&self, op: &'static str, at: At) -> Result<()> {
        Site { op, at }.computed(self)
    }
}

/// The first of indices that count up by one.
fn contiguous(indices: &[i32]) -> Option<usize> {
    let first = *indices.first()?;
    let counts = |(i, index): (usize, &i32)| *index as i64 == first as i64 + i as i64;
    indices.iter().enumerate().all(counts).then_some(first as usize)
}

impl Tensor {
    /// The items that an index leaf, known to be in range, names.
    pub(crate) fn pick_rows(&self, indices: &Tensor, at: At) -> Tensor {
        let shape = [indices.shape(), &self.shape()[1..]].concat();
        Tensor::op(Op::Gather, vec![self.clone(), indices.clone()], shape, self.dtype(), at)
    }

    /// A column `[n]` as `[n, 1, …]`, so that it broadcasts against tensors of `rank`.
    pub(crate) fn as_column(&self, rank: usize, at: At) -> Tensor {
        let mut shape = vec![1; rank.max(1)];
        shape[0] = self.len();
        self.reshape_at(shape, at)
    }
}

/// Items `[n, d..]` folded into the segments `ids` name: `[segments, d..]`, with the fold's identity (for a maximum −∞,
/// or the least integer) where there is none.
pub(crate) fn fold_segments(items: &Tensor, ids: &[i32], segments: usize, op: ReduceOp, at: At) -> Tensor {
    if items.error().is_some() {
        return items.clone();
    }
    let identity = match op {
        ReduceOp::Sum => 0.0,
        ReduceOp::Prod => 1.0,
        ReduceOp::Max => f64::NEG_INFINITY,
        ReduceOp::Min => f64::INFINITY,
    };
    let mut shape = items.shape().to_vec();
    shape[0] = segments;
    let base = Tensor::full(&shape, identity, items.dtype());
    if ids.is_empty() || base.error().is_some() {
        return base;
    }
    base.scatter_rows(&index_tensor(ids, at), items, ScatterOp::Fold(op), at)
}
