//! Loads and stores of lanes of either width.

use crate::cpu::address::{Path, Segment, Walk};
use crate::cpu::block;
use crate::cpu::lanes::Source;
use crate::cpu::wide::lanes::{Lanes, Long, View};
use crate::dtype::DType;

/// Reads one element as the bits of its register.
///
/// # Safety
/// `base` must point to a buffer of `dtype` that has element `at`.
#[inline(always)]
pub(crate) unsafe fn read(base: *const u8, dtype: DType, at: i64) -> u64 {
    // SAFETY: the caller's promise; memory of buffers is aligned to 64 bytes.
    unsafe {
        match dtype {
            DType::F64 | DType::I64 => *base.cast::<u64>().offset(at as isize),
            _ => u64::from(block::read(base, dtype, at)),
        }
    }
}

/// Writes the bits of a register as one element.
///
/// # Safety
/// As for [`read`]; nothing else may use the element at the time.
#[inline(always)]
pub(crate) unsafe fn write(base: *mut u8, dtype: DType, at: i64, bits: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::F64 | DType::I64 => *base.cast::<u64>().offset(at as isize) = bits,
            _ => block::write(base, dtype, at, bits as u32),
        }
    }
}

/// Loads the points `start..` of a path into all lanes.
pub(crate) fn load(base: *const u8, dtype: DType, path: &Path, fill: u64, start: usize, out: &mut Lanes) {
    match out {
        Lanes::Narrow(out) => block::load(base, dtype, &path.walk, fill as u32, start, out),
        Lanes::Wide(out) => path.segments(start, out.len(), |s| segment(base, &s, fill, out)),
    }
}

/// Loads the points `start..` of a walk as 64-bit elements, 0 outside its guards.
pub(crate) fn load_words(base: *const u8, walk: &Walk, start: usize, out: &mut [u64]) {
    walk.segments(start, out.len(), |s| segment(base, &s, 0, out));
}

fn segment(base: *const u8, s: &Segment, fill: u64, out: &mut [u64]) {
    let mut first = s.address + s.low as i64 * s.step;
    for run in out[s.at..s.at + s.runs * s.count].chunks_exact_mut(s.count) {
        run[..s.low].fill(fill);
        run[s.high..].fill(fill);
        let inside = &mut run[s.low..s.high];
        // SAFETY: the points `low..high` are inside all guards, hence within the buffer (kernel contract).
        unsafe {
            let source = base.cast::<u64>().wrapping_offset(first as isize);
            if s.step == 1 {
                std::ptr::copy_nonoverlapping(source, inside.as_mut_ptr(), inside.len());
            } else {
                for (i, lane) in inside.iter_mut().enumerate() {
                    *lane = *source.offset(i as isize * s.step as isize);
                }
            }
        }
        first += s.pitch;
    }
}

/// Stores lanes at the points `start..start + count` of a path.
pub(crate) fn store(base: *mut u8, dtype: DType, path: &Path, value: View, start: usize, count: usize) {
    let value = match value {
        View::Narrow(value) => return block::store(base, dtype, path, value, start, count),
        View::Wide(value) => value,
    };
    path.segments(start, count, |s| {
        for run in 0..s.runs {
            let first = s.address + run as i64 * s.pitch + s.low as i64 * s.step;
            let (low, inside) = (s.at + run * s.count + s.low, s.high - s.low);
            let target = base.cast::<u64>().wrapping_offset(first as isize);
            // SAFETY: the points `low..high` are inside all guards, hence within the buffer, and no other task writes or
            // reads these elements (kernel contract).
            unsafe {
                match value {
                    Long::Lanes(lanes) if s.step == 1 => {
                        let lanes = &lanes[low..low + inside];
                        std::ptr::copy_nonoverlapping(lanes.as_ptr(), target, inside);
                    }
                    Long::Lanes(lanes) => {
                        for (i, lane) in lanes[low..low + inside].iter().enumerate() {
                            *target.offset(i as isize * s.step as isize) = *lane;
                        }
                    }
                    Long::Splat(bits) => {
                        for i in 0..inside {
                            *target.offset(i as isize * s.step as isize) = bits;
                        }
                    }
                }
            }
        }
    });
}

/// Loads elements at computed indices, clamped to the buffer's `len` elements.
pub(crate) fn gather(base: *const u8, dtype: DType, index: Source, len: usize, out: &mut Lanes) {
    let out = match out {
        Lanes::Narrow(out) => return block::gather(base, dtype, index, len, out),
        Lanes::Wide(out) => out,
    };
    for (i, lane) in out.iter_mut().enumerate() {
        let index = match index {
            Source::Lanes(lanes) => lanes[i],
            Source::Splat(bits) => bits,
        };
        let at = i64::from(index as i32).clamp(0, len as i64 - 1);
        // SAFETY: the index is clamped to the elements of the buffer.
        *lane = if len == 0 { 0 } else { unsafe { read(base, dtype, at) } };
    }
}
