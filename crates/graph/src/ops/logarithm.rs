//! Powers and logarithms of other bases, roots, and sums of exponentials.

use std::f64::consts::{LN_2, LN_10, LOG2_E, LOG10_E};

use kiln_device::DType;

use super::arithmetic::{binary, met_in_working};
use super::bits::{Marks, bits_of, copy_sign, marks, power_of_two};
use super::pointwise::{in_working, one_of, unary, with_slope};
use crate::tensor::Tensor;

/// log10 2 in two parts; the first has so few bits that its product with an exponent is exact.
fn log10_2(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F64 => (0.301_029_995_663_611_77, 3.694_239_077_158_931e-13),
        _ => (0.300_781_25, 2.487_456_7e-4),
    }
}

unary! {
    /// `2^x`, exact for whole `x`.
    exp2(x) = in_working(x, |x| with_slope(x, &exp2_value(x), |_, y| y * LN_2));
    /// Logarithm to base 2, exact for powers of 2; NaN below 0, −∞ at 0.
    ///
    /// ```
    /// use kiln_graph::{Tensor, ops};
    /// assert_eq!(ops::log2(&Tensor::from_slice(&[8.0f32, 0.125])).to_vec::<f32>()?, [3.0, -3.0]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    log2(x) = in_working(x, |x| {
        let value = by_parts(x, |log, exponent| log * LOG2_E + exponent);
        with_slope(x, &value, |x, _| (x * LN_2).reciprocal())
    });
    /// Logarithm to base 10; NaN below 0, −∞ at 0.
    log10(x) = in_working(x, |x| {
        let (high, low) = log10_2(x.dtype());
        let value = by_parts(x, |log, exponent| log * LOG10_E + exponent * low + exponent * high);
        with_slope(x, &value, |x, _| (x * LN_10).reciprocal())
    });
    /// Cube root, of negative numbers too. Its slope at 0 is ∞.
    cbrt(x) = in_working(x, |x| with_slope(x, &cbrt_value(x), |_, y| (y.square() * 3.0).reciprocal()));
}

binary! {
    /// `log(e^x1 + e^x2)` without overflow, as a float.
    logaddexp(met_in_working, a, b) = {
        let value = a.maximum(b) + (-distance(a, b).abs()).exp().log1p();
        shared(a, b, &value, 1.0)
    };
    /// `log2(2^x1 + 2^x2)` without overflow, as a float.
    logaddexp2(met_in_working, a, b) = {
        let value = a.maximum(b) + (distance(a, b).abs() * -LN_2).exp().log1p() * LOG2_E;
        shared(a, b, &value, LN_2)
    };
}

/// `a − b`; 0 for equal infinities.
fn distance(a: &Tensor, b: &Tensor) -> Tensor {
    let infinite = a.is_finite().logical_not();
    Tensor::select(&infinite.logical_and(a.equal(b)), 0.0, a - b)
}

/// The value of a sum of two powers: the gradient goes to each by its share of the sum.
fn shared(a: &Tensor, b: &Tensor, value: &Tensor, rate: f64) -> Tensor {
    Tensor::custom_gradient(value, &[a.clone(), b.clone()], move |g, _, x| {
        let distance = distance(&x[0], &x[1]) * rate;
        vec![Some(g * distance.sigmoid()), Some(g * (-distance).sigmoid())]
    })
}

/// `2^whole · e^(rest · ln 2)`, in two factors, so that subnormal and overflowing results come out right.
fn exp2_value(x: &Tensor) -> Tensor {
    let Marks { bias, fraction, .. } = marks(x.dtype());
    let inside = x.clip(-(bias + fraction + 1) as f64, (bias + 2) as f64);
    let whole = inside.round();
    let n = whole.cast(DType::I32);
    let half = n.right_shift(1);
    let power = |n: &Tensor| power_of_two(n, x.dtype());
    ((inside - whole) * LN_2).exp() * power(&half) * power(&(n - &half))
}

/// `combine(log m, k)` with `x = m · 2^k`, m near 1; of other than positive finite numbers the natural logarithm, which
/// is that of any base there.
fn by_parts(x: &Tensor, combine: impl FnOnce(&Tensor, &Tensor) -> Tensor) -> Tensor {
    let Marks { fraction, .. } = marks(x.dtype());
    // The smallest normal number, and the bits of √½.
    let (least, root) = match x.dtype() {
        DType::F64 => (f64::MIN_POSITIVE, 0x3fe6_a09e_667f_3bcd_i64),
        _ => (f64::from(f32::MIN_POSITIVE), 0x3f35_04f3),
    };
    let small = x.less(least);
    let scaled = Tensor::select(&small, x * (1i64 << fraction) as f64, x);
    // The next lower power of 2 of x · √2: m lies in √½..√2.
    let k = (bits_of(&scaled) - root).right_shift(fraction);
    let half = k.right_shift(1);
    let power = |n: &Tensor| power_of_two(n, x.dtype());
    let m = scaled * power(&-&half) * power(&(&half - &k));
    let exponent = k.cast(x.dtype()) - one_of(&small, [fraction as f64, 0.0], x.dtype());
    let inside = x.greater(0.0).logical_and(x.less(f64::INFINITY));
    Tensor::select(&inside, combine(&m.log(), &exponent), x.log())
}

/// A first guess through the logarithm and two steps of Newton's, of which the second finds exact roots.
fn cbrt_value(x: &Tensor) -> Tensor {
    let size = x.abs();
    let regular = size.greater(0.0).logical_and(size.less(f64::INFINITY));
    let safe = Tensor::select(&regular, &size, 1.0);
    let step = |y: Tensor| &y - (&y - &safe / y.square()) * (1.0 / 3.0);
    let root = step(step((safe.log() * (1.0 / 3.0)).exp()));
    copy_sign(&Tensor::select(&regular, root, &size), x)
}
