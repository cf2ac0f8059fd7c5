//! Linear algebra and signals beyond their golden cases: what goes wrong and how it is said, functions, large transforms.

#[path = "support/gpu.rs"]
mod gpu;

use kiln_graph::ops::{self, NormOrder, QrMode, Window};
use kiln_graph::{DType, Device, Function, Result, Tensor, gradients, with_device};

/// Runs a test on the CPU and, where there is one, on the WGSL path.
fn everywhere(test: impl Fn() -> Result<()>) {
    for device in [Some(Device::cpu()), gpu::gpu()].into_iter().flatten() {
        with_device(&device, || test().unwrap_or_else(|e| panic!("{device}: {e}")));
    }
}

fn matrix(values: &[f32], n: usize) -> Tensor {
    Tensor::from_vec(values, &[values.len() / n, n])
}

/// The text of the error that reading gives.
#[track_caller]
fn error(x: &Tensor) -> String {
    Tensor::eval_all(std::slice::from_ref(x)).expect_err("an error").to_string()
}

#[test]
fn bad_data_is_an_error_of_the_run_at_the_users_line() {
    everywhere(|| {
        let singular = Tensor::from_vec([2.0f32, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 6.0], &[2, 2, 2]);
        for (text, expected) in [
            (error(&ops::inv(&singular)), "[inv] matrix 1 of the batch is singular"),
            (
                error(&ops::solve(&singular, &Tensor::ones(&[2, 2]))),
                "[solve] matrix 1 of the batch is singular",
            ),
            (
                error(&ops::cholesky(&-Tensor::eye(2), false)),
                "[cholesky] the matrix is not positive definite",
            ),
            (
                error(&ops::solve_triangular(&Tensor::zeros(&[2, 2]), &Tensor::ones(&[2]), true)),
                "[solve_triangular] the matrix is singular: element 0 of its diagonal is 0",
            ),
            (
                error(&ops::svdvals(&Tensor::full(&[2, 2], f64::NAN, DType::F32))),
                "[svd] the matrix holds NaN",
            ),
            (
                error(&ops::eigh(&Tensor::full(&[1, 1], f64::INFINITY, DType::F32)).0),
                "[eigh] the matrix holds NaN",
            ),
        ] {
            assert!(text.contains(expected) && text.contains("linear_algebra.rs:"), "{text}");
        }
        Ok(())
    });
}

#[test]
fn wrong_arguments_say_what_was_expected() {
    let (wide, square) = (Tensor::ones(&[2, 3]), Tensor::eye(2));
    let labels = Tensor::from_slice(&[0i32, 1]);
    let complex = (&wide, &square);
    for (failed, expected) in [
        (ops::inv(&wide), "[inv] expected square matrices [.., n, n], received shape [2, 3]"),
        (ops::det(&Tensor::ones(&[3])), "[det] expected matrices"),
        (ops::cholesky_inverse(&wide, true), "[cholesky_inverse] expected square"),
        (
            ops::solve(&square, &Tensor::ones(&[3])),
            "[solve] expected a [.., n, n] and b [.., n] or [.., n, k]",
        ),
        (ops::lstsq(&wide, &Tensor::ones(&[3]), None), "[lstsq] expected a [.., m, n]"),
        (ops::norm(&wide, 3.0, (), false), "[norm] expected order"),
        (ops::norm(&wide, NormOrder::Nuclear, 0, false), "[norm] expected two axes"),
        (ops::norm(&Tensor::ones(&[2, 2, 2]), 1.0, (), false), "[norm] expected one axis"),
        (ops::norm(&Tensor::zeros(&[0]), f64::INFINITY, (), false), "[norm] expected elements"),
        (ops::norm(&wide, 1.0, 5, false), "[norm] axis 5 is out of range"),
        (ops::fft(complex).0, "[fft] expected a real and an imaginary part"),
        (ops::fft((&labels, &labels)).0, "[fft] expected a real and an imaginary part, floats"),
        (ops::rfft(&wide, 0).1, "[rfft] expected at least one axis and a length"),
        (ops::irfft((&Tensor::ones(&[1]), &Tensor::ones(&[1])), None), "[irfft] expected a length"),
        (
            ops::stft(&Tensor::ones(&[3]), 4, 2, 8, Window::Hann, true).0,
            "[stft] expected a signal longer than",
        ),
        (
            ops::stft(&Tensor::ones(&[30]), 9, 2, 8, Window::Hann, true).0,
            "[stft] expected 1 ≤ sequence_length",
        ),
        (
            ops::stft(&Tensor::ones(&[30]), 8, 2, 8, Tensor::ones(&[7]), true).0,
            "[stft] expected a window of shape [8]",
        ),
        (ops::extract_sequences(&wide, 2, 0), "[extract_sequences] expected"),
        (ops::view_as_complex(&wide).0, "[view_as_complex] expected a last axis of 2"),
        (ops::cdist(&wide, &square), "[cdist] expected [.., m, d]"),
        (ops::top_k(&wide, 4).0, "[top_k] expected k"),
        (ops::in_top_k(&labels, &Tensor::ones(&[3, 4]), 1), "[in_top_k] expected integer targets [n]"),
        (ops::segment_sum(&wide, &Tensor::from_slice(&[0]), 1), "[segment_sum] expected data [n, d..]"),
        (ops::segment_max(&wide, &labels, usize::MAX), "[segment_max] expected fewer than"),
    ] {
        let text = error(&failed);
        assert!(text.starts_with(expected) && text.contains("linear_algebra.rs:"), "{text}");
    }
}

#[test]
fn where_there_is_no_gradient_is_said() {
    let x = matrix(&[1.0, 2.0, 3.0, 4.0, 5.0, 7.0], 2);
    let text = |y: &Tensor, x: &Tensor| match gradients(&y.sum(()), std::slice::from_ref(x)) {
        Ok(found) => panic!("{found:?}"),
        Err(error) => error.to_string(),
    };
    assert!(text(&ops::qr(&x, QrMode::Complete).0, &x).starts_with("[qr] the complete Q"));
    assert!(text(&ops::svd(&x, true).0, &x).starts_with("[svd] full matrices"));
    assert!(text(&ops::lu_factor(&x).0, &x).starts_with("[lu_factor] has a gradient for square"));
    // Of the other results there is one.
    assert!(gradients(&ops::svd(&x, true).1.sum(()), std::slice::from_ref(&x)).is_ok());
    assert!(gradients(&ops::qr(&x, QrMode::Complete).1.sum(()), std::slice::from_ref(&x)).is_ok());
}

#[test]
fn dependent_eigenvectors_are_an_error_of_the_run() -> Result<()> {
    let x = matrix(&[0.0, 1.0, 0.0, 0.0], 2);
    let gradient = gradients(&ops::eig(&x).0.sum(()), std::slice::from_ref(&x))?.remove(0);
    let text = error(&gradient);
    assert!(text.starts_with("[eig] the matrix has no gradient: its eigenvectors"), "{text}");
    assert!(text.contains("linear_algebra.rs:"), "{text}");
    // No eigenvalue, no gradient.
    let empty = Tensor::zeros(&[2, 0, 0]);
    let gradient = gradients(&ops::eig(&empty).2.sum(()), std::slice::from_ref(&empty))?.remove(0);
    assert_eq!(gradient.shape(), [2, 0, 0]);
    assert!(gradient.to_vec::<f32>()?.is_empty());
    Ok(())
}

#[test]
fn complex_eigenvectors_have_a_real_largest_element() -> Result<()> {
    let x = matrix(&[0.0, -2.0, 1.0, 0.0], 2);
    let (_, w, re, im) = ops::eig(&x);
    let (w, re, im) = (w.to_vec::<f32>()?, re.to_vec::<f32>()?, im.to_vec::<f32>()?);
    assert_eq!(w[0], -w[1]);
    // (√2 i, 1) of √2 i, turned so that its first element is real.
    for column in 0..2 {
        assert!((re[column] - (2.0f32 / 3.0).sqrt()).abs() < 1e-6 && im[column] == 0.0, "{re:?} {im:?}");
        assert!((im[2 + column].abs() - (1.0f32 / 3.0).sqrt()).abs() < 1e-6 && re[2 + column].abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn functions_hold_factorisations_and_their_gradients() {
    everywhere(|| {
        // log |A| has the gradient A⁻ᵀ.
        let f = Function::new("logdet", |x| {
            let y = ops::logdet(&x[0]);
            let g = gradients(&y, &[x[0].clone()])?.remove(0);
            Ok(vec![y, g])
        });
        for scale in [2.0f32, 4.0] {
            let y = f.call(&[Tensor::eye(3) * scale])?;
            assert!((y[0].item::<f32>()? - 3.0 * scale.ln()).abs() < 1e-6);
            assert_eq!(y[1].to_vec::<f32>()?, (Tensor::eye(3) * (1.0 / scale)).to_vec::<f32>()?);
        }
        assert_eq!(f.trace_count(), 1);
        let text =
            f.call(&[Tensor::zeros(&[3, 3])]).and_then(|y| y[1].to_vec::<f32>()).unwrap_err().to_string();
        assert!(
            text.contains("[inv] the matrix is singular") && text.contains("linear_algebra.rs:"),
            "{text}"
        );
        assert_eq!(f.call(&[Tensor::eye(3)])?[0].item::<f32>()?, 0.0, "usable after the error");
        Ok(())
    });
}

#[test]
fn the_number_of_segments_is_read_outside_functions_only() {
    let ids = Tensor::from_slice(&[0i32, 2]);
    let data = Tensor::from_slice(&[1.0f32, 5.0]);
    with_device(&Device::cpu(), || {
        assert_eq!(ops::segment_sum(&data, &ids, None).shape(), [3]);
        let f = Function::new("segments", |x| Ok(vec![ops::segment_sum(&x[0], &x[1], None)]));
        let text = f.call(&[data.clone(), ids.clone()]).unwrap_err().to_string();
        assert!(text.starts_with("[segment_sum] expected num_segments"), "{text}");
    });
}

#[test]
fn half_precision_in_is_half_precision_out() -> Result<()> {
    with_device(&Device::cpu(), || {
        let x = (Tensor::eye(2) * 4.0).cast(DType::F16);
        for y in [
            ops::inv(&x),
            ops::cholesky(&x, false),
            ops::qr(&x, QrMode::Reduced).1,
            ops::norm(&x, 2.0, (), true),
        ] {
            assert_eq!(y.dtype(), DType::F16);
            y.eval()?;
        }
        assert_eq!(ops::inv(&x).cast(DType::F32).to_vec::<f32>()?, [0.25, 0.0, 0.0, 0.25]);
        Ok(())
    })
}

#[test]
fn a_long_transform_comes_back() {
    everywhere(|| {
        // A power of two, a product with a large prime, a large prime.
        for n in [1usize << 15, 3 * 1031, 8191] {
            let signal: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1000) as f32 / 500.0) - 1.0).collect();
            let signal = Tensor::from_slice(&signal);
            let (re, im) = ops::fft((&signal, &signal.zeros_like()));
            let (back, rest) = ops::ifft((&re, &im));
            let off = (back - &signal).abs().max(()).maximum(rest.abs().max(())).item::<f32>()?;
            assert!(off < 3e-6, "{n}: {off}");
            // Parseval.
            let energy = (re.square() + im.square()).sum(()).item::<f32>()? / n as f32;
            let expected = signal.square().sum(()).item::<f32>()?;
            assert!((energy / expected - 1.0).abs() < 1e-5, "{n}: {energy}, not {expected}");
        }
        Ok(())
    });
}
