//! Graphs inside calls, in files.

use std::panic::Location;

use kiln_device::{DType, size};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Assign, Graph, Leaf, Node, NodeId};
use crate::error::At;
use crate::op::Op;
use crate::shape::Shape;

#[derive(Serialize, Deserialize)]
struct SavedGraph {
    leaves: Vec<Leaf>,
    /// Operation, inputs, shape, element type.
    nodes: Vec<(Op, Vec<NodeId>, Shape, DType)>,
    outputs: Vec<NodeId>,
    assigns: Vec<Assign>,
}

impl Serialize for Graph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = |n: &Node| (n.op.clone(), n.inputs.clone(), n.shape.clone(), n.dtype);
        let saved = SavedGraph {
            leaves: self.leaves.clone(),
            nodes: self.nodes.iter().map(node).collect(),
            outputs: self.outputs.clone(),
            assigns: self.assigns.clone(),
        };
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Graph {
    /// A graph whose parts name each other rightly; [`Graph::verify`] checks the rest.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Graph, D::Error> {
        let saved = SavedGraph::deserialize(deserializer)?;
        let count = saved.nodes.len();
        let named = saved.outputs.iter().chain(saved.assigns.iter().map(|a| &a.value));
        if named.chain(saved.nodes.iter().flat_map(|n| &n.1)).any(|id| id.index() >= count) {
            return Err(de::Error::custom("a graph names nodes that are not there"));
        }
        let shapes = saved.nodes.iter().map(|n| &n.2).chain(saved.leaves.iter().map(|l| &l.shape));
        for shape in shapes {
            size::element_count(shape).map_err(de::Error::custom)?;
        }
        let at = At(Location::caller());
        let mut graph = Graph::of_leaves(saved.leaves);
        let nodes = saved.nodes.into_iter();
        let node = |(op, inputs, shape, dtype)| Node { op, inputs, shape, dtype, at };
        graph.restore(nodes.map(node)).map_err(de::Error::custom)?;
        (graph.outputs, graph.assigns) = (saved.outputs, saved.assigns);
        Ok(graph)
    }
}
