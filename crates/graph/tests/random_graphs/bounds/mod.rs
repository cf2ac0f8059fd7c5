//! How far an executor may be from the interpreter: every node's elements with a bound of their error.
//!
//! A running error analysis. Each primitive adds the error that its class allows (a rounding, some units in the last
//! place, a multiple of the sum of magnitudes), and passes on the errors of its inputs through its derivative or its values
//! at both ends of their intervals. Where an interval holds both answers of a decision (a comparison, a rounding to
//! a whole number, an order), what depends on it is not known, and is not compared. Nothing else is left out.

mod bilinear;
mod binary;
mod call;
mod fold;
mod layout;
mod number;
mod order;

use kiln_graph::graph::{Graph, Node, NodeId};
use kiln_graph::interpret::interpret;
use kiln_graph::op::Op;
use kiln_graph::{DType, Result, ScatterOp};

use std::collections::HashMap;

/// A number of the interpreter's, and how far off an executor may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) value: f64,
    /// 0 where every executor holds this very number; infinite where it may hold any, or NaN.
    pub(crate) error: f64,
    /// Elements that are copies of one another have the same number, other than 0; they are equal whatever they are.
    pub(crate) origin: u64,
}

impl Near {
    pub(crate) fn exact(value: f64) -> Near {
        Near { value, error: 0.0, origin: 0 }
    }

    pub(crate) fn within(value: f64, error: f64) -> Near {
        // Infinities and NaN are exact or unknown.
        let known = if value.is_finite() || error == 0.0 { error } else { f64::INFINITY };
        Near { value, error: if known.is_nan() { f64::INFINITY } else { known }, origin: 0 }
    }

    pub(crate) fn unknown(value: f64) -> Near {
        Near::within(value, f64::INFINITY)
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.error == 0.0
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.error == f64::INFINITY
    }

    fn copies(&self, other: &Near) -> bool {
        self.origin != 0 && self.origin == other.origin
    }

    fn low(&self) -> f64 {
        self.value - self.error
    }

    fn high(&self) -> f64 {
        self.value + self.error
    }
}

/// Numbers that hold exactly.
pub(crate) fn exact(values: &[f64]) -> Vec<Near> {
    values.iter().map(|v| Near::exact(*v)).collect()
}

/// The elements of every live node that has some, given those of the leaves.
pub(crate) fn analyse(graph: &Graph, leaves: &[Vec<Near>]) -> Result<Vec<Vec<Near>>> {
    analyse_from(graph, leaves, &mut 0)
}

fn analyse_from(graph: &Graph, leaves: &[Vec<Near>], origins: &mut u64) -> Result<Vec<Vec<Near>>> {
    let live = graph.live();
    let ids: Vec<NodeId> = (0..graph.nodes.len() as u32).map(NodeId).collect();
    let kept = |id: &NodeId| live[id.index()] && !matches!(graph.node(*id).op, Op::Call(_));
    let mut whole = graph.clone();
    whole.outputs = ids.iter().copied().filter(kept).collect();
    let numbers: Vec<Vec<f64>> = leaves.iter().map(|x| x.iter().map(|e| e.value).collect()).collect();
    let found = interpret(&whole, &numbers)?;
    if let Some(failure) = found.failure {
        return Err(failure.into());
    }
    let mut found: HashMap<NodeId, Vec<f64>> = whole.outputs.iter().copied().zip(found.outputs).collect();
    let mut nears: Vec<Vec<Near>> = vec![vec![]; graph.nodes.len()];
    let mut results: HashMap<NodeId, Option<Vec<Vec<Near>>>> = HashMap::new();
    for id in ids.into_iter().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let inputs: Vec<&[Near]> = node.inputs.iter().map(|i| &nears[i.index()][..]).collect();
        if let Op::Call(call) = &node.op {
            results.insert(id, call::call(graph, node, call, &inputs, origins)?);
            continue;
        }
        let values = found.remove(&id).unwrap_or_default();
        let mut made = match &node.op {
            Op::Input(n) => leaves[*n].clone(),
            Op::Result { index } => match &results[&node.inputs[0]] {
                Some(all) => all[*index].clone(),
                None => values.iter().map(|v| unknown_of(node.dtype, *v)).collect(),
            },
            _ => of_node(graph, node, &inputs, &values)?,
        };
        for near in made.iter_mut().filter(|n| n.error > 0.0 && n.origin == 0) {
            *origins += 1;
            near.origin = *origins;
        }
        nears[id.index()] = made;
    }
    Ok(nears)
}

/// An element of which nothing is known but its type.
fn unknown_of(dtype: DType, value: f64) -> Near {
    if dtype == DType::Bool { Near::within(value, 1.0) } else { Near::unknown(value) }
}

/// The elements of a node with `values`, before what computes new ones numbers them.
fn of_node(graph: &Graph, node: &Node, inputs: &[&[Near]], values: &[f64]) -> Result<Vec<Near>> {
    let forms: Vec<(&[usize], DType)> =
        node.inputs.iter().map(|i| (graph.node(*i).shape.as_slice(), graph.node(*i).dtype)).collect();
    let each = |f: &dyn Fn(usize, f64) -> Near| values.iter().enumerate().map(|(i, v)| f(i, *v)).collect();
    let dtype = node.dtype;
    Ok(match &node.op {
        Op::Input(_) | Op::Call(_) | Op::Result { .. } => vec![],
        // A fold of constants by the graph rounds as an executor does.
        Op::Constant(_) | Op::Iota { .. } => exact(values),
        Op::Unary(op) => each(&|i, y| number::unary(*op, (forms[0].1, dtype), inputs[0][i], y)),
        Op::Binary(op) => each(&|i, y| binary::binary(*op, dtype, inputs[0][i], inputs[1][i], y)),
        Op::Compare(op) => each(&|i, y| number::compare(*op, inputs[0][i], inputs[1][i], y)),
        Op::Select => each(&|i, y| number::select(inputs[0][i], inputs[1][i], inputs[2][i], y)),
        Op::Cast => each(&|i, y| number::cast(forms[0].1, dtype, inputs[0][i], y)),
        Op::Bitcast => each(&|i, y| number::bitcast(forms[0].1, dtype, inputs[0][i], y)),
        Op::Random => {
            let known = inputs[0].iter().all(Near::is_exact);
            each(&|_, y| if known { Near::exact(y) } else { Near::unknown(y) })
        }
        Op::CheckIndex { .. } => {
            each(&|i, y| if inputs[0][i].is_exact() { Near::exact(y) } else { Near::unknown(y) })
        }
        Op::Reduce { op, axes } => fold::reduce(*op, axes, inputs[0], forms[0].0, dtype, values),
        Op::MatMul | Op::Conv { .. } => bilinear::product(node, &forms, inputs, values)?,
        Op::Scan { op, axis, reverse } => {
            fold::scan(*op, (*axis, *reverse), inputs[0], &node.shape, dtype, values)
        }
        Op::Scatter { op: ScatterOp::Fold(op) } => fold::scatter(*op, inputs, &node.shape, dtype, values),
        Op::ArgSort { .. } => order::argsort(inputs[0], &node.shape, values),
        Op::Reshape
        | Op::Transpose { .. }
        | Op::Broadcast { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Window { .. }
        | Op::Unwindow { .. }
        | Op::Concat { .. }
        | Op::Gather
        | Op::Scatter { op: ScatterOp::Set }
        | Op::StopGradient
        | Op::Barrier => layout::moved(node, &forms, inputs, values)?,
    })
}

/// What the interpreter makes of one node for other inputs.
fn single(node: &Node, forms: &[(&[usize], DType)], inputs: &[Vec<f64>]) -> Result<Vec<f64>> {
    let mut graph = Graph::default();
    let leaf = |(shape, dtype): &(&[usize], DType)| kiln_graph::graph::Leaf {
        shape: shape.to_vec(),
        dtype: *dtype,
        state: false,
    };
    let ids: Vec<NodeId> = forms.iter().map(|form| graph.leaf(leaf(form), node.at)).collect();
    let made = graph.add(node.op.clone(), ids, node.shape.clone(), node.dtype, node.at);
    graph.outputs = vec![made];
    Ok(interpret(&graph, inputs)?.outputs.remove(0))
}
