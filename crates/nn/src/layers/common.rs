//! What layers share: names, weights with what belongs to them, and window arithmetic.

use std::sync::Arc;

use kiln_graph::{DType, Padding, Tensor, Variable};
use serde_json::{Map, Value, json};

use crate::activations::Activation;
use crate::constraints::{self, Constraint};
use crate::error::{Error, Result};
use crate::initializers::{self, Initializer};
use crate::layer::{Context, Dims, Seeds, shape_text};
use crate::regularizers::{self, Regularizer};
use crate::serialize::Fields;

/// What every layer has: perhaps a name, and whether it is trained.
pub(crate) struct Common {
    pub(crate) name: Option<String>,
    pub(crate) trainable: bool,
}

impl Default for Common {
    fn default() -> Common {
        Common { name: None, trainable: true }
    }
}

impl Common {
    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Common> {
        if let Some(policy) = f.value("dtype") {
            let name = policy.as_str().or_else(|| policy.get("config")?.get("name")?.as_str());
            if name != Some("float32") {
                return Err(f.error("dtype", format!("expected float32, received {policy}")));
            }
        }
        Ok(Common { name: f.optional("name")?, trainable: f.or("trainable", true)? })
    }

    /// The layer's own keys, with those that all layers have.
    pub(crate) fn config(&self, own: Value) -> Value {
        let mut config = Map::new();
        if let Some(name) = &self.name {
            config.insert("name".into(), json!(name));
        }
        config.insert("trainable".into(), json!(self.trainable));
        if let Value::Object(own) = own {
            config.extend(own);
        }
        Value::Object(config)
    }
}

/// A weight: how it starts, what penalises and what bounds it, and the variable once it is built.
pub(crate) struct Weight {
    name: &'static str,
    pub(crate) initializer: Box<dyn Initializer>,
    pub(crate) regularizer: Option<Box<dyn Regularizer>>,
    pub(crate) constraint: Option<Arc<dyn Constraint>>,
    trained: bool,
    pub(crate) variable: Option<Variable>,
}

impl Weight {
    pub(crate) fn new(name: &'static str, initializer: impl Initializer + 'static) -> Weight {
        let initializer = Box::new(initializer);
        Weight { name, initializer, regularizer: None, constraint: None, trained: true, variable: None }
    }

    /// A weight that training steps do not change by gradients.
    pub(crate) fn untrained(name: &'static str, initializer: impl Initializer + 'static) -> Weight {
        Weight { trained: false, ..Weight::new(name, initializer) }
    }

    pub(crate) fn build(&mut self, shape: &[usize], common: &Common, seeds: &mut Seeds) -> Result<()> {
        let key = seeds.next_key();
        if self.variable.is_none() {
            let value = self.initializer.init(shape, DType::F32, key)?;
            let variable = Variable::new(&value)?.named(self.name);
            variable.set_trainable(self.trained && common.trainable);
            self.variable = Some(variable);
        }
        Ok(())
    }

    pub(crate) fn set_trainable(&self, trainable: bool) {
        if let Some(variable) = &self.variable {
            variable.set_trainable(self.trained && trainable);
        }
    }

    /// The value; its penalty joins the losses.
    pub(crate) fn read(&self, context: &Context) -> Tensor {
        let Some(variable) = &self.variable else {
            let message =
                format!("`{}` is not built; call build first, or use the layer in a model", self.name);
            return Tensor::invalid("layer", message);
        };
        let value = variable.read();
        if let Some(regularizer) = self.regularizer.as_ref().filter(|_| variable.is_trainable()) {
            context.add_loss(regularizer.penalty(&value));
        }
        value
    }

    pub(crate) fn bound(&self) -> Option<(Variable, Arc<dyn Constraint>)> {
        self.variable.clone().zip(self.constraint.clone())
    }

    /// Reads `name_initializer`, `name_regularizer` and `name_constraint`.
    pub(crate) fn configure(&mut self, f: &mut Fields<'_>) -> Result<()> {
        let name = self.name;
        if let Some(value) = f.value(&format!("{name}_initializer")) {
            self.initializer = initializers::from_config(value)?;
        }
        if let Some(value) = f.value(&format!("{name}_regularizer")) {
            self.regularizer = Some(regularizers::from_config(value)?);
        }
        if let Some(value) = f.value(&format!("{name}_constraint")) {
            self.constraint = Some(constraints::from_config(value)?.into());
        }
        Ok(())
    }

    /// Writes the same keys; penalty and bound only for weights that are trained, as Keras does.
    pub(crate) fn describe(&self, config: &mut Value) {
        let name = self.name;
        config[format!("{name}_initializer")] = self.initializer.config();
        if self.trained {
            config[format!("{name}_regularizer")] = json!(self.regularizer.as_ref().map(|r| r.config()));
            config[format!("{name}_constraint")] = json!(self.constraint.as_ref().map(|c| c.config()));
        }
    }
}

/// An activation and a penalty on its result, as Dense and the convolutions have them.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) activation: Activation,
    pub(crate) activity_regularizer: Option<Box<dyn Regularizer>>,
}

impl Output {
    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Output> {
        let activity_regularizer =
            f.value("activity_regularizer").map(regularizers::from_config).transpose()?;
        Ok(Output { activation: read_activation(f)?, activity_regularizer })
    }

    pub(crate) fn describe(&self, config: &mut Value) {
        config["activation"] = json!(self.activation.name());
        config["activity_regularizer"] = json!(self.activity_regularizer.as_ref().map(|r| r.config()));
    }

    pub(crate) fn apply(&self, x: &Tensor, context: &Context) -> Tensor {
        let y = self.activation.apply(x);
        if let Some(regularizer) = &self.activity_regularizer {
            let batch = y.shape().first().copied().unwrap_or(1).max(1);
            context.add_loss(regularizer.penalty(&y) * (1.0 / batch as f64));
        }
        y
    }
}

/// `activation` of a configuration: a name, or a built-in function as an object.
pub(crate) fn read_activation(f: &mut Fields<'_>) -> Result<Activation> {
    match f.value("activation") {
        None => Ok(Activation::default()),
        Some(value) => match value.as_str().or_else(|| value.get("config")?.as_str()) {
            Some(name) => name.parse(),
            None => Err(f.error("activation", format!("expected a name, received {value}"))),
        },
    }
}

/// `padding` of a configuration; `causal` only where the class has it.
pub(crate) fn read_padding(f: &mut Fields<'_>, has_causal: bool) -> Result<Padding> {
    let name: String = f.or("padding", "valid".into())?;
    match name.parse() {
        Ok(Padding::Causal) if !has_causal => {
            Err(f.error("padding", "expected padding `valid` or `same`, received `causal`".to_owned()))
        }
        other => other.map_err(|e: String| f.error("padding", e)),
    }
}

/// Keras' name of a padding.
pub(crate) fn padding_name(padding: Padding) -> &'static str {
    match padding {
        Padding::Valid => "valid",
        Padding::Same => "same",
        Padding::Causal => "causal",
    }
}

/// One number for every spatial axis; a single number stands for all of them.
///
/// ```
/// use kiln_nn::layers::{Conv2D, Extents};
/// let _: Extents<2> = 3.into();
/// let _: Extents<2> = (3, 5).into();
/// let _ = Conv2D::new(16, [3, 5]).strides(2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents<const N: usize>(pub [usize; N]);

impl<const N: usize> From<usize> for Extents<N> {
    fn from(extent: usize) -> Extents<N> {
        Extents([extent; N])
    }
}

impl<const N: usize> From<[usize; N]> for Extents<N> {
    fn from(extents: [usize; N]) -> Extents<N> {
        Extents(extents)
    }
}

impl From<(usize, usize)> for Extents<2> {
    fn from((rows, columns): (usize, usize)) -> Extents<2> {
        Extents([rows, columns])
    }
}

impl From<(usize, usize, usize)> for Extents<3> {
    fn from((depth, rows, columns): (usize, usize, usize)) -> Extents<3> {
        Extents([depth, rows, columns])
    }
}

impl<const N: usize> Extents<N> {
    /// A number or a list of `N` numbers under a key.
    pub(crate) fn read(f: &mut Fields<'_>, key: &str) -> Result<Option<Extents<N>>> {
        let Some(value) = f.value(key) else { return Ok(None) };
        let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let numbers: Option<Vec<usize>> = match value {
            Value::Array(several) => several.iter().map(number).collect(),
            one => number(one).map(|n| vec![n; N]),
        };
        let found = numbers.and_then(|numbers| <[usize; N]>::try_from(numbers).ok());
        let message = || format!("expected an integer or {N} of them, received {value}");
        found.map(|extents| Some(Extents(extents))).ok_or_else(|| f.error(key, message()))
    }

    /// Checks that none is 0.
    pub(crate) fn check(&self, class: &str, key: &str) -> Result<()> {
        match self.0.contains(&0) {
            true => Err(Error::invalid(class, format!("expected `{key}` ≥ 1, received {:?}", self.0))),
            false => Ok(()),
        }
    }

    pub(crate) fn config(&self) -> Value {
        json!(&self.0[..])
    }
}

/// A sliding window: its size, stride, dilation and padding.
pub(crate) struct Window<'a> {
    pub(crate) class: &'static str,
    pub(crate) size: &'a [usize],
    pub(crate) strides: &'a [usize],
    pub(crate) dilations: &'a [usize],
    pub(crate) padding: Padding,
}

impl Window<'_> {
    /// The shape of the output, with `channels` last.
    pub(crate) fn output(&self, input: &[Option<usize>], channels: Option<usize>) -> Result<Dims> {
        expect_rank(self.class, input, self.size.len() + 2)?;
        if self.padding == Padding::Causal && self.size.len() > 1 {
            let message = "padding `causal` is for one spatial axis; use `valid` or `same`";
            return Err(Error::invalid(self.class, message));
        }
        let mut output = input.to_vec();
        for (i, dim) in output[1..=self.size.len()].iter_mut().enumerate() {
            let Some(extent) = *dim else { continue };
            let reach = self.size[i].saturating_sub(1) * self.dilations[i] + 1;
            let windows = match self.padding {
                Padding::Same | Padding::Causal => extent.div_ceil(self.strides[i]),
                Padding::Valid if extent < reach => 0,
                Padding::Valid => (extent - reach) / self.strides[i] + 1,
            };
            if windows == 0 {
                let message = format!(
                    "computed output size would be zero or negative: received input shape {}, window {:?}, strides \
                     {:?}, dilation rate {:?}, padding `{}`; use padding `same`, a smaller window or a larger input",
                    shape_text(input),
                    self.size,
                    self.strides,
                    self.dilations,
                    padding_name(self.padding)
                );
                return Err(Error::invalid(self.class, message));
            }
            *dim = Some(windows);
        }
        output[self.size.len() + 1] = channels;
        Ok(output)
    }
}

/// Checks the number of axes.
pub(crate) fn expect_rank(class: &str, input: &[Option<usize>], rank: usize) -> Result<()> {
    if input.len() == rank {
        return Ok(());
    }
    let axes = match rank {
        3 => "(batch, steps, channels)",
        4 => "(batch, rows, columns, channels)",
        5 => "(batch, depth, rows, columns, channels)",
        _ => "(batch, features)",
    };
    let hint =
        if input.len() + 1 == rank { "; a missing channel axis can be added with Reshape" } else { "" };
    let message = format!("expected {rank} axes {axes}, received shape {}{hint}", shape_text(input));
    Err(Error::invalid(class, message))
}

/// The shape of a tensor with every extent known.
pub(crate) fn dims_of(x: &Tensor) -> Dims {
    x.shape().iter().map(|d| Some(*d)).collect()
}

/// A tensor that carries an error of a layer.
pub(crate) fn failed(class: &'static str, error: Error) -> Tensor {
    match error {
        Error::Invalid { message, .. } => Tensor::invalid(class, message),
        other => Tensor::invalid(class, other.to_string()),
    }
}

/// The builder methods of every layer.
macro_rules! common_builders {
    () => {
        /// The layer's own name; a model numbers layers without one by their class.
        pub fn named(mut self, name: impl Into<String>) -> Self {
            self.common.name = Some(name.into());
            self
        }

        /// Whether the weights are trained; they are by default.
        pub fn trainable(mut self, trainable: bool) -> Self {
            self.common.trainable = trainable;
            self
        }
    };
}

/// The builder methods of a weight.
macro_rules! weight_builders {
    ($weight:ident, $initializer:ident, $regularizer:ident, $constraint:ident) => {
        #[doc = concat!("How `", stringify!($weight), "` starts: an initializer, Keras' name of one, or a closure.")]
        pub fn $initializer(mut self, initializer: impl $crate::initializers::Initializer + 'static) -> Self {
            self.$weight.initializer = Box::new(initializer);
            self
        }

        #[doc = concat!("A penalty on `", stringify!($weight), "`: a regularizer, Keras' name of one, or a closure.")]
        pub fn $regularizer(mut self, regularizer: impl $crate::regularizers::Regularizer + 'static) -> Self {
            self.$weight.regularizer = Some(Box::new(regularizer));
            self
        }

        #[doc = concat!("Bounds of `", stringify!($weight), "`: a constraint, Keras' name of one, or a closure.")]
        pub fn $constraint(mut self, constraint: impl $crate::constraints::Constraint + 'static) -> Self {
            self.$weight.constraint = Some(std::sync::Arc::new(constraint));
            self
        }
    };
}

/// Methods of [`crate::Layer`] for a layer with `common`, and weights in Keras' order.
macro_rules! layer_methods {
    ($($weight:ident),*) => {
        fn name(&self) -> Option<&str> {
            self.common.name.as_deref()
        }

        fn variables(&self) -> Vec<kiln_graph::Variable> {
            let weights: &[&$crate::layers::common::Weight] = &[$(&self.$weight),*];
            weights.iter().filter_map(|w| w.variable.clone()).collect()
        }

        fn constraints(&self) -> Vec<(kiln_graph::Variable, std::sync::Arc<dyn $crate::constraints::Constraint>)> {
            let weights: &[&$crate::layers::common::Weight] = &[$(&self.$weight),*];
            weights.iter().filter_map(|w| w.bound()).collect()
        }

        fn set_trainable(&mut self, trainable: bool) {
            self.common.trainable = trainable;
            let weights: &[&$crate::layers::common::Weight] = &[$(&self.$weight),*];
            weights.iter().for_each(|w| w.set_trainable(trainable));
        }
    };
}

pub(crate) use {common_builders, layer_methods, weight_builders};
