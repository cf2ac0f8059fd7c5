//! Vectors for whole numbers.

use kiln_graph::{DType, Tensor};
use serde_json::{Value, json};

use super::common::{Common, Weight, common_builders, layer_methods, weight_builders};
use crate::error::{Error, Result};
use crate::initializers::RandomUniform;
use crate::layer::{Context, Dims, Layer, Seeds};
use crate::serialize::Fields;

/// The row of a table for each whole number.
///
/// Input: whole numbers `[batch, ..]` below `input_dim`; another one is an error of the run. Output `[batch, ..,
/// output_dim]`. Weights: `embeddings [input_dim, output_dim]` (uniform from −0.05 to 0.05).
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::Embedding;
/// let embedding = Embedding::new(1000, 64);
/// assert_eq!(embedding.output_shape(&[None, Some(10)])?, [None, Some(10), Some(64)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Embedding {
    common: Common,
    input_dim: usize,
    output_dim: usize,
    embeddings: Weight,
}

impl Embedding {
    /// A table of `input_dim` vectors of `output_dim` numbers.
    pub fn new(input_dim: usize, output_dim: usize) -> Embedding {
        let embeddings = Weight::new("embeddings", RandomUniform::default());
        Embedding { common: Common::default(), input_dim, output_dim, embeddings }
    }

    common_builders!();
    weight_builders!(embeddings, embeddings_initializer, embeddings_regularizer, embeddings_constraint);

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Embedding> {
        let mut layer = Embedding::new(f.required("input_dim")?, f.required("output_dim")?);
        layer.common = Common::read(f)?;
        layer.embeddings.configure(f)?;
        f.only("mask_zero", json!(false))?;
        Ok(layer)
    }
}

impl Layer for Embedding {
    layer_methods!(embeddings);

    fn class_name(&self) -> &'static str {
        "Embedding"
    }

    fn build(&mut self, _: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        if self.input_dim == 0 || self.output_dim == 0 {
            let message = format!(
                "`input_dim` and `output_dim` must be positive integers, received input_dim={}, output_dim={}",
                self.input_dim, self.output_dim
            );
            return Err(Error::invalid("Embedding", message));
        }
        self.embeddings.build(&[self.input_dim, self.output_dim], &self.common, seeds)
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        Ok([input, &[Some(self.output_dim)]].concat())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        // Keras takes whole numbers that came as floats.
        let indices = if input.dtype().is_integer() { input.clone() } else { input.cast(DType::I32) };
        self.embeddings.read(context).take(&indices, 0)
    }

    fn config(&self) -> Value {
        let (input_dim, output_dim) = (self.input_dim, self.output_dim);
        let mut config = json!({ "input_dim": input_dim, "output_dim": output_dim, "mask_zero": false });
        self.embeddings.describe(&mut config);
        self.common.config(config)
    }
}
