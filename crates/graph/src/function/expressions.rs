//! From a graph back to expressions: what a function from a file is inside of a trace.

use std::collections::HashMap;

use kiln_device::DType;

use crate::body::parameter;
use crate::control::{LoopBody, LoopInputs, OpenArm, make_loop, make_switch};
use crate::error::{At, Error, Result};
use crate::graph::{Graph, Leaf, NodeId};
use crate::op::{Call, Loop, Op, Work};
use crate::tensor::Tensor;
use crate::trace::{self, TraceId, What};

/// The expression of every node, of tensors in the place of the leaves.
pub(super) fn expressions(graph: &Graph, leaves: &[Tensor], at: At) -> Result<Vec<Tensor>> {
    let mut made: Vec<Tensor> = Vec::with_capacity(graph.nodes.len());
    let mut results: HashMap<NodeId, Vec<Tensor>> = HashMap::new();
    for (n, node) in graph.nodes.iter().enumerate() {
        let inputs: Vec<Tensor> = node.inputs.iter().map(|id| made[id.index()].clone()).collect();
        let tensor = match &node.op {
            Op::Input(leaf) => leaves[*leaf].clone(),
            Op::Call(call) => {
                let values = called(call, &inputs, at)?;
                // Stands for all of them; only its results are asked for.
                let first = values.first().cloned();
                results.insert(NodeId(n as u32), values);
                first.ok_or_else(|| Error::Internal("a call without results".into()))?
            }
            Op::Result { index } => results[&node.inputs[0]][*index].clone(),
            op => Tensor::op(op.clone(), inputs, node.shape.clone(), node.dtype, at),
        };
        tensor.check()?;
        made.push(tensor);
    }
    Ok(made)
}

fn called(call: &Call, inputs: &[Tensor], at: At) -> Result<Vec<Tensor>> {
    match &call.work {
        Work::Host(host) => {
            let message = format!("`{}` is a function of the host, which no file holds", host.function.op());
            Err(Error::Operation { op: "saved_function", message, at })
        }
        Work::Switch(arms) => {
            trace::record(What::Body("switch"), |id| {
                let arms = arms.iter().map(|arm| opened(arm, id, at)).collect::<Result<_>>()?;
                make_switch(&inputs[0], arms, &inputs[1..], id, at)
            })
            .0
        }
        Work::Loop(looped) => trace::record(What::Body("loop"), |id| turned(call, looped, inputs, id, at)).0,
    }
}

fn opened(arm: &Graph, trace: TraceId, at: At) -> Result<OpenArm<'static>> {
    let leaf = |leaf: &Leaf| parameter(trace, leaf.shape.clone(), leaf.dtype, at);
    let parameters: Vec<Tensor> = arm.leaves.iter().map(leaf).collect();
    let made = expressions(arm, &parameters, at)?;
    let results = arm.outputs.iter().map(|id| made[id.index()].clone()).collect();
    Ok(OpenArm { parameters, results, inside: Box::new(|_| true) })
}

fn turned(call: &Call, looped: &Loop, inputs: &[Tensor], trace: TraceId, at: At) -> Result<Vec<Tensor>> {
    let count = call.results.len();
    // What is carried is flat inside and has its own shape outside.
    let form = |(n, leaf): (usize, &Leaf)| {
        let shape = if n < count { &call.results[n].0 } else { &leaf.shape };
        parameter(trace, shape.clone(), leaf.dtype, at)
    };
    let parameters: Vec<Tensor> = looped.body.leaves.iter().enumerate().map(form).collect();
    let flat = |(leaf, tensor): (&Leaf, &Tensor)| tensor.reshape_at(leaf.shape.clone(), at);
    let leaves: Vec<Tensor> = looped.body.leaves.iter().zip(&parameters).map(flat).collect();
    let made = expressions(&looped.body, &leaves, at)?;
    let (carried, constants) = parameters.split_at(count);
    let mut next = carried.to_vec();
    for assign in &looped.body.assigns {
        let shape = carried[assign.leaf].shape().to_vec();
        next[assign.leaf] = made[assign.value.index()].reshape_at(shape, at);
    }
    let counter = parameter(trace, vec![], DType::I32, at);
    let body = LoopBody {
        row: counter.clone(),
        counter,
        carried: carried.to_vec(),
        rows: vec![],
        constants: constants.to_vec(),
        next,
        stacked: vec![],
        most: looped.most.unwrap_or(usize::MAX),
        conditional: looped.conditional,
    };
    let (carried, constants) = inputs.split_at(count);
    let inputs = LoopInputs { carried: carried.to_vec(), arrays: vec![], constants: constants.to_vec() };
    Ok(make_loop(body, inputs, trace, None, at)?.carried)
}
