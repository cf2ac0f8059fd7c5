//! Where elements stand: axes moved, joined, repeated and turned. NumPy's and Keras' names and rules.

use crate::error::At;
use crate::op::Op;
use crate::shape::{Axes, resolve_axis};
use crate::tensor::{Tensor, here};

/// The first of some tensors that carries an error.
pub(super) fn failed_among<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Option<Tensor> {
    tensors.into_iter().find(|t| t.error().is_some()).cloned()
}

/// `axis` of a tensor, or a failed tensor that says which axes there are.
pub(super) fn axis_of(x: &Tensor, axis: i64, op: &'static str, at: At) -> Result<usize, Tensor> {
    if x.error().is_some() {
        return Err(x.clone());
    }
    resolve_axis(axis, x.rank()).ok_or_else(|| Tensor::failed(op, crate::shape::no_axis(axis, x.shape()), at))
}

/// Elements `start, start + step …` of one axis, `count` of them, all in range.
pub(super) fn stepped(
    x: &Tensor,
    axis: usize,
    start: usize,
    step: i64,
    count: usize,
    op: &'static str,
    at: At,
) -> Tensor {
    if x.error().is_some() {
        return x.clone();
    }
    let (mut first, mut steps, mut shape) = (vec![0; x.rank()], vec![1; x.rank()], x.shape().to_vec());
    (first[axis], steps[axis], shape[axis]) = (start, step, count);
    let slice = Op::Slice { start: first, step: steps };
    Tensor::op(slice, vec![x.clone()], shape, x.dtype(), at).part_of(op, at, std::slice::from_ref(x))
}

/// The elements of `x1`, then those of `x2`, along an axis; `None` flattens both first.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_vec(&[1i32, 2, 3, 4], &[2, 2]);
/// let y = ops::append(&x, &Tensor::from_slice(&[5i32]), None);
/// assert_eq!(y.to_vec::<i32>()?, [1, 2, 3, 4, 5]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn append(x1: &Tensor, x2: &Tensor, axis: impl Into<Option<i64>>) -> Tensor {
    let inputs = [x1.clone(), x2.clone()];
    let joined = match axis.into() {
        Some(axis) => Tensor::concat(&inputs, axis),
        None => Tensor::concat(&inputs.clone().map(|t| ravel(&t)), 0),
    };
    joined.part_of("append", here(), &inputs)
}

/// `x` repeated along new axes and axes of extent 1.
#[track_caller]
pub fn broadcast_to(x: &Tensor, shape: &[usize]) -> Tensor {
    x.broadcast_to(shape)
}

/// Tensors behind one another along an axis; dtypes are promoted.
#[doc(alias = "cat")]
#[track_caller]
pub fn concatenate(xs: &[Tensor], axis: i64) -> Tensor {
    Tensor::concat(xs, axis).part_of("concatenate", here(), xs)
}

/// Tensors of one shape along a new axis.
#[track_caller]
pub fn stack(xs: &[Tensor], axis: i64) -> Tensor {
    Tensor::stack(xs, axis).part_of("stack", here(), xs)
}

/// Tensors side by side: along the second axis, or the only one.
#[track_caller]
pub fn hstack(xs: &[Tensor]) -> Tensor {
    let raised: Vec<Tensor> = xs.iter().map(|t| at_least(t, 1)).collect();
    let axis = if raised.first().is_some_and(|t| t.rank() == 1) { 0 } else { 1 };
    Tensor::concat(&raised, axis).part_of("hstack", here(), xs)
}

/// Tensors on top of one another: along the first axis, where vectors are rows.
#[track_caller]
pub fn vstack(xs: &[Tensor]) -> Tensor {
    let raised: Vec<Tensor> = xs.iter().map(|t| at_least(t, 2)).collect();
    Tensor::concat(&raised, 0).part_of("vstack", here(), xs)
}

/// Tensors behind one another in depth: along the third axis.
#[track_caller]
pub fn dstack(xs: &[Tensor]) -> Tensor {
    let raised: Vec<Tensor> = xs.iter().map(|t| at_least(t, 3)).collect();
    Tensor::concat(&raised, 2).part_of("dstack", here(), xs)
}

/// At least so many axes (up to three), added where NumPy's `atleast_1d`, `_2d` and `_3d` add them.
fn at_least(x: &Tensor, rank: usize) -> Tensor {
    let shape = match (rank, x.shape()) {
        (1, []) => vec![1],
        (2, []) => vec![1, 1],
        (2, [n]) => vec![1, *n],
        (3, []) => vec![1, 1, 1],
        (3, [n]) => vec![1, *n, 1],
        (3, [m, n]) => vec![*m, *n, 1],
        _ => return x.clone(),
    };
    x.reshape_at(shape, here())
}

/// New axes of extent 1, so that they stand at these places of the result.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// assert_eq!(ops::expand_dims(&Tensor::ones(&[2, 3]), [0, -1]).shape(), [1, 2, 3, 1]);
/// ```
#[doc(alias = "unsqueeze")]
#[track_caller]
pub fn expand_dims(x: &Tensor, axes: impl Into<Axes>) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let axes = match axes.into() {
        Axes::All => return Tensor::failed("expand_dims", "expected the places of the new axes".into(), at),
        named @ Axes::Of(_) => named,
    };
    let added = if let Axes::Of(list) = &axes { list.len() } else { 0 };
    match axes.resolve(x.rank() + added) {
        Ok(places) => {
            let mut shape = x.shape().to_vec();
            for place in places {
                shape.insert(place, 1);
            }
            x.reshape_at(shape, at)
        }
        Err(message) => Tensor::failed("expand_dims", message, at),
    }
}

/// `x` without some axes of extent 1; `()` removes all of them.
#[track_caller]
pub fn squeeze(x: &Tensor, axes: impl Into<Axes>) -> Tensor {
    x.squeeze(axes)
}

/// Every axis of `axes` reversed, `()` for all.
#[doc(alias = "reverse")]
#[track_caller]
pub fn flip(x: &Tensor, axes: impl Into<Axes>) -> Tensor {
    x.flip(axes)
}

/// Left and right exchanged: the second axis reversed.
#[track_caller]
pub fn fliplr(x: &Tensor) -> Tensor {
    x.flip(1).part_of("fliplr", here(), std::slice::from_ref(x))
}

/// Top and bottom exchanged: the first axis reversed.
#[track_caller]
pub fn flipud(x: &Tensor) -> Tensor {
    x.flip(0).part_of("flipud", here(), std::slice::from_ref(x))
}

/// Axes `source` moved to the places `destination`; the others keep their order.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// assert_eq!(ops::moveaxis(&Tensor::ones(&[2, 3, 4]), 0, -1).shape(), [3, 4, 2]);
/// ```
#[doc(alias = "movedim")]
#[track_caller]
pub fn moveaxis(x: &Tensor, source: impl Into<Axes>, destination: impl Into<Axes>) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let (source, destination) = (source.into(), destination.into());
    let resolved = source
        .resolve_in_order(x.rank())
        .and_then(|s| destination.resolve_in_order(x.rank()).map(|d| (s, d)))
        .and_then(|(s, d)| {
            let same = s.len() == d.len();
            if same {
                Ok((s, d))
            } else {
                Err(format!(
                    "expected a place for each axis, received {} axes and {} places",
                    s.len(),
                    d.len()
                ))
            }
        });
    let (source, destination) = match resolved {
        Ok(pair) => pair,
        Err(message) => return Tensor::failed("moveaxis", message, at),
    };
    let mut order: Vec<usize> = (0..x.rank()).filter(|i| !source.contains(i)).collect();
    let mut moves: Vec<(usize, usize)> = destination.into_iter().zip(source).collect();
    moves.sort_unstable();
    for (place, axis) in moves {
        order.insert(place, axis);
    }
    permuted(x, order, at)
}

/// Axes in another order, given as a permutation.
pub(super) fn permuted(x: &Tensor, permutation: Vec<usize>, at: At) -> Tensor {
    if x.error().is_some() || permutation.iter().enumerate().all(|(i, p)| i == *p) {
        return x.clone();
    }
    let shape = permutation.iter().map(|p| x.shape()[*p]).collect();
    Tensor::op(Op::Transpose { permutation }, vec![x.clone()], shape, x.dtype(), at)
}

/// Two axes exchanged.
#[doc(alias = "swapdims")]
#[track_caller]
pub fn swapaxes(x: &Tensor, axis1: i64, axis2: i64) -> Tensor {
    x.swap_axes(axis1, axis2).part_of("swapaxes", here(), std::slice::from_ref(x))
}

/// Axes in another order: output axis `i` is input axis `axes[i]`; `()` reverses them.
#[doc(alias = "permute")]
#[track_caller]
pub fn transpose(x: &Tensor, axes: impl Into<Axes>) -> Tensor {
    match axes.into() {
        Axes::All => permuted(x, (0..x.rank()).rev().collect(), here()),
        Axes::Of(axes) => x.transpose(&axes),
    }
}

/// The elements in row-major order along one axis.
#[doc(alias = "flatten")]
#[track_caller]
pub fn ravel(x: &Tensor) -> Tensor {
    x.flatten_from(0)
}

/// The same elements in row-major order under another shape; one dimension may be −1 and is worked out.
#[doc(alias = "view")]
#[track_caller]
pub fn reshape(x: &Tensor, shape: &[i64]) -> Tensor {
    x.reshape(shape)
}

/// Elements shifted along axes, those that fall off at the end coming back at the start. One shift for each axis or one
/// for all; axes may be named twice. `()` shifts the flattened tensor.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1i32, 2, 3, 4]);
/// assert_eq!(ops::roll(&x, &[1], 0).to_vec::<i32>()?, [4, 1, 2, 3]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn roll(x: &Tensor, shift: &[i64], axes: impl Into<Axes>) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let axes = match axes.into() {
        Axes::All => {
            let flat = shift.iter().fold(ravel(x), |flat, s| rolled(&flat, *s, 0, at));
            return flat.reshape_at(x.shape().to_vec(), at).part_of("roll", at, std::slice::from_ref(x));
        }
        Axes::Of(axes) => axes,
    };
    let count = shift.len().max(axes.len());
    if (shift.len() != 1 && shift.len() != count) || (axes.len() != 1 && axes.len() != count) {
        let message = format!(
            "expected one shift, or as many as axes, received {} shifts for {} axes",
            shift.len(),
            axes.len()
        );
        return Tensor::failed("roll", message, at);
    }
    let mut result = x.clone();
    for i in 0..count {
        let (by, axis) = (shift[i % shift.len()], axes[i % axes.len()]);
        match axis_of(x, axis, "roll", at) {
            Ok(axis) => result = rolled(&result, by, axis, at),
            Err(failed) => return failed,
        }
    }
    result.part_of("roll", at, std::slice::from_ref(x))
}

fn rolled(x: &Tensor, by: i64, axis: usize, at: At) -> Tensor {
    let extent = x.shape().get(axis).copied().unwrap_or(0);
    let by = if extent == 0 { 0 } else { by.rem_euclid(extent as i64) as usize };
    if by == 0 {
        return x.clone();
    }
    let tail = stepped(x, axis, extent - by, 1, by, "roll", at);
    let head = stepped(x, axis, 0, 1, extent - by, "roll", at);
    Tensor::concat(&[tail, head], axis as i64)
}

/// `k` quarter turns in the plane of two axes, from the first towards the second.
#[track_caller]
pub fn rot90(x: &Tensor, k: i64, axes: (i64, i64)) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let plane = match Axes::from([axes.0, axes.1]).resolve_in_order(x.rank()) {
        Ok(plane) => plane,
        Err(message) => return Tensor::failed("rot90", message, at),
    };
    let (a, b) = (plane[0] as i64, plane[1] as i64);
    match k.rem_euclid(4) {
        0 => x.clone(),
        1 => x.flip(b).swap_axes(a, b),
        2 => x.flip([a, b]),
        _ => x.swap_axes(a, b).flip(b),
    }
}

/// Which axes of a grid the first two vectors run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum GridIndexing {
    /// Cartesian: the first vector along the second axis, the second along the first.
    #[default]
    Xy,
    /// As matrices: every vector along the axis of its number.
    Ij,
}

/// Coordinates of a grid: every vector repeated along the axes of the others.
#[track_caller]
pub fn meshgrid(xs: &[Tensor], indexing: GridIndexing) -> Vec<Tensor> {
    let at = here();
    if let Some(failed) = failed_among(xs) {
        return vec![failed; xs.len()];
    }
    if let Some(bad) = xs.iter().find(|t| t.rank() > 1) {
        let message = format!("expected vectors, received shape {:?}", bad.shape());
        return vec![Tensor::failed("meshgrid", message, at); xs.len()];
    }
    let mut along: Vec<usize> = (0..xs.len()).collect();
    if indexing == GridIndexing::Xy && xs.len() > 1 {
        along.swap(0, 1);
    }
    let mut shape = vec![1; xs.len()];
    for (x, axis) in xs.iter().zip(&along) {
        shape[*axis] = x.len();
    }
    let spread = |(x, axis): (&Tensor, &usize)| {
        let mut lone = vec![1; xs.len()];
        lone[*axis] = x.len();
        x.reshape_at(lone, at).broadcast_at(&shape, at).part_of("meshgrid", at, xs)
    };
    xs.iter().zip(&along).map(spread).collect()
}

/// Differences of neighbours along an axis, taken `n` times; of booleans, whether they differ.
#[track_caller]
pub fn diff(x: &Tensor, n: usize, axis: i64) -> Tensor {
    let at = here();
    let axis = match axis_of(x, axis, "diff", at) {
        Ok(axis) => axis,
        Err(failed) => return failed,
    };
    let mut result = x.clone();
    for _ in 0..n.min(x.shape()[axis]) {
        let count = result.shape()[axis] - 1;
        let (later, earlier) = (
            stepped(&result, axis, 1, 1, count, "diff", at),
            stepped(&result, axis, 0, 1, count, "diff", at),
        );
        let boolean = x.dtype() == kiln_device::DType::Bool;
        result = if boolean { later.not_equal(&earlier) } else { later - earlier };
    }
    result.part_of("diff", at, std::slice::from_ref(x))
}
