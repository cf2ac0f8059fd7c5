//! Rules of the primitives whose rows do not simply stand along a first axis: products, convolutions, look-ups.

use kiln_device::{DType, ScatterOp};

use super::{Batched, Batcher};
use crate::error::At;
use crate::op::{ConvGeometry, ConvKind, Op};
use crate::tensor::Tensor;

/// The tensor with an axis at another place.
fn moved(x: &Tensor, from: usize, to: usize) -> Tensor {
    let mut order: Vec<i64> = (0..x.rank() as i64).collect();
    let axis = order.remove(from);
    order.insert(to, axis);
    x.transpose(&order)
}

/// The tensor with an axis and the one before it as one.
fn joined(x: &Tensor, axis: usize, at: At) -> Tensor {
    let mut shape = x.shape().to_vec();
    let extent = shape.remove(axis);
    shape[axis - 1] = shape[axis - 1].saturating_mul(extent);
    x.reshape_at(shape, at)
}

/// The tensor with an axis as two, the first of them of an extent.
fn parted(x: &Tensor, axis: usize, extent: usize, at: At) -> Tensor {
    let mut shape = x.shape().to_vec();
    shape[axis] /= extent.max(1);
    shape.insert(axis, extent);
    x.reshape_at(shape, at)
}

impl Batcher {
    /// A product of which only the left matrices differ between rows is one product of taller matrices.
    pub(super) fn product(&self, one: &Tensor, inputs: &[Batched]) -> Tensor {
        let at = one.node.at;
        let product = |a: Tensor, b: Tensor, shape: Vec<usize>| {
            Tensor::op(Op::MatMul, vec![a, b], shape, one.dtype(), at)
        };
        match (&inputs[0], &inputs[1]) {
            (Batched::Rows(a), Batched::Same(b)) if one.rank() == 2 => {
                let a = joined(a, 1, at);
                let (tall, n) = (a.shape().first().copied().unwrap_or(0), one.shape()[1]);
                let shape = [self.rows, one.shape()[0], n].to_vec();
                product(a, b.clone(), vec![tall, n]).reshape_at(shape, at)
            }
            (a, b) => product(self.rows_of(a), self.rows_of(b), [&[self.rows], one.shape()].concat()),
        }
    }

    /// A convolution of which only the images differ between rows is one of more images; else rows are groups of
    /// channels.
    pub(super) fn convolution(
        &self,
        one: &Tensor,
        kind: ConvKind,
        geometry: &ConvGeometry,
        inputs: &[Batched],
    ) -> Tensor {
        let (at, shape) = (one.node.at, one.shape());
        let conv = |geometry: ConvGeometry, inputs: Vec<Tensor>, shape: Vec<usize>| {
            Tensor::op(Op::Conv { kind, geometry }, inputs, shape, one.dtype(), at)
        };
        if let (Batched::Rows(x), Batched::Same(w)) = (&inputs[0], &inputs[1])
            && kind != ConvKind::KernelGradient
        {
            let mut result = shape.to_vec();
            result[0] = result[0].saturating_mul(self.rows);
            let all = conv(geometry.clone(), vec![joined(x, 1, at), w.clone()], result);
            return parted(&all, 0, self.rows, at);
        }
        // All operands and results have their channels, or filters, along the last axis.
        let last = shape.len() - 1;
        let grouped = |v: &Batched| {
            let x = moved(&self.rows_of(v), 0, last);
            joined(&x, last + 1, at)
        };
        let mut result = shape.to_vec();
        result[last] = result[last].saturating_mul(self.rows);
        let groups = geometry.groups.saturating_mul(self.rows);
        let geometry = ConvGeometry { groups, ..geometry.clone() };
        let all = conv(geometry, inputs.iter().map(grouped).collect(), result);
        moved(&parted(&all, last, self.rows, at), last, 0)
    }

    /// Indices of the rows' own tables as those of all tables behind one another; ones that are in none stay so.
    fn behind_one_another(&self, indices: &Tensor, extent: usize, at: At) -> Tensor {
        let extent = extent.min(i32::MAX as usize) as i32;
        let row = Tensor::op(Op::Iota { axis: 0 }, vec![], indices.shape().to_vec(), DType::I32, at);
        let inside = indices.greater_equal(0).logical_and(indices.less(extent));
        Tensor::select(&inside, row * extent + indices, -1)
    }

    pub(super) fn gather(&self, inputs: &[Batched], at: At) -> Tensor {
        let (x, indices) = (&inputs[0], &inputs[1]);
        match (x, indices) {
            (Batched::Same(x), Batched::Rows(indices)) => x.gather_rows(indices, at),
            (Batched::Rows(x), Batched::Same(indices)) => {
                moved(&moved(x, 0, 1).gather_rows(indices, at), indices.rank(), 0)
            }
            _ => {
                let (x, indices) = (self.rows_of(x), self.rows_of(indices));
                let indices = self.behind_one_another(&indices, x.shape()[1], at);
                joined(&x, 1, at).gather_rows(&indices.maximum(0), at)
            }
        }
    }

    pub(super) fn scatter(&self, op: ScatterOp, inputs: &[Batched], at: At) -> Tensor {
        let scatter = |x: Tensor, indices: Tensor, updates: Tensor| {
            let (shape, dtype) = (x.shape().to_vec(), x.dtype());
            Tensor::op(Op::Scatter { op }, vec![x, indices, updates], shape, dtype, at)
        };
        let (x, updates) = (self.rows_of(&inputs[0]), self.rows_of(&inputs[2]));
        match &inputs[1] {
            Batched::Same(indices) => {
                moved(&scatter(moved(&x, 0, 1), indices.clone(), moved(&updates, 0, 1)), 1, 0)
            }
            Batched::Rows(indices) => {
                let indices = joined(&self.behind_one_another(indices, x.shape()[1], at), 1, at);
                let all = scatter(joined(&x, 1, at), indices, joined(&updates, 1, at));
                all.reshape_at(x.shape().to_vec(), at)
            }
        }
    }
}
