//! The schedules of Keras. Let s be the number of steps taken, r the initial learning rate and d `decay_steps`.

use std::f32::consts::PI;

use kiln_graph::{DType, Tensor};
use serde::Serialize;
use serde_json::{Value, json};

use super::Schedule;

/// `s / d`, rounded down where the schedule moves in stairs.
fn passed(iterations: &Tensor, decay_steps: f64, staircase: bool) -> Tensor {
    let share = iterations.cast(DType::F32) / decay_steps;
    if staircase { share.floor() } else { share }
}

macro_rules! described {
    ($class:ident) => {
        fn class_name(&self) -> &'static str {
            stringify!($class)
        }

        fn config(&self) -> Value {
            json!(self)
        }
    };
}

macro_rules! time_decay {
    ($($(#[$doc:meta])* $class:ident |$self:ident, $share:ident| $formula:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize)]
        pub struct $class {
            initial_learning_rate: f64,
            decay_steps: f64,
            decay_rate: f64,
            staircase: bool,
        }

        impl $class {
            /// From an initial learning rate, the number of steps d, and the decay rate.
            pub fn new(initial_learning_rate: f64, decay_steps: usize, decay_rate: f64) -> $class {
                $class { initial_learning_rate, decay_steps: decay_steps as f64, decay_rate, staircase: false }
            }

            /// Whether s/d is rounded down; default false.
            pub fn staircase(self, staircase: bool) -> $class {
                $class { staircase, ..self }
            }
        }

        impl Schedule for $class {
            fn call(&$self, iterations: &Tensor) -> Tensor {
                let $share = passed(iterations, $self.decay_steps, $self.staircase);
                $formula
            }

            described!($class);
        }
    )* };
}

time_decay! {
    /// `r · decay_rate^(s/d)`.
    ExponentialDecay |self, share| {
        (share * self.decay_rate.ln()).exp() * self.initial_learning_rate
    };

    /// `r / (1 + decay_rate · s/d)`.
    InverseTimeDecay |self, share| {
        self.initial_learning_rate / (share * self.decay_rate + 1.0)
    };
}

/// `(r − e) · (1 − s/d)^power + e`, where e is the end learning rate, reached after d steps.
#[derive(Clone, Debug, Serialize)]
pub struct PolynomialDecay {
    initial_learning_rate: f64,
    decay_steps: f64,
    end_learning_rate: f64,
    power: f64,
    cycle: bool,
}

impl PolynomialDecay {
    /// From an initial learning rate down to 0.0001 in a line of d steps.
    pub fn new(initial_learning_rate: f64, decay_steps: usize) -> PolynomialDecay {
        let decay_steps = decay_steps as f64;
        PolynomialDecay {
            initial_learning_rate,
            decay_steps,
            end_learning_rate: 1e-4,
            power: 1.0,
            cycle: false,
        }
    }

    /// What it falls to; default 0.0001.
    pub fn end_learning_rate(self, end_learning_rate: f64) -> Self {
        Self { end_learning_rate, ..self }
    }

    /// The power; default 1, a line.
    pub fn power(self, power: f64) -> Self {
        Self { power, ..self }
    }

    /// Whether it starts again with a multiple of d where s passes d; default false.
    pub fn cycle(self, cycle: bool) -> Self {
        Self { cycle, ..self }
    }
}

impl Schedule for PolynomialDecay {
    fn call(&self, iterations: &Tensor) -> Tensor {
        let step = iterations.cast(DType::F32);
        let share = if self.cycle {
            let rounds = (&step / self.decay_steps).ceil().maximum(1.0);
            step / (rounds * self.decay_steps)
        } else {
            step.minimum(self.decay_steps) / self.decay_steps
        };
        let (from, to) = (self.initial_learning_rate, self.end_learning_rate);
        (1.0 - share).pow(self.power) * (from - to) + to
    }

    described!(PolynomialDecay);
}

/// Half a cosine wave: `r · ((1 − α) · (1 + cos(π s/d)) / 2 + α)`, constant after d steps; before it, if wished, a line
/// from r to a warm-up target, from which the cosine then falls.
///
/// I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
#[derive(Clone, Debug, Serialize)]
pub struct CosineDecay {
    initial_learning_rate: f64,
    decay_steps: f64,
    alpha: f64,
    warmup_target: Option<f64>,
    warmup_steps: f64,
}

impl CosineDecay {
    /// From an initial learning rate down to 0 in `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: usize) -> CosineDecay {
        let decay_steps = decay_steps as f64;
        CosineDecay { initial_learning_rate, decay_steps, alpha: 0.0, warmup_target: None, warmup_steps: 0.0 }
    }

    /// What it falls to, as a share of where it fell from; default 0.
    pub fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// Rises to `target` in `steps` steps first.
    pub fn warmup(self, target: f64, steps: usize) -> Self {
        Self { warmup_target: Some(target), warmup_steps: steps as f64, ..self }
    }

    fn fall(&self, from: f64, step: &Tensor) -> Tensor {
        let share = step / self.decay_steps;
        let cosine = ((share * PI).cos() + 1.0) * 0.5;
        (cosine * (1.0 - self.alpha) + self.alpha) * from
    }
}

impl Schedule for CosineDecay {
    fn call(&self, iterations: &Tensor) -> Tensor {
        let step = iterations.cast(DType::F32);
        let Some(target) = self.warmup_target else {
            return self.fall(self.initial_learning_rate, &step.minimum(self.decay_steps));
        };
        let step = step.minimum(self.decay_steps + self.warmup_steps);
        let warmup = self.warmup_steps.max(1.0);
        let rise = target - self.initial_learning_rate;
        let line = &step / warmup * rise + self.initial_learning_rate;
        let fall = self.fall(target, &(&step - self.warmup_steps));
        Tensor::select(&step.less(self.warmup_steps), line, fall)
    }

    described!(CosineDecay);
}

/// `values[i]` up to and with step `boundaries[i]`, the last value after all of them.
#[derive(Clone, Debug, Serialize)]
pub struct PiecewiseConstantDecay {
    boundaries: Vec<i32>,
    values: Vec<f64>,
}

impl PiecewiseConstantDecay {
    /// From ascending boundaries and one value more; if the numbers do not fit, the step that uses it says so.
    pub fn new(boundaries: &[i32], values: &[f64]) -> PiecewiseConstantDecay {
        PiecewiseConstantDecay { boundaries: boundaries.to_vec(), values: values.to_vec() }
    }
}

impl Schedule for PiecewiseConstantDecay {
    fn call(&self, iterations: &Tensor) -> Tensor {
        let (Some(last), true) = (self.values.last(), self.values.len() == self.boundaries.len() + 1) else {
            let message = format!(
                "the length of boundaries should be 1 less than the length of values, received {} and {}",
                self.boundaries.len(),
                self.values.len()
            );
            return Tensor::invalid("piecewise_constant_decay", message);
        };
        let pieces = self.boundaries.iter().zip(&self.values).rev();
        pieces.fold(Tensor::scalar(*last as f32), |rate, (boundary, value)| {
            Tensor::select(&iterations.less_equal(*boundary), *value, rate)
        })
    }

    described!(PiecewiseConstantDecay);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Keras 3.15 at steps 0, 5, 10 and 25.
    #[test]
    fn schedules_agree_with_keras() {
        let close = |schedule: &dyn Schedule, expected: [f32; 4]| {
            for (step, wanted) in [0i32, 5, 10, 25].into_iter().zip(expected) {
                let rate = schedule.call(&Tensor::scalar(step)).item::<f32>().expect("a rate");
                let name = schedule.class_name();
                assert!(
                    (rate - wanted).abs() <= 1e-6 + 1e-5 * wanted,
                    "{name} at {step}: {rate}, not {wanted}"
                );
            }
        };
        close(&ExponentialDecay::new(0.1, 10, 0.5), [0.1, 0.070710674, 0.05, 0.017677668]);
        close(&ExponentialDecay::new(0.1, 10, 0.5).staircase(true), [0.1, 0.1, 0.05, 0.025]);
        close(&InverseTimeDecay::new(0.1, 10, 0.5), [0.1, 0.08, 0.06666667, 0.044444446]);
        close(&PolynomialDecay::new(0.1, 10).power(2.0), [0.1, 0.025075, 0.0001, 0.0001]);
        close(&PolynomialDecay::new(0.1, 10).cycle(true), [0.1, 0.05005, 0.0001, 0.01675]);
        close(&CosineDecay::new(0.1, 20).alpha(0.1), [0.1, 0.08681981, 0.055, 0.01]);
        close(&CosineDecay::new(0.0, 20).warmup(0.1, 10), [0.0, 0.05, 0.1, 0.014644662]);
        close(&PiecewiseConstantDecay::new(&[5, 10], &[1.0, 0.5, 0.1]), [1.0, 1.0, 0.5, 0.1]);
    }
}
