//! A signal as overlapping sequences, and the short-time Fourier transform over them.

use kiln_device::DType;

use super::fourier::{fitted, irfft, rfft};
use crate::error::At;
use crate::op::Op;
use crate::ops::pointwise::working;
use crate::tensor::{Tensor, here};

/// By what each sequence of a short-time transform is multiplied.
#[derive(Clone, Debug, Default)]
pub enum Window {
    /// `½ − ½ cos(2πk/n)`, periodic.
    #[default]
    Hann,
    /// `0.54 − 0.46 cos(2πk/n)`, periodic.
    Hamming,
    /// Nothing: 1 over the whole transform.
    None,
    /// A vector of the sequence's length.
    Of(Tensor),
}

impl From<Tensor> for Window {
    fn from(window: Tensor) -> Window {
        Window::Of(window)
    }
}

impl std::str::FromStr for Window {
    type Err = String;

    fn from_str(name: &str) -> Result<Window, String> {
        match name {
            "hann" => Ok(Window::Hann),
            "hamming" => Ok(Window::Hamming),
            other => Err(format!("expected window `hann` or `hamming`, received `{other}`")),
        }
    }
}

/// Sliding sequences over the last axis: `[.., n]` to `[.., 1 + (n − length) / stride, length]`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1, 2, 3, 4, 5, 6]);
/// assert_eq!(ops::extract_sequences(&x, 3, 2).to_vec::<i32>()?, [1, 2, 3, 3, 4, 5]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn extract_sequences(x: &Tensor, sequence_length: usize, sequence_stride: usize) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    if x.rank() == 0 || sequence_length == 0 || sequence_stride == 0 {
        let message = format!(
            "expected at least one axis, a length and a stride of at least 1, received shape {:?}, length \
             {sequence_length}, stride {sequence_stride}",
            x.shape()
        );
        return Tensor::failed("extract_sequences", message, at);
    }
    let sequences = x.window(x.rank() - 1, sequence_length, sequence_stride, 1);
    sequences.part_of("extract_sequences", at, std::slice::from_ref(x))
}

/// The short-time Fourier transform along the last axis: `[.., n]` to real and imaginary part
/// `[.., sequences, fft_length / 2 + 1]`.
///
/// Sequences of `fft_length` elements start `sequence_stride` apart; the window stands in their middle. With `center`
/// the signal is first extended by `fft_length / 2` mirrored elements on both sides, so that sequence `t` is centred at
/// element `t · sequence_stride`; the signal must then be longer than that.
#[track_caller]
pub fn stft(
    x: &Tensor,
    sequence_length: usize,
    sequence_stride: usize,
    fft_length: usize,
    window: impl Into<Window>,
    center: bool,
) -> (Tensor, Tensor) {
    let at = here();
    let sizes = Sizes { length: sequence_length, stride: sequence_stride, fft: fft_length };
    let frames = match windowed(x, sizes, &window.into(), center, at) {
        Ok(frames) => frames,
        Err(failed) => return (failed.clone(), failed),
    };
    let (real, imaginary) = rfft(&frames, None);
    let inputs = std::slice::from_ref(x);
    (real.part_of("stft", at, inputs), imaginary.part_of("stft", at, inputs))
}

/// The inverse of [`stft`] with the same parameters: sequences, windowed again, added where they overlap and divided by
/// the sum of the squared window (where that is above 10⁻¹⁰).
///
/// The result has `length` elements, cut or padded with zeros; without it all that the sequences cover, less the
/// extension of `center`.
#[track_caller]
pub fn istft(
    x: (&Tensor, &Tensor),
    sequence_length: usize,
    sequence_stride: usize,
    fft_length: usize,
    length: impl Into<Option<usize>>,
    window: impl Into<Window>,
    center: bool,
) -> Tensor {
    let at = here();
    let sizes = Sizes { length: sequence_length, stride: sequence_stride, fft: fft_length };
    let signal = overlapped(x, sizes, length.into(), &window.into(), center, at);
    signal.unwrap_or_else(|failed| failed).part_of("istft", at, &[x.0.clone(), x.1.clone()])
}

#[derive(Clone, Copy)]
struct Sizes {
    length: usize,
    stride: usize,
    fft: usize,
}

impl Sizes {
    fn check(&self, op: &'static str, at: At) -> Result<(), Tensor> {
        let fits = |n: usize| n > 0 && n < 1 << 31;
        if fits(self.length) && fits(self.stride) && fits(self.fft) && self.fft >= self.length {
            return Ok(());
        }
        let message = format!(
            "expected 1 ≤ sequence_length ≤ fft_length and a stride of at least 1, all below 2³¹, received \
             sequence_length {}, sequence_stride {}, fft_length {}",
            self.length, self.stride, self.fft
        );
        Err(Tensor::failed(op, message, at))
    }

    /// The window in the middle of `fft` elements.
    fn window(&self, window: &Window, dtype: DType, op: &'static str, at: At) -> Result<Tensor, Tensor> {
        let cosine = |a: f64, b: f64| {
            let turn = std::f64::consts::TAU / self.length as f64;
            let value = |k: usize| a - b * (turn * k as f64).cos();
            // As SciPy, a window of one element is 1.
            let values: Vec<f64> =
                if self.length == 1 { vec![1.0] } else { (0..self.length).map(value).collect() };
            Tensor::table(&values, &[self.length], working(dtype))
        };
        let values = match window {
            Window::Hann => cosine(0.5, 0.5),
            Window::Hamming => cosine(0.54, 0.46),
            Window::None => return Ok(Tensor::full(&[self.fft], 1.0, dtype)),
            Window::Of(values) if values.error().is_some() => return Err(values.clone()),
            Window::Of(values) if values.shape() == [self.length] => values.clone(),
            Window::Of(values) => {
                let message =
                    format!("expected a window of shape [{}], received {:?}", self.length, values.shape());
                return Err(Tensor::failed(op, message, at));
            }
        };
        let before = (self.fft - self.length) / 2;
        Ok(values.cast(dtype).pad(&[(before, self.fft - self.length - before)], 0.0))
    }
}

fn windowed(x: &Tensor, sizes: Sizes, window: &Window, center: bool, at: At) -> Result<Tensor, Tensor> {
    x.check().map_err(|_| x.clone())?;
    sizes.check("stft", at)?;
    if x.rank() == 0 || !x.dtype().is_float() {
        let message = format!("expected floats [.., n], received {:?} {}", x.shape(), x.dtype());
        return Err(Tensor::failed("stft", message, at));
    }
    let window = sizes.window(window, x.dtype(), "stft", at)?;
    let signal = if center { mirrored(x, sizes.fft / 2, at)? } else { x.clone() };
    let frames = signal.window(x.rank() - 1, sizes.fft, sizes.stride, 1);
    frames.check().map_err(|_| frames.clone())?;
    Ok(frames * window)
}

/// The last axis extended on both sides by its mirror image; the edge itself stands once.
fn mirrored(x: &Tensor, by: usize, at: At) -> Result<Tensor, Tensor> {
    let n = x.shape()[x.rank() - 1];
    if by >= n.max(1) {
        let message = format!(
            "expected a signal longer than fft_length / 2 = {by}, received {n} elements; use center = false"
        );
        return Err(Tensor::failed("stft", message, at));
    }
    let (n, by) = (n as i64, by as i64);
    let before = x.slice_axis(-1, 1.min(n), 1.min(n) + by).flip([-1]);
    let after = x.slice_axis(-1, (n - 1 - by).max(0), (n - 1).max(0)).flip([-1]);
    Ok(Tensor::concat(&[before, x.clone(), after], -1))
}

fn overlapped(
    x: (&Tensor, &Tensor),
    sizes: Sizes,
    length: Option<usize>,
    window: &Window,
    center: bool,
    at: At,
) -> Result<Tensor, Tensor> {
    sizes.check("istft", at)?;
    let frames = irfft(x, sizes.fft);
    frames.check().map_err(|_| frames.clone())?;
    if frames.rank() < 2 || frames.is_empty() {
        let message = format!("expected [.., sequences, frequencies], received {:?}", x.0.shape());
        return Err(Tensor::failed("istft", message, at));
    }
    let window = sizes.window(window, frames.dtype(), "istft", at)?;
    let count = frames.shape()[frames.rank() - 2];
    let covered = (count - 1).checked_mul(sizes.stride).and_then(|n| n.checked_add(sizes.fft));
    let Some(covered) = covered else {
        let message = format!("{count} sequences {} apart overflow", sizes.stride);
        return Err(Tensor::failed("istft", message, at));
    };
    let sum = added(&(&frames * &window), covered, sizes.stride, at);
    let squares = window.square().expand_dims(0).broadcast_to(&[count, sizes.fft]);
    let weight = added(&squares, covered, sizes.stride, at);
    let signal = sum / Tensor::select(&weight.greater(1e-10), &weight, 1.0);
    signal.check().map_err(|_| signal.clone())?;
    let edge = if center { sizes.fft / 2 } else { 0 };
    let inner = signal.slice_axis(-1, edge as i64, covered as i64);
    let wanted = length.unwrap_or(covered - 2 * edge);
    Ok(fitted(&inner, wanted, "istft", at))
}

/// Sequences `[.., count, size]` added at their places, `stride` apart, on an axis of `length` elements.
fn added(frames: &Tensor, length: usize, stride: usize, at: At) -> Tensor {
    let rank = frames.rank();
    let (count, size) = (frames.shape()[rank - 2], frames.shape()[rank - 1]);
    // In pieces of one stride, so that the p-th piece of sequence t falls whole on block t + p.
    let pieces = size.div_ceil(stride);
    let mut padding = vec![(0, 0); rank];
    padding[rank - 1].1 = pieces * stride - size;
    let blocks = count + pieces - 1;
    let cut = |n: usize| [&frames.shape()[..rank - 2], &[n, pieces, stride]].concat();
    let padded = frames.pad(&padding, 0.0).reshape_at(cut(count), at);
    let op = Op::Unwindow { axis: rank - 2, length: blocks, stride: 1, dilation: 1 };
    let sum = Tensor::op(op, vec![padded], cut(blocks), frames.dtype(), at).sum([-2]);
    if sum.error().is_some() {
        return sum;
    }
    sum.reshape_at([&frames.shape()[..rank - 2], &[blocks * stride]].concat(), at).slice_axis(
        -1,
        0,
        length as i64,
    )
}
