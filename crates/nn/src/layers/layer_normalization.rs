//! Normalisation of each example by itself.

use kiln_graph::{Axes, DType, Tensor};
use serde_json::{Value, json};

use super::common::{Common, Weight, common_builders, dims_of, failed, layer_methods, weight_builders};
use crate::constraints::axes;
use crate::error::{Error, Result};
use crate::initializers::{Ones, Zeros};
use crate::layer::{Context, Dims, Layer, Seeds, known_axis, shape_text};
use crate::serialize::Fields;

/// `gamma · (x − mean) / sqrt(variance + epsilon) + beta`, with mean and variance over `axis` of each example.
///
/// Defaults: axis −1, epsilon 0.001. Weights, of the shape of the normalised axes: `gamma` (ones), `beta` (zeros).
///
/// ```
/// use kiln_nn::layers::LayerNormalization;
/// use kiln_nn::{Layer, Seeds};
/// let mut normalization = LayerNormalization::new().axis([1, 2]).epsilon(1e-5);
/// normalization.build(&[None, Some(4), Some(8)], &mut Seeds::new(0))?;
/// assert_eq!(normalization.variables()[0].shape(), [4, 8]);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct LayerNormalization {
    common: Common,
    axis: Vec<i64>,
    epsilon: f32,
    center: bool,
    scale: bool,
    gamma: Weight,
    beta: Weight,
}

impl Default for LayerNormalization {
    fn default() -> LayerNormalization {
        LayerNormalization {
            common: Common::default(),
            axis: vec![-1],
            epsilon: 1e-3,
            center: true,
            scale: true,
            gamma: Weight::new("gamma", Ones),
            beta: Weight::new("beta", Zeros),
        }
    }
}

impl LayerNormalization {
    /// The layer with Keras' defaults.
    pub fn new() -> LayerNormalization {
        LayerNormalization::default()
    }

    /// The axes that are normalised together, the last by default.
    pub fn axis(mut self, axis: impl Into<Vec<i64>>) -> LayerNormalization {
        self.axis = axis.into();
        self
    }

    /// What is added to the variance, 0.001 by default.
    pub fn epsilon(mut self, epsilon: f32) -> LayerNormalization {
        self.epsilon = epsilon;
        self
    }

    /// Whether `beta` is added; it is by default.
    pub fn center(mut self, center: bool) -> LayerNormalization {
        self.center = center;
        self
    }

    /// Whether `gamma` multiplies; it does by default.
    pub fn scale(mut self, scale: bool) -> LayerNormalization {
        self.scale = scale;
        self
    }

    common_builders!();
    weight_builders!(gamma, gamma_initializer, gamma_regularizer, gamma_constraint);
    weight_builders!(beta, beta_initializer, beta_regularizer, beta_constraint);

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<LayerNormalization> {
        let mut layer = LayerNormalization { common: Common::read(f)?, ..LayerNormalization::default() };
        if f.value("axis").is_some() {
            layer.axis = axes(f)?;
        }
        layer.epsilon = f.or("epsilon", 1e-3)?;
        layer.center = f.or("center", true)?;
        layer.scale = f.or("scale", true)?;
        layer.gamma.configure(f)?;
        layer.beta.configure(f)?;
        Ok(layer)
    }

    /// The axes from the front, in order.
    fn resolve(&self, input: &[Option<usize>]) -> Result<Vec<usize>> {
        let named = Axes::from(&self.axis[..]);
        match named.resolve(input.len()) {
            Ok(axes) if !axes.is_empty() => Ok(axes),
            Ok(_) => Err(Error::invalid("LayerNormalization", "expected at least one axis, received none")),
            Err(message) => {
                let message = format!("{message}; received input shape {}", shape_text(input));
                Err(Error::invalid("LayerNormalization", message))
            }
        }
    }

    #[track_caller]
    fn normalize(&self, input: &Tensor, context: &Context) -> Result<Tensor> {
        let resolved = self.resolve(&dims_of(input))?;
        let mut broadcast = vec![1i64; input.rank()];
        for axis in &resolved {
            broadcast[*axis] = input.shape()[*axis] as i64;
        }
        let axes: Vec<i64> = resolved.iter().map(|axis| *axis as i64).collect();
        let mut y = input.cast(DType::F32).normalize_moments(axes, self.epsilon);
        if self.scale {
            y = y * self.gamma.read(context).reshape(&broadcast);
        }
        if self.center {
            y = y + self.beta.read(context).reshape(&broadcast);
        }
        Ok(if input.dtype().is_float() { y.cast(input.dtype()) } else { y })
    }
}

impl Layer for LayerNormalization {
    layer_methods!(gamma, beta);

    fn class_name(&self) -> &'static str {
        "LayerNormalization"
    }

    #[track_caller]
    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        let axes = self.resolve(input)?;
        let extent = |axis: &usize| known_axis("LayerNormalization", input, *axis as i64);
        let shape = axes.iter().map(extent).collect::<Result<Vec<usize>>>()?;
        if self.scale {
            self.gamma.build(&shape, &self.common, seeds)?;
        }
        if self.center {
            self.beta.build(&shape, &self.common, seeds)?;
        }
        Ok(())
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        self.resolve(input).map(|_| input.to_vec())
    }

    #[track_caller]
    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        match self.normalize(input, context) {
            Ok(output) => output,
            Err(error) => failed("LayerNormalization", error),
        }
    }

    fn config(&self) -> Value {
        let (epsilon, center, scale) = (self.epsilon, self.center, self.scale);
        let mut config = json!({ "axis": self.axis, "epsilon": epsilon, "center": center, "scale": scale });
        self.gamma.describe(&mut config);
        self.beta.describe(&mut config);
        self.common.config(config)
    }
}
