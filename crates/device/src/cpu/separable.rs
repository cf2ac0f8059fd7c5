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

/// Addresses of the rows and of the runs of columns of a matrix whose map is a sum of the two.
#[derive(Debug)]
pub(crate) struct Separable {
    rows: Walk,
    /// Divisor, extent and stride of every guard.
    guards: Vec<(i64, i64, i64)>,
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
        let mut runs = Vec::new();
        columns.odometer(0, count / run.max(1), run, |base, positions| {
            let mut line = [0; MAX_GUARDS + 1];
            line[0] = base;
            line[1..].copy_from_slice(positions);
            runs.push(line);
        });
        Some(Separable {
            guards: rows.guards.iter().map(|g| (g.divisor, g.extent, g.stride)).collect(),
            rows,
            runs,
            run,
        })
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
        let mut row = 0;
        self.rows.odometer(first, count, 1, |base, positions| {
            for (line, table) in runs.iter().zip(table.chunks_exact_mut(pitch)) {
                let mut address = base + line[0];
                let mut inside = true;
                for ((divisor, extent, stride), (row, column)) in
                    self.guards.iter().zip(positions.iter().zip(&line[1..]))
                {
                    let position = row + column;
                    let coordinate = if *divisor == 1 {
                        position
                    } else {
                        inside &= position.rem_euclid(*divisor) == 0;
                        position.div_euclid(*divisor)
                    };
                    inside &= (0..*extent).contains(&coordinate);
                    address += coordinate * stride;
                }
                table[row] = Pointer(if inside { origin.wrapping_offset(address as isize) } else { outside });
            }
            row += 1;
        });
    }
}
