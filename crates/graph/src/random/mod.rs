//! `keras.random`: random tensors of many distributions.
//!
//! Bits come from a counter-based generator (threefry2x32, Salmon et al. 2011): the same seed gives the same bits on every
//! device. As in Keras, an integer seed gives the same numbers at every call; a [`SeedGenerator`] gives new ones, also in
//! every call of a [`crate::Function`]; `()` takes them from a generator of the process. In the body of a loop both give
//! new numbers in every turn, an integer seed the same.
//!
//! Numbers are drawn as `float32` and converted: in `float64` a seed gives the same numbers with no more digits.
//!
//! Samplers that reject have a fixed number of rounds and no branches. The chance that all rounds of an element reject is
//! below 10⁻⁹; it then gets a value near the mode.
//!
//! ```
//! use kiln_graph::random::{self, SeedGenerator};
//! use kiln_graph::DType;
//! let seeds = SeedGenerator::new(42)?;
//! let first = random::normal(&[2, 3], 0.0, 1.0, DType::F32, &seeds).to_vec::<f32>()?;
//! let second = random::normal(&[2, 3], 0.0, 1.0, DType::F32, &seeds).to_vec::<f32>()?;
//! assert_ne!(first, second);
//! let again = random::normal(&[2, 3], 0.0, 1.0, DType::F32, 42).to_vec::<f32>()?;
//! assert_eq!(first, again);
//! # Ok::<(), kiln_graph::Error>(())
//! ```

mod continuous;
mod discrete;
mod gamma;
mod sampling;
mod seed;

pub use continuous::{exponential, gumbel, laplace, normal, truncated_normal, uniform};
pub use discrete::{bernoulli, binomial, poisson, randint};
pub use gamma::{beta, gamma};
pub use sampling::{categorical, dropout, shuffle};
pub use seed::{Seed, SeedGenerator, set_seed};

use kiln_device::DType;

use crate::error::At;
use crate::ops::Operand;
use crate::tensor::Tensor;

/// Uniform in (0, 1), in steps of 2⁻²³; never 0 or 1.
fn open_unit(key: &Tensor, shape: &[usize]) -> Tensor {
    (Tensor::random_bits(key, shape).right_shift(9).cast(DType::F32) + 0.5) * (1.0 / 8_388_608.0)
}

/// `N` keys from one; that one must not be used for anything else.
fn split<const N: usize>(key: &Tensor) -> [Tensor; N] {
    let words = Tensor::random_bits(key, &[2 * N]);
    std::array::from_fn(|i| words.slice_axis(0, 2 * i as i64, 2 * i as i64 + 2))
}

/// `N` independent tensors of uniform numbers in (0, 1).
fn open_units<const N: usize>(key: &Tensor, shape: &[usize]) -> [Tensor; N] {
    let all = open_unit(key, &[&[N], shape].concat());
    std::array::from_fn(|i| all.slice_axis(0, i as i64, i as i64 + 1).squeeze(0))
}

/// Standard normal numbers of two uniform ones (Box and Muller 1958).
fn box_muller(a: &Tensor, b: &Tensor) -> Tensor {
    (a.log() * -2.0).sqrt() * (b * std::f32::consts::TAU).cos()
}

/// An error where a distribution over the real numbers is asked for in another dtype.
fn want_float(op: &'static str, dtype: DType, at: At) -> Result<(), Tensor> {
    if dtype.is_float() {
        return Ok(());
    }
    Err(Tensor::failed(op, format!("expected a float dtype, received {dtype}"), at))
}

/// A parameter as `float32` of the result's shape.
fn parameter(value: impl Operand, shape: &[usize], at: At) -> Tensor {
    value.tensor(DType::F32, at).cast(DType::F32).broadcast_at(shape, at)
}

/// The value in the dtype that was asked for; an error of its parts becomes the distribution's.
fn finished(op: &'static str, value: &Tensor, dtype: DType, at: At) -> Tensor {
    value.cast(dtype).part_of(op, at, &[])
}
