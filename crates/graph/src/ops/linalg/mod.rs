//! Linear algebra over the last two axes: `keras.ops.linalg`. Leading axes are a batch.
//!
//! The factorisations run on the host, in `f64` (`host.rs`); the results are of the tensor's own float type,
//! `float32` of integers. Gradients are matrix formulas of the same operations on tensors, so that they can be differentiated
//! again. What depends on the data, as a singular matrix, is an error of the run, as in NumPy.

mod call;
mod factor;
mod general;
mod host;
mod norm;
mod solve;
mod spectral;

pub use factor::{QrMode, cholesky, cholesky_inverse, lu_factor, qr};
pub use general::eig;
pub use norm::{NormOrder, norm};
pub use solve::{det, expm, inv, logdet, lstsq, pinv, slogdet, solve, solve_triangular};
pub use spectral::{eigh, matrix_rank, svd, svdvals};

use kiln_device::DType;

use crate::error::At;
use crate::ops::pointwise::{float_of, working};
use crate::tensor::Tensor;

/// A batch of matrices as the host takes them.
struct Matrices {
    /// `[lead.., rows, columns]` in the working type.
    x: Tensor,
    lead: Vec<usize>,
    rows: usize,
    columns: usize,
    /// Their own type.
    given: DType,
    /// The type of what comes of them.
    dtype: DType,
    op: &'static str,
    at: At,
}

impl Matrices {
    /// With results in the type that the matrices and another operand meet in.
    fn met(self, other: &Tensor) -> Matrices {
        let dtype = float_of(crate::ops::promote(self.given, other.dtype()));
        Matrices { dtype, x: self.x.cast_at(working(dtype), self.at), ..self }
    }

    fn new(op: &'static str, x: &Tensor, at: At) -> Result<Matrices, Tensor> {
        if x.error().is_some() {
            return Err(x.clone());
        }
        let shape = x.shape();
        let [lead @ .., rows, columns] = shape else {
            let message = format!("expected matrices [.., rows, columns], received shape {shape:?}");
            return Err(Tensor::failed(op, message, at));
        };
        let dtype = float_of(x.dtype());
        let (lead, rows, columns) = (lead.to_vec(), *rows, *columns);
        Ok(Matrices {
            given: x.dtype(),
            x: x.cast_at(working(dtype), at),
            lead,
            rows,
            columns,
            dtype,
            op,
            at,
        })
    }

    fn square(op: &'static str, x: &Tensor, at: At) -> Result<Matrices, Tensor> {
        let matrices = Matrices::new(op, x, at)?;
        if matrices.rows != matrices.columns {
            let message = format!("expected square matrices [.., n, n], received shape {:?}", x.shape());
            return Err(Tensor::failed(op, message, at));
        }
        Ok(matrices)
    }

    /// The symmetric part, `(x + xᵀ) / 2`.
    fn symmetric(op: &'static str, x: &Tensor, at: At) -> Result<Matrices, Tensor> {
        let mut matrices = Matrices::square(op, x, at)?;
        let half = &matrices.x * 0.5;
        matrices.x = transposed(&half) + half;
        Ok(matrices)
    }

    /// A result in the type that the caller expects, with errors of parts as the operation's.
    fn give(&self, result: Tensor) -> Tensor {
        if result.error().is_some() {
            return result.part_of(self.op, self.at, &[]);
        }
        result.cast_at(self.dtype, self.at)
    }
}

/// The last two axes exchanged.
fn transposed(x: &Tensor) -> Tensor {
    x.swap_axes(-1, -2)
}

/// Elements whose row and column satisfy the test; 0 elsewhere.
fn masked(x: &Tensor, test: impl FnOnce(&Tensor, &Tensor) -> Tensor) -> Tensor {
    if x.rank() < 2 {
        return x.clone();
    }
    let (row, column) = (Tensor::iota(x.shape(), x.rank() - 2), Tensor::iota(x.shape(), x.rank() - 1));
    Tensor::select(&test(&row, &column), x, 0.0)
}

/// On and below the diagonal.
fn lower(x: &Tensor) -> Tensor {
    masked(x, |row, column| row.greater_equal(column))
}

/// On and above the diagonal.
fn upper(x: &Tensor) -> Tensor {
    masked(x, |row, column| row.less_equal(column))
}

/// Below the diagonal.
fn strictly_lower(x: &Tensor) -> Tensor {
    masked(x, |row, column| row.greater(column))
}

/// Columns scaled by the vector: `x · diag(v)`.
fn scaled_columns(x: &Tensor, v: &Tensor) -> Tensor {
    x * v.expand_dims(-2)
}

/// The identity added.
fn plus_identity(x: &Tensor) -> Tensor {
    match x.shape().last() {
        Some(n) => x + Tensor::eye(*n),
        None => x.clone(),
    }
}

/// The same failure for each of several results.
fn all<const N: usize>(failed: Tensor) -> [Tensor; N] {
    std::array::from_fn(|_| failed.clone())
}
