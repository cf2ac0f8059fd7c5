//! Resizing: products with matrices of weights along height and width.

use super::Interpolation;
use crate::ops::DataFormat;
use crate::ops::convert::epsilon;
use crate::ops::pointwise::working;
use crate::ops::spatial::{Batched, check_table, failed_of};
use crate::shape::resolve_axis;
use crate::tensor::{Tensor, here};

/// What a resized image does about another ratio of height and width.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum AspectRatio {
    /// It is distorted.
    #[default]
    Stretch,
    /// What does not fit is cut off at both sides first; Keras' `crop_to_aspect_ratio`.
    Crop,
    /// Pixels of this value are added at both sides first; Keras' `pad_to_aspect_ratio`.
    Pad(f64),
}

/// Distances of two pixels at which a kernel ends.
fn radius(interpolation: Interpolation) -> f64 {
    match interpolation {
        Interpolation::Nearest | Interpolation::Bilinear => 1.0,
        Interpolation::Bicubic => 2.0,
        Interpolation::Lanczos3 => 3.0,
        Interpolation::Lanczos5 => 5.0,
    }
}

/// The weight of a pixel at a distance ≥ 0.
fn kernel(interpolation: Interpolation, x: f64) -> f64 {
    let radius = radius(interpolation);
    match interpolation {
        _ if x >= radius => 0.0,
        Interpolation::Nearest | Interpolation::Bilinear => 1.0 - x,
        Interpolation::Bicubic if x < 1.0 => ((1.5 * x - 2.5) * x) * x + 1.0,
        Interpolation::Bicubic => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        Interpolation::Lanczos3 | Interpolation::Lanczos5 if x <= 1e-3 => 1.0,
        Interpolation::Lanczos3 | Interpolation::Lanczos5 => {
            let turn = std::f64::consts::PI * x;
            radius * turn.sin() * (turn / radius).sin() / (turn * turn)
        }
    }
}

/// Weights `[output, input]` that resize an axis, pixel centres at half numbers; each row has sum 1.
fn weights(input: usize, output: usize, interpolation: Interpolation, antialias: bool) -> Vec<f64> {
    let step = input as f64 / output as f64;
    let stretch = if antialias { step.max(1.0) } else { 1.0 };
    let row = |i: usize| {
        let middle = (i as f64 + 0.5) * step - 0.5;
        let row: Vec<f64> =
            (0..input).map(|j| kernel(interpolation, (middle - j as f64).abs() / stretch)).collect();
        let sum: f64 = row.iter().sum();
        let usable = sum.abs() > 1000.0 * f64::from(f32::EPSILON);
        row.into_iter().map(move |w| if usable { w / sum } else { 0.0 })
    };
    (0..output).flat_map(row).collect()
}

/// `x` with `weights [output, input]` applied along an axis.
fn resampled(x: &Tensor, axis: usize, weights: &Tensor) -> Tensor {
    if let Some(failed) = failed_of(&[x, weights]) {
        return failed;
    }
    let shape = x.shape();
    let product = |dims: &[usize]| dims.iter().product::<usize>() as i64;
    let (lead, trail) = (product(&shape[..axis]), product(&shape[axis + 1..]));
    let mut target: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
    target[axis] = weights.shape()[0] as i64;
    let flat = x.reshape(&[lead, shape[axis] as i64, trail]);
    let result =
        if trail == 1 { flat.squeeze(-1).matmul(&weights.transpose(&[1, 0])) } else { weights.matmul(&flat) };
    result.reshape(&target)
}

/// Rows and columns of an image of the ratio of `target` inside (crop) or around (pad) one of `extents`.
fn fitted(extents: [usize; 2], target: [usize; 2], crop: bool) -> [usize; 2] {
    // As in Keras: width · target height / target width, rounded down.
    let scaled = |a: usize, b: usize, c: usize| (a as u128 * b as u128 / c as u128) as usize;
    let height = scaled(extents[1], target[0], target[1]);
    let width = scaled(extents[0], target[1], target[0]);
    if crop {
        [height.clamp(1, extents[0]), width.clamp(1, extents[1])]
    } else {
        [height.max(extents[0]), width.max(extents[1])]
    }
}

/// A batch with the ratio of the target.
fn with_ratio(x: &Tensor, size: [usize; 2], aspect_ratio: AspectRatio) -> Tensor {
    let extents = [x.shape()[1], x.shape()[2]];
    match aspect_ratio {
        AspectRatio::Stretch => x.clone(),
        AspectRatio::Crop => {
            let inner = fitted(extents, size, true);
            let start = |i: usize| ((extents[i] - inner[i]) / 2) as i64;
            let cut = |t: &Tensor, i: usize| t.slice_axis(1 + i as i64, start(i), start(i) + inner[i] as i64);
            cut(&cut(x, 0), 1)
        }
        AspectRatio::Pad(value) => {
            let outer = fitted(extents, size, false);
            let side = |i: usize| (outer[i] - extents[i]) / 2;
            // One axis only, as many cells before as after.
            let (rows, columns) = if side(0) > 0 { (side(0), 0) } else { (0, side(1)) };
            x.pad(&[(0, 0), (rows, rows), (columns, columns), (0, 0)], value)
        }
    }
}

/// Images in another size `[height, width]`.
///
/// Pixel centres stand at half numbers; weights at the edges are scaled to sum 1. `antialias` widens the kernel where the
/// image becomes smaller. The result is a float, except that `Nearest` keeps the dtype.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_graph::ops::DataFormat;
/// use kiln_graph::ops::image::{AspectRatio, Interpolation, resize};
/// let x = Tensor::from_vec(&[0.0f32, 1.0], &[1, 2, 1]);
/// let format = DataFormat::ChannelsLast;
/// let y = resize(&x, [1, 4], Interpolation::Bilinear, false, AspectRatio::Stretch, format);
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.25, 0.75, 1.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where the rank is not 3 or 4, or an extent is 0.
#[doc(alias = "interpolate")]
#[track_caller]
pub fn resize(
    images: &Tensor,
    size: [usize; 2],
    interpolation: Interpolation,
    antialias: bool,
    aspect_ratio: AspectRatio,
    data_format: DataFormat,
) -> Tensor {
    let at = here();
    let batch = match Batched::new("resize", images, 2, data_format, at) {
        Ok(batch) => batch,
        Err(failed) => return failed,
    };
    if size.contains(&0) || batch.images.shape()[1..3].contains(&0) {
        let message = format!("expected extents ≥ 1, received images {:?} and size {size:?}", images.shape());
        return Tensor::failed("resize", message, at);
    }
    let mut x = with_ratio(&batch.images, size, aspect_ratio);
    if interpolation != Interpolation::Nearest {
        x = x.to_float();
    }
    if x.error().is_some() {
        return x.part_of("resize", at, std::slice::from_ref(images));
    }
    for (i, target) in size.into_iter().enumerate() {
        let extent = x.shape()[i + 1];
        if extent == target {
            continue;
        }
        if let Err(message) = check_table(&[target, extent]) {
            return Tensor::failed("resize", message, at);
        }
        x = if interpolation == Interpolation::Nearest {
            // floor((i + ½) · extent / target), in whole numbers.
            let nearest = |i: usize| ((2 * i as u128 + 1) * extent as u128 / (2 * target as u128)) as i32;
            let cells: Vec<i32> = (0..target).map(nearest).collect();
            x.take(&Tensor::from_slice(&cells), i as i64 + 1)
        } else {
            let weights = weights(extent, target, interpolation, antialias);
            resampled(&x, i + 1, &Tensor::table(&weights, &[target, extent], x.dtype()))
        };
    }
    batch.restore(&x).part_of("resize", at, std::slice::from_ref(images))
}

/// The weights of distances ≥ 0, as [`kernel`] has them.
fn kernel_of(interpolation: Interpolation, x: &Tensor) -> Tensor {
    let end = radius(interpolation);
    match interpolation {
        Interpolation::Nearest | Interpolation::Bilinear => (1.0 - x).maximum(0.0),
        Interpolation::Bicubic => {
            let near = ((x * 1.5 - 2.5) * x) * x + 1.0;
            let far = ((x * -0.5 + 2.5) * x - 4.0) * x + 2.0;
            let inside = Tensor::select(&x.less(1.0), near, far);
            Tensor::select(&x.less(end), inside, 0.0)
        }
        Interpolation::Lanczos3 | Interpolation::Lanczos5 => {
            let close = x.less_equal(1e-3);
            let turn = Tensor::select(&close, 1.0, x) * std::f64::consts::PI;
            let wave = turn.sin() * (&turn / end).sin() * end / turn.square();
            let inside = Tensor::select(&close, 1.0, wave);
            Tensor::select(&x.less_equal(end), inside, 0.0)
        }
    }
}

/// Tensors scaled and moved along some axes: `output[i] = input[(i + ½ − translation) / scale − ½]`, 0 outside.
///
/// `output_shape` has as many extents as the tensor, which may differ along `spatial_dims`; scale and translation are vectors
/// with one number for each of these. Gradients flow to them too. Keras' default is `antialias`.
///
/// # Errors
/// Where lengths do not fit, an axis is out of range, or the method is `Nearest`.
#[track_caller]
pub fn scale_and_translate(
    images: &Tensor,
    output_shape: &[usize],
    scale: &Tensor,
    translation: &Tensor,
    spatial_dims: &[i64],
    method: Interpolation,
    antialias: bool,
) -> Tensor {
    const OP: &str = "scale_and_translate";
    let at = here();
    if let Some(failed) = failed_of(&[images, scale, translation]) {
        return failed;
    }
    let rank = images.rank();
    let axes: Option<Vec<usize>> = spatial_dims.iter().map(|a| resolve_axis(*a, rank)).collect();
    let count = spatial_dims.len();
    let fits = |axes: &Vec<usize>| {
        output_shape.len() == rank
            && (0..rank).all(|i| axes.contains(&i) || output_shape[i] == images.shape()[i])
            && scale.shape() == [count]
            && translation.shape() == [count]
            && axes.iter().enumerate().all(|(n, a)| !axes[..n].contains(a))
    };
    let Some(axes) = axes.filter(|a| fits(a) && method != Interpolation::Nearest) else {
        let message = format!(
            "expected distinct axes, an output shape of rank {rank} that differs along them, a scale and a translation for \
             each, and a method other than nearest; received images {:?}, output shape {output_shape:?}, scale {:?}, \
             translation {:?}, axes {spatial_dims:?}, {method:?}",
            images.shape(),
            scale.shape(),
            translation.shape()
        );
        return Tensor::failed(OP, message, at);
    };
    let mut x = images.to_float();
    for (n, axis) in axes.into_iter().enumerate() {
        let number =
            |t: &Tensor| t.cast(working(x.dtype())).slice_axis(0, n as i64, n as i64 + 1).reshape(&[1, 1]);
        let shape = [output_shape[axis], x.shape()[axis]];
        let weights = moved_weights(shape, &number(scale), &number(translation), method, antialias);
        x = resampled(&x, axis, &weights.cast(x.dtype()));
        if x.error().is_some() {
            break;
        }
    }
    x.part_of(OP, at, &[images.clone(), scale.clone(), translation.clone()])
}

/// Weights `[output, input]` of an axis that is scaled and moved by numbers `[1, 1]`.
fn moved_weights(
    shape: [usize; 2],
    scale: &Tensor,
    translation: &Tensor,
    method: Interpolation,
    antialias: bool,
) -> Tensor {
    let inverse = scale.reciprocal();
    let column = Tensor::iota(&[shape[0], 1], 0).cast(scale.dtype());
    let middle = (column + 0.5) * &inverse - translation * &inverse - 0.5;
    let pixel = Tensor::iota(&[1, shape[1]], 1).cast(scale.dtype());
    let distance = (&middle - pixel).abs();
    let distance = if antialias { distance / inverse.maximum(1.0) } else { distance };
    let weights = kernel_of(method, &distance);
    let sum = weights.sum([1]).expand_dims(1);
    let usable = sum.abs().greater(1000.0 * epsilon(scale.dtype()));
    let inside = middle.greater_equal(-0.5).logical_and(middle.less_equal(shape[1] as f64 - 0.5));
    let usable = usable.logical_and(inside);
    let safe = Tensor::select(&usable, &sum, 1.0);
    Tensor::select(&usable, weights / safe, 0.0)
}
