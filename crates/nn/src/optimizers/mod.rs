//! Optimizers: how gradients change variables.
//!
//! [`Optimizer::build`] packs the variables of each dtype into one flat buffer (a slab) and makes flat slots beside it;
//! a [`Rule`] is then a formula of whole slabs, and one step of any optimizer is one kernel over all parameters. The
//! step count and the learning rate live in variables on the device: replaying a compiled step is what running it was.
//!
//! In a training loop of your own:
//!
//! ```
//! use kiln_graph::{Function, Tensor, Variable, gradients};
//! use kiln_nn::optimizers::Sgd;
//! let w = Variable::new(&Tensor::from_slice(&[1.0f32, -2.0]))?;
//! let mut optimizer = Sgd::new().learning_rate(0.1);
//! optimizer.build(&[w.clone()])?;
//! let step = {
//!     let w = w.clone();
//!     Function::new("step", move |_| {
//!         let loss = w.read().square().sum(());
//!         let gradients = gradients(&loss, &[w.read()])?;
//!         optimizer.apply(&gradients, &[w.clone()])?;
//!         Ok(vec![loss])
//!     })
//! };
//! step.call(&[])?;
//! assert_eq!(w.read().to_vec::<f32>()?, [0.8, -1.6]);
//! # Ok::<(), kiln_nn::Error>(())
//! ```
//!
//! A rule of your own is a struct with [`Rule`]; `Optimizer::new(rule)` gives it the learning rate, weight decay and
//! clipping that all have.

mod adam;
mod clip;
mod optimizer;
mod rmsprop;
mod sgd;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::training::names;

pub use adam::{Adam, AdamW};
pub use optimizer::{IntoOptimizer, Optimizer};
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use kiln_graph::Tensor;

/// What a rule knows in one step. Tensors are flat, of all variables of one dtype behind one another.
#[derive(Debug)]
pub struct Step<'a> {
    /// The gradient, clipped already.
    pub gradient: &'a Tensor,
    /// The variables' values, decayed already.
    pub variable: &'a Tensor,
    /// The values of the rule's slots.
    pub slots: &'a [Tensor],
    /// The learning rate, a scalar of the variables' dtype.
    pub learning_rate: &'a Tensor,
    /// The number of this step, a `float32` scalar: 1 in the first.
    pub step: &'a Tensor,
}

/// What a rule makes of a step: the next values.
#[derive(Clone, Debug)]
pub struct Update {
    /// Of the variables.
    pub variable: Tensor,
    /// Of the slots, in order.
    pub slots: Vec<Tensor>,
}

/// A formula that changes variables by their gradients.
///
/// ```
/// use kiln_nn::optimizers::{Optimizer, Rule, Step, Update};
/// /// Steps by the sign of the gradient only.
/// struct SignDescent;
/// impl Rule for SignDescent {
///     fn class_name(&self) -> &'static str {
///         "SignDescent"
///     }
///     fn update(&self, step: &Step<'_>) -> Update {
///         let variable = step.variable - step.gradient.sign() * step.learning_rate;
///         Update { variable, slots: vec![] }
///     }
/// }
/// let optimizer = Optimizer::new(SignDescent).learning_rate(0.01).clipnorm(1.0);
/// # let _ = optimizer;
/// ```
pub trait Rule: Send + Sync {
    /// The class, `Adam` for instance.
    fn class_name(&self) -> &'static str;

    /// The learning rate where none is given.
    fn default_learning_rate(&self) -> f64 {
        0.001
    }

    /// The weight decay where none is given.
    fn default_weight_decay(&self) -> Option<f64> {
        None
    }

    /// The names of the slots: state as long as the variables, 0 at first.
    fn slots(&self) -> Vec<&'static str> {
        vec![]
    }

    /// The next values of variables and slots.
    fn update(&self, step: &Step<'_>) -> Update;

    /// The configuration under Keras' names, without what all optimizers have.
    fn config(&self) -> Value {
        json!({})
    }
}

impl Rule for Box<dyn Rule> {
    fn class_name(&self) -> &'static str {
        (**self).class_name()
    }

    fn default_learning_rate(&self) -> f64 {
        (**self).default_learning_rate()
    }

    fn default_weight_decay(&self) -> Option<f64> {
        (**self).default_weight_decay()
    }

    fn slots(&self) -> Vec<&'static str> {
        (**self).slots()
    }

    fn update(&self, step: &Step<'_>) -> Update {
        (**self).update(step)
    }

    fn config(&self) -> Value {
        (**self).config()
    }
}

/// One optimizer: its class, its name, and how its rule is made from a configuration.
struct Entry {
    class: &'static str,
    name: &'static str,
    make: fn(Value) -> serde_json::Result<Box<dyn Rule>>,
}

macro_rules! table {
    ($($class:literal $name:literal $rule:ident;)*) => {
        const TABLE: &[Entry] = &[$(Entry {
            class: $class,
            name: $name,
            make: |config| Ok(Box::new(serde_json::from_value::<$rule>(config)?)),
        },)*];
    };
}

table! {
    "SGD" "sgd" Sgd;
    "RMSprop" "rmsprop" RmsProp;
    "Adam" "adam" Adam;
    "AdamW" "adamw" AdamW;
}

/// The optimizer of a name of Keras' (`"adam"`) or a class (`"Adam"`), with its defaults.
///
/// # Errors
/// Where the name is unknown; the message lists what is near.
pub fn from_name(name: &str) -> Result<Optimizer<Box<dyn Rule>>> {
    match TABLE.iter().find(|e| e.name == name || e.class == name) {
        Some(entry) => from_config(entry.class, &json!({})),
        None => Err(names::unknown("optimizer", name, TABLE.iter().map(|e| e.name))),
    }
}

/// The optimizer of a class with a configuration under Keras' names; what is missing has its default. Learning-rate
/// schedules are not read.
///
/// # Errors
/// Where the class is unknown or an entry does not fit.
pub fn from_config(class: &str, config: &Value) -> Result<Optimizer<Box<dyn Rule>>> {
    let entry = TABLE
        .iter()
        .find(|e| e.class == class)
        .ok_or_else(|| names::unknown("optimizer", class, TABLE.iter().map(|e| e.class)))?;
    let config = names::without_nulls(config);
    let rule =
        (entry.make)(config.clone()).map_err(|e| Error::invalid(class, format!("configuration: {e}")))?;
    let number = |key: &str| match config.get(key) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| Error::invalid(class, format!("expected a number for {key}, received {value}"))),
    };
    let mut optimizer = Optimizer::new(rule);
    if let Some(rate) = number("learning_rate")? {
        optimizer = optimizer.learning_rate(rate);
    }
    if let Some(decay) = number("weight_decay")? {
        optimizer = optimizer.weight_decay(decay);
    }
    if let Some(limit) = number("clipnorm")? {
        optimizer = optimizer.clipnorm(limit);
    }
    if let Some(limit) = number("clipvalue")? {
        optimizer = optimizer.clipvalue(limit);
    }
    if let Some(limit) = number("global_clipnorm")? {
        optimizer = optimizer.global_clipnorm(limit);
    }
    Ok(optimizer)
}
