//! Steps that reduce, scan and sort.

use kiln_graph::op::Op;
use kiln_graph::{DType, ReduceOp, Tensor};

use crate::decode::Decoder;
use crate::recipe::Facts;

/// Some of a value's axes, maybe none or all, as the user names them.
fn axes(d: &mut Decoder, rank: usize) -> Vec<i64> {
    let mask = d.choose(1 << rank);
    let named = (0..rank).filter(|i| mask >> i & 1 == 1);
    let all: Vec<i64> = named.map(|i| i as i64 - if i % 2 == 1 { rank as i64 } else { 0 }).collect();
    if all.is_empty() && rank > 0 { vec![rank as i64 - 1] } else { all }
}

type Fold = (&'static str, fn(&Tensor, &[i64]) -> Tensor);

/// Of anything; the last four only where there is something.
const SUMS: [Fold; 12] = [
    ("sum", |x, a| x.sum(a)),
    ("sum", |x, a| x.sum(a)),
    ("mean", |x, a| x.mean(a)),
    ("variance", |x, a| x.variance(a)),
    ("logsumexp", |x, a| x.logsumexp(a)),
    ("prod", |x, a| x.prod(a)),
    ("max", |x, a| x.max(a)),
    ("min", |x, a| x.min(a)),
    ("sqrt(variance + 0.25)", |x, a| (x.variance(a) + 0.25).sqrt()),
    ("sum of squares", |x, a| x.square().sum(a)),
    ("max · sum", |x, a| x.max(a) * x.sum(a)),
    ("sum of |x − mean|", |x, a| {
        let mean = x.mean(a).keep_dims(x, a);
        (x - mean).abs().sum(a)
    }),
];

pub(super) fn reduce(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(16);
    let keep = d.flag();
    let x = d.pick(|f| match kind {
        0 => f.dtype == DType::Bool,
        1 | 2 => f.dtype.is_integer(),
        3 => f.dtype != DType::Bool && !f.is_empty() && f.rank() > 0,
        _ => f.dtype.is_float(),
    })?;
    let facts = d.facts(x);
    let axes = axes(d, facts.rank());
    let (name, fold): Fold = match kind {
        0 => d.of(&[("any", |x: &Tensor, a: &[i64]| x.any(a)), ("all", |x: &Tensor, a: &[i64]| x.all(a))]),
        1 | 2 => {
            let of_whole: [Fold; 4] = [SUMS[0], SUMS[5], SUMS[6], SUMS[7]];
            d.of(&of_whole)
        }
        3 => {
            let (axis, least) = (axes[0], d.flag());
            let text = if least { "argmin" } else { "argmax" };
            return d.push(format!("{text} {axis}"), &[x], move |x| {
                if least { x[0].argmin(axis) } else { x[0].argmax(axis) }
            });
        }
        _ => d.of(&SUMS),
    };
    let text = format!("{name} {axes:?}{}", if keep { " kept" } else { "" });
    d.push(text, &[x], move |x| {
        let y = fold(&x[0], &axes);
        if keep { y.keep_dims(&x[0], &axes[..]) } else { y }
    })
}

pub(super) fn scan_or_sort(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(10);
    let wanted = |f: &Facts| {
        let fits = if kind < 3 { f.dtype != DType::Bool } else { f.plain() };
        fits && f.rank() > 0
    };
    let x = d.pick(wanted)?;
    let facts = d.facts(x);
    let axis = d.choose(facts.rank());
    let n = facts.shape[axis];
    let named = axis as i64;
    match kind {
        0..=2 => {
            // Any fold either way, also of integers.
            let (op, reverse) = (d.of(ReduceOp::ALL), d.flag());
            let text = format!("scan {} {axis}{}", op.name(), if reverse { " reversed" } else { "" });
            d.push(text, &[x], move |x| {
                let op = Op::Scan { op, axis, reverse };
                Tensor::primitive(op, &x[..1], x[0].shape(), x[0].dtype())
            })
        }
        3 => d.push(format!("cumsum {axis}"), &[x], move |x| x[0].cumsum(named)),
        4 => d.push(format!("cumprod of sigmoid {axis}"), &[x], move |x| x[0].sigmoid().cumprod(named)),
        5 => d.push(format!("cummax {axis}"), &[x], move |x| x[0].cummax(named)),
        6 => d.push(format!("sort {axis}"), &[x], move |x| x[0].sort(named)),
        7 => {
            let descending = d.flag();
            d.push(format!("argsort {axis}"), &[x], move |x| x[0].argsort(named, descending))
        }
        _ if n > 0 && axis + 1 == facts.rank() => {
            let (k, places) = (d.choose(n) + 1, d.flag());
            let text = format!("top_k {k}{}", if places { ", places" } else { "" });
            d.push(text, &[x], move |x| {
                let (values, at) = x[0].top_k(k);
                if places { at } else { values }
            })
        }
        _ => d.push(format!("reverse_cumsum {axis}"), &[x], move |x| x[0].reverse_cumsum(named)),
    }
}
