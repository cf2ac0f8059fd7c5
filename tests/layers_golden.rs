//! Layers against Keras: every case of `golden/layers.json`, evaluated lazily and as a compiled function.

use kiln_graph::{DType, Device, FunctionCache, Tensor, Variable, gradients_with, with_device};
use kiln_nn::layers::from_config;
use kiln_nn::{Context, Seeds};
use safetensors::SafeTensors;
use serde_json::Value;

const CASES: &str = include_str!("golden/layers.json");
const TENSORS: &[u8] = include_bytes!("golden/layers.safetensors");

struct Golden<'a>(SafeTensors<'a>);

impl Golden<'_> {
    fn floats(&self, name: &str) -> Vec<f32> {
        let data = self.0.tensor(name).unwrap().data();
        data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    fn tensor(&self, name: &str) -> Tensor {
        let view = self.0.tensor(name).unwrap();
        match view.dtype() {
            safetensors::Dtype::F32 => Tensor::from_vec(self.floats(name), view.shape()),
            _ => {
                let numbers = view.data().chunks(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()));
                Tensor::from_vec(numbers.collect::<Vec<_>>(), view.shape())
            }
        }
    }

    /// The worst element, where one is further off than 1e-5 + 1e-4 · |expected|.
    fn compare(&self, name: &str, found: &Tensor) -> Result<(), String> {
        let view = self.0.tensor(name).unwrap();
        if view.shape() != found.shape() {
            return Err(format!("{name}: expected shape {:?}, found {:?}", view.shape(), found.shape()));
        }
        let found = found.to_vec::<f32>().map_err(|e| format!("{name}: {e}"))?;
        for (i, (expected, found)) in self.floats(name).iter().zip(&found).enumerate() {
            // Written so that NaN fails.
            let close = (expected - found).abs() <= 1e-5 + 1e-4 * expected.abs();
            if !close {
                return Err(format!("{name}[{i}]: expected {expected}, found {found}"));
            }
        }
        Ok(())
    }
}

fn names<'a>(case: &'a Value, key: &str) -> Vec<&'a str> {
    let list = case.get(key).and_then(Value::as_array);
    list.map(|names| names.iter().map(|n| n.as_str().unwrap()).collect()).unwrap_or_default()
}

fn check(case: &Value, golden: &Golden<'_>, compiled: bool) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let mut layer = from_config(case["class"].as_str().unwrap(), &case["config"]).map_err(|e| text(&e))?;
    let input = golden.tensor(names(case, "inputs")[0]);
    let dims: Vec<_> = input.shape().iter().map(|d| Some(*d)).collect();
    layer.build(&dims, &mut Seeds::new(0)).map_err(|e| text(&e))?;
    let weights: Vec<Tensor> = names(case, "weights").iter().map(|n| golden.tensor(n)).collect();
    layer.set_weights(&weights).map_err(|e| text(&e))?;
    let trained: Vec<Variable> = layer.variables().into_iter().filter(|v| v.is_trainable()).collect();
    let cotangent = golden.tensor(names(case, "cotangents")[0]);

    let body = |arguments: &[Tensor]| {
        let context = if case["training"] == true { Context::training() } else { Context::inference() };
        let floats = arguments[0].dtype() == DType::F32;
        let inputs = floats.then(|| arguments[0].clone());
        let targets: Vec<Tensor> = inputs.into_iter().chain(trained.iter().map(Variable::read)).collect();
        let y = layer.call(&arguments[0], &context);
        let gradients = gradients_with(&y, &arguments[1], &targets)?;
        Ok(std::iter::once(y).chain(gradients).collect::<Vec<_>>())
    };
    let arguments = [input, cotangent];
    let results =
        if compiled { FunctionCache::new("case").call(&arguments, &body) } else { body(&arguments) };
    let results = results.map_err(|e| text(&e))?;

    let expected = ["outputs", "input_gradients", "weight_gradients"].map(|key| names(case, key)).concat();
    if expected.len() != results.len() {
        return Err(format!("expected {} results, found {}", expected.len(), results.len()));
    }
    for (name, result) in expected.iter().zip(&results) {
        golden.compare(name, result)?;
    }
    for (name, variable) in names(case, "weights_after").iter().zip(layer.variables()) {
        golden.compare(name, &variable.read())?;
    }
    Ok(())
}

fn check_all(compiled: bool) {
    let golden = Golden(SafeTensors::deserialize(TENSORS).unwrap());
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let failures: Vec<String> = with_device(&Device::cpu(), || {
        let failure = |case: &Value| {
            let error = check(case, &golden, compiled).err()?;
            Some(format!("{}: {error}", case["id"].as_str().unwrap()))
        };
        cases.iter().filter_map(failure).collect()
    });
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn layers_agree_with_keras() {
    check_all(false);
}

#[test]
fn compiled_layers_agree_with_keras() {
    check_all(true);
}
