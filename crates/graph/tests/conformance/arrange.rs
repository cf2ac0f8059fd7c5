//! Where elements stand, and in which order.

use kiln_graph::Tensor;
use kiln_graph::ops::{self, GridIndexing, PadMode, Repeats, Sections, Side, Unique};

use crate::Run;
use crate::call::Call;

fn axis(c: &Call<'_>) -> Option<i64> {
    c.has("axis").then(|| c.int("axis"))
}

fn sections(c: &Call<'_>) -> Sections {
    match c.arg("indices_or_sections").as_u64() {
        Some(n) => Sections::Count(n as usize),
        None => Sections::At(c.ints("indices_or_sections")),
    }
}

fn side(c: &Call<'_>) -> Side {
    c.text_or("side", "left").parse().expect("a side")
}

fn repeats(c: &Call<'_>) -> Repeats {
    match c.arg("repeats").as_u64() {
        Some(n) => Repeats::Each(n as usize),
        None => Repeats::Counts(c.sizes("repeats")),
    }
}

fn pad(c: &Call<'_>) -> Tensor {
    let pair = |v: &serde_json::Value| {
        let bound = |i: usize| v[i].as_u64().expect("a width") as usize;
        (bound(0), bound(1))
    };
    let widths: Vec<(usize, usize)> = c.arg("pad_width").as_array().expect("pairs").iter().map(pair).collect();
    let mode = match c.text("mode").parse().expect("a mode") {
        PadMode::Constant(_) => PadMode::Constant(c.float_or("constant_values", 0.0)),
        mode => mode,
    };
    ops::pad(c.x(0), widths, mode)
}

/// The element in its place, and the sums of what stands before and after it.
fn partition(c: &Call<'_>) -> Vec<Tensor> {
    let positions = ops::argpartition(c.x(0), c.int("kth"), axis(c));
    let (x, axis) = match axis(c) {
        Some(axis) => (c.x(0).clone(), axis),
        None => (ops::ravel(c.x(0)), -1),
    };
    let put = x.take_along_axis(&positions, axis);
    let extent = put.shape()[if axis < 0 { put.rank() - 1 } else { axis as usize }] as i64;
    let k = c.int("kth").rem_euclid(extent);
    let parts = ops::split(&put, [k, k + 1], axis);
    vec![parts[1].squeeze(axis), parts[0].sum(axis), parts[2].sum(axis)]
}

fn unique(c: &Call<'_>) -> Vec<Tensor> {
    let size = c.has("size").then(|| c.int("size") as usize);
    let Unique { values, index, inverse, counts } = ops::unique(c.x(0), axis(c), size, c.float_or("fill_value", 0.0));
    vec![values, index, inverse, counts]
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("append", |c| vec![ops::append(c.x(0), c.x(1), axis(c))]),
    ("argpartition", partition),
    ("argsort", |c| vec![ops::argsort(c.x(0), axis(c))]),
    ("array_split", |c| ops::array_split(c.x(0), sections(c), c.int("axis"))),
    ("broadcast_to", |c| vec![ops::broadcast_to(c.x(0), &c.sizes("shape"))]),
    ("concatenate", |c| vec![ops::concatenate(c.inputs(), c.int("axis"))]),
    ("diag", |c| vec![ops::diag(c.x(0), c.int("k"))]),
    ("diagflat", |c| vec![ops::diagflat(c.x(0), c.int("k"))]),
    ("diagonal", |c| {
        vec![ops::diagonal(c.x(0), c.int("offset"), c.int_or("axis1", 0), c.int_or("axis2", 1))]
    }),
    ("diff", |c| vec![ops::diff(c.x(0), c.int("n") as usize, c.int_or("axis", -1))]),
    ("digitize", |c| vec![ops::digitize(c.x(0), c.x(1))]),
    ("dsplit", |c| ops::dsplit(c.x(0), sections(c))),
    ("dstack", |c| vec![ops::dstack(c.inputs())]),
    ("expand_dims", |c| vec![ops::expand_dims(c.x(0), c.axes("axis"))]),
    ("flip", |c| vec![ops::flip(c.x(0), c.axes("axis"))]),
    ("fliplr", |c| vec![ops::fliplr(c.x(0))]),
    ("flipud", |c| vec![ops::flipud(c.x(0))]),
    ("hsplit", |c| ops::hsplit(c.x(0), sections(c))),
    ("hstack", |c| vec![ops::hstack(c.inputs())]),
    ("isin", |c| vec![ops::isin(c.x(0), c.x(1), c.flag("invert"))]),
    ("meshgrid", |c| {
        ops::meshgrid(c.inputs(), if c.text("indexing") == "ij" { GridIndexing::Ij } else { GridIndexing::Xy })
    }),
    ("moveaxis", |c| vec![ops::moveaxis(c.x(0), c.axes("source"), c.axes("destination"))]),
    ("nonzero", |c| ops::nonzero(c.x(0))),
    ("pad", |c| vec![pad(c)]),
    ("ravel", |c| vec![ops::ravel(c.x(0))]),
    ("repeat", |c| vec![ops::repeat(c.x(0), repeats(c), axis(c))]),
    ("reshape", |c| vec![ops::reshape(c.x(0), &c.ints("newshape"))]),
    ("roll", |c| vec![ops::roll(c.x(0), &c.ints("shift"), c.axes("axis"))]),
    ("rot90", |c| {
        let axes = if c.has("axes") { c.ints("axes") } else { vec![0, 1] };
        vec![ops::rot90(c.x(0), c.int("k"), (axes[0], axes[1]))]
    }),
    ("searchsorted", |c| vec![ops::searchsorted(c.x(0), c.x(1), side(c))]),
    ("select", |c| {
        let (conditions, choices) = c.inputs().split_at(c.inputs().len() / 2);
        vec![ops::select(conditions, choices, c.float("default") as f32)]
    }),
    ("sort", |c| vec![ops::sort(c.x(0), axis(c))]),
    ("split", |c| ops::split(c.x(0), sections(c), c.int("axis"))),
    ("squeeze", |c| vec![ops::squeeze(c.x(0), c.axes("axis"))]),
    ("stack", |c| vec![ops::stack(c.inputs(), c.int("axis"))]),
    ("swapaxes", |c| vec![ops::swapaxes(c.x(0), c.int("axis1"), c.int("axis2"))]),
    ("tile", |c| vec![ops::tile(c.x(0), &c.sizes("repeats"))]),
    ("trace", |c| vec![ops::trace(c.x(0), c.int_or("offset", 0), c.int_or("axis1", 0), c.int_or("axis2", 1))]),
    ("transpose", |c| vec![ops::transpose(c.x(0), c.axes("axes"))]),
    ("tril", |c| vec![ops::tril(c.x(0), c.int_or("k", 0))]),
    ("triu", |c| vec![ops::triu(c.x(0), c.int_or("k", 0))]),
    ("unique", unique),
    ("unravel_index", |c| ops::unravel_index(c.x(0), &c.sizes("shape"))),
    ("unstack", |c| ops::unstack(c.x(0), c.has("num").then(|| c.int("num") as usize), c.int("axis"))),
    ("view", |c| vec![ops::view(c.x(0), c.dtype("dtype"))]),
    ("vsplit", |c| ops::vsplit(c.x(0), sections(c))),
    ("vstack", |c| vec![ops::vstack(c.inputs())]),
];
