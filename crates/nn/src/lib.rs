//! Layers, models, losses, metrics, optimizers and training loops, in Keras' vocabulary.
#![forbid(unsafe_code)]

pub mod callbacks;
pub mod error;
pub mod history;
pub mod layer;
pub mod losses;
pub mod metrics;
pub mod optimizers;
mod progress;
pub mod schedules;
pub mod training;

pub use error::{Error, Result};
pub use layer::{Context, Dims, Layer, Seeds};
