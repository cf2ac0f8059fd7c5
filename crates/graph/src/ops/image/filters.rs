//! Filters over neighbouring pixels, and the likeness of images that is made of them.

use crate::ops::spatial::{Batched, check_table, failed_of};
use crate::ops::{DataFormat, Padding};
use crate::tensor::{Tensor, here};

/// The taps of a Gaussian window, with sum 1.
fn gaussian(size: usize, sigma: f64) -> Vec<f64> {
    let middle = (size as f64 - 1.0) / 2.0;
    let taps: Vec<f64> = (0..size).map(|i| (-0.5 * ((i as f64 - middle) / sigma).powi(2)).exp()).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|t| t / sum).collect()
}

/// Every channel of `[batch, height, width, channels]` convolved with taps along `axis` (1 or 2).
fn filtered(x: &Tensor, axis: usize, taps: &[f64], padding: Padding) -> Tensor {
    if x.error().is_some() {
        return x.clone();
    }
    let (extent, channels) = (x.shape()[axis], x.shape()[3]);
    // Without a pixel there is nothing to sum.
    if x.is_empty() && padding == Padding::Same {
        return x.clone();
    }
    if x.is_empty() && extent >= taps.len() {
        return x.slice_axis(axis as i64, 0, (extent - taps.len() + 1) as i64);
    }
    let window = if axis == 1 { [taps.len(), 1, 1, 1] } else { [1, taps.len(), 1, 1] };
    let mut shape = window;
    shape[3] = channels;
    let kernel = Tensor::table(taps, &window, x.dtype()).broadcast_to(&shape);
    x.conv(&kernel, &[1, 1], padding, &[1, 1], channels)
}

/// Images blurred by a Gaussian window, with zeros around them. As in Keras, the first number of `kernel_size` and `sigma` is
/// that of the columns, the second that of the rows; the defaults are 3 and 1.
///
/// # Errors
/// Where the rank is not 3 or 4, a size is 0, or sigma is not above 0.
#[track_caller]
pub fn gaussian_blur(
    images: &Tensor,
    kernel_size: [usize; 2],
    sigma: [f64; 2],
    data_format: DataFormat,
) -> Tensor {
    let at = here();
    let batch = match Batched::new("gaussian_blur", images, 2, data_format, at) {
        Ok(batch) => batch,
        Err(failed) => return failed,
    };
    let fits = check_table(&kernel_size).is_ok() && !kernel_size.contains(&0);
    if !fits || !sigma.iter().all(|s| *s > 0.0) {
        let message = format!("expected sizes ≥ 1 and sigmas > 0, received {kernel_size:?} and {sigma:?}");
        return Tensor::failed("gaussian_blur", message, at);
    }
    let x = batch.images.to_float();
    let rows = filtered(&x, 1, &gaussian(kernel_size[1], sigma[1]), Padding::Same);
    let both = filtered(&rows, 2, &gaussian(kernel_size[0], sigma[0]), Padding::Same);
    batch.restore(&both).part_of("gaussian_blur", at, std::slice::from_ref(images))
}

/// Sobel's derivatives of images, with zeros around them: a new last axis holds those along height and width.
///
/// # Errors
/// Where the rank is not 3 or 4.
#[track_caller]
pub fn sobel_edges(images: &Tensor, data_format: DataFormat) -> Tensor {
    let at = here();
    let batch = match Batched::new("sobel_edges", images, 2, data_format, at) {
        Ok(batch) => batch,
        Err(failed) => return failed,
    };
    let (smooth, slope) = ([1.0, 2.0, 1.0], [-1.0, 0.0, 1.0]);
    let x = batch.images.to_float();
    let along = |axis: usize, across: usize| {
        let edges = filtered(&filtered(&x, across, &smooth, Padding::Same), axis, &slope, Padding::Same);
        batch.restore(&edges)
    };
    let edges = Tensor::stack(&[along(1, 2), along(2, 1)], -1);
    edges.part_of("sobel_edges", at, std::slice::from_ref(images))
}

/// The window and the constants of [`ssim`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Pixels of the Gaussian window along height and width; 11.
    pub filter_size: usize,
    /// Its standard deviation in pixels; 1.5.
    pub filter_sigma: f64,
    /// Stabilises the luminance; 0.01.
    pub k1: f64,
    /// Stabilises the contrast; 0.03.
    pub k2: f64,
}

impl Default for Similarity {
    fn default() -> Similarity {
        Similarity { filter_size: 11, filter_sigma: 1.5, k1: 0.01, k2: 0.03 }
    }
}

/// Structural similarity of two images or batches (Wang et al. 2004), 1 for equal ones: one value an image. `max_val` is the
/// largest possible pixel, 1 by default in Keras.
///
/// # Errors
/// Where shapes differ, the rank is not 3 or 4, or the window does not fit.
#[track_caller]
pub fn ssim(
    image1: &Tensor,
    image2: &Tensor,
    max_val: impl Into<f64>,
    options: Similarity,
    data_format: DataFormat,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[image1, image2]) {
        return failed;
    }
    let fits = options.filter_size > 0 && check_table(&[options.filter_size; 2]).is_ok();
    if image1.shape() != image2.shape() || !fits {
        let message = format!(
            "expected images of one shape and a filter size ≥ 1 that fits them, received {:?}, {:?} and {}",
            image1.shape(),
            image2.shape(),
            options.filter_size
        );
        return Tensor::failed("ssim", message, at);
    }
    let batch = |images: &Tensor| Batched::new("ssim", &images.to_float(), 2, data_format, at);
    let pair = batch(image1).and_then(|a| Ok((a, batch(image2)?)));
    let (a, b) = match pair {
        Ok((a, b)) => (a.images, b.images),
        Err(failed) => return failed,
    };
    let max_val = max_val.into();
    let taps = gaussian(options.filter_size, options.filter_sigma);
    let blurred = |x: &Tensor| filtered(&filtered(x, 1, &taps, Padding::Valid), 2, &taps, Padding::Valid);
    let (c1, c2) = ((options.k1 * max_val).powi(2), (options.k2 * max_val).powi(2));
    let (mean_a, mean_b) = (blurred(&a), blurred(&b));
    let (square_a, square_b, product) = (mean_a.square(), mean_b.square(), &mean_a * &mean_b);
    let variances = blurred(&a.square()) - &square_a + blurred(&b.square()) - &square_b;
    let covariance = blurred(&(&a * &b)) - &product;
    let above = (product * 2.0 + c1) * (covariance * 2.0 + c2);
    let map = above / ((square_a + square_b + c1) * (variances + c2));
    let values = map.mean([1, 2, 3]);
    let values = if image1.rank() == 3 { values.squeeze(0) } else { values };
    values.cast(image1.dtype()).part_of("ssim", at, &[image1.clone(), image2.clone()])
}
