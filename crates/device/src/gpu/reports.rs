//! Failed checks: kernels write them to one small buffer, the next wait reads it.
//!
//! The buffer has pages, and a thread's runs write to a page of its own. Memory knows the pages of all runs that its
//! contents come from. A failure is told to the thread of the run, with the next value that it reads, and to the first other
//! one that reads something which depends on runs of that thread; never to one that works on something else. (A thread
//! that takes over the page of one that has ended may be told what nobody was told before.)

use std::collections::{BTreeMap, VecDeque};
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
        Pages(1 << Page::own().0)
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
    /// A number that no other thread has had.
    thread: u64,
    shared: bool,
}

/// Pages that no thread has; nothing where the list was not begun.
static FREE: Mutex<Option<VecDeque<usize>>> = Mutex::new(None);
static SHARED: AtomicUsize = AtomicUsize::new(0);
static THREADS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static PAGE: Page = Page::take();
}

impl Page {
    fn take() -> Page {
        let mut free = lock(&FREE);
        let thread = THREADS.fetch_add(1, Ordering::Relaxed);
        match free.get_or_insert_with(|| (0..PAGES).collect()).pop_front() {
            Some(number) => Page { number, thread, shared: false },
            // More threads than pages: some are told of one another's failures.
            None => Page { number: SHARED.fetch_add(1, Ordering::Relaxed) % PAGES, thread, shared: true },
        }
    }

    /// Number of this thread's page, and of the thread.
    fn own() -> (usize, u64) {
        // A thread that is ending has none any more.
        PAGE.try_with(|page| (page.number, page.thread)).unwrap_or((0, 0))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let (Some(free), false) = (&mut *lock(&FREE), self.shared) {
            free.push_back(self.number);
        }
    }
}

/// Where this thread's page starts in the buffer, in bytes.
pub(crate) fn own_offset() -> u32 {
    Page::own().0 as u32 * PAGE_BYTES as u32
}

#[derive(Debug)]
struct Registered {
    base: u32,
    sites: Vec<CheckSite>,
    /// Of a program that is gone: the pages where it may have written.
    left: Option<Pages>,
}

#[derive(Debug, Default)]
struct Registry {
    next: u32,
    programs: Vec<Registered>,
    /// By page, what others were told, and the thread of the run, which has this number, not yet.
    owed: BTreeMap<usize, (u64, Error)>,
}

/// The report buffer of a device and the sites that its numbers mean.
#[derive(Debug)]
pub(crate) struct Reports {
    buffer: wgpu::Buffer,
    /// Pages that something may have been written to since they were examined.
    pending: AtomicU64,
    /// Pages that are being examined.
    examined: AtomicU64,
    /// Pages of which others were told, and their own thread not yet.
    owed: AtomicU64,
    /// By page, the number of the thread that ran the last program.
    threads: [AtomicU64; PAGES],
    /// Held while pages are examined.
    turn: Mutex<()>,
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
        Reports {
            buffer,
            pending: AtomicU64::new(0),
            examined: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            threads: [const { AtomicU64::new(0) }; PAGES],
            turn: Mutex::default(),
            registry: Mutex::default(),
        }
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
            registry.programs.push(Registered { base, sites: sites.to_vec(), left: None });
        }
        base
    }

    /// Lets go of a program's sites once the pages where it ran hold no report of them.
    pub(crate) fn retire(&self, base: u32, ran_on: Pages) {
        let waits =
            Pages(ran_on.0 & (self.pending.load(Ordering::SeqCst) | self.examined.load(Ordering::SeqCst)));
        let mut registry = lock(&self.registry);
        for program in registry.programs.iter_mut().filter(|p| p.base == base) {
            program.left = Some(waits);
        }
        registry.sweep(Pages::default());
    }

    /// Notes that this thread has submitted kernels with checks, and gives its page.
    pub(crate) fn submitted(&self) -> Pages {
        let (page, thread) = Page::own();
        self.threads[page].store(thread, Ordering::SeqCst);
        self.pend(Pages(1 << page));
        Pages(1 << page)
    }

    fn pend(&self, pages: Pages) {
        self.pending.fetch_or(pages.0, Ordering::SeqCst);
    }

    /// The error that some pages and this thread's own tell of, one at a time. `take` gives the bytes of a page, after
    /// everything submitted, and leaves zeros.
    pub(crate) fn examine(
        &self,
        pages: Pages,
        take: impl FnMut(usize, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let (own_page, own_thread) = Page::own();
        let own = Pages(1 << own_page);
        let pages = pages.and(own);
        // In this order: a page is being examined before it ceases to be pending.
        let pending = self.pending.load(Ordering::SeqCst) | self.examined.load(Ordering::SeqCst);
        if pending & pages.0 | self.owed.load(Ordering::SeqCst) & own.0 == 0 {
            return Ok(());
        }
        let _turn = lock(&self.turn);
        if self.owed.fetch_and(!own.0, Ordering::SeqCst) & own.0 != 0
            && let Some((thread, owed)) = lock(&self.registry).owed.remove(&own_page)
            && thread == own_thread
        {
            return Err(owed);
        }
        let asked = Pages(self.pending.load(Ordering::SeqCst) & pages.0);
        self.examined.store(asked.0, Ordering::SeqCst);
        self.pending.fetch_and(!asked.0, Ordering::SeqCst);
        let found = self.first(asked, take);
        let mut registry = lock(&self.registry);
        let outcome = found.and_then(|found| match found {
            None => Ok(()),
            Some((page, (site, position, value))) => {
                let error = registry.error(site, position, value);
                if page != own_page {
                    let thread = self.threads[page].load(Ordering::SeqCst);
                    registry.owed.insert(page, (thread, error.clone()));
                    self.owed.fetch_or(1 << page, Ordering::SeqCst);
                }
                Err(error)
            }
        });
        self.examined.store(0, Ordering::SeqCst);
        registry.sweep(Pages(asked.0 & !self.pending.load(Ordering::SeqCst)));
        outcome
    }

    /// The first of these pages that tells of a failure, and which; those behind it are pending again, and one that could
    /// not be read.
    fn first(
        &self,
        mut due: Pages,
        mut take: impl FnMut(usize, &mut [u8]) -> Result<()>,
    ) -> Result<Option<(usize, Failure)>> {
        let mut words = vec![0u32; READ_WORDS];
        while let Some(page) = due.pop() {
            if let Err(error) = take(page * PAGE_BYTES as usize, bytemuck::cast_slice_mut(&mut words)) {
                self.pend(due.and(Pages(1 << page)));
                return Err(error);
            }
            if let Some(failure) = worst(&words) {
                self.pend(due);
                return Ok(Some((page, failure)));
            }
        }
        Ok(None)
    }
}

/// Site, position and value of a check that failed.
type Failure = (u32, u32, i32);

/// The failure that a page tells of, if any: that of the smallest site, of these the one at the smallest position.
fn worst(words: &[u32]) -> Option<Failure> {
    let count = words.first().map_or(0, |n| *n as usize).min(RECORDED);
    let records = words.get(1..1 + 3 * count)?.chunks_exact(3);
    records.map(|r| (r[0], r[2], r[1] as i32)).min()
}

impl Registry {
    /// Forgets the sites of programs that are gone, once these pages too have been examined.
    fn sweep(&mut self, examined: Pages) {
        self.programs.retain_mut(|program| match &mut program.left {
            None => true,
            Some(left) => {
                left.0 &= !examined.0;
                left.0 != 0
            }
        });
    }

    fn error(&self, number: u32, position: u32, value: i32) -> Error {
        let site = self.programs.iter().find_map(|p| p.sites.get(number.wrapping_sub(p.base) as usize));
        match site {
            Some(site) => site.error(i64::from(value), u64::from(position)),
            None => Error::Kernel(format!("check {number} failed with {value} at {position}")),
        }
    }
}
