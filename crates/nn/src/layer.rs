//! What a layer is.

use std::cell::RefCell;

use kiln_graph::{Tensor, Variable, random_key};

use crate::error::{Error, Result};

/// A shape as a model knows it before data comes: `None` where any extent will do, the batch for instance.
pub type Dims = Vec<Option<usize>>;

/// What a call of a layer knows besides its input.
#[derive(Debug, Default)]
pub struct Context {
    training: bool,
    losses: RefCell<Vec<Tensor>>,
}

impl Context {
    /// A call in training: dropout drops, batch normalization uses and updates statistics.
    pub fn training() -> Context {
        Context { training: true, ..Context::default() }
    }

    /// A call for prediction.
    pub fn inference() -> Context {
        Context::default()
    }

    /// Whether this is training.
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// Adds a scalar to the model's loss, an activity penalty for instance.
    pub fn add_loss(&self, loss: Tensor) {
        self.losses.borrow_mut().push(loss);
    }

    /// The losses added so far.
    pub fn losses(&self) -> Vec<Tensor> {
        self.losses.borrow().clone()
    }
}

/// Seeds for initializers and layers, one after another from the model's seed.
#[derive(Clone, Debug)]
pub struct Seeds {
    seed: u64,
    used: u64,
}

impl Seeds {
    /// The seeds of a model.
    pub fn new(seed: u64) -> Seeds {
        Seeds { seed, used: 0 }
    }

    /// The next key: independent of all others of this model.
    pub fn next_key(&mut self) -> [u32; 2] {
        self.used += 1;
        random_key(self.seed, self.used)
    }
}

/// A part of a model: holds variables, maps tensors to tensors.
///
/// Implement it for a layer of your own: [`Layer::build`] creates variables once the input's shape is known,
/// [`Layer::call`] builds the expression.
pub trait Layer: Send + Sync {
    /// The class, `Dense` for instance.
    fn class_name(&self) -> &'static str;

    /// The layer's own name, where the user gave one; a model numbers the others by class.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Creates the variables for an input shape. Called once, before the first call, outside of any trace.
    ///
    /// # Errors
    /// Where the layer cannot take such an input.
    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        let _ = (input, seeds);
        Ok(())
    }

    /// The shape that comes out where `input` goes in.
    ///
    /// # Errors
    /// Where the layer cannot take such an input.
    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        Ok(input.to_vec())
    }

    /// The expression of the output. State changes by `Variable::assign`.
    fn call(&self, input: &Tensor, context: &Context) -> Tensor;

    /// The call of a layer with several inputs or outputs; by default a layer takes one.
    fn call_many(&self, inputs: &[Tensor], context: &Context) -> Vec<Tensor> {
        match inputs {
            [input] => vec![self.call(input, context)],
            _ => vec![Tensor::invalid(
                "layer",
                format!("{} takes one input, received {}", self.class_name(), inputs.len()),
            )],
        }
    }

    /// All variables in Keras' order: what is saved, what `set_weights` takes.
    fn variables(&self) -> Vec<Variable> {
        vec![]
    }

    /// The layers inside, for summaries and names.
    fn layers(&self) -> Vec<&dyn Layer> {
        vec![]
    }

    /// The configuration under Keras' names, enough to make the layer again.
    fn config(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

/// The extent of an axis that must be known to build.
///
/// # Errors
/// Where the axis is missing or open.
pub fn known_axis(layer: &str, input: &[Option<usize>], axis: i64) -> Result<usize> {
    let index = if axis < 0 { axis + input.len() as i64 } else { axis };
    usize::try_from(index).ok().and_then(|i| input.get(i).copied().flatten()).ok_or_else(|| {
        Error::invalid(
            layer,
            format!("axis {axis} of the input must be known to create weights, received shape {input:?}"),
        )
    })
}
