//! Special functions and what `keras.ops.math` has beside the signals: error functions, log-sum-exp, the k largest,
//! distances.

use kiln_device::DType;

use super::double::{self, polynomial};
use crate::error::At;
use crate::shape::{self, Axes};
use crate::tensor::{Tensor, here};

/// `2 / √π`.
const TWO_OVER_ROOT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI;

/// Gauss' error function, `2/√π ∫₀ˣ e^(−t²) dt`, of every element.
#[track_caller]
pub fn erf(x: &Tensor) -> Tensor {
    x.erf().part_of("erf", here(), std::slice::from_ref(x))
}

/// The complementary error function, `1 − erf(x)`, with its relative accuracy kept where it is small.
///
/// Integers become `float32`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let tail = ops::erfc(&Tensor::from_slice(&[0.0f32, 5.0])).to_vec::<f32>()?;
/// assert_eq!(tail[0], 1.0);
/// assert!((tail[1] / 1.537_459_8e-12 - 1.0).abs() < 1e-6);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn erfc(x: &Tensor) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let x = x.to_float();
    let value = if x.dtype() == DType::F64 { double::erfc(&x) } else { erfc_value(&x) };
    let whole = Tensor::custom_gradient(&value, std::slice::from_ref(&x), |g, _, x| {
        vec![Some(g * (-x[0].square()).exp() * -TWO_OVER_ROOT_PI)]
    });
    whole.part_of("erfc", at, std::slice::from_ref(&x))
}

fn erfc_value(x: &Tensor) -> Tensor {
    // `e^(x²) erfc(x) = t P(t − ½)` with `t = 1 / (1 + x/2)` for 0.4 ≤ x ≤ 10.2, a least-maximum fit: 2·10⁻¹⁰.
    const TAIL: [f64; 11] = [
        0.510_791_36,
        0.687_160_7,
        0.558_944_17,
        0.145_769_48,
        -0.172_082_87,
        -0.103_696_81,
        0.098_801_636,
        0.054_265_838,
        -0.083_109_77,
        -0.016_022_405,
        0.059_429_88,
    ];
    // Beyond 10.2 the value is 0 in `float32`.
    let size = x.abs().minimum(10.2);
    let t = (&size * 0.5 + 1.0).reciprocal();
    // `x² = h² + (x − h)(x + h)`: h has so few digits that its square is exact.
    let high = (&size * 256.0).round() * (1.0 / 256.0);
    let low = (&size - &high) * (&size + &high);
    let tail = (-high.square()).exp() * (-low).exp() * (polynomial(&(&t - 0.5), &TAIL) * &t);
    let tail = Tensor::select(&x.abs().greater(10.2), 0.0, tail);
    let far = Tensor::select(&x.less(0.0), 2.0 - &tail, &tail);
    // A NaN is not greater than 0.4 and passes through `erf`.
    Tensor::select(&x.abs().greater(0.4), far, 1.0 - x.erf())
}

/// The inverse of [`erf`] on −1 … 1: ±∞ at the ends, NaN outside.
///
/// Integers become `float32`.
#[doc(alias = "erf_inv")]
#[track_caller]
pub fn erfinv(x: &Tensor) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let x = x.to_float();
    let value = if x.dtype() == DType::F64 { double::erfinv(&x) } else { erfinv_value(&x) };
    let whole = Tensor::custom_gradient(&value, std::slice::from_ref(&x), |g, y, _| {
        vec![Some(g * y.square().exp() * (1.0 / TWO_OVER_ROOT_PI))]
    });
    whole.part_of("erfinv", at, std::slice::from_ref(&x))
}

fn erfinv_value(x: &Tensor) -> Tensor {
    // `erfinv(x) / x` as polynomials in `w = −log(1 − x²)`, and beyond 5 in its root (M. Giles' form), fitted for the
    // least maximum: 6·10⁻⁹ and 1.2·10⁻⁸.
    const CENTRE: [f64; 10] = [
        1.501_409_4,
        0.246_640_28,
        -0.004_177_387,
        -0.001_252_741_9,
        0.000_218_344_44,
        -4.963_345_4e-6,
        -3.462_704_4e-6,
        4.661_701_2e-7,
        2.323_262_5e-8,
        -8.791_018e-9,
    ];
    const EDGES: [f64; 10] = [
        3.033_636_6,
        1.004_692_6,
        0.005_975_165,
        -0.004_296_526_3,
        0.002_931_677_3,
        -0.001_982_305_4,
        0.001_143_605_1,
        -0.000_377_113_6,
        -0.000_106_184_19,
        0.000_110_099_354,
    ];
    let w = -((1.0 - x) * (1.0 + x)).log();
    let centre = polynomial(&(&w - 2.5), &CENTRE);
    // At the ends w is infinite, and so is the value.
    let bounded = w.maximum(5.0).minimum(20.0);
    let edges = polynomial(&(bounded.sqrt() - 3.2), &EDGES);
    let inside = Tensor::select(&w.less(5.0), centre, edges) * x;
    let ends = Tensor::select(&x.abs().equal(1.0), x * f64::INFINITY, inside);
    Tensor::select(&x.abs().greater(1.0), f64::NAN, ends)
}

/// `1 / √x` of every element.
#[track_caller]
pub fn rsqrt(x: &Tensor) -> Tensor {
    x.rsqrt().part_of("rsqrt", here(), std::slice::from_ref(x))
}

/// `log Σ e^x` over some axes, without overflow; −∞ over no elements.
#[doc(alias = "reduce_logsumexp")]
#[track_caller]
pub fn logsumexp(x: &Tensor, axes: impl Into<Axes>, keepdims: bool) -> Tensor {
    let axes = axes.into();
    let x = x.to_float();
    let sum = x.logsumexp(axes.clone());
    let sum = if keepdims { sum.keep_dims(&x, axes) } else { sum };
    sum.part_of("logsumexp", here(), std::slice::from_ref(&x))
}

/// The `k` largest elements along the last axis, largest first, and their positions (`int32`); of equal ones the first
/// comes first.
#[doc(alias = "topk")]
#[track_caller]
pub fn top_k(x: &Tensor, k: usize) -> (Tensor, Tensor) {
    let at = here();
    let (values, positions) = x.top_k(k);
    let inputs = std::slice::from_ref(x);
    (values.part_of("top_k", at, inputs), positions.part_of("top_k", at, inputs))
}

/// Whether each row's target is among its `k` largest predictions: targets `[n]` (integers), predictions
/// `[n, classes]`, result `bool [n]`.
///
/// A target that ties with the k-th counts; one outside the classes, or whose prediction is NaN, does not.
#[track_caller]
pub fn in_top_k(targets: &Tensor, predictions: &Tensor, k: usize) -> Tensor {
    let at = here();
    let inputs = [targets.clone(), predictions.clone()];
    if let Some(failed) = inputs.iter().find(|t| t.error().is_some()) {
        return failed.clone();
    }
    let rows = predictions.shape().split_last().map(|(_, rows)| rows);
    if rows != Some(targets.shape()) || !targets.dtype().is_integer() {
        let message = format!(
            "expected integer targets [n] and predictions [n, classes], received {:?} {} and {:?}",
            targets.shape(),
            targets.dtype(),
            predictions.shape()
        );
        return Tensor::failed("in_top_k", message, at);
    }
    let class = Tensor::iota(predictions.shape(), predictions.rank() - 1);
    let chosen = class.equal(targets.narrow_index(at).expand_dims(-1));
    let zero = predictions.zeros_like();
    let own = Tensor::select(&chosen, predictions, &zero).sum([-1]);
    let above = predictions.greater(own.expand_dims(-1)).cast(DType::I32).sum([-1]);
    let counts = i32::try_from(k).unwrap_or(i32::MAX);
    let hit = above.less(counts).logical_and(chosen.any([-1]));
    let hit = if own.dtype().is_float() { hit.logical_and(own.equal(&own)) } else { hit };
    hit.part_of("in_top_k", at, &inputs)
}

/// Euclidean distances of all pairs of vectors: `[.., m, d]` and `[.., n, d]` give `[.., m, n]`; leading axes broadcast.
///
/// Integers become `float32`. The gradient at distance 0 is 0.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_vec(&[0.0f32, 0.0, 1.0, 1.0], &[2, 2]);
/// let y = Tensor::from_vec(&[3.0f32, 4.0], &[1, 2]);
/// assert_eq!(ops::cdist(&x, &y).to_vec::<f32>()?, [5.0, 13f32.sqrt()]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn cdist(x: &Tensor, y: &Tensor) -> Tensor {
    let at = here();
    let inputs = [x.clone(), y.clone()];
    if let Some(failed) = inputs.iter().find(|t| t.error().is_some()) {
        return failed.clone();
    }
    let (a, b) = (x.shape(), y.shape());
    let fits = a.len() >= 2
        && b.len() >= 2
        && a.last() == b.last()
        && shape::broadcast(&a[..a.len() - 2], &b[..b.len() - 2]).is_some();
    if !fits {
        let message = format!("expected [.., m, d] and [.., n, d] with one d, received {a:?} and {b:?}");
        return Tensor::failed("cdist", message, at);
    }
    let difference = x.to_float().expand_dims(-2) - y.to_float().expand_dims(-3);
    length(&difference, &Axes::from(-1), at).part_of("cdist", at, &inputs)
}

/// `√Σ x²` over some axes, with gradient 0 where it is 0.
pub(crate) fn length(x: &Tensor, axes: &Axes, at: At) -> Tensor {
    let value = x.square().sum(axes.clone()).sqrt();
    let axes = axes.clone();
    let with_gradient = Tensor::custom_gradient(&value, std::slice::from_ref(x), move |g, y, x| {
        let share = Tensor::select(&y.equal(0.0), 0.0, g / y);
        vec![Some(&x[0] * share.keep_dims(&x[0], axes.clone()))]
    });
    with_gradient.part_of("norm", at, std::slice::from_ref(x))
}
