//! What users call: operations on tensors, as primitives or arithmetic on them. NumPy's and Keras' names and rules.
//!
//! None returns a `Result`: an operation that cannot be built gives a tensor that carries the error. The free functions
//! are named as in `keras.ops` and take its parameters in its order; the methods of [`crate::Tensor`] have its defaults.

mod contract;
mod creation;
mod elementwise;
mod index;
mod linalg;
mod nn;
mod random;
mod reduce;
mod segment;
mod signal;
mod special;
mod view;

pub use contract::Padding;
pub use elementwise::{Operand, promote};
pub use linalg::{
    NormOrder, QrMode, cholesky, cholesky_inverse, det, eig, eigh, expm, inv, logdet, lstsq, lu_factor,
    matrix_rank, norm, pinv, qr, slogdet, solve, solve_triangular, svd, svdvals,
};
pub use random::random_key;
pub use segment::{segment_max, segment_min, segment_prod, segment_sum};
pub use signal::{
    Window, extract_sequences, fft, fft2, ifft, ifft2, irfft, istft, rfft, stft, view_as_complex,
    view_as_real,
};
pub use special::{cdist, erf, erfc, erfinv, in_top_k, logsumexp, rsqrt, top_k};
