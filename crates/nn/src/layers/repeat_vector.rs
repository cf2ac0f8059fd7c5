//! A vector several times.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, common_builders, dims_of, expect_rank, failed, layer_methods};
use crate::error::Result;
use crate::layer::{Context, Dims, Layer};
use crate::serialize::Fields;

/// `[batch, features]` to `[batch, n, features]`.
pub struct RepeatVector {
    common: Common,
    n: usize,
}

impl RepeatVector {
    /// How often the vector stands there.
    pub fn new(n: usize) -> RepeatVector {
        RepeatVector { common: Common::default(), n }
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<RepeatVector> {
        Ok(RepeatVector { common: Common::read(f)?, n: f.required("n")? })
    }
}

impl Layer for RepeatVector {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "RepeatVector"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        expect_rank("RepeatVector", input, 2)?;
        Ok(vec![input[0], Some(self.n), input[1]])
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        match self.output_shape(&dims_of(input)) {
            Ok(_) => input.expand_dims(1).broadcast_to(&[input.shape()[0], self.n, input.shape()[1]]),
            Err(error) => failed("RepeatVector", error),
        }
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "n": self.n }))
    }
}
