//! Gathers, scatters in every form, updates at an index, segments.

use kiln_graph::{DType, ReduceOp, ScatterOp, ops, s};

use crate::decode::Decoder;
use crate::recipe::Facts;

const SCATTERS: [ScatterOp; 6] = [
    ScatterOp::Set,
    ScatterOp::Fold(ReduceOp::Sum),
    ScatterOp::Fold(ReduceOp::Max),
    ScatterOp::Fold(ReduceOp::Min),
    ScatterOp::Fold(ReduceOp::Prod),
    ScatterOp::Fold(ReduceOp::Sum),
];

pub(super) fn index(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(12);
    let some = |f: &Facts| f.rank() > 0 && !f.is_empty();
    let x = d.pick(|f| some(f) && f.dtype != DType::Bool)?;
    let facts = d.facts(x);
    match kind {
        0..=1 => take(d, x),
        2..=3 => {
            let axis = d.choose(facts.rank());
            let mut shape = facts.shape.clone();
            shape[axis] = 1 + d.choose(3);
            let indices = d.leaf_in(shape, DType::I32, (0, facts.shape[axis] as i64 - 1))?;
            d.push(format!("take_along_axis {axis}"), &[x, indices], move |x| {
                x[0].take_along_axis(&x[1], axis as i64)
            })
        }
        4..=6 => scatter(d, x),
        7 => update(d, x),
        8 => segment(d, x),
        9 => {
            let count = 1 + d.choose(6);
            let labels = d.leaf_in(vec![count], DType::I32, (0, 4))?;
            d.push("one_hot 4", &[labels], |x| x[0].one_hot(5, DType::F32))
        }
        10 => {
            let places = d.pick(|f| f.dtype == DType::I32 && f.rank() <= 2)?;
            let last = facts.shape[0] as i32 - 1;
            d.push("take rows of clipped places", &[x, places], move |x| x[0].take(&x[1].clip(0, last), 0))
        }
        _ => {
            let axis = d.choose(facts.rank()) as i64;
            let key = d.leaf_in(vec![2], DType::I32, (0, facts.shape[axis as usize] as i64 - 1))?;
            d.push(format!("take twice {axis}"), &[x, key], move |x| {
                x[0].take(&x[1], axis).take(&x[1].clip(0, 1), axis)
            })
        }
    }
}

fn take(d: &mut Decoder, x: usize) -> Option<usize> {
    let facts = d.facts(x);
    let axis = d.choose(facts.rank());
    let shape = d.of(&[vec![3], vec![], vec![2, 2], vec![0], vec![7]]);
    let n = facts.shape[axis] as i64;
    let low = if d.flag() { -n } else { 0 };
    let indices = d.leaf_in(shape, DType::I32, (low, n - 1))?;
    d.push(format!("take {axis}"), &[x, indices], move |x| x[0].take(&x[1], axis as i64))
}

fn scatter(d: &mut Decoder, x: usize) -> Option<usize> {
    let facts = d.facts(x);
    let op = d.of(&SCATTERS);
    let count = d.choose(6);
    let indices = d.leaf_in(vec![count], DType::I32, (0, facts.shape[0] as i64 - 1))?;
    let mut shape = facts.shape.clone();
    shape[0] = count;
    let fits = |f: &Facts| f.shape == shape && f.dtype == facts.dtype;
    let updates = match d.pick(fits) {
        Some(updates) => updates,
        None => d.leaf_of(shape.clone(), facts.dtype)?,
    };
    d.push(format!("scatter {op:?}"), &[x, indices, updates], move |x| x[0].scatter(&x[1], &x[2], op))
}

/// Updates of a part of the first axis.
fn update(d: &mut Decoder, x: usize) -> Option<usize> {
    let (kind, part) = (d.choose(5), d.choose(3));
    let mut shape = d.facts(x).shape;
    shape[0] = 1;
    let values = d.leaf_of(shape, d.facts(x).dtype)?;
    d.push(format!("at, update {kind} of part {part}"), &[x, values], move |x| {
        let index = match part {
            0 => x[0].at(s![::2]),
            1 => x[0].at(s![-1..]),
            _ => x[0].at([0, 0]),
        };
        match kind {
            0 => index.set(&x[1]),
            1 => index.add(&x[1]),
            2 => index.multiply(&x[1]),
            3 => index.min(&x[1]),
            _ => index.max(&x[1]),
        }
    })
}

fn segment(d: &mut Decoder, x: usize) -> Option<usize> {
    let kind = d.choose(4);
    let ids = d.leaf_in(vec![d.facts(x).shape[0]], DType::I32, (-1, 3))?;
    let name = ["sum", "prod", "max", "min"][kind];
    d.push(format!("segment_{name} of 3"), &[x, ids], move |x| match kind {
        0 => ops::segment_sum(&x[0], &x[1], 3),
        1 => ops::segment_prod(&x[0], &x[1], 3),
        2 => ops::segment_max(&x[0], &x[1], 3).clip(-100.0, 100.0),
        _ => ops::segment_min(&x[0], &x[1], 3).clip(-100.0, 100.0),
    })
}
