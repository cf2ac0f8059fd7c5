//! The Gauss error function.

use super::exponential::exp;
use super::{clamp, copy_sign, polynomial};

/// Gauss error function: up to 1 its own series, beyond it `1 − e^−p(x)` with a polynomial for the logarithm of the
/// rest; from 6 on it is 1 in `f64`.
#[inline(always)]
pub(super) fn erf(x: f64) -> f64 {
    let z = x * x;
    let w = z * z;
    let even = [
        1.372_297_597_859_877_3e-8,
        1.644_751_758_885_831_7e-6,
        1.205_529_531_967_112_8e-4,
        5.223_977_607_422_476e-3,
        1.128_379_167_094_525_2e-1,
        1.283_791_670_955_125_6e-1,
    ];
    let odd = [
        -7.801_190_353_273_251e-10,
        -1.620_917_555_889_339_4e-7,
        -1.492_474_465_212_277_8e-5,
        -8.548_325_989_659_987e-4,
        -2.686_617_064_327_606_6e-2,
        -3.761_263_890_318_355e-1,
    ];
    let near = x + x * (polynomial(w, even) + z * polynomial(w, odd));
    let t = clamp(x.abs(), 0.0, 6.0);
    let square = t * t;
    let even = [
        -1.039_061_878_479_802e-12,
        -1.017_062_055_310_337e-9,
        -1.248_326_309_825_642e-7,
        -4.301_832_651_590_855_6e-6,
        -4.477_039_850_934_707e-5,
        4.595_444_610_211_379_4e-5,
        1.770_923_612_819_918_3e-3,
        -1.907_695_630_525_053_2e-2,
        6.366_287_035_422_45e-1,
        1.843_808_742_706_355_4e-7,
    ];
    let odd = [
        4.751_771_756_511_284_5e-11,
        1.352_242_740_697_664_9e-8,
        8.452_041_983_657_749e-7,
        1.642_166_523_976_239_6e-5,
        6.975_140_728_186_842e-5,
        -6.428_318_571_917_185e-4,
        -2.822_271_990_704_146_3e-4,
        1.027_466_431_083_938_2e-1,
        1.128_377_282_439_553_7,
    ];
    let rest = polynomial(square, even) + t * polynomial(square, odd);
    let far = copy_sign(1.0 - exp(-rest), x);
    if x.abs() > 1.0 { far } else { near }
}
