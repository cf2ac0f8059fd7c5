//! What the free functions of `ops` do beyond values: errors at the caller's line, plain numbers, gradients at edges.

use kiln_graph::ops::{self, CorrelateMode, QuantileMethod};
use kiln_graph::{DType, Device, Function, Tensor, gradients, gradients_with, with_device};

fn floats() -> Tensor {
    Tensor::from_slice(&[1.0f32, 2.0])
}

fn flags() -> Tensor {
    Tensor::from_slice(&[true, false])
}

/// The error carries the function's name, `part` of a reason, and this file.
fn refused(tensor: &Tensor, name: &str, part: &str) {
    let text =
        tensor.error().map(ToString::to_string).unwrap_or_else(|| panic!("{name} was built: {tensor:?}"));
    assert!(text.starts_with(&format!("[{name}] ")), "{text}");
    assert!(text.contains(part), "{text} lacks {part}");
    assert!(text.contains("operations.rs"), "{text} is not at the caller's line");
}

#[test]
fn bit_operations_refuse_floats() {
    let (x, n) = (floats(), Tensor::from_slice(&[1, 2]));
    for (name, failed) in [
        ("bitwise_and", ops::bitwise_and(&x, &n)),
        ("bitwise_or", ops::bitwise_or(&n, &x)),
        ("bitwise_xor", ops::bitwise_xor(&x, &n)),
        ("bitwise_left_shift", ops::bitwise_left_shift(&n, &x)),
        ("bitwise_right_shift", ops::bitwise_right_shift(&x, &n)),
        ("left_shift", ops::left_shift(&n, &x)),
        ("right_shift", ops::right_shift(&x, &n)),
    ] {
        refused(&failed, name, "expected integers or bool, received float32");
    }
    refused(&ops::bitwise_not(&floats()), "bitwise_not", "received float32");
    refused(&ops::gcd(flags(), flags()), "gcd", "expected integers, received bool");
    refused(&ops::lcm(floats(), 2), "lcm", "received float32");
    refused(&ops::ldexp(floats(), 0.5), "ldexp", "integer exponents, received float32");
    refused(&ops::ldexp(floats(), Tensor::from_slice(&[1, 2, 3])), "ldexp", "[2] and [3] do not broadcast");
}

#[test]
fn booleans_are_no_numbers_where_numpy_says_so() {
    refused(&ops::negative(&flags()), "negative", "received bool");
    refused(&ops::sign(&flags()), "sign", "received bool");
    refused(&ops::round(&flags(), 0), "round", "received bool");
    refused(&ops::subtract(flags(), flags()), "subtract", "logical_xor");
    refused(&ops::ptp(&flags(), (), false), "ptp", "received bool");
    refused(&ops::vander(&flags(), None, false), "vander", "bool");
}

#[test]
fn shapes_and_axes_are_checked() {
    let (x, matrix) = (floats(), Tensor::zeros(&[2, 3]));
    refused(&ops::add(&x, Tensor::zeros(&[3])), "add", "do not broadcast");
    refused(&ops::mod_(&x, Tensor::zeros(&[3])), "mod", "do not broadcast");
    refused(&ops::less(&x, Tensor::zeros(&[3])), "less", "do not broadcast");
    refused(&ops::hypot(&x, Tensor::zeros(&[3])), "hypot", "do not broadcast");
    refused(&ops::where_(&flags(), &x, Tensor::zeros(&[3])), "where", "do not broadcast");
    refused(&ops::sum(&x, 1, true), "sum", "axis 1 is out of range");
    refused(&ops::nanvar(&x, [0, 0], false), "nanvar", "named twice");
    refused(&ops::argmax(&matrix, [0, 1], false), "argmax", "expected one axis");
    refused(&ops::cumsum(&matrix, 2, None), "cumsum", "axis 2 is out of range");
    refused(&ops::max(&Tensor::zeros(&[2, 0]), 1, false, None), "max", "no elements");
    refused(&ops::amin(&Tensor::zeros(&[0]), (), false), "amin", "no elements");
    refused(&ops::average(&matrix, 1, Some(&x)), "average", "expected weights of shape [2, 3]");
    refused(&ops::median(&x, 3, false), "median", "axis 3 is out of range");
    refused(
        &ops::quantile(&x, &matrix, (), QuantileMethod::Linear, false),
        "quantile",
        "a number or a vector",
    );
    refused(&ops::correlate(&x, &matrix, CorrelateMode::Full), "correlate", "two vectors");
    refused(&ops::corrcoef(&Tensor::zeros(&[2, 2, 2])), "corrcoef", "a vector or a matrix");
    refused(&ops::trapezoid(&matrix, Some(&x), 1.0, 1), "trapezoid", "a vector of 3");
    refused(&ops::trapezoid(&matrix, None, 1.0, 2), "trapezoid", "axis 2");
    refused(&ops::linspace(0.0, 1.0, 3, true, None, 1), "linspace", "axis 1 is out of range");
    refused(&ops::full(&[3], &x, DType::F32), "full", "does not broadcast");
    refused(&ops::histogram(&x, 0, None).0, "histogram", "at least one bin");
    refused(&ops::histogram(&x, 2, Some((1.0, 0.0))).1, "histogram", "ascending");
}

#[test]
fn sizes_that_overflow_are_errors() {
    refused(&ops::zeros(&[usize::MAX, 2], DType::F32), "zeros", "");
    refused(&ops::eye(usize::MAX, None, 0, DType::F32), "eye", "");
    refused(&ops::tri(usize::MAX, Some(3), 0, DType::F32), "tri", "");
    refused(&ops::hanning(usize::MAX), "hanning", "do not fit");
    refused(&ops::arange(0.0, 1e12, 1.0, DType::I32), "arange", "the limit");
    refused(&ops::arange(0.0, 1.0, 0.0, DType::F32), "arange", "a step other than 0");
    refused(&ops::arange(0.0, f64::NAN, 1.0, DType::F32), "arange", "finite");
}

#[test]
fn the_first_error_is_kept() {
    let bad = ops::add(floats(), Tensor::zeros(&[3]));
    for later in
        [ops::sinh(&bad), ops::hypot(1.0, &bad), ops::nanmean(&bad, 0, true), ops::vander(&bad, None, true)]
    {
        refused(&later, "add", "do not broadcast");
    }
}

#[test]
fn plain_numbers_take_the_type_they_meet() {
    let bytes = Tensor::from_slice(&[1u8, 2]);
    assert_eq!(ops::add(&bytes, 1).dtype(), DType::U8);
    assert_eq!(ops::add(1, &bytes).dtype(), DType::U8);
    assert_eq!(ops::add(&bytes, -1).dtype(), DType::I32);
    assert_eq!(ops::multiply(0.5, &bytes).dtype(), DType::F32);
    assert_eq!(ops::multiply(2, floats().cast(DType::F16)).dtype(), DType::F16);
    assert_eq!(ops::gcd(12, 18).item::<i32>(), Ok(6));
    assert_eq!(ops::subtract(3.0, 1).item::<f32>(), Ok(2.0));
}

#[test]
fn bins_are_counted_at_once_or_refused_while_tracing() {
    refused(&ops::bincount(&Tensor::from_slice(&[1, -2]), None, 0), "bincount", "received -2");
    refused(&ops::bincount(&floats(), None, 0), "bincount", "integers");
    let function = Function::new("count", |x: &[Tensor]| Ok(vec![ops::bincount(&x[0], None, 0)]));
    let error = function.call(&[Tensor::from_slice(&[1, 2])]).expect_err("a size that depends on values");
    assert!(error.to_string().contains("one_hot"), "{error}");
}

#[test]
fn methods_and_modes_have_keras_names() {
    assert_eq!("midpoint".parse(), Ok(QuantileMethod::Midpoint));
    assert_eq!("full".parse(), Ok(CorrelateMode::Full));
    assert!("cubic".parse::<QuantileMethod>().unwrap_err().contains("linear"));
    assert!("both".parse::<CorrelateMode>().unwrap_err().contains("valid"));
}

fn slope(f: impl Fn(&Tensor) -> Tensor, x: &[f32]) -> Vec<f32> {
    let x = Tensor::from_slice(x);
    let gradients = gradients(&f(&x).sum(()), std::slice::from_ref(&x)).expect("a gradient");
    with_device(&Device::cpu(), || gradients[0].to_vec::<f32>()).expect("its value")
}

#[test]
fn gradients_are_sound_at_edges() {
    assert_eq!(slope(|x| ops::hypot(x, 0.0), &[0.0, -3.0]), [0.0, -1.0]);
    assert_eq!(slope(|x| ops::divide_no_nan(1.0, x), &[0.0, 2.0]), [0.0, -0.25]);
    assert_eq!(slope(ops::sinc, &[0.0]), [0.0]);
    assert_eq!(slope(|x| ops::std(x, (), false), &[1.5, 1.5]), [0.0, 0.0]);
    assert_eq!(slope(|x| ops::nanstd(x, (), false), &[1.5, f32::NAN]), [0.0, 0.0]);
    assert_eq!(slope(|x| ops::nanmean(x, (), false), &[1.0, f32::NAN, 3.0]), [0.5, 0.0, 0.5]);
    assert_eq!(slope(|x| ops::fmax(x, 1.0), &[f32::NAN, 2.0, 0.0]), [0.0, 1.0, 0.0]);
    assert_eq!(slope(|x| ops::logaddexp(x, f32::NEG_INFINITY), &[2.0, f32::NEG_INFINITY]), [1.0, 0.5]);
    assert_eq!(
        slope(|x| ops::nan_to_num(x, 0.0, None, None), &[f32::NAN, f32::INFINITY, 1.0]),
        [0.0, 0.0, 1.0]
    );
    assert_eq!(slope(|x| ops::cumprod(x, 0, None), &[2.0, 0.0, 3.0, 0.0]), [1.0, 8.0, 0.0, 0.0]);
    assert_eq!(slope(|x| ops::vander(x, Some(3), true), &[0.0]), [1.0]);
    assert_eq!(
        slope(|x| ops::nanquantile(x, 0.5, (), QuantileMethod::Linear, false), &[1.0, f32::NAN, 3.0]),
        [0.5, 0.0, 0.5]
    );
    // The slopes of large arguments neither overflow nor vanish too early.
    let steep = slope(ops::arcsinh, &[1e30]);
    assert!((steep[0] / 1e-30 - 1.0).abs() < 1e-6, "{steep:?}");
}

#[test]
fn second_derivatives_go_through_the_formulas() {
    let x = Tensor::from_slice(&[0.5f32]);
    for (f, second) in [
        (ops::sinh as fn(&Tensor) -> Tensor, 0.5f64.sinh()),
        (ops::arctanh, 2.0 * 0.5 / (1.0 - 0.25f64).powi(2)),
        (ops::log2, -1.0 / (0.25 * std::f64::consts::LN_2)),
        (ops::exp2, std::f64::consts::LN_2.powi(2) * 0.5f64.exp2()),
        (ops::cbrt, -2.0 / 9.0 * 0.5f64.powf(-5.0 / 3.0)),
        (ops::arcsin, 0.5 / 0.75f64.powf(1.5)),
    ] {
        let y = f(&x);
        let one = Tensor::ones(&[1]);
        let first = gradients_with(&y, &one, std::slice::from_ref(&x)).expect("a gradient").remove(0);
        let twice = gradients_with(&first, &one, std::slice::from_ref(&x)).expect("its gradient").remove(0);
        let got = f64::from(with_device(&Device::cpu(), || twice.item::<f32>()).expect("a value"));
        assert!((got - second).abs() <= 2e-6 * second.abs(), "{got}, not {second}");
    }
}
