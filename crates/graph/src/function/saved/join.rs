//! Traces for several sizes beside each other: one description of all, or what differs.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::fit::{self, Fit, Unlike};
use super::format::{Program, SavedBound, SavedLeaf, SavedNode};
use super::probe::Prober;
use crate::build::Bound;
use crate::error::{Error, Result};
use crate::function::cache::Traced;
use crate::function::signature::Form;
use crate::graph::{Graph, Leaf, Node};
use crate::op::Op;
use crate::tensor::Tensor;

impl Prober<'_> {
    /// One description of those at all points, node by node.
    pub(super) fn joined(
        &self,
        fit: &mut Fit,
        described: &[Value],
        traces: &[Traced],
        points: &[Vec<usize>],
    ) -> Result<Value> {
        let graphs: Vec<&Graph> = traces.iter().map(|traced| &traced.built.graph).collect();
        let nodes: Vec<&Vec<Value>> = described.iter().filter_map(|d| d["nodes"].as_array()).collect();
        let mut joined = vec![];
        for n in 0..nodes[0].len() {
            let here: Option<Vec<&Value>> = nodes.iter().map(|nodes| nodes.get(n)).collect();
            let Some(here) = here else { return Err(self.lengths(&graphs, points)) };
            match fit.join(&here) {
                Ok(node) if numbers(&node["inputs"]) => joined.push(node),
                Ok(_) | Err(Unlike::Structure) => {
                    let other = here.iter().position(|node| !alike(node, here[0])).unwrap_or(1);
                    return Err(self.structures(graphs[0], graphs[other], n, &points[0], &points[other]));
                }
                Err(Unlike::Numbers(numbers)) => {
                    let node = &graphs[0].nodes[n];
                    let known: Vec<String> = points
                        .iter()
                        .zip(&numbers)
                        .take(4)
                        .map(|(point, number)| format!("{} at {point:?}", fit::in_words(number)))
                        .collect();
                    return Err(self.refused(format!(
                        "a number of `{}`, made at {}, is no formula of the sizes of open dimensions: {}",
                        node.op.name(),
                        node.at,
                        known.join(", ")
                    )));
                }
            }
        }
        if nodes.iter().any(|other| other.len() != nodes[0].len()) {
            return Err(self.lengths(&graphs, points));
        }
        let mut rest: Vec<Value> = described.to_vec();
        rest.iter_mut().for_each(|description| description["nodes"] = Value::Null);
        let unlike = |_| self.refused("results or assignments depend on the sizes of open dimensions".into());
        let mut program = fit.join(&rest.iter().collect::<Vec<_>>()).map_err(unlike)?;
        if !numbers(&program["returns"]) {
            return Err(unlike(Unlike::Structure));
        }
        program["nodes"] = Value::Array(joined);
        Ok(once(program))
    }

    fn structures(&self, a: &Graph, b: &Graph, n: usize, first: &[usize], second: &[usize]) -> Error {
        let (a, b) = (&a.nodes[n], &b.nodes[n]);
        self.refused(format!(
            "the operations depend on the sizes of open dimensions: `{}` made at {} with {first:?}, `{}` made at {} with \
             {second:?}",
            a.op.name(),
            a.at,
            b.op.name(),
            b.at
        ))
    }

    fn lengths(&self, graphs: &[&Graph], points: &[Vec<usize>]) -> Error {
        let (most, longest) =
            graphs.iter().enumerate().max_by_key(|(_, g)| g.nodes.len()).unwrap_or((0, &graphs[0]));
        let (least, shortest) =
            graphs.iter().enumerate().min_by_key(|(_, g)| g.nodes.len()).unwrap_or((0, &graphs[0]));
        let node = &longest.nodes[shortest.nodes.len().min(longest.nodes.len() - 1)];
        self.refused(format!(
            "the operations depend on the sizes of open dimensions: there are {} with {:?}, {} with {:?}; `{}` made at {} is \
             one more",
            shortest.nodes.len(),
            points[least],
            longest.nodes.len(),
            points[most],
            node.op.name(),
            node.at
        ))
    }

    /// An error where two traces are bound to other things.
    pub(super) fn same_bound(&self, a: &Traced, b: &Traced, first: &[usize], second: &[usize]) -> Result<()> {
        let (a, b) = (&a.built, &b.built);
        if a.bound.len() != b.bound.len() {
            return Err(self.lengths(&[&a.graph, &b.graph], &[first.to_vec(), second.to_vec()]));
        }
        for (n, (x, y)) in a.bound.iter().zip(&b.bound).enumerate() {
            if !self.same(x, y)? {
                let is_leaf = |node: &&Node| node.op == Op::Input(n);
                let line = a.graph.nodes.iter().find(is_leaf).map_or(self.at, |node| node.at);
                return Err(self.refused(format!(
                    "the tensor made at {line} holds other values with open dimensions of {first:?} than with {second:?}"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn same(&self, a: &Bound, b: &Bound) -> Result<bool> {
        Ok(match (a, b) {
            (Bound::Argument(a), Bound::Argument(b)) => a == b,
            (Bound::State(a), Bound::State(b)) => Arc::ptr_eq(a, b),
            (Bound::Value(a), Bound::Value(b)) => {
                let form = |t: &Tensor| (t.shape().to_vec(), t.dtype());
                a.node.id == b.node.id
                    || form(a) == form(b) && a.read_bytes(self.at)? == b.read_bytes(self.at)?
            }
            _ => false,
        })
    }
}

/// Whether a list holds numbers, not formulas.
fn numbers(list: &Value) -> bool {
    list.as_array().is_some_and(|items| items.iter().all(Value::is_number))
}

/// The program with equal nodes once; they would be one for any sizes.
fn once(mut program: Value) -> Value {
    let mut places: Vec<usize> = vec![];
    let renumber = |id: &mut Value, places: &[usize]| {
        if let Some(place) = id.as_u64().and_then(|id| places.get(id as usize)) {
            *id = Value::from(*place);
        }
    };
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut kept = vec![];
    for mut node in program["nodes"].as_array_mut().map(std::mem::take).unwrap_or_default() {
        node["inputs"].as_array_mut().into_iter().flatten().for_each(|id| renumber(id, &places));
        let place = *known.entry(node.to_string()).or_insert(kept.len());
        if place == kept.len() {
            kept.push(node);
        }
        places.push(place);
    }
    program["returns"].as_array_mut().into_iter().flatten().for_each(|id| renumber(id, &places));
    for assign in program["assigns"].as_array_mut().into_iter().flatten() {
        renumber(&mut assign["value"], &places);
    }
    program["nodes"] = Value::Array(kept);
    program
}

/// Whether two nodes differ in numbers alone.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        (Value::Number(_), Value::Number(_)) => true,
        _ => a == b,
    }
}

/// A trace as a file describes it; what leaves are bound to is numbered by leaf.
pub(super) fn described(traced: &Traced, arguments: Vec<Form>) -> Result<Value> {
    let graph = &traced.built.graph;
    let leaf = |(n, (leaf, bound)): (usize, (&Leaf, &Bound))| SavedLeaf {
        shape: leaf.shape.clone(),
        dtype: leaf.dtype,
        bound: match bound {
            Bound::Argument(n) => SavedBound::Argument(*n),
            Bound::State(_) | Bound::Reading { .. } => SavedBound::State(n),
            Bound::Value(_) => SavedBound::Value(n),
        },
    };
    let program = Program {
        structure: String::new(),
        arguments,
        outputs: traced.outputs.clone(),
        leaves: graph.leaves.iter().zip(&traced.built.bound).enumerate().map(leaf).collect(),
        nodes: graph.nodes.iter().map(SavedNode::of).collect(),
        returns: graph.outputs.clone(),
        assigns: graph.assigns.clone(),
    };
    serde_json::to_value(&program).map_err(|e| Error::Internal(e.to_string()))
}
