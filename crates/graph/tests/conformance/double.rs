//! `float64` and `int64`: a few cases of every other group, called by that group's table, and a look at the graphs of
//! all others in `float64`, where nothing may be rounded to `float32` on the way.

use std::collections::BTreeMap;

use kiln_device::Value;
use kiln_graph::graph::Graph;
use kiln_graph::interpret::graph_of;
use kiln_graph::op::Op;
use kiln_graph::{DType, Tensor, gradients};

use super::{Run, groups, none_failed};
use crate::call::Call;
use crate::support::{computed, tensor_of};

/// The tables of the other groups hold the lines.
pub(super) const TABLE: &[(&str, Run)] = &[];

/// Operations with the accuracy of `float32` in `float64`, each with the reason.
const NARROW: &[(&str, &str)] = &[("elastic_transform", "its displacements are drawn in float32")];

fn widened(input: &Tensor) -> Tensor {
    match input.dtype() {
        DType::F32 => tensor_of(&computed(input).expect("values"), input.shape(), DType::F64),
        _ => input.clone(),
    }
}

/// True for what is a float32 and no short number: a `float64` that was rounded.
fn is_rounded(x: f64) -> bool {
    let bits = (x as f32).to_bits();
    x.is_finite() && f64::from(x as f32) == x && bits.trailing_zeros() < 6 && bits & 0x7f80_0000 != 0
}

/// What of a graph has the accuracy of `float32`, and the line that made it.
fn narrow(graph: &Graph, leaves: &[Vec<f64>], arguments: &[Tensor]) -> Option<String> {
    let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
    let given: Vec<Vec<u64>> = arguments.iter().filter_map(|t| computed(t).ok()).map(|v| bits(&v)).collect();
    graph.nodes.iter().find_map(|node| {
        let of_floats = || node.inputs.iter().any(|id| graph.nodes[id.index()].dtype.is_float());
        let found = match &node.op {
            Op::Constant(Value::F64(x)) if is_rounded(*x) => "a constant of float32",
            Op::Input(n) if node.dtype == DType::F64 && !given.contains(&bits(&leaves[*n])) => {
                leaves[*n].iter().any(|x| is_rounded(*x)).then_some("numbers of float32")?
            }
            // What is whole or moved stays what it is.
            Op::Constant(Value::F32(x)) => is_rounded(f64::from(*x)).then_some("a constant of float32")?,
            Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice { .. } => return None,
            _ if node.dtype == DType::F32 && of_floats() => "a value of float32",
            _ => return None,
        };
        Some(format!("{found}, {:?} from {:?}", node.op, node.at))
    })
}

#[test]
fn nothing_is_rounded_to_float32_on_the_way() {
    let mut failures = BTreeMap::new();
    let mut count = 0;
    for group in groups().iter().filter(|group| !["double", "dtypes"].contains(&group.name)) {
        let golden = group.golden();
        for case in golden.cases.iter().filter(|case| !NARROW.iter().any(|(op, _)| *op == case.op)) {
            let inputs: Vec<Tensor> = case.inputs.iter().map(|name| widened(&golden.tensor(name))).collect();
            let doubles: Vec<Tensor> = inputs.iter().filter(|t| t.dtype() == DType::F64).cloned().collect();
            let narrow_first = inputs.first().is_some_and(|t| t.dtype() != DType::F64);
            let other = narrow_first || case.args.get("dtype").is_some();
            if doubles.is_empty() || other || failures.contains_key(&case.op) {
                continue;
            }
            let outputs = group.run(&case.op)(&Call::new(&inputs, &case.args));
            let of = |outputs: &[Tensor]| {
                let (graph, leaves) = graph_of(&inputs, outputs).ok()?;
                narrow(&graph, &leaves, &inputs)
            };
            let floats = |t: &&Tensor| t.dtype().is_float() && t.error().is_none();
            let sum = outputs.iter().filter(floats).map(|t| t.sum(())).reduce(|a, b| a + b);
            let slopes = sum.and_then(|sum| gradients(&sum, &doubles).ok()).unwrap_or_default();
            let found = of(&outputs).or_else(|| Some(format!("gradient: {}", of(&slopes)?)));
            count += 1;
            if let Some(found) = found {
                failures.insert(case.op.clone(), format!("{} {}: {found}", case.op, case.args));
            }
        }
    }
    assert!(count > 500, "{count} cases in float64");
    none_failed(failures.into_values().collect());
}
