//! Views, concatenations, padding and windows.

use kiln_device::Value;
use kiln_graph::op::Op;
use kiln_graph::{DType, Tensor, ops};

use crate::decode::Decoder;
use crate::recipe::Facts;

/// A factorisation of `count` that need not line up with any axes there were.
fn factors(d: &mut Decoder, count: usize) -> Vec<i64> {
    if count == 0 {
        return vec![[0, 3][d.choose(2)], 0];
    }
    let mut rest = count;
    let mut shape = vec![];
    for _ in 0..d.choose(4) {
        let divisors: Vec<usize> = (1..=rest).filter(|k| rest.is_multiple_of(*k)).collect();
        let chosen = divisors[d.choose(divisors.len())];
        shape.push(chosen as i64);
        rest /= chosen;
    }
    let at = d.choose(shape.len() + 1);
    shape.insert(at, rest as i64);
    shape
}

pub(super) fn view(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(16);
    let x = d.pick(|f| (kind < 5) || f.rank() > 0)?;
    let shape = d.facts(x).shape;
    let rank = shape.len();
    match kind {
        0..=2 => {
            let target = factors(d, shape.iter().product());
            d.push(format!("reshape {target:?}"), &[x], move |x| x[0].reshape(&target))
        }
        3 => {
            let mut order: Vec<i64> = (0..rank as i64).collect();
            for i in (1..rank).rev() {
                let other = d.choose(i + 1);
                order.swap(i, other);
            }
            d.push(format!("transpose {order:?}"), &[x], move |x| x[0].transpose(&order))
        }
        4 => {
            let mut target = shape.clone();
            for extent in target.iter_mut().filter(|e| **e == 1) {
                *extent = [1, 3, 4][d.choose(3)];
            }
            if target == shape && rank < 4 {
                target.insert(0, [2, 1, 5][d.choose(3)]);
            }
            d.push(format!("broadcast_to {target:?}"), &[x], move |x| x[0].broadcast_to(&target))
        }
        5..=6 => {
            let axis = d.choose(rank);
            let start = d.choose(shape[axis] + 1);
            let stop = start + d.choose(shape[axis] - start + 1);
            let (start, stop, axis) = (start as i64, stop as i64, axis as i64);
            d.push(format!("slice_axis({axis}, {start}, {stop})"), &[x], move |x| {
                x[0].slice_axis(axis, start, stop)
            })
        }
        7..=8 => strided(d, x),
        9 => {
            let axis = d.choose(rank) as i64;
            d.push(format!("flip {axis}"), &[x], move |x| x[0].flip([axis]))
        }
        10..=11 => pad(d, x),
        12 => window(d, x),
        13 => unwindow(d),
        14 => {
            let (axis, shift) = (d.choose(rank) as i64, d.choose(9) as i64 - 4);
            d.push(format!("roll {shift} on {axis}"), &[x], move |x| ops::roll(&x[0], &[shift], [axis]))
        }
        _ => {
            let axis = d.choose(rank + 1) as i64;
            d.push(format!("expand_dims {axis}"), &[x], move |x| x[0].expand_dims(axis))
        }
    }
}

/// Every so manyth element of two axes, from either end.
fn strided(d: &mut Decoder, x: usize) -> Option<usize> {
    let facts = d.facts(x);
    let (mut shape, rank) = (facts.shape.clone(), facts.rank());
    let (mut start, mut steps) = (vec![0; rank], vec![1; rank]);
    for axis in [d.choose(rank), d.choose(rank)] {
        let step = d.of(&[2i64, 3, -2, -1, -3, 1]);
        let extent = facts.shape[axis];
        let skipped = d.choose(extent.clamp(1, 3));
        shape[axis] = (extent.saturating_sub(skipped)).div_ceil(step.unsigned_abs() as usize);
        start[axis] = if step < 0 { extent.saturating_sub(1 + skipped) } else { skipped };
        steps[axis] = step;
    }
    for axis in (0..rank).filter(|i| shape[*i] == 0) {
        start[axis] = 0;
    }
    d.push(format!("from {start:?} every {steps:?}"), &[x], move |x| {
        let op = Op::Slice { start: start.clone(), step: steps.clone() };
        Tensor::primitive(op, &x[..1], &shape, x[0].dtype())
    })
}

fn pad(d: &mut Decoder, x: usize) -> Option<usize> {
    let facts = d.facts(x);
    let rank = facts.rank();
    let (mut low, mut high, mut interior) = (vec![0; rank], vec![0; rank], vec![0; rank]);
    let mut shape = facts.shape.clone();
    for i in 0..rank {
        low[i] = [0, 1, 2][d.choose(3)];
        high[i] = [0, 2, 1][d.choose(3)];
        interior[i] = if shape[i] > 0 { [0, 0, 1, 2][d.choose(4)] } else { 0 };
        shape[i] += low[i] + high[i] + interior[i] * shape[i].saturating_sub(1);
    }
    let number = [0.0, 0.0, 1.5][d.choose(3)];
    let value = match facts.dtype {
        DType::Bool => Value::Bool(number != 0.0),
        DType::I32 => Value::I32(number as i32),
        DType::U32 | DType::U8 => Value::U32(number as u32),
        _ => Value::F32(number),
    };
    let text = format!("pad {low:?} {high:?} {interior:?} with {number}");
    d.push(text, &[x], move |x| {
        let op = Op::Pad { low: low.clone(), high: high.clone(), interior: interior.clone(), value };
        Tensor::primitive(op, &x[..1], &shape, x[0].dtype())
    })
}

fn window(d: &mut Decoder, x: usize) -> Option<usize> {
    let facts = d.facts(x);
    let axis = d.choose(facts.rank());
    let size = 1 + d.choose(facts.shape[axis].min(4));
    let (stride, dilation) = (1 + d.choose(3), 1 + d.choose(2));
    if facts.rank() > 4 {
        return None;
    }
    let text = format!("window(axis {axis}, size {size}, stride {stride}, dilation {dilation})");
    d.push(text, &[x], move |x| x[0].window(axis, size, stride, dilation))
}

/// Two axes taken as windows and what they cover, spread out again.
fn unwindow(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.plain() && f.rank() >= 2)?;
    let facts = d.facts(x);
    let axis = d.choose(facts.rank() - 1);
    let (stride, dilation, more) = (1 + d.choose(3), 1 + d.choose(2), d.choose(3));
    let reach = |i: usize, step: usize| facts.shape[i].saturating_sub(1) * step;
    let length = reach(axis, stride) + reach(axis + 1, dilation) + 1 + more;
    let mut shape = facts.shape.clone();
    shape[axis] = length;
    d.push(format!("unwindow({axis}, {length}, {stride}, {dilation})"), &[x], move |x| {
        let op = Op::Unwindow { axis, length, stride, dilation };
        Tensor::primitive(op, &x[..1], &shape, x[0].dtype())
    })
}

pub(super) fn join(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.rank() > 0)?;
    let facts = d.facts(x);
    let axis = d.choose(facts.rank());
    let same = facts.dtype;
    if d.choose(4) == 3 {
        let y = d.pick(|f| f.dtype == same && f.shape == facts.shape)?;
        let axis = axis as i64;
        return d.push(format!("stack {axis}"), &[x, y], move |x| Tensor::stack(x, axis));
    }
    let mut parts = vec![x];
    for _ in 0..1 + d.choose(2) {
        let fits = |f: &Facts| {
            let others = |i: usize| i == axis || f.shape[i] == facts.shape[i];
            f.dtype == same && f.rank() == facts.rank() && (0..f.rank()).all(others)
        };
        let Some(part) = d.pick(fits) else { continue };
        parts.push(part);
    }
    d.push(format!("concat {axis}"), &parts, move |x| Tensor::concat(x, axis as i64))
}
