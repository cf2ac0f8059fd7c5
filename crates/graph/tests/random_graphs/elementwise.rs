//! Elementwise steps.

use kiln_graph::{DType, Tensor};

/// An operation on two tensors.
type Binary = fn(&Tensor, &Tensor) -> Tensor;

use crate::decode::Decoder;
use crate::recipe::Facts;

type Unary = (&'static str, fn(&Tensor) -> Tensor, fn(f64) -> f64);

/// Smooth functions with a bound of their result, given one of their argument.
const SMOOTH: [Unary; 20] = [
    ("tanh", Tensor::tanh, |_| 1.0),
    ("· 0.75 + 0.5", |x| x * 0.75 + 0.5, |b| b * 0.75 + 0.5),
    ("sigmoid", Tensor::sigmoid, |_| 1.0),
    ("sin", Tensor::sin, |_| 1.0),
    ("cos", Tensor::cos, |_| 1.0),
    ("erf", Tensor::erf, |_| 1.0),
    ("arctan", Tensor::arctan, |_| 1.6),
    ("square", Tensor::square, |b| b * b),
    ("exp(−x²)", |x| (-(x * x)).exp(), |_| 1.0),
    ("sqrt(x² + 1)", |x| (x * x + 1.0).sqrt(), |b| b + 1.0),
    ("rsqrt(x² + 1)", |x| (x * x + 1.0).rsqrt(), |_| 1.0),
    ("log1p(x²)", |x| (x * x).log1p(), |b| (b * b).ln_1p()),
    ("log(x² + 0.5)", |x| (x * x + 0.5).log(), |b| (b * b + 0.5).ln().abs().max(0.7)),
    ("expm1(tanh x)", |x| x.tanh().expm1(), |_| 1.72),
    ("1 / (x² + 1)", |x| (x * x + 1.0).reciprocal(), |_| 1.0),
    ("tan(sin x)", |x| x.sin().tan(), |_| 1.56),
    ("x − stop_gradient(x / 2)", |x| x - (x * 0.5).stop_gradient(), |b| 1.5 * b),
    ("sigmoid x · x", |x| x.sigmoid() * x, |b| b),
    ("3 − x", |x| 3.0 - x, |b| b + 3.0),
    ("barrier", Tensor::barrier, |b| b),
];

/// Functions that are exact, with jumps in their gradients.
const KINKED: [Unary; 4] = [
    ("neg", Tensor::neg, |b| b),
    ("abs", Tensor::abs, |b| b),
    ("relu", Tensor::relu, |b| b),
    ("clip(−1, 1.5)", |x| x.clip(-1.0, 1.5), |b| b.min(1.5)),
];

/// Functions with jumps.
const STEPPED: [Unary; 6] = [
    ("floor", Tensor::floor, |b| b + 1.0),
    ("ceil", Tensor::ceil, |b| b + 1.0),
    ("round", Tensor::round, |b| b + 1.0),
    ("trunc", Tensor::trunc, |b| b),
    ("sign", Tensor::sign, |_| 1.0),
    ("square", Tensor::square, |b| b * b),
];

pub(crate) fn unary(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.dtype.is_float())?;
    let facts = d.facts(x);
    match d.choose(6) {
        0 => {
            let (name, apply, bound) = KINKED[d.choose(KINKED.len())];
            d.push_rough(name, &[x], bound(facts.bound), move |x| apply(&x[0]))
        }
        1 if facts.exact => {
            let (name, apply, bound) = STEPPED[d.choose(STEPPED.len() - 1)];
            d.push(name, &[x], bound(facts.bound), move |x| apply(&x[0]))
        }
        _ => {
            let (name, apply, bound) = SMOOTH[d.choose(SMOOTH.len())];
            d.push_inexact(name, &[x], bound(facts.bound), move |x| apply(&x[0]))
        }
    }
}

/// A second operand that broadcasts with `x`: an earlier value, else a new leaf.
pub(crate) fn partner(d: &mut Decoder, x: usize, wanted: impl Fn(&Facts) -> bool) -> Option<usize> {
    let facts = d.facts(x);
    let fits = |f: &Facts| {
        let count = kiln_graph::broadcast(&f.shape, &facts.shape).map(|s| s.iter().product::<usize>());
        f.dtype == facts.dtype && count.is_some_and(|c| c < 3000) && wanted(f)
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

pub(crate) fn binary(d: &mut Decoder) -> Option<usize> {
    if d.choose(8) == 7 {
        return whole(d);
    }
    let kind = d.choose(10);
    let x = d.pick(|f| f.dtype.is_float())?;
    let y = partner(d, x, |_| true)?;
    let (a, b) = (d.facts(x), d.facts(y));
    let both = [x, y];
    match kind {
        0..=1 => d.push("add", &both, a.bound + b.bound, |x| &x[0] + &x[1]),
        2..=3 => d.push_inexact("mul", &both, a.bound * b.bound, |x| &x[0] * &x[1]),
        4 => d.push("sub", &both, a.bound + b.bound, |x| &x[0] - &x[1]),
        5 => d.push_inexact("x / (y² + 1)", &both, a.bound, |x| &x[0] / (&x[1] * &x[1] + 1.0)),
        6 => d.push_rough("maximum", &both, a.bound.max(b.bound), |x| x[0].maximum(&x[1])),
        7 => d.push_rough("minimum", &both, a.bound.max(b.bound), |x| x[0].minimum(&x[1])),
        8 => d.push_inexact("sigmoid(x) + 0.5 to the power of tanh(y)", &both, 2.0, |x| {
            (x[0].sigmoid() + 0.5).pow(x[1].tanh())
        }),
        _ => d.push_inexact("arctan2(x, y² + 1)", &both, 1.6, |x| x[0].arctan2(&x[1] * &x[1] + 1.0)),
    }
}

/// Arithmetic of whole numbers, which wraps.
fn whole(d: &mut Decoder) -> Option<usize> {
    let x = d.pick(|f| f.dtype == DType::I32)?;
    let y = partner(d, x, |_| true)?;
    let ops: [(&str, Binary); 9] = [
        ("add", |a, b| a + b),
        ("sub", |a, b| a - b),
        ("mul", |a, b| a * b),
        ("maximum", |a, b| a.maximum(b)),
        ("and", |a, b| a.logical_and(b)),
        ("xor", |a, b| a.logical_xor(b)),
        ("or", |a, b| a.logical_or(b)),
        ("modulo (|y| and 15) + 1", |a, b| a.modulo(b.logical_and(15) + 1)),
        ("shift by y and 7", |a, b| a.left_shift(b.logical_and(7))),
    ];
    let (name, apply) = ops[d.choose(ops.len())];
    d.push(name, &[x, y], f64::INFINITY, move |x| apply(&x[0], &x[1]))
}

/// Comparisons of exact values, logic, and selection by them.
pub(crate) fn decision(d: &mut Decoder) -> Option<usize> {
    match d.choose(3) {
        0 => {
            let x = d.pick(|f| f.exact && f.dtype != DType::Bool)?;
            let y = partner(d, x, |f| f.exact)?;
            let ops: [(&str, Binary); 4] = [
                ("less", |a, b| a.less(b)),
                ("equal", |a, b| a.equal(b)),
                ("greater_equal", |a, b| a.greater_equal(b)),
                ("not_equal", |a, b| a.not_equal(b)),
            ];
            let (name, apply) = ops[d.choose(ops.len())];
            d.push(name, &[x, y], 1.0, move |x| apply(&x[0], &x[1]))
        }
        1 => {
            let x = d.pick(|f| f.dtype == DType::Bool)?;
            let y = partner(d, x, |_| true)?;
            let op = d.choose(3);
            d.push(format!("logic {op}"), &[x, y], 1.0, move |x| match op {
                0 => x[0].logical_and(&x[1]),
                1 => x[0].logical_or(x[1].logical_not()),
                _ => x[0].logical_xor(&x[1]),
            })
        }
        _ => {
            let x = d.pick(|f| f.dtype != DType::Bool)?;
            let y = partner(d, x, |_| true)?;
            let (a, b) = (d.facts(x), d.facts(y));
            let shape = kiln_graph::broadcast(&a.shape, &b.shape)?;
            let fits = |f: &Facts| {
                f.dtype == DType::Bool && kiln_graph::broadcast(&f.shape, &shape).as_ref() == Some(&shape)
            };
            let condition = match d.pick(fits) {
                Some(condition) => condition,
                None => d.leaf_of(shape.clone(), DType::Bool)?,
            };
            d.push("select", &[condition, x, y], a.bound.max(b.bound), |x| {
                Tensor::select(&x[0], &x[1], &x[2])
            })
        }
    }
}

/// Casts of exact values between all types, bits of floats, and random numbers.
pub(crate) fn conversion(d: &mut Decoder) -> Option<usize> {
    if d.choose(5) == 4 {
        return random(d);
    }
    let small = |f: &Facts| f.exact && f.bound <= 8.0;
    let x = d.pick(small)?;
    let facts = d.facts(x);
    let targets = [DType::F32, DType::I32, DType::F16, DType::BF16, DType::Bool, DType::F32];
    let to = targets[d.choose(targets.len())];
    if facts.dtype.is_float() && !to.is_float() && to != DType::Bool {
        return d.push(format!("cast {to}"), &[x], facts.bound, move |x| x[0].cast(to));
    }
    let text = format!("cast {to}");
    d.push(text, &[x], if to == DType::Bool { 1.0 } else { facts.bound }, move |x| x[0].cast(to))
}

fn random(d: &mut Decoder) -> Option<usize> {
    let shape = d.shape();
    let key = d.leaf_in(vec![2], DType::U32, (0, 1 << 20), 1.0)?;
    match d.choose(3) {
        0 => d.push_inexact(format!("random_uniform {shape:?}"), &[key], 1.0, move |x| {
            Tensor::random_uniform(&x[0], &shape)
        }),
        1 => d.push_inexact(format!("tanh of random_normal {shape:?}"), &[key], 1.0, move |x| {
            Tensor::random_normal(&x[0], &shape).tanh()
        }),
        _ => d.push(format!("random_bits {shape:?} as i32"), &[key], f64::INFINITY, move |x| {
            Tensor::random_bits(&x[0], &shape)
                .logical_and(Tensor::full(&[], 255.0, DType::U32))
                .cast(DType::I32)
        }),
    }
}
