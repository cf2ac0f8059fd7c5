//! What a layer is.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use kiln_graph::{Tensor, Variable, random_key};

use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::weights;

/// A shape as a model knows it before data comes: `None` where any extent will do, the batch for instance.
pub type Dims = Vec<Option<usize>>;

/// What a call of a layer knows besides its input.
#[derive(Debug, Default)]
pub struct Context {
    training: bool,
    losses: RefCell<Vec<Tensor>>,
    draws: Cell<u32>,
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

    /// A number that no other draw of this call has: it tells apart the masks of a layer that is used twice.
    pub fn next_draw(&self) -> u32 {
        self.draws.replace(self.draws.get().wrapping_add(1))
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

    /// State beside the weights, as the seeds of dropout: not in weight files, but in checkpoints that resume exactly.
    fn state(&self) -> Vec<Variable> {
        self.layers().iter().flat_map(|layer| layer.state()).collect()
    }

    /// What a training step applies to new values of variables.
    fn constraints(&self) -> Vec<(Variable, Arc<dyn Constraint>)> {
        self.layers().iter().flat_map(|layer| layer.constraints()).collect()
    }

    /// Freezes the layer or lets it be trained. Override it where some variables are never trained.
    fn set_trainable(&mut self, trainable: bool) {
        for variable in self.variables().iter().filter(|v| v.dtype().is_float()) {
            variable.set_trainable(trainable);
        }
    }

    /// The input shape that the layer declares, batch first, as an input layer does.
    fn input_shape(&self) -> Option<Dims> {
        None
    }

    /// The values of all variables, in order.
    fn get_weights(&self) -> Vec<Tensor> {
        self.variables().iter().map(Variable::read).collect()
    }

    /// Sets all variables, in order: all of them, or none where one value does not fit.
    ///
    /// # Errors
    /// Where the count, a shape or a type differs.
    fn set_weights(&self, values: &[Tensor]) -> Result<()> {
        weights::set_weights(self.name().unwrap_or(self.class_name()), &self.variables(), values)
    }

    /// Number of elements in all variables.
    fn count_params(&self) -> usize {
        self.variables().iter().map(Variable::len).sum()
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

impl<L: Layer + 'static> From<L> for Box<dyn Layer> {
    fn from(layer: L) -> Box<dyn Layer> {
        Box::new(layer)
    }
}

impl std::fmt::Debug for dyn Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.class_name(), self.config())
    }
}

/// A shape as Keras prints it: `(None, 28, 28)`.
pub fn shape_text(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| d.map_or("None".into(), |n| n.to_string())).collect();
    let comma = if dims.len() == 1 { "," } else { "" };
    format!("({}{comma})", dims.join(", "))
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
            format!(
                "axis {axis} of the input must be known to create weights, received shape {}",
                shape_text(input)
            ),
        )
    })
}
