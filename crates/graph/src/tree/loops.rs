//! Loops whose variables are structures of tensors, arrays of tensors among them.
//!
//! They are those of [`crate::ops`] on flat lists. A dynamic [`crate::TensorArray`] among the variables gets room for one
//! more element in every turn, so the number of turns must have a bound.

use super::{Tree, assert_same_structure, flatten, pack_sequence_as};
use crate::error::{At, Error, Result};
use crate::ops::{self, Operand};
use crate::tensor::{Tensor, here};
use kiln_device::DType;

/// [`ops::while_loop`] with a structure of loop variables, which keeps its structure, shapes and types.
///
/// # Errors
/// Carried by the results, as there; also where the body gives another structure. Arrays that grow need
/// `maximum_iterations`.
///
/// ```
/// use kiln_graph::{Tensor, tree};
/// // Fibonacci numbers up to the first above 100.
/// let step = |(a, b): (Tensor, Tensor)| (b.clone(), a + b);
/// let one = Tensor::scalar(1);
/// let (_, last) = tree::while_loop(|(_, b)| b.less_equal(100), step, (one.clone(), one), None);
/// assert_eq!(last.item::<i32>()?, 144);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn while_loop<T: Tree>(
    condition: impl Fn(&T) -> Tensor,
    body: impl Fn(T) -> T,
    loop_vars: T,
    maximum_iterations: Option<usize>,
) -> T {
    let at = here();
    let (vars, fits) = with_room(loop_vars, maximum_iterations, "while_loop", "give maximum_iterations", at);
    let site = Inside { op: "while_loop", vars: &vars, at };
    if let Err(error) = fits {
        return site.result(&[Tensor::from_error(error, at)]);
    }
    let asked = |x: &[Tensor]| site.packed(x).map_or_else(|e| Tensor::from_error(e, at), |x| condition(&x));
    let turned = |x: &[Tensor]| site.applied(x, &body);
    site.result(&ops::while_loop(asked, turned, &flatten(&vars), maximum_iterations))
}

/// [`ops::fori_loop`] with a structure of loop variables, which keeps its structure, shapes and types.
///
/// # Errors
/// Carried by the results, as there; also where the body gives another structure. Arrays that grow need plain numbers as
/// ends.
#[track_caller]
pub fn fori_loop<T: Tree>(
    lower: impl Operand,
    upper: impl Operand,
    body: impl Fn(&Tensor, T) -> T,
    init: T,
) -> T {
    let at = here();
    let (lower, upper) = (lower.tensor(DType::I32, at), upper.tensor(DType::I32, at));
    let turns = ops::turns_between(&lower, &upper);
    let (vars, fits) = with_room(init, turns, "fori_loop", "give plain numbers as ends", at);
    let site = Inside { op: "fori_loop", vars: &vars, at };
    if let Err(error) = fits {
        return site.result(&[Tensor::from_error(error, at)]);
    }
    let turned = |i: &Tensor, x: &[Tensor]| site.applied(x, |x| body(i, x));
    site.result(&ops::fori_loop(&lower, &upper, turned, &flatten(&vars)))
}

/// [`ops::scan`] with structures: `f(carry, x)` of what is carried and one row of every tensor of `xs` gives the next
/// carry and a structure whose tensors are stacked.
///
/// # Errors
/// As there.
///
/// ```
/// use kiln_graph::{Tensor, tree};
/// let xs = (Tensor::from([1.0f32, 2.0, 3.0]), Tensor::from([10.0f32, 20.0, 30.0]));
/// let f = |sum: Tensor, (a, b): (Tensor, Tensor)| {
///     let sum = sum + a * b;
///     (sum.clone(), sum)
/// };
/// let (last, sums) = tree::scan(f, Tensor::scalar(0.0f32), &xs, None, false)?;
/// assert_eq!(last.item::<f32>()?, 140.0);
/// assert_eq!(sums.to_vec::<f32>()?, [10.0, 50.0, 140.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn scan<C: Tree, X: Tree, Y: Tree>(
    f: impl Fn(C, X) -> (C, Y),
    init: C,
    xs: &X,
    length: Option<usize>,
    reverse: bool,
) -> Result<(C, Y)> {
    let at = here();
    let rows = flatten(xs);
    let turns = length.or_else(|| rows.first().and_then(|x| x.shape().first().copied()));
    let (vars, fits) = with_room(init, turns, "scan", "give a length", at);
    fits?;
    let site = Inside { op: "scan", vars: &vars, at };
    let made = std::cell::RefCell::new(None);
    let step = |x: &[Tensor], row: &[Tensor]| {
        let taken = site.packed(x).and_then(|carry| Ok((carry, pack_sequence_as(xs, row)?)));
        let (carry, x) = match taken {
            Ok(taken) => taken,
            Err(error) => return (vec![Tensor::from_error(error, at); x.len().max(1)], vec![]),
        };
        let (next, y) = f(carry, x);
        let leaves = flatten(&y);
        *made.borrow_mut() = Some(y);
        (site.checked(next), leaves)
    };
    let (carried, stacked) = ops::scan(step, &flatten(&vars), &rows, length, reverse);
    if let Some(error) = carried.iter().chain(&stacked).find_map(Tensor::error) {
        return Err(error.clone());
    }
    let like = made.into_inner().ok_or_else(|| site.error("the body never ran".into()))?;
    Ok((site.result(&carried), pack_sequence_as(&like, &stacked)?))
}

/// The variables with room for what a loop of so many turns appends to arrays; an error, with a way out, where such an
/// array would need a bound that is not known.
fn with_room<T: Tree>(
    vars: T,
    turns: Option<usize>,
    op: &'static str,
    way_out: &str,
    at: At,
) -> (T, Result<()>) {
    let Some(turns) = turns else {
        let leaves = flatten(&vars);
        // Room is counted by one more tensor.
        let counted =
            vars.rebuild(&mut leaves.iter().cloned()).map(|copy| flatten(&copy.with_room(0, at)).len());
        let message = format!(
            "a dynamic array takes one row in every turn, and the number of turns has no bound: {way_out}, or reserve() the \
             rows before"
        );
        let fits = counted == Some(leaves.len());
        return (vars, if fits { Ok(()) } else { Err(Error::Operation { op, message, at }) });
    };
    (vars.with_room(turns, at), Ok(()))
}

/// The structure that a loop's flat variables have.
struct Inside<'a, T> {
    op: &'static str,
    vars: &'a T,
    at: At,
}

impl<T: Tree> Inside<'_, T> {
    fn error(&self, message: String) -> Error {
        Error::Operation { op: self.op, message, at: self.at }
    }

    fn packed(&self, flat: &[Tensor]) -> Result<T> {
        pack_sequence_as(self.vars, flat)
    }

    fn applied(&self, flat: &[Tensor], body: impl FnOnce(T) -> T) -> Vec<Tensor> {
        match self.packed(flat) {
            Ok(vars) => self.checked(body(vars)),
            Err(error) => vec![Tensor::from_error(error, self.at); flat.len().max(1)],
        }
    }

    /// The tensors of the next variables, which must have the structure of these.
    fn checked(&self, next: T) -> Vec<Tensor> {
        let leaves = flatten(&next);
        if leaves.iter().any(|t| t.error().is_some()) || assert_same_structure(self.vars, &next).is_ok() {
            return leaves;
        }
        let [mut expected, mut received] = [String::new(), String::new()];
        self.vars.describe(&mut expected);
        next.describe(&mut received);
        let message = format!(
            "expected the body to keep the structure of the loop variables, {expected}, received {received}"
        );
        vec![Tensor::from_error(self.error(message), self.at)]
    }

    /// The structure around a loop's results; around one of them if that is all there is, an error.
    fn result(&self, flat: &[Tensor]) -> T {
        let failed = flat.iter().find(|t| t.error().is_some());
        let one = |n: usize| failed.or(flat.get(n)).cloned().unwrap_or_else(|| self.missing());
        let wanted = flatten(self.vars).len();
        match self.vars.rebuild(&mut (0..wanted).map(one)) {
            Some(result) => result,
            None => unreachable!("a structure takes as many tensors as it has"),
        }
    }

    fn missing(&self) -> Tensor {
        Tensor::from_error(self.error("a result is missing".into()), self.at)
    }
}
