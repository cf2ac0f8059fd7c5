//! Failed checks: kernels write them to one small buffer, the next wait reads it.
//!
//! The buffer has pages, and a thread's runs write to a page of its own. Memory knows the pages of all runs that its
//! contents come from. Who reads it is told of failures on these pages and on the own one, and of no others: a mistake in
//! one thread is no error in another that works on something else.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::fault::lock;
use crate::error::{Error, Result};
use crate::program::CheckSite;

/// Pages: bits of a [`Pages`].
const PAGES: usize = 64;
/// Words of a page before the marks of sites: a count and 256 records of three (see `check.wgsl`).
const READ_WORDS: usize = 1 + 3 * RECORDED;
const RECORDED: usize = 256;
/// All words of a page: a multiple of the alignment that any device asks of a binding's offset, which is 256 bytes.
const PAGE_WORDS: usize = 1536;
/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = 4 * PAGE_WORDS as u64;

/// A set of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages(pub(crate) u64);

impl Pages {
    /// The page of this thread.
    pub(crate) fn own() -> Pages {
        Pages(1 << own_page())
    }

    pub(crate) fn and(self, other: Pages) -> Pages {
        Pages(self.0 | other.0)
    }

    fn pop(&mut self) -> Option<usize> {
        let page = (self.0 != 0).then(|| self.0.trailing_zeros() as usize);
        self.0 &= self.0.wrapping_sub(1);
        page
    }
}

/// A thread's page; others take it over once the thread has ended, those that waited longest first.
struct Page {
    number: usize,
    shared: bool,
}

/// Pages that no thread has; nothing where the list was not begun.
static FREE: Mutex<Option<VecDeque<usize>>> = Mutex::new(None);
static SHARED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PAGE: Page = Page::take();
}

impl Page {
    fn take() -> Page {
        let mut free = lock(&FREE);
        match free.get_or_insert_with(|| (0..PAGES).collect()).pop_front() {
            Some(number) => Page { number, shared: false },
            // More threads than pages: some are told of one another's failures.
            None => Page { number: SHARED.fetch_add(1, Ordering::Relaxed) % PAGES, shared: true },
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let (Some(free), false) = (&mut *lock(&FREE), self.shared) {
            free.push_back(self.number);
        }
    }
}

fn own_page() -> usize {
    // A thread that is ending has none any more.
    PAGE.try_with(|page| page.number).unwrap_or(0)
}

/// Where this thread's page starts in the buffer, in bytes.
pub(crate) fn own_offset() -> u32 {
    own_page() as u32 * PAGE_BYTES as u32
}

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
    /// Pages that something may have been written to since they were examined.
    pending: AtomicU64,
    registry: Mutex<Registry>,
}

impl Reports {
    pub(crate) fn new(device: &wgpu::Device) -> Reports {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("reports"),
            size: PAGES as u64 * PAGE_BYTES,
            usage,
            mapped_at_creation: false,
        });
        Reports { buffer, pending: AtomicU64::new(0), registry: Mutex::default() }
    }

    pub(crate) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// A page for kernels to write to, at a dynamic offset.
    pub(crate) fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: &self.buffer, offset: 0, size: wgpu::BufferSize::new(PAGE_BYTES) }
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

    /// Lets go of a program's sites once no page can hold a report of them.
    pub(crate) fn retire(&self, base: u32, sites: usize) {
        let mut registry = lock(&self.registry);
        for program in registry.programs.iter_mut().filter(|_| sites > 0) {
            program.retired |= program.base == base;
        }
        self.sweep(&mut registry);
    }

    fn sweep(&self, registry: &mut Registry) {
        if self.pending.load(Ordering::Acquire) == 0 {
            registry.programs.retain(|p| !p.retired);
        }
    }

    /// Notes that kernels with checks were submitted.
    pub(crate) fn submitted(&self, pages: Pages) {
        self.pending.fetch_or(pages.0, Ordering::AcqRel);
    }

    /// Those of some pages to which something may have been written since the last time; the caller examines them now.
    fn take_pending(&self, pages: Pages) -> Pages {
        Pages(self.pending.fetch_and(!pages.0, Ordering::AcqRel) & pages.0)
    }

    /// The error that the words of some pages tell of, the others stay as they are. `read` gives the bytes at an offset,
    /// after everything submitted; `clear` zeroes some.
    pub(crate) fn examine(
        &self,
        pages: Pages,
        mut read: impl FnMut(usize, &mut [u8]) -> Result<()>,
        clear: impl FnOnce(u64, u64),
    ) -> Result<()> {
        let mut due = self.take_pending(pages);
        if due == Pages::default() {
            return Ok(());
        }
        let mut words = vec![0u32; READ_WORDS];
        while let Some(page) = due.pop() {
            let offset = page * PAGE_BYTES as usize;
            let outcome = read(offset, bytemuck::cast_slice_mut(&mut words));
            let failure = outcome.map(|()| worst(&words));
            if failure != Ok(None) {
                self.submitted(due);
            }
            if let Some((site, position, value)) = failure? {
                clear(offset as u64, PAGE_BYTES);
                return Err(lock(&self.registry).error(site, position, value));
            }
        }
        self.sweep(&mut lock(&self.registry));
        Ok(())
    }
}

/// The failure that a page tells of, if any: that of the smallest site, of these the one at the smallest position.
fn worst(words: &[u32]) -> Option<(u32, u32, i32)> {
    let count = words.first().map_or(0, |n| *n as usize).min(RECORDED);
    let records = words.get(1..1 + 3 * count)?.chunks_exact(3);
    records.map(|r| (r[0], r[2], r[1] as i32)).min()
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
