//! A closure as a layer.

use kiln_graph::{DType, Tensor};

use super::common::{Common, common_builders, layer_methods};
use crate::error::{Error, Result};
use crate::layer::{Context, Dims, Layer};

type Function = dyn Fn(&Tensor) -> Tensor + Send + Sync;

/// A closure of the input. It has no configuration: write a [`Layer`] of your own for one that is saved with a model.
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::Lambda;
/// let mean = Lambda::new(|x| x.mean(1));
/// assert_eq!(mean.output_shape(&[None, Some(10), Some(64)])?, [None, Some(64)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Lambda {
    common: Common,
    function: Box<Function>,
}

impl Lambda {
    /// The layer of a closure, which also tells the output's shape: it is tried on shapes, without computing.
    pub fn new(function: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Lambda {
        Lambda { common: Common::default(), function: Box::new(function) }
    }

    common_builders!();

    /// The output's shape where every open extent is `open`.
    fn try_on(&self, input: &[Option<usize>], open: usize) -> Result<Vec<usize>> {
        let shape: Vec<usize> = input.iter().map(|d| d.unwrap_or(open)).collect();
        let y = (self.function)(&Tensor::full(&shape, 0.0, DType::F32));
        match y.check() {
            Ok(y) => Ok(y.shape().to_vec()),
            Err(error) => {
                let message = format!("the closure fails on an input of shape {shape:?}: {error}");
                Err(Error::invalid("Lambda", message))
            }
        }
    }
}

impl Layer for Lambda {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "Lambda"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        let (a, b) = (self.try_on(input, 4)?, self.try_on(input, 8)?);
        if a.len() != b.len() {
            let message = "the closure gives outputs of different rank for inputs of one rank";
            return Err(Error::invalid("Lambda", message));
        }
        Ok(a.iter().zip(&b).map(|(a, b)| (a == b).then_some(*a)).collect())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        (self.function)(input)
    }
}
