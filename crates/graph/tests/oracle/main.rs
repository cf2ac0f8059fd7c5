//! The interpreter against values worked out by hand, the gradients against differences, the executors against the
//! interpreter: all over one table of cases. And methods with wrong arguments.

mod arguments;
mod batched;
mod calls;
mod case;
mod composites;
mod elementwise;
mod executors;
#[path = "../support/gpu.rs"]
mod gpu;
mod gradients;
mod interpreter;
mod structural;

use std::collections::HashSet;

use case::Case;
use kiln_device::{BinaryOp, CompareOp, ReduceOp, ScatterOp, UnaryOp};
use kiln_graph::interpret::graph_of;
use kiln_graph::op::{Op, Work};

/// The whole table.
fn cases() -> Vec<Case> {
    [elementwise::cases(), structural::cases(), composites::cases(), calls::cases()].concat()
}

/// The primitives in the graphs of some cases, of the gradients too where `with_gradients`.
fn primitives<'a>(cases: impl Iterator<Item = &'a Case>, with_gradients: bool) -> HashSet<Op> {
    let mut found = HashSet::new();
    for case in cases {
        let inputs = case.tensors();
        let mut tensors = (case.build)(&inputs);
        if with_gradients && case.differentiable {
            tensors.extend(case.gradients(&inputs, &tensors));
        }
        let (graph, _) = graph_of(&inputs, &tensors).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let live = graph.live();
        found.extend(graph.nodes.iter().zip(live).filter(|(_, live)| *live).map(|(n, _)| n.op.clone()));
    }
    found
}

/// Names of primitives that no case has; the graph removes `stop_gradient` itself.
fn missing(found: &HashSet<Op>) -> Vec<&'static str> {
    let names: HashSet<&str> = found.iter().map(Op::name).collect();
    let elementwise = UnaryOp::ALL.iter().map(|op| op.name());
    let elementwise = elementwise.chain(BinaryOp::ALL.iter().map(|op| op.name()));
    let elementwise = elementwise.chain(CompareOp::ALL.iter().map(|op| op.name()));
    let structural = Op::NAMES.iter().copied().filter(|name| *name != "stop_gradient");
    let calls = Work::NAMES.iter().copied();
    elementwise.chain(structural).chain(calls).filter(|name| !names.contains(name)).collect()
}

#[test]
fn every_primitive_has_a_case() {
    let all = cases();
    let found = primitives(all.iter(), true);
    assert_eq!(missing(&found), Vec::<&str>::new());
    for op in ReduceOp::ALL {
        let scans = |reversed: bool| {
            found
                .iter()
                .any(|o| matches!(o, Op::Scan { op: o, reverse, .. } if o == op && *reverse == reversed))
        };
        let scatter = Op::Scatter { op: ScatterOp::Fold(*op) };
        assert!(scans(false) && scans(true), "scan {}", op.name());
        assert!(found.contains(&scatter), "{scatter:?}");
    }
    assert!(found.contains(&Op::Scatter { op: ScatterOp::Set }));
}

#[test]
fn case_names_are_distinct() {
    let mut names = HashSet::new();
    for case in cases() {
        assert!(names.insert(case.name.clone()), "{} stands twice", case.name);
    }
}
