//! Bad calls of `kiln_graph::ops`' neural and image operations: each is an error that says what was expected and what came, at the
//! user's line; nothing panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kiln_graph::ops::image::{self, AspectRatio, FillMode, Interpolation, Margins, Similarity};
use kiln_graph::ops::{self, CtcStrategy, DataFormat, PerAxis};
use kiln_graph::{Axes, DType, Device, Padding, Tensor, gradients, random, with_device};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const LAST: DataFormat = DataFormat::ChannelsLast;
const VALID: Padding = Padding::Valid;

#[track_caller]
fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape)
}

fn labels(shape: &[usize]) -> Tensor {
    Tensor::full(shape, 0.0, DType::I32)
}

/// A bad call, and words that its error must have, the first at its start.
type Row = (Tensor, &'static [&'static str]);

/// Rows of bad calls, each on its own line.
macro_rules! rows {
    ($($call:expr => $($word:literal)+;)*) => { vec![$(($call, &[$($word),+] as &'static [&'static str])),*] };
}

fn convolutions() -> Vec<Row> {
    let (x, w) = (ones(&[2, 5, 4]), ones(&[3, 4, 6]));
    rows! {
        ops::conv(&ones(&[5]), &w, 1, VALID, LAST, 1) => "[conv]" "[5]";
        ops::conv(&x, &ones(&[3, 3, 6]), 1, VALID, LAST, 1) => "[conv]" "4 and 3";
        ops::conv(&x, &ones(&[3, 2, 5]), 1, VALID, LAST, 1) => "[conv]" "2 groups";
        ops::conv(&x, &w, 0, VALID, LAST, 1) => "[conv]" "`strides` ≥ 1" "[0]";
        ops::conv(&x, &w, [1, 2], VALID, LAST, 1) => "[conv]" "`strides`" "[1, 2]";
        ops::conv(&x, &w, 1, VALID, LAST, 3) => "[conv]" "zero or negative";
        ops::conv(&ones(&[1, 4, 4, 2]), &ones(&[2, 2, 2, 1]), 1, Padding::Causal, LAST, 1) => "[conv]" "causal";
        ops::depthwise_conv(&x, &ones(&[3, 3, 2]), 1, VALID, LAST, 1) => "[depthwise_conv]" "4 and 3";
        ops::separable_conv(&x, &ones(&[3, 4, 2]), &ones(&[1, 7, 3]), 1, VALID, LAST, 1) => "[separable_conv]" "8 and 7";
        ops::conv_transpose(&x, &w, 1, VALID, (), LAST, 1) => "[conv_transpose]" "[3, 4, 6]";
        ops::conv_transpose(&x, &ones(&[3, 6, 4]), 1, Padding::Causal, (), LAST, 1) => "[conv_transpose]" "causal";
        ops::conv_transpose(&ones(&[2, 0, 4]), &ones(&[3, 6, 4]), 1, VALID, (), LAST, 1) => "[conv_transpose]" "no cells";
        ops::max_pool(&ones(&[2]), 2, (), VALID, LAST) => "[max_pool]" "[2]";
        ops::max_pool(&x, 9, (), VALID, LAST) => "[max_pool]" "zero";
        ops::average_pool(&x, [2, 2], (), VALID, LAST) => "[average_pool]" "`pool_size`" "[2, 2]";
        ops::average_pool(&x, 2, (), Padding::Causal, LAST) => "[average_pool]" "causal";
        ops::adaptive_max_pool(&x, (), LAST) => "[adaptive_max_pool]" "output size";
        ops::adaptive_average_pool(&x, 1 << 40, LAST) => "[adaptive_average_pool]" "2²⁸";
        ops::unfold(&x, 2, (), (), ()) => "[unfold]" "[2, 5, 4]";
        ops::fold(&ones(&[1, 8, 5]), [3, 3], 2, (), (), ()) => "[fold]" "[1, 8, 5]";
        ops::fold(&ones(&[1, 8, 4]), (), 2, (), (), ()) => "[fold]" "output size";
        ops::depth_to_space(&ones(&[1, 2, 2, 6]), 2, LAST) => "[depth_to_space]" "block size 2";
        ops::space_to_depth(&ones(&[1, 2, 3, 6]), 2, LAST) => "[space_to_depth]" "[1, 2, 3, 6]";
    }
}

fn functions() -> Vec<Row> {
    let m = ones(&[2, 3]);
    rows! {
        ops::glu(&m, -1) => "[glu]" "axis -1" "[2, 3]";
        ops::glu(&m, 2) => "[glu]" "axis 2";
        ops::softmax(&m, [0, 2]) => "[softmax]" "axis 2";
        ops::sparsemax(&m, 5) => "[sparsemax]" "axis 5";
        ops::moments(&m, 3, true).0 => "[moments]" "axis 3";
        ops::batch_normalization(&m, &ones(&[3]), &ones(&[2]), -1, None, None, 0.1) => "[batch_normalization]" "`variance`" "[2]";
        ops::batch_normalization(&m, &ones(&[3]), &ones(&[3]), 4, None, None, 0.1) => "[batch_normalization]" "axis 4";
        ops::layer_normalization(&m, Some(&ones(&[2])), None, -1, 0.1) => "[layer_normalization]" "`gamma`" "[3]" "[2]";
        ops::layer_normalization(&m, None, None, [1, -1], 0.1) => "[layer_normalization]" "twice";
        ops::rms_normalization(&m, Some(&ones(&[4])), -1, 0.1) => "[rms_normalization]" "[4]";
        ops::normalize(&m, -1, 0, 0.1) => "[normalize]" "order";
        ops::normalize(&m, 2, 2, 0.1) => "[normalize]" "axis 2";
        ops::binary_crossentropy(&m, &ones(&[3]), true) => "[binary_crossentropy]" "[2, 3]" "[3]";
        ops::categorical_crossentropy(&m, &m, true, 2) => "[categorical_crossentropy]" "axis 2";
        ops::sparse_categorical_crossentropy(&labels(&[3]), &m, true, -1) => "[sparse_categorical_crossentropy]" "[2]" "[3]";
        ops::one_hot(&m, 3, -1, DType::F32) => "[one_hot]" "float32";
        ops::one_hot(&labels(&[2]), 3, 2, DType::F32) => "[one_hot]" "axis 2";
        ops::multi_hot(&labels(&[2]), 3, 5, DType::F32) => "[multi_hot]" "axis 5";
        ops::psnr(&m, &ones(&[3]), 1.0) => "[psnr]" "[2, 3]" "[3]";
        ops::dot_product_attention(&m, &m, &m, None, None, None, false) => "[dot_product_attention]" "[2, 3]";
        ops::ctc_loss(&labels(&[2, 1]), &m, &labels(&[2]), &labels(&[2]), 0) => "[ctc_loss]" "[2, 3]";
        ops::ctc_loss(&labels(&[2, 1]), &ones(&[2, 4, 3]), &labels(&[3]), &labels(&[2]), 0) => "[ctc_loss]" "[3]";
        ops::ctc_loss(&labels(&[2, 1]), &ones(&[2, 4, 3]), &labels(&[2]), &labels(&[2]), 3) => "[ctc_loss]" "mask index" "3";
        ops::ctc_decode(&ones(&[2, 4, 3]), &labels(&[2]), CtcStrategy::BeamSearch { beam_width: 2, top_paths: 3 }, 0).0 => "[ctc_decode]" "top_paths";
    }
}

fn images() -> Vec<Row> {
    let (x, m) = (ones(&[4, 5, 3]), ones(&[2, 3]));
    let stretch = AspectRatio::Stretch;
    let points = ones(&[4, 2]);
    rows! {
        image::rgb_to_grayscale(&ones(&[4, 5, 2]), LAST) => "[rgb_to_grayscale]" "2";
        image::rgb_to_hsv(&m, LAST) => "[rgb_to_hsv]" "rank 3" "[2, 3]";
        image::hsv_to_rgb(&labels(&[2, 2, 3]), LAST) => "[hsv_to_rgb]" "int32";
        image::resize(&x, [0, 3], Interpolation::Bilinear, false, stretch, LAST) => "[resize]" "[0, 3]";
        image::resize(&x, [1 << 40, 3], Interpolation::Nearest, false, stretch, LAST) => "[resize]" "2²⁸";
        image::scale_and_translate(&m, &[2, 3], &ones(&[1]), &ones(&[1]), &[2], Interpolation::Bilinear, true) => "[scale_and_translate]" "[2]";
        image::scale_and_translate(&m, &[2, 4], &ones(&[1]), &ones(&[1]), &[0], Interpolation::Bilinear, true) => "[scale_and_translate]" "[2, 4]";
        image::map_coordinates(&m, &ones(&[3, 2]), 1, FillMode::Nearest) => "[map_coordinates]" "[3, 2]";
        image::map_coordinates(&m, &ones(&[2, 2]), 2, FillMode::Nearest) => "[map_coordinates]" "order 2";
        image::affine_transform(&x, &ones(&[7]), Interpolation::Bilinear, FillMode::Wrap, LAST) => "[affine_transform]" "[7]";
        image::affine_transform(&x, &ones(&[8]), Interpolation::Bicubic, FillMode::Wrap, LAST) => "[affine_transform]" "Bicubic";
        image::perspective_transform(&x, &points, &ones(&[1, 4, 2]), Interpolation::Bilinear, 0.0, LAST) => "[perspective_transform]" "[1, 4, 2]";
        image::elastic_transform(&x, 1.0, -1.0, Interpolation::Bilinear, FillMode::Wrap, 1, LAST) => "[elastic_transform]" "sigma";
        image::gaussian_blur(&x, [0, 3], [1.0, 1.0], LAST) => "[gaussian_blur]" "[0, 3]";
        image::sobel_edges(&m, LAST) => "[sobel_edges]" "[2, 3]";
        image::ssim(&x, &ones(&[4, 5, 2]), 1.0, Similarity::default(), LAST) => "[ssim]" "[4, 5, 2]";
        image::ssim(&x, &x, 1.0, Similarity::default(), LAST) => "[ssim]" "zero";
        image::extract_patches(&x, (), (), (), VALID, LAST) => "[extract_patches]" "a size";
        image::extract_patches(&x, 6, (), (), VALID, LAST) => "[extract_patches]" "zero" "[4, 5, 3]";
        image::extract_patches_3d(&x, 2, (), (), VALID, LAST) => "[extract_patches_3d]" "rank 4";
        image::crop_images(&x, Margins { top: Some(1), ..Default::default() }, LAST) => "[crop_images]" "two of both";
        image::crop_images(&x, Margins { top: Some(3), bottom: Some(2), left: Some(0), right: Some(0), ..Default::default() }, LAST) => "[crop_images]" "[4, 5, 3]";
        image::pad_images(&x, Margins { top: Some(3), height: Some(5), left: Some(0), right: Some(0), ..Default::default() }, LAST) => "[pad_images]" "[4, 5, 3]";
    }
}

#[test]
fn a_bad_operation_says_what_came_and_where() {
    let mut wrong = vec![];
    for (tensor, words) in [convolutions(), functions(), images()].concat() {
        let Some(error) = tensor.error() else {
            wrong.push(format!("no error for {words:?}"));
            continue;
        };
        let text = error.to_string();
        let missing: Vec<&&str> = words.iter().filter(|w| !text.contains(**w)).collect();
        if !missing.is_empty() || !text.starts_with(words[0]) || !text.contains("tests/errors_neural.rs:") {
            wrong.push(format!("{text}\n    misses {missing:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_beam_search_cannot_be_traced() {
    let beams = CtcStrategy::BeamSearch { beam_width: 2, top_paths: 1 };
    let decode = kiln_graph::Function::new("decode", move |x| {
        Ok(vec![ops::ctc_decode(&x[0], &Tensor::from_slice(&[2, 2]), beams, 0).0])
    });
    let text = decode.call(&[ones(&[2, 4, 3])]).expect_err("an error").to_string();
    assert!(text.contains("errors_neural.rs"), "{text}");
}

#[test]
fn a_target_that_does_not_fit_has_an_infinite_loss_and_no_gradient() {
    let logits = ones(&[2, 2, 3]);
    let (targets, lengths) = (Tensor::from_vec([1, 1, 2, 1], &[2, 2]), Tensor::from_slice(&[2, 2]));
    let loss = ops::ctc_loss(&targets, &logits, &lengths, &lengths, 0);
    let values = loss.to_vec::<f32>().expect("a loss");
    assert!(values[0] == f32::INFINITY && values[1].is_finite(), "{values:?}");
    let g = gradients(&loss.sum(()), &[logits]).expect("gradients")[0].to_vec::<f32>().expect("numbers");
    assert!(g[..6].iter().all(|g| *g == 0.0) && g[6..].iter().all(|g| g.is_finite()), "{g:?}");
}

/// Arguments that make sense and ones that do not.
fn tensors() -> impl Strategy<Value = Tensor> {
    let extent = prop_oneof![8 => 0usize..6, 1 => Just(1usize << 40), 1 => any::<usize>()];
    let dtype = prop_oneof![2 => Just(DType::F32), 1 => proptest::sample::select(DType::ALL.to_vec())];
    (proptest::collection::vec(extent, 0..6), dtype)
        .prop_map(|(shape, dtype)| Tensor::full(&shape, 1.0, dtype))
}

#[derive(Clone, Debug)]
struct Arguments {
    tensors: [Tensor; 3],
    numbers: Vec<usize>,
    axis: i64,
    flag: bool,
    /// What is made is computed too.
    computed: bool,
    padding: Padding,
    format: DataFormat,
}

impl Arguments {
    fn per_axis(&self, i: usize) -> PerAxis {
        match self.numbers[i] {
            0 => ().into(),
            n if self.flag => n.into(),
            _ => self.numbers[..self.tensors[0].rank().saturating_sub(2).min(4)].into(),
        }
    }

    fn pair(&self) -> [usize; 2] {
        [self.numbers[0], self.numbers[1]]
    }

    fn fill(&self) -> FillMode {
        [FillMode::Constant(0.5), FillMode::Nearest, FillMode::Wrap, FillMode::Mirror, FillMode::Reflect]
            [self.numbers[2] % 5]
    }

    fn method(&self) -> Interpolation {
        [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic, Interpolation::Lanczos3]
            [self.numbers[3] % 4]
    }

    fn margins(&self) -> Margins {
        let number = |i: usize| (self.numbers[i] != 1).then_some(self.numbers[i]);
        let (top, left, bottom, right) = (number(0), number(1), number(2), number(3));
        Margins { top, left, bottom, right, height: number(4), width: number(5) }
    }
}

type Call = (&'static str, fn(&Arguments) -> Tensor);

/// Every operation of the modules with arguments that may be bad.
const CALLS: &[Call] = &[
    ("conv", |a| {
        let [x, w, _] = &a.tensors;
        ops::conv(x, w, a.per_axis(0), a.padding, a.format, a.per_axis(1))
    }),
    ("depthwise_conv", |a| {
        let [x, w, _] = &a.tensors;
        ops::depthwise_conv(x, w, a.per_axis(0), a.padding, a.format, a.per_axis(1))
    }),
    ("separable_conv", |a| {
        let [x, w, p] = &a.tensors;
        ops::separable_conv(x, w, p, a.per_axis(0), a.padding, a.format, a.per_axis(1))
    }),
    ("conv_transpose", |a| {
        let [x, w, _] = &a.tensors;
        ops::conv_transpose(x, w, a.per_axis(0), a.padding, a.per_axis(2), a.format, a.per_axis(1))
    }),
    ("max_pool", |a| ops::max_pool(&a.tensors[0], a.per_axis(0), a.per_axis(1), a.padding, a.format)),
    ("average_pool", |a| ops::average_pool(&a.tensors[0], a.per_axis(0), a.per_axis(1), a.padding, a.format)),
    ("adaptive_average_pool", |a| ops::adaptive_average_pool(&a.tensors[0], a.per_axis(0), a.format)),
    ("adaptive_max_pool", |a| ops::adaptive_max_pool(&a.tensors[0], a.per_axis(0), a.format)),
    ("unfold", |a| ops::unfold(&a.tensors[0], a.per_axis(0), a.per_axis(1), a.per_axis(2), a.per_axis(3))),
    ("fold", |a| {
        ops::fold(&a.tensors[0], a.pair(), a.per_axis(2), a.per_axis(3), a.per_axis(4), a.per_axis(5))
    }),
    ("depth_to_space", |a| ops::depth_to_space(&a.tensors[0], a.numbers[0], a.format)),
    ("space_to_depth", |a| ops::space_to_depth(&a.tensors[0], a.numbers[0], a.format)),
    ("activations", |a| {
        let x = &a.tensors[0];
        let all =
            [ops::relu6(x), ops::celu(x, 0.5), ops::softplus(x), ops::gelu(x, a.flag), ops::sparse_plus(x)];
        Tensor::concat(&all, 0)
    }),
    ("glu", |a| ops::glu(&a.tensors[0], a.axis)),
    ("sparsemax", |a| ops::sparsemax(&a.tensors[0], a.axis)),
    ("softmax", |a| ops::softmax(&a.tensors[0], if a.flag { Axes::All } else { a.axis.into() })),
    ("moments", |a| ops::moments(&a.tensors[0], a.axis, a.flag).1),
    ("batch_normalization", |a| {
        let [x, m, v] = &a.tensors;
        ops::batch_normalization(x, m, v, a.axis, a.flag.then_some(m), Some(v), 0.1)
    }),
    ("layer_normalization", |a| {
        let [x, g, b] = &a.tensors;
        ops::layer_normalization(x, a.flag.then_some(g), Some(b), a.axis, 0.1)
    }),
    ("rms_normalization", |a| ops::rms_normalization(&a.tensors[0], Some(&a.tensors[1]), a.axis, 0.1)),
    ("normalize", |a| ops::normalize(&a.tensors[0], a.axis, a.numbers[0] as u32, 0.1)),
    ("binary_crossentropy", |a| ops::binary_crossentropy(&a.tensors[0], &a.tensors[1], a.flag)),
    ("categorical_crossentropy", |a| {
        ops::categorical_crossentropy(&a.tensors[0], &a.tensors[0], a.flag, a.axis)
    }),
    ("sparse_categorical_crossentropy", |a| {
        ops::sparse_categorical_crossentropy(&a.tensors[1].cast(DType::I32), &a.tensors[0], a.flag, a.axis)
    }),
    ("one_hot", |a| ops::one_hot(&a.tensors[0], a.numbers[0], a.axis, a.tensors[1].dtype())),
    ("multi_hot", |a| ops::multi_hot(&a.tensors[0], a.numbers[0], a.axis, a.tensors[1].dtype())),
    ("psnr", |a| ops::psnr(&a.tensors[0], &a.tensors[1], 1.0)),
    ("polar", |a| ops::polar(&a.tensors[0], &a.tensors[1]).0),
    ("dot_product_attention", |a| {
        let [q, k, v] = &a.tensors;
        ops::dot_product_attention(q, k, v, Some(q), a.flag.then_some(k), None, a.flag)
    }),
    ("attention of one input", |a| {
        let [x, bias, mask] = &a.tensors;
        ops::dot_product_attention(x, x, x, a.flag.then_some(bias), Some(&mask.cast(DType::Bool)), None, true)
    }),
    ("ctc_loss", |a| {
        let [x, t, n] = &a.tensors;
        ops::ctc_loss(&t.cast(DType::I32), x, &n.cast(DType::I32), &n.cast(DType::I32), a.numbers[0])
    }),
    ("ctc_decode", |a| {
        let greedy = CtcStrategy::Greedy { merge_repeated: true };
        let beams = CtcStrategy::BeamSearch { beam_width: a.numbers[1], top_paths: a.numbers[2] };
        let lengths = a.tensors[1].cast(DType::I32);
        ops::ctc_decode(&a.tensors[0], &lengths, if a.flag { greedy } else { beams }, a.numbers[0]).0
    }),
    ("rgb_to_grayscale", |a| image::rgb_to_grayscale(&a.tensors[0], a.format)),
    ("rgb_to_hsv", |a| image::rgb_to_hsv(&a.tensors[0], a.format)),
    ("hsv_to_rgb", |a| image::hsv_to_rgb(&a.tensors[0], a.format)),
    ("resize", |a| {
        let ratio = [AspectRatio::Stretch, AspectRatio::Crop, AspectRatio::Pad(1.0)][a.numbers[4] % 3];
        image::resize(&a.tensors[0], a.pair(), a.method(), a.flag, ratio, a.format)
    }),
    ("scale_and_translate", |a| {
        let [x, s, t] = &a.tensors;
        let shape = &a.numbers[..x.rank().min(6)];
        image::scale_and_translate(x, shape, s, t, &[a.axis], a.method(), a.flag)
    }),
    ("map_coordinates", |a| {
        image::map_coordinates(&a.tensors[0], &a.tensors[1], a.numbers[0] as u32 % 3, a.fill())
    }),
    ("affine_transform", |a| {
        let numbers = if a.flag { ones(&[8]) } else { a.tensors[1].clone() };
        image::affine_transform(&a.tensors[0], &numbers, a.method(), a.fill(), a.format)
    }),
    ("perspective_transform", |a| {
        let points = if a.flag { ones(&[4, 2]) } else { a.tensors[1].clone() };
        image::perspective_transform(&a.tensors[0], &points, &points, a.method(), 0.0, a.format)
    }),
    ("elastic_transform", |a| {
        let sigma = if a.flag { 0.5 } else { a.numbers[0] as f32 };
        image::elastic_transform(&a.tensors[0], 1.0, sigma, a.method(), a.fill(), 1, a.format)
    }),
    ("gaussian_blur", |a| image::gaussian_blur(&a.tensors[0], a.pair(), [1.0, 2.0], a.format)),
    ("sobel_edges", |a| image::sobel_edges(&a.tensors[0], a.format)),
    ("ssim", |a| {
        let options = Similarity { filter_size: a.numbers[0], ..Default::default() };
        image::ssim(&a.tensors[0], &a.tensors[if a.flag { 0 } else { 1 }], 1.0, options, a.format)
    }),
    ("extract_patches", |a| {
        image::extract_patches(&a.tensors[0], a.pair(), a.per_axis(2), a.per_axis(3), a.padding, a.format)
    }),
    ("extract_patches_3d", |a| {
        image::extract_patches_3d(
            &a.tensors[0],
            a.numbers[0],
            a.per_axis(2),
            a.per_axis(3),
            a.padding,
            a.format,
        )
    }),
    ("crop_images", |a| image::crop_images(&a.tensors[0], a.margins(), a.format)),
    ("pad_images", |a| image::pad_images(&a.tensors[0], a.margins(), a.format)),
    ("distributions", |a| {
        let [x, y, _] = &a.tensors;
        let (shape, dtype) = (&a.numbers[..3], a.tensors[2].dtype());
        let all = [
            random::uniform(shape, x, y, dtype, 1),
            random::truncated_normal(shape, x, y, dtype, 1),
            random::beta(shape, x, y, dtype, 1),
            random::binomial(shape, x, y, dtype, 1),
            random::poisson(shape, x, dtype, 1),
            random::bernoulli(shape, x, dtype, 1),
            random::randint(shape, a.axis, a.numbers[4] as i64, dtype, 1),
        ];
        Tensor::stack(&all, 0)
    }),
    ("categorical", |a| random::categorical(&a.tensors[0], a.numbers[0], a.tensors[1].dtype(), 1)),
    ("dropout", |a| {
        let noise: Vec<Option<usize>> =
            a.numbers.iter().take(a.tensors[0].rank()).map(|n| Some(*n)).collect();
        random::dropout(&a.tensors[0], 0.5, a.flag.then_some(&noise[..]), 1)
    }),
    ("shuffle", |a| random::shuffle(&a.tensors[0], a.axis, 1)),
];

/// Only what is small is computed, and its gradient.
const SMALL: usize = 1 << 10;

/// Errors that a user can make are well; those of Kiln are not.
fn internal(error: &kiln_graph::Error) -> Result<(), String> {
    let text = error.to_string();
    if text.contains("bug in Kiln") { Err(text) } else { Ok(()) }
}

fn tried((name, call): Call, arguments: &Arguments) -> Result<(), String> {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let made = call(arguments);
        let is_small = |t: &Tensor| t.error().is_none() && t.len() <= SMALL;
        if arguments.computed && is_small(&made) && arguments.tensors.iter().all(is_small) {
            made.eval().map_or_else(|e| internal(&e), |_| Ok(()))?;
            if made.dtype().is_float() {
                let of: Vec<Tensor> =
                    arguments.tensors.iter().filter(|t| t.dtype().is_float()).cloned().collect();
                let found = gradients(&made.sum(()).cast(DType::F32), &of);
                return found.and_then(|g| Tensor::eval_all(&g)).map_or_else(|e| internal(&e), Ok);
            }
        }
        Ok(())
    }));
    tried.map_err(|_| format!("{name} panicked"))?
}

#[test]
fn no_arguments_make_an_operation_panic() {
    let number = || prop_oneof![12 => 0usize..6, 1 => Just(1usize << 40), 1 => any::<usize>()];
    let axis = || prop_oneof![8 => -4i64..5, 1 => any::<i64>()];
    let paddings = vec![Padding::Valid, Padding::Same, Padding::Causal];
    let formats = vec![DataFormat::ChannelsLast, DataFormat::ChannelsFirst];
    let config = Config { cases: 800, failure_persistence: None, ..Config::default() };
    for call in CALLS {
        let arguments =
            (
                [tensors(), tensors(), tensors()],
                proptest::collection::vec(number(), 6),
                axis(),
                (any::<bool>(), proptest::bool::weighted(0.05)),
                proptest::sample::select(paddings.clone()),
                proptest::sample::select(formats.clone()),
            )
                .prop_map(|(tensors, numbers, axis, (flag, computed), padding, format)| {
                    Arguments { tensors, numbers, axis, flag, computed, padding, format }
                });
        let mut runner = TestRunner::new_with_rng(config.clone(), TestRunner::deterministic().rng().clone());
        let checked = with_device(&Device::cpu(), || {
            runner.run(&arguments, |a| tried(*call, &a).map_err(TestCaseError::fail))
        });
        checked.unwrap_or_else(|e| panic!("{}: {e}", call.0));
    }
}
