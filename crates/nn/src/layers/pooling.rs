//! Largest elements and means of sliding windows.

use std::marker::PhantomData;

use kiln_graph::{Padding, Tensor};
use serde_json::{Value, json};

use super::common::{
    Common, Extents, Window, common_builders, dims_of, failed, layer_methods, padding_name, read_padding,
};
use crate::error::Result;
use crate::layer::{Context, Dims, Layer};
use crate::serialize::Fields;

/// What is taken of a window: its largest element or its mean.
pub trait Pool: Send + Sync + 'static {
    /// The class names for one, two and three spatial axes.
    const CLASSES: [&'static str; 3];
    /// The class names of the global form.
    const GLOBAL: [&'static str; 3];
    /// The value of windows of `[batch, spatial.., channels]`.
    fn windows(x: &Tensor, pool: &[usize], strides: &[usize], padding: Padding) -> Tensor;
    /// The value over whole axes.
    fn whole(x: &Tensor, axes: &[i64]) -> Tensor;
}

/// The largest element. Its gradient goes to the first place that holds it.
pub struct Maximum;

/// The mean. Padded cells do not count.
pub struct Average;

impl Pool for Maximum {
    const CLASSES: [&'static str; 3] = ["MaxPooling1D", "MaxPooling2D", "MaxPooling3D"];
    const GLOBAL: [&'static str; 3] = ["GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"];

    fn windows(x: &Tensor, pool: &[usize], strides: &[usize], padding: Padding) -> Tensor {
        x.max_pool(pool, strides, padding)
    }

    fn whole(x: &Tensor, axes: &[i64]) -> Tensor {
        x.max(axes)
    }
}

impl Pool for Average {
    const CLASSES: [&'static str; 3] = ["AveragePooling1D", "AveragePooling2D", "AveragePooling3D"];
    const GLOBAL: [&'static str; 3] =
        ["GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"];

    fn windows(x: &Tensor, pool: &[usize], strides: &[usize], padding: Padding) -> Tensor {
        x.average_pool(pool, strides, padding)
    }

    fn whole(x: &Tensor, axes: &[i64]) -> Tensor {
        x.mean(axes)
    }
}

/// Largest elements over windows of `[batch, steps, channels]`; see [`Pooling`].
pub type MaxPooling1D = Pooling<Maximum, 1>;
/// Largest elements over windows of images; see [`Pooling`].
pub type MaxPooling2D = Pooling<Maximum, 2>;
/// Largest elements over windows of volumes; see [`Pooling`].
pub type MaxPooling3D = Pooling<Maximum, 3>;
/// Means over windows of `[batch, steps, channels]`; see [`Pooling`].
pub type AveragePooling1D = Pooling<Average, 1>;
/// Means over windows of images; see [`Pooling`].
pub type AveragePooling2D = Pooling<Average, 2>;
/// Means over windows of volumes; see [`Pooling`].
pub type AveragePooling3D = Pooling<Average, 3>;

/// Pooling over `N` spatial axes: `[batch, spatial.., channels]` to `[batch, windows.., channels]`.
///
/// Defaults: pool size 2, strides as the pool size, padding valid.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::layers::MaxPooling2D;
/// use kiln_nn::{Context, Layer};
/// let x = Tensor::from_vec(&[1.0f32, 5.0, 2.0, 3.0], &[1, 2, 2, 1]);
/// let y = MaxPooling2D::new(2).call(&x, &Context::inference());
/// assert_eq!(y.to_vec::<f32>()?, [5.0]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Pooling<P, const N: usize> {
    common: Common,
    pool_size: Extents<N>,
    strides: Option<Extents<N>>,
    padding: Padding,
    pool: PhantomData<fn() -> P>,
}

impl<P: Pool, const N: usize> Default for Pooling<P, N> {
    fn default() -> Self {
        Pooling::new(2)
    }
}

impl<P: Pool, const N: usize> Pooling<P, N> {
    /// Pooling over windows that stand side by side.
    pub fn new(pool_size: impl Into<Extents<N>>) -> Self {
        Pooling {
            common: Common::default(),
            pool_size: pool_size.into(),
            strides: None,
            padding: Padding::Valid,
            pool: PhantomData,
        }
    }

    /// Cells from window to window, the pool size by default.
    pub fn strides(mut self, strides: impl Into<Extents<N>>) -> Self {
        self.strides = Some(strides.into());
        self
    }

    /// How windows treat the edges, valid by default.
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    common_builders!();

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Self> {
        let size = Extents::read(f, "pool_size")?.unwrap_or(2.into());
        let mut pooling = Pooling::new(size);
        pooling.common = Common::read(f)?;
        pooling.strides = Extents::read(f, "strides")?;
        pooling.padding = read_padding(f, false)?;
        f.only("data_format", json!("channels_last"))?;
        Ok(pooling)
    }

    const CLASS: &'static str = P::CLASSES[if N > 3 { 2 } else { N - 1 }];

    fn strides_used(&self) -> Extents<N> {
        self.strides.unwrap_or(self.pool_size)
    }
}

impl<P: Pool, const N: usize> Layer for Pooling<P, N> {
    layer_methods!();

    fn class_name(&self) -> &'static str {
        Self::CLASS
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        self.pool_size.check(Self::CLASS, "pool_size")?;
        self.strides_used().check(Self::CLASS, "strides")?;
        let window = Window {
            class: Self::CLASS,
            size: &self.pool_size.0,
            strides: &self.strides_used().0,
            dilations: &[1; N],
            padding: self.padding,
        };
        window.output(input, input.last().copied().flatten())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        match self.output_shape(&dims_of(input)) {
            Ok(_) => P::windows(input, &self.pool_size.0, &self.strides_used().0, self.padding),
            Err(error) => failed(Self::CLASS, error),
        }
    }

    fn config(&self) -> Value {
        self.common.config(json!({
            "pool_size": self.pool_size.config(),
            "strides": self.strides_used().config(),
            "padding": padding_name(self.padding),
            "data_format": "channels_last",
        }))
    }
}
