//! Systems of equations, inverses, determinants, and the exponential.

use kiln_device::DType;

use super::host::Matrix;
use super::spectral::smallest_kept;
use super::{Matrices, all, call, host, lower, transposed, upper};
use crate::error::At;
use crate::grad::gradients_with;
use crate::shape;
use crate::tensor::{Tensor, here};

/// `X` of `a·X = b`: `a [.., n, n]`, `b [.., n, k]` or vectors `[.., n]` (one axis fewer than `a`); leading axes
/// broadcast. A singular matrix is an error of the run.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let a = Tensor::from_vec(&[2.0f32, 0.0, 0.0, 4.0], &[2, 2]);
/// assert_eq!(ops::solve(&a, &Tensor::from_slice(&[2.0f32, 2.0])).to_vec::<f32>()?, [1.0, 0.5]);
/// let error = ops::inv(&Tensor::ones(&[2, 2])).to_vec::<f32>().unwrap_err().to_string();
/// assert!(error.contains("[inv] the matrix is singular"), "{error}");
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn solve(a: &Tensor, b: &Tensor) -> Tensor {
    let at = here();
    system("solve", a, b, at, |a, b| solved(a, b, at))
}

/// `X` of `a·X = b` as [`solve`], where only the lower or the upper triangle of `a` counts.
#[doc(alias = "triangular_solve")]
#[track_caller]
pub fn solve_triangular(a: &Tensor, b: &Tensor, lower: bool) -> Tensor {
    let at = here();
    system("solve_triangular", a, b, at, |a, b| triangular(a, b, lower, at))
}

/// Brings both sides to one batch, solves, and gives `b`'s form back.
fn system(
    op: &'static str,
    a: &Tensor,
    b: &Tensor,
    at: At,
    solve: impl FnOnce(&Tensor, &Tensor) -> Tensor,
) -> Tensor {
    if b.error().is_some() {
        return b.clone();
    }
    let matrices = match Matrices::square(op, a, at) {
        Ok(matrices) => matrices.met(b),
        Err(failed) => return failed,
    };
    let n = matrices.rows;
    let vectors = b.rank() == 1 || b.rank() + 1 == a.rank();
    let sides = if vectors { b.expand_dims(-1) } else { b.clone() };
    let fitting = match sides.shape() {
        [lead @ .., rows, _] if *rows == n => shape::broadcast(&matrices.lead, lead),
        _ => None,
    };
    let Some(batch) = fitting else {
        let message = format!(
            "expected a [.., n, n] and b [.., n] or [.., n, k], received {:?} and {:?}",
            a.shape(),
            b.shape()
        );
        return Tensor::failed(op, message, at);
    };
    let columns = sides.shape()[sides.rank() - 1];
    let left = matrices.x.broadcast_at(&[&batch[..], &[n, n]].concat(), at);
    let right = sides.cast_at(left.dtype(), at).broadcast_at(&[&batch[..], &[n, columns]].concat(), at);
    let x = solve(&left, &right);
    matrices.give(if vectors { x.squeeze(-1) } else { x })
}

/// The extent of an axis counted from the end.
fn extent(x: &Tensor, from_end: usize) -> usize {
    x.rank().checked_sub(from_end).map_or(0, |i| x.shape()[i])
}

fn solved(a: &Tensor, b: &Tensor, at: At) -> Tensor {
    let outputs = [(&[extent(b, 2), extent(b, 1)][..], b.dtype())];
    let [value] = call::per_matrix("solve", at, &[a, b], outputs, |x| host::solve(x[0], x[1]));
    Tensor::custom_gradient(&value, &[a.clone(), b.clone()], move |g, x, inputs| {
        let right = solved(&transposed(&inputs[0]), g, at);
        vec![Some(-right.matmul(&transposed(x))), Some(right)]
    })
}

/// The triangular solution of one batch of matrices of the working type.
pub(super) fn triangular(a: &Tensor, b: &Tensor, is_lower: bool, at: At) -> Tensor {
    if let Some(failed) = [a, b].into_iter().find(|t| t.error().is_some()) {
        return failed.clone();
    }
    let outputs = [(&[extent(b, 2), extent(b, 1)][..], b.dtype())];
    let [value] = if is_lower {
        call::per_matrix("solve_triangular", at, &[a, b], outputs, |x| {
            host::solve_triangular(x[0], x[1], true)
        })
    } else {
        call::per_matrix("solve_triangular", at, &[a, b], outputs, |x| {
            host::solve_triangular(x[0], x[1], false)
        })
    };
    Tensor::custom_gradient(&value, &[a.clone(), b.clone()], move |g, x, inputs| {
        let right = triangular(&transposed(&inputs[0]), g, !is_lower, at);
        let left = -right.matmul(&transposed(x));
        vec![Some(if is_lower { lower(&left) } else { upper(&left) }), Some(right)]
    })
}

/// The inverses of matrices `[.., n, n]`. A singular matrix is an error of the run.
#[doc(alias = "matrix_inverse")]
#[track_caller]
pub fn inv(x: &Tensor) -> Tensor {
    let at = here();
    match Matrices::square("inv", x, at) {
        Ok(a) => a.give(inverse(&a.x, at)),
        Err(failed) => failed,
    }
}

fn inverse(x: &Tensor, at: At) -> Tensor {
    let n = extent(x, 1);
    let [value] = call::per_matrix("inv", at, &[x], [(&[n, n], x.dtype())], |x| host::inverse(x[0]));
    Tensor::custom_gradient(&value, std::slice::from_ref(x), |g, y, _| {
        let y = transposed(y);
        vec![Some(-y.matmul(g).matmul(&y))]
    })
}

/// A value for each matrix beside the matrices.
fn beside(x: &Tensor) -> Tensor {
    x.expand_dims(-1).expand_dims(-1)
}

/// The determinants of matrices `[.., n, n]`, `[..]`. A singular matrix has a gradient too.
#[doc(alias = "matrix_determinant")]
#[track_caller]
pub fn det(x: &Tensor) -> Tensor {
    let at = here();
    let a = match Matrices::square("det", x, at) {
        Ok(a) => a,
        Err(failed) => return failed,
    };
    let [value] = call::per_matrix("det", at, &[&a.x], [(&[], a.x.dtype())], |x| host::determinant(x[0]));
    a.give(Tensor::custom_gradient(&value, std::slice::from_ref(&a.x), move |g, _, x| {
        vec![Some(beside(g) * cofactors(&x[0], at))]
    }))
}

fn cofactors(x: &Tensor, at: At) -> Tensor {
    let n = extent(x, 1);
    let [value] = call::per_matrix("det", at, &[x], [(&[n, n], x.dtype())], |x| host::cofactors(x[0]));
    // dC = (A⁻ᵀ · dA) C − A⁻ᵀ dAᵀ C.
    Tensor::custom_gradient(&value, std::slice::from_ref(x), move |g, c, x| {
        let inverse = transposed(&inverse(&x[0], at));
        let along = beside(&(g * c).sum([-1, -2]));
        vec![Some(&inverse * along - inverse.matmul(&transposed(g)).matmul(c))]
    })
}

/// The sign of the determinants of matrices `[.., n, n]` and the logarithm of their absolute values, `[..]` each: 0 and
/// −∞ of a singular matrix.
#[track_caller]
pub fn slogdet(x: &Tensor) -> (Tensor, Tensor) {
    let [sign, log] = signed_log("slogdet", x, here());
    (sign, log)
}

/// The logarithm of the determinant of positive definite matrices `[.., n, n]`, `[..]`; of others that of its absolute
/// value.
#[track_caller]
pub fn logdet(x: &Tensor) -> Tensor {
    let [_, log] = signed_log("logdet", x, here());
    log
}

fn signed_log(op: &'static str, x: &Tensor, at: At) -> [Tensor; 2] {
    let a = match Matrices::square(op, x, at) {
        Ok(a) => a,
        Err(failed) => return all(failed),
    };
    let outputs: [(&[usize], DType); 2] = [(&[], a.x.dtype()), (&[], a.x.dtype())];
    let [sign, log] = call::per_matrix(op, at, &[&a.x], outputs, |x| host::log_determinant(x[0]));
    let log = Tensor::custom_gradient(&log, std::slice::from_ref(&a.x), move |g, _, x| {
        vec![Some(beside(g) * transposed(&inverse(&x[0], at)))]
    });
    [a.give(sign.stop_gradient()), a.give(log)]
}

/// The Moore–Penrose inverses of matrices `[.., m, n]`, `[.., n, m]`, by their singular values above `rcond` times the
/// largest; without it `10 · max(m, n)` times the type's epsilon.
///
/// The gradient is that of a number of singular values above the limit which does not change; it is infinite where one
/// above and one below are equal.
#[track_caller]
pub fn pinv(x: &Tensor, rcond: impl Into<Option<f64>>) -> Tensor {
    let at = here();
    match Matrices::new("pinv", x, at) {
        Ok(a) => {
            let size = (a.rows, a.columns);
            let limit = match rcond.into() {
                Some(share) => Limit { share, cuts: true },
                None => Limit { share: 10.0 * smallest_kept(a.rows, a.columns, a.x.dtype()), cuts: false },
            };
            a.give(pseudo_inverse(&a.x, size, limit, at))
        }
        Err(failed) => failed,
    }
}

/// Which singular values count as 0.
#[derive(Clone, Copy)]
struct Limit {
    /// Those up to this share of the largest.
    share: f64,
    /// Whether values that are not 0 but for rounding may be among them.
    cuts: bool,
}

/// A number as an input of the host.
pub(super) fn share(number: f64, of: &Tensor) -> Tensor {
    Tensor::full(&[], number, of.dtype())
}

fn pseudo_inverse(x: &Tensor, (m, n): (usize, usize), limit: Limit, at: At) -> Tensor {
    let cutoff = share(limit.share, x);
    let [value] = call::per_matrix("pinv", at, &[x, &cutoff], [(&[n, m], x.dtype())], |x| {
        let n = x[0].rows;
        host::least_squares(x[0], Matrix { values: &host::identity(n), rows: n, columns: n }, x[1].values[0])
    });
    Tensor::custom_gradient(&value, std::slice::from_ref(x), move |g, p, x| {
        vec![Some(pseudo_inverse_gradient(g, p, &x[0], limit.cuts, at))]
    })
}

/// With nothing cut off, dP = −P dA P + P Pᵀ dAᵀ (1 − A P) + (1 − P A) dAᵀ Pᵀ P (G. Golub, V. Pereyra 1973).
///
/// With a rest R = A − A P A of singular values that are cut off, a pair of a kept one s and a cut one r has
/// 1 / (s² − r²) in the place of 1 / s², and gives r / (s (s² − r²)) to the element across: both are solutions of Stein's
/// equation, in which 1 − r² / s² is divided by.
fn pseudo_inverse_gradient(g: &Tensor, p: &Tensor, a: &Tensor, cuts: bool, at: At) -> Tensor {
    let (gt, pt) = (transposed(g), transposed(p));
    let (of_rows, of_columns) = (pt.matmul(p), p.matmul(&pt));
    let mut below = (&gt - a.matmul(p).matmul(&gt)).matmul(&of_columns);
    let mut beside = of_rows.matmul(&(&gt - gt.matmul(p).matmul(a)));
    if cuts {
        let rest = a - a.matmul(p).matmul(a);
        let rest_t = transposed(&rest);
        let cubed = of_rows.matmul(&pt);
        below = below + rest.matmul(g).matmul(&cubed);
        beside = beside + cubed.matmul(g).matmul(&rest);
        below = stein(&rest.matmul(&rest_t), &of_columns, &below, at);
        beside = stein(&of_rows, &rest_t.matmul(&rest), &beside, at);
    }
    below + beside - pt.matmul(g).matmul(&pt)
}

/// `Z` of `Z − B·Z·C = M` for symmetric `B` and `C`.
fn stein(b: &Tensor, c: &Tensor, m: &Tensor, at: At) -> Tensor {
    let outputs = [(&[extent(m, 2), extent(m, 1)][..], m.dtype())];
    let [value] = call::per_matrix("pinv", at, &[b, c, m], outputs, |x| host::stein(x[0], x[1], x[2]));
    // Of Z the gradient of M is the solution for it, Y, and dM = dB Z C + B Z dC.
    Tensor::custom_gradient(&value, &[b.clone(), c.clone(), m.clone()], move |g, z, x| {
        let y = stein(&x[0], &x[1], g, at);
        let of_b = y.matmul(&transposed(&z.matmul(&x[1])));
        let of_c = transposed(&x[0].matmul(z)).matmul(&y);
        vec![Some(of_b), Some(of_c), Some(y)]
    })
}

/// The `X` of least norm among those that minimise `|a·X − b|`: `a [.., m, n]`, `b [.., m, k]`, or a vector `[m]` for
/// one matrix; `X [.., n, k]` or `[n]`.
///
/// Singular values of `a` up to `rcond` times the largest count as 0; without it `max(m, n)` times the type's epsilon. The
/// gradient is as that of [`pinv`].
#[track_caller]
pub fn lstsq(a: &Tensor, b: &Tensor, rcond: impl Into<Option<f64>>) -> Tensor {
    let at = here();
    if b.error().is_some() {
        return b.clone();
    }
    let matrices = match Matrices::new("lstsq", a, at) {
        Ok(matrices) => matrices.met(b),
        Err(failed) => return failed,
    };
    let (m, n) = (matrices.rows, matrices.columns);
    let vector = b.rank() == 1;
    let sides = if vector { b.expand_dims(-1) } else { b.clone() }.cast_at(matrices.x.dtype(), at);
    let fits = matches!(sides.shape(), [lead @ .., rows, _] if *rows == m && *lead == matrices.lead[..]);
    if !fits {
        let message = format!(
            "expected a [.., m, n] and b [.., m, k], or a [m, n] and b [m], received {:?} and {:?}",
            a.shape(),
            b.shape()
        );
        return Tensor::failed("lstsq", message, at);
    }
    let k = extent(&sides, 1);
    let limit = match rcond.into() {
        Some(share) => Limit { share, cuts: true },
        None => Limit { share: smallest_kept(m, n, matrices.x.dtype()), cuts: false },
    };
    let inputs = [matrices.x.clone(), sides];
    let outputs = [(&[n, k][..], inputs[0].dtype())];
    let [value] = call::per_matrix(
        "lstsq",
        at,
        &[&inputs[0], &inputs[1], &share(limit.share, &inputs[0])],
        outputs,
        |x| host::least_squares(x[0], x[1], x[2].values[0]),
    );
    let x = Tensor::custom_gradient(&value, &inputs, move |g, _, x| {
        let product = pseudo_inverse(&x[0], (m, n), limit, at).matmul(&x[1]);
        through(&product, g, x, at)
    });
    matrices.give(if vector { x.squeeze(-1) } else { x })
}

/// The gradients of a value that another expression gives too.
fn through(value: &Tensor, g: &Tensor, inputs: &[Tensor], at: At) -> Vec<Option<Tensor>> {
    match gradients_with(value, g, inputs) {
        Ok(gradients) => gradients.into_iter().map(Some).collect(),
        Err(error) => inputs.iter().map(|_| Some(Tensor::from_error(error.clone(), at))).collect(),
    }
}

/// `e^A` of square matrices `[.., n, n]`, the sum of `Aᵏ / k!`.
#[track_caller]
pub fn expm(x: &Tensor) -> Tensor {
    let at = here();
    match Matrices::square("expm", x, at) {
        Ok(a) => a.give(exponential(&a.x, at)),
        Err(failed) => failed,
    }
}

fn exponential(x: &Tensor, at: At) -> Tensor {
    let n = extent(x, 1);
    let [value] = call::per_matrix("expm", at, &[x], [(&[n, n], x.dtype())], |x| host::exponential(x[0]));
    // The exponential of [[Aᵀ, G], [0, Aᵀ]] holds the gradient in its corner (R. Mathias 1996).
    Tensor::custom_gradient(&value, std::slice::from_ref(x), move |g, _, x| {
        let a = transposed(&x[0]);
        let above = Tensor::concat(&[a.clone(), g.clone()], -1);
        let below = Tensor::concat(&[a.zeros_like(), a], -1);
        let whole = exponential(&Tensor::concat(&[above, below], -2), at);
        let n = n as i64;
        vec![Some(whole.slice_axis(-2, 0, n).slice_axis(-1, n, 2 * n))]
    })
}
