//! Largest elements and means over all spatial axes.

use std::marker::PhantomData;

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, common_builders, dims_of, expect_rank, failed, layer_methods};
use super::pooling::{Average, Maximum, Pool};
use crate::error::Result;
use crate::layer::{Context, Dims, Layer};
use crate::serialize::Fields;

/// Largest element over the steps; see [`GlobalPooling`].
pub type GlobalMaxPooling1D = GlobalPooling<Maximum, 1>;
/// Largest element over an image; see [`GlobalPooling`].
pub type GlobalMaxPooling2D = GlobalPooling<Maximum, 2>;
/// Largest element over a volume; see [`GlobalPooling`].
pub type GlobalMaxPooling3D = GlobalPooling<Maximum, 3>;
/// Mean over the steps; see [`GlobalPooling`].
pub type GlobalAveragePooling1D = GlobalPooling<Average, 1>;
/// Mean over an image; see [`GlobalPooling`].
pub type GlobalAveragePooling2D = GlobalPooling<Average, 2>;
/// Mean over a volume; see [`GlobalPooling`].
pub type GlobalAveragePooling3D = GlobalPooling<Average, 3>;

/// `[batch, spatial.., channels]` to `[batch, channels]`, or `[batch, 1.., channels]` with `keepdims`.
///
/// ```
/// use kiln_nn::Layer;
/// use kiln_nn::layers::GlobalAveragePooling2D;
/// let pooling = GlobalAveragePooling2D::new();
/// assert_eq!(pooling.output_shape(&[None, Some(7), Some(7), Some(64)])?, [None, Some(64)]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct GlobalPooling<P, const N: usize> {
    common: Common,
    keepdims: bool,
    pool: PhantomData<fn() -> P>,
}

impl<P: Pool, const N: usize> Default for GlobalPooling<P, N> {
    fn default() -> Self {
        GlobalPooling { common: Common::default(), keepdims: false, pool: PhantomData }
    }
}

impl<P: Pool, const N: usize> GlobalPooling<P, N> {
    /// Pooling that drops the spatial axes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the spatial axes stay, with extent 1; they do not by default.
    pub fn keepdims(mut self, keepdims: bool) -> Self {
        self.keepdims = keepdims;
        self
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Self> {
        f.only("data_format", json!("channels_last"))?;
        Ok(GlobalPooling { common: Common::read(f)?, keepdims: f.or("keepdims", false)?, pool: PhantomData })
    }

    const CLASS: &'static str = P::GLOBAL[if N > 3 { 2 } else { N - 1 }];
}

impl<P: Pool, const N: usize> Layer for GlobalPooling<P, N> {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        Self::CLASS
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        expect_rank(Self::CLASS, input, N + 2)?;
        let ones = if self.keepdims { &[Some(1); N][..] } else { &[] };
        Ok([&input[..1], ones, &input[N + 1..]].concat())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        if let Err(error) = self.output_shape(&dims_of(input)) {
            return failed(Self::CLASS, error);
        }
        let axes: Vec<i64> = (1..=N as i64).collect();
        let value = P::whole(input, &axes);
        if self.keepdims { value.keep_dims(input, axes) } else { value }
    }

    fn config(&self) -> Value {
        self.common.config(json!({ "data_format": "channels_last", "keepdims": self.keepdims }))
    }
}
