//! Steps that reduce, scan and sort.

use kiln_graph::{DType, Tensor};

use crate::decode::Decoder;

/// Some of a value's axes, maybe none or all, as the user names them.
fn axes(d: &mut Decoder, rank: usize) -> Vec<i64> {
    let mask = d.choose(1 << rank);
    let named = (0..rank).filter(|i| mask >> i & 1 == 1);
    let all: Vec<i64> = named.map(|i| i as i64 - if i % 2 == 1 { rank as i64 } else { 0 }).collect();
    if all.is_empty() && rank > 0 { vec![rank as i64 - 1] } else { all }
}

fn kept(y: Tensor, x: &Tensor, axes: &[i64], keep: bool) -> Tensor {
    if keep { y.keep_dims(x, axes) } else { y }
}

pub(crate) fn reduce(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(12);
    let keep = d.flag();
    let wanted = match kind {
        8 => DType::Bool,
        9 => DType::I32,
        _ => DType::F32,
    };
    let x = d.pick(|f| f.dtype == wanted || wanted == DType::F32 && f.dtype.is_float())?;
    let facts = d.facts(x);
    let axes = axes(d, facts.shape.len());
    let rank = facts.shape.len() as i64;
    let count: usize = axes.iter().map(|a| facts.shape[(a + rank) as usize % rank.max(1) as usize]).product();
    let name =
        ["sum", "mean", "max", "min", "variance", "logsumexp", "prod", "sum", "any", "max", "argmax", "sum"]
            [kind];
    let text = format!("{name} {axes:?}{}", if keep { " kept" } else { "" });
    let (b, n) = (facts.bound, count as f64);
    match kind {
        1 if count > 0 => {
            d.push_inexact(text, &[x], b, move |x| kept(x[0].mean(&axes[..]), &x[0], &axes, keep))
        }
        2 if count > 0 => d.push_rough(text, &[x], b, move |x| kept(x[0].max(&axes[..]), &x[0], &axes, keep)),
        3 if count > 0 => d.push_rough(text, &[x], b, move |x| kept(x[0].min(&axes[..]), &x[0], &axes, keep)),
        4 if count > 0 => {
            d.push_inexact(text, &[x], b * b, move |x| kept(x[0].variance(&axes[..]), &x[0], &axes, keep))
        }
        5 if count > 0 => d.push_inexact(text, &[x], b + n.ln(), move |x| {
            kept(x[0].logsumexp(&axes[..]), &x[0], &axes, keep)
        }),
        6 if count <= 6 => d.push_inexact(text, &[x], b.max(1.0).powf(n), move |x| {
            kept(x[0].prod(&axes[..]), &x[0], &axes, keep)
        }),
        8 => d.push(text, &[x], 1.0, move |x| kept(x[0].any(&axes[..]), &x[0], &axes, keep)),
        9 if count > 0 => d.push(text, &[x], b, move |x| kept(x[0].max(&axes[..]), &x[0], &axes, keep)),
        10 if facts.exact && count > 0 && rank > 0 => {
            let axis = axes[0];
            d.push("argmax", &[x], count as f64, move |x| x[0].argmax(axis))
        }
        _ => d.push(text, &[x], b * n, move |x| kept(x[0].sum(&axes[..]), &x[0], &axes, keep)),
    }
}

pub(crate) fn scan_or_sort(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(7);
    let x = d.pick(|f| f.dtype == DType::F32 && !f.shape.is_empty() && (kind < 4 || f.exact))?;
    let facts = d.facts(x);
    let axis = d.choose(facts.shape.len());
    let (n, b) = (facts.shape[axis], facts.bound);
    let axis = axis as i64;
    match kind {
        0 => d.push(format!("cumsum {axis}"), &[x], b * n as f64, move |x| x[0].cumsum(axis)),
        1 => d.push(format!("reverse_cumsum {axis}"), &[x], b * n as f64, move |x| x[0].reverse_cumsum(axis)),
        2 => d.push_rough(format!("cummax {axis}"), &[x], b, move |x| x[0].cummax(axis)),
        3 => d.push_inexact(format!("cumprod of sigmoid {axis}"), &[x], 1.0, move |x| {
            x[0].sigmoid().cumprod(axis)
        }),
        4 => d.push(format!("sort {axis}"), &[x], b, move |x| x[0].sort(axis)),
        5 => d.push(format!("argsort {axis}"), &[x], n as f64, move |x| x[0].argsort(axis, true)),
        _ if n > 0 && axis as usize + 1 == facts.shape.len() => {
            let k = d.choose(n) + 1;
            d.push(format!("top_k {k}"), &[x], b, move |x| x[0].top_k(k).0)
        }
        _ => d.push(format!("cummax {axis}"), &[x], b, move |x| x[0].cummax(axis)),
    }
}
