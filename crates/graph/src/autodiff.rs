//! Derivatives beyond the gradient of a loss: products with Jacobians, whole Jacobians, second derivatives, gradients
//! of one's own, and gradients that compute again instead of remembering.
//!
//! Everything here is reverse mode. The Jacobian times a vector is the gradient of the vector times the Jacobian, which
//! is linear in its vector: two passes of reverse mode give forward mode, at the cost of a second graph that the compiler
//! prunes.

use std::collections::{HashMap, HashSet};

use kiln_device::{BinaryOp, DType};

use crate::batch::over_rows;
use crate::body;
use crate::error::{At, Error, Result};
use crate::grad::{gradients, gradients_with, pull_back};
use crate::op::Op;
use crate::tensor::{Kind, Tensor, here};
use crate::trace::{self, What};

/// What pulls gradients of the results of a function back to its arguments; from [`vjp`].
#[derive(Clone, Debug)]
pub struct Pullback {
    results: Vec<Tensor>,
    arguments: Vec<Tensor>,
}

impl Pullback {
    /// Given one cotangent for each result, the gradient of `Σ result · cotangent` with respect to each argument.
    ///
    /// # Errors
    /// Where the cotangents do not fit the results.
    #[track_caller]
    pub fn call(&self, cotangents: &[Tensor]) -> Result<Vec<Tensor>> {
        pull(&self.results, cotangents, &self.arguments, "vjp", here())
    }
}

/// The value of a function and what pulls gradients of it back: products of vectors with its Jacobian.
///
/// ```
/// use kiln_graph::{Tensor, vjp};
/// let (y, pull) = vjp(|x| Ok(vec![&x[0] * &x[1]]), &[Tensor::scalar(3.0f32), Tensor::scalar(4.0f32)])?;
/// assert_eq!(y[0].item::<f32>()?, 12.0);
/// let back = pull.call(&[Tensor::scalar(1.0f32)])?;
/// assert_eq!((back[0].item::<f32>()?, back[1].item::<f32>()?), (4.0, 3.0));
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// The function's, and where an argument or a result is not of a float type.
#[doc(alias = "pullback")]
#[track_caller]
pub fn vjp(
    f: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    primals: &[Tensor],
) -> Result<(Vec<Tensor>, Pullback)> {
    let at = here();
    let arguments = separate(primals, "vjp", at)?;
    let results = f(&arguments)?;
    floats(&results, "vjp", at)?;
    Ok((results.clone(), Pullback { results, arguments }))
}

/// The value of a function and its change along tangents of the arguments: the Jacobian times a vector, one tangent for
/// each result. By reverse mode twice.
///
/// ```
/// use kiln_graph::{Tensor, jvp};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
/// let (y, dy) = jvp(|x| Ok(vec![x[0].square()]), &[x.clone()], &[x.ones_like()])?;
/// assert_eq!(y[0].to_vec::<f32>()?, [1.0, 4.0, 9.0]);
/// assert_eq!(dy[0].to_vec::<f32>()?, [2.0, 4.0, 6.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// The function's, and where an argument or a result is not of a float type or the tangents do not fit the arguments.
#[doc(alias("ForwardAccumulator", "pushforward"))]
#[track_caller]
pub fn jvp(
    f: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    primals: &[Tensor],
    tangents: &[Tensor],
) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let at = here();
    let arguments = separate(primals, "jvp", at)?;
    fits(primals, tangents, "jvp", at)?;
    let results = f(&arguments)?;
    floats(&results, "jvp", at)?;
    // The gradient with respect to the arguments, as a linear function of cotangents whose values do not matter.
    let cotangents: Vec<Tensor> = results.iter().map(Tensor::zeros_like).collect();
    let pulled = pull(&results, &cotangents, &arguments, "jvp", at)?;
    let along = pull(&pulled, tangents, &cotangents, "jvp", at)?;
    Ok((results, along))
}

/// All derivatives of the elements of `y` with respect to those of `x`: shape `[y.., x..]`. One pass with a row for each
/// element of the smaller of the two, all at once: values inside take so many times their memory.
///
/// ```
/// use kiln_graph::{Tensor, jacobian};
/// let x = Tensor::from_slice(&[2.0f32, 3.0]);
/// let y = Tensor::stack(&[x.prod(()), x.sum(()), x.index(0).square()], 0);
/// let j = jacobian(&y, &x)?;
/// assert_eq!(j.shape(), [3, 2]);
/// assert_eq!(j.to_vec::<f32>()?, [3.0, 2.0, 1.0, 1.0, 4.0, 0.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where one is not of a float type or carries an error.
#[doc(alias("jacrev", "jacfwd"))]
#[track_caller]
pub fn jacobian(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    let at = here();
    floats(&[y.clone(), x.clone()], "jacobian", at)?;
    let shape = [y.shape(), x.shape()].concat();
    let (m, n) = (y.len(), x.len());
    if m == 0 || n == 0 {
        return checked(Tensor::full(&shape, 0.0, x.dtype()));
    }
    let wrt = std::slice::from_ref(x);
    let matrix = if m <= n {
        units(y, |unit| Ok(gradients_with(y, unit, wrt)?.remove(0)), at)?
    } else {
        let cotangent = y.zeros_like();
        let pulled = gradients_with(y, &cotangent, wrt)?.remove(0);
        let of_cotangent = std::slice::from_ref(&cotangent);
        let columns = units(x, |unit| Ok(gradients_with(&pulled, unit, of_cotangent)?.remove(0)), at)?;
        columns.reshape_at(vec![n, m], at).swap_axes(0, 1)
    };
    checked(matrix.cast_at(x.dtype(), at).reshape_at(shape, at))
}

/// All second derivatives of a scalar: shape `[x.., x..]`. As [`jacobian`] of the gradient, so meant for small `x`; see
/// [`hvp`] for large ones.
///
/// ```
/// use kiln_graph::{Tensor, hessian};
/// let x = Tensor::from_slice(&[2.0f32, 3.0]);
/// assert_eq!(hessian(&x.prod(()), &x)?.to_vec::<f32>()?, [0.0, 1.0, 1.0, 0.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// As [`gradients`].
#[track_caller]
pub fn hessian(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    let gradient = gradients(y, std::slice::from_ref(x))?.remove(0);
    jacobian(&gradient, x)
}

/// The second derivatives of a scalar times vectors of the shapes of `x`: how its gradient changes along them.
///
/// # Errors
/// As [`gradients`], and where the vectors do not fit `x`.
#[track_caller]
pub fn hvp(y: &Tensor, x: &[Tensor], vectors: &[Tensor]) -> Result<Vec<Tensor>> {
    let at = here();
    fits(x, vectors, "hvp", at)?;
    let first = gradients(y, x)?;
    let fixed: Vec<Tensor> = vectors.iter().map(Tensor::stop_gradient).collect();
    pull(&first, &fixed, x, "hvp", at)
}

/// A function with a gradient of its own: `f` gives the value and what turns the gradient with respect to the value into
/// those with respect to the arguments, in their order.
///
/// ```
/// use kiln_graph::{Tensor, custom_gradient, gradients};
/// // log(1 + e^x), whose own gradient is NaN for large x.
/// let softplus = custom_gradient(|x: &[Tensor]| {
///     let e = x[0].exp();
///     (e.log1p(), move |g: &Tensor| vec![g * (1.0 - 1.0 / (&e + 1.0))])
/// });
/// let x = Tensor::from_slice(&[0.0f32, 100.0]);
/// let dx = gradients(&softplus(&[x.clone()]).sum(()), &[x])?;
/// assert_eq!(dx[0].to_vec::<f32>()?, [0.5, 1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "custom_vjp")]
pub fn custom_gradient<F, G>(f: F) -> impl Fn(&[Tensor]) -> Tensor
where
    F: Fn(&[Tensor]) -> (Tensor, G),
    G: Fn(&Tensor) -> Vec<Tensor> + Send + Sync + 'static,
{
    move |arguments: &[Tensor]| {
        let (value, gradient) = f(arguments);
        Tensor::custom_gradient(&value, arguments, move |g, _, _| gradient(g).into_iter().map(Some).collect())
    }
}

/// The value of a function whose intermediate values are not kept for the gradient: they are computed again from the
/// inputs, once their gradient is there. It takes less memory and the time of a second forward pass.
///
/// The function runs once. What it computes is repeated, not the closure: random numbers are the same, assignments are
/// not made twice. Gradients also reach tensors that it captures. For several values, see [`checkpoints`].
///
/// ```
/// use kiln_graph::{Tensor, checkpoint, gradients};
/// let x = Tensor::from_slice(&[0.5f32, 1.0]);
/// let y = checkpoint(|x| x[0].exp().sin().exp(), &[x.clone()]);
/// let plain = x.exp().sin().exp();
/// let of = |y: &Tensor| gradients(&y.sum(()), &[x.clone()])?[0].to_vec::<f32>();
/// assert_eq!(of(&y)?, of(&plain)?);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("recompute_grad", "remat"))]
pub fn checkpoint(f: impl FnOnce(&[Tensor]) -> Tensor, inputs: &[Tensor]) -> Tensor {
    checkpoints(|x| vec![f(x)], inputs).remove(0)
}

/// [`checkpoint`] of a function of several values: as many as it gives. What they are made of is computed again together,
/// once the first of their gradients is asked for. A value that the loss does not depend on has a gradient of zeros.
///
/// ```
/// use kiln_graph::{Tensor, checkpoints, gradients};
/// let x = Tensor::from_slice(&[0.5f32, 1.0]);
/// let block = |x: &[Tensor]| {
///     let hidden = x[0].exp();
///     vec![hidden.sin(), hidden.cos()]
/// };
/// let y = checkpoints(block, &[x.clone()]);
/// let dx = gradients(&(y[0].square() + y[1].square()).sum(()), &[x])?;
/// assert!(dx[0].to_vec::<f32>()?.iter().all(|g| g.abs() < 1e-6));
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where one of the values carries an error, all do.
pub fn checkpoints(f: impl FnOnce(&[Tensor]) -> Vec<Tensor>, inputs: &[Tensor]) -> Vec<Tensor> {
    let values = f(inputs);
    if let Some(failed) = values.iter().find(|t| t.error().is_some()) {
        return vec![failed.clone(); values.len()];
    }
    let captured = captured(&values, inputs);
    let all = [inputs, &captured, &values].concat();
    let (count, rest) = (inputs.len(), inputs.len() + captured.len());
    Tensor::custom_gradients(&values, &all, move |g, _, all| {
        let (known, values) = all.split_at(rest);
        let (inputs, captured) = known.split_at(count);
        // Integers have no gradient, and what asks for none has no place in the order of things.
        let differentiable = |(_, y): &(&Tensor, &Tensor)| y.dtype().is_float() && !y.is_empty();
        let (g, of): (Vec<Tensor>, Vec<Tensor>) =
            g.iter().zip(values).filter(differentiable).map(|(g, y)| (g.clone(), y.clone())).unzip();
        let Some(first) = g.first() else { return vec![None; all.len()] };
        let at = first.node.at;
        let sources = [&delayed(inputs, &g)[..], captured].concat();
        match again(&of, known, &sources, &g) {
            Ok(gradients) => gradients.into_iter().chain(values.iter().map(|_| None)).collect(),
            Err(error) => vec![Some(Tensor::from_error(error, at)); all.len()],
        }
    })
}

/// What expressions of some inputs use besides: the nodes that do not depend on them, next to those that do.
fn captured(values: &[Tensor], inputs: &[Tensor]) -> Vec<Tensor> {
    let mut depends: HashSet<u64> = inputs.iter().map(|t| t.node.id).collect();
    let stops = depends.clone();
    let (mut found, mut seen) = (vec![], HashSet::new());
    for tensor in post_order(values, &stops) {
        let (used, others): (Vec<&Tensor>, Vec<&Tensor>) =
            tensor.node.inputs.iter().partition(|t| depends.contains(&t.node.id));
        if !used.is_empty() {
            depends.insert(tensor.node.id);
            found.extend(others.into_iter().filter(|t| seen.insert(t.node.id)).cloned());
        }
    }
    found
}

/// The gradients of `Σ value · g`, the values computed again from `sources` in the place of `inputs`, with respect to each
/// of these alone: also where one is made of another.
fn again(
    values: &[Tensor],
    inputs: &[Tensor],
    sources: &[Tensor],
    g: &[Tensor],
) -> Result<Vec<Option<Tensor>>> {
    // Differentiated as if the sources were leaves; they take the leaves' places afterwards, so that what is found can
    // be differentiated once more.
    let leaves: Vec<Tensor> = sources.iter().map(Tensor::stop_gradient).collect();
    let repeated = substituted(values, inputs, &leaves, &[]);
    let wanted: Vec<Tensor> = leaves.iter().filter(|t| t.dtype().is_float()).cloned().collect();
    let pairs: Vec<(Tensor, Tensor)> = repeated.into_iter().zip(g.iter().cloned()).collect();
    let found = pull_back(&pairs, &wanted)?;
    let present: Vec<Tensor> = found.iter().flatten().cloned().collect();
    let mut present = substituted(&present, &leaves, sources, g).into_iter();
    let mut found = found.into_iter();
    let gradient = |t: &Tensor| match t.dtype().is_float() {
        true => Some(found.next().flatten().and_then(|_| present.next()).unwrap_or_else(|| t.zeros_like())),
        false => None,
    };
    Ok(leaves.iter().map(gradient).collect())
}

/// The inputs in expressions of their own, which cannot be computed before the gradients are: nothing made of them is
/// merged with what was made of the inputs, nor runs before the gradients that ask for it. Variables stay as they are,
/// since they stay in memory, unless there is nothing else.
fn delayed(inputs: &[Tensor], g: &[Tensor]) -> Vec<Tensor> {
    // A value that the loss does not depend on has a gradient that is there before anything.
    let comes_late = |t: &&Tensor| !matches!(t.node.kind, Kind::Op(Op::Constant(_)));
    let awaited: Vec<&Tensor> = g.iter().filter(comes_late).collect();
    let is_state = |t: &Tensor| matches!(t.node.kind, Kind::Variable(_));
    let all_state = inputs.iter().all(is_state);
    let wait = |t: &Tensor| match is_state(t) && !all_state {
        true => t.clone(),
        false if awaited.is_empty() => t.barrier(),
        false => awaited.iter().fold(t.clone(), |t, g| after(&t, g)),
    };
    inputs.iter().map(wait).collect()
}

fn after(x: &Tensor, g: &Tensor) -> Tensor {
    let at = x.node.at;
    // No bit of g stays, so the condition always holds, but only a run can tell.
    let first = g.reshape_at(vec![g.len()], at).slice_axis(0, 0, 1).reshape_at(vec![], at);
    let bits = first.cast_at(DType::F32, at).bitcast(DType::U32);
    let none = bits.binary(BinaryOp::And, &Tensor::full(&[], 0.0, DType::U32), at);
    Tensor::select(&none.equal(0), x, x.zeros_like())
}

/// The expressions of values with other tensors in the place of some; nothing below `fixed` is looked at.
fn substituted(values: &[Tensor], from: &[Tensor], to: &[Tensor], fixed: &[Tensor]) -> Vec<Tensor> {
    let mut made: HashMap<u64, Tensor> = from.iter().zip(to).map(|(a, b)| (a.node.id, b.clone())).collect();
    let stops = made.keys().copied().chain(fixed.iter().map(|t| t.node.id)).collect();
    for tensor in post_order(values, &stops) {
        let node = &tensor.node;
        if node.inputs.iter().any(|t| made.contains_key(&t.node.id)) {
            let inputs = node.inputs.iter().map(|t| made.get(&t.node.id).unwrap_or(t).clone()).collect();
            let copy = Tensor::new(node.kind.clone(), inputs, node.shape.clone(), node.dtype, node.at);
            made.insert(node.id, copy);
        }
    }
    values.iter().map(|t| made.get(&t.node.id).unwrap_or(t).clone()).collect()
}

/// What values are made of, inputs before outputs, without the stops and what those are made of.
fn post_order(values: &[Tensor], stops: &HashSet<u64>) -> Vec<Tensor> {
    let mut seen = stops.clone();
    let mut order = vec![];
    let mut stack: Vec<(Tensor, bool)> = values.iter().map(|t| (t.clone(), false)).collect();
    while let Some((tensor, entered)) = stack.pop() {
        if entered {
            order.push(tensor);
        } else if seen.insert(tensor.node.id) {
            let inputs: Vec<(Tensor, bool)> = tensor.node.inputs.iter().map(|t| (t.clone(), false)).collect();
            stack.push((tensor, true));
            stack.extend(inputs);
        }
    }
    order
}

/// The gradient of `Σ result · cotangent` with respect to arguments.
fn pull(
    results: &[Tensor],
    cotangents: &[Tensor],
    arguments: &[Tensor],
    op: &'static str,
    at: At,
) -> Result<Vec<Tensor>> {
    fits(results, cotangents, op, at)?;
    let mut total = Tensor::full(&[], 0.0, DType::F32);
    for (result, cotangent) in results.iter().zip(cotangents) {
        total = total + (result * cotangent).sum(());
    }
    gradients(checked(total)?.check()?, arguments)
}

/// The tensors as nodes of their own, so that one given twice counts as two.
fn separate(tensors: &[Tensor], op: &'static str, at: At) -> Result<Vec<Tensor>> {
    floats(tensors, op, at)?;
    let alias =
        |t: &Tensor| Tensor::custom_gradient(t, std::slice::from_ref(t), |g, _, _| vec![Some(g.clone())]);
    Ok(tensors.iter().map(alias).collect())
}

fn floats(tensors: &[Tensor], op: &'static str, at: At) -> Result<()> {
    for tensor in tensors {
        tensor.check()?;
        if !tensor.dtype().is_float() {
            let message = format!("expected float tensors to differentiate, received {}", tensor.dtype());
            return Err(Error::Operation { op, message, at });
        }
    }
    Ok(())
}

/// Vectors of the shapes of tensors.
fn fits(tensors: &[Tensor], vectors: &[Tensor], op: &'static str, at: At) -> Result<()> {
    for tensor in tensors.iter().chain(vectors) {
        tensor.check()?;
    }
    let shapes = |list: &[Tensor]| list.iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>();
    let (expected, received) = (shapes(tensors), shapes(vectors));
    if expected == received {
        return floats(vectors, op, at);
    }
    let message = format!("expected vectors of shapes {expected:?}, received {received:?}");
    Err(Error::Operation { op, message, at })
}

fn checked(tensor: Tensor) -> Result<Tensor> {
    tensor.check()?;
    Ok(tensor)
}

/// A linear function of every unit vector of a tensor's shape, all at once, along a first axis.
fn units(like: &Tensor, of: impl FnOnce(&Tensor) -> Result<Tensor>, at: At) -> Result<Tensor> {
    let count = like.len();
    let square = vec![count, count];
    let number = |axis: usize| Tensor::op(Op::Iota { axis }, vec![], square.clone(), DType::I32, at);
    let shape = [&[count], like.shape()].concat();
    let all = number(0).equal(number(1)).cast_at(like.dtype(), at).reshape_at(shape, at);
    let traced = trace::record(What::Body("jacobian"), |id| {
        let unit = body::like(id, like);
        let result = of(&unit)?;
        over_rows(&[unit], &[all], &[result], count)
    });
    Ok(traced.0?.remove(0))
}
