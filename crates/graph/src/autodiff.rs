//! Derivatives beyond the gradient of a loss: products with Jacobians, whole Jacobians, second derivatives, gradients
//! of one's own, and gradients that compute again instead of remembering.
//!
//! Everything here is reverse mode. The Jacobian times a vector is the gradient of the vector times the Jacobian, which
//! is linear in its vector: two passes of reverse mode give forward mode, at the cost of a second graph that the compiler
//! prunes.

use std::collections::{HashMap, HashSet};

use kiln_device::{BinaryOp, DType};

use crate::error::{At, Error, Result};
use crate::grad::{gradients, gradients_with};
use crate::op::Op;
use crate::tensor::{Kind, Tensor, here};

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

/// All derivatives of the elements of `y` with respect to those of `x`: shape `[y.., x..]`. One pass for each element of
/// the smaller of the two, so meant for small ones.
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
    let flat = |t: &Tensor| t.reshape_at(vec![t.len()], at);
    let wrt = std::slice::from_ref(x);
    let matrix = if m <= n {
        let row = |i: usize| Ok(flat(&gradients_with(y, &unit(y, i), wrt)?[0]));
        Tensor::stack(&(0..m).map(row).collect::<Result<Vec<Tensor>>>()?, 0)
    } else {
        let cotangent = y.zeros_like();
        let pulled = gradients_with(y, &cotangent, wrt)?.remove(0);
        let of_cotangent = std::slice::from_ref(&cotangent);
        let column = |j: usize| Ok(flat(&gradients_with(&pulled, &unit(x, j), of_cotangent)?[0]));
        Tensor::stack(&(0..n).map(column).collect::<Result<Vec<Tensor>>>()?, 1)
    };
    checked(matrix.cast_at(x.dtype(), at).reshape_at(shape, at))
}

/// All second derivatives of a scalar: shape `[x.., x..]`. One pass for each element of `x`, so meant for small ones; see
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
/// not made twice. Gradients also reach tensors that it captures.
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
    let value = f(inputs);
    if value.error().is_some() {
        return value;
    }
    let captured = captured(&value, inputs);
    let all = [inputs, &captured, std::slice::from_ref(&value)].concat();
    let count = inputs.len();
    Tensor::custom_gradient(&value, &all, move |g, _, all| {
        let (inputs, rest) = all.split_at(count);
        let (captured, value) = rest.split_at(rest.len() - 1);
        let sources = [&delayed(inputs, g)[..], captured].concat();
        let at = value[0].node.at;
        match again(&value[0], &[inputs, captured].concat(), &sources, g) {
            Ok(gradients) => gradients.into_iter().chain([None]).collect(),
            Err(error) => vec![Some(Tensor::from_error(error, at)); all.len()],
        }
    })
}

/// What an expression of some inputs uses besides: the nodes that do not depend on them, next to those that do.
fn captured(value: &Tensor, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut depends: HashSet<u64> = inputs.iter().map(|t| t.node.id).collect();
    let stops = depends.clone();
    let (mut found, mut seen) = (vec![], HashSet::new());
    for tensor in post_order(std::slice::from_ref(value), &stops) {
        let (used, others): (Vec<&Tensor>, Vec<&Tensor>) =
            tensor.node.inputs.iter().partition(|t| depends.contains(&t.node.id));
        if !used.is_empty() {
            depends.insert(tensor.node.id);
            found.extend(others.into_iter().filter(|t| seen.insert(t.node.id)).cloned());
        }
    }
    found
}

/// The gradients of a value, computed again from `sources` in the place of `inputs`, with respect to each of these alone:
/// also where one is made of another.
fn again(value: &Tensor, inputs: &[Tensor], sources: &[Tensor], g: &Tensor) -> Result<Vec<Option<Tensor>>> {
    // Differentiated as if the sources were leaves; they take the leaves' places afterwards, so that what is found can
    // be differentiated once more.
    let leaves: Vec<Tensor> = sources.iter().map(Tensor::stop_gradient).collect();
    let repeated = substituted(std::slice::from_ref(value), inputs, &leaves, None);
    let wanted: Vec<Tensor> = leaves.iter().filter(|t| t.dtype().is_float()).cloned().collect();
    let found = gradients_with(&repeated[0], g, &wanted)?;
    let mut found = substituted(&found, &leaves, sources, Some(g)).into_iter();
    Ok(leaves.iter().map(|t| if t.dtype().is_float() { found.next() } else { None }).collect())
}

/// The inputs in expressions of their own, which cannot be computed before `g` is: nothing made of them is merged with
/// what was made of the inputs, nor runs before the gradient that asks for it. Variables stay as they are, since they
/// stay in memory, unless there is nothing else.
fn delayed(inputs: &[Tensor], g: &Tensor) -> Vec<Tensor> {
    let is_state = |t: &Tensor| matches!(t.node.kind, Kind::Variable(_));
    let all_state = inputs.iter().all(is_state);
    inputs.iter().map(|t| if is_state(t) && !all_state { t.clone() } else { after(t, g) }).collect()
}

fn after(x: &Tensor, g: &Tensor) -> Tensor {
    let at = x.node.at;
    if g.is_empty() {
        return x.barrier();
    }
    // No bit of g stays, so the condition always holds, but only a run can tell.
    let first = g.reshape_at(vec![g.len()], at).slice_axis(0, 0, 1).reshape_at(vec![], at);
    let bits = first.cast_at(DType::F32, at).bitcast(DType::U32);
    let none = bits.binary(BinaryOp::And, &Tensor::full(&[], 0.0, DType::U32), at);
    Tensor::select(&none.equal(0), x, x.zeros_like())
}

/// The expressions of values with other tensors in the place of some; nothing below `fixed` is looked at.
fn substituted(values: &[Tensor], from: &[Tensor], to: &[Tensor], fixed: Option<&Tensor>) -> Vec<Tensor> {
    let mut made: HashMap<u64, Tensor> = from.iter().zip(to).map(|(a, b)| (a.node.id, b.clone())).collect();
    let stops = made.keys().copied().chain(fixed.map(|t| t.node.id)).collect();
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

/// 1 at one position in row-major order, 0 elsewhere.
fn unit(like: &Tensor, position: usize) -> Tensor {
    let at = like.node.at;
    let flat = Tensor::op(Op::Iota { axis: 0 }, vec![], vec![like.len()], DType::I32, at);
    flat.equal(position as i32).cast_at(like.dtype(), at).reshape_at(like.shape().to_vec(), at)
}
