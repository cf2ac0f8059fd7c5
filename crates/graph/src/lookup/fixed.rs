//! Tables that do not change.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::keys::{Key, Keys, Places};
use crate::error::Result;
use crate::ragged::RaggedTensor;
use crate::site::Site;
use crate::sparse::SparseTensor;
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::values::Values;

/// What a table is filled from.
pub trait Initializer<K, V> {
    /// A vector of keys, and as many values along their first axis.
    ///
    /// # Errors
    /// Where they cannot be had.
    fn entries(&self) -> Result<(K, V)>;
}

/// Keys and values that are at hand: a vector of keys, and values whose first axis is as long.
#[derive(Clone)]
pub struct KeyValueTensorInitializer<K = StringTensor, V = Tensor> {
    keys: K,
    values: V,
}

impl<K: Keys, V: Values> KeyValueTensorInitializer<K, V> {
    /// Of these keys and values.
    pub fn new(keys: K, values: V) -> KeyValueTensorInitializer<K, V> {
        KeyValueTensorInitializer { keys, values }
    }
}

impl<K: Keys, V: Values> Initializer<K, V> for KeyValueTensorInitializer<K, V> {
    fn entries(&self) -> Result<(K, V)> {
        Ok((self.keys.clone(), self.values.clone()))
    }
}

/// A table that does not change.
///
/// ```
/// use kiln_graph::lookup::{KeyValueTensorInitializer, StaticHashTable};
/// use kiln_graph::{Function, Tensor};
/// let rows = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]);
/// let init = KeyValueTensorInitializer::new(Tensor::from([70, -5]), rows);
/// let table = StaticHashTable::new(init, Tensor::scalar(0.0f32))?;
/// let find = Function::new("find", move |x| Ok(vec![table.lookup(&x[0])]));
/// let found = find.call(&[Tensor::from([-5, 8])])?.remove(0);
/// assert_eq!(found.to_nested::<[[f32; 2]; 2]>()?, [[3.0, 4.0], [0.0, 0.0]]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[derive(Clone)]
pub struct StaticHashTable<K = StringTensor, V = Tensor> {
    pub(super) places: Places,
    keys: K,
    /// Those of the keys, then the default.
    values: V,
    default: V,
}

impl<K: Keys, V: Values> StaticHashTable<K, V> {
    /// A table of an initializer's entries. `default_value`, which broadcasts to a value, is found where a key is not.
    ///
    /// A key may stand twice where its values are equal.
    ///
    /// # Errors
    /// Those of the initializer; where keys are no vector, values are not as many, two values of one key differ, or the
    /// default does not fit. Keys of whole numbers are read now.
    #[track_caller]
    pub fn new(initializer: impl Initializer<K, V>, default_value: V) -> Result<StaticHashTable<K, V>> {
        let site = Site::new("lookup");
        let (keys, values) = initializer.entries()?;
        StaticHashTable::of(keys, values, default_value, site)
    }

    pub(super) fn of(keys: K, values: V, default: V, site: Site) -> Result<StaticHashTable<K, V>> {
        if let Some(error) = [keys.fault(), values.fault(), default.fault()].into_iter().flatten().next() {
            return Err(error.clone());
        }
        let count = match keys.dims() {
            [count] if values.dims().first() == Some(count) => *count,
            dims => {
                let message = format!(
                    "expected a vector of keys and as many values along their first axis, received {dims:?} and {:?}",
                    values.dims()
                );
                return Err(site.error(message));
            }
        };
        site.index(count)?;
        site.expect(values.number_type() == default.number_type(), || {
            let types = [&values, &default].map(|v| v.number_type().map_or("strings", |t| t.name()));
            format!("expected a default of the values' type {}, received {}; cast it", types[0], types[1])
        })?;
        let (mut of, mut first) = (HashMap::new(), vec![]);
        for (row, key) in keys.keys(site.op, site.at)?.into_iter().enumerate() {
            match of.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(first.len() as i32);
                    first.push(row as i32);
                }
                Entry::Occupied(taken) => {
                    same(&values, first[*taken.get() as usize], row, taken.key(), site)?
                }
            }
        }
        let (keys, values) = (keys.pick(&first, site.at), values.pick(&first, site.at));
        StaticHashTable::placed(Places::new(of, site.at), keys, values, default, site)
    }

    /// Of different keys whose places are known.
    pub(super) fn placed(
        places: Places,
        keys: K,
        values: V,
        default: V,
        site: Site,
    ) -> Result<StaticHashTable<K, V>> {
        let last = values.pick(&[], site.at).placed(1, &[], &default, site.op, site.at)?;
        let values = V::joined(&[values, last], 0, site.op, site.at)?;
        Ok(StaticHashTable { places, keys, values, default })
    }

    /// The value of every key: the keys' shape, then that of a value.
    ///
    /// # Errors
    /// Carried by the values: keys of another type; values of strings for keys that are known only when a function runs.
    #[track_caller]
    pub fn lookup(&self, keys: &K) -> V {
        let site = Site::new("lookup");
        self.find(keys, site).unwrap_or_else(|error| V::failed_with(error, site.at))
    }

    pub(super) fn find(&self, keys: &K, site: Site) -> Result<V> {
        let places = keys.places(&self.places, self.places.of.len() as i32, site.op, site.at)?;
        self.values.at_places(&places, site.op, site.at)
    }

    /// [`lookup`](StaticHashTable::lookup) of every entry of a sparse tensor.
    #[track_caller]
    pub fn lookup_sparse(&self, keys: &SparseTensor<K>) -> SparseTensor<V> {
        let site = Site::new("lookup");
        site.settle(|| Ok(keys.check()?.with_values(self.find(keys.values(), site)?)))
    }

    /// [`lookup`](StaticHashTable::lookup) of every element of a ragged tensor.
    #[track_caller]
    pub fn lookup_ragged(&self, keys: &RaggedTensor<K>) -> RaggedTensor<V> {
        let site = Site::new("lookup");
        site.settle(|| Ok(keys.check()?.with_flat_values(self.find(keys.flat_values(), site)?)))
    }

    /// Number of different keys.
    pub fn size(&self) -> usize {
        self.places.of.len()
    }

    /// What is found where a key is not.
    pub fn default_value(&self) -> &V {
        &self.default
    }

    /// All keys, in the order in which they came, and their values.
    #[track_caller]
    pub fn export(&self) -> (K, V) {
        let site = Site::new("lookup");
        let rows: Vec<i32> = (0..self.size() as i32).collect();
        (self.keys.clone(), self.values.pick(&rows, site.at))
    }
}

/// An error where two values of one key differ.
fn same<V: Values>(values: &V, first: i32, second: usize, key: &Key, site: Site) -> Result<()> {
    let at = |row: i32| values.pick(&[row], site.at);
    let dims = values.dims()[1..].to_vec();
    let item = at(first).reshaped(dims, site.at);
    let equal = at(second as i32).equal_to(&item, site.op, site.at)?;
    site.expect(equal == [true], || format!("key {key} has two different values; keep one of them"))
}
