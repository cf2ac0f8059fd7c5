//! Activation functions as layers.

use kiln_graph::{Tensor, ops};
use serde_json::{Value, json};

use super::common::{Common, common_builders, layer_methods, read_activation};
use crate::activations::{self, relu_with};
use crate::error::Result;
use crate::layer::{Context, Layer, Seeds};
use crate::serialize::Fields;

/// A function of [`crate::activations`], its name, or a closure, as a layer.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::activations::tanh;
/// use kiln_nn::layers::Activation;
/// use kiln_nn::{Context, Layer};
/// let y = Activation::new(tanh).call(&Tensor::zeros(&[2]), &Context::inference());
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Activation {
    common: Common,
    activation: activations::Activation,
}

impl Activation {
    /// The layer of a function.
    pub fn new(activation: impl Into<activations::Activation>) -> Activation {
        Activation { common: Common::default(), activation: activation.into() }
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Activation> {
        Ok(Activation { common: Common::read(f)?, activation: read_activation(f)? })
    }
}

impl Layer for Activation {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "Activation"
    }

    fn build(&mut self, _: &[Option<usize>], _: &mut Seeds) -> Result<()> {
        self.activation.check()
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        self.activation.apply(input)
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "activation": self.activation.name() }))
    }
}

/// `max_value` from there on, `x` above the threshold, below it `negative_slope · (x − threshold)`.
#[derive(Default)]
pub struct ReLU {
    common: Common,
    max_value: Option<f32>,
    negative_slope: f32,
    threshold: f32,
}

impl ReLU {
    /// `max(x, 0)`.
    pub fn new() -> ReLU {
        ReLU::default()
    }

    /// The largest value; none by default.
    pub fn max_value(mut self, max_value: f32) -> ReLU {
        self.max_value = Some(max_value);
        self
    }

    /// The slope below the threshold, 0 by default.
    pub fn negative_slope(mut self, negative_slope: f32) -> ReLU {
        self.negative_slope = negative_slope;
        self
    }

    /// Where the function starts to rise, 0 by default.
    pub fn threshold(mut self, threshold: f32) -> ReLU {
        self.threshold = threshold;
        self
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<ReLU> {
        Ok(ReLU {
            common: Common::read(f)?,
            max_value: f.optional("max_value")?,
            negative_slope: f.or("negative_slope", 0.0)?,
            threshold: f.or("threshold", 0.0)?,
        })
    }
}

impl Layer for ReLU {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "ReLU"
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        match (self.max_value, self.negative_slope, self.threshold) {
            (None, 0.0, 0.0) => input.relu(),
            (max, slope, threshold) => relu_with(input, slope, max, threshold),
        }
    }

    fn config(&self) -> Value {
        let (max, slope, threshold) = (self.max_value, self.negative_slope, self.threshold);
        self.common.config(json!({ "max_value": max, "negative_slope": slope, "threshold": threshold }))
    }
}

/// Layers with one number that the function takes.
macro_rules! with_number {
    ($($(#[$doc:meta])* $class:ident, $key:ident, $default:literal, $function:expr;)*) => { $(
        $(#[$doc])*
        pub struct $class {
            common: Common,
            $key: f32,
        }

        impl Default for $class {
            fn default() -> $class {
                $class { common: Common::default(), $key: $default }
            }
        }

        impl $class {
            #[doc = concat!("The layer with `", stringify!($key), "` of ", stringify!($default), ".")]
            pub fn new() -> $class {
                $class::default()
            }

            #[doc = concat!("Another `", stringify!($key), "`.")]
            pub fn $key(mut self, $key: f32) -> $class {
                self.$key = $key;
                self
            }

            common_builders!();

            pub(crate) fn read(f: &mut Fields<'_>) -> Result<$class> {
                Ok($class { common: Common::read(f)?, $key: f.or(stringify!($key), $default)? })
            }
        }

        impl Layer for $class {
            layer_methods!();

            fn class_name(&self) -> &'static str {
                stringify!($class)
            }

            #[track_caller]
            fn call(&self, input: &Tensor, _: &Context) -> Tensor {
                $function(input, self.$key)
            }

            fn config(&self) -> Value {
                self.common.config(json!({ stringify!($key): self.$key }))
            }
        }
    )* };
}

with_number! {
    /// `x` above 0, `negative_slope · x` below; the slope is 0.3 by default, as in Keras' layer.
    LeakyReLU, negative_slope, 0.3, ops::leaky_relu;
    /// `x` above 0, `alpha · (e^x − 1)` below; alpha is 1 by default.
    ELU, alpha, 1.0, ops::elu;
}

/// `exp(x) / Σ exp(x)` along an axis, the last by default.
pub struct Softmax {
    common: Common,
    axis: i64,
}

impl Default for Softmax {
    fn default() -> Softmax {
        Softmax { common: Common::default(), axis: -1 }
    }
}

impl Softmax {
    /// Softmax along the last axis.
    pub fn new() -> Softmax {
        Softmax::default()
    }

    /// The axis whose values sum to 1.
    pub fn axis(mut self, axis: i64) -> Softmax {
        self.axis = axis;
        self
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Softmax> {
        Ok(Softmax { common: Common::read(f)?, axis: f.or("axis", -1)? })
    }
}

impl Layer for Softmax {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "Softmax"
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        input.softmax(self.axis)
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "axis": self.axis }))
    }
}
