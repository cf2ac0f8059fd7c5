//! Signals: Fourier transforms, sequences of a signal, complex numbers as pairs of tensors.
//!
//! There are no complex tensors: a complex value is a pair of its real and imaginary part, as `keras.ops.fft` takes it.

mod factors;
mod fourier;
mod frames;

pub use fourier::{fft, fft2, ifft, ifft2, irfft, rfft};
pub use frames::{Window, extract_sequences, istft, stft};

use crate::tensor::{Tensor, here};

/// The real and imaginary part of `[.., 2]`, each `[..]`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
/// let (real, imaginary) = ops::view_as_complex(&x);
/// assert_eq!(real.to_vec::<f32>()?, [1.0, 3.0]);
/// assert_eq!(ops::view_as_real((&real, &imaginary)).to_vec::<f32>()?, x.to_vec::<f32>()?);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn view_as_complex(x: &Tensor) -> (Tensor, Tensor) {
    let at = here();
    if x.error().is_some() {
        return (x.clone(), x.clone());
    }
    if x.shape().last() != Some(&2) {
        let message =
            format!("expected a last axis of 2, real and imaginary part, received shape {:?}", x.shape());
        let failed = Tensor::failed("view_as_complex", message, at);
        return (failed.clone(), failed);
    }
    (x.slice_axis(-1, 0, 1).squeeze(-1), x.slice_axis(-1, 1, 2).squeeze(-1))
}

/// A real and an imaginary part `[..]` as one tensor `[.., 2]`.
#[track_caller]
pub fn view_as_real(x: (&Tensor, &Tensor)) -> Tensor {
    let inputs = [x.0.clone(), x.1.clone()];
    Tensor::stack(&inputs, -1).part_of("view_as_real", here(), &inputs)
}
