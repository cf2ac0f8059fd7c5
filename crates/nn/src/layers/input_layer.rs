//! The shape that a model takes.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, common_builders, layer_methods};
use crate::error::Result;
use crate::layer::{Context, Dims, Layer};
use crate::serialize::Fields;

/// Says what a model takes, so that it is built at once; a model does not list it among its layers.
///
/// ```
/// use kiln_nn::layers::{Dense, Input};
/// use kiln_nn::Sequential;
/// let model = Sequential::new().add(Input::new([784])).add(Dense::new(10));
/// assert_eq!(model.output_dims().unwrap(), [None, Some(10)]);
/// ```
pub struct InputLayer {
    common: Common,
    batch_shape: Dims,
}

/// Keras' other name of [`InputLayer`].
pub type Input = InputLayer;

impl InputLayer {
    /// The shape without the batch axis.
    pub fn new(shape: impl AsRef<[usize]>) -> InputLayer {
        let rest = shape.as_ref().iter().map(|d| Some(*d));
        InputLayer::batch_shape(std::iter::once(None).chain(rest).collect::<Dims>())
    }

    /// The shape with the batch axis; `None` where any extent will do.
    pub fn batch_shape(shape: impl Into<Dims>) -> InputLayer {
        InputLayer { common: Common::default(), batch_shape: shape.into() }
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<InputLayer> {
        // The type of the data is that of the tensors that come.
        f.value("dtype");
        f.only("sparse", json!(false))?;
        f.only("ragged", json!(false))?;
        f.only("optional", json!(false))?;
        let common = Common { name: f.optional("name")?, trainable: f.or("trainable", true)? };
        Ok(InputLayer { common, batch_shape: f.required("batch_shape")? })
    }
}

impl Layer for InputLayer {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "InputLayer"
    }

    fn input_shape(&self) -> Option<Dims> {
        Some(self.batch_shape.clone())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        input.clone()
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "batch_shape": self.batch_shape, "dtype": "float32" }))
    }
}
