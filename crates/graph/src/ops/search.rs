//! Order, membership and places of elements. NumPy's and Keras' names and rules.

use kiln_device::DType;

use super::arrange::{axis_of, failed_among, ravel};
use super::{Operand, promote};
use crate::error::{At, Error};
use crate::shape::strides;
use crate::tensor::{Tensor, here};

/// An axis in ascending order; NaN last. `None` flattens first.
#[track_caller]
pub fn sort(x: &Tensor, axis: impl Into<Option<i64>>) -> Tensor {
    match axis.into() {
        Some(axis) => x.sort(axis),
        None => ravel(x).sort(0),
    }
}

/// Positions that sort an axis, stably, `int32`; NaN last. `None` flattens first.
#[track_caller]
pub fn argsort(x: &Tensor, axis: impl Into<Option<i64>>) -> Tensor {
    match axis.into() {
        Some(axis) => x.argsort(axis, false),
        None => ravel(x).argsort(0, false),
    }
}

/// Positions, `int32`, that put the element number `kth` of the sorted axis in its place, those before it before and
/// those after it after. `None` flattens first. Here the whole axis is sorted.
#[track_caller]
pub fn argpartition(x: &Tensor, kth: i64, axis: impl Into<Option<i64>>) -> Tensor {
    let at = here();
    let (x, axis) = match axis.into() {
        Some(axis) => (x.clone(), axis),
        None => (ravel(x), -1),
    };
    let axis = match axis_of(&x, axis, "argpartition", at) {
        Ok(axis) => axis,
        Err(failed) => return failed,
    };
    let extent = x.shape()[axis] as i64;
    if !(-extent..extent).contains(&kth) {
        let message = format!("kth {kth} is out of range for axis {axis} of shape {:?}", x.shape());
        return Tensor::failed("argpartition", message, at);
    }
    x.argsort(axis as i64, false).part_of("argpartition", at, &[x])
}

/// Which of several equal elements a place is sought beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Side {
    /// Before the first.
    #[default]
    Left,
    /// After the last.
    Right,
}

impl std::str::FromStr for Side {
    type Err = String;

    fn from_str(name: &str) -> Result<Side, String> {
        match name {
            "left" => Ok(Side::Left),
            "right" => Ok(Side::Right),
            other => Err(format!("expected side `left` or `right`, received `{other}`")),
        }
    }
}

/// Where values would be inserted in a sorted vector to keep it sorted, `int32`; NaN is after every number.
///
/// ```
/// use kiln_graph::{Tensor, ops, ops::Side};
/// let sorted = Tensor::from_slice(&[1.0f32, 2.0, 2.0, 5.0]);
/// let values = Tensor::from_slice(&[2.0f32, 9.0]);
/// assert_eq!(ops::searchsorted(&sorted, &values, Side::Left).to_vec::<i32>()?, [1, 4]);
/// assert_eq!(ops::searchsorted(&sorted, &values, Side::Right).to_vec::<i32>()?, [3, 4]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn searchsorted(sorted_sequence: &Tensor, values: &Tensor, side: Side) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among([sorted_sequence, values]) {
        return failed;
    }
    let length = sorted_sequence.len();
    if sorted_sequence.rank() != 1 || i32::try_from(length).is_err() {
        let message = format!("expected a sorted vector, received shape {:?}", sorted_sequence.shape());
        return Tensor::failed("searchsorted", message, at);
    }
    let inputs = [sorted_sequence.clone(), values.clone()];
    let dtype = promote(sorted_sequence.dtype(), values.dtype());
    // Booleans compare as numbers.
    let dtype = if dtype == DType::Bool { DType::I32 } else { dtype };
    bisect(&sorted_sequence.cast_at(dtype, at), &values.cast_at(dtype, at), side, at).part_of(
        "searchsorted",
        at,
        &inputs,
    )
}

/// Binary search without branches: the number of leading elements that come before the value grows by powers of two.
fn bisect(sorted: &Tensor, values: &Tensor, side: Side, at: At) -> Tensor {
    let length = sorted.len();
    let mut count = Tensor::full(values.shape(), 0.0, DType::I32);
    let mut step = 1usize << length.checked_ilog2().unwrap_or(0);
    while step > 0 && length > 0 {
        let longer = &count + step as i32;
        let inside = longer.less_equal(length as i32);
        let last = sorted.gather_rows(&(&longer - 1).minimum(length as i32 - 1), at);
        let before = match side {
            Side::Left => less(&last, values),
            Side::Right => less(values, &last).logical_not(),
        };
        count = Tensor::select(&inside.logical_and(before), &longer, &count);
        step /= 2;
    }
    count
}

/// `a < b` in the order of a sort, where NaN comes last.
fn less(a: &Tensor, b: &Tensor) -> Tensor {
    let smaller = a.less(b);
    if !a.dtype().is_float() {
        return smaller;
    }
    smaller.logical_or(b.is_nan().logical_and(a.is_nan().logical_not()))
}

/// The number of the bin that each value falls into, `int32`: bin `i` is `bins[i - 1] <= x < bins[i]`. The bins are a
/// vector in ascending order.
#[doc(alias = "bucketize")]
#[track_caller]
pub fn digitize(x: &Tensor, bins: &Tensor) -> Tensor {
    searchsorted(bins, x, Side::Right).part_of("digitize", here(), &[x.clone(), bins.clone()])
}

/// Whether each element of `x1` is among those of `x2`; with `invert`, whether it is not. NaN is never.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let found = ops::isin(&Tensor::from_slice(&[0i32, 1, 5]), &Tensor::from_slice(&[5i32, 0]), false);
/// assert_eq!(found.to_vec::<bool>()?, [true, false, true]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn isin(x1: &Tensor, x2: &Tensor, invert: bool) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among([x1, x2]) {
        return failed;
    }
    let found = if x2.is_empty() {
        Tensor::full(x1.shape(), 0.0, DType::Bool)
    } else {
        let dtype = promote(x1.dtype(), x2.dtype());
        let dtype = if dtype == DType::Bool { DType::I32 } else { dtype };
        let (values, sorted) = (x1.cast_at(dtype, at), ravel(&x2.cast_at(dtype, at)).sort(0));
        let place = searchsorted(&sorted, &values, Side::Left).minimum(sorted.len() as i32 - 1);
        sorted.gather_rows(&place, at).equal(&values)
    };
    let result = if invert { found.logical_not() } else { found };
    result.part_of("isin", at, &[x1.clone(), x2.clone()])
}

/// Coordinates of the elements that are not 0, one `int32` vector an axis, in row-major order. Their number depends on
/// the values, so the tensor is computed at once; a function being traced cannot.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let places = ops::nonzero(&Tensor::from_vec(&[0i32, 7, 8, 0], &[2, 2]));
/// assert_eq!(places[0].to_vec::<i32>()?, [0, 1]);
/// assert_eq!(places[1].to_vec::<i32>()?, [1, 0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "argwhere")]
#[track_caller]
pub fn nonzero(x: &Tensor) -> Vec<Tensor> {
    let at = here();
    if x.error().is_none() && x.rank() == 0 {
        return vec![Tensor::failed("nonzero", "expected at least one axis, received a scalar".into(), at)];
    }
    match coordinates(x, "nonzero", at) {
        Ok(coordinates) => coordinates.iter().map(|c| Tensor::from_slice(c)).collect(),
        Err(failed) => vec![failed; x.rank().max(1)],
    }
}

/// Coordinates of the elements that are not 0, read at once; `op` names who needs them.
pub(super) fn coordinates(x: &Tensor, op: &'static str, at: At) -> Result<Vec<Vec<i32>>, Tensor> {
    let hits = read_now(&x.cast_at(DType::Bool, at), op, at)?;
    let places: Vec<usize> = (0..hits.len()).filter(|i| hits[*i]).collect();
    let axis = |(stride, extent): (usize, &usize)| {
        places.iter().map(|p| (p / stride % extent) as i32).collect::<Vec<i32>>()
    };
    Ok(strides(x.shape()).into_iter().zip(x.shape()).map(axis).collect())
}

/// Elements that the shape of a result depends on, or a failed tensor that says why they cannot be had.
pub(super) fn read_now<T: crate::Element>(x: &Tensor, op: &'static str, at: At) -> Result<Vec<T>, Tensor> {
    x.to_vec::<T>().map_err(|error| match error {
        Error::Trace { .. } => {
            let message = "the shape of the result depends on values, which are not known while a function is traced. \
                           Call it outside of the function, give a fixed size where it takes one, or keep all elements \
                           and choose among them with `where`";
            Tensor::failed(op, message.into(), at)
        }
        other => Tensor::from_error(other, at),
    })
}

/// For each element the choice whose condition is the first to be true, else the default. All broadcast.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::range(4);
/// let y = ops::select(&[x.less(1), x.greater(2)], &[&x - 10, &x * 10], 7);
/// assert_eq!(y.to_vec::<i32>()?, [-10, 7, 7, 30]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "where")]
#[track_caller]
pub fn select(condlist: &[Tensor], choicelist: &[Tensor], default: impl Operand) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among(condlist.iter().chain(choicelist)) {
        return failed;
    }
    if condlist.len() != choicelist.len() || condlist.is_empty() {
        let message = format!(
            "expected as many choices as conditions, received {} and {}",
            choicelist.len(),
            condlist.len()
        );
        return Tensor::failed("select", message, at);
    }
    let dtype = choicelist.iter().skip(1).fold(choicelist[0].dtype(), |d, t| promote(d, t.dtype()));
    let mut chosen = default.tensor(dtype, at);
    for (condition, choice) in condlist.iter().zip(choicelist).rev() {
        chosen = Tensor::select(condition, choice, &chosen);
    }
    chosen.part_of("select", at, &[])
}

/// Coordinates in a shape of positions in its row-major order, one tensor an axis. Positions out of range are an error of
/// the run.
#[track_caller]
pub fn unravel_index(indices: &Tensor, shape: &[usize]) -> Vec<Tensor> {
    let at = here();
    let parts = shape.len().max(1);
    let bound = match kiln_device::size::element_count(shape) {
        Ok(count) if i32::try_from(count).is_ok() && !shape.is_empty() => count,
        Ok(_) => {
            let message = format!("shape {shape:?} has no axes or more positions than int32 holds");
            return vec![Tensor::failed("unravel_index", message, at); parts];
        }
        Err(error) => return vec![Tensor::failed("unravel_index", error.to_string(), at); parts],
    };
    let index = indices.checked_index(bound, "unravel_index", at);
    let dtype = indices.dtype();
    let axis = |(stride, extent): (usize, &usize)| {
        // Where a dimension is 0 there are no positions, but a divisor has to be one.
        let (stride, extent) = (stride.max(1) as i32, (*extent).max(1) as i32);
        index.floor_divide(stride).modulo(extent).cast(dtype).part_of(
            "unravel_index",
            at,
            std::slice::from_ref(indices),
        )
    };
    strides(shape).into_iter().zip(shape).map(axis).collect()
}
