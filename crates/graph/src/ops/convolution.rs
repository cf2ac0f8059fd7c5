//! Convolutions under Keras' names: over one, two or three spatial axes, in either data format.

use super::contract::convolution;
use super::spatial::failed_of;
use super::{DataFormat, Padding, PerAxis};
use crate::error::At;
use crate::op::{ConvGeometry, ConvKind};
use crate::tensor::{Tensor, here};

/// Input and kernel of a convolution, and what is said for each spatial axis.
struct Spatial {
    inputs: Tensor,
    axes: usize,
    strides: Vec<usize>,
    dilations: Vec<usize>,
}

/// The input with channels last, and strides and dilations for each of its spatial axes.
fn spatial(
    inputs: &Tensor,
    kernel: &Tensor,
    strides: &PerAxis,
    dilations: &PerAxis,
    format: DataFormat,
) -> Result<Spatial, String> {
    let axes = inputs.rank().saturating_sub(2);
    if axes == 0 || kernel.rank() != inputs.rank() {
        return Err(format!(
            "expected input [n, spatial.., channels] and a kernel of the same rank, received input {:?} and kernel {:?}",
            inputs.shape(),
            kernel.shape()
        ));
    }
    let ones = vec![1; axes];
    let strides = strides.positive("strides", axes, &ones)?;
    let dilations = dilations.positive("dilation_rate", axes, &ones)?;
    Ok(Spatial { inputs: format.channels_last(inputs, axes), axes, strides, dilations })
}

/// Convolution: `output[n, o.., f] = Σ input[n, o · stride + w · dilation, c] · kernel[w.., c, f]`.
///
/// `inputs: [n, spatial.., channels]` (or channels first), `kernel: [window.., channels / groups, filters]`, result
/// `[n, spatial'.., filters]`. There are as many groups as the kernel's channels go into the input's. Strides and dilation
/// rate are one number or one for each spatial axis, `()` for 1.
///
/// ```
/// use kiln_graph::ops::{self, DataFormat};
/// use kiln_graph::{Padding, Tensor};
/// let x = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[1, 4, 1]);
/// let kernel = Tensor::from_vec(&[1.0f32, 10.0], &[2, 1, 1]);
/// let y = ops::conv(&x, &kernel, (), Padding::Valid, DataFormat::ChannelsLast, ());
/// assert_eq!(y.to_vec::<f32>()?, [21.0, 32.0, 43.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where ranks or channels do not fit, or no window does.
#[doc(alias("conv1d", "conv2d", "conv3d", "convolution"))]
#[track_caller]
pub fn conv(
    inputs: &Tensor,
    kernel: &Tensor,
    strides: impl Into<PerAxis>,
    padding: Padding,
    data_format: DataFormat,
    dilation_rate: impl Into<PerAxis>,
) -> Tensor {
    let (at, strides, dilations) = (here(), strides.into(), dilation_rate.into());
    if let Some(failed) = failed_of(&[inputs, kernel]) {
        return failed;
    }
    let s = match spatial(inputs, kernel, &strides, &dilations, data_format) {
        Ok(spatial) => spatial,
        Err(message) => return Tensor::failed("conv", message, at),
    };
    let (channels, of_kernel) = (s.inputs.shape()[s.axes + 1], kernel.shape()[s.axes]);
    if of_kernel == 0 || !channels.is_multiple_of(of_kernel) {
        let message = format!(
            "the number of input channels must be divisible by the kernel's, received {channels} and {of_kernel}"
        );
        return Tensor::failed("conv", message, at);
    }
    let groups = (channels / of_kernel).max(1);
    let result = s.inputs.conv(kernel, &s.strides, padding, &s.dilations, groups);
    data_format.restore(&result.part_of("conv", at, &[inputs.clone(), kernel.clone()]), s.axes)
}

/// Convolution of each channel apart: `inputs: [n, spatial.., channels]`, `kernel: [window.., channels, multiplier]`,
/// result `[n, spatial'.., channels · multiplier]`. Strides and dilation rate as in [`conv`].
///
/// # Errors
/// As [`conv`].
#[doc(alias = "depthwise_conv2d")]
#[track_caller]
pub fn depthwise_conv(
    inputs: &Tensor,
    kernel: &Tensor,
    strides: impl Into<PerAxis>,
    padding: Padding,
    data_format: DataFormat,
    dilation_rate: impl Into<PerAxis>,
) -> Tensor {
    let (at, strides, dilations) = (here(), strides.into(), dilation_rate.into());
    if let Some(failed) = failed_of(&[inputs, kernel]) {
        return failed;
    }
    let s = match spatial(inputs, kernel, &strides, &dilations, data_format) {
        Ok(spatial) => spatial,
        Err(message) => return Tensor::failed("depthwise_conv", message, at),
    };
    let (channels, of_kernel) = (s.inputs.shape()[s.axes + 1], kernel.shape()[s.axes]);
    let filters = channels.checked_mul(kernel.shape()[s.axes + 1]);
    let Some(filters) = filters.filter(|_| channels == of_kernel && channels > 0) else {
        let message =
            format!("the number of input channels must be the kernel's, received {channels} and {of_kernel}");
        return Tensor::failed("depthwise_conv", message, at);
    };
    let grouped = kernel.reshape_at([&kernel.shape()[..s.axes], &[1, filters]].concat(), at);
    let result = s.inputs.conv(&grouped, &s.strides, padding, &s.dilations, channels);
    data_format.restore(&result.part_of("depthwise_conv", at, &[inputs.clone(), kernel.clone()]), s.axes)
}

/// [`depthwise_conv`] followed by a [`conv`] whose window is one cell: `pointwise_kernel: [1.., channels · multiplier,
/// filters]`.
///
/// # Errors
/// As [`conv`].
#[track_caller]
pub fn separable_conv(
    inputs: &Tensor,
    depthwise_kernel: &Tensor,
    pointwise_kernel: &Tensor,
    strides: impl Into<PerAxis>,
    padding: Padding,
    data_format: DataFormat,
    dilation_rate: impl Into<PerAxis>,
) -> Tensor {
    let at = here();
    let deep = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate);
    let whole = conv(&deep, pointwise_kernel, (), Padding::Valid, data_format, ());
    let given = [inputs.clone(), depthwise_kernel.clone(), pointwise_kernel.clone()];
    whole.part_of("separable_conv", at, &given)
}

/// Cells that a transposed convolution cuts off before and after its full result; negative ones are added, as zeros.
fn cut(window: usize, stride: usize, padding: Padding, output_padding: Option<usize>) -> (i64, i64) {
    let (window, stride) = (window as i64, stride as i64);
    let extra = output_padding.map(|p| p as i64);
    let (before, after) = match padding {
        Padding::Same => {
            // Keras: `input · stride` cells, or `(input − 1) · stride + window % 2 + output_padding`.
            let all = extra.map_or(stride + window - 2, |p| window + window % 2 - 2 + p);
            let before = (all.div_euclid(2) + all.rem_euclid(2)).min(window - 1);
            (before, all - before)
        }
        // `(input − 1) · stride + max(window, stride)` cells, or `.. + window + output_padding`.
        _ => (window - 1, window - 1 + extra.unwrap_or((stride - window).max(0))),
    };
    (window - 1 - before, window - 1 - after)
}

/// The transpose of a convolution (its gradient with respect to the input): `inputs: [n, spatial.., channels]`,
/// `kernel: [window.., filters, channels]`, result `[n, spatial'.., filters]`.
///
/// Padding `valid` gives `(extent − 1) · stride + window + output_padding` cells (by default as many as the larger of window
/// and stride), `same` gives `extent · stride`, or with output padding `(extent − 1) · stride + window % 2 +
/// output_padding`. Strides and dilation rate as in [`conv`]; `output_padding` `()` is Keras' `None`.
///
/// # Errors
/// As [`conv`], and for padding `causal`.
#[doc(alias("conv2d_transpose", "deconvolution"))]
#[track_caller]
pub fn conv_transpose(
    inputs: &Tensor,
    kernel: &Tensor,
    strides: impl Into<PerAxis>,
    padding: Padding,
    output_padding: impl Into<PerAxis>,
    data_format: DataFormat,
    dilation_rate: impl Into<PerAxis>,
) -> Tensor {
    let (at, strides, dilations) = (here(), strides.into(), dilation_rate.into());
    if let Some(failed) = failed_of(&[inputs, kernel]) {
        return failed;
    }
    let made = spatial(inputs, kernel, &strides, &dilations, data_format)
        .and_then(|s| transposed(&s, kernel, padding, &output_padding.into(), at).map(|y| (s.axes, y)));
    match made {
        Ok((axes, result)) => data_format.restore(&result, axes),
        Err(message) => Tensor::failed("conv_transpose", message, at),
    }
}

fn transposed(
    s: &Spatial,
    kernel: &Tensor,
    padding: Padding,
    output_padding: &PerAxis,
    at: At,
) -> Result<Tensor, String> {
    let (x, w, axes) = (s.inputs.shape(), kernel.shape(), s.axes);
    if padding == Padding::Causal {
        return Err("expected padding `valid` or `same`, received `causal`".into());
    }
    if x[axes + 1] != w[axes + 1] {
        return Err(format!(
            "the number of input channels must be the kernel's last extent, received input {x:?} and kernel {w:?}"
        ));
    }
    let extra = match output_padding {
        PerAxis::Default => vec![None; axes],
        given => given.resolve("output_padding", axes, &[])?.into_iter().map(Some).collect(),
    };
    let mut numbers = s.strides.iter().chain(&s.dilations).chain(extra.iter().flatten());
    if let Some(huge) = numbers.find(|n| i32::try_from(**n).is_err()) {
        return Err(format!(
            "expected strides, dilation rates and output padding below 2³¹, received {huge}"
        ));
    }
    let mut geometry = ConvGeometry {
        input: vec![],
        kernel: w[..axes].to_vec(),
        strides: s.strides.clone(),
        dilations: s.dilations.clone(),
        padding: vec![],
        groups: 1,
    };
    let mut added = vec![(0, 0); axes + 2];
    for i in 0..axes {
        let window = w[i].checked_sub(1).and_then(|n| n.checked_mul(s.dilations[i])?.checked_add(1));
        let reach = x[i + 1].checked_sub(1).and_then(|n| n.checked_mul(s.strides[i]));
        let full = window.and_then(|n| i64::try_from(n.checked_add(reach?)?).ok());
        let (Some(window), Some(full)) = (window, full) else {
            return Err(format!(
                "expected at least one cell of input and kernel, and a result of fewer than 2⁶³, received input {x:?} and \
                 kernel {w:?}; no cells can be transposed"
            ));
        };
        let (before, after) = cut(window, s.strides[i], padding, extra[i]);
        let extent = full - before.max(0) - after.max(0);
        if extent < 0 || extent + (-after).max(0) <= 0 {
            return Err(format!(
                "computed output size would be zero or negative: input {x:?}, kernel {w:?}, strides {:?}, padding \
                 {padding:?}, output padding {output_padding:?}",
                s.strides
            ));
        }
        geometry.input.push(extent as usize);
        geometry.padding.push((before.max(0) as usize, after.max(0) as usize));
        added[i + 1] = ((-before).max(0) as usize, (-after).max(0) as usize);
    }
    let shape = [&x[..1], &geometry.input, &[w[axes]]].concat();
    let result = convolution([&s.inputs, kernel], ConvKind::InputGradient, geometry, shape, at);
    Ok(result.pad(&added, 0.0).part_of("conv_transpose", at, &[]))
}
