//! Eigenvalues and singular values.

use kiln_device::DType;

use super::solve::share;
use super::{Matrices, call, host, plus_identity, scaled_columns, transposed};
use crate::error::At;
use crate::ops::convert::epsilon;
use crate::tensor::{Tensor, here};

/// Below this share of the largest, a singular value of an `[m, n]` matrix in `float32` counts as 0.
pub(super) fn smallest_kept(m: usize, n: usize, dtype: DType) -> f64 {
    m.max(n) as f64 * epsilon(dtype)
}

/// Eigenvalues `[.., n]` in ascending order and orthonormal eigenvectors `[.., n, n]` (columns) of symmetric matrices
/// `[.., n, n]`.
///
/// The symmetric part `(x + xᵀ) / 2` is taken. The signs of the vectors are arbitrary; their gradient is infinite where
/// eigenvalues are equal.
#[track_caller]
pub fn eigh(x: &Tensor) -> (Tensor, Tensor) {
    let at = here();
    let a = match Matrices::symmetric("eigh", x, at) {
        Ok(a) => a,
        Err(failed) => return (failed.clone(), failed),
    };
    let n = a.rows;
    let outputs: [(&[usize], DType); 2] = [(&[n], a.x.dtype()), (&[n, n], a.x.dtype())];
    let values = call::per_matrix("eigh", at, &[&a.x], outputs, |x| host::symmetric_eigen(x[0]));
    let [w, v] = eigen_gradients(&a.x, values);
    (a.give(w), a.give(v))
}

/// Values and vectors with gradients; each one's needs the other.
fn eigen_gradients(x: &Tensor, values: [Tensor; 2]) -> [Tensor; 2] {
    let again = values.clone();
    let w = Tensor::custom_gradient(&values[0], std::slice::from_ref(x), move |g, _, x| {
        let [_, v] = eigen_gradients(&x[0], again.clone());
        vec![Some(scaled_columns(&v, g).matmul(&transposed(&v)))]
    });
    let again = values.clone();
    // dV = V (F ∘ Vᵀ dA V), Fᵢⱼ = 1 / (wⱼ − wᵢ).
    let v = Tensor::custom_gradient(&values[1], std::slice::from_ref(x), move |g, v, x| {
        let [w, _] = eigen_gradients(&x[0], again.clone());
        let inner = over_differences(&w, &transposed(v).matmul(g));
        vec![Some(v.matmul(&inner).matmul(&transposed(v)))]
    });
    [w, v]
}

/// `Xᵢⱼ / (wⱼ − wᵢ)`, 0 on the diagonal.
fn over_differences(w: &Tensor, x: &Tensor) -> Tensor {
    let differences = plus_identity(&(w.expand_dims(-2) - w.expand_dims(-1)));
    super::masked(&(x / differences), |row, column| row.not_equal(column))
}

/// `U`, `S` and `Vᵀ` of `A = U·diag(S)·Vᵀ` for matrices `[.., m, n]`: `U [.., m, m]`, `S [.., min(m, n)]` in descending
/// order, `Vᵀ [.., n, n]`; without `full_matrices` only the first `min(m, n)` columns of `U` and rows of `Vᵀ`.
///
/// The signs of the vectors are arbitrary. Their gradient is infinite where singular values are equal, and there is none
/// for full matrices that are not square. For the values alone see [`svdvals`].
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let (_, s, _) = ops::svd(&Tensor::from_vec(&[0.0f32, 2.0, 3.0, 0.0], &[2, 2]), false);
/// assert_eq!(s.to_vec::<f32>()?, [3.0, 2.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn svd(x: &Tensor, full_matrices: bool) -> (Tensor, Tensor, Tensor) {
    let at = here();
    let a = match Matrices::new("svd", x, at) {
        Ok(a) => a,
        Err(failed) => return (failed.clone(), failed.clone(), failed),
    };
    let (m, n) = (a.rows, a.columns);
    let full = full_matrices && m != n;
    let values = decomposed(&a.x, (m, n), full, at);
    let [u, s, vt] = if full {
        // The values' gradient needs the first columns only.
        let short = m.min(n) as i64;
        let thin = match values[0].error() {
            Some(_) => values.clone(),
            None => {
                [values[0].slice_axis(-1, 0, short), values[1].clone(), values[2].slice_axis(-2, 0, short)]
            }
        };
        let [_, s, _] = singular_gradients(&a.x, thin, (m, n));
        let [u, _, vt] = values.map(|value| {
            Tensor::custom_gradient(&value, std::slice::from_ref(&a.x), move |_, _, _| {
                let message = "full matrices that are not square have no gradient; use full_matrices = false";
                vec![Some(Tensor::failed("svd", message.into(), at))]
            })
        });
        [u, s, vt]
    } else {
        singular_gradients(&a.x, values, (m, n))
    };
    (a.give(u), a.give(s), a.give(vt))
}

fn decomposed(x: &Tensor, (m, n): (usize, usize), full: bool, at: At) -> [Tensor; 3] {
    let short = m.min(n);
    let (rows, columns) = if full { (m, n) } else { (short, short) };
    let outputs: [(&[usize], DType); 3] =
        [(&[m, rows], x.dtype()), (&[short], x.dtype()), (&[columns, n], x.dtype())];
    if full {
        call::per_matrix("svd", at, &[x], outputs, |x| host::svd(x[0], true))
    } else {
        call::per_matrix("svd", at, &[x], outputs, |x| host::svd(x[0], false))
    }
}

/// Reduced `U`, `S` and `Vᵀ` with gradients; each one's needs the others.
fn singular_gradients(x: &Tensor, values: [Tensor; 3], (m, n): (usize, usize)) -> [Tensor; 3] {
    let [again, for_u, for_v] = [values.clone(), values.clone(), values.clone()];
    let s = Tensor::custom_gradient(&values[1], std::slice::from_ref(x), move |g, _, x| {
        let [u, _, vt] = singular_gradients(&x[0], again.clone(), (m, n));
        vec![Some(scaled_columns(&u, g).matmul(&vt))]
    });
    // With P = Uᵀ dA V and Fᵢⱼ = 1 / (sⱼ² − sᵢ²): dU = U (F ∘ (P S + S Pᵀ)) + (1 − U Uᵀ) dA V S⁻¹, and dV alike.
    let both = |x: &Tensor, s: &Tensor| {
        let inner = over_differences(&s.square(), x);
        &inner + transposed(&inner)
    };
    let u = Tensor::custom_gradient(&values[0], std::slice::from_ref(x), move |g, u, x| {
        let [_, s, vt] = singular_gradients(&x[0], for_u.clone(), (m, n));
        let along = transposed(u).matmul(g);
        let mut inner = u.matmul(&scaled_columns(&both(&along, &s), &s));
        if m > n {
            inner = inner + scaled_columns(&(g - u.matmul(&along)), &s.reciprocal());
        }
        vec![Some(inner.matmul(&vt))]
    });
    let vt = Tensor::custom_gradient(&values[2], std::slice::from_ref(x), move |g, vt, x| {
        let [u, s, _] = singular_gradients(&x[0], for_v.clone(), (m, n));
        let along = vt.matmul(&transposed(g));
        let mut inner = scaled_columns(&u, &s).matmul(&both(&along, &s)).matmul(vt);
        if n > m {
            let across = g - transposed(&along).matmul(vt);
            inner = inner + scaled_columns(&u, &s.reciprocal()).matmul(&across);
        }
        vec![Some(inner)]
    });
    [u, s, vt]
}

/// The singular values of matrices `[.., m, n]` in descending order, `[.., min(m, n)]`: Keras' `svd` without
/// `compute_uv`.
#[track_caller]
pub fn svdvals(x: &Tensor) -> Tensor {
    let at = here();
    match Matrices::new("svdvals", x, at) {
        Ok(a) => a.give(singular_values(&a.x, (a.rows, a.columns), at)),
        Err(failed) => failed,
    }
}

pub(super) fn singular_values(x: &Tensor, (m, n): (usize, usize), at: At) -> Tensor {
    let [value] = call::per_matrix("svd", at, &[x], [(&[m.min(n)], x.dtype())], |x| {
        host::singular_values(x[0]).map(|s| vec![s])
    });
    Tensor::custom_gradient(&value, std::slice::from_ref(x), move |g, _, x| {
        let [u, _, vt] = singular_gradients(&x[0], decomposed(&x[0], (m, n), false, at), (m, n));
        vec![Some(scaled_columns(&u, g).matmul(&vt))]
    })
}

/// The ranks of matrices `[.., m, n]`, `int32 [..]`: how many singular values are above `tolerance`; without it above
/// `max(m, n) · 2⁻²³` times the largest.
#[track_caller]
pub fn matrix_rank(x: &Tensor, tolerance: impl Into<Option<f64>>) -> Tensor {
    let at = here();
    let tolerance = tolerance.into();
    match Matrices::new("matrix_rank", x, at) {
        Ok(a) => {
            let limit = share(tolerance.unwrap_or(smallest_kept(a.rows, a.columns, a.x.dtype())), &a.x);
            let (inputs, outputs) = ([&a.x, &limit], [(&[][..], DType::I32)]);
            let [rank] = match tolerance {
                Some(_) => call::per_matrix("matrix_rank", at, &inputs, outputs, |x| {
                    host::rank(x[0], x[1].values[0], false)
                }),
                None => call::per_matrix("matrix_rank", at, &inputs, outputs, |x| {
                    host::rank(x[0], x[1].values[0], true)
                }),
            };
            rank
        }
        Err(failed) => failed,
    }
}
