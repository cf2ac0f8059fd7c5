//! The reference interpreter: the naive meaning of every primitive, one node at a time, in `f64`.
//!
//! It is the oracle of both executors, of fusion and of the gradients, so it shares no code with any of them and each
//! primitive is the most obvious loop. A value is dense, row-major and `f64` whatever its dtype: integers and booleans
//! are exact and wrap as their types demand; floats are not rounded to `f32`, so that what an executor loses shows.
//! Only a cast from a wider float rounds, and a bitcast goes through the bits of its types. An `int64` element is kept as
//! its 64 bits ([`whole`] and [`of_whole`]), because beyond 2⁵³ not every integer is an `f64`.

mod call;
mod fold;
mod layout;
mod scalar;

use std::collections::HashMap;

use kiln_device::{Buffer, CheckSite, DType, Device, Value};

use crate::build::{Bound, build};
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId};
use crate::op::Op;
use crate::tensor::{Element, Kind, Tensor};
use crate::trace::Recorded;

/// What a graph computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Interpreted {
    /// The outputs, in the graph's order; elements of `int64` as [`of_whole`] has them.
    pub outputs: Vec<Vec<f64>>,
    /// What each assignment writes to its range of state, in the graph's order.
    pub assigned: Vec<Vec<f64>>,
    /// The first index found out of range; the values are those with the nearest valid one in its place.
    pub failure: Option<kiln_device::Error>,
}

/// A value as an operation sees its input.
#[derive(Clone, Copy)]
struct Array<'a> {
    shape: &'a [usize],
    dtype: DType,
    values: &'a [f64],
}

impl Array<'_> {
    fn at(&self, point: &[usize]) -> f64 {
        self.values[layout::flat(point, self.shape)]
    }
}

/// An `int64` as the interpreter keeps it: its bits.
pub fn of_whole(number: i64) -> f64 {
    f64::from_bits(number as u64)
}

/// The `int64` that the interpreter keeps so.
pub fn whole(kept: f64) -> i64 {
    kept.to_bits() as i64
}

/// Evaluates every live node of a graph with its leaves bound to elements in row-major order.
///
/// # Errors
/// Where leaves are missing or have another number of elements, or the graph breaks its own rules.
pub fn interpret(graph: &Graph, leaves: &[Vec<f64>]) -> Result<Interpreted> {
    graph.verify()?;
    let fits = |(leaf, values): (&crate::graph::Leaf, &Vec<f64>)| {
        leaf.shape.iter().product::<usize>() == values.len()
    };
    if leaves.len() != graph.leaves.len() || !graph.leaves.iter().zip(leaves).all(fits) {
        return Err(Error::Internal("the interpreter's leaves do not fit the graph".into()));
    }
    let mut values: Vec<Vec<f64>> = vec![vec![]; graph.nodes.len()];
    let mut results: HashMap<NodeId, Vec<Vec<f64>>> = HashMap::new();
    let mut failure = None;
    for (i, _) in graph.live().iter().enumerate().filter(|(_, live)| **live) {
        let node = &graph.nodes[i];
        let array = |id: &crate::graph::NodeId| {
            let input = graph.node(*id);
            Array { shape: &input.shape, dtype: input.dtype, values: &values[id.index()] }
        };
        let inputs: Vec<Array<'_>> = node.inputs.iter().map(array).collect();
        match &node.op {
            Op::Call(call) => {
                drop(results.insert(NodeId(i as u32), call::call(call, &inputs, &mut failure)?))
            }
            Op::Result { index } => values[i] = results[&node.inputs[0]][*index].clone(),
            _ => values[i] = evaluate(node, &inputs, leaves, &mut failure)?,
        }
    }
    let value = |id: &crate::graph::NodeId| values[id.index()].clone();
    Ok(Interpreted {
        outputs: graph.outputs.iter().map(value).collect(),
        assigned: graph.assigns.iter().map(|a| value(&a.value)).collect(),
        failure,
    })
}

fn evaluate(
    node: &Node,
    inputs: &[Array<'_>],
    leaves: &[Vec<f64>],
    failure: &mut Option<kiln_device::Error>,
) -> Result<Vec<f64>> {
    let (shape, dtype) = (&node.shape[..], node.dtype);
    let points = 0..node.len();
    let x = |i: usize| inputs[i].values;
    Ok(match &node.op {
        Op::Input(n) => leaves[*n].clone(),
        Op::Constant(value) => vec![number(*value); node.len()],
        Op::Iota { axis } => layout::build(shape, |p| p[*axis] as f64),
        Op::Unary(op) => points.map(|i| scalar::unary(*op, inputs[0].dtype, x(0)[i])).collect(),
        Op::Binary(op) => points.map(|i| scalar::binary(*op, dtype, x(0)[i], x(1)[i])).collect(),
        Op::Compare(op) => points.map(|i| scalar::compare(*op, inputs[0].dtype, x(0)[i], x(1)[i])).collect(),
        Op::Select => points.map(|i| if x(0)[i] != 0.0 { x(1)[i] } else { x(2)[i] }).collect(),
        Op::Cast => points.map(|i| scalar::cast(inputs[0].dtype, dtype, x(0)[i])).collect(),
        Op::Bitcast => points.map(|i| scalar::bitcast(inputs[0].dtype, dtype, x(0)[i])).collect(),
        Op::Random => {
            let key = [x(0)[0] as u32, x(0)[1] as u32];
            points.map(|i| scalar::threefry2x32(key, [i as u32, 0])[0] as f64).collect()
        }
        Op::CheckIndex { bound, wrap, op } => check_index(node, inputs[0], (*bound, *wrap), op, failure),
        Op::Reduce { op, axes } => fold::reduce(*op, axes, inputs[0], shape),
        Op::MatMul => fold::matmul(inputs[0], inputs[1], shape),
        Op::Conv { kind, geometry } => fold::conv(*kind, geometry, inputs[0], inputs[1], shape),
        Op::Reshape | Op::StopGradient | Op::Barrier => x(0).to_vec(),
        Op::Transpose { permutation } => layout::transpose(permutation, inputs[0], shape),
        Op::Broadcast { axes } => layout::broadcast(axes, inputs[0], shape),
        Op::Slice { start, step } => layout::slice(start, step, inputs[0], shape),
        Op::Pad { low, interior, value, .. } => layout::pad(low, interior, number(*value), inputs[0], shape),
        Op::Window { axis, stride, dilation, .. } => {
            layout::window(*axis, *stride, *dilation, inputs[0], shape)
        }
        Op::Unwindow { axis, stride, dilation, .. } => {
            layout::unwindow(*axis, *stride, *dilation, inputs[0], shape)
        }
        Op::Concat { axis } => layout::concat(*axis, inputs, shape),
        Op::Gather => {
            let valid = |i: &f64| (0.0..inputs[0].shape[0] as f64).contains(i);
            if !x(1).iter().all(valid) && !node.is_empty() {
                return Err(Error::Internal(format!("an unchecked index reached gather ({})", node.at)));
            }
            layout::gather(inputs[0], inputs[1], shape)
        }
        Op::Scatter { op } => fold::scatter(*op, inputs[0], inputs[1], inputs[2]),
        Op::ArgSort { descending } => fold::argsort(*descending, inputs[0]),
        Op::Scan { op, axis, reverse } => fold::scan(*op, *axis, *reverse, inputs[0]),
        Op::Call(_) | Op::Result { .. } => return Err(Error::Internal("a call is not one value".into())),
    })
}

/// A constant as an element.
fn number(value: Value) -> f64 {
    match value {
        Value::I64(value) => of_whole(value),
        other => other.as_f64(),
    }
}

fn check_index(
    node: &Node,
    indices: Array<'_>,
    (bound, wrap): (usize, bool),
    op: &str,
    failure: &mut Option<kiln_device::Error>,
) -> Vec<f64> {
    let (extent, last) = (bound as i64, bound as i64 - 1);
    let index = |i: &f64| if indices.dtype == DType::I64 { whole(*i) } else { *i as i64 };
    let indices: Vec<i64> = indices.values.iter().map(index).collect();
    let first = if wrap { -extent } else { 0 };
    if let Some(position) = indices.iter().position(|i| *i < first || *i > last) {
        let site = CheckSite { op: op.to_owned(), bound: bound as u64, at: node.at.to_string() };
        failure.get_or_insert_with(|| site.error(indices[position], position as u64));
    }
    let counted = |i: &i64| if wrap && *i < 0 { i.saturating_add(extent) } else { *i };
    indices.iter().map(|i| counted(i).clamp(0, last) as f64).collect()
}

/// The graph of tensors and the present values of its leaves, of which `arguments` are the first; for tests.
///
/// # Errors
/// The first error of an expression; those of reading what is in device memory.
#[doc(hidden)]
pub fn graph_of(arguments: &[Tensor], outputs: &[Tensor]) -> Result<(Graph, Vec<Vec<f64>>)> {
    let built = build(None, arguments, outputs, &Recorded::default(), crate::tensor::here())?;
    let value = |bound: &Bound| match bound {
        Bound::Argument(n) => leaf_values(&arguments[*n]),
        Bound::State(slab) | Bound::Reading { slab, .. } => {
            stored_values(&slab.device, &slab.buffer(), slab.dtype, slab.count)
        }
        Bound::Value(tensor) => leaf_values(tensor),
    };
    let leaves = built.bound.iter().map(value).collect::<Result<Vec<_>>>()?;
    Ok((built.graph, leaves))
}

/// What the interpreter makes of tensors; for tests.
///
/// # Errors
/// As [`graph_of`]; [`kiln_device::Error::IndexOutOfRange`].
#[doc(hidden)]
pub fn interpret_tensors(outputs: &[Tensor]) -> Result<Vec<Vec<f64>>> {
    let (graph, leaves) = graph_of(&[], outputs)?;
    let interpreted = interpret(&graph, &leaves)?;
    interpreted.failure.map_or(Ok(interpreted.outputs), |failure| Err(failure.into()))
}

fn leaf_values(tensor: &Tensor) -> Result<Vec<f64>> {
    match (&tensor.node.kind, tensor.node.value.get()) {
        (Kind::Host(bytes), _) => Ok(from_host(bytes, tensor.dtype())),
        (_, Some(stored)) => stored_values(&stored.device, &stored.buffer, tensor.dtype(), tensor.len()),
        (_, None) => Err(Error::Internal("a leaf has no value".into())),
    }
}

fn stored_values(device: &Device, buffer: &Buffer, dtype: DType, count: usize) -> Result<Vec<f64>> {
    Ok(from_host(&device.download(buffer, dtype, 0, count)?, dtype))
}

/// Host elements as numbers.
fn from_host(bytes: &[u8], dtype: DType) -> Vec<f64> {
    fn numbers<T: Element>(bytes: &[u8], number: impl Fn(T) -> f64) -> Vec<f64> {
        T::from_bytes(bytes).into_iter().map(number).collect()
    }
    match dtype {
        DType::F32 => numbers::<f32>(bytes, f64::from),
        DType::F64 => numbers::<f64>(bytes, |x| x),
        DType::F16 => numbers::<half::f16>(bytes, f64::from),
        DType::BF16 => numbers::<half::bf16>(bytes, f64::from),
        DType::I32 => numbers::<i32>(bytes, f64::from),
        DType::I64 => numbers::<i64>(bytes, of_whole),
        DType::U32 => numbers::<u32>(bytes, f64::from),
        DType::U8 => numbers::<u8>(bytes, f64::from),
        DType::Bool => numbers::<bool>(bytes, f64::from),
    }
}
