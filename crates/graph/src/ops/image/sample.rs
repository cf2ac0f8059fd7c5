//! Values between elements: gathers of neighbours, weighted.

use kiln_device::{DType, size};

use super::FillMode;
use crate::ops::spatial::failed_of;
use crate::tensor::{Tensor, here};

/// How far a coordinate counts: beyond, `float32` has no fractions, and `int32` must not overflow.
const FAR: f32 = 268_435_456.0;

/// One of the neighbours of coordinates along an axis.
struct Neighbour {
    /// `int32`, inside the axis.
    index: Tensor,
    /// `bool`, where the neighbour is an element; `None` where every one is.
    inside: Option<Tensor>,
    /// `None` for 1.
    weight: Option<Tensor>,
}

/// Nearest whole number, halves away from 0.
fn rounded(x: &Tensor) -> Tensor {
    let whole = x.trunc();
    let up = (x - &whole).abs().greater_equal(0.5);
    Tensor::select(&up, &whole + x.sign(), &whole)
}

/// Positions of an axis of `extent` elements, brought inside as a fill mode has it.
fn inside(position: &Tensor, extent: usize, fill: FillMode) -> Neighbour {
    let last = extent as i32 - 1;
    let index = match fill {
        FillMode::Constant(_) | FillMode::Nearest => position.clip(0, last),
        _ if extent == 1 => position.zeros_like(),
        FillMode::Wrap => position.modulo(extent as i32),
        FillMode::Mirror => ((position + last).modulo(2 * last) - last).abs(),
        // … and the mirror of half positions.
        FillMode::Reflect => {
            let wide = 2 * extent as i32;
            let turned = (position * 2 + 1 + wide).modulo(2 * wide) - wide;
            (turned.abs() - 1).floor_divide(2)
        }
    };
    let inside = match fill {
        FillMode::Constant(_) => Some(position.greater_equal(0).logical_and(position.less_equal(last))),
        _ => None,
    };
    Neighbour { index, inside, weight: None }
}

/// The neighbours of coordinates along an axis: the nearest (order 0), or the two around (order 1).
fn neighbours(coordinate: &Tensor, extent: usize, linear: bool, fill: FillMode) -> Vec<Neighbour> {
    let limit = match fill {
        // One cell outside is as good as any.
        FillMode::Constant(_) | FillMode::Nearest => (-2.0, extent as f32 + 1.0),
        _ => (-FAR, FAR),
    };
    let position = |x: Tensor| x.clip(limit.0, limit.1).cast(DType::I32);
    if !linear {
        return vec![inside(&position(rounded(coordinate)), extent, fill)];
    }
    let floor = coordinate.floor().stop_gradient();
    let upper = coordinate - &floor;
    let lower = position(floor);
    let mut first = inside(&lower, extent, fill);
    let mut second = inside(&(lower + 1), extent, fill);
    first.weight = Some(1.0 - &upper);
    second.weight = Some(upper);
    vec![first, second]
}

/// Values of `rows [elements, channels]` at coordinates: `[points.., channels]`.
///
/// The elements are those of axes of the given extents in row-major order, from `base` on where there is one (`int32`, which
/// broadcasts to the points); there is one tensor of coordinates `[points..]` for each axis. Every extent is ≥ 1.
pub(super) fn interpolate(
    rows: &Tensor,
    extents: &[usize],
    base: Option<&Tensor>,
    coordinates: &[Tensor],
    linear: bool,
    fill: FillMode,
) -> Tensor {
    let whole = rows.dtype();
    let strides = crate::shape::strides(extents);
    let axes: Vec<Vec<Neighbour>> =
        coordinates.iter().zip(extents).map(|(c, extent)| neighbours(c, *extent, linear, fill)).collect();
    let corners = axes.iter().map(Vec::len).product::<usize>();
    let mut sum: Option<Tensor> = None;
    for corner in 0..corners {
        let mut rest = corner;
        let (mut index, mut inside, mut weight) = (base.cloned(), None::<Tensor>, None::<Tensor>);
        for (neighbours, stride) in axes.iter().zip(&strides) {
            let neighbour = &neighbours[rest % neighbours.len()];
            rest /= neighbours.len();
            let step = &neighbour.index * *stride as i32;
            index = Some(index.map_or_else(|| step.clone(), |i| i + &step));
            inside = both(inside, neighbour.inside.as_ref(), |a, b| a.logical_and(b));
            weight = both(weight, neighbour.weight.as_ref(), |a, b| a * b);
        }
        let Some(index) = index else { return rows.clone() };
        let mut value = rows.take(&index, 0);
        if let (Some(inside), FillMode::Constant(constant)) = (inside, fill) {
            let constant = Tensor::full(&[], constant, whole);
            value = Tensor::select(&inside.expand_dims(-1), &value, constant);
        }
        if let Some(weight) = weight {
            value = value * weight.expand_dims(-1);
        }
        sum = Some(sum.map_or_else(|| value.clone(), |s| s + &value));
    }
    match sum {
        Some(sum) if sum.dtype() == whole => sum,
        Some(sum) if !whole.is_float() => rounded(&sum).cast(whole),
        Some(sum) => sum.cast(whole),
        None => rows.clone(),
    }
}

fn both(a: Option<Tensor>, b: Option<&Tensor>, join: impl Fn(&Tensor, &Tensor) -> Tensor) -> Option<Tensor> {
    match (a, b) {
        (Some(a), Some(b)) => Some(join(&a, b)),
        (a, b) => a.or_else(|| b.cloned()),
    }
}

/// Values of a tensor between its elements: `inputs` of any rank, `coordinates [rank, points..]`, result `[points..]`.
///
/// Order 0 takes the nearest element, halves away from 0; order 1 is linear. Integers are rounded. Gradients flow to the
/// inputs, and with order 1 to the coordinates. Constant and wrapped surroundings are those that SciPy calls `grid-constant`
/// and `grid-wrap`.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_graph::ops::image::{FillMode, map_coordinates};
/// let x = Tensor::from_slice(&[0.0f32, 10.0, 20.0]);
/// let points = Tensor::from_vec(&[0.5f32, 1.25], &[1, 2]);
/// assert_eq!(map_coordinates(&x, &points, 1, FillMode::Nearest).to_vec::<f32>()?, [5.0, 12.5]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where there are not as many coordinates as axes, an axis is empty, or the order is neither 0 nor 1.
#[track_caller]
pub fn map_coordinates(inputs: &Tensor, coordinates: &Tensor, order: u32, fill_mode: FillMode) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[inputs, coordinates]) {
        return failed;
    }
    let rank = inputs.rank();
    // Linear interpolation has 2^rank neighbours.
    let fits = (1..=8).contains(&rank) && coordinates.rank() >= 2 && coordinates.shape()[0] == rank;
    let small = inputs.len() <= i32::MAX as usize && inputs.shape().iter().all(|e| *e < FAR as usize);
    if !fits || inputs.is_empty() || order > 1 || !small {
        let message = format!(
            "expected inputs of 1 to 8 axes and at least one element, coordinates [axes, points..] and order 0 or 1, received \
             inputs {:?}, coordinates {:?}, order {order}",
            inputs.shape(),
            coordinates.shape()
        );
        return Tensor::failed("map_coordinates", message, at);
    }
    if let Err(error) = size::element_count(inputs.shape()) {
        return Tensor::failed("map_coordinates", error.to_string(), at);
    }
    let points = coordinates.to_float();
    let each: Vec<Tensor> = (0..rank as i64).map(|i| points.slice_axis(0, i, i + 1).squeeze(0)).collect();
    let rows = inputs.reshape_at(vec![inputs.len(), 1], at);
    let values = interpolate(&rows, inputs.shape(), None, &each, order == 1, fill_mode);
    values.squeeze(-1).part_of("map_coordinates", at, &[inputs.clone(), coordinates.clone()])
}
