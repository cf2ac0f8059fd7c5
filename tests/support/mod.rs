//! Reading the golden files of Keras: cases from JSON, tensors from safetensors.
#![allow(dead_code, reason = "every test file uses a part of it")]

use kiln_graph::Tensor;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// How far values may be from Keras'.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) absolute: f32,
    pub(crate) relative: f32,
}

/// A section of the golden files.
pub(crate) struct Golden<'a> {
    tensors: SafeTensors<'a>,
    pub(crate) cases: Vec<Value>,
}

impl<'a> Golden<'a> {
    pub(crate) fn new(json: &str, tensors: &'a [u8]) -> Golden<'a> {
        Golden {
            tensors: SafeTensors::deserialize(tensors).unwrap(),
            cases: serde_json::from_str(json).unwrap(),
        }
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        let view = self.tensors.tensor(name).unwrap();
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        let view = self.tensors.tensor(name).unwrap();
        match view.dtype() {
            Dtype::F32 => Tensor::from_vec(self.floats(name), view.shape()),
            Dtype::I32 => {
                let numbers = view.data().chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()));
                Tensor::from_vec(numbers.collect::<Vec<_>>(), view.shape())
            }
            other => panic!("{name} has dtype {other:?}"),
        }
    }

    /// The tensors that a case lists under a key.
    pub(crate) fn all(&self, case: &Value, key: &str) -> Vec<Tensor> {
        names(case, key).iter().map(|name| self.tensor(name)).collect()
    }

    /// The first element that is off by more than the tolerance, or NaN, as an error.
    pub(crate) fn compare(&self, name: &str, found: &Tensor, within: Tolerance) -> Result<(), String> {
        let shape = self.tensors.tensor(name).unwrap().shape().to_vec();
        let found = found.check().map_err(|e| format!("{name}: {e}"))?;
        if found.shape() != shape {
            return Err(format!("{name}: expected shape {shape:?}, found {:?}", found.shape()));
        }
        let found = found.to_vec::<f32>().map_err(|e| format!("{name}: {e}"))?;
        self.compare_floats(name, &found, within)
    }

    /// As [`Golden::compare`], of plain numbers.
    pub(crate) fn compare_floats(&self, name: &str, found: &[f32], within: Tolerance) -> Result<(), String> {
        let expected = self.floats(name);
        if expected.len() != found.len() {
            return Err(format!("{name}: expected {} values, found {}", expected.len(), found.len()));
        }
        for (i, (expected, found)) in expected.iter().zip(found).enumerate() {
            let close = (expected - found).abs() <= within.absolute + within.relative * expected.abs();
            if !close {
                return Err(format!("{name}[{i}]: expected {expected}, found {found}"));
            }
        }
        Ok(())
    }

    /// Runs a check on every case and reports all failures together.
    pub(crate) fn check_all(&self, check: impl Fn(&Value) -> Result<(), String>) {
        let failure = |case: &Value| check(case).err().map(|e| format!("{}: {e}", case["id"]));
        let failures: Vec<String> = self.cases.iter().filter_map(failure).collect();
        assert!(
            failures.is_empty(),
            "{} of {} cases:\n{}",
            failures.len(),
            self.cases.len(),
            failures.join("\n")
        );
    }
}

/// The names that a case lists under a key.
pub(crate) fn names<'a>(case: &'a Value, key: &str) -> Vec<&'a str> {
    let list = case.get(key).and_then(Value::as_array);
    list.map(|names| names.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// A text field of a case.
pub(crate) fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}
