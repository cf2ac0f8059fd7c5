//! Warps: affine, perspective and elastic.

use kiln_device::{DType, size};

use super::sample::interpolate;
use super::{FillMode, Interpolation, filters};
use crate::error::At;
use crate::ops::DataFormat;
use crate::ops::pointwise::working;
use crate::ops::spatial::{Batched, failed_of};
use crate::random::Seed;
use crate::tensor::{Tensor, here};

/// A batch, and whether to interpolate linearly.
fn prepared(
    op: &'static str,
    images: &Tensor,
    interpolation: Interpolation,
    format: DataFormat,
    at: At,
) -> Result<(Batched, bool), Tensor> {
    let batch = Batched::new(op, images, 2, format, at)?;
    let linear = match interpolation {
        Interpolation::Nearest => false,
        Interpolation::Bilinear => true,
        other => {
            let message = format!("expected interpolation nearest or bilinear, received {other:?}");
            return Err(Tensor::failed(op, message, at));
        }
    };
    let count = size::element_count(&batch.images.shape()[..3]).unwrap_or(usize::MAX);
    if count > i32::MAX as usize {
        let message = format!("expected fewer than 2³¹ pixels, received {:?}", images.shape());
        return Err(Tensor::failed(op, message, at));
    }
    Ok((batch, linear))
}

/// Images `[batch, height, width, channels]` at rows and columns `[batch, height, width]`.
fn warped(images: &Tensor, rows: &Tensor, columns: &Tensor, linear: bool, fill: FillMode) -> Tensor {
    if images.is_empty() {
        return images.clone();
    }
    let s = images.shape();
    let pixels = (s[1] * s[2]) as i32;
    let base = Tensor::iota(&[s[0], 1, 1], 0) * pixels;
    let flat = images.reshape(&[-1, s[3] as i64]);
    interpolate(&flat, &s[1..3], Some(&base), &[rows.clone(), columns.clone()], linear, fill)
}

/// Rows and columns of pixels, `[1, height, width]` in the images' working type.
fn grid(images: &Tensor) -> (Tensor, Tensor) {
    let shape = [1, images.shape()[1], images.shape()[2]];
    let along = |axis: usize| Tensor::iota(&shape, axis).cast(working(images.dtype()));
    (along(1), along(2))
}

/// Points of the input that pixels `(x, y)` of the output come from: the numbers `[batch, 1, 1]` of a projective map
/// `((a x + b y + c) / k, (d x + e y + f) / k)` with `k = g x + h y + 1`, as (rows, columns).
fn projected(numbers: &[Tensor; 8], images: &Tensor) -> (Tensor, Tensor) {
    let (y, x) = grid(images);
    let [a, b, c, d, e, f, g, h] = numbers;
    let k = g * &x + h * &y + 1.0;
    ((d * &x + e * &y + f) / &k, (a * &x + b * &y + c) / &k)
}

/// The projective map of eight numbers: the pixel `(x, y)` of the output comes from `((a0 x + a1 y + a2) / k, (b0 x + b1 y +
/// b2) / k)` of the input with `k = c0 x + c1 y + 1`; `transform: [8]` or `[batch, 8]` holds `a0 a1 a2 b0 b1 b2 c0 c1`.
///
/// As with TensorFlow, `c0` and `c1` count; other backends of Keras take them as 0. Gradients flow to the images, and with
/// bilinear interpolation to the transform.
///
/// # Errors
/// Where shapes do not fit or the interpolation is neither nearest nor bilinear.
#[track_caller]
pub fn affine_transform(
    images: &Tensor,
    transform: &Tensor,
    interpolation: Interpolation,
    fill_mode: FillMode,
    data_format: DataFormat,
) -> Tensor {
    const OP: &str = "affine_transform";
    let at = here();
    if let Some(failed) = failed_of(&[images, transform]) {
        return failed;
    }
    let (batch, linear) = match prepared(OP, images, interpolation, data_format, at) {
        Ok(prepared) => prepared,
        Err(failed) => return failed,
    };
    let count = batch.images.shape()[0];
    let numbers = transform.cast(working(batch.images.dtype()));
    let numbers = if numbers.rank() == 1 { numbers.expand_dims(0) } else { numbers };
    if numbers.rank() != 2 || numbers.shape()[1] != 8 || ![1, count].contains(&numbers.shape()[0]) {
        let message = format!("expected a transform [8] or [{count}, 8], received {:?}", transform.shape());
        return Tensor::failed(OP, message, at);
    }
    let number = |i: i64| numbers.slice_axis(1, i, i + 1).expand_dims(-1);
    let each = [0, 1, 2, 3, 4, 5, 6, 7].map(number);
    let (rows, columns) = projected(&each, &batch.images);
    let shape = &batch.images.shape()[..3];
    let (rows, columns) = (rows.broadcast_to(shape), columns.broadcast_to(shape));
    let result = warped(&batch.images, &rows, &columns, linear, fill_mode);
    batch.restore(&result).part_of(OP, at, &[images.clone(), transform.clone()])
}

/// The matrix (nine numbers `[batch, 1, 1]`) that maps the unit square onto four corners (Heckbert 1989): `(0, 0)`, `(1, 0)`,
/// `(0, 1)` and `(1, 1)` go to the points 0, 1, 2 and 3 of `points [batch, 4, 2]`.
fn from_square(points: &Tensor) -> [Tensor; 9] {
    let number =
        |corner: i64, axis: i64| points.slice_axis(1, corner, corner + 1).slice_axis(2, axis, axis + 1);
    let [x0, x1, x3, x2] = [0, 1, 2, 3].map(|corner| number(corner, 0));
    let [y0, y1, y3, y2] = [0, 1, 2, 3].map(|corner| number(corner, 1));
    let (dx1, dx2, sx) = (&x1 - &x2, &x3 - &x2, &x0 - &x1 + &x2 - &x3);
    let (dy1, dy2, sy) = (&y1 - &y2, &y3 - &y2, &y0 - &y1 + &y2 - &y3);
    let area = &dx1 * &dy2 - &dx2 * &dy1;
    let g = (&sx * &dy2 - &dx2 * &sy) / &area;
    let h = (&dx1 * &sy - &sx * &dy1) / area;
    let one = g.ones_like();
    [
        &x1 - &x0 + &g * &x1,
        &x3 - &x0 + &h * &x3,
        x0,
        &y1 - &y0 + &g * &y1,
        &y3 - &y0 + &h * &y3,
        y0,
        g,
        h,
        one,
    ]
}

/// The adjugate of a matrix of nine numbers: its inverse but for a factor.
fn adjugate(m: &[Tensor; 9]) -> [Tensor; 9] {
    let minor = |a: usize, b: usize, c: usize, d: usize| &m[a] * &m[d] - &m[b] * &m[c];
    [
        minor(4, 5, 7, 8),
        minor(2, 1, 8, 7),
        minor(1, 2, 4, 5),
        minor(5, 3, 8, 6),
        minor(0, 2, 6, 8),
        minor(2, 0, 5, 3),
        minor(3, 4, 6, 7),
        minor(1, 0, 7, 6),
        minor(0, 1, 3, 4),
    ]
}

/// The eight numbers of the projective map that takes the points `to` to the points `from`.
fn homography(from: &Tensor, to: &Tensor) -> [Tensor; 8] {
    let (onto, back) = (from_square(from), adjugate(&from_square(to)));
    let entry = |i: usize| {
        let (row, column) = (i / 3, i % 3);
        (0..3).map(|k| &onto[3 * row + k] * &back[3 * k + column]).fold(None, sum_of)
    };
    let [a, b, c, d, e, f, g, h, scale] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|i| entry(i).unwrap_or_else(|| from.clone()));
    [a, b, c, d, e, f, g, h].map(|n| n / &scale)
}

fn sum_of(sum: Option<Tensor>, term: Tensor) -> Option<Tensor> {
    Some(match sum {
        Some(sum) => sum + term,
        None => term,
    })
}

/// Images seen in another perspective: four points `(x, y)` of each image, `start_points`, go to `end_points`. Points are
/// `[4, 2]` or `[batch, 4, 2]`: top left, top right, bottom left, bottom right, no three of them in a line.
///
/// Outside of the images stands `fill_value`. Gradients flow to the images, and with bilinear interpolation to the points.
///
/// # Errors
/// Where shapes do not fit or the interpolation is neither nearest nor bilinear.
#[track_caller]
pub fn perspective_transform(
    images: &Tensor,
    start_points: &Tensor,
    end_points: &Tensor,
    interpolation: Interpolation,
    fill_value: impl Into<f64>,
    data_format: DataFormat,
) -> Tensor {
    const OP: &str = "perspective_transform";
    let at = here();
    if let Some(failed) = failed_of(&[images, start_points, end_points]) {
        return failed;
    }
    let (batch, linear) = match prepared(OP, images, interpolation, data_format, at) {
        Ok(prepared) => prepared,
        Err(failed) => return failed,
    };
    let count = batch.images.shape()[0];
    let fits = |p: &Tensor| p.shape() == [4, 2] || p.shape() == [1, 4, 2] || p.shape() == [count, 4, 2];
    if !fits(start_points) || start_points.shape() != end_points.shape() {
        let message = format!(
            "expected points [4, 2] or [{count}, 4, 2], received start points {:?} and end points {:?}",
            start_points.shape(),
            end_points.shape()
        );
        return Tensor::failed(OP, message, at);
    }
    let points = |p: &Tensor| {
        let p = p.cast(working(batch.images.dtype()));
        if p.rank() == 2 { p.expand_dims(0) } else { p }
    };
    let numbers = homography(&points(start_points), &points(end_points));
    let (rows, columns) = projected(&numbers, &batch.images);
    let shape = &batch.images.shape()[..3];
    let (rows, columns) = (rows.broadcast_to(shape), columns.broadcast_to(shape));
    let fill = FillMode::Constant(fill_value.into());
    let result = warped(&batch.images, &rows, &columns, linear, fill);
    let given = [images.clone(), start_points.clone(), end_points.clone()];
    batch.restore(&result).part_of(OP, at, &given)
}

/// Images whose pixels are moved by smooth random displacements (Simard et al. 2003): normal numbers times `sigma`, blurred
/// with standard deviation `sigma`, times `alpha`, in pixels. Keras' defaults: alpha 20, sigma 5, `Reflect`.
///
/// Displacements along height and width are independent, and drawn as `float32`, also for `float64`.
///
/// # Errors
/// Where the rank is not 3 or 4, sigma is not above 0, or the interpolation is neither nearest nor bilinear.
#[track_caller]
pub fn elastic_transform(
    images: &Tensor,
    alpha: impl Into<f64>,
    sigma: impl Into<f64>,
    interpolation: Interpolation,
    fill_mode: FillMode,
    seed: impl Into<Seed>,
    data_format: DataFormat,
) -> Tensor {
    const OP: &str = "elastic_transform";
    let at = here();
    let (batch, linear) = match prepared(OP, images, interpolation, data_format, at) {
        Ok(prepared) => prepared,
        Err(failed) => return failed,
    };
    let (alpha, sigma) = (alpha.into(), sigma.into());
    let size = (6.0 * sigma) as usize | 1;
    if !sigma.is_finite() || sigma <= 0.0 || size > i16::MAX as usize {
        let message = format!("expected 0 < sigma ≤ {}, received {sigma}", i16::MAX / 6);
        return Tensor::failed(OP, message, at);
    }
    let s = batch.images.shape();
    let noise = crate::random::normal(&[2 * s[0], s[1], s[2], 1], 0.0, sigma, DType::F32, seed);
    let smooth = filters::gaussian_blur(&noise, [size, size], [sigma, sigma], DataFormat::ChannelsLast);
    let shift = (smooth * alpha).reshape(&[2, s[0] as i64, s[1] as i64, s[2] as i64]);
    let part = |i: i64| shift.slice_axis(0, i, i + 1).squeeze(0);
    let (rows, columns) = grid(&batch.images);
    let result = warped(&batch.images, &(rows + part(0)), &(columns + part(1)), linear, fill_mode);
    batch.restore(&result).part_of(OP, at, std::slice::from_ref(images))
}
