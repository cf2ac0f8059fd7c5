//! Axes in another order.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, common_builders, dims_of, failed, layer_methods};
use crate::error::{Error, Result};
use crate::layer::{Context, Dims, Layer, shape_text};
use crate::serialize::Fields;

/// Output axis `i` is input axis `dims[i − 1]`; axes count from 1, the batch stays.
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::Permute;
/// assert_eq!(Permute::new([2, 1]).output_shape(&[None, Some(10), Some(64)])?, [None, Some(64), Some(10)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Permute {
    common: Common,
    dims: Vec<usize>,
}

impl Permute {
    /// The order of the axes after the batch, counted from 1.
    pub fn new(dims: impl Into<Vec<usize>>) -> Permute {
        Permute { common: Common::default(), dims: dims.into() }
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Permute> {
        Ok(Permute { common: Common::read(f)?, dims: f.required("dims")? })
    }
}

impl Layer for Permute {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "Permute"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if sorted != (1..=self.dims.len()).collect::<Vec<_>>() {
            let message = format!(
                "invalid permutation argument `dims`: the set of indices must be consecutive and start from 1, received \
                 dims={:?}",
                self.dims
            );
            return Err(Error::invalid("Permute", message));
        }
        if input.len() != self.dims.len() + 1 {
            let message =
                format!("expected {} axes, received shape {}", self.dims.len() + 1, shape_text(input));
            return Err(Error::invalid("Permute", message));
        }
        Ok(std::iter::once(0).chain(self.dims.iter().copied()).map(|axis| input[axis]).collect())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        match self.output_shape(&dims_of(input)) {
            Ok(_) => {
                let order: Vec<i64> = std::iter::once(0).chain(self.dims.iter().map(|d| *d as i64)).collect();
                input.transpose(&order)
            }
            Err(error) => failed("Permute", error),
        }
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "dims": self.dims }))
    }
}
