//! Learning-rate schedules: the learning rate as an expression of the number of steps taken.
//!
//! A schedule is part of the compiled step: it reads the optimizer's `iterations` on the device, so nothing is set from
//! the host while training runs. A closure is a schedule:
//!
//! ```
//! use kiln_graph::{DType, Tensor};
//! use kiln_nn::schedules::{ExponentialDecay, Schedule};
//! let step = Tensor::scalar(10i32);
//! let halved = ExponentialDecay::new(0.1, 10, 0.5);
//! assert!((halved.call(&step).item::<f32>()? - 0.05).abs() < 1e-7);
//! let inverse = |step: &Tensor| 1.0 / (step.cast(DType::F32) + 1.0);
//! assert!((inverse.call(&step).item::<f32>()? - 1.0 / 11.0).abs() < 1e-7);
//! # Ok::<(), kiln_nn::Error>(())
//! ```

mod decay;

use kiln_graph::Tensor;
use serde_json::{Value, json};

pub use decay::{CosineDecay, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay};

/// The learning rate of a step.
pub trait Schedule: Send + Sync {
    /// The learning rate (`float32` scalar) after `iterations` (`int32` scalar) steps: 0 at the first step.
    fn call(&self, iterations: &Tensor) -> Tensor;

    /// The class, `CosineDecay` for instance.
    fn class_name(&self) -> &'static str {
        "Schedule"
    }

    /// The configuration under Keras' names.
    fn config(&self) -> Value {
        json!({})
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Schedule for F {
    fn call(&self, iterations: &Tensor) -> Tensor {
        self(iterations)
    }
}

/// A learning rate: a number, which callbacks can change, or a schedule.
pub enum LearningRate {
    /// A number.
    Constant(f64),
    /// A schedule.
    Schedule(Box<dyn Schedule>),
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> LearningRate {
        LearningRate::Constant(rate)
    }
}

impl From<f32> for LearningRate {
    fn from(rate: f32) -> LearningRate {
        LearningRate::Constant(rate.into())
    }
}

impl<S: Schedule + 'static> From<S> for LearningRate {
    fn from(schedule: S) -> LearningRate {
        LearningRate::Schedule(Box::new(schedule))
    }
}
