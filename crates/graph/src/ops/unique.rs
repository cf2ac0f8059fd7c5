//! Distinct elements.

use kiln_device::{DType, ScatterOp};

use super::arrange::{axis_of, moveaxis, ravel};
use super::diagonal::with_in_front;
use super::search::read_now;
use super::{Side, searchsorted};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// What [`unique`] finds. Nothing of it is computed unless it is read.
#[derive(Clone, Debug)]
pub struct Unique {
    /// The distinct elements (or slices) in ascending order.
    pub values: Tensor,
    /// Where each first occurs, `int32`.
    pub index: Tensor,
    /// The number in `values` of every element, `int32`: of the input's shape, or a vector where an axis is given.
    pub inverse: Tensor,
    /// How often each occurs, `int32`.
    pub counts: Tensor,
}

/// The distinct elements in ascending order, or the distinct slices along an axis. Every NaN is distinct.
///
/// How many there are depends on the values, so without a size they are counted at once, which a function being traced
/// cannot. With `size` the result has that many: the first ones, or all of them and then `fill_value` (index and count 0).
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let found = ops::unique(&Tensor::from_slice(&[3i32, 1, 2, 1]), None, None, 0.0);
/// assert_eq!(found.values.to_vec::<i32>()?, [1, 2, 3]);
/// assert_eq!(found.index.to_vec::<i32>()?, [1, 2, 0]);
/// assert_eq!(found.inverse.to_vec::<i32>()?, [2, 0, 1, 0]);
/// assert_eq!(found.counts.to_vec::<i32>()?, [2, 1, 1]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn unique(
    x: &Tensor,
    axis: impl Into<Option<i64>>,
    size: impl Into<Option<usize>>,
    fill_value: f64,
) -> Unique {
    let (at, axis, size) = (here(), axis.into(), size.into());
    match find(x, axis, size, fill_value, at) {
        Ok(found) => {
            let of = |t: Tensor| t.part_of("unique", at, std::slice::from_ref(x));
            let Unique { values, index, inverse, counts } = found;
            Unique { values: of(values), index: of(index), inverse: of(inverse), counts: of(counts) }
        }
        Err(failed) => {
            Unique { values: failed.clone(), index: failed.clone(), inverse: failed.clone(), counts: failed }
        }
    }
}

fn find(x: &Tensor, axis: Option<i64>, size: Option<usize>, fill: f64, at: At) -> Result<Unique, Tensor> {
    let (slices, axis) = match axis {
        Some(axis) => {
            let axis = axis_of(x, axis, "unique", at)?;
            (with_in_front(x, &[axis], at), Some(axis))
        }
        None => (ravel(x), None),
    };
    slices.check().map_err(|_| slices.clone())?;
    let n = slices.shape()[0];
    if i32::try_from(n).is_err() {
        return Err(Tensor::failed("unique", format!("{n} elements are more than int32 positions"), at));
    }
    if n == 0 {
        return Ok(empty(&slices, axis, x, size.unwrap_or(0), fill, at));
    }
    let order = lexical_order(&slices.flatten_from(1), at);
    let sorted = slices.gather_rows(&order, at);
    let rank = ranks(&sorted.flatten_from(1), at);
    let count = rank.slice_axis(0, -1, n as i64) + 1;
    let size = match size {
        Some(size) => size,
        None => read_now::<i32>(&count, "unique", at)?[0] as usize,
    };
    let number = Tensor::range(size);
    let first = searchsorted(&rank, &number, Side::Left);
    let end = searchsorted(&rank, &number, Side::Right);
    let there = number.less(&count);
    let place = first.minimum(n as i32 - 1);
    let keep = |t: Tensor, fill: f64| {
        let lone = [&[size][..], &vec![1; t.rank().saturating_sub(1)]].concat();
        let there = if t.rank() > 1 { there.reshape_at(lone, at) } else { there.clone() };
        Tensor::select(&there, &t, Tensor::full(&[], fill, t.dtype()))
    };
    let values = keep(sorted.gather_rows(&place, at), fill);
    let inverse = Tensor::full(&[n], 0.0, DType::I32).scatter_rows(&order, &rank, ScatterOp::Set, at);
    Ok(Unique {
        values: axis.map_or_else(|| values.clone(), |axis| moveaxis(&values, 0, axis as i64)),
        index: keep(order.gather_rows(&place, at), 0.0),
        inverse: if axis.is_none() { inverse.reshape_at(x.shape().to_vec(), at) } else { inverse },
        counts: end - first,
    })
}

/// Of no elements.
fn empty(slices: &Tensor, axis: Option<usize>, x: &Tensor, size: usize, fill: f64, at: At) -> Unique {
    let shape = [&[size], &slices.shape()[1..]].concat();
    let values = Tensor::full(&shape, fill, x.dtype());
    let none = Tensor::full(&[size], 0.0, DType::I32);
    let inverse = Tensor::full(&[0], 0.0, DType::I32);
    Unique {
        values: axis.map_or_else(|| values.clone(), |axis| moveaxis(&values, 0, axis as i64)),
        index: none.clone(),
        inverse: if axis.is_none() { inverse.reshape_at(x.shape().to_vec(), at) } else { inverse },
        counts: none,
    }
}

/// Positions that sort rows by their columns, the first column first: stable sorts by every column from the last on.
fn lexical_order(rows: &Tensor, at: At) -> Tensor {
    let (n, columns) = (rows.shape()[0], rows.shape()[1]);
    let mut order = Tensor::range(n);
    for column in (0..columns as i64).rev() {
        let key = rows.slice_axis(1, column, column + 1).reshape_at(vec![n], at);
        let by_key = key.gather_rows(&order, at).argsort(0, false);
        order = order.gather_rows(&by_key, at);
    }
    order
}

/// For every row of sorted ones, how many distinct rows come before it.
fn ranks(sorted: &Tensor, at: At) -> Tensor {
    let n = sorted.shape()[0] as i64;
    let differs = sorted.slice_axis(0, 1, n).not_equal(sorted.slice_axis(0, 0, n - 1)).any(1);
    let first = Tensor::full(&[1], 0.0, DType::I32);
    Tensor::concat(&[first, differs.cast_at(DType::I32, at)], 0).cumsum(0)
}
