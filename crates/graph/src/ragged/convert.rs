//! From and to dense and sparse tensors.

use super::{Nest, Partition, RaggedTensor};
use crate::error::Result;
use crate::site::Site;
use crate::sparse::{Coordinates, SparseTensor};
use crate::values::Values;

impl<V: Values> RaggedTensor<V> {
    /// The rows of a dense tensor as those of a ragged one with `ragged_rank` ragged axes, at full length.
    #[track_caller]
    pub fn from_tensor(tensor: V, ragged_rank: usize) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_tensor");
        site.settle(|| RaggedTensor::of(site, rows_of(site, tensor, ragged_rank)?))
    }

    /// The first `lengths[i]` items of row `i` of a dense tensor.
    #[track_caller]
    pub fn from_tensor_with_lengths(tensor: V, lengths: &[i32]) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_tensor_with_lengths");
        site.settle(|| {
            let nest = rows_of(site, tensor, 1)?;
            let extent = nest.partitions[0].longest();
            let fits = lengths.iter().all(|length| *length >= 0 && *length as usize <= extent);
            site.expect(lengths.len() == nest.rows() && fits, || {
                format!("expected {} row lengths of at most {extent}, received {lengths:?}", nest.rows())
            })?;
            trimmed(site, nest, lengths)
        })
    }

    /// The rows of a dense tensor without the items at their ends that equal `padding`, which is a scalar or an item. The
    /// tensor is read at once to find them.
    #[track_caller]
    pub fn from_padded_tensor(tensor: V, padding: impl Into<V>, ragged_rank: usize) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_padded_tensor");
        site.settle(|| {
            let nest = rows_of(site, tensor, ragged_rank)?;
            let padded = nest.flat.equal_to(&padding.into(), site.op, site.at)?;
            let innermost = &nest.partitions[ragged_rank - 1];
            let kept = |row: usize| {
                let range = innermost.row(row);
                let items = &padded[range.start as usize..range.end as usize];
                items.iter().rposition(|is_padding| !is_padding).map_or(0, |last| last as i32 + 1)
            };
            let lengths: Vec<i32> = (0..innermost.rows()).map(kept).collect();
            trimmed(site, nest, &lengths)
        })
    }

    /// The dense tensor, with `default` (a scalar or an item) where rows are shorter than the longest. With a `shape`, whose
    /// `None` entries stand for the bounding extents, ragged axes are padded or cut to it.
    #[track_caller]
    pub fn to_tensor(&self, default: impl Into<V>, shape: Option<&[Option<usize>]>) -> V {
        let site = Site::new("ragged.to_tensor");
        let made: Result<V> = (|| {
            self.check()?;
            let bounds = self.bounding_shape();
            let target = self.target(site, &bounds, shape)?;
            let ragged = self.ragged_rank() + 1;
            let cells = site.count(&target[..ragged])?;
            site.index(cells)?;
            site.count(&target)?;
            let (mut kept, mut positions) = (vec![], vec![]);
            for (item, position) in self.positions(&target).into_iter().enumerate() {
                if let Some(position) = position {
                    kept.push(item as i32);
                    positions.push(position as i32);
                }
            }
            let default = default.into();
            if let Some(error) = default.fault() {
                return Err(error.clone());
            }
            let values = self.flat_values().pick(&kept, site.at);
            let placed = values.placed(cells, &positions, &default, site.op, site.at)?;
            Ok(placed.reshaped(target, site.at))
        })();
        made.unwrap_or_else(|error| V::failed_with(error, site.at))
    }

    fn target(&self, site: Site, bounds: &[usize], shape: Option<&[Option<usize>]>) -> Result<Vec<usize>> {
        let Some(shape) = shape else {
            return Ok(bounds.to_vec());
        };
        let inner = self.ragged_rank() + 1;
        let target: Vec<usize> = shape.iter().zip(bounds).map(|(s, bound)| s.unwrap_or(*bound)).collect();
        let fits = shape.len() == bounds.len() && target[inner..] == bounds[inner..];
        site.expect(fits, || {
            format!(
                "expected a shape of rank {} with the inner axes of {bounds:?}, received {shape:?}",
                bounds.len()
            )
        })?;
        Ok(target)
    }

    /// The row-major position of every flat item in a dense shape, `None` where that cuts it off.
    fn positions(&self, target: &[usize]) -> Vec<Option<usize>> {
        let mut positions: Vec<Option<usize>> =
            (0..self.nrows()).map(|row| Some(row).filter(|row| *row < target[0])).collect();
        for (partition, extent) in self.nest().partitions.iter().zip(&target[1..]) {
            let items = |(row, start): (usize, &Option<usize>)| {
                let start = *start;
                (0..partition.length(row))
                    .map(move |item| start.filter(|_| item < *extent).map(|start| start * extent + item))
            };
            positions = positions.iter().enumerate().flat_map(items).collect();
        }
        positions
    }

    /// The rows of a sparse matrix: every row's entries must stand at its first columns, in order.
    #[track_caller]
    pub fn from_sparse(sparse: &SparseTensor<V>) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_sparse");
        site.settle(|| {
            sparse.check()?;
            let &[rows, _] = sparse.dense_shape() else {
                return Err(site.error(format!("expected a matrix, received shape {:?}", sparse.dense_shape())));
            };
            let mut lengths = vec![0usize; rows];
            let mut last = 0;
            for place in sparse.indices().chunks_exact(2) {
                let (row, column) = (place[0] as usize, place[1] as usize);
                site.expect(row >= last && column == lengths[row], || {
                    format!(
                        "expected the entries of every row at its first columns, in row-major order, received {place:?} \
                         where column {} was next; call reorder() first if only the order differs",
                        lengths[row]
                    )
                })?;
                lengths[row] += 1;
                last = row;
            }
            let partition = Partition::of_lengths(site, lengths)?;
            RaggedTensor::of(site, Nest::dense(sparse.values().clone()).divided(partition))
        })
    }

    /// The sparse tensor of the bounding shape, with an entry for every value.
    #[track_caller]
    pub fn to_sparse(&self) -> SparseTensor<V> {
        let site = Site::new("ragged.to_sparse");
        site.settle(|| {
            self.check()?;
            let bounds = self.bounding_shape();
            bounds.iter().try_for_each(|extent| site.index(*extent).map(drop))?;
            let mut places: Vec<Vec<i32>> = (0..self.nrows() as i32).map(|row| vec![row]).collect();
            for partition in &self.nest().partitions {
                let items = |(row, place): (usize, &Vec<i32>)| -> Vec<Vec<i32>> {
                    (0..partition.length(row) as i32).map(|item| [&place[..], &[item]].concat()).collect()
                };
                places = places.iter().enumerate().flat_map(items).collect();
            }
            for extent in &self.flat_values().dims()[1..] {
                let items = |place: &Vec<i32>| {
                    (0..*extent as i32).map(|item| [&place[..], &[item]].concat()).collect()
                };
                places = places.iter().flat_map::<Vec<Vec<i32>>, _>(items).collect();
            }
            let count = places.len();
            let values = self.flat_values().reshaped(vec![count], site.at);
            SparseTensor::with_places(site, Coordinates::good(places.concat(), bounds).into(), values)
        })
    }
}

/// A dense tensor's rows, with `ragged_rank` partitions.
fn rows_of<V: Values>(site: Site, tensor: V, ragged_rank: usize) -> Result<Nest<V>> {
    if let Some(error) = tensor.fault() {
        return Err(error.clone());
    }
    let rank = tensor.dims().len();
    site.expect(ragged_rank >= 1 && rank > ragged_rank, || {
        format!("expected a ragged rank of 1 or more, and a tensor of higher rank, received {ragged_rank} and {rank}")
    })?;
    Nest::dense(tensor).with_partitions(ragged_rank, site)
}

/// The first items of every innermost row. What shortens rows ends the promise of their length.
fn trimmed<V: Values>(site: Site, mut nest: Nest<V>, lengths: &[i32]) -> Result<RaggedTensor<V>> {
    let innermost = nest.partitions.pop().ok_or_else(|| site.error("expected rows"))?;
    let items: Vec<i32> =
        innermost.splits().iter().zip(lengths).flat_map(|(start, length)| *start..*start + *length).collect();
    let partition = Partition::of_lengths(site, lengths.iter().map(|length| *length as usize))?;
    nest.partitions.push(partition.into());
    nest.flat = nest.flat.pick(&items, site.at);
    RaggedTensor::of(site, nest)
}
