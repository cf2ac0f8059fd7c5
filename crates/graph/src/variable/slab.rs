//! Slabs: flat pieces of device memory, of which variables are ranges, and what reads them.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use kiln_device::{Buffer, DType, Device};

use super::gate::Gate;
use crate::error::Result;
use crate::tensor::{Kind, Node, Stored, Tensor};
use crate::trace::TraceId;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A number that no other variable or slab of this process has had.
pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A flat piece of state on a device.
#[derive(Debug)]
pub(crate) struct Slab {
    pub(crate) id: u64,
    pub(crate) dtype: DType,
    pub(crate) count: usize,
    pub(crate) device: Device,
    /// Who may use the contents now.
    pub(super) gate: Gate,
    contents: Mutex<Contents>,
    /// Set once a variable that lived here has been packed into another slab.
    left: AtomicBool,
}

#[derive(Debug)]
struct Contents {
    buffer: Buffer,
    /// Shared by runs that read the buffer without being inside.
    pin: Arc<()>,
    /// Readings of the present contents that may still be alive.
    readings: Vec<Weak<Node>>,
    /// The number of readings at which the dead ones are taken out.
    prune_at: usize,
}

/// What a run that is not inside a slab reads: nobody writes it while this is alive.
#[derive(Debug)]
pub(crate) struct Pin {
    _counted: Arc<()>,
}

/// A range of a slab at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) slab: Arc<Slab>,
    pub(crate) offset: usize,
    /// The number of the variable that was read.
    pub(crate) variable: u64,
    /// The trace that reads it as state of the function; `None` for the value itself.
    pub(crate) trace: Option<TraceId>,
    /// Set once the range has been written since: the tensor then has a copy of what was there.
    over: Arc<AtomicBool>,
}

impl Slab {
    pub(super) fn new(device: &Device, dtype: DType, count: usize) -> Result<Arc<Slab>> {
        let buffer = device.allocate(dtype, count)?;
        Ok(Arc::new(Slab {
            id: next_id(),
            dtype,
            count,
            device: device.clone(),
            gate: Gate::default(),
            contents: Mutex::new(Contents { buffer, pin: Arc::default(), readings: vec![], prune_at: 16 }),
            left: AtomicBool::new(false),
        }))
    }

    /// A slab with these elements, in host bytes.
    pub(crate) fn holding(device: &Device, dtype: DType, bytes: &[u8]) -> Result<Arc<Slab>> {
        let slab = Slab::new(device, dtype, bytes.len() / dtype.host_size())?;
        device.upload(&slab.buffer(), dtype, 0, bytes)?;
        Ok(slab)
    }

    /// The memory that holds it now.
    pub(crate) fn buffer(&self) -> Buffer {
        lock(&self.contents).buffer.clone()
    }

    /// Whether a variable that lived here has moved on: programs bound to it are out of date.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// The contents as they are, for a run that does not stay inside; the caller is inside now.
    pub(crate) fn pinned(&self) -> (Buffer, Pin) {
        let contents = lock(&self.contents);
        (contents.buffer.clone(), Pin { _counted: contents.pin.clone() })
    }

    /// A copy of the contents; the caller is inside.
    pub(crate) fn copied(&self) -> Result<Buffer> {
        let copy = self.device.allocate(self.dtype, self.count)?;
        self.device.copy(&self.buffer(), 0, &copy, 0, self.dtype, self.count)?;
        Ok(copy)
    }

    /// The memory to write ranges in: whoever reads their present contents gets a copy. The caller has entered to write.
    pub(crate) fn before_write(&self, ranges: &[Range<usize>]) -> Result<Buffer> {
        self.freeze(ranges)?;
        if Arc::strong_count(&lock(&self.contents).pin) > 1 {
            self.replace(self.copied()?);
        }
        Ok(self.buffer())
    }

    /// Makes other memory the contents. The caller has entered to write, and has frozen what differs.
    pub(crate) fn replace(&self, buffer: Buffer) {
        let mut contents = lock(&self.contents);
        contents.buffer = buffer;
        contents.pin = Arc::default();
    }

    /// Gives the readings of ranges a copy of what they read. The caller has entered to write.
    pub(crate) fn freeze(&self, ranges: &[Range<usize>]) -> Result<()> {
        let readings = std::mem::take(&mut lock(&self.contents).readings);
        let mut kept = vec![];
        let mut outcome = Ok(());
        for weak in readings {
            let Some(node) = weak.upgrade() else { continue };
            let Kind::Variable(reading) = &node.kind else { continue };
            let count: usize = node.shape.iter().product();
            let mine = reading.offset..reading.offset + count;
            let written = ranges.iter().any(|range| range.start < mine.end && mine.start < range.end);
            if !written || outcome.is_err() {
                kept.push(weak);
                continue;
            }
            match self.stored(&node, reading.offset, count) {
                Ok(()) => reading.over.store(true, Ordering::Release),
                Err(error) => {
                    kept.push(weak);
                    outcome = Err(error);
                }
            }
        }
        lock(&self.contents).readings.append(&mut kept);
        outcome
    }

    /// Copies a range to be the value of a node, where it has none.
    fn stored(&self, node: &Node, offset: usize, count: usize) -> Result<()> {
        if node.value.get().is_none() {
            let buffer = self.device.allocate(self.dtype, count)?;
            self.device.copy(&self.buffer(), offset, &buffer, 0, self.dtype, count)?;
            let _ = node.value.set(Stored { device: self.device.clone(), buffer });
        }
        Ok(())
    }

    /// A reading of the present contents from an element on.
    pub(super) fn reading(self: &Arc<Self>, offset: usize, variable: u64, trace: Option<TraceId>) -> Reading {
        Reading { slab: self.clone(), offset, variable, trace, over: Arc::default() }
    }

    /// Remembers a tensor of a reading, for when its range is written.
    pub(super) fn remember(&self, tensor: &Tensor) {
        let mut contents = lock(&self.contents);
        if contents.readings.len() >= contents.prune_at {
            contents.readings.retain(|weak| weak.strong_count() > 0);
            contents.prune_at = 2 * contents.readings.len().max(8);
        }
        contents.readings.push(Arc::downgrade(&tensor.node));
    }
}

impl Reading {
    /// Whether the range has been written since.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}
