//! Eigenvalues of any square matrix, which are complex: pairs of a real and an imaginary part.

use super::solve::share;
use super::spectral::smallest_kept;
use super::{Matrices, all, call, host, masked, plus_identity, transposed};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// Eigenvalues `[.., n]` and eigenvectors `[.., n, n]` (columns, of length 1) of any square matrices `[.., n, n]`, which
/// are complex: `(values_real, values_imaginary, vectors_real, vectors_imaginary)`.
///
/// In no order; the largest element of a complex vector is real, and the sign of a real one arbitrary. The gradient is that
/// of eigenvalues that are all different: near equal ones it is large, where they are equal the vectors' is infinite, and
/// of dependent eigenvectors it is an error of the run. Symmetric matrices have [`eigh`](super::eigh).
#[track_caller]
pub fn eig(x: &Tensor) -> (Tensor, Tensor, Tensor, Tensor) {
    let at = here();
    let [values_re, values_im, vectors_re, vectors_im] = match Matrices::square("eig", x, at) {
        Ok(a) => {
            let n = a.rows;
            let (value, vector): (&[usize], &[usize]) = (&[n], &[n, n]);
            let outputs = [value, value, vector, vector].map(|shape| (shape, a.x.dtype()));
            let parts = call::per_matrix("eig", at, &[&a.x], outputs, |x| host::eigen(x[0]));
            differentiable(&a.x, parts, at).map(|part| a.give(part))
        }
        Err(failed) => all(failed),
    };
    (values_re, values_im, vectors_re, vectors_im)
}

/// A complex tensor.
#[derive(Clone)]
struct Complex {
    re: Tensor,
    im: Tensor,
}

impl Complex {
    fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Complex {
        Complex { re: f(&self.re), im: f(&self.im) }
    }

    /// `xᴴ y`.
    fn adjoint_product(&self, other: &Complex) -> Complex {
        let (re, im) = (transposed(&self.re), transposed(&self.im));
        Complex {
            re: re.matmul(&other.re) + im.matmul(&other.im),
            im: re.matmul(&other.im) - im.matmul(&other.re),
        }
    }
}

/// The parts with gradients; each one's needs the others.
fn differentiable(x: &Tensor, parts: [Tensor; 4], at: At) -> [Tensor; 4] {
    std::array::from_fn(|which| {
        let again = parts.clone();
        Tensor::custom_gradient(&parts[which], std::slice::from_ref(x), move |g, _, x| {
            if extent(&x[0]) == 0 {
                return vec![Some(x[0].zeros_like())];
            }
            let [w_re, w_im, v_re, v_im] = differentiable(&x[0], again.clone(), at);
            let (w, v) = (Complex { re: w_re, im: w_im }, Complex { re: v_re, im: v_im });
            let zero = g.zeros_like();
            let g = match which {
                0 | 2 => Complex { re: g.clone(), im: zero },
                _ => Complex { re: zero, im: g.clone() },
            };
            let inner = if which < 2 { g.map(on_diagonal) } else { of_vectors(&g, &w, &v) };
            vec![Some(outwards(&v, &inner, at))]
        })
    })
}

/// A matrix with the vector on its diagonal.
fn on_diagonal(x: &Tensor) -> Tensor {
    masked(&(x.expand_dims(-2) + x.expand_dims(-1)), |row, column| row.equal(column)) * 0.5
}

/// With P = V⁻¹ dA V the values change by P's diagonal, and a vector vⱼ by uⱼ = Σᵢ vᵢ Pᵢⱼ / (wⱼ − wᵢ), less the part along
/// itself that would change its length, less what would turn its largest element vₖ away from the real numbers:
/// duⱼ = uⱼ − vⱼ (Re vⱼᴴuⱼ + i Im uₖ / vₖ). This is the adjoint of it, from the gradient of V to that of P.
fn of_vectors(g: &Complex, w: &Complex, v: &Complex) -> Complex {
    // gᴴv of every column.
    let along = (&g.re * &v.re + &g.im * &v.im).sum(-2).expand_dims(-2);
    let turned = (&g.re * &v.im - &g.im * &v.re).sum(-2).expand_dims(-2);
    let squares = v.re.square() + v.im.square();
    let largest = squares.argmax(-2).one_hot(extent(&squares), v.re.dtype());
    let largest = transposed(&largest);
    let pivot = (&v.re * &largest).sum(-2).expand_dims(-2);
    let free = Complex { re: &g.re - &along * &v.re, im: &g.im - &along * &v.im + turned / pivot * largest };
    // Divided by the conjugates of wⱼ − wᵢ.
    let differences = w.map(|part| part.expand_dims(-2) - part.expand_dims(-1));
    let inner = v.adjoint_product(&free);
    let size = plus_identity(&(differences.re.square() + differences.im.square()));
    let beside = |x: Tensor| masked(&(x / &size), |row, column| row.not_equal(column));
    Complex {
        re: beside(&inner.re * &differences.re - &inner.im * &differences.im),
        im: beside(&inner.re * &differences.im + &inner.im * &differences.re),
    }
}

/// `Re(V⁻ᴴ K Vᴴ)`, the gradient of the matrix of that of `P = V⁻¹ dA V`.
fn outwards(v: &Complex, k: &Complex, at: At) -> Tensor {
    // Vᴴ as a real matrix of twice the size.
    let (re, im) = (transposed(&v.re), transposed(&v.im));
    let above = Tensor::concat(&[re.clone(), im.clone()], -1);
    let below = Tensor::concat(&[-&im, re.clone()], -1);
    let whole = Tensor::concat(&[above, below], -2);
    let right = Tensor::concat(&[k.re.clone(), k.im.clone()], -2);
    let both = left_solved(&whole, &right, at);
    let n = extent(&v.re) as i64;
    let (x_re, x_im) = (both.slice_axis(-2, 0, n), both.slice_axis(-2, n, 2 * n));
    // The real part of (Xᵣ + i Xᵢ)(Vᵣᵀ − i Vᵢᵀ).
    x_re.matmul(&re) + x_im.matmul(&im)
}

/// `A⁻¹·B`, where an `A` that is singular, but for what the type rounds, is one of dependent eigenvectors.
fn left_solved(a: &Tensor, b: &Tensor, at: At) -> Tensor {
    let rank = b.rank();
    if rank < 2 {
        return b.clone();
    }
    let outputs = [(&b.shape()[rank - 2..], b.dtype())];
    let least = share(smallest_kept(extent(a), extent(a), a.dtype()), a);
    let [value] = call::per_matrix("eig", at, &[a, b, &least], outputs, |x| {
        let s = host::singular_values(x[0])?;
        let ends = s.first().zip(s.last());
        if ends.is_some_and(|(largest, smallest)| *smallest <= largest * x[2].values[0]) {
            return Err("has no gradient: its eigenvectors are not independent".into());
        }
        host::solve(x[0], x[1])
    });
    Tensor::custom_gradient(&value, &[a.clone(), b.clone()], move |g, x, inputs| {
        let right = left_solved(&transposed(&inputs[0]), g, at);
        vec![Some(-right.matmul(&transposed(x))), Some(right)]
    })
}

fn extent(x: &Tensor) -> usize {
    x.shape().last().copied().unwrap_or(0)
}
