//! Products of matrices, and convolutions.

use kiln_device::DType;

use super::promote;
use crate::error::At;
use crate::op::{ConvGeometry, ConvKind, Op};
use crate::shape;
use crate::tensor::{Tensor, here};

/// How a window treats the edges; Keras' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Padding {
    /// Only whole windows.
    #[default]
    Valid,
    /// `ceil(extent / stride)` windows; the extra cell goes after.
    Same,
    /// `ceil(extent / stride)` windows that end where they stand: all padding goes before. One spatial axis only.
    Causal,
}

impl Padding {
    /// Cells before and after an axis.
    pub fn amounts(self, extent: usize, size: usize, stride: usize, dilation: usize) -> (usize, usize) {
        match self {
            Padding::Valid => (0, 0),
            // Of no cells there are no windows.
            Padding::Same if extent == 0 => (0, 0),
            Padding::Causal => (size.saturating_sub(1).saturating_mul(dilation), 0),
            Padding::Same => {
                let windows = extent.div_ceil(stride.max(1));
                let window = size.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
                let reach = (windows.max(1) - 1).saturating_mul(stride).saturating_add(window);
                let total = reach.saturating_sub(extent);
                (total / 2, total - total / 2)
            }
        }
    }
}

impl std::str::FromStr for Padding {
    type Err = String;

    fn from_str(name: &str) -> Result<Padding, String> {
        match name {
            "valid" => Ok(Padding::Valid),
            "same" => Ok(Padding::Same),
            "causal" => Ok(Padding::Causal),
            other => Err(format!("expected padding `valid`, `same` or `causal`, received `{other}`")),
        }
    }
}

impl Tensor {
    /// Matrix product with NumPy's rules: vectors are rows or columns, leading axes broadcast.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// let a = Tensor::ones(&[2, 3]);
    /// let bad = a.matmul(&Tensor::ones(&[4, 5]));
    /// let text = bad.to_vec::<f32>().unwrap_err().to_string();
    /// assert!(text.starts_with("[matmul] last axis of lhs [2, 3] must equal first axis of rhs [4, 5]"));
    /// ```
    #[doc(alias("mm", "bmm", "dot"))]
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let at = here();
        if let Some(failed) = [self, other].into_iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        if self.rank() == 0 || other.rank() == 0 {
            let message =
                format!("expected at least one axis, received {:?} and {:?}", self.shape(), other.shape());
            return Tensor::failed("matmul", message, at);
        }
        let inner = other.shape()[other.rank().saturating_sub(2)];
        if self.shape()[self.rank() - 1] != inner {
            let which = if other.rank() <= 2 { "first" } else { "second to last" };
            let message = format!(
                "last axis of lhs {:?} must equal {which} axis of rhs {:?}",
                self.shape(),
                other.shape()
            );
            return Tensor::failed("matmul", message, at);
        }
        let dtype = promote(self.dtype(), other.dtype());
        if dtype == DType::Bool {
            // As in NumPy, whether any product is true.
            let count = self.cast_at(DType::I32, at).matmul(&other.cast_at(DType::I32, at));
            return if count.error().is_some() { count } else { count.cast_at(DType::Bool, at) };
        }
        let (lhs, rhs) = (self.cast_at(dtype, at), other.cast_at(dtype, at));
        match (lhs.rank(), rhs.rank()) {
            (1, _) => {
                let row = lhs.reshape_at(vec![1, inner], at).matmul_matrices(&rhs_matrix(&rhs, at), at);
                let keep = if rhs.rank() == 1 { row.rank() - 2 } else { row.rank() };
                let mut shape = row.shape()[..keep].to_vec();
                if rhs.rank() > 1 {
                    shape.remove(keep - 2);
                }
                row.reshape_or_error(shape, at)
            }
            (_, 1) => {
                let column = lhs.matmul_matrices(&rhs_matrix(&rhs, at), at);
                let shape = column.shape()[..column.rank().saturating_sub(1)].to_vec();
                column.reshape_or_error(shape, at)
            }
            _ => lhs.matmul_matrices(&rhs, at),
        }
    }

    fn reshape_or_error(&self, shape: Vec<usize>, at: At) -> Tensor {
        if self.error().is_some() { self.clone() } else { self.reshape_at(shape, at) }
    }

    fn matmul_matrices(&self, rhs: &Tensor, at: At) -> Tensor {
        let (m, k) = (self.shape()[self.rank() - 2], self.shape()[self.rank() - 1]);
        let n = rhs.shape()[rhs.rank() - 1];
        let dtype = self.dtype();
        let (lead, rhs_lead) = (&self.shape()[..self.rank() - 2], &rhs.shape()[..rhs.rank() - 2]);
        if rhs.rank() == 2 {
            // One matrix for all leading axes: they are rows of one product.
            let rows = lead.iter().product::<usize>() * m;
            let flat = self.reshape_at(vec![rows, k], at);
            let product = Tensor::op(Op::MatMul, vec![flat, rhs.clone()], vec![rows, n], dtype, at);
            return product.reshape_or_error([lead, &[m, n]].concat(), at);
        }
        let Some(batch) = shape::broadcast(lead, rhs_lead) else {
            let message =
                format!("leading axes of {:?} and {:?} do not broadcast", self.shape(), rhs.shape());
            return Tensor::failed("matmul", message, at);
        };
        let lhs = self.broadcast_at(&[&batch[..], &[m, k]].concat(), at);
        let rhs = rhs.broadcast_at(&[&batch[..], &[k, n]].concat(), at);
        Tensor::op(Op::MatMul, vec![lhs, rhs], [&batch[..], &[m, n]].concat(), dtype, at)
    }

    /// Convolution over any number of spatial axes, channels last.
    ///
    /// `self: [n, spatial.., in]`, `kernel: [window.., in / groups, out]`, result `[n, spatial'.., out]`.
    #[doc(alias("conv1d", "conv2d", "conv3d", "convolution"))]
    #[track_caller]
    pub fn conv(
        &self,
        kernel: &Tensor,
        strides: &[usize],
        padding: Padding,
        dilations: &[usize],
        groups: usize,
    ) -> Tensor {
        let at = here();
        if let Some(failed) = [self, kernel].into_iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        let spatial = self.rank().saturating_sub(2);
        let (x, w) = (self.shape(), kernel.shape());
        if spatial == 0 || w.len() != spatial + 2 || strides.len() != spatial || dilations.len() != spatial {
            let message = format!(
                "expected input [n, spatial.., channels] and a kernel of the same rank with a stride and a dilation for \
                 each of its {spatial} spatial axes, received input {x:?}, kernel {w:?}, strides {strides:?}, dilations \
                 {dilations:?}"
            );
            return Tensor::failed("conv", message, at);
        }
        if padding == Padding::Causal && spatial != 1 {
            let message = format!("padding `causal` is for one spatial axis, received input {x:?}");
            return Tensor::failed("conv", message, at);
        }
        if groups == 0 || strides.contains(&0) || dilations.contains(&0) {
            let message = format!(
                "expected groups, strides and dilations ≥ 1, received {groups}, {strides:?}, {dilations:?}"
            );
            return Tensor::failed("conv", message, at);
        }
        if let Some(huge) = strides.iter().chain(dilations).find(|n| i32::try_from(**n).is_err()) {
            let message = format!("expected strides and dilations below 2³¹, received {huge}");
            return Tensor::failed("conv", message, at);
        }
        let (channels, filters) = (x[spatial + 1], w[spatial + 1]);
        if w[spatial].checked_mul(groups) != Some(channels) || !filters.is_multiple_of(groups) {
            let message = format!(
                "kernel {w:?} in {groups} groups does not fit input {x:?}: expected {} input channels a group, and \
                 filters divisible by groups",
                channels / groups
            );
            return Tensor::failed("conv", message, at);
        }
        let amounts = |i: usize| padding.amounts(x[i + 1], w[i], strides[i], dilations[i]);
        let geometry = ConvGeometry {
            input: x[1..=spatial].to_vec(),
            kernel: w[..spatial].to_vec(),
            strides: strides.to_vec(),
            dilations: dilations.to_vec(),
            padding: (0..spatial).map(amounts).collect(),
            groups,
        };
        let Some(output) = geometry.output() else {
            let message = format!(
                "computed output size would be zero or negative: input {x:?}, kernel {w:?}, strides {strides:?}, \
                 padding {padding:?}; use padding `same` or a smaller kernel"
            );
            return Tensor::failed("conv", message, at);
        };
        let shape = [&[x[0]], &output[..], &[filters]].concat();
        convolution([self, kernel], ConvKind::Forward, geometry, shape, at)
    }
}

/// The primitive in the common type of two tensors whose shapes fit. Of booleans, whether any product is true.
pub(super) fn convolution(
    inputs: [&Tensor; 2],
    kind: ConvKind,
    geometry: ConvGeometry,
    shape: Vec<usize>,
    at: At,
) -> Tensor {
    let dtype = promote(inputs[0].dtype(), inputs[1].dtype());
    let counted = if dtype == DType::Bool { DType::I32 } else { dtype };
    let inputs = inputs.map(|t| t.cast_at(counted, at)).to_vec();
    Tensor::op(Op::Conv { kind, geometry }, inputs, shape, counted, at).cast_at(dtype, at)
}

fn rhs_matrix(rhs: &Tensor, at: At) -> Tensor {
    if rhs.rank() == 1 { rhs.reshape_at(vec![rhs.shape()[0], 1], at) } else { rhs.clone() }
}
