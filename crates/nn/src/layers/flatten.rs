//! All axes but the batch as one.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, common_builders, layer_methods};
use crate::error::{Error, Result};
use crate::layer::{Context, Dims, Layer};
use crate::serialize::Fields;

/// `[batch, a, b, ..]` to `[batch, a · b · ..]`; a vector `[batch]` becomes `[batch, 1]`.
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::Flatten;
/// assert_eq!(Flatten::new().output_shape(&[None, Some(5), Some(5), Some(64)])?, [None, Some(1600)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
#[derive(Default)]
pub struct Flatten {
    common: Common,
}

impl Flatten {
    /// The layer.
    pub fn new() -> Flatten {
        Flatten::default()
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Flatten> {
        f.only("data_format", json!("channels_last"))?;
        Ok(Flatten { common: Common::read(f)? })
    }
}

impl Layer for Flatten {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "Flatten"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        let Some((batch, rest)) = input.split_first() else {
            return Err(Error::invalid("Flatten", "expected a batch axis, received a scalar"));
        };
        Ok(vec![*batch, rest.iter().copied().product()])
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        input.flatten_from(1)
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "data_format": "channels_last" }))
    }
}
