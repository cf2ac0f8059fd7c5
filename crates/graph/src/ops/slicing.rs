//! Blocks of tensors read and written, and elements taken along an axis. Keras' names and rules.

use kiln_device::ScatterOp;

use super::arrange::{axis_of, failed_among, ravel};
use super::choose::{Block, linear};
use crate::error::At;
use crate::shape::broadcast;
use crate::tensor::{Tensor, here};

/// Where a block starts.
#[derive(Clone, Debug)]
pub enum Start {
    /// At these places, one an axis.
    At(Vec<usize>),
    /// At the places that an integer vector holds when the program runs, one an axis.
    Tensor(Tensor),
}

impl From<&[usize]> for Start {
    fn from(places: &[usize]) -> Start {
        Start::At(places.to_vec())
    }
}

impl From<Vec<usize>> for Start {
    fn from(places: Vec<usize>) -> Start {
        Start::At(places)
    }
}

impl<const N: usize> From<[usize; N]> for Start {
    fn from(places: [usize; N]) -> Start {
        Start::At(places.to_vec())
    }
}

impl From<&Tensor> for Start {
    fn from(places: &Tensor) -> Start {
        Start::Tensor(places.clone())
    }
}

/// The block of a shape that starts at given places. A start in a tensor at which the block does not fit is an error of
/// the run.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::range(9).reshape(&[3, 3]);
/// assert_eq!(ops::slice(&x, [1, 0], &[2, 2]).to_vec::<i32>()?, [3, 4, 6, 7]);
/// let start = Tensor::from_slice(&[0i32, 1]);
/// assert_eq!(ops::slice(&x, &start, &[1, 2]).to_vec::<i32>()?, [1, 2]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn slice(inputs: &Tensor, start_indices: impl Into<Start>, shape: &[usize]) -> Tensor {
    let at = here();
    let start = start_indices.into();
    if let Err(failed) = check(inputs, &start, shape, "slice", at) {
        return failed;
    }
    match &start {
        Start::At(places) => {
            let op = crate::op::Op::Slice { start: places.clone(), step: vec![1; places.len()] };
            Tensor::op(op, vec![inputs.clone()], shape.to_vec(), inputs.dtype(), at)
        }
        Start::Tensor(places) => {
            let index = match positions(inputs, places, shape, "slice", at) {
                Ok(index) => index,
                Err(failed) => return failed,
            };
            ravel(inputs).gather_rows(&index, at).part_of("slice", at, &[inputs.clone(), places.clone()])
        }
    }
}

/// `inputs` with a block replaced by `updates`. A start in a tensor at which the block does not fit is an error of the
/// run.
#[track_caller]
pub fn slice_update(inputs: &Tensor, start_indices: impl Into<Start>, updates: &Tensor) -> Tensor {
    let at = here();
    let start = start_indices.into();
    if updates.error().is_some() {
        return updates.clone();
    }
    if let Err(failed) = check(inputs, &start, updates.shape(), "slice_update", at) {
        return failed;
    }
    let values = updates.cast_at(inputs.dtype(), at);
    if values.is_empty() {
        return inputs.clone();
    }
    let written = match &start {
        Start::At(places) => {
            Block { start: places.clone(), step: vec![1; places.len()], values }.set(inputs, at)
        }
        Start::Tensor(places) => match positions(inputs, places, values.shape(), "slice_update", at) {
            Ok(index) => {
                let flat = ravel(inputs).scatter_rows(&index, &values, ScatterOp::Set, at);
                flat.reshape_at(inputs.shape().to_vec(), at)
            }
            Err(failed) => failed,
        },
    };
    written.part_of("slice_update", at, &[inputs.clone(), updates.clone()])
}

fn check(x: &Tensor, start: &Start, shape: &[usize], op: &'static str, at: At) -> Result<(), Tensor> {
    x.check().map_err(|_| x.clone())?;
    let fits = |places: &[usize]| {
        let end = |i: usize| places[i].checked_add(shape[i]);
        (0..shape.len()).all(|i| end(i).is_some_and(|end| end <= x.shape()[i]))
    };
    let ok = match start {
        _ if shape.len() != x.rank() => false,
        Start::At(places) => places.len() == x.rank() && fits(places),
        Start::Tensor(places) => {
            places.check().map_err(|_| places.clone())?;
            places.shape() == [x.rank()] && places.dtype().is_integer() && fits(&vec![0; x.rank()])
        }
    };
    if ok {
        return Ok(());
    }
    let start = match start {
        Start::At(places) => format!("{places:?}"),
        Start::Tensor(places) => format!("a tensor {:?} {}", places.shape(), places.dtype()),
    };
    let message = format!(
        "expected an integer start and an extent for each axis, the block within shape {:?}, received a block of shape \
         {shape:?} at {start}",
        x.shape()
    );
    Err(Tensor::failed(op, message, at))
}

/// Positions in the flattened tensor of a block that starts where a tensor says.
fn positions(
    x: &Tensor,
    places: &Tensor,
    shape: &[usize],
    op: &'static str,
    at: At,
) -> Result<Tensor, Tensor> {
    let axis = |i: usize| {
        // Room is left for the block, so a start is in range if and only if the whole block is.
        let room = x.shape()[i] - shape[i] + 1;
        let start = places.slice_axis(0, i as i64, i as i64 + 1).reshape_at(vec![], at);
        start.checked_index(room, op, at) + Tensor::iota(shape, i)
    };
    let coordinates: Vec<Tensor> = (0..x.rank()).map(axis).collect();
    linear(&coordinates, x.shape(), shape, op, at)
}

/// Slices along an axis: `[.., v, ..]` at indices `[n..]` gives `[.., n.., ..]`; `None` flattens first. Negative indices
/// count from the end; out-of-range ones are an error of the run.
#[doc(alias("index_select", "gather"))]
#[track_caller]
pub fn take(x: &Tensor, indices: &Tensor, axis: impl Into<Option<i64>>) -> Tensor {
    match axis.into() {
        Some(axis) => x.take(indices, axis),
        None => ravel(x).take(indices, 0),
    }
}

/// One element along the axis for every index: `output[.., i, ..] = x[.., indices[.., i, ..], ..]`. The other axes
/// broadcast; `None` flattens both. Negative indices count from the end; out-of-range ones are an error of the run.
#[doc(alias = "gather")]
#[track_caller]
pub fn take_along_axis(x: &Tensor, indices: &Tensor, axis: impl Into<Option<i64>>) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among([x, indices]) {
        return failed;
    }
    let inputs = [x.clone(), indices.clone()];
    let Some(axis) = axis.into() else {
        return ravel(x).take_along_axis(&ravel(indices), 0).part_of("take_along_axis", at, &inputs);
    };
    let axis = match axis_of(x, axis, "take_along_axis", at) {
        Ok(axis) => axis,
        Err(failed) => return failed,
    };
    let others =
        |t: &Tensor| (0..t.rank()).filter(|i| *i != axis).map(|i| t.shape()[i]).collect::<Vec<usize>>();
    let met = if x.rank() == indices.rank() { broadcast(&others(x), &others(indices)) } else { None };
    let Some(met) = met else {
        let message =
            format!("indices {:?} do not broadcast with {:?} beside axis {axis}", indices.shape(), x.shape());
        return Tensor::failed("take_along_axis", message, at);
    };
    let widen = |t: &Tensor| {
        let mut shape = met.clone();
        shape.insert(axis, t.shape()[axis]);
        t.broadcast_at(&shape, at)
    };
    widen(x).take_along_axis(&widen(indices), axis as i64).part_of("take_along_axis", at, &inputs)
}
