//! Pooling under Keras' names, over one, two or three spatial axes, in either data format.

use super::spatial::{check_table, failed_of};
use super::{DataFormat, Padding, PerAxis};
use crate::tensor::{Tensor, here};

/// Input with channels last, pool sizes and strides; or what is wrong.
fn parts(
    inputs: &Tensor,
    pool_size: &PerAxis,
    strides: &PerAxis,
    padding: Padding,
    format: DataFormat,
) -> Result<(Tensor, Vec<usize>, Vec<usize>), String> {
    let axes = inputs.rank().saturating_sub(2);
    if axes == 0 {
        return Err(format!("expected input [n, spatial.., channels], received {:?}", inputs.shape()));
    }
    if padding == Padding::Causal {
        return Err("expected padding `valid` or `same`, received `causal`".into());
    }
    let pool = pool_size.positive("pool_size", axes, &vec![2; axes])?;
    let strides = strides.positive("strides", axes, &pool)?;
    Ok((format.channels_last(inputs, axes), pool, strides))
}

/// The largest element of sliding windows: `[n, spatial.., channels]` to `[n, windows.., channels]`, or channels first.
///
/// Strides `()` are the pool size. The gradient goes to the first largest element of a window.
///
/// # Errors
/// Where the sizes do not fit the spatial axes, or no window fits.
#[doc(alias = "max_pool2d")]
#[track_caller]
pub fn max_pool(
    inputs: &Tensor,
    pool_size: impl Into<PerAxis>,
    strides: impl Into<PerAxis>,
    padding: Padding,
    data_format: DataFormat,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[inputs]) {
        return failed;
    }
    match parts(inputs, &pool_size.into(), &strides.into(), padding, data_format) {
        Ok((x, pool, strides)) => {
            let result = x.max_pool(&pool, &strides, padding);
            data_format.restore(&result, pool.len()).part_of("max_pool", at, std::slice::from_ref(inputs))
        }
        Err(message) => Tensor::failed("max_pool", message, at),
    }
}

/// The mean of sliding windows, in which padded cells do not count; see [`max_pool`].
///
/// # Errors
/// As [`max_pool`].
#[doc(alias("avg_pool", "avg_pool2d"))]
#[track_caller]
pub fn average_pool(
    inputs: &Tensor,
    pool_size: impl Into<PerAxis>,
    strides: impl Into<PerAxis>,
    padding: Padding,
    data_format: DataFormat,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[inputs]) {
        return failed;
    }
    match parts(inputs, &pool_size.into(), &strides.into(), padding, data_format) {
        Ok((x, pool, strides)) => {
            let result = x.to_float().average_pool(&pool, &strides, padding);
            data_format.restore(&result, pool.len()).part_of("average_pool", at, std::slice::from_ref(inputs))
        }
        Err(message) => Tensor::failed("average_pool", message, at),
    }
}

/// Windows of different sizes that divide an axis of `extent` cells into `count` parts: from `floor(i · extent / count)`
/// up to `ceil((i + 1) · extent / count)`. Gives the cell of each place in each window, and whether the place counts.
struct Parts {
    /// `int32 [count · most]`.
    cells: Tensor,
    /// `bool [count, most, 1]`.
    counts: Tensor,
    /// `float32 [count, 1]`: 1 / the size of each window.
    share: Vec<f64>,
    most: usize,
}

impl Parts {
    fn new(extent: usize, count: usize) -> Parts {
        let bounds = |i: usize| {
            let (i, extent, count) = (i as u128, extent as u128, count as u128);
            ((i * extent / count) as usize, ((i + 1) * extent).div_ceil(count) as usize)
        };
        let sizes: Vec<usize> = (0..count).map(|i| bounds(i).1 - bounds(i).0).collect();
        let most = sizes.iter().copied().max().unwrap_or(1);
        let place = |i: usize, j: usize| (bounds(i).0 + j).min(extent - 1) as i32;
        let cells: Vec<i32> = (0..count).flat_map(|i| (0..most).map(move |j| place(i, j))).collect();
        let counts: Vec<bool> = sizes.iter().flat_map(|size| (0..most).map(move |j| j < *size)).collect();
        let share: Vec<f64> = sizes.iter().map(|size| 1.0 / *size as f64).collect();
        Parts {
            cells: Tensor::from_slice(&cells),
            counts: Tensor::from_vec(counts, &[count, most, 1]),
            share,
            most,
        }
    }
}

fn adaptive(
    op: &'static str,
    inputs: &Tensor,
    output_size: &PerAxis,
    format: DataFormat,
    fold: fn(&Tensor, &Parts) -> Tensor,
) -> Result<Tensor, String> {
    let axes = inputs.rank().saturating_sub(2);
    let fits = |x: &Tensor| axes > 0 && !x.shape()[1..=axes].contains(&0);
    let mut x = if axes > 0 { format.channels_last(inputs, axes) } else { inputs.clone() };
    if !fits(&x) {
        return Err(format!(
            "expected input [n, spatial.., channels] with spatial extents ≥ 1, received {:?}",
            inputs.shape()
        ));
    }
    let sizes = match output_size {
        PerAxis::Default => return Err("expected an output size, received none".into()),
        given => given.positive("output_size", axes, &[])?,
    };
    for (i, count) in sizes.iter().enumerate() {
        let shape = x.shape().to_vec();
        let most = (shape[i + 1] / count).saturating_add(2);
        check_table(&[*count, most])?;
        let parts = Parts::new(shape[i + 1], *count);
        // [lead.., count · most, trail] → [lead.., count, most, trail]
        let lead: usize = shape[..=i].iter().product();
        let trail: usize = shape[i + 2..].iter().product();
        let flat = x.reshape(&[lead as i64, shape[i + 1] as i64, trail as i64]).take(&parts.cells, 1);
        let windows = flat.reshape(&[lead as i64, *count as i64, parts.most as i64, trail as i64]);
        let mut folded = shape;
        folded[i + 1] = *count;
        let folded: Vec<i64> = folded.iter().map(|d| *d as i64).collect();
        x = fold(&windows, &parts).reshape(&folded);
    }
    Ok(format.restore(&x, axes).part_of(op, inputs.node.at, std::slice::from_ref(inputs)))
}

/// Means of windows that divide each spatial axis into `output_size` parts; part i of an axis goes from
/// `floor(i · extent / size)` up to `ceil((i + 1) · extent / size)`.
///
/// # Errors
/// Where the output sizes do not fit the spatial axes, or one of these is empty.
#[track_caller]
pub fn adaptive_average_pool(
    inputs: &Tensor,
    output_size: impl Into<PerAxis>,
    data_format: DataFormat,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[inputs]) {
        return failed;
    }
    let mean = |windows: &Tensor, parts: &Parts| {
        Tensor::select(&parts.counts, windows, 0.0).sum([2])
            * Tensor::table(&parts.share, &[parts.share.len(), 1], windows.dtype())
    };
    adaptive("adaptive_average_pool", &inputs.to_float(), &output_size.into(), data_format, mean)
        .unwrap_or_else(|message| Tensor::failed("adaptive_average_pool", message, at))
}

/// Largest elements of windows that divide each spatial axis into `output_size` parts, as in [`adaptive_average_pool`]. Of
/// several, the gradient goes to the first along each axis, the axes in their order.
///
/// # Errors
/// As [`adaptive_average_pool`].
#[track_caller]
pub fn adaptive_max_pool(
    inputs: &Tensor,
    output_size: impl Into<PerAxis>,
    data_format: DataFormat,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[inputs]) {
        return failed;
    }
    let largest = |windows: &Tensor, parts: &Parts| {
        let lowest = Tensor::full(&[], f64::NEG_INFINITY, windows.dtype());
        Tensor::select(&parts.counts, windows, lowest).first_largest()
    };
    adaptive("adaptive_max_pool", inputs, &output_size.into(), data_format, largest)
        .unwrap_or_else(|message| Tensor::failed("adaptive_max_pool", message, at))
}
