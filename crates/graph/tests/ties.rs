//! Gradients at corners: at ties, at 0, at the bounds of clipping, where differences say nothing. Against those of
//! TensorFlow and JAX (`tests/golden/ops/ties.json`, whose script says which is followed where).

use kiln_graph::ops::{self, DataFormat, NormOrder, QuantileMethod};
use kiln_graph::{Axes, Padding, Tensor, gradients};
use serde_json::Value as Json;

fn number(value: &Json) -> f32 {
    match value {
        Json::String(special) => special.parse().expect("inf or nan"),
        number => number.as_f64().expect("a number") as f32,
    }
}

/// A nested list as a tensor.
fn tensor(list: &Json) -> Tensor {
    fn flatten(list: &Json, shape: &mut Vec<usize>, depth: usize, into: &mut Vec<f32>) {
        let Json::Array(items) = list else { return into.push(number(list)) };
        if shape.len() == depth {
            shape.push(items.len());
        }
        items.iter().for_each(|item| flatten(item, shape, depth + 1, into));
    }
    let (mut shape, mut elements) = (vec![], vec![]);
    flatten(list, &mut shape, 0, &mut elements);
    Tensor::from_vec(elements, &shape)
}

fn axes(args: &Json) -> Axes {
    match &args["axis"] {
        Json::Array(all) => Axes::Of(all.iter().map(|a| a.as_i64().expect("an axis")).collect()),
        Json::Number(one) => Axes::Of(vec![one.as_i64().expect("an axis")]),
        _ => Axes::All,
    }
}

fn size(args: &Json, name: &str) -> usize {
    args[name].as_u64().unwrap_or_else(|| panic!("{name}")) as usize
}

fn order(args: &Json) -> NormOrder {
    match &args["ord"] {
        Json::Null => NormOrder::default(),
        Json::String(name) => match name.parse::<f64>() {
            Ok(infinite) => infinite.into(),
            Err(_) => name.parse().unwrap_or_else(|_| panic!("order {name}")),
        },
        number => number.as_f64().expect("an order").into(),
    }
}

fn segments(x: &[Tensor], args: &Json, op: fn(&Tensor, &Tensor, Option<usize>) -> Tensor) -> Tensor {
    let ids: Vec<i32> = args["segment_ids"]
        .as_array()
        .expect("ids")
        .iter()
        .map(|i| i.as_i64().expect("an id") as i32)
        .collect();
    op(&x[0], &Tensor::from(ids), Some(size(args, "num_segments")))
}

fn max_pool(x: &[Tensor], args: &Json) -> Tensor {
    let padding = if args["padding"] == "same" { Padding::Same } else { Padding::Valid };
    let (pool, strides) = (size(args, "pool_size"), size(args, "strides"));
    ops::max_pool(&x[0], pool, strides, padding, DataFormat::ChannelsLast)
}

fn chosen(x: &[Tensor], args: &Json) -> Tensor {
    let flags: Vec<bool> =
        args["condition"].as_array().expect("flags").iter().map(|f| f.as_bool().expect("a flag")).collect();
    ops::where_(&Tensor::from(flags), &x[0], &x[1])
}

type Run = fn(&[Tensor], &Json) -> Tensor;

/// Every operation with a corner; several ways to call one stand behind one another.
const TABLE: &[(&str, &[Run])] = &[
    ("abs", &[|x, _| ops::abs(&x[0]), |x, _| x[0].abs()]),
    ("absolute", &[|x, _| ops::absolute(&x[0])]),
    ("relu", &[|x, _| ops::relu(&x[0]), |x, _| x[0].relu()]),
    ("relu6", &[|x, _| ops::relu6(&x[0])]),
    ("leaky_relu", &[|x, _| ops::leaky_relu(&x[0], 0.2)]),
    ("elu", &[|x, _| ops::elu(&x[0], 1.0)]),
    ("selu", &[|x, _| ops::selu(&x[0])]),
    ("celu", &[|x, _| ops::celu(&x[0], 1.0)]),
    ("hard_sigmoid", &[|x, _| ops::hard_sigmoid(&x[0])]),
    ("hard_silu", &[|x, _| ops::hard_silu(&x[0])]),
    ("hard_tanh", &[|x, _| ops::hard_tanh(&x[0])]),
    ("hard_shrink", &[|x, _| ops::hard_shrink(&x[0], 0.5)]),
    ("soft_shrink", &[|x, _| ops::soft_shrink(&x[0], 0.5)]),
    ("softsign", &[|x, _| ops::softsign(&x[0])]),
    ("sparse_plus", &[|x, _| ops::sparse_plus(&x[0])]),
    ("sparse_sigmoid", &[|x, _| ops::sparse_sigmoid(&x[0])]),
    ("squareplus", &[|x, _| ops::squareplus(&x[0], 4.0)]),
    ("tanh_shrink", &[|x, _| ops::tanh_shrink(&x[0])]),
    ("silu", &[|x, _| ops::silu(&x[0])]),
    ("gelu", &[|x, _| ops::gelu(&x[0], true)]),
    ("log_sigmoid", &[|x, _| ops::log_sigmoid(&x[0])]),
    ("softplus", &[|x, _| ops::softplus(&x[0])]),
    ("sign", &[|x, _| ops::sign(&x[0]), |x, _| x[0].sign()]),
    ("floor", &[|x, _| ops::floor(&x[0]), |x, _| x[0].floor()]),
    ("ceil", &[|x, _| ops::ceil(&x[0]), |x, _| x[0].ceil()]),
    ("round", &[|x, _| ops::round(&x[0], 0), |x, _| x[0].round()]),
    ("trunc", &[|x, _| ops::trunc(&x[0]), |x, _| x[0].trunc()]),
    ("sqrt", &[|x, _| ops::sqrt(&x[0]), |x, _| x[0].sqrt()]),
    ("rsqrt", &[|x, _| ops::rsqrt(&x[0]), |x, _| x[0].rsqrt()]),
    ("cbrt", &[|x, _| ops::cbrt(&x[0])]),
    ("square", &[|x, _| ops::square(&x[0]), |x, _| x[0].square()]),
    ("reciprocal", &[|x, _| ops::reciprocal(&x[0]), |x, _| x[0].reciprocal()]),
    ("log", &[|x, _| ops::log(&x[0]), |x, _| x[0].log()]),
    ("log1p", &[|x, _| ops::log1p(&x[0]), |x, _| x[0].log1p()]),
    ("log2", &[|x, _| ops::log2(&x[0])]),
    ("log10", &[|x, _| ops::log10(&x[0])]),
    ("expm1", &[|x, _| ops::expm1(&x[0]), |x, _| x[0].expm1()]),
    ("sinc", &[|x, _| ops::sinc(&x[0])]),
    ("arcsin", &[|x, _| ops::arcsin(&x[0])]),
    ("arccos", &[|x, _| ops::arccos(&x[0])]),
    ("arctanh", &[|x, _| ops::arctanh(&x[0])]),
    ("arccosh", &[|x, _| ops::arccosh(&x[0])]),
    ("arcsinh", &[|x, _| ops::arcsinh(&x[0])]),
    ("nan_to_num", &[|x, _| ops::nan_to_num(&x[0], 0.0, None, None)]),
    ("exp2", &[|x, _| ops::exp2(&x[0])]),
    ("angle", &[|x, _| ops::angle(&x[0])]),
    ("maximum", &[|x, _| ops::maximum(&x[0], &x[1]), |x, _| x[0].maximum(&x[1])]),
    ("minimum", &[|x, _| ops::minimum(&x[0], &x[1]), |x, _| x[0].minimum(&x[1])]),
    ("fmax", &[|x, _| ops::fmax(&x[0], &x[1])]),
    ("fmin", &[|x, _| ops::fmin(&x[0], &x[1])]),
    ("clip", &[|x, _| ops::clip(&x[0], -1.0, 1.0), |x, _| x[0].clip(-1.0, 1.0)]),
    ("power", &[|x, _| ops::power(&x[0], &x[1]), |x, _| x[0].pow(&x[1])]),
    ("arctan2", &[|x, _| ops::arctan2(&x[0], &x[1]), |x, _| x[0].arctan2(&x[1])]),
    ("hypot", &[|x, _| ops::hypot(&x[0], &x[1])]),
    ("logaddexp", &[|x, _| ops::logaddexp(&x[0], &x[1])]),
    ("mod", &[|x, _| ops::mod_(&x[0], &x[1]), |x, _| x[0].modulo(&x[1])]),
    ("fmod", &[|x, _| ops::fmod(&x[0], &x[1])]),
    ("floor_divide", &[|x, _| ops::floor_divide(&x[0], &x[1])]),
    ("divide_no_nan", &[|x, _| ops::divide_no_nan(&x[0], &x[1])]),
    ("heaviside", &[|x, _| ops::heaviside(&x[0], &x[1])]),
    ("max", &[|x, a| ops::max(&x[0], axes(a), false, None), |x, a| x[0].max(axes(a))]),
    ("min", &[|x, a| ops::min(&x[0], axes(a), false, None), |x, a| x[0].min(axes(a))]),
    ("amax", &[|x, a| ops::amax(&x[0], axes(a), false)]),
    ("amin", &[|x, a| ops::amin(&x[0], axes(a), false)]),
    ("ptp", &[|x, a| ops::ptp(&x[0], axes(a), false)]),
    ("nanmax", &[|x, a| ops::nanmax(&x[0], axes(a), false)]),
    ("nanmin", &[|x, a| ops::nanmin(&x[0], axes(a), false)]),
    ("sort", &[|x, _| ops::sort(&x[0], 1)]),
    ("median", &[|x, a| ops::median(&x[0], axes(a), false)]),
    ("quantile", &[|x, a| ops::quantile(&x[0], 0.5, axes(a), QuantileMethod::Linear, false)]),
    ("top_k", &[|x, a| ops::top_k(&x[0], size(a, "k")).0]),
    ("prod", &[|x, a| ops::prod(&x[0], axes(a), false, None), |x, a| x[0].prod(axes(a))]),
    ("cumprod", &[|x, a| ops::cumprod(&x[0], axes(a), None)]),
    ("std", &[|x, a| ops::std(&x[0], axes(a), false)]),
    ("var", &[|x, a| ops::var(&x[0], axes(a), false)]),
    ("logsumexp", &[|x, a| ops::logsumexp(&x[0], axes(a), false)]),
    ("softmax", &[|x, a| ops::softmax(&x[0], axes(a)), |x, a| x[0].softmax(axes(a))]),
    ("sparsemax", &[|x, _| ops::sparsemax(&x[0], 1)]),
    ("norm", &[|x, a| ops::norm(&x[0], order(a), axes(a), false)]),
    ("normalize", &[|x, a| ops::normalize(&x[0], axes(a), 2, 1e-7)]),
    ("cdist", &[|x, _| ops::cdist(&x[0], &x[1])]),
    ("max_pool", &[max_pool]),
    (
        "adaptive_max_pool",
        &[|x, a| ops::adaptive_max_pool(&x[0], size(a, "output_size"), DataFormat::ChannelsLast)],
    ),
    ("segment_max", &[|x, a| segments(x, a, |x, i, n| ops::segment_max(x, i, n))]),
    ("segment_min", &[|x, a| segments(x, a, |x, i, n| ops::segment_min(x, i, n))]),
    ("segment_prod", &[|x, a| segments(x, a, |x, i, n| ops::segment_prod(x, i, n))]),
    ("binary_crossentropy", &[|x, a| ops::binary_crossentropy(&x[0], &x[1], a["from_logits"] == true)]),
    (
        "categorical_crossentropy",
        &[|x, a| ops::categorical_crossentropy(&x[0], &x[1], a["from_logits"] == true, -1)],
    ),
    ("where", &[chosen]),
    ("threshold", &[|x, _| ops::threshold(&x[0], 0.5, 9.0)]),
    ("average", &[|x, a| ops::average(&x[0], axes(a), None)]),
];

/// Σ (i + 1) · y[i], without a product of what is infinite with 0.
fn loss(y: &Tensor) -> Tensor {
    let weights: Vec<f32> = (1..=y.len()).map(|n| n as f32).collect();
    (y * Tensor::from_vec(weights, y.shape())).sum(())
}

fn near(found: f32, wanted: f32) -> bool {
    found == wanted
        || found.is_nan() && wanted.is_nan()
        || (found - wanted).abs() <= 1e-4 * wanted.abs().max(0.01)
}

#[test]
fn gradients_at_corners_are_tensorflows() {
    let golden: Json =
        serde_json::from_str(include_str!("../../../tests/golden/ops/ties.json")).expect("ties.json");
    let cases = golden.as_array().expect("cases");
    assert!(cases.len() > 100);
    let mut wrong = vec![];
    for case in cases {
        let op = case["op"].as_str().expect("op");
        let runs =
            TABLE.iter().find(|(name, _)| *name == op).unwrap_or_else(|| panic!("{op}: not in the table")).1;
        let inputs: Vec<Tensor> = case["in"].as_array().expect("inputs").iter().map(tensor).collect();
        for (way, run) in runs.iter().enumerate() {
            let found = gradients(&loss(&run(&inputs, &case["args"])), &inputs)
                .and_then(|g| g.iter().map(|g| g.to_vec::<f32>()).collect::<Result<Vec<_>, _>>());
            let found = found.unwrap_or_else(|error| panic!("{op}: {error}"));
            let wanted = case["want"].as_array().expect("gradients").iter();
            let wanted: Vec<Vec<f32>> =
                wanted.map(|g| g.as_array().expect("a gradient").iter().map(number).collect()).collect();
            let same = |(f, w): (&Vec<f32>, &Vec<f32>)| {
                f.len() == w.len() && f.iter().zip(w).all(|(f, w)| near(*f, *w))
            };
            if found.len() != wanted.len() || !found.iter().zip(&wanted).all(same) {
                let (args, x) = (&case["args"], &case["in"]);
                wrong.push(format!(
                    "{op} ({way}) {args} of {x}:\n  {found:?}, not\n  {wanted:?}, jax {}",
                    case["jax"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let unused: Vec<&str> =
        TABLE.iter().map(|(op, _)| *op).filter(|op| !cases.iter().any(|case| case["op"] == *op)).collect();
    assert_eq!(unused, Vec::<&str>::new(), "operations without a case");
}
