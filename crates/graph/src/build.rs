//! From tensors to a graph: walks the expressions once and finds out what is bound to every leaf.

use std::collections::HashMap;
use std::sync::Arc;

use kiln_device::Device;

use crate::body::{dependents, ids};
use crate::error::{At, Error, Result};
use crate::graph::{Assign, Graph, Leaf, NodeId, subsume};
use crate::op::Op;
use crate::tensor::{Kind, Tensor};
use crate::trace::{Recorded, TraceId, Traced};
use crate::variable::{Reading, Slab};

/// What is bound to a leaf of a graph at run time.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    /// The n-th argument of the function.
    Argument(usize),
    /// A slab of state.
    State(Arc<Slab>),
    /// A slab that tensors have read and that has not been written where they did since.
    Reading {
        /// The slab.
        slab: Arc<Slab>,
        /// Those tensors.
        tensors: Vec<Tensor>,
    },
    /// A tensor that is computed already, or of host elements.
    Value(Tensor),
}

impl Bound {
    /// The device it lives on, where it lives on one.
    pub(crate) fn device(&self) -> Option<Device> {
        match self {
            Bound::Argument(_) => None,
            Bound::State(slab) | Bound::Reading { slab, .. } => Some(slab.device.clone()),
            Bound::Value(tensor) => home(tensor),
        }
    }
}

/// The device that a tensor's value is bound to; host elements go to any.
pub(crate) fn home(tensor: &Tensor) -> Option<Device> {
    match &tensor.node.kind {
        Kind::Host(_) => None,
        Kind::Variable(reading) => Some(reading.slab.device.clone()),
        _ => tensor.node.value.get().map(|s| s.device.clone()),
    }
}

/// A graph and what its leaves stand for.
pub(crate) struct Built {
    pub(crate) graph: Graph,
    pub(crate) bound: Vec<Bound>,
}

struct Builder {
    graph: Graph,
    bound: Vec<Bound>,
    trace: Option<TraceId>,
    done: HashMap<u64, NodeId>,
    states: HashMap<u64, NodeId>,
    /// Of slabs that tensors have read: node and number of the leaf.
    readings: HashMap<u64, (NodeId, usize)>,
    /// Building the body of a branch or loop, whose only leaves are its parameters.
    inside: bool,
    /// Who asks for the graph.
    at: Option<At>,
}

/// Builds the graph of `outputs` and of what a trace has recorded. `arguments` are the placeholders, leaf 0 and on;
/// `at` is who asks.
pub(crate) fn build(
    trace: Option<TraceId>,
    arguments: &[Tensor],
    outputs: &[Tensor],
    recorded: &Recorded,
    at: At,
) -> Result<Built> {
    let mut builder = Builder { at: Some(at), ..Builder::new(trace, false) };
    for (n, argument) in arguments.iter().enumerate() {
        let leaf = Leaf { shape: argument.shape().to_vec(), dtype: argument.dtype(), state: false };
        let id = builder.leaf(leaf, Bound::Argument(n), argument.node.at);
        builder.done.insert(argument.node.id, id);
    }
    for tensor in outputs {
        let id = builder.visit(tensor)?;
        builder.graph.outputs.push(id);
    }
    for assigned in &recorded.assigns {
        let value = builder.visit(&assigned.value)?;
        let value = builder.graph.flat(value);
        let (slab, offset) = assigned.variable.place();
        let node = builder.state(&slab, assigned.value.node.at);
        let Op::Input(leaf) = builder.graph.node(node).op else {
            return Err(Error::Internal("a state is not a leaf".into()));
        };
        builder.graph.assigns.push(Assign { leaf, offset, value });
    }
    builder.graph.verify()?;
    Ok(Built { graph: subsume(builder.graph), bound: builder.bound })
}

/// The graph of a branch: its leaves are the parameters.
pub(crate) fn branch_graph(parameters: &[Tensor], results: &[Tensor]) -> Result<Graph> {
    let mut builder = Builder::new(None, true);
    builder.parameters(parameters, 0);
    builder.graph.outputs = results.iter().map(|t| builder.visit(t)).collect::<Result<_>>()?;
    builder.graph.verify()?;
    Ok(subsume(builder.graph))
}

/// The body of a loop: the first parameters are what it carries, with one value for the next turn each.
pub(crate) fn loop_graph(parameters: &[Tensor], next: &[Tensor]) -> Result<Graph> {
    let mut builder = Builder::new(None, true);
    builder.parameters(parameters, next.len());
    for (leaf, (parameter, value)) in parameters.iter().zip(next).enumerate() {
        let value = builder.visit(value)?;
        if value != builder.done[&parameter.node.id] {
            builder.graph.assigns.push(Assign { leaf, offset: 0, value });
        }
    }
    builder.graph.verify()?;
    Ok(subsume(builder.graph))
}

impl Builder {
    fn new(trace: Option<TraceId>, inside: bool) -> Builder {
        Builder {
            graph: Graph::default(),
            bound: vec![],
            trace,
            done: HashMap::new(),
            states: HashMap::new(),
            readings: HashMap::new(),
            inside,
            at: None,
        }
    }

    /// Leaves for the parameters of a body, of which the first are states.
    fn parameters(&mut self, parameters: &[Tensor], states: usize) {
        for (n, parameter) in parameters.iter().enumerate() {
            let (shape, dtype, at) = (parameter.shape().to_vec(), parameter.dtype(), parameter.node.at);
            let id = if n < states {
                let flat = Leaf { shape: vec![parameter.len()], dtype, state: true };
                let leaf = self.graph.leaf(flat, at);
                self.graph.add(Op::Reshape, vec![leaf], shape, dtype, at)
            } else {
                self.graph.leaf(Leaf { shape, dtype, state: false }, at)
            };
            self.done.insert(parameter.node.id, id);
        }
    }

    fn leaf(&mut self, leaf: Leaf, bound: Bound, at: At) -> NodeId {
        self.bound.push(bound);
        self.graph.leaf(leaf, at)
    }

    fn state(&mut self, slab: &Arc<Slab>, at: At) -> NodeId {
        if let Some(id) = self.states.get(&slab.id) {
            return *id;
        }
        let leaf = Leaf { shape: vec![slab.count], dtype: slab.dtype, state: true };
        let id = self.leaf(leaf, Bound::State(slab.clone()), at);
        self.states.insert(slab.id, id);
        id
    }

    /// Depth first without recursion: expressions may be deep.
    fn visit(&mut self, root: &Tensor) -> Result<NodeId> {
        let mut stack = vec![root.clone()];
        while let Some(tensor) = stack.last().cloned() {
            if self.done.contains_key(&tensor.node.id) {
                stack.pop();
                continue;
            }
            let computed = !self.inside && tensor.node.value.get().is_some();
            let missing: Vec<Tensor> = match &tensor.node.kind {
                Kind::Op(_) | Kind::Bundle(_) if !computed => tensor
                    .node
                    .inputs
                    .iter()
                    .filter(|t| !self.done.contains_key(&t.node.id))
                    .cloned()
                    .collect(),
                _ => vec![],
            };
            if !missing.is_empty() {
                stack.extend(missing.into_iter().rev());
                continue;
            }
            if let Kind::Placeholder(traced) = &tensor.node.kind {
                return Err(leaked(root, &tensor, traced, self.at.unwrap_or(root.node.at)));
            }
            let id = self.place(&tensor, computed)?;
            self.done.insert(tensor.node.id, id);
            stack.pop();
        }
        Ok(self.done[&root.node.id])
    }

    fn place(&mut self, tensor: &Tensor, computed: bool) -> Result<NodeId> {
        let node = &tensor.node;
        let leaf = || Leaf { shape: node.shape.clone(), dtype: node.dtype, state: false };
        match &node.kind {
            Kind::Host(_) | Kind::Stored | Kind::Variable(_) if self.inside => {
                Err(Error::Internal("a leaf inside a body is no parameter".into()))
            }
            _ if computed => Ok(self.leaf(leaf(), Bound::Value(tensor.clone()), node.at)),
            Kind::Host(_) | Kind::Stored => Ok(self.leaf(leaf(), Bound::Value(tensor.clone()), node.at)),
            Kind::Op(op) => {
                let inputs = self.inputs(tensor);
                if let (Op::Result { index }, Some(values)) = (op, node.inputs.first().and_then(values)) {
                    return Ok(self.done[&values[*index].node.id]);
                }
                Ok(self.graph.add(op.clone(), inputs, node.shape.clone(), node.dtype, node.at))
            }
            Kind::Bundle(bundle) => {
                let inputs = self.inputs(tensor);
                match bundle.call() {
                    // Its results are the values themselves.
                    None => Ok(NodeId(0)),
                    Some(call) => {
                        let op = Op::Call(call.clone());
                        Ok(self.graph.add(op, inputs, node.shape.clone(), node.dtype, node.at))
                    }
                }
            }
            Kind::Variable(reading) => self.variable(tensor, reading),
            Kind::Placeholder(_) => Err(Error::Internal("a placeholder is not among the arguments".into())),
            Kind::Failed(error) => Err(error.clone()),
        }
    }

    fn inputs(&self, tensor: &Tensor) -> Vec<NodeId> {
        tensor.node.inputs.iter().map(|t| self.done[&t.node.id]).collect()
    }

    fn variable(&mut self, tensor: &Tensor, reading: &Reading) -> Result<NodeId> {
        let (at, slab) = (tensor.node.at, &reading.slab);
        let whole = match (reading.trace, self.trace) {
            (Some(own), Some(trace)) if own == trace => self.state(slab, at),
            (Some(_), _) => {
                let message = "a variable was read while a function was traced, and that reading is used outside of the \
                               trace: it stands for the value of each call, which there is none of here. Read the \
                               variable where its value is needed, or return the reading from the function";
                return Err(Error::Trace { message: message.into(), at });
            }
            // What a function captures stays what it is at the time of the trace.
            (None, Some(_)) => {
                let leaf = Leaf { shape: tensor.shape().to_vec(), dtype: slab.dtype, state: false };
                return Ok(self.leaf(leaf, Bound::Value(tensor.clone()), at));
            }
            (None, None) => self.read(slab, tensor),
        };
        let slice = Op::Slice { start: vec![reading.offset], step: vec![1] };
        let part = self.graph.add(slice, vec![whole], vec![tensor.len()], slab.dtype, at);
        Ok(self.graph.add(Op::Reshape, vec![part], tensor.shape().to_vec(), slab.dtype, at))
    }

    /// The leaf of a slab that a tensor has read.
    fn read(&mut self, slab: &Arc<Slab>, tensor: &Tensor) -> NodeId {
        let (id, number) = *self.readings.entry(slab.id).or_insert_with(|| {
            let leaf = Leaf { shape: vec![slab.count], dtype: slab.dtype, state: false };
            self.bound.push(Bound::Reading { slab: slab.clone(), tensors: vec![] });
            (self.graph.leaf(leaf, tensor.node.at), self.bound.len() - 1)
        });
        if let Bound::Reading { tensors, .. } = &mut self.bound[number] {
            tensors.push(tensor.clone());
        }
        id
    }
}

/// The tensors that a bundle passes on as they are.
fn values(bundle: &Tensor) -> Option<&[Tensor]> {
    match &bundle.node.kind {
        Kind::Bundle(all) if all.call().is_none() => Some(&bundle.node.inputs[..all.forms.len()]),
        _ => None,
    }
}

/// The error of an expression that needs a placeholder of another trace. It names the line where the expression left the
/// trace, which is the last that the trace has made on the way to `root`, and the line where that is used.
fn leaked(root: &Tensor, placeholder: &Tensor, traced: &Traced, asked: At) -> Error {
    let on_the_way = dependents(std::slice::from_ref(root), &ids([placeholder]));
    let (mut made, mut at) = (root, asked);
    while !traced.has_made(made) {
        let Some(next) = made.node.inputs.iter().find(|t| on_the_way.contains(&t.node.id)) else { break };
        (made, at) = (next, made.node.at);
    }
    let line = made.node.at;
    let what = match made.node.id == placeholder.node.id {
        true => format!("an argument of {traced}, called at {line},"),
        false => format!("the tensor made at {line} of an argument of {traced}"),
    };
    let message = match traced.is_active() {
        true => format!("{what} has no value while that is being traced; use it in expressions alone"),
        false => format!(
            "{what} is used outside of the trace: the argument has no value here. Return the tensor as a result, and use \
             the result of the call"
        ),
    };
    Error::Trace { message, at }
}
