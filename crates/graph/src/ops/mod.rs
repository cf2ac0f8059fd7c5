//! What users call: operations on tensors, as primitives or arithmetic on them. NumPy's and Keras' names and rules.
//!
//! None returns a `Result`: an operation that cannot be built gives a tensor that carries the error. The free functions
//! are named as in `keras.ops` and take its parameters in its order; the methods of [`crate::Tensor`] have its defaults.

mod contract;
mod control;
mod creation;
mod elementwise;
mod index;
mod nn;
mod random;
mod reduce;
mod view;

pub use contract::Padding;
pub use control::{Branch, associative_scan, cond, fori_loop, map, scan, switch, vectorized_map, while_loop};
pub use elementwise::{Operand, promote};
pub use random::random_key;
