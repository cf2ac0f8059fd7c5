//! Buffers of the device: whole wgpu buffers by size class, kept for reuse when dropped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::fault::{Faults, lock};
use super::reports::Pages;
use crate::error::{Error, Result};
use crate::memory::{Buffer, Ledger, Storage};

/// Most bytes that wait for reuse.
const MOST_IDLE: u64 = 1 << 30;

/// A wgpu buffer with a number of its own, which it keeps through reuse: bind groups are cached by it.
#[derive(Debug)]
struct Slot {
    buffer: wgpu::Buffer,
    number: u64,
}

/// The memory of one [`Buffer`]; goes back to its pool when dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    slot: Option<Slot>,
    pool: Arc<Pool>,
    /// The report pages of the runs that the contents come from.
    pages: AtomicU64,
}

impl Memory {
    /// The wgpu buffer and its number.
    pub(crate) fn slot(&self) -> Result<(&wgpu::Buffer, u64)> {
        match &self.slot {
            Some(slot) => Ok((&slot.buffer, slot.number)),
            None => Err(Error::Buffer("its memory is gone".into())),
        }
    }

    /// Where failures are reported that spoil the contents.
    pub(crate) fn pages(&self) -> Pages {
        Pages(self.pages.load(Ordering::Acquire))
    }

    /// Notes that contents come from runs that report on these pages.
    pub(crate) fn depend_on(&self, pages: Pages) {
        self.pages.fetch_or(pages.0, Ordering::AcqRel);
    }

    /// True where the memory came from this pool.
    pub(crate) fn is_of(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.give_back(slot);
        }
    }
}

#[derive(Debug, Default)]
struct Idle {
    bytes: u64,
    slots: BTreeMap<u64, Vec<Slot>>,
}

/// The buffers of one device.
#[derive(Debug)]
pub(crate) struct Pool {
    device: wgpu::Device,
    faults: Arc<Faults>,
    ledger: Arc<Ledger>,
    most: u64,
    idle: Mutex<Idle>,
}

static NEXT_SLOT: AtomicU64 = AtomicU64::new(1);

/// The size that is allocated for a request: a quarter of a power of two, so that at most a fifth is unused.
fn size_class(bytes: u64, most: u64) -> u64 {
    let bytes = bytes.max(256);
    let step = (bytes.next_power_of_two() / 8).max(64);
    bytes.next_multiple_of(step).min(most.max(bytes.next_multiple_of(4)))
}

impl Pool {
    pub(crate) fn new(
        device: &wgpu::Device,
        faults: &Arc<Faults>,
        ledger: &Arc<Ledger>,
        most: u64,
    ) -> Arc<Pool> {
        Arc::new(Pool {
            device: device.clone(),
            faults: faults.clone(),
            ledger: ledger.clone(),
            most,
            idle: Mutex::default(),
        })
    }

    /// A buffer of at least `bytes`.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
        self.faults.report(&self.device)?;
        let lease = self.ledger.reserve(bytes)?;
        let class = size_class(bytes as u64, self.most);
        let slot = match self.take(class) {
            Some(slot) => slot,
            None => self.create(class, bytes)?,
        };
        let memory = Memory { slot: Some(slot), pool: self.clone(), pages: AtomicU64::new(0) };
        Ok(Buffer::new(bytes, Storage::Gpu(memory), lease))
    }

    fn take(&self, class: u64) -> Option<Slot> {
        let mut idle = lock(&self.idle);
        let slot = idle.slots.get_mut(&class)?.pop()?;
        idle.bytes -= class;
        Some(slot)
    }

    fn create(&self, class: u64, asked: usize) -> Result<Slot> {
        let buffer = match self.create_buffer(class) {
            Err(Error::OutOfMemory { .. }) => {
                self.flush();
                self.create_buffer(class)
            }
            other => other,
        };
        let buffer = buffer.map_err(|error| match error {
            Error::OutOfMemory { .. } => self.ledger.refused(asked),
            other => other,
        })?;
        Ok(Slot { buffer, number: NEXT_SLOT.fetch_add(1, Ordering::Relaxed) })
    }

    fn create_buffer(&self, size: u64) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.faults.scoped(&self.device, || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    fn give_back(&self, slot: Slot) {
        let class = slot.buffer.size();
        let mut idle = lock(&self.idle);
        if idle.bytes + class <= MOST_IDLE {
            idle.bytes += class;
            idle.slots.entry(class).or_default().push(slot);
        }
    }

    /// Frees what waits for reuse, after the work that still uses it.
    fn flush(&self) {
        *lock(&self.idle) = Idle::default();
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_waste_little_and_respect_the_limit() {
        for bytes in (0..100_000).step_by(37) {
            let class = size_class(bytes, 1 << 30);
            assert!(class >= bytes && class.is_multiple_of(4));
            assert!(bytes < 1024 || class - bytes <= bytes / 4);
        }
        assert_eq!(size_class(1001, 1002), 1004);
        assert_eq!(size_class(1000, 1000), 1000);
    }
}
