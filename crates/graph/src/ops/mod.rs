//! What users call: operations on tensors, as primitives or arithmetic on them. NumPy's and Keras' names and rules.
//!
//! None returns a `Result`: an operation that cannot be built gives a tensor that carries the error. The free functions
//! are named as in `keras.ops` and take its parameters in its order; the methods of [`crate::Tensor`] have its defaults.

mod activations;
mod attention;
mod contract;
mod convolution;
mod creation;
mod ctc;
mod elementwise;
pub mod image;
mod index;
mod losses;
mod nn;
mod normalization;
mod patches;
mod pooling;
mod random;
mod reduce;
pub(crate) mod spatial;
mod view;

pub use activations::*;
pub use attention::dot_product_attention;
pub use contract::Padding;
pub use convolution::{conv, conv_transpose, depthwise_conv, separable_conv};
pub use ctc::{CtcStrategy, ctc_decode, ctc_loss};
pub use elementwise::{Operand, promote};
pub use losses::*;
pub use normalization::*;
pub use patches::{depth_to_space, fold, space_to_depth, unfold};
pub use pooling::{adaptive_average_pool, adaptive_max_pool, average_pool, max_pool};
pub use random::random_key;
pub use spatial::{DataFormat, PerAxis};
