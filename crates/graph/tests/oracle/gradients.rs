//! Gradients against central differences, all in the interpreter's `f64`.

use std::collections::HashSet;

use kiln_device::{BinaryOp, DType, UnaryOp};
use kiln_graph::graph::Graph;
use kiln_graph::interpret::{graph_of, interpret, interpret_tensors};
use kiln_graph::op::Op;
use kiln_graph::{Tensor, gradients, gradients_with};

use crate::case::{Case, tensor_of};
use crate::{cases, primitives};

const STEP: f64 = 1e-6;
const RELATIVE: f64 = 1e-5;

/// A case's outputs as a function of its inputs in `f64`, and the weights of their sum.
struct Numeric {
    graph: Graph,
    weights: Vec<Option<Vec<f64>>>,
}

impl Numeric {
    fn new(inputs: &[Tensor], outputs: &[Tensor]) -> Numeric {
        let weight = |(i, y): (usize, &Tensor)| y.dtype().is_float().then(|| Case::weights(y, i));
        let (graph, _) = graph_of(inputs, outputs).expect("the case's graph");
        Numeric { graph, weights: outputs.iter().enumerate().map(weight).collect() }
    }

    fn sum(&self, leaves: &[Vec<f64>]) -> f64 {
        let outputs = interpret(&self.graph, leaves).expect("the case's value").outputs;
        let weighted = |(y, w): (&Vec<f64>, &Vec<f64>)| y.iter().zip(w).map(|(y, w)| y * w).sum::<f64>();
        outputs.iter().zip(&self.weights).filter_map(|(y, w)| w.as_ref().map(|w| weighted((y, w)))).sum()
    }

    fn derivative(&self, leaves: &mut [Vec<f64>], leaf: usize, element: usize) -> f64 {
        let middle = leaves[leaf][element];
        leaves[leaf][element] = middle + STEP;
        let above = self.sum(leaves);
        leaves[leaf][element] = middle - STEP;
        let below = self.sum(leaves);
        leaves[leaf][element] = middle;
        (above - below) / (2.0 * STEP)
    }
}

/// What is wrong with the gradients of a case, if anything.
fn check(case: &Case) -> Vec<String> {
    let inputs = case.tensors();
    let outputs = (case.build)(&inputs);
    let gradients = case.gradients(&inputs, &outputs);
    let shapes = |tensors: Vec<&Tensor>| tensors.iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>();
    if shapes(gradients.iter().collect()) != shapes(case.targets(&inputs)) {
        return vec![format!("{}: {gradients:?} are not of the inputs' shapes", case.name)];
    }
    let numeric = Numeric::new(&inputs, &outputs);
    let (graph, leaves) = graph_of(&inputs, &gradients).expect("the gradients' graph");
    let analytic = interpret(&graph, &leaves).expect("the gradients' value").outputs;
    let (_, mut leaves) = graph_of(&inputs, &outputs).expect("the case's graph");
    let mut wrong = vec![];
    let targets = (0..inputs.len()).filter(|i| inputs[*i].dtype() == DType::F32);
    for (leaf, gradient) in targets.zip(&analytic) {
        let scale = gradient.iter().fold(1e-3, |m: f64, g| m.max(g.abs()));
        for (element, got) in gradient.iter().enumerate() {
            let expected = numeric.derivative(&mut leaves, leaf, element);
            let near = (got - expected).abs() <= RELATIVE * scale;
            if !near {
                wrong.push(format!("{}: d/d input {leaf}[{element}]: {got}, not {expected}", case.name));
            }
        }
    }
    wrong
}

fn check_all(cases: impl Iterator<Item = Case>) {
    let wrong: Vec<String> = cases.flat_map(|case| check(&case)).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn gradients_are_differences() {
    check_all(cases().into_iter().filter(|case| case.differentiable));
}

#[test]
fn gradients_of_gradients_are_differences() {
    // Those of which a gradient is constant, or of order n, tell nothing new.
    let sample = [
        "exp [3, 5]",
        "expm1 [17]",
        "log [17]",
        "log1p [17]",
        "sqrt [17]",
        "rsqrt [17]",
        "sin [17]",
        "cos [17]",
        "tanh [3, 5]",
        "atan [17]",
        "erf [17]",
        "sigmoid [17]",
        "mul [3, 4] with [4]",
        "div [3, 5]",
        "pow [3, 5]",
        "atan2 [3, 5]",
        "reduce_prod [2, 3, 4] [1]",
        "reduce_max [3, 5] [1]",
        "scan prod [2, 5] 1",
        "scan max [2, 5] 1",
        "matmul [3, 4] [4, 5]",
        "matmul [2, 1, 3, 4] [3, 4, 2]",
        "conv [1, 6, 5, 4] [2, 3, 2, 6] [1, 2] Same [2, 1] 2",
        "conv [1, 9, 2] [3, 2, 3] [1] Same [2] 1",
        "window [2, 6, 2] 1 3 2 2",
        "scatter Fold(Prod) [5] [7]",
        "scatter Set [4, 3] [6]",
        "take [4, 3] [6] 0",
        "softmax [3, 4] 1",
        "log_softmax [3, 4] 1",
        "logsumexp [3, 4] 1",
        "cross entropy [4, 5]",
        "network",
        "variance [3, 4] [1]",
        "normalize_moments [3, 4] [1]",
        "max_pool [1, 4, 5, 2] [2, 3] [2, 2] Same",
        "average_pool [1, 4, 5, 2] [2, 3] [2, 2] Same",
        "relu [3, 4]",
        "clip",
    ];
    let all = cases();
    let chosen = sample.map(|name| {
        let case = all.iter().find(|case| case.name == name);
        case.unwrap_or_else(|| panic!("no case `{name}`")).clone().of_gradients()
    });
    check_all(chosen.into_iter());
}

#[test]
fn every_differentiable_primitive_is_checked() {
    let all = cases();
    // What the gradients are made of counts only where a case has it itself.
    let found = primitives(all.iter().filter(|case| case.differentiable), false);
    let names: HashSet<&str> = found.iter().map(Op::name).collect();
    let constant =
        ["sign", "floor", "ceil", "round", "trunc", "not", "is_nan", "and", "or", "xor", "shl", "shr"];
    // Sources, integers, and what the graph removes; the gradient maps of conv are checked as second derivatives.
    let other = ["input", "constant", "iota", "bitcast", "random", "check_index", "argsort", "stop_gradient"];
    let second = ["conv_input_gradient", "conv_kernel_gradient"];
    let excused = |name: &str| [&constant[..], &other, &second].iter().any(|list| list.contains(&name));
    let unary = UnaryOp::ALL.iter().map(|op| op.name());
    let expected = unary.chain(BinaryOp::ALL.iter().map(|op| op.name())).chain(Op::NAMES.iter().copied());
    let missing: Vec<&str> = expected.filter(|name| !excused(name) && !names.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn gradients_have_the_type_of_what_they_are_of() {
    for case in cases().iter().filter(|case| case.differentiable) {
        for dtype in [DType::F16, DType::BF16] {
            let narrow = |t: Tensor| if t.dtype() == DType::F32 { t.cast(dtype) } else { t };
            let inputs: Vec<Tensor> = case.tensors().into_iter().map(narrow).collect();
            let targets: Vec<Tensor> = inputs.iter().filter(|t| t.dtype() == dtype).cloned().collect();
            let outputs = (case.build)(&inputs);
            for y in outputs.iter().filter(|y| y.dtype() == dtype) {
                let found = gradients_with(y, &y.ones_like(), &targets);
                let found = found.unwrap_or_else(|e| panic!("{} {dtype}: {e}", case.name));
                assert!(found.iter().all(|g| g.dtype() == dtype), "{} {dtype}: {found:?}", case.name);
            }
            assert!(outputs.iter().all(|y| y.error().is_none()), "{} {dtype}: {outputs:?}", case.name);
        }
    }
}

#[test]
fn third_derivatives() {
    let x = Tensor::from_slice(&[0.5f32, -1.25]);
    let mut y = x.pow(4.0);
    for _ in 0..3 {
        y = gradients(&y.sum(()), std::slice::from_ref(&x)).expect("a gradient").remove(0);
    }
    assert_eq!(interpret_tensors(&[y]).expect("values"), [[12.0, -30.0]]);
}

#[test]
fn nothing_flows_through_stop_gradient() {
    let x = Tensor::from_slice(&[2.0f32, 3.0]);
    let y = (&x * x.stop_gradient()).sum(());
    let dx = gradients(&y, &[x]).expect("a gradient");
    assert_eq!(interpret_tensors(&dx).expect("values"), [[2.0, 3.0]]);
}

#[test]
fn ties_and_kinks_have_their_promised_value() {
    let x = Tensor::from_slice(&[1.0f32, 1.0, 0.0]);
    let value = |y: Tensor| {
        let dx = gradients(&y, std::slice::from_ref(&x)).expect("a gradient");
        interpret_tensors(&dx).expect("values").remove(0)
    };
    assert_eq!(value(x.max(())), [0.5, 0.5, 0.0]);
    assert_eq!(value(x.relu().sum(())), [1.0, 1.0, 0.0]);
    assert_eq!(value(x.maximum(1.0).sum(())), [1.0, 1.0, 0.0]);
    assert_eq!(value(Tensor::ones(&[3]).maximum(&x).sum(())), [0.0, 0.0, 0.0]);
    assert_eq!(value(x.clip(0.0, 1.0).sum(())), [1.0, 1.0, 1.0]);
    assert_eq!(value(x.abs().sum(())), [1.0, 1.0, 0.0]);
    let windows = tensor_of(&[1.0, 1.0, 0.5, 0.5], &[1, 4, 1], DType::F32);
    let dx = gradients(&windows.max_pool(&[2], &[2], kiln_graph::Padding::Valid).sum(()), &[windows]);
    assert_eq!(interpret_tensors(&dx.expect("a gradient")).expect("values"), [[1.0, 0.0, 1.0, 0.0]]);
}
