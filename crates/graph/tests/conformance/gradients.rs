//! Gradients of cases against central differences, in the interpreter's `f64`: of every case that stands at a smooth
//! point, and of the gradients themselves.
//!
//! Differences of two widths and from both sides tell a smooth point from a kink, a jump or a place where numbers end;
//! there an element is not compared, but where a case asks for gradients (`grad`) every element must be.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use kiln_graph::graph::Graph;
use kiln_graph::interpret::{graph_of, interpret};
use kiln_graph::{DType, Tensor, gradients_with, ops};

use crate::golden::{Case, Golden};
use crate::support::{tensor_of, unit};
use crate::{Group, groups};

const STEP: f64 = 1e-6;
/// Of the largest element of a gradient; of a second derivative, where the value is an approximation for `float32` and
/// the first derivative is exact.
const RELATIVE: [f64; 2] = [1e-6, 1e-5];
/// Elements of an input that are compared, spread over it: of a case that asks for it, of others, of second derivatives.
const MOST: [usize; 3] = [16, 3, 3];
/// Cases of an operation that do not ask for gradients and are compared all the same; cases of second derivatives.
const CASES: [usize; 2] = [6, 2];
/// Elements of a graph that one evaluation of a case may have where it does not ask for gradients.
const WORK: usize = 40_000;

/// Names with float inputs and outputs and without a gradient to compare, each with the reason.
pub(crate) const NOT_DIFFERENTIABLE: &[(&str, &str)] = &[
    (
        "nextafter",
        "the next number of float32, which differences do not resolve; `steps_of_one_unit` has its gradient",
    ),
    ("stop_gradient", "its gradient is 0 by design"),
];

/// How many cases of an operation agree with differences.
#[derive(Clone, Copy, Default)]
pub(crate) struct Checked {
    pub(crate) first: usize,
    pub(crate) second: usize,
}

/// What all cases gave.
pub(crate) struct Survey {
    pub(crate) checked: BTreeMap<String, Checked>,
    pub(crate) failures: Vec<String>,
}

/// A function of leaves, as a graph, and the weights of the sum of its outputs that is differentiated.
struct Weighted {
    graph: Graph,
    leaves: Vec<Vec<f64>>,
    weights: Vec<Option<Vec<f64>>>,
}

/// A quotient of differences, how far it may be from the derivative, and whether there is one.
struct Derivative {
    value: f64,
    uncertain: f64,
    smooth: bool,
}

fn weights(output: &Tensor, position: usize) -> Vec<f64> {
    (0..output.len()).map(|i| ((0.5 + unit(i, 100 + position)) as f32) as f64).collect()
}

/// Outputs that count: those of 32 bits, because a cast to less rounds.
fn counts(output: &Tensor) -> bool {
    output.dtype() == DType::F32
}

impl Weighted {
    fn new(inputs: &[Tensor], outputs: &[Tensor]) -> kiln_graph::Result<Weighted> {
        let (graph, leaves) = graph_of(inputs, outputs)?;
        let weight = |(i, y): (usize, &Tensor)| counts(y).then(|| weights(y, i));
        Ok(Weighted { graph, leaves, weights: outputs.iter().enumerate().map(weight).collect() })
    }

    fn work(&self) -> usize {
        self.graph.nodes.iter().map(|node| node.shape.iter().product::<usize>()).sum()
    }

    fn at(&self, leaf: usize, element: usize, value: f64) -> Result<Vec<Vec<f64>>, String> {
        let mut leaves = self.leaves.clone();
        leaves[leaf][element] = value;
        Ok(interpret(&self.graph, &leaves).map_err(|e| e.to_string())?.outputs)
    }

    /// Σ weight · (a − b), and how much of it may be rounding.
    fn difference(&self, a: &[Vec<f64>], b: &[Vec<f64>]) -> (f64, f64) {
        let (mut sum, mut noise) = (0.0, 0.0);
        for ((a, b), weights) in a.iter().zip(b).zip(&self.weights) {
            for ((a, b), w) in a.iter().zip(b).zip(weights.iter().flatten()) {
                if a != b && !(a.is_nan() && b.is_nan()) {
                    sum += w * (a - b);
                    noise += w * a.abs().max(b.abs()) * f64::EPSILON;
                }
            }
        }
        (sum, noise)
    }

    /// The derivative by one element.
    fn derivative(&self, leaf: usize, element: usize) -> Result<Derivative, String> {
        let middle = self.leaves[leaf][element];
        let step = STEP * middle.abs().max(1.0);
        let at = |steps: f64| self.at(leaf, element, middle + steps * step);
        let [below, here, above] = [at(-1.0)?, at(0.0)?, at(1.0)?];
        let [far_below, far_above] = [at(-2.0)?, at(2.0)?];
        let slope = |(sum, noise): (f64, f64), steps: f64| (sum / (steps * step), noise / (steps * step));
        let (near, noise) = slope(self.difference(&above, &below), 2.0);
        let (far, _) = slope(self.difference(&far_above, &far_below), 4.0);
        let (right, _) = slope(self.difference(&above, &here), 1.0);
        let (left, _) = slope(self.difference(&here, &below), 1.0);
        let noise = 16.0 * noise;
        let defined = here.iter().flatten().all(|y| y.is_finite());
        let all_finite = [near, far, right, left].iter().all(|x| x.is_finite());
        let smooth = (near - far).abs() <= 1e-5 * near.abs() + noise
            && (right - left).abs() <= 1e-3 * near.abs() + 1e-4 + 4.0 * noise;
        let uncertain = noise + (near - far).abs();
        Ok(Derivative { value: (4.0 * near - far) / 3.0, uncertain, smooth: defined && all_finite && smooth })
    }
}

/// The gradients of Σ weight · output with respect to every target.
fn sums(outputs: &[Tensor], targets: &[Tensor]) -> kiln_graph::Result<Vec<Tensor>> {
    let mut sums: Vec<Tensor> = targets.iter().map(Tensor::zeros_like).collect();
    for (i, y) in outputs.iter().enumerate().filter(|(_, y)| counts(y)) {
        let cotangent = tensor_of(&weights(y, i), y.shape(), y.dtype());
        for (sum, gradient) in sums.iter_mut().zip(gradients_with(y, &cotangent, targets)?) {
            *sum = &*sum + gradient;
        }
    }
    Ok(sums)
}

/// Compares the gradients of some outputs with differences of these: the number of elements compared, and the gradients.
fn compare(
    inputs: &[Tensor],
    outputs: &[Tensor],
    most: usize,
    relative: f64,
    all: bool,
) -> Result<(usize, Vec<Tensor>), String> {
    let said = |e: kiln_graph::Error| e.to_string();
    let targets: Vec<Tensor> = inputs.iter().filter(|t| t.dtype() == DType::F32).cloned().collect();
    let function = Weighted::new(inputs, outputs).map_err(said)?;
    // Beside numbers that large a difference is lost.
    let large = function.leaves.iter().flatten().any(|x| x.is_finite() && x.abs() > 1e6);
    if !all && (large || function.work() > WORK) {
        return Ok((0, vec![]));
    }
    let gradients = match sums(outputs, &targets) {
        // Some forms of a factorization are refused in words.
        Err(error) if !all && error.to_string().contains(" gradient") => return Ok((0, vec![])),
        other => other.map_err(said)?,
    };
    let (graph, leaves) = graph_of(inputs, &gradients).map_err(said)?;
    if !all && graph.nodes.iter().map(|node| node.shape.iter().product::<usize>()).sum::<usize>() > 8 * WORK {
        return Ok((0, vec![]));
    }
    let analytic = interpret(&graph, &leaves).map_err(said)?.outputs;
    let positions = (0..inputs.len()).filter(|i| inputs[*i].dtype() == DType::F32);
    let mut compared = 0;
    for (leaf, gradient) in positions.zip(&analytic) {
        let scale = gradient.iter().filter(|g| g.is_finite()).fold(1e-3, |m: f64, g| m.max(g.abs()));
        for element in (0..gradient.len()).step_by(gradient.len().div_ceil(most).max(1)) {
            let got = gradient[element];
            // What is far from 1 is differentiated with too wide a step.
            if !all && function.leaves[leaf][element].abs() > 10.0 {
                continue;
            }
            let Derivative { value, uncertain, smooth } = function.derivative(leaf, element)?;
            if all && uncertain > 1e-4 * scale {
                return Err(format!(
                    "input {leaf}[{element}] is at a kink, where the gradient is {got}: {value} ± {uncertain}"
                ));
            }
            if !all && !smooth {
                continue;
            }
            // The largest element is no measure of one that has nothing to do with it.
            let scale = if all { scale } else { value.abs().max(1e-2) };
            let near = (got - value).abs() <= relative * scale + uncertain;
            if !near {
                return Err(format!("d/d input {leaf}[{element}]: {got}, not {value} ± {uncertain}"));
            }
            compared += 1;
        }
    }
    Ok((compared, gradients))
}

/// Whether a case has something to differentiate: a float input and a float output.
fn has_gradient(golden: &Golden, case: &Case) -> bool {
    case.inputs.iter().any(|name| golden.dtype(name) == DType::F32)
        && case.outputs.iter().any(|name| golden.dtype(name) == DType::F32)
}

/// What is compared of a case: first and second derivatives.
fn check(group: &Group, golden: &Golden, case: &Case, second: bool) -> Result<Checked, String> {
    let (inputs, outputs) = group.call(golden, case)?;
    let most = if case.grad { MOST[0] } else { MOST[1] };
    let (first, gradients) = compare(&inputs, &outputs, most, RELATIVE[0], case.grad)?;
    let mut checked = Checked { first: usize::from(first > 0), second: 0 };
    if second && first > 0 {
        let (elements, _) = compare(&inputs, &gradients, MOST[2], RELATIVE[1], false)
            .map_err(|e| format!("second derivative: {e}"))?;
        checked.second = usize::from(elements > 0);
    }
    Ok(checked)
}

fn survey_of(group: &Group) -> Survey {
    let golden = group.golden();
    let mut survey = Survey { checked: BTreeMap::new(), failures: vec![] };
    for (number, case) in golden.cases.iter().enumerate().filter(|(_, case)| has_gradient(&golden, case)) {
        if NOT_DIFFERENTIABLE.iter().any(|(name, _)| *name == case.op) {
            continue;
        }
        let so_far = survey.checked.entry(case.op.clone()).or_default();
        if !case.grad && so_far.first >= CASES[0] {
            continue;
        }
        match check(group, &golden, case, so_far.second < CASES[1]) {
            Ok(checked) => {
                so_far.first += checked.first;
                so_far.second += checked.second;
            }
            Err(error) => survey
                .failures
                .push(format!("{} case {number} {} {}: {error}", group.name, case.op, case.args)),
        }
    }
    survey
}

/// All gradients that are compared, once a process.
pub(crate) fn survey() -> &'static Survey {
    static SURVEY: OnceLock<Survey> = OnceLock::new();
    SURVEY.get_or_init(|| {
        let mut whole = Survey { checked: BTreeMap::new(), failures: vec![] };
        for group in groups() {
            let survey = survey_of(&group);
            whole.failures.extend(survey.failures);
            for (op, checked) in survey.checked {
                let sum = whole.checked.entry(op).or_default();
                sum.first += checked.first;
                sum.second += checked.second;
            }
        }
        whole
    })
}

#[test]
fn gradients_are_differences() {
    crate::none_failed(survey().failures.clone());
}

#[test]
fn every_operation_has_a_gradient_or_a_reason() {
    let reasons: BTreeMap<&str, &str> = NOT_DIFFERENTIABLE.iter().copied().collect();
    let missing: Vec<&String> =
        survey().checked.iter().filter(|(_, checked)| checked.first == 0).map(|(op, _)| op).collect();
    assert!(missing.is_empty(), "no gradient and no reason: {missing:?}");
    let known: Vec<&str> = groups().iter().flat_map(|g| g.names()).collect();
    let stale: Vec<&&str> = reasons.keys().filter(|name| !known.contains(*name)).collect();
    assert!(stale.is_empty(), "reasons for what is no operation: {stale:?}");
}

#[test]
fn steps_of_one_unit() {
    let (x, y) = (Tensor::from_slice(&[1.0f32, -2.0]), Tensor::from_slice(&[3.0f32, 3.0]));
    let of = gradients_with(&ops::nextafter(&x, &y), &Tensor::from_slice(&[5.0f32, 7.0]), &[x, y])
        .expect("gradients");
    assert_eq!(of[0].to_vec::<f32>().expect("values"), [5.0, 7.0]);
    assert_eq!(of[1].to_vec::<f32>().expect("values"), [0.0, 0.0]);
}
