//! Powers.

use std::f64::consts::LN_2;

use super::exponential::expm1_near;
use super::{MAGIC, clamp, head, nearest, polynomial, scale};

/// The bits of 1, of √1.5 and of √3.
const ONE: u64 = 0x3ff0_0000_0000_0000;
const SQRT_ONE_AND_A_HALF: u64 = 0x3ff3_988e_1409_212e;
const SQRT_THREE: u64 = 0x3ffb_b67a_e858_4caa;
const FRACTION: u64 = (1 << 52) - 1;

/// ln 2, of which the first part has 21 bits.
const LN_2_HEAD: f64 = 0.693_146_705_627_441_4;
const LN_2_TAIL: f64 = 4.749_325_039_031_672_6e-7;

/// log2 of a positive, finite number as a sum of two floats, the first of 21 bits (the method of FreeBSD's `pow`).
#[inline(always)]
fn log2_split(x: f64) -> (f64, f64) {
    let small = x < f64::MIN_POSITIVE;
    let bits = (if small { x * 18_014_398_509_481_984.0 } else { x }).to_bits();
    let fraction = (bits & FRACTION) | ONE;
    let upper = fraction > SQRT_ONE_AND_A_HALF && fraction < SQRT_THREE;
    let top = fraction >= SQRT_THREE;
    let exponent = f64::from_bits((bits >> 52) | MAGIC.to_bits()) - MAGIC;
    let n = exponent - if small { 1023.0 + 54.0 } else { 1023.0 } + if top { 1.0 } else { 0.0 };
    let ax = f64::from_bits(fraction - if top { 1 << 52 } else { 0 });
    let center = if upper { 1.5 } else { 1.0 };
    let u = ax - center;
    let v = 1.0 / (ax + center);
    let s = u * v;
    let s_high = head(s);
    let t_high = head(ax + center);
    let t_low = ax - (t_high - center);
    let s_low = v * ((u - s_high * t_high) - s_high * t_low);
    let s2 = s * s;
    let tail = [
        2.065_815_847_762_661_2e-1,
        2.306_742_783_595_248e-1,
        2.727_279_448_611_960_6e-1,
        3.333_333_309_451_369_5e-1,
        4.285_714_285_752_154e-1,
        5.999_999_999_999_983e-1,
    ];
    let series = s2 * s2 * polynomial(s2, tail) + s_low * (s_high + s);
    let square = s_high * s_high;
    let t_high = head(3.0 + square + series);
    let t_low = series - ((t_high - 3.0) - square);
    let u = s_high * t_high;
    let v = s_low * t_high + t_low * s;
    let p_high = head(u + v);
    let p_low = v - (p_high - u);
    // 2 / (3 ln 2) in two parts, and log2 of the center in two parts.
    let z_high = 0.961_796_283_721_923_8 * p_high;
    let z_low = 4.102_040_517_767_816e-7 * p_high
        + p_low * 0.961_796_693_925_975_6
        + if upper { 1.327_096_815_720_787_3e-7 } else { 0.0 };
    let center_log = if upper { 0.584_962_368_011_474_6 } else { 0.0 };
    let high = head(((z_high + z_low) + center_log) + n);
    (high, z_low - (((high - n) - center_log) - z_high))
}

/// `a^b` of a positive, finite `a`.
#[inline(always)]
fn positive_power(a: f64, b: f64) -> f64 {
    let (log_high, log_low) = log2_split(a);
    // Beyond 2^65 every base but 1 saturates, and the products below stay finite.
    let y = clamp(b, -36_893_488_147_419_103_232.0, 36_893_488_147_419_103_232.0);
    let y_high = head(y);
    let low = (y - y_high) * log_high + y * log_low;
    let high = y_high * log_high;
    let saturated = (high + low).abs() > 1100.0;
    let high = if saturated { clamp(high, -1100.0, 1100.0) } else { high };
    let low = if saturated { 0.0 } else { low };
    let (n, whole) = nearest(high + low, 1.0);
    // The rest of the exponent times ln 2, both in two parts.
    let rest = high - n;
    let sum = rest + low;
    let sum_head = head(sum);
    let sum_tail = low - (sum_head - rest);
    let u = sum_head * LN_2_HEAD;
    let v = sum_tail * LN_2 + sum_head * LN_2_TAIL;
    let r = u + v;
    scale(1.0 + expm1_near(r, v - (r - u)), whole)
}

/// `a^b` as C's `pow`.
#[inline(always)]
pub(super) fn pow(a: f64, b: f64) -> f64 {
    let magnitude = a.abs();
    let inside = positive_power(magnitude, b);
    let grows = b > 0.0;
    let at_zero = if grows { 0.0 } else { f64::INFINITY };
    let at_infinity = if grows { f64::INFINITY } else { 0.0 };
    let result = if magnitude == 0.0 { at_zero } else { inside };
    let result = if magnitude == f64::INFINITY { at_infinity } else { result };
    let whole_power = b.trunc() == b;
    let half = b * 0.5;
    // From 2^53 on every float is an even integer, so that its half is whole too.
    let odd = whole_power && half.trunc() != half;
    let result = if a.is_sign_negative() && odd { -result } else { result };
    let no_root = a < 0.0 && magnitude < f64::INFINITY && !whole_power;
    let result = if no_root || a.is_nan() || b.is_nan() { f64::NAN } else { result };
    if a == 1.0 || b == 0.0 { 1.0 } else { result }
}
