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

use kiln_graph::Tensor;

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
pub fn relu(x: &Tensor) -> Tensor {
    x.relu()
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

/// `min(max(x, 0), 6)`; its gradient at 0 and at 6 is 0.
pub fn relu6(x: &Tensor) -> Tensor {
    Tensor::select(&x.greater_equal(6.0), 6.0, x.relu())
}

/// `x` above 0, `0.2 · x` below.
pub fn leaky_relu(x: &Tensor) -> Tensor {
    leaky_relu_with(x, 0.2)
}

/// `x` above 0, `negative_slope · x` below and at 0.
pub fn leaky_relu_with(x: &Tensor, negative_slope: f32) -> Tensor {
    Tensor::select(&x.greater(0.0), x, x * negative_slope)
}

/// `x` above 0, `e^x − 1` below.
pub fn elu(x: &Tensor) -> Tensor {
    elu_with(x, 1.0)
}

/// `x` above 0, `alpha · (e^x − 1)` below.
pub fn elu_with(x: &Tensor, alpha: f32) -> Tensor {
    let above = x.greater(0.0);
    let below = Tensor::select(&above, 0.0, x).expm1();
    Tensor::select(&above, x, below * alpha)
}

/// Scaled exponential linear unit (Klambauer et al. 2017): `1.0507 · x` above 0, `1.7581 · (e^x − 1)` below.
pub fn selu(x: &Tensor) -> Tensor {
    const ALPHA: f32 = 1.673_263_2;
    const SCALE: f32 = 1.050_701;
    let negative = x.less(0.0);
    let below = Tensor::select(&negative, x, 0.0).expm1();
    Tensor::select(&negative, below * (SCALE * ALPHA), x * SCALE)
}

/// `x` above 0, `e^x − 1` below.
pub fn celu(x: &Tensor) -> Tensor {
    celu_with(x, 1.0)
}

/// `x` above 0, `alpha · (e^(x / alpha) − 1)` below.
pub fn celu_with(x: &Tensor, alpha: f32) -> Tensor {
    let above = x.greater(0.0);
    let below = (Tensor::select(&above, 0.0, x) * (1.0 / alpha)).expm1();
    Tensor::select(&above, x, below * alpha)
}

/// `1 / (1 + e^−x)`.
pub fn sigmoid(x: &Tensor) -> Tensor {
    x.sigmoid()
}

/// `log(sigmoid(x))`, finite for every finite `x`.
pub fn log_sigmoid(x: &Tensor) -> Tensor {
    -softplus(&-x)
}

/// Hyperbolic tangent.
pub fn tanh(x: &Tensor) -> Tensor {
    x.tanh()
}

/// `exp(x) / Σ exp(x)` along the last axis.
pub fn softmax(x: &Tensor) -> Tensor {
    x.softmax(-1)
}

/// `log(softmax(x))` along the last axis.
pub fn log_softmax(x: &Tensor) -> Tensor {
    x.log_softmax(-1)
}

/// `x · Φ(x)` with the exact normal distribution function.
pub fn gelu(x: &Tensor) -> Tensor {
    let half = x * 0.5;
    half * ((x * std::f32::consts::FRAC_1_SQRT_2).erf() + 1.0)
}

/// Keras' `gelu(x, approximate=True)`: the normal distribution function by a tanh.
pub fn gelu_approximate(x: &Tensor) -> Tensor {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let inner = (x + x * x * x * 0.044_715) * SQRT_2_OVER_PI;
    x * 0.5 * (inner.tanh() + 1.0)
}

/// `x · sigmoid(x)`, also called swish.
pub fn silu(x: &Tensor) -> Tensor {
    x * x.sigmoid()
}

/// `log(1 + e^x)`, without overflow.
pub fn softplus(x: &Tensor) -> Tensor {
    let value = x.maximum(0.0) + (-x.abs()).exp().log1p();
    Tensor::custom_gradient(&value, std::slice::from_ref(x), |g, _, x| vec![Some(g * x[0].sigmoid())])
}

/// `x / (1 + |x|)`.
pub fn softsign(x: &Tensor) -> Tensor {
    x / (x.abs() + 1.0)
}

/// `e^x`.
pub fn exponential(x: &Tensor) -> Tensor {
    x.exp()
}

/// `relu6(x + 3) / 6`.
pub fn hard_sigmoid(x: &Tensor) -> Tensor {
    relu6(&(x + 3.0)) / 6.0
}

/// `x · hard_sigmoid(x)`, also called hard swish.
pub fn hard_silu(x: &Tensor) -> Tensor {
    x * hard_sigmoid(x)
}

/// `x` limited to −1 … 1; its gradient at the limits is 1.
pub fn hard_tanh(x: &Tensor) -> Tensor {
    Tensor::select(&x.greater(1.0), 1.0, Tensor::select(&x.less(-1.0), -1.0, x))
}

/// `x` where `|x| > 0.5`, else 0.
pub fn hard_shrink(x: &Tensor) -> Tensor {
    hard_shrink_with(x, 0.5)
}

/// `x` where `|x| > threshold`, else 0.
pub fn hard_shrink_with(x: &Tensor, threshold: f32) -> Tensor {
    Tensor::select(&x.abs().greater(threshold), x, 0.0)
}

/// `x` drawn 0.5 towards 0, and 0 where it would cross.
pub fn soft_shrink(x: &Tensor) -> Tensor {
    soft_shrink_with(x, 0.5)
}

/// `x` drawn by the threshold towards 0, and 0 where it would cross.
pub fn soft_shrink_with(x: &Tensor, threshold: f32) -> Tensor {
    let below = Tensor::select(&x.less(-threshold), x + threshold, 0.0);
    Tensor::select(&x.greater(threshold), x - threshold, below)
}

/// `x − tanh(x)`.
pub fn tanh_shrink(x: &Tensor) -> Tensor {
    x - x.tanh()
}

/// `x · tanh(softplus(x))` (Misra 2019).
pub fn mish(x: &Tensor) -> Tensor {
    x * softplus(x).tanh()
}

/// `(x + sqrt(x² + 4)) / 2`.
pub fn squareplus(x: &Tensor) -> Tensor {
    (x + (x.square() + 4.0).sqrt()) * 0.5
}

/// 0 up to −1, `(x + 1)² / 4` up to 1, then `x`.
pub fn sparse_plus(x: &Tensor) -> Tensor {
    let middle = Tensor::select(&x.less(1.0), (x + 1.0).square() * 0.25, x);
    Tensor::select(&x.less_equal(-1.0), 0.0, middle)
}

/// 0 up to −1, `(x + 1) / 2` up to 1, then 1.
pub fn sparse_sigmoid(x: &Tensor) -> Tensor {
    let middle = Tensor::select(&x.greater_equal(1.0), 1.0, (x + 1.0) * 0.5);
    Tensor::select(&x.less_equal(-1.0), 0.0, middle)
}

/// Gated linear unit: the first half of the last axis times the sigmoid of the second.
pub fn glu(x: &Tensor) -> Tensor {
    let extent = x.shape().last().copied().unwrap_or(1);
    if x.error().is_none() && !extent.is_multiple_of(2) {
        let message = format!("expected a last axis that divides by 2, received shape {:?}", x.shape());
        return Tensor::invalid("glu", message);
    }
    let half = extent as i64 / 2;
    x.slice_axis(-1, 0, half) * x.slice_axis(-1, half, extent as i64).sigmoid()
}

/// `x` above the threshold, else the default value.
pub fn threshold(x: &Tensor, threshold: f32, default_value: f32) -> Tensor {
    Tensor::select(&x.greater(threshold), x, default_value)
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
