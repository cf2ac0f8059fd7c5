//! Activation functions under Keras' names: plain functions of a tensor, and [`Activation`], which layers hold.
//!
//! A layer takes a function of this module, its name, or a closure:
//!
//! ```
//! use kiln_graph::Tensor;
//! use kiln_nn::activations::{Activation, relu};
//! use kiln_nn::layers::Dense;
//! let _ = Dense::new(64).activation(relu);
//! let _ = Dense::new(64).activation("relu");
//! let _ = Dense::new(64).activation(|x: &Tensor| x.sin());
//! let _ = Dense::new(64).activation(Activation::custom("sine", |x| x.sin()));
//! ```

use std::any::TypeId;
use std::str::FromStr;
use std::sync::Arc;

pub use kiln_graph::ops::{
    hard_sigmoid, hard_silu, hard_tanh, log_sigmoid, relu6, selu, sigmoid, silu, softplus, softsign,
    sparse_plus, sparse_sigmoid, tanh_shrink, threshold,
};
use kiln_graph::{Tensor, ops};

use crate::error::{Error, Result};
use crate::serialize::suggestion;

type Function = dyn Fn(&Tensor) -> Tensor + Send + Sync;

/// A function that a layer applies to its result.
#[derive(Clone)]
pub struct Activation {
    name: String,
    function: Option<Arc<Function>>,
}

impl Activation {
    /// A function of your own, under a name for listings and configurations.
    pub fn custom(
        name: impl Into<String>,
        function: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static,
    ) -> Activation {
        Activation { name: name.into(), function: Some(Arc::new(function)) }
    }

    /// The name that configurations carry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The function's value; a name that Keras does not have gives a tensor with the error.
    #[track_caller]
    pub fn apply(&self, x: &Tensor) -> Tensor {
        match &self.function {
            Some(function) => function(x),
            None => Tensor::invalid("activation", unknown(&self.name)),
        }
    }

    /// Whether there is such a function.
    ///
    /// # Errors
    /// Where it was made from a name that is not known.
    pub fn check(&self) -> Result<()> {
        match &self.function {
            Some(_) => Ok(()),
            None => Err(Error::invalid("activation", unknown(&self.name))),
        }
    }
}

fn unknown(name: &str) -> String {
    format!("could not interpret activation `{name}`{}", suggestion(name, NAMES))
}

impl Default for Activation {
    fn default() -> Activation {
        Activation::from(linear)
    }
}

impl std::fmt::Debug for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Activation({})", self.name)
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync + 'static> From<F> for Activation {
    fn from(function: F) -> Activation {
        Activation::custom(name_of(TypeId::of::<F>()).unwrap_or("custom"), function)
    }
}

impl From<&str> for Activation {
    /// By Keras' name. An unknown one is reported when the layer is built.
    fn from(name: &str) -> Activation {
        name.parse().unwrap_or_else(|_| Activation { name: name.into(), function: None })
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Activation> {
        by_name(name).ok_or_else(|| Error::invalid("activation", unknown(name)))
    }
}

/// The type of a function item, which tells functions apart.
fn type_of<F: 'static>(_: &F) -> TypeId {
    TypeId::of::<F>()
}

/// The one list of functions that a name stands for; an alias follows its function.
macro_rules! named {
    ($($function:ident $($alias:ident)*,)*) => {
        const NAMES: &[&str] = &[$(stringify!($function), $(stringify!($alias),)*)*];

        fn name_of(id: TypeId) -> Option<&'static str> {
            $(if id == type_of(&$function) { return Some(stringify!($function)); })*
            None
        }

        fn by_name(name: &str) -> Option<Activation> {
            match name {
                $(stringify!($function) $(| stringify!($alias))* => Some(Activation::from($function)),)*
                _ => None,
            }
        }
    };
}

named! {
    celu,
    elu,
    exponential,
    gelu,
    gelu_approximate,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu hard_swish,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu swish,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    tanh,
    tanh_shrink,
}

/// `x`.
pub fn linear(x: &Tensor) -> Tensor {
    x.clone()
}

/// `max(x, 0)`; its gradient at 0 is 0.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::activations::relu;
/// assert_eq!(relu(&Tensor::from_slice(&[-1.0f32, 2.0])).to_vec::<f32>()?, [0.0, 2.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn relu(x: &Tensor) -> Tensor {
    ops::relu(x)
}

/// Keras' relu with its parameters: `max_value` from there on, `x` above the threshold, below it
/// `negative_slope · (x − threshold)`.
pub fn relu_with(x: &Tensor, negative_slope: f32, max_value: Option<f32>, threshold: f32) -> Tensor {
    let above = x.greater(threshold);
    let rising = if negative_slope == 0.0 {
        Tensor::select(&above, x, 0.0)
    } else {
        Tensor::select(&above, x, (x - threshold) * negative_slope)
    };
    match max_value {
        Some(max) => Tensor::select(&x.greater_equal(max), max, rising),
        None => rising,
    }
}

/// `x` above 0, `0.2 · x` below.
#[track_caller]
pub fn leaky_relu(x: &Tensor) -> Tensor {
    ops::leaky_relu(x, 0.2)
}

/// `x` above 0, `e^x − 1` below.
#[track_caller]
pub fn elu(x: &Tensor) -> Tensor {
    ops::elu(x, 1.0)
}

/// `x` above 0, `e^x − 1` below.
#[track_caller]
pub fn celu(x: &Tensor) -> Tensor {
    ops::celu(x, 1.0)
}

/// Hyperbolic tangent.
#[track_caller]
pub fn tanh(x: &Tensor) -> Tensor {
    x.tanh()
}

/// `exp(x) / Σ exp(x)` along the last axis.
#[track_caller]
pub fn softmax(x: &Tensor) -> Tensor {
    ops::softmax(x, -1)
}

/// `log(softmax(x))` along the last axis.
#[track_caller]
pub fn log_softmax(x: &Tensor) -> Tensor {
    ops::log_softmax(x, -1)
}

/// `x · Φ(x)` with the exact normal distribution function.
#[track_caller]
pub fn gelu(x: &Tensor) -> Tensor {
    ops::gelu(x, false)
}

/// Keras' `gelu(x, approximate=True)`: the normal distribution function by a tanh.
#[track_caller]
pub fn gelu_approximate(x: &Tensor) -> Tensor {
    ops::gelu(x, true)
}

/// `e^x`.
#[track_caller]
pub fn exponential(x: &Tensor) -> Tensor {
    x.exp()
}

/// `x` where `|x| > 0.5`, else 0.
#[track_caller]
pub fn hard_shrink(x: &Tensor) -> Tensor {
    ops::hard_shrink(x, 0.5)
}

/// `x` drawn 0.5 towards 0, and 0 where it would cross.
#[track_caller]
pub fn soft_shrink(x: &Tensor) -> Tensor {
    ops::soft_shrink(x, 0.5)
}

/// `x · tanh(softplus(x))` (Misra 2019).
pub fn mish(x: &Tensor) -> Tensor {
    x * softplus(x).tanh()
}

/// `(x + sqrt(x² + 4)) / 2`.
#[track_caller]
pub fn squareplus(x: &Tensor) -> Tensor {
    ops::squareplus(x, 4.0)
}

/// Gated linear unit: the first half of the last axis times the sigmoid of the second.
#[track_caller]
pub fn glu(x: &Tensor) -> Tensor {
    ops::glu(x, -1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_know_their_names() {
        assert_eq!(Activation::from(relu).name(), "relu");
        assert_eq!(Activation::from("swish").name(), "silu");
        assert_eq!(Activation::from(|x: &Tensor| x.sin()).name(), "custom");
        for name in NAMES {
            let activation: Activation = name.parse().unwrap();
            assert!(activation.apply(&Tensor::zeros(&[2, 4])).error().is_none(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_named_and_another_suggested() {
        let text = Activation::from("rellu").check().unwrap_err().to_string();
        assert!(
            text.starts_with("[activation] could not interpret activation `rellu`; did you mean `relu`?")
        );
    }
}
