//! Random bodies: a scan of one, against the same turns unrolled.

use kiln_graph::interpret::interpret_tensors;
use kiln_graph::{DType, Device, Result, ScatterOp, Tensor, gradients, ops, with_device};

use crate::support::{computed, tensor_of, unit};
use crate::{assert_close, everywhere, loss};

const TURNS: usize = 3;
const ROWS: usize = 3;
const COLUMNS: usize = 4;

/// Numbers that follow from a seed.
struct Choices {
    seed: usize,
    drawn: usize,
}

impl Choices {
    fn below(&mut self, n: usize) -> usize {
        self.drawn += 1;
        (unit(self.drawn, 1000 + self.seed) * n as f64) as usize
    }
}

fn leaf(shape: &[usize], seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    tensor_of(&(0..count).map(|i| unit(i, seed) - 0.5).collect::<Vec<f64>>(), shape, DType::F32)
}

/// One random operation on matrices `[ROWS, COLUMNS]`; `turn` is the number of the turn, `free` two matrices from outside.
fn step(c: &mut Choices, pool: &[Tensor], turn: &Tensor, free: &[Tensor]) -> Tensor {
    let all = [pool, free].concat();
    let (a, b) = (all[c.below(all.len())].clone(), all[c.below(all.len())].clone());
    let wide = |t: Tensor| t.expand_dims(-1).broadcast_to(&[ROWS, COLUMNS]);
    match c.below(14) {
        0 => &a + &b,
        1 => &a * &b,
        2 => a.tanh(),
        3 => a.sin() * 0.5,
        4 => a.matmul(&b.transpose(&[1, 0]).matmul(&free[0])) * 0.3,
        5 => a.softmax(-1),
        6 => wide((&a * &b).sum(-1)),
        7 => Tensor::select(&a.greater(&b), &a, &b * 0.5),
        8 => a.cumsum(0) * 0.5,
        9 => {
            let row = free[1].take(&turn.reshape(&[1]), 0);
            a - row.broadcast_to(&[ROWS, COLUMNS])
        }
        10 => {
            let update = b.slice_axis(0, 0, 1).tanh();
            a.scatter(&turn.reshape(&[1]), &update, ScatterOp::Set)
        }
        11 => {
            ops::cond(&a.sum(()).greater(b.sum(())), || vec![&a * &free[0]], || vec![b.sin() + &a]).remove(0)
        }
        12 => ops::fori_loop(0, 2, |_, x| vec![(&x[0] * &b).sin() + &free[1]], &[a]).remove(0),
        _ => a.flip([0]) * wide(b.max(-1)),
    }
}

/// The next two carried matrices and a row of the result.
fn body(seed: usize, carry: &[Tensor], row: &Tensor, turn: &Tensor, free: &[Tensor]) -> Vec<Tensor> {
    let mut choices = Choices { seed, drawn: 0 };
    let mut pool = vec![carry[0].clone(), carry[1].clone(), row.clone()];
    for _ in 0..2 + seed % 5 {
        let made = step(&mut choices, &pool, turn, free);
        pool.push(made);
    }
    let mut last = |n: usize| pool[pool.len() - 1 - choices.below(n)].clone();
    vec![last(3).tanh(), last(2) * 0.5, last(4)]
}

fn looped(seed: usize, x: &[Tensor], reverse: bool) -> Vec<Tensor> {
    let f = |c: &[Tensor], row: &[Tensor]| {
        let all = body(seed, &c[..2], &row[0], &c[2], &x[3..]);
        (vec![all[0].clone(), all[1].clone(), &c[2] + 1], all[2..].to_vec())
    };
    let init = [x[1].clone(), x[2].clone(), Tensor::scalar(0)];
    let (last, rows) = ops::scan(f, &init, &x[..1], None, reverse);
    [&last[..2], &rows].concat()
}

fn unrolled(seed: usize, x: &[Tensor], reverse: bool) -> Vec<Tensor> {
    let (mut carry, mut rows) = (vec![x[1].clone(), x[2].clone()], vec![]);
    for turn in 0..TURNS {
        let i = if reverse { TURNS - 1 - turn } else { turn } as i64;
        let row = x[0].slice_axis(0, i, i + 1).squeeze(0);
        let mut all = body(seed, &carry, &row, &Tensor::scalar(turn as i32), &x[3..]);
        rows.push(all.remove(2));
        carry = all;
    }
    if reverse {
        rows.reverse();
    }
    [carry, vec![Tensor::stack(&rows, 0)]].concat()
}

fn compare(seed: usize) -> Result<()> {
    let matrix = [ROWS, COLUMNS];
    let mut x = vec![leaf(&[TURNS, ROWS, COLUMNS], seed)];
    x.extend((1..5).map(|n| leaf(&matrix, seed + 100 * n)));
    let reverse = seed % 2 == 1;
    let with_gradients = |y: Vec<Tensor>| -> Result<Vec<Tensor>> {
        let g = gradients(&loss(&y), &x)?;
        Ok([y, g].concat())
    };
    let all = with_gradients(looped(seed, &x, reverse))?;
    let meant = interpret_tensors(&with_gradients(unrolled(seed, &x, reverse))?)?;
    let found = interpret_tensors(&all)?;
    Tensor::eval_all(&all)?;
    for (n, y) in all.iter().enumerate() {
        assert_close(&format!("seed {seed} [{n}] interpreted"), &found[n], &meant[n], 1e-10);
        assert_close(&format!("seed {seed} [{n}]"), &computed(y)?, &meant[n], 2e-5);
    }
    Ok(())
}

#[test]
fn scans_of_random_bodies_are_the_unrolled_turns() {
    for seed in 0..300 {
        with_device(&Device::cpu(), || compare(seed)).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

#[test]
fn some_random_bodies_on_every_device() {
    everywhere(|| (0..6).try_for_each(compare));
}
