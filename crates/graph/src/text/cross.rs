//! Combinations of features, one of each input.

use super::farmhash::{combined, fingerprint64};
use crate::error::Result;
use crate::ragged::RaggedTensor;
use crate::site::Site;
use crate::sparse::SparseTensor;
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::values::Values;

/// The seed of `tf.sparse.cross_hashed` and `tf.ragged.cross_hashed`.
pub const DEFAULT_HASH_KEY: u64 = 0xDE_CAFC_AFFE;

/// One feature.
#[derive(Clone)]
pub enum Feature {
    /// A string.
    Text(String),
    /// An integer.
    Number(i32),
}

impl Feature {
    fn text(&self) -> String {
        match self {
            Feature::Text(text) => text.clone(),
            Feature::Number(number) => number.to_string(),
        }
    }

    fn hash(&self) -> u64 {
        match self {
            Feature::Text(text) => fingerprint64(text.as_bytes()),
            Feature::Number(number) => *number as i64 as u64,
        }
    }
}

/// Values that are features.
trait FeatureValues: Values {
    fn features(&self, site: Site) -> Result<Vec<Feature>>;
}

impl FeatureValues for Tensor {
    fn features(&self, site: Site) -> Result<Vec<Feature>> {
        Ok(site.integers(self)?.into_iter().map(Feature::Number).collect())
    }
}

impl FeatureValues for StringTensor {
    fn features(&self, _: Site) -> Result<Vec<Feature>> {
        Ok(self.check()?.elements().iter().cloned().map(Feature::Text).collect())
    }
}

/// A tensor whose rows hold features: dense, sparse or ragged of rank 2, of strings or integers.
pub trait CrossInput {
    /// The features of every row.
    ///
    /// # Errors
    /// Where the rank is not 2, or values are neither strings nor integers.
    #[doc(hidden)]
    fn rows(&self, site: &'static str, at: crate::At) -> Result<Vec<Vec<Feature>>>;
}

fn expect_matrix(site: Site, rank: usize) -> Result<()> {
    site.expect(rank == 2, || format!("expected inputs of rank 2, [rows, features], received rank {rank}"))
}

fn dense_rows<V: FeatureValues>(values: &V, site: Site) -> Result<Vec<Vec<Feature>>> {
    expect_matrix(site, values.dims().len())?;
    let features = values.features(site)?;
    let (rows, width) = (values.dims()[0], values.dims()[1]);
    Ok((0..rows).map(|row| features[row * width..(row + 1) * width].to_vec()).collect())
}

fn sparse_rows<V: FeatureValues>(sparse: &SparseTensor<V>, site: Site) -> Result<Vec<Vec<Feature>>> {
    sparse.check()?;
    expect_matrix(site, sparse.rank())?;
    let mut rows = vec![vec![]; sparse.shape()[0]];
    let places = sparse.indices().chunks_exact(2);
    for (place, feature) in places.zip(sparse.values().features(site)?) {
        rows[place[0] as usize].push(feature);
    }
    Ok(rows)
}

fn ragged_rows<V: FeatureValues>(ragged: &RaggedTensor<V>, site: Site) -> Result<Vec<Vec<Feature>>> {
    ragged.check()?;
    expect_matrix(site, ragged.rank())?;
    let features = ragged.flat_values().features(site)?;
    let row = |pair: &[i32]| features[pair[0] as usize..pair[1] as usize].to_vec();
    Ok(ragged.row_splits().windows(2).map(row).collect())
}

macro_rules! input {
    ($($type:ty => $rows:ident;)*) => { $(
        impl CrossInput for $type {
            fn rows(&self, op: &'static str, at: crate::At) -> Result<Vec<Vec<Feature>>> {
                $rows(self, Site { op, at })
            }
        }
    )* };
}

input! {
    Tensor => dense_rows;
    StringTensor => dense_rows;
    SparseTensor<Tensor> => sparse_rows;
    SparseTensor<StringTensor> => sparse_rows;
    RaggedTensor<Tensor> => ragged_rows;
    RaggedTensor<StringTensor> => ragged_rows;
}

/// The features of all inputs, row by row.
pub(crate) struct Features(Vec<Vec<Vec<Feature>>>);

impl Features {
    /// Checks that the inputs have equally many rows.
    pub(crate) fn of(site: Site, inputs: &[&dyn CrossInput]) -> Result<Features> {
        let rows = inputs.iter().map(|input| input.rows(site.op, site.at)).collect::<Result<Vec<_>>>()?;
        let counts: Vec<usize> = rows.iter().map(Vec::len).collect();
        let same = counts.first().is_some_and(|first| counts.iter().all(|count| count == first));
        site.expect(same, || {
            format!("expected at least one input, and equally many rows in each, received {counts:?}")
        })?;
        Ok(Features(rows))
    }

    /// What becomes of each combination of a row, the last input's features changing fastest.
    fn crossed<T>(&self, site: Site, join: impl Fn(&[&Feature]) -> T) -> Result<Vec<Vec<T>>> {
        let row = |row: usize| -> Result<Vec<T>> {
            let sizes: Vec<usize> = self.0.iter().map(|input| input[row].len()).collect();
            let count = site.count(&sizes)?;
            site.index(count)?;
            let combination = |mut i: usize| {
                let mut chosen: Vec<&Feature> = vec![];
                for (input, size) in self.0.iter().zip(&sizes).rev() {
                    chosen.push(&input[row][i % size]);
                    i /= size;
                }
                chosen.reverse();
                join(&chosen)
            };
            Ok((0..count).map(combination).collect())
        };
        (0..self.0[0].len()).map(row).collect()
    }
}

/// Combinations as strings, row by row.
pub(crate) fn crossed_strings(site: Site, features: &Features, separator: &str) -> Result<Vec<Vec<String>>> {
    features.crossed(site, |chosen| {
        chosen.iter().map(|feature| feature.text()).collect::<Vec<_>>().join(separator)
    })
}

/// Combinations as hashes in `0..num_buckets`, row by row.
pub(crate) fn crossed_hashes(
    site: Site,
    features: &Features,
    num_buckets: usize,
    hash_key: u64,
) -> Result<Vec<Vec<i32>>> {
    site.expect(num_buckets > 0, || {
        "expected at least one bucket, received 0: hashes of 63 bits do not fit `int32`".to_owned()
    })?;
    site.index(num_buckets)?;
    features.crossed(site, |chosen| {
        let hash = chosen.iter().fold(hash_key, |hash, feature| combined(hash, feature.hash()));
        (hash % num_buckets as u64) as i32
    })
}
