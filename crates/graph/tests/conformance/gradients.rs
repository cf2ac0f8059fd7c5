//! Gradients of cases against central differences, in the interpreter's `f64`.

use kiln_graph::graph::Graph;
use kiln_graph::interpret::{graph_of, interpret};
use kiln_graph::{DType, Tensor, gradients_with};

use crate::Group;
use crate::golden::{Case, Golden};
use crate::support::{tensor_of, unit};

const STEP: f64 = 1e-6;
/// Of the largest element of a gradient.
const RELATIVE: f64 = 1e-5;
/// Elements of an input that are checked, spread over it.
const MOST: usize = 24;

/// Σ weight · output over the float outputs.
fn weights(output: &Tensor, position: usize) -> Vec<f64> {
    (0..output.len()).map(|i| ((0.5 + unit(i, 100 + position)) as f32) as f64).collect()
}

fn weighted(graph: &Graph, leaves: &[Vec<f64>], weights: &[Option<Vec<f64>>]) -> Result<f64, String> {
    let outputs = interpret(graph, leaves).map_err(|e| e.to_string())?.outputs;
    let dot = |(y, w): (&Vec<f64>, &Vec<f64>)| y.iter().zip(w).map(|(y, w)| y * w).sum::<f64>();
    Ok(outputs.iter().zip(weights).filter_map(|(y, w)| w.as_ref().map(|w| dot((y, w)))).sum())
}

fn sums(outputs: &[Tensor], targets: &[Tensor]) -> kiln_graph::Result<Vec<Tensor>> {
    let mut sums: Vec<Tensor> = targets.iter().map(Tensor::zeros_like).collect();
    for (i, y) in outputs.iter().enumerate().filter(|(_, y)| y.dtype().is_float()) {
        let cotangent = tensor_of(&weights(y, i), y.shape(), y.dtype());
        for (sum, gradient) in sums.iter_mut().zip(gradients_with(y, &cotangent, targets)?) {
            *sum = &*sum + gradient;
        }
    }
    Ok(sums)
}

fn check(group: &Group, golden: &Golden, case: &Case) -> Result<(), String> {
    let said = |e: kiln_graph::Error| e.to_string();
    let (inputs, outputs) = group.call(golden, case)?;
    let targets: Vec<Tensor> = inputs.iter().filter(|t| t.dtype() == DType::F32).cloned().collect();
    let analytic = sums(&outputs, &targets).map_err(said)?;
    let (graph, leaves) = graph_of(&inputs, &analytic).map_err(said)?;
    let analytic = interpret(&graph, &leaves).map_err(said)?.outputs;
    let (graph, mut leaves) = graph_of(&inputs, &outputs).map_err(said)?;
    let weight = |(i, y): (usize, &Tensor)| y.dtype().is_float().then(|| weights(y, i));
    let weights: Vec<Option<Vec<f64>>> = outputs.iter().enumerate().map(weight).collect();
    let positions = (0..inputs.len()).filter(|i| inputs[*i].dtype() == DType::F32);
    for (leaf, gradient) in positions.zip(&analytic) {
        let scale = gradient.iter().fold(1e-3, |m: f64, g| m.max(g.abs()));
        for element in (0..gradient.len()).step_by(gradient.len().div_ceil(MOST).max(1)) {
            let middle = leaves[leaf][element];
            let step = STEP * middle.abs().max(1.0);
            leaves[leaf][element] = middle + step;
            let above = weighted(&graph, &leaves, &weights)?;
            leaves[leaf][element] = middle - step;
            let below = weighted(&graph, &leaves, &weights)?;
            leaves[leaf][element] = middle;
            let (got, expected) = (gradient[element], (above - below) / (2.0 * step));
            let near = (got - expected).abs() <= RELATIVE * scale;
            if !near {
                return Err(format!("d/d input {leaf}[{element}]: {got}, not {expected}"));
            }
        }
    }
    Ok(())
}

/// What is wrong with the gradients of a group's cases.
pub(crate) fn failures(group: &Group) -> Vec<String> {
    let golden = group.golden();
    let failed = |(number, case): (usize, &Case)| {
        let error = check(group, &golden, case).err()?;
        Some(format!("{} case {number} {} {}: {error}", group.name, case.op, case.args))
    };
    golden.cases.iter().enumerate().filter(|(_, case)| case.grad).filter_map(failed).collect()
}
