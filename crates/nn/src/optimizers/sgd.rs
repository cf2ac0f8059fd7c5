//! Gradient descent.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Optimizer, Rule, Step, Update};

/// Gradient descent: `w −= η·g`; with momentum μ, `v = μ·v − η·g` and `w += v`, or with Nesterov's look ahead
/// `w += μ·v − η·g`. Default learning rate 0.01.
///
/// I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and momentum in deep learning",
/// 2013.
///
/// ```
/// use kiln_nn::optimizers::Sgd;
/// let optimizer = Sgd::new().learning_rate(0.1).momentum(0.9).nesterov(true);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
}

impl Sgd {
    /// With Keras' defaults: learning rate 0.01, no momentum.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Optimizer<Sgd> {
        Optimizer::new(Sgd::default())
    }
}

impl Optimizer<Sgd> {
    /// The share of the last step that goes on, 0 to 1; default 0.
    pub fn momentum(self, momentum: f64) -> Self {
        self.with_rule(|rule| rule.momentum = momentum)
    }

    /// Whether the gradient's step is taken ahead of the momentum's; default false.
    pub fn nesterov(self, nesterov: bool) -> Self {
        self.with_rule(|rule| rule.nesterov = nesterov)
    }
}

impl Rule for Sgd {
    fn class_name(&self) -> &'static str {
        "SGD"
    }

    fn default_learning_rate(&self) -> f64 {
        0.01
    }

    fn slots(&self) -> Vec<&'static str> {
        if self.momentum == 0.0 { vec![] } else { vec!["momentum"] }
    }

    fn update(&self, step: &Step<'_>) -> Update {
        let descent = step.gradient * step.learning_rate;
        let Some(velocity) = step.slots.first() else {
            return Update { variable: step.variable - descent, slots: vec![] };
        };
        let momentum = self.momentum;
        let velocity = velocity * momentum - &descent;
        let change = if self.nesterov { &velocity * momentum - descent } else { velocity.clone() };
        Update { variable: step.variable + change, slots: vec![velocity] }
    }

    fn config(&self) -> Value {
        json!(self)
    }
}
