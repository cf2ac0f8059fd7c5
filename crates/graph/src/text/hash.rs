//! Strings as numbers of buckets.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::farmhash::fingerprint64;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;

impl StringTensor {
    /// A bucket in `0..num_buckets` for every string, `int32`: FarmHash's fingerprint, which is the same everywhere and
    /// guards against nobody.
    #[track_caller]
    pub fn to_hash_bucket_fast(&self, num_buckets: usize) -> Tensor {
        let site = Site::new("strings.to_hash_bucket_fast");
        self.buckets(site, num_buckets, |s| fingerprint64(s.as_bytes()))
    }

    /// A bucket in `0..num_buckets` for every string, `int32`: SipHash-2-4 under a secret key, for strings of people who
    /// might want them all in one bucket.
    #[track_caller]
    pub fn to_hash_bucket_strong(&self, num_buckets: usize, key: [u64; 2]) -> Tensor {
        let site = Site::new("strings.to_hash_bucket_strong");
        self.buckets(site, num_buckets, |s| {
            let mut hasher = SipHasher24::new_with_keys(key[0], key[1]);
            hasher.write(s.as_bytes());
            hasher.finish()
        })
    }

    /// A bucket in `0..num_buckets` for every string, `int32`, by MurmurHash64A, as `tf.strings.to_hash_bucket` has it. For
    /// new uses take [`StringTensor::to_hash_bucket_fast`].
    #[track_caller]
    pub fn to_hash_bucket(&self, num_buckets: usize) -> Tensor {
        let site = Site::new("strings.to_hash_bucket");
        self.buckets(site, num_buckets, |s| murmur64(s.as_bytes(), 0xDE_CAFC_AFFE))
    }

    fn buckets(&self, site: Site, num_buckets: usize, hash: impl Fn(&str) -> u64) -> Tensor {
        site.settle(|| {
            self.check()?;
            site.expect(num_buckets > 0, || "expected at least one bucket, received 0".to_owned())?;
            site.index(num_buckets)?;
            let bucket = |s: &String| (hash(s) % num_buckets as u64) as i32;
            let buckets: Vec<i32> = self.elements().iter().map(bucket).collect();
            Ok(Tensor::from_vec(&buckets, self.shape()))
        })
    }
}

/// MurmurHash64A (Austin Appleby).
fn murmur64(bytes: &[u8], seed: u64) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    for word in words {
        let mut k = number(word).wrapping_mul(MULTIPLIER);
        k = (k ^ (k >> 47)).wrapping_mul(MULTIPLIER);
        hash = (hash ^ k).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        hash = (hash ^ number(rest)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 47)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 47)
}
