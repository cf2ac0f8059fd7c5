//! Triangular and orthogonal factors: Cholesky, LU and QR.

use kiln_device::DType;

use super::solve::triangular;
use super::{Matrices, all, call, host, lower, plus_identity, strictly_lower, transposed, upper};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// The Cholesky factor of positive definite matrices `[.., n, n]`: the lower `L` of `A = L·Lᵀ`, or with `upper` its
/// transpose.
///
/// The symmetric part `(x + xᵀ) / 2` is factorised. A matrix that is not positive definite is an error of the run.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let l = ops::cholesky(&Tensor::from_vec(&[4.0f32, 2.0, 2.0, 5.0], &[2, 2]), false);
/// assert_eq!(l.to_vec::<f32>()?, [2.0, 0.0, 1.0, 2.0]);
/// let bad = ops::cholesky(&Tensor::from_vec(&[1.0f32, 2.0, 2.0, 1.0], &[2, 2]), false);
/// assert!(bad.to_vec::<f32>().unwrap_err().to_string().contains("[cholesky] the matrix is not positive definite"));
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn cholesky(x: &Tensor, upper: bool) -> Tensor {
    let at = here();
    let a = match Matrices::symmetric("cholesky", x, at) {
        Ok(a) => a,
        Err(failed) => return failed,
    };
    let n = a.rows;
    let [value] =
        call::per_matrix("cholesky", at, &[&a.x], [(&[n, n], a.x.dtype())], |x| host::cholesky(x[0]));
    // dL = L Φ(L⁻¹ dA L⁻ᵀ), where Φ keeps the lower triangle and half of the diagonal.
    let factor = Tensor::custom_gradient(&value, std::slice::from_ref(&a.x), move |g, l, _| {
        let inner = transposed(l).matmul(g);
        let inner = (lower(&inner) + strictly_lower(&inner)) * 0.5;
        let left = triangular(&transposed(l), &inner, false, at);
        vec![Some(transposed(&triangular(&transposed(l), &transposed(&left), false, at)))]
    });
    a.give(if upper { transposed(&factor) } else { factor })
}

/// The inverse of positive definite matrices `A` from their Cholesky factors `[.., n, n]`: `(x·xᵀ)⁻¹` of lower ones,
/// `(xᵀ·x)⁻¹` of upper ones.
#[track_caller]
pub fn cholesky_inverse(x: &Tensor, upper: bool) -> Tensor {
    let at = here();
    let a = match Matrices::square("cholesky_inverse", x, at) {
        Ok(a) => a,
        Err(failed) => return failed,
    };
    let identity = plus_identity(&a.x.zeros_like());
    let inverse = triangular(&a.x, &identity, !upper, at);
    let (left, right) =
        if upper { (inverse.clone(), transposed(&inverse)) } else { (transposed(&inverse), inverse.clone()) };
    a.give(left.matmul(&right))
}

/// The factors of `P⁻¹·A = L·U` of matrices `[.., m, n]` in one, `[.., m, n]` (`L` without its diagonal of ones), and
/// for each of the first `min(m, n)` rows the row that it was exchanged with, `int32`; as SciPy's `lu_factor`.
///
/// The gradient is that of square matrices.
#[track_caller]
pub fn lu_factor(x: &Tensor) -> (Tensor, Tensor) {
    let at = here();
    let a = match Matrices::new("lu_factor", x, at) {
        Ok(a) => a,
        Err(failed) => return (failed.clone(), failed),
    };
    let (m, n) = (a.rows, a.columns);
    let outputs: [(&[usize], DType); 3] =
        [(&[m, n], a.x.dtype()), (&[m.min(n)], DType::I32), (&[m], DType::I32)];
    let [packed, exchanged, order] = call::per_matrix("lu_factor", at, &[&a.x], outputs, |x| host::lu(x[0]));
    let factors = Tensor::custom_gradient(&packed, std::slice::from_ref(&a.x), move |g, packed, _| {
        if m != n {
            let message = "has a gradient for square matrices only";
            return vec![Some(Tensor::failed("lu_factor", message.into(), at))];
        }
        vec![Some(lu_gradient(g, packed, &order, at))]
    });
    (a.give(factors), exchanged.part_of("lu_factor", at, &[]))
}

/// Of `dL = L (L⁻¹ dA U⁻¹)` below the diagonal and `dU = (L⁻¹ dA U⁻¹) U` on and above it.
fn lu_gradient(g: &Tensor, packed: &Tensor, order: &Tensor, at: At) -> Tensor {
    let (l, u) = (plus_identity(&strictly_lower(packed)), upper(packed));
    let inner =
        strictly_lower(&transposed(&l).matmul(&strictly_lower(g))) + upper(&upper(g).matmul(&transposed(&u)));
    let left = triangular(&transposed(&l), &inner, false, at);
    let rows = transposed(&triangular(&u, &transposed(&left), false, at));
    // Row i of these is row order[i] of the gradient.
    let places = order.one_hot(rows.shape().last().copied().unwrap_or(0), rows.dtype());
    transposed(&places).matmul(&rows)
}

/// How much of `Q` a QR factorisation gives; Keras' words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QrMode {
    /// `min(m, n)` columns.
    #[default]
    Reduced,
    /// All `m` columns.
    Complete,
}

impl std::str::FromStr for QrMode {
    type Err = String;

    fn from_str(name: &str) -> Result<QrMode, String> {
        match name {
            "reduced" => Ok(QrMode::Reduced),
            "complete" => Ok(QrMode::Complete),
            other => Err(format!("expected mode `reduced` or `complete`, received `{other}`")),
        }
    }
}

/// Orthonormal `Q` and upper triangular `R` of `A = Q·R`, `A: [.., m, n]`: `Q [.., m, k]` and `R [.., k, n]` with
/// `k = min(m, n)`, or `k = m` in complete mode.
///
/// The signs of `Q`'s columns are arbitrary. A complete `Q` of more rows than columns has no gradient.
#[track_caller]
pub fn qr(x: &Tensor, mode: QrMode) -> (Tensor, Tensor) {
    let at = here();
    let a = match Matrices::new("qr", x, at) {
        Ok(a) => a,
        Err(failed) => return (failed.clone(), failed),
    };
    let (m, n) = (a.rows, a.columns);
    let [q, r] = if m > n && mode == QrMode::Complete {
        complete_qr(&a)
    } else if m >= n {
        tall_qr(&a.x, (m, n), at)
    } else {
        // Q is that of the first m columns; the others of R are Qᵀ times theirs.
        let [q, square] = tall_qr(&a.x.slice_axis(-1, 0, m as i64), (m, m), at);
        let rest = transposed(&q).matmul(&a.x.slice_axis(-1, m as i64, n as i64));
        let r = Tensor::concat(&[square, rest], -1);
        [q, r]
    };
    (a.give(q), a.give(r))
}

fn tall_qr(x: &Tensor, (m, n): (usize, usize), at: At) -> [Tensor; 2] {
    let outputs: [(&[usize], DType); 2] = [(&[m, n], x.dtype()), (&[n, n], x.dtype())];
    let values = call::per_matrix("qr", at, &[x], outputs, |x| host::qr(x[0], false));
    qr_gradients(x, values, at)
}

/// `Q` and `R` with gradients; each one's needs the other.
fn qr_gradients(x: &Tensor, values: [Tensor; 2], at: At) -> [Tensor; 2] {
    // Ā = (Q̄ + Q M̃) R⁻ᵀ, M = R R̄ᵀ − Q̄ᵀ Q, where M̃ is M's lower triangle mirrored.
    let mirrored = |m: &Tensor| lower(m) + transposed(&strictly_lower(m));
    let over_r = move |x: &Tensor, r: &Tensor| transposed(&triangular(r, &transposed(x), false, at));
    let again = values.clone();
    let q = Tensor::custom_gradient(&values[0], std::slice::from_ref(x), move |g, q, x| {
        let [_, r] = qr_gradients(&x[0], again.clone(), at);
        vec![Some(over_r(&(g - q.matmul(&mirrored(&transposed(g).matmul(q)))), &r))]
    });
    let again = values.clone();
    let r = Tensor::custom_gradient(&values[1], std::slice::from_ref(x), move |g, r, x| {
        let [q, _] = qr_gradients(&x[0], again.clone(), at);
        vec![Some(over_r(&q.matmul(&mirrored(&r.matmul(&transposed(&upper(g))))), r))]
    });
    [q, r]
}

/// Of more rows than columns.
fn complete_qr(a: &Matrices) -> [Tensor; 2] {
    let (m, n, at) = (a.rows, a.columns, a.at);
    let outputs: [(&[usize], DType); 2] = [(&[m, m], a.x.dtype()), (&[m, n], a.x.dtype())];
    let [q, r] = call::per_matrix("qr", at, &[&a.x], outputs, |x| host::qr(x[0], true));
    if q.error().is_some() {
        return all(q);
    }
    let thin = [q.slice_axis(-1, 0, n as i64), r.slice_axis(-2, 0, n as i64)];
    let [_, r] = qr_gradients(&a.x, thin, at);
    let mut padding = vec![(0, 0); r.rank()];
    padding[r.rank() - 2].1 = m - n;
    let q = Tensor::custom_gradient(&q, std::slice::from_ref(&a.x), move |_, _, _| {
        let message = "the complete Q of more rows than columns has no gradient; use the reduced mode";
        vec![Some(Tensor::failed("qr", message.into(), at))]
    });
    [q, r.pad(&padding, 0.0)]
}
