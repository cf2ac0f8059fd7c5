//! Branches and loops with random bodies, each also without any branch or loop.

use std::sync::Arc;

use kiln_graph::{DType, Tensor, ops};

use super::body::{Body, branched, counted};
use crate::decode::Decoder;
use crate::recipe::{Facts, Form};

pub(super) fn control(d: &mut Decoder) -> Option<usize> {
    let kind = d.choose(10);
    let x = d.pick(|f| f.plain() && f.shape.iter().product::<usize>() <= 120)?;
    let facts = d.facts(x);
    let fits = |f: &Facts| f.plain() && f.shape == facts.shape;
    let y = d.pick(fits).unwrap_or(x);
    match kind {
        0 => cond(d, x, y),
        1 => switch(d, x, y),
        2 => fori(d, x, y),
        3 | 4 => bounded_while(d, x, y),
        5 => unbounded_while(d, x),
        6 | 7 => scan(d, x),
        8 => map(d, x),
        _ => nested_map(d, x),
    }
}

/// Appends a computation that has both forms.
fn both(
    d: &mut Decoder,
    text: String,
    inputs: &[usize],
    f: impl Fn(&[Tensor], Form) -> Tensor + Send + Sync + 'static,
) -> Option<usize> {
    let f = Arc::new(f);
    let unrolled = f.clone();
    d.push_control(text, inputs, move |x| f(x, Form::Plain), move |x| unrolled(x, Form::Unrolled))
}

fn cond(d: &mut Decoder, x: usize, y: usize) -> Option<usize> {
    let (then, otherwise) = (Body::new(d), Body::new(d));
    let text = format!("cond, {then:?} or {otherwise:?}");
    both(d, text, &[x, y], move |x, form| {
        let zero = Tensor::scalar(0);
        let predicate = x[0].sum(()).greater(x[1].square().sum(()) * 0.25 - 0.01);
        branched(&predicate, || then.value(x, &zero, form), || otherwise.value(x, &zero, form), form)
    })
}

/// The number of the branch is data; numbers outside are clamped.
fn switch(d: &mut Decoder, x: usize, y: usize) -> Option<usize> {
    let bodies = [Body::new(d), Body::new(d), Body::new(d)];
    let index = d.leaf_in(vec![], DType::I32, (-1, 3))?;
    let text = format!("switch, {bodies:?}");
    both(d, text, &[x, y, index], move |x, form| {
        let zero = Tensor::scalar(0);
        let value = &|n: usize, x: &[Tensor]| bodies[n].value(&x[..2], &zero, form);
        if form == Form::Unrolled {
            let is = |n: i32| x[2].clip(0, 2).equal(n).broadcast_to(x[0].shape());
            let last = Tensor::select(&is(1), value(1, x), value(2, x));
            return Tensor::select(&is(0), value(0, x), &last);
        }
        let branch = |n: usize| move |x: &[Tensor]| vec![value(n, x)];
        ops::switch(&x[2], &[&branch(0), &branch(1), &branch(2)], &x[..2]).remove(0)
    })
}

fn fori(d: &mut Decoder, x: usize, y: usize) -> Option<usize> {
    let (body, turns) = (Body::new(d), d.choose(4));
    both(d, format!("{turns} turns of {body:?}"), &[x, y], move |x, form| {
        counted(turns, &x[0], |turn, carried| body.value(&[carried.clone(), x[1].clone()], turn, form), form)
    })
}

/// How often it runs depends on data, and is bounded: gradients flow.
fn bounded_while(d: &mut Decoder, x: usize, y: usize) -> Option<usize> {
    let (body, most) = (Body::new(d), 1 + d.choose(4));
    let limit = d.leaf_in(vec![], DType::I32, (0, 5))?;
    both(d, format!("while, at most {most}, {body:?}"), &[x, y, limit], move |x, form| {
        // Until so many turns, or the sum of squares is small.
        let going = |v: &[Tensor]| v[0].less(&x[2]).logical_and(v[1].square().sum(()).greater(0.3));
        let next = |v: &[Tensor]| {
            let moved = body.value(&[v[1].clone(), x[1].clone()], &v[0], form) * 0.75;
            vec![&v[0] + 1, moved]
        };
        let start = [Tensor::scalar(0), x[0].clone()];
        if form == Form::Plain {
            return ops::while_loop(going, next, &start, Some(most)).remove(1);
        }
        let turn = |v: Vec<Tensor>, _| {
            let (active, moved) = (going(&v), next(&v));
            let keep = |n: usize| Tensor::select(&active.broadcast_to(v[n].shape()), &moved[n], &v[n]);
            vec![keep(0), keep(1)]
        };
        (0..most).fold(start.to_vec(), turn).remove(1)
    })
}

/// Without a bound: no gradients. It halves until the largest is below 1, which 8 turns make of any number here.
fn unbounded_while(d: &mut Decoder, x: usize) -> Option<usize> {
    both(d, "while without a bound".into(), &[x], move |x, form| {
        let start = x[0].stop_gradient();
        let going = |v: &[Tensor]| v[0].square().sum(()).greater(0.9);
        let next = |v: &[Tensor]| vec![&v[0] * 0.5 - 0.01];
        let last = if form == Form::Plain {
            ops::while_loop(going, next, &[start], None).remove(0)
        } else {
            let turn = |v: Vec<Tensor>, _| {
                vec![Tensor::select(&going(&v).broadcast_to(v[0].shape()), &next(&v)[0], &v[0])]
            };
            (0..24).fold(vec![start], turn).remove(0)
        };
        last.stop_gradient() + &x[0]
    })
}

/// Over the rows of the first axis, either way; what is carried, the rows, or both are the result.
fn scan(d: &mut Decoder, x: usize) -> Option<usize> {
    let x = if d.facts(x).rank() > 0 { x } else { d.leaf_of(vec![3, 4], DType::F32)? };
    let shape = d.facts(x).shape;
    let y = d.leaf_of(shape[1..].to_vec(), DType::F32)?;
    let (body, reverse, what) = (Body::new(d), d.flag(), d.choose(3));
    if shape[0] > 6 {
        return None;
    }
    let text = format!("scan{}, result {what}, {body:?}", if reverse { " reversed" } else { "" });
    both(d, text, &[x, y], move |x, form| {
        let step = |carry: &[Tensor], row: &Tensor| {
            let next = body.value(&[carry[1].clone(), row.clone()], &carry[0], form);
            (vec![&carry[0] + 1, next.clone()], &next * row)
        };
        let init = vec![Tensor::scalar(0), x[1].clone()];
        let turns = x[0].shape()[0];
        let (last, rows) = if form == Form::Plain {
            let f = |carry: &[Tensor], row: &[Tensor]| {
                let (carry, row) = step(carry, &row[0]);
                (carry, vec![row])
            };
            let (mut last, mut rows) = ops::scan(f, &init, &x[..1], None, reverse);
            (last.remove(1), rows.remove(0))
        } else if turns == 0 {
            (init[1].clone(), x[0].clone())
        } else {
            let (mut carry, mut rows) = (init, vec![]);
            for turn in 0..turns {
                let at = if reverse { turns - 1 - turn } else { turn } as i64;
                let (next, row) = step(&carry, &x[0].slice_axis(0, at, at + 1).squeeze(0));
                rows.push(row);
                carry = next;
            }
            if reverse {
                rows.reverse();
            }
            (carry.remove(1), Tensor::stack(&rows, 0))
        };
        match what {
            0 => last,
            1 => rows,
            _ => rows + last,
        }
    })
}

/// A function of every row.
fn rows(x: &Tensor, f: impl Fn(&Tensor) -> Tensor, form: Form) -> Tensor {
    let turns = x.shape()[0];
    if form == Form::Plain || turns == 0 {
        return ops::map(|x| vec![f(&x[0])], std::slice::from_ref(x)).remove(0);
    }
    let row = |i: usize| f(&x.slice_axis(0, i as i64, i as i64 + 1).squeeze(0));
    Tensor::stack(&(0..turns).map(row).collect::<Vec<Tensor>>(), 0)
}

fn map(d: &mut Decoder, x: usize) -> Option<usize> {
    let facts = d.facts(x);
    if facts.rank() == 0 || facts.shape[0] > 6 {
        return None;
    }
    let body = Body::new(d);
    both(d, format!("map, {body:?}"), &[x], move |x, form| {
        rows(&x[0], |row| body.value(std::slice::from_ref(row), &Tensor::scalar(1), form), form)
    })
}

/// A loop in a branch in a loop.
fn nested_map(d: &mut Decoder, x: usize) -> Option<usize> {
    let facts = d.facts(x);
    if facts.rank() == 0 || facts.shape[0] > 4 {
        return None;
    }
    let (body, other) = (Body::new(d), Body::new(d));
    both(d, format!("map of cond of loop, {body:?}, {other:?}"), &[x], move |x, form| {
        let value = |row: &Tensor| {
            let row = row.clone();
            let of = |body: &Body, turn: &Tensor, carried: &Tensor| {
                body.value(&[carried.clone(), row.clone()], turn, form)
            };
            let looped = || counted(2, &row, |turn, carried| of(&body, turn, carried), form);
            branched(&row.sum(()).greater(-0.01), looped, || of(&other, &Tensor::scalar(0), &row), form)
        };
        rows(&x[0], value, form)
    })
}
