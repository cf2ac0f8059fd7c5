//! Random bodies of branches and loops: a few operations on tensors of one shape.

use kiln_graph::{ScatterOp, Tensor, ops};

use crate::decode::Decoder;
use crate::recipe::Form;

/// A list of operations, each with two choices.
#[derive(Clone, Debug)]
pub(super) struct Body(Vec<[usize; 3]>);

impl Body {
    pub(super) fn new(d: &mut Decoder) -> Body {
        let count = 1 + d.choose(3);
        Body((0..count).map(|_| [d.choose(16), d.choose(8), d.choose(8)]).collect())
    }

    /// The value of the operations over some tensors of one shape; `turn` is the number of the turn.
    pub(super) fn value(&self, tensors: &[Tensor], turn: &Tensor, form: Form) -> Tensor {
        let mut pool = tensors.to_vec();
        for [kind, first, second] in &self.0 {
            let last = pool.len() - 1;
            let (a, b) = (&pool[last - first % pool.len()], &pool[second % pool.len()]);
            let made = operation(*kind, a, b, turn, form);
            pool.push(made);
        }
        // A carried value must not grow.
        pool[pool.len() - 1].sin()
    }
}

/// Like `t`, with every row the same.
fn wide(t: Tensor, like: &Tensor) -> Tensor {
    t.expand_dims(-1).broadcast_to(like.shape())
}

fn operation(kind: usize, a: &Tensor, b: &Tensor, turn: &Tensor, form: Form) -> Tensor {
    let rank = a.rank() as i64;
    let some = rank > 0 && !a.is_empty();
    match kind {
        0 => a + b,
        1 => a * b,
        2 => a.tanh() * turn.cast(a.dtype()),
        3 => b.sin() * 0.5,
        4 if a.rank() == 2 => a.matmul(&b.swap_axes(-1, -2)).matmul(a) * 0.05,
        5 if some => a.softmax(-1),
        6 if rank > 0 => wide((a * b).sum(-1), a),
        7 => Tensor::select(&a.greater(b), a, b * 0.5),
        8 if rank > 0 => a.cumsum(0) * 0.5,
        9 if some => {
            let row = b.take(&turn.clip(0, a.shape()[0] as i32 - 1).reshape(&[1]), 0);
            a - row.broadcast_to(a.shape())
        }
        10 if some => {
            let update = b.slice_axis(0, 0, 1).tanh();
            let at = turn.clip(0, a.shape()[0] as i32 - 1).reshape(&[1]);
            a.scatter(&at, &update, ScatterOp::Set)
        }
        11 => branched(&a.sum(()).greater(b.sum(()) - 0.01), || a * 0.75, || b.sin() + a, form),
        12 => counted(2, a, |_, x| (x * b).sin() + 0.25, form),
        13 if some => a.flip([0]) * wide(b.max(-1), a),
        14 if some => a.sort(-1) + b,
        _ => a * 0.5 - b,
    }
}

/// A branch; unrolled, both, and a selection.
pub(super) fn branched(
    predicate: &Tensor,
    then: impl Fn() -> Tensor,
    otherwise: impl Fn() -> Tensor,
    form: Form,
) -> Tensor {
    if form == Form::Unrolled {
        let (then, otherwise) = (then(), otherwise());
        return Tensor::select(&predicate.broadcast_to(then.shape()), &then, &otherwise);
    }
    ops::cond(predicate, || vec![then()], || vec![otherwise()]).remove(0)
}

/// A loop of so many turns.
pub(super) fn counted(
    turns: usize,
    x: &Tensor,
    body: impl Fn(&Tensor, &Tensor) -> Tensor,
    form: Form,
) -> Tensor {
    if form == Form::Unrolled {
        return (0..turns).fold(x.clone(), |x, turn| body(&Tensor::scalar(turn as i32), &x));
    }
    let step = |turn: &Tensor, x: &[Tensor]| vec![body(turn, &x[0])];
    ops::fori_loop(0, turns as i32, step, std::slice::from_ref(x)).remove(0)
}
