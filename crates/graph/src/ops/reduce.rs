//! Reductions and running folds.

use kiln_device::{DType, ReduceOp};

use crate::error::At;
use crate::op::{Op, without};
use crate::shape::{Axes, resolve_axis};
use crate::tensor::{Tensor, here};

impl Tensor {
    pub(crate) fn reduce(&self, op: ReduceOp, axes: &Axes, name: &'static str, at: At) -> Tensor {
        if self.error().is_some() {
            return self.clone();
        }
        let axes = match axes.resolve(self.rank()) {
            Ok(axes) => axes,
            Err(message) => return Tensor::failed(name, message, at),
        };
        if axes.is_empty() {
            return self.clone();
        }
        let shape = without(self.shape(), &axes).unwrap_or_default();
        Tensor::op(Op::Reduce { op, axes }, vec![self.clone()], shape, self.dtype(), at)
    }

    /// Puts reduced axes back as ones, so that the result broadcasts against `like`.
    #[track_caller]
    pub fn keep_dims(&self, like: &Tensor, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        match axes.into().resolve(like.rank()) {
            Ok(axes) => {
                let dim = |(i, d): (usize, &usize)| if axes.contains(&i) { 1 } else { *d };
                let shape: Vec<usize> = like.shape().iter().enumerate().map(dim).collect();
                self.reshape_at(shape, at).part_of("keep_dims", at, std::slice::from_ref(self))
            }
            Err(message) => Tensor::failed("keep_dims", message, at),
        }
    }

    /// In the type of sums and products: booleans count as `int32`, bytes as `uint32`, as in Keras.
    fn counted(&self, at: At) -> Tensor {
        match self.dtype() {
            DType::Bool => self.cast_at(DType::I32, at),
            DType::U8 => self.cast_at(DType::U32, at),
            _ => self.clone(),
        }
    }

    /// Sum over some axes, `()` for all. Booleans count as `int32`, `uint8` as `uint32`.
    #[doc(alias = "reduce_sum")]
    #[track_caller]
    pub fn sum(&self, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        self.counted(at).reduce(ReduceOp::Sum, &axes.into(), "sum", at)
    }

    /// Product over some axes. Booleans count as `int32`, `uint8` as `uint32`.
    #[doc(alias = "reduce_prod")]
    #[track_caller]
    pub fn prod(&self, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        self.counted(at).reduce(ReduceOp::Prod, &axes.into(), "prod", at)
    }

    /// Largest element over some axes; NaN if any is.
    #[doc(alias("reduce_max", "amax"))]
    #[track_caller]
    pub fn max(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce(ReduceOp::Max, &axes.into(), "max", here())
    }

    /// Smallest element over some axes; NaN if any is.
    #[doc(alias("reduce_min", "amin"))]
    #[track_caller]
    pub fn min(&self, axes: impl Into<Axes>) -> Tensor {
        self.reduce(ReduceOp::Min, &axes.into(), "min", here())
    }

    /// Mean over some axes. Integers become `float32`; the mean of no elements is NaN.
    #[doc(alias = "reduce_mean")]
    #[track_caller]
    pub fn mean(&self, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        let values = if self.dtype().is_float() { self.clone() } else { self.cast_at(DType::F32, at) };
        let sum = values.reduce(ReduceOp::Sum, &axes.into(), "mean", at);
        if sum.error().is_some() {
            return sum;
        }
        let count = self.len() as f64 / sum.len().max(1) as f64;
        sum * (1.0 / count)
    }

    /// Mean squared distance from the mean over some axes (divided by the count), in two passes.
    #[doc(alias = "reduce_variance")]
    #[track_caller]
    pub fn variance(&self, axes: impl Into<Axes>) -> Tensor {
        let (at, axes) = (here(), axes.into());
        let mean = self.mean(axes.clone()).keep_dims(self, axes.clone());
        (self - mean).square().mean(axes).part_of("variance", at, std::slice::from_ref(self))
    }

    /// True where any element over some axes is not 0.
    #[doc(alias = "reduce_any")]
    #[track_caller]
    pub fn any(&self, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        self.cast_at(DType::Bool, at).reduce(ReduceOp::Max, &axes.into(), "any", at)
    }

    /// True where all elements over some axes are not 0.
    #[doc(alias = "reduce_all")]
    #[track_caller]
    pub fn all(&self, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        self.cast_at(DType::Bool, at).reduce(ReduceOp::Min, &axes.into(), "all", at)
    }

    /// Position of the first largest element along an axis, `int32`; the first NaN where there is one.
    #[track_caller]
    pub fn argmax(&self, axis: i64) -> Tensor {
        self.arg_of(ReduceOp::Max, axis, "argmax", here())
    }

    /// Position of the first smallest element along an axis, `int32`; the first NaN where there is one.
    #[track_caller]
    pub fn argmin(&self, axis: i64) -> Tensor {
        self.arg_of(ReduceOp::Min, axis, "argmin", here())
    }

    fn arg_of(&self, op: ReduceOp, axis: i64, name: &'static str, at: At) -> Tensor {
        if self.error().is_some() {
            return self.clone();
        }
        let Some(resolved) = resolve_axis(axis, self.rank()) else {
            return Tensor::failed(name, crate::shape::no_axis(axis, self.shape()), at);
        };
        if self.shape()[resolved] == 0 {
            return Tensor::failed(name, format!("axis {axis} of shape {:?} is empty", self.shape()), at);
        }
        let axes = Axes::from(resolved as i64);
        let best = self.reduce(op, &axes, name, at).keep_dims(self, axes.clone());
        let mut hit = self.equal(&best);
        if self.dtype().is_float() {
            hit = hit.logical_or(self.is_nan());
        }
        let position = Tensor::iota(self.shape(), resolved);
        let none = Tensor::full(self.shape(), i32::MAX as f64, DType::I32);
        Tensor::select(&hit, &position, &none).reduce(ReduceOp::Min, &axes, name, at)
    }

    fn scan(&self, op: ReduceOp, axis: i64, reverse: bool, name: &'static str, at: At) -> Tensor {
        if self.error().is_some() {
            return self.clone();
        }
        // Booleans count as `int32`, as in a sum.
        let counts = self.dtype() == DType::Bool && matches!(op, ReduceOp::Sum | ReduceOp::Prod);
        let numbers = if counts { self.cast_at(DType::I32, at) } else { self.clone() };
        match resolve_axis(axis, self.rank()) {
            Some(axis) => {
                let (shape, dtype) = (self.shape().to_vec(), numbers.dtype());
                Tensor::op(Op::Scan { op, axis, reverse }, vec![numbers], shape, dtype, at)
            }
            None => Tensor::failed(name, crate::shape::no_axis(axis, self.shape()), at),
        }
    }

    /// Running sum along an axis.
    #[doc(alias = "cumulative_sum")]
    #[track_caller]
    pub fn cumsum(&self, axis: i64) -> Tensor {
        self.scan(ReduceOp::Sum, axis, false, "cumsum", here())
    }

    /// Running product along an axis.
    #[track_caller]
    pub fn cumprod(&self, axis: i64) -> Tensor {
        self.scan(ReduceOp::Prod, axis, false, "cumprod", here())
    }

    /// Running maximum along an axis.
    #[track_caller]
    pub fn cummax(&self, axis: i64) -> Tensor {
        self.scan(ReduceOp::Max, axis, false, "cummax", here())
    }

    /// Running sum from the end along an axis.
    #[track_caller]
    pub fn reverse_cumsum(&self, axis: i64) -> Tensor {
        self.scan(ReduceOp::Sum, axis, true, "reverse_cumsum", here())
    }
}
