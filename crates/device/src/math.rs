//! The meaning of every operation of [`crate::op`] on device scalars, as branch-free functions.
//!
//! The transcendental functions are polynomials without calls, so that a loop over them vectorises; the WGSL library
//! (`shaders/src/math.wgsl`) holds the same ones. The constant `FUSED` says whether their multiply-adds round once:
//! true only where the instruction set has such an instruction, because a call would be slower than all the rest.
//! Results of the two forms differ in the last places; each form gives the same bits wherever it is compiled.
//! `double` holds the operations on `f64`, `integer` the integer operations and the random bits, `reference` the `f64`
//! meaning for tests.
//! Bounds are tested in `tests/math.rs`.

mod double;
mod integer;
mod reference;

pub use double::{binary_double, near_double, sine_is_near, unary_double};
pub use integer::{
    binary_i64, div_i32, div_u32, pow_i32, pow_u32, rem_i32, rem_u32, shl_i32, shl_u32, shr_i32, shr_u32,
    sign_i32, threefry2x32,
};
pub use reference::{binary_f64, erf_f64, unary_f64};

/// Adding 1.5·2^23 leaves the nearest whole number in the low bits of a float below 2^22.
const MAGIC: f32 = 12_582_912.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has 9 bits, so that its product with an exponent is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

#[inline(always)]
fn copy_sign(magnitude: f32, sign: f32) -> f32 {
    f32::from_bits((magnitude.to_bits() & 0x7fff_ffff) | (sign.to_bits() & 0x8000_0000))
}

#[inline(always)]
fn mask(x: f32, bits: u32) -> f32 {
    f32::from_bits(x.to_bits() & bits)
}

/// `2^n` for `n` in −126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// Clamps, keeping NaN.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `a · b + c`, rounded once where `FUSED`.
#[inline(always)]
fn mul_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial in `x`, the highest coefficient first.
#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = mul_add::<FUSED>(sum, x, *coefficient);
    }
    sum
}

/// The nearest whole number of `x · factor`, as a float and as an integer; its magnitude must be below 2^22.
#[inline(always)]
fn nearest<const FUSED: bool>(x: f32, factor: f32) -> (f32, i32) {
    let shifted = mul_add::<FUSED>(x, factor, MAGIC);
    (shifted - MAGIC, (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32))
}

/// `e^r − 1` for |r| ≤ ln 2 / 2.
#[inline(always)]
fn expm1_near<const FUSED: bool>(r: f32) -> f32 {
    let tail = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
    mul_add::<FUSED>(polynomial::<FUSED, 6>(r, tail), r * r, r)
}

/// `x` as `whole · ln 2 + r` with small `r`: `e^r − 1` and `whole`.
#[inline(always)]
fn exp_parts<const FUSED: bool>(x: f32) -> (f32, i32) {
    let (n, whole) = nearest::<FUSED>(x, LOG2_E);
    let r = mul_add::<FUSED>(n, -LN2_LOW, mul_add::<FUSED>(n, -LN2_HIGH, x));
    (expm1_near::<FUSED>(r), whole)
}

/// `value · 2^n` in two steps, so that subnormal and overflowing results come out right.
#[inline(always)]
fn scale(value: f32, n: i32) -> f32 {
    let half = n >> 1;
    value * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `e^x`.
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    let (p, whole) = exp_parts::<FUSED>(clamp(x, -104.0, 89.0));
    scale(p + 1.0, whole)
}

/// `e^x − 1`.
#[inline(always)]
pub fn expm1<const FUSED: bool>(x: f32) -> f32 {
    let (p, whole) = exp_parts::<FUSED>(clamp(x, -30.0, 89.0));
    // Half of the result first, because 2^128 does not fit.
    let s = power_of_two(whole.wrapping_sub(1));
    let y = 2.0 * mul_add::<FUSED>(s, p, s - 0.5);
    if x == 0.0 { x } else { y }
}

/// A positive, finite number as `(1 + f) · 2^k` with `1 + f` in √½..√2.
#[inline(always)]
fn log_parts(x: f32) -> (f32, f32) {
    let small = x < f32::MIN_POSITIVE;
    let scaled = if small { x * 8_388_608.0 } else { x };
    let bits = scaled.to_bits().wrapping_add(0x3f80_0000 - 0x3f35_04f3);
    let k = (bits >> 23) as i32 - 127 - if small { 23 } else { 0 };
    (f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3) - 1.0, k as f32)
}

/// The logarithm of `(1 + f) · 2^k` (FreeBSD's `logf`, public domain).
#[inline(always)]
fn log_of_parts<const FUSED: bool>(f: f32, k: f32) -> f32 {
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = w * mul_add::<FUSED>(w, 0.242_790_79, 0.400_009_72);
    let even = z * mul_add::<FUSED>(w, 0.284_987_87, 0.666_666_6);
    let half_square = 0.5 * f * f;
    let rest = mul_add::<FUSED>(k, 9.058_001e-6, s * (half_square + (odd + even)));
    mul_add::<FUSED>(k, 0.693_138_1, rest - half_square + f)
}

/// The values of a logarithm of `x` outside the positive finite numbers; elsewhere `inside`.
#[inline(always)]
fn log_special(x: f32, inside: f32) -> f32 {
    let y = if x == f32::INFINITY { x } else { inside };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    // True also for NaN, unlike `x < 0.0`.
    if x >= 0.0 { y } else { f32::NAN }
}

/// Natural logarithm.
#[inline(always)]
pub fn log<const FUSED: bool>(x: f32) -> f32 {
    let (f, k) = log_parts(x);
    log_special(x, log_of_parts::<FUSED>(f, k))
}

/// `log(1 + x)`. Near 0 it needs no sum whose rounding would have to be put right, which a compiler of WGSL may undo.
#[inline(always)]
pub fn log1p<const FUSED: bool>(x: f32) -> f32 {
    let u = 1.0 + x;
    let near = x > -0.29 && x < 0.41;
    let (f, k) = log_parts(u);
    let (f, k) = (if near { x } else { f }, if near { 0.0 } else { k });
    let correction = if near { 0.0 } else { (x - (u - 1.0)) / u };
    let y = log_special(u, log_of_parts::<FUSED>(f, k) + correction);
    if x == 0.0 { x } else { y }
}

/// Square root.
#[inline(always)]
pub fn sqrt(x: f32) -> f32 {
    x.sqrt()
}

/// `1 / sqrt(x)`.
#[inline(always)]
pub fn rsqrt(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// The sine (`turn` 0) or cosine (`turn` 1): accurate to 1e-6 for |x| ≤ 1e4, within −1..=1 beyond.
#[inline(always)]
fn sine<const FUSED: bool>(x: f32, turn: i32) -> f32 {
    let (n, whole) = nearest::<FUSED>(x, std::f32::consts::FRAC_2_PI);
    // π/2 in three parts of 8, 11 and 24 bits: the first two products are exact for |n| < 2^13.
    let r = mul_add::<FUSED>(n, -4.837_513e-4, mul_add::<FUSED>(n, -1.570_312_5, x));
    let r = clamp(mul_add::<FUSED>(n, -7.549_79e-8, r), -0.8, 0.8);
    let z = r * r;
    let odd = polynomial::<FUSED, 3>(z, [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]);
    let sin = mul_add::<FUSED>(odd * z, r, r);
    let even = polynomial::<FUSED, 3>(z, [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]);
    let cos = mul_add::<FUSED>(even * z, z, mul_add::<FUSED>(z, -0.5, 1.0));
    let quadrant = whole.wrapping_add(turn);
    let y = if quadrant & 1 == 0 { sin } else { cos };
    f32::from_bits(y.to_bits() ^ (((quadrant & 2) as u32) << 30))
}

/// Sine.
#[inline(always)]
pub fn sin<const FUSED: bool>(x: f32) -> f32 {
    let y = sine::<FUSED>(x, 0);
    if x == 0.0 { x } else { y }
}

/// Cosine.
#[inline(always)]
pub fn cos<const FUSED: bool>(x: f32) -> f32 {
    sine::<FUSED>(x, 1)
}

/// Hyperbolic tangent: `(e^2x − 1) / (e^2x + 1)` of the magnitude; from 10 on it is 1 in `f32`.
#[inline(always)]
pub fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let (p, whole) = exp_parts::<FUSED>(2.0 * clamp(x.abs(), 0.0, 10.0));
    let s = power_of_two(whole);
    let grown = mul_add::<FUSED>(s, p, s - 1.0);
    copy_sign(grown / (grown + 2.0), x)
}

/// The arctangent of `numerator / denominator` in 0..=1, both finite, not negative, the denominator positive.
#[inline(always)]
fn atan_ratio<const FUSED: bool>(numerator: f32, denominator: f32) -> f32 {
    // Above tan(π/8): atan q = π/4 + atan((q − 1) / (q + 1)).
    let far = numerator > 0.414_213_57 * denominator;
    let top = if far { numerator - denominator } else { numerator };
    let bottom = if far { numerator + denominator } else { denominator };
    let q = top / bottom;
    let z = q * q;
    let tail = [8.053_744_5e-2, -1.387_768_6e-1, 1.997_771_1e-1, -3.333_295e-1];
    let y = mul_add::<FUSED>(polynomial::<FUSED, 4>(z, tail) * z, q, q);
    if far { y + std::f32::consts::FRAC_PI_4 } else { y }
}

/// Inverse tangent.
#[inline(always)]
pub fn atan<const FUSED: bool>(x: f32) -> f32 {
    let magnitude = x.abs();
    let large = magnitude > 1.0;
    let ratio = if large { 1.0 / magnitude } else { magnitude };
    let y = atan_ratio::<FUSED>(ratio, 1.0);
    let y = if large { std::f32::consts::FRAC_PI_2 - y } else { y };
    copy_sign(y, x)
}

/// The angle of the point (`x`, `y`).
#[inline(always)]
pub fn atan2<const FUSED: bool>(y: f32, x: f32) -> f32 {
    let (tall, wide) = (y.abs(), x.abs());
    let steep = tall > wide;
    let high = if steep { tall } else { wide };
    let low = if steep { wide } else { tall };
    // Equal infinities count as equal numbers. A quarter of large ones, because the sum of the two must be finite.
    let quarter = if high > 1e37 { 0.25 } else { 1.0 };
    let low = if low == f32::INFINITY { 1.0 } else { low * quarter };
    let high = if tall == wide && high == f32::INFINITY { 1.0 } else { high * quarter };
    let high = if high == 0.0 { 1.0 } else { high };
    let endless = high == f32::INFINITY;
    let angle = atan_ratio::<FUSED>(if endless { 0.0 } else { low }, if endless { 1.0 } else { high });
    let angle = if steep { std::f32::consts::FRAC_PI_2 - angle } else { angle };
    let left = (x.to_bits() as i32) < 0;
    let angle = if left { std::f32::consts::PI - angle } else { angle };
    let unordered = is_nan(x) || is_nan(y);
    if unordered { f32::NAN } else { copy_sign(angle, y) }
}

/// Gauss error function (after N. Juffa's `erff`, BSD 2-clause): two polynomials, the outer one in an exponent.
#[inline(always)]
pub fn erf<const FUSED: bool>(x: f32) -> f32 {
    let near =
        [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_25e-1, -3.761_253_4e-1, 1.283_791_7e-1];
    let near = mul_add::<FUSED>(polynomial::<FUSED, 6>(x * x, near), x, x);
    let t = clamp(x.abs(), 0.0, 4.0);
    let high = mul_add::<FUSED>(t, -1.728_534_7e-5, 3.831_971_3e-4);
    let low = mul_add::<FUSED>(t, -3.883_964_4e-3, 2.425_462_2e-2);
    let p = mul_add::<FUSED>(high, t * t, low);
    let p = polynomial::<FUSED, 4>(t, [p, -1.067_778_8e-1, -6.348_467e-1, -1.287_175_1e-1]);
    let far = copy_sign(1.0 - exp::<FUSED>(mul_add::<FUSED>(p, t, -t)), x);
    if x.abs() > 0.927_734_4 { far } else { near }
}

/// `1 / (1 + e^−x)`.
#[inline(always)]
pub fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    let e = exp::<FUSED>(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

/// −1, 0 or 1; zeros and NaN stay as they are.
#[inline(always)]
pub fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

/// Nearest whole number, halves to even.
#[inline(always)]
pub fn round(x: f32) -> f32 {
    x.round_ties_even()
}

/// True for NaN.
#[inline(always)]
pub fn is_nan(x: f32) -> bool {
    x.is_nan()
}

/// The larger; NaN if either is.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    let larger = if a > b { a } else { b };
    if a.is_nan() { a } else { larger }
}

/// The smaller; NaN if either is.
#[inline(always)]
pub fn min(a: f32, b: f32) -> f32 {
    let smaller = if a < b { a } else { b };
    if a.is_nan() { a } else { smaller }
}

/// The remainder with the sign of `b`, as NumPy's `mod`.
#[inline(always)]
pub fn rem(a: f32, b: f32) -> f32 {
    let r = a % b;
    if r == 0.0 {
        copy_sign(r, b)
    } else if (r < 0.0) != (b < 0.0) {
        r + b
    } else {
        r
    }
}

/// log2 of a positive, finite number as a sum of two floats, the first of 12 bits (FreeBSD's `powf`, public domain).
#[inline(always)]
fn log2_split(x: f32) -> (f32, f32) {
    const HEAD: u32 = 0xffff_f000;
    let small = x < f32::MIN_POSITIVE;
    let bits = (if small { x * 16_777_216.0 } else { x }).to_bits();
    let fraction = bits & 0x007f_ffff;
    let exponent = (bits >> 23) as i32 - 127 - if small { 24 } else { 0 };
    let upper = fraction > 0x001c_c471 && fraction < 0x005d_b3d7;
    let top = fraction >= 0x005d_b3d7;
    let n = (exponent + i32::from(top)) as f32;
    let ax = f32::from_bits((fraction | 0x3f80_0000) - if top { 0x0080_0000 } else { 0 });
    let center = if upper { 1.5 } else { 1.0 };
    let u = ax - center;
    let v = 1.0 / (ax + center);
    let s = u * v;
    let s_high = mask(s, HEAD);
    let t_high = f32::from_bits(
        (((ax.to_bits() >> 1) & HEAD) | 0x2000_0000) + 0x0040_0000 + if upper { 0x0020_0000 } else { 0 },
    );
    let t_low = ax - (t_high - center);
    let s_low = v * ((u - s_high * t_high) - s_high * t_low);
    let s2 = s * s;
    let series =
        s2 * s2 * (0.6 + s2 * (0.428_571_43 + s2 * (0.333_333_34 + s2 * (0.272_728_1 + s2 * 0.230_660_75))));
    let series = series + s_low * (s_high + s);
    let square = s_high * s_high;
    let t_high = mask(3.0 + square + series, HEAD);
    let t_low = series - ((t_high - 3.0) - square);
    let u = s_high * t_high;
    let v = s_low * t_high + t_low * s;
    let p_high = mask(u + v, HEAD);
    let p_low = v - (p_high - u);
    // 2 / (3 ln 2) in two parts, and log2 of the center in two parts.
    let z_high = 0.961_914_06 * p_high;
    let z_low = -1.173_685_74e-4 * p_high + p_low * 0.961_796_7 + if upper { 1.563_220_9e-6 } else { 0.0 };
    let center_log = if upper { 0.584_960_94 } else { 0.0 };
    let high = mask(((z_high + z_low) + center_log) + n, HEAD);
    (high, z_low - (((high - n) - center_log) - z_high))
}

/// `a^b` as C's `powf`.
#[inline(always)]
pub fn pow<const FUSED: bool>(a: f32, b: f32) -> f32 {
    let magnitude = a.abs();
    let (log_high, log_low) = log2_split(magnitude);
    // Beyond 1e10 every base but 1 saturates, and the products below stay finite.
    let y = clamp(b, -1e10, 1e10);
    let y_high = mask(y, 0xffff_f000);
    let low = (y - y_high) * log_high + y * log_low;
    let high = y_high * log_high;
    let saturated = (high + low).abs() > 200.0;
    let high = if saturated { clamp(high, -200.0, 200.0) } else { high };
    let low = if saturated { 0.0 } else { low };
    let (n, whole) = nearest::<FUSED>(high + low, 1.0);
    let r = ((high - n) + low) * std::f32::consts::LN_2;
    let inside = scale(expm1_near::<FUSED>(r) + 1.0, whole);
    let grows = b > 0.0;
    let at_zero = if grows { 0.0 } else { f32::INFINITY };
    let at_infinity = if grows { f32::INFINITY } else { 0.0 };
    let result = if magnitude == 0.0 { at_zero } else { inside };
    let result = if magnitude == f32::INFINITY { at_infinity } else { result };
    let whole_power = b.trunc() == b;
    let half = b * 0.5;
    // From 2^24 on every float is an even integer, so that its half is whole too.
    let odd = whole_power && half.trunc() != half;
    let negative = (a.to_bits() >> 31) == 1;
    let result = if negative && odd { -result } else { result };
    let no_root = a < 0.0 && magnitude < f32::INFINITY && !whole_power;
    let result = if no_root || is_nan(a) || is_nan(b) { f32::NAN } else { result };
    if a == 1.0 || b == 0.0 { 1.0 } else { result }
}
