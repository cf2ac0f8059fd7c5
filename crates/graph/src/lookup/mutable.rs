//! Tables that change.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fixed::StaticHashTable;
use super::keys::{Key, Keys, Places};
use crate::error::{Error, Result};
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::trace;
use crate::values::Values;

/// A table that changes: keys are inserted and removed, from any thread.
///
/// An insertion or removal copies the table's values once, so insert many keys at a time.
///
/// ```
/// use kiln_graph::lookup::MutableHashTable;
/// use kiln_graph::{StringTensor, Tensor};
/// let table = MutableHashTable::new(StringTensor::from_slice::<&str>(&[]), Tensor::from([0.0f32, -1.0]))?;
/// table.insert(&StringTensor::from_slice(&["a", "b"]), &Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]))?;
/// table.remove(&StringTensor::from_slice(&["a"]))?;
/// let found = table.lookup(&StringTensor::from_slice(&["b", "a"]));
/// assert_eq!(found.to_nested::<[[f32; 2]; 2]>()?, [[3.0, 4.0], [0.0, -1.0]]);
/// assert_eq!(table.size(), 1);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
pub struct MutableHashTable<K = StringTensor, V = Tensor> {
    default: V,
    entries: Mutex<Entries<K, V>>,
}

/// Different keys in the order in which they came, and a value for each.
struct Entries<K, V> {
    places: HashMap<Key, i32>,
    keys: K,
    values: V,
}

impl<K: Keys, V: Values> MutableHashTable<K, V> {
    /// A table without entries: `no_keys` says of what type keys are, a vector of none of them. Every value has the shape
    /// and type of `default_value`, which is found where a key is not.
    ///
    /// # Errors
    /// Where the default carries one, or keys are given.
    #[track_caller]
    pub fn new(no_keys: K, default_value: V) -> Result<MutableHashTable<K, V>> {
        let site = Site::new("lookup");
        if let Some(error) = no_keys.fault().or(default_value.fault()) {
            return Err(error.clone());
        }
        site.expect(no_keys.dims() == [0], || {
            format!("expected a vector of no keys, received shape {:?}; insert them", no_keys.dims())
        })?;
        let dims = [&[1], default_value.dims()].concat();
        let values = default_value.reshaped(dims, site.at).pick(&[], site.at);
        let entries = Entries { places: HashMap::new(), keys: no_keys, values };
        Ok(MutableHashTable { default: default_value, entries: Mutex::new(entries) })
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error where a function is being traced.
    fn outside(&self, site: Site) -> Result<()> {
        let message = "[lookup] this table may change between calls of the function being traced; look up outside and \
                       pass what was found, or take a copy with `frozen()` outside";
        match trace::current() {
            Some(_) => Err(Error::Trace { message: message.into(), at: site.at }),
            None => Ok(()),
        }
    }

    /// Sets the value of every key: keys of any shape, and values of that shape and then a value's. Of a key that stands
    /// twice the last value holds. Nothing changes where there is an error.
    ///
    /// # Errors
    /// Where shapes or types do not fit, a value cannot be computed, or a function is being traced.
    #[track_caller]
    pub fn insert(&self, keys: &K, values: &V) -> Result<()> {
        let site = Site::new("lookup");
        self.outside(site)?;
        if let Some(error) = keys.fault().or(values.fault()) {
            return Err(error.clone());
        }
        let wanted = [keys.dims(), self.default.dims()].concat();
        let types = (values.number_type(), self.default.number_type());
        site.expect(values.dims() == wanted && types.0 == types.1, || {
            let name = |t: Option<kiln_device::DType>| t.map_or("strings", |t| t.name());
            format!(
                "expected values {wanted:?} of {} for keys {:?}, received {:?} of {}",
                name(types.1),
                keys.dims(),
                values.dims(),
                name(types.0)
            )
        })?;
        let new = keys.keys(site.op, site.at)?;
        values.settled(site.op, site.at)?;
        let rows = [&[new.len()], self.default.dims()].concat();
        let flat = keys.reshaped(vec![new.len()], site.at);
        let values = values.reshaped(rows, site.at);
        let mut entries = self.entries();
        let known = entries.places.len();
        site.index(known.saturating_add(new.len()))?;
        // Which row of the old and new ones behind one another every place takes.
        let (mut places, mut from) = (entries.places.clone(), (0..known as i32).collect::<Vec<_>>());
        let mut fresh = (0..known as i32).collect::<Vec<_>>();
        for (row, key) in new.into_iter().enumerate() {
            let row = (known + row) as i32;
            match places.get(&key) {
                Some(place) => from[*place as usize] = row,
                None => {
                    places.insert(key, from.len() as i32);
                    from.push(row);
                    fresh.push(row);
                }
            }
        }
        let values = V::joined(&[entries.values.clone(), values], 0, site.op, site.at)?.pick(&from, site.at);
        let keys = K::joined(&[entries.keys.clone(), flat], 0, site.op, site.at)?.pick(&fresh, site.at);
        values.settled(site.op, site.at)?;
        *entries = Entries { places, keys, values };
        Ok(())
    }

    /// Removes keys; those that are not there are passed over.
    ///
    /// # Errors
    /// Where the keys cannot be read, or a function is being traced.
    #[doc(alias = "erase")]
    #[track_caller]
    pub fn remove(&self, keys: &K) -> Result<()> {
        let site = Site::new("lookup");
        self.outside(site)?;
        let gone = keys.keys(site.op, site.at)?;
        let mut entries = self.entries();
        let mut kept: Vec<Option<Key>> = vec![None; entries.places.len()];
        for (key, place) in &entries.places {
            kept[*place as usize] = Some(key.clone());
        }
        for key in gone {
            if let Some(place) = entries.places.get(&key) {
                kept[*place as usize] = None;
            }
        }
        let rows: Vec<i32> = (0..kept.len() as i32).filter(|place| kept[*place as usize].is_some()).collect();
        let values = entries.values.pick(&rows, site.at);
        values.settled(site.op, site.at)?;
        let keys = entries.keys.pick(&rows, site.at);
        let places = kept.into_iter().flatten().zip(0..).collect();
        *entries = Entries { places, keys, values };
        Ok(())
    }

    /// The value of every key: the keys' shape, then that of a value.
    ///
    /// # Errors
    /// Carried by the values: keys of another type; a function is being traced.
    #[track_caller]
    pub fn lookup(&self, keys: &K) -> V {
        let site = Site::new("lookup");
        let found = self.outside(site).and_then(|()| self.copy(site)?.find(keys, site));
        found.unwrap_or_else(|error| V::failed_with(error, site.at))
    }

    fn copy(&self, site: Site) -> Result<StaticHashTable<K, V>> {
        let entries = self.entries();
        let (keys, values) = (entries.keys.clone(), entries.values.clone());
        StaticHashTable::placed(
            Places::new(entries.places.clone(), site.at),
            keys,
            values,
            self.default.clone(),
            site,
        )
    }

    /// A table of the present entries that does not change.
    ///
    /// # Errors
    /// Where a function is being traced.
    #[track_caller]
    pub fn frozen(&self) -> Result<StaticHashTable<K, V>> {
        let site = Site::new("lookup");
        self.outside(site)?;
        self.copy(site)
    }

    /// Number of keys.
    pub fn size(&self) -> usize {
        self.entries().places.len()
    }

    /// What is found where a key is not.
    pub fn default_value(&self) -> &V {
        &self.default
    }

    /// All keys, in the order in which they came, and their values.
    pub fn export(&self) -> (K, V) {
        let entries = self.entries();
        (entries.keys.clone(), entries.values.clone())
    }
}
