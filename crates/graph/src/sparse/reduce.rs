//! Reductions of the entries, and softmax over them.

use kiln_device::{DType, ReduceOp};

use super::SparseTensor;
use super::arithmetic::{grouped, summed};
use crate::error::Result;
use crate::shape::Axes;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::{fold_segments, index_tensor};

/// A reduction's outcome: which axes stay, the shape without and with the reduced ones as ones.
struct Target {
    kept: Vec<usize>,
    shape: Vec<usize>,
    with_ones: Vec<usize>,
}

impl SparseTensor {
    fn target(&self, site: Site, axes: &Axes) -> Result<Target> {
        self.check()?;
        let reduced = axes.resolve(self.rank()).map_err(|message| site.error(message))?;
        let kept: Vec<usize> = (0..self.rank()).filter(|axis| !reduced.contains(axis)).collect();
        let with_ones =
            (0..self.rank()).map(|axis| if reduced.contains(&axis) { 1 } else { self.shape()[axis] });
        Ok(Target {
            shape: kept.iter().map(|axis| self.shape()[*axis]).collect(),
            with_ones: with_ones.collect(),
            kept,
        })
    }

    /// Sum over some axes, `()` for all, as a dense tensor.
    #[track_caller]
    pub fn reduce_sum(&self, axes: impl Into<Axes>, keepdims: bool) -> Tensor {
        let (site, axes) = (Site::new("sparse.reduce_sum"), axes.into());
        site.settle(|| self.folded(site, &axes, keepdims, ReduceOp::Sum))
    }

    /// Largest stored entry over some axes, as a dense tensor. What is not stored takes no part; where nothing is, the
    /// result is 0.
    #[track_caller]
    pub fn reduce_max(&self, axes: impl Into<Axes>, keepdims: bool) -> Tensor {
        let (site, axes) = (Site::new("sparse.reduce_max"), axes.into());
        site.settle(|| self.folded(site, &axes, keepdims, ReduceOp::Max))
    }

    fn folded(&self, site: Site, axes: &Axes, keepdims: bool, op: ReduceOp) -> Result<Tensor> {
        let target = self.target(site, axes)?;
        let counts = op == ReduceOp::Sum && self.dtype() == DType::Bool;
        let values = if counts { self.values.cast_at(DType::I32, site.at) } else { self.values.clone() };
        let cells = site.count(&target.shape)?;
        site.index(cells)?;
        let shape = if keepdims { target.with_ones } else { target.shape };
        let positions = self.places.positions(site, &target.kept)?;
        let mut folded = site.part(fold_segments(&values, &positions, cells, op, site.at))?;
        if op != ReduceOp::Sum {
            let mut some = vec![false; cells];
            positions.iter().for_each(|cell| some[*cell as usize] = true);
            if some.contains(&false) {
                let zero = Tensor::full(&[], 0.0, values.dtype());
                folded = Tensor::select(&Tensor::from_slice(&some), &folded, &zero);
            }
        }
        site.part(folded.reshape_at(shape, site.at))
    }

    /// As [`SparseTensor::reduce_sum`], as a sparse tensor with an entry where there is one to sum.
    #[track_caller]
    pub fn reduce_sum_sparse(&self, axes: impl Into<Axes>, keepdims: bool) -> SparseTensor {
        let (site, axes) = (Site::new("sparse.reduce_sum_sparse"), axes.into());
        site.settle(|| self.folded_sparse(site, &axes, keepdims, ReduceOp::Sum))
    }

    /// As [`SparseTensor::reduce_max`], as a sparse tensor with an entry where there is one to compare.
    #[track_caller]
    pub fn reduce_max_sparse(&self, axes: impl Into<Axes>, keepdims: bool) -> SparseTensor {
        let (site, axes) = (Site::new("sparse.reduce_max_sparse"), axes.into());
        site.settle(|| self.folded_sparse(site, &axes, keepdims, ReduceOp::Max))
    }

    fn folded_sparse(&self, site: Site, axes: &Axes, keepdims: bool, op: ReduceOp) -> Result<SparseTensor> {
        let target = self.target(site, axes)?;
        // A sparse tensor has at least one axis.
        let (kept, shape) = if keepdims || target.kept.is_empty() {
            (None, if target.kept.is_empty() && !keepdims { vec![1] } else { target.with_ones })
        } else {
            (Some(&target.kept), target.shape)
        };
        let place = |place: &[i32]| -> Vec<i32> {
            match kept {
                Some(kept) => kept.iter().map(|axis| place[*axis]).collect(),
                None if shape.len() < self.rank() => vec![0],
                None => (0..self.rank())
                    .map(|axis| if target.kept.contains(&axis) { place[axis] } else { 0 })
                    .collect(),
            }
        };
        let moved: Vec<Vec<i32>> = self.places.places().map(place).collect();
        let (union, groups) = grouped(&moved.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let sums = summed(site, &union, &shape, &groups, &self.values)?;
        if op == ReduceOp::Sum || self.entries() == 0 {
            return Ok(sums);
        }
        let cells = sums.entries();
        let flat = SparseTensor::from_flat_indices(
            groups.iter().enumerate().flat_map(|(i, group)| [*group, i as i32]).collect(),
            self.values.clone(),
            &[cells, self.entries()],
        );
        let most = site.part(flat.folded(site, &Axes::from(1), false, op)?)?;
        SparseTensor::with_places(site, sums.places.clone(), most)
    }

    /// Softmax of the stored entries in every row of the last axis; what is not stored takes no part.
    #[track_caller]
    pub fn softmax(&self) -> SparseTensor {
        let site = Site::new("sparse.softmax");
        site.settle(|| {
            self.check()?;
            site.expect(self.rank() >= 2, || {
                format!("expected rank 2 or more, received shape {:?}", self.shape())
            })?;
            if self.entries() == 0 {
                return Ok(self.clone());
            }
            let rows: Vec<Vec<i32>> =
                self.places.places().map(|place| place[..place.len() - 1].to_vec()).collect();
            let (_, groups) = grouped(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let cells = groups.iter().max().map_or(0, |group| *group as usize + 1);
            let values = softmax_by_group(&self.values.to_float(), &groups, cells, site);
            SparseTensor::with_places(site, self.places.clone(), site.part(values)?)
        })
    }
}

/// Softmax of values within the groups that indices name.
fn softmax_by_group(values: &Tensor, groups: &[i32], cells: usize, site: Site) -> Tensor {
    let index = index_tensor(groups, site.at);
    let spread = |t: Tensor| t.pick_rows(&index, site.at);
    let most = fold_segments(&values.stop_gradient(), groups, cells, ReduceOp::Max, site.at);
    let e = (values - spread(most)).exp();
    let sum = fold_segments(&e, groups, cells, ReduceOp::Sum, site.at);
    e / spread(sum)
}
