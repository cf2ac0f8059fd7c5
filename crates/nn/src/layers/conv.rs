//! Convolutions over one, two or three spatial axes.

use kiln_graph::{Padding, Tensor};
use serde_json::{Value, json};

use super::common::{
    Common, Extents, Output, Weight, Window, common_builders, dims_of, failed, layer_methods, padding_name,
    read_padding, weight_builders,
};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::initializers::{GlorotUniform, Zeros};
use crate::layer::{Context, Dims, Layer, Seeds, known_axis, shape_text};
use crate::regularizers::Regularizer;
use crate::serialize::Fields;

/// Convolution of `[batch, steps, channels]`; see [`Conv`].
pub type Conv1D = Conv<1>;
/// Convolution of images `[batch, rows, columns, channels]`; see [`Conv`].
pub type Conv2D = Conv<2>;
/// Convolution of volumes `[batch, depth, rows, columns, channels]`; see [`Conv`].
pub type Conv3D = Conv<3>;

/// `activation(x ∗ kernel + bias)` over `N` spatial axes, channels last.
///
/// Input `[batch, spatial.., channels]`, output `[batch, spatial'.., filters]`. Weights: `kernel [window.., channels /
/// groups, filters]` (Glorot uniform), `bias [filters]` (zeros). Defaults: strides 1, padding valid, dilation rate 1,
/// groups 1.
///
/// ```
/// use kiln_graph::Padding;
/// use kiln_nn::layers::Conv2D;
/// use kiln_nn::{Layer, Seeds};
/// let mut conv = Conv2D::new(32, 3).padding(Padding::Same).activation("relu");
/// let image = [None, Some(28), Some(28), Some(1)];
/// conv.build(&image, &mut Seeds::new(0))?;
/// assert_eq!(conv.output_shape(&image)?, [None, Some(28), Some(28), Some(32)]);
/// assert_eq!(conv.variables()[0].shape(), [3, 3, 1, 32]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Conv<const N: usize> {
    common: Common,
    filters: usize,
    kernel_size: Extents<N>,
    strides: Extents<N>,
    padding: Padding,
    dilation_rate: Extents<N>,
    groups: usize,
    use_bias: bool,
    kernel: Weight,
    bias: Weight,
    output: Output,
}

impl<const N: usize> Conv<N> {
    /// A convolution with a bias and without an activation.
    pub fn new(filters: usize, kernel_size: impl Into<Extents<N>>) -> Conv<N> {
        Conv {
            common: Common::default(),
            filters,
            kernel_size: kernel_size.into(),
            strides: 1.into(),
            padding: Padding::Valid,
            dilation_rate: 1.into(),
            groups: 1,
            use_bias: true,
            kernel: Weight::new("kernel", GlorotUniform),
            bias: Weight::new("bias", Zeros),
            output: Output::default(),
        }
    }

    /// Cells from window to window, 1 by default.
    pub fn strides(mut self, strides: impl Into<Extents<N>>) -> Self {
        self.strides = strides.into();
        self
    }

    /// How windows treat the edges, valid by default.
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Cells from tap to tap inside a window, 1 by default.
    pub fn dilation_rate(mut self, dilation_rate: impl Into<Extents<N>>) -> Self {
        self.dilation_rate = dilation_rate.into();
        self
    }

    /// Groups of channels that are convolved apart, 1 by default.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// A function of [`crate::activations`], its name, or a closure; none by default.
    pub fn activation(mut self, activation: impl Into<Activation>) -> Self {
        self.output.activation = activation.into();
        self
    }

    /// Whether a bias is added; it is by default.
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// A penalty on the output, divided by the batch size.
    pub fn activity_regularizer(mut self, regularizer: impl Regularizer + 'static) -> Self {
        self.output.activity_regularizer = Some(Box::new(regularizer));
        self
    }

    common_builders!();
    weight_builders!(kernel, kernel_initializer, kernel_regularizer, kernel_constraint);
    weight_builders!(bias, bias_initializer, bias_regularizer, bias_constraint);

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Self> {
        let filters = f.required("filters")?;
        let size =
            Extents::read(f, "kernel_size")?.ok_or_else(|| f.error("kernel_size", "expected a value"))?;
        let mut conv = Conv::new(filters, size);
        conv.common = Common::read(f)?;
        conv.strides = Extents::read(f, "strides")?.unwrap_or(conv.strides);
        conv.padding = read_padding(f, N == 1)?;
        conv.dilation_rate = Extents::read(f, "dilation_rate")?.unwrap_or(conv.dilation_rate);
        conv.groups = f.or("groups", 1)?;
        conv.use_bias = f.or("use_bias", true)?;
        conv.output = Output::read(f)?;
        conv.kernel.configure(f)?;
        conv.bias.configure(f)?;
        f.only("data_format", json!("channels_last"))?;
        Ok(conv)
    }

    const CLASS: &'static str = match N {
        1 => "Conv1D",
        2 => "Conv2D",
        _ => "Conv3D",
    };

    fn check(&self) -> Result<()> {
        self.kernel_size.check(Self::CLASS, "kernel_size")?;
        self.strides.check(Self::CLASS, "strides")?;
        self.dilation_rate.check(Self::CLASS, "dilation_rate")?;
        if self.filters == 0 || self.groups == 0 || !self.filters.is_multiple_of(self.groups) {
            let message = format!(
                "the number of filters must be positive and evenly divisible by the number of groups, received \
                 groups={}, filters={}",
                self.groups, self.filters
            );
            return Err(Error::invalid(Self::CLASS, message));
        }
        self.output.activation.check()
    }
}

impl<const N: usize> Layer for Conv<N> {
    layer_methods!(kernel, bias);

    fn class_name(&self) -> &'static str {
        Self::CLASS
    }

    #[track_caller]
    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        self.output_shape(input)?;
        let channels = known_axis(Self::CLASS, input, -1)?;
        if !channels.is_multiple_of(self.groups) {
            let message = format!(
                "the number of input channels must be evenly divisible by the number of groups, received groups={}, but \
                 the input has {channels} channels (full input shape is {})",
                self.groups,
                shape_text(input)
            );
            return Err(Error::invalid(Self::CLASS, message));
        }
        let shape = [&self.kernel_size.0[..], &[channels / self.groups, self.filters]].concat();
        self.kernel.build(&shape, &self.common, seeds)?;
        if self.use_bias {
            self.bias.build(&[self.filters], &self.common, seeds)?;
        }
        Ok(())
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        self.check()?;
        let window = Window {
            class: Self::CLASS,
            size: &self.kernel_size.0,
            strides: &self.strides.0,
            dilations: &self.dilation_rate.0,
            padding: self.padding,
        };
        window.output(input, Some(self.filters))
    }

    #[track_caller]
    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        if let Err(error) = self.output_shape(&dims_of(input)) {
            return failed(Self::CLASS, error);
        }
        let kernel = self.kernel.read(context);
        let y = input.conv(&kernel, &self.strides.0, self.padding, &self.dilation_rate.0, self.groups);
        let sum = if self.use_bias { y + self.bias.read(context) } else { y };
        self.output.apply(&sum, context)
    }

    fn config(&self) -> Value {
        let mut config = json!({
            "filters": self.filters,
            "kernel_size": self.kernel_size.config(),
            "strides": self.strides.config(),
            "padding": padding_name(self.padding),
            "data_format": "channels_last",
            "dilation_rate": self.dilation_rate.config(),
            "groups": self.groups,
            "use_bias": self.use_bias,
        });
        self.output.describe(&mut config);
        self.kernel.describe(&mut config);
        self.bias.describe(&mut config);
        self.common.config(config)
    }
}
