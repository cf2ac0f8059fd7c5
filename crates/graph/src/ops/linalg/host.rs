//! Factorisations of one matrix on the host, in `f64`. Matrices are row-major slices.
//!
//! Errors say what is wrong with the data, without the operation's name: "is singular".

use faer::linalg::solvers::{PartialPivLu, SolveCore};
use faer::{Conj, Mat, MatRef, Side};

mod spectra;

pub(super) use spectra::{eigen, least_squares, rank, singular_values, stein, svd, symmetric_eigen};

/// One value per result, or what is wrong with the matrix.
pub(super) type Outcome = Result<Vec<Vec<f64>>, String>;

/// One matrix of a batch, row-major.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f64],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Matrix<'_> {
    /// The i-th of values `[.., rows, columns]`; of a number the number.
    pub(super) fn of_batch<'a>(values: &'a [f64], form: &[usize], i: usize) -> Matrix<'a> {
        match form {
            [.., rows, columns] => {
                let size = rows * columns;
                Matrix { values: &values[i * size..(i + 1) * size], rows: *rows, columns: *columns }
            }
            _ => Matrix { values, rows: 1, columns: 1 },
        }
    }

    fn dense(&self) -> Mat<f64> {
        matrix(self.values, self.rows, self.columns)
    }
}

fn matrix(values: &[f64], rows: usize, columns: usize) -> Mat<f64> {
    Mat::from_fn(rows, columns, |i, j| values[i * columns + j])
}

fn rows_of(matrix: MatRef<'_, f64>) -> Vec<f64> {
    (0..matrix.nrows()).flat_map(|i| (0..matrix.ncols()).map(move |j| matrix[(i, j)])).collect()
}

pub(super) fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(u8::from(i / n.max(1) == i % n.max(1)))).collect()
}

/// The iterative methods do not converge on other values.
fn finite(a: Matrix<'_>) -> Result<(), String> {
    if a.values.iter().all(|x| x.is_finite()) { Ok(()) } else { Err("holds NaN or infinity".into()) }
}

fn diverged() -> String {
    "did not converge".into()
}

/// The lower factor `L` of `A = L·Lᵀ`.
pub(super) fn cholesky(a: Matrix<'_>) -> Outcome {
    let n = a.rows;
    let refused = || "is not positive definite".to_owned();
    let factor = a.dense().llt(Side::Lower).map_err(|_| refused())?;
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
    /// Both factors, the ones on the diagonal of the lower left out.
    packed: Vec<f64>,
    columns: usize,
    /// Row `i` of `P⁻¹A` is row `order[i]` of `A`.
    order: Vec<usize>,
}

impl Lu {
    fn new(a: Matrix<'_>) -> Lu {
        let factor = a.dense().partial_piv_lu();
        let (lower, upper) = (factor.L(), factor.U());
        let (rows, columns) = (a.rows, a.columns);
        let at = |i: usize, j: usize| if i > j { lower[(i, j)] } else { upper[(i, j)] };
        let packed: Vec<f64> = (0..rows * columns).map(|n| at(n / columns, n % columns)).collect();
        // Below a pivot of 0 the library divides by it.
        let divided = packed.iter().any(|x| !x.is_finite()) && a.values.iter().all(|x| x.is_finite());
        let (packed, order) = if divided { eliminated(a) } else { (packed, factor.P().arrays().0.to_vec()) };
        Lu { factor, packed, columns, order }
    }

    fn pivot(&self, i: usize) -> f64 {
        self.packed[i * self.columns + i]
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
        let (n, at) = (self.order.len(), |i: usize, j: usize| self.packed[i * self.columns + j]);
        (0..n).any(|i| {
            let cancelled: f64 = (0..i).map(|k| (at(i, k) * at(k, i)).abs()).sum();
            at(i, i).abs() <= n as f64 * f64::EPSILON * cancelled || at(i, i) == 0.0
        })
    }
}

/// Gauss' elimination with the largest pivots, for matrices of which a pivot is 0: packed factors and the order of rows.
fn eliminated(a: Matrix<'_>) -> (Vec<f64>, Vec<usize>) {
    let (m, n) = (a.rows, a.columns);
    let mut rows: Vec<(usize, Vec<f64>)> =
        a.values.chunks(n.max(1)).map(<[f64]>::to_vec).enumerate().collect();
    for k in 0..m.min(n) {
        let largest = (k..m).max_by(|i, j| rows[*i].1[k].abs().total_cmp(&rows[*j].1[k].abs()));
        rows.swap(k, largest.unwrap_or(k));
        let (above, below) = rows.split_at_mut(k + 1);
        let pivot = &above[k].1;
        for (_, row) in below.iter_mut().filter(|_| pivot[k] != 0.0) {
            row[k] /= pivot[k];
            for j in k + 1..n {
                row[j] -= row[k] * pivot[j];
            }
        }
    }
    let order = rows.iter().map(|(i, _)| *i).collect();
    (rows.into_iter().flat_map(|(_, row)| row).collect(), order)
}

/// The packed factors `[rows, columns]`, the row that each of the first rows was exchanged with, and the order of the
/// rows that comes of it.
pub(super) fn lu(a: Matrix<'_>) -> Outcome {
    let (lu, rows, columns) = (Lu::new(a), a.rows, a.columns);
    let mut order: Vec<usize> = (0..rows).collect();
    let mut exchanged = vec![];
    for i in 0..rows.min(columns) {
        let from = (i..rows).find(|j| order[*j] == lu.order[i]).unwrap_or(i);
        exchanged.push(from as f64);
        order.swap(i, from);
    }
    let rows_in_order = lu.order.iter().map(|i| *i as f64).collect();
    Ok(vec![lu.packed, exchanged, rows_in_order])
}

/// `X` of `A·X = B`, `B: [n, columns]`.
pub(super) fn solve(a: Matrix<'_>, b: Matrix<'_>) -> Outcome {
    let lu = Lu::new(a);
    if lu.singular() {
        return Err("is singular; pinv and lstsq have a result for it".into());
    }
    let mut x = b.dense();
    lu.factor.solve_in_place_with_conj(Conj::No, x.as_mut());
    Ok(vec![rows_of(x.as_ref())])
}

/// `A⁻¹`.
pub(super) fn inverse(a: Matrix<'_>) -> Outcome {
    let n = a.rows;
    solve(a, Matrix { values: &identity(n), rows: n, columns: n })
}

/// `|A|`.
pub(super) fn determinant(a: Matrix<'_>) -> Outcome {
    let (lu, n) = (Lu::new(a), a.rows);
    Ok(vec![vec![(0..n).map(|i| lu.pivot(i)).product::<f64>() * lu.sign()]])
}

/// The sign of the determinant and the logarithm of its absolute value: 0 and −∞ of a singular matrix.
pub(super) fn log_determinant(a: Matrix<'_>) -> Outcome {
    let (lu, n) = (Lu::new(a), a.rows);
    let signs: f64 = (0..n).map(|i| if lu.pivot(i) == 0.0 { 0.0 } else { lu.pivot(i).signum() }).product();
    let log: f64 = (0..n).map(|i| lu.pivot(i).abs().ln()).sum();
    Ok(vec![vec![signs * lu.sign()], vec![log]])
}

/// The matrix of cofactors, `∂|A| / ∂A`, which a singular matrix has too: of `A = U S Vᵀ` it is `|U| |V| U C Vᵀ` with
/// `C` the products of all other singular values.
pub(super) fn cofactors(a: Matrix<'_>) -> Outcome {
    let n = a.rows;
    finite(a)?;
    let svd = a.dense().svd().map_err(|_| diverged())?;
    let s: Vec<f64> = (0..n).map(|i| svd.S()[i]).collect();
    let sign = |m: MatRef<'_, f64>| {
        let values = rows_of(m);
        determinant(Matrix { values: &values, rows: n, columns: n }).map(|d| d[0][0].signum())
    };
    let sign = if n == 0 { 1.0 } else { sign(svd.U())? * sign(svd.V())? };
    let others = |i: usize| (0..n).filter(|k| *k != i).map(|k| s[k]).product::<f64>() * sign;
    let scaled = Mat::from_fn(n, n, |i, j| svd.U()[(i, j)] * others(j));
    Ok(vec![rows_of((scaled * svd.V().transpose()).as_ref())])
}

/// `X` of `A·X = B` where only one triangle of `A` counts.
pub(super) fn solve_triangular(a: Matrix<'_>, b: Matrix<'_>, lower: bool) -> Outcome {
    let (n, columns, a) = (a.rows, b.columns, a.values);
    let mut x = b.values.to_vec();
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

/// `Q` and `R` of `A = Q·R`; square `Q` where `complete`, else as many columns as the shorter side.
pub(super) fn qr(a: Matrix<'_>, complete: bool) -> Outcome {
    let (rows, columns) = (a.rows, a.columns);
    let short = rows.min(columns);
    if short == 0 {
        return Ok(vec![
            if complete { identity(rows) } else { vec![] },
            vec![0.0; if complete { rows } else { 0 } * columns],
        ]);
    }
    let factor = a.dense().qr();
    let q = if complete { factor.compute_Q() } else { factor.compute_thin_Q() };
    let mut r = rows_of(factor.thin_R());
    r.resize(q.ncols() * columns, 0.0);
    Ok(vec![rows_of(q.as_ref()), r])
}

/// `e^A` by Padé's approximant of degree 13 and repeated squaring (N. Higham 2005).
pub(super) fn exponential(a: Matrix<'_>) -> Outcome {
    let n = a.rows;
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
    let column = |j: usize| (0..n).map(|i| a.values[i * n + j].abs()).sum::<f64>();
    let norm = (0..n).map(column).fold(0.0, f64::max);
    let squarings = (norm / REACH).log2().ceil().max(0.0) as i32;
    let a = a.dense() * faer::Scale(0.5f64.powi(squarings));
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

    fn of(values: &[f64], rows: usize, columns: usize) -> Matrix<'_> {
        Matrix { values, rows, columns }
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
            let l = cholesky(of(&spd, n, n)).unwrap().remove(0);
            near(&product(&l, &transposed(&l, n), n), &spd);
            let eigen = symmetric_eigen(of(&spd, n, n)).unwrap();
            let scaled: Vec<f64> = (0..n * n).map(|i| eigen[1][i] * eigen[0][i % n]).collect();
            near(&product(&scaled, &transposed(&eigen[1], n), n), &spd);
            assert!(eigen[0].is_sorted());
            near(&product(&inverse(of(&spd, n, n)).unwrap()[0], &spd, n), &identity(n));
        }
        for (m, n) in [(1, 4), (5, 3), (3, 5), (30, 20)] {
            let a = random(m, n);
            for complete in [false, true] {
                let f = qr(of(&a, m, n), complete).unwrap();
                near(&product(&f[0], &f[1], f[1].len() / n), &a);
                let f = svd(of(&a, m, n), complete).unwrap();
                let (wide, k) = (f[0].len() / m, m.min(n));
                let u: Vec<f64> = (0..m * k).map(|i| f[0][i / k * wide + i % k] * f[1][i % k]).collect();
                near(&product(&u, &f[2][..k * n], k), &a);
            }
            let s = singular_values(of(&a, m, n)).unwrap();
            near(&s, &svd(of(&a, m, n), false).unwrap()[1]);
        }
    }

    #[test]
    fn lu_names_the_rows_that_it_exchanges() {
        for (m, n) in [(1, 1), (4, 4), (6, 3), (3, 6), (20, 20)] {
            let a = random(m, n);
            let f = lu(of(&a, m, n)).unwrap();
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
        near(&determinant(of(&[0.0, 2.0, 3.0, 4.0], 2, 2)).unwrap()[0], &[-6.0]);
        near(&determinant(of(&[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], 3, 3)).unwrap()[0], &[1.0]);
        assert_eq!(log_determinant(of(&[1.0, 2.0, 2.0, 4.0], 2, 2)).unwrap(), [[0.0], [f64::NEG_INFINITY]]);
        let none = [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 3.0, 4.0];
        assert_eq!(determinant(of(&none, 3, 3)).unwrap()[0], [0.0]);
        assert_eq!(log_determinant(of(&[0.0; 9], 3, 3)).unwrap(), [[0.0], [f64::NEG_INFINITY]]);
        assert_eq!(lu(of(&[0.0; 4], 2, 2)).unwrap()[0], [0.0; 4]);
        near(&log_determinant(of(&[0.0, 2.0, 3.0, 4.0], 2, 2)).unwrap()[0], &[-1.0]);
        // Of a singular matrix too.
        near(&cofactors(of(&[1.0, 2.0, 2.0, 4.0], 2, 2)).unwrap()[0], &[4.0, -2.0, -2.0, 1.0]);
        near(&cofactors(of(&[5.0], 1, 1)).unwrap()[0], &[1.0]);
    }

    #[test]
    fn eigenvectors_keep_their_direction() {
        let a = [0.0, -1.0, 1.0, 0.0];
        let e = eigen(of(&a, 2, 2)).unwrap();
        near(&e[0], &[0.0, 0.0]);
        near(&[e[1][0] * e[1][1]], &[-1.0]);
        let a = random(7, 7);
        let e = eigen(of(&a, 7, 7)).unwrap();
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
        near(&least_squares(of(&[1.0; 4], 2, 2), of(&[2.0, 2.0], 2, 1), 1e-6).unwrap()[0], &[1.0, 1.0]);
        assert_eq!(rank(of(&[1.0; 4], 2, 2), 1e-6, true).unwrap(), [[1.0]]);
        assert_eq!(rank(of(&[3.0, 0.0, 0.0, 1.0], 2, 2), 2.0, false).unwrap(), [[1.0]]);
    }

    #[test]
    fn triangles_are_solved_from_their_end() {
        let a = [2.0, 9.0, 1.0, 4.0];
        near(&solve_triangular(of(&a, 2, 2), of(&[2.0, 9.0], 2, 1), true).unwrap()[0], &[1.0, 2.0]);
        near(&solve_triangular(of(&a, 2, 2), of(&[20.0, 8.0], 2, 1), false).unwrap()[0], &[1.0, 2.0]);
    }

    #[test]
    fn the_exponential_of_a_rotation_is_a_rotation() {
        for angle in [0.5f64, 40.0] {
            let e = exponential(of(&[0.0, -angle, angle, 0.0], 2, 2)).unwrap().remove(0);
            near(&e, &[angle.cos(), -angle.sin(), angle.sin(), angle.cos()]);
        }
        assert!(exponential(of(&[], 0, 0)).unwrap()[0].is_empty());
    }

    #[test]
    fn bad_matrices_are_named() {
        let text = |outcome: Outcome| outcome.unwrap_err();
        assert_eq!(text(cholesky(of(&[1.0, 2.0, 2.0, 1.0], 2, 2))), "is not positive definite");
        assert_eq!(text(cholesky(of(&[f64::NAN], 1, 1))), "is not positive definite");
        assert_eq!(
            text(inverse(of(&[1.0, 2.0, 3.0, 6.0], 2, 2))),
            "is singular; pinv and lstsq have a result for it"
        );
        assert_eq!(
            text(inverse(of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 3, 3))),
            "is singular; pinv and lstsq have a result for it"
        );
        assert!(inverse(of(&[1.0, 1.0, 0.0, 1e-30], 2, 2)).is_ok(), "small is not singular");
        assert!(text(solve_triangular(of(&[0.0], 1, 1), of(&[1.0], 1, 1), true)).contains("element 0"));
        assert!(text(svd(of(&[f64::NAN], 1, 1), false)).contains("NaN"));
    }
}
