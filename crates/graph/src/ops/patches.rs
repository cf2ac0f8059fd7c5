//! Blocks of space: sliding blocks as columns and back, and depth as space.

use super::spatial::failed_of;
use super::{DataFormat, PerAxis};
use crate::error::At;
use crate::op::{Op, window_count};
use crate::tensor::{Tensor, here};

/// What `fold` and `unfold` say about an image's two axes.
struct Blocks {
    kernel: Vec<usize>,
    dilation: Vec<usize>,
    padding: Vec<usize>,
    stride: Vec<usize>,
}

impl Blocks {
    fn new(kernel: PerAxis, dilation: PerAxis, padding: PerAxis, stride: PerAxis) -> Result<Blocks, String> {
        Ok(Blocks {
            kernel: kernel.positive("kernel_size", 2, &[1, 1])?,
            dilation: dilation.positive("dilation", 2, &[1, 1])?,
            padding: padding.resolve("padding", 2, &[0, 0])?,
            stride: stride.positive("stride", 2, &[1, 1])?,
        })
    }

    /// Padded extents and numbers of blocks of an image; `None` where one does not fit or overflows.
    fn counts(&self, image: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
        let padded: Option<Vec<usize>> =
            (0..2).map(|i| image[i].checked_add(self.padding[i].checked_mul(2)?)).collect();
        let padded = padded?;
        let count = |i: usize| window_count(padded[i], self.kernel[i], self.stride[i], self.dilation[i]);
        let counts = vec![count(0), count(1)];
        (!counts.contains(&0)).then_some((padded, counts))
    }
}

/// Sliding blocks of images as columns (im2col): `[n, c, h, w]` to `[n, c · kernel cells, blocks]`, channels first as in
/// Keras. `()` stands for dilation 1, padding 0, stride 1.
///
/// # Errors
/// Where the rank is not 4, a number is 0, or no block fits.
#[doc(alias = "im2col")]
#[track_caller]
pub fn unfold(
    x: &Tensor,
    kernel_size: impl Into<PerAxis>,
    dilation: impl Into<PerAxis>,
    padding: impl Into<PerAxis>,
    stride: impl Into<PerAxis>,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    match Blocks::new(kernel_size.into(), dilation.into(), padding.into(), stride.into()) {
        Ok(blocks) => unfolded(x, &blocks, at),
        Err(message) => Tensor::failed("unfold", message, at),
    }
}

fn unfolded(x: &Tensor, b: &Blocks, at: At) -> Tensor {
    let counts = if x.rank() == 4 { b.counts(&x.shape()[2..]) } else { None };
    let Some((_, counts)) = counts else {
        let message = format!(
            "expected images [n, channels, height, width] with room for a block of {:?} with dilation {:?}, received \
             {:?}, padding {:?}",
            b.kernel,
            b.dilation,
            x.shape(),
            b.padding
        );
        return Tensor::failed("unfold", message, at);
    };
    let (n, c) = (x.shape()[0], x.shape()[1]);
    let around = |i: usize| (b.padding[i], b.padding[i]);
    let padded = x.pad(&[(0, 0), (0, 0), around(0), around(1)], 0.0);
    // [n, c, h, w] → [n, c, rows, kh, columns, kw] → [n, c, kh, kw, rows, columns]
    let windows = padded
        .window(2, b.kernel[0], b.stride[0], b.dilation[0])
        .window(4, b.kernel[1], b.stride[1], b.dilation[1])
        .transpose(&[0, 1, 3, 5, 2, 4]);
    let cells = c.saturating_mul(b.kernel[0]).saturating_mul(b.kernel[1]);
    windows.reshape_at(vec![n, cells, counts[0].saturating_mul(counts[1])], at).part_of(
        "unfold",
        at,
        std::slice::from_ref(x),
    )
}

/// Columns of sliding blocks added up where they stood (col2im), the transpose of [`unfold`]: `[n, c · kernel cells,
/// blocks]` to `[n, c, height, width]`.
///
/// # Errors
/// Where the rank is not 3, or the extents are not those that [`unfold`] gives for an image of `output_size`.
#[doc(alias = "col2im")]
#[track_caller]
pub fn fold(
    x: &Tensor,
    output_size: impl Into<PerAxis>,
    kernel_size: impl Into<PerAxis>,
    dilation: impl Into<PerAxis>,
    padding: impl Into<PerAxis>,
    stride: impl Into<PerAxis>,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    let blocks = Blocks::new(kernel_size.into(), dilation.into(), padding.into(), stride.into());
    let size = output_size.into().positive("output_size", 2, &[]);
    match blocks.and_then(|b| size.map(|s| (b, s))) {
        Ok((blocks, size)) if size.len() == 2 => folded(x, &blocks, &size, at),
        Ok(_) => Tensor::failed("fold", "expected an output size, received none".into(), at),
        Err(message) => Tensor::failed("fold", message, at),
    }
}

fn folded(x: &Tensor, b: &Blocks, size: &[usize], at: At) -> Tensor {
    let cells = b.kernel[0].saturating_mul(b.kernel[1]);
    let fits = |(_, counts): &(Vec<usize>, Vec<usize>)| {
        x.rank() == 3
            && x.shape()[1].is_multiple_of(cells)
            && counts[0].checked_mul(counts[1]) == Some(x.shape()[2])
    };
    let Some((padded, counts)) = b.counts(size).filter(fits) else {
        let message = format!(
            "expected columns [n, channels · {cells}, blocks] as `unfold` gives them for an image of {size:?}, received {:?}",
            x.shape()
        );
        return Tensor::failed("fold", message, at);
    };
    let (n, c) = (x.shape()[0], x.shape()[1] / cells);
    let shape = vec![n, c, b.kernel[0], b.kernel[1], counts[0], counts[1]];
    let windows = x.reshape_at(shape, at).transpose(&[0, 1, 4, 2, 5, 3]);
    let laid = |t: &Tensor, axis: usize, i: usize| {
        let mut shape = t.shape().to_vec();
        shape[axis] = padded[i];
        let op = Op::Unwindow { axis, length: padded[i], stride: b.stride[i], dilation: b.dilation[i] };
        Tensor::op(op, vec![t.clone()], shape, t.dtype(), at).sum([axis as i64 + 1])
    };
    let image = laid(&laid(&windows, 4, 1), 2, 0);
    let inner = |t: &Tensor, i: usize| {
        let start = b.padding[i] as i64;
        t.slice_axis(2 + i as i64, start, start + size[i] as i64)
    };
    inner(&inner(&image, 0), 1).part_of("fold", at, std::slice::from_ref(x))
}

/// Blocks of channels laid out in space (pixel shuffle): `[n, h, w, c · block²]` to `[n, h · block, w · block, c]`.
///
/// As in Keras, the channel of a block's cell stands at `(row · block + column) · c + channel` with channels last, and at
/// `(channel · block + row) · block + column` with channels first.
///
/// # Errors
/// Where the rank is not 4 or the channels do not divide by `block_size²`.
#[doc(alias = "pixel_shuffle")]
#[track_caller]
pub fn depth_to_space(x: &Tensor, block_size: usize, data_format: DataFormat) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    let channels = if data_format == DataFormat::ChannelsLast { 3 } else { 1 };
    let area = block_size.checked_mul(block_size).filter(|a| *a > 0);
    let area = area.filter(|a| x.rank() == 4 && x.shape()[channels].is_multiple_of(*a));
    let Some(area) = area else {
        let message = format!(
            "expected images whose channels divide by block size {block_size} squared, received {:?}, \
             {data_format}",
            x.shape()
        );
        return Tensor::failed("depth_to_space", message, at);
    };
    let (s, b) = (x.shape(), block_size);
    let grown = |extent: usize| extent.saturating_mul(b);
    let (split, order, merged) = match data_format {
        DataFormat::ChannelsLast => {
            let c = s[3] / area;
            let merged = vec![s[0], grown(s[1]), grown(s[2]), c];
            (vec![s[0], s[1], s[2], b, b, c], [0, 1, 3, 2, 4, 5], merged)
        }
        DataFormat::ChannelsFirst => {
            let c = s[1] / area;
            let merged = vec![s[0], c, grown(s[2]), grown(s[3])];
            (vec![s[0], c, b, b, s[2], s[3]], [0, 1, 4, 2, 5, 3], merged)
        }
    };
    rearranged("depth_to_space", x, split, &order, merged, at)
}

/// Blocks of space as channels, the inverse of [`depth_to_space`]: `[n, h, w, c]` to `[n, h / block, w / block,
/// c · block²]`.
///
/// # Errors
/// Where the rank is not 4 or height and width do not divide by the block size.
#[doc(alias = "pixel_unshuffle")]
#[track_caller]
pub fn space_to_depth(x: &Tensor, block_size: usize, data_format: DataFormat) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[x]) {
        return failed;
    }
    let first = if data_format == DataFormat::ChannelsLast { 1 } else { 2 };
    let divides = |axis: usize| x.shape()[axis].is_multiple_of(block_size);
    if block_size == 0 || x.rank() != 4 || !divides(first) || !divides(first + 1) {
        let message = format!(
            "expected images whose height and width divide by block size {block_size}, received {:?}, \
             {data_format}",
            x.shape()
        );
        return Tensor::failed("space_to_depth", message, at);
    }
    let (s, b) = (x.shape(), block_size);
    let deep = |channels: usize| channels.saturating_mul(b).saturating_mul(b);
    let (split, order, merged) = match data_format {
        DataFormat::ChannelsLast => {
            let merged = vec![s[0], s[1] / b, s[2] / b, deep(s[3])];
            (vec![s[0], s[1] / b, b, s[2] / b, b, s[3]], [0, 1, 3, 2, 4, 5], merged)
        }
        DataFormat::ChannelsFirst => {
            let merged = vec![s[0], deep(s[1]), s[2] / b, s[3] / b];
            (vec![s[0], s[1], s[2] / b, b, s[3] / b, b], [0, 1, 3, 5, 2, 4], merged)
        }
    };
    rearranged("space_to_depth", x, split, &order, merged, at)
}

fn rearranged(
    op: &'static str,
    x: &Tensor,
    split: Vec<usize>,
    order: &[i64],
    merged: Vec<usize>,
    at: At,
) -> Tensor {
    let moved = x.reshape_at(split, at).transpose(order);
    let moved = if moved.error().is_some() { moved } else { moved.reshape_at(merged, at) };
    moved.part_of(op, at, std::slice::from_ref(x))
}
