//! Normalisation by the statistics of a batch, or their moving means.

use kiln_graph::{DType, Tensor};
use serde_json::{Value, json};

use super::common::{Common, Weight, common_builders, failed, layer_methods, weight_builders};
use crate::error::{Error, Result};
use crate::initializers::{Ones, Zeros};
use crate::layer::{Context, Dims, Layer, Seeds, known_axis, shape_text};
use crate::serialize::Fields;

/// `gamma · (x − mean) / sqrt(variance + epsilon) + beta` for each entry of `axis`.
///
/// In training, mean and variance are those of the batch over all other axes, and the moving ones follow:
/// `moving = moving · momentum + batch · (1 − momentum)`, with the biased variance. Elsewhere, and where the layer is
/// frozen, the moving ones serve. Defaults: axis −1, momentum 0.99, epsilon 0.001. Weights, all `[extent of axis]`:
/// `gamma` (ones), `beta` (zeros), `moving_mean` (zeros), `moving_variance` (ones); the last two are not trained.
///
/// ```
/// use kiln_nn::layers::BatchNormalization;
/// use kiln_nn::{Layer, Seeds};
/// let mut normalization = BatchNormalization::new().momentum(0.9);
/// normalization.build(&[None, Some(28), Some(28), Some(3)], &mut Seeds::new(0))?;
/// assert_eq!(normalization.count_params(), 12);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
pub struct BatchNormalization {
    common: Common,
    axis: i64,
    momentum: f32,
    epsilon: f32,
    center: bool,
    scale: bool,
    gamma: Weight,
    beta: Weight,
    moving_mean: Weight,
    moving_variance: Weight,
}

impl Default for BatchNormalization {
    fn default() -> BatchNormalization {
        BatchNormalization {
            common: Common::default(),
            axis: -1,
            momentum: 0.99,
            epsilon: 1e-3,
            center: true,
            scale: true,
            gamma: Weight::new("gamma", Ones),
            beta: Weight::new("beta", Zeros),
            moving_mean: Weight::untrained("moving_mean", Zeros),
            moving_variance: Weight::untrained("moving_variance", Ones),
        }
    }
}

impl BatchNormalization {
    /// The layer with Keras' defaults.
    pub fn new() -> BatchNormalization {
        BatchNormalization::default()
    }

    /// The axis whose entries are normalised apart, the last by default.
    pub fn axis(mut self, axis: i64) -> BatchNormalization {
        self.axis = axis;
        self
    }

    /// The share of the old value that moving statistics keep, 0.99 by default.
    pub fn momentum(mut self, momentum: f32) -> BatchNormalization {
        self.momentum = momentum;
        self
    }

    /// What is added to the variance, 0.001 by default.
    pub fn epsilon(mut self, epsilon: f32) -> BatchNormalization {
        self.epsilon = epsilon;
        self
    }

    /// Whether `beta` is added; it is by default.
    pub fn center(mut self, center: bool) -> BatchNormalization {
        self.center = center;
        self
    }

    /// Whether `gamma` multiplies; it does by default.
    pub fn scale(mut self, scale: bool) -> BatchNormalization {
        self.scale = scale;
        self
    }

    common_builders!();
    weight_builders!(gamma, gamma_initializer, gamma_regularizer, gamma_constraint);
    weight_builders!(beta, beta_initializer, beta_regularizer, beta_constraint);

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<BatchNormalization> {
        let mut layer = BatchNormalization { common: Common::read(f)?, ..BatchNormalization::default() };
        // Keras 2 wrote a list of one.
        layer.axis = match f.value("axis") {
            None => -1,
            Some(value) => {
                let one = value.as_array().filter(|list| list.len() == 1).map_or(value, |list| &list[0]);
                one.as_i64()
                    .ok_or_else(|| f.error("axis", format!("expected an integer, received {value}")))?
            }
        };
        layer.momentum = f.or("momentum", 0.99)?;
        layer.epsilon = f.or("epsilon", 1e-3)?;
        layer.center = f.or("center", true)?;
        layer.scale = f.or("scale", true)?;
        for weight in [&mut layer.gamma, &mut layer.beta, &mut layer.moving_mean, &mut layer.moving_variance]
        {
            weight.configure(f)?;
        }
        f.only("synchronized", json!(false))?;
        f.only("renorm", json!(false))?;
        f.only("renorm_momentum", json!(0.99))?;
        Ok(layer)
    }

    /// The axis from the front, where the input has it.
    fn resolve(&self, rank: usize) -> Option<usize> {
        let axis = if self.axis < 0 { self.axis + rank as i64 } else { self.axis };
        usize::try_from(axis).ok().filter(|axis| *axis < rank)
    }

    /// Mean and variance for this call; in training they move the moving ones.
    fn statistics(&self, x: &Tensor, axis: usize, context: &Context) -> Result<(Tensor, Tensor)> {
        let (moving_mean, moving_variance) =
            (self.moving_mean.read(context), self.moving_variance.read(context));
        if !context.is_training() || !self.common.trainable {
            return Ok((moving_mean, moving_variance));
        }
        let others: Vec<i64> = (0..x.rank()).filter(|i| *i != axis).map(|i| i as i64).collect();
        let (mean, variance) = (x.mean(others.clone()), x.variance(others));
        let moved = |old: Tensor, new: &Tensor| old * self.momentum + new * (1.0 - self.momentum);
        if let (Some(m), Some(v)) = (&self.moving_mean.variable, &self.moving_variance.variable) {
            m.assign(moved(moving_mean, &mean))?;
            v.assign(moved(moving_variance, &variance))?;
        }
        Ok((mean, variance))
    }

    #[track_caller]
    fn normalize(&self, input: &Tensor, context: &Context) -> Result<Tensor> {
        let Some(axis) = self.resolve(input.rank()) else {
            return Err(self.no_axis(&super::common::dims_of(input)));
        };
        let extent = self.moving_mean.variable.as_ref().map(|v| v.len());
        if extent.is_some_and(|extent| extent != input.shape()[axis]) {
            let message = format!(
                "expected axis {} of input shape to have value {}, received shape {:?}",
                self.axis,
                extent.unwrap_or_default(),
                input.shape()
            );
            return Err(Error::invalid("BatchNormalization", message));
        }
        // Half precision overflows in sums of squares.
        let x = input.cast(DType::F32);
        let (mean, variance) = self.statistics(&x, axis, context)?;
        let mut broadcast = vec![1i64; x.rank()];
        broadcast[axis] = -1;
        let along = |t: &Tensor| t.reshape(&broadcast);
        let mut factor = (variance + self.epsilon).rsqrt();
        if self.scale {
            factor = factor * self.gamma.read(context);
        }
        let mut y = (&x - along(&mean)) * along(&factor);
        if self.center {
            y = y + along(&self.beta.read(context));
        }
        Ok(if input.dtype().is_float() { y.cast(input.dtype()) } else { y })
    }

    fn no_axis(&self, input: &[Option<usize>]) -> Error {
        let message = format!("axis {} is out of range for input shape {}", self.axis, shape_text(input));
        Error::invalid("BatchNormalization", message)
    }
}

impl Layer for BatchNormalization {
    layer_methods!(gamma, beta, moving_mean, moving_variance);

    fn class_name(&self) -> &'static str {
        "BatchNormalization"
    }

    #[track_caller]
    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        self.output_shape(input)?;
        let shape = [known_axis("BatchNormalization", input, self.axis)?];
        if self.scale {
            self.gamma.build(&shape, &self.common, seeds)?;
        }
        if self.center {
            self.beta.build(&shape, &self.common, seeds)?;
        }
        self.moving_mean.build(&shape, &self.common, seeds)?;
        self.moving_variance.build(&shape, &self.common, seeds)
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        self.resolve(input.len()).map(|_| input.to_vec()).ok_or_else(|| self.no_axis(input))
    }

    #[track_caller]
    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        if input.error().is_some() {
            return input.clone();
        }
        match self.normalize(input, context) {
            Ok(output) => output,
            Err(error) => failed("BatchNormalization", error),
        }
    }

    fn config(&self) -> Value {
        let mut config = json!({
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
        });
        for weight in [&self.gamma, &self.beta, &self.moving_mean, &self.moving_variance] {
            weight.describe(&mut config);
        }
        self.common.config(config)
    }
}
