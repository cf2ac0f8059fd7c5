//! Images made larger by repeating pixels.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, Extents, common_builders, dims_of, expect_rank, failed, layer_methods};
use crate::error::Result;
use crate::layer::{Context, Dims, Layer};
use crate::serialize::Fields;

/// `[batch, rows, columns, channels]` with every pixel repeated `size` times, 2 by 2 by default.
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::UpSampling2D;
/// let sampling = UpSampling2D::new((2, 3));
/// assert_eq!(sampling.output_shape(&[None, Some(4), Some(4), Some(3)])?, [None, Some(8), Some(12), Some(3)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct UpSampling2D {
    common: Common,
    size: Extents<2>,
}

impl Default for UpSampling2D {
    fn default() -> UpSampling2D {
        UpSampling2D::new(2)
    }
}

impl UpSampling2D {
    /// Repetitions of rows and columns.
    pub fn new(size: impl Into<Extents<2>>) -> UpSampling2D {
        UpSampling2D { common: Common::default(), size: size.into() }
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<UpSampling2D> {
        f.only("data_format", json!("channels_last"))?;
        f.only("interpolation", json!("nearest"))?;
        let size = Extents::read(f, "size")?.unwrap_or(2.into());
        Ok(UpSampling2D { common: Common::read(f)?, size })
    }
}

impl Layer for UpSampling2D {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "UpSampling2D"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        self.size.check("UpSampling2D", "size")?;
        expect_rank("UpSampling2D", input, 4)?;
        let [rows, columns] = self.size.0;
        Ok(vec![input[0], input[1].map(|n| n * rows), input[2].map(|n| n * columns), input[3]])
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        if let Err(error) = self.output_shape(&dims_of(input)) {
            return failed("UpSampling2D", error);
        }
        let (x, [rows, columns]) = (input.shape(), self.size.0);
        let spread = input.reshape(&[x[0], x[1], 1, x[2], 1, x[3]].map(|d| d as i64));
        let repeated = spread.broadcast_to(&[x[0], x[1], rows, x[2], columns, x[3]]);
        repeated.reshape(&[x[0], x[1] * rows, x[2] * columns, x[3]].map(|d| d as i64))
    }

    fn config(&self) -> Value {
        let size = self.size.config();
        self.common
            .config(json!({ "size": size, "data_format": "channels_last", "interpolation": "nearest" }))
    }
}
