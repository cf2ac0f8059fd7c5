//! Losses and their gradients agree with Keras: every case of `tests/golden/losses.json`.

mod support;

use kiln_graph::{Device, FunctionCache, Tensor, gradients, with_device};
use kiln_nn::losses;
use serde_json::Value;
use support::{Golden, Tolerance, names, text};

const CASES: &str = include_str!("golden/losses.json");
const TENSORS: &[u8] = include_bytes!("golden/losses.safetensors");
const WITHIN: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-4 };

fn check(golden: &Golden<'_>, case: &Value, compiled: bool) -> Result<(), String> {
    let said = |e: kiln_graph::Error| e.to_string();
    let loss = losses::from_config(text(case, "class"), &case["config"]).map_err(|e| e.to_string())?;
    let mut arguments = golden.all(case, "inputs");
    arguments.extend(case.get("sample_weight").and_then(Value::as_str).map(|name| golden.tensor(name)));
    let body = |arguments: &[Tensor]| {
        let value = loss.reduced(&arguments[0], &arguments[1], arguments.get(2));
        let gradient = gradients(&value.sum(()), &arguments[1..2])?.remove(0);
        Ok(vec![value, gradient])
    };
    let results = if compiled {
        FunctionCache::new("loss").call(&arguments, &body).map_err(said)?
    } else {
        body(&arguments).map_err(said)?
    };
    golden.compare(names(case, "outputs")[0], &results[0], WITHIN)?;
    golden.compare(names(case, "input_gradients")[0], &results[1], WITHIN)
}

#[test]
fn losses_agree_with_keras() {
    let golden = Golden::new(CASES, TENSORS);
    with_device(&Device::cpu(), || golden.check_all(|case| check(&golden, case, false)));
}

#[test]
fn compiled_losses_agree_with_keras() {
    let golden = Golden::new(CASES, TENSORS);
    with_device(&Device::cpu(), || golden.check_all(|case| check(&golden, case, true)));
}

#[test]
fn a_label_outside_the_classes_is_an_error_of_the_run() {
    with_device(&Device::cpu(), || {
        let loss = losses::SparseCategoricalCrossentropy::new().from_logits(true);
        let value = losses::Loss::reduced(&loss, &Tensor::from_slice(&[1, 7]), &Tensor::zeros(&[2, 3]), None);
        let error = value.item::<f32>().unwrap_err().to_string();
        assert!(error.contains('7') && error.contains("< 3"), "{error}");
    });
}
