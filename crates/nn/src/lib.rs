//! Layers, models, losses, metrics, optimizers and training loops, in Keras' vocabulary.
#![forbid(unsafe_code)]

pub mod activations;
pub mod callbacks;
pub mod constraints;
pub mod datasets;
pub mod error;
pub mod history;
pub mod initializers;
pub mod layer;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod optimizers;
mod progress;
pub mod regularizers;
pub mod schedules;
pub mod sequential;
mod serialize;
mod summary;
pub mod training;
pub mod weights;

pub use error::{Error, Result};
pub use kiln_graph::files;
pub use layer::{Context, Dims, Layer, Seeds};
pub use sequential::Sequential;
pub use training::{Compile, Fit, Model};
