//! Cases of what is arithmetic on primitives.

use kiln_device::DType;
use kiln_graph::{Padding, Tensor};

use crate::case::Tolerance::{Absolute, Exact, Largest, Near, Ulp};
use crate::case::{Case, Input};

pub(crate) fn cases() -> Vec<Case> {
    [activations(), losses(), statistics(), pools(), arithmetic(), many(), positions()].concat()
}

fn activations() -> Vec<Case> {
    let shapes: [(&[usize], i64); 6] =
        [(&[5], 0), (&[1], 0), (&[3, 4], 1), (&[3, 4], 0), (&[2, 3, 4], -2), (&[0, 3], 1)];
    let mut cases = vec![];
    for (shape, axis) in shapes {
        let input = || [Input::distinct(shape)];
        let mut add = |name: &str, build: fn(&Tensor, i64) -> Tensor| {
            let name = format!("{name} {shape:?} {axis}");
            cases
                .push(Case::new(name, input(), Absolute(2e-6), move |x| build(&x[0], axis)).differentiable());
        };
        add("softmax", |x, axis| x.softmax(axis));
        add("log_softmax", |x, axis| x.log_softmax(axis));
        add("logsumexp", |x, axis| x.logsumexp(axis));
        cases.push(Case::new(format!("relu {shape:?}"), input(), Exact, |x| x[0].relu()));
    }
    // A sign that a compiler knows, given to a magnitude.
    let input = || [Input::distinct(&[7])];
    cases.push(Case::new("tanh of sigmoid", input(), Ulp(4.0), |x| x[0].sigmoid().tanh()).differentiable());
    cases.push(Case::new("atan of exp", input(), Ulp(4.0), |x| x[0].exp().arctan()).differentiable());
    // One relu a shape: shapes with two axes stand twice above.
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases.dedup_by(|a, b| a.name == b.name);
    let cases = cases.into_iter().map(Case::differentiable).collect::<Vec<_>>();
    let extreme = [Input::values(&[2, 3], DType::F32, &[1e30, -1e30, 0.0, -1e30, -1e30, -1e30])];
    let many = [Input::range(&[4, 1000], -8.0, 8.0)];
    let forward = vec![
        Case::new("softmax of extremes", extreme.clone(), Absolute(2e-6), |x| x[0].softmax(-1)),
        Case::new("log_softmax of extremes", extreme, Ulp(2.0), |x| x[0].log_softmax(-1)),
        Case::new("softmax of 1000", many.clone(), Absolute(2e-6), |x| x[0].softmax(-1)),
        Case::new("log_softmax of 1000", many, Absolute(4e-6), |x| x[0].log_softmax(-1)),
    ];
    [cases, forward].concat()
}

fn losses() -> Vec<Case> {
    let mut cases = vec![];
    let shapes: [&[usize]; 4] = [&[4, 5], &[3], &[2, 3, 4], &[1, 1]];
    for shape in shapes {
        let (classes, rows) = (shape[shape.len() - 1] as i64, &shape[..shape.len() - 1]);
        let inputs = [Input::distinct(shape), Input::whole(rows, 0, classes - 1)];
        let build = |x: &[Tensor]| x[0].sparse_softmax_cross_entropy(&x[1]);
        cases.push(
            Case::new(format!("cross entropy {shape:?}"), inputs, Absolute(2e-6), build).differentiable(),
        );
    }
    let inputs =
        [Input::range(&[4, 3], -1.0, 1.0), Input::range(&[3, 5], -1.0, 1.0), Input::whole(&[4], 0, 4)];
    let network = |x: &[Tensor]| {
        let logits = x[0].matmul(&x[1]).tanh();
        logits.sparse_softmax_cross_entropy(&x[2]).mean(())
    };
    cases.push(Case::new("network", inputs, Absolute(4e-6), network).differentiable());
    cases
}

fn statistics() -> Vec<Case> {
    let shapes: [(&[usize], &[i64]); 5] =
        [(&[6], &[0]), (&[3, 4], &[1]), (&[3, 4], &[0, 1]), (&[2, 3, 4], &[0, 1]), (&[2, 3, 1], &[1])];
    let mut cases = vec![];
    for (shape, axes) in shapes {
        let mut add = |name: &str, build: fn(&Tensor, &[i64]) -> Tensor| {
            let name = format!("{name} {shape:?} {axes:?}");
            let input = [Input::distinct(shape)];
            cases.push(Case::new(name, input, Largest(64.0), move |x| build(&x[0], axes)).differentiable());
        };
        add("mean", |x, axes| x.mean(axes));
        add("variance", |x, axes| x.variance(axes));
        add("normalize_moments", |x, axes| x.normalize_moments(axes, 1e-3));
    }
    let offset = [Input::range(&[3, 64], 999.0, 1001.0)];
    cases.push(Case::new("variance about 1000", offset, Largest(2048.0), |x| x[0].variance(-1)));
    let integers = || [Input::whole(&[3, 4], -9, 9)];
    cases.push(Case::new("mean int32", integers(), Largest(8.0), |x| x[0].mean(0)));
    cases.push(Case::new("any", integers(), Exact, |x| x[0].greater(8).any(1)));
    cases.push(Case::new("all", integers(), Exact, |x| x[0].less(8).all(1)));
    cases.push(Case::new("sum bool", integers(), Exact, |x| x[0].less(0).sum(0)));
    cases
}

fn pools() -> Vec<Case> {
    type Row = (&'static [usize], &'static [usize], &'static [usize], Padding);
    use Padding::{Same, Valid};
    let rows: [Row; 7] = [
        (&[2, 6, 2], &[2], &[2], Valid),
        (&[1, 7, 1], &[3], &[2], Same),
        (&[1, 4, 5, 2], &[2, 2], &[1, 1], Valid),
        (&[1, 4, 5, 2], &[2, 3], &[2, 2], Same),
        (&[2, 3, 3, 1], &[3, 3], &[1, 1], Same),
        (&[1, 2, 3, 4, 1], &[2, 2, 2], &[1, 1, 2], Valid),
        (&[1, 1, 1], &[1], &[1], Valid),
    ];
    let mut cases = vec![];
    for (shape, pool, strides, padding) in rows {
        let label = format!("{shape:?} {pool:?} {strides:?} {padding:?}");
        let input = || [Input::distinct(shape)];
        let max = move |x: &[Tensor]| x[0].max_pool(pool, strides, padding);
        cases.push(Case::new(format!("max_pool {label}"), input(), Exact, max).differentiable());
        let mean = move |x: &[Tensor]| x[0].average_pool(pool, strides, padding);
        cases.push(Case::new(format!("average_pool {label}"), input(), Largest(16.0), mean).differentiable());
    }
    cases
}

fn arithmetic() -> Vec<Case> {
    let positive = || [Input::range(&[3, 4], 0.3, 1.2)];
    vec![
        Case::new("square", positive(), Exact, |x| x[0].square()).differentiable(),
        Case::new("reciprocal", positive(), Ulp(3.0), |x| x[0].reciprocal()).differentiable(),
        Case::new("tan", positive(), Absolute(2e-5), |x| x[0].tan()).differentiable(),
        Case::new("clip", [Input::distinct(&[9])], Exact, |x| x[0].clip(-1.0, 0.5)).differentiable(),
        Case::new("numbers on the left", positive(), Ulp(4.0), |x| 1.0 / (2.0 - &x[0])).differentiable(),
        Case::new("floor_divide", [Input::range(&[9], -7.0, 7.0)], Exact, |x| x[0].floor_divide(1.37)),
        Case::new("pow of a number", positive(), Ulp(16.0), |x| x[0].pow(2.5)).differentiable(),
        Case::new("cube of both signs", [Input::distinct(&[9])], Ulp(16.0), |x| x[0].pow(3.0))
            .differentiable(),
        Case::new("power of a number", [Input::distinct(&[9])], Ulp(16.0), |x| {
            Tensor::scalar(1.5f32).pow(&x[0])
        })
        .differentiable(),
        Case::new("one tensor twice", positive(), Ulp(4.0), |x| &x[0] * &x[0] + &x[0]).differentiable(),
        Case::new("mixed types", [Input::range(&[4], 0.0, 1.0), Input::whole(&[4], 1, 5)], Exact, |x| {
            &x[0] * &x[1]
        })
        .differentiable(),
        Case::new("half of the way", positive(), Largest(16384.0), |x| x[0].cast(DType::F16) * 2.0),
        Case::new(
            "is_finite",
            [Input::values(&[3], DType::F32, &[1.0, f64::INFINITY, f64::NAN])],
            Exact,
            |x| x[0].is_finite(),
        ),
    ]
}

/// More tensors than one kernel can bind.
fn many() -> Vec<Case> {
    let leaves = |shape: &'static [usize]| vec![Input::range(shape, -1.0, 1.0); 40];
    let sum = |x: &[Tensor]| x.iter().enumerate().map(|(i, t)| t * (i as f32 + 1.0)).reduce(|a, b| a + b);
    let sum = move |x: &[Tensor]| sum(x).unwrap_or_else(|| Tensor::zeros(&[3]));
    let scalars = |x: &[Tensor]| {
        let mut all: Vec<Tensor> = x[1..].iter().map(|t| t.sin()).collect();
        all.push(x[0].cos());
        all.iter().rev().map(|t| t.barrier()).reduce(|a, b| a + b).unwrap_or_else(|| Tensor::zeros(&[3]))
    };
    let mut with_vector = leaves(&[]);
    with_vector[0] = Input::range(&[3], -1.0, 1.0);
    vec![
        Case::new("sum of 40 leaves", leaves(&[3]), Near(2048.0), sum).differentiable(),
        Case::new("concat of 40 leaves", leaves(&[3]), Exact, |x| Tensor::concat(x, 0)).differentiable(),
        Case::new("40 scalars beside a vector", with_vector, Near(2048.0), scalars).differentiable(),
    ]
}

fn positions() -> Vec<Case> {
    let special = [1.0, 3.0, 3.0, f64::NAN, 2.0, f64::NAN];
    let special = || [Input::values(&[2, 3], DType::F32, &special)];
    let whole = || [Input::whole(&[3, 5], -3, 3)];
    vec![
        Case::new("argmax", special(), Exact, |x| x[0].argmax(-1)),
        Case::new("argmin", special(), Exact, |x| x[0].argmin(-1)),
        Case::new("argmax int32", whole(), Exact, |x| x[0].argmax(0)),
        Case::new("argmin int32", whole(), Exact, |x| x[0].argmin(1)),
        Case::new("one_hot", whole(), Exact, |x| x[0].one_hot(3, DType::F32)),
        Case::new("eye", [], Exact, |_| Tensor::eye(4)),
        Case::new("linspace", [], Exact, |_| Tensor::linspace(-1.0, 2.0, 7)),
        Case::new("matches_argmax", [Input::distinct(&[6, 3]), Input::whole(&[6], 0, 2)], Exact, |x| {
            x[0].matches_argmax(&x[1])
        }),
    ]
}
