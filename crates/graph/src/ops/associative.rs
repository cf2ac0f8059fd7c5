//! Running results of associative operations.

use super::control::{checked, error, forms, keeps_form, or_failed};
use crate::error::{At, Result};
use crate::op::Op;
use crate::shape::resolve_axis;
use crate::tensor::{Tensor, here};

/// All running results of an associative operation along an axis, in a number of applications that grows with the
/// logarithm of its length: `f(a, b)` combines slices of the elements, each element by element along the axis.
///
/// With `reverse` from the last element backwards.
///
/// # Errors
/// Carried by the results: elements of different lengths, a result of another shape or type than its element.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0]);
/// let products = ops::associative_scan(|a, b| vec![&a[0] * &b[0]], &[x], false, 0);
/// assert_eq!(products[0].to_vec::<f32>()?, [1.0, 2.0, 6.0, 24.0, 120.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn associative_scan(
    f: impl Fn(&[Tensor], &[Tensor]) -> Vec<Tensor>,
    elems: &[Tensor],
    reverse: bool,
    axis: i64,
) -> Vec<Tensor> {
    let at = here();
    or_failed(associative(&f, elems, reverse, axis, at), elems.len(), at)
}

type Combine<'a> = &'a dyn Fn(&[Tensor], &[Tensor]) -> Vec<Tensor>;

fn associative(f: Combine<'_>, elems: &[Tensor], reverse: bool, axis: i64, at: At) -> Result<Vec<Tensor>> {
    const OP: &str = "associative_scan";
    checked(elems)?;
    let axes: Option<Vec<usize>> = elems.iter().map(|t| resolve_axis(axis, t.rank())).collect();
    let axes = axes.filter(|axes| !axes.is_empty()).ok_or_else(|| {
        error(OP, format!("expected elements with an axis {axis}, received {}", forms(elems)), at)
    })?;
    let length = |(t, axis): (&Tensor, &usize)| t.shape()[*axis];
    let lengths: Vec<usize> = elems.iter().zip(&axes).map(length).collect();
    if lengths.iter().any(|n| *n != lengths[0]) {
        let message = format!("expected elements of one length along axis {axis}, received {}", forms(elems));
        return Err(error(OP, message, at));
    }
    let flipped = |list: Vec<Tensor>| -> Vec<Tensor> {
        let flip = |(t, axis): (Tensor, &usize)| if reverse { t.flip([*axis as i64]) } else { t };
        list.into_iter().zip(&axes).map(flip).collect()
    };
    Ok(flipped(running(f, flipped(elems.to_vec()), &axes, at)?))
}

/// Pairs are combined, the running results of those are every second result, and the others follow from them.
fn running(f: Combine<'_>, elems: Vec<Tensor>, axes: &[usize], at: At) -> Result<Vec<Tensor>> {
    let length = elems.first().map_or(0, |t| t.shape()[axes[0]]);
    if length < 2 {
        return Ok(elems);
    }
    let every = |list: &[Tensor], first: usize, count: usize, step: usize| -> Vec<Tensor> {
        list.iter().zip(axes).map(|(t, axis)| strided(t, *axis, first, count, step, at)).collect()
    };
    let apply = |a: &[Tensor], b: &[Tensor]| {
        let combined = f(a, b);
        keeps_form("associative_scan", &combined, a, at).map(|()| combined)
    };
    let (pairs, rest) = (length / 2, (length - 1) / 2);
    let combined = apply(&every(&elems, 0, pairs, 2), &every(&elems, 1, pairs, 2))?;
    let odd = running(f, combined, axes, at)?;
    let mut even = every(&elems, 0, 1, 1);
    if rest > 0 {
        let more = apply(&every(&odd, 0, rest, 1), &every(&elems, 2, rest, 2))?;
        let join = |((first, more), axis): ((&Tensor, &Tensor), &usize)| {
            Tensor::concat(&[first.clone(), more.clone()], *axis as i64)
        };
        even = even.iter().zip(&more).zip(axes).map(join).collect();
    }
    let weave = |((even, odd), axis): ((&Tensor, &Tensor), &usize)| woven(even, odd, *axis, at);
    let woven: Vec<Tensor> = even.iter().zip(&odd).zip(axes).map(weave).collect();
    checked(&woven).map(|()| woven)
}

/// `count` elements of an axis, `step` apart.
fn strided(x: &Tensor, axis: usize, first: usize, count: usize, step: usize, at: At) -> Tensor {
    let (mut start, mut steps, mut shape) = (vec![0; x.rank()], vec![1; x.rank()], x.shape().to_vec());
    (start[axis], steps[axis], shape[axis]) = (first, step as i64, count);
    Tensor::op(Op::Slice { start, step: steps }, vec![x.clone()], shape, x.dtype(), at)
}

/// Elements of an axis in turns from one and the other, of which the first may have one more.
fn woven(even: &Tensor, odd: &Tensor, axis: usize, at: At) -> Tensor {
    let pairs = odd.shape()[axis];
    let paired = strided(even, axis, 0, pairs, 1, at);
    let both = Tensor::stack(&[paired, odd.clone()], axis as i64 + 1);
    let mut shape = odd.shape().to_vec();
    shape[axis] = 2 * pairs;
    let both = both.reshape_at(shape, at);
    if even.shape()[axis] == pairs {
        return both;
    }
    Tensor::concat(&[both, strided(even, axis, pairs, 1, 1, at)], axis as i64)
}
