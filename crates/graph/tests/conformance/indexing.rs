//! Indices, gathering and scattering.

use kiln_graph::ops::{self, Index, IndexItem, Span, Start};
use kiln_graph::{ReduceOp, ScatterOp, Tensor};
use serde_json::Value;

use crate::Run;
use crate::call::Call;

fn axis(c: &Call<'_>) -> Option<i64> {
    c.has("axis").then(|| c.int("axis"))
}

/// The index of a case; its tensors are the inputs after the first.
fn key(c: &Call<'_>) -> Index {
    let item = |item: &Value| match item {
        Value::Number(n) => IndexItem::At(n.as_i64().expect("a place")),
        Value::String(word) if word == "new" => IndexItem::NewAxis,
        Value::String(_) => IndexItem::Ellipsis,
        _ if item.get("tensor").is_some() => {
            let n = item["tensor"].as_u64().expect("a number") as usize;
            IndexItem::Tensor(c.x(n + 1).clone())
        }
        _ => IndexItem::Span(Span {
            start: item["start"].as_i64(),
            stop: item["stop"].as_i64(),
            step: item["step"].as_i64().expect("a step"),
        }),
    };
    let items: Vec<IndexItem> = c.arg("key").as_array().expect("items").iter().map(item).collect();
    Index::new(items)
}

/// The last input.
fn values<'c>(c: &'c Call<'_>) -> &'c Tensor {
    c.x(c.inputs().len() - 1)
}

fn start(c: &Call<'_>) -> Start {
    if c.has("start_indices") { Start::At(c.sizes("start_indices")) } else { Start::Tensor(c.x(1).clone()) }
}

fn reduction(c: &Call<'_>) -> ScatterOp {
    match c.text_or("reduction", "") {
        "add" => ScatterOp::Fold(ReduceOp::Sum),
        "max" => ScatterOp::Fold(ReduceOp::Max),
        "min" => ScatterOp::Fold(ReduceOp::Min),
        "mul" => ScatterOp::Fold(ReduceOp::Prod),
        _ => ScatterOp::Set,
    }
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("at_add", |c| vec![c.x(0).at(key(c)).add(values(c))]),
    ("at_max", |c| vec![c.x(0).at(key(c)).max(values(c))]),
    ("at_min", |c| vec![c.x(0).at(key(c)).min(values(c))]),
    ("at_multiply", |c| vec![c.x(0).at(key(c)).multiply(values(c))]),
    ("at_set", |c| vec![c.x(0).at(key(c)).set(values(c))]),
    ("gather", |c| vec![ops::gather(c.x(0), c.x(1), c.int("axis"), c.int("batch_dims") as usize)]),
    ("gather_nd", |c| vec![ops::gather_nd(c.x(0), c.x(1), c.int("batch_dims") as usize)]),
    ("get_item", |c| vec![ops::get_item(c.x(0), key(c))]),
    ("scatter", |c| vec![ops::scatter(c.x(0), c.x(1), &c.sizes("shape"))]),
    ("scatter_nd", |c| vec![ops::scatter_nd(c.x(0), c.x(1), &c.sizes("shape"))]),
    ("scatter_update", |c| vec![ops::scatter_update(c.x(0), c.x(1), c.x(2), reduction(c))]),
    ("slice", |c| vec![ops::slice(c.x(0), start(c), &c.sizes("shape"))]),
    ("slice_update", |c| vec![ops::slice_update(c.x(0), start(c), values(c))]),
    ("take", |c| vec![ops::take(c.x(0), c.x(1), axis(c))]),
    ("take_along_axis", |c| vec![ops::take_along_axis(c.x(0), c.x(1), axis(c))]),
    ("tensor_scatter_nd_add", |c| vec![ops::tensor_scatter_nd_add(c.x(0), c.x(1), c.x(2))]),
    ("tensor_scatter_nd_max", |c| vec![ops::tensor_scatter_nd_max(c.x(0), c.x(1), c.x(2))]),
    ("tensor_scatter_nd_min", |c| vec![ops::tensor_scatter_nd_min(c.x(0), c.x(1), c.x(2))]),
    ("tensor_scatter_nd_sub", |c| vec![ops::tensor_scatter_nd_sub(c.x(0), c.x(1), c.x(2))]),
    ("tensor_scatter_nd_update", |c| vec![ops::tensor_scatter_nd_update(c.x(0), c.x(1), c.x(2))]),
];
