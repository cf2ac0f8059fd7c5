//! Layers under Keras' names, with Keras' defaults.
//!
//! Every layer starts from `new` with what Keras requires, and takes the rest by methods of Keras' parameter names.
//! [`from_config`] makes one from its class name and Keras' configuration.

mod activation;
mod batch_normalization;
mod common;
mod conv;
mod dense;
mod dropout;
mod embedding;
mod flatten;
mod global_pooling;
mod input_layer;
mod lambda;
mod layer_normalization;
mod permute;
mod pooling;
mod repeat_vector;
mod reshape;
mod up_sampling;
mod zero_padding;

pub use activation::{Activation, ELU, LeakyReLU, ReLU, Softmax};
pub use batch_normalization::BatchNormalization;
pub use common::Extents;
pub use conv::{Conv, Conv1D, Conv2D, Conv3D};
pub use dense::Dense;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use global_pooling::{
    GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D, GlobalMaxPooling1D,
    GlobalMaxPooling2D, GlobalMaxPooling3D, GlobalPooling,
};
pub use input_layer::{Input, InputLayer};
pub use lambda::Lambda;
pub use layer_normalization::LayerNormalization;
pub use permute::Permute;
pub use pooling::{
    Average, AveragePooling1D, AveragePooling2D, AveragePooling3D, MaxPooling1D, MaxPooling2D, MaxPooling3D,
    Maximum, Pool, Pooling,
};
pub use repeat_vector::RepeatVector;
pub use reshape::Reshape;
pub use up_sampling::UpSampling2D;
pub use zero_padding::ZeroPadding2D;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::sequential::Sequential;
use crate::serialize::{Fields, suggestion};

/// The one table of layers that a class name stands for.
macro_rules! classes {
    ($($class:ident,)*) => {
        /// The class names that [`from_config`] knows.
        pub const CLASSES: &[&str] = &[$(stringify!($class)),*];

        fn read(class: &str, fields: &mut Fields<'_>) -> Option<Result<Box<dyn Layer>>> {
            match class {
                $(stringify!($class) => Some($class::read(fields).map(Box::from)),)*
                _ => None,
            }
        }
    };
}

classes! {
    Activation,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    Dropout,
    ELU,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    InputLayer,
    LayerNormalization,
    LeakyReLU,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    Permute,
    ReLU,
    RepeatVector,
    Reshape,
    Sequential,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
}

/// A layer from its class name and configuration, as [`Layer::class_name`] and [`Layer::config`] give them.
///
/// ```
/// use kiln_nn::layers::from_config;
/// let dense = from_config("Dense", &serde_json::json!({ "units": 3, "activation": "relu" }))?;
/// assert_eq!(dense.config()["use_bias"], true);
/// let error = from_config("Dens", &serde_json::json!({})).unwrap_err();
/// assert!(error.to_string().contains("did you mean `Dense`?"));
/// # Ok::<(), kiln_nn::Error>(())
/// ```
///
/// # Errors
/// Where the class is not known, or a key is missing, not supported or of the wrong type.
pub fn from_config(class: &str, config: &Value) -> Result<Box<dyn Layer>> {
    let mut fields = Fields::new(class, config)?;
    match read(class, &mut fields) {
        Some(layer) => {
            let layer = layer?;
            fields.finish()?;
            Ok(layer)
        }
        None => {
            let message = format!("there is no layer class `{class}`{}", suggestion(class, CLASSES));
            Err(Error::invalid("from_config", message))
        }
    }
}

#[cfg(test)]
mod tests;
