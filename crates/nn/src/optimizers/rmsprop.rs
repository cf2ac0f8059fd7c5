//! RMSprop.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Optimizer, Rule, Step, Update};

/// Descent by gradients over their running root mean square: `v = ρ·v + (1 − ρ)·g²`, `w −= η·g / √(v + ε)`; centered,
/// `√(v − mean(g)² + ε)`; with momentum μ, `m = μ·m + η·g / √(…)` and `w −= m`. Default learning rate 0.001.
///
/// T. Tieleman and G. Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012; ε stands inside the root, as in
/// Keras.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RmsProp {
    rho: f64,
    momentum: f64,
    epsilon: f64,
    centered: bool,
}

impl Default for RmsProp {
    fn default() -> RmsProp {
        RmsProp { rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }
    }
}

impl RmsProp {
    /// With Keras' defaults: learning rate 0.001, ρ 0.9, no momentum, ε 1e-7, not centered.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Optimizer<RmsProp> {
        Optimizer::new(RmsProp::default())
    }
}

impl Optimizer<RmsProp> {
    /// How slowly the mean of squares moves; default 0.9.
    pub fn rho(self, rho: f64) -> Self {
        self.with_rule(|rule| rule.rho = rho)
    }

    /// The share of the last step that goes on; default 0.
    pub fn momentum(self, momentum: f64) -> Self {
        self.with_rule(|rule| rule.momentum = momentum)
    }

    /// What is added inside the root; default 1e-7.
    pub fn epsilon(self, epsilon: f64) -> Self {
        self.with_rule(|rule| rule.epsilon = epsilon)
    }

    /// Whether the square of the mean gradient is taken off the mean square; default false.
    pub fn centered(self, centered: bool) -> Self {
        self.with_rule(|rule| rule.centered = centered)
    }
}

impl Rule for RmsProp {
    fn class_name(&self) -> &'static str {
        "RMSprop"
    }

    fn slots(&self) -> Vec<&'static str> {
        let momentum = (self.momentum > 0.0).then_some("momentum");
        let average = self.centered.then_some("average_gradient");
        ["velocity"].into_iter().chain(momentum).chain(average).collect()
    }

    fn update(&self, step: &Step<'_>) -> Update {
        let g = step.gradient;
        let (rho, rest) = (self.rho, (1.0 - self.rho));
        let velocity = &step.slots[0] * rho + g.square() * rest;
        let average = self.centered.then(|| &step.slots[step.slots.len() - 1] * rho + g * rest);
        let square = average.as_ref().map_or_else(|| velocity.clone(), |a| &velocity - a.square());
        let increment = g * step.learning_rate / (square + self.epsilon).sqrt();
        let momentum = (self.momentum > 0.0).then(|| &step.slots[1] * self.momentum + &increment);
        let change = momentum.clone().unwrap_or(increment);
        let slots = [velocity].into_iter().chain(momentum).chain(average).collect();
        Update { variable: step.variable - change, slots }
    }

    fn config(&self) -> Value {
        json!(self)
    }
}
