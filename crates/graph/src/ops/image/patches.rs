//! Cutting images: patches, crops, and their opposite, margins.

use std::fmt;

use crate::error::At;
use crate::ops::spatial::Batched;
use crate::ops::{DataFormat, Padding, PerAxis};
use crate::tensor::{Tensor, here};

/// Patches of images as channels: `[batch, height, width, channels]` to `[batch, rows, columns, size² · channels]`, the
/// patch in row-major order with its channels last. Strides `()` are the size, dilation rate `()` is 1.
///
/// # Errors
/// Where the rank is not 3 or 4, a number does not fit, or no patch does.
#[doc(alias = "im2col")]
#[track_caller]
pub fn extract_patches(
    images: &Tensor,
    size: impl Into<PerAxis>,
    strides: impl Into<PerAxis>,
    dilation_rate: impl Into<PerAxis>,
    padding: Padding,
    data_format: DataFormat,
) -> Tensor {
    let numbers = [size.into(), strides.into(), dilation_rate.into()];
    extracted("extract_patches", 2, images, &numbers, padding, data_format, here())
}

/// Patches of volumes as channels: `[batch, depth, height, width, channels]` to `[batch, .., size³ · channels]`; see
/// [`extract_patches`].
///
/// # Errors
/// As [`extract_patches`], for rank 4 or 5.
#[track_caller]
pub fn extract_patches_3d(
    volumes: &Tensor,
    size: impl Into<PerAxis>,
    strides: impl Into<PerAxis>,
    dilation_rate: impl Into<PerAxis>,
    padding: Padding,
    data_format: DataFormat,
) -> Tensor {
    let numbers = [size.into(), strides.into(), dilation_rate.into()];
    extracted("extract_patches_3d", 3, volumes, &numbers, padding, data_format, here())
}

fn extracted(
    op: &'static str,
    axes: usize,
    images: &Tensor,
    numbers: &[PerAxis; 3],
    padding: Padding,
    format: DataFormat,
    at: At,
) -> Tensor {
    let batch = match Batched::new(op, images, axes, format, at) {
        Ok(batch) => batch,
        Err(failed) => return failed,
    };
    let [size, strides, dilation] = numbers;
    let resolved = || -> Result<[Vec<usize>; 3], String> {
        if matches!(size, PerAxis::Default) || padding == Padding::Causal {
            return Err(format!(
                "expected a size and padding `valid` or `same`, received {} and {}",
                if matches!(size, PerAxis::Default) { "no size" } else { "a size" },
                if padding == Padding::Causal { "`causal`" } else { "a padding" }
            ));
        }
        let size = size.positive("size", axes, &[])?;
        let strides = strides.positive("strides", axes, &size)?;
        let dilation = dilation.positive("dilation_rate", axes, &vec![1; axes])?;
        Ok([size, strides, dilation])
    };
    let [size, strides, dilation] = match resolved() {
        Ok(resolved) => resolved,
        Err(message) => return Tensor::failed(op, message, at),
    };
    let mut amounts = vec![(0, 0); axes + 2];
    for i in 0..axes {
        amounts[i + 1] = padding.amounts(batch.images.shape()[i + 1], size[i], strides[i], dilation[i]);
    }
    let mut x = batch.images.pad(&amounts, 0.0);
    // [n, s0, s1, c] → [n, o0, w0, s1, c] → [n, o0, w0, o1, w1, c] → [n, o0, o1, w0, w1, c]
    for i in 0..axes {
        x = x.window(1 + 2 * i, size[i], strides[i], dilation[i]);
    }
    if x.error().is_none() && x.is_empty() && !images.is_empty() {
        let message =
            format!("computed output size would be zero: input {:?}, size {size:?}", images.shape());
        return Tensor::failed(op, message, at);
    }
    let axes = axes as i64;
    let order: Vec<i64> = [0]
        .into_iter()
        .chain((0..axes).map(|i| 1 + 2 * i))
        .chain((0..axes).map(|i| 2 + 2 * i))
        .chain([1 + 2 * axes])
        .collect();
    let patches = x.transpose(&order).flatten_from(1 + axes as usize);
    batch.restore(&patches).part_of(op, at, std::slice::from_ref(images))
}

/// Cells around an image, and its extents with them (padding) or without them (cropping). Of the two margins and the extent
/// along height, and along width, one is worked out from the others where it is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Margins {
    /// Rows above.
    pub top: Option<usize>,
    /// Columns to the left.
    pub left: Option<usize>,
    /// Rows below.
    pub bottom: Option<usize>,
    /// Columns to the right.
    pub right: Option<usize>,
    /// Rows of the result.
    pub height: Option<usize>,
    /// Columns of the result.
    pub width: Option<usize>,
}

impl fmt::Display for Margins {
    /// What is given, by name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("top", self.top),
            ("left", self.left),
            ("bottom", self.bottom),
            ("right", self.right),
            ("height", self.height),
            ("width", self.width),
        ];
        let given = all.iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value}")));
        write!(f, "{}", given.collect::<Vec<_>>().join(", "))
    }
}

/// Margins before and after an axis of `inner` cells that lie between `outer` cells, of which one may be missing; the
/// margins must fill the rest.
fn margins(
    before: Option<usize>,
    after: Option<usize>,
    outer: Option<usize>,
    inner: Option<usize>,
) -> Option<(usize, usize)> {
    let (before, after) = match (before, after, outer.zip(inner)) {
        (Some(before), Some(after), None) => return Some((before, after)),
        (Some(before), None, Some((outer, inner))) => {
            (before, outer.checked_sub(inner)?.checked_sub(before)?)
        }
        (None, Some(after), Some((outer, inner))) => (outer.checked_sub(inner)?.checked_sub(after)?, after),
        _ => return None,
    };
    Some((before, after))
}

/// The cells of a batch's axis `axis` (1 or 2) inside margins; the result of `None` says that the margins do not fit.
fn around(m: &Margins, axis: usize, extent: usize, crops: bool) -> Option<(usize, usize)> {
    let (before, after, target) =
        if axis == 1 { (m.top, m.bottom, m.height) } else { (m.left, m.right, m.width) };
    let (outer, inner) = if crops { (Some(extent), target) } else { (target, Some(extent)) };
    margins(before, after, outer.filter(|_| target.is_some()), inner)
}

/// Images without their margins. Exactly one of each axis' two margins and target extent must be `None`.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_graph::ops::{DataFormat, image};
/// let x = Tensor::range(12).reshape(&[3, 4, 1]);
/// let margins = image::Margins { top: Some(1), bottom: Some(0), left: Some(2), width: Some(1), ..Default::default() };
/// let y = image::crop_images(&x, margins, DataFormat::ChannelsLast);
/// assert_eq!(y.to_vec::<i32>()?, [6, 10]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where the rank is not 3 or 4, or the margins do not fit.
#[track_caller]
pub fn crop_images(images: &Tensor, margins: Margins, data_format: DataFormat) -> Tensor {
    framed("crop_images", images, &margins, data_format, true, here())
}

/// Images with zeros around them. Exactly one of each axis' two margins and target extent must be `None`.
///
/// # Errors
/// As [`crop_images`].
#[track_caller]
pub fn pad_images(images: &Tensor, margins: Margins, data_format: DataFormat) -> Tensor {
    framed("pad_images", images, &margins, data_format, false, here())
}

fn framed(
    op: &'static str,
    images: &Tensor,
    margins: &Margins,
    format: DataFormat,
    crops: bool,
    at: At,
) -> Tensor {
    let batch = match Batched::new(op, images, 2, format, at) {
        Ok(batch) => batch,
        Err(failed) => return failed,
    };
    let extents = batch.images.shape();
    let rows = around(margins, 1, extents[1], crops);
    let columns = around(margins, 2, extents[2], crops);
    let fits = |margin: &(usize, usize), extent: usize| {
        !crops || margin.0.checked_add(margin.1).is_some_and(|m| m <= extent)
    };
    let (rows, columns) = (rows.filter(|m| fits(m, extents[1])), columns.filter(|m| fits(m, extents[2])));
    let (Some(rows), Some(columns)) = (rows, columns) else {
        let message = format!(
            "expected two of both margins and the extent along height and along width, which fit images of {:?}, received \
             {margins}",
            images.shape()
        );
        return Tensor::failed(op, message, at);
    };
    let result = if crops {
        let inner = |t: &Tensor, axis: i64, (before, after): (usize, usize)| {
            t.slice_axis(axis, before as i64, (t.shape()[axis as usize] - after) as i64)
        };
        inner(&inner(&batch.images, 1, rows), 2, columns)
    } else {
        batch.images.pad(&[(0, 0), rows, columns, (0, 0)], 0.0)
    };
    batch.restore(&result).part_of(op, at, std::slice::from_ref(images))
}
