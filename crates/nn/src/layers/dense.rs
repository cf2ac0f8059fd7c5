//! A fully connected layer.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use super::common::{Common, Output, Weight, common_builders, layer_methods, weight_builders};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::initializers::{GlorotUniform, Zeros};
use crate::layer::{Context, Dims, Layer, Seeds, known_axis, shape_text};
use crate::regularizers::Regularizer;
use crate::serialize::Fields;

/// `activation(x · kernel + bias)` along the last axis.
///
/// Input `[batch, .., inputs]`, output `[batch, .., units]`. Weights: `kernel [inputs, units]` (Glorot uniform),
/// `bias [units]` (zeros).
///
/// ```
/// use kiln_nn::activations::relu;
/// use kiln_nn::layers::Dense;
/// use kiln_nn::{Layer, Seeds};
/// let mut dense = Dense::new(64).activation(relu);
/// dense.build(&[None, Some(784)], &mut Seeds::new(0))?;
/// assert_eq!(dense.variables()[0].shape(), [784, 64]);
/// assert_eq!(dense.count_params(), 50_240);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct Dense {
    common: Common,
    units: usize,
    use_bias: bool,
    kernel: Weight,
    bias: Weight,
    output: Output,
}

impl Dense {
    /// A layer with a bias and without an activation.
    pub fn new(units: usize) -> Dense {
        Dense {
            common: Common::default(),
            units,
            use_bias: true,
            kernel: Weight::new("kernel", GlorotUniform),
            bias: Weight::new("bias", Zeros),
            output: Output::default(),
        }
    }

    /// A function of [`crate::activations`], its name, or a closure; none by default.
    pub fn activation(mut self, activation: impl Into<Activation>) -> Dense {
        self.output.activation = activation.into();
        self
    }

    /// Whether a bias is added; it is by default.
    pub fn use_bias(mut self, use_bias: bool) -> Dense {
        self.use_bias = use_bias;
        self
    }

    /// A penalty on the output, divided by the batch size.
    pub fn activity_regularizer(mut self, regularizer: impl Regularizer + 'static) -> Dense {
        self.output.activity_regularizer = Some(Box::new(regularizer));
        self
    }

    common_builders!();
    weight_builders!(kernel, kernel_initializer, kernel_regularizer, kernel_constraint);
    weight_builders!(bias, bias_initializer, bias_regularizer, bias_constraint);

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Dense> {
        let mut dense = Dense::new(f.required("units")?);
        dense.common = Common::read(f)?;
        dense.use_bias = f.or("use_bias", true)?;
        dense.output = Output::read(f)?;
        dense.kernel.configure(f)?;
        dense.bias.configure(f)?;
        Ok(dense)
    }
}

impl Layer for Dense {
    layer_methods!(kernel, bias);

    fn class_name(&self) -> &'static str {
        "Dense"
    }

    #[track_caller]
    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        self.output.activation.check()?;
        self.output_shape(input)?;
        let inputs = known_axis("Dense", input, -1)?;
        self.kernel.build(&[inputs, self.units], &self.common, seeds)?;
        if self.use_bias {
            self.bias.build(&[self.units], &self.common, seeds)?;
        }
        Ok(())
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        if self.units == 0 {
            let message =
                "received an invalid value for `units`, expected a positive integer, received units=0";
            return Err(Error::invalid("Dense", message));
        }
        match input.split_last() {
            Some((_, lead)) if !lead.is_empty() => Ok([lead, &[Some(self.units)]].concat()),
            _ => {
                let message = format!(
                    "expected at least 2 axes (batch, features), received shape {}",
                    shape_text(input)
                );
                Err(Error::invalid("Dense", message))
            }
        }
    }

    #[track_caller]
    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        let kernel = self.kernel.read(context);
        let (inputs, shape) = (kernel.shape().first().copied(), input.shape());
        if kernel.error().is_none() && input.error().is_none() && shape.last().copied() != inputs {
            let message = format!(
                "expected last axis {}, received shape {shape:?}; the layer was built for another input, or Flatten \
                 belongs before it",
                inputs.unwrap_or_default()
            );
            return Tensor::invalid("Dense", message);
        }
        let product = input.matmul(&kernel);
        let sum = if self.use_bias { product + self.bias.read(context) } else { product };
        self.output.apply(&sum, context)
    }

    fn config(&self) -> Value {
        let mut config = json!({ "units": self.units, "use_bias": self.use_bias });
        self.output.describe(&mut config);
        self.kernel.describe(&mut config);
        self.bias.describe(&mut config);
        self.common.config(config)
    }
}
