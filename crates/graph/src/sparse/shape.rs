//! Other shapes and other orders of axes.

use std::sync::Arc;

use super::{Coordinates, SparseTensor};
use crate::error::Result;
use crate::shape::{resolve_axis, strides};
use crate::site::Site;
use crate::text::resolve_shape;
use crate::values::Values;

impl<V: Values> SparseTensor<V> {
    /// The same entries in a dense shape of as many elements; one dimension may be −1 and is worked out.
    #[track_caller]
    pub fn reshape(&self, shape: &[i64]) -> SparseTensor<V> {
        let site = Site::new("sparse.reshape");
        site.settle(|| {
            self.check()?;
            let count = site.count(self.dense_shape())?;
            let shape = resolve_shape(site, shape, count, self.dense_shape())?;
            site.expect(!shape.is_empty(), || {
                "expected a target of at least one dimension, received []".to_owned()
            })?;
            shape.iter().try_for_each(|extent| site.index(*extent).map(drop))?;
            let (from, to) = (strides(self.dense_shape()), strides(&shape));
            let mut flat = Vec::with_capacity(self.entries() * shape.len());
            for place in self.places.places() {
                let position: usize = place.iter().zip(&from).map(|(c, step)| *c as usize * step).sum();
                flat.extend(to.iter().zip(&shape).map(|(step, extent)| (position / step % extent) as i32));
            }
            SparseTensor::with_places(site, Coordinates::good(flat, shape).into(), self.values.clone())
        })
    }

    /// Axes in another order: output axis `i` is input axis `permutation[i]`; an empty permutation reverses them. The
    /// result stands in row-major order.
    #[track_caller]
    pub fn transpose(&self, permutation: &[i64]) -> SparseTensor<V> {
        let site = Site::new("sparse.transpose");
        site.settle(|| {
            self.check()?;
            let rank = self.rank();
            let reversed: Vec<i64> = (0..rank as i64).rev().collect();
            let named = if permutation.is_empty() { &reversed } else { permutation };
            let axes: Option<Vec<usize>> = named.iter().map(|axis| resolve_axis(*axis, rank)).collect();
            let axes = axes.filter(|axes| axes.len() == rank && (0..rank).all(|i| axes.contains(&i)));
            let axes = axes.ok_or_else(|| {
                site.error(format!("expected a permutation of {rank} axes, received {permutation:?}"))
            })?;
            let flat = self.places.places().flat_map(|place| axes.iter().map(|axis| place[*axis])).collect();
            let shape = axes.iter().map(|axis| self.shape()[*axis]).collect();
            let places = Arc::new(Coordinates::good(flat, shape));
            Ok(SparseTensor::with_places(site, places, self.values.clone())?.in_order(site))
        })
    }

    /// A new axis of extent 1; −1 puts it last.
    #[track_caller]
    pub fn expand_dims(&self, axis: i64) -> SparseTensor<V> {
        let site = Site::new("sparse.expand_dims");
        site.settle(|| {
            self.check()?;
            let axis = resolve_axis(axis, self.rank() + 1)
                .ok_or_else(|| site.error(crate::shape::no_axis(axis, self.dense_shape())))?;
            let widened = |place: &[i32]| [&place[..axis], &[0], &place[axis..]].concat();
            let flat = self.places.places().flat_map(widened).collect();
            let mut shape = self.dense_shape().to_vec();
            shape.insert(axis, 1);
            SparseTensor::with_places(site, Coordinates::good(flat, shape).into(), self.values.clone())
        })
    }

    /// The same entries in another dense shape: one that is given and no smaller along any axis, or the smallest that
    /// holds all entries.
    #[track_caller]
    pub fn reset_shape(&self, shape: Option<&[usize]>) -> SparseTensor<V> {
        let site = Site::new("sparse.reset_shape");
        site.settle(|| {
            self.check()?;
            let tight = || {
                let extent = |axis| self.places.column(axis).into_iter().max().map_or(0, |c| c as usize + 1);
                (0..self.rank()).map(extent).collect::<Vec<usize>>()
            };
            let target = shape.map_or_else(tight, <[usize]>::to_vec);
            let holds = target.len() == self.rank()
                && (shape.is_none() || target.iter().zip(self.shape()).all(|(new, old)| new >= old));
            site.expect(holds, || {
                format!(
                    "expected a shape no smaller than {:?} along any axis, received {target:?}",
                    self.shape()
                )
            })?;
            target.iter().try_for_each(|extent| site.index(*extent).map(drop))?;
            let places = Coordinates::good(self.indices().to_vec(), target);
            SparseTensor::with_places(site, places.into(), self.values.clone())
        })
    }

    /// The part of extents `size` that starts at `start`; a part that reaches past the end is cut there.
    #[track_caller]
    pub fn slice(&self, start: &[usize], size: &[usize]) -> SparseTensor<V> {
        let site = Site::new("sparse.slice");
        site.settle(|| {
            self.check()?;
            site.expect(start.len() == self.rank() && size.len() == self.rank(), || {
                format!("expected {} starts and sizes, received {start:?} and {size:?}", self.rank())
            })?;
            self.part(site, start, size)
        })
    }

    fn part(&self, site: Site, start: &[usize], size: &[usize]) -> Result<SparseTensor<V>> {
        let shape: Vec<usize> = (0..self.rank())
            .map(|axis| size[axis].min(self.shape()[axis].saturating_sub(start[axis])))
            .collect();
        let moved = |place: &[i32]| -> Option<Vec<i32>> {
            place
                .iter()
                .enumerate()
                .map(|(axis, c)| (*c as usize).checked_sub(start[axis]).filter(|c| *c < shape[axis]))
                .map(|c| c.map(|c| c as i32))
                .collect()
        };
        let (mut flat, mut entries) = (vec![], vec![]);
        for (entry, place) in self.places.places().enumerate() {
            if let Some(place) = moved(place) {
                flat.extend(place);
                entries.push(entry as i32);
            }
        }
        let values = self.values.pick(&entries, site.at);
        SparseTensor::with_places(site, Coordinates::good(flat, shape).into(), values)
    }

    /// `parts` tensors along an axis. Where its extent does not divide evenly, the first ones are one longer.
    #[track_caller]
    pub fn split(&self, parts: usize, axis: i64) -> Vec<SparseTensor<V>> {
        let site = Site::new("sparse.split");
        let all = || -> Result<Vec<SparseTensor<V>>> {
            self.check()?;
            let axis = resolve_axis(axis, self.rank())
                .ok_or_else(|| site.error(crate::shape::no_axis(axis, self.dense_shape())))?;
            let extent = self.shape()[axis];
            site.expect(parts >= 1 && parts <= extent.max(1), || {
                format!("expected 1 to {extent} parts of axis {axis} of {:?}, received {parts}", self.shape())
            })?;
            let (least, longer) = (extent / parts, extent % parts);
            let mut start = vec![0; self.rank()];
            let mut size = self.shape().to_vec();
            let next = |part: usize| {
                size[axis] = least + usize::from(part < longer);
                let made = self.part(site, &start, &size);
                start[axis] += size[axis];
                made
            };
            (0..parts).map(next).collect()
        };
        all().unwrap_or_else(|error| vec![site.settle(|| Err(error))])
    }
}

/// Sparse tensors behind one another along an axis, in row-major order. Their other dimensions must agree, unless
/// `expand_nonconcat_dims` lets each become the largest.
///
/// ```
/// use kiln_graph::{SparseTensor, Tensor, sparse};
/// let a = SparseTensor::new(&[[0, 1]], Tensor::from_slice(&[1]), &[1, 2]);
/// let b = SparseTensor::new(&[[0, 0]], Tensor::from_slice(&[2]), &[1, 3]);
/// let c = sparse::concat(&[a, b], 0, true);
/// assert_eq!(c.dense_shape(), [2, 3]);
/// assert_eq!(c.to_dense(0).to_vec::<i32>()?, [0, 1, 0, 2, 0, 0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn concat<V: Values>(
    tensors: &[SparseTensor<V>],
    axis: i64,
    expand_nonconcat_dims: bool,
) -> SparseTensor<V> {
    let site = Site::new("sparse.concat");
    site.settle(|| {
        let Some(first) = tensors.first() else {
            return Err(site.error("expected at least one sparse tensor, received none"));
        };
        tensors.iter().try_for_each(|t| t.check().map(drop))?;
        let rank = first.rank();
        let axis = resolve_axis(axis, rank)
            .ok_or_else(|| site.error(crate::shape::no_axis(axis, first.dense_shape())))?;
        let fits = |t: &SparseTensor<V>| {
            let same = |i: usize| i == axis || expand_nonconcat_dims || t.shape()[i] == first.shape()[i];
            t.rank() == rank && (0..rank).all(same)
        };
        site.expect(tensors.iter().all(fits), || {
            let shapes: Vec<&[usize]> = tensors.iter().map(|t| t.shape()).collect();
            format!("expected equal shapes except along axis {axis}, received {shapes:?}")
        })?;
        let largest = |i: usize| tensors.iter().map(|t| t.shape()[i]).max().unwrap_or(0);
        let mut shape: Vec<usize> = (0..rank).map(largest).collect();
        let mut flat = vec![];
        let mut offset = 0usize;
        for tensor in tensors {
            for place in tensor.places.places() {
                let moved =
                    |(i, c): (usize, &i32)| if i == axis { site.index(*c as usize + offset) } else { Ok(*c) };
                for coordinate in place.iter().enumerate().map(moved) {
                    flat.push(coordinate?);
                }
            }
            offset += tensor.shape()[axis];
        }
        site.index(offset)?;
        shape[axis] = offset;
        let parts: Vec<V> = tensors.iter().map(|t| t.values.clone()).collect();
        let values = V::joined(&parts, 0, site.op, site.at)?;
        let places = Arc::new(Coordinates::good(flat, shape));
        Ok(SparseTensor::with_places(site, places, values)?.in_order(site))
    })
}
