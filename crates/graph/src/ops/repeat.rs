//! Elements repeated along their axes. NumPy's and Keras' names and rules.

use super::arrange::{axis_of, ravel, stepped};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// How often each element along an axis is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Every one equally often.
    Each(usize),
    /// One count for each.
    Counts(Vec<usize>),
}

impl From<usize> for Repeats {
    fn from(count: usize) -> Repeats {
        Repeats::Each(count)
    }
}

impl From<&[usize]> for Repeats {
    fn from(counts: &[usize]) -> Repeats {
        Repeats::Counts(counts.to_vec())
    }
}

impl From<Vec<usize>> for Repeats {
    fn from(counts: Vec<usize>) -> Repeats {
        Repeats::Counts(counts)
    }
}

impl<const N: usize> From<[usize; N]> for Repeats {
    fn from(counts: [usize; N]) -> Repeats {
        Repeats::Counts(counts.to_vec())
    }
}

/// Each element along an axis repeated, next to itself; `None` flattens first.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1i32, 2, 3]);
/// assert_eq!(ops::repeat(&x, 2, None).to_vec::<i32>()?, [1, 1, 2, 2, 3, 3]);
/// assert_eq!(ops::repeat(&x, [2, 0, 1], 0).to_vec::<i32>()?, [1, 1, 3]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "repeat_interleave")]
#[track_caller]
pub fn repeat(x: &Tensor, repeats: impl Into<Repeats>, axis: impl Into<Option<i64>>) -> Tensor {
    let at = here();
    let (flat, axis) = match axis.into() {
        Some(axis) => (x.clone(), axis),
        None => (ravel(x), 0),
    };
    let axis = match axis_of(&flat, axis, "repeat", at) {
        Ok(axis) => axis,
        Err(failed) => return failed,
    };
    match repeats.into() {
        Repeats::Each(n) => repeated_each(&flat, n, axis, at),
        Repeats::Counts(counts) if counts.len() == 1 => repeated_each(&flat, counts[0], axis, at),
        Repeats::Counts(counts) => repeated_by(&flat, &counts, axis, at),
    }
}

fn repeated_each(x: &Tensor, n: usize, axis: usize, at: At) -> Tensor {
    let mut shape = x.shape().to_vec();
    let Some(extent) = shape[axis].checked_mul(n) else {
        return Tensor::failed("repeat", format!("{n} repeats of {:?} overflow", x.shape()), at);
    };
    shape.insert(axis + 1, 1);
    let mut wide = shape.clone();
    wide[axis + 1] = n;
    let mut joined = x.shape().to_vec();
    joined[axis] = extent;
    let repeated = x.reshape_at(shape, at).broadcast_at(&wide, at).reshape_at(joined, at);
    repeated.part_of("repeat", at, std::slice::from_ref(x))
}

fn repeated_by(x: &Tensor, counts: &[usize], axis: usize, at: At) -> Tensor {
    if counts.len() != x.shape()[axis] {
        let message = format!("expected {} counts, received {}", x.shape()[axis], counts.len());
        return Tensor::failed("repeat", message, at);
    }
    let mut ends = Vec::with_capacity(counts.len());
    let mut total = 0i32;
    for count in counts {
        match i32::try_from(*count).ok().and_then(|c| total.checked_add(c)) {
            Some(sum) => total = sum,
            None => {
                return Tensor::failed(
                    "repeat",
                    "expected at most 2³¹ − 1 repeated elements along the axis; repeat them less often"
                        .into(),
                    at,
                );
            }
        }
        ends.push(total);
    }
    if total == 0 {
        return stepped(x, axis, 0, 1, 0, "repeat", at);
    }
    // Which element an output position belongs to: the first whose end lies behind it.
    let place = Tensor::range(total as usize);
    let source = super::searchsorted(&Tensor::from_slice(&ends), &place, super::Side::Right);
    x.take(&source, axis as i64).part_of("repeat", at, std::slice::from_ref(x))
}

/// `x` laid side by side `repeats[i]` times along each axis; new axes come first where there are more counts than axes.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1i32, 2]);
/// assert_eq!(ops::tile(&x, &[2, 2]).to_vec::<i32>()?, [1, 2, 1, 2, 1, 2, 1, 2]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn tile(x: &Tensor, repeats: &[usize]) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let rank = x.rank().max(repeats.len());
    let extent = |i: usize| (i + x.rank()).checked_sub(rank).map_or(1, |i| x.shape()[i]);
    let count = |i: usize| (i + repeats.len()).checked_sub(rank).map_or(1, |i| repeats[i]);
    let narrow: Vec<usize> = (0..rank).flat_map(|i| [1, extent(i)]).collect();
    let wide: Vec<usize> = (0..rank).flat_map(|i| [count(i), extent(i)]).collect();
    let joined: Option<Vec<usize>> = (0..rank).map(|i| count(i).checked_mul(extent(i))).collect();
    let Some(joined) = joined else {
        return Tensor::failed("tile", format!("{repeats:?} times {:?} overflows", x.shape()), at);
    };
    let tiled = x.reshape_at(narrow, at).broadcast_at(&wide, at).reshape_at(joined, at);
    tiled.part_of("tile", at, std::slice::from_ref(x))
}
