//! Crosses of the features of several tensors.

use super::{Coordinates, SparseStrings, SparseTensor};
use crate::error::Result;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::{CrossInput, Features, StringTensor, crossed_hashes, crossed_strings};

/// Every way of taking one feature of each input, row by row, joined by `separator`: a sparse `[rows, most in a row]`.
///
/// Features are strings or integers. Of a sparse or ragged input of rank 2, a row's features are its entries in their
/// order; of a dense one, its columns. Inputs keep their order (TensorFlow moves sparse ones before dense ones).
///
/// ```
/// use kiln_graph::{StringTensor, Tensor, sparse};
/// let color = StringTensor::from_vec(["red", "blue"], &[2, 1]);
/// let size = Tensor::from_vec([1, 2, 3, 4], &[2, 2]);
/// let crossed = sparse::cross(&[&color, &size], "_X_");
/// assert_eq!(crossed.values().to_vec()?, ["red_X_1", "red_X_2", "blue_X_3", "blue_X_4"]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn cross(inputs: &[&dyn CrossInput], separator: &str) -> SparseStrings {
    let site = Site::new("sparse.cross");
    site.settle(|| {
        let rows = crossed_strings(site, &Features::of(site, inputs)?, separator)?;
        let (places, values) = ranked(site, rows)?;
        let count = values.len();
        SparseTensor::with_places(site, places.into(), StringTensor::made(values, vec![count]))
    })
}

/// As [`cross`], each combination as a hash in `0..num_buckets` (at least 1). `hash_key` seeds the hash;
/// [`DEFAULT_HASH_KEY`](crate::text::DEFAULT_HASH_KEY) is that of `tf.sparse.cross_hashed`.
#[track_caller]
pub fn cross_hashed(inputs: &[&dyn CrossInput], num_buckets: usize, hash_key: u64) -> SparseTensor {
    let site = Site::new("sparse.cross_hashed");
    site.settle(|| {
        let rows = crossed_hashes(site, &Features::of(site, inputs)?, num_buckets, hash_key)?;
        let (places, values) = ranked(site, rows)?;
        SparseTensor::with_places(site, places.into(), Tensor::from_slice(&values))
    })
}

/// The places of items that stand in rows from the left, and the items.
fn ranked<T>(site: Site, rows: Vec<Vec<T>>) -> Result<(Coordinates, Vec<T>)> {
    let widest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut flat = vec![];
    for (row, items) in rows.iter().enumerate() {
        (0..items.len()).for_each(|column| flat.extend([row as i32, column as i32]));
    }
    let places = Coordinates::checked(site, flat, vec![rows.len(), widest])?;
    Ok((places, rows.into_iter().flatten().collect()))
}
