//! Reductions over ragged and uniform axes.

use std::sync::Arc;

use kiln_device::{DType, ReduceOp};

use super::{Nest, Partition, RaggedOrDense, RaggedTensor};
use crate::error::Result;
use crate::shape::Axes;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::{Items, fold_segments};

/// Where the items of a nest go when one of its ragged axes is folded away: cells under partitions of their own.
struct Fold {
    partitions: Vec<Arc<Partition>>,
    /// The cell of every item.
    cells: Vec<i32>,
    count: usize,
}

impl Fold {
    /// The fold along an axis of partitions, of which there is at least one.
    fn along(partitions: &[Arc<Partition>], axis: usize, site: Site) -> Result<Fold> {
        let Some((outer, inner)) = partitions.split_first() else {
            return Err(site.error("expected rows"));
        };
        match axis {
            0 => {
                let places = (0..outer.rows()).flat_map(|row| 0..outer.length(row) as i32).collect();
                Fold::by_segment(inner, places, outer.longest(), site)
            }
            1 => Fold::by_segment(inner, outer.ids(), outer.rows(), site),
            _ => {
                let mut fold = Fold::along(inner, axis - 1, site)?;
                fold.partitions.insert(0, outer.clone());
                Ok(fold)
            }
        }
    }

    /// Items into the segments that ids name. Rows that fall together are aligned at their starts.
    fn by_segment(partitions: &[Arc<Partition>], ids: Vec<i32>, segments: usize, site: Site) -> Result<Fold> {
        let Some((outer, inner)) = partitions.split_first() else {
            return Ok(Fold { partitions: vec![], cells: ids, count: segments });
        };
        let mut lengths = vec![0; segments];
        for (row, id) in ids.iter().enumerate() {
            let length = &mut lengths[*id as usize];
            *length = outer.length(row).max(*length);
        }
        let rows = Partition::of_lengths(site, lengths)?.promised(outer.uniform_length());
        let items = |(row, id): (usize, &i32)| {
            let start = rows.splits()[*id as usize];
            start..start + outer.length(row) as i32
        };
        let items = ids.iter().enumerate().flat_map(items).collect();
        let mut fold = Fold::by_segment(inner, items, rows.items(), site)?;
        fold.partitions.insert(0, rows.into());
        Ok(fold)
    }
}

/// One axis folded away.
fn folded(nest: &Nest<Tensor>, axis: usize, op: ReduceOp, site: Site) -> Result<Nest<Tensor>> {
    let ragged = nest.partitions.len();
    if ragged == 0 || axis > ragged {
        let axes = Axes::from((axis - ragged) as i64);
        let flat = site.part(nest.flat.reduce(op, &axes, site.op, site.at))?;
        return Ok(Nest { partitions: nest.partitions.clone(), flat });
    }
    let Fold { partitions, cells, count } = Fold::along(&nest.partitions, axis, site)?;
    Ok(Nest { partitions, flat: site.part(fold_segments(&nest.flat, &cells, count, op, site.at))? })
}

impl RaggedTensor {
    /// Some axes folded away, the innermost first.
    fn fold(&self, site: Site, axes: &Axes, keepdims: bool, op: ReduceOp) -> Result<Nest<Tensor>> {
        self.check()?;
        let axes = axes.resolve(self.rank()).map_err(|message| site.error(message))?;
        let mut nest = self.nest().clone();
        if axes.len() == self.rank() {
            nest = Nest::dense(site.part(nest.flat.reduce(op, &Axes::All, site.op, site.at))?);
        } else {
            for axis in axes.iter().rev() {
                nest = folded(&nest, *axis, op, site)?;
            }
        }
        if keepdims {
            for axis in &axes {
                nest = nest.expanded(*axis, site)?;
            }
        }
        Ok(nest)
    }

    fn reduced(&self, site: Site, axes: impl Into<Axes>, keepdims: bool, op: ReduceOp) -> RaggedOrDense {
        let axes = axes.into();
        site.settle(|| Ok(RaggedOrDense::of(self.fold(site, &axes, keepdims, op)?)))
    }

    /// Booleans as `int32`.
    fn as_numbers(&self) -> RaggedTensor {
        match self.dtype() {
            DType::Bool if self.error().is_none() => self.map_flat_values(|v| v.cast(DType::I32)),
            _ => self.clone(),
        }
    }

    /// Sum over some axes, `()` for all. Over a ragged axis, each row's own items; over an axis outside of one, items at
    /// the same places of their rows. Booleans count as `int32`.
    #[track_caller]
    pub fn reduce_sum(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        self.as_numbers().reduced(Site::new("ragged.reduce_sum"), axes, keepdims, ReduceOp::Sum)
    }

    /// Product over some axes; see [`RaggedTensor::reduce_sum`].
    #[track_caller]
    pub fn reduce_prod(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        self.as_numbers().reduced(Site::new("ragged.reduce_prod"), axes, keepdims, ReduceOp::Prod)
    }

    /// Largest item over some axes; see [`RaggedTensor::reduce_sum`]. That of an empty row is −∞, or the least integer.
    #[track_caller]
    pub fn reduce_max(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        self.reduced(Site::new("ragged.reduce_max"), axes, keepdims, ReduceOp::Max)
    }

    /// Smallest item over some axes; see [`RaggedTensor::reduce_sum`]. That of an empty row is ∞, or the largest integer.
    #[track_caller]
    pub fn reduce_min(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        self.reduced(Site::new("ragged.reduce_min"), axes, keepdims, ReduceOp::Min)
    }

    /// Mean over some axes; see [`RaggedTensor::reduce_sum`]. Integers become `float32`; the mean of no items is NaN.
    #[track_caller]
    pub fn reduce_mean(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        let (site, axes) = (Site::new("ragged.reduce_mean"), axes.into());
        site.settle(|| Ok(RaggedOrDense::of(self.mean_nest(site, &axes, keepdims)?)))
    }

    fn mean_nest(&self, site: Site, axes: &Axes, keepdims: bool) -> Result<Nest<Tensor>> {
        self.check()?;
        let values = self.map_flat_values(Tensor::to_float);
        let mut sum = values.fold(site, axes, keepdims, ReduceOp::Sum)?;
        let ones = values.map_flat_values(Tensor::ones_like);
        let count = ones.fold(site, axes, keepdims, ReduceOp::Sum)?;
        sum.flat = site.part(&sum.flat / &count.flat)?;
        Ok(sum)
    }

    /// Mean squared distance from the mean over some axes (divided by the count); see [`RaggedTensor::reduce_sum`].
    #[track_caller]
    pub fn reduce_variance(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        let (site, axes) = (Site::new("ragged.reduce_variance"), axes.into());
        site.settle(|| Ok(RaggedOrDense::of(self.variance_nest(site, &axes, keepdims)?)))
    }

    /// Square root of the variance over some axes; see [`RaggedTensor::reduce_variance`].
    #[track_caller]
    pub fn reduce_std(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        let (site, axes) = (Site::new("ragged.reduce_std"), axes.into());
        site.settle(|| {
            let mut variance = self.variance_nest(site, &axes, keepdims)?;
            variance.flat = site.part(variance.flat.sqrt())?;
            Ok(RaggedOrDense::of(variance))
        })
    }

    fn variance_nest(&self, site: Site, axes: &Axes, keepdims: bool) -> Result<Nest<Tensor>> {
        self.check()?;
        let values = self.map_flat_values(Tensor::to_float);
        let mean = values.mean_of_items(site, axes)?;
        let distance = values.map_flat_values(|x| x - &mean);
        distance.map_flat_values(Tensor::square).mean_nest(site, axes, keepdims)
    }

    /// The mean over some axes, once more for every item that takes part in it; it broadcasts to the flat values.
    fn mean_of_items(&self, site: Site, axes: &Axes) -> Result<Tensor> {
        let axes = axes.resolve(self.rank()).map_err(|message| site.error(message))?;
        let (flat, ragged) = (self.flat_values(), self.ragged_rank());
        // The cell of every item, through one fold after the other.
        let mut cells: Vec<i32> = (0..flat.shape()[0] as i32).collect();
        let (mut partitions, mut count) = (self.nest().partitions.clone(), cells.len());
        for axis in axes.iter().rev().filter(|axis| **axis <= ragged) {
            let fold = match partitions.is_empty() {
                true => Fold { partitions: vec![], cells: vec![0; count], count: 1 },
                false => Fold::along(&partitions, *axis, site)?,
            };
            cells.iter_mut().for_each(|cell| *cell = fold.cells[*cell as usize]);
            (partitions, count) = (fold.partitions, fold.count);
        }
        let inner: Vec<i64> =
            axes.iter().filter(|axis| **axis > ragged).map(|axis| (axis - ragged) as i64).collect();
        let mut sums = flat.clone();
        if !inner.is_empty() {
            sums = flat.sum(&inner[..]).keep_dims(flat, &inner[..]);
        }
        let mut sizes = vec![0.0f64; count];
        cells.iter().for_each(|cell| sizes[*cell as usize] += 1.0);
        let width: usize = inner.iter().map(|axis| flat.shape()[*axis as usize]).product();
        let scales: Vec<f64> = sizes.iter().map(|size| 1.0 / (size * width as f64)).collect();
        let scales = Tensor::table(&scales, &[count], flat.dtype()).as_column(flat.rank(), site.at);
        let means = fold_segments(&sums, &cells, count, ReduceOp::Sum, site.at) * scales;
        Ok(site.part(means)?.pick(&cells, site.at))
    }

    /// True where any item over some axes is not 0; see [`RaggedTensor::reduce_sum`].
    #[track_caller]
    pub fn reduce_any(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        let site = Site::new("ragged.reduce_any");
        self.truth(site, axes.into(), keepdims, ReduceOp::Sum)
    }

    /// True where all items over some axes are not 0; see [`RaggedTensor::reduce_sum`].
    #[track_caller]
    pub fn reduce_all(&self, axes: impl Into<Axes>, keepdims: bool) -> RaggedOrDense {
        let site = Site::new("ragged.reduce_all");
        self.truth(site, axes.into(), keepdims, ReduceOp::Min)
    }

    fn truth(&self, site: Site, axes: Axes, keepdims: bool, op: ReduceOp) -> RaggedOrDense {
        site.settle(|| {
            self.check()?;
            let flags = self.map_flat_values(|v| v.cast(DType::Bool).cast(DType::I32));
            let mut nest = flags.fold(site, &axes, keepdims, op)?;
            nest.flat = nest.flat.cast(DType::Bool);
            Ok(RaggedOrDense::of(nest))
        })
    }

    /// `exp(x) / Σ exp(x)` along an axis.
    #[track_caller]
    pub fn softmax(&self, axis: i64) -> RaggedTensor {
        let site = Site::new("ragged.softmax");
        site.settle(|| {
            self.check()?;
            let values = self.map_flat_values(Tensor::to_float);
            let fixed = values.map_flat_values(Tensor::stop_gradient);
            let axes = Axes::from(axis);
            let most = RaggedOrDense::of(fixed.fold(site, &axes, true, ReduceOp::Max)?);
            let e = values.zip(site, &most, |x, most| (x - most).exp());
            let sum = RaggedOrDense::of(e.fold(site, &axes, true, ReduceOp::Sum)?);
            let made = e.zip(site, &sum, |e, sum| e / sum);
            made.check().cloned()
        })
    }
}
