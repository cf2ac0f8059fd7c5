//! Products of matrices and convolutions.

use kiln_graph::{DType, Padding, ops};

use crate::decode::Decoder;
use crate::recipe::Facts;

pub(super) fn product(d: &mut Decoder) -> Option<usize> {
    match d.choose(8) {
        0..=1 => matmul(d),
        2 => {
            let x = d.pick(|f| f.plain() && f.rank() >= 2)?;
            d.push("x · xᵀ", &[x], |x| x[0].matmul(&x[0].swap_axes(-1, -2)))
        }
        3 => {
            let x = d.pick(|f| f.dtype.is_integer() && f.rank() >= 2)?;
            d.push("xᵀ · x of integers", &[x], |x| x[0].swap_axes(-1, -2).matmul(&x[0]))
        }
        4 => contraction(d),
        5 => transposed(d),
        _ => conv(d),
    }
}

/// A product with an earlier value of a fitting shape, else a new leaf.
fn matmul(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.dtype.is_float() && !f.special && f.rank() > 0)?;
    let a = d.facts(x);
    let inner = a.shape[a.rank() - 1];
    let fits = |f: &Facts| f.dtype == a.dtype && !f.special && f.rank() == 2 && f.shape[0] == inner;
    let y = match d.pick(fits) {
        Some(y) => y,
        None => {
            let mut shape = vec![inner, [3, 1, 5, 8, 17][d.choose(5)]];
            if a.rank() == 3 && d.flag() {
                shape.insert(0, a.shape[0]);
            } else if d.choose(5) == 0 {
                shape.pop();
            }
            d.leaf_of(shape, a.dtype)?
        }
    };
    d.push("matmul", &[x, y], |x| x[0].matmul(&x[1]))
}

/// Over the first axis of both, the last of one kept, with a batch between.
fn contraction(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.plain() && f.rank() == 3)?;
    let shape = d.facts(x).shape;
    let subscripts = d.of(&["abc,abd->bcd", "abc,abd->cd", "abc,bad->acd", "abc,dcb->ad"]);
    let free = 1 + d.choose(4);
    let axes = match subscripts {
        "abc,abd->bcd" | "abc,abd->cd" => vec![shape[0], shape[1], free],
        "abc,bad->acd" => vec![shape[1], shape[0], free],
        _ => vec![free, shape[2], shape[1]],
    };
    let y = d.leaf_of(axes, DType::F32)?;
    d.push(format!("einsum {subscripts}"), &[x, y], move |x| ops::einsum(subscripts, x))
}

/// What a window covers of a value, and what a kernel of a few taps needs.
fn kernel_of(
    d: &mut Decoder,
    spatial: &[usize],
    channels: (usize, usize),
    padding: Padding,
    dilation: usize,
) -> Option<Vec<usize>> {
    let fitting = |extent: usize| match padding {
        Padding::Same => 3,
        _ => 1 + extent.saturating_sub(1) / dilation,
    };
    if spatial.contains(&0) {
        return None;
    }
    let mut kernel: Vec<usize> = spatial.iter().map(|e| (1 + d.choose(3)).min(fitting(*e))).collect();
    kernel.extend([channels.0, channels.1]);
    Some(kernel)
}

/// A convolution over one or two axes of a value, with a kernel that is a new leaf.
fn conv(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.plain() && (3..=4).contains(&f.rank()))?;
    let facts = d.facts(x);
    let spatial = facts.rank() - 2;
    let channels = facts.shape[spatial + 1];
    let groups = if channels.is_multiple_of(2) && channels > 0 && d.flag() { 2 } else { 1 };
    let dilation = 1 + d.choose(2);
    let stride = 1 + d.choose(2);
    let padding = if d.flag() { Padding::Same } else { Padding::Valid };
    let filters = groups * (1 + d.choose(3));
    let kernel = kernel_of(d, &facts.shape[1..=spatial], (channels / groups, filters), padding, dilation)?;
    let w = d.leaf_of(kernel, DType::F32)?;
    let text = format!("conv(stride {stride}, {padding:?}, dilation {dilation}, {groups} groups)");
    d.push(text, &[x, w], move |x| {
        x[0].conv(&x[1], &vec![stride; spatial], padding, &vec![dilation; spatial], groups)
    })
}

/// The gradient of a convolution as a value: through the kernel's, and the input's.
fn transposed(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.plain() && f.rank() == 3 && !f.is_empty())?;
    let facts = d.facts(x);
    let (stride, of_kernel) = (1 + d.choose(2), d.flag());
    let filters = 1 + d.choose(3);
    let kernel = kernel_of(d, &facts.shape[1..2], (facts.shape[2], filters), Padding::Same, 1)?;
    let w = d.leaf_of(kernel, DType::F32)?;
    let text = format!("gradient of conv(stride {stride}), of the kernel: {of_kernel}");
    d.push(text, &[x, w], move |x| {
        let loss = x[0].conv(&x[1], &[stride], Padding::Same, &[1], 1).sin().sum(());
        let of = if of_kernel { &x[1] } else { &x[0] };
        match kiln_graph::gradients(&loss, std::slice::from_ref(of)) {
            Ok(mut gradients) => gradients.remove(0),
            Err(error) => kiln_graph::Tensor::invalid("gradients", error.to_string()),
        }
    })
}
