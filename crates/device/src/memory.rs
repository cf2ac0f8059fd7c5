//! Device memory as the caller sees it: buffers, and the ledger that knows and bounds what is live.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cpu;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu;

/// A piece of memory on one device. Cheap to clone; freed (returned to its device's pool) with the last clone.
#[derive(Clone, Debug)]
pub struct Buffer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: u64,
    bytes: usize,
    storage: Storage,
    _lease: Lease,
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Storage>();
    is_send_and_sync::<Lease>();
};

// SAFETY: every field is Send, which the lines above have the compiler check. Said once here so that crates that use
// Kiln need not look through all of wgpu's types for it, which takes a higher recursion limit than the default.
unsafe impl Send for Inner {}
// SAFETY: as above, for Sync.
unsafe impl Sync for Inner {}

/// The memory itself, as its executor knows it.
#[derive(Debug)]
pub(crate) enum Storage {
    Cpu(cpu::Memory),
    #[cfg(feature = "gpu")]
    Gpu(gpu::Memory),
}

impl Buffer {
    pub(crate) fn new(bytes: usize, storage: Storage, lease: Lease) -> Buffer {
        Buffer { inner: Arc::new(Inner { id: lease.id, bytes, storage, _lease: lease }) }
    }

    /// A number that no other buffer of this process has had.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// Its size in bytes on the device.
    pub fn bytes(&self) -> usize {
        self.inner.bytes
    }

    /// True where no other handle to this memory exists.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.inner.storage
    }
}

/// What is live on a device, and how much may be.
#[derive(Debug)]
pub(crate) struct Ledger {
    device: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    budget: u64,
    in_use: u64,
    peak: u64,
    live: BTreeMap<u64, u64>,
}

/// A reservation in a ledger, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    id: u64,
    ledger: Arc<Ledger>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Ledger {
    pub(crate) fn new(device: &str, budget: u64) -> Arc<Ledger> {
        let state = State { budget, in_use: 0, peak: 0, live: BTreeMap::new() };
        Arc::new(Ledger { device: device.to_owned(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves `bytes`, or says what is in the way.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Lease> {
        let mut state = self.state();
        let requested = bytes as u64;
        if state.in_use.saturating_add(requested) > state.budget {
            return Err(self.out_of_memory(&state, requested));
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        state.in_use += requested;
        state.peak = state.peak.max(state.in_use);
        state.live.insert(id, requested);
        Ok(Lease { id, ledger: self.clone() })
    }

    /// The error for an allocation that the driver or the system refused.
    pub(crate) fn refused(&self, bytes: usize) -> Error {
        let state = self.state();
        self.out_of_memory(&state, bytes as u64)
    }

    fn out_of_memory(&self, state: &State, requested: u64) -> Error {
        let mut sizes: Vec<u64> = state.live.values().copied().collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let largest: Vec<String> = sizes.iter().take(10).map(u64::to_string).collect();
        Error::OutOfMemory {
            device: self.device.clone(),
            requested,
            in_use: state.in_use,
            limit: state.budget,
            largest: if largest.is_empty() { "none".into() } else { largest.join(", ") },
        }
    }

    pub(crate) fn set_budget(&self, bytes: u64) {
        self.state().budget = bytes;
    }

    pub(crate) fn in_use(&self) -> u64 {
        self.state().in_use
    }

    pub(crate) fn peak(&self) -> u64 {
        self.state().peak
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        if let Some(bytes) = state.live.remove(&self.id) {
            state.in_use -= bytes;
        }
    }
}
