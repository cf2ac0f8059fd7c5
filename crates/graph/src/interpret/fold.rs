//! Folds: reductions, products, convolutions, scatters, sorting and running folds.

use std::cmp::Ordering;

use kiln_device::{BinaryOp, DType, ReduceOp, ScatterOp};

use super::layout::{build, flat, points};
use super::{Array, number, scalar, whole};
use crate::op::{ConvGeometry, ConvKind};

pub(super) fn reduce(op: ReduceOp, axes: &[usize], x: Array<'_>, shape: &[usize]) -> Vec<f64> {
    let start = scalar::cast(x.dtype, x.dtype, number(op.identity(x.dtype.scalar())));
    let mut result = vec![start; shape.iter().product()];
    for p in points(x.shape) {
        let kept: Vec<usize> = (0..p.len()).filter(|i| !axes.contains(i)).map(|i| p[i]).collect();
        let target = &mut result[flat(&kept, shape)];
        *target = scalar::binary(op.combine(), x.dtype, *target, x.at(&p));
    }
    result
}

pub(super) fn scan(op: ReduceOp, axis: usize, reverse: bool, x: Array<'_>) -> Vec<f64> {
    build(x.shape, |mut p| {
        let here = p[axis];
        let sources: Vec<usize> =
            if reverse { (here..x.shape[axis]).rev().collect() } else { (0..=here).collect() };
        sources.into_iter().fold(number(op.identity(x.dtype.scalar())), |folded, i| {
            p[axis] = i;
            scalar::binary(op.combine(), x.dtype, folded, x.at(&p))
        })
    })
}

/// `sum + a · b` in the arithmetic of the operands' type.
fn multiply_add(x: Array<'_>, sum: f64, a: f64, b: f64) -> f64 {
    scalar::binary(BinaryOp::Add, x.dtype, sum, scalar::binary(BinaryOp::Mul, x.dtype, a, b))
}

pub(super) fn matmul(a: Array<'_>, b: Array<'_>, shape: &[usize]) -> Vec<f64> {
    let rank = shape.len();
    build(shape, |p| {
        let (batch, row, column) = (&p[..rank - 2], p[rank - 2], p[rank - 1]);
        (0..a.shape[rank - 1]).fold(0.0, |sum, k| {
            multiply_add(a, sum, a.at(&[batch, &[row, k]].concat()), b.at(&[batch, &[k, column]].concat()))
        })
    })
}

/// Every triple (x, w, y) of elements that meet adds the product of two of them to the third.
pub(super) fn conv(
    kind: ConvKind,
    geometry: &ConvGeometry,
    a: Array<'_>,
    b: Array<'_>,
    shape: &[usize],
) -> Vec<f64> {
    let mut result = vec![0.0; shape.iter().product()];
    let (x_shape, w_shape, y_shape) = match kind {
        ConvKind::Forward => (a.shape, b.shape, shape),
        ConvKind::InputGradient => (shape, b.shape, a.shape),
        ConvKind::KernelGradient => (a.shape, shape, b.shape),
    };
    let spatial = geometry.input.len();
    let (group_channels, group_filters) = (w_shape[spatial], w_shape[spatial + 1] / geometry.groups);
    for y in points(y_shape) {
        let filter = y[spatial + 1];
        for w in points(&w_shape[..=spatial]) {
            let Some(position) = input_position(geometry, &y[1..=spatial], &w[..spatial]) else {
                continue;
            };
            let channel = filter / group_filters * group_channels + w[spatial];
            let x = flat(&[&[y[0]], &position[..], &[channel]].concat(), x_shape);
            let w = flat(&[&w[..], &[filter]].concat(), w_shape);
            let y = flat(&y, y_shape);
            let (target, left, right) = match kind {
                ConvKind::Forward => (y, x, w),
                ConvKind::InputGradient => (x, y, w),
                ConvKind::KernelGradient => (w, x, y),
            };
            result[target] = multiply_add(a, result[target], a.values[left], b.values[right]);
        }
    }
    result
}

/// Where in the input an element of a window stands; `None` in the padding.
fn input_position(geometry: &ConvGeometry, output: &[usize], within: &[usize]) -> Option<Vec<usize>> {
    (0..output.len())
        .map(|i| {
            let padded = output[i] * geometry.strides[i] + within[i] * geometry.dilations[i];
            padded.checked_sub(geometry.padding[i].0).filter(|position| *position < geometry.input[i])
        })
        .collect()
}

/// An index outside is skipped, as the kernels have it.
pub(super) fn scatter(op: ScatterOp, x: Array<'_>, indices: Array<'_>, updates: Array<'_>) -> Vec<f64> {
    let mut result = x.values.to_vec();
    for p in points(updates.shape) {
        let index = indices.values[p[0]];
        if !(0.0..x.shape[0] as f64).contains(&index) {
            continue;
        }
        let target = &mut result[flat(&[&[index as usize], &p[1..]].concat(), x.shape)];
        *target = match op {
            ScatterOp::Set => updates.at(&p),
            ScatterOp::Fold(op) => scalar::binary(op.combine(), x.dtype, *target, updates.at(&p)),
        };
    }
    result
}

pub(super) fn argsort(descending: bool, x: Array<'_>) -> Vec<f64> {
    let length = x.shape.last().copied().unwrap_or(1).max(1);
    let order = |a: f64, b: f64| match a.is_nan().cmp(&b.is_nan()) {
        Ordering::Equal if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        Ordering::Equal => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        nan_last => nan_last,
    };
    let sorted = |line: &[f64]| {
        let mut positions: Vec<usize> = (0..length).collect();
        positions.sort_by(|i, j| match (x.dtype, descending) {
            (DType::I64, false) => whole(line[*i]).cmp(&whole(line[*j])),
            (DType::I64, true) => whole(line[*j]).cmp(&whole(line[*i])),
            _ => order(line[*i], line[*j]),
        });
        positions
    };
    x.values.chunks(length).flat_map(sorted).map(|position| position as f64).collect()
}
