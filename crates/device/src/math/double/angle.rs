//! Circular functions and their inverses.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, FRAC_PI_4, PI};

use super::{copy_sign, nearest, polynomial};

/// π/2 in four parts; the first three have 33 bits, so that their products with 20 bits are exact.
const HALF_PI: [f64; 4] = [
    1.570_796_326_734_125_6,
    6.077_100_506_303_966e-11,
    2.022_266_248_711_166_5e-21,
    8.478_427_660_368_9e-32,
];

/// What the first part of π/2, π/4 and π as floats leaves.
const FRAC_PI_2_LOW: f64 = 6.123_233_995_736_766e-17;
const PI_LOW: f64 = 1.224_646_799_147_353_2e-16;

/// Whether the nearest multiple of π/2 has at most 20 bits; false for NaN.
#[inline(always)]
pub fn sine_is_near(x: f64) -> bool {
    x.abs() < 1_647_099.0
}

/// `a − b` as its rounded value and what it lost (Knuth's sum).
#[inline(always)]
fn difference(a: f64, b: f64) -> (f64, f64) {
    let sum = a - b;
    let part = sum - a;
    (sum, (a - (sum - part)) - (b + part))
}

/// The sine (`turn` 0) or cosine (`turn` 1).
#[inline(always)]
fn sine(x: f64, turn: u64) -> f64 {
    let (n, whole) = nearest(x, FRAC_2_PI);
    let (first, lost) = difference(x - n * HALF_PI[0], n * HALF_PI[1]);
    let (second, lost_next) = difference(first, n * HALF_PI[2]);
    let rest = (lost + lost_next) - n * HALF_PI[3];
    let r = second + rest;
    let low = (second - r) + rest;
    let z = r * r;
    let odd = [
        1.589_666_620_800_211_4e-10,
        -2.505_075_595_555_927_7e-8,
        2.755_731_367_862_351_2e-6,
        -1.984_126_982_977_103_2e-4,
        8.333_333_333_322_37e-3,
        -1.666_666_666_666_663_2e-1,
    ];
    // The first term of the series stands apart, because `low` matters beside it.
    let tail = polynomial(z, [odd[0], odd[1], odd[2], odd[3], odd[4]]);
    let cube = z * r;
    let sin = r - ((z * (0.5 * low - cube * tail) - low) - cube * odd[5]);
    let even = [
        -1.135_979_858_509_787_6e-11,
        2.087_572_666_617_414_6e-9,
        -2.755_731_438_167_299e-7,
        2.480_158_728_960_32e-5,
        -1.388_888_888_887_436e-3,
        4.166_666_666_666_66e-2,
    ];
    let half_square = 0.5 * z;
    let head = 1.0 - half_square;
    let cos = head + (((1.0 - head) - half_square) + (z * (z * polynomial(z, even)) - r * low));
    let quadrant = whole.wrapping_add(turn);
    let y = if quadrant & 1 == 0 { sin } else { cos };
    f64::from_bits(y.to_bits() ^ ((quadrant & 2) << 62))
}

/// Sine of what [`sine_is_near`].
#[inline(always)]
pub(super) fn sin(x: f64) -> f64 {
    let y = sine(x, 0);
    if x == 0.0 { x } else { y }
}

/// Cosine of what [`sine_is_near`].
#[inline(always)]
pub(super) fn cos(x: f64) -> f64 {
    sine(x, 1)
}

/// The arctangent of `numerator / denominator` in 0..=1, both finite, not negative, the denominator positive, as a sum
/// of two floats.
#[inline(always)]
fn atan_ratio(numerator: f64, denominator: f64) -> (f64, f64) {
    // Above tan(π/8): atan q = π/4 + atan((q − 1) / (q + 1)).
    let far = numerator > 0.414_213_562_373_095_05 * denominator;
    let top = if far { numerator - denominator } else { numerator };
    let bottom = if far { numerator + denominator } else { denominator };
    let q = top / bottom;
    let z = q * q;
    let w = z * z;
    let even = [
        -1.789_238_705_490_874_3e-2,
        -5.038_813_971_552_192e-2,
        -6.663_090_418_109_086e-2,
        -9.090_897_696_971_183e-2,
        -1.428_571_428_015_892_6e-1,
        -3.333_333_333_333_32e-1,
    ];
    let odd = [
        3.805_155_160_195_501_4e-2,
        5.847_785_228_116_102e-2,
        7.692_059_075_014_811e-2,
        1.111_111_078_146_260_8e-1,
        1.999_999_999_995_323_9e-1,
    ];
    let tail = q * (z * (polynomial(w, even) + z * polynomial(w, odd)));
    // Half of the error of π/2 as a float is that of π/4.
    let base = if far { FRAC_PI_4 } else { 0.0 };
    let low = if far { 0.5 * FRAC_PI_2_LOW } else { 0.0 };
    let sum = base + q;
    (sum, ((base - sum) + q) + (tail + low))
}

/// Inverse tangent.
#[inline(always)]
pub(super) fn atan(x: f64) -> f64 {
    let magnitude = x.abs();
    let large = magnitude > 1.0;
    let endless = magnitude == f64::INFINITY;
    let numerator = if large { 1.0 } else { magnitude };
    let denominator = if large { magnitude } else { 1.0 };
    let (high, low) =
        atan_ratio(if endless { 0.0 } else { numerator }, if endless { 1.0 } else { denominator });
    let y = if large { from(FRAC_PI_2, FRAC_PI_2_LOW, (high, low)) } else { high + low };
    copy_sign(y, x)
}

/// `(base + base_low) − (high + low)`, where `high` is not above `base`.
#[inline(always)]
fn from(base: f64, base_low: f64, (high, low): (f64, f64)) -> f64 {
    let sum = base - high;
    sum + (((base - sum) - high) + (base_low - low))
}

/// The angle of the point (`x`, `y`).
#[inline(always)]
pub(super) fn atan2(y: f64, x: f64) -> f64 {
    let (tall, wide) = (y.abs(), x.abs());
    let steep = tall > wide;
    let high = if steep { tall } else { wide };
    let low = if steep { wide } else { tall };
    // Equal infinities count as equal numbers. A quarter of large ones, because the sum of the two must be finite.
    let factor = if high > 1e307 { 0.25 } else { 1.0 };
    let low = if low == f64::INFINITY { 1.0 } else { low * factor };
    let high = if tall == wide && high == f64::INFINITY { 1.0 } else { high * factor };
    let high = if high == 0.0 { 1.0 } else { high };
    let endless = high == f64::INFINITY;
    let (angle, rest) = atan_ratio(if endless { 0.0 } else { low }, if endless { 1.0 } else { high });
    let left = x.is_sign_negative();
    // The base from which the angle counts, and whether it counts backwards.
    let base = if steep { FRAC_PI_2 } else { PI };
    let base_low = if steep { FRAC_PI_2_LOW } else { PI_LOW };
    let direct = angle + rest;
    let backwards = steep != left;
    let signed = if backwards { (angle, rest) } else { (-angle, -rest) };
    let turned = from(base, base_low, signed);
    let magnitude = if steep || left { turned } else { direct };
    let unordered = x.is_nan() || y.is_nan();
    if unordered { f64::NAN } else { copy_sign(magnitude, y) }
}
