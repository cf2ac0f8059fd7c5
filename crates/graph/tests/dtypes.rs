//! `float64` and `int64` from end to end: where types meet, numbers and indices, gradients, state, files, kernels, and
//! what a device without them says.

#[path = "support/gpu.rs"]
mod gpu;

use kiln_graph::{
    DType, Device, Function, SavedFunction, Tensor, Variable, gradients, gradients_with, ops, random,
    set_default_device, with_device,
};
use serde_json::Value;

fn dtype(name: &str) -> DType {
    DType::ALL.into_iter().find(|d| d.name() == name).unwrap_or_else(|| panic!("no dtype {name}"))
}

fn cpu() {
    set_default_device(&Device::cpu());
}

#[test]
fn types_meet_as_in_keras() {
    let table: Value = serde_json::from_str(include_str!("../../../tests/golden/dtypes.json")).unwrap();
    for (a, row) in table["pairs"].as_object().unwrap() {
        for (b, met) in row.as_object().unwrap() {
            let (a, b) = (dtype(a), dtype(b));
            let expected = match (a, b) {
                // Kiln's rule: int64, which Keras gives, is not on every device.
                (DType::U32, DType::I32) | (DType::I32, DType::U32) => DType::I32,
                _ => dtype(met.as_str().unwrap()),
            };
            assert_eq!(ops::promote(a, b), expected, "{a} and {b}");
            let sum = ops::add(Tensor::full(&[2], 1.0, a), Tensor::full(&[2], 1.0, b));
            assert_eq!(sum.dtype(), expected, "{sum:?}");
        }
    }
    for (a, row) in table["weak"].as_object().unwrap() {
        let x = Tensor::full(&[1], 1.0, dtype(a));
        assert_eq!((&x * 2).dtype(), dtype(row["int"].as_str().unwrap()), "{a} and a whole number");
        for sum in [&x + 0.5, &x + 0.5f32, 0.5 + &x] {
            assert_eq!(sum.dtype(), dtype(row["float"].as_str().unwrap()), "{a} and a float");
        }
    }
}

#[test]
fn numbers_of_rust_are_rounded_to_the_type_that_they_meet() {
    cpu();
    let x = Tensor::from_slice(&[1.0f64]);
    assert_eq!((&x * 0.1).to_vec::<f64>().unwrap(), [0.1]);
    assert_eq!((0.1 - &x).to_vec::<f64>().unwrap(), [0.1 - 1.0]);
    assert_eq!((&x * 0.1f32).to_vec::<f64>().unwrap(), [f64::from(0.1f32)]);
    assert_eq!((Tensor::from_slice(&[1.0f32]) * 0.1).to_vec::<f32>().unwrap(), [0.1f32]);
    let n = Tensor::from_slice(&[1i64 << 40]);
    assert_eq!((&n + 1).to_vec::<i64>().unwrap(), [(1 << 40) + 1]);
    assert_eq!((&n * (1i64 << 22)).to_vec::<i64>().unwrap(), [1 << 62]);
    // What int32 cannot hold becomes int64, as what uint8 cannot hold becomes int32.
    assert_eq!((Tensor::from_slice(&[1i32]) + (1i64 << 40)).to_vec::<i64>().unwrap(), [(1 << 40) + 1]);
    assert_eq!((Tensor::from_slice(&[1i32]) + 5i64).dtype(), DType::I32);
}

#[test]
fn plain_numbers_of_a_choice_take_the_type_beside_them() {
    cpu();
    let where_true = Tensor::from_slice(&[true, false]);
    let x = Tensor::from_slice(&[2.0f64, 3.0]);
    assert_eq!(Tensor::select(&where_true, &x, 0.1).to_vec::<f64>().unwrap(), [2.0, 0.1]);
    assert_eq!(Tensor::select(&where_true, 0.1, &x).to_vec::<f64>().unwrap(), [0.1, 3.0]);
    // As in Keras, two of them do not wait for what they meet later.
    for floats in [Tensor::select(&where_true, 1.0, 2.0), ops::where_(&where_true, 1.0, 2.0)] {
        assert_eq!(floats.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    }
    for whole in [Tensor::select(&where_true, 1, 2), ops::where_(&where_true, 1, 2)] {
        assert_eq!(whole.to_vec::<i32>().unwrap(), [1, 2]);
    }
    assert_eq!(Tensor::select(&where_true, 1, 2.5).to_vec::<f32>().unwrap(), [1.0, 2.5]);
}

#[test]
fn values_go_in_and_come_out_exactly() {
    cpu();
    let doubles = [0.1, -1e300, 5e-324, f64::INFINITY, -0.0];
    assert_eq!(Tensor::from_slice(&doubles).barrier().to_vec::<f64>().unwrap(), doubles);
    let wholes = [i64::MAX, i64::MIN, (1 << 53) + 1, -1, 0];
    let tensor = Tensor::from_slice(&wholes);
    assert_eq!(tensor.barrier().to_vec::<i64>().unwrap(), wholes);
    assert_eq!(tensor.to_string(), "[9223372036854775807, -9223372036854775808, 9007199254740993, -1, 0]");
    assert_eq!(Tensor::from_slice(&[0.1, 1.0 / 3.0]).to_string(), "[0.1, 0.3333333333333333]");
    assert_eq!(Tensor::scalar(0.1f64).item::<f64>().unwrap(), 0.1);
    assert_eq!(Tensor::full(&[2], 0.1, DType::F64).to_vec::<f64>().unwrap(), [0.1; 2]);
    let error = tensor.to_vec::<i32>().unwrap_err().to_string();
    assert!(error.contains("expected a int32 tensor, received int64; cast it first"), "{error}");
    assert_eq!(ops::arange(0.0, 0.5, 0.1, DType::F64).to_vec::<f64>().unwrap()[1], 0.1);
    assert_eq!(
        ops::arange(4e9, 4e9 + 3.0, 1.0, DType::I64).to_vec::<i64>().unwrap(),
        [4_000_000_000, 4_000_000_001, 4_000_000_002]
    );
    let line = ops::linspace(0.0, 0.3, 4, true, Some(DType::F64), 0).to_vec::<f64>().unwrap();
    assert!(line.iter().zip([0.0, 0.1, 0.2, 0.3]).all(|(a, b)| (a - b).abs() < 1e-16), "{line:?}");
}

#[test]
fn conversions_saturate_wrap_and_round_once() {
    cpu();
    let x = Tensor::from_slice(&[1e300, -1e300, f64::NAN, 2.9, -2.9, 3e9]);
    assert_eq!(x.cast(DType::I32).to_vec::<i32>().unwrap(), [i32::MAX, i32::MIN, 0, 2, -2, i32::MAX]);
    assert_eq!(x.cast(DType::I64).to_vec::<i64>().unwrap(), [i64::MAX, i64::MIN, 0, 2, -2, 3_000_000_000]);
    assert_eq!(x.cast(DType::U8).to_vec::<u8>().unwrap(), [255, 0, 0, 2, 0, 255]);
    assert_eq!(x.cast(DType::F32).to_vec::<f32>().unwrap()[..2], [f32::INFINITY, f32::NEG_INFINITY]);
    let n = Tensor::from_slice(&[(1i64 << 32) + 5, -1, 300]);
    assert_eq!(n.cast(DType::I32).to_vec::<i32>().unwrap(), [5, -1, 300]);
    assert_eq!(n.cast(DType::U8).to_vec::<u8>().unwrap(), [5, 255, 44]);
    assert_eq!(n.cast(DType::F64).to_vec::<f64>().unwrap(), [4_294_967_301.0, -1.0, 300.0]);
    assert_eq!(n.cast(DType::Bool).to_vec::<bool>().unwrap(), [true; 3]);
    assert_eq!(ops::saturate_cast(&n, DType::I32).to_vec::<i32>().unwrap(), [i32::MAX, -1, 300]);
    assert_eq!(ops::saturate_cast(&n, DType::U32).to_vec::<u32>().unwrap(), [u32::MAX, 0, 300]);
    // A little above the middle of two halves: by way of float32 it would land on the middle, and go down.
    let above = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
    let half = Tensor::from_slice(&[above]).cast(DType::F16).to_vec::<half::f16>().unwrap();
    assert_eq!(half[0].to_f64(), 1.0 + 2f64.powi(-10));
}

#[test]
fn indices_may_be_int64() {
    cpu();
    let table = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]);
    let index = Tensor::from_slice(&[2i64, -1, 0]);
    assert_eq!(table.take(&index, 0).to_vec::<f32>().unwrap(), [5.0, 6.0, 5.0, 6.0, 1.0, 2.0]);
    let along = Tensor::from_vec([1i64, 0, -1], &[3, 1]);
    assert_eq!(table.take_along_axis(&along, 1).to_vec::<f32>().unwrap(), [2.0, 3.0, 6.0]);
    let updates = Tensor::from_vec([10.0f32, 20.0], &[1, 2]);
    let added = table.scatter_add(&Tensor::from_slice(&[1i64]), &updates);
    assert_eq!(added.to_vec::<f32>().unwrap(), [1.0, 2.0, 13.0, 24.0, 5.0, 6.0]);
    let labels = Tensor::from_slice(&[1i64, (1 << 32) + 1, -1]);
    assert_eq!(labels.one_hot(2, DType::I32).to_vec::<i32>().unwrap(), [0, 1, 0, 0, 0, 0]);
    let ids = Tensor::from_slice(&[0i64, 1 << 32, 1]);
    assert_eq!(
        ops::segment_sum(&Tensor::from_slice(&[1i32, 2, 4]), &ids, 2).to_vec::<i32>().unwrap(),
        [1, 4]
    );
    let logits = Tensor::from_vec([0.0f32, 1.0, 1.0, 0.0], &[2, 2]);
    let loss = ops::sparse_categorical_crossentropy(&Tensor::from_slice(&[1i64, 1]), &logits, true, -1);
    assert!((loss.to_vec::<f32>().unwrap()[0] - 0.313_261_7).abs() < 1e-6);
    // The error names the index as it is, not what is left of it in 32 bits.
    let outside =
        table.take(&Tensor::from_slice(&[0, 1i64 << 32]), 0).to_vec::<f32>().unwrap_err().to_string();
    let expected = "[take] index 4294967296 at position 1 is out of range, expected 0 ≤ index < 3";
    assert!(outside.contains(expected) && outside.contains("dtypes.rs:"), "{outside}");
    let labels =
        ops::sparse_categorical_crossentropy(&Tensor::from_slice(&[1i64, 1 << 40]), &logits, true, -1);
    assert!(labels.to_vec::<f32>().is_err());
}

#[test]
fn special_functions_are_accurate_in_doubles() {
    cpu();
    // Values of mpmath, 30 digits.
    let near = |name: &str, got: Tensor, want: &[f64]| {
        for (got, want) in got.to_vec::<f64>().unwrap().into_iter().zip(want) {
            // Subnormal numbers have fewer digits.
            let limit = (4e-15 * want.abs()).max(5e-324);
            assert!((got - want).abs() <= limit, "{name}: {got:e}, not {want:e}");
        }
    };
    let x = |list: &[f64]| Tensor::from_slice(list);
    near("erf", ops::erf(&x(&[0.5, 2.5])), &[0.520_499_877_813_046_5, 0.999_593_047_982_555]);
    near(
        "erfc",
        ops::erfc(&x(&[0.5, 3.0, 10.0, 26.0, -2.0])),
        &[
            0.479_500_122_186_953_5,
            2.209_049_699_858_544e-5,
            2.088_487_583_762_545e-45,
            5.663_192_408_856_143e-296,
            1.995_322_265_018_952_7,
        ],
    );
    near(
        "erfinv",
        ops::erfinv(&x(&[0.1, -0.9, 0.999_999, 1.0 - 2f64.powi(-40), 1e-12])),
        &[
            0.088_855_990_494_257_69,
            -1.163_087_153_676_674,
            3.458_910_737_275_499,
            5.051_254_085_249_39,
            8.862_269_254_527_581e-13,
        ],
    );
    near(
        "i0",
        ops::i0(&x(&[0.5, 7.75, 29.9, 40.0, 712.0])),
        &[
            1.063_483_370_741_323_5,
            338.513_753_747_275_9,
            708_478_330_489.014_5,
            1.489_477_479_341_99e16,
            2.468_411_057_762_752_4e307,
        ],
    );
    near("log2", ops::log2(&x(&[8.0, 0.1])), &[3.0, -std::f64::consts::LOG2_10]);
    near("log10", ops::log10(&x(&[1000.0, 0.3])), &[3.0, -0.522_878_745_280_337_6]);
    near(
        "exp2",
        ops::exp2(&x(&[10.0, 0.3, -1060.0])),
        &[1024.0, 1.231_144_413_344_916_3, f64::from_bits(16384)],
    );
    near("cbrt", ops::cbrt(&x(&[27.0, -1e-300])), &[3.0, -1e-100]);
    near(
        "sinh",
        ops::sinh(&x(&[1e-9, 1.0, 710.0])),
        &[1e-9, 1.175_201_193_643_801_4, 1.116_997_383_080_855_7e308],
    );
    near(
        "arcsinh",
        ops::arcsinh(&x(&[1e-9, 3.0, 1e300])),
        &[1e-9, 1.818_446_459_232_066_8, 691.468_675_078_773_7],
    );
    near("arctanh", ops::arctanh(&x(&[0.5, 1e-12])), &[0.549_306_144_334_054_8, 1e-12]);
    near("sinc", ops::sinc(&x(&[0.5, 1.25])), &[0.636_619_772_367_581_3, -0.180_063_263_231_421_3]);
    near("logaddexp", ops::logaddexp(x(&[1000.0]), x(&[1000.5])), &[1_000.974_076_984_180_2]);
    near("gelu", ops::gelu(&x(&[1.5]), false), &[1.399_789_198_096_713]);
}

#[test]
fn neighbours_and_scales_are_those_of_doubles() {
    cpu();
    let x = [1.0f64, -1.0, 0.0, f64::MAX, 5e-324];
    let up = ops::nextafter(Tensor::from_slice(&x), Tensor::full(&[], f64::INFINITY, DType::F64));
    assert_eq!(up.to_vec::<f64>().unwrap(), x.map(f64::next_up));
    let scaled =
        ops::ldexp(Tensor::from_slice(&[1.5f64, 1.5, 1.5]), Tensor::from_slice(&[1000, -1074, 2000]));
    assert_eq!(scaled.to_vec::<f64>().unwrap(), [1.5 * 2f64.powi(1000), 1e-323, f64::INFINITY]);
    let signs = Tensor::from_slice(&[-0.0f64, 1.0, f64::NEG_INFINITY]);
    assert_eq!(ops::signbit(&signs).to_vec::<bool>().unwrap(), [true, false, true]);
    assert_eq!(ops::isinf(&signs).to_vec::<bool>().unwrap(), [false, false, true]);
    assert_eq!(ops::isfinite(&Tensor::from_slice(&[1e300])).to_vec::<bool>().unwrap(), [true]);
}

/// Central differences of a scalar function, in doubles.
fn differences(x: &[f64], f: &dyn Fn(&Tensor) -> Tensor) -> Vec<f64> {
    let at = |i: usize, by: f64| {
        let mut x = x.to_vec();
        x[i] += by;
        f(&Tensor::from_slice(&x)).item::<f64>().unwrap()
    };
    let step = 1e-3;
    // Of fourth order.
    let slope = |i: usize| {
        (8.0 * (at(i, step) - at(i, -step)) - (at(i, 2.0 * step) - at(i, -2.0 * step))) / (12.0 * step)
    };
    (0..x.len()).map(slope).collect()
}

#[test]
fn gradients_in_doubles_are_differences() {
    cpu();
    type Scalar<'a> = &'a dyn Fn(&Tensor) -> Tensor;
    let matrix = |x: &Tensor| x.reshape(&[2, 2]);
    let table: [(&str, Scalar<'_>); 14] = [
        ("exp", &|x| x.exp().sum(())),
        ("erf", &|x| ops::erf(x).sum(())),
        ("erfc", &|x| ops::erfc(x).sum(())),
        ("erfinv", &|x| ops::erfinv(&(x * 0.3)).sum(())),
        ("i0", &|x| ops::i0(&(x * 20.0)).log().sum(())),
        ("sinc", &|x| ops::sinc(x).sum(())),
        ("pow", &|x| x.abs().pow(2.5).sum(())),
        ("softmax", &|x| (x.softmax(-1) * Tensor::from_slice(&[1.0, -2.0, 0.5, 3.0])).sum(())),
        ("norm", &|x| ops::norm(x, 3.0, -1, false)),
        ("matmul", &|x| matrix(x).matmul(&matrix(x)).square().sum(())),
        ("det", &|x| ops::det(&matrix(x))),
        ("inv", &|x| ops::inv(&(matrix(x) + Tensor::eye(2) * 3)).square().sum(())),
        ("cumprod", &|x| x.cumprod(0).sum(())),
        ("log2", &|x| ops::log2(&x.abs()).square().sum(())),
    ];
    let point = [0.7, -1.3, 0.4, 1.9];
    for (name, f) in table {
        let x = Tensor::from_slice(&point);
        let got = gradients(&f(&x), std::slice::from_ref(&x)).unwrap()[0].to_vec::<f64>().unwrap();
        let want = differences(&point, f);
        let scale = want.iter().fold(1e-2f64, |m, g| m.max(g.abs()));
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= 1e-9 * scale, "{name}: {got}, not {want}");
        }
    }
    let whole = gradients_with(
        &Tensor::from_slice(&[1i64]),
        &Tensor::from_slice(&[1i64]),
        &[Tensor::from_slice(&[1i64])],
    );
    assert!(
        whole
            .unwrap_err()
            .to_string()
            .contains("expected float tensors to differentiate for, received int64")
    );
}

#[test]
fn sequences_are_scored_in_doubles() {
    cpu();
    // One label in two frames of two classes: the paths 1-, -1 and 11.
    let odds = [0.3f64, 0.9, -0.2, 0.7];
    let logits = Tensor::from_vec(odds, &[1, 2, 2]);
    let (one, two) = (Tensor::from_slice(&[1]), Tensor::from_slice(&[2]));
    let loss = ops::ctc_loss(&Tensor::from_vec([1], &[1, 1]), &logits, &one, &two, 0);
    let p = |frame: usize| 1.0 / (1.0 + (odds[2 * frame] - odds[2 * frame + 1]).exp());
    let some = 1.0 - (1.0 - p(0)) * (1.0 - p(1));
    assert!((loss.item::<f64>().unwrap() + some.ln()).abs() < 1e-14, "{loss:?}");
    let slope = gradients(&loss.sum(()), std::slice::from_ref(&logits)).unwrap();
    let numeric = differences(&odds, &|x| {
        ops::ctc_loss(&Tensor::from_vec([1], &[1, 1]), &x.reshape(&[1, 2, 2]), &one, &two, 0)
    });
    for (got, want) in slope[0].to_vec::<f64>().unwrap().iter().zip(&numeric) {
        assert!((got - want).abs() < 1e-8, "{got} instead of {want}");
    }
    let beams = ops::CtcStrategy::BeamSearch { beam_width: 4, top_paths: 1 };
    let (labels, scores) = ops::ctc_decode(&logits, &two, beams, 0);
    assert_eq!(labels.to_vec::<i32>().unwrap(), [1, -1]);
    assert!((scores.item::<f64>().unwrap() - some.ln()).abs() < 1e-14);
    let greedy = ops::CtcStrategy::Greedy { merge_repeated: true };
    let (_, scores) = ops::ctc_decode(&logits, &two, greedy, 0);
    assert_eq!(scores.item::<f64>().unwrap(), -(0.9 + 0.7));
}

#[test]
fn fill_values_have_the_type_of_the_image() {
    use ops::DataFormat::ChannelsLast;
    use ops::image::{self, AspectRatio, FillMode, Interpolation};
    cpu();
    let left = Tensor::from_slice(&[1.0f32, 0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let moved = |x: &Tensor, method, fill| {
        image::affine_transform(x, &left, method, FillMode::Constant(fill), ChannelsLast)
    };
    let large = (1i64 << 24) + 1;
    let x = Tensor::from_vec([large as f64, 5.0, 3.0, 4.0], &[2, 2, 1]);
    for method in [Interpolation::Nearest, Interpolation::Bilinear] {
        let y = moved(&x, method, 0.3);
        assert_eq!(y.to_vec::<f64>().unwrap(), [0.3, large as f64, 0.3, 3.0]);
    }
    // Keras rounds whole numbers of that size to float32 on the way; nothing here needs it.
    let whole = moved(&x.cast(DType::I32), Interpolation::Nearest, large as f64);
    assert_eq!(whole.to_vec::<i32>().unwrap(), [large as i32, large as i32, large as i32, 3]);
    let whole = moved(&x.cast(DType::I64), Interpolation::Nearest, 0.3);
    assert_eq!(whole.to_vec::<i64>().unwrap(), [0, large, 0, 3]);
    let points = Tensor::from_vec([0.0f64, 0.0, 5.0, 0.0, 0.5, 5.0], &[2, 3]);
    let plane = x.cast(DType::I32).squeeze(-1);
    let y = image::map_coordinates(&plane, &points, 1, FillMode::Constant(0.3));
    assert_eq!(y.to_vec::<i32>().unwrap(), [large as i32, 8_388_611, 0]);
    let (method, padding) = (Interpolation::Bilinear, AspectRatio::Pad(0.3));
    let padded = image::resize(&x, [2, 4], method, false, padding, ChannelsLast);
    assert_eq!(padded.to_vec::<f64>().unwrap()[..3], [0.3, large as f64, 5.0]);
}

#[test]
fn linear_algebra_keeps_doubles() {
    cpu();
    let a = Tensor::from_vec([4.0f64, 1.0, 2.0, 1.0, 3.0, 0.5, 2.0, 0.5, 5.0], &[3, 3]);
    let x = ops::solve(&a, &Tensor::from_slice(&[1.0f64, 2.0, 3.0]));
    let back = a.matmul(&x.expand_dims(-1)).to_vec::<f64>().unwrap();
    assert!(back.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-14), "{back:?}");
    let factor = ops::cholesky(&a, false);
    let product = factor.matmul(&factor.swap_axes(-1, -2)) - &a;
    assert!(product.abs().max(()).item::<f64>().unwrap() < 1e-14);
    let (values, vectors) = ops::eigh(&a);
    let rest = a.matmul(&vectors) - &vectors * values.expand_dims(-2);
    assert!(rest.abs().max(()).item::<f64>().unwrap() < 1e-13);
}

#[test]
fn random_numbers_come_in_doubles() {
    cpu();
    let x = random::normal(&[4], 0.0, 1.0, DType::F64, 7);
    let singles = random::normal(&[4], 0.0, 1.0, DType::F32, 7);
    let singles: Vec<f64> = singles.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect();
    assert_eq!(x.to_vec::<f64>().unwrap(), singles);
    let low = 1i64 << 40;
    let whole = random::randint(&[100], low, low + 3, DType::I64, 5).to_vec::<i64>().unwrap();
    assert!(whole.iter().all(|n| (low..low + 3).contains(n)) && whole.contains(&(low + 2)));
    let wide = random::randint(&[1], 0, 1 << 40, DType::I64, 5).to_vec::<i64>();
    assert!(wide.unwrap_err().to_string().starts_with("[randint] expected an integer dtype that holds"));
}

#[test]
fn state_functions_and_files_hold_them() {
    cpu();
    let total = Variable::new(&Tensor::from_slice(&[0.0f64])).unwrap();
    let count = Variable::new(&Tensor::from_vec([1i64 << 40], &[])).unwrap();
    let step = {
        let (total, count) = (total.clone(), count.clone());
        Function::new("step", move |x| {
            total.assign(&(total.read() + x[0].cast(DType::F64).sum(()) * 0.1))?;
            count.assign(&(count.read() + 1))?;
            Ok(vec![total.read() * count.read().cast(DType::F64), &x[0] * 2.0])
        })
    };
    let x = Tensor::from_slice(&[1.0f32, 2.0]);
    step.call(std::slice::from_ref(&x)).unwrap();
    step.call(std::slice::from_ref(&x)).unwrap();
    assert_eq!(total.read().to_vec::<f64>().unwrap(), [3.0 * 0.1 + 3.0 * 0.1]);
    assert_eq!(count.read().item::<i64>().unwrap(), (1 << 40) + 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.kiln");
    step.save(&path).unwrap();
    let loaded = SavedFunction::load(&path).unwrap();
    assert_eq!(
        loaded.call(std::slice::from_ref(&x)).unwrap()[0].to_vec::<f64>().unwrap(),
        step.call(&[x]).unwrap()[0].to_vec::<f64>().unwrap()
    );
    let keeps = Function::new("constants", |x| {
        Ok(vec![&x[0] * 0.1 + x[0].zeros_like(), x[0].cast(DType::I64) + (1i64 << 60)])
    });
    let y = Tensor::from_slice(&[1.0f64]);
    keeps.call(std::slice::from_ref(&y)).unwrap();
    keeps.save(&path).unwrap();
    let results = SavedFunction::load(&path).unwrap().call(&[y]).unwrap();
    assert_eq!(results[0].to_vec::<f64>().unwrap(), [0.1]);
    assert_eq!(results[1].to_vec::<i64>().unwrap(), [(1 << 60) + 1]);
}

/// A metric in float64 beside a float32 step: no kernel holds both.
#[test]
fn kernels_of_64_bits_stay_apart() {
    cpu();
    let step = Function::new("step", |x| {
        let hidden = (x[0].matmul(&x[1]) + 1.0).relu().softmax(-1);
        let metric = hidden.cast(DType::F64).sum(-1).mean(());
        Ok(vec![hidden.clone() * 2.0, metric])
    });
    let arguments = [Tensor::ones(&[64, 32]), Tensor::ones(&[32, 48])];
    let narrow = Function::new("narrow", |x| {
        let hidden = (x[0].matmul(&x[1]) + 1.0).relu().softmax(-1);
        Ok(vec![hidden.clone() * 2.0, hidden])
    });
    let report = step.explain(&arguments).unwrap();
    let own = narrow.explain(&arguments).unwrap().kernels.len();
    assert_eq!(report.kernels.len(), own + 2, "the metric's own, and its mean's:\n{report}");
    let metric = step.call(&arguments).unwrap()[1].item::<f64>().unwrap();
    assert!((metric - 1.0).abs() < 1e-6);
}

#[test]
fn reductions_and_products_are_of_64_bits() {
    cpu();
    let tenths = Tensor::full(&[1_000_000], 0.1, DType::F64) + Tensor::from_slice(&[0.0f64]);
    let sum = tenths.sum(()).item::<f64>().unwrap();
    assert!((sum - 100_000.0).abs() < 1e-8, "{sum}");
    assert_eq!(Tensor::from_slice(&[i64::MAX, 1]).sum(()).item::<i64>().unwrap(), i64::MIN);
    assert_eq!(Tensor::from_slice(&[1i64 << 40, 1 << 40]).max(()).item::<i64>().unwrap(), 1 << 40);
    let a = Tensor::from_vec([1i64 << 40, 1, 0, 1], &[2, 2]);
    assert_eq!(a.matmul(&a).to_vec::<i64>().unwrap(), [0, (1 << 40) + 1, 0, 1]);
    assert_eq!(
        Tensor::from_slice(&[3i64, i64::MIN, i64::MAX]).sort(0).to_vec::<i64>().unwrap(),
        [i64::MIN, 3, i64::MAX]
    );
    let images = ops::arange(0.0, 32.0, 1.0, DType::F64).reshape(&[1, 4, 4, 2]);
    let kernel = Tensor::full(&[2, 2, 2, 1], 0.1, DType::F64);
    let y = images.conv(&kernel, &[1, 1], kiln_graph::Padding::Same, &[1, 1], 1);
    assert!((y.sum(()).item::<f64>().unwrap() - 0.1 * 1_592.0).abs() < 1e3);
    let empty = Tensor::full(&[0, 3], 0.0, DType::F64);
    assert_eq!(empty.sum(0).to_vec::<f64>().unwrap(), [0.0; 3]);
    assert_eq!(empty.matmul(&Tensor::full(&[3, 0], 0.0, DType::F64)).shape(), [0, 0]);
}

#[test]
fn a_gpu_says_that_it_has_none() {
    let Some(device) = gpu::gpu() else { return };
    with_device(&device, || {
        let x = Tensor::from_slice(&[1.0f32, 2.0]);
        let error = x.cast(DType::F64).to_vec::<f64>().unwrap_err().to_string();
        let says = |what: &str, instead: &str| {
            error.starts_with(&format!("[{what}] float64 is not available on the device"))
                && error
                    .contains(&format!("WGSL has no 64-bit floats; cast to {instead}, or use Device::cpu()"))
        };
        assert!(says("cast", "float32") && error.contains("dtypes.rs:"), "{error}");
        let whole = (Tensor::from_slice(&[1i64]) + 1).to_vec::<i64>().unwrap_err().to_string();
        assert!(whole.contains("int64 is not available") && whole.contains("cast to int32"), "{whole}");
        assert!(Variable::new(&Tensor::from_slice(&[1.0f64])).is_err());
        assert!(Tensor::from_slice(&[1.0f64]).to_device(&device).is_err());
        let inside = Function::new("f", |x| Ok(vec![x[0].cast(DType::F64).exp().cast(DType::F32)]));
        let error = inside.call(&[x]).unwrap_err().to_string();
        assert!(error.starts_with("[cast] float64 is not available"), "{error}");
    });
}

/// As JAX, TensorFlow and NumPy's ml_dtypes round: to `float32` first. The number is just below the middle of two of
/// bfloat16, and the nearest `float32` is that middle.
#[test]
fn large_integers_become_bfloat16_by_way_of_float32() {
    for device in [Some(Device::cpu()), gpu::gpu()].into_iter().flatten() {
        let rounded = with_device(&device, || {
            let x = Tensor::from_slice(&[0xFF7F_FFFFu32]).cast(DType::BF16);
            x.cast(DType::F32).to_vec::<f32>()
        });
        assert_eq!(rounded.expect("a number"), [4_294_967_296.0], "{device}");
    }
}
