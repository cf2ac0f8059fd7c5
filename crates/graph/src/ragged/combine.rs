//! Ragged tensors together, and axes added or merged.

use super::{Nest, Partition, RaggedOrDense, RaggedTensor, partition};
use crate::error::Result;
use crate::shape::resolve_axis;
use crate::site::Site;
use crate::values::Values;

fn nests<V: Values>(site: Site, tensors: Vec<RaggedOrDense<V>>) -> Result<(Vec<Nest<V>>, usize)> {
    let nests = tensors.iter().map(|tensor| tensor.nest(site)).collect::<Result<Vec<_>>>()?;
    let Some(first) = nests.first() else {
        return Err(site.error("expected at least one tensor, received none"));
    };
    let rank = first.rank();
    site.expect(nests.iter().all(|nest| nest.rank() == rank), || {
        let ranks: Vec<usize> = nests.iter().map(Nest::rank).collect();
        format!("expected tensors of one rank, received ranks {ranks:?}")
    })?;
    Ok((nests, rank))
}

/// Tensors, ragged or dense, behind one another along an axis. Outside of it rows must agree in number, and further out
/// than that in their lengths.
///
/// ```
/// use kiln_graph::ragged;
/// let a = ragged::constant(&[vec![1, 2], vec![3]]);
/// let b = ragged::constant(&[vec![4], vec![5, 6]]);
/// let joined = ragged::concat([a, b], 1).ragged();
/// assert_eq!(joined.to_rows::<i32>()?, [vec![1, 2, 4], vec![3, 5, 6]]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn concat<V: Values>(
    tensors: impl IntoIterator<Item = impl Into<RaggedOrDense<V>>>,
    axis: i64,
) -> RaggedOrDense<V> {
    let site = Site::new("ragged.concat");
    site.settle(|| {
        let (nests, rank) = nests(site, tensors.into_iter().map(Into::into).collect())?;
        let axis = resolve_axis(axis, rank)
            .ok_or_else(|| site.error(format!("axis {axis} is out of range for rank {rank}")))?;
        Ok(RaggedOrDense::of(Nest::joined(&nests, axis, site)?))
    })
}

/// Tensors, ragged or dense, along a new axis. Their rows may differ in number and length: along axis 0 each becomes a
/// row.
///
/// ```
/// use kiln_graph::{Tensor, ragged};
/// let rows = ragged::stack([Tensor::from_slice(&[1, 2]), Tensor::from_slice(&[3])], 0);
/// assert_eq!(rows.to_rows::<i32>()?, [vec![1, 2], vec![3]]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn stack<V: Values>(
    tensors: impl IntoIterator<Item = impl Into<RaggedOrDense<V>>>,
    axis: i64,
) -> RaggedTensor<V> {
    let site = Site::new("ragged.stack");
    site.settle(|| {
        let (nests, rank) = nests(site, tensors.into_iter().map(Into::into).collect())?;
        let axis = resolve_axis(axis, rank + 1)
            .ok_or_else(|| site.error(format!("axis {axis} is out of range for rank {}", rank + 1)))?;
        if axis == 0 {
            let lengths = Partition::of_lengths(site, nests.iter().map(Nest::rows))?;
            // Items of dense tensors may differ in extent too.
            let uneven = nests.iter().any(|nest| nest.flat.dims()[1..] != nests[0].flat.dims()[1..]);
            let depth = if uneven { rank - 1 } else { 0 };
            let items: Vec<Nest<V>> =
                nests.iter().map(|nest| nest.with_partitions(depth, site)).collect::<Result<_>>()?;
            return RaggedTensor::of(site, Nest::joined_rows(&items, site)?.divided(lengths));
        }
        let ragged: Vec<Nest<V>> = nests
            .iter()
            .map(|nest| nest.with_partitions(1, site)?.expanded(axis, site))
            .collect::<Result<_>>()?;
        RaggedTensor::of(site, Nest::joined(&ragged, axis, site)?)
    })
}

/// The rows of a tensor by the partition each belongs to, in their order: row `p` of the result holds the rows `i` with
/// `partitions[i] == p`.
///
/// ```
/// use kiln_graph::{Tensor, ragged};
/// let grouped = ragged::stack_dynamic_partitions(Tensor::from_slice(&[10, 20, 30]), &[2, 0, 2], 3);
/// assert_eq!(grouped.to_rows::<i32>()?, [vec![20], vec![], vec![10, 30]]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn stack_dynamic_partitions<V: Values>(
    data: impl Into<RaggedOrDense<V>>,
    partitions: &[i32],
    num_partitions: usize,
) -> RaggedTensor<V> {
    let site = Site::new("ragged.stack_dynamic_partitions");
    site.settle(|| {
        let data = data.into().nest(site)?;
        site.index(num_partitions)?;
        let inside = partitions.iter().all(|p| *p >= 0 && (*p as usize) < num_partitions);
        site.expect(partitions.len() == data.rows() && inside, || {
            format!(
                "expected a partition in 0..{num_partitions} for each of {} rows, received {partitions:?}",
                data.rows()
            )
        })?;
        let mut order: Vec<i32> = (0..partitions.len() as i32).collect();
        order.sort_by_key(|row| partitions[*row as usize]);
        let splits = partition::splits_of_ids(partitions, num_partitions);
        let rows = Partition::of_splits(site, splits, partitions.len())?;
        RaggedTensor::of(site, data.pick(&order, site)?.divided(rows))
    })
}

impl<V: Values> RaggedTensor<V> {
    /// A new axis of extent 1; −1 puts it last.
    #[track_caller]
    pub fn expand_dims(&self, axis: i64) -> RaggedTensor<V> {
        let site = Site::new("ragged.expand_dims");
        site.settle(|| {
            self.check()?;
            let axis = resolve_axis(axis, self.rank() + 1).ok_or_else(|| self.no_axis(site, axis))?;
            RaggedTensor::of(site, self.nest().expanded(axis, site)?)
        })
    }

    /// The axes from `outer` to `inner` as one.
    ///
    /// ```
    /// use kiln_graph::ragged;
    /// let words = ragged::constant(&[vec![vec![1, 2], vec![3]], vec![vec![4]]]);
    /// assert_eq!(words.merge_dims(1, 2).ragged().to_rows::<i32>()?, [vec![1, 2, 3], vec![4]]);
    /// assert_eq!(words.merge_dims(0, 2).dense().to_vec::<i32>()?, [1, 2, 3, 4]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn merge_dims(&self, outer: i64, inner: i64) -> RaggedOrDense<V> {
        let site = Site::new("ragged.merge_dims");
        site.settle(|| {
            self.check()?;
            let axis = |axis| resolve_axis(axis, self.rank()).ok_or_else(|| self.no_axis(site, axis));
            let (first, last) = (axis(outer)?, axis(inner)?);
            site.expect(first <= last, || {
                format!("expected the outer axis before the inner one, received {outer} and {inner}")
            })?;
            let mut nest = self.nest().clone();
            let ragged = self.ragged_rank();
            if last > ragged {
                // Axes of the flat values first. Where the axis of the items takes part, every row gets longer.
                let dims = nest.flat.dims().to_vec();
                let (from, to) = (first.max(ragged) - ragged, last - ragged);
                let merged = site.count(&dims[from..=to])?;
                let shape = [&dims[..from], &[merged], &dims[to + 1..]].concat();
                nest.flat = nest.flat.reshaped(shape, site.at);
                if let Some(innermost) = nest.partitions.pop() {
                    let scale = if from == 0 { site.count(&dims[1..=to])? } else { 1 };
                    let lengths = innermost.lengths().into_iter().map(|length| length as usize * scale);
                    let uniform = innermost.uniform_length().map(|length| length * scale);
                    nest.partitions.push(Partition::of_lengths(site, lengths)?.promised(uniform).into());
                }
            }
            let end = last.min(ragged);
            if first == 0 {
                nest.partitions.drain(..end);
            } else if first < end {
                let mut splits = nest.partitions[first - 1].splits().to_vec();
                for partition in &nest.partitions[first..end] {
                    splits = splits.iter().map(|at| partition.splits()[*at as usize]).collect();
                }
                let lengths: Option<Vec<usize>> =
                    nest.partitions[first - 1..end].iter().map(|p| p.uniform_length()).collect();
                let items = splits.last().map_or(0, |end| *end as usize);
                let uniform = lengths.map(|lengths| lengths.iter().product());
                let merged = Partition::of_splits(site, splits, items)?.promised(uniform);
                nest.partitions.splice(first - 1..end, [merged.into()]);
            }
            Ok(RaggedOrDense::of(nest))
        })
    }
}
