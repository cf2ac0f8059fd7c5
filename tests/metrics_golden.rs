//! Metrics agree with Keras after every batch: every case of `tests/golden/metrics.json`.

mod support;

use kiln_graph::{Device, FunctionCache, Tensor, with_device};
use kiln_nn::metrics;
use serde_json::Value;
use support::{Golden, Tolerance, names, text};

const CASES: &str = include_str!("golden/metrics.json");
const TENSORS: &[u8] = include_bytes!("golden/metrics.safetensors");
const WITHIN: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-4 };

fn check(golden: &Golden<'_>, case: &Value, compiled: bool) -> Result<(), String> {
    let said = |e: kiln_graph::Error| e.to_string();
    let metric = metrics::from_config(text(case, "class"), &case["config"]).map_err(|e| e.to_string())?;
    let inputs = golden.all(case, "inputs");
    let weight = case.get("sample_weight").and_then(Value::as_str).map(|name| golden.tensor(name));
    let function = FunctionCache::new("update");
    // A metric of values only, Mean, takes them as predictions.
    let pair = inputs.len().min(2);
    let update = |arguments: &[Tensor]| {
        metric.update(&arguments[0], &arguments[pair - 1], arguments.get(pair))?;
        Ok(vec![])
    };
    let mut results = vec![];
    let mut start = 0;
    for size in case["batches"].as_array().unwrap() {
        let end = start + size.as_i64().unwrap();
        let cut = |t: &Tensor| t.slice_axis(0, start, end);
        let arguments: Vec<Tensor> = inputs.iter().chain(&weight).map(cut).collect();
        if compiled {
            function.call(&arguments, &update).map_err(said)?;
        } else {
            update(&arguments).map_err(said)?;
        }
        results.push(metric.result().item::<f32>().map_err(said)?);
        start = end;
    }
    golden.compare_floats(names(case, "outputs")[0], &results, WITHIN)?;
    metric.reset().map_err(said)?;
    let after = metric.result().item::<f32>().map_err(said)?;
    if after == 0.0 { Ok(()) } else { Err(format!("{after} after a reset")) }
}

#[test]
fn metrics_agree_with_keras() {
    let golden = Golden::new(CASES, TENSORS);
    with_device(&Device::cpu(), || golden.check_all(|case| check(&golden, case, false)));
}

#[test]
fn compiled_metrics_agree_with_keras() {
    let golden = Golden::new(CASES, TENSORS);
    with_device(&Device::cpu(), || golden.check_all(|case| check(&golden, case, true)));
}
