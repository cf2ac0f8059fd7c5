//! Factorisations of one matrix on the host, in `f64`. Matrices are row-major slices.
//!
//! Errors say what is wrong with the data, without the operation's name: "is singular".

use faer::linalg::solvers::{PartialPivLu, SolveCore};
use faer::{Conj, Mat, MatRef, Side};

/// One value per result, or what is wrong with the matrix.
pub(super) type Outcome = Result<Vec<Vec<f64>>, String>;

fn matrix(values: &[f64], rows: usize, columns: usize) -> Mat<f64> {
    Mat::from_fn(rows, columns, |i, j| values[i * columns + j])
}

fn rows_of(matrix: MatRef<'_, f64>) -> Vec<f64> {
    (0..matrix.nrows()).flat_map(|i| (0..matrix.ncols()).map(move |j| matrix[(i, j)])).collect()
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(u8::from(i / n.max(1) == i % n.max(1)))).collect()
}

/// The iterative methods do not converge on other values.
fn finite(values: &[f64]) -> Result<(), String> {
    if values.iter().all(|x| x.is_finite()) { Ok(()) } else { Err("holds NaN or infinity".into()) }
}

/// The lower factor `L` of `A = L·Lᵀ`.
pub(super) fn cholesky(a: &[f64], n: usize) -> Outcome {
    let refused = || "is not positive definite".to_owned();
    let factor = matrix(a, n, n).llt(Side::Lower).map_err(|_| refused())?;
    let lower = factor.L();
    // A NaN passes the factorisation's own test.
    if (0..n).any(|i| !lower[(i, i)].is_finite()) {
        return Err(refused());
    }
    let at = |i: usize| if i % n > i / n { 0.0 } else { lower[(i / n, i % n)] };
    Ok(vec![(0..n * n).map(at).collect()])
}

/// An LU factorisation with the order of its rows.
struct Lu {
    factor: PartialPivLu<f64>,
    /// Row `i` of `P⁻¹A` is row `order[i]` of `A`.
    order: Vec<usize>,
}

impl Lu {
    fn new(a: &[f64], rows: usize, columns: usize) -> Lu {
        let factor = matrix(a, rows, columns).partial_piv_lu();
        let order = factor.P().arrays().0.to_vec();
        Lu { factor, order }
    }

    fn pivot(&self, i: usize) -> f64 {
        self.factor.U()[(i, i)]
    }

    /// The sign of the permutation.
    fn sign(&self) -> f64 {
        let (mut seen, mut sign) = (vec![false; self.order.len()], 1.0);
        for start in 0..seen.len() {
            let mut at = start;
            while !seen[at] {
                seen[at] = true;
                at = self.order[at];
                if at != start {
                    sign = -sign;
                }
            }
        }
        sign
    }

    /// A pivot that is 0, or no larger than what was rounded off when it was computed.
    fn singular(&self) -> bool {
        let (lower, upper) = (self.factor.L(), self.factor.U());
        let n = self.order.len();
        (0..n).any(|i| {
            let cancelled: f64 = (0..i).map(|k| (lower[(i, k)] * upper[(k, i)]).abs()).sum();
            upper[(i, i)].abs() <= n as f64 * f64::EPSILON * cancelled || upper[(i, i)] == 0.0
        })
    }
}

/// The packed factors `[rows, columns]`, the row that each of the first rows was exchanged with, and the order of the
/// rows that comes of it.
pub(super) fn lu(a: &[f64], rows: usize, columns: usize) -> Outcome {
    let lu = Lu::new(a, rows, columns);
    let (lower, upper) = (lu.factor.L(), lu.factor.U());
    let mut packed = Vec::with_capacity(rows * columns);
    for i in 0..rows {
        packed.extend((0..columns).map(|j| if i > j { lower[(i, j)] } else { upper[(i, j)] }));
    }
    let mut order: Vec<usize> = (0..rows).collect();
    let mut exchanged = vec![];
    for i in 0..rows.min(columns) {
        let from = (i..rows).find(|j| order[*j] == lu.order[i]).unwrap_or(i);
        exchanged.push(from as f64);
        order.swap(i, from);
    }
    Ok(vec![packed, exchanged, lu.order.iter().map(|i| *i as f64).collect()])
}

/// `X` of `A·X = B`, `B: [n, columns]`.
pub(super) fn solve(a: &[f64], b: &[f64], n: usize, columns: usize) -> Outcome {
    let lu = Lu::new(a, n, n);
    if lu.singular() {
        return Err("is singular".into());
    }
    let mut x = matrix(b, n, columns);
    lu.factor.solve_in_place_with_conj(Conj::No, x.as_mut());
    Ok(vec![rows_of(x.as_ref())])
}

/// `A⁻¹`.
pub(super) fn inverse(a: &[f64], n: usize) -> Outcome {
    solve(a, &identity(n), n, n)
}

/// `|A|`.
pub(super) fn determinant(a: &[f64], n: usize) -> Outcome {
    let lu = Lu::new(a, n, n);
    Ok(vec![vec![(0..n).map(|i| lu.pivot(i)).product::<f64>() * lu.sign()]])
}

/// The sign of the determinant and the logarithm of its absolute value: 0 and −∞ of a singular matrix.
pub(super) fn log_determinant(a: &[f64], n: usize) -> Outcome {
    let lu = Lu::new(a, n, n);
    let signs: f64 = (0..n).map(|i| if lu.pivot(i) == 0.0 { 0.0 } else { lu.pivot(i).signum() }).product();
    let log: f64 = (0..n).map(|i| lu.pivot(i).abs().ln()).sum();
    Ok(vec![vec![signs * lu.sign()], vec![log]])
}

/// The matrix of cofactors, `∂|A| / ∂A`, which a singular matrix has too: of `A = U S Vᵀ` it is `|U| |V| U C Vᵀ` with
/// `C` the products of all other singular values.
pub(super) fn cofactors(a: &[f64], n: usize) -> Outcome {
    finite(a)?;
    let svd = matrix(a, n, n).svd().map_err(|_| diverged())?;
    let s: Vec<f64> = (0..n).map(|i| svd.S()[i]).collect();
    let sign = |m: MatRef<'_, f64>| determinant(&rows_of(m), n).map(|d| d[0][0].signum());
    let sign = if n == 0 { 1.0 } else { sign(svd.U())? * sign(svd.V())? };
    let others = |i: usize| (0..n).filter(|k| *k != i).map(|k| s[k]).product::<f64>() * sign;
    let scaled = Mat::from_fn(n, n, |i, j| svd.U()[(i, j)] * others(j));
    Ok(vec![rows_of((scaled * svd.V().transpose()).as_ref())])
}

/// `X` of `A·X = B` where only one triangle of `A` counts.
pub(super) fn solve_triangular(a: &[f64], b: &[f64], n: usize, columns: usize, lower: bool) -> Outcome {
    let mut x = b.to_vec();
    for step in 0..n {
        let i = if lower { step } else { n - 1 - step };
        let pivot = a[i * n + i];
        if pivot == 0.0 {
            return Err(format!("is singular: element {i} of its diagonal is 0"));
        }
        let known = if lower { 0..i } else { i + 1..n };
        let mut row = x[i * columns..(i + 1) * columns].to_vec();
        for k in known {
            let factor = a[i * n + k];
            for (y, z) in row.iter_mut().zip(&x[k * columns..(k + 1) * columns]) {
                *y -= factor * z;
            }
        }
        for (y, value) in x[i * columns..].iter_mut().zip(row) {
            *y = value / pivot;
        }
    }
    Ok(vec![x])
}

fn diverged() -> String {
    "did not converge".into()
}

/// Eigenvalues in ascending order and orthonormal eigenvectors as columns, of a symmetric matrix.
pub(super) fn symmetric_eigen(a: &[f64], n: usize) -> Outcome {
    finite(a)?;
    let eigen = matrix(a, n, n).self_adjoint_eigen(Side::Lower).map_err(|_| diverged())?;
    Ok(vec![(0..n).map(|i| eigen.S()[i]).collect(), rows_of(eigen.U())])
}

/// Eigenvalues and eigenvectors of length 1 as columns: real and imaginary parts of the one, then of the other.
pub(super) fn eigen(a: &[f64], n: usize) -> Outcome {
    finite(a)?;
    let eigen = matrix(a, n, n).eigen().map_err(|_| diverged())?;
    let (values, vectors) = (eigen.S(), eigen.U());
    let length = |j: usize| (0..n).map(|i| vectors[(i, j)].norm_sqr()).sum::<f64>().sqrt();
    let lengths: Vec<f64> = (0..n).map(length).collect();
    let part = |of: fn(&faer::c64) -> f64| {
        (0..n * n).map(|i| of(&vectors[(i / n, i % n)]) / lengths[i % n]).collect::<Vec<f64>>()
    };
    let value = |of: fn(&faer::c64) -> f64| (0..n).map(|i| of(&values[i])).collect::<Vec<f64>>();
    Ok(vec![value(|z| z.re), value(|z| z.im), part(|z| z.re), part(|z| z.im)])
}

/// `U`, `S` and `Vᵀ` of `A = U S Vᵀ`; the vectors of all rows and columns where `full`, else of the shorter side.
pub(super) fn svd(a: &[f64], rows: usize, columns: usize, full: bool) -> Outcome {
    finite(a)?;
    let short = rows.min(columns);
    if short == 0 {
        let side = |n: usize| if full { identity(n) } else { vec![] };
        return Ok(vec![side(rows), vec![], side(columns)]);
    }
    let a = matrix(a, rows, columns);
    let svd = if full { a.svd() } else { a.thin_svd() }.map_err(|_| diverged())?;
    let s = (0..short).map(|i| svd.S()[i]).collect();
    Ok(vec![rows_of(svd.U()), s, rows_of(svd.V().transpose())])
}

/// The singular values, largest first.
pub(super) fn singular_values(a: &[f64], rows: usize, columns: usize) -> Result<Vec<f64>, String> {
    finite(a)?;
    if rows.min(columns) == 0 {
        return Ok(vec![]);
    }
    matrix(a, rows, columns).singular_values().map_err(|_| diverged())
}

/// The number of singular values above `tolerance`, or above what `f32` resolves.
pub(super) fn rank(a: &[f64], rows: usize, columns: usize, tolerance: Option<f64>) -> Outcome {
    let s = singular_values(a, rows, columns)?;
    let largest = s.first().copied().unwrap_or(0.0);
    let limit = tolerance.unwrap_or(largest * rows.max(columns) as f64 * f64::from(f32::EPSILON));
    Ok(vec![vec![s.iter().filter(|s| **s > limit).count() as f64]])
}

/// `A⁺·B`, of singular values above `cutoff` times the largest.
pub(super) fn least_squares(
    a: &[f64],
    b: &[f64],
    (rows, columns, sides): (usize, usize, usize),
    cutoff: f64,
) -> Outcome {
    let parts = svd(a, rows, columns, false)?;
    let (u, s, vt) = (&parts[0], &parts[1], &parts[2]);
    let short = s.len();
    let limit = s.first().map_or(0.0, |largest| largest * cutoff);
    let u = matrix(u, rows, short);
    let mut inner = u.transpose() * matrix(b, rows, sides);
    for (i, s) in s.iter().enumerate() {
        for j in 0..sides {
            inner[(i, j)] = if *s > limit { inner[(i, j)] / s } else { 0.0 };
        }
    }
    Ok(vec![rows_of((matrix(vt, short, columns).transpose() * inner).as_ref())])
}

/// `Q` and `R` of `A = Q·R`; square `Q` where `complete`, else as many columns as the shorter side.
pub(super) fn qr(a: &[f64], rows: usize, columns: usize, complete: bool) -> Outcome {
    let short = rows.min(columns);
    if short == 0 {
        return Ok(vec![
            if complete { identity(rows) } else { vec![] },
            vec![0.0; if complete { rows } else { 0 } * columns],
        ]);
    }
    let factor = matrix(a, rows, columns).qr();
    let (q, r) =
        if complete { (factor.compute_Q(), factor.R()) } else { (factor.compute_thin_Q(), factor.thin_R()) };
    Ok(vec![rows_of(q.as_ref()), rows_of(r)])
}

/// `e^A` by Padé's approximant of degree 13 and repeated squaring (N. Higham 2005).
pub(super) fn exponential(a: &[f64], n: usize) -> Outcome {
    const PADE: [f64; 14] = [
        64_764_752_532_480_000.0,
        32_382_376_266_240_000.0,
        7_771_770_303_897_600.0,
        1_187_353_796_428_800.0,
        129_060_195_264_000.0,
        10_559_470_521_600.0,
        670_442_572_800.0,
        33_522_128_640.0,
        1_323_241_920.0,
        40_840_800.0,
        960_960.0,
        16_380.0,
        182.0,
        1.0,
    ];
    /// The norm up to which the approximant is exact in `f64`.
    const REACH: f64 = 5.371_920_351_148_152;
    finite(a)?;
    let column = |j: usize| (0..n).map(|i| a[i * n + j].abs()).sum::<f64>();
    let norm = (0..n).map(column).fold(0.0, f64::max);
    let squarings = (norm / REACH).log2().ceil().max(0.0) as i32;
    let a = matrix(a, n, n) * faer::Scale(0.5f64.powi(squarings));
    let unit = Mat::<f64>::identity(n, n);
    let (a2, b) = (&a * &a, |i: usize| faer::Scale(PADE[i]));
    let (a4, a6) = (&a2 * &a2, &a2 * &a2 * &a2);
    let odd =
        &a6 * (&a6 * b(13) + &a4 * b(11) + &a2 * b(9)) + &a6 * b(7) + &a4 * b(5) + &a2 * b(3) + &unit * b(1);
    let odd = &a * odd;
    let even =
        &a6 * (&a6 * b(12) + &a4 * b(10) + &a2 * b(8)) + &a6 * b(6) + &a4 * b(4) + &a2 * b(2) + &unit * b(0);
    let mut e = &even + &odd;
    (even - odd).partial_piv_lu().solve_in_place_with_conj(Conj::No, e.as_mut());
    for _ in 0..squarings {
        e = &e * &e;
    }
    Ok(vec![rows_of(e.as_ref())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize) -> Vec<f64> {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / 2f64.powi(31) - 0.5
        };
        (0..rows * columns).map(|_| next()).collect()
    }

    fn product(a: &[f64], b: &[f64], inner: usize) -> Vec<f64> {
        let (rows, columns) = (a.len() / inner, b.len() / inner);
        let at = |i: usize, j: usize| (0..inner).map(|k| a[i * inner + k] * b[k * columns + j]).sum();
        (0..rows * columns).map(|i| at(i / columns, i % columns)).collect()
    }

    fn transposed(a: &[f64], columns: usize) -> Vec<f64> {
        let rows = a.len() / columns;
        (0..a.len()).map(|i| a[i % rows * columns + i / rows]).collect()
    }

    #[track_caller]
    fn near(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (i, (g, e)) in got.iter().zip(expected).enumerate() {
            assert!((g - e).abs() <= 1e-11 * e.abs().max(1.0), "{i}: {g}, not {e}");
        }
    }

    #[test]
    fn factors_multiply_to_the_matrix() {
        for n in [1, 2, 5, 40] {
            let a = random(n, n);
            let spd: Vec<f64> =
                product(&a, &transposed(&a, n), n).iter().zip(identity(n)).map(|(x, y)| x + y).collect();
            let l = cholesky(&spd, n).unwrap().remove(0);
            near(&product(&l, &transposed(&l, n), n), &spd);
            let eigen = symmetric_eigen(&spd, n).unwrap();
            let scaled: Vec<f64> = (0..n * n).map(|i| eigen[1][i] * eigen[0][i % n]).collect();
            near(&product(&scaled, &transposed(&eigen[1], n), n), &spd);
            assert!(eigen[0].is_sorted());
            near(&product(&inverse(&spd, n).unwrap()[0], &spd, n), &identity(n));
        }
        for (m, n) in [(1, 4), (5, 3), (3, 5), (30, 20)] {
            let a = random(m, n);
            for complete in [false, true] {
                let f = qr(&a, m, n, complete).unwrap();
                near(&product(&f[0], &f[1], f[1].len() / n), &a);
                let f = svd(&a, m, n, complete).unwrap();
                let (wide, k) = (f[0].len() / m, m.min(n));
                let u: Vec<f64> = (0..m * k).map(|i| f[0][i / k * wide + i % k] * f[1][i % k]).collect();
                near(&product(&u, &f[2][..k * n], k), &a);
            }
            let s = singular_values(&a, m, n).unwrap();
            near(&s, &svd(&a, m, n, false).unwrap()[1]);
        }
    }

    #[test]
    fn lu_names_the_rows_that_it_exchanges() {
        for (m, n) in [(1, 1), (4, 4), (6, 3), (3, 6), (20, 20)] {
            let a = random(m, n);
            let f = lu(&a, m, n).unwrap();
            let k = m.min(n);
            let l: Vec<f64> = (0..m * k)
                .map(|i| {
                    if i % k > i / k {
                        0.0
                    } else if i % k == i / k {
                        1.0
                    } else {
                        f[0][i / k * n + i % k]
                    }
                })
                .collect();
            let u: Vec<f64> = (0..k * n).map(|i| if i / n > i % n { 0.0 } else { f[0][i] }).collect();
            let mut rows: Vec<&[f64]> = a.chunks(n).collect();
            for (i, other) in f[1].iter().enumerate() {
                rows.swap(i, *other as usize);
            }
            near(&product(&l, &u, k), &rows.concat());
            let ordered: Vec<f64> = f[2].iter().flat_map(|i| &a[*i as usize * n..][..n]).copied().collect();
            assert_eq!(ordered, rows.concat());
        }
    }

    #[test]
    fn determinants_and_cofactors() {
        near(&determinant(&[0.0, 2.0, 3.0, 4.0], 2).unwrap()[0], &[-6.0]);
        near(&determinant(&[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], 3).unwrap()[0], &[1.0]);
        assert_eq!(log_determinant(&[1.0, 2.0, 2.0, 4.0], 2).unwrap(), [[0.0], [f64::NEG_INFINITY]]);
        near(&log_determinant(&[0.0, 2.0, 3.0, 4.0], 2).unwrap()[0], &[-1.0]);
        // Of a singular matrix too.
        near(&cofactors(&[1.0, 2.0, 2.0, 4.0], 2).unwrap()[0], &[4.0, -2.0, -2.0, 1.0]);
        near(&cofactors(&[5.0], 1).unwrap()[0], &[1.0]);
    }

    #[test]
    fn eigenvectors_keep_their_direction() {
        let a = [0.0, -1.0, 1.0, 0.0];
        let e = eigen(&a, 2).unwrap();
        near(&e[0], &[0.0, 0.0]);
        near(&[e[1][0] * e[1][1]], &[-1.0]);
        let a = random(7, 7);
        let e = eigen(&a, 7).unwrap();
        let (re, im) = (product(&a, &e[2], 7), product(&a, &e[3], 7));
        let scaled = |own: &[f64], other: &[f64], sign: f64| -> Vec<f64> {
            (0..49).map(|i| own[i] * e[0][i % 7] + sign * other[i] * e[1][i % 7]).collect()
        };
        near(&re, &scaled(&e[2], &e[3], -1.0));
        near(&im, &scaled(&e[3], &e[2], 1.0));
    }

    #[test]
    fn least_squares_have_the_least_norm() {
        // x + y = 2 twice: (1, 1).
        near(&least_squares(&[1.0, 1.0, 1.0, 1.0], &[2.0, 2.0], (2, 2, 1), 1e-6).unwrap()[0], &[1.0, 1.0]);
        assert_eq!(rank(&[1.0, 1.0, 1.0, 1.0], 2, 2, None).unwrap(), [[1.0]]);
        assert_eq!(rank(&[3.0, 0.0, 0.0, 1.0], 2, 2, Some(2.0)).unwrap(), [[1.0]]);
    }

    #[test]
    fn triangles_are_solved_from_their_end() {
        let a = [2.0, 9.0, 1.0, 4.0];
        near(&solve_triangular(&a, &[2.0, 9.0], 2, 1, true).unwrap()[0], &[1.0, 2.0]);
        near(&solve_triangular(&a, &[20.0, 8.0], 2, 1, false).unwrap()[0], &[1.0, 2.0]);
    }

    #[test]
    fn the_exponential_of_a_rotation_is_a_rotation() {
        for angle in [0.5f64, 40.0] {
            let e = exponential(&[0.0, -angle, angle, 0.0], 2).unwrap().remove(0);
            near(&e, &[angle.cos(), -angle.sin(), angle.sin(), angle.cos()]);
        }
        assert!(exponential(&[], 0).unwrap()[0].is_empty());
    }

    #[test]
    fn bad_matrices_are_named() {
        let text = |outcome: Outcome| outcome.unwrap_err();
        assert_eq!(text(cholesky(&[1.0, 2.0, 2.0, 1.0], 2)), "is not positive definite");
        assert_eq!(text(cholesky(&[f64::NAN], 1)), "is not positive definite");
        assert_eq!(text(inverse(&[1.0, 2.0, 3.0, 6.0], 2)), "is singular");
        assert_eq!(text(inverse(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 3)), "is singular");
        assert!(inverse(&[1.0, 1.0, 0.0, 1e-30], 2).is_ok(), "small is not singular");
        assert!(text(solve_triangular(&[0.0], &[1.0], 1, 1, true)).contains("element 0"));
        assert!(text(svd(&[f64::NAN], 1, 1, false)).contains("NaN"));
    }
}
