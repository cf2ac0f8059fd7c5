//! `keras.ops.image`.

use kiln_graph::Tensor;
use kiln_graph::ops::image::{self, AspectRatio, FillMode, Interpolation, Margins, Similarity};

use crate::Run;
use crate::call::Call;
use crate::nn::{format, padding, per_axis};

fn interpolation(c: &Call<'_>, name: &str) -> Interpolation {
    c.text_or(name, "bilinear").parse().expect("an interpolation")
}

fn fill(c: &Call<'_>) -> FillMode {
    match c.text_or("fill_mode", "constant").parse().expect("a fill mode") {
        FillMode::Constant(_) => FillMode::Constant(c.float_or("fill_value", 0.0)),
        other => other,
    }
}

fn pair(c: &Call<'_>, name: &str) -> [usize; 2] {
    c.sizes(name).try_into().expect("two sizes")
}

fn margins(c: &Call<'_>, kind: &str) -> Margins {
    let number = |name: String| c.has(&name).then(|| c.int(&name) as usize);
    Margins {
        top: number(format!("top_{kind}")),
        left: number(format!("left_{kind}")),
        bottom: number(format!("bottom_{kind}")),
        right: number(format!("right_{kind}")),
        height: number("target_height".into()),
        width: number("target_width".into()),
    }
}

fn resize(c: &Call<'_>) -> Tensor {
    let ratio = if c.flag("crop_to_aspect_ratio") {
        AspectRatio::Crop
    } else if c.flag("pad_to_aspect_ratio") {
        AspectRatio::Pad(c.float_or("fill_value", 0.0))
    } else {
        AspectRatio::Stretch
    };
    let method = interpolation(c, "interpolation");
    image::resize(c.x(0), pair(c, "size"), method, c.flag("antialias"), ratio, format(c))
}

fn similarity(c: &Call<'_>) -> Tensor {
    let default = Similarity::default();
    let options = Similarity {
        filter_size: c.int_or("filter_size", default.filter_size as i64) as usize,
        filter_sigma: c.float_or("filter_sigma", 1.5),
        k1: c.float_or("k1", 0.01),
        k2: c.float_or("k2", 0.03),
    };
    image::ssim(c.x(0), c.x(1), c.float_or("max_val", 1.0), options, format(c))
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("affine_transform", |c| {
        let method = interpolation(c, "interpolation");
        vec![image::affine_transform(c.x(0), c.x(1), method, fill(c), format(c))]
    }),
    ("crop_images", |c| vec![image::crop_images(c.x(0), margins(c, "cropping"), format(c))]),
    ("elastic_transform", |c| {
        let (alpha, sigma) = (c.float("alpha"), c.float("sigma"));
        let (method, seed) = (Interpolation::Bilinear, c.int("seed") as u64);
        vec![image::elastic_transform(c.x(0), alpha, sigma, method, fill(c), seed, format(c))]
    }),
    ("extract_patches", |c| {
        let (size, strides, dilation) =
            (per_axis(c, "size"), per_axis(c, "strides"), per_axis(c, "dilation_rate"));
        vec![image::extract_patches(c.x(0), size, strides, dilation, padding(c), format(c))]
    }),
    ("extract_patches_3d", |c| {
        let (size, strides, dilation) =
            (per_axis(c, "size"), per_axis(c, "strides"), per_axis(c, "dilation_rate"));
        vec![image::extract_patches_3d(c.x(0), size, strides, dilation, padding(c), format(c))]
    }),
    ("gaussian_blur", |c| {
        let sigma = c.floats("sigma").try_into().expect("two numbers");
        vec![image::gaussian_blur(c.x(0), pair(c, "kernel_size"), sigma, format(c))]
    }),
    ("hsv_to_rgb", |c| vec![image::hsv_to_rgb(c.x(0), format(c))]),
    ("map_coordinates", |c| vec![image::map_coordinates(c.x(0), c.x(1), c.int("order") as u32, fill(c))]),
    ("pad_images", |c| vec![image::pad_images(c.x(0), margins(c, "padding"), format(c))]),
    ("perspective_transform", |c| {
        let (method, value) = (interpolation(c, "interpolation"), c.float("fill_value"));
        vec![image::perspective_transform(c.x(0), c.x(1), c.x(2), method, value, format(c))]
    }),
    ("resize", |c| vec![resize(c)]),
    ("rgb_to_grayscale", |c| vec![image::rgb_to_grayscale(c.x(0), format(c))]),
    ("rgb_to_hsv", |c| vec![image::rgb_to_hsv(c.x(0), format(c))]),
    ("scale_and_translate", |c| {
        let (shape, axes) = (c.sizes("output_shape"), c.ints("spatial_dims"));
        let (method, antialias) = (interpolation(c, "method"), c.flag("antialias"));
        vec![image::scale_and_translate(c.x(0), &shape, c.x(1), c.x(2), &axes, method, antialias)]
    }),
    ("sobel_edges", |c| vec![image::sobel_edges(c.x(0), format(c))]),
    ("ssim", |c| vec![similarity(c)]),
];
