//! Loops that compute what others compute, and more: the others go.

use std::collections::HashMap;

use super::plain::is_plain;
use super::{Assign, Graph, NodeId};
use crate::op::{Op, Work};

/// The graph where every loop that another one extends (on the same inputs) is replaced by that one; a plain graph as it
/// is.
pub(crate) fn subsume(graph: Graph) -> Graph {
    if is_plain() {
        return graph;
    }
    let wider = wider(&graph);
    if wider.is_empty() {
        return graph;
    }
    let source = |id: NodeId| {
        let mut id = id;
        while let Some(other) = wider.get(&id) {
            id = *other;
        }
        id
    };
    let mut out = Graph::of_leaves(graph.leaves.clone());
    let mut map: HashMap<NodeId, NodeId> = HashMap::new();
    // The leaves' nodes keep their order.
    for (i, node) in graph.nodes.iter().enumerate().filter(|(_, n)| matches!(n.op, Op::Input(_))) {
        map.insert(NodeId(i as u32), out.insert(node.clone()));
    }
    let roots: Vec<NodeId> =
        graph.outputs.iter().chain(graph.assigns.iter().map(|a| &a.value)).copied().collect();
    for root in roots {
        let mut stack = vec![root];
        while let Some(id) = stack.last().copied() {
            let node = graph.node(id);
            let inputs: Vec<NodeId> = node.inputs.iter().map(|n| source(*n)).collect();
            let missing: Vec<NodeId> = inputs.iter().filter(|n| !map.contains_key(n)).copied().collect();
            if map.contains_key(&id) {
                stack.pop();
            } else if missing.is_empty() {
                let inputs = inputs.iter().map(|n| map[n]).collect();
                map.insert(id, out.add(node.op.clone(), inputs, node.shape.clone(), node.dtype, node.at));
                stack.pop();
            } else {
                stack.extend(missing.into_iter().rev());
            }
        }
    }
    out.outputs = graph.outputs.iter().map(|n| map[n]).collect();
    out.assigns = graph.assigns.iter().map(|a| Assign { value: map[&a.value], ..a.clone() }).collect();
    out
}

/// For every loop that another live one extends, one that does.
fn wider(graph: &Graph) -> HashMap<NodeId, NodeId> {
    let mut wider = HashMap::new();
    if !graph.nodes.iter().any(|n| matches!(&n.op, Op::Call(call) if matches!(call.work, Work::Loop(_)))) {
        return wider;
    }
    let live = graph.live();
    for (i, node) in graph.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        let Op::Call(call) = &node.op else { continue };
        let Work::Loop(looped) = &call.work else { continue };
        let Some(extended) = &looped.extends else { continue };
        let inputs: Vec<NodeId> =
            extended.inputs.iter().filter_map(|n| node.inputs.get(*n).copied()).collect();
        let narrow = (0..graph.nodes.len()).filter(|n| live[*n] && *n != i).find(|n| {
            let other = &graph.nodes[*n];
            matches!(&other.op, Op::Call(other) if **other == extended.call) && other.inputs == inputs
        });
        if let Some(narrow) = narrow {
            wider.entry(NodeId(narrow as u32)).or_insert(NodeId(i as u32));
        }
    }
    wider
}
