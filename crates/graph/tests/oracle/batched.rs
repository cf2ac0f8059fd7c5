//! `vectorized_map` against `map`: every case of the table, as a function of rows, with rows in one argument and in all.

use kiln_graph::interpret::interpret_tensors;
use kiln_graph::{Tensor, gradients, ops, with_device};

use crate::case::Case;
use crate::cases;
use crate::executors::devices;

const ROWS: i64 = 3;

/// Rows of a leaf's form: its elements, moved on by one in each.
fn rows(leaf: &Tensor) -> Tensor {
    let flat = leaf.reshape(&[-1]);
    let count = leaf.len() as i64;
    let row = |n: i64| {
        let by = if count == 0 { 0 } else { n % count };
        let moved = Tensor::concat(&[flat.slice_axis(0, by, count), flat.slice_axis(0, 0, by)], 0);
        moved.reshape(&leaf.shape().iter().map(|e| *e as i64).collect::<Vec<i64>>())
    };
    Tensor::stack(&(0..ROWS).map(row).collect::<Vec<Tensor>>(), 0)
}

/// Which leaves get rows: all, then each alone.
fn choices(count: usize) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..count).collect();
    let each = all.iter().map(|n| vec![*n]);
    if count > 1 { std::iter::once(all.clone()).chain(each).collect() } else { vec![all.clone()] }
}

type Map = fn(&dyn Fn(&[Tensor]) -> Vec<Tensor>, &[Tensor]) -> Vec<Tensor>;

const MAPS: [Map; 2] = [|f, x| ops::map(f, x), |f, x| ops::vectorized_map(f, x)];

/// The results of a case for rows of the chosen leaves, by both maps: values, and gradients where there are some.
fn both(case: &Case, chosen: &[usize], with_gradients: bool) -> [Vec<Tensor>; 2] {
    let leaves = case.tensors();
    let all: Vec<Tensor> = chosen.iter().map(|n| rows(&leaves[*n])).collect();
    let one = |x: &[Tensor]| {
        let mut inputs = leaves.clone();
        chosen.iter().zip(x).for_each(|(n, row)| inputs[*n] = row.clone());
        (case.build)(&inputs)
    };
    MAPS.map(|map| {
        let results = map(&one, &all);
        if !with_gradients {
            return results;
        }
        let total = results.iter().filter(|t| t.dtype().is_float()).enumerate().map(|(n, t)| {
            let weights = Tensor::iota(&[t.len()], 0).to_float() * 0.03 + 0.5 + n as f32;
            (t.reshape(&[-1]).to_float() * weights).sum(())
        });
        let total = total.reduce(|a, b| a + b).expect("a float result");
        let of: Vec<Tensor> = all.iter().chain(&leaves).filter(|t| t.dtype().is_float()).cloned().collect();
        gradients(&total, &of).unwrap_or_else(|e| panic!("{}: {e}", case.name))
    })
}

/// Differences of two lists of values.
fn differences(name: &str, expected: &[Vec<f64>], got: &[Vec<f64>], relative: f64) -> Vec<String> {
    if expected.iter().map(Vec::len).ne(got.iter().map(Vec::len)) {
        return vec![format!("{name}: other numbers of elements")];
    }
    let largest = |list: &[f64]| list.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
    let mut wrong = vec![];
    for (n, (expected, got)) in expected.iter().zip(got).enumerate() {
        let limit = relative * largest(expected);
        let same = |(a, b): (&f64, &f64)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= limit;
        if let Some(i) = expected.iter().zip(got).position(|pair| !same(pair)) {
            wrong.push(format!("{name} #{n}[{i}]: {}, not {}", got[i], expected[i]));
        }
    }
    wrong
}

fn check(case: &Case, chosen: &[usize], with_gradients: bool) -> Vec<String> {
    let what = if with_gradients { "gradients of " } else { "" };
    let name = format!("{what}{} by rows of {chosen:?}", case.name);
    let [expected, got] = both(case, chosen, with_gradients);
    let shapes = |list: &[Tensor]| list.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect::<Vec<_>>();
    if let Some(error) = expected.iter().chain(&got).find_map(Tensor::error) {
        return vec![format!("{name}: {error}")];
    }
    if shapes(&expected) != shapes(&got) {
        return vec![format!("{name}: {:?}, not {:?}", shapes(&got), shapes(&expected))];
    }
    match (interpret_tensors(&expected), interpret_tensors(&got)) {
        (Ok(expected), Ok(got)) => differences(&name, &expected, &got, 1e-9),
        (Err(_), Err(_)) => vec![],
        (Err(error), Ok(_)) => vec![format!("{name}: only map fails: {error}")],
        (Ok(_), Err(error)) => vec![format!("{name}: {error}")],
    }
}

#[test]
fn every_case_by_rows_agrees_with_map() {
    let all = cases();
    let of = |case: &Case| {
        let count = case.tensors().len();
        let check = |chosen: Vec<usize>| check(case, &chosen, false);
        if count == 0 { vec![] } else { choices(count).into_iter().flat_map(check).collect::<Vec<_>>() }
    };
    let wrong: Vec<String> = all.iter().flat_map(of).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn gradients_by_rows_agree_with_those_of_map() {
    let all = cases();
    let of = |case: &Case| {
        let count = case.tensors().len();
        choices(count).into_iter().flat_map(|chosen| check(case, &chosen, true)).collect::<Vec<_>>()
    };
    let differentiable = all.iter().filter(|case| case.differentiable && !case.tensors().is_empty());
    let wrong: Vec<String> = differentiable.flat_map(of).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

type OfRow = fn(&[Tensor]) -> Vec<Tensor>;

/// Functions of a row whose control flow depends on it.
fn controlled() -> Vec<(&'static str, OfRow)> {
    vec![
        ("cond", |x| {
            ops::cond(
                &x[0].sum(()).greater(1.0),
                || vec![x[0].exp(), &x[1] * 2.0],
                || vec![-&x[0], x[1].sin()],
            )
        }),
        ("switch", |x| {
            let index = (x[0].sum(()) * 2.0).cast(kiln_graph::DType::I32);
            ops::switch(
                &index,
                &[&|x| vec![x[0].sin()], &|x| vec![&x[0] * &x[1]], &|_| vec![Tensor::ones(&[2])]],
                x,
            )
        }),
        ("a branch shared by all rows", |_| {
            let flag = Tensor::scalar(2.0f32).greater(1.0);
            ops::cond(&flag, || vec![Tensor::ones(&[2])], || vec![Tensor::zeros(&[2])])
        }),
        ("while_loop", |x| {
            let grow = |v: &[Tensor]| vec![&v[0] * 1.7 + &x[1], &v[1] + 1];
            ops::while_loop(|v| v[0].sum(()).less(20.0), grow, &[x[0].clone(), Tensor::scalar(0)], Some(30))
        }),
        ("a loop that some rows do not enter", |x| {
            let halve = |v: &[Tensor]| vec![(&v[0] * 0.5).sin()];
            ops::while_loop(|v| v[0].sum(()).greater(0.9), halve, &x[..1], Some(9))
        }),
        ("a loop in a branch", |x| {
            let looped = || {
                let body = |v: &[Tensor]| vec![&v[0] * 2.0];
                ops::while_loop(|v| v[0].max(()).less(9.0), body, &[&x[0] + 0.1], Some(12))
            };
            ops::cond(&x[1].sum(()).greater(1.0), looped, || vec![x[1].clone()])
        }),
        ("scan", |x| {
            let f = |c: &[Tensor], row: &[Tensor]| {
                let next = (&c[0] * &x[1] + &row[0]).tanh();
                (vec![next.clone()], vec![next.square()])
            };
            let (last, all) = ops::scan(f, &[x[0].clone()], &[x[0].clone()], None, true);
            vec![last[0].clone(), all[0].clone()]
        }),
        ("a scan over arrays of all rows", |x| {
            let f = |c: &[Tensor], row: &[Tensor]| (vec![&c[0] * &row[0] + 0.1], vec![row[0].exp()]);
            let (last, all) =
                ops::scan(f, &[x[0].clone()], &[Tensor::from_slice(&[1.0f32, 0.5, 2.0])], None, false);
            vec![last[0].clone(), all[0].clone()]
        }),
        ("an index that counts in one branch alone", |x| {
            let table = Tensor::from_slice(&[1.0f32, 2.0]);
            let index = (x[0].sum(()) * 2.0).cast(kiln_graph::DType::I32);
            let valid = index.less(2);
            ops::cond(&valid, || vec![table.take(&index, 0)], || vec![Tensor::scalar(-1.0f32)])
        }),
        ("vectorized_map", |x| {
            let y = &x[1];
            ops::vectorized_map(|e| vec![&e[0] * y + e[0].exp()], &x[..1])
        }),
        ("gradients", |x| {
            let y = (x[0].exp() * &x[1]).sum(());
            let g = gradients(&y, x).expect("gradients");
            vec![g[0].clone(), g[1].clone()]
        }),
        ("a gradient of one's own", |x| {
            let rule = |g: &Tensor, y: &Tensor, x: &[Tensor]| vec![Some(g * y), Some(g * &x[0])];
            vec![Tensor::custom_gradient(&(&x[0] * &x[1]), x, rule)]
        }),
        ("a gradient of one's own with what all rows share", |x| {
            let shared = Tensor::from_slice(&[0.25f32, 4.0]);
            let rule = |g: &Tensor, _: &Tensor, x: &[Tensor]| vec![Some(g * &x[1]), Some(g * &x[0])];
            vec![Tensor::custom_gradient(&(&x[0] * &shared), &[x[0].clone(), shared], rule)]
        }),
        ("a gradient of one's own that names a row", |x| {
            let y = x[1].clone();
            let rule = move |g: &Tensor, _: &Tensor, _: &[Tensor]| vec![Some(g * &y)];
            vec![Tensor::custom_gradient(&(&x[0] * &x[1]), &x[..1], rule)]
        }),
        ("a gradient of one's own in a scan that names a row", |x| {
            let f = |c: &[Tensor], row: &[Tensor]| {
                let y = x[1].clone();
                let rule = move |g: &Tensor, _: &Tensor, _: &[Tensor]| vec![Some(g * y.sin())];
                let next = Tensor::custom_gradient(&c[0].tanh(), c, rule) * &row[0];
                (vec![next.clone()], vec![next])
            };
            let (last, all) = ops::scan(f, &[x[0].clone()], &[x[0].clone()], None, false);
            vec![last[0].clone(), all[0].clone()]
        }),
        ("the gradient of a loop", |x| {
            let grow = |v: &[Tensor]| vec![&v[0] * 1.5 + x[1].sin()];
            let y = ops::while_loop(|v| v[0].sum(()).less(9.0), grow, &x[..1], Some(20));
            gradients(&y[0].square().sum(()), x).expect("gradients")
        }),
        ("a host call", |x| {
            let form = (vec![2], kiln_graph::DType::F32);
            kiln_graph::host_call("turned", &x[..1], &[form], |x| {
                let mut values = x[0].as_slice::<f32>()?.to_vec();
                values.reverse();
                Ok(vec![kiln_graph::HostArray::new([2], values)])
            })
        }),
    ]
}

#[test]
fn control_flow_by_rows_agrees_with_map() {
    let values = [0.1f32, 0.3, 1.2, 0.8, 2.5, 0.4, 0.2, 0.25, 0.7, 0.6, 3.0, 6.5];
    let all = || [Tensor::from_vec(values, &[6, 2]), Tensor::from_vec(values, &[6, 2]).flip(0)];
    let mut wrong = vec![];
    for (name, f) in controlled() {
        for device in devices() {
            let compute = |map: Map, with_gradients: bool| {
                let x = all();
                let results = map(&f, &x);
                let total = results.iter().filter(|t| t.dtype().is_float()).map(|t| t.square().sum(()));
                let total = total.reduce(|a, b| a + b).expect("a float result");
                let tensors = if with_gradients { gradients(&total, &x)? } else { results };
                let read =
                    |t: &Tensor| Ok(t.to_float().to_vec::<f32>()?.into_iter().map(f64::from).collect());
                with_device(&device, || {
                    tensors.iter().map(read).collect::<kiln_graph::Result<Vec<Vec<f64>>>>()
                })
            };
            for with_gradients in [false, true] {
                if with_gradients && name == "a host call" {
                    continue;
                }
                let name = format!("{name} on {device}, gradients: {with_gradients}");
                match (compute(MAPS[0], with_gradients), compute(MAPS[1], with_gradients)) {
                    (Ok(expected), Ok(got)) => wrong.extend(differences(&name, &expected, &got, 1e-5)),
                    (a, b) => wrong.push(format!("{name}: {:?} and {:?}", a.err(), b.err())),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rows_are_one_kernel_where_one_row_is() {
    let f = kiln_graph::Function::new("rows", |x| Ok(ops::vectorized_map(|x| vec![x[0].softmax(-1)], x)));
    let report = with_device(&kiln_graph::Device::cpu(), || f.explain(&[Tensor::ones(&[16, 4, 50])]));
    assert_eq!(report.expect("a report").kernels.len(), 1);
}

#[test]
fn no_rows_have_results_without_rows() {
    let f = |x: &[Tensor]| {
        let y = x[0].conv(&x[1], &[1], kiln_graph::Padding::Same, &[1], 1);
        let z = ops::while_loop(|v| v[0].sum(()).less(9.0), |v| vec![&v[0] * 2.0], &[y.exp()], None);
        vec![y, z[0].argsort(-1, false)]
    };
    let none = ops::vectorized_map(f, &[Tensor::ones(&[0, 1, 5, 2]), Tensor::ones(&[0, 3, 2, 4])]);
    assert!(none.iter().all(|t| t.shape() == [0, 1, 5, 4]), "{none:?}");
    assert_eq!(none[0].to_vec::<f32>().expect("no rows"), Vec::<f32>::new());
    assert_eq!(none[1].to_vec::<i32>().expect("no rows"), Vec::<i32>::new());
}
