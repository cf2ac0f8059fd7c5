//! Random expressions on every executor against the interpreter: fusion, lowering and memory plans must not change
//! what is computed. A failing seed is printed; `KILN_GRAPHS` sets how many are tried.

use kiln_device::UnaryOp;
use kiln_graph::graph::{Node, NodeId};
use kiln_graph::interpret::{graph_of, interpret};
use kiln_graph::op::Op;
use kiln_graph::{Device, Tensor, gradients};

use crate::case::{Tolerance, tensor_of};
use crate::executors::{devices, differences};

/// A small generator: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 16) as usize % bound
    }

    fn pick<'a>(&mut self, tensors: &'a [Tensor]) -> &'a Tensor {
        &tensors[self.below(tensors.len())]
    }

    fn leaf(&mut self) -> Tensor {
        let shape: Vec<usize> = (0..self.below(4)).map(|_| 1 + self.below(5)).collect();
        let count: usize = shape.iter().product();
        let numbers: Vec<f64> = (0..count).map(|_| self.below(4001) as f64 / 1000.0 - 2.0).collect();
        tensor_of(&numbers, &shape, kiln_graph::DType::F32)
    }

    /// An operation on one tensor, smooth or at least continuous.
    fn unary(&mut self, x: &Tensor) -> Tensor {
        match self.below(9) {
            0 => x.tanh(),
            1 => x.sin(),
            2 => x.sigmoid(),
            3 => (x.square() + 1.0).log(),
            4 => (x.abs() + 0.5).sqrt(),
            5 => x.relu(),
            6 => x.erf() * 1.5,
            7 => x.clip(-1.25, 1.5),
            _ => -x + 0.25,
        }
    }

    /// An operation along one axis of a tensor that has one.
    fn along(&mut self, x: &Tensor) -> Tensor {
        let axis = self.below(x.rank()) as i64;
        let extent = x.shape()[axis as usize] as i64;
        match self.below(14) {
            0 => x.sum(axis) * 0.25,
            1 => x.mean(axis),
            2 => x.max(axis),
            3 => x.softmax(axis),
            4 => x.log_softmax(axis),
            5 => x.normalize_moments(axis, 0.1),
            6 => x.cumsum(axis) * 0.25,
            7 => x.flip(axis),
            8 => x.slice_axis(axis, extent / 3, extent),
            9 => x.swap_axes(axis, -1),
            10 => x.pad(&vec![(1, 0); x.rank()], 0.5),
            11 => x.flatten_from(axis as usize),
            12 => x.window(axis as usize, 1 + self.below(extent as usize), 1 + self.below(2), 1),
            _ => x.take(&Tensor::from_slice(&[extent as i32 - 1, 0]), axis),
        }
    }

    /// An operation on two tensors; the first where they do not fit.
    fn binary(&mut self, a: &Tensor, b: &Tensor) -> Tensor {
        let made = match self.below(8) {
            0 => a + b,
            1 => a * b,
            2 => a - b,
            3 => a.maximum(b),
            4 => a / (b.square() + 1.0),
            5 => Tensor::concat(&[a.clone(), b.clone()], -1),
            6 => a.swap_axes(0, -1).matmul(b) * 0.25,
            // By place, not by value: rounding must not decide.
            _ => Tensor::select(&Tensor::iota(a.shape(), 0).greater(0), a, b),
        };
        if made.error().is_none() { made } else { a.clone() }
    }
}

/// The last values of a random expression of so many steps, and the gradients of their sum.
fn expression(seed: u64, steps: usize, with_gradients: bool) -> Vec<Tensor> {
    let mut random = Random(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let leaves: Vec<Tensor> = (0..2 + random.below(3)).map(|_| random.leaf()).collect();
    let mut tensors = leaves.clone();
    for _ in 0..steps {
        let x = random.pick(&tensors).clone();
        let made = match random.below(3) {
            0 => random.unary(&x),
            1 if x.rank() > 0 => random.along(&x),
            _ => {
                let other = random.pick(&tensors).clone();
                random.binary(&x, &other)
            }
        };
        if made.len() <= 4096 && !made.is_empty() {
            tensors.push(made.tanh());
        }
    }
    let mut outputs = tensors[tensors.len() - 2..].to_vec();
    if with_gradients {
        let loss = outputs[0].square().mean(()) + outputs[1].sum(());
        outputs.extend(gradients(&loss, &leaves).unwrap_or_else(|e| panic!("seed {seed}: {e}")));
    }
    outputs
}

/// True where rounding decides a comparison or a sign: there executors may differ.
fn on_a_kink(tensors: &[Tensor]) -> bool {
    let (mut graph, leaves) = graph_of(&[], tensors).expect("a graph");
    graph.outputs = (0..graph.nodes.len() as u32).map(NodeId).collect();
    let values = interpret(&graph, &leaves).expect("values").outputs;
    let decided_by_rounding = |node: &Node| {
        let operand = |i: usize| node.inputs.get(i).map(|id| &values[id.index()]);
        let distance = |i: usize| operand(0).map_or(0.0, |a| a[i]) - operand(1).map_or(0.0, |b| b[i]);
        let compares = matches!(node.op, Op::Compare(_) | Op::Unary(UnaryOp::Sign));
        compares && (0..node.len()).any(|i| distance(i) != 0.0 && distance(i).abs() < 1e-5)
    };
    graph.nodes.iter().any(decided_by_rounding)
}

/// What is wrong with the first steps of a seed's expression.
fn wrong(device: &Device, seed: u64, steps: usize, with_gradients: bool) -> Option<String> {
    let kind = if with_gradients { ", with gradients" } else { "" };
    let name = format!("seed {seed}, {steps} steps{kind}");
    let build = |_| expression(seed, steps, with_gradients);
    differences(device, &name, Tolerance::Near(2048.0), build).into_iter().next()
}

#[test]
fn random_expressions_agree() {
    let count = std::env::var("KILN_GRAPHS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    for device in devices() {
        let shortest = |seed: u64| {
            let longest = 4 + Random(seed).below(24);
            wrong(&device, seed, longest, true).filter(|_| !on_a_kink(&expression(seed, longest, true)))?;
            let mut shorter = (1..=longest).flat_map(|steps| [(steps, false), (steps, true)]);
            shorter.find_map(|(steps, with_gradients)| wrong(&device, seed, steps, with_gradients))
        };
        let found: Vec<String> = (0..count).filter_map(shortest).collect();
        assert!(found.is_empty(), "{} of {count} wrong on {device}:\n{}", found.len(), found.join("\n"));
    }
}
