//! The table of constructs, each with the same computation unrolled.

use std::rc::Rc;

use kiln_graph::{DType, Tensor, ops};

use crate::support::{tensor_of, unit};

pub(crate) type Build = Rc<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

type Leaf = (Vec<usize>, DType);

/// One construct.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    leaves: Vec<Leaf>,
    /// Values of the integer leaves.
    integers: Vec<f64>,
    pub(crate) looped: Build,
    pub(crate) unrolled: Build,
    pub(crate) differentiable: bool,
    /// Second derivatives are compared too.
    pub(crate) second: bool,
}

impl Case {
    /// Fresh leaves: floats in 0.2..1.2, integers as given.
    pub(crate) fn inputs(&self) -> Vec<Tensor> {
        let leaf = |(n, (shape, dtype)): (usize, &Leaf)| {
            let count: usize = shape.iter().product();
            let value = |i: usize| match dtype.is_float() {
                true => 0.2 + unit(i, n),
                false => self.integers[i % self.integers.len()],
            };
            tensor_of(&(0..count).map(value).collect::<Vec<f64>>(), shape, *dtype)
        };
        self.leaves.iter().enumerate().map(leaf).collect()
    }

    fn integers(self, values: &[f64]) -> Case {
        Case { integers: values.to_vec(), ..self }
    }

    fn values_only(self) -> Case {
        Case { differentiable: false, ..self }
    }

    pub(crate) fn second(self) -> Case {
        Case { second: true, ..self }
    }
}

pub(crate) fn case(
    name: &'static str,
    shapes: &[&[usize]],
    looped: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static,
    unrolled: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static,
) -> Case {
    let leaves = shapes.iter().map(|s| (s.to_vec(), DType::F32)).collect();
    let (looped, unrolled) = (Rc::new(looped), Rc::new(unrolled));
    Case { name, leaves, integers: vec![0.0], looped, unrolled, differentiable: true, second: false }
}

pub(crate) fn with_integers(mut case: Case, shapes: &[&[usize]], values: &[f64]) -> Case {
    case.leaves.extend(shapes.iter().map(|s| (s.to_vec(), DType::I32)));
    case.integers(values)
}

pub(crate) fn cases() -> Vec<Case> {
    [branches(), counted(), conditional(), scans(), nested(), associative(), crate::arrays::cases()]
        .into_iter()
        .flatten()
        .collect()
}

fn branches() -> Vec<Case> {
    let mut cases = vec![];
    for taken in [0.0, 1.0] {
        let looped = |x: &[Tensor]| {
            let w = x[1].exp();
            ops::cond(
                &x[2].equal(1),
                || vec![x[0].matmul(&w).tanh(), x[0].sum(())],
                || vec![x[0].matmul(&w) * 3.0, (&w * 2.0).sum(())],
            )
        };
        let unrolled = move |x: &[Tensor]| {
            let w = x[1].exp();
            match taken == 1.0 {
                true => vec![x[0].matmul(&w).tanh(), x[0].sum(())],
                false => vec![x[0].matmul(&w) * 3.0, (&w * 2.0).sum(())],
            }
        };
        let name = if taken == 1.0 { "cond, then" } else { "cond, otherwise" };
        let made = case(name, &[&[3, 4], &[4, 2]], looped, unrolled).second();
        cases.push(with_integers(made, &[&[]], &[taken]));
    }
    for (name, index, arm) in [("switch -3", -3, 0), ("switch 1", 1, 1), ("switch 9", 9, 2)] {
        let arms = |x: &[Tensor]| [x[0].square(), &x[0] * &x[1], x[1].exp() + 1.0];
        let looped = move |x: &[Tensor]| {
            let branches: [ops::Branch<'_>; 3] =
                [&move |x| vec![arms(x)[0].clone()], &move |x| vec![arms(x)[1].clone()], &move |x| {
                    vec![arms(x)[2].clone()]
                }];
            ops::switch(&x[2], &branches, &x[..2])
        };
        let made = case(name, &[&[5], &[5]], looped, move |x| vec![arms(x)[arm].clone()]);
        cases.push(with_integers(made, &[&[]], &[f64::from(index)]));
    }
    let passed_through = |x: &[Tensor]| {
        let both = || vec![x[0].clone(), x[0].clone(), Tensor::ones(&[2])];
        ops::cond(&x[1].less(5), both, || {
            vec![x[0].transpose(&[1, 0]).transpose(&[1, 0]), &x[0] + 1.0, x[0].sum(0)]
        })
    };
    let plain = |x: &[Tensor]| vec![x[0].clone(), x[0].clone(), Tensor::ones(&[2])];
    let made = case("cond that passes its inputs through", &[&[3, 2]], passed_through, plain);
    cases.push(with_integers(made, &[&[]], &[1.0]));
    cases
}

fn counted() -> Vec<Case> {
    let power = |i: &Tensor, x: &[Tensor]| vec![&x[0] * &x[0] + i.to_float() * 0.125, &x[1] + &x[0].sum(())];
    let unrolled = |range: std::ops::Range<i32>| {
        move |x: &[Tensor]| {
            let (mut a, mut b) = (x[0].clone(), x[1].clone());
            for i in range.clone() {
                let next = &a * &a + i as f32 * 0.125;
                b = b + a.sum(());
                a = next;
            }
            vec![a, b]
        }
    };
    let swap = |_: &Tensor, x: &[Tensor]| vec![x[1].clone(), &x[0] + &x[1]];
    vec![
        case("fori_loop", &[&[3], &[]], move |x| ops::fori_loop(2, 5, power, x), unrolled(2..5)).second(),
        case("fori_loop of none", &[&[3], &[]], move |x| ops::fori_loop(2, 2, power, x), unrolled(2..2)),
        with_integers(
            case(
                "fori_loop to a number from data",
                &[&[3], &[]],
                move |x| ops::fori_loop(0, &x[2], power, &x[..2]),
                unrolled(0..3),
            ),
            &[&[]],
            &[3.0],
        )
        .values_only(),
        case(
            "fibonacci",
            &[&[2], &[2]],
            move |x| ops::fori_loop(0, 6, swap, x),
            |x| {
                let (mut a, mut b) = (x[0].clone(), x[1].clone());
                for _ in 0..6 {
                    (a, b) = (b.clone(), a + b);
                }
                vec![a, b]
            },
        ),
        case(
            "rows read and written at the number of the turn",
            &[&[4, 3]],
            |x| {
                let body = |i: &Tensor, c: &[Tensor]| {
                    let row = x[0].take(i, 0) * 2.0 + c[0].take(&(i - 1).maximum(0), 0);
                    vec![c[0].scatter(&i.reshape(&[1]), &row.expand_dims(0), kiln_graph::ScatterOp::Set)]
                };
                ops::fori_loop(0, 4, body, &[&x[0] * 0.0])
            },
            |x| {
                let mut rows: Vec<Tensor> = vec![];
                for i in 0..4 {
                    let row = x[0].slice_axis(0, i, i + 1) * 2.0;
                    rows.push(rows.last().map_or(row.clone(), |last| &row + last));
                }
                vec![Tensor::concat(&rows, 0)]
            },
        )
        .second(),
    ]
}

fn conditional() -> Vec<Case> {
    let grows = |x: &[Tensor]| x[0].sum(()).less(12.0);
    let body = |w: &Tensor| {
        let w = w.clone();
        move |x: &[Tensor]| vec![(&x[0] * &w).matmul(&x[1]) + 1.0 + &x[0], x[1].clone(), &x[2] + 1]
    };
    let unrolled = move |turns: usize| {
        move |x: &[Tensor]| {
            let (mut a, mut n) = (x[0].clone(), Tensor::scalar(0));
            for _ in 0..turns {
                if a.sum(()).item::<f32>().expect("a number") >= 12.0 {
                    break;
                }
                a = (&a * &x[2]).matmul(&x[1]) + 1.0 + &a;
                n = n + 1;
            }
            vec![a, x[1].clone(), n]
        }
    };
    let looped = move |most: Option<usize>| {
        move |x: &[Tensor]| {
            let init = [x[0].clone(), x[1].clone(), Tensor::scalar(0)];
            ops::while_loop(grows, body(&x[2]), &init, most)
        }
    };
    let shapes: [&[usize]; 3] = [&[2, 3], &[3, 3], &[1]];
    vec![
        case("while_loop", &shapes, looped(None), unrolled(50)).values_only(),
        case("while_loop, at most 9 times", &shapes, looped(Some(9)), unrolled(9)).second(),
        case("while_loop, at most twice", &shapes, looped(Some(2)), unrolled(2)),
        case("while_loop, at most never", &shapes, looped(Some(0)), unrolled(0)),
        case(
            "while_loop that is over at once",
            &[&[2]],
            |x| ops::while_loop(|x| x[0].sum(()).less(-1.0), |x| vec![&x[0] * 2.0], x, Some(3)),
            |x| x.to_vec(),
        ),
    ]
}

/// A recurrent cell of input, state, weights and bias.
fn cell(x: &Tensor, h: &Tensor, w: &[Tensor]) -> Tensor {
    (x.matmul(&w[0]) + h.matmul(&w[1]) + &w[2]).tanh()
}

fn recurrent(reverse: bool) -> impl Fn(&[Tensor]) -> Vec<Tensor> {
    move |x: &[Tensor]| {
        let f = |h: &[Tensor], row: &[Tensor]| {
            let h = cell(&row[0], &h[0], &x[2..]);
            (vec![h.clone()], vec![h.clone(), h.sum(-1)])
        };
        let (last, all) = ops::scan(f, &x[1..2], &x[..1], None, reverse);
        [last, all].concat()
    }
}

fn recurrent_unrolled(reverse: bool) -> impl Fn(&[Tensor]) -> Vec<Tensor> {
    move |x: &[Tensor]| {
        let turns = x[0].shape()[0] as i64;
        let (mut h, mut rows) = (x[1].clone(), vec![]);
        for i in 0..turns {
            let i = if reverse { turns - 1 - i } else { i };
            h = cell(&x[0].slice_axis(0, i, i + 1).squeeze(0), &h, &x[2..]);
            rows.push(h.clone());
        }
        if reverse {
            rows.reverse();
        }
        let sums: Vec<Tensor> = rows.iter().map(|h| h.sum(-1)).collect();
        vec![h, Tensor::stack(&rows, 0), Tensor::stack(&sums, 0)]
    }
}

fn scans() -> Vec<Case> {
    let shapes: [&[usize]; 5] = [&[5, 2, 3], &[2, 4], &[3, 4], &[4, 4], &[4]];
    let none = |x: &[Tensor]| {
        let f = |c: &[Tensor], row: &[Tensor]| (vec![&c[0] * 2.0], vec![&c[0] + &row[0]]);
        let (last, all) = ops::scan(f, &x[1..], &x[..1], None, false);
        [last, all].concat()
    };
    let no_arrays = |x: &[Tensor]| {
        let f = |c: &[Tensor], _: &[Tensor]| (vec![c[0].square(), &c[1] + 1], vec![c[0].clone(), &c[1] * 3]);
        let (last, all) = ops::scan(f, &[x[0].clone(), Tensor::scalar(0)], &[], Some(3), true);
        [last, all].concat()
    };
    let no_arrays_unrolled = |x: &[Tensor]| {
        let (mut c, mut rows) = (x[0].clone(), vec![]);
        for _ in 0..3 {
            rows.insert(0, c.clone());
            c = c.square();
        }
        let counts = Tensor::from_slice(&[6, 3, 0]);
        vec![c, Tensor::scalar(3), Tensor::stack(&rows, 0), counts]
    };
    let softmax = |x: &Tensor| x.softmax(-1) * x.max(());
    vec![
        case("scan", &shapes, recurrent(false), recurrent_unrolled(false)).second(),
        case("scan reversed", &shapes, recurrent(true), recurrent_unrolled(true)).second(),
        case("scan of no rows", &[&[0, 2], &[2]], none, |x| vec![x[1].clone(), Tensor::zeros(&[0, 2])]),
        case("scan of no arrays", &[&[3]], no_arrays, no_arrays_unrolled),
        case(
            "map",
            &[&[4, 5], &[4]],
            move |x| ops::map(|x| vec![softmax(&x[0]) * &x[1], x[1].exp()], x),
            move |x| {
                let row = |t: &Tensor, i: i64| t.slice_axis(0, i, i + 1).squeeze(0);
                let first: Vec<Tensor> = (0..4).map(|i| softmax(&row(&x[0], i)) * row(&x[1], i)).collect();
                vec![Tensor::stack(&first, 0), x[1].exp()]
            },
        )
        .second(),
        case(
            "vectorized_map",
            &[&[3, 2]],
            |x| ops::vectorized_map(|x| vec![x[0].sum(()) * &x[0]], x),
            |x| vec![x[0].sum(-1).expand_dims(1) * &x[0]],
        ),
        case(
            "scan with a mask and an index",
            &[&[4, 3]],
            |x| {
                let f = |c: &[Tensor], row: &[Tensor]| {
                    let best = row[0].argsort(-1, true).slice_axis(0, 0, 1);
                    let c =
                        Tensor::select(&row[0].greater(0.7), &row[0] * &c[0], &c[0]) + row[0].take(&best, 0);
                    (vec![c], vec![best])
                };
                let (last, all) = ops::scan(f, &[x[0].slice_axis(0, 0, 1).squeeze(0)], x, None, false);
                [last, all].concat()
            },
            |x| {
                let mut c = x[0].slice_axis(0, 0, 1).squeeze(0);
                let mut best = vec![];
                for i in 0..4 {
                    let row = x[0].slice_axis(0, i, i + 1).squeeze(0);
                    best.push(row.argsort(-1, true).slice_axis(0, 0, 1));
                    c = Tensor::select(&row.greater(0.7), &row * &c, &c) + row.take(&best[i as usize], 0);
                }
                vec![c, Tensor::stack(&best, 0)]
            },
        ),
    ]
}

fn nested() -> Vec<Case> {
    // A loop in a branch in a loop.
    let looped = |x: &[Tensor]| {
        let f = |c: &[Tensor], row: &[Tensor]| {
            let inner = |_: &Tensor, y: &[Tensor]| vec![(&y[0] * &row[0] + &x[2]).tanh()];
            let c = ops::cond(
                &row[1].greater(1),
                || ops::fori_loop(0, 3, inner, c),
                || vec![&c[0] * &row[0].sum(())],
            );
            (c.clone(), c)
        };
        let (last, all) = ops::scan(f, &x[1..2], &[x[0].clone(), x[3].clone()], None, false);
        [last, all].concat()
    };
    let unrolled = |x: &[Tensor]| {
        let (mut c, mut rows) = (x[1].clone(), vec![]);
        for (i, choice) in [0, 2, 1, 2].into_iter().enumerate() {
            let row = x[0].slice_axis(0, i as i64, i as i64 + 1).squeeze(0);
            if choice > 1 {
                for _ in 0..3 {
                    c = (&c * &row + &x[2]).tanh();
                }
            } else {
                c = &c * row.sum(());
            }
            rows.push(c.clone());
        }
        vec![c, Tensor::stack(&rows, 0)]
    };
    let scan_in_scan = |x: &[Tensor]| {
        let outer = |c: &[Tensor], row: &[Tensor]| {
            let inner = |c: &[Tensor], y: &[Tensor]| {
                let c = (&c[0] * &y[0]).sin() + &x[2];
                (vec![c.clone()], vec![c.square()])
            };
            let (last, all) = ops::scan(inner, c, row, None, true);
            (last, vec![all[0].sum(0)])
        };
        let (last, all) = ops::scan(outer, &x[1..2], &x[..1], None, false);
        [last, all].concat()
    };
    let scan_in_scan_unrolled = |x: &[Tensor]| {
        let (mut c, mut sums) = (x[1].clone(), vec![]);
        for i in 0..3 {
            let row = x[0].slice_axis(0, i, i + 1).squeeze(0);
            let mut sum = Tensor::zeros(&[2]);
            for j in (0..4).rev() {
                c = (&c * row.slice_axis(0, j, j + 1).squeeze(0)).sin() + &x[2];
                sum = sum + c.square();
            }
            sums.push(sum);
        }
        vec![c, Tensor::stack(&sums, 0)]
    };
    let made = case("a loop in a branch in a loop", &[&[4, 3], &[3], &[3]], looped, unrolled).second();
    vec![
        with_integers(made, &[&[4]], &[0.0, 2.0, 1.0, 2.0]),
        case("scan in scan", &[&[3, 4, 2], &[2], &[]], scan_in_scan, scan_in_scan_unrolled).second(),
        case(
            "while in map",
            &[&[3]],
            |x| {
                let f =
                    |x: &[Tensor]| ops::while_loop(|y| y[0].less(3.0), |y| vec![&y[0] * 1.75], x, Some(20));
                ops::map(f, x)
            },
            |x| {
                let values = x[0].to_vec::<f32>().expect("values");
                let grown = |(i, value): (i64, f32)| {
                    let (mut y, mut v) = (x[0].slice_axis(0, i, i + 1), value);
                    while v < 3.0 {
                        (y, v) = (y * 1.75, v * 1.75);
                    }
                    y
                };
                vec![Tensor::concat(&(0..).zip(values).map(grown).collect::<Vec<_>>(), 0)]
            },
        ),
    ]
}

fn associative() -> Vec<Case> {
    // The composition of affine functions, which does not commute.
    let compose = |a: &[Tensor], b: &[Tensor]| vec![&a[0] * &b[0], &a[1] * &b[0] + &b[1]];
    let unrolled = |axis: i64, reverse: bool| {
        move |x: &[Tensor]| {
            let length = x[0].shape()[axis as usize] as i64;
            let part = |t: &Tensor, i: i64| t.slice_axis(axis, i, i + 1);
            let mut order: Vec<i64> = (0..length).collect();
            if reverse {
                order.reverse();
            }
            let mut all: Vec<Vec<Tensor>> = vec![];
            for i in order {
                let here = [part(&x[0], i), part(&x[1], i)];
                all.push(all.last().map_or(here.to_vec(), |last| compose(last, &here)));
            }
            if reverse {
                all.reverse();
            }
            let joined =
                |n: usize| Tensor::concat(&all.iter().map(|pair| pair[n].clone()).collect::<Vec<_>>(), axis);
            vec![joined(0), joined(1)]
        }
    };
    let mut cases = vec![];
    for (name, shape, axis, reverse) in [
        ("associative_scan 1", &[1usize, 2][..], 0, false),
        ("associative_scan 2", &[2, 2], 0, false),
        ("associative_scan 7", &[7], 0, false),
        ("associative_scan 8 reversed", &[8], 0, true),
        ("associative_scan along an axis", &[2, 13, 3], 1, true),
    ] {
        let looped = move |x: &[Tensor]| ops::associative_scan(compose, x, reverse, axis);
        cases.push(case(name, &[shape, shape], looped, unrolled(axis, reverse)));
    }
    cases
}
