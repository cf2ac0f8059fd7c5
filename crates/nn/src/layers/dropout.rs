//! Elements set to zero at random while training.

use kiln_graph::random::{self, SeedGenerator};
use kiln_graph::{Tensor, Variable, random_key};
use serde_json::{Value, json};

use super::common::{Common, common_builders};
use crate::error::{Error, Result};
use crate::layer::{Context, Layer, Seeds};
use crate::serialize::Fields;

/// In training, each element is 0 with probability `rate`, and the others are divided by `1 − rate`; elsewhere the
/// input itself.
///
/// The mask comes from a seed and the number of the call, which are state on the device: the same in every run, new in
/// every step. `noise_shape` holds 1 where elements along an axis share their fate.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::layers::Dropout;
/// use kiln_nn::{Context, Layer, Seeds};
/// let mut dropout = Dropout::new(0.5);
/// dropout.build(&[None, Some(1000)], &mut Seeds::new(0))?;
/// let y = dropout.call(&Tensor::ones(&[1, 1000]), &Context::training()).to_vec::<f32>()?;
/// assert!(y.iter().all(|v| *v == 0.0 || *v == 2.0));
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Dropout {
    common: Common,
    rate: f32,
    noise_shape: Option<Vec<Option<usize>>>,
    seed: Option<u64>,
    state: Option<Variable>,
}

impl Dropout {
    /// Dropout with a rate from 0 to 1.
    pub fn new(rate: f32) -> Dropout {
        Dropout { common: Common::default(), rate, noise_shape: None, seed: None, state: None }
    }

    /// The shape of the mask, broadcast to that of the input; `None` stands for the input's extent.
    pub fn noise_shape(mut self, noise_shape: impl Into<Vec<Option<usize>>>) -> Dropout {
        self.noise_shape = Some(noise_shape.into());
        self
    }

    /// A seed of the layer's own; by default it comes from the model's.
    pub fn seed(mut self, seed: u64) -> Dropout {
        self.seed = Some(seed);
        self
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Dropout> {
        Ok(Dropout {
            common: Common::read(f)?,
            rate: f.required("rate")?,
            noise_shape: f.optional("noise_shape")?,
            seed: f.optional("seed")?,
            state: None,
        })
    }

    fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.rate) {
            return Ok(());
        }
        let message = format!(
            "invalid value received for argument `rate`: expected a number between 0 and 1, received rate={}",
            self.rate
        );
        Err(Error::invalid("Dropout", message))
    }

    /// A key that no other call has had, and the state that says so.
    fn next_key(&self, context: &Context) -> Result<Tensor> {
        let unbuilt = "the layer is not built; call build first, or use it in a model";
        let state = self.state.as_ref().ok_or_else(|| Error::invalid("Dropout", unbuilt))?;
        let key = SeedGenerator::of_state(state.clone())?.next();
        Ok(key + Tensor::from_slice(&[context.next_draw(), 0u32]))
    }

    #[track_caller]
    fn drop(&self, input: &Tensor, context: &Context) -> Result<Tensor> {
        self.check()?;
        let key = self.next_key(context)?;
        Ok(random::dropout(input, self.rate, self.noise_shape.as_deref(), &key))
    }
}

impl Layer for Dropout {
    fn class_name(&self) -> &'static str {
        "Dropout"
    }

    fn name(&self) -> Option<&str> {
        self.common.name.as_deref()
    }

    #[track_caller]
    fn build(&mut self, _: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        self.check()?;
        let key = seeds.next_key();
        if self.state.is_none() {
            let key = self.seed.map_or(key, |seed| random_key(seed, 0));
            self.state =
                Some(Variable::new(&Tensor::from_slice(&key))?.named("seed_generator_state").frozen());
        }
        Ok(())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        if !context.is_training() || self.rate == 0.0 || input.error().is_some() {
            return input.clone();
        }
        match self.drop(input, context) {
            Ok(output) => output,
            Err(error) => super::common::failed("Dropout", error),
        }
    }

    fn state(&self) -> Vec<Variable> {
        self.state.iter().cloned().collect()
    }

    fn config(&self) -> Value {
        let (rate, seed, noise_shape) = (self.rate, self.seed, &self.noise_shape);
        self.common.config(json!({ "rate": rate, "seed": seed, "noise_shape": noise_shape }))
    }
}
