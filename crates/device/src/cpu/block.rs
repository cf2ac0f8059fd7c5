//! A block of lanes: its registers in a thread's scratch memory, and the execution of translated instructions.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::cpu::address::{Path, Segment, Walk};
use crate::cpu::isa::Isa;
use crate::cpu::lanes::{self, Kind, Source};
use crate::cpu::tape::{Arg, Op, Position};
use crate::dtype::DType;

/// Base addresses of a launch's buffers.
#[derive(Clone, Copy)]
pub(crate) struct Bases<'a>(pub(crate) &'a [*mut u8]);

// SAFETY: the executor runs one program at a time, and tasks of a launch write disjoint elements (kernel contract).
unsafe impl Send for Bases<'_> {}
// SAFETY: as above.
unsafe impl Sync for Bases<'_> {}

/// A failed check: launch, site, position, value. The smallest is reported.
pub(crate) type Failure = (usize, u32, u32, i64);

/// What the tasks of one launch share.
#[derive(Clone, Copy)]
pub(crate) struct Launched<'a> {
    pub(crate) isa: Isa,
    pub(crate) bases: Bases<'a>,
    pub(crate) failure: &'a Mutex<Option<Failure>>,
    /// Number of the launch in its program.
    pub(crate) number: usize,
}

impl Launched<'_> {
    /// Reports a failed check.
    pub(crate) fn fail(&self, site: u32, position: u32, value: i64) {
        let failure = (self.number, site, position, value);
        let mut first = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        if first.is_none_or(|known| failure < known) {
            *first = Some(failure);
        }
    }
}

/// Registers of `width` lanes each.
pub(crate) struct Block<'a> {
    pub(crate) launched: Launched<'a>,
    memory: *mut u32,
    width: usize,
    /// Where each register's lanes are: in `memory`, or borrowed from a buffer.
    lanes: &'a mut [*const u32],
    /// What the next block will read: first lane and number of cache lines that are not fetched yet.
    ahead: [(*const u32, usize); STREAMS],
    streams: usize,
}

/// Loads of a block whose next elements are fetched early.
const STREAMS: usize = 4;
/// Cache lines of each that an instruction fetches: few enough to be under way at once beside its own accesses.
const LINES: usize = 12;

#[derive(Default)]
struct Scratch {
    memory: Vec<u32>,
    lanes: Vec<*const u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lanes between two registers, more than a block's width so that registers do not fall on the same cache sets.
const SKEW: usize = 16;

impl<'a> Block<'a> {
    /// Calls `body` with a block of `slots` registers of `width` lanes. The memory is this thread's, kept between calls.
    pub(crate) fn with<R>(
        launched: Launched<'a>,
        slots: usize,
        width: usize,
        body: impl FnOnce(&mut Block) -> R,
    ) -> R {
        SCRATCH.with_borrow_mut(|scratch| {
            let pitch = width.next_multiple_of(16) + SKEW;
            let need = slots * pitch + 16;
            if scratch.memory.len() < need {
                scratch.memory.resize(need, 0);
            }
            if scratch.lanes.len() < slots {
                scratch.lanes.resize(slots, std::ptr::null());
            }
            let shift = scratch.memory.as_ptr().align_offset(64);
            let memory = scratch.memory[shift..].as_mut_ptr();
            let mut block = Block {
                launched,
                memory,
                width: pitch,
                lanes: &mut scratch.lanes[..slots],
                ahead: [(std::ptr::null(), 0); STREAMS],
                streams: 0,
            };
            let result = body(&mut block);
            settle();
            result
        })
    }

    /// The lanes of a register for writing.
    pub(crate) fn slot_mut<'b>(&mut self, slot: usize, count: usize) -> &'b mut [u32] {
        assert!(slot < self.lanes.len() && count <= self.width);
        // SAFETY: the scratch memory has `slots × width` lanes, and the translator never lets an instruction's
        // result share a slot with an operand, so that no other reference to this slot is live.
        unsafe {
            let pointer = self.memory.add(slot * self.width);
            self.lanes[slot] = pointer;
            std::slice::from_raw_parts_mut(pointer, count)
        }
    }

    /// The lanes of a register.
    pub(crate) fn slot<'b>(&self, slot: usize, count: usize) -> &'b [u32] {
        debug_assert!(count <= self.width);
        // SAFETY: the register was written or borrowed with at least `count` lanes; see `slot_mut` for aliasing.
        unsafe { std::slice::from_raw_parts(self.lanes[slot], count) }
    }

    /// Lets a register be elements of a buffer that nothing reads, for writing.
    fn stored<'b>(&mut self, slot: usize, buffer: usize, first: i64, count: usize) -> &'b mut [u32] {
        let base = self.launched.bases.0[buffer].cast::<u32>();
        // SAFETY: the store's addresses are within the buffer, no other task writes them, and no load of the kernel
        // reads a write-only buffer.
        unsafe {
            let pointer = base.offset(first as isize);
            self.lanes[slot] = pointer;
            std::slice::from_raw_parts_mut(pointer, count)
        }
    }

    /// Lets a register be lanes that lie elsewhere; they must outlive its use.
    pub(crate) fn borrow(&mut self, slot: usize, lanes: &[f32]) {
        self.lanes[slot] = lanes.as_ptr().cast();
    }

    pub(crate) fn source<'b>(&self, arg: Arg, count: usize) -> Source<'b> {
        match arg {
            Arg::Slot(slot) => Source::Lanes(self.slot(slot, count)),
            Arg::First(slot) => Source::Splat(self.slot(slot, 1)[0]),
            Arg::Bits(bits) => Source::Splat(bits),
        }
    }

    /// Executes instructions over the points `start..start + count` of their walks.
    pub(crate) fn execute(&mut self, ops: &[Op], start: usize, count: usize) {
        for op in ops {
            self.fetch();
            match op {
                Op::Compute { kind, args, out, store } => {
                    self.compute(*kind, *args, *out, store, start, count)
                }
                Op::Load { path, buffer, dtype, fill, borrow, ahead, out } => {
                    let base = self.launched.bases.0[*buffer].cast_const();
                    match path.walk.run(start, count) {
                        Some(first) if *borrow && dtype.host_size() == 4 => {
                            let lanes = base.cast::<u32>().wrapping_offset(first as isize);
                            if *ahead {
                                self.ahead[self.streams % STREAMS] =
                                    (lanes.wrapping_add(count), count.div_ceil(16));
                                self.streams += 1;
                            }
                            self.lanes[*out] = lanes;
                        }
                        _ => load_path(base, *dtype, path, *fill, start, self.slot_mut(*out, count)),
                    }
                }
                Op::Store { path, buffer, dtype, value, stream } => {
                    let base = self.launched.bases.0[*buffer];
                    let value = self.source(*value, count);
                    match (value, path.walk.run(start, count)) {
                        (Source::Lanes(lanes), Some(first)) if *stream => {
                            // SAFETY: the run is within the buffer, and no other task uses these elements (kernel
                            // contract).
                            unsafe { stream_run(base.cast::<u32>().offset(first as isize), lanes) };
                        }
                        _ => store(base, *dtype, path, value, start, count),
                    }
                }
                Op::Index { path, out } => index(path, start, self.slot_mut(*out, count)),
                Op::LoadAt { buffer, dtype, index, len, out } => {
                    let base = self.launched.bases.0[*buffer].cast_const();
                    let index = self.source(*index, count);
                    gather(base, *dtype, index, *len, self.slot_mut(*out, count));
                }
                Op::Check { ok, value, position, site } => {
                    self.check([*ok, *value], position, *site, start, count)
                }
                Op::Expand { .. } | Op::Reduce { .. } => unreachable!("executed by the row loop"),
            }
        }
    }

    /// Fetches a part of what the next block will read.
    pub(crate) fn fetch(&mut self) {
        for (next, left) in &mut self.ahead[..self.streams.min(STREAMS)] {
            let lines = (*left).min(LINES);
            prefetch(*next, lines);
            (*next, *left) = (next.wrapping_add(lines * 16), *left - lines);
        }
    }

    /// Computes lanes, in the buffer itself where they are stored in one run.
    fn compute(
        &mut self,
        kind: Kind,
        args: [Arg; 3],
        out: usize,
        stored: &Option<(usize, Path)>,
        start: usize,
        count: usize,
    ) {
        let isa = self.launched.isa;
        let args = args.map(|a| self.source(a, count));
        let Some((buffer, path)) = stored else {
            return lanes::compute(isa, kind, args, self.slot_mut(out, count));
        };
        match path.walk.run(start, count) {
            Some(first) => lanes::compute(isa, kind, args, self.stored(out, *buffer, first, count)),
            None => {
                let lanes = self.slot_mut(out, count);
                lanes::compute(isa, kind, args, lanes);
                let base = self.launched.bases.0[*buffer];
                store(base, DType::U32, path, Source::Lanes(lanes), start, count);
            }
        }
    }

    fn check(&self, [ok, value]: [Arg; 2], position: &Position, site: u32, start: usize, count: usize) {
        // Nearly always all hold, which is seen without a branch for each lane: true is 1.
        let holds = match self.source(ok, count) {
            Source::Lanes(lanes) => lanes.iter().fold(1, |all, ok| all & ok) != 0,
            Source::Splat(bits) => bits != 0,
        };
        if holds {
            return;
        }
        let at = |arg: Arg, i: usize| match self.source(arg, count) {
            Source::Lanes(lanes) => lanes[i],
            Source::Splat(bits) => bits,
        };
        let positions: Vec<u32> = match position {
            Position::Value(arg) => (0..count).map(|i| at(*arg, i)).collect(),
            Position::Walked(path) => {
                let mut positions = vec![0; count];
                index(path, start, &mut positions);
                positions
            }
        };
        for i in (0..count).filter(|i| at(ok, *i) == 0) {
            self.launched.fail(site, positions[i], i64::from(at(value, i) as i32));
        }
    }
}

/// What the fast path says of 64-bit types, which it is never given.
pub(crate) const WIDE: &str = "kernels with 64-bit values have an executor of their own";

/// Reads one element as a lane.
///
/// # Safety
/// `base` must point to a buffer of `dtype` that has element `at`.
#[inline(always)]
pub(crate) unsafe fn read(base: *const u8, dtype: DType, at: i64) -> u32 {
    let at = at as isize;
    // SAFETY: the caller's promise; memory of buffers is aligned to 64 bytes.
    unsafe {
        match dtype {
            DType::F32 | DType::I32 | DType::U32 => *base.cast::<u32>().offset(at),
            DType::F16 => (*base.cast::<half::f16>().offset(at)).to_f32().to_bits(),
            DType::BF16 => u32::from(*base.cast::<u16>().offset(at)) << 16,
            DType::U8 | DType::Bool => u32::from(*base.offset(at)),
            DType::F64 | DType::I64 => unreachable!("{WIDE}"),
        }
    }
}

/// Writes one lane as an element.
///
/// # Safety
/// As for [`read`]; nothing else may use the element at the time.
#[inline(always)]
pub(crate) unsafe fn write(base: *mut u8, dtype: DType, at: i64, lane: u32) {
    let at = at as isize;
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::F32 | DType::I32 | DType::U32 => *base.cast::<u32>().offset(at) = lane,
            DType::F16 => *base.cast::<half::f16>().offset(at) = half::f16::from_f32(f32::from_bits(lane)),
            DType::BF16 => *base.cast::<half::bf16>().offset(at) = half::bf16::from_f32(f32::from_bits(lane)),
            DType::U8 | DType::Bool => *base.offset(at) = lane as u8,
            DType::F64 | DType::I64 => unreachable!("{WIDE}"),
        }
    }
}

/// Fetches cache lines that will be read soon; addresses outside any buffer are harmless.
fn prefetch(first: *const u32, lines: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch accesses no memory.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * 16).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (first, lines);
}

/// Stores lanes past the cache; [`settle`] must follow before another thread reads them.
///
/// # Safety
/// `first` must point to as many elements that nothing else uses.
unsafe fn stream_run(first: *mut u32, lanes: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    let (first, lanes) = {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
        let aligned = first.align_offset(16) == 0;
        let (blocks, rest) = if aligned { lanes.as_chunks::<4>() } else { (&[][..], lanes) };
        for (i, block) in blocks.iter().enumerate() {
            // SAFETY: the target is aligned to 16 bytes and, by the caller's promise, has these elements.
            unsafe {
                let target = first.cast::<__m128i>().add(i);
                _mm_stream_si128(target, _mm_loadu_si128(block.as_ptr().cast()));
            }
        }
        (first.wrapping_add(blocks.len() * 4), rest)
    };
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), first, lanes.len()) };
}

/// Orders streamed stores before whatever follows.
fn settle() {
    // SAFETY: SSE is part of the architecture.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

#[inline(always)]
fn load_run(base: *const u8, dtype: DType, first: i64, step: i64, out: &mut [u32]) {
    // SAFETY: the points of a run are inside all guards, hence within the buffer (kernel contract).
    unsafe {
        match (dtype.host_size(), step) {
            (4, 1) => {
                copy_lanes(base.cast::<u32>().offset(first as isize), out.as_mut_ptr(), out.len());
            }
            (4, 0) => out.fill(*base.cast::<u32>().offset(first as isize)),
            (4, step) => {
                let mut source = base.cast::<u32>().offset(first as isize);
                for lane in out {
                    *lane = *source;
                    source = source.wrapping_offset(step as isize);
                }
            }
            _ => {
                for (i, lane) in out.iter_mut().enumerate() {
                    *lane = read(base, dtype, first + i as i64 * step);
                }
            }
        }
    }
}

/// Loads the points `start..` of a walk.
pub(crate) fn load(base: *const u8, dtype: DType, walk: &Walk, fill: u32, start: usize, out: &mut [u32]) {
    walk.segments(start, out.len(), |s| load_segment(base, dtype, &s, fill, out));
}

#[inline(never)]
fn load_path(base: *const u8, dtype: DType, path: &Path, fill: u32, start: usize, out: &mut [u32]) {
    path.segments(start, out.len(), |s| load_segment(base, dtype, &s, fill, out));
}

#[inline(always)]
fn load_segment(base: *const u8, dtype: DType, s: &Segment, fill: u32, out: &mut [u32]) {
    let lanes = &mut out[s.at..s.at + s.runs * s.count];
    if s.low > 0 || s.high < s.count {
        lanes[..s.low].fill(fill);
        lanes[s.high..].fill(fill);
    }
    if s.high > s.low {
        let mut first = s.address + s.low as i64 * s.step;
        for run in lanes.chunks_exact_mut(s.count) {
            load_run(base, dtype, first, s.step, &mut run[s.low..s.high]);
            first += s.pitch;
        }
    }
}

/// The addresses of the points `start..` of a walk.
#[inline(never)]
pub(crate) fn index(path: &Path, start: usize, out: &mut [u32]) {
    path.segments(start, out.len(), |s| {
        for (run, lanes) in out[s.at..s.at + s.runs * s.count].chunks_exact_mut(s.count).enumerate() {
            let mut value = (s.address + run as i64 * s.pitch) as u32;
            if s.step == 0 {
                lanes.fill(value);
                continue;
            }
            for lane in lanes {
                *lane = value;
                value = value.wrapping_add(s.step as u32);
            }
        }
    });
}

/// Copies lanes; short runs without a call.
///
/// # Safety
/// As for [`std::ptr::copy_nonoverlapping`].
#[inline(always)]
unsafe fn copy_lanes(from: *const u32, to: *mut u32, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if count >= 128 {
            return std::ptr::copy_nonoverlapping(from, to, count);
        }
        let mut at = 0;
        macro_rules! piece {
            ($size:literal) => {
                if count & $size != 0 {
                    std::ptr::copy_nonoverlapping(from.add(at), to.add(at), $size);
                    at += $size;
                }
            };
        }
        piece!(64);
        piece!(32);
        piece!(16);
        piece!(8);
        piece!(4);
        while at < count {
            *to.add(at) = *from.add(at);
            at += 1;
        }
    }
}

/// Stores the points `start..start + count` of a walk.
#[inline(never)]
pub(crate) fn store(base: *mut u8, dtype: DType, path: &Path, value: Source, start: usize, count: usize) {
    path.segments(start, count, |s| {
        for run in 0..s.runs {
            let first = s.address + run as i64 * s.pitch + s.low as i64 * s.step;
            let at = s.at + run * s.count;
            let range = at + s.low..at + s.high;
            // SAFETY: the points `low..high` are inside all guards, hence within the buffer, and no other task
            // writes or reads these elements (kernel contract).
            unsafe {
                match value {
                    Source::Lanes(lanes) if dtype.host_size() == 4 && s.step == 1 => {
                        let target = base.cast::<u32>().offset(first as isize);
                        std::ptr::copy(lanes[range.clone()].as_ptr(), target, range.len());
                    }
                    Source::Lanes(lanes) => {
                        for (i, lane) in lanes[range].iter().enumerate() {
                            write(base, dtype, first + i as i64 * s.step, *lane);
                        }
                    }
                    Source::Splat(bits) => {
                        for i in 0..range.len() {
                            write(base, dtype, first + i as i64 * s.step, bits);
                        }
                    }
                }
            }
        }
    });
}

pub(crate) fn gather(base: *const u8, dtype: DType, index: Source, len: usize, out: &mut [u32]) {
    let last = len as i64 - 1;
    // SAFETY: the index is clamped to the elements of the buffer.
    let at = |index: u32| unsafe { read(base, dtype, i64::from(index as i32).clamp(0, last)) };
    match index {
        _ if len == 0 => out.fill(0),
        Source::Lanes(index) => {
            for (lane, index) in out.iter_mut().zip(index) {
                *lane = at(*index);
            }
        }
        Source::Splat(index) => out.fill(at(index)),
    }
}
