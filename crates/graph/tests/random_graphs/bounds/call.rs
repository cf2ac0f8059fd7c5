//! Errors of branches, loops and functions of the host.

use kiln_graph::graph::{Graph, Leaf, Node, NodeId};
use kiln_graph::interpret::interpret;
use kiln_graph::op::{Call, Op, Work};
use kiln_graph::{DType, Result};

use super::number::{U, stored};
use super::{Near, analyse_from};

/// The results of a call; none where it is not known which branch is taken, or how often a loop runs.
pub(super) fn call(
    graph: &Graph,
    node: &Node,
    call: &Call,
    inputs: &[&[Near]],
    origins: &mut u64,
) -> Result<Option<Vec<Vec<Near>>>> {
    let all = |inputs: &[&[Near]]| inputs.iter().map(|x| x.to_vec()).collect::<Vec<_>>();
    match &call.work {
        Work::Switch(arms) => {
            let index = inputs[0][0];
            if !index.is_exact() {
                return Ok(None);
            }
            let arm = &arms[index.value.clamp(0.0, arms.len() as f64 - 1.0) as usize];
            let nears = analyse_from(arm, &all(&inputs[1..]), origins)?;
            Ok(Some(arm.outputs.iter().map(|id| nears[id.index()].clone()).collect()))
        }
        Work::Loop(looped) => {
            let mut leaves = all(inputs);
            for _ in 0..looped.most.unwrap_or(usize::MAX) {
                if looped.conditional && !leaves[0][0].is_exact() {
                    return Ok(None);
                }
                if looped.conditional && leaves[0][0].value == 0.0 {
                    break;
                }
                let nears = analyse_from(&looped.body, &leaves, origins)?;
                for assign in &looped.body.assigns {
                    leaves[assign.leaf] = nears[assign.value.index()].clone();
                }
            }
            leaves.truncate(call.results.len());
            Ok(Some(leaves))
        }
        Work::Host(_) => of_host(graph, node, call, inputs),
    }
}

/// A function of the host, in `f64` on rounded inputs: to first order, the sum of what the error of each input moves.
fn of_host(graph: &Graph, node: &Node, call: &Call, inputs: &[&[Near]]) -> Result<Option<Vec<Vec<Near>>>> {
    if inputs.iter().any(|x| x.iter().any(|x| x.is_unknown() || !x.value.is_finite())) {
        return Ok(None);
    }
    let values: Vec<Vec<f64>> = inputs.iter().map(|x| x.iter().map(|x| x.value).collect()).collect();
    let found = results(graph, node, call, &values)?;
    let mut errors: Vec<Vec<f64>> = found.iter().map(|y| vec![0.0; y.len()]).collect();
    for (n, input) in inputs.iter().enumerate() {
        for (i, near) in input.iter().enumerate().filter(|(_, x)| !x.is_exact()) {
            let mut moved = values.clone();
            moved[n][i] += near.error;
            let Ok(moved) = results(graph, node, call, &moved) else { return Ok(None) };
            for (error, (y, z)) in
                errors.iter_mut().flatten().zip(found.iter().flatten().zip(moved.iter().flatten()))
            {
                *error += 2.0 * (y - z).abs();
            }
        }
    }
    let near = |(n, (y, e)): (usize, (&Vec<f64>, &Vec<f64>))| {
        let dtype: DType = call.results[n].1;
        let largest = y.iter().fold(0.0f64, |m, y| m.max(y.abs()));
        let one = |(y, e): (&f64, &f64)| stored(Near::within(*y, *e + U * largest), dtype);
        y.iter().zip(e).map(one).collect()
    };
    Ok(Some(found.iter().zip(&errors).enumerate().map(near).collect()))
}

/// What the interpreter makes of a call alone.
fn results(graph: &Graph, node: &Node, call: &Call, values: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
    let mut alone = Graph::default();
    let leaf = |id: &NodeId| {
        let input = graph.node(*id);
        Leaf { shape: input.shape.clone(), dtype: input.dtype, state: false }
    };
    let ids: Vec<NodeId> = node.inputs.iter().map(|id| alone.leaf(leaf(id), node.at)).collect();
    let made = alone.add(node.op.clone(), ids, node.shape.clone(), node.dtype, node.at);
    alone.outputs = (0..call.results.len())
        .map(|index| {
            let (shape, dtype) = call.results[index].clone();
            alone.add(Op::Result { index }, vec![made], shape, dtype, node.at)
        })
        .collect();
    Ok(interpret(&alone, values)?.outputs)
}
