//! Layers, models, losses, metrics, optimizers and training loops, in Keras' vocabulary.
#![forbid(unsafe_code)]

pub mod error;
pub mod layer;

pub use error::{Error, Result};
pub use layer::{Context, Dims, Layer, Seeds};
