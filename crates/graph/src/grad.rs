//! Reverse-mode differentiation: adds the nodes of the gradients to the same expression.
//!
//! One exhaustive rule per primitive, written as mathematics: given `g`, the gradient of the loss with respect to the
//! node `y` with inputs `x`, the gradients with respect to the inputs. Rules use tensor operations only, so gradients
//! can be differentiated again.

use std::collections::{HashMap, HashSet};

use kiln_device::{BinaryOp, ReduceOp, ScatterOp, UnaryOp};

use crate::body::{before, ids, reached};
use crate::bundle::{Bundle, Source};
use crate::error::{At, Error, Result};
use crate::op::{ConvKind, Op};
use crate::ops::Block;
use crate::tensor::{Kind, Tensor, here};

mod control;
mod custom;
mod fold;
mod readings;

use control::{of_loop, of_switch};
pub(crate) use custom::{CustomRule, alias};
use fold::{reduce, scan, scatter};
use readings::{all_of, is_reading, of_others};

/// Gradients of a scalar with respect to tensors it is computed from; zeros where it does not depend on one.
///
/// A reading of a variable that has been assigned since the loss read it stands for what the loss read.
///
/// ```
/// use kiln_graph::{Tensor, gradients};
/// let x = Tensor::from_slice(&[1.0f32, 2.0]);
/// let loss = x.square().sum(());
/// assert_eq!(gradients(&loss, &[x])?[0].to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where the loss is not a float scalar, a tensor is not of a float type, or either carries an error; where it is not clear
/// which reading of a variable is meant.
#[doc(alias("GradientTape", "grad", "backward"))]
#[track_caller]
pub fn gradients(loss: &Tensor, with_respect_to: &[Tensor]) -> Result<Vec<Tensor>> {
    let at = here();
    check_loss(loss, at)?;
    or_zeros(found(loss, &loss.ones_like(), with_respect_to, at)?, with_respect_to)
}

/// [`gradients`] that tells where the loss does not depend on a tensor: `None`, as of TensorFlow's tapes.
///
/// ```
/// use kiln_graph::{Tensor, connected_gradients};
/// let (x, y) = (Tensor::from_slice(&[1.0f32, 2.0]), Tensor::from_slice(&[3.0f32]));
/// let found = connected_gradients(&x.sum(()), &[x, y])?;
/// assert!(found[0].is_some() && found[1].is_none());
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// As [`gradients`].
#[track_caller]
pub fn connected_gradients(loss: &Tensor, with_respect_to: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
    let at = here();
    check_loss(loss, at)?;
    found(loss, &loss.ones_like(), with_respect_to, at)
}

/// Gradients of `Σ y · cotangent` with respect to tensors: the vector–Jacobian product.
///
/// # Errors
/// Where shapes of `y` and cotangent differ, a type is no float, or a tensor carries an error; as of [`gradients`].
#[doc(alias = "GradientTape")]
#[track_caller]
pub fn gradients_with(y: &Tensor, cotangent: &Tensor, with_respect_to: &[Tensor]) -> Result<Vec<Tensor>> {
    or_zeros(found(y, cotangent, with_respect_to, here())?, with_respect_to)
}

fn check_loss(loss: &Tensor, at: At) -> Result<()> {
    loss.check()?;
    if loss.len() == 1 && loss.dtype().is_float() {
        return Ok(());
    }
    let message = format!(
        "expected a float scalar, received shape {:?} {}; reduce it with sum or mean, or use gradients_with",
        loss.shape(),
        loss.dtype()
    );
    Err(Error::Operation { op: "gradients", message, at })
}

fn or_zeros(found: Vec<Option<Tensor>>, targets: &[Tensor]) -> Result<Vec<Tensor>> {
    let gradients = found.into_iter().zip(targets);
    Ok(gradients.map(|(gradient, target)| gradient.unwrap_or_else(|| target.zeros_like())).collect())
}

fn found(y: &Tensor, cotangent: &Tensor, targets: &[Tensor], at: At) -> Result<Vec<Option<Tensor>>> {
    y.check()?;
    cotangent.check()?;
    if y.shape() != cotangent.shape() {
        let message = format!("cotangent {:?} must have the shape of y {:?}", cotangent.shape(), y.shape());
        return Err(Error::Operation { op: "gradients", message, at });
    }
    for target in targets {
        target.check()?;
        if !target.dtype().is_float() {
            let message = format!("expected float tensors to differentiate for, received {}", target.dtype());
            return Err(Error::Operation { op: "gradients", message, at });
        }
    }
    let mut found = pull_back(&[(y.clone(), cotangent.clone())], targets)?;
    let lost = |(gradient, target): (&Option<Tensor>, &Tensor)| gradient.is_none() && is_reading(target);
    if found.iter().zip(targets).any(lost) {
        let nodes = all_of(y);
        for (gradient, target) in found.iter_mut().zip(targets).filter(|(gradient, _)| gradient.is_none()) {
            *gradient = of_others(y, cotangent, target, &nodes, at)?;
        }
    }
    Ok(found)
}

/// Gradients of `Σ y · cotangent` over some pairs with respect to tensors; none where nothing depends on one.
pub(crate) fn pull_back(
    pairs: &[(Tensor, Tensor)],
    with_respect_to: &[Tensor],
) -> Result<Vec<Option<Tensor>>> {
    let roots: Vec<Tensor> = pairs.iter().map(|(y, _)| y.clone()).collect();
    let order = between(&roots, with_respect_to);
    let mut known: HashMap<u64, Tensor> = HashMap::new();
    // Of bundles, by result.
    let mut of_results: HashMap<u64, Vec<Option<Tensor>>> = HashMap::new();
    let targets = ids(with_respect_to);
    let on_path: HashSet<u64> = order.iter().map(|t| t.node.id).collect();
    let add = |known: Option<Tensor>, gradient: Tensor, at: At| match known {
        Some(other) => other.add_at(&gradient, at),
        None => gradient,
    };
    for (y, cotangent) in pairs {
        let sum = add(known.remove(&y.node.id), cotangent.clone(), y.node.at);
        known.insert(y.node.id, sum);
    }
    for tensor in order.iter().rev() {
        let (id, at) = (tensor.node.id, tensor.node.at);
        let kept = targets.contains(&id);
        let gradients = if let Kind::Bundle(all) = &tensor.node.kind {
            match of_results.remove(&id) {
                Some(gs) => {
                    let wanted = tensor.node.inputs.iter().map(|t| on_path.contains(&t.node.id));
                    of_bundle(tensor, all, &gs, &wanted.collect::<Vec<_>>())
                }
                None => continue,
            }
        } else {
            let g = if kept { known.get(&id).cloned() } else { known.remove(&id) };
            let Some(g) = g else { continue };
            if let (Kind::Op(Op::Result { index }), [from]) = (&tensor.node.kind, &tensor.node.inputs[..]) {
                let Kind::Bundle(all) = &from.node.kind else { continue };
                let gs = of_results.entry(from.node.id).or_insert_with(|| vec![None; all.forms.len()]);
                gs[*index] = Some(add(gs[*index].take(), g, at));
                continue;
            }
            rule(tensor, &g)
        };
        for (input, gradient) in tensor.node.inputs.iter().zip(gradients) {
            let Some(gradient) = gradient.filter(|_| on_path.contains(&input.node.id)) else {
                continue;
            };
            gradient.check()?;
            let sum = add(known.remove(&input.node.id), gradient, at);
            known.insert(input.node.id, sum);
        }
    }
    Ok(with_respect_to.iter().map(|t| known.get(&t.node.id).cloned()).collect())
}

/// The nodes on a path from a target to a root, inputs before outputs.
fn between(roots: &[Tensor], targets: &[Tensor]) -> Vec<Tensor> {
    let mut on_path = ids(targets);
    let through = |t: &Tensor, on_path: &HashSet<u64>| {
        on_path.contains(&t.node.id) || t.node.inputs.iter().any(|t| on_path.contains(&t.node.id))
    };
    let mut order = reached(roots, before(&on_path));
    order.retain(|t| {
        let kept = through(t, &on_path);
        if kept {
            on_path.insert(t.node.id);
        }
        kept
    });
    order
}

/// The gradients with respect to a bundle's inputs.
fn of_bundle(bundle: &Tensor, all: &Bundle, gs: &[Option<Tensor>], wanted: &[bool]) -> Vec<Option<Tensor>> {
    let (x, at) = (&bundle.node.inputs[..], bundle.node.at);
    match &all.source {
        Source::Custom(custom) => custom.gradients(bundle, gs, at),
        Source::Host(call) => {
            let message = "a function of the host has no gradient: give one with host_call_with_gradient, or pass its \
                           inputs through stop_gradient";
            let op = call.work.title();
            let error = Tensor::failed("gradients", format!("{op}: {message}"), at);
            vec![Some(error); x.len()]
        }
        Source::Switch(_, arms) => or_failed(of_switch(bundle, arms, gs, wanted), x.len(), at),
        Source::Loop(call, body) => or_failed(of_loop(bundle, call, body, gs, wanted), x.len(), at),
    }
}

/// Gradients, or tensors that carry the error.
fn or_failed(gradients: Result<Vec<Option<Tensor>>>, inputs: usize, at: At) -> Vec<Option<Tensor>> {
    gradients.unwrap_or_else(|error| vec![Some(Tensor::from_error(error, at)); inputs])
}

/// The gradients with respect to a node's inputs.
fn rule(y: &Tensor, g: &Tensor) -> Vec<Option<Tensor>> {
    let (x, at) = (&y.node.inputs[..], y.node.at);
    let op = match &y.node.kind {
        Kind::Op(op) => op,
        Kind::Host(_)
        | Kind::Stored
        | Kind::Placeholder(_)
        | Kind::Variable(_)
        | Kind::Bundle(_)
        | Kind::Failed(_) => return vec![],
    };
    let one = |gradient: Tensor| vec![Some(gradient)];
    match op {
        Op::Input(_) | Op::Constant(_) | Op::Iota { .. } => vec![],
        Op::Unary(op) => vec![unary(*op, &x[0], y, g)],
        Op::Binary(op) => binary(*op, &x[0], &x[1], y, g).into(),
        Op::Compare(_) | Op::Random | Op::CheckIndex { .. } | Op::ArgSort { .. } | Op::Bitcast => {
            vec![None; x.len()]
        }
        Op::Select => {
            let zero = g.zeros_like();
            vec![None, Some(Tensor::select(&x[0], g, &zero)), Some(Tensor::select(&x[0], &zero, g))]
        }
        Op::Cast => {
            let floats = x[0].dtype().is_float() && y.dtype().is_float();
            vec![floats.then(|| g.cast(x[0].dtype()))]
        }
        Op::Reduce { op, axes } => one(reduce(*op, axes, &x[0], y, g, at)),
        Op::MatMul => vec![Some(product(g, &swapped(&x[1]), at)), Some(product(&swapped(&x[0]), g, at))],
        Op::Conv { kind, geometry } => {
            let conv = |kind: ConvKind, a: &Tensor, b: &Tensor, like: &Tensor| {
                let op = Op::Conv { kind, geometry: geometry.clone() };
                Some(Tensor::op(op, vec![a.clone(), b.clone()], like.shape().to_vec(), y.dtype(), at))
            };
            use ConvKind::{Forward, InputGradient, KernelGradient};
            match kind {
                Forward => vec![conv(InputGradient, g, &x[1], &x[0]), conv(KernelGradient, &x[0], g, &x[1])],
                InputGradient => vec![conv(Forward, g, &x[1], &x[0]), conv(KernelGradient, g, &x[0], &x[1])],
                KernelGradient => vec![conv(InputGradient, &x[1], g, &x[0]), conv(Forward, &x[0], g, &x[1])],
            }
        }
        Op::Reshape => one(g.reshape_at(x[0].shape().to_vec(), at)),
        Op::Transpose { permutation } => {
            let mut inverse = vec![0i64; permutation.len()];
            for (i, p) in permutation.iter().enumerate() {
                inverse[*p] = i as i64;
            }
            one(g.transpose(&inverse))
        }
        Op::Broadcast { axes } => {
            let repeated: Vec<i64> = (0..y.rank()).filter(|i| !axes.contains(i)).map(|i| i as i64).collect();
            one(g.sum(repeated))
        }
        Op::Slice { start, step } => {
            one(Block { start: start.clone(), step: step.clone(), values: g.clone() }.placed(
                x[0].shape(),
                0.0,
                at,
            ))
        }
        Op::Pad { low, interior, .. } => {
            let step = interior.iter().map(|i| *i as i64 + 1).collect();
            let op = Op::Slice { start: low.clone(), step };
            one(Tensor::op(op, vec![g.clone()], x[0].shape().to_vec(), y.dtype(), at))
        }
        Op::Window { axis, size, stride, dilation: 1 } if size == stride => {
            one(laid_out(g, *axis, x[0].shape()[*axis], at))
        }
        Op::Window { axis, stride, dilation, .. } => {
            let length = x[0].shape()[*axis];
            one(unwindowed(g, *axis, length, *stride, *dilation, at).sum([*axis as i64 + 1]))
        }
        Op::Unwindow { axis, stride, dilation, .. } => {
            // input[o, w] stands at output[o·stride + w·dilation, w]: the diagonal of the windows of g, of which
            // there may be more than the input has.
            if x[0].is_empty() {
                return one(x[0].zeros_like());
            }
            let (count, size) = (x[0].shape()[*axis], x[0].shape()[axis + 1]);
            let windows = g.window(*axis, size, *stride, *dilation);
            let windows = windows.slice_axis(*axis as i64, 0, count as i64);
            let diagonal =
                Tensor::iota(windows.shape(), axis + 1).equal(Tensor::iota(windows.shape(), axis + 2));
            one(Tensor::select(&diagonal, &windows, 0.0).sum([*axis as i64 + 2]))
        }
        Op::Concat { axis } => {
            let mut start = 0i64;
            x.iter()
                .map(|input| {
                    let stop = start + input.shape()[*axis] as i64;
                    let part = g.slice_axis(*axis as i64, start, stop);
                    start = stop;
                    Some(part)
                })
                .collect()
        }
        Op::Gather => {
            let sum = ScatterOp::Fold(ReduceOp::Sum);
            vec![Some(x[0].zeros_like().scatter_rows(&x[1], g, sum, at)), None]
        }
        Op::Scatter { op } => scatter(*op, x, y, g, at),
        Op::Scan { op, axis, reverse } => one(scan(*op, *axis, *reverse, &x[0], y, g, at)),
        Op::StopGradient | Op::Call(_) | Op::Result { .. } => vec![None; x.len()],
        Op::Barrier => one(g.clone()),
    }
}

fn unary(op: UnaryOp, x: &Tensor, y: &Tensor, g: &Tensor) -> Option<Tensor> {
    if !y.dtype().is_float() {
        return None;
    }
    Some(match op {
        UnaryOp::Neg => -g,
        UnaryOp::Abs => g * x.sign(),
        UnaryOp::Exp => g * y,
        UnaryOp::Expm1 => g * (y + 1.0),
        UnaryOp::Log => g / x,
        UnaryOp::Log1p => g / (x + 1.0),
        UnaryOp::Sqrt => g * 0.5 / y,
        UnaryOp::Rsqrt => g * -0.5 * y * y * y,
        UnaryOp::Sin => g * x.cos(),
        UnaryOp::Cos => -(g * x.sin()),
        UnaryOp::Tanh => g * (1.0 - y * y),
        UnaryOp::Atan => g / (1.0 + x * x),
        UnaryOp::Erf => g * (-(x * x)).exp() * std::f64::consts::FRAC_2_SQRT_PI,
        UnaryOp::Sigmoid => g * y * (1.0 - y),
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Trunc => return None,
        UnaryOp::Not | UnaryOp::IsNan => return None,
    })
}

fn binary(op: BinaryOp, a: &Tensor, b: &Tensor, y: &Tensor, g: &Tensor) -> [Option<Tensor>; 2] {
    if !y.dtype().is_float() {
        return [None, None];
    }
    // Where both are the extreme value, the first gets all, as in TensorFlow.
    let extreme = |first: &Tensor| [Some(Tensor::select(first, g, 0.0)), Some(Tensor::select(first, 0.0, g))];
    match op {
        BinaryOp::Add => [Some(g.clone()), Some(g.clone())],
        BinaryOp::Sub => [Some(g.clone()), Some(-g)],
        BinaryOp::Mul => [Some(g * b), Some(g * a)],
        BinaryOp::Div => [Some(g / b), Some(-(g * y) / b)],
        BinaryOp::Rem => [Some(g.clone()), Some(-(g * a.floor_divide(b)))],
        BinaryOp::Pow => {
            // d/da = b·a^(b−1), 0 for b = 0; d/db = y·log a, 0 where a ≤ 0, as in TensorFlow.
            let by_base = Tensor::select(&b.equal(0.0), 0.0, b * a.pow(b - 1.0));
            let log = Tensor::select(&a.greater(0.0), a, 1.0).log();
            [Some(g * by_base), Some(g * y * log)]
        }
        BinaryOp::Max => extreme(&a.greater_equal(b)),
        BinaryOp::Min => extreme(&a.less_equal(b)),
        BinaryOp::Atan2 => {
            let norm = a * a + b * b;
            [Some(g * b / &norm), Some(-(g * a) / norm)]
        }
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => [None, None],
    }
}

fn swapped(x: &Tensor) -> Tensor {
    x.swap_axes(-1, -2)
}

fn product(a: &Tensor, b: &Tensor, at: At) -> Tensor {
    if let Some(failed) = [a, b].into_iter().find(|t| t.error().is_some()) {
        return failed.clone();
    }
    let rank = a.rank();
    let shape = [&a.shape()[..rank - 1], &[b.shape()[rank - 1]]].concat();
    Tensor::op(Op::MatMul, vec![a.clone(), b.clone()], shape, a.dtype(), at)
}

/// Windows that lie side by side are the axis itself; what no window covers gets 0.
fn laid_out(g: &Tensor, axis: usize, length: usize, at: At) -> Tensor {
    let mut shape = g.shape().to_vec();
    let covered = shape[axis] * shape.remove(axis + 1);
    shape[axis] = covered;
    let mut padding = vec![(0, 0); shape.len()];
    padding[axis].1 = length - covered;
    g.reshape_at(shape, at).pad(&padding, 0.0)
}

fn unwindowed(g: &Tensor, axis: usize, length: usize, stride: usize, dilation: usize, at: At) -> Tensor {
    let mut shape = g.shape().to_vec();
    shape[axis] = length;
    Tensor::op(Op::Unwindow { axis, length, stride, dilation }, vec![g.clone()], shape, g.dtype(), at)
}
