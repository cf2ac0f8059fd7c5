//! Penalties on weights and activations: Keras' regularizers.

use kiln_graph::Tensor;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::serialize::{Fields, object, parts, suggestion};

/// A penalty that joins the loss. A closure of the tensor is one too.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::layers::Dense;
/// use kiln_nn::regularizers::L2;
/// let _ = Dense::new(8).kernel_regularizer(L2(1e-4));
/// let _ = Dense::new(8).kernel_regularizer(|w: &Tensor| w.abs().max(()));
/// ```
pub trait Regularizer: Send + Sync {
    /// The penalty, a scalar.
    fn penalty(&self, x: &Tensor) -> Tensor;

    /// The configuration in Keras' form.
    fn config(&self) -> Value {
        object("builtins", "custom", json!({}))
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Regularizer for F {
    fn penalty(&self, x: &Tensor) -> Tensor {
        self(x)
    }
}

impl Regularizer for &'static str {
    fn penalty(&self, x: &Tensor) -> Tensor {
        match from_config(&json!(self)) {
            Ok(known) => known.penalty(x),
            Err(error) => Tensor::invalid("regularizer", error.to_string()),
        }
    }

    fn config(&self) -> Value {
        from_config(&json!(self)).map_or(json!(self), |known| known.config())
    }
}

/// `l1 · Σ |x|`.
#[derive(Clone, Copy, Debug)]
pub struct L1(pub f32);

/// `l2 · Σ x²`.
#[derive(Clone, Copy, Debug)]
pub struct L2(pub f32);

/// `l1 · Σ |x| + l2 · Σ x²`.
#[derive(Clone, Copy, Debug)]
pub struct L1L2(pub f32, pub f32);

impl Default for L1 {
    fn default() -> L1 {
        L1(0.01)
    }
}

impl Default for L2 {
    fn default() -> L2 {
        L2(0.01)
    }
}

impl Regularizer for L1 {
    fn penalty(&self, x: &Tensor) -> Tensor {
        x.abs().sum(()) * self.0
    }

    fn config(&self) -> Value {
        object("keras.regularizers", "L1", json!({ "l1": self.0 }))
    }
}

impl Regularizer for L2 {
    fn penalty(&self, x: &Tensor) -> Tensor {
        x.square().sum(()) * self.0
    }

    fn config(&self) -> Value {
        object("keras.regularizers", "L2", json!({ "l2": self.0 }))
    }
}

impl Regularizer for L1L2 {
    fn penalty(&self, x: &Tensor) -> Tensor {
        L1(self.0).penalty(x) + L2(self.1).penalty(x)
    }

    fn config(&self) -> Value {
        object("keras.regularizers", "L1L2", json!({ "l1": self.0, "l2": self.1 }))
    }
}

/// A regularizer from Keras' name (`l2`, `L2`) or object.
///
/// # Errors
/// Where the name is not known or the configuration does not fit.
pub fn from_config(value: &Value) -> Result<Box<dyn Regularizer>> {
    let (name, config) = parts("regularizer", value)?;
    let mut f = Fields::new(name, config)?;
    let made: Box<dyn Regularizer> = match name {
        "l1" | "L1" => Box::new(L1(f.or("l1", 0.01)?)),
        "l2" | "L2" => Box::new(L2(f.or("l2", 0.01)?)),
        "l1_l2" | "L1L2" => Box::new(L1L2(f.or("l1", 0.0)?, f.or("l2", 0.0)?)),
        other => {
            let known = suggestion(other, &["l1", "l2", "l1_l2"]);
            return Err(Error::invalid(
                "regularizer",
                format!("could not interpret regularizer `{other}`{known}"),
            ));
        }
    };
    f.finish()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_are_those_of_keras() {
        let x = Tensor::from_slice(&[1.0f32, -2.0]);
        assert_eq!(L1(0.5).penalty(&x).item::<f32>().unwrap(), 1.5);
        assert_eq!(L1L2(1.0, 1.0).penalty(&x).item::<f32>().unwrap(), 8.0);
    }
}
