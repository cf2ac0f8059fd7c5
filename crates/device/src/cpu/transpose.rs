//! Transpositions and copies of strips of matrices into panels, for each instruction set.

use crate::cpu::isa::Isa;

/// A strip of a matrix: `rows` rows, `row` elements apart, of `length` elements that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Strip {
    pub(crate) first: *const f32,
    pub(crate) row: isize,
    pub(crate) rows: usize,
    pub(crate) length: usize,
}

/// Writes a strip's columns one after another: `target[k · rows + i] = strip[i, k]`.
///
/// # Safety
/// The strip must lie within a buffer; the instruction set is that of this machine.
pub(crate) unsafe fn transpose(isa: Isa, strip: Strip, target: &mut [f32]) {
    let Strip { first, row, rows, length } = strip;
    assert!(target.len() >= rows * length);
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Baseline {
        done = rows / 8 * 8;
        // SAFETY: the caller's promise; the target has room for all columns.
        unsafe { avx2(strip, done, target.as_mut_ptr()) };
    }
    let _ = isa;
    for i in done..rows {
        for k in 0..length {
            // SAFETY: the caller's promise.
            target[k * rows + i] = unsafe { *first.offset(i as isize * row + k as isize) };
        }
    }
}

/// The first `rows` rows, a multiple of 8, in squares of 8.
///
/// # Safety
/// As for [`transpose`]; `target` must have room for all columns.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(strip: Strip, rows: usize, target: *mut f32) {
    use std::arch::x86_64::*;
    let squares = strip.length / 8 * 8;
    // SAFETY: the caller's promise.
    unsafe {
        for i in (0..rows).step_by(8) {
            let source = strip.first.offset(i as isize * strip.row);
            for k in (0..squares).step_by(8) {
                let load = |n: usize| _mm256_loadu_ps(source.offset(n as isize * strip.row).add(k));
                let pair = |n: usize| {
                    let (a, b) = (load(n), load(n + 1));
                    (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b))
                };
                let four = |n: usize| {
                    let ((a, b), (c, d)) = (pair(n), pair(n + 2));
                    [
                        _mm256_shuffle_ps::<0x44>(a, c),
                        _mm256_shuffle_ps::<0xEE>(a, c),
                        _mm256_shuffle_ps::<0x44>(b, d),
                        _mm256_shuffle_ps::<0xEE>(b, d),
                    ]
                };
                let (low, high) = (four(0), four(4));
                for n in 0..4 {
                    let column = target.add((k + n) * strip.rows + i);
                    _mm256_storeu_ps(column, _mm256_permute2f128_ps::<0x20>(low[n], high[n]));
                    let column = column.add(4 * strip.rows);
                    _mm256_storeu_ps(column, _mm256_permute2f128_ps::<0x31>(low[n], high[n]));
                }
            }
            for k in squares..strip.length {
                for n in 0..8 {
                    *target.add(k * strip.rows + i + n) = *source.offset(n as isize * strip.row).add(k);
                }
            }
        }
    }
}

/// Deals a strip's rows out to panels of `WIDTH` columns, `distance` elements apart.
///
/// # Safety
/// As for [`transpose`]; the strip's length must be a multiple of `WIDTH`.
pub(crate) unsafe fn deal<const WIDTH: usize>(isa: Isa, strip: Strip, distance: usize, panels: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match isa {
            Isa::Baseline => deal_rows::<WIDTH>(strip, distance, panels),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => deal_avx2::<WIDTH>(strip, distance, panels),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => deal_avx512::<WIDTH>(strip, distance, panels),
        }
    }
}

/// # Safety
/// As for [`deal`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn deal_avx2<const WIDTH: usize>(strip: Strip, distance: usize, panels: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { deal_rows::<WIDTH>(strip, distance, panels) }
}

/// # Safety
/// As for [`deal`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx2")]
unsafe fn deal_avx512<const WIDTH: usize>(strip: Strip, distance: usize, panels: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { deal_rows::<WIDTH>(strip, distance, panels) }
}

/// # Safety
/// As for [`deal`].
#[inline(always)]
unsafe fn deal_rows<const WIDTH: usize>(strip: Strip, distance: usize, panels: &mut [f32]) {
    for i in 0..strip.rows {
        let first = strip.first.wrapping_offset(i as isize * strip.row);
        // SAFETY: the caller's promise.
        let row = unsafe { std::slice::from_raw_parts(first, strip.length) };
        let (chunks, _) = row.as_chunks::<WIDTH>();
        for (panel, chunk) in chunks.iter().enumerate() {
            let target = &mut panels[panel * distance + i * WIDTH..][..WIDTH];
            for (target, value) in target.iter_mut().zip(chunk) {
                *target = *value;
            }
        }
    }
}

impl Strip {
    /// Cache lines of its rows, and of one of them.
    fn lines(&self) -> (usize, usize) {
        let of_row = self.length.div_ceil(16);
        (self.rows * of_row, of_row)
    }

    /// Fetches part `number` of `parts` of the strip's lines into the cache; it need not be anywhere.
    pub(crate) fn prefetch(&self, number: usize, parts: usize) {
        let (all, of_row) = self.lines();
        let each = all.div_ceil(parts.max(1));
        for line in (number * each..all).take(each) {
            let (row, along) = (line / of_row, line % of_row);
            let at = self.first.wrapping_offset(row as isize * self.row).wrapping_add(16 * along);
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a prefetch accesses no memory.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T1>(at.cast());
            }
            let _ = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_are_transposed_and_dealt_out_on_every_instruction_set() {
        let (rows, length, row) = (19usize, 32usize, 37usize);
        let matrix: Vec<f32> = (0..rows * row).map(|i| i as f32).collect();
        for isa in Isa::runnable() {
            for length in [length, 21] {
                let strip = Strip { first: matrix.as_ptr(), row: row as isize, rows, length };
                let mut columns = vec![-1.0; rows * length];
                // SAFETY: the strip lies within the matrix.
                unsafe { transpose(isa, strip, &mut columns) };
                for (at, value) in columns.iter().enumerate() {
                    assert_eq!(*value, matrix[at % rows * row + at / rows], "{isa:?} {at}");
                }
            }
            let strip = Strip { first: matrix.as_ptr(), row: row as isize, rows, length };
            let distance = rows * 16 + 3;
            let mut panels = vec![-1.0; 2 * distance];
            // SAFETY: as above.
            unsafe { deal::<16>(isa, strip, distance, &mut panels) };
            for i in 0..rows {
                for j in 0..length {
                    assert_eq!(panels[j / 16 * distance + i * 16 + j % 16], matrix[i * row + j], "{isa:?}");
                }
            }
        }
    }
}
