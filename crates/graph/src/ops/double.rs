//! Special functions in `float64`: the same functions as in `float32`, in series and fits with enough terms for it.

use super::pointwise::with_slope;
use crate::tensor::Tensor;

/// A polynomial, lowest power first.
pub(super) fn polynomial(x: &Tensor, coefficients: &[f64]) -> Tensor {
    let mut powers = coefficients.iter().rev();
    let first = Tensor::full(x.shape(), *powers.next().unwrap_or(&0.0), x.dtype());
    powers.fold(first, |sum, c| sum * x + *c)
}

/// `e^(x²) erfc(x) / t` with `t = 1 / (1 + x/2)` for 0.4 ≤ x ≤ 27.6, in t from the middle of its range to the ends: a
/// Chebyshev interpolation, 5·10⁻¹⁹ before rounding.
const TAIL: [f64; 28] = [
    0.478_075_026_507_265_97,
    0.242_343_278_791_126_58,
    0.078_423_586_323_075,
    0.009_944_562_036_974_313,
    -0.003_074_376_964_386_298_4,
    -0.001_068_191_374_166_403,
    0.000_235_305_710_734_637_7,
    0.000_103_004_816_274_804_63,
    -3.337_975_059_974_539e-5,
    -8.623_849_371_477_535e-6,
    5.661_232_539_566_848e-6,
    1.028_987_455_795_059_7e-7,
    -8.451_227_626_927_12e-7,
    2.007_385_238_451_686_5e-7,
    7.702_433_756_774_083e-8,
    -5.707_815_160_864_536e-8,
    6.043_506_556_933_833e-9,
    7.886_459_982_487_433e-9,
    -4.131_422_543_254_889e-9,
    1.928_524_298_489_661_3e-10,
    7.451_771_686_873_918e-10,
    -3.693_211_058_502_513_3e-10,
    -1.068_785_631_993_024e-11,
    8.306_986_556_100_126e-11,
    -2.199_127_564_601_310_7e-11,
    -7.452_130_741_001_617e-12,
    3.373_982_489_806_283_3e-12,
    -1.082_394_564_359_364_1e-14,
];
const TAIL_MIDDLE: f64 = 0.450_416_666_666_666_7;
const TAIL_SCALE: f64 = 2.611_534_276_387_377_7;
/// Beyond it the value is 0.
const TAIL_END: f64 = 27.6;

/// The complementary error function.
pub(super) fn erfc(x: &Tensor) -> Tensor {
    let size = x.abs().minimum(TAIL_END);
    let t = (&size * 0.5 + 1.0).reciprocal();
    // `x² = h² + (x − h)(x + h)`: h has so few digits that its square is exact.
    let high = (&size * 1_048_576.0).round() * (1.0 / 1_048_576.0);
    let low = (&size - &high) * (&size + &high);
    let fit = polynomial(&((&t - TAIL_MIDDLE) * TAIL_SCALE), &TAIL);
    let tail = (-high.square()).exp() * (-low).exp() * (fit * &t);
    let tail = Tensor::select(&x.abs().greater(TAIL_END), 0.0, tail);
    let far = Tensor::select(&x.less(0.0), 2.0 - &tail, &tail);
    // A NaN is not greater than 0.4 and passes through `erf`.
    Tensor::select(&x.abs().greater(0.4), far, 1.0 - x.erf())
}

/// Halley's steps from a guess with an error of a few per cent at most: each multiplies the number of digits by three.
const STEPS: usize = 3;

/// The inverse error function of −1 … 1; ±∞ at the ends, NaN outside.
pub(super) fn erfinv(x: &Tensor) -> Tensor {
    let size = x.abs();
    let regular = size.less(1.0);
    let p = Tensor::select(&regular, &size, 0.0);
    let rest = 1.0 - &p;
    // S. Winitzki's approximation: within 2 parts in a thousand, also near 1.
    let w = (&rest * (&p + 1.0)).log();
    let a = 0.147;
    let b = &w * 0.5 + 2.0 / (std::f64::consts::PI * a);
    let guess = ((b.square() - &w * (1.0 / a)).sqrt() - b).sqrt();
    let near = p.less(0.5);
    let mut y = guess;
    for _ in 0..STEPS {
        // Near 1 by the complement, whose distance from 1 − p is exact.
        let above = Tensor::select(&near, y.erf() - &p, &rest - erfc(&y));
        let step = above * y.square().exp() * (1.0 / std::f64::consts::FRAC_2_SQRT_PI);
        y = &y - &step / (&step * &y + 1.0);
    }
    // Where erf is a straight line, so is its inverse.
    let y = Tensor::select(&p.less(1e-9), &p * (1.0 / std::f64::consts::FRAC_2_SQRT_PI), y);
    let ends = Tensor::select(&size.equal(1.0), f64::INFINITY, y);
    let inside = Tensor::select(&x.less(0.0), -&ends, ends);
    let inside = Tensor::select(&x.equal(0.0), x, inside);
    Tensor::select(&size.less_equal(1.0), inside, f64::NAN)
}

/// Where the series of I0 gives way to the asymptotic one, and the numbers of their terms.
const I0_LIMIT: f64 = 30.0;
const I0_NEAR: usize = 46;
const I0_FAR: usize = 21;

/// Modified Bessel function of the first kind, order 0.
pub(super) fn i0(x: &Tensor, exp_scaled: impl Fn(&Tensor, Tensor) -> Tensor) -> Tensor {
    let mut near = vec![1.0];
    for k in 1..I0_NEAR {
        near.push(near[k - 1] / (k * k) as f64);
    }
    let mut far = vec![(2.0 * std::f64::consts::PI).sqrt().recip()];
    for k in 1..I0_FAR {
        let odd = (2 * k - 1) as f64;
        far.push(far[k - 1] * odd * odd / (8 * k) as f64);
    }
    let size = x.abs();
    let beyond = size.greater(I0_LIMIT);
    let small = Tensor::select(&beyond, 0.0, x);
    let inside = polynomial(&(small.square() * 0.25), &near);
    let large = Tensor::select(&beyond, size.minimum(1e3), I0_LIMIT);
    let outside = exp_scaled(&large, polynomial(&large.reciprocal(), &far) * large.rsqrt());
    Tensor::select(&beyond, outside, inside)
}

/// I0 with its derivative I1 as the gradient: `I1(x) = (x/2) Σ t^k / (k! (k + 1)!)`, t = x²/4, and its asymptotic series.
pub(super) fn i0_with_slope(x: &Tensor, exp_scaled: fn(&Tensor, Tensor) -> Tensor) -> Tensor {
    with_slope(x, &i0(x, exp_scaled), move |x, _| i1(x, exp_scaled))
}

fn i1(x: &Tensor, exp_scaled: fn(&Tensor, Tensor) -> Tensor) -> Tensor {
    let mut near = vec![0.5];
    for k in 1..I0_NEAR {
        near.push(near[k - 1] / (k * (k + 1)) as f64);
    }
    let mut far = vec![(2.0 * std::f64::consts::PI).sqrt().recip()];
    for k in 1..I0_FAR {
        let odd = (2 * k - 1) as f64;
        far.push(far[k - 1] * (odd * odd - 4.0) / (8 * k) as f64);
    }
    let size = x.abs();
    let beyond = size.greater(I0_LIMIT);
    let small = Tensor::select(&beyond, 0.0, x);
    let inside = polynomial(&(small.square() * 0.25), &near) * &small;
    let large = Tensor::select(&beyond, size.minimum(1e3), I0_LIMIT);
    let outside = exp_scaled(&large, polynomial(&large.reciprocal(), &far) * large.rsqrt());
    let outside = Tensor::select(&x.less(0.0), -&outside, outside);
    Tensor::select(&beyond, outside, inside)
}
