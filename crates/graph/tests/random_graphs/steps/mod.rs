//! The kinds of steps: each takes choices from a gene and appends an operation, or none where the values do not fit.

mod body;
mod choose;
mod composite;
mod control;
mod convert;
mod elementwise;
mod fold;
mod index;
mod layout;
mod matrix;
mod product;

pub(crate) use convert::TYPES;
use kiln_graph::{DType, Tensor};

use crate::decode::Decoder;

/// Appends what a gene says.
pub(crate) fn add(d: &mut Decoder) -> Option<usize> {
    match d.choose(64) {
        0..=5 => leaf(d),
        6..=13 => elementwise::unary(d),
        14..=20 => elementwise::binary(d),
        21..=23 => elementwise::whole(d),
        24..=26 => choose::decision(d),
        27..=30 => convert::conversion(d),
        31..=35 => fold::reduce(d),
        36..=38 => fold::scan_or_sort(d),
        39..=44 => layout::view(d),
        45..=46 => layout::join(d),
        47..=50 => index::index(d),
        51..=54 => product::product(d),
        55..=57 => composite::composite(d),
        58..=62 => control::control(d),
        _ => matrix::matrix(d),
    }
}

/// Appends a leaf.
pub(crate) fn leaf(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(20);
    let shape = d.shape();
    match kind {
        0..=11 => d.leaf_of(shape, DType::F32),
        12 => d.leaf_of(shape, DType::I32),
        13 => d.leaf_of(shape, DType::Bool),
        14 => d.leaf_of(shape, DType::U8),
        15 => d.leaf_of(shape, DType::U32),
        16 => d.leaf_of(shape, DType::F16),
        17 => d.leaf_of(shape, DType::BF16),
        18 => d.special_leaf(shape),
        _ if shape.is_empty() => d.leaf_of(shape, DType::F32),
        _ => {
            let axis = d.choose(shape.len());
            d.push(format!("iota({shape:?}, {axis})"), &[], move |_| Tensor::iota(&shape, axis))
        }
    }
}
