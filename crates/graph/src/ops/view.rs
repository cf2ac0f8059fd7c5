//! Views: the same elements under other coordinates. They cost nothing unless a kernel has to store them.

use kiln_device::DType;

use super::creation::value_of;
use crate::error::At;
use crate::op::{Op, window_count};
use crate::shape::{Axes, Shape, resolve_axis};
use crate::tensor::{Tensor, here};

fn no_broadcast(shape: &[usize], target: &[usize]) -> String {
    format!(
        "shape {shape:?} does not broadcast to {target:?}: dimensions, aligned from the last, must be equal or 1"
    )
}

impl Tensor {
    pub(crate) fn reshape_at(&self, shape: Shape, at: At) -> Tensor {
        if self.shape() == shape {
            return self.clone();
        }
        Tensor::op(Op::Reshape, vec![self.clone()], shape, self.dtype(), at)
    }

    /// The same elements in row-major order under another shape; one dimension may be −1 and is worked out.
    #[doc(alias = "view")]
    #[track_caller]
    pub fn reshape(&self, shape: &[i64]) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let mut dims = shape.iter().filter(|d| **d >= 0);
        // More than fits is as wrong as any other count.
        let known = dims.try_fold(1usize, |n, d| n.checked_mul(*d as usize)).unwrap_or(usize::MAX);
        let unknown = shape.iter().filter(|d| **d < 0).count();
        let divides = known > 0 && self.len().is_multiple_of(known);
        if shape.iter().any(|d| *d < -1)
            || unknown > 1
            || (unknown == 1 && !divides)
            || (unknown == 0 && known != self.len())
        {
            let message = format!(
                "the number of elements must stay: {:?} has {}, received target shape {shape:?}",
                self.shape(),
                self.len()
            );
            return Tensor::failed("reshape", message, at);
        }
        let resolve = |d: &i64| if *d < 0 { self.len() / known } else { *d as usize };
        self.reshape_at(shape.iter().map(resolve).collect(), at)
    }

    /// One dimension for all axes from `from` on.
    #[track_caller]
    pub fn flatten_from(&self, from: usize) -> Tensor {
        let at = here();
        if from > self.rank() {
            let message = format!("axis {from} is out of range for shape {:?}", self.shape());
            return if self.error().is_some() {
                self.clone()
            } else {
                Tensor::failed("flatten", message, at)
            };
        }
        let mut shape = self.shape()[..from].to_vec();
        shape.push(self.shape()[from..].iter().product());
        self.reshape_at(shape, at)
    }

    /// A new axis of extent 1; −1 puts it last.
    #[doc(alias = "unsqueeze")]
    #[track_caller]
    pub fn expand_dims(&self, axis: i64) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        match resolve_axis(axis, self.rank() + 1) {
            Some(axis) => {
                let mut shape = self.shape().to_vec();
                shape.insert(axis, 1);
                self.reshape_at(shape, at)
            }
            None => Tensor::failed("expand_dims", crate::shape::no_axis_of_rank(axis, self.rank() + 1), at),
        }
    }

    /// Without some axes of extent 1; `()` removes all of them.
    #[track_caller]
    pub fn squeeze(&self, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let axes = match axes.into() {
            Axes::All => (0..self.rank()).filter(|i| self.shape()[*i] == 1).collect(),
            named => match named.resolve(self.rank()) {
                Ok(axes) => axes,
                Err(message) => return Tensor::failed("squeeze", message, at),
            },
        };
        if let Some(axis) = axes.iter().find(|i| self.shape()[**i] != 1) {
            let message = format!("expected extent 1 at axis {axis}, received shape {:?}", self.shape());
            return Tensor::failed("squeeze", message, at);
        }
        let kept = (0..self.rank()).filter(|i| !axes.contains(i)).map(|i| self.shape()[i]).collect();
        self.reshape_at(kept, at)
    }

    pub(crate) fn broadcast_at(&self, shape: &[usize], at: At) -> Tensor {
        if self.shape() == shape || self.error().is_some() {
            return self.clone();
        }
        let lead = shape.len() - self.rank().min(shape.len());
        let mut kept = vec![];
        let mut axes = vec![];
        for (i, dim) in self.shape().iter().enumerate() {
            match shape.get(lead + i) {
                Some(target) if target == dim => {
                    kept.push(*dim);
                    axes.push(lead + i);
                }
                Some(_) if *dim == 1 => {}
                _ => {
                    let message = no_broadcast(self.shape(), shape);
                    return Tensor::failed("broadcast_to", message, at);
                }
            }
        }
        let squeezed = self.reshape_at(kept, at);
        let wide = Tensor::op(Op::Broadcast { axes }, vec![squeezed], shape.to_vec(), self.dtype(), at);
        wide.part_of("broadcast_to", at, std::slice::from_ref(self))
    }

    /// Repeated along new axes and axes of extent 1.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Tensor {
        let at = here();
        if self.error().is_none() && shape.len() < self.rank() {
            let message = no_broadcast(self.shape(), shape);
            return Tensor::failed("broadcast_to", message, at);
        }
        self.broadcast_at(shape, at)
    }

    /// Axes in another order: output axis `i` is input axis `permutation[i]`.
    #[doc(alias = "permute")]
    #[track_caller]
    pub fn transpose(&self, permutation: &[i64]) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let resolved: Option<Vec<usize>> =
            permutation.iter().map(|a| resolve_axis(*a, self.rank())).collect();
        let sorted = Axes::from(permutation).resolve(self.rank());
        let (Some(permutation), Ok(true)) = (resolved, sorted.map(|s| s.len() == self.rank())) else {
            let message = format!("expected a permutation of {} axes, received {permutation:?}", self.rank());
            return Tensor::failed("transpose", message, at);
        };
        let shape = permutation.iter().map(|p| self.shape()[*p]).collect();
        Tensor::op(Op::Transpose { permutation }, vec![self.clone()], shape, self.dtype(), at)
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn swap_axes(&self, a: i64, b: i64) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let (Some(i), Some(j)) = (resolve_axis(a, self.rank()), resolve_axis(b, self.rank())) else {
            let wrong = if resolve_axis(a, self.rank()).is_none() { a } else { b };
            let message = crate::shape::no_axis(wrong, self.shape());
            return Tensor::failed("swap_axes", message, at);
        };
        let mut permutation: Vec<i64> = (0..self.rank() as i64).collect();
        permutation.swap(i, j);
        self.transpose(&permutation)
    }

    /// Elements `start..stop` along one axis; negative bounds count from the end, as in NumPy.
    #[track_caller]
    pub fn slice_axis(&self, axis: i64, start: i64, stop: i64) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let Some(axis) = resolve_axis(axis, self.rank()) else {
            return Tensor::failed("slice", crate::shape::no_axis(axis, self.shape()), at);
        };
        let extent = self.shape()[axis] as i64;
        let resolve = |bound: i64| if bound < 0 { bound + extent } else { bound };
        let (from, to) = (resolve(start), resolve(stop));
        if from < 0 || to > extent || from > to {
            let message = format!("expected 0 ≤ start ≤ stop ≤ {extent}, received {start}..{stop}");
            return Tensor::failed("slice", message, at);
        }
        let mut shape = self.shape().to_vec();
        shape[axis] = (to - from) as usize;
        let mut first = vec![0; self.rank()];
        first[axis] = from as usize;
        let step = vec![1; self.rank()];
        Tensor::op(Op::Slice { start: first, step }, vec![self.clone()], shape, self.dtype(), at)
    }

    /// Every axis of `axes` reversed.
    #[doc(alias = "reverse")]
    #[track_caller]
    pub fn flip(&self, axes: impl Into<Axes>) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        let axes = match axes.into().resolve(self.rank()) {
            Ok(axes) => axes,
            Err(message) => return Tensor::failed("flip", message, at),
        };
        let reversed = |i: &usize| axes.contains(i);
        let start = (0..self.rank())
            .map(|i| if reversed(&i) { self.shape()[i].saturating_sub(1) } else { 0 })
            .collect();
        let step = (0..self.rank()).map(|i| if reversed(&i) { -1 } else { 1 }).collect();
        Tensor::op(Op::Slice { start, step }, vec![self.clone()], self.shape().to_vec(), self.dtype(), at)
    }

    /// `value` before and after each axis: `padding` holds one (before, after) pair an axis.
    #[track_caller]
    pub fn pad(&self, padding: &[(usize, usize)], value: f64) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        if padding.len() != self.rank() {
            let message = format!("expected {} pairs, received {}", self.rank(), padding.len());
            return Tensor::failed("pad", message, at);
        }
        if padding.iter().all(|p| *p == (0, 0)) {
            return self.clone();
        }
        let mut shape = self.shape().to_vec();
        for (dim, (low, high)) in shape.iter_mut().zip(padding) {
            match dim.checked_add(*low).and_then(|d| d.checked_add(*high)) {
                Some(extent) => *dim = extent,
                None => return Tensor::failed("pad", format!("padding {padding:?} overflows"), at),
            }
        }
        let op = Op::Pad {
            low: padding.iter().map(|p| p.0).collect(),
            high: padding.iter().map(|p| p.1).collect(),
            interior: vec![0; self.rank()],
            value: value_of(value, self.dtype()),
        };
        Tensor::op(op, vec![self.clone()], shape, self.dtype(), at)
    }

    /// Sliding windows: axis `[.., l, ..]` becomes `[.., windows, size, ..]`.
    #[track_caller]
    pub fn window(&self, axis: usize, size: usize, stride: usize, dilation: usize) -> Tensor {
        let at = here();
        if self.error().is_some() {
            return self.clone();
        }
        if axis >= self.rank() || size == 0 || stride == 0 || dilation == 0 {
            let message = format!("expected axis < {}, size, stride and dilation ≥ 1", self.rank());
            return Tensor::failed("window", message, at);
        }
        let mut shape = self.shape().to_vec();
        let windows = window_count(shape[axis], size, stride, dilation);
        shape.splice(axis..=axis, [windows, size]);
        Tensor::op(Op::Window { axis, size, stride, dilation }, vec![self.clone()], shape, self.dtype(), at)
    }

    /// Tensors behind one another along an axis; dtypes are promoted.
    #[doc(alias("cat", "concatenate"))]
    #[track_caller]
    pub fn concat(tensors: &[Tensor], axis: i64) -> Tensor {
        let at = here();
        if let Some(failed) = tensors.iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        let Some(first) = tensors.first() else {
            return Tensor::failed("concat", "expected at least one tensor, received none".into(), at);
        };
        let Some(resolved) = resolve_axis(axis, first.rank()) else {
            return Tensor::failed("concat", crate::shape::no_axis(axis, first.shape()), at);
        };
        let fits = |t: &&Tensor| {
            t.rank() == first.rank()
                && (0..t.rank()).all(|i| i == resolved || t.shape()[i] == first.shape()[i])
        };
        if !tensors.iter().all(|t| fits(&t)) {
            let shapes: Vec<&[usize]> = tensors.iter().map(Tensor::shape).collect();
            let message = format!("expected equal shapes except along axis {axis}, received {shapes:?}");
            return Tensor::failed("concat", message, at);
        }
        let dtype = tensors.iter().fold(first.dtype(), |d, t| super::promote(d, t.dtype()));
        let mut shape = first.shape().to_vec();
        shape[resolved] = tensors.iter().fold(0, |sum: usize, t| sum.saturating_add(t.shape()[resolved]));
        let inputs = tensors.iter().map(|t| t.cast_at(dtype, at)).collect();
        Tensor::op(Op::Concat { axis: resolved }, inputs, shape, dtype, at)
    }

    /// Tensors of one shape along a new axis.
    #[track_caller]
    pub fn stack(tensors: &[Tensor], axis: i64) -> Tensor {
        let expanded: Vec<Tensor> = tensors.iter().map(|t| t.expand_dims(axis)).collect();
        Tensor::concat(&expanded, axis).part_of("stack", here(), tensors)
    }

    /// The value, stored in memory when the program runs, by the kernel that computes it.
    #[track_caller]
    pub fn barrier(&self) -> Tensor {
        Tensor::op(Op::Barrier, vec![self.clone()], self.shape().to_vec(), self.dtype(), here())
    }

    /// The value; gradients do not flow through it.
    #[doc(alias = "detach")]
    #[track_caller]
    pub fn stop_gradient(&self) -> Tensor {
        Tensor::op(Op::StopGradient, vec![self.clone()], self.shape().to_vec(), self.dtype(), here())
    }

    /// The value as `float32` where it is not a float.
    #[track_caller]
    pub fn to_float(&self) -> Tensor {
        if self.dtype().is_float() { self.clone() } else { self.cast_at(DType::F32, here()) }
    }
}
