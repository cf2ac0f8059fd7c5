//! Discrete Fourier transforms along the last axis, as products with matrices of roots of unity.
//!
//! A length that divides into `a · b` is `a` columns, then twiddle factors, then `b` rows (Cooley and Tukey 1965), each
//! side again so; a prime above 256 is a convolution with a chirp (Bluestein). Everything is arithmetic on primitives, so
//! that it runs on every device and has gradients of any order. Tables are made on the host in `f64`.

use kiln_device::size;

use super::factors::{self, DENSE, LONGEST, LONGEST_PRIME};
use super::{view_as_complex, view_as_real};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// e^(−2πi…).
const FORWARD: f64 = -1.0;
/// e^(+2πi…).
const BACKWARD: f64 = 1.0;

type Pair = (Tensor, Tensor);

/// The discrete Fourier transform along the last axis: real and imaginary part of the same shape in, and out.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let (re, im) = ops::fft((&Tensor::from_slice(&[1.0f32, 2.0]), &Tensor::from_slice(&[0.0f32, 1.0])));
/// assert_eq!(re.to_vec::<f32>()?, [3.0, -1.0]);
/// assert_eq!(im.to_vec::<f32>()?, [1.0, -1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn fft(x: (&Tensor, &Tensor)) -> Pair {
    along_last("fft", x, FORWARD, here())
}

/// The inverse of [`fft`]: with the other sign, divided by the length.
#[track_caller]
pub fn ifft(x: (&Tensor, &Tensor)) -> Pair {
    along_last("ifft", x, BACKWARD, here())
}

/// The discrete Fourier transform along the last two axes.
#[track_caller]
pub fn fft2(x: (&Tensor, &Tensor)) -> Pair {
    along_last_two("fft2", x, FORWARD, here())
}

/// The inverse of [`fft2`].
#[track_caller]
pub fn ifft2(x: (&Tensor, &Tensor)) -> Pair {
    along_last_two("ifft2", x, BACKWARD, here())
}

/// The transform of real signals along the last axis: the `length / 2 + 1` frequencies from 0 up, as real and imaginary
/// part. The signal is cut or padded with zeros to `fft_length` (its own length where `None`).
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let (re, _) = ops::rfft(&Tensor::from_slice(&[0.0f32, 1.0, 2.0, 3.0, 4.0]), None);
/// let re = re.to_vec::<f32>()?;
/// assert!(re.iter().zip([10.0, -2.5, -2.5]).all(|(x, y)| (x - y).abs() < 1e-5));
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn rfft(x: &Tensor, fft_length: impl Into<Option<usize>>) -> Pair {
    let at = here();
    if x.error().is_some() {
        return (x.clone(), x.clone());
    }
    let n = fft_length.into().or(x.shape().last().copied()).unwrap_or(0);
    if x.rank() == 0 || n == 0 {
        let message = format!(
            "expected at least one axis and a length of at least 1, received shape {:?}, length {n}",
            x.shape()
        );
        return both(Tensor::failed("rfft", message, at));
    }
    let signal = fitted(&x.to_float(), n, "rfft", at).expand_dims(-1);
    let inputs = std::slice::from_ref(x);
    parts(transform(&signal, FORWARD, n / 2 + 1, at).part_of("rfft", at, inputs))
}

/// The inverse of [`rfft`]: a real signal of `fft_length` elements, `2 (frequencies − 1)` where `None`. Frequencies are
/// cut or padded with zeros to `fft_length / 2 + 1`; the imaginary parts of the first, and of the last of an even
/// length, count for nothing.
#[track_caller]
pub fn irfft(x: (&Tensor, &Tensor), fft_length: impl Into<Option<usize>>) -> Tensor {
    let at = here();
    let z = match joined("irfft", x, 1, at) {
        Ok(z) => z,
        Err(failed) => return failed,
    };
    let inputs = [x.0.clone(), x.1.clone()];
    let given = z.shape()[z.rank() - 2];
    let n = fft_length.into().unwrap_or(2 * given.saturating_sub(1));
    if n == 0 {
        let message = format!("expected a length of at least 1, received {n} for {given} frequencies");
        return Tensor::failed("irfft", message, at);
    }
    let parts_first = z.swap_axes(-1, -2);
    let half = fitted(&parts_first, n / 2 + 1, "irfft", at).swap_axes(-1, -2);
    // The other half is the first, mirrored and conjugate.
    let mirrored = half.slice_axis(-2, 1, (n - n / 2) as i64).flip([-2]);
    let mirrored = mirrored * Tensor::table(&[1.0, -1.0], &[2], z.dtype());
    let whole = Tensor::concat(&[half, mirrored], -2);
    let signal = transform(&whole, BACKWARD, n, at);
    let real = signal.slice_axis(-1, 0, 1).squeeze(-1) * (1.0 / n as f64);
    real.part_of("irfft", at, &inputs)
}

fn both(failed: Tensor) -> Pair {
    (failed.clone(), failed)
}

fn parts(z: Tensor) -> Pair {
    view_as_complex(&z)
}

/// A complex pair of at least `rank` axes as `[.., 2]`, in floats.
fn joined(op: &'static str, x: (&Tensor, &Tensor), rank: usize, at: At) -> Result<Tensor, Tensor> {
    if let Some(failed) = [x.0, x.1].into_iter().find(|t| t.error().is_some()) {
        return Err(failed.clone());
    }
    let (real, imaginary) = (x.0.shape(), x.1.shape());
    let floats = x.0.dtype().is_float() && x.1.dtype().is_float();
    if real != imaginary || real.len() < rank || real[real.len() - rank..].contains(&0) || !floats {
        let message = format!(
            "expected a real and an imaginary part, floats of one shape with at least {rank} axes that are not empty, \
             received {real:?} {} and {imaginary:?} {}",
            x.0.dtype(),
            x.1.dtype()
        );
        return Err(Tensor::failed(op, message, at));
    }
    let z = view_as_real(x);
    if z.error().is_some() { Err(z.part_of(op, at, &[x.0.clone(), x.1.clone()])) } else { Ok(z) }
}

/// Scaled by 1 / length where the transform goes back.
fn scaled(z: Tensor, sign: f64, n: usize) -> Tensor {
    if sign == BACKWARD { z * (1.0 / n as f64) } else { z }
}

fn along_last(op: &'static str, x: (&Tensor, &Tensor), sign: f64, at: At) -> Pair {
    let z = match joined(op, x, 1, at) {
        Ok(z) => z,
        Err(failed) => return both(failed),
    };
    let n = z.shape()[z.rank() - 2];
    let done = scaled(transform(&z, sign, n, at), sign, n);
    parts(done.part_of(op, at, &[x.0.clone(), x.1.clone()]))
}

fn along_last_two(op: &'static str, x: (&Tensor, &Tensor), sign: f64, at: At) -> Pair {
    let z = match joined(op, x, 2, at) {
        Ok(z) => z,
        Err(failed) => return both(failed),
    };
    let (rows, columns) = (z.shape()[z.rank() - 3], z.shape()[z.rank() - 2]);
    let along_columns = transform(&z, sign, columns, at).swap_axes(-2, -3);
    let done = transform(&along_columns, sign, rows, at).swap_axes(-2, -3);
    let done = scaled(done, sign, rows.saturating_mul(columns));
    parts(done.part_of(op, at, &[x.0.clone(), x.1.clone()]))
}

/// The last axis cut or padded with zeros to `n`.
pub(super) fn fitted(x: &Tensor, n: usize, op: &'static str, at: At) -> Tensor {
    let given = x.shape()[x.rank() - 1];
    let fits = size::element_count(&[&x.shape()[..x.rank() - 1], &[n]].concat());
    if let Err(error) = fits {
        return Tensor::failed(op, error.to_string(), at);
    }
    if n <= given {
        return x.slice_axis(-1, 0, n as i64);
    }
    let mut padding = vec![(0, 0); x.rank()];
    padding[x.rank() - 1].1 = n - given;
    x.pad(&padding, 0.0)
}
/// `[.., n, parts]` (1 part: real; 2: complex) to the first `count` of its `n` frequencies, `[.., count, 2]`.
pub(super) fn transform(z: &Tensor, sign: f64, count: usize, at: At) -> Tensor {
    if z.error().is_some() {
        return z.clone();
    }
    let rank = z.rank();
    let (n, lead) = (z.shape()[rank - 2], z.shape()[..rank - 2].to_vec());
    if n > LONGEST {
        let message =
            format!("expected a length of at most 2²⁵, received {n}; transform parts of the signal");
        return Tensor::failed("fft", message, at);
    }
    let prime = n > DENSE && factors::divisor(n).is_none();
    if n <= DENSE || prime && n <= LONGEST_PRIME {
        return dense(z, &lead, n, sign, count, at);
    }
    let whole = match factors::divisor(n) {
        Some(a) => divided(z, &lead, a, n / a, sign, at),
        None => convolved(z, &lead, n, sign, at),
    };
    if count == n || whole.error().is_some() { whole } else { whole.slice_axis(-2, 0, count as i64) }
}

/// By one product with a matrix.
fn dense(z: &Tensor, lead: &[usize], n: usize, sign: f64, count: usize, at: At) -> Tensor {
    let parts = z.shape()[z.rank() - 1];
    let matrix = factors::matrix(n, parts, count, sign);
    let matrix = Tensor::table(&matrix, &[n * parts, count * 2], z.dtype());
    let rows = z.reshape_at([lead, &[n * parts]].concat(), at);
    // A signal alone is one row.
    let rows = if rows.rank() == 1 { rows.expand_dims(0) } else { rows };
    rows.matmul(&matrix).reshape_at([lead, &[count, 2]].concat(), at)
}

/// Position `b·i + j` and frequency `k + a·l`: over `i` to `k`, then over `j` to `l`.
fn divided(z: &Tensor, lead: &[usize], a: usize, b: usize, sign: f64, at: At) -> Tensor {
    let parts = z.shape()[z.rank() - 1];
    let split = z.reshape_at([lead, &[a, b, parts]].concat(), at).swap_axes(-2, -3);
    let columns = transform(&split, sign, a, at);
    let (own, other) = factors::twiddles(a * b, b, a, sign);
    let turned = multiplied(&columns, own, other, &[b, a, 2]).swap_axes(-2, -3);
    let rows = transform(&turned, sign, b, at);
    if rows.error().is_some() {
        return rows;
    }
    rows.swap_axes(-2, -3).reshape_at([lead, &[a * b, 2]].concat(), at)
}

/// `z` times complex factors of shape `[.., 2]`.
fn multiplied(z: &Tensor, own: Vec<f64>, other: Vec<f64>, shape: &[usize]) -> Tensor {
    let (own, other) = (Tensor::table(&own, shape, z.dtype()), Tensor::table(&other, shape, z.dtype()));
    z * own + z.flip([-1]) * other
}

/// `X[k] = w[k] Σ x[j] w[j] w̄[k − j]` with `w[k] = e^(sign πi k²/n)`: a convolution, by transforms of a power of two.
fn convolved(z: &Tensor, lead: &[usize], n: usize, sign: f64, at: At) -> Tensor {
    let (chirp, length) = (factors::chirp(n, sign), (2 * n - 1).next_power_of_two());
    let mut kernel = vec![(0.0, 0.0); length];
    for (k, (re, im)) in chirp.iter().enumerate() {
        kernel[k] = (*re, -im);
        kernel[(length - k) % length] = (*re, -im);
    }
    let complex = if z.shape()[z.rank() - 1] == 2 {
        z.clone()
    } else {
        let zero = z.zeros_like();
        Tensor::concat(&[z.clone(), zero], -1)
    };
    let (own, other) = factors::multipliers(chirp.iter().copied());
    let turned = multiplied(&complex, own.clone(), other.clone(), &[n, 2]);
    let mut padding = vec![(0, 0); lead.len() + 2];
    padding[lead.len()].1 = length - n;
    let spectrum = transform(&turned.pad(&padding, 0.0), FORWARD, length, at);
    let (kernel_own, kernel_other) = factors::multipliers(factors::transform(&kernel).into_iter());
    let product = multiplied(&spectrum, kernel_own, kernel_other, &[length, 2]);
    let sums = scaled(transform(&product, BACKWARD, length, at), BACKWARD, length);
    if sums.error().is_some() {
        return sums;
    }
    multiplied(&sums.slice_axis(-2, 0, n as i64), own, other, &[n, 2])
}
