//! What neural networks are made of, as arithmetic on primitives.

use kiln_device::{BinaryOp, DType, size};

use super::Padding;
use crate::error::At;
use crate::shape::Axes;
use crate::tensor::{Tensor, here};

/// Most elements of a window that are compared one by one.
const UNROLLED: usize = 16;

impl Tensor {
    /// `max(x, 0)`; its gradient at 0 is 0.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        let value = self.maximum(0.0);
        // The gradient tests the output, so that the input need not be kept.
        Tensor::custom_gradient(&value, std::slice::from_ref(self), |g, y, _| {
            vec![Some(Tensor::select(&y.greater(0.0), g, 0.0))]
        })
    }

    /// `exp(x) / Σ exp(x)` along some axes.
    #[track_caller]
    pub fn softmax(&self, axes: impl Into<Axes>) -> Tensor {
        let (at, axes) = (here(), axes.into());
        let shifted = self.shifted(&axes);
        let e = shifted.exp();
        let sum = e.sum(axes.clone()).keep_dims(self, axes);
        (e / sum).part_of("softmax", at, std::slice::from_ref(self))
    }

    /// `log(softmax(x))` along some axes.
    #[doc(alias = "logsoftmax")]
    #[track_caller]
    pub fn log_softmax(&self, axes: impl Into<Axes>) -> Tensor {
        let (at, axes) = (here(), axes.into());
        let shifted = self.shifted(&axes);
        let sum = shifted.exp().sum(axes.clone()).keep_dims(self, axes);
        (shifted - sum.log()).part_of("log_softmax", at, std::slice::from_ref(self))
    }

    /// `log Σ exp(x)` over some axes.
    #[doc(alias = "reduce_logsumexp")]
    #[track_caller]
    pub fn logsumexp(&self, axes: impl Into<Axes>) -> Tensor {
        let (at, axes) = (here(), axes.into());
        let max = self.max(axes.clone()).stop_gradient();
        let max = Tensor::select(&max.is_finite(), &max, 0.0);
        let shifted = self - max.keep_dims(self, axes.clone());
        (shifted.exp().sum(axes).log() + max).part_of("logsumexp", at, std::slice::from_ref(self))
    }

    /// The tensor less its maximum along some axes, which no gradient flows through.
    fn shifted(&self, axes: &Axes) -> Tensor {
        let x = self.to_float();
        let max = x.max(axes.clone()).keep_dims(self, axes.clone()).stop_gradient();
        x - max
    }

    /// Normalised over some axes to mean 0 and variance 1: `(x − mean) / sqrt(variance + epsilon)`.
    #[track_caller]
    pub fn normalize_moments(&self, axes: impl Into<Axes>, epsilon: impl Into<f64>) -> Tensor {
        let (at, axes) = (here(), axes.into());
        let mean = self.mean(axes.clone()).keep_dims(self, axes.clone());
        let centred = self - mean;
        let variance = centred.square().mean(axes.clone()).keep_dims(self, axes);
        (centred * (variance + epsilon.into()).rsqrt()).part_of(
            "normalize_moments",
            at,
            std::slice::from_ref(self),
        )
    }

    /// The largest element of the last axis but one. The gradient goes to the first of several.
    pub(super) fn first_largest(&self) -> Tensor {
        let count = self.shape()[self.rank() - 2];
        Tensor::custom_gradient(&self.max([-2]), std::slice::from_ref(self), move |g, y, inputs| {
            let position = Tensor::iota(inputs[0].shape(), inputs[0].rank() - 2);
            let hit = inputs[0].equal(y.expand_dims(-2));
            let first = Tensor::select(&hit, &position, count as i32).min([-2]);
            vec![Some(Tensor::select(&position.equal(first.expand_dims(-2)), g.expand_dims(-2), 0.0))]
        })
    }

    /// Largest element of sliding windows over the spatial axes of `[n, spatial.., channels]`. The gradient goes to the
    /// first largest element of a window.
    #[doc(alias = "max_pool2d")]
    #[track_caller]
    pub fn max_pool(&self, pool: &[usize], strides: &[usize], padding: Padding) -> Tensor {
        let at = here();
        let windows = match self.windows(pool, strides, padding, f64::NEG_INFINITY, "max_pool", at) {
            Ok(windows) => windows,
            Err(failed) => return failed,
        };
        let count = windows.shape()[windows.rank() - 2];
        if count > UNROLLED {
            return windows.first_largest();
        }
        // Cell by cell: a few loads of a window's elements instead of a loop over them.
        let cell = |i: usize| windows.slice_axis(-2, i as i64, i as i64 + 1).squeeze([-2]);
        let cells: Vec<Tensor> = (0..count).map(cell).collect();
        let Some(value) = cells.iter().cloned().reduce(|a, b| a.maximum(b)) else { return windows.max([-2]) };
        Tensor::custom_gradient(&value, &[windows], move |g, y, inputs| {
            let position = Tensor::iota(inputs[0].shape(), inputs[0].rank() - 2);
            let none = Tensor::full(y.shape(), count as f64, DType::I32);
            let first = (0..count)
                .rev()
                .zip(cells.iter().rev())
                .fold(none, |later, (i, cell)| Tensor::select(&cell.equal(y), i as i32, &later));
            vec![Some(Tensor::select(&position.equal(first.expand_dims(-2)), g.expand_dims(-2), 0.0))]
        })
    }

    /// Mean of sliding windows over the spatial axes of `[n, spatial.., channels]`; padded cells do not count.
    #[doc(alias("avg_pool", "avg_pool2d"))]
    #[track_caller]
    pub fn average_pool(&self, pool: &[usize], strides: &[usize], padding: Padding) -> Tensor {
        let at = here();
        let windows = match self.windows(pool, strides, padding, 0.0, "average_pool", at) {
            Ok(windows) => windows,
            Err(failed) => return failed,
        };
        let sum = windows.sum([-2]);
        let whole =
            (0..pool.len()).all(|i| padding.amounts(self.shape()[i + 1], pool[i], strides[i], 1) == (0, 0));
        if whole {
            return sum * (1.0 / pool.iter().product::<usize>() as f64);
        }
        let ones = Tensor::full(&[&[1], &self.shape()[1..self.rank() - 1], &[1]].concat(), 1.0, self.dtype());
        match ones.windows(pool, strides, padding, 0.0, "average_pool", at) {
            Ok(counted) => sum / counted.sum([-2]),
            Err(failed) => failed,
        }
    }

    /// `[n, spatial.., c]` → `[n, windows.., cells, c]`, where the cells of a window stand in row-major order.
    fn windows(
        &self,
        pool: &[usize],
        strides: &[usize],
        padding: Padding,
        fill: f64,
        name: &'static str,
        at: At,
    ) -> Result<Tensor, Tensor> {
        if self.error().is_some() {
            return Err(self.clone());
        }
        let spatial = self.rank().saturating_sub(2);
        let sizes_fit =
            pool.len() == spatial && strides.len() == spatial && !pool.contains(&0) && !strides.contains(&0);
        if spatial == 0 || !sizes_fit || size::element_count(pool).is_err() {
            let message = format!(
                "expected input [n, spatial.., channels] with a pool size and a stride ≥ 1 for each spatial axis, \
                 received {:?}, pool {pool:?}, strides {strides:?}",
                self.shape()
            );
            return Err(Tensor::failed(name, message, at));
        }
        let mut amounts = vec![(0, 0); self.rank()];
        for i in 0..spatial {
            amounts[i + 1] = padding.amounts(self.shape()[i + 1], pool[i], strides[i], 1);
        }
        let mut x = self.pad(&amounts, fill);
        // [n, s0, s1, c] → [n, o0, w0, s1, c] → [n, o0, w0, o1, w1, c] → [n, o0, o1, w0, w1, c]
        for i in 0..spatial {
            x = x.window(1 + 2 * i, pool[i], strides[i], 1);
        }
        if x.error().is_some() {
            return Err(x);
        }
        if x.is_empty() && !self.is_empty() {
            let message = format!(
                "computed output size would be zero: input {:?}, pool {pool:?}, padding {padding:?}",
                self.shape()
            );
            return Err(Tensor::failed(name, message, at));
        }
        let (outer, cells) = ((0..spatial).map(|i| 1 + 2 * i as i64), (0..spatial).map(|i| 2 + 2 * i as i64));
        let order: Vec<i64> =
            [0].into_iter().chain(outer).chain(cells).chain([1 + 2 * spatial as i64]).collect();
        let x = x.transpose(&order);
        let mut shape = x.shape()[..=spatial].to_vec();
        shape.push(pool.iter().product());
        shape.push(self.shape()[self.rank() - 1]);
        Ok(x.reshape_at(shape, at))
    }

    /// Cross entropy of logits against integer labels along the last axis, one value a row. Labels outside `0..classes`
    /// are an error of the run.
    #[track_caller]
    pub fn sparse_softmax_cross_entropy(&self, labels: &Tensor) -> Tensor {
        self.cross_entropy_of(labels, "sparse_softmax_cross_entropy", here())
    }

    /// [`Tensor::sparse_softmax_cross_entropy`] in the name of another operation.
    pub(crate) fn cross_entropy_of(&self, labels: &Tensor, op: &'static str, at: At) -> Tensor {
        if let Some(failed) = [self, labels].into_iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        if self.rank() == 0 || labels.shape() != &self.shape()[..self.rank() - 1] {
            let message = format!(
                "expected labels of shape {:?} for logits {:?}, received {:?}",
                &self.shape()[..self.rank().saturating_sub(1)],
                self.shape(),
                labels.shape()
            );
            return Tensor::failed(op, message, at);
        }
        let classes = self.shape()[self.rank() - 1];
        let labels = labels.checked_index(classes, op, at);
        let chosen = Tensor::iota(self.shape(), self.rank() - 1).equal(labels.expand_dims(-1));
        -Tensor::select(&chosen, self.log_softmax(-1), 0.0).sum([-1])
    }

    /// Share of rows whose first largest element along the last axis is at the label, per row: 1 or 0.
    #[track_caller]
    pub fn matches_argmax(&self, labels: &Tensor) -> Tensor {
        self.argmax(-1).equal(labels.narrow_index(here())).cast(DType::F32)
    }

    pub(crate) fn add_at(&self, other: &Tensor, at: At) -> Tensor {
        self.binary(BinaryOp::Add, other, at)
    }
}
