//! Sums of products, einsum, and derivatives of compositions.

use kiln_graph::ops::{self, Contraction, CrossAxes};
use kiln_graph::{Tensor, custom_gradient, jvp};

use crate::Run;
use crate::call::Call;

fn contraction(c: &Call<'_>) -> Contraction {
    match c.has("axes") {
        true => Contraction::Count(c.int("axes") as usize),
        false => Contraction::Of(c.ints("first"), c.ints("second")),
    }
}

fn cross_axes(c: &Call<'_>) -> CrossAxes {
    let own = |name: &str| c.int_or("axis", c.int_or(name, -1));
    CrossAxes { a: own("axisa"), b: own("axisb"), c: own("axisc") }
}

fn rearranged(c: &Call<'_>) -> Tensor {
    let lengths = c.arg("lengths").as_object().expect("lengths");
    let lengths: Vec<(&str, usize)> =
        lengths.iter().map(|(name, n)| (name.as_str(), n.as_u64().expect("a length") as usize)).collect();
    ops::rearrange(c.x(0), c.text("pattern"), &lengths)
}

/// The change of e^sin x along the second input.
fn along(c: &Call<'_>) -> Tensor {
    let f = |x: &[Tensor]| Ok(vec![x[0].sin().exp()]);
    match jvp(f, &c.inputs()[..1], &c.inputs()[1..]) {
        Ok((_, mut tangents)) => tangents.remove(0),
        Err(error) => Tensor::invalid("jvp", error.to_string()),
    }
}

/// log(1 + e^x) with its gradient written out.
fn softplus(x: &Tensor) -> Tensor {
    let of = custom_gradient(|x: &[Tensor]| {
        let e = x[0].exp();
        (e.log1p(), move |g: &Tensor| vec![g * (1.0 - 1.0 / (&e + 1.0))])
    });
    of(std::slice::from_ref(x))
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("cross", |c| vec![ops::cross(c.x(0), c.x(1), cross_axes(c))]),
    ("custom_gradient", |c| vec![softplus(c.x(0))]),
    ("dot", |c| vec![ops::dot(c.x(0), c.x(1))]),
    ("einsum", |c| vec![ops::einsum(c.text("subscripts"), c.inputs())]),
    ("inner", |c| vec![ops::inner(c.x(0), c.x(1))]),
    ("jvp", |c| vec![along(c)]),
    ("kron", |c| vec![ops::kron(c.x(0), c.x(1))]),
    ("matmul", |c| vec![ops::matmul(c.x(0), c.x(1))]),
    ("outer", |c| vec![ops::outer(c.x(0), c.x(1))]),
    ("rearrange", |c| vec![rearranged(c)]),
    ("tensordot", |c| vec![ops::tensordot(c.x(0), c.x(1), contraction(c))]),
    ("vdot", |c| vec![ops::vdot(c.x(0), c.x(1))]),
];
