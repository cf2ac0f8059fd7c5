//! From and to dense tensors, and rows of compressed storage.

use std::sync::Arc;

use kiln_device::{DType, ScatterOp};

use super::{Coordinates, SparseTensor};
use crate::error::Result;
use crate::shape::strides;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::{Values, index_tensor};

/// A matrix in compressed sparse rows: row `i` holds entries `row_splits[i]..row_splits[i + 1]`.
#[derive(Clone, Debug)]
pub struct Csr<V = Tensor> {
    /// Where each row starts, and where the last one ends; one longer than there are rows.
    pub row_splits: Vec<i32>,
    /// The column of every entry.
    pub columns: Vec<i32>,
    /// The values of the entries.
    pub values: V,
    /// Rows and columns.
    pub dense_shape: [usize; 2],
}

impl<V: Values> SparseTensor<V> {
    /// The entries of a tensor that are not 0 (or not empty): its values are read at once to find them, and the sparse
    /// values remain functions of the tensor.
    #[track_caller]
    pub fn from_dense(tensor: &V) -> SparseTensor<V> {
        let site = Site::new("sparse.from_dense");
        site.settle(|| {
            if let Some(error) = tensor.fault() {
                return Err(error.clone());
            }
            let shape = tensor.dims().to_vec();
            site.expect(!shape.is_empty(), || {
                "expected at least one axis, received a scalar; expand_dims it first".to_owned()
            })?;
            let count = site.count(&shape)?;
            site.index(count)?;
            let present = tensor.present(site.op, site.at)?;
            let found: Vec<i32> = (0..count as i32).filter(|i| present[*i as usize]).collect();
            let steps = strides(&shape);
            let coordinate = |i: &i32, axis: usize| (*i as usize / steps[axis] % shape[axis].max(1)) as i32;
            let flat = found.iter().flat_map(|i| (0..shape.len()).map(move |axis| coordinate(i, axis)));
            let places = Coordinates::good(flat.collect(), shape.clone());
            let values = tensor.reshaped(vec![count], site.at).pick(&found, site.at);
            SparseTensor::with_places(site, places.into(), values)
        })
    }

    /// The dense tensor, with `default` where there is no entry.
    ///
    /// Carries an error where two entries stand at one place.
    #[track_caller]
    pub fn to_dense(&self, default: impl Into<V>) -> V {
        let site = Site::new("sparse.to_dense");
        let made: Result<V> = (|| {
            self.check()?;
            self.expect_distinct(site)?;
            let cells = site.count(self.dense_shape())?;
            let all: Vec<usize> = (0..self.rank()).collect();
            let positions = self.places.positions(site, &all)?;
            let default = default.into();
            site.expect(default.fault().is_none() && default.dims().is_empty(), || {
                format!("expected a scalar default, received shape {:?}", default.dims())
            })?;
            let placed = self.values.placed(cells, &positions, &default, site.op, site.at)?;
            Ok(placed.reshaped(self.dense_shape().to_vec(), site.at))
        })();
        made.unwrap_or_else(|error| V::failed_with(error, site.at))
    }

    /// The matrix in compressed sparse rows.
    ///
    /// # Errors
    /// Where this is no matrix, or its entries do not stand in row-major order.
    #[track_caller]
    pub fn to_csr(&self) -> Result<Csr<V>> {
        let site = Site::new("sparse.to_csr");
        self.check()?;
        let &[rows, columns] = self.dense_shape() else {
            return Err(site.error(format!("expected a matrix, received shape {:?}", self.dense_shape())));
        };
        site.expect(self.is_ordered(), || {
            "expected entries in row-major order; call reorder() first".to_owned()
        })?;
        let row_splits = crate::ragged::splits_of_ids(&self.places.column(0), rows);
        Ok(Csr {
            row_splits,
            columns: self.places.column(1),
            values: self.values.clone(),
            dense_shape: [rows, columns],
        })
    }

    /// A matrix from compressed sparse rows.
    ///
    /// Carries an error where the splits do not ascend from 0 to the number of entries, or a column is out of bounds.
    #[track_caller]
    pub fn from_csr(csr: &Csr<V>) -> SparseTensor<V> {
        let site = Site::new("sparse.from_csr");
        site.settle(|| {
            let [rows, columns] = csr.dense_shape;
            crate::ragged::check_splits(site, &csr.row_splits, csr.columns.len())?;
            site.expect(csr.row_splits.len() == rows + 1, || {
                format!("expected {} row splits for {rows} rows, received {}", rows + 1, csr.row_splits.len())
            })?;
            let ids = crate::ragged::ids_of_splits(&csr.row_splits);
            let flat = ids.iter().zip(&csr.columns).flat_map(|(row, column)| [*row, *column]).collect();
            SparseTensor::checked(site, flat, csr.values.clone(), vec![rows, columns])
        })
    }
}

impl SparseTensor {
    /// `bool` `[…, size]`, true at `[…, v]` for every value `v` (an integer) in the row `[…]`: the last axis of entries is
    /// replaced by what they hold. A value outside of `0..size` is an error of the run.
    #[track_caller]
    pub fn to_indicator(&self, size: usize) -> Tensor {
        let site = Site::new("sparse.to_indicator");
        site.settle(|| {
            self.check()?;
            let outer = &self.dense_shape()[..self.rank() - 1];
            let shape = [outer, &[size]].concat();
            let cells = site.count(&shape)?;
            site.index(cells)?;
            let none = Tensor::full(&[cells], 0.0, DType::Bool);
            let ids = site.part(self.values.checked_index(size, site.op, site.at))?;
            if self.entries() == 0 {
                return site.part(none.reshape_at(shape, site.at));
            }
            let axes: Vec<usize> = (0..outer.len()).collect();
            let rows = index_tensor(&self.places.positions(site, &axes)?, site.at);
            let cell = rows * site.index(size)? + ids;
            let yes = Tensor::full(&[self.entries()], 1.0, DType::Bool);
            let hot = none.scatter_rows(&cell, &yes, ScatterOp::Set, site.at);
            site.part(hot.reshape_at(shape, site.at))
        })
    }
}

/// The sparse identity: ones on the diagonal of a matrix of `rows` and `columns`.
#[track_caller]
pub fn eye(rows: usize, columns: usize, dtype: DType) -> SparseTensor {
    let site = Site::new("sparse.eye");
    site.settle(|| {
        let count = site.index(rows.min(columns))?;
        let flat = (0..count).flat_map(|i| [i, i]).collect();
        let places = Coordinates::checked(site, flat, vec![rows, columns])?;
        SparseTensor::with_places(site, Arc::new(places), Tensor::full(&[count as usize], 1.0, dtype))
    })
}
