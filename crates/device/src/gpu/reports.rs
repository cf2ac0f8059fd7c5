//! Failed checks: kernels write them to one small buffer, the next wait reads it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fault::lock;
use crate::error::{Error, Result};
use crate::program::CheckSite;

/// Words before the per-site marks: a count and 256 records of three (see `check.wgsl`).
const RECORDED: usize = 256;
/// Words that the host reads.
const READ_WORDS: usize = 1 + 3 * RECORDED;
/// All words.
const WORDS: usize = READ_WORDS + 1024;

#[derive(Debug)]
struct Registered {
    base: u32,
    sites: Vec<CheckSite>,
    retired: bool,
}

#[derive(Debug, Default)]
struct Registry {
    next: u32,
    programs: Vec<Registered>,
}

/// The report buffer of a device and the sites that its numbers mean.
#[derive(Debug)]
pub(crate) struct Reports {
    buffer: wgpu::Buffer,
    pending: AtomicBool,
    registry: Mutex<Registry>,
}

impl Reports {
    pub(crate) fn new(device: &wgpu::Device) -> Reports {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("reports"),
            size: 4 * WORDS as u64,
            usage,
            mapped_at_creation: false,
        });
        Reports { buffer, pending: AtomicBool::new(false), registry: Mutex::default() }
    }

    pub(crate) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Bytes to read back.
    pub(crate) const fn read_bytes() -> usize {
        4 * READ_WORDS
    }

    /// Numbers the sites of a program; the first number.
    pub(crate) fn register(&self, sites: &[CheckSite]) -> u32 {
        let mut registry = lock(&self.registry);
        let base = registry.next;
        if !sites.is_empty() {
            registry.next = base.wrapping_add(sites.len() as u32);
            registry.programs.push(Registered { base, sites: sites.to_vec(), retired: false });
        }
        base
    }

    /// Lets go of a program's sites after the next read.
    pub(crate) fn retire(&self, base: u32, sites: usize) {
        let mut registry = lock(&self.registry);
        for program in registry.programs.iter_mut().filter(|_| sites > 0) {
            program.retired |= program.base == base;
        }
        if !self.pending.load(Ordering::Acquire) {
            registry.programs.retain(|p| !p.retired);
        }
    }

    /// Notes that kernels with checks were submitted.
    pub(crate) fn submitted(&self) {
        self.pending.store(true, Ordering::Release);
    }

    /// True where something may have been reported since the last time; the caller reads the buffer now.
    pub(crate) fn take_pending(&self) -> bool {
        self.pending.swap(false, Ordering::AcqRel)
    }

    /// The error that the buffer's words tell of: the smallest site, then the smallest position.
    pub(crate) fn examine(&self, bytes: &[u8]) -> Result<()> {
        let words: Vec<u32> =
            bytes.chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect();
        let count = words.first().map_or(0, |n| *n as usize).min(RECORDED);
        let mut registry = lock(&self.registry);
        let worst = words
            .get(1..1 + 3 * count)
            .and_then(|records| records.chunks_exact(3).map(|r| (r[0], r[2], r[1] as i32)).min());
        let result = match worst {
            None => Ok(()),
            Some((site, position, value)) => Err(registry.error(site, position, value)),
        };
        registry.programs.retain(|p| !p.retired);
        result
    }
}

impl Registry {
    fn error(&self, number: u32, position: u32, value: i32) -> Error {
        let site = self.programs.iter().find_map(|p| p.sites.get(number.wrapping_sub(p.base) as usize));
        match site {
            Some(site) => site.error(i64::from(value), u64::from(position)),
            None => Error::Kernel(format!("check {number} failed with {value} at {position}")),
        }
    }
}
