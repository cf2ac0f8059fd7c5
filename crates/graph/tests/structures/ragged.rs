//! Ragged tensors against TensorFlow.

use kiln_graph::{RaggedOrDense, RaggedTensor, StringTensor, Tensor, ragged};

use crate::Run;
use crate::sparse::{crossed, hash_key};
use crate::value::{Call, Value};

/// What a method of both kinds of values gives.
macro_rules! both {
    ($c:expr, $t:ident => $call:expr) => {
        if $c.is_text(0) {
            let $t = $c.ragged_strings(0);
            $call
        } else {
            let $t = $c.ragged(0);
            $call
        }
    };
}

fn parts(c: &Call) -> Vec<Value> {
    both!(c, t => {
        let bounds: Vec<i32> = t.bounding_shape().into_iter().map(|extent| extent as i32).collect();
        vec![
            t.row_splits().to_vec().into(),
            t.row_lengths().into(),
            t.row_starts().into(),
            t.row_limits().into(),
            t.value_rowids().into(),
            Tensor::scalar(t.nrows() as i32).into(),
            bounds.into(),
            t.flat_values().clone().into(),
            t.values().into(),
        ]
    })
}

fn nested_parts(c: &Call) -> Vec<Value> {
    both!(c, t => {
        let lists = [t.nested_row_splits(), t.nested_row_lengths(), t.nested_value_rowids()];
        lists.concat().into_iter().map(Value::from).collect()
    })
}

fn from_tensor(c: &Call) -> Vec<Value> {
    let rank = c.size("ragged_rank").unwrap_or(1);
    if let Some(padding) = c.text("padding") {
        return vec![RaggedTensor::from_padded_tensor(c.s(0), padding, rank).into()];
    }
    vec![match (c.has("lengths"), c.has("padding")) {
        (true, _) => RaggedTensor::from_tensor_with_lengths(c.x(0), &c.ints("lengths")).into(),
        (_, true) => RaggedTensor::from_padded_tensor(c.x(0), c.float("padding"), rank).into(),
        _ => RaggedTensor::from_tensor(c.x(0), rank).into(),
    }]
}

fn to_tensor(c: &Call) -> Vec<Value> {
    let extent = |extent: &serde_json::Value| extent.as_u64().map(|extent| extent as usize);
    let shape: Option<Vec<Option<usize>>> =
        c.args.get("shape").and_then(|s| s.as_array()).map(|s| s.iter().map(extent).collect());
    match c.text("default_value") {
        Some(text) => vec![c.ragged_strings(0).to_tensor(text, shape.as_deref()).into()],
        None => vec![c.ragged(0).to_tensor(c.float_or("default_value", 0.0), shape.as_deref()).into()],
    }
}

fn reduced(c: &Call, run: fn(&RaggedTensor, kiln_graph::Axes, bool) -> RaggedOrDense) -> Vec<Value> {
    vec![run(&c.ragged(0), c.axes(), c.flag("keepdims")).into()]
}

fn concat(c: &Call) -> Vec<Value> {
    match c.is_text(0) {
        true => vec![ragged::concat((0..c.inputs.len()).map(|i| c.ragged_strings(i)), c.int("axis")).into()],
        false => vec![ragged::concat((0..c.inputs.len()).map(|i| c.either(i)), c.int("axis")).into()],
    }
}

fn stack_dynamic_partitions(c: &Call) -> Vec<Value> {
    let (partitions, count) = (c.ints("p"), c.size("n").expect("n"));
    vec![match c.is_text(0) {
        true => ragged::stack_dynamic_partitions::<StringTensor>(c.s(0), &partitions, count).into(),
        false => ragged::stack_dynamic_partitions(c.either(0), &partitions, count).into(),
    }]
}

fn bound(c: &Call, name: &str) -> Option<i64> {
    c.has(name).then(|| c.int(name))
}

fn met(c: &Call, run: fn(&Tensor, &Tensor) -> Tensor) -> Vec<Value> {
    vec![c.ragged(0).zip_with(c.either(1), run).into()]
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("ragged.from_row_splits", |c| vec![RaggedTensor::from_row_splits(c.x(0), &c.ints("p")).into()]),
    ("ragged.from_row_lengths", |c| vec![RaggedTensor::from_row_lengths(c.x(0), &c.ints("p")).into()]),
    ("ragged.from_row_starts", |c| vec![RaggedTensor::from_row_starts(c.x(0), &c.ints("p")).into()]),
    ("ragged.from_row_limits", |c| vec![RaggedTensor::from_row_limits(c.x(0), &c.ints("p")).into()]),
    ("ragged.from_value_rowids", |c| {
        vec![RaggedTensor::from_value_rowids(c.x(0), &c.ints("p"), c.size("nrows")).into()]
    }),
    ("ragged.from_uniform_row_length", |c| {
        vec![RaggedTensor::from_uniform_row_length(c.x(0), c.size("p").expect("p"), None).into()]
    }),
    ("ragged.from_nested_row_splits", |c| {
        vec![RaggedTensor::from_nested_row_splits(c.x(0), &c.lists("p")).into()]
    }),
    ("ragged.from_nested_row_lengths", |c| {
        vec![RaggedTensor::from_nested_row_lengths(c.x(0), &c.lists("p")).into()]
    }),
    ("ragged.from_nested_value_rowids", |c| {
        let rows = c.sizes("nrows");
        vec![RaggedTensor::from_nested_value_rowids(c.x(0), &c.lists("p"), Some(&rows)).into()]
    }),
    ("ragged.parts", parts),
    ("ragged.nested_parts", nested_parts),
    ("ragged.to_sparse", |c| both!(c, t => vec![t.to_sparse().into()])),
    ("ragged.row_lengths_at", |c| vec![c.ragged(0).row_lengths_at(c.int("axis")).into()]),
    ("ragged.to_tensor", to_tensor),
    ("ragged.from_tensor", from_tensor),
    ("ragged.from_sparse", |c| vec![RaggedTensor::from_sparse(&c.sparse(0)).into()]),
    ("ragged.reduce_sum", |c| reduced(c, |t, axes, keepdims| t.reduce_sum(axes, keepdims))),
    ("ragged.reduce_prod", |c| reduced(c, |t, axes, keepdims| t.reduce_prod(axes, keepdims))),
    ("ragged.reduce_mean", |c| reduced(c, |t, axes, keepdims| t.reduce_mean(axes, keepdims))),
    ("ragged.reduce_max", |c| reduced(c, |t, axes, keepdims| t.reduce_max(axes, keepdims))),
    ("ragged.reduce_min", |c| reduced(c, |t, axes, keepdims| t.reduce_min(axes, keepdims))),
    ("ragged.reduce_any", |c| reduced(c, |t, axes, keepdims| t.reduce_any(axes, keepdims))),
    ("ragged.reduce_all", |c| reduced(c, |t, axes, keepdims| t.reduce_all(axes, keepdims))),
    ("ragged.reduce_variance", |c| reduced(c, |t, axes, keepdims| t.reduce_variance(axes, keepdims))),
    ("ragged.reduce_std", |c| reduced(c, |t, axes, keepdims| t.reduce_std(axes, keepdims))),
    ("ragged.softmax", |c| vec![c.ragged(0).softmax(-1).into()]),
    ("ragged.concat", concat),
    ("ragged.stack", |c| vec![ragged::stack((0..c.inputs.len()).map(|i| c.either(i)), c.int("axis")).into()]),
    ("ragged.stack_dynamic_partitions", stack_dynamic_partitions),
    ("ragged.gather", |c| both!(c, t => vec![t.gather(&c.ints("rows")).into()])),
    ("ragged.gather_ragged", |c| vec![c.ragged(0).gather_ragged(&c.ragged(1)).into()]),
    ("ragged.boolean_mask", |c| vec![c.ragged(0).boolean_mask(c.either(1)).into()]),
    ("ragged.masked_tensor", |c| vec![RaggedTensor::masked_tensor(&c.x(0), c.either(1)).into()]),
    ("ragged.row", |c| vec![c.ragged(0).row(c.int("i")).into()]),
    ("ragged.slice_rows", |c| {
        vec![c.ragged(0).slice_rows(c.int("start") as usize..c.int("stop") as usize).into()]
    }),
    ("ragged.slice_axis", |c| {
        vec![c.ragged(0).slice_axis(c.int("axis"), bound(c, "start"), bound(c, "stop")).into()]
    }),
    ("ragged.map_flat_values", |c| vec![c.ragged(0).map_flat_values(|x| x * 2.0 + 1.0).into()]),
    ("ragged.embedding", |c| vec![c.ragged(1).map_flat_values(|ids| c.x(0).take(ids, 0)).into()]),
    ("ragged.add", |c| met(c, |a, b| a + b)),
    ("ragged.mul", |c| met(c, |a, b| a * b)),
    ("ragged.maximum", |c| met(c, |a, b| a.maximum(b))),
    ("ragged.merge_dims", |c| vec![c.ragged(0).merge_dims(c.int("outer"), c.int("inner")).into()]),
    ("ragged.expand_dims", |c| vec![c.ragged(0).expand_dims(c.int("axis")).into()]),
    ("ragged.range", |c| vec![ragged::range(&c.ints("starts"), &c.ints("limits"), &c.ints("deltas")).into()]),
    ("ragged.range_floats", |c| {
        let floats = |name: &str| -> Vec<f32> {
            let list = c.args[name].as_array().expect("floats");
            list.iter().map(|x| x.as_f64().expect("a float") as f32).collect()
        };
        vec![ragged::range(&floats("starts"), &floats("limits"), &floats("deltas")).into()]
    }),
    ("ragged.row_splits_to_segment_ids", |c| {
        vec![ragged::row_splits_to_segment_ids(&c.ints("splits")).into()]
    }),
    ("ragged.segment_ids_to_row_splits", |c| {
        vec![ragged::segment_ids_to_row_splits(&c.ints("ids"), c.size("n")).into()]
    }),
    ("ragged.cross", |c| vec![crossed(c, ragged::cross).into()]),
    ("ragged.cross_hashed", |c| {
        let buckets = c.size("num_buckets").unwrap_or(0);
        vec![crossed(c, |all| ragged::cross_hashed(all, buckets, hash_key(c))).into()]
    }),
    ("ragged.with_values", |c| vec![c.ragged(0).with_values(c.x(1)).into()]),
    ("ragged.with_flat_values", |c| vec![c.ragged(0).with_flat_values(c.x(1)).into()]),
    ("ragged.constant", |_| vec![ragged::constant(&[vec![1, 2], vec![], vec![3]]).into()]),
];
