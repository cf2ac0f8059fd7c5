//! The same elements under another shape.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, common_builders, dims_of, failed, layer_methods};
use crate::error::{Error, Result};
use crate::layer::{Context, Dims, Layer, shape_text};
use crate::serialize::Fields;

/// `[batch, ..]` to `[batch, target shape..]`; one extent of the target may be −1 and is worked out.
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::Reshape;
/// assert_eq!(Reshape::new([4, -1]).output_shape(&[None, Some(3), Some(8)])?, [None, Some(4), Some(6)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Reshape {
    common: Common,
    target_shape: Vec<i64>,
}

impl Reshape {
    /// The shape without the batch axis.
    pub fn new(target_shape: impl Into<Vec<i64>>) -> Reshape {
        Reshape { common: Common::default(), target_shape: target_shape.into() }
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Reshape> {
        Ok(Reshape { common: Common::read(f)?, target_shape: f.required("target_shape")? })
    }
}

impl Layer for Reshape {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "Reshape"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        let error = |why: &str| {
            let target = &self.target_shape;
            let message =
                format!("{why}, received input shape {}, target_shape={target:?}", shape_text(input));
            Error::invalid("Reshape", message)
        };
        let (batch, rest) = input.split_first().ok_or_else(|| error("expected a batch axis"))?;
        let unknown = self.target_shape.iter().filter(|d| **d == -1).count();
        if unknown > 1 || self.target_shape.iter().any(|d| *d < -1) {
            return Err(error("there must be at most one unknown dimension (−1) in target_shape"));
        }
        let known: usize = self.target_shape.iter().filter(|d| **d >= 0).map(|d| *d as usize).product();
        let elements: Option<usize> = rest.iter().copied().product();
        let inferred = match elements {
            Some(n) if unknown == 0 && n != known => {
                return Err(error("the total size of the tensor must be unchanged"));
            }
            Some(n) if unknown == 1 && (known == 0 || n % known != 0) => {
                return Err(error(
                    "the total size of the tensor must be unchanged, also by the dimension of −1",
                ));
            }
            Some(n) if unknown == 1 => Some(n / known),
            _ => None,
        };
        let extent = |d: &i64| if *d < 0 { inferred } else { Some(*d as usize) };
        Ok(std::iter::once(*batch).chain(self.target_shape.iter().map(extent)).collect())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        match self.output_shape(&dims_of(input)) {
            Ok(dims) => input.reshape(&dims.iter().map(|d| d.map_or(-1, |n| n as i64)).collect::<Vec<_>>()),
            Err(error) => failed("Reshape", error),
        }
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "target_shape": self.target_shape }))
    }
}
