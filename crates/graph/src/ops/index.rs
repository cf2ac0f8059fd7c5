//! Elements chosen by index tensors, and sorting.

use kiln_device::{DType, ReduceOp, ScatterOp};

use crate::error::At;
use crate::op::Op;
use crate::shape::resolve_axis;
use crate::tensor::{Tensor, here};

impl Tensor {
    /// Integers as `int32`; those of `int64` that it cannot hold become its ends, so that they stay outside any range.
    pub(crate) fn narrow_index(&self, at: At) -> Tensor {
        match self.dtype() {
            DType::I64 => self.clip(i32::MIN, i32::MAX).cast_at(DType::I32, at),
            _ => self.cast_at(DType::I32, at),
        }
    }

    /// `int32` indices that the run reports where one is outside `0..bound`; `op` names who asked.
    pub(crate) fn checked_index(&self, bound: usize, op: &'static str, at: At) -> Tensor {
        self.index_within(bound, false, op, at)
    }

    /// As [`Tensor::checked_index`], where negative indices count from the end.
    pub(crate) fn wrapped_index(&self, bound: usize, op: &'static str, at: At) -> Tensor {
        let wrap = matches!(self.dtype(), DType::I32 | DType::I64) && i32::try_from(bound).is_ok();
        self.index_within(bound, wrap, op, at)
    }

    fn index_within(&self, bound: usize, wrap: bool, op: &'static str, at: At) -> Tensor {
        if self.error().is_some() {
            return self.clone();
        }
        if !self.dtype().is_integer() {
            return Tensor::failed(
                op,
                format!("expected integer indices, received {}; cast them to int32", self.dtype()),
                at,
            );
        }
        if bound == 0 {
            let none = if self.is_empty() {
                return self.cast_at(DType::I32, at);
            } else {
                format!("expected an axis with elements, received extent 0 and indices {:?}", self.shape())
            };
            return Tensor::failed(op, none, at);
        }
        let index = if self.dtype() == DType::I64 { self.clone() } else { self.cast_at(DType::I32, at) };
        let check = Op::CheckIndex { bound, wrap, op: op.into() };
        Tensor::op(check, vec![index], self.shape().to_vec(), DType::I32, at)
    }

    /// Integer labels as `int32`, reported by the run (as of operation `op`) where one is outside `0..classes`.
    #[track_caller]
    pub fn check_labels(&self, classes: usize, op: &'static str) -> Tensor {
        self.checked_index(classes, op, here())
    }

    /// Slices along an axis: `[.., v, ..]` at indices `[n..]` gives `[.., n.., ..]`. Negative indices count from the end;
    /// out-of-range ones are an error of the run.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// let table = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// let rows = table.take(&Tensor::from_slice(&[1, 0]), 0);
    /// assert_eq!(rows.to_vec::<f32>()?, [3.0, 4.0, 1.0, 2.0]);
    /// assert!(table.take(&Tensor::from_slice(&[2]), 0).to_vec::<f32>().is_err());
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[doc(alias("index_select", "gather"))]
    #[track_caller]
    pub fn take(&self, indices: &Tensor, axis: i64) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let Some(axis) = resolve_axis(axis, self.rank()) else {
            return Tensor::failed("take", crate::shape::no_axis(axis, self.shape()), at);
        };
        let indices = indices.wrapped_index(self.shape()[axis], "take", at);
        let first: Vec<i64> =
            std::iter::once(axis).chain((0..self.rank()).filter(|i| *i != axis)).map(|i| i as i64).collect();
        let taken = self.transpose(&first).gather_rows(&indices, at);
        let (n, rank) = (indices.rank() as i64, taken.rank() as i64);
        // The index axes stand first; they go where the axis was.
        let axis = axis as i64;
        let order: Vec<i64> = (n..n + axis).chain(0..n).chain(n + axis..rank).collect();
        taken.transpose(&order)
    }

    /// `[v, d..]` at checked indices `[n..]`: `[n.., d..]`.
    pub(crate) fn gather_rows(&self, indices: &Tensor, at: At) -> Tensor {
        if let Some(failed) = [self, indices].into_iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        let shape = [indices.shape(), &self.shape()[1..]].concat();
        Tensor::op(Op::Gather, vec![self.clone(), indices.clone()], shape, self.dtype(), at)
    }

    /// One element along the axis for every index: `output[.., i, ..] = self[.., indices[.., i, ..], ..]`.
    /// The indices have the tensor's shape except along the axis; negative ones count from the end.
    #[doc(alias = "gather")]
    #[track_caller]
    pub fn take_along_axis(&self, indices: &Tensor, axis: i64) -> Tensor {
        let at = here();
        if let Some(failed) = [self, indices].into_iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        let (rank, extents) = (self.rank(), self.shape());
        let fits = |axis: usize| {
            indices.rank() == rank && (0..rank).all(|i| i == axis || indices.shape()[i] == extents[i])
        };
        let Some(axis) = resolve_axis(axis, rank).filter(|a| fits(*a)) else {
            let message = format!(
                "expected indices of shape {extents:?} except along axis {axis}, received {:?}",
                indices.shape()
            );
            return Tensor::failed("take_along_axis", message, at);
        };
        let index = indices.wrapped_index(extents[axis], "take_along_axis", at);
        let strides = crate::shape::strides(extents);
        let mut flat = index * strides[axis] as i32;
        for i in (0..rank).filter(|i| *i != axis) {
            flat = flat + Tensor::iota(indices.shape(), i) * strides[i] as i32;
        }
        self.reshape_at(vec![self.len()], at).gather_rows(&flat, at)
    }

    /// The tensor `[v, d..]` with updates `[n.., d..]` folded into the rows that indices `[n..]` name, in order. Negative
    /// indices count from the end.
    #[doc(alias = "index_put")]
    #[track_caller]
    pub fn scatter(&self, indices: &Tensor, updates: &Tensor, op: ScatterOp) -> Tensor {
        let at = here();
        if let Some(failed) = [self, indices, updates].into_iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        let expected = [indices.shape(), self.shape().get(1..).unwrap_or_default()].concat();
        if self.rank() == 0 || updates.shape() != expected || updates.dtype() != self.dtype() {
            let message = format!(
                "expected updates of shape {expected:?} {}, received {:?} {}",
                self.dtype(),
                updates.shape(),
                updates.dtype()
            );
            return Tensor::failed("scatter", message, at);
        }
        let indices = indices.wrapped_index(self.shape()[0], "scatter", at);
        self.scatter_rows(&indices, updates, op, at)
    }

    pub(crate) fn scatter_rows(&self, indices: &Tensor, updates: &Tensor, op: ScatterOp, at: At) -> Tensor {
        let n = indices.len();
        let flat_index = indices.reshape_at(vec![n], at);
        let flat_updates = updates.reshape_at([&[n], &self.shape()[1..]].concat(), at);
        let inputs = vec![self.clone(), flat_index, flat_updates];
        Tensor::op(Op::Scatter { op }, inputs, self.shape().to_vec(), self.dtype(), at)
    }

    /// The tensor with updates added to the rows that the indices name.
    #[track_caller]
    pub fn scatter_add(&self, indices: &Tensor, updates: &Tensor) -> Tensor {
        self.scatter(indices, updates, ScatterOp::Fold(ReduceOp::Sum))
    }

    /// Positions that sort the axis, stably; NaN last.
    #[track_caller]
    pub fn argsort(&self, axis: i64, descending: bool) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let Some(axis) = resolve_axis(axis, self.rank()) else {
            return Tensor::failed("argsort", crate::shape::no_axis(axis, self.shape()), at);
        };
        let last = self.swap_axes(axis as i64, -1);
        let shape = last.shape().to_vec();
        let sorted = Tensor::op(Op::ArgSort { descending }, vec![last], shape, DType::I32, at);
        sorted.swap_axes(axis as i64, -1)
    }

    /// The axis in ascending order; NaN last.
    #[track_caller]
    pub fn sort(&self, axis: i64) -> Tensor {
        let sorted = self.take_along_axis(&self.argsort(axis, false), axis);
        sorted.part_of("sort", here(), std::slice::from_ref(self))
    }

    /// The `k` largest along the last axis and their positions, largest first.
    #[doc(alias = "topk")]
    #[track_caller]
    pub fn top_k(&self, k: usize) -> (Tensor, Tensor) {
        if self.error().is_none() && self.shape().last().is_none_or(|extent| k > *extent) {
            let message =
                format!("expected k of at most the last extent of {:?}, received {k}", self.shape());
            let failed = Tensor::failed("top_k", message, here());
            return (failed.clone(), failed);
        }
        let positions = self.argsort(-1, true).slice_axis(-1, 0, k as i64);
        (self.take_along_axis(&positions, -1), positions)
    }
}
