//! Moved elements keep their errors: where each comes from, the interpreter says of numbered ones.

use kiln_device::Value;
use kiln_graph::graph::Node;
use kiln_graph::op::Op;
use kiln_graph::{DType, Result};

use super::{Near, single, unknown_of};

/// What moves elements of its inputs; `values` are the interpreter's.
pub(super) fn moved(
    node: &Node,
    forms: &[(&[usize], DType)],
    inputs: &[&[Near]],
    values: &[f64],
) -> Result<Vec<Near>> {
    let index = matches!(node.op, Op::Gather | Op::Scatter { .. }).then_some(1);
    let op = match node.op.clone() {
        Op::Pad { low, high, interior, .. } => Op::Pad { low, high, interior, value: Value::F32(0.0) },
        op => op,
    };
    let numbered = Node { op, dtype: DType::F32, ..node.clone() };
    // From 1, because 0 is what no input gave.
    let (mut elements, mut places, mut types) = (vec![], vec![], vec![]);
    for (n, input) in inputs.iter().enumerate() {
        if index == Some(n) {
            places.push(input.iter().map(|i| i.value).collect());
            types.push((forms[n].0, DType::I32));
            continue;
        }
        let first = elements.len() + 1;
        elements.extend_from_slice(input);
        places.push((first..=elements.len()).map(|place| place as f64).collect::<Vec<f64>>());
        types.push((forms[n].0, DType::F32));
    }
    let sources = single(&numbered, &types, &places)?;
    let from = |(source, value): (&f64, &f64)| match *source as usize {
        0 => Near::exact(*value),
        place => elements[place - 1],
    };
    let mut result: Vec<Near> = sources.iter().zip(values).map(from).collect();
    if let Some(index) = index.map(|n| inputs[n]) {
        let known = |i: usize| match node.op {
            Op::Gather => index[i * index.len() / result.len().max(1)].is_exact(),
            _ => index.iter().all(Near::is_exact),
        };
        let unknown: Vec<usize> = (0..result.len()).filter(|i| !known(*i)).collect();
        for i in unknown {
            result[i] = unknown_of(node.dtype, values[i]);
        }
    }
    Ok(result)
}
