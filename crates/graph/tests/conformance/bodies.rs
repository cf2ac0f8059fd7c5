//! The bodies of branches and loops, by the names that `tests/golden/ops/cases_control.py` has for them.
//!
//! A body takes all that it works on as one list: what is carried, the rows, and what it captures, in this order, and
//! gives one list back.

use kiln_graph::ops::{self, Branch};
use kiln_graph::{DType, Tensor};

type List<'a> = &'a [Tensor];

/// From the values that it works on to results.
pub(crate) type Body = fn(List<'_>) -> Vec<Tensor>;

/// The body of this name.
pub(crate) fn body(name: &str) -> Body {
    let found = BODIES.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no body {name}")).1
}

/// The last carry and the stacked results, in one list.
pub(crate) fn scanned(
    name: &str,
    carried: List<'_>,
    rows: List<'_>,
    captured: List<'_>,
    length: Option<usize>,
    reverse: bool,
) -> Vec<Tensor> {
    let body = body(name);
    let f = |carry: List<'_>, row: List<'_>| {
        let mut next = body(&[carry, row, captured].concat());
        let stacked = next.split_off(carry.len());
        (next, stacked)
    };
    let (last, stacked) = ops::scan(f, carried, rows, length, reverse);
    [last, stacked].concat()
}

/// The variables after a loop with a condition.
pub(crate) fn repeated(
    condition: &str,
    name: &str,
    variables: List<'_>,
    captured: List<'_>,
    most: Option<usize>,
) -> Vec<Tensor> {
    let (condition, body) = (body(condition), body(name));
    let asked = |x: List<'_>| condition(&[x, captured].concat()).remove(0);
    ops::while_loop(asked, |x| body(&[x, captured].concat()), variables, most)
}

/// The variables after a loop of numbered turns.
pub(crate) fn counted(
    lower: impl ops::Operand,
    upper: impl ops::Operand,
    name: &str,
    variables: List<'_>,
    captured: List<'_>,
) -> Vec<Tensor> {
    let body = body(name);
    let turn = |i: &Tensor, x: List<'_>| body(&[std::slice::from_ref(i), x, captured].concat());
    ops::fori_loop(lower, upper, turn, variables)
}

/// The results of one of two branches.
pub(crate) fn chosen(predicate: &Tensor, then: &str, otherwise: &str, operands: List<'_>) -> Vec<Tensor> {
    let (then, otherwise) = (body(then), body(otherwise));
    ops::cond(predicate, || then(operands), || otherwise(operands))
}

/// The results of one of several branches.
pub(crate) fn switched(index: &Tensor, names: &[&str], operands: List<'_>) -> Vec<Tensor> {
    let bodies: Vec<Body> = names.iter().map(|name| body(name)).collect();
    let branches: Vec<Branch<'_>> = bodies.iter().map(|body| body as Branch<'_>).collect();
    ops::switch(index, &branches, operands)
}

/// Of every row its results.
pub(crate) fn mapped(name: &str, rows: List<'_>, captured: List<'_>) -> Vec<Tensor> {
    let body = body(name);
    ops::map(|row| body(&[row, captured].concat()), rows)
}

fn running_sum(x: List<'_>) -> Vec<Tensor> {
    let sum = &x[0] + &x[1];
    vec![sum.clone(), sum]
}

fn twice(x: Tensor) -> Vec<Tensor> {
    vec![x.clone(), x]
}

fn recurrent(x: List<'_>) -> Vec<Tensor> {
    let [h, x, w, u, b] = x else { panic!("five tensors") };
    twice((x.matmul(w) + h.matmul(u) + b).tanh())
}

fn gated(x: List<'_>) -> Vec<Tensor> {
    let [h, c, x, w] = x else { panic!("four tensors") };
    vec![(c * x.matmul(w).sigmoid() + h).tanh(), c * 0.9 + h.sigmoid() * x, h - c, (h * c).sum(())]
}

/// The length of a vector.
fn length(x: &Tensor) -> Tensor {
    x.square().sum(()).sqrt()
}

fn row_of(x: &Tensor, i: &Tensor) -> Tensor {
    ops::take(x, i, 0)
}

/// `n / 2` of even numbers, `3 n + 1` of odd ones, and how often.
fn collatz(x: List<'_>) -> Vec<Tensor> {
    let (n, count) = (&x[0], &x[1]);
    let even = ops::mod_(n, 2).equal(0);
    vec![Tensor::select(&even, ops::floor_divide(n, 2), n * 3 + 1), count + 1]
}

fn halve_while_above_one(x: List<'_>) -> Vec<Tensor> {
    let halved = repeated("above_one", "half", &x[..1], &[], Some(30)).remove(0);
    vec![&halved + &x[1], halved]
}

const BODIES: &[(&str, Body)] = &[
    // Branches, and rows.
    ("square", |x| vec![x[0].square()]),
    ("product", |x| vec![&x[0] * &x[1]]),
    ("shifted_exponential", |x| vec![x[1].exp() + 1]),
    ("tanh_of_product_and_sum", |x| vec![x[0].matmul(&x[1]).tanh(), x[0].sum(())]),
    ("triple_product_and_sum", |x| vec![x[0].matmul(&x[1]) * 3, (&x[1] * 2).sum(())]),
    ("exchange", |x| vec![x[1].clone(), x[0].clone()]),
    ("same", |x| x.to_vec()),
    ("by_the_sign_of_the_sum", |x| {
        chosen(&x[0].sum(()).greater(0.0), "product", "shifted_exponential", &x[..2])
    }),
    ("length", |x| vec![length(&x[0])]),
    ("length_and_halves", |x| vec![length(&x[0]), &x[0] * 0.5]),
    ("row_times", |x| vec![x[0].matmul(&x[1])]),
    ("sum_of_products", |x| vec![(&x[0] * &x[1]).sum(()), &x[0] - &x[1]]),
    ("running_sums_of_row", |x| {
        let start = Tensor::zeros(&[]);
        scanned("running_sum", &[start], &x[..1], &[], None, false)
    }),
    ("root_by_newton", |x| {
        let start = [x[0].ones_like(), x[0].clone()];
        repeated("far_from_root", "newton_step", &start, &[], Some(40))[..1].to_vec()
    }),
    ("halved_below_one", |x| repeated("above_one", "half", x, &[], Some(60))),
    ("choice_by_index", |x| switched(&x[0], &["square", "product", "shifted_exponential"], &x[1..])),
    ("outer_by_map", |x| mapped("scaled_row", &x[..1], &x[1..])),
    ("scaled_row", |x| vec![&x[0] * &x[1]]),
    ("matrix_product", |x| vec![x[0].matmul(&x[1])]),
    // Scans.
    ("running_sum", running_sum),
    ("running_product", |x| vec![&x[0] * &x[1]]),
    ("recurrent", recurrent),
    ("gated", gated),
    ("grow", |x| vec![&x[0] * 1.1, &x[0] - 1]),
    ("two_arrays", |x| vec![&x[0] + &x[1] * &x[2], &x[1] - &x[0], x[0].sum(())]),
    ("count_larger", |x| {
        let larger = x[2].greater(&x[0]);
        vec![x[0].maximum(&x[2]), &x[1] + larger.cast(DType::I32), larger]
    }),
    ("inner_running_sums", |x| scanned("running_sum", &x[..1], &x[1..2], &[], None, false)),
    ("inner_reverse", |x| {
        let rows = [x[1].clone(), x[1].square()];
        scanned("two_arrays", &x[..1], &rows, &[], None, true)[..2].to_vec()
    }),
    ("add_or_halve", |x| {
        twice(chosen(&x[1].greater(0.0), "first_plus_second", "half_of_first", x).remove(0))
    }),
    ("first_plus_second", |x| vec![&x[0] + &x[1]]),
    ("half_of_first", |x| vec![&x[0] * 0.5]),
    ("halve_while_above_one", halve_while_above_one),
    ("power_inside", |x| twice(counted(0, 3, "times_second", x, &[]).remove(0))),
    ("polynomial", |x| vec![&x[0] * &x[2] + &x[1], x[0].clone()]),
    // Of numbered turns.
    ("add_index", |x| vec![&x[1] + x[0].cast(x[1].dtype())]),
    ("times_matrix", |x| vec![x[1].matmul(&x[2]).tanh()]),
    ("fibonacci", |x| vec![x[2].clone(), &x[1] + &x[2]]),
    ("times_second", |x| vec![&x[1] * &x[2], x[2].clone()]),
    ("mix_in_index", |x| vec![x[1].sin() + x[0].cast(x[1].dtype()) * 0.1]),
    ("loop_of_index", |x| counted(0, &x[0], "add_index", &x[1..], &[])),
    ("inner_fixed_loop", |x| counted(1, 4, "mix_in_index", &x[1..], &[])),
    ("row_of_captured", |x| vec![&x[1] + row_of(&x[2], &x[0]) * &x[1]]),
    // Conditions and their bodies.
    ("below_hundred", |x| vec![x[0].sum(()).less(100.0)]),
    ("double", |x| vec![&x[0] * 2]),
    ("first_below", |x| vec![x[0].less(&x[x.len() - 1])]),
    ("step_and_decay", |x| vec![&x[0] + 1, &x[1] * 0.9 + 0.1]),
    ("above_one", |x| vec![x[0].greater(1.0)]),
    ("half", |x| vec![&x[0] * 0.5]),
    ("far_from_root", |x| vec![(x[0].square() - &x[1]).abs().greater(&x[1] * 0.05)]),
    ("newton_step", |x| vec![(&x[0] + &x[1] / &x[0]) * 0.5, x[1].clone()]),
    ("second_not_zero", |x| vec![x[1].not_equal(0)]),
    ("euclid", |x| vec![x[1].clone(), ops::mod_(&x[0], &x[1])]),
    ("not_one", |x| vec![x[0].not_equal(1)]),
    ("collatz", collatz),
    ("never", |x| vec![x[0].sum(()).less(-1e30)]),
    ("always", |_| vec![Tensor::scalar(true)]),
    ("next_row", |x| vec![&x[0] + 1, &x[1] * row_of(&x[2], &x[0])]),
    ("with_scan", |x| {
        let product = scanned("running_product", &x[1..2], &x[2..3], &[], None, false);
        vec![&x[0] + 1, product[0].clone()]
    }),
    // Associative ones, of a list of first and a list of second elements.
    ("sum", |x| vec![&x[0] + &x[1]]),
    ("times", |x| vec![&x[0] * &x[1]]),
    ("larger", |x| vec![x[0].maximum(&x[1])]),
    ("affine", |x| vec![&x[0] * &x[2], &x[1] * &x[2] + &x[3]]),
    ("product_of_matrices", |x| vec![x[0].matmul(&x[1])]),
    ("exclusive_or", |x| vec![ops::bitwise_xor(&x[0], &x[1])]),
];
