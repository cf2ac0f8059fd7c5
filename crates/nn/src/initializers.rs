//! How weights start: Keras' initializers.
//!
//! Layers take an initializer, Keras' name of one, or a closure of shape and key:
//!
//! ```
//! use kiln_graph::Tensor;
//! use kiln_nn::initializers::HeNormal;
//! use kiln_nn::layers::Dense;
//! let _ = Dense::new(8).kernel_initializer(HeNormal);
//! let _ = Dense::new(8).kernel_initializer("he_normal");
//! let _ = Dense::new(8).kernel_initializer(|shape: &[usize], _key| Tensor::ones(shape));
//! ```

use kiln_graph::{DType, Tensor, random};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::serialize::{Fields, object, parts, suggestion};

/// Makes the first value of a weight.
pub trait Initializer: Send + Sync {
    /// A value for a shape; equal keys give equal values on every device.
    ///
    /// # Errors
    /// Where the initializer cannot fill such a shape.
    fn init(&self, shape: &[usize], dtype: DType, key: [u32; 2]) -> Result<Tensor>;

    /// The configuration in Keras' form.
    fn config(&self) -> Value {
        object("builtins", "custom", json!({}))
    }
}

impl<F: Fn(&[usize], [u32; 2]) -> Tensor + Send + Sync> Initializer for F {
    fn init(&self, shape: &[usize], dtype: DType, key: [u32; 2]) -> Result<Tensor> {
        let value = self(shape, key).cast(dtype);
        value.check()?;
        if value.shape() != shape {
            let message =
                format!("expected a value of shape {shape:?}, the closure gave {:?}", value.shape());
            return Err(Error::invalid("initializer", message));
        }
        Ok(value)
    }
}

impl Initializer for &'static str {
    fn init(&self, shape: &[usize], dtype: DType, key: [u32; 2]) -> Result<Tensor> {
        from_config(&json!(self))?.init(shape, dtype, key)
    }

    fn config(&self) -> Value {
        from_config(&json!(self)).map_or(json!(self), |known| known.config())
    }
}

/// All 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zeros;

/// All 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ones;

/// One value everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Constant(pub f32);

/// Uniform from `minval` to `maxval`.
#[derive(Clone, Copy, Debug)]
pub struct RandomUniform {
    /// The lower bound, −0.05.
    pub minval: f32,
    /// The upper bound, 0.05.
    pub maxval: f32,
}

/// Normal with a mean and a standard deviation.
#[derive(Clone, Copy, Debug)]
pub struct RandomNormal {
    /// The mean, 0.
    pub mean: f32,
    /// The standard deviation, 0.05.
    pub stddev: f32,
}

/// Normal, cut at two standard deviations.
#[derive(Clone, Copy, Debug)]
pub struct TruncatedNormal {
    /// The mean, 0.
    pub mean: f32,
    /// The standard deviation before the cut, 0.05.
    pub stddev: f32,
}

/// A matrix with orthonormal columns, or rows where it is wider than high, times `gain`.
#[derive(Clone, Copy, Debug)]
pub struct Orthogonal {
    /// The factor, 1.
    pub gain: f32,
}

/// The identity matrix times `gain`.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The factor, 1.
    pub gain: f32,
}

/// Which count of connections scales the variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FanMode {
    /// Inputs of a unit.
    #[default]
    FanIn,
    /// Outputs of a unit.
    FanOut,
    /// The mean of both.
    FanAvg,
}

/// The form of a random distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Distribution {
    /// Normal, cut at two standard deviations.
    #[default]
    TruncatedNormal,
    /// Normal.
    UntruncatedNormal,
    /// Uniform.
    Uniform,
}

/// Random with the variance `scale / fan`.
#[derive(Clone, Copy, Debug)]
pub struct VarianceScaling {
    /// The factor, 1.
    pub scale: f32,
    /// What the variance is divided by.
    pub mode: FanMode,
    /// The distribution.
    pub distribution: Distribution,
}

impl Default for RandomUniform {
    fn default() -> RandomUniform {
        RandomUniform { minval: -0.05, maxval: 0.05 }
    }
}

impl Default for RandomNormal {
    fn default() -> RandomNormal {
        RandomNormal { mean: 0.0, stddev: 0.05 }
    }
}

impl Default for TruncatedNormal {
    fn default() -> TruncatedNormal {
        TruncatedNormal { mean: 0.0, stddev: 0.05 }
    }
}

impl Default for Orthogonal {
    fn default() -> Orthogonal {
        Orthogonal { gain: 1.0 }
    }
}

impl Default for Identity {
    fn default() -> Identity {
        Identity { gain: 1.0 }
    }
}

impl Default for VarianceScaling {
    fn default() -> VarianceScaling {
        VarianceScaling { scale: 1.0, mode: FanMode::FanIn, distribution: Distribution::TruncatedNormal }
    }
}

/// The form of a plain initializer: its value, and its configuration.
macro_rules! initializer {
    ($type:ident, |$this:ident, $shape:ident, $key:ident| $value:expr, $config:tt) => {
        impl Initializer for $type {
            fn init(&self, $shape: &[usize], dtype: DType, $key: [u32; 2]) -> Result<Tensor> {
                let $this = self;
                let value: Result<Tensor> = $value;
                Ok(value?.cast(dtype))
            }

            fn config(&self) -> Value {
                let $this = self;
                let _ = $this;
                object("keras.initializers", stringify!($type), json!($config))
            }
        }
    };
}

initializer!(Zeros, |_this, shape, _key| Ok(Tensor::zeros(shape)), {});
initializer!(Ones, |_this, shape, _key| Ok(Tensor::ones(shape)), {});
initializer!(Constant, |this, shape, _key| Ok(Tensor::full(shape, this.0 as f64, DType::F32)), { "value": this.0 });
initializer!(RandomUniform, |this, shape, key| Ok(uniform(shape, key, this.minval, this.maxval)),
    { "minval": this.minval, "maxval": this.maxval });
initializer!(RandomNormal, |this, shape, key| Ok(normal(shape, key) * this.stddev + this.mean),
    { "mean": this.mean, "stddev": this.stddev });
initializer!(TruncatedNormal, |this, shape, key| Ok(truncated_normal(shape, key) * this.stddev + this.mean),
    { "mean": this.mean, "stddev": this.stddev });
initializer!(Orthogonal, |this, shape, key| orthogonal(shape, key, this.gain), { "gain": this.gain });
initializer!(Identity, |this, shape, _key| identity(shape, this.gain), { "gain": this.gain });
initializer!(VarianceScaling, |this, shape, key| Ok(this.values(shape, key)),
    { "scale": this.scale, "mode": this.mode.name(), "distribution": this.distribution.name() });

/// The common cases of variance scaling under their names.
macro_rules! scaled {
    ($($(#[$doc:meta])* $type:ident = $scale:literal, $mode:ident, $distribution:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $type;

        initializer!($type, |_this, shape, key| Ok(VarianceScaling {
            scale: $scale,
            mode: FanMode::$mode,
            distribution: Distribution::$distribution,
        }.values(shape, key)), {});
    )* };
}

scaled! {
    /// Uniform with variance 2 / (inputs + outputs) (Glorot and Bengio 2010): what kernels start from.
    GlorotUniform = 1.0, FanAvg, Uniform;
    /// Truncated normal with variance 2 / (inputs + outputs).
    GlorotNormal = 1.0, FanAvg, TruncatedNormal;
    /// Truncated normal with variance 2 / inputs (He et al. 2015), made for relu.
    HeNormal = 2.0, FanIn, TruncatedNormal;
    /// Uniform with variance 2 / inputs.
    HeUniform = 2.0, FanIn, Uniform;
    /// Truncated normal with variance 1 / inputs, made for selu.
    LecunNormal = 1.0, FanIn, TruncatedNormal;
    /// Uniform with variance 1 / inputs.
    LecunUniform = 1.0, FanIn, Uniform;
}

impl FanMode {
    const ALL: [FanMode; 3] = [FanMode::FanIn, FanMode::FanOut, FanMode::FanAvg];

    fn name(self) -> &'static str {
        match self {
            FanMode::FanIn => "fan_in",
            FanMode::FanOut => "fan_out",
            FanMode::FanAvg => "fan_avg",
        }
    }
}

impl Distribution {
    const ALL: [Distribution; 3] =
        [Distribution::TruncatedNormal, Distribution::UntruncatedNormal, Distribution::Uniform];

    fn name(self) -> &'static str {
        match self {
            Distribution::TruncatedNormal => "truncated_normal",
            Distribution::UntruncatedNormal => "untruncated_normal",
            Distribution::Uniform => "uniform",
        }
    }
}

impl VarianceScaling {
    fn values(&self, shape: &[usize], key: [u32; 2]) -> Tensor {
        let (fan_in, fan_out) = fans(shape);
        let fan = match self.mode {
            FanMode::FanIn => fan_in,
            FanMode::FanOut => fan_out,
            FanMode::FanAvg => (fan_in + fan_out) / 2.0,
        };
        let variance = self.scale as f64 / fan.max(1.0);
        // The standard deviation that is left after the cut at two of the normal distribution.
        const CUT: f64 = 0.879_625_661_034_239_8;
        match self.distribution {
            Distribution::TruncatedNormal => truncated_normal(shape, key) * (variance.sqrt() / CUT) as f32,
            Distribution::UntruncatedNormal => normal(shape, key) * variance.sqrt() as f32,
            Distribution::Uniform => {
                let limit = (3.0 * variance).sqrt() as f32;
                uniform(shape, key, -limit, limit)
            }
        }
    }
}

/// Inputs and outputs of a unit, for a kernel `[window.., in, out]`.
pub(crate) fn fans(shape: &[usize]) -> (f64, f64) {
    let extent = |d: &usize| *d as f64;
    match shape {
        [] => (1.0, 1.0),
        [only] => (extent(only), extent(only)),
        [window @ .., fan_in, fan_out] => {
            let field: f64 = window.iter().map(extent).product();
            (extent(fan_in) * field, extent(fan_out) * field)
        }
    }
}

fn uniform(shape: &[usize], key: [u32; 2], low: f32, high: f32) -> Tensor {
    Tensor::random_uniform(&Tensor::from_slice(&key), shape) * (high - low) + low
}

fn normal(shape: &[usize], key: [u32; 2]) -> Tensor {
    Tensor::random_normal(&Tensor::from_slice(&key), shape)
}

/// Standard normal, cut at ±2.
fn truncated_normal(shape: &[usize], key: [u32; 2]) -> Tensor {
    random::truncated_normal(shape, 0.0, 1.0, DType::F32, key)
}

fn identity(shape: &[usize], gain: f32) -> Result<Tensor> {
    if shape.len() != 2 {
        let message =
            format!("the identity is only for matrices, received shape {shape:?}; use Orthogonal instead");
        return Err(Error::invalid("Identity", message));
    }
    Ok(Tensor::iota(shape, 0).equal(Tensor::iota(shape, 1)).cast(DType::F32) * gain)
}

/// The matrix is made of normal numbers on the host: Gram and Schmidt's method, twice, in `f64`.
fn orthogonal(shape: &[usize], key: [u32; 2], gain: f32) -> Result<Tensor> {
    let Some((columns, lead)) = shape.split_last().filter(|(_, lead)| !lead.is_empty()) else {
        let message = format!("expected a shape of at least two axes, received {shape:?}");
        return Err(Error::invalid("Orthogonal", message));
    };
    let rows: usize = lead.iter().product();
    let (count, length) = ((*columns).min(rows), (*columns).max(rows));
    let random = normal(&[count, length], key).to_vec::<f32>()?;
    let mut vectors: Vec<Vec<f64>> =
        random.chunks(length.max(1)).map(|v| v.iter().map(|x| *x as f64).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    for i in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(i);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(other, vector);
                vector.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let norm = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|v| *v /= norm);
    }
    let scaled: Vec<f32> = vectors.iter().flatten().map(|v| *v as f32 * gain).collect();
    let matrix = Tensor::from_vec(scaled, &[count, length]);
    let matrix = if rows >= *columns { matrix.transpose(&[1, 0]) } else { matrix };
    let target: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
    Ok(matrix.reshape(&target))
}

const NAMES: &[&str] = &[
    "zeros",
    "ones",
    "constant",
    "random_uniform",
    "random_normal",
    "truncated_normal",
    "variance_scaling",
    "glorot_uniform",
    "glorot_normal",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
    "identity",
];

/// An initializer from Keras' name, in either spelling, or object.
///
/// ```
/// use kiln_nn::initializers::from_config;
/// assert!(from_config(&serde_json::json!("glorot_uniform")).is_ok());
/// assert!(from_config(&serde_json::json!({ "class_name": "Constant", "config": { "value": 2.0 } })).is_ok());
/// ```
///
/// # Errors
/// Where the name is not known or the configuration does not fit.
pub fn from_config(value: &Value) -> Result<Box<dyn Initializer>> {
    let (name, config) = parts("initializer", value)?;
    let mut f = Fields::new(name, config)?;
    for ignored in ["seed", "input_axes", "output_axes"] {
        f.value(ignored);
    }
    let made: Box<dyn Initializer> = match name {
        "zeros" | "Zeros" | "zero" => Box::new(Zeros),
        "ones" | "Ones" | "one" => Box::new(Ones),
        "constant" | "Constant" => Box::new(Constant(f.or("value", 0.0)?)),
        "random_uniform" | "RandomUniform" | "uniform" => {
            Box::new(RandomUniform { minval: f.or("minval", -0.05)?, maxval: f.or("maxval", 0.05)? })
        }
        "random_normal" | "RandomNormal" | "normal" => {
            Box::new(RandomNormal { mean: f.or("mean", 0.0)?, stddev: f.or("stddev", 0.05)? })
        }
        "truncated_normal" | "TruncatedNormal" => {
            Box::new(TruncatedNormal { mean: f.or("mean", 0.0)?, stddev: f.or("stddev", 0.05)? })
        }
        "variance_scaling" | "VarianceScaling" => Box::new(variance_scaling(&mut f)?),
        "glorot_uniform" | "GlorotUniform" => Box::new(GlorotUniform),
        "glorot_normal" | "GlorotNormal" => Box::new(GlorotNormal),
        "he_normal" | "HeNormal" => Box::new(HeNormal),
        "he_uniform" | "HeUniform" => Box::new(HeUniform),
        "lecun_normal" | "LecunNormal" => Box::new(LecunNormal),
        "lecun_uniform" | "LecunUniform" => Box::new(LecunUniform),
        "orthogonal" | "Orthogonal" | "OrthogonalInitializer" => {
            Box::new(Orthogonal { gain: f.or("gain", 1.0)? })
        }
        "identity" | "Identity" | "IdentityInitializer" => Box::new(Identity { gain: f.or("gain", 1.0)? }),
        other => {
            let message = format!("could not interpret initializer `{other}`{}", suggestion(other, NAMES));
            return Err(Error::invalid("initializer", message));
        }
    };
    f.finish()?;
    Ok(made)
}

fn variance_scaling(f: &mut Fields<'_>) -> Result<VarianceScaling> {
    let mode: String = f.or("mode", "fan_in".into())?;
    let distribution: String = f.or("distribution", "truncated_normal".into())?;
    let distribution = if distribution == "normal" { "truncated_normal".into() } else { distribution };
    let unknown = |key: &str, value: &str| f.error(key, format!("`{value}` is not known"));
    Ok(VarianceScaling {
        mode: FanMode::ALL.into_iter().find(|m| m.name() == mode).ok_or_else(|| unknown("mode", &mode))?,
        distribution: Distribution::ALL
            .into_iter()
            .find(|d| d.name() == distribution)
            .ok_or_else(|| unknown("distribution", &distribution))?,
        scale: f.or("scale", 1.0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fans_count_connections_as_keras() {
        assert_eq!(fans(&[]), (1.0, 1.0));
        assert_eq!(fans(&[5]), (5.0, 5.0));
        assert_eq!(fans(&[3, 4]), (3.0, 4.0));
        assert_eq!(fans(&[3, 3, 8, 16]), (72.0, 144.0));
    }

    #[test]
    fn names_lead_to_initializers_and_back() {
        for name in NAMES {
            let config = from_config(&json!(name)).unwrap().config();
            assert_eq!(from_config(&config).unwrap().config(), config, "{name}");
        }
        let error = "glorot_unifrom".init(&[2], DType::F32, [0, 0]).unwrap_err().to_string();
        assert!(error.contains("did you mean `glorot_uniform`?"), "{error}");
    }

    #[test]
    fn random_values_have_the_variance_asked_for() {
        let shape = [300, 500];
        for (name, variance, bound) in [
            ("glorot_uniform", 2.0 / 800.0, (6.0f64 / 800.0).sqrt()),
            ("he_normal", 2.0 / 300.0, 2.0 * (2.0f64 / 300.0).sqrt() / 0.8796),
            ("lecun_normal", 1.0 / 300.0, 2.0 * (1.0f64 / 300.0).sqrt() / 0.8796),
            ("truncated_normal", 0.0025 * 0.7737, 0.1),
            ("random_normal", 0.0025, 1.0),
        ] {
            let values = name.init(&shape, DType::F32, [1, 2]).unwrap().to_vec::<f32>().unwrap();
            let found = values.iter().map(|v| (*v as f64).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((found / variance - 1.0).abs() < 0.02, "{name}: {found} instead of {variance}");
            assert!(values.iter().all(|v| (v.abs() as f64) <= bound * 1.0001), "{name}");
        }
    }

    #[test]
    fn orthogonal_columns_are_orthonormal() {
        let q = Orthogonal::default().init(&[6, 4], DType::F32, [1, 2]).unwrap();
        let product = q.transpose(&[1, 0]).matmul(&q);
        let error = (product - Tensor::eye(4)).abs().max(()).item::<f32>().unwrap();
        assert!(error < 1e-5, "{error}");
    }
}
