//! Eigenvalues, singular values, and what is made of them.

use faer::Side;

use super::{Matrix, Outcome, diverged, finite, identity, matrix, rows_of};

/// Eigenvalues in ascending order and orthonormal eigenvectors as columns, of a symmetric matrix.
pub(in crate::ops::linalg) fn symmetric_eigen(a: Matrix<'_>) -> Outcome {
    let n = a.rows;
    finite(a)?;
    let eigen = a.dense().self_adjoint_eigen(Side::Lower).map_err(|_| diverged())?;
    Ok(vec![(0..n).map(|i| eigen.S()[i]).collect(), rows_of(eigen.U())])
}

/// Eigenvalues and eigenvectors of length 1 as columns: real and imaginary parts of the one, then of the other. The largest
/// element of a vector is real, as LAPACK has it.
pub(in crate::ops::linalg) fn eigen(a: Matrix<'_>) -> Outcome {
    let n = a.rows;
    finite(a)?;
    let eigen = a.dense().eigen().map_err(|_| diverged())?;
    let (values, vectors) = (eigen.S(), eigen.U());
    // What a vector is divided by: its length, turned by the angle of its largest element.
    let divisor = |j: usize| {
        let length = (0..n).map(|i| vectors[(i, j)].norm_sqr()).sum::<f64>().sqrt();
        let largest = (0..n).map(|i| vectors[(i, j)]).max_by(|x, y| x.norm_sqr().total_cmp(&y.norm_sqr()));
        match largest {
            Some(z) if z.im != 0.0 => z / z.norm() * length,
            _ => faer::c64::new(length, 0.0),
        }
    };
    let divisors: Vec<faer::c64> = (0..n).map(divisor).collect();
    let part = |of: fn(faer::c64) -> f64| {
        (0..n * n).map(|i| of(vectors[(i / n, i % n)] / divisors[i % n])).collect::<Vec<f64>>()
    };
    let value = |of: fn(&faer::c64) -> f64| (0..n).map(|i| of(&values[i])).collect::<Vec<f64>>();
    Ok(vec![value(|z| z.re), value(|z| z.im), part(|z| z.re), part(|z| z.im)])
}

/// `Z` of `Z − B·Z·C = M` (Stein's equation) for symmetric `B` and `C` of which no product of eigenvalues is 1.
pub(in crate::ops::linalg) fn stein(b: Matrix<'_>, c: Matrix<'_>, m: Matrix<'_>) -> Outcome {
    let (left, right) = (symmetric_eigen(b)?, symmetric_eigen(c)?);
    let (u, v) = (matrix(&left[1], b.rows, b.rows), matrix(&right[1], c.rows, c.rows));
    let mut inner = u.transpose() * m.dense() * &v;
    for (i, p) in left[0].iter().enumerate() {
        for (j, q) in right[0].iter().enumerate() {
            inner[(i, j)] /= 1.0 - p * q;
        }
    }
    Ok(vec![rows_of((u * inner * v.transpose()).as_ref())])
}

/// `U`, `S` and `Vᵀ` of `A = U S Vᵀ`; the vectors of all rows and columns where `full`, else of the shorter side.
pub(in crate::ops::linalg) fn svd(a: Matrix<'_>, full: bool) -> Outcome {
    finite(a)?;
    let (rows, columns) = (a.rows, a.columns);
    let short = rows.min(columns);
    if short == 0 {
        let side = |n: usize| if full { identity(n) } else { vec![] };
        return Ok(vec![side(rows), vec![], side(columns)]);
    }
    let a = a.dense();
    let svd = if full { a.svd() } else { a.thin_svd() }.map_err(|_| diverged())?;
    let s = (0..short).map(|i| svd.S()[i]).collect();
    Ok(vec![rows_of(svd.U()), s, rows_of(svd.V().transpose())])
}

/// The singular values, largest first.
pub(in crate::ops::linalg) fn singular_values(a: Matrix<'_>) -> Result<Vec<f64>, String> {
    finite(a)?;
    if a.values.is_empty() {
        return Ok(vec![]);
    }
    a.dense().singular_values().map_err(|_| diverged())
}

/// The number of singular values above a limit, or above a share of the largest.
pub(in crate::ops::linalg) fn rank(a: Matrix<'_>, limit: f64, share: bool) -> Outcome {
    let s = singular_values(a)?;
    let limit = if share { limit * s.first().copied().unwrap_or(0.0) } else { limit };
    Ok(vec![vec![s.iter().filter(|s| **s > limit).count() as f64]])
}

/// `A⁺·B`, of singular values above `cutoff` times the largest.
pub(in crate::ops::linalg) fn least_squares(a: Matrix<'_>, b: Matrix<'_>, cutoff: f64) -> Outcome {
    let parts = svd(a, false)?;
    let (rows, columns, sides) = (a.rows, a.columns, b.columns);
    let (u, s, vt) = (&parts[0], &parts[1], &parts[2]);
    let short = s.len();
    let limit = s.first().map_or(0.0, |largest| largest * cutoff);
    let u = matrix(u, rows, short);
    let mut inner = u.transpose() * b.dense();
    for (i, s) in s.iter().enumerate() {
        for j in 0..sides {
            inner[(i, j)] = if *s > limit { inner[(i, j)] / s } else { 0.0 };
        }
    }
    Ok(vec![rows_of((matrix(vt, short, columns).transpose() * inner).as_ref())])
}
