//! Accuracy of the device functions against `f64`, over samples of all bit patterns.

use kiln_device::math;
use kiln_device::{BinaryOp, UnaryOp};

/// Distance of `got` from `want` in units of the last place of `want` as an `f32`.
fn ulps(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if got.to_bits() == rounded.to_bits() || (got.is_nan() && rounded.is_nan()) || got == rounded {
        return 0.0;
    }
    if !got.is_finite() || !rounded.is_finite() {
        return f64::INFINITY;
    }
    let exponent = (want.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor()) as i32;
    (f64::from(got) - want).abs() / 2f64.powi(exponent - 23)
}

fn specials() -> Vec<f32> {
    let mut values = vec![
        0.0,
        1e-45,
        1e-40,
        f32::MIN_POSITIVE,
        1.0,
        1.0 - f32::EPSILON / 2.0,
        1.0 + f32::EPSILON,
        0.5,
        2.0,
        3.0,
        1.5,
        2.5,
        88.7,
        88.73,
        89.0,
        103.9,
        104.0,
        7.9,
        9.01,
        1e4,
        1e30,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    values.extend(values.clone().iter().map(|v| -v));
    values
}

/// Every 1021st bit pattern, and the special values.
fn samples() -> impl Iterator<Item = f32> {
    (0..=u32::MAX).step_by(1021).map(f32::from_bits).chain(specials())
}

fn check(f: impl Fn(f32) -> f32, op: UnaryOp, bound: f64, absolute: f64, range: f32) {
    let (mut worst, mut at) = (0.0, 0.0);
    for x in samples().filter(|x| x.is_nan() || x.abs() <= range) {
        let (got, want) = (f(x), math::unary_f64(op, f64::from(x)));
        let error = ulps(got, want);
        if error > worst && (f64::from(got) - want).abs() > absolute {
            (worst, at) = (error, x);
        }
    }
    let want = math::unary_f64(op, f64::from(at));
    assert!(worst <= bound, "{}({at}) is off by {worst} ulp: {} not {want}", op.name(), f(at));
}

fn polynomials_are_accurate<const FUSED: bool>() {
    let all = f32::INFINITY;
    check(math::exp::<FUSED>, UnaryOp::Exp, 2.0, 0.0, all);
    check(math::expm1::<FUSED>, UnaryOp::Expm1, 3.0, 0.0, all);
    check(math::log::<FUSED>, UnaryOp::Log, 2.0, 0.0, all);
    check(math::log1p::<FUSED>, UnaryOp::Log1p, 3.0, 0.0, all);
    check(math::tanh::<FUSED>, UnaryOp::Tanh, 4.0, 0.0, all);
    check(math::sigmoid::<FUSED>, UnaryOp::Sigmoid, 4.0, 0.0, all);
    check(math::erf::<FUSED>, UnaryOp::Erf, 4.0, 0.0, all);
    check(math::atan::<FUSED>, UnaryOp::Atan, 4.0, 0.0, all);
    check(math::sin::<FUSED>, UnaryOp::Sin, 0.0, 2e-7, 1e4);
    check(math::cos::<FUSED>, UnaryOp::Cos, 0.0, 2e-7, 1e4);
}

#[test]
fn unary_functions_are_accurate_over_the_float_range() {
    polynomials_are_accurate::<false>();
    polynomials_are_accurate::<true>();
    let all = f32::INFINITY;
    check(math::sqrt, UnaryOp::Sqrt, 0.5, 0.0, all);
    check(math::rsqrt, UnaryOp::Rsqrt, 2.0, 0.0, all);
    check(math::sign, UnaryOp::Sign, 0.0, 0.0, all);
    check(math::round, UnaryOp::Round, 0.0, 0.0, all);
}

fn edges_are_exact<const FUSED: bool>() {
    let odd: [fn(f32) -> f32; 7] = [
        math::expm1::<FUSED>,
        math::log1p::<FUSED>,
        math::sin::<FUSED>,
        math::tanh::<FUSED>,
        math::atan::<FUSED>,
        math::erf::<FUSED>,
        math::sign,
    ];
    for f in odd {
        assert_eq!(f(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(f(0.0).to_bits(), 0);
    }
    let bounded: [fn(f32) -> f32; 3] = [math::tanh::<FUSED>, math::erf::<FUSED>, math::sign];
    for f in bounded {
        assert_eq!((f(f32::INFINITY), f(f32::NEG_INFINITY), f(20.0)), (1.0, -1.0, 1.0));
        assert!(samples().filter(|x| !x.is_nan()).all(|x| f(x).abs() <= 1.0));
    }
    let (sin, cos) = (math::sin::<FUSED>, math::cos::<FUSED>);
    assert!(sin(f32::INFINITY).is_nan() && cos(f32::NEG_INFINITY).is_nan());
    assert!(samples().filter(|x| x.is_finite()).all(|x| sin(x).abs() <= 1.0 && cos(x).abs() <= 1.0));
}

#[test]
fn zeros_keep_their_sign_and_infinities_saturate() {
    edges_are_exact::<false>();
    edges_are_exact::<true>();
}

fn pairs() -> Vec<(f32, f32)> {
    let specials = specials();
    let mut pairs = Vec::new();
    for a in &specials {
        pairs.extend(specials.iter().map(|b| (*a, *b)));
    }
    let mut count = 0;
    let mut next = || {
        count += 1;
        math::threefry2x32([7, 9], [count, 0])[0]
    };
    let unit = |bits: u32| bits as f32 / u32::MAX as f32;
    for _ in 0..300_000 {
        pairs.push((f32::from_bits(next()), f32::from_bits(next())));
        pairs.push((unit(next()) * 10.0, (unit(next()) - 0.5) * 60.0));
        pairs.push((1.0 + (unit(next()) - 0.5) * 1e-2, (unit(next()) - 0.5) * 2e4));
    }
    pairs
}

#[test]
fn pow_is_within_16_ulp_and_exact_at_the_edges() {
    for (a, b) in pairs() {
        let want = f64::from(a).powf(f64::from(b));
        for got in [math::pow::<false>(a, b), math::pow::<true>(a, b)] {
            let inner = (1e-30..=1e30).contains(&want.abs());
            let bound = if inner { 16.0 } else { 64.0 };
            assert!(ulps(got, want) <= bound, "pow({a:e}, {b:e}) = {got:e}, not {want:e}");
            let negative = |nan: bool, sign: bool| !nan && sign;
            assert_eq!(
                negative(got.is_nan(), got.is_sign_negative()),
                negative(want.is_nan(), want.is_sign_negative()),
                "pow({a:e}, {b:e})"
            );
        }
    }
}

#[test]
fn atan2_rem_max_and_min_follow_the_reference() {
    for (a, b) in pairs() {
        let (x, y) = (f64::from(a), f64::from(b));
        let want = math::binary_f64(BinaryOp::Atan2, x, y);
        for got in [math::atan2::<false>(a, b), math::atan2::<true>(a, b)] {
            let fine =
                (f64::from(got) - want).abs() <= 4e-7 && (ulps(got, want) <= 8.0 || want.abs() < 1e-37);
            assert!(fine || (got.is_nan() && want.is_nan()), "atan2({a:e}, {b:e}) = {got:e}, not {want:e}");
            if want == 0.0 {
                assert_eq!(got.is_sign_negative(), want.is_sign_negative());
            }
        }
        let want = f64::from(a % b);
        let rem = math::rem(a, b);
        assert!(rem.is_nan() == want.is_nan() && (rem.is_nan() || rem == 0.0 || (rem < 0.0) == (b < 0.0)));
        assert!(ulps(math::max(a, b), math::binary_f64(BinaryOp::Max, x, y)) == 0.0);
        assert!(ulps(math::min(a, b), math::binary_f64(BinaryOp::Min, x, y)) == 0.0);
    }
    assert_eq!((math::rem(-1.0, 3.0), math::rem(1.0, -3.0), math::rem(5.5, 2.0)), (2.0, -2.0, 1.5));
}

#[test]
fn integers_divide_downwards() {
    let cases = [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1), (5, 0, 0, 0)];
    for (a, b, quotient, rest) in cases {
        assert_eq!((math::div_i32(a, b), math::rem_i32(a, b)), (quotient, rest), "{a} by {b}");
    }
    assert_eq!((math::div_i32(i32::MIN, -1), math::rem_i32(i32::MIN, -1)), (i32::MIN, 0));
    assert_eq!((math::div_u32(7, 0), math::rem_u32(7, 0), math::div_u32(7, 2)), (0, 0, 3));
    assert_eq!((math::pow_i32(-1, -3), math::pow_i32(2, -1), math::pow_i32(-3, 3)), (-1, 0, -27));
    assert_eq!((math::shl_i32(1, 33), math::shr_i32(-8, 1), math::shr_u32(0x8000_0000, 31)), (2, -4, 1));
}

#[test]
fn threefry_matches_random123() {
    let ones = u32::MAX;
    assert_eq!(math::threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
    assert_eq!(math::threefry2x32([ones, ones], [ones, ones]), [0x1cb9_96fc, 0xbb00_2be7]);
    let pi = [0x243f_6a88, 0x85a3_08d3];
    assert_eq!(math::threefry2x32([0x1319_8a2e, 0x0370_7344], pi), [0xc492_3a9c, 0x483d_f7a0]);
}

#[test]
fn reference_erf_is_accurate() {
    let cases = [
        (0.5, 0.520_499_877_813_046_5),
        (1.0, 0.842_700_792_949_714_9),
        (2.5, 0.999_593_047_982_555),
        (-0.1, -0.112_462_916_018_284_9),
    ];
    for (x, want) in cases {
        assert!((math::erf_f64(x) - want).abs() < 2e-15, "{x}");
    }
}
