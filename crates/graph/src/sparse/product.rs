//! Products with dense matrices.

use kiln_device::{DType, ReduceOp, ScatterOp};

use super::SparseTensor;
use crate::op::Op;
use crate::ops::promote;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::index_tensor;

impl SparseTensor {
    /// The product of this matrix and a dense one, `[m, k] · [k, n] → [m, n]`; `adjoint_a` and `adjoint_b` transpose
    /// first. Entries at one place count as their sum. Gradients flow to the values and to the dense side.
    ///
    /// Carries an error where the shapes do not fit.
    #[track_caller]
    pub fn sparse_dense_matmul(&self, b: &Tensor, adjoint_a: bool, adjoint_b: bool) -> Tensor {
        let site = Site::new("sparse.sparse_dense_matmul");
        site.settle(|| {
            self.check()?;
            b.check()?;
            let (&[rows, columns], &[b_rows, b_columns]) = (self.dense_shape(), b.shape()) else {
                return Err(site.error(format!(
                    "expected two matrices, received shapes {:?} and {:?}",
                    self.dense_shape(),
                    b.shape()
                )));
            };
            let (m, k) = if adjoint_a { (columns, rows) } else { (rows, columns) };
            let (inner, n) = if adjoint_b { (b_columns, b_rows) } else { (b_rows, b_columns) };
            site.expect(k == inner, || {
                format!(
                    "expected {k} rows of the dense side for the sparse {:?}, received {inner} of {:?}; mind the adjoint \
                     flags",
                    self.dense_shape(),
                    b.shape()
                )
            })?;
            let dtype = match promote(self.dtype(), b.dtype()) {
                DType::Bool => DType::I32,
                dtype => dtype,
            };
            let zeros = site.part(Tensor::full(&[m, n], 0.0, dtype))?;
            if self.entries() == 0 || n == 0 {
                return Ok(zeros);
            }
            let dense = if adjoint_b { b.transpose(&[1, 0]) } else { b.clone() };
            let (row, column) = if adjoint_a { (1, 0) } else { (0, 1) };
            let picked = dense.pick_rows(&self.places.column_leaf(column, site.at), site.at);
            let scaled = picked * self.values.as_column(2, site.at);
            let row = self.places.column_leaf(row, site.at);
            let sum = ScatterOp::Fold(ReduceOp::Sum);
            site.part(zeros.scatter_rows(&row, &scaled.cast_at(dtype, site.at), sum, site.at))
        })
    }
}

/// `alpha · (a · b) + beta · sparse` at the places of `sparse` alone, where `a` is `[…, m, k]`, `b` `[…, k, n]` and
/// `sparse` `[…, m, n]`: only those products are computed.
///
/// ```
/// use kiln_graph::{SparseTensor, Tensor, sparse};
/// let mask = SparseTensor::new(&[[0, 1]], Tensor::from_slice(&[1.0f32]), &[2, 2]);
/// let a = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
/// let c = sparse::sampled_addmm(&mask, &a, &a, 1.0, 1.0);
/// assert_eq!(c.values().to_vec::<f32>()?, [11.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn sampled_addmm(
    sparse: &SparseTensor,
    a: &Tensor,
    b: &Tensor,
    beta: impl Into<f64>,
    alpha: impl Into<f64>,
) -> SparseTensor {
    let (site, beta, alpha) = (Site::new("sparse.sampled_addmm"), beta.into(), alpha.into());
    site.settle(|| {
        sparse.check()?;
        a.check()?;
        b.check()?;
        let rank = sparse.rank();
        let fits = rank >= 2
            && a.rank() == rank
            && b.rank() == rank
            && (0..rank - 2).all(|i| a.shape()[i] == sparse.shape()[i] && b.shape()[i] == sparse.shape()[i])
            && a.shape()[rank - 2] == sparse.shape()[rank - 2]
            && b.shape()[rank - 1] == sparse.shape()[rank - 1]
            && a.shape()[rank - 1] == b.shape()[rank - 2];
        site.expect(fits, || {
            format!(
                "expected a […, m, k] and b […, k, n] for a sparse tensor {:?}, received {:?} and {:?}",
                sparse.shape(),
                a.shape(),
                b.shape()
            )
        })?;
        let inner = a.shape()[rank - 1];
        let rows: Vec<usize> = (0..rank - 1).collect();
        let columns: Vec<usize> = (0..rank - 2).chain([rank - 1]).collect();
        let pick = |t: &Tensor, axes: &[usize]| -> crate::Result<Tensor> {
            let positions = sparse.places.positions(site, axes)?;
            let items = t.len() / inner.max(1);
            let matrix = t.reshape_at(vec![items, inner], site.at);
            let shape = vec![positions.len(), inner];
            let inputs = vec![matrix, index_tensor(&positions, site.at)];
            site.part(Tensor::op(Op::Gather, inputs, shape, t.dtype(), site.at))
        };
        if sparse.entries() == 0 {
            return Ok(sparse.clone());
        }
        let dot = (pick(a, &rows)? * pick(&b.swap_axes(-1, -2), &columns)?).sum(1);
        let values = site.part(dot * alpha + sparse.values() * beta)?;
        SparseTensor::with_places(site, sparse.places.clone(), values)
    })
}
