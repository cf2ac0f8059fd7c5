//! Adam and AdamW.

use kiln_graph::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Optimizer, Rule, Step, Update};

/// Descent by the running mean of gradients over their running root mean square:
/// `m += (1 − β₁)(g − m)`, `v += (1 − β₂)(g² − v)`, `w −= η·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)` at step t = 1, 2, ….
/// Default learning rate 0.001.
///
/// D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015; with `amsgrad` √v uses the largest v so
/// far (S. Reddi, S. Kale and S. Kumar, 2018). ε is outside the bias correction, as in Keras.
///
/// ```
/// use kiln_nn::optimizers::Adam;
/// let optimizer = Adam::new().learning_rate(3e-4).clipnorm(1.0);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Adam {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Adam {
        Adam { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }
    }
}

/// `1 − βᵗ`, exact also where β is near 1.
fn bias(beta: f64, step: &Tensor) -> Tensor {
    -(step * beta.ln()).expm1()
}

impl Adam {
    /// With Keras' defaults: learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Optimizer<Adam> {
        Optimizer::new(Adam::default())
    }
}

impl Rule for Adam {
    fn class_name(&self) -> &'static str {
        "Adam"
    }

    fn slots(&self) -> Vec<&'static str> {
        let hat = self.amsgrad.then_some("velocity_hat");
        ["momentum", "velocity"].into_iter().chain(hat).collect()
    }

    fn update(&self, step: &Step<'_>) -> Update {
        let (g, [m, v, hat @ ..]) = (step.gradient, step.slots) else {
            return Update { variable: step.variable.clone(), slots: step.slots.to_vec() };
        };
        let correction = bias(self.beta_2, step.step).sqrt() / bias(self.beta_1, step.step);
        let alpha = step.learning_rate * correction.cast(g.dtype());
        let m = m + (g - m) * (1.0 - self.beta_1);
        let v = v + (g.square() - v) * (1.0 - self.beta_2);
        let hat = hat.first().map(|hat| hat.maximum(&v));
        let root = hat.as_ref().unwrap_or(&v).sqrt() + self.epsilon;
        let variable = step.variable - &m * alpha / root;
        Update { variable, slots: [m, v].into_iter().chain(hat).collect() }
    }

    fn config(&self) -> Value {
        json!(self)
    }
}

/// [`Adam`] with weight decay 0.004 (`w −= η·0.004·w` before the step), changed by
/// [`Optimizer::weight_decay`].
///
/// I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdamW(Adam);

impl AdamW {
    /// With Keras' defaults: those of [`Adam`], and weight decay 0.004.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Optimizer<AdamW> {
        Optimizer::new(AdamW::default())
    }
}

impl Rule for AdamW {
    fn class_name(&self) -> &'static str {
        "AdamW"
    }

    fn default_weight_decay(&self) -> Option<f64> {
        Some(0.004)
    }

    fn slots(&self) -> Vec<&'static str> {
        self.0.slots()
    }

    fn update(&self, step: &Step<'_>) -> Update {
        self.0.update(step)
    }

    fn config(&self) -> Value {
        self.0.config()
    }
}

impl AsMut<Adam> for Adam {
    fn as_mut(&mut self) -> &mut Adam {
        self
    }
}

impl AsMut<Adam> for AdamW {
    fn as_mut(&mut self) -> &mut Adam {
        &mut self.0
    }
}

impl<R: Rule + AsMut<Adam>> Optimizer<R> {
    /// How slowly the mean of gradients moves; default 0.9.
    pub fn beta_1(self, beta_1: f64) -> Self {
        self.with_rule(|rule| rule.as_mut().beta_1 = beta_1)
    }

    /// How slowly the mean of squares moves; default 0.999.
    pub fn beta_2(self, beta_2: f64) -> Self {
        self.with_rule(|rule| rule.as_mut().beta_2 = beta_2)
    }

    /// What is added to the root mean square; default 1e-7. Large values make steps more like plain descent.
    pub fn epsilon(self, epsilon: f64) -> Self {
        self.with_rule(|rule| rule.as_mut().epsilon = epsilon)
    }

    /// Whether the largest mean of squares so far divides; default false.
    pub fn amsgrad(self, amsgrad: bool) -> Self {
        self.with_rule(|rule| rule.as_mut().amsgrad = amsgrad)
    }
}
