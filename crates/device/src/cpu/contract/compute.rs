//! The loops of a contraction over the steps of its sum, panels of rows, and tiles.

use super::{
    Area, BLOCK_K, BLOCK_N, ContractKernel, Left, Results, Right, SCRATCH, Scratch, Target, at_least, cut,
};
use crate::cpu::block::Launched;
use crate::cpu::matmul::{self, MAX_COLUMNS, Tile};
use crate::cpu::panel::{Part, pitch};
use crate::cpu::parallel;
use crate::cpu::separable::Pointer;
use crate::cpu::transpose::Strip;

/// Columns that one task packs for all.
const PACKED: usize = 128;

/// A part of the sum that is computed at a time.
#[derive(Clone, Copy)]
struct Step {
    first: usize,
    /// Length of a run of the left operand, or of all.
    length: usize,
    runs: usize,
}

impl Step {
    fn k(self) -> (usize, usize) {
        (self.first, self.length * self.runs)
    }
}

/// Where tiles of columns of the right operand are.
#[derive(Clone, Copy)]
struct Columns {
    first: *const f32,
    /// Elements between tiles.
    tile: usize,
    /// Elements between rows.
    row: isize,
}

/// Steps of about equal length, none longer than [`BLOCK_K`].
fn even(length: usize, most: usize) -> usize {
    length.div_ceil(length.div_ceil(most).max(1))
}

impl ContractKernel {
    /// The parts of a sum that are computed one after another.
    fn steps(&self, (first, count): (usize, usize)) -> impl Iterator<Item = Step> {
        let run = match (self.left, &self.lhs.runs) {
            (Left::Rows, Some(runs)) => runs.run,
            _ => usize::MAX,
        };
        let several = run <= BLOCK_K;
        let most = if several { even(count / run, BLOCK_K / run) } else { even(count.min(run), BLOCK_K) };
        let mut at = first;
        std::iter::from_fn(move || {
            let left = first + count - at;
            if left == 0 {
                return None;
            }
            let (length, runs) = match several {
                true => (run, most.min(left / run)),
                // Never across the end of a run.
                false => (most.min(run - at % run).min(left), 1),
            };
            let step = Step { first: at, length, runs };
            at += length * runs;
            Some(step)
        })
    }

    /// Computes an area from the operands into `results`, whose rows have room for whole tiles, or into scratch memory
    /// for the epilogue.
    pub(super) fn compute(
        &self,
        launched: Launched,
        area: Area,
        scratch: &mut Scratch,
        shared: &[f32],
        (results, next): (Option<Results>, Option<Area>),
    ) {
        let count = self.steps(area.k).count();
        let row = area.n.1.next_multiple_of(MAX_COLUMNS);
        // The epilogue follows panel by panel; the sums of several steps are kept for all of them.
        let kept = if count > 1 { area.m.1 } else { self.panel_m };
        let target = results.unwrap_or_else(|| {
            at_least(&mut scratch.c, kept * row);
            Results { c: scratch.c.as_mut_ptr(), row }
        });
        let place = |top: usize| if results.is_none() && count <= 1 { 0 } else { top };
        self.reserve(area, scratch);
        for number in 0..count.max(1) {
            let step = self.steps(area.k).nth(number);
            let right = step.map(|step| self.right(launched, area, (number, step), scratch, shared));
            let ahead = self.ahead(launched, area, number, next);
            for top in (0..area.m.1).step_by(self.panel_m) {
                let m = (area.m.0 + top, self.panel_m.min(area.m.1 - top));
                let panel = Area { m, ..area };
                let c = Results { c: target.c.wrapping_add(place(top) * target.row), row: target.row };
                match (step, right) {
                    (Some(step), Some(right)) => {
                        self.left(launched, panel, step, scratch);
                        let ahead = ahead.filter(|_| top == 0);
                        self.tiles(panel, step, (right, ahead), scratch, c);
                    }
                    _ => clear(c, m.1, area.n.1),
                }
                if results.is_none() && number + 1 >= count {
                    self.finish(launched, panel, &scratch.c[place(top) * row..], row);
                }
            }
        }
    }

    /// What of the right operand is packed next: of the area's next step, or of the area after it.
    fn ahead(&self, launched: Launched, area: Area, number: usize, next: Option<Area>) -> Option<Strip> {
        if self.right != Right::Packed {
            return None;
        }
        let own = self.steps(area.k).nth(number + 1).map(|step| (area, step));
        let following = || next.and_then(|next| Some((next, self.steps(next.k).next()?)));
        let (area, step) = own.or_else(following)?;
        self.rhs.strip(launched, Part { batch: area.batch, rows: area.n, k: step.k() })
    }

    /// Makes room for panels and tables.
    fn reserve(&self, area: Area, scratch: &mut Scratch) {
        let (tile_m, tile_n) = (self.kernels.rows, self.kernels.columns);
        if self.right == Right::Packed {
            at_least(&mut scratch.b, area.n.1.div_ceil(tile_n) * pitch(BLOCK_K, tile_n));
        }
        match self.left {
            Left::Packed => at_least(&mut scratch.a, self.panel_m.div_ceil(tile_m) * pitch(BLOCK_K, tile_m)),
            Left::Rows => at_least(&mut scratch.table, BLOCK_K * self.panel_m),
            Left::Columns => {
                let run = self.lhs.columns.as_ref().map_or(1, |c| c.run);
                at_least(&mut scratch.table, (self.panel_m / run + 2) * BLOCK_K);
            }
        }
        at_least(&mut scratch.line, MAX_COLUMNS * BLOCK_K.max(BLOCK_N));
    }

    /// Computes a panel of rows for a step.
    fn tiles(
        &self,
        area: Area,
        step: Step,
        (right, ahead): (Columns, Option<Strip>),
        scratch: &Scratch,
        results: Results,
    ) {
        let (tile_m, tile_n) = (self.kernels.rows, self.kernels.columns);
        let all = area.n.1.div_ceil(tile_n) * area.m.1.div_ceil(tile_m);
        let mut number = 0;
        for j in (0..area.n.1).step_by(tile_n) {
            let b = right.first.wrapping_add(j / tile_n * right.tile);
            let mut i = 0;
            while i < area.m.1 {
                let (a, rows) = self.tile(area, step, i, scratch);
                if let Some(strip) = ahead {
                    strip.prefetch(number, all);
                    number += 1;
                }
                let tile = Tile {
                    rows,
                    k: step.length,
                    runs: step.runs,
                    a,
                    b,
                    b_row: right.row,
                    c: results.c.wrapping_add(i * results.row + j),
                    c_row: results.row,
                    accumulate: step.first > area.k.0,
                };
                // SAFETY: panels, or the operands in place, hold the step's columns of full tiles, and the table all
                // runs of the tile's rows; the results have room for whole tiles.
                unsafe { self.kernels.run(&tile) };
                i += rows;
            }
        }
    }

    /// Row `i` of a panel and those after it that share a tile with it.
    fn tile(&self, area: Area, step: Step, i: usize, scratch: &Scratch) -> (matmul::Left, usize) {
        let tile_m = self.kernels.rows;
        let rows = tile_m.min(area.m.1 - i);
        let pointer = |at: usize| scratch.table[at..].as_ptr().cast();
        match (self.left, &self.lhs.columns) {
            (Left::Columns, Some(columns)) => {
                let (row, run) = (area.m.0 + i, columns.run);
                let table = pointer((row / run - area.m.0 / run) * BLOCK_K);
                (matmul::Left::Columns { table, offset: row % run }, rows.min(run - row % run))
            }
            (Left::Rows, _) => (matmul::Left::Rows { table: pointer(i), pitch: self.panel_m }, rows),
            _ => {
                let panel = &scratch.a[i / tile_m * pitch(step.k().1, tile_m)..];
                (matmul::Left::Packed(panel.as_ptr()), rows)
            }
        }
    }

    /// Makes a panel of rows of the left operand ready: packs it, or finds its runs.
    fn left(&self, launched: Launched, area: Area, step: Step, scratch: &mut Scratch) {
        let base = launched.bases.0[self.lhs.buffer].cast::<f32>().cast_const();
        let (m, k) = (area.m, step.k());
        match (self.left, &self.lhs.runs, &self.lhs.columns) {
            (Left::Rows, Some(runs), _) => {
                let run = k.0 / runs.run;
                let ends = [base.wrapping_add(k.0 - run * runs.run), self.zeros.as_ptr()];
                let table = &mut scratch.table[..step.runs * self.panel_m];
                let rows = (area.batch * self.m + m.0, m.1);
                runs.fill(rows, run..run + step.runs, self.panel_m, ends, table);
                if runs.guarded() {
                    self.skip(table, m.1);
                }
                debug_assert!(step.length <= self.zeros.len() || !runs.guarded());
            }
            (Left::Columns, _, Some(columns)) => {
                let runs = m.0 / columns.run..(m.0 + m.1 - 1) / columns.run + 1;
                let table = &mut scratch.table[..runs.len() * BLOCK_K];
                let ends = [base, self.zeros.as_ptr()];
                columns.fill((area.batch * self.k + k.0, k.1), runs, BLOCK_K, ends, table);
            }
            _ => {
                let part = Part { batch: area.batch, rows: m, k };
                self.lhs.pack(launched, part, self.kernels.rows, &mut scratch.line, &mut scratch.a);
            }
        }
    }

    /// Marks the runs that are zeros in all rows of a tile.
    fn skip(&self, table: &mut [Pointer], rows: usize) {
        for line in table.chunks_exact_mut(self.panel_m) {
            for tile in line[..rows].chunks_mut(self.kernels.rows) {
                if tile.iter().all(|p| p.0 == self.zeros.as_ptr()) {
                    tile[0] = Pointer::default();
                }
            }
        }
    }

    /// Makes the right operand of a step ready, or finds it.
    fn right(
        &self,
        launched: Launched,
        area: Area,
        (number, step): (usize, Step),
        scratch: &mut Scratch,
        shared: &[f32],
    ) -> Columns {
        let tile_n = self.kernels.columns;
        let part = Part { batch: area.batch, rows: area.n, k: step.k() };
        let packed =
            |first: *const f32| Columns { first, tile: pitch(part.k.1, tile_n), row: tile_n as isize };
        match self.right {
            Right::InPlace(row) => {
                let base = launched.bases.0[self.rhs.buffer].cast::<f32>().cast_const();
                Columns { first: base.wrapping_offset(self.rhs.first(part)), tile: tile_n, row }
            }
            Right::Shared => packed(shared[self.shared_at(area.batch, (number, step), area.n.0)..].as_ptr()),
            Right::Packed => {
                self.rhs.pack(launched, part, tile_n, &mut scratch.line, &mut scratch.b);
                packed(scratch.b.as_ptr())
            }
        }
    }

    /// Where a column stands in the shared panels.
    fn shared_at(&self, batch: usize, (number, step): (usize, Step), n: usize) -> usize {
        let tile_n = self.kernels.columns;
        let tiles = self.n.div_ceil(tile_n);
        let before = tiles * (step.first * tile_n + number * pitch(0, tile_n));
        batch * self.shared_size() / self.batch.max(1) + before + n / tile_n * pitch(step.k().1, tile_n)
    }

    /// Elements of the right operand, packed.
    pub(super) fn shared_size(&self) -> usize {
        let (tile_n, steps) = (self.kernels.columns, self.steps((0, self.k)).count());
        let tiles = self.n.div_ceil(tile_n);
        self.batch * tiles * (self.k * tile_n + steps * pitch(0, tile_n))
    }

    /// Packs the right operand for all tasks.
    pub(super) fn pack_shared(&self, launched: Launched, shared: &mut [f32]) {
        let (steps, blocks) = (self.steps((0, self.k)).count(), self.n.div_ceil(PACKED));
        let tile_n = self.kernels.columns;
        let target = Target(shared.as_mut_ptr());
        parallel(self.batch * steps * blocks, |task| {
            let (batch, number) = (task / (steps * blocks), task / blocks % steps);
            let Some(step) = self.steps((0, self.k)).nth(number) else { return };
            let n = cut(self.n, PACKED, task % blocks);
            let first = self.shared_at(batch, (number, step), n.0);
            let length = n.1.div_ceil(tile_n) * pitch(step.k().1, tile_n);
            // SAFETY: every task has its own panels, which lie within the vector.
            let panels = unsafe { std::slice::from_raw_parts_mut(target.at(first), length) };
            SCRATCH.with_borrow_mut(|scratch| {
                at_least(&mut scratch.line, MAX_COLUMNS * BLOCK_K.max(BLOCK_N));
                let part = Part { batch, rows: n, k: step.k() };
                self.rhs.pack(launched, part, tile_n, &mut scratch.line, panels);
            });
        });
    }
}

/// A sum of nothing.
fn clear(results: Results, rows: usize, columns: usize) {
    for i in 0..rows {
        // SAFETY: the results have this row, of at least these columns.
        unsafe { results.c.add(i * results.row).write_bytes(0, columns) };
    }
}
