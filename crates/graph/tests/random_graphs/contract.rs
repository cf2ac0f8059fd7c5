//! Products, convolutions, gathers and scatters, and composites of several primitives.

use kiln_graph::{DType, Padding};

use crate::decode::Decoder;
use crate::recipe::Facts;

fn plain(f: &Facts) -> bool {
    f.dtype == DType::F32
}

pub(crate) fn product(d: &mut Decoder) -> Option<usize> {
    match d.choose(5) {
        0..=1 => matmul(d),
        2 => {
            let x = d.pick(|f| plain(f) && f.shape.len() >= 2)?;
            let facts = d.facts(x);
            let inner = facts.shape[facts.shape.len() - 1] as f64;
            d.push_inexact("x · xᵀ", &[x], facts.bound * facts.bound * inner, |x| {
                x[0].matmul(&x[0].swap_axes(-1, -2))
            })
        }
        _ => conv(d),
    }
}

/// A product with an earlier value of a fitting shape, else a new leaf.
fn matmul(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| plain(f) && !f.shape.is_empty())?;
    let a = d.facts(x);
    let inner = a.shape[a.shape.len() - 1];
    let fits = |f: &Facts| plain(f) && f.shape.len() == 2 && f.shape[0] == inner;
    let y = match d.pick(fits) {
        Some(y) => y,
        None => {
            let mut shape = vec![inner, [3, 1, 5, 8, 17][d.choose(5)]];
            if a.shape.len() == 3 && d.flag() {
                shape.insert(0, a.shape[0]);
            } else if d.choose(5) == 0 {
                shape.pop();
            }
            d.leaf_of(shape, DType::F32)?
        }
    };
    let bound = a.bound * d.facts(y).bound * inner as f64;
    d.push_inexact("matmul", &[x, y], bound, |x| x[0].matmul(&x[1]))
}

/// A convolution over one or two axes of a value, with a kernel that is a new leaf.
fn conv(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| plain(f) && (3..=4).contains(&f.shape.len()))?;
    let facts = d.facts(x);
    let spatial = facts.shape.len() - 2;
    let channels = facts.shape[spatial + 1];
    let groups = if channels.is_multiple_of(2) && channels > 0 && d.flag() { 2 } else { 1 };
    let dilation = 1 + d.choose(2);
    let stride = 1 + d.choose(2);
    let padding = if d.flag() { Padding::Same } else { Padding::Valid };
    let fitting = |extent: usize| match padding {
        Padding::Same => 3,
        _ => 1 + extent.saturating_sub(1) / dilation,
    };
    let mut kernel: Vec<usize> =
        facts.shape[1..=spatial].iter().map(|e| (1 + d.choose(3)).min(fitting(*e))).collect();
    if facts.shape[1..=spatial].contains(&0) && !matches!(padding, Padding::Same) {
        return None;
    }
    kernel.extend([channels / groups, groups * (1 + d.choose(3))]);
    let terms: usize = kernel[..=spatial].iter().product();
    let w = d.leaf_of(kernel, DType::F32)?;
    let text = format!("conv(stride {stride}, {padding:?}, dilation {dilation}, {groups} groups)");
    d.push_inexact(text, &[x, w], facts.bound * 2.0 * terms as f64, move |x| {
        x[0].conv(&x[1], &vec![stride; spatial], padding, &vec![dilation; spatial], groups)
    })
}

pub(crate) fn index(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(4);
    let x = d.pick(|f| f.dtype != DType::Bool && !f.shape.is_empty() && !f.shape.contains(&0))?;
    let facts = d.facts(x);
    let axis = if kind == 2 { 0 } else { d.choose(facts.shape.len()) };
    let range = (0, facts.shape[axis] as i64 - 1);
    match kind {
        0 => {
            let shape = [vec![3], vec![], vec![2, 2], vec![0], vec![7]][d.choose(5)].clone();
            let indices = d.leaf_in(shape, DType::I32, range, 1.0)?;
            d.push(format!("take {axis}"), &[x, indices], facts.bound, move |x| x[0].take(&x[1], axis as i64))
        }
        1 => {
            let mut shape = facts.shape.clone();
            shape[axis] = 1 + d.choose(3);
            let indices = d.leaf_in(shape, DType::I32, range, 1.0)?;
            d.push(format!("take_along_axis {axis}"), &[x, indices], facts.bound, move |x| {
                x[0].take_along_axis(&x[1], axis as i64)
            })
        }
        2 => {
            let count = 1 + d.choose(5);
            let indices = d.leaf_in(vec![count], DType::I32, range, 1.0)?;
            let mut shape = facts.shape.clone();
            shape[0] = count;
            let fits = |f: &Facts| f.shape == shape && f.dtype == facts.dtype;
            let updates = match d.pick(fits) {
                Some(updates) => updates,
                None => d.leaf_of(shape.clone(), facts.dtype)?,
            };
            let bound = facts.bound + count as f64 * d.facts(updates).bound;
            d.push("scatter_add", &[x, indices, updates], bound, |x| x[0].scatter_add(&x[1], &x[2]))
        }
        _ => {
            let count = 1 + d.choose(6);
            let labels = d.leaf_in(vec![count], DType::I32, (0, 4), 1.0)?;
            d.push("one_hot 4", &[labels], 1.0, |x| x[0].one_hot(4, DType::F32))
        }
    }
}

pub(crate) fn composite(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(8);
    let spatial = matches!(kind, 4 | 5);
    let fits = |f: &Facts| {
        let inside = if spatial { f.shape.len() == 4 } else { !f.shape.is_empty() };
        plain(f) && inside && !f.shape.contains(&0)
    };
    let x = d.pick(fits)?;
    let facts = d.facts(x);
    let axis = d.choose(facts.shape.len()) as i64;
    let n = facts.shape[axis as usize];
    let b = facts.bound;
    match kind {
        0 => d.push_inexact(format!("softmax {axis}"), &[x], 1.0, move |x| x[0].softmax(axis)),
        1 => d.push_inexact(format!("log_softmax {axis}"), &[x], 2.0 * b + (n as f64).ln(), move |x| {
            x[0].log_softmax(axis)
        }),
        2 => d.push_inexact(format!("normalize_moments {axis}"), &[x], (n as f64).sqrt(), move |x| {
            x[0].normalize_moments([axis], 0.5)
        }),
        3 => d.push_inexact(
            "normalize_moments all",
            &[x],
            (facts.shape.iter().product::<usize>() as f64).sqrt(),
            |x| x[0].normalize_moments((), 0.5),
        ),
        4 => d.push_rough("max_pool", &[x], b, |x| x[0].max_pool(&[2, 2], &[2, 1], Padding::Same)),
        5 => d.push_inexact("average_pool", &[x], b, |x| x[0].average_pool(&[2, 3], &[1, 2], Padding::Same)),
        6 if facts.shape.len() == 2 => {
            let labels = d.leaf_in(vec![facts.shape[0]], DType::I32, (0, facts.shape[1] as i64 - 1), 1.0)?;
            d.push_inexact("sparse_softmax_cross_entropy", &[x, labels], 2.0 * b + 4.0, |x| {
                x[0].sparse_softmax_cross_entropy(&x[1])
            })
        }
        _ => d.push_inexact("layer norm with gelu", &[x], 8.0, |x| {
            let y = x[0].normalize_moments([-1], 0.5);
            (&y * 0.5) * ((&y * 0.7).erf() + 1.0)
        }),
    }
}
