//! Memory of the CPU device: aligned blocks, kept by size class when freed.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// A cache line, and the widest vector.
const ALIGNMENT: usize = 64;
/// Most bytes of free blocks that are kept.
const KEPT: usize = 1 << 30;

/// A block of memory; returns to its pool when dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    block: NonNull<u8>,
    bytes: usize,
    pool: Arc<Pool>,
}

// SAFETY: a block is plain memory of its own; the executor orders what reads and writes it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Free blocks by size.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    blocks: BTreeMap<usize, Vec<NonNull<u8>>>,
    bytes: usize,
}

// SAFETY: the blocks are owned by the pool and reached through its mutex.
unsafe impl Send for Free {}

/// Sizes of blocks: eight classes for each power of two.
fn class(bytes: usize) -> usize {
    let unit = (bytes.max(1).next_power_of_two() / 8).max(ALIGNMENT);
    bytes.max(1).next_multiple_of(unit)
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes, ALIGNMENT).ok()
}

impl Pool {
    /// A block of at least this many bytes, or `None` where the system has none.
    pub(crate) fn take(self: &Arc<Pool>, bytes: usize) -> Option<Memory> {
        let bytes = class(bytes);
        let block = self.reuse(bytes).or_else(|| fresh(bytes)).or_else(|| {
            self.clear();
            fresh(bytes)
        })?;
        Some(Memory { block, bytes, pool: self.clone() })
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reuse(&self, bytes: usize) -> Option<NonNull<u8>> {
        let mut free = self.free();
        let block = free.blocks.get_mut(&bytes)?.pop()?;
        free.bytes -= bytes;
        Some(block)
    }

    /// Gives all free blocks back to the system.
    fn clear(&self) {
        let mut free = self.free();
        for (bytes, blocks) in std::mem::take(&mut free.blocks) {
            blocks.into_iter().for_each(|block| release(block, bytes));
        }
        free.bytes = 0;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.clear();
    }
}

fn fresh(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: a class is never 0 bytes.
    NonNull::new(unsafe { alloc_zeroed(layout(bytes)?) })
}

fn release(block: NonNull<u8>, bytes: usize) {
    if let Some(layout) = layout(bytes) {
        // SAFETY: the block came from `fresh` with this layout, and nobody holds it any more.
        unsafe { dealloc(block.as_ptr(), layout) }
    }
}

impl Memory {
    /// The first byte.
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.block.as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut free = self.pool.free();
        if free.bytes + self.bytes > KEPT {
            release(self.block, self.bytes);
        } else {
            free.bytes += self.bytes;
            free.blocks.entry(self.bytes).or_default().push(self.block);
        }
    }
}
