//! Every primitive is produced, also in the forms that are told apart by kernels.

use std::collections::HashSet;

use kiln_device::{BinaryOp, CompareOp, ReduceOp, ScatterOp, UnaryOp};
use kiln_graph::DType;
use kiln_graph::graph::Graph;
use kiln_graph::interpret::graph_of;
use kiln_graph::op::{Op, Work};
use proptest::strategy::{Strategy, ValueTree};

use crate::compare::compared;
use crate::steps::TYPES;
use crate::{MOST_STEPS, decode, genes, runner};

/// What some graphs are made of.
#[derive(Default)]
struct Found {
    names: HashSet<&'static str>,
    scans: HashSet<(ReduceOp, bool)>,
    scatters: HashSet<ScatterOp>,
    casts: HashSet<(DType, DType)>,
    /// Calls inside calls.
    depth: usize,
}

impl Found {
    fn add(&mut self, graph: &Graph, depth: usize) {
        self.depth = self.depth.max(depth);
        for (node, _) in graph.nodes.iter().zip(graph.live()).filter(|(_, live)| *live) {
            self.names.insert(node.op.name());
            match &node.op {
                Op::Scan { op, reverse, .. } => drop(self.scans.insert((*op, *reverse))),
                Op::Scatter { op } => drop(self.scatters.insert(*op)),
                Op::Cast => drop(self.casts.insert((graph.node(node.inputs[0]).dtype, node.dtype))),
                Op::Call(call) => match &call.work {
                    Work::Host(_) => {}
                    Work::Switch(arms) => arms.iter().for_each(|arm| self.add(arm, depth + 1)),
                    Work::Loop(looped) => self.add(&looped.body, depth + 1),
                },
                _ => {}
            }
        }
    }
}

#[test]
fn every_primitive_is_produced() {
    let (mut runner, mut found) = (runner(1, 9), Found::default());
    for _ in 0..500 {
        let genes = genes(MOST_STEPS).new_tree(&mut runner).expect("genes").current();
        let tensors = compared(&decode::decode(&genes)).unwrap_or_else(|e| panic!("{e}"));
        found.add(&graph_of(&[], &tensors).unwrap_or_else(|e| panic!("{e}")).0, 0);
    }
    let elementwise = UnaryOp::ALL.iter().map(|op| op.name());
    let elementwise = elementwise.chain(BinaryOp::ALL.iter().map(|op| op.name()));
    let elementwise = elementwise.chain(CompareOp::ALL.iter().map(|op| op.name()));
    // The graph removes `stop_gradient` itself.
    let structural = Op::NAMES.iter().copied().filter(|name| *name != "stop_gradient");
    let all = elementwise.chain(structural).chain(Work::NAMES.iter().copied());
    let missing: Vec<&str> = all.filter(|name| !found.names.contains(name)).collect();
    assert!(missing.is_empty(), "never produced: {missing:?}");
    let folds = ReduceOp::ALL.iter().copied();
    let scans: HashSet<_> = folds.clone().flat_map(|op| [(op, false), (op, true)]).collect();
    assert_eq!(found.scans, scans);
    let scatters: HashSet<_> = folds.map(ScatterOp::Fold).chain([ScatterOp::Set]).collect();
    assert_eq!(found.scatters, scatters);
    let of_all = TYPES.iter().flat_map(|a| TYPES.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b);
    let missing: Vec<_> = of_all.filter(|pair| !found.casts.contains(pair)).collect();
    assert!(missing.is_empty(), "casts never produced: {missing:?}");
    assert!(found.depth >= 3, "calls are nested {} deep", found.depth);
}
