//! Windows of signal processing, as NumPy defines them: `float32` vectors of a length, rounded once from `f64`.

use std::f64::consts::PI;

use crate::tensor::{Tensor, here};

/// `at(angle)` for angles from 0 to 2π; a single sample is 1.
#[track_caller]
fn window(name: &'static str, length: usize, at: impl Fn(f64) -> f64) -> Tensor {
    let place = here();
    let mut values: Vec<f32> = vec![];
    if values.try_reserve_exact(length).is_err() {
        return Tensor::failed(name, format!("{length} elements do not fit host memory"), place);
    }
    let last = length.saturating_sub(1) as f64;
    values.extend((0..length).map(|i| if length == 1 { 1.0 } else { at(2.0 * PI * i as f64 / last) as f32 }));
    Tensor::from_slice(&values).part_of(name, place, &[])
}

/// A triangle from 0 over 1 back to 0.
///
/// ```
/// use kiln_graph::ops;
/// assert_eq!(ops::bartlett(5).to_vec::<f32>()?, [0.0, 0.5, 1.0, 0.5, 0.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn bartlett(length: usize) -> Tensor {
    window("bartlett", length, |angle| 1.0 - (angle / PI - 1.0).abs())
}

/// Blackman's window: `0.42 − 0.5 cos t + 0.08 cos 2t`.
#[track_caller]
pub fn blackman(length: usize) -> Tensor {
    window("blackman", length, |angle| 0.42 - 0.5 * angle.cos() + 0.08 * (2.0 * angle).cos())
}

/// Hamming's window: `0.54 − 0.46 cos t`.
#[track_caller]
pub fn hamming(length: usize) -> Tensor {
    window("hamming", length, |angle| 0.54 - 0.46 * angle.cos())
}

/// Hann's window: `0.5 − 0.5 cos t`.
#[track_caller]
pub fn hanning(length: usize) -> Tensor {
    window("hanning", length, |angle| 0.5 - 0.5 * angle.cos())
}

/// Kaiser's window: `I0(beta · sqrt(1 − s²)) / I0(beta)` for s from −1 to 1.
#[track_caller]
pub fn kaiser(length: usize, beta: f64) -> Tensor {
    window("kaiser", length, |angle| {
        let s = angle / PI - 1.0;
        bessel_i0_ratio(beta * (1.0 - s * s).max(0.0).sqrt(), beta)
    })
}

/// `I0(x) / I0(y)`.
fn bessel_i0_ratio(x: f64, y: f64) -> f64 {
    let ((a, a_log), (b, b_log)) = (bessel_i0(x), bessel_i0(y));
    a / b * (a_log - b_log).exp()
}

/// I0 as (f, p) with the value f · e^p: the series of positive terms, scaled down where it is long, or the asymptotic one.
fn bessel_i0(x: f64) -> (f64, f64) {
    let size = x.abs();
    let (mut term, mut sum) = (1.0, 1.0);
    if size > 40.0 {
        // 1 + 1/(8x) + 9/(2! (8x)²) + 9·25/(3! (8x)³) + …, whose terms fall until the 2x-th.
        for k in 1..60 {
            let odd = f64::from(2 * k - 1);
            let next = term * odd * odd / (8.0 * size * f64::from(k));
            if next < 1e-17 * sum {
                break;
            }
            term = next;
            sum += term;
        }
        return (sum / (2.0 * PI * size).sqrt(), size);
    }
    for k in 1..200 {
        term *= (size / 2.0 / f64::from(k)).powi(2);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    (sum, 0.0)
}
