//! Branches and loops on values, as in `keras.ops`.
//!
//! Closures are traced once, whatever the values; in the graph there are branches and loops, compiled with the rest.
//! They may use any tensor from outside, read variables, draw random numbers, which differ from turn to turn, and nest;
//! they cannot create or assign variables, nor read a value. Gradients flow through all of them but loops of unbounded length. What does not depend on the variables of a
//! loop is computed once, before it, also where there is no turn; of branches only the one that is taken is computed.

use kiln_device::{DType, Value, size};

use crate::batch::over_rows;
use crate::body::{like, parameter};
use crate::control::{LoopBody, LoopInputs, LoopResults, OpenArm, make_loop, make_switch, number};
use crate::error::{At, Error, Result};
use crate::op::Op;
use crate::ops::Operand;
use crate::tensor::{Kind, Tensor, here, next_id};
use crate::trace::{self, TraceId, Turns, What};

/// A branch of [`switch`].
pub type Branch<'a> = &'a dyn Fn(&[Tensor]) -> Vec<Tensor>;

/// Results, or as many tensors that carry the error.
pub(super) fn or_failed(results: Result<Vec<Tensor>>, count: usize, at: At) -> Vec<Tensor> {
    results.unwrap_or_else(|error| vec![Tensor::from_error(error, at); count.max(1)])
}

pub(super) fn error(op: &'static str, message: String, at: At) -> Error {
    Error::Operation { op, message, at }
}

/// Shape and type of every tensor, for people.
pub(super) fn forms(tensors: &[Tensor]) -> String {
    let form = |t: &Tensor| format!("{} {:?}", t.dtype(), t.shape());
    format!("[{}]", tensors.iter().map(form).collect::<Vec<_>>().join(", "))
}

fn same_forms(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.shape() == b.shape() && a.dtype() == b.dtype())
}

/// The tensors, or the first error that one carries.
pub(super) fn checked(tensors: &[Tensor]) -> Result<()> {
    tensors.iter().try_for_each(|t| t.check().map(drop))
}

/// A scalar of a type.
fn is_scalar(tensor: &Tensor, dtype: DType) -> bool {
    tensor.rank() == 0 && tensor.dtype() == dtype
}

/// The results of `then` where `predicate` (`bool`, a scalar) is true, else those of `otherwise`. Only that branch is
/// computed. Both give equally many results of the same shapes and types.
///
/// # Errors
/// Carried by the results: a predicate of another form, branches that differ.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[3.0f32, -4.0]);
/// let y = ops::cond(&x.sum(()).greater(0.0), || vec![&x * 2.0], || vec![-&x]);
/// assert_eq!(y[0].to_vec::<f32>()?, [-3.0, 4.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn cond(
    predicate: &Tensor,
    then: impl FnOnce() -> Vec<Tensor>,
    otherwise: impl FnOnce() -> Vec<Tensor>,
) -> Vec<Tensor> {
    let at = here();
    let mut count = 0;
    let results = trace::record(What::Body("cond"), |id| {
        trace::set_turns(Turns::Once);
        let (then, otherwise) = (traced(then), traced(otherwise));
        count = then.1.len();
        predicate.check()?;
        if !is_scalar(predicate, DType::Bool) {
            let message = format!(
                "expected a bool scalar as predicate, received {} {:?}; compare or reduce it",
                predicate.dtype(),
                predicate.shape()
            );
            return Err(error("cond", message, at));
        }
        branches("cond", &predicate.cast_at(DType::I32, at), vec![otherwise, then], id, at)
    });
    or_failed(results.0, count, at)
}

/// The results of the branch with number `index` (`int32`, a scalar; clamped to the branches there are), each of which
/// gets the operands. Only that branch is computed. All give equally many results of the same shapes and types.
///
/// # Errors
/// Carried by the results: an index of another form, branches that differ, no branch.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 2.0]);
/// let y = ops::switch(&Tensor::scalar(7), &[&|x| vec![&x[0] + 1.0], &|x| vec![&x[0] * 10.0]], &[x]);
/// assert_eq!(y[0].to_vec::<f32>()?, [10.0, 20.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("switch_case", "case"))]
#[track_caller]
pub fn switch(index: &Tensor, choices: &[Branch<'_>], operands: &[Tensor]) -> Vec<Tensor> {
    let at = here();
    let mut count = 0;
    let results = trace::record(What::Body("switch"), |id| {
        trace::set_turns(Turns::Once);
        let arms: Vec<_> = choices.iter().map(|branch| traced(|| branch(operands))).collect();
        count = arms.first().map_or(0, |arm| arm.1.len());
        index.check()?;
        if index.rank() != 0 || !index.dtype().is_integer() {
            let message = format!(
                "expected an integer scalar as index, received {} {:?}",
                index.dtype(),
                index.shape()
            );
            return Err(error("switch", message, at));
        }
        if arms.is_empty() {
            return Err(error("switch", "expected at least one branch, received none".into(), at));
        }
        branches("switch", &index.narrow_index(at), arms, id, at)
    });
    or_failed(results.0, count, at)
}

/// A branch's results, and the number of the first tensor made in it.
fn traced(branch: impl FnOnce() -> Vec<Tensor>) -> (u64, Vec<Tensor>) {
    (next_id(), branch())
}

fn branches(
    op: &'static str,
    index: &Tensor,
    arms: Vec<(u64, Vec<Tensor>)>,
    id: TraceId,
    at: At,
) -> Result<Vec<Tensor>> {
    for (n, (_, results)) in arms.iter().enumerate() {
        checked(results)?;
        if !same_forms(results, &arms[0].1) {
            let message = format!(
                "expected the same number, shapes and types of results from every branch, received {} and {}",
                forms(&arms[0].1),
                forms(&arms[n].1)
            );
            return Err(error(op, message, at));
        }
    }
    let open = |(first, results): (u64, Vec<Tensor>)| {
        // What was made in the branch is computed in it; leaves are outside.
        let inside = move |t: &Tensor| {
            t.node.id >= first
                && matches!(t.node.kind, Kind::Op(_) | Kind::Bundle(_))
                && t.node.value.get().is_none()
        };
        OpenArm { parameters: vec![], results, inside: Box::new(inside) }
    };
    make_switch(index, arms.into_iter().map(open).collect(), &[], id, at)
}

/// Applies `body` to the loop variables while `condition` of them (`bool`, a scalar) is true, at most
/// `maximum_iterations` times, and gives their last values. Shapes and types of the variables stay.
///
/// How often it runs may depend on data: a GPU then waits for the condition in every turn. Gradients need
/// `maximum_iterations`.
///
/// # Errors
/// Carried by the results: a condition of another form, variables that change form.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// // The powers of 2 up to the first above 1000.
/// let x = ops::while_loop(|x| x[0].less(1000), |x| vec![&x[0] * 2], &[Tensor::scalar(1)], None);
/// assert_eq!(x[0].item::<i32>()?, 1024);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn while_loop(
    condition: impl Fn(&[Tensor]) -> Tensor,
    body: impl Fn(&[Tensor]) -> Vec<Tensor>,
    loop_vars: &[Tensor],
    maximum_iterations: Option<usize>,
) -> Vec<Tensor> {
    let at = here();
    let most = maximum_iterations.unwrap_or(usize::MAX);
    let results = conditional("while_loop", condition, |x, _| body(x), loop_vars, most, at);
    or_failed(results.map(|r| r.carried), loop_vars.len(), at)
}

/// A loop with a condition; the body gets the variables and the number of the turn.
fn conditional(
    op: &'static str,
    condition: impl Fn(&[Tensor]) -> Tensor,
    body: impl Fn(&[Tensor], &Tensor) -> Vec<Tensor>,
    loop_vars: &[Tensor],
    most: usize,
    at: At,
) -> Result<LoopResults> {
    checked(loop_vars)?;
    let flag = |x: &[Tensor]| {
        let flag = condition(x);
        flag.check()?;
        if is_scalar(&flag, DType::Bool) {
            return Ok(flag);
        }
        let message = format!("expected a bool scalar as condition, received {}", forms(&[flag]));
        Err(error(op, message, at))
    };
    let traced = trace::record(What::Body(op), |id| {
        // The first condition is asked before the loop.
        trace::set_turns(Turns::Once);
        let start = flag(loop_vars)?;
        let counter = parameter(id, vec![], DType::I32, at);
        trace::set_turns(Turns::Numbered(counter.clone()));
        let variables: Vec<Tensor> = loop_vars.iter().map(|t| like(id, t)).collect();
        let next = body(&variables, &counter);
        keeps_form(op, &next, loop_vars, at)?;
        let next = [&[flag(&next)?], &next[..]].concat();
        let carried = [&[like(id, &start)], &variables[..]].concat();
        let body = LoopBody {
            row: counter.clone(),
            counter,
            carried,
            rows: vec![],
            constants: vec![],
            next,
            stacked: vec![],
            most,
            conditional: true,
        };
        let carried = [&[start], loop_vars].concat();
        make_loop(body, LoopInputs { carried, arrays: vec![], constants: vec![] }, id, None, at)
    });
    let mut results = traced.0?;
    results.carried.remove(0);
    Ok(results)
}

pub(super) fn keeps_form(op: &'static str, next: &[Tensor], variables: &[Tensor], at: At) -> Result<()> {
    checked(next)?;
    if same_forms(next, variables) {
        return Ok(());
    }
    let message = format!(
        "expected the body to keep number, shapes and types of the loop variables, {}, received {}; cast or reshape \
         them back",
        forms(variables),
        forms(next)
    );
    Err(error(op, message, at))
}

/// Applies `body` to a number and the loop variables for every number from `lower` up to, not including, `upper`
/// (`int32` scalars or plain numbers), and gives their last values.
///
/// Where both ends are constants the number of turns is known, and gradients flow; where not, it is a loop without a
/// bound, see [`while_loop`].
///
/// # Errors
/// Carried by the results: ends of another form, variables that change form.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let sum = ops::fori_loop(1, 11, |i, x| vec![&x[0] + i], &[Tensor::scalar(0)]);
/// assert_eq!(sum[0].item::<i32>()?, 55);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn fori_loop(
    lower: impl Operand,
    upper: impl Operand,
    body: impl Fn(&Tensor, &[Tensor]) -> Vec<Tensor>,
    init: &[Tensor],
) -> Vec<Tensor> {
    let at = here();
    let (lower, upper) = (lower.tensor(DType::I32, at), upper.tensor(DType::I32, at));
    or_failed(counted(&lower, &upper, body, init, at), init.len(), at)
}

fn counted(
    lower: &Tensor,
    upper: &Tensor,
    body: impl Fn(&Tensor, &[Tensor]) -> Vec<Tensor>,
    init: &[Tensor],
    at: At,
) -> Result<Vec<Tensor>> {
    checked(&[&[lower.clone(), upper.clone()], init].concat())?;
    if !is_scalar(lower, DType::I32) || !is_scalar(upper, DType::I32) {
        let both = forms(&[lower.clone(), upper.clone()]);
        return Err(error("fori_loop", format!("expected int32 scalars as ends, received {both}"), at));
    }
    if let Some(turns) = turns_between(lower, upper) {
        let f = |x: &[Tensor], _: &[Tensor], turn: &Tensor| (body(&(turn + lower), x), vec![]);
        return Ok(scanned("fori_loop", f, init, &[], turns, false, at)?.carried);
    }
    // The number of the turn is a variable too, so that the condition can be asked of it.
    let variables = [std::slice::from_ref(lower), init].concat();
    let next = |x: &[Tensor], _: &Tensor| [&[&x[0] + 1], &body(&x[0], &x[1..])[..]].concat();
    let results = conditional("fori_loop", |x| x[0].less(upper), next, &variables, usize::MAX, at)?;
    Ok(results.carried[1..].to_vec())
}

/// How often a loop turns whose ends the graph knows.
pub(crate) fn turns_between(lower: &Tensor, upper: &Tensor) -> Option<usize> {
    let known = |t: &Tensor| match t.node.kind {
        Kind::Op(Op::Constant(Value::I32(value))) => Some(i64::from(value)),
        _ => None,
    };
    Some(usize::try_from(known(upper)? - known(lower)?).unwrap_or(0))
}

/// Applies `f` to what it carries and the rows of `xs` along their first axis, one after the other: `f(carry, x)` gives
/// the next carry and a row of each result. Gives the last carry and the results, stacked.
///
/// `length` is needed where there are no `xs`. With `reverse` the rows are visited, and the results stacked, from the
/// last to the first.
///
/// # Errors
/// Carried by the results: `xs` of different lengths or another than `length`, a carry that changes form.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let xs = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
/// let f = |sum: &[Tensor], x: &[Tensor]| {
///     let sum = &sum[0] + &x[0];
///     (vec![sum.clone()], vec![sum])
/// };
/// let (last, sums) = ops::scan(f, &[Tensor::scalar(0.0f32)], &[xs], None, false);
/// assert_eq!(last[0].item::<f32>()?, 6.0);
/// assert_eq!(sums[0].to_vec::<f32>()?, [1.0, 3.0, 6.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("foldl", "foldr"))]
#[track_caller]
pub fn scan(
    f: impl Fn(&[Tensor], &[Tensor]) -> (Vec<Tensor>, Vec<Tensor>),
    init: &[Tensor],
    xs: &[Tensor],
    length: Option<usize>,
    reverse: bool,
) -> (Vec<Tensor>, Vec<Tensor>) {
    let at = here();
    let results = length_of("scan", xs, length, at)
        .and_then(|turns| scanned("scan", |x, rows, _| f(x, rows), init, xs, turns, reverse, at));
    match results {
        Ok(results) => (results.carried, results.arrays),
        Err(error) => {
            let failed = Tensor::from_error(error, at);
            (vec![failed.clone(); init.len().max(1)], vec![failed])
        }
    }
}

/// The common length of the first axes.
fn length_of(op: &'static str, xs: &[Tensor], length: Option<usize>, at: At) -> Result<usize> {
    checked(xs)?;
    let mut lengths = length.into_iter().chain(xs.iter().filter_map(|x| x.shape().first().copied()));
    let first = lengths.next();
    match first {
        Some(first) if lengths.all(|n| n == first) && xs.iter().all(|x| x.rank() > 0) => Ok(first),
        Some(_) => {
            let expected = length.map_or("one length".to_owned(), |n| format!("length {n}"));
            let message =
                format!("expected arrays of {expected} along the first axis, received {}", forms(xs));
            Err(error(op, message, at))
        }
        None if xs.is_empty() => Err(error(op, "expected arrays, or a length; received neither".into(), at)),
        None => Err(error(op, format!("expected arrays with a first axis, received {}", forms(xs)), at)),
    }
}

/// A loop of a known number of turns; `f` gets what is carried, the rows and the number of the turn.
fn scanned(
    op: &'static str,
    f: impl Fn(&[Tensor], &[Tensor], &Tensor) -> (Vec<Tensor>, Vec<Tensor>),
    init: &[Tensor],
    xs: &[Tensor],
    turns: usize,
    reverse: bool,
    at: At,
) -> Result<LoopResults> {
    checked(init)?;
    let traced = trace::record(What::Body(op), |id| {
        let counter = parameter(id, vec![], DType::I32, at);
        trace::set_turns(Turns::Numbered(counter.clone()));
        let carried: Vec<Tensor> = init.iter().map(|t| like(id, t)).collect();
        let row = |x: &Tensor| parameter(id, x.shape()[1..].to_vec(), x.dtype(), at);
        let rows: Vec<Tensor> = xs.iter().map(row).collect();
        let (next, stacked) = f(&carried, &rows, &counter);
        keeps_form(op, &next, init, at)?;
        for result in &stacked {
            let shape = [&[turns], result.check()?.shape()].concat();
            size::element_count(&shape).map_err(|overflow| error(op, overflow.to_string(), at))?;
        }
        let row = if reverse { number(turns, at) - 1 - &counter } else { counter.clone() };
        let (most, conditional, constants) = (turns, false, vec![]);
        let body = LoopBody { counter, carried, rows, constants, row, next, stacked, most, conditional };
        let inputs = LoopInputs { carried: init.to_vec(), arrays: xs.to_vec(), constants: vec![] };
        make_loop(body, inputs, id, None, at)
    });
    traced.0
}

/// Applies `f` to the rows of `xs` along their first axis, each on its own, one after the other, and stacks the results.
///
/// # Errors
/// Carried by the results: `xs` of different lengths.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let xs = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
/// let norms = ops::map(|x| vec![x[0].square().sum(()).sqrt()], &[xs]);
/// assert_eq!(norms[0].to_vec::<f32>()?, [5.0f32.sqrt(), 5.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "map_fn")]
#[track_caller]
pub fn map(f: impl Fn(&[Tensor]) -> Vec<Tensor>, xs: &[Tensor]) -> Vec<Tensor> {
    map_rows("map", f, xs, here())
}

pub(crate) fn map_rows(
    op: &'static str,
    f: impl Fn(&[Tensor]) -> Vec<Tensor>,
    xs: &[Tensor],
    at: At,
) -> Vec<Tensor> {
    let results = length_of(op, xs, None, at)
        .and_then(|turns| scanned(op, |_, rows, _| (vec![], f(rows)), &[], xs, turns, false, at));
    or_failed(results.map(|r| r.arrays), 1, at)
}

/// What [`map`] computes, all rows at once: the operations of `f` become operations with one more axis, without a loop.
///
/// Control flow in `f` that depends on the row is computed for all rows: of a branch every row selects its own results,
/// a loop runs until the last row has ended. So a branch that is not taken computes too, and where its gradient is NaN
/// the row's is, as with [`Tensor::select`]. Calls of the host, and random numbers of keys that differ between rows, run
/// row by row. Gradients flow, and `vectorized_map` nests.
///
/// # Errors
/// As [`map`].
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let (a, b) = (Tensor::ones(&[5, 2, 3]), Tensor::ones(&[5, 3, 4]));
/// let products = ops::vectorized_map(|x| vec![x[0].matmul(&x[1])], &[a, b]);
/// assert_eq!(products[0].shape(), [5, 2, 4]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "vmap")]
#[track_caller]
pub fn vectorized_map(f: impl Fn(&[Tensor]) -> Vec<Tensor>, elements: &[Tensor]) -> Vec<Tensor> {
    let (op, at) = ("vectorized_map", here());
    let results = length_of(op, elements, None, at).and_then(|rows| {
        let traced = trace::record(What::Body(op), |id| {
            let one = |x: &Tensor| parameter(id, x.shape()[1..].to_vec(), x.dtype(), at);
            let mut parameters: Vec<Tensor> = elements.iter().map(one).collect();
            let row = parameter(id, vec![], DType::I32, at);
            trace::set_turns(Turns::Numbered(row.clone()));
            let results = f(&parameters);
            checked(&results)?;
            parameters.push(row);
            let numbers = Tensor::op(Op::Iota { axis: 0 }, vec![], vec![rows], DType::I32, at);
            over_rows(&parameters, &[elements, &[numbers]].concat(), &results, rows)
        });
        traced.0
    });
    or_failed(results, 1, at)
}
