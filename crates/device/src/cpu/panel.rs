//! One operand of a contraction as a matrix: how its panels are packed, or found in memory as they are.

use crate::cpu::address::{Axes, Walk};
use crate::cpu::block::{self, Launched};
use crate::cpu::separable::Separable;
use crate::cpu::transpose::{Strip, deal, transpose};
use crate::dtype::DType;
use crate::kernel::{Kernel, Operand};

/// One operand as a matrix of rows (m or n) by k, for every batch index.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) buffer: usize,
    pub(crate) dtype: DType,
    walk: Walk,
    /// The walk's fastest axes are the rows, not k.
    rows_fast: bool,
    pub(crate) rows: usize,
    pub(crate) k: usize,
    /// The strides of rows and of k, where each is one number and no element is outside.
    pub(crate) plain: Option<(isize, isize)>,
    /// Runs along k that lie in memory as they are: of the left operand.
    pub(crate) runs: Option<Separable>,
    /// Runs along the rows that lie in memory as they are, at every k: of the left operand.
    pub(crate) columns: Option<Separable>,
}

pub(crate) fn product(axes: &[(usize, usize)]) -> usize {
    axes.iter().map(|a| a.1).product()
}

/// Elements between panels: a cache line more than they hold, so that they do not fall on the same cache sets.
pub(crate) fn pitch(length: usize, width: usize) -> usize {
    length * width + 16
}

/// A block of a matrix: batch index, rows (first, count) and columns (first, count).
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) batch: usize,
    pub(crate) rows: (usize, usize),
    pub(crate) k: (usize, usize),
}

impl Side {
    /// The left operand over these batch, row and k axes, which may be read as it lies in memory.
    pub(crate) fn left(kernel: &Kernel, operand: &Operand, axes: [&[(usize, usize)]; 3]) -> Side {
        let mut side = Side::right(kernel, operand, axes);
        let [batch, rows, k] = axes;
        if side.dtype == DType::F32 {
            side.runs = Separable::new(&operand.map, &[batch, rows].concat(), &k.to_vec());
            side.columns = Separable::new(&operand.map, &[batch, k].concat(), &rows.to_vec());
        }
        side
    }

    /// The right operand over these batch, row (n) and k axes.
    pub(crate) fn right(kernel: &Kernel, operand: &Operand, axes: [&[(usize, usize)]; 3]) -> Side {
        let [batch, rows, k] = axes;
        let dtype = kernel.buffers[operand.buffer].dtype;
        let alone = |axes: &[(usize, usize)]| Walk::new(&operand.map, &axes.to_vec());
        let (along_rows, along_k) = (alone(rows), alone(k));
        let rows_fast =
            along_k.last_stride() != 1 && (along_rows.last_stride() == 1 || product(k) < product(rows));
        let order: Axes = if rows_fast { [batch, k, rows].concat() } else { [batch, rows, k].concat() };
        let walk = Walk::new(&operand.map, &order);
        let strides = (along_rows.single_stride(), along_k.single_stride());
        let plain = match strides {
            (Some(row), Some(k)) if dtype == DType::F32 && walk.guards.is_empty() => {
                Some((row as isize, k as isize))
            }
            _ => None,
        };
        Side {
            buffer: operand.buffer,
            dtype,
            walk,
            rows_fast,
            rows: product(rows),
            k: product(k),
            plain,
            runs: None,
            columns: None,
        }
    }

    /// Where a part lies in memory, if it is a strip there.
    pub(crate) fn strip(&self, launched: Launched, part: Part) -> Option<Strip> {
        let base = launched.bases.0[self.buffer].cast::<f32>().cast_const();
        let (row, rows, length) = match self.plain? {
            (1, k) => (k, part.k.1, part.rows.1),
            (row, 1) => (row, part.rows.1, part.k.1),
            _ => return None,
        };
        Some(Strip { first: base.wrapping_offset(self.first(part)), row, rows, length })
    }

    /// The number of a point in walking order.
    fn point(&self, batch: usize, row: usize, k: usize) -> usize {
        if self.rows_fast {
            (batch * self.k + k) * self.rows + row
        } else {
            (batch * self.rows + row) * self.k + k
        }
    }

    fn line(&self, launched: Launched, start: usize, out: &mut [u32]) {
        let base = launched.bases.0[self.buffer].cast_const();
        block::load(base, self.dtype, &self.walk, 0, start, out);
    }

    /// One element, as a lane.
    pub(crate) fn element(&self, launched: Launched, batch: usize, row: usize, k: usize) -> u32 {
        let mut lane = [0];
        self.line(launched, self.point(batch, row, k), &mut lane);
        lane[0]
    }

    /// Packs a part as panels of `width` rows, k by k, [`pitch`] apart, the last one padded with zeros.
    pub(crate) fn pack(
        &self,
        launched: Launched,
        part: Part,
        width: usize,
        line: &mut [u32],
        panels: &mut [f32],
    ) {
        let base = launched.bases.0[self.buffer].cast::<f32>().cast_const();
        let source = base.wrapping_offset(self.first(part));
        let distance = pitch(part.k.1, width);
        let whole = part.rows.1.is_multiple_of(width);
        match self.plain {
            Some((1, k)) if whole && matches!(width, 6 | 12 | 16 | 32) => {
                let strip = Strip { first: source, row: k, rows: part.k.1, length: part.rows.1 };
                // SAFETY: the part lies within the matrix, whose elements all lie within the buffer.
                unsafe {
                    match width {
                        6 => deal::<6>(launched.isa, strip, distance, panels),
                        12 => deal::<12>(launched.isa, strip, distance, panels),
                        16 => deal::<16>(launched.isa, strip, distance, panels),
                        _ => deal::<32>(launched.isa, strip, distance, panels),
                    }
                }
            }
            Some(strides) => {
                for (panel, row) in (0..part.rows.1).step_by(width).enumerate() {
                    let target = &mut panels[panel * distance..][..part.k.1 * width];
                    let rows = width.min(part.rows.1 - row);
                    let first = source.wrapping_offset(row as isize * strides.0);
                    // SAFETY: as above.
                    unsafe {
                        match strides {
                            (row, 1) if rows == width => {
                                let strip = Strip { first, row, rows, length: part.k.1 };
                                transpose(launched.isa, strip, target);
                            }
                            _ => pack_plain(first, strides, rows, width, target),
                        }
                    }
                }
            }
            None if self.rows_fast => self.pack_columns(launched, part, width, line, panels),
            None => self.pack_rows(launched, part, width, line, panels),
        }
    }

    /// The address of a part's first element.
    pub(crate) fn first(&self, part: Part) -> isize {
        let point = self.point(part.batch, part.rows.0, part.k.0);
        self.walk.address(point).unwrap_or(0) as isize
    }

    fn pack_columns(
        &self,
        launched: Launched,
        part: Part,
        width: usize,
        line: &mut [u32],
        panels: &mut [f32],
    ) {
        let line = &mut line[..part.rows.1.next_multiple_of(width)];
        line[part.rows.1..].fill(0);
        let distance = pitch(part.k.1, width);
        for step in 0..part.k.1 {
            let start = self.point(part.batch, part.rows.0, part.k.0 + step);
            self.line(launched, start, &mut line[..part.rows.1]);
            let target = &mut panels[step * width..];
            match width {
                12 => copy_line::<12>(line, target, distance),
                32 => copy_line::<32>(line, target, distance),
                16 => copy_line::<16>(line, target, distance),
                6 => copy_line::<6>(line, target, distance),
                8 => copy_line::<8>(line, target, distance),
                _ => copy_line::<4>(line, target, distance),
            }
        }
    }

    fn pack_rows(&self, launched: Launched, part: Part, width: usize, line: &mut [u32], panels: &mut [f32]) {
        let length = part.k.1;
        for (panel, first) in (0..part.rows.1).step_by(width).enumerate() {
            let count = width.min(part.rows.1 - first);
            let line = &mut line[..width * length];
            for i in 0..count {
                let start = self.point(part.batch, part.rows.0 + first + i, part.k.0);
                self.line(launched, start, &mut line[i * length..][..length]);
            }
            line[count * length..].fill(0);
            let target = &mut panels[panel * pitch(length, width)..][..length * width];
            let strip = Strip { first: line.as_ptr().cast(), row: length as isize, rows: width, length };
            // SAFETY: the line holds this many rows.
            unsafe { transpose(launched.isa, strip, target) };
        }
    }
}

/// Packs one panel of a matrix with these strides of rows and k.
///
/// # Safety
/// `base` must point to a matrix of `rows` rows and `target.len() / width` columns.
unsafe fn pack_plain(
    base: *const f32,
    (row, k): (isize, isize),
    rows: usize,
    width: usize,
    target: &mut [f32],
) {
    for (step, target) in target.chunks_exact_mut(width).enumerate() {
        for (i, target) in target.iter_mut().enumerate() {
            let at = i as isize * row + step as isize * k;
            // SAFETY: the caller's promise.
            *target = if i < rows { unsafe { *base.offset(at) } } else { 0.0 };
        }
    }
}

/// Deals a line out to panels `distance` apart.
fn copy_line<const WIDTH: usize>(line: &[u32], panels: &mut [f32], distance: usize) {
    let (chunks, _) = line.as_chunks::<WIDTH>();
    for (panel, chunk) in chunks.iter().enumerate() {
        panels[panel * distance..][..WIDTH].copy_from_slice(&chunk.map(f32::from_bits));
    }
}
