//! Rows and columns of zeros around images.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, common_builders, dims_of, expect_rank, failed, layer_methods};
use crate::error::Result;
use crate::layer::{Context, Dims, Layer};
use crate::serialize::Fields;

/// `[batch, rows, columns, channels]` with zeros around: `padding` is `[[top, bottom], [left, right]]`, 1 everywhere by
/// default.
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::ZeroPadding2D;
/// let padding = ZeroPadding2D::new([[0, 1], [2, 2]]);
/// assert_eq!(padding.output_shape(&[None, Some(4), Some(4), Some(3)])?, [None, Some(5), Some(8), Some(3)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct ZeroPadding2D {
    common: Common,
    padding: [[usize; 2]; 2],
}

impl Default for ZeroPadding2D {
    fn default() -> ZeroPadding2D {
        ZeroPadding2D::new([[1, 1], [1, 1]])
    }
}

impl ZeroPadding2D {
    /// `[[top, bottom], [left, right]]`.
    pub fn new(padding: [[usize; 2]; 2]) -> ZeroPadding2D {
        ZeroPadding2D { common: Common::default(), padding }
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<ZeroPadding2D> {
        f.only("data_format", json!("channels_last"))?;
        let common = Common::read(f)?;
        let padding = match f.value("padding") {
            None => [[1, 1], [1, 1]],
            // A number, one for each axis, or a pair for each axis.
            Some(value) => serde_json::from_value::<usize>(value.clone())
                .map(|n| [[n, n], [n, n]])
                .or_else(|_| {
                    serde_json::from_value::<[usize; 2]>(value.clone()).map(|[r, c]| [[r, r], [c, c]])
                })
                .or_else(|_| serde_json::from_value(value.clone()))
                .map_err(|_| {
                    f.error("padding", format!("expected [[top, bottom], [left, right]], received {value}"))
                })?,
        };
        Ok(ZeroPadding2D { common, padding })
    }
}

impl Layer for ZeroPadding2D {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        "ZeroPadding2D"
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        expect_rank("ZeroPadding2D", input, 4)?;
        let [rows, columns] = self.padding.map(|[before, after]| before + after);
        Ok(vec![input[0], input[1].map(|n| n + rows), input[2].map(|n| n + columns), input[3]])
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        let [rows, columns] = self.padding.map(|[before, after]| (before, after));
        match self.output_shape(&dims_of(input)) {
            Ok(_) => input.pad(&[(0, 0), rows, columns, (0, 0)], 0.0),
            Err(error) => failed("ZeroPadding2D", error),
        }
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "padding": self.padding, "data_format": "channels_last" }))
    }
}
