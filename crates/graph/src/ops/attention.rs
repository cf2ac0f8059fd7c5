//! Scaled dot-product attention.

use super::convert::largest;
use super::pointwise::{float_of, working};
use super::promote;
use super::spatial::failed_of;
use crate::error::At;
use crate::tensor::{Tensor, here};

/// `softmax(query · keyᵀ · scale + bias) · value` for every head (Vaswani et al. 2017).
///
/// `query: [batch, targets, heads, width]`, `key` and `value: [batch, sources, groups, width]`, where the heads divide by
/// the groups and as many neighbouring heads share one; result `[batch, targets, heads, width]`. The scale is
/// 1 / sqrt(width) where none is given. `bias` and `mask` (`bool`, true where a source counts) broadcast to `[batch, heads,
/// targets, sources]`; `is_causal` lets a target see sources up to its own position. A target without sources sees all
/// alike. Weights are computed in `float32`.
///
/// # Errors
/// Where ranks or extents do not fit, or the mask is not `bool`.
#[doc(alias = "scaled_dot_product_attention")]
#[track_caller]
pub fn dot_product_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    bias: Option<&Tensor>,
    mask: Option<&Tensor>,
    scale: Option<f64>,
    is_causal: bool,
) -> Tensor {
    let at = here();
    let given: Vec<&Tensor> = [query, key, value].into_iter().chain(bias).chain(mask).collect();
    if let Some(failed) = failed_of(&given) {
        return failed;
    }
    let dtype = promote(promote(query.dtype(), key.dtype()), value.dtype());
    let dtype = float_of(dtype);
    let (q, k, v) = (query.shape(), key.shape(), value.shape());
    let fits = q.len() == 4
        && k.len() == 4
        && v.len() == 4
        && [q[0], k[1], k[2], q[3]] == [k[0], v[1], v[2], k[3]]
        && k[0] == v[0]
        && k[2] > 0
        && q[2].is_multiple_of(k[2]);
    if !fits {
        let message = format!(
            "expected query [batch, targets, heads, width], key and value [batch, sources, groups, width] with heads that \
             divide by groups, received {q:?}, {k:?} and {v:?}"
        );
        return Tensor::failed("dot_product_attention", message, at);
    }
    let groups = |x: &Tensor| grouped(&x.cast(dtype), k[2], at);
    let scale = scale.unwrap_or(1.0 / (q[3].max(1) as f64).sqrt());
    // [batch, groups, heads / groups, targets, width] · [batch, groups, 1, width, sources]
    let product = groups(query).matmul(&groups(key).swap_axes(-1, -2)).cast(working(dtype)) * scale;
    let mut logits = flattened(&product, q[2], at);
    if let Some(bias) = bias {
        logits = logits + bias.cast(working(dtype));
    }
    let logits = masked(&logits, mask, is_causal);
    let weights = logits.softmax(-1).cast(dtype);
    if weights.error().is_none() && weights.shape() != [q[0], q[2], q[1], k[1]] {
        let message = format!(
            "expected {} to broadcast to {:?}",
            [("bias", bias), ("mask", mask)]
                .iter()
                .filter_map(|(name, given)| given.map(|t| format!("{name} {:?}", t.shape())))
                .collect::<Vec<_>>()
                .join(" and "),
            [q[0], q[2], q[1], k[1]]
        );
        return Tensor::failed("dot_product_attention", message, at);
    }
    let share = q[2] / k[2];
    let split = weights.reshape(&[q[0] as i64, k[2] as i64, share as i64, q[1] as i64, k[1] as i64]);
    let result = flattened(&split.matmul(&groups(value)), q[2], at).transpose(&[0, 2, 1, 3]);
    let given: Vec<Tensor> = given.into_iter().cloned().collect();
    result.part_of("dot_product_attention", at, &given)
}

/// `[batch, length, heads, width]` as `[batch, groups, heads / groups, length, width]`.
fn grouped(x: &Tensor, groups: usize, at: At) -> Tensor {
    let s = x.shape();
    let split = x.reshape_at(vec![s[0], s[1], groups, s[2] / groups, s[3]], at);
    split.transpose(&[0, 2, 3, 1, 4])
}

/// `[batch, groups, share, a, b]` as `[batch, heads, a, b]`.
fn flattened(x: &Tensor, heads: usize, at: At) -> Tensor {
    if x.error().is_some() {
        return x.clone();
    }
    let s = x.shape();
    x.reshape_at(vec![s[0], heads, s[3], s[4]], at)
}

/// Logits where they count, elsewhere a number so low that its weight is 0 beside any that counts.
fn masked(logits: &Tensor, mask: Option<&Tensor>, is_causal: bool) -> Tensor {
    let lowest = -0.7 * largest(logits.dtype());
    let mut logits = logits.clone();
    if let Some(mask) = mask {
        logits = Tensor::select(mask, &logits, lowest);
    }
    if is_causal && logits.error().is_none() {
        let rank = logits.rank();
        let earlier =
            Tensor::iota(logits.shape(), rank - 2).greater_equal(Tensor::iota(logits.shape(), rank - 1));
        logits = Tensor::select(&earlier, &logits, lowest);
    }
    logits
}
