//! The static graph: an append-only arena of nodes, inputs before outputs, equal nodes stored once.

use std::collections::HashMap;
use std::fmt;

use kiln_device::{BinaryOp, DType, ReduceOp, ScatterOp, UnaryOp, Value};

use crate::error::{At, Error, Result};
use crate::op::{Op, Work};
use serde::{Deserialize, Serialize};

use crate::shape::Shape;

mod file;
mod plain;
mod subsume;

pub(crate) use plain::{plainly, simplified};
pub(crate) use subsume::subsume;

/// A node of one graph; its number is its place, and inputs have smaller numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Its place in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A value of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// What computes it.
    pub op: Op,
    /// What from.
    pub inputs: Vec<NodeId>,
    /// Its dimensions.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// The user's line that made it first.
    pub at: At,
}

impl PartialEq for Node {
    /// The user's line does not tell nodes apart.
    fn eq(&self, other: &Node) -> bool {
        self.op == other.op
            && self.inputs == other.inputs
            && self.shape == other.shape
            && self.dtype == other.dtype
    }
}

impl Eq for Node {}

impl std::hash::Hash for Node {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.op, &self.inputs, &self.shape, self.dtype).hash(state);
    }
}

impl Node {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True where there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A leaf of the graph: what is bound to it at run time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leaf {
    /// Its dimensions.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// True for a slab of state, which assignments may write.
    pub state: bool,
}

/// An effect: at the end of a run, a range of a state holds a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assign {
    /// The leaf, a state.
    pub leaf: usize,
    /// First element of the range.
    pub offset: usize,
    /// The value, as many elements as the range.
    pub value: NodeId,
}

/// A traced computation.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The leaves, by number of [`Op::Input`].
    pub leaves: Vec<Leaf>,
    /// What is returned.
    pub outputs: Vec<NodeId>,
    /// What is written.
    pub assigns: Vec<Assign>,
    known: HashMap<Node, NodeId>,
}

impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        self.nodes == other.nodes
            && self.leaves == other.leaves
            && self.outputs == other.outputs
            && self.assigns == other.assigns
    }
}

impl Eq for Graph {}

impl std::hash::Hash for Graph {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.nodes, &self.leaves, &self.outputs, &self.assigns).hash(state);
    }
}

impl Graph {
    /// An empty graph of some leaves.
    pub(crate) fn of_leaves(leaves: Vec<Leaf>) -> Graph {
        Graph { leaves, ..Graph::default() }
    }

    /// The node of an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The name and line of the first function of the host that it calls, in branches and loops too.
    pub(crate) fn host_function(&self) -> Option<(&str, At)> {
        self.nodes.iter().find_map(|node| match &node.op {
            Op::Call(call) => match &call.work {
                Work::Host(host) => Some((host.function.op(), node.at)),
                Work::Switch(arms) => {
                    arms.iter().find_map(|arm| arm.host_function()).map(|(name, _)| (name, node.at))
                }
                Work::Loop(looped) => looped.body.host_function().map(|(name, _)| (name, node.at)),
            },
            _ => None,
        })
    }

    /// Appends a leaf and its node.
    pub fn leaf(&mut self, leaf: Leaf, at: At) -> NodeId {
        let (shape, dtype) = (leaf.shape.clone(), leaf.dtype);
        self.leaves.push(leaf);
        self.insert(Node { op: Op::Input(self.leaves.len() - 1), inputs: vec![], shape, dtype, at })
    }

    /// The node of an operation: an equal one that is there, a simpler one that equals it, or a new one.
    pub fn add(&mut self, op: Op, inputs: Vec<NodeId>, shape: Shape, dtype: DType, at: At) -> NodeId {
        let node = Node { op, inputs, shape, dtype, at };
        if plain::is_plain() {
            self.nodes.push(node);
            return NodeId(self.nodes.len() as u32 - 1);
        }
        match self.simplify(&node) {
            Simpler::Is(id) => id,
            Simpler::Constant(value) => {
                let Node { shape, dtype, at, .. } = node;
                self.insert(Node { op: Op::Constant(value), inputs: vec![], shape, dtype, at })
            }
            Simpler::Other(op, inputs) => self.add(op, inputs, node.shape, node.dtype, node.at),
            Simpler::No => self.insert(node),
        }
    }

    /// Takes over nodes as they stand, from a file; they are to be verified. Or says what cannot stand.
    pub(crate) fn restore(&mut self, nodes: impl Iterator<Item = Node>) -> Result<(), String> {
        for node in nodes {
            if let Op::Input(n) = node.op {
                let leaf = self.leaves.get(n).ok_or_else(|| format!("there is no leaf {n}"))?;
                if (&leaf.shape, leaf.dtype) != (&node.shape, node.dtype) {
                    return Err(format!("the node of leaf {n} has another form"));
                }
            }
            self.known.insert(node.clone(), NodeId(self.nodes.len() as u32));
            self.nodes.push(node);
        }
        Ok(())
    }

    fn insert(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.known.get(&node) {
            return *id;
        }
        let id = NodeId(self.nodes.len() as u32);
        self.known.insert(node.clone(), id);
        self.nodes.push(node);
        id
    }

    /// The value before the reshapes that end in a node: what is written to a flat slab need not take a shape before.
    pub(crate) fn flat(&self, mut id: NodeId) -> NodeId {
        while !plain::is_plain() && self.node(id).op == Op::Reshape {
            id = self.node(id).inputs[0];
        }
        id
    }

    fn constant_of(&self, id: NodeId) -> Option<Value> {
        match self.node(id).op {
            Op::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Identities that hold bit for bit (but for [`Graph::rows_added`]), and folding of constants.
    fn simplify(&self, node: &Node) -> Simpler {
        let input = |i: usize| node.inputs[i];
        let constant = |i: usize| self.constant_of(node.inputs[i]);
        let same_shape = |i: usize| self.node(input(i)).shape == node.shape;
        match &node.op {
            Op::StopGradient => Simpler::Is(input(0)),
            Op::Cast | Op::Bitcast if self.node(input(0)).dtype == node.dtype => Simpler::Is(input(0)),
            Op::Reshape | Op::Broadcast { .. } if same_shape(0) => Simpler::Is(input(0)),
            Op::Transpose { permutation } if permutation.iter().enumerate().all(|(i, p)| i == *p) => {
                Simpler::Is(input(0))
            }
            Op::Slice { start, step }
                if same_shape(0) && start.iter().all(|s| *s == 0) && step.iter().all(|s| *s == 1) =>
            {
                Simpler::Is(input(0))
            }
            Op::Reduce { axes, .. } if axes.is_empty() => Simpler::Is(input(0)),
            Op::Reshape | Op::Broadcast { .. } | Op::Transpose { .. } | Op::Slice { .. }
                if constant(0).is_some() =>
            {
                constant(0).map_or(Simpler::No, Simpler::Constant)
            }
            Op::Reshape => match &self.node(input(0)).op {
                Op::Reshape => Simpler::Other(Op::Reshape, vec![self.node(input(0)).inputs[0]]),
                _ => Simpler::No,
            },
            Op::Transpose { permutation } => match &self.node(input(0)).op {
                Op::Transpose { permutation: inner } => {
                    let composed = permutation.iter().map(|p| inner[*p]).collect();
                    Simpler::Other(
                        Op::Transpose { permutation: composed },
                        vec![self.node(input(0)).inputs[0]],
                    )
                }
                _ => Simpler::No,
            },
            Op::Broadcast { axes } => match &self.node(input(0)).op {
                Op::Broadcast { axes: inner } => {
                    let composed = inner.iter().map(|a| axes[*a]).collect();
                    Simpler::Other(Op::Broadcast { axes: composed }, vec![self.node(input(0)).inputs[0]])
                }
                _ => Simpler::No,
            },
            Op::Unary(op) => {
                constant(0).and_then(|v| fold_unary(*op, v)).map_or(Simpler::No, Simpler::Constant)
            }
            Op::Binary(op) => self.simplify_binary(*op, node),
            Op::Concat { .. } if node.inputs.len() == 1 => Simpler::Is(input(0)),
            Op::Select if input(1) == input(2) => Simpler::Is(input(1)),
            Op::Select => match constant(0) {
                Some(Value::Bool(true)) => Simpler::Is(input(1)),
                Some(Value::Bool(false)) => Simpler::Is(input(2)),
                _ => Simpler::No,
            },
            _ => Simpler::No,
        }
    }

    fn simplify_binary(&self, op: BinaryOp, node: &Node) -> Simpler {
        let (a, b) = (node.inputs[0], node.inputs[1]);
        let is = |id: NodeId, number: f64| {
            self.constant_of(id)
                .is_some_and(|v| v.as_f64() == number && (number != 0.0 || v.as_f64().is_sign_positive()))
        };
        match op {
            BinaryOp::Mul if is(a, 1.0) => Simpler::Is(b),
            BinaryOp::Mul | BinaryOp::Div if is(b, 1.0) => Simpler::Is(a),
            BinaryOp::Sub if is(b, 0.0) => Simpler::Is(a),
            BinaryOp::Add if self.adds_rows(a).is_some() => self.rows_added(a, b),
            BinaryOp::Add if self.adds_rows(b).is_some() => self.rows_added(b, a),
            BinaryOp::Add if node.dtype.is_integer() && is(b, 0.0) => Simpler::Is(a),
            BinaryOp::Add if node.dtype.is_integer() && is(a, 0.0) => Simpler::Is(b),
            _ => match (self.constant_of(a), self.constant_of(b)) {
                (Some(x), Some(y)) => fold_binary(op, x, y).map_or(Simpler::No, Simpler::Constant),
                _ => Simpler::No,
            },
        }
    }

    /// Indices and updates of a node that adds rows to zeros.
    fn adds_rows(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        let node = self.node(id);
        let zeros = |n: &NodeId| self.constant_of(*n).is_some_and(|v| v.as_f64() == 0.0);
        match (&node.op, &node.inputs[..]) {
            (Op::Scatter { op: ScatterOp::Fold(ReduceOp::Sum) }, [of, indices, updates]) if zeros(of) => {
                Some((*indices, *updates))
            }
            _ => None,
        }
    }

    /// A sum with rows added to zeros is those rows added to the other term: only they are touched. Where one row is
    /// named several times, the order of the sum is another.
    fn rows_added(&self, rows: NodeId, term: NodeId) -> Simpler {
        let op = Op::Scatter { op: ScatterOp::Fold(ReduceOp::Sum) };
        self.adds_rows(rows).map_or(Simpler::No, |(i, u)| Simpler::Other(op, vec![term, i, u]))
    }

    /// Nodes that the outputs and assignments need.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        for id in self.outputs.iter().chain(self.assigns.iter().map(|a| &a.value)) {
            live[id.index()] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if live[i] {
                for input in &self.nodes[i].inputs {
                    live[input.index()] = true;
                }
            }
        }
        live
    }

    /// Checks every node against its primitive's rule.
    pub fn verify(&self) -> Result<()> {
        for (i, node) in self.nodes.iter().enumerate() {
            let broken =
                |what: String| Error::Internal(format!("%{i} {}: {what} ({})", node.op.name(), node.at));
            if node.inputs.iter().any(|n| n.index() >= i) {
                return Err(broken("an input comes after it".into()));
            }
            let inputs: Vec<_> =
                node.inputs.iter().map(|n| (self.node(*n).shape.as_slice(), self.node(*n).dtype)).collect();
            node.op.check(&inputs, &node.shape, node.dtype).map_err(broken)?;
            if let Op::Result { index } = node.op {
                let form = match &self.node(node.inputs[0]).op {
                    Op::Call(call) => call.results.get(index),
                    _ => None,
                };
                if form.is_none_or(|(shape, dtype)| *shape != node.shape || *dtype != node.dtype) {
                    return Err(broken("is no result of its call".into()));
                }
            }
        }
        for assign in &self.assigns {
            let ok = self.leaves.get(assign.leaf).is_some_and(|leaf| {
                leaf.state
                    && leaf.shape.len() == 1
                    && assign.offset.saturating_add(self.node(assign.value).len()) <= leaf.shape[0]
                    && self.node(assign.value).dtype == leaf.dtype
            });
            if !ok {
                return Err(Error::Internal(format!(
                    "assignment of %{} does not fit its state",
                    assign.value.0
                )));
            }
        }
        Ok(())
    }
}

enum Simpler {
    Is(NodeId),
    Constant(Value),
    Other(Op, Vec<NodeId>),
    No,
}

fn fold_unary(op: UnaryOp, value: Value) -> Option<Value> {
    match (op, value) {
        (UnaryOp::Neg, Value::F32(v)) => Some(Value::F32(-v)),
        (UnaryOp::Neg, Value::F64(v)) => Some(Value::F64(-v)),
        (UnaryOp::Neg, Value::I64(v)) => Some(Value::I64(v.wrapping_neg())),
        (UnaryOp::Sqrt, Value::F64(v)) => Some(Value::F64(v.sqrt())),
        (UnaryOp::Neg, Value::I32(v)) => Some(Value::I32(v.wrapping_neg())),
        (UnaryOp::Sqrt, Value::F32(v)) => Some(Value::F32(v.sqrt())),
        (UnaryOp::Not, Value::Bool(v)) => Some(Value::Bool(!v)),
        _ => None,
    }
}

fn fold_binary(op: BinaryOp, a: Value, b: Value) -> Option<Value> {
    match (op, a, b) {
        (BinaryOp::Add, Value::F32(a), Value::F32(b)) => Some(Value::F32(a + b)),
        (BinaryOp::Sub, Value::F32(a), Value::F32(b)) => Some(Value::F32(a - b)),
        (BinaryOp::Mul, Value::F32(a), Value::F32(b)) => Some(Value::F32(a * b)),
        (BinaryOp::Div, Value::F32(a), Value::F32(b)) => Some(Value::F32(a / b)),
        (BinaryOp::Add, Value::F64(a), Value::F64(b)) => Some(Value::F64(a + b)),
        (BinaryOp::Sub, Value::F64(a), Value::F64(b)) => Some(Value::F64(a - b)),
        (BinaryOp::Mul, Value::F64(a), Value::F64(b)) => Some(Value::F64(a * b)),
        (BinaryOp::Div, Value::F64(a), Value::F64(b)) => Some(Value::F64(a / b)),
        (BinaryOp::Add, Value::I64(a), Value::I64(b)) => Some(Value::I64(a.wrapping_add(b))),
        (BinaryOp::Sub, Value::I64(a), Value::I64(b)) => Some(Value::I64(a.wrapping_sub(b))),
        (BinaryOp::Mul, Value::I64(a), Value::I64(b)) => Some(Value::I64(a.wrapping_mul(b))),
        (BinaryOp::Add, Value::I32(a), Value::I32(b)) => Some(Value::I32(a.wrapping_add(b))),
        (BinaryOp::Sub, Value::I32(a), Value::I32(b)) => Some(Value::I32(a.wrapping_sub(b))),
        (BinaryOp::Mul, Value::I32(a), Value::I32(b)) => Some(Value::I32(a.wrapping_mul(b))),
        _ => None,
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.nodes.iter().enumerate() {
            write!(f, "%{i}: {} {:?} = {}", node.dtype, node.shape, node.op.name())?;
            for input in &node.inputs {
                write!(f, " %{}", input.0)?;
            }
            match &node.op {
                Op::Constant(value) => writeln!(f, " {value}")?,
                Op::Input(n) => writeln!(f, " #{n}")?,
                Op::Result { index } => writeln!(f, ".{index}")?,
                Op::Call(call) => writeln!(f, "   {call}")?,
                op @ (Op::Iota { .. }
                | Op::CheckIndex { .. }
                | Op::Reduce { .. }
                | Op::Conv { .. }
                | Op::Transpose { .. }
                | Op::Broadcast { .. }
                | Op::Slice { .. }
                | Op::Pad { .. }
                | Op::Window { .. }
                | Op::Unwindow { .. }
                | Op::Concat { .. }
                | Op::Scatter { .. }
                | Op::ArgSort { .. }
                | Op::Scan { .. }) => writeln!(f, "   {op:?}")?,
                _ => writeln!(f)?,
            }
        }
        for output in &self.outputs {
            writeln!(f, "return %{}", output.0)?;
        }
        for assign in &self.assigns {
            writeln!(f, "assign #{}[{}..] = %{}", assign.leaf, assign.offset, assign.value.0)?;
        }
        Ok(())
    }
}
