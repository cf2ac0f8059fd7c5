//! Gradients of what folds elements: reductions, running folds, scatters.

use kiln_device::{DType, ReduceOp, ScatterOp};

use crate::error::At;
use crate::op::Op;
use crate::tensor::Tensor;

pub(super) fn reduce(op: ReduceOp, axes: &[usize], x: &Tensor, y: &Tensor, g: &Tensor, at: At) -> Tensor {
    let axes: Vec<i64> = axes.iter().map(|a| *a as i64).collect();
    let spread = |t: &Tensor| t.keep_dims(x, axes.clone()).broadcast_at(x.shape(), at);
    match op {
        ReduceOp::Sum => spread(g),
        ReduceOp::Max | ReduceOp::Min => {
            // Ties share.
            let hit = x.equal(spread(y)).cast(g.dtype());
            let count = hit.sum(axes.clone());
            hit * spread(&(g / count))
        }
        ReduceOp::Prod => {
            // The product of all others: of those before times those after, along the axes as one.
            let (rest, others) = product_of_others(x, &axes);
            spread(g) * restore(&others, x, &rest)
        }
    }
}

/// The axes moved last and flattened, and the order they then stood in.
fn gathered(x: &Tensor, axes: &[i64]) -> (Tensor, Vec<i64>) {
    let order: Vec<i64> =
        (0..x.rank() as i64).filter(|i| !axes.contains(i)).chain(axes.iter().copied()).collect();
    let moved = x.transpose(&order);
    (moved.flatten_from(x.rank() - axes.len()), order)
}

fn product_of_others(x: &Tensor, axes: &[i64]) -> (Vec<i64>, Tensor) {
    let (flat, order) = gathered(x, axes);
    let length = flat.shape()[flat.rank() - 1];
    let mut edge = flat.shape().to_vec();
    *edge.last_mut().unwrap_or(&mut 0) = 1.min(length);
    let ones = Tensor::full(&edge, 1.0, x.dtype());
    let keep = length.saturating_sub(1) as i64;
    let before = Tensor::concat(&[ones.clone(), flat.slice_axis(-1, 0, keep)], -1).cumprod(-1);
    let reversed = flat.flip([-1]);
    let after = Tensor::concat(&[ones, reversed.slice_axis(-1, 0, keep)], -1).cumprod(-1).flip([-1]);
    (order, before * after)
}

/// Undoes [`gathered`].
fn restore(flat: &Tensor, x: &Tensor, order: &[i64]) -> Tensor {
    let moved: Vec<i64> = order.iter().map(|i| x.shape()[*i as usize] as i64).collect();
    let mut inverse = vec![0i64; order.len()];
    for (i, p) in order.iter().enumerate() {
        inverse[*p as usize] = i as i64;
    }
    flat.reshape(&moved).transpose(&inverse)
}

pub(super) fn scatter(op: ScatterOp, x: &[Tensor], y: &Tensor, g: &Tensor, at: At) -> Vec<Option<Tensor>> {
    let (operand, indices, updates) = (&x[0], &x[1], &x[2]);
    let rows = |t: &Tensor| {
        Tensor::op(Op::Gather, vec![t.clone(), indices.clone()], updates.shape().to_vec(), y.dtype(), at)
    };
    let spread = |t: &Tensor| {
        let lead = [&[t.len()][..], &vec![1; updates.rank() - 1]].concat();
        t.reshape_at(lead, at).broadcast_at(updates.shape(), at)
    };
    match op {
        ScatterOp::Fold(ReduceOp::Sum) => vec![Some(g.clone()), None, Some(rows(g))],
        ScatterOp::Set => {
            let untouched = g.scatter_rows(indices, &updates.zeros_like(), ScatterOp::Set, at);
            if indices.len() == 1 {
                return vec![Some(untouched), None, Some(rows(g))];
            }
            // The last update of a row wins: an update counts where it is the one its row remembers.
            let order = Tensor::range(indices.len());
            let none = Tensor::full(&[operand.shape()[0]], -1.0, DType::I32);
            let winner = none.scatter_rows(indices, &order, ScatterOp::Set, at);
            let won =
                Tensor::op(Op::Gather, vec![winner, indices.clone()], order.shape().to_vec(), DType::I32, at)
                    .equal(&order);
            vec![Some(untouched), None, Some(Tensor::select(&spread(&won), rows(g), 0.0))]
        }
        ScatterOp::Fold(ReduceOp::Max | ReduceOp::Min) => {
            // Ties share, as in the reduction.
            let operand_hit = operand.equal(y).cast(g.dtype());
            let update_hit = updates.equal(rows(y)).cast(g.dtype());
            let count = operand_hit.scatter_rows(indices, &update_hit, ScatterOp::Fold(ReduceOp::Sum), at);
            let share = g / count;
            vec![Some(operand_hit * &share), None, Some(update_hit * rows(&share))]
        }
        ScatterOp::Fold(ReduceOp::Prod) => {
            // The product of the others of a row, without a division by elements that may be 0.
            let all = Tensor::full(operand.shape(), 1.0, y.dtype()).scatter_rows(indices, updates, op, at);
            let others = others_of_row(updates, indices, at);
            vec![Some(g * all), None, Some(rows(&(g * operand)) * others)]
        }
    }
}

/// For every update the product of the others that go to the same row.
fn others_of_row(updates: &Tensor, indices: &Tensor, at: At) -> Tensor {
    if updates.is_empty() {
        return updates.zeros_like();
    }
    let order = indices.argsort(0, false);
    let (values, row) = (updates.gather_rows(&order, at), indices.gather_rows(&order, at));
    let before = product_before(&values, &row);
    let after = product_before(&values.flip([0]), &row.flip([0])).flip([0]);
    (before * after).gather_rows(&order.argsort(0, false), at)
}

/// For every element along the first axis the product of those before it that have its row; equal rows stand together.
fn product_before(values: &Tensor, row: &Tensor) -> Tensor {
    let count = values.shape()[0];
    let later = |t: &Tensor, by: usize, fill: f64| {
        let edge = Tensor::full(&[&[by], &t.shape()[1..]].concat(), fill, t.dtype());
        Tensor::concat(&[edge, t.slice_axis(0, 0, (count - by) as i64)], 0)
    };
    let of_row = |t: &Tensor, by: usize| {
        let lead = [&[count as i64][..], &vec![1; values.rank() - 1]].concat();
        Tensor::select(&row.equal(later(row, by, -1.0)).reshape(&lead), later(t, by, 1.0), 1.0)
    };
    // By doubling: a product of so many takes in that of as many before them.
    let (mut product, mut distance) = (of_row(values, 1), 1);
    while distance < count {
        product = &product * of_row(&product, distance);
        distance *= 2;
    }
    product
}

pub(super) fn scan(
    op: ReduceOp,
    axis: usize,
    reverse: bool,
    x: &Tensor,
    y: &Tensor,
    g: &Tensor,
    at: At,
) -> Tensor {
    let fold = |op: ReduceOp, t: &Tensor, reverse: bool| {
        let op = Op::Scan { op, axis, reverse };
        Tensor::op(op, vec![t.clone()], x.shape().to_vec(), t.dtype(), at)
    };
    let sum = |t: &Tensor, reverse: bool| fold(ReduceOp::Sum, t, reverse);
    match op {
        ReduceOp::Sum => sum(g, !reverse),
        ReduceOp::Prod => running_product(axis as i64, reverse, x, y, g),
        ReduceOp::Max | ReduceOp::Min => running_extreme(axis, reverse, x, y, g, at),
    }
}

/// The gradient of a running product, without a division by elements that may be 0: the product before an element
/// times r, where r[i] = g[i] + x[i+1] · r[i+1].
fn running_product(axis: i64, reverse: bool, x: &Tensor, y: &Tensor, g: &Tensor) -> Tensor {
    if x.is_empty() {
        return x.zeros_like();
    }
    let turned = |t: &Tensor| if reverse { t.flip([axis]) } else { t.clone() };
    let (x, y, mut sum) = (turned(x), turned(y), turned(g));
    let length = x.shape()[axis as usize];
    let part = |t: &Tensor, from: usize, to: usize| t.slice_axis(axis, from as i64, to as i64);
    // By doubling: a sum over so many takes in that over as many behind them, times the product between.
    let (mut between, mut distance) = (part(&x, 1, length), 1);
    while distance < length {
        let rest = length - distance;
        let near = part(&sum, 0, rest) + &between * part(&sum, distance, length);
        sum = Tensor::concat(&[near, part(&sum, rest, length)], axis);
        let further = rest.saturating_sub(distance);
        between = part(&between, 0, further) * part(&between, rest - further, rest);
        distance *= 2;
    }
    let mut edge = x.shape().to_vec();
    edge[axis as usize] = 1;
    let before = Tensor::concat(&[Tensor::full(&edge, 1.0, y.dtype()), part(&y, 0, length - 1)], axis);
    turned(&(before * sum))
}

/// The gradient of a running maximum goes to the element that holds it: the last one up to here that equals it.
fn running_extreme(axis: usize, reverse: bool, x: &Tensor, y: &Tensor, g: &Tensor, at: At) -> Tensor {
    let last = x.rank() as i64 - 1;
    let put = |t: &Tensor| {
        let t = t.swap_axes(axis as i64, last);
        if reverse { t.flip([last]) } else { t }
    };
    let (x, y, g) = (put(x), put(y), put(g));
    let length = x.shape()[x.rank() - 1];
    let position = Tensor::iota(x.shape(), x.rank() - 1);
    let here = Tensor::select(&x.equal(&y), &position, -1);
    let op = Op::Scan { op: ReduceOp::Max, axis: x.rank() - 1, reverse: false };
    let source = Tensor::op(op, vec![here], x.shape().to_vec(), DType::I32, at);
    // Flat scatter: row · length + source.
    let count = x.len();
    let row = (Tensor::range(count).floor_divide(length.max(1) as i32)) * length as i32;
    let flat = row + source.reshape_at(vec![count], at).maximum(0);
    let zeros = Tensor::full(&[count], 0.0, g.dtype());
    let sum = zeros.scatter_rows(&flat, &g.reshape_at(vec![count], at), ScatterOp::Fold(ReduceOp::Sum), at);
    let shaped = sum.reshape_at(x.shape().to_vec(), at);
    let unflipped = if reverse { shaped.flip([last]) } else { shaped };
    unflipped.swap_axes(axis as i64, last)
}
