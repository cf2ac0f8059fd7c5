//! What users call: operations on tensors, as primitives or arithmetic on them. NumPy's and Keras' names and rules.
//!
//! None returns a `Result`: an operation that cannot be built gives a tensor that carries the error. The free functions
//! are named as in `keras.ops` and take its parameters in its order; the methods of [`crate::Tensor`] have its defaults.

mod arithmetic;
mod bits;
mod contract;
mod convert;
mod count;
mod create;
mod creation;
mod elementwise;
mod hyperbolic;
mod index;
mod logarithm;
mod logic;
mod nan;
mod nn;
mod pointwise;
mod quantile;
mod random;
mod reduce;
mod spaces;
mod special;
mod statistics;
mod view;
mod windows;

pub use arithmetic::*;
pub use bits::*;
pub use contract::Padding;
pub use convert::*;
pub use count::*;
pub use create::*;
pub use elementwise::{Operand, promote};
pub use hyperbolic::*;
pub use logarithm::*;
pub use logic::*;
pub use nan::*;
pub use pointwise::*;
pub use quantile::*;
pub use random::random_key;
pub use spaces::*;
pub use special::*;
pub use statistics::*;
pub use windows::*;
