//! Methods with generated arguments, most of them wrong: each gives a tensor or one that carries an error, and what
//! gives a tensor has gradients of the right shapes. Nothing panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kiln_graph::{DType, Padding, Tensor, gradients_with};

const SHAPES: [&[usize]; 9] =
    [&[], &[0], &[1], &[3], &[2, 3], &[0, 3], &[2, 3, 4], &[1, 4, 4, 2], &[2, 0, 0]];
const SIGNED: [i64; 8] = [i64::MIN, -5, -1, 0, 1, 2, 7, i64::MAX];
const SIZES: [usize; 7] = [0, 1, 2, 7, 1 << 32, usize::MAX / 2, usize::MAX];

/// Runs calls and remembers what went wrong.
#[derive(Default)]
struct Probe {
    calls: usize,
    wrong: Vec<String>,
}

impl Probe {
    fn run(&mut self, x: &Tensor, arguments: &dyn std::fmt::Debug, call: impl Fn() -> Vec<Tensor>) {
        let check = || call().iter().filter_map(|y| wrong_gradient(x, y)).next();
        self.calls += 1;
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(None) => {}
            Ok(Some(what)) => self.wrong.push(format!("{x:?} {arguments:?}: {what}")),
            Err(_) => self.wrong.push(format!("{x:?} {arguments:?}: panicked")),
        }
    }

    #[track_caller]
    fn finish(self, least: usize) {
        assert!(self.calls >= least, "only {} calls", self.calls);
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

fn wrong_gradient(x: &Tensor, y: &Tensor) -> Option<String> {
    if y.error().is_some() || !y.dtype().is_float() || !x.dtype().is_float() {
        return None;
    }
    match gradients_with(y, &y.ones_like(), std::slice::from_ref(x)) {
        Ok(found) if found[0].shape() == x.shape() && found[0].dtype() == x.dtype() => None,
        Ok(found) => Some(format!("gradient {:?}", found[0])),
        // The gradient of a window holds every element of every window.
        Err(error) => Some(error.to_string()).filter(|text| !text.contains("overflows")),
    }
}

fn tensors() -> Vec<Tensor> {
    let of = |dtype: DType| SHAPES.map(|shape| Tensor::full(shape, 1.0, dtype));
    DType::ALL.into_iter().flat_map(of).collect()
}

#[test]
fn axes_and_bounds() {
    let mut probe = Probe::default();
    for x in &tensors() {
        for a in SIGNED {
            probe.run(x, &a, || vec![x.reshape(&[a]), x.expand_dims(a), x.squeeze(a), x.flip(a)]);
            probe.run(x, &a, || vec![x.sum(a), x.prod(a), x.max(a), x.min(a), x.mean(a), x.variance(a)]);
            probe.run(x, &a, || {
                vec![x.any(a), x.all(a), x.argmax(a), x.argmin(a), x.argsort(a, true), x.sort(a)]
            });
            probe.run(x, &a, || vec![x.cumsum(a), x.cumprod(a), x.cummax(a), x.reverse_cumsum(a)]);
            probe.run(x, &a, || {
                vec![x.softmax(a), x.log_softmax(a), x.logsumexp(a), x.normalize_moments(a, 0.1)]
            });
            for b in SIGNED {
                probe.run(x, &(a, b), || vec![x.reshape(&[a, b]), x.transpose(&[a, b]), x.swap_axes(a, b)]);
                for c in SIGNED {
                    probe.run(x, &(a, b, c), || vec![x.slice_axis(a, b, c)]);
                }
            }
        }
    }
    probe.finish(30_000);
}

#[test]
fn sizes() {
    let mut probe = Probe::default();
    for x in &tensors() {
        for a in SIZES {
            probe.run(x, &a, || vec![x.flatten_from(a), x.top_k(a).0, x.one_hot(a, DType::F32)]);
            probe.run(x, &a, || {
                vec![x.broadcast_to(&[a]), x.broadcast_to(&[a, 3]), x.check_labels(a, "probe")]
            });
            probe.run(x, &a, || vec![Tensor::range(a), Tensor::iota(&[a, 2], a), Tensor::eye(a)]);
            for b in SIZES {
                probe.run(x, &(a, b), || vec![x.pad(&vec![(a, b); x.rank()], 1.0), x.pad(&[(a, b)], 0.0)]);
                for c in SIZES {
                    probe.run(x, &(a, b, c), || {
                        vec![x.window(0, a, b, c), x.window(1, a, b, c), x.window(9, a, b, c)]
                    });
                }
            }
        }
    }
    probe.finish(20_000);
}

#[test]
fn windows_of_convolutions_and_pools() {
    let mut probe = Probe::default();
    for x in tensors().iter().filter(|x| matches!(x.dtype(), DType::F32 | DType::I32)) {
        let spatial = x.rank().saturating_sub(2).max(1);
        for padding in [Padding::Same, Padding::Valid] {
            for (a, b) in SIZES.into_iter().flat_map(|a| SIZES.map(|b| (a, b))) {
                let (first, second) = (vec![a; spatial], vec![b; spatial]);
                probe.run(x, &(a, b, padding), || {
                    vec![x.max_pool(&first, &second, padding), x.average_pool(&first, &second, padding)]
                });
                for groups in [0, 1, 2, usize::MAX] {
                    let conv = |w: &&[usize]| x.conv(&Tensor::ones(w), &first, padding, &second, groups);
                    probe.run(x, &(a, b, padding, groups), || SHAPES.iter().map(conv).collect());
                }
            }
        }
    }
    probe.finish(5_000);
}

#[test]
fn pairs_of_tensors() {
    let mut probe = Probe::default();
    for x in &tensors() {
        for y in &tensors() {
            probe.run(x, y, || vec![x + y, x - y, x * y, x / y, x % y, x.pow(y), x.maximum(y), x.arctan2(y)]);
            probe.run(x, y, || {
                vec![x.left_shift(y), x.equal(y), x.logical_and(y), x.floor_divide(y), x.clip(y, y)]
            });
            probe.run(x, y, || vec![x.matmul(y), Tensor::select(x, y, y), Tensor::select(y, x, 2)]);
            probe.run(x, y, || vec![Tensor::concat(&[x.clone(), y.clone()], 0), x.keep_dims(y, 0)]);
            probe.run(x, y, || vec![Tensor::stack(&[x.clone(), y.clone()], -1), x.matches_argmax(y)]);
            probe.run(x, y, || vec![x.sparse_softmax_cross_entropy(y), Tensor::random_normal(y, x.shape())]);
            for axis in [-1, 0, 1, 5] {
                probe.run(x, y, || vec![x.take(y, axis), x.take_along_axis(y, axis)]);
            }
            for shape in SHAPES {
                probe.run(x, &(y, shape), || vec![x.scatter_add(y, &Tensor::full(shape, 1.0, x.dtype()))]);
            }
        }
    }
    probe.finish(30_000);
}
