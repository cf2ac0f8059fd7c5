//! Arithmetic of single elements.

use kiln_graph::{DType, Tensor};

use crate::decode::{Decoder, MOST_ELEMENTS};
use crate::recipe::Facts;

pub(super) type Unary = (&'static str, fn(&Tensor) -> Tensor);
pub(super) type Binary = (&'static str, fn(&Tensor, &Tensor) -> Tensor);

/// Functions of floats; those with poles and edges twice, once away from them.
const FUNCTIONS: [Unary; 38] = [
    ("tanh", Tensor::tanh),
    ("· 0.75 + 0.5", |x| x * 0.75 + 0.5),
    ("sigmoid", Tensor::sigmoid),
    ("sin", Tensor::sin),
    ("cos", Tensor::cos),
    ("erf", Tensor::erf),
    ("arctan", Tensor::arctan),
    ("square", Tensor::square),
    ("exp(−x²)", |x| (-(x * x)).exp()),
    ("exp", Tensor::exp),
    ("expm1", Tensor::expm1),
    ("sqrt(x² + 1)", |x| (x * x + 1.0).sqrt()),
    ("rsqrt(x² + 1)", |x| (x * x + 1.0).rsqrt()),
    ("sqrt |x|", |x| x.abs().sqrt()),
    ("log1p(x²)", |x| (x * x).log1p()),
    ("log(x² + 0.5)", |x| (x * x + 0.5).log()),
    ("log", Tensor::log),
    ("log1p", Tensor::log1p),
    ("rsqrt", Tensor::rsqrt),
    ("1 / (x² + 1)", |x| (x * x + 1.0).reciprocal()),
    ("1 / x", Tensor::reciprocal),
    ("tan(sin x)", |x| x.sin().tan()),
    ("x − stop_gradient(x / 2)", |x| x - (x * 0.5).stop_gradient()),
    ("sigmoid x · x", |x| x.sigmoid() * x),
    ("3 − x", |x| 3.0 - x),
    ("barrier", Tensor::barrier),
    ("neg", Tensor::neg),
    ("abs", Tensor::abs),
    ("relu", Tensor::relu),
    ("clip(−1, 1.5)", |x| x.clip(-1.0, 1.5)),
    ("floor", Tensor::floor),
    ("ceil", Tensor::ceil),
    ("round", Tensor::round),
    ("trunc", Tensor::trunc),
    ("sign", Tensor::sign),
    ("x where it is a number", |x| Tensor::select(&x.is_nan(), 0.5, x)),
    ("softplus", |x| kiln_graph::ops::softplus(x)),
    ("gelu", |x| kiln_graph::ops::gelu(x, false)),
];

pub(super) fn unary(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.dtype.is_float())?;
    let (name, apply) = d.of(&FUNCTIONS);
    d.push(name, &[x], move |x| apply(&x[0]))
}

/// A second operand that broadcasts with `x`: an earlier value, else a new leaf.
pub(super) fn partner(d: &mut Decoder, x: usize, wanted: impl Fn(&Facts) -> bool) -> Option<usize> {
    let facts = d.facts(x);
    let fits = |f: &Facts| {
        let count = kiln_graph::broadcast(&f.shape, &facts.shape).map(|s| s.iter().product::<usize>());
        f.dtype == facts.dtype && count.is_some_and(|c| c < MOST_ELEMENTS) && wanted(f)
    };
    let earlier = d.pick(fits);
    let fresh = d.choose(3) == 0;
    if let Some(earlier) = earlier.filter(|_| !fresh) {
        return Some(earlier);
    }
    let mut shape = facts.shape.clone();
    for extent in shape.iter_mut() {
        if d.choose(3) == 1 {
            *extent = 1;
        }
    }
    let dropped = d.choose(shape.len() + 1).min(d.choose(2));
    d.leaf_of(shape[dropped..].to_vec(), facts.dtype)
}

const ARITHMETIC: [Binary; 15] = [
    ("add", |x, y| x + y),
    ("mul", |x, y| x * y),
    ("sub", |x, y| x - y),
    ("add", |x, y| x + y),
    ("mul", |x, y| x * y),
    ("x / (y² + 1)", |x, y| x / (y * y + 1.0)),
    ("div", |x, y| x / y),
    ("maximum", |x, y| x.maximum(y)),
    ("minimum", |x, y| x.minimum(y)),
    ("sigmoid(x) + 0.5 to the power of tanh(y)", |x, y| (x.sigmoid() + 0.5).pow(y.tanh())),
    ("|x| to the power of y", |x, y| x.abs().pow(y)),
    ("arctan2(x, y² + 1)", |x, y| x.arctan2(y * y + 1.0)),
    ("arctan2", |x, y| x.arctan2(y)),
    ("modulo", |x, y| x.modulo(y)),
    ("x modulo |y| + 1", |x, y| x.modulo(y.abs() + 1.0)),
];

pub(super) fn binary(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.dtype.is_float())?;
    let y = partner(d, x, |_| true)?;
    let (name, apply) = d.of(&ARITHMETIC);
    d.push(name, &[x, y], move |x| apply(&x[0], &x[1]))
}

const WHOLE: [Binary; 16] = [
    ("add", |a, b| a + b),
    ("sub", |a, b| a - b),
    ("mul", |a, b| a * b),
    ("maximum", |a, b| a.maximum(b)),
    ("minimum", |a, b| a.minimum(b)),
    ("and", |a, b| a.logical_and(b)),
    ("xor", |a, b| a.logical_xor(b)),
    ("or", |a, b| a.logical_or(b)),
    ("floor_divide", |a, b| a.floor_divide(b)),
    ("modulo", |a, b| a.modulo(b)),
    ("x to the power of y and 3", |a, b| a.pow(b.logical_and(same(3.0, b)))),
    ("left_shift", |a, b| a.left_shift(b.logical_and(same(7.0, b)))),
    ("right_shift", |a, b| a.right_shift(b.logical_and(same(7.0, b)))),
    ("abs x − y", |a, b| a.abs() - b),
    ("not x + neg y", |a, b| a.logical_not() + -b),
    ("sign x · y", |a, b| a.sign() * b),
];

/// A number of a tensor's type.
fn same(number: f64, like: &Tensor) -> Tensor {
    Tensor::full(&[], number, like.dtype())
}

/// Arithmetic of whole numbers, which wraps.
pub(super) fn whole(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.dtype.is_integer())?;
    let y = partner(d, x, |_| true)?;
    let (name, apply) = d.of(&WHOLE);
    let large = d.facts(x).dtype == DType::U8 && name.contains("shift");
    if large {
        return None;
    }
    d.push(name, &[x, y], move |x| apply(&x[0], &x[1]))
}
