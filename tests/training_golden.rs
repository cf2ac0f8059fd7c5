//! Twenty steps of training agree with Keras: losses, weights and predictions of every case of
//! `tests/golden/training.json`.

mod support;

use kiln_graph::{Device, Tensor, Variable, with_device};
use kiln_nn::layers::from_config;
use kiln_nn::losses;
use kiln_nn::optimizers;
use kiln_nn::training::{Compile, Model, Trainer};
use kiln_nn::{Context, Layer, Seeds};
use serde_json::Value;
use support::{Golden, Tolerance, names, text};

const CASES: &str = include_str!("golden/training.json");
const TENSORS: &[u8] = include_bytes!("golden/training.safetensors");
/// An independent implementation is off by at most 8.6e-6.
const LOSSES: Tolerance = Tolerance { absolute: 1e-6, relative: 1e-5 };
const WEIGHTS: Tolerance = Tolerance { absolute: 5e-5, relative: 5e-4 };

/// Layers one after another.
struct Chain {
    layers: Vec<Box<dyn Layer>>,
    trainer: Trainer,
}

impl Layer for Chain {
    fn class_name(&self) -> &'static str {
        "Chain"
    }

    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> kiln_nn::Result<()> {
        let mut shape = input.to_vec();
        for layer in &mut self.layers {
            layer.build(&shape, seeds)?;
            shape = layer.output_shape(&shape)?;
        }
        Ok(())
    }

    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        self.layers.iter().fold(input.clone(), |x, layer| layer.call(&x, context))
    }

    fn variables(&self) -> Vec<Variable> {
        self.layers.iter().flat_map(|layer| layer.variables()).collect()
    }
}

impl Model for Chain {
    fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }
}

impl Chain {
    /// The model of a case, with its weights.
    fn new(golden: &Golden<'_>, case: &Value) -> kiln_nn::Result<Chain> {
        let layer = |entry: &Value| from_config(text(entry, "class"), &entry["config"]);
        let layers = case["layers"].as_array().unwrap().iter().map(layer).collect::<kiln_nn::Result<_>>()?;
        let mut chain = Chain { layers, trainer: Trainer::new() };
        let shape = case["input_shape"].as_array().unwrap().iter().map(|d| d.as_u64().map(|d| d as usize));
        let input: Vec<Option<usize>> = std::iter::once(None).chain(shape).collect();
        chain.build(&input, &mut Seeds::new(0))?;
        chain.trainer.set_built();
        let (variables, weights) = (chain.variables(), golden.all(case, "weights"));
        assert_eq!(variables.len(), weights.len(), "{}", case["id"]);
        for (variable, weight) in variables.iter().zip(&weights) {
            variable.assign(weight)?;
        }
        let loss = losses::from_config(text(&case["loss"], "class"), &case["loss"]["config"])?;
        let optimizer = &case["optimizer"];
        let optimizer = optimizers::from_config(text(optimizer, "class"), &optimizer["config"])?;
        chain.compile(Compile::new(optimizer, loss))?;
        Ok(chain)
    }
}

fn check(golden: &Golden<'_>, case: &Value) -> Result<(), String> {
    let said = |e: kiln_nn::Error| e.to_string();
    let mut model = Chain::new(golden, case).map_err(said)?;
    let (inputs, targets) = (golden.all(case, "inputs"), golden.all(case, "targets"));
    let mut found = vec![];
    for step in 0..case["steps"].as_u64().unwrap() as usize {
        let batch = step % inputs.len();
        if step > 0 {
            model.reset_metrics().map_err(said)?;
        }
        let logs = model.train_on_batch(&inputs[batch], &targets[batch], None).map_err(said)?;
        found.push(logs["loss"] as f32);
    }
    golden.compare_floats(text(case, "losses"), &found, LOSSES)?;
    for (name, variable) in names(case, "weights_after").iter().zip(model.variables()) {
        golden.compare(name, &variable.read(), WEIGHTS)?;
    }
    let prediction = model.predict(&inputs[0]).map_err(said)?;
    golden.compare(names(case, "outputs")[0], &prediction, WEIGHTS)?;
    let traces = model.trace_report();
    // Three sizes of batch, and prediction: nothing that changes from step to step is a constant.
    if traces.len() == 4 { Ok(()) } else { Err(format!("expected 4 traces, found {traces:#?}")) }
}

#[test]
fn training_agrees_with_keras() {
    let golden = Golden::new(CASES, TENSORS);
    with_device(&Device::cpu(), || golden.check_all(|case| check(&golden, case)));
}
