//! Arithmetic of sparse tensors with numbers, dense tensors and one another.

use std::sync::Arc;

use kiln_device::{ReduceOp, ScatterOp};

use super::{Coordinates, SparseTensor};
use crate::error::Result;
use crate::ops::Operand;
use crate::shape::broadcast;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::{Items, Values, index_tensor};

impl SparseTensor {
    /// `change` of the values, at the same places. What is not stored is left alone, whatever `change` makes of 0.
    #[track_caller]
    pub fn map_values(&self, change: impl FnOnce(&Tensor) -> Tensor) -> SparseTensor {
        let site = Site::new("sparse.map_values");
        site.settle(|| {
            self.check()?;
            SparseTensor::with_places(site, self.places.clone(), change(&self.values))
        })
    }

    /// Entries at one place become one that holds their sum; the result stands in row-major order.
    #[track_caller]
    pub fn sum_duplicates(&self) -> SparseTensor {
        let site = Site::new("sparse.sum_duplicates");
        site.settle(|| {
            self.check()?;
            if self.is_ordered() && !self.has_duplicates() {
                return Ok(self.clone());
            }
            let places: Vec<&[i32]> = self.places.places().collect();
            let (union, groups) = grouped(&places);
            summed(site, &union, self.dense_shape(), &groups, &self.values)
        })
    }

    /// The sum with another sparse tensor of the same shape, in row-major order. A sum of 0 stays an entry;
    /// [`SparseTensor::prune`] removes such.
    #[track_caller]
    pub fn add(&self, other: &SparseTensor) -> SparseTensor {
        let site = Site::new("sparse.add");
        site.settle(|| {
            self.meets(other, site)?;
            let places: Vec<&[i32]> = self.places.places().chain(other.places.places()).collect();
            let (union, groups) = grouped(&places);
            let both = Tensor::joined(&[self.values.clone(), other.values.clone()], 0, site.op, site.at)?;
            summed(site, &union, self.dense_shape(), &groups, &both)
        })
    }

    /// The dense sum with a dense tensor of the same shape.
    #[track_caller]
    pub fn add_dense(&self, dense: &Tensor) -> Tensor {
        let site = Site::new("sparse.add_dense");
        site.settle(|| {
            self.check()?;
            dense.check()?;
            site.expect(dense.shape() == self.dense_shape(), || {
                format!(
                    "expected a dense tensor of shape {:?}, received {:?}",
                    self.dense_shape(),
                    dense.shape()
                )
            })?;
            let dtype = crate::ops::promote(self.dtype(), dense.dtype());
            let dense = dense.cast_at(dtype, site.at);
            if self.entries() == 0 {
                return Ok(dense);
            }
            let all: Vec<usize> = (0..self.rank()).collect();
            let index = index_tensor(&self.places.positions(site, &all)?, site.at);
            let flat = dense.reshape_at(vec![dense.len()], site.at);
            let values = self.values.cast_at(dtype, site.at);
            let sum = flat.scatter_rows(&index, &values, ScatterOp::Fold(ReduceOp::Sum), site.at);
            site.part(sum.reshape_at(self.dense_shape().to_vec(), site.at))
        })
    }

    /// The product with a number or a dense tensor that broadcasts to this shape, at the places of the entries.
    #[track_caller]
    pub fn mul_dense(&self, dense: impl Operand) -> SparseTensor {
        self.with_dense(Site::new("sparse.mul_dense"), dense, |values, dense| values * dense)
    }

    /// The quotient by a number or a dense tensor that broadcasts to this shape, at the places of the entries: what is
    /// not stored stays so, even over 0.
    #[track_caller]
    pub fn div_dense(&self, dense: impl Operand) -> SparseTensor {
        self.with_dense(Site::new("sparse.div_dense"), dense, |values, dense| values / dense)
    }

    fn with_dense(
        &self,
        site: Site,
        dense: impl Operand,
        meet: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    ) -> SparseTensor {
        site.settle(|| {
            self.check()?;
            let dense = dense.tensor(self.dtype(), site.at);
            let values = meet(&self.values, &self.dense_at_places(site, &dense)?);
            SparseTensor::with_places(site, self.places.clone(), site.part(values)?)
        })
    }

    /// The elements of a dense tensor, broadcast to this shape, at the places of the entries.
    fn dense_at_places(&self, site: Site, dense: &Tensor) -> Result<Tensor> {
        dense.check()?;
        let shape = self.dense_shape();
        site.expect(broadcast(dense.shape(), shape).as_deref() == Some(shape), || {
            format!("expected a dense tensor that broadcasts to {shape:?}, received {:?}", dense.shape())
        })?;
        if dense.len() == 1 {
            return Ok(dense.reshape_at(vec![], site.at));
        }
        // An axis of extent 1 is the same at every coordinate, so it takes no part in the position.
        let lead = shape.len() - dense.rank();
        let axes: Vec<usize> =
            (0..dense.rank()).filter(|i| dense.shape()[*i] != 1).map(|i| lead + i).collect();
        let positions = self.places.positions(site, &axes)?;
        site.part(dense.reshape_at(vec![dense.len()], site.at).pick(&positions, site.at))
    }

    /// The larger of two at every place of either, where what is not stored counts as 0; in row-major order.
    ///
    /// Carries an error where shapes differ, or two entries of one stand at one place.
    #[track_caller]
    pub fn maximum(&self, other: &SparseTensor) -> SparseTensor {
        self.at_union(Site::new("sparse.maximum"), other, |a, b| a.maximum(b))
    }

    /// The smaller of two at every place of either, where what is not stored counts as 0; in row-major order.
    ///
    /// Carries an error where shapes differ, or two entries of one stand at one place.
    #[track_caller]
    pub fn minimum(&self, other: &SparseTensor) -> SparseTensor {
        self.at_union(Site::new("sparse.minimum"), other, |a, b| a.minimum(b))
    }

    fn at_union(
        &self,
        site: Site,
        other: &SparseTensor,
        meet: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    ) -> SparseTensor {
        site.settle(|| {
            self.meets(other, site)?;
            self.expect_distinct(site)?;
            other.expect_distinct(site)?;
            let places: Vec<&[i32]> = self.places.places().chain(other.places.places()).collect();
            let (union, groups) = grouped(&places);
            let (first, second) = groups.split_at(self.entries());
            let count = union.len() / self.rank();
            let fill = |values: &Tensor, positions: &[i32]| {
                let zero = Tensor::full(&[], 0.0, values.dtype());
                values.placed(count, positions, &zero, site.op, site.at)
            };
            let values = meet(&fill(&self.values, first)?, &fill(&other.values, second)?);
            let places = Coordinates::good(union, self.dense_shape().to_vec());
            SparseTensor::with_places(site, places.into(), site.part(values)?)
        })
    }

    /// Without entries whose absolute value is below `threshold`, and without zeros and NaN where that is 0: their values
    /// are read at once.
    #[track_caller]
    pub fn prune(&self, threshold: impl Into<f64>) -> SparseTensor {
        let threshold = threshold.into();
        let site = Site::new("sparse.prune");
        site.settle(|| {
            self.check()?;
            let size = self.values.to_float().abs();
            let large = if threshold > 0.0 { size.greater_equal(threshold) } else { size.greater(0.0) };
            let keep = site.nonzero(&large)?;
            let kept: Vec<i32> = (0..self.entries() as i32).filter(|i| keep[*i as usize]).collect();
            Ok(self.chosen(&kept, site))
        })
    }

    /// An error where two tensors differ in shape, or either carries one.
    fn meets(&self, other: &SparseTensor, site: Site) -> Result<()> {
        self.check()?;
        other.check()?;
        site.expect(self.dense_shape() == other.dense_shape(), || {
            format!("expected equal shapes, received {:?} and {:?}", self.dense_shape(), other.dense_shape())
        })
    }
}

/// `change` of the values of several sparse tensors with entries at the same places in the same order.
///
/// ```
/// use kiln_graph::{SparseTensor, Tensor, sparse};
/// let a = SparseTensor::new(&[[0], [2]], Tensor::from_slice(&[1.0f32, 2.0]), &[4]);
/// let b = a.map_values(|v| v * 10.0);
/// let sum = sparse::map_values(&[&a, &b], |values| &values[0] + &values[1]);
/// assert_eq!(sum.to_dense(0.0).to_vec::<f32>()?, [11.0, 0.0, 22.0, 0.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn map_values(sparse: &[&SparseTensor], change: impl FnOnce(&[Tensor]) -> Tensor) -> SparseTensor {
    let site = Site::new("sparse.map_values");
    site.settle(|| {
        let Some(first) = sparse.first() else {
            return Err(site.error("expected at least one sparse tensor, received none"));
        };
        for other in sparse {
            other.check()?;
            let same = other.indices() == first.indices() && other.shape() == first.shape();
            site.expect(same, || {
                format!(
                    "expected entries at the same places in every tensor, received {:?} with {} entries and {:?} with {}",
                    first.shape(),
                    first.entries(),
                    other.shape(),
                    other.entries()
                )
            })?;
        }
        let values: Vec<Tensor> = sparse.iter().map(|s| s.values.clone()).collect();
        SparseTensor::with_places(site, first.places.clone(), change(&values))
    })
}

/// The different places in row-major order, behind one another, and which of them each place is.
pub(super) fn grouped(places: &[&[i32]]) -> (Vec<i32>, Vec<i32>) {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|i| places[*i]);
    let mut groups = vec![0; places.len()];
    let mut union = vec![];
    let mut count = 0i32;
    let mut last: Option<&[i32]> = None;
    for i in order {
        if last != Some(places[i]) {
            union.extend_from_slice(places[i]);
            last = Some(places[i]);
            count += 1;
        }
        groups[i] = count - 1;
    }
    (union, groups)
}

/// Values summed by group, at the groups' places.
pub(super) fn summed(
    site: Site,
    union: &[i32],
    shape: &[usize],
    groups: &[i32],
    values: &Tensor,
) -> Result<SparseTensor> {
    let places = Arc::new(Coordinates::good(union.to_vec(), shape.to_vec()));
    // Booleans count, as in a sum.
    let values = if values.dtype() == kiln_device::DType::Bool {
        values.cast_at(kiln_device::DType::I32, site.at)
    } else {
        values.clone()
    };
    let values = if groups.len() == places.count() {
        let mut order = vec![0; groups.len()];
        groups.iter().enumerate().for_each(|(i, group)| order[*group as usize] = i as i32);
        values.pick(&order, site.at)
    } else {
        let zeros = Tensor::full(&[places.count()], 0.0, values.dtype());
        let index = index_tensor(groups, site.at);
        zeros.scatter_rows(&index, &values, ScatterOp::Fold(ReduceOp::Sum), site.at)
    };
    SparseTensor::with_places(site, places, values)
}

macro_rules! operator {
    ($($trait:ident $method:ident $call:ident, $other:ty;)*) => { $(
        impl std::ops::$trait<$other> for &SparseTensor {
            type Output = SparseTensor;
            #[track_caller]
            fn $method(self, other: $other) -> SparseTensor {
                self.$call(other)
            }
        }
    )* };
}

operator! {
    Add add add, &SparseTensor;
    Mul mul mul_dense, &Tensor;
    Mul mul mul_dense, f64;
    Mul mul mul_dense, i32;
    Div div div_dense, &Tensor;
    Div div div_dense, f64;
    Div div div_dense, i32;
}

impl<V: Values> SparseTensor<V> {
    /// The entries for which `keep` is true, one flag for each entry.
    #[track_caller]
    pub fn retain(&self, keep: &[bool]) -> SparseTensor<V> {
        let site = Site::new("sparse.retain");
        site.settle(|| {
            self.check()?;
            site.expect(keep.len() == self.entries(), || {
                format!("expected {} flags, one for each entry, received {}", self.entries(), keep.len())
            })?;
            let kept: Vec<i32> = (0..keep.len() as i32).filter(|i| keep[*i as usize]).collect();
            Ok(self.chosen(&kept, site))
        })
    }
}
