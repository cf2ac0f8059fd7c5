//! Ragged tensors: rows of different lengths.
//!
//! A [`RaggedTensor`] holds flat values and one or more partitions of them into rows, as `tf.RaggedTensor` does. **The
//! partitions are host data, the values are lazy.** Row splits (`int32`) are known when a ragged tensor is made, so the
//! rows of every result are computed on the host at once and checked there; values are tensors like any other, flow
//! through the graph, have gradients, and may be arguments of a [`Function`](crate::Function). In return, what makes
//! rows of values (padding that is cut off, masks in a tensor) reads them, and cannot be done while a function is traced.
//!
//! What an operation leaves of the partitions decides what it yields: a sum over the only ragged axis is a dense tensor, a
//! row of a tensor of two ragged axes is ragged. [`RaggedOrDense`] is either.
//!
//! ```
//! use kiln_graph::{RaggedTensor, Tensor, gradients};
//! let values = Tensor::from_slice(&[3.0f32, 1.0, 4.0, 1.0, 5.0]);
//! let rows = RaggedTensor::from_row_lengths(values.clone(), &[2, 0, 3]);
//! assert_eq!(rows.to_rows::<f32>()?, [vec![3.0, 1.0], vec![], vec![4.0, 1.0, 5.0]]);
//! let sums = rows.reduce_sum(1, false).dense();
//! assert_eq!(sums.to_vec::<f32>()?, [4.0, 0.0, 10.0]);
//! let slope = gradients(&sums.square().sum(()), &[values])?.remove(0);
//! assert_eq!(slope.to_vec::<f32>()?, [8.0, 8.0, 20.0, 20.0, 20.0]);
//! # Ok::<(), kiln_graph::Error>(())
//! ```
//!
//! An embedding of ragged tokens is `tokens.map_flat_values(|ids| table.take(ids, 0))`.

mod arithmetic;
mod combine;
mod construct;
mod convert;
mod count;
mod list;
mod nest;
mod partition;
mod range;
mod reduce;
mod select;
mod structure;

use std::sync::Arc;

use kiln_device::DType;

pub use arithmetic::{RaggedOperand, map_flat_values};
pub use combine::{concat, stack, stack_dynamic_partitions};
pub use construct::{NestedRows, RowScalar, constant};
pub use count::{cross, cross_hashed};
pub use list::NestedList;
pub(crate) use nest::Nest;
pub(crate) use partition::{Partition, check_splits, ids_of_splits, splits_of_ids};
pub use partition::{row_splits_to_segment_ids, segment_ids_to_row_splits};
pub use range::{RangeNumber, range};

use crate::error::{At, Error, Result};
use crate::shape::resolve_axis;
use crate::site::{Fallible, Site};
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::values::Values;

/// A tensor of which one or more axes have rows of different lengths.
///
/// ```
/// use kiln_graph::{RaggedTensor, ragged};
/// let words: RaggedTensor = ragged::constant(&[vec![vec![1, 2], vec![3]], vec![], vec![vec![4, 5, 6]]]);
/// assert_eq!(words.shape(), [Some(3), None, None]);
/// assert_eq!(words.row_splits(), [0, 2, 2, 3]);
/// assert_eq!(words.to_tensor(0, None).shape(), [3, 2, 3]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("tf.ragged", "nested_tensor"))]
#[derive(Clone)]
pub struct RaggedTensor<V = Tensor> {
    nest: Nest<V>,
}

/// A ragged tensor of strings.
pub type RaggedStrings = RaggedTensor<StringTensor>;

/// What is left of a ragged tensor: with ragged axes or without.
#[derive(Clone)]
pub enum RaggedOrDense<V = Tensor> {
    /// With one ragged axis or more.
    Ragged(RaggedTensor<V>),
    /// Without.
    Dense(V),
}

impl<V: Values> RaggedOrDense<V> {
    /// The dense tensor; where it is ragged, one that carries an error.
    #[track_caller]
    pub fn dense(&self) -> V {
        match self {
            RaggedOrDense::Dense(values) => values.clone(),
            RaggedOrDense::Ragged(ragged) => {
                let site = Site::new("ragged.dense");
                let error = ragged.error().cloned().unwrap_or_else(|| {
                    let shape = ragged.shape();
                    site.error(format!("expected no ragged axis, received shape {shape:?}; use to_tensor"))
                });
                V::failed_with(error, site.at)
            }
        }
    }

    /// The ragged tensor; where it is dense, one that carries an error.
    #[track_caller]
    pub fn ragged(&self) -> RaggedTensor<V> {
        match self {
            RaggedOrDense::Ragged(ragged) => ragged.clone(),
            RaggedOrDense::Dense(values) => {
                let site = Site::new("ragged.ragged");
                site.settle(|| {
                    Err(values.fault().cloned().unwrap_or_else(|| {
                        let shape = values.dims();
                        site.error(format!(
                            "expected a ragged axis, received the dense shape {shape:?}; use RaggedTensor::from_tensor"
                        ))
                    }))
                })
            }
        }
    }

    /// The error that is carried in the place of values, if there is one.
    pub fn error(&self) -> Option<&Error> {
        match self {
            RaggedOrDense::Ragged(ragged) => ragged.error(),
            RaggedOrDense::Dense(values) => values.fault(),
        }
    }

    pub(crate) fn of(nest: Nest<V>) -> RaggedOrDense<V> {
        match nest.partitions.is_empty() {
            true => RaggedOrDense::Dense(nest.flat),
            false => RaggedOrDense::Ragged(RaggedTensor { nest }),
        }
    }

    /// An error where a dense tensor has no axis or either carries one.
    pub(crate) fn nest(&self, site: Site) -> Result<Nest<V>> {
        match self {
            RaggedOrDense::Ragged(ragged) => Ok(ragged.check()?.nest.clone()),
            RaggedOrDense::Dense(values) => {
                if let Some(error) = values.fault() {
                    return Err(error.clone());
                }
                site.expect(!values.dims().is_empty(), || {
                    "expected at least one axis, received a scalar".to_owned()
                })?;
                Ok(Nest::dense(values.clone()))
            }
        }
    }
}

impl<V> From<RaggedTensor<V>> for RaggedOrDense<V> {
    fn from(ragged: RaggedTensor<V>) -> RaggedOrDense<V> {
        RaggedOrDense::Ragged(ragged)
    }
}

impl From<Tensor> for RaggedOrDense {
    fn from(values: Tensor) -> RaggedOrDense {
        RaggedOrDense::Dense(values)
    }
}

impl From<StringTensor> for RaggedOrDense<StringTensor> {
    fn from(values: StringTensor) -> RaggedOrDense<StringTensor> {
        RaggedOrDense::Dense(values)
    }
}

impl<V: Values> RaggedTensor<V> {
    /// The nest of an operation's result, which must have a partition.
    pub(crate) fn of(site: Site, nest: Nest<V>) -> Result<RaggedTensor<V>> {
        if let Some(error) = nest.flat.fault() {
            return Err(error.clone());
        }
        site.expect(!nest.partitions.is_empty(), || "expected a ragged axis, received none".to_owned())?;
        Ok(RaggedTensor { nest })
    }

    pub(crate) fn nest(&self) -> &Nest<V> {
        &self.nest
    }

    fn outer(&self) -> Option<&Partition> {
        self.nest.partitions.first().map(Arc::as_ref)
    }

    /// The values of all rows, behind one another, without any partition.
    pub fn flat_values(&self) -> &V {
        &self.nest.flat
    }

    /// What the outermost rows hold, behind one another: ragged where there are further ragged axes.
    pub fn values(&self) -> RaggedOrDense<V> {
        match self.nest.opened() {
            Some((_, inner)) => RaggedOrDense::of(inner),
            None => RaggedOrDense::Dense(self.nest.flat.clone()),
        }
    }

    /// Number of ragged axes (those that a partition divides, uniform or not).
    pub fn ragged_rank(&self) -> usize {
        self.nest.partitions.len()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.nest.rank()
    }

    /// The extents; `None` for an axis whose rows may differ in length.
    pub fn shape(&self) -> Vec<Option<usize>> {
        let Some(outer) = self.outer() else {
            return vec![];
        };
        let lengths = self.nest.partitions.iter().map(|partition| partition.uniform_length());
        let inner = self.nest.flat.dims()[1..].iter().map(|extent| Some(*extent));
        std::iter::once(Some(outer.rows())).chain(lengths).chain(inner).collect()
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.outer().map_or(0, Partition::rows)
    }

    /// Where each row starts among the values, and where the last one ends.
    pub fn row_splits(&self) -> &[i32] {
        self.outer().map_or(&[], Partition::splits)
    }

    /// The row splits of every ragged axis, the outermost first.
    pub fn nested_row_splits(&self) -> Vec<Vec<i32>> {
        self.nest.partitions.iter().map(|partition| partition.splits().to_vec()).collect()
    }

    /// The length of every row.
    pub fn row_lengths(&self) -> Vec<i32> {
        self.outer().map_or_else(Vec::new, Partition::lengths)
    }

    /// The row lengths of every ragged axis, the outermost first.
    pub fn nested_row_lengths(&self) -> Vec<Vec<i32>> {
        self.nest.partitions.iter().map(|partition| partition.lengths()).collect()
    }

    /// The lengths of the rows of one axis, in the rows of the axes before it: a dense tensor for axis 1, and a ragged one
    /// further in. (`tf.RaggedTensor.row_lengths(axis)`.)
    #[track_caller]
    pub fn row_lengths_at(&self, axis: i64) -> RaggedOrDense {
        let site = Site::new("ragged.row_lengths_at");
        site.settle(|| {
            self.check()?;
            let axis = resolve_axis(axis, self.rank()).ok_or_else(|| self.no_axis(site, axis))?;
            if axis == 0 {
                return Ok(RaggedOrDense::Dense(Tensor::scalar(site.index(self.nrows())?)));
            }
            let lengths = match self.nest.partitions.get(axis - 1) {
                Some(partition) => partition.lengths(),
                None => {
                    let items = self.nest.flat.dims()[..axis - self.ragged_rank()].to_vec();
                    let extent = self.nest.flat.dims()[axis - self.ragged_rank()];
                    vec![site.index(extent)?; site.count(&items)?]
                }
            };
            let outer = self.nest.partitions[..(axis - 1).min(self.ragged_rank())].to_vec();
            let mut shape = vec![lengths.len()];
            if axis > self.ragged_rank() {
                shape = self.nest.flat.dims()[..axis - self.ragged_rank()].to_vec();
            }
            Ok(RaggedOrDense::of(Nest { partitions: outer, flat: Tensor::from_vec(&lengths, &shape) }))
        })
    }

    /// Where each row starts among the values.
    pub fn row_starts(&self) -> Vec<i32> {
        self.row_splits().split_last().map_or_else(Vec::new, |(_, starts)| starts.to_vec())
    }

    /// Where each row ends among the values.
    pub fn row_limits(&self) -> Vec<i32> {
        self.row_splits().split_first().map_or_else(Vec::new, |(_, limits)| limits.to_vec())
    }

    /// The row of every value.
    pub fn value_rowids(&self) -> Vec<i32> {
        self.outer().map_or_else(Vec::new, Partition::ids)
    }

    /// The rows of the values of every ragged axis, the outermost first.
    pub fn nested_value_rowids(&self) -> Vec<Vec<i32>> {
        self.nest.partitions.iter().map(|partition| partition.ids()).collect()
    }

    /// The length of every row, where all are promised to have one.
    pub fn uniform_row_length(&self) -> Option<usize> {
        self.outer().and_then(Partition::uniform_length)
    }

    /// The smallest dense shape that holds all rows.
    pub fn bounding_shape(&self) -> Vec<usize> {
        let Some(outer) = self.outer() else {
            return vec![];
        };
        let longest = self.nest.partitions.iter().map(|partition| partition.longest());
        let inner = self.nest.flat.dims()[1..].iter().copied();
        std::iter::once(outer.rows()).chain(longest).chain(inner).collect()
    }

    /// Other flat values under the same partitions: as many along the first axis.
    #[track_caller]
    pub fn with_flat_values<W: Values>(&self, flat: W) -> RaggedTensor<W> {
        let site = Site::new("ragged.with_flat_values");
        site.settle(|| {
            self.check()?;
            self.with_flat(site, flat)
        })
    }

    pub(crate) fn with_flat<W: Values>(&self, site: Site, flat: W) -> Result<RaggedTensor<W>> {
        if let Some(error) = flat.fault() {
            return Err(error.clone());
        }
        let items = self.nest.flat.dims()[0];
        site.expect(flat.dims().first() == Some(&items), || {
            format!("expected {items} flat values along the first axis, received shape {:?}", flat.dims())
        })?;
        RaggedTensor::of(site, Nest { partitions: self.nest.partitions.clone(), flat })
    }

    /// Other values (which may be ragged) in the same outermost rows: as many along the first axis.
    #[track_caller]
    pub fn with_values<W: Values>(&self, values: impl Into<RaggedOrDense<W>>) -> RaggedTensor<W> {
        let site = Site::new("ragged.with_values");
        site.settle(|| {
            self.check()?;
            let inner = values.into().nest(site)?;
            let (outer, _) = self.nest.opened().ok_or_else(|| site.error("expected rows"))?;
            site.expect(inner.rows() == outer.items(), || {
                format!("expected {} values along the first axis, received {}", outer.items(), inner.rows())
            })?;
            RaggedTensor::of(site, inner.divided(outer.clone()))
        })
    }

    /// The error that is carried in the place of values, if there is one.
    pub fn error(&self) -> Option<&Error> {
        self.nest.flat.fault()
    }

    /// The tensor itself, or the error it carries.
    ///
    /// # Errors
    /// The error it carries.
    pub fn check(&self) -> Result<&RaggedTensor<V>> {
        self.error().map_or(Ok(self), |e| Err(e.clone()))
    }

    pub(crate) fn no_axis(&self, site: Site, axis: i64) -> Error {
        site.error(format!("axis {axis} is out of range for shape {:?}", self.shape()))
    }
}

impl RaggedTensor {
    /// The element type of the values.
    pub fn dtype(&self) -> DType {
        self.nest.flat.dtype()
    }

    /// Computes the values and keeps them on the device.
    ///
    /// # Errors
    /// As [`Tensor::eval`].
    #[track_caller]
    pub fn eval(&self) -> Result<&RaggedTensor> {
        self.nest.flat.eval()?;
        Ok(self)
    }
}

impl<V: Values> Fallible for RaggedTensor<V> {
    fn carrying(error: Error, at: At) -> RaggedTensor<V> {
        RaggedTensor { nest: Nest::dense(V::failed_with(error, at)) }
    }
}

impl<V: Values> Fallible for RaggedOrDense<V> {
    fn carrying(error: Error, at: At) -> RaggedOrDense<V> {
        RaggedOrDense::Dense(V::failed_with(error, at))
    }
}

impl<V: Values> std::fmt::Debug for RaggedTensor<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.error() {
            Some(error) => write!(f, "RaggedTensor({error})"),
            None => write!(f, "RaggedTensor({:?})", self.shape()),
        }
    }
}

impl<V: Values> std::fmt::Debug for RaggedOrDense<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.error(), self) {
            (Some(error), _) => write!(f, "RaggedOrDense({error})"),
            (None, RaggedOrDense::Ragged(ragged)) => ragged.fmt(f),
            (None, RaggedOrDense::Dense(values)) => write!(f, "Dense({:?})", values.dims()),
        }
    }
}
