//! Sparse tensors: the coordinates of the entries that are there, and their values.
//!
//! A [`SparseTensor`] holds coordinates `[entries, rank]` (`int32`), values `[entries]` and a dense shape, as
//! `tf.SparseTensor` does. **The structure is host data, the values are lazy.** Coordinates are known when a sparse
//! tensor is made, so the coordinates of every result (a sum, a slice, a transpose) are computed on the host at once,
//! checked there, and sent to the device as index leaves. Values are tensors like any other: they flow through the
//! graph, have gradients, and may be arguments of a [`Function`](crate::Function). In return, what makes structure of
//! values (`from_dense`, `prune`) reads them, and cannot be done while a function is traced.
//!
//! Entries may stand in any order, and at one place twice, unless an operation says otherwise; [`SparseTensor::reorder`]
//! and [`SparseTensor::sum_duplicates`] are the ways out. No operation panics on a wrong argument: the result carries
//! the error.
//!
//! ```
//! use kiln_graph::{SparseTensor, Tensor, gradients};
//! let values = Tensor::from_slice(&[2.0f32, 3.0]);
//! let a = SparseTensor::new(&[[0, 1], [2, 0]], values.clone(), &[3, 2]);
//! let y = a.sparse_dense_matmul(&Tensor::eye(2), false, false);
//! assert_eq!(y.to_vec::<f32>()?, [0.0, 2.0, 0.0, 0.0, 3.0, 0.0]);
//! let slope = gradients(&y.square().sum(()), &[values])?.remove(0);
//! assert_eq!(slope.to_vec::<f32>()?, [4.0, 6.0]);
//! # Ok::<(), kiln_graph::Error>(())
//! ```

mod arithmetic;
mod bincount;
mod convert;
mod coordinates;
mod cross;
mod product;
mod reduce;
mod rows;
mod segment;
mod shape;
mod structure;

use std::sync::Arc;

use kiln_device::DType;

pub use arithmetic::map_values;
pub use bincount::{BincountOptions, bincount};
pub(crate) use bincount::{Bins, counted};
pub use convert::{Csr, eye};
pub(crate) use coordinates::Coordinates;
pub use cross::{cross, cross_hashed};
pub use product::sampled_addmm;
pub use segment::{segment_mean, segment_sqrt_n, segment_sum};
pub use shape::concat;

use crate::error::{At, Error, Result};
use crate::site::{Fallible, Site};
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::values::Values;

/// A tensor of which only some entries are stored: their coordinates on the host, their values as a vector.
///
/// ```
/// use kiln_graph::{SparseTensor, Tensor};
/// let sparse = SparseTensor::new(&[[0, 0], [1, 2]], Tensor::from_slice(&[1, 5]), &[2, 3]);
/// assert_eq!(sparse.to_dense(0).to_vec::<i32>()?, [1, 0, 0, 0, 0, 5]);
/// assert_eq!(sparse.reduce_sum(1, false).to_vec::<i32>()?, [1, 5]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("csr_matrix", "coo_matrix", "sparse_coo_tensor"))]
#[derive(Clone)]
pub struct SparseTensor<V = Tensor> {
    places: Arc<Coordinates>,
    values: V,
}

impl<V: Values> SparseTensor<V> {
    /// Entries at coordinates, one row of `indices` an entry, in a dense shape of rank `R`.
    ///
    /// Carries an error where the values are no vector of as many entries, or a coordinate is out of bounds. The order
    /// is kept as it is.
    #[track_caller]
    pub fn new<const R: usize>(indices: &[[i32; R]], values: V, dense_shape: &[usize]) -> SparseTensor<V> {
        let site = Site::new("sparse.new");
        site.settle(|| {
            site.expect(dense_shape.len() == R, || {
                format!("expected a dense shape of rank {R}, as the indices have, received {dense_shape:?}")
            })?;
            SparseTensor::checked(site, indices.concat(), values, dense_shape.to_vec())
        })
    }

    /// Entries at coordinates that stand behind one another: `rank` numbers for each entry.
    ///
    /// Carries an error as [`SparseTensor::new`] does.
    #[track_caller]
    pub fn from_flat_indices(indices: Vec<i32>, values: V, dense_shape: &[usize]) -> SparseTensor<V> {
        let site = Site::new("sparse.from_flat_indices");
        site.settle(|| SparseTensor::checked(site, indices, values, dense_shape.to_vec()))
    }

    /// Entries at coordinates of an integer tensor `[entries, rank]`, whose elements are read at once.
    ///
    /// Carries an error as [`SparseTensor::new`] does.
    #[track_caller]
    pub fn from_tensors(indices: &Tensor, values: V, dense_shape: &[usize]) -> SparseTensor<V> {
        let site = Site::new("sparse.from_tensors");
        site.settle(|| {
            indices.check()?;
            site.expect(indices.rank() == 2 && indices.shape()[1] == dense_shape.len(), || {
                format!(
                    "expected indices [entries, {}] for dense shape {dense_shape:?}, received {:?}",
                    dense_shape.len(),
                    indices.shape()
                )
            })?;
            SparseTensor::checked(site, site.integers(indices)?, values, dense_shape.to_vec())
        })
    }

    /// Checks what came from outside.
    pub(crate) fn checked(
        site: Site,
        flat: Vec<i32>,
        values: V,
        dense_shape: Vec<usize>,
    ) -> Result<SparseTensor<V>> {
        if let Some(error) = values.fault() {
            return Err(error.clone());
        }
        let places = Coordinates::checked(site, flat, dense_shape)?;
        SparseTensor::with_places(site, places.into(), values)
    }

    /// Values at places that are known to be good.
    pub(crate) fn with_places(site: Site, places: Arc<Coordinates>, values: V) -> Result<SparseTensor<V>> {
        if let Some(error) = values.fault() {
            return Err(error.clone());
        }
        site.expect(values.dims() == [places.count()], || {
            format!("expected values [{}], one for each entry, received {:?}", places.count(), values.dims())
        })?;
        Ok(SparseTensor { places, values })
    }

    /// The coordinates `[entries · rank]`, entry by entry.
    pub fn indices(&self) -> &[i32] {
        self.places.flat()
    }

    /// The coordinates as an `int32` tensor `[entries, rank]`.
    #[track_caller]
    pub fn indices_tensor(&self) -> Tensor {
        let site = Site::new("sparse.indices_tensor");
        site.settle(|| {
            self.check()?;
            Ok(Tensor::from_vec(self.indices(), &[self.entries(), self.rank()]))
        })
    }

    /// The values, one for each entry.
    pub fn values(&self) -> &V {
        &self.values
    }

    /// The shape that the tensor has as a dense one.
    pub fn dense_shape(&self) -> &[usize] {
        self.places.shape()
    }

    /// As [`SparseTensor::dense_shape`].
    pub fn shape(&self) -> &[usize] {
        self.dense_shape()
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.dense_shape().len()
    }

    /// Number of stored entries.
    pub fn entries(&self) -> usize {
        self.places.count()
    }

    /// Other values at the same places.
    #[track_caller]
    pub fn with_values<W: Values>(&self, values: W) -> SparseTensor<W> {
        let site = Site::new("sparse.with_values");
        site.settle(|| {
            self.check()?;
            SparseTensor::with_places(site, self.places.clone(), values)
        })
    }

    /// The error that is carried in the place of values, if there is one.
    pub fn error(&self) -> Option<&Error> {
        self.values.fault()
    }

    /// The tensor itself, or the error it carries.
    ///
    /// # Errors
    /// The error it carries.
    pub fn check(&self) -> Result<&SparseTensor<V>> {
        self.error().map_or(Ok(self), |e| Err(e.clone()))
    }

    /// True where entries stand in row-major order.
    pub fn is_ordered(&self) -> bool {
        self.places.ordered()
    }

    /// True where two entries stand at one place.
    pub fn has_duplicates(&self) -> bool {
        self.places.duplicate().is_some()
    }

    /// Entries in row-major order; of those at one place, the earlier stays before.
    #[track_caller]
    pub fn reorder(&self) -> SparseTensor<V> {
        let site = Site::new("sparse.reorder");
        site.settle(|| {
            self.check()?;
            Ok(self.in_order(site))
        })
    }

    /// Entries in row-major order.
    pub(crate) fn in_order(&self, site: Site) -> SparseTensor<V> {
        if self.is_ordered() { self.clone() } else { self.chosen(&self.places.order(), site) }
    }

    /// Some entries, in the order given.
    pub(crate) fn chosen(&self, entries: &[i32], site: Site) -> SparseTensor<V> {
        let places = Arc::new(self.places.chosen(entries));
        SparseTensor { places, values: self.values.pick(entries, site.at) }
    }

    /// An error where two entries stand at one place.
    pub(crate) fn expect_distinct(&self, site: Site) -> Result<()> {
        match self.places.duplicate() {
            None => Ok(()),
            Some(place) => Err(site.error(format!(
                "expected each place once, but {place:?} stands twice; call sum_duplicates() first"
            ))),
        }
    }
}

impl SparseTensor {
    /// No entries at all.
    #[track_caller]
    pub fn empty(dense_shape: &[usize], dtype: DType) -> SparseTensor {
        let site = Site::new("sparse.empty");
        site.settle(|| {
            SparseTensor::checked(site, vec![], Tensor::full(&[0], 0.0, dtype), dense_shape.to_vec())
        })
    }

    /// The element type of the values.
    pub fn dtype(&self) -> DType {
        self.values.dtype()
    }

    /// Computes the values and keeps them on the device.
    ///
    /// # Errors
    /// As [`Tensor::eval`].
    #[track_caller]
    pub fn eval(&self) -> Result<&SparseTensor> {
        self.values.eval()?;
        Ok(self)
    }
}

impl<V: Values> Fallible for SparseTensor<V> {
    fn carrying(error: Error, at: At) -> SparseTensor<V> {
        SparseTensor { places: Arc::new(Coordinates::none()), values: V::failed_with(error, at) }
    }
}

impl<V: Values + std::fmt::Debug> std::fmt::Debug for SparseTensor<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.error() {
            Some(error) => write!(f, "SparseTensor({error})"),
            None => write!(f, "SparseTensor({:?}, {} entries)", self.dense_shape(), self.entries()),
        }
    }
}

/// A sparse tensor of strings.
pub type SparseStrings = SparseTensor<StringTensor>;
