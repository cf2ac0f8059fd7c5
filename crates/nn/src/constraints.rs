//! Bounds that weights are brought back to after each training step: Keras' constraints.

use kiln_graph::{Axes, Tensor};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::serialize::{Fields, object, parts, suggestion};

/// Brings a weight back within bounds. A closure of the tensor is one too.
pub trait Constraint: Send + Sync {
    /// The weight within bounds, of the same shape.
    fn apply(&self, weight: &Tensor) -> Tensor;

    /// The configuration in Keras' form.
    fn config(&self) -> Value {
        object("builtins", "custom", json!({}))
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Constraint for F {
    fn apply(&self, weight: &Tensor) -> Tensor {
        self(weight)
    }
}

impl Constraint for &'static str {
    fn apply(&self, weight: &Tensor) -> Tensor {
        match from_config(&json!(self)) {
            Ok(known) => known.apply(weight),
            Err(error) => Tensor::invalid("constraint", error.to_string()),
        }
    }

    fn config(&self) -> Value {
        from_config(&json!(self)).map_or(json!(self), |known| known.config())
    }
}

/// Norms over `axis` of at most `max_value`.
#[derive(Clone, Debug)]
pub struct MaxNorm {
    /// The bound, 2.
    pub max_value: f32,
    /// The axes of a norm, 0: for a dense kernel the weights into one unit.
    pub axis: Vec<i64>,
}

/// No negative weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct NonNeg;

/// Norms over `axis` of 1.
#[derive(Clone, Debug)]
pub struct UnitNorm {
    /// The axes of a norm, 0.
    pub axis: Vec<i64>,
}

/// Norms over `axis` brought towards a range, by the share `rate`.
#[derive(Clone, Debug)]
pub struct MinMaxNorm {
    /// The lower bound, 0.
    pub min_value: f32,
    /// The upper bound, 1.
    pub max_value: f32,
    /// How far to go, 1: all the way.
    pub rate: f32,
    /// The axes of a norm, 0.
    pub axis: Vec<i64>,
}

impl Default for MaxNorm {
    fn default() -> MaxNorm {
        MaxNorm { max_value: 2.0, axis: vec![0] }
    }
}

impl Default for UnitNorm {
    fn default() -> UnitNorm {
        UnitNorm { axis: vec![0] }
    }
}

impl Default for MinMaxNorm {
    fn default() -> MinMaxNorm {
        MinMaxNorm { min_value: 0.0, max_value: 1.0, rate: 1.0, axis: vec![0] }
    }
}

const EPSILON: f64 = 1e-7;

fn norms(weight: &Tensor, axis: &[i64]) -> Tensor {
    let axes = Axes::from(axis);
    weight.square().sum(axes.clone()).keep_dims(weight, axes).sqrt()
}

impl Constraint for MaxNorm {
    fn apply(&self, weight: &Tensor) -> Tensor {
        let norms = norms(weight, &self.axis);
        weight * (norms.clip(0.0, self.max_value) / (norms + EPSILON))
    }

    fn config(&self) -> Value {
        object("keras.constraints", "MaxNorm", json!({ "max_value": self.max_value, "axis": self.axis }))
    }
}

impl Constraint for NonNeg {
    fn apply(&self, weight: &Tensor) -> Tensor {
        weight.maximum(0.0)
    }

    fn config(&self) -> Value {
        object("keras.constraints", "NonNeg", json!({}))
    }
}

impl Constraint for UnitNorm {
    fn apply(&self, weight: &Tensor) -> Tensor {
        weight / (norms(weight, &self.axis) + EPSILON)
    }

    fn config(&self) -> Value {
        object("keras.constraints", "UnitNorm", json!({ "axis": self.axis }))
    }
}

impl Constraint for MinMaxNorm {
    fn apply(&self, weight: &Tensor) -> Tensor {
        let norms = norms(weight, &self.axis);
        let desired = norms.clip(self.min_value, self.max_value) * self.rate + &norms * (1.0 - self.rate);
        weight * (desired / (norms + EPSILON))
    }

    fn config(&self) -> Value {
        let (min, max) = (self.min_value, self.max_value);
        let config = json!({ "min_value": min, "max_value": max, "rate": self.rate, "axis": self.axis });
        object("keras.constraints", "MinMaxNorm", config)
    }
}

/// A constraint from Keras' name (`max_norm`, `MaxNorm`) or object.
///
/// # Errors
/// Where the name is not known or the configuration does not fit.
pub fn from_config(value: &Value) -> Result<Box<dyn Constraint>> {
    let (name, config) = parts("constraint", value)?;
    let mut f = Fields::new(name, config)?;
    let made: Box<dyn Constraint> = match name {
        "max_norm" | "MaxNorm" => {
            Box::new(MaxNorm { max_value: f.or("max_value", 2.0)?, axis: axes(&mut f)? })
        }
        "non_neg" | "NonNeg" => Box::new(NonNeg),
        "unit_norm" | "UnitNorm" => Box::new(UnitNorm { axis: axes(&mut f)? }),
        "min_max_norm" | "MinMaxNorm" => Box::new(MinMaxNorm {
            min_value: f.or("min_value", 0.0)?,
            max_value: f.or("max_value", 1.0)?,
            rate: f.or("rate", 1.0)?,
            axis: axes(&mut f)?,
        }),
        other => {
            let known = suggestion(other, &["max_norm", "non_neg", "unit_norm", "min_max_norm"]);
            return Err(Error::invalid(
                "constraint",
                format!("could not interpret constraint `{other}`{known}"),
            ));
        }
    };
    f.finish()?;
    Ok(made)
}

/// `axis` of a configuration: one number or several.
pub(crate) fn axes(f: &mut Fields<'_>) -> Result<Vec<i64>> {
    match f.value("axis") {
        None => Ok(vec![0]),
        Some(Value::Array(several)) => several
            .iter()
            .map(|v| v.as_i64().ok_or_else(|| f.error("axis", format!("expected integers, received {v}"))))
            .collect(),
        Some(one) => match one.as_i64() {
            Some(axis) => Ok(vec![axis]),
            None => Err(f.error("axis", format!("expected an integer, received {one}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_brought_within_bounds() {
        let w = Tensor::from_vec([3.0f32, 0.1, 4.0, 0.0], &[2, 2]);
        let found = MaxNorm::default().apply(&w).to_vec::<f32>().unwrap();
        for (found, expected) in found.iter().zip([1.2, 0.1, 1.6, 0.0]) {
            assert!((found - expected).abs() < 1e-5);
        }
    }
}
