//! Matrices inside arrays whose map is a sum of a part of the row and a part of the column: windows of images, say.

use std::ops::Range;

use crate::cpu::address::{Axes, Guarded, Line, MAX_GUARDS, Walk};
use crate::kernel::{Affine, Map};

/// An address in a table; of no use outside the run of a program that made it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Pointer(pub(crate) *const f32);

impl Default for Pointer {
    fn default() -> Pointer {
        Pointer(std::ptr::null())
    }
}

/// Most runs whose places are kept.
const MOST_RUNS: usize = 1 << 15;

/// Addresses of the rows and of the runs of columns of a matrix whose map is a sum of the two.
#[derive(Debug)]
pub(crate) struct Separable {
    rows: Walk,
    /// See [`Walk::single`].
    single: bool,
    /// Base and guard positions where each run of columns starts.
    runs: Vec<[i64; MAX_GUARDS + 1]>,
    /// Columns of a run; they follow each other in memory.
    pub(crate) run: usize,
}

impl Separable {
    /// The map as rows × columns, or `None` where columns do not follow each other in runs that are inside or outside
    /// as a whole.
    pub(crate) fn new(map: &Map, rows: &Axes, columns: &Axes) -> Option<Separable> {
        let all: Axes = rows.iter().chain(columns).copied().collect();
        let whole = Walk::new(map, &all);
        if whole.guards.len() > MAX_GUARDS {
            return None;
        }
        let part = |axes: &Axes, constant: bool| {
            let line = |affine: &Affine| {
                let mut line = Line::new(affine, axes);
                if !constant {
                    line.offset = 0;
                }
                line
            };
            let mut walk =
                Walk { extents: axes.iter().map(|a| a.1).collect(), base: line(&map.base), guards: vec![] };
            for guard in &map.guards {
                let (low, high) = Line::new(&guard.position, &all).bounds(&all);
                let position = line(&guard.position);
                if guard.divisor == 1 && low >= 0 && high < guard.extent {
                    walk.base.add(&position, guard.stride);
                } else {
                    walk.guards.push(Guarded {
                        position,
                        divisor: guard.divisor,
                        extent: guard.extent,
                        stride: guard.stride,
                    });
                }
            }
            walk.collapse();
            walk
        };
        let (rows, columns) = (part(rows, true), part(columns, false));
        let last = columns.extents.len().checked_sub(1)?;
        let whole_runs = columns.guards.iter().all(|g| g.position.strides[last] == 0);
        if columns.base.strides[last] != 1 || !whole_runs || rows.guards.len() > MAX_GUARDS {
            return None;
        }
        let (count, run) = (columns.extents.iter().product::<usize>(), columns.extents[last]);
        if count / run.max(1) > MOST_RUNS {
            return None;
        }
        let mut runs = Vec::new();
        columns.odometer(0, count / run.max(1), run, |base, positions| {
            let mut line = [0; MAX_GUARDS + 1];
            line[0] = base;
            line[1..].copy_from_slice(positions);
            runs.push(line);
        });
        Some(Separable { single: rows.single(), rows, runs, run })
    }

    /// True where some of its elements may be outside.
    pub(crate) fn guarded(&self) -> bool {
        !self.rows.guards.is_empty()
    }

    /// Fills `table[run][row]`, runs `pitch` apart, with where each row's run starts, or with `outside`.
    pub(crate) fn fill(
        &self,
        (first, count): (usize, usize),
        runs: Range<usize>,
        pitch: usize,
        [origin, outside]: [*const f32; 2],
        table: &mut [Pointer],
    ) {
        let runs = &self.runs[runs];
        let last = self.rows.extents.len().saturating_sub(1);
        let longest = if self.single { 1 } else { usize::MAX };
        self.rows.stretches(first, count, longest, |at, length, base, positions| {
            for (line, table) in runs.iter().zip(table.chunks_exact_mut(pitch)) {
                let mut there = *positions;
                for (position, column) in there.iter_mut().zip(&line[1..]).take(self.rows.guards.len()) {
                    *position += column;
                }
                let s = self.rows.segment(&there, base + line[0], last, at, length, 1);
                let table = &mut table[at..at + length];
                table[..s.low].fill(Pointer(outside));
                table[s.high..].fill(Pointer(outside));
                let (start, step) = (origin.wrapping_offset(s.address as isize), s.step as isize);
                for (i, pointer) in table[s.low..s.high].iter_mut().enumerate() {
                    *pointer = Pointer(start.wrapping_offset((s.low + i) as isize * step));
                }
            }
        });
    }
}
