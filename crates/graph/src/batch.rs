//! Batching: an expression of one row as an expression of all rows at once.
//!
//! Rows stand along a new first axis. What does not depend on a row stays as it is, and is computed once. Every
//! primitive has a rule here (one exhaustive `match`), every kind of bundle one in [`bundles`].
//!
//! Control flow that depends on the row is computed for all rows under a mask: of a branch all arms, from which every
//! row selects its own; a loop until the last row has ended, where rows that have ended keep their values. An index of
//! a row that is masked is not checked. Calls of the host, and random bits of keys that differ between rows, run row by
//! row.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kiln_device::DType;

use crate::body::{dependents, reached};
use crate::bundle::results;
use crate::error::{At, Error, Result};
use crate::op::Op;
use crate::ops::map_rows;
use crate::tensor::{Kind, Tensor};

mod bundles;
mod loops;
mod structure;

/// What an expression becomes.
#[derive(Clone, Debug)]
pub(crate) enum Batched {
    /// The same for every row.
    Same(Tensor),
    /// One value for each row, along a new first axis.
    Rows(Tensor),
}

impl Batched {
    fn tensor(&self) -> &Tensor {
        match self {
            Batched::Same(tensor) | Batched::Rows(tensor) => tensor,
        }
    }

    fn is_rows(&self) -> bool {
        matches!(self, Batched::Rows(_))
    }
}

/// What stands for tensors of one row, by their numbers.
pub(crate) type Sources = HashMap<u64, Batched>;

/// Turns expressions of a row into expressions of `rows` rows.
#[derive(Clone)]
pub(crate) struct Batcher {
    rows: usize,
    /// Which rows count (`bool [rows]`); none where all do.
    mask: Option<Tensor>,
    /// What stands for the tensors of the expressions around these: a user's gradient may name them.
    around: Arc<Sources>,
}

/// The result of a function of rows, given all rows of its arguments: one tensor with a first axis for each result.
pub(crate) fn over_rows(
    parameters: &[Tensor],
    all: &[Tensor],
    results: &[Tensor],
    rows: usize,
) -> Result<Vec<Tensor>> {
    let sources = parameters.iter().zip(all).map(|(p, t)| (p.node.id, Batched::Rows(t.clone()))).collect();
    let batcher = Batcher { rows, mask: None, around: Arc::default() };
    let found = batcher.run(results, sources)?;
    found.iter().map(|value| checked(batcher.rows_of(value))).collect()
}

fn checked(tensor: Tensor) -> Result<Tensor> {
    tensor.check()?;
    Ok(tensor)
}

impl Batcher {
    /// The same, of rows that count here only where `mask` holds.
    fn masked(&self, mask: &Tensor) -> Batcher {
        let both = |outer: &Tensor| outer.logical_and(mask);
        let mask = self.mask.as_ref().map_or_else(|| mask.clone(), both);
        Batcher { mask: Some(mask), ..self.clone() }
    }

    /// The expressions with what stands for `sources`, and for what is around.
    fn run(&self, roots: &[Tensor], sources: Sources) -> Result<Vec<Batched>> {
        let mut all = (*self.around).clone();
        all.extend(sources);
        Batcher { around: Arc::new(all.clone()), ..self.clone() }.run_all(roots, all)
    }

    fn run_all(&self, roots: &[Tensor], sources: Sources) -> Result<Vec<Batched>> {
        let starts: HashSet<u64> = sources.keys().copied().collect();
        let depends = dependents(roots, &starts);
        let mut made = sources;
        let mut bundles: HashMap<u64, Vec<Batched>> = HashMap::new();
        let outside = |t: &Tensor| !depends.contains(&t.node.id) || starts.contains(&t.node.id);
        for tensor in reached(roots, outside) {
            if outside(&tensor) {
                continue;
            }
            let of = |t: &Tensor| made.get(&t.node.id).cloned().unwrap_or_else(|| Batched::Same(t.clone()));
            let node = &tensor.node;
            let value = match &node.kind {
                Kind::Op(Op::Result { index }) => bundles
                    .get(&node.inputs[0].node.id)
                    .and_then(|all| all.get(*index).cloned())
                    .ok_or_else(|| Error::Internal("a result stands before its call".into()))?,
                Kind::Op(op) => self.primitive(op, &tensor, node.inputs.iter().map(of).collect())?,
                Kind::Bundle(bundle) => {
                    let inputs: Vec<Batched> = node.inputs.iter().map(of).collect();
                    let all = match inputs.iter().any(Batched::is_rows) {
                        true => self.bundle(&tensor, bundle, inputs)?,
                        false => results(&again(&tensor, inputs)).into_iter().map(Batched::Same).collect(),
                    };
                    bundles.insert(node.id, all);
                    continue;
                }
                Kind::Failed(error) => return Err(error.clone()),
                Kind::Host(_) | Kind::Stored | Kind::Placeholder(_) | Kind::Variable(_) => {
                    return Err(Error::Internal("a leaf depends on a row".into()));
                }
            };
            made.insert(node.id, value);
        }
        let value = |t: &Tensor| made.get(&t.node.id).cloned().unwrap_or_else(|| Batched::Same(t.clone()));
        Ok(roots.iter().map(value).collect())
    }

    /// With a first axis of all rows.
    fn rows_of(&self, value: &Batched) -> Tensor {
        match value {
            Batched::Rows(tensor) => tensor.clone(),
            Batched::Same(tensor) => self.repeated(tensor),
        }
    }

    /// The same value in every row.
    fn repeated(&self, tensor: &Tensor) -> Tensor {
        let axes = (1..=tensor.rank()).collect();
        let shape = [&[self.rows], tensor.shape()].concat();
        Tensor::op(Op::Broadcast { axes }, vec![tensor.clone()], shape, tensor.dtype(), tensor.node.at)
    }

    /// A flag of every row for all elements of a value of one row.
    fn spread(&self, flags: &Tensor, row: &[usize], at: At) -> Tensor {
        let shape = [&[self.rows], row].concat();
        Tensor::op(Op::Broadcast { axes: vec![0] }, vec![flags.clone()], shape, flags.dtype(), at)
    }

    /// `a` in the rows where the flag holds, `b` in the others.
    fn choose(&self, flags: &Tensor, a: &Tensor, b: &Tensor, at: At) -> Tensor {
        let flags = self.spread(flags, &a.shape()[1..], at);
        let inputs = vec![flags, a.clone(), b.clone()];
        Tensor::op(Op::Select, inputs, a.shape().to_vec(), a.dtype(), at)
    }

    /// A primitive of all rows.
    fn primitive(&self, op: &Op, one: &Tensor, inputs: Vec<Batched>) -> Result<Batched> {
        if !inputs.iter().any(Batched::is_rows) {
            return checked(again(one, inputs)).map(Batched::Same);
        }
        let at = one.node.at;
        if self.rows == 0 {
            let shape = [&[0], one.shape()].concat();
            return checked(Tensor::full(&shape, 0.0, one.dtype())).map(Batched::Rows);
        }
        let all = || inputs.iter().map(|v| self.rows_of(v)).collect::<Vec<Tensor>>();
        let make = |op: Op, inputs: Vec<Tensor>| {
            let shape = [&[self.rows], one.shape()].concat();
            Tensor::op(op, inputs, shape, one.dtype(), at)
        };
        let later = |axes: &[usize]| axes.iter().map(|a| a + 1).collect::<Vec<usize>>();
        let made = match op {
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Cast
            | Op::Bitcast
            | Op::StopGradient
            | Op::Barrier
            | Op::Reshape => make(op.clone(), all()),
            Op::CheckIndex { .. } => make(op.clone(), vec![self.countable(&all()[0], at)]),
            Op::Random => {
                self.row_by_row(&inputs, |x| Tensor::op(Op::Random, x, one.shape().to_vec(), one.dtype(), at))
            }
            Op::Reduce { op, axes } => make(Op::Reduce { op: *op, axes: later(axes) }, all()),
            Op::MatMul => self.product(one, &inputs),
            Op::Conv { kind, geometry } => self.convolution(one, *kind, geometry, &inputs),
            Op::Transpose { permutation } => {
                let permutation = [&[0], &later(permutation)[..]].concat();
                make(Op::Transpose { permutation }, all())
            }
            Op::Broadcast { axes } => make(Op::Broadcast { axes: [&[0], &later(axes)[..]].concat() }, all()),
            Op::Slice { start, step } => make(
                Op::Slice { start: [&[0], &start[..]].concat(), step: [&[1], &step[..]].concat() },
                all(),
            ),
            Op::Pad { low, high, interior, value } => {
                let [low, high, interior] = [low, high, interior].map(|list| [&[0], &list[..]].concat());
                make(Op::Pad { low, high, interior, value: *value }, all())
            }
            Op::Window { axis, size, stride, dilation } => {
                make(Op::Window { axis: axis + 1, size: *size, stride: *stride, dilation: *dilation }, all())
            }
            Op::Unwindow { axis, length, stride, dilation } => {
                let axis = axis + 1;
                make(Op::Unwindow { axis, length: *length, stride: *stride, dilation: *dilation }, all())
            }
            Op::Concat { axis } => make(Op::Concat { axis: axis + 1 }, all()),
            Op::Gather => self.gather(&inputs, at),
            Op::Scatter { op } => self.scatter(*op, &inputs, at),
            // The positions of a scalar: its only one.
            Op::ArgSort { .. } if one.rank() == 0 => Tensor::full(&[self.rows], 0.0, DType::I32),
            Op::ArgSort { .. } => make(op.clone(), all()),
            Op::Scan { op, axis, reverse } => {
                make(Op::Scan { op: *op, axis: axis + 1, reverse: *reverse }, all())
            }
            Op::Input(_) | Op::Constant(_) | Op::Iota { .. } | Op::Call(_) | Op::Result { .. } => {
                return Err(Error::Internal(format!("{} of a row", op.name())));
            }
        };
        checked(made).map(Batched::Rows)
    }

    /// An index that is valid in the rows that do not count.
    fn countable(&self, index: &Tensor, at: At) -> Tensor {
        match &self.mask {
            Some(mask) => self.choose(mask, index, &index.zeros_like(), at),
            None => index.clone(),
        }
    }

    /// Applies `f` to the inputs of one row after the other.
    fn row_by_row(&self, inputs: &[Batched], f: impl Fn(Vec<Tensor>) -> Tensor) -> Tensor {
        self.all_row_by_row(inputs, |x| vec![f(x)]).remove(0)
    }

    fn all_row_by_row(&self, inputs: &[Batched], f: impl Fn(Vec<Tensor>) -> Vec<Tensor>) -> Vec<Tensor> {
        let rows: Vec<Tensor> = inputs.iter().filter(|v| v.is_rows()).map(|v| v.tensor().clone()).collect();
        let at = rows.first().map_or_else(crate::tensor::here, |t| t.node.at);
        let one = |x: &[Tensor]| {
            let mut rows = x.iter();
            let input = |v: &Batched| match v {
                Batched::Same(tensor) => tensor.clone(),
                Batched::Rows(_) => rows.next().unwrap_or(v.tensor()).clone(),
            };
            f(inputs.iter().map(input).collect())
        };
        map_rows("vectorized_map", one, &rows, at)
    }
}

/// The same node of other inputs.
fn again(one: &Tensor, inputs: Vec<Batched>) -> Tensor {
    let inputs = inputs.into_iter().map(|v| v.tensor().clone()).collect();
    let node = &one.node;
    Tensor::new(node.kind.clone(), inputs, node.shape.clone(), node.dtype, node.at)
}
