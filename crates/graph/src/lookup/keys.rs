//! What tables are asked with, and where a key stands in a table.

use std::collections::HashMap;

use kiln_device::DType;

use crate::error::{At, Result};
use crate::ops::{self, Side};
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;
use crate::values::{Items, Values, index_tensor};

/// The keys of a table: strings ([`StringTensor`]), or whole numbers (a [`Tensor`], `int32`).
pub trait Keys: Values + sealed::Looked {}

impl Keys for StringTensor {}

impl Keys for Tensor {}

pub(crate) use sealed::Looked;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A string.
    Text(String),
    /// A whole number.
    Number(i32),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Text(text) => write!(f, "{text:?}"),
            Key::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Where the keys of a table are among its values.
#[derive(Clone)]
pub struct Places {
    pub(super) of: HashMap<Key, i32>,
    /// Whole numbers in ascending order, and the place of each, for the graph.
    sorted: Option<(Tensor, Tensor)>,
}

impl Places {
    pub(super) fn new(of: HashMap<Key, i32>, at: At) -> Places {
        let number = |(key, place): (&Key, &i32)| match key {
            Key::Number(number) => Some((*number, *place)),
            Key::Text(_) => None,
        };
        let mut numbers: Vec<(i32, i32)> = of.iter().filter_map(number).collect();
        numbers.sort_unstable();
        let (numbers, places): (Vec<i32>, Vec<i32>) = numbers.into_iter().unzip();
        let sorted = (!numbers.is_empty()).then(|| (index_tensor(&numbers, at), index_tensor(&places, at)));
        Places { of, sorted }
    }
}

mod sealed {
    use super::{At, Key, Places, Result, Tensor};

    /// What tables do with keys.
    pub trait Looked: Sized {
        /// The keys in row-major order, now.
        fn keys(&self, op: &'static str, at: At) -> Result<Vec<Key>>;

        /// The place of every key, in the keys' shape, `int32`; `missing` where there is none.
        fn places(&self, places: &Places, missing: i32, op: &'static str, at: At) -> Result<Tensor>;

        /// A bucket in `0..buckets` for every key, in the keys' shape, `int32`.
        fn buckets(&self, buckets: usize, op: &'static str, at: At) -> Result<Tensor>;
    }
}

impl Looked for StringTensor {
    fn keys(&self, _: &'static str, _: At) -> Result<Vec<Key>> {
        Ok(self.check()?.elements().iter().cloned().map(Key::Text).collect())
    }

    fn places(&self, places: &Places, missing: i32, op: &'static str, at: At) -> Result<Tensor> {
        let place = |key: &Key| places.of.get(key).copied().unwrap_or(missing);
        let found: Vec<i32> = self.keys(op, at)?.iter().map(place).collect();
        Ok(index_tensor(&found, at).reshaped(self.shape().to_vec(), at))
    }

    fn buckets(&self, buckets: usize, op: &'static str, at: At) -> Result<Tensor> {
        Site { op, at }.part(self.to_hash_bucket_fast(buckets))
    }
}

impl Looked for Tensor {
    fn keys(&self, op: &'static str, at: At) -> Result<Vec<Key>> {
        let site = Site { op, at };
        Ok(site.integers(&whole(self, site)?)?.into_iter().map(Key::Number).collect())
    }

    fn places(&self, places: &Places, missing: i32, op: &'static str, at: At) -> Result<Tensor> {
        let site = Site { op, at };
        let keys = whole(self, site)?;
        let nowhere = || Tensor::full(keys.shape(), f64::from(missing), DType::I32);
        let Some((numbers, order)) = &places.sorted else { return site.part(nowhere()) };
        // The first number that is not less; past the end it is compared with the last, which is less.
        let near = ops::searchsorted(numbers, &keys, Side::Left).minimum(numbers.len() as i32 - 1);
        let known = numbers.pick_rows(&near, at).equal(&keys);
        site.part(Tensor::select(&known, order.pick_rows(&near, at), nowhere()))
    }

    fn buckets(&self, buckets: usize, op: &'static str, at: At) -> Result<Tensor> {
        let site = Site { op, at };
        let keys = whole(self, site)?;
        let modulus = crate::control::number(buckets, at);
        let forms = [(keys.shape().to_vec(), DType::I32)];
        // Captures nothing, so that all lookups are one operation.
        let hashed = crate::host_call(op, &[keys, modulus], &forms, |inputs| {
            let modulus = u64::from(inputs[1].as_slice::<i32>()?.first().ok_or("no modulus")?.unsigned_abs());
            let hash = |key: &i32| crate::text::fingerprint64(key.to_string().as_bytes());
            let bucket = |key: &i32| hash(key).checked_rem(modulus).unwrap_or(0) as i32;
            let found = inputs[0].as_slice::<i32>()?.iter().map(bucket).collect();
            Ok(vec![crate::HostArray::new(inputs[0].shape(), found)])
        });
        hashed.into_iter().next().map_or_else(|| Err(site.error("a result is missing")), |t| site.part(t))
    }
}

/// Keys as `int32`.
fn whole(keys: &Tensor, site: Site) -> Result<Tensor> {
    keys.check()?;
    site.expect(matches!(keys.dtype(), DType::I32 | DType::U8), || {
        format!("expected keys of int32 or uint8, received {}; cast them first", keys.dtype())
    })?;
    Ok(keys.cast_at(DType::I32, site.at))
}
