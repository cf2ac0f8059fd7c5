//! Tables from words to their numbers, with buckets for words that are not known.

use kiln_device::DType;

use super::fixed::{Initializer, StaticHashTable};
use super::keys::Keys;
use crate::error::Result;
use crate::ragged::RaggedTensor;
use crate::site::Site;
use crate::sparse::SparseTensor;
use crate::tensor::Tensor;
use crate::text::StringTensor;

/// A table from keys to their numbers (`int32`), where every key that is not known gets one of a few numbers past them, by
/// its hash ([`crate::text::fingerprint64`] of the string or of the number's digits).
///
/// ```
/// use kiln_graph::lookup::{KeyValueTensorInitializer, StaticVocabularyTable};
/// use kiln_graph::{StringTensor, Tensor};
/// let words = StringTensor::from_slice(&["a", "b"]);
/// let init = KeyValueTensorInitializer::new(words, Tensor::range(2));
/// let table = StaticVocabularyTable::new(init, 3)?;
/// let words = StringTensor::from_slice(&["a", "b", "c", "dd", ""]);
/// assert_eq!(table.lookup(&words).to_vec::<i32>()?, [0, 1, 3, 3, 4]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[derive(Clone)]
pub struct StaticVocabularyTable<K = StringTensor> {
    known: StaticHashTable<K, Tensor>,
    buckets: usize,
}

impl<K: Keys> StaticVocabularyTable<K> {
    /// A table of an initializer's entries and `num_oov_buckets` numbers for other keys.
    ///
    /// # Errors
    /// As [`StaticHashTable::new`]; where the numbers are no `int32` vector, or there is no bucket.
    #[track_caller]
    pub fn new(
        initializer: impl Initializer<K, Tensor>,
        num_oov_buckets: usize,
    ) -> Result<StaticVocabularyTable<K>> {
        let site = Site::new("lookup");
        let (keys, ids) = initializer.entries()?;
        ids.check()?;
        site.expect(ids.rank() == 1 && ids.dtype() == DType::I32, || {
            format!("expected a vector of int32 as values, received {} {:?}", ids.dtype(), ids.shape())
        })?;
        site.expect(num_oov_buckets > 0, || {
            "expected at least one bucket for unknown keys, received 0; use a StaticHashTable".to_owned()
        })?;
        let known = StaticHashTable::of(keys, ids, Tensor::scalar(-1), site)?;
        site.index(known.size().saturating_add(num_oov_buckets))?;
        Ok(StaticVocabularyTable { known, buckets: num_oov_buckets })
    }

    /// The number of every key, in the keys' shape.
    ///
    /// # Errors
    /// Carried by the numbers: keys of another type.
    #[track_caller]
    pub fn lookup(&self, keys: &K) -> Tensor {
        let site = Site::new("lookup");
        site.settle(|| self.find(keys, site))
    }

    fn find(&self, keys: &K, site: Site) -> Result<Tensor> {
        let missing = self.known.size() as i32;
        let places = keys.places(&self.known.places, missing, site.op, site.at)?;
        let ids = self.known.find(keys, site)?;
        site.part(Tensor::select(
            &places.equal(missing),
            keys.buckets(self.buckets, site.op, site.at)? + missing,
            ids,
        ))
    }

    /// [`lookup`](StaticVocabularyTable::lookup) of every entry of a sparse tensor.
    #[track_caller]
    pub fn lookup_sparse(&self, keys: &SparseTensor<K>) -> SparseTensor {
        let site = Site::new("lookup");
        site.settle(|| Ok(keys.check()?.with_values(self.find(keys.values(), site)?)))
    }

    /// [`lookup`](StaticVocabularyTable::lookup) of every element of a ragged tensor.
    #[track_caller]
    pub fn lookup_ragged(&self, keys: &RaggedTensor<K>) -> RaggedTensor {
        let site = Site::new("lookup");
        site.settle(|| Ok(keys.check()?.with_flat_values(self.find(keys.flat_values(), site)?)))
    }

    /// Number of known keys and of buckets.
    pub fn size(&self) -> usize {
        self.known.size() + self.buckets
    }
}
