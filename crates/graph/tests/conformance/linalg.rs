//! `keras.ops.linalg`, and `slogdet`, `svdvals` and `expm`. Factors that are unique up to signs or order give products.

use kiln_graph::ops::{self, NormOrder};
use kiln_graph::{Tensor, gradients};

use crate::Run;
use crate::call::Call;

fn transposed(x: &Tensor) -> Tensor {
    x.swap_axes(-1, -2)
}

/// `XᵀX`.
fn gram(x: &Tensor) -> Tensor {
    transposed(x).matmul(x)
}

/// `X diag(1, 2, …) Xᵀ`, which no sign of a column changes.
fn weighted(x: &Tensor, y: &Tensor) -> Tensor {
    (x * (Tensor::range(*x.shape().last().unwrap_or(&0)) + 1).to_float()).matmul(&transposed(y))
}

fn number(c: &Call<'_>, name: &str) -> Option<f64> {
    c.has(name).then(|| c.float(name))
}

fn order(c: &Call<'_>) -> NormOrder {
    match c.arg("ord") {
        arg if arg.is_number() => NormOrder::P(c.float("ord")),
        _ if !c.has("ord") => NormOrder::Euclidean,
        _ => match c.text("ord") {
            "inf" => NormOrder::P(f64::INFINITY),
            "-inf" => NormOrder::P(f64::NEG_INFINITY),
            name => name.parse().expect("an order"),
        },
    }
}

/// Sums of powers of the eigenvalues, what is left of `A V = V diag(w)`, and the vectors' lengths.
fn eigen(x: &Tensor) -> Vec<Tensor> {
    let (re, im, v_re, v_im) = ops::eig(x);
    let square = (&re * &re - &im * &im, &re * &im * 2);
    let cube = &square.0 * &re - &square.1 * &im;
    let (w_re, w_im) = (re.expand_dims(-2), im.expand_dims(-2));
    let left_re = x.matmul(&v_re) - (&v_re * &w_re - &v_im * &w_im);
    let left_im = x.matmul(&v_im) - (&v_re * &w_im + &v_im * &w_re);
    let lengths = (v_re.square() + v_im.square()).sum(-2);
    vec![re.sum(-1), square.0.sum(-1), cube.sum(-1), left_re, left_im, lengths]
}

/// In the order of `re + 0.37 im`: the values, and products of the vectors' parts, which no sign changes.
fn eigen_vectors(x: &Tensor) -> Vec<Tensor> {
    let (re, im, v_re, v_im) = ops::eig(x);
    let order = ops::argsort(&(&re + &im * 0.37), -1);
    let columns = order.expand_dims(-2).broadcast_to(v_re.shape());
    let values = |w: &Tensor| ops::take_along_axis(w, &order, -1);
    let vectors = |v: Tensor| ops::take_along_axis(&v, &columns, -1);
    vec![values(&re), values(&im), vectors(v_re.square()), vectors(&v_re * &v_im)]
}

/// What no order and no turn of a vector changes: Σ re², Σ im², and the sum of re · v vᴴ.
fn eigen_invariants(x: &Tensor) -> Vec<Tensor> {
    let (re, im, v_re, v_im) = ops::eig(x);
    let scaled = |v: &Tensor| v * re.expand_dims(-2);
    let real = scaled(&v_re).matmul(&transposed(&v_re)) + scaled(&v_im).matmul(&transposed(&v_im));
    let imaginary = scaled(&v_im).matmul(&transposed(&v_re)) - scaled(&v_re).matmul(&transposed(&v_im));
    vec![re.square().sum(-1), im.square().sum(-1), real, imaginary]
}

fn pair(pair: (Tensor, Tensor)) -> Vec<Tensor> {
    vec![pair.0, pair.1]
}

/// Gradients of `Σ cos(0.7 i) · yᵢ` over all outputs with respect to the inputs, so that a case of these checks first
/// gradients against JAX and second ones against differences.
pub(crate) fn gradient_of(c: &Call<'_>, outputs: &[Tensor]) -> Vec<Tensor> {
    let sum = |y: &Tensor| {
        let weights = (Tensor::range(y.len()).cast(y.dtype()) * 0.7).cos();
        (y.reshape(&[-1]) * weights).sum(())
    };
    let loss = outputs.iter().map(sum).reduce(|a, b| a + b).expect("an output");
    match gradients(&loss, c.inputs()) {
        Ok(gradients) => gradients,
        Err(error) => vec![Tensor::invalid("gradient", error.to_string()); c.inputs().len()],
    }
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("cholesky", |c| vec![ops::cholesky(c.x(0), c.flag("upper"))]),
    ("cholesky_inverse", |c| vec![ops::cholesky_inverse(c.x(0), c.flag("upper"))]),
    ("det", |c| vec![ops::det(c.x(0))]),
    ("eig", |c| eigen(c.x(0))),
    ("eig_vectors", |c| eigen_vectors(c.x(0))),
    ("eigh", |c| {
        let (w, v) = ops::eigh(c.x(0));
        let whole = (&v * w.expand_dims(-2)).matmul(&transposed(&v));
        vec![w, whole, gram(&v)]
    }),
    ("eigh_vectors", |c| {
        let (_, v) = ops::eigh(c.x(0));
        vec![v.square(), weighted(&v, &v)]
    }),
    ("expm", |c| vec![ops::expm(c.x(0))]),
    ("gradient_cholesky", |c| gradient_of(c, &[ops::cholesky(c.x(0), c.flag("upper"))])),
    ("gradient_det", |c| gradient_of(c, &[ops::det(c.x(0))])),
    ("gradient_eig", |c| gradient_of(c, &eigen_invariants(c.x(0)))),
    ("gradient_eigh", |c| {
        let (w, v) = ops::eigh(c.x(0));
        gradient_of(c, &[w, v.square()])
    }),
    ("gradient_expm", |c| gradient_of(c, &[ops::expm(c.x(0))])),
    ("gradient_inv", |c| gradient_of(c, &[ops::inv(c.x(0))])),
    ("gradient_logdet", |c| gradient_of(c, &[ops::logdet(c.x(0))])),
    ("gradient_lstsq", |c| gradient_of(c, &[ops::lstsq(c.x(0), c.x(1), number(c, "rcond"))])),
    ("gradient_lu_factor", |c| gradient_of(c, &[ops::lu_factor(c.x(0)).0])),
    ("gradient_norm", |c| gradient_of(c, &[ops::norm(c.x(0), order(c), c.axes("axis"), false)])),
    ("gradient_pinv", |c| gradient_of(c, &[ops::pinv(c.x(0), number(c, "rcond"))])),
    ("gradient_qr", |c| {
        let (q, r) = ops::qr(c.x(0), ops::QrMode::Reduced);
        gradient_of(c, &[q.square(), r.abs()])
    }),
    ("gradient_solve", |c| gradient_of(c, &[ops::solve(c.x(0), c.x(1))])),
    ("gradient_solve_triangular", |c| {
        gradient_of(c, &[ops::solve_triangular(c.x(0), c.x(1), c.flag("lower"))])
    }),
    ("gradient_svd", |c| {
        let (u, s, vt) = ops::svd(c.x(0), false);
        gradient_of(c, &[u.square(), s, vt.square()])
    }),
    ("gradient_svdvals", |c| gradient_of(c, &[ops::svdvals(c.x(0))])),
    ("inv", |c| vec![ops::inv(c.x(0))]),
    ("logdet", |c| vec![ops::logdet(c.x(0))]),
    ("lstsq", |c| vec![ops::lstsq(c.x(0), c.x(1), number(c, "rcond"))]),
    ("lu_factor", |c| pair(ops::lu_factor(c.x(0)))),
    ("matrix_rank", |c| vec![ops::matrix_rank(c.x(0), number(c, "tol"))]),
    ("norm", |c| vec![ops::norm(c.x(0), order(c), c.axes("axis"), c.flag("keepdims"))]),
    ("pinv", |c| vec![ops::pinv(c.x(0), number(c, "rcond"))]),
    ("qr", |c| {
        let (q, r) = ops::qr(c.x(0), c.text("mode").parse().expect("a mode"));
        let (row, column) = (Tensor::iota(r.shape(), r.rank() - 2), Tensor::iota(r.shape(), r.rank() - 1));
        let below = Tensor::select(&row.greater(column), &r, 0.0);
        vec![q.matmul(&r), gram(&q), below, r.abs()]
    }),
    ("qr_vectors", |c| {
        let (q, _) = ops::qr(c.x(0), ops::QrMode::Reduced);
        vec![q.square(), weighted(&q, &q)]
    }),
    ("slogdet", |c| pair(ops::slogdet(c.x(0)))),
    ("solve", |c| vec![ops::solve(c.x(0), c.x(1))]),
    ("solve_triangular", |c| vec![ops::solve_triangular(c.x(0), c.x(1), c.flag("lower"))]),
    ("svd", |c| {
        let (u, s, vt) = ops::svd(c.x(0), c.flag("full_matrices"));
        let short = *s.shape().last().unwrap_or(&0) as i64;
        let scaled = u.slice_axis(-1, 0, short) * s.expand_dims(-2);
        vec![s, scaled.matmul(&vt.slice_axis(-2, 0, short)), gram(&u), gram(&transposed(&vt))]
    }),
    ("svd_vectors", |c| {
        let (u, _, vt) = ops::svd(c.x(0), false);
        let v = transposed(&vt);
        vec![u.square(), weighted(&u, &u), weighted(&v, &v), weighted(&u, &v)]
    }),
    ("svdvals", |c| vec![ops::svdvals(c.x(0))]),
];
