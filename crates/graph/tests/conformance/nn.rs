//! `keras.ops.nn`.

use kiln_graph::Padding;
use kiln_graph::ops::{self, CtcStrategy, DataFormat, PerAxis};

use crate::Run;
use crate::call::Call;

/// A number, a list of them, or the default where it is missing.
pub(crate) fn per_axis(c: &Call<'_>, name: &str) -> PerAxis {
    if c.has(name) {
        let sizes = c.sizes(name);
        if c.arg(name).is_array() { PerAxis::Each(sizes) } else { PerAxis::All(sizes[0]) }
    } else {
        PerAxis::Default
    }
}

pub(crate) fn padding(c: &Call<'_>) -> Padding {
    c.text("padding").parse().expect("a padding")
}

pub(crate) fn format(c: &Call<'_>) -> DataFormat {
    c.text_or("data_format", "channels_last").parse().expect("a data format")
}

fn float(c: &Call<'_>, name: &str) -> f64 {
    c.float(name)
}

fn strategy(c: &Call<'_>) -> CtcStrategy {
    match c.text("strategy") {
        "greedy" => CtcStrategy::Greedy { merge_repeated: c.flag("merge_repeated") },
        _ => CtcStrategy::BeamSearch {
            beam_width: c.int("beam_width") as usize,
            top_paths: c.int("top_paths") as usize,
        },
    }
}

fn attention(c: &Call<'_>) -> kiln_graph::Tensor {
    let (bias, mask) = (c.flag("has_bias"), c.flag("has_mask"));
    let scale = c.has("scale").then(|| c.float("scale"));
    let bias_input = bias.then(|| c.x(3));
    let mask_input = mask.then(|| c.x(3 + usize::from(bias)));
    ops::dot_product_attention(c.x(0), c.x(1), c.x(2), bias_input, mask_input, scale, c.flag("is_causal"))
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("adaptive_average_pool", |c| {
        vec![ops::adaptive_average_pool(c.x(0), per_axis(c, "output_size"), format(c))]
    }),
    ("adaptive_max_pool", |c| vec![ops::adaptive_max_pool(c.x(0), per_axis(c, "output_size"), format(c))]),
    ("average_pool", |c| {
        let (size, strides) = (per_axis(c, "pool_size"), per_axis(c, "strides"));
        vec![ops::average_pool(c.x(0), size, strides, padding(c), format(c))]
    }),
    ("batch_normalization", |c| {
        let (offset, scale) = (c.inputs().get(3), c.inputs().get(4));
        let (axis, epsilon) = (c.int("axis"), float(c, "epsilon"));
        vec![ops::batch_normalization(c.x(0), c.x(1), c.x(2), axis, offset, scale, epsilon)]
    }),
    ("binary_crossentropy", |c| vec![ops::binary_crossentropy(c.x(0), c.x(1), c.flag("from_logits"))]),
    ("categorical_crossentropy", |c| {
        vec![ops::categorical_crossentropy(c.x(0), c.x(1), c.flag("from_logits"), c.int("axis"))]
    }),
    ("celu", |c| vec![ops::celu(c.x(0), float(c, "alpha"))]),
    ("conv", |c| {
        let (strides, dilation) = (per_axis(c, "strides"), per_axis(c, "dilation_rate"));
        vec![ops::conv(c.x(0), c.x(1), strides, padding(c), format(c), dilation)]
    }),
    ("conv_transpose", |c| {
        let (strides, dilation) = (per_axis(c, "strides"), per_axis(c, "dilation_rate"));
        let extra = per_axis(c, "output_padding");
        vec![ops::conv_transpose(c.x(0), c.x(1), strides, padding(c), extra, format(c), dilation)]
    }),
    ("ctc_decode", |c| {
        let (labels, scores) = ops::ctc_decode(c.x(0), c.x(1), strategy(c), c.int("mask_index") as usize);
        vec![labels, scores]
    }),
    ("ctc_loss", |c| vec![ops::ctc_loss(c.x(0), c.x(1), c.x(2), c.x(3), c.int("mask_index") as usize)]),
    ("depth_to_space", |c| vec![ops::depth_to_space(c.x(0), c.int("block_size") as usize, format(c))]),
    ("depthwise_conv", |c| {
        let (strides, dilation) = (per_axis(c, "strides"), per_axis(c, "dilation_rate"));
        vec![ops::depthwise_conv(c.x(0), c.x(1), strides, padding(c), format(c), dilation)]
    }),
    ("dot_product_attention", |c| vec![attention(c)]),
    ("elu", |c| vec![ops::elu(c.x(0), float(c, "alpha"))]),
    ("fold", |c| {
        let (dilation, padding, stride) = (per_axis(c, "dilation"), per_axis(c, "padding"), per_axis(c, "stride"));
        let (output, kernel) = (per_axis(c, "output_size"), per_axis(c, "kernel_size"));
        vec![ops::fold(c.x(0), output, kernel, dilation, padding, stride)]
    }),
    ("gelu", |c| vec![ops::gelu(c.x(0), c.flag("approximate"))]),
    ("glu", |c| vec![ops::glu(c.x(0), c.int("axis"))]),
    ("hard_shrink", |c| vec![ops::hard_shrink(c.x(0), float(c, "threshold"))]),
    ("hard_sigmoid", |c| vec![ops::hard_sigmoid(c.x(0))]),
    ("hard_silu", |c| vec![ops::hard_silu(c.x(0))]),
    ("hard_tanh", |c| vec![ops::hard_tanh(c.x(0))]),
    ("layer_normalization", |c| {
        let (gamma, beta) = (c.inputs().get(1), c.inputs().get(2));
        vec![ops::layer_normalization(c.x(0), gamma, beta, c.axes("axis"), float(c, "epsilon"))]
    }),
    ("leaky_relu", |c| vec![ops::leaky_relu(c.x(0), float(c, "negative_slope"))]),
    ("log_sigmoid", |c| vec![ops::log_sigmoid(c.x(0))]),
    ("log_softmax", |c| vec![ops::log_softmax(c.x(0), c.axes("axis"))]),
    ("max_pool", |c| {
        let (size, strides) = (per_axis(c, "pool_size"), per_axis(c, "strides"));
        vec![ops::max_pool(c.x(0), size, strides, padding(c), format(c))]
    }),
    ("moments", |c| {
        let (mean, variance) = ops::moments(c.x(0), c.axes("axes"), c.flag("keepdims"));
        vec![mean, variance]
    }),
    ("multi_hot", |c| {
        vec![ops::multi_hot(c.x(0), c.int("num_classes") as usize, c.int("axis"), c.dtype("dtype"))]
    }),
    ("normalize", |c| {
        vec![ops::normalize(c.x(0), c.axes("axis"), c.int("order") as u32, float(c, "epsilon"))]
    }),
    ("one_hot", |c| {
        vec![ops::one_hot(c.x(0), c.int("num_classes") as usize, c.int("axis"), c.dtype("dtype"))]
    }),
    ("polar", |c| {
        let (real, imaginary) = ops::polar(c.x(0), c.x(1));
        vec![real, imaginary]
    }),
    ("psnr", |c| vec![ops::psnr(c.x(0), c.x(1), float(c, "max_val"))]),
    ("relu", |c| vec![ops::relu(c.x(0))]),
    ("relu6", |c| vec![ops::relu6(c.x(0))]),
    ("rms_normalization", |c| {
        vec![ops::rms_normalization(c.x(0), c.inputs().get(1), c.axes("axis"), float(c, "epsilon"))]
    }),
    ("selu", |c| vec![ops::selu(c.x(0))]),
    ("separable_conv", |c| {
        let (strides, dilation) = (per_axis(c, "strides"), per_axis(c, "dilation_rate"));
        vec![ops::separable_conv(c.x(0), c.x(1), c.x(2), strides, padding(c), format(c), dilation)]
    }),
    ("sigmoid", |c| vec![ops::sigmoid(c.x(0))]),
    ("silu", |c| vec![ops::silu(c.x(0))]),
    ("soft_shrink", |c| vec![ops::soft_shrink(c.x(0), float(c, "threshold"))]),
    ("softmax", |c| vec![ops::softmax(c.x(0), c.axes("axis"))]),
    ("softplus", |c| vec![ops::softplus(c.x(0))]),
    ("softsign", |c| vec![ops::softsign(c.x(0))]),
    ("space_to_depth", |c| vec![ops::space_to_depth(c.x(0), c.int("block_size") as usize, format(c))]),
    ("sparse_categorical_crossentropy", |c| {
        vec![ops::sparse_categorical_crossentropy(c.x(0), c.x(1), c.flag("from_logits"), c.int("axis"))]
    }),
    ("sparse_plus", |c| vec![ops::sparse_plus(c.x(0))]),
    ("sparse_sigmoid", |c| vec![ops::sparse_sigmoid(c.x(0))]),
    ("sparsemax", |c| vec![ops::sparsemax(c.x(0), c.int("axis"))]),
    ("squareplus", |c| vec![ops::squareplus(c.x(0), float(c, "b"))]),
    ("tanh_shrink", |c| vec![ops::tanh_shrink(c.x(0))]),
    ("threshold", |c| vec![ops::threshold(c.x(0), float(c, "threshold"), float(c, "default_value"))]),
    ("unfold", |c| {
        let (dilation, padding, stride) = (per_axis(c, "dilation"), per_axis(c, "padding"), per_axis(c, "stride"));
        vec![ops::unfold(c.x(0), per_axis(c, "kernel_size"), dilation, padding, stride)]
    }),
];
