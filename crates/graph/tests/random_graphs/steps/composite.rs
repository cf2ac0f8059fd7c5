//! Operations of several primitives, and gradients of one's own.

use kiln_graph::{DType, Padding, Tensor, checkpoint, custom_gradient, ops};

use crate::decode::Decoder;
use crate::recipe::Facts;

pub(super) fn composite(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(14);
    let spatial = matches!(kind, 4 | 5);
    let fits = |f: &Facts| {
        let inside = if spatial { f.rank() == 4 } else { f.rank() > 0 };
        f.plain() && inside && !f.is_empty()
    };
    let x = d.pick(fits)?;
    let facts = d.facts(x);
    let axis = d.choose(facts.rank()) as i64;
    match kind {
        0 => d.push(format!("softmax {axis}"), &[x], move |x| x[0].softmax(axis)),
        1 => d.push(format!("log_softmax {axis}"), &[x], move |x| x[0].log_softmax(axis)),
        2 => d.push(format!("normalize_moments {axis}"), &[x], move |x| x[0].normalize_moments([axis], 0.5)),
        3 => d.push("normalize_moments all", &[x], |x| x[0].normalize_moments((), 0.5)),
        4 => d.push("max_pool", &[x], |x| x[0].max_pool(&[2, 2], &[2, 1], Padding::Same)),
        5 => d.push("average_pool", &[x], |x| x[0].average_pool(&[2, 3], &[1, 2], Padding::Same)),
        6 if facts.rank() == 2 => {
            let labels = d.leaf_in(vec![facts.shape[0]], DType::I32, (0, facts.shape[1] as i64 - 1))?;
            d.push("sparse_softmax_cross_entropy", &[x, labels], |x| x[0].sparse_softmax_cross_entropy(&x[1]))
        }
        7 => d.push("checkpoint of sin x · cumsum x", &[x], move |x| {
            checkpoint(|x| x[0].sin() * x[0].cumsum(axis) * 0.25, &x[..1])
        }),
        8 => d.push("sin, with 2 · g · cos x for a gradient", &[x], |x| {
            let f = custom_gradient(|x: &[Tensor]| {
                let of = x[0].clone();
                (x[0].sin(), move |g: &Tensor| vec![g * of.cos() * 2.0])
            });
            f(&x[..1])
        }),
        9 => d.push(format!("associative_scan {axis}"), &[x], move |x| {
            ops::associative_scan(|a, b| vec![&a[0] * 0.5 + &b[0]], &x[..1], axis % 2 == 1, axis).remove(0)
        }),
        10 => {
            d.push(format!("logsumexp less max {axis}"), &[x], move |x| x[0].logsumexp(axis) - x[0].max(axis))
        }
        11 => d.push(format!("x where it is the max {axis}"), &[x], move |x| {
            let max = x[0].max(axis).keep_dims(&x[0], [axis]);
            Tensor::select(&x[0].equal(&max), &x[0] * 2.0, 0.5)
        }),
        12 => d.push(format!("median {axis}"), &[x], move |x| ops::median(&x[0], axis, false)),
        _ => d.push("layer norm with gelu", &[x], |x| {
            let y = x[0].normalize_moments([-1], 0.5);
            (&y * 0.5) * ((&y * 0.7).erf() + 1.0)
        }),
    }
}
