//! Reductions over ragged and uniform axes.

use kiln_device::{DType, ReduceOp};

use super::{Nest, Partition, RaggedOrDense, RaggedTensor};
use crate::error::Result;
use crate::shape::Axes;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::fold_segments;

/// One axis folded away.
fn folded(nest: &Nest<Tensor>, axis: usize, op: ReduceOp, site: Site) -> Result<Nest<Tensor>> {
    let Some((partition, inner)) = nest.opened() else {
        let axes = Axes::from(axis as i64);
        return Ok(Nest::dense(site.part(nest.flat.reduce(op, &axes, site.op, site.at))?));
    };
    match axis {
        0 => {
            let places: Vec<i32> =
                (0..partition.rows()).flat_map(|row| 0..partition.length(row) as i32).collect();
            by_segment(&inner, &places, partition.longest(), op, site)
        }
        1 => by_segment(&inner, &partition.ids(), partition.rows(), op, site),
        _ => Ok(folded(&inner, axis - 1, op, site)?.divided(partition.clone())),
    }
}

/// Items folded into the segments that ids name. Rows that fall together are aligned at their starts.
fn by_segment(
    nest: &Nest<Tensor>,
    ids: &[i32],
    segments: usize,
    op: ReduceOp,
    site: Site,
) -> Result<Nest<Tensor>> {
    let Some((partition, inner)) = nest.opened() else {
        return Ok(Nest::dense(site.part(fold_segments(&nest.flat, ids, segments, op, site.at))?));
    };
    let mut lengths = vec![0; segments];
    for (row, id) in ids.iter().enumerate() {
        let length = &mut lengths[*id as usize];
        *length = partition.length(row).max(*length);
    }
    let rows = Partition::of_lengths(site, lengths)?.promised(partition.uniform_length());
    let items: Vec<i32> = ids
        .iter()
        .enumerate()
        .flat_map(|(row, id)| {
            let start = rows.splits()[*id as usize];
            start..start + partition.length(row) as i32
        })
        .collect();
    Ok(by_segment(&inner, &items, rows.items(), op, site)?.divided(rows))
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
        let rank = self.shape().len();
        let across = axes.resolve(rank).is_ok_and(|axes| axes.contains(&0) && axes.len() < rank);
        if across {
            // Rows of other lengths cannot meet their mean: the mean of squares less the square of the mean, of values
            // moved near 0 together.
            let moved = self.map_flat_values(|x| x.to_float() - x.to_float().mean(()));
            let mut variance = moved.map_flat_values(Tensor::square).mean_nest(site, axes, keepdims)?;
            let mean = moved.mean_nest(site, axes, keepdims)?;
            variance.flat = site.part((variance.flat - mean.flat.square()).maximum(0.0))?;
            return Ok(variance);
        }
        let mean = RaggedOrDense::of(self.mean_nest(site, axes, true)?);
        let distance = self.map_flat_values(Tensor::to_float).zip(site, &mean, |x, mean| x - mean);
        distance.map_flat_values(Tensor::square).mean_nest(site, axes, keepdims)
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
