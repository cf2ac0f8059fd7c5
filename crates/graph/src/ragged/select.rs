//! Rows and items chosen.

use std::ops::Range;

use super::{Nest, Partition, RaggedOrDense, RaggedTensor};
use crate::error::Result;
use crate::shape::resolve_axis;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::Values;

impl<V: Values> RaggedTensor<V> {
    /// One row, without the first axis; negative counts from the end.
    #[track_caller]
    pub fn row(&self, row: i64) -> RaggedOrDense<V> {
        let site = Site::new("ragged.row");
        site.settle(|| {
            self.check()?;
            let resolved = resolve_axis(row, self.nrows()).ok_or_else(|| {
                site.error(format!("expected a row within 0..{}, received {row}", self.nrows()))
            })?;
            let (partition, inner) = self.nest().opened().ok_or_else(|| site.error("expected rows"))?;
            let items: Vec<i32> = partition.row(resolved).collect();
            Ok(RaggedOrDense::of(inner.pick(&items, site)?))
        })
    }

    /// The rows `rows`.
    #[track_caller]
    pub fn slice_rows(&self, rows: Range<usize>) -> RaggedTensor<V> {
        let site = Site::new("ragged.slice_rows");
        site.settle(|| {
            self.check()?;
            site.expect(rows.start <= rows.end && rows.end <= self.nrows(), || {
                format!("expected rows within 0..{}, received {rows:?}", self.nrows())
            })?;
            let rows: Vec<i32> = rows.map(|row| row as i32).collect();
            RaggedTensor::of(site, self.nest().pick(&rows, site)?)
        })
    }

    /// Items `start..stop` of every row of an axis, as slices of Python: negative bounds count from each row's end, `None`
    /// is that end, and what is not there is left out.
    ///
    /// ```
    /// use kiln_graph::ragged;
    /// let rows = ragged::constant(&[vec![1, 2, 3], vec![4], vec![]]);
    /// assert_eq!(rows.slice_axis(1, Some(-2), None).to_rows::<i32>()?, [vec![2, 3], vec![4], vec![]]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn slice_axis(&self, axis: i64, start: Option<i64>, stop: Option<i64>) -> RaggedTensor<V> {
        let site = Site::new("ragged.slice_axis");
        site.settle(|| {
            self.check()?;
            let axis = resolve_axis(axis, self.rank()).ok_or_else(|| self.no_axis(site, axis))?;
            let choose = |length: usize| {
                let bound = |bound: i64| {
                    let bound = if bound < 0 { bound.saturating_add(length as i64) } else { bound };
                    bound.clamp(0, length as i64) as usize
                };
                let (start, stop) = (start.map_or(0, bound), stop.map_or(length, bound));
                start..stop.max(start)
            };
            let depth = axis.min(self.ragged_rank());
            let nest = if axis == 0 {
                let rows: Vec<i32> = choose(self.nrows()).map(|row| row as i32).collect();
                self.nest().pick(&rows, site)?
            } else if axis <= self.ragged_rank() {
                chosen_in(self.nest(), depth - 1, site, &choose)?
            } else {
                // A uniform inner axis: as if it were the innermost partition, then dense again.
                let dims = self.flat_values().dims();
                let inner = axis - self.ragged_rank();
                let range = choose(dims[inner]);
                let items: usize = dims[..inner].iter().product();
                let picked: Vec<i32> = (0..items)
                    .flat_map(|item| range.clone().map(move |i| (item, i)))
                    .map(|(item, i)| site.index(item * dims[inner] + i))
                    .collect::<Result<_>>()?;
                let rows = site.count(&dims[..=inner])?;
                let flat = self.flat_values().reshaped([&[rows], &dims[inner + 1..]].concat(), site.at);
                let shape = [&dims[..inner], &[range.len()], &dims[inner + 1..]].concat();
                let flat = flat.pick(&picked, site.at).reshaped(shape, site.at);
                Nest { partitions: self.nest().partitions.clone(), flat }
            };
            RaggedTensor::of(site, nest)
        })
    }

    /// The rows that indices name, in their order; they may repeat.
    #[track_caller]
    pub fn gather(&self, rows: &[i32]) -> RaggedTensor<V> {
        let site = Site::new("ragged.gather");
        site.settle(|| {
            self.check()?;
            self.in_range(site, rows)?;
            RaggedTensor::of(site, self.nest().pick(rows, site)?)
        })
    }

    /// The rows that a ragged tensor of indices names, under its partitions. The indices are read at once.
    #[track_caller]
    pub fn gather_ragged(&self, rows: &RaggedTensor) -> RaggedTensor<V> {
        let site = Site::new("ragged.gather_ragged");
        site.settle(|| {
            self.check()?;
            rows.check()?;
            site.expect(rows.flat_values().rank() == 1, || {
                format!("expected indices without uniform inner axes, received shape {:?}", rows.shape())
            })?;
            let indices = site.integers(rows.flat_values())?;
            self.in_range(site, &indices)?;
            let mut picked = self.nest().pick(&indices, site)?;
            for partition in rows.nest().partitions.iter().rev() {
                picked = picked.divided(partition.clone());
            }
            RaggedTensor::of(site, picked)
        })
    }

    fn in_range(&self, site: Site, rows: &[i32]) -> Result<()> {
        match rows.iter().find(|row| **row < 0 || **row as usize >= self.nrows()) {
            None => Ok(()),
            Some(row) => Err(site.error(format!("expected rows within 0..{}, received {row}", self.nrows()))),
        }
    }

    /// The items for which a mask is true: whole rows where the mask is a vector, else items of the mask's last axis, in
    /// the rows they stand in. The mask's other axes have the tensor's rows. The mask is read at once.
    ///
    /// ```
    /// use kiln_graph::{RaggedOrDense, ragged};
    /// let rows = ragged::constant(&[vec![1, 2, 3], vec![4]]);
    /// let odd = ragged::constant(&[vec![true, false, true], vec![false]]);
    /// assert_eq!(rows.boolean_mask(odd).to_rows::<i32>()?, [vec![1, 3], vec![]]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn boolean_mask(&self, mask: impl Into<RaggedOrDense>) -> RaggedTensor<V> {
        let site = Site::new("ragged.boolean_mask");
        site.settle(|| {
            self.check()?;
            let mask = mask.into().nest(site)?;
            RaggedTensor::of(site, masked(site, self.nest(), &mask)?)
        })
    }
}

impl RaggedTensor<Tensor> {
    /// As [`RaggedTensor::boolean_mask`], of a dense tensor: a mask of rank 2 or more yields a ragged tensor.
    #[track_caller]
    pub fn masked_tensor(tensor: &Tensor, mask: impl Into<RaggedOrDense>) -> RaggedTensor {
        let site = Site::new("ragged.masked_tensor");
        site.settle(|| {
            let data = RaggedOrDense::from(tensor).nest(site)?;
            let mask = mask.into().nest(site)?;
            site.expect(mask.rank() >= 2, || "expected a mask of rank 2 or more".to_owned())?;
            RaggedTensor::of(site, masked(site, &data, &mask)?)
        })
    }
}

/// Items for which a mask is true, in the rows of its last axis.
fn masked<V: Values>(site: Site, data: &Nest<V>, mask: &Nest<Tensor>) -> Result<Nest<V>> {
    let depth = mask.rank() - 1;
    let mask = mask.with_partitions(depth, site)?;
    let data = data.with_partitions(depth, site)?;
    let keep = site.flags(&mask.flat)?;
    let same = mask.partitions.iter().zip(&data.partitions).all(|(a, b)| a.splits() == b.splits());
    let mut items = Nest { partitions: data.partitions[depth..].to_vec(), flat: data.flat.clone() };
    site.expect(same && items.rows() == keep.len(), || {
        let count = items.rows();
        format!(
            "expected a mask with the rows of the data, which has {count} items there, received {}",
            keep.len()
        )
    })?;
    let kept: Vec<i32> = (0..keep.len() as i32).filter(|i| keep[*i as usize]).collect();
    items = items.pick(&kept, site)?;
    for (level, partition) in data.partitions[..depth].iter().enumerate().rev() {
        let counted = |row: usize| partition.row(row).filter(|i| keep[*i as usize]).count();
        let partition = if level + 1 == depth {
            Partition::of_lengths(site, (0..partition.rows()).map(counted))?.into()
        } else {
            partition.clone()
        };
        items = items.divided(partition);
    }
    Ok(items)
}

/// A range of the items of every row of the partition at `level`.
fn chosen_in<V: Values>(
    nest: &Nest<V>,
    level: usize,
    site: Site,
    choose: &impl Fn(usize) -> Range<usize>,
) -> Result<Nest<V>> {
    let (partition, inner) = nest.opened().ok_or_else(|| site.error("expected rows"))?;
    if level > 0 {
        return Ok(chosen_in(&inner, level - 1, site, choose)?.divided(partition.clone()));
    }
    let rows: Vec<Range<usize>> = (0..partition.rows()).map(|row| choose(partition.length(row))).collect();
    let items: Vec<i32> = partition
        .splits()
        .iter()
        .zip(&rows)
        .flat_map(|(start, range)| start + range.start as i32..start + range.end as i32)
        .collect();
    let uniform = partition.uniform_length().map(|length| choose(length).len());
    let lengths = Partition::of_lengths(site, rows.iter().map(Range::len))?.promised(uniform);
    Ok(inner.pick(&items, site)?.divided(lengths))
}
