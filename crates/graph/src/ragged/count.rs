//! Counts and crosses of the items of rows.

use super::{Nest, Partition, RaggedStrings, RaggedTensor};
use crate::site::Site;
use crate::sparse::{BincountOptions, Bins, SparseTensor, counted};
use crate::tensor::Tensor;
use crate::text::{CrossInput, Features, StringTensor, crossed_hashes, crossed_strings};

impl RaggedTensor {
    /// How often each value occurs; see [`sparse::bincount`](crate::sparse::bincount). `weights` is a vector, one for each
    /// flat value.
    #[track_caller]
    pub fn bincount(&self, weights: Option<&Tensor>, options: &BincountOptions) -> SparseTensor {
        let site = Site::new("ragged.bincount");
        site.settle(|| {
            self.check()?;
            site.expect(self.rank() == 2 || !options.by_row, || {
                format!("expected rank 2 to count by row, received shape {:?}", self.shape())
            })?;
            let values = site.integers(self.flat_values())?;
            let bins = Bins {
                rows: if options.by_row { self.value_rowids() } else { vec![0; values.len()] },
                values,
                row_count: options.by_row.then(|| self.nrows()),
                weights,
            };
            counted(site, &bins, options)
        })
    }
}

/// Every way of taking one feature of each input, row by row, joined by `_X_`; see
/// [`sparse::cross`](crate::sparse::cross).
///
/// ```
/// use kiln_graph::ragged;
/// let animals = ragged::constant(&[vec!["cat"], vec!["dog", "fox"]]);
/// let counts = ragged::constant(&[vec![1, 2], vec![3]]);
/// let crossed = ragged::cross(&[&animals, &counts]);
/// assert_eq!(crossed.to_string_rows()?, [vec!["cat_X_1", "cat_X_2"], vec!["dog_X_3", "fox_X_3"]]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn cross(inputs: &[&dyn CrossInput]) -> RaggedStrings {
    let site = Site::new("ragged.cross");
    site.settle(|| {
        let rows = crossed_strings(site, &Features::of(site, inputs)?, "_X_")?;
        let partition = Partition::of_lengths(site, rows.iter().map(Vec::len))?;
        let count = partition.items();
        let flat = StringTensor::made(rows.into_iter().flatten().collect(), vec![count]);
        RaggedTensor::of(site, Nest::dense(flat).divided(partition))
    })
}

/// As [`cross`], each combination as a hash in `0..num_buckets` (at least 1), seeded by `hash_key`; see
/// [`sparse::cross_hashed`](crate::sparse::cross_hashed).
#[track_caller]
pub fn cross_hashed(inputs: &[&dyn CrossInput], num_buckets: usize, hash_key: u64) -> RaggedTensor {
    let site = Site::new("ragged.cross_hashed");
    site.settle(|| {
        let rows = crossed_hashes(site, &Features::of(site, inputs)?, num_buckets, hash_key)?;
        let partition = Partition::of_lengths(site, rows.iter().map(Vec::len))?;
        let flat = Tensor::from_slice(&rows.concat());
        RaggedTensor::of(site, Nest::dense(flat).divided(partition))
    })
}
