//! Row kernels: passes over an inner loop with reductions.
//!
//! A block of lanes is a rectangle of rows × inner points. Its lanes lie along the inner loop (softmax) or along the
//! rows (column sums), whichever its loads prefer. All shapes of blocks, folds and splits follow from sizes alone, so
//! that results do not depend on the number of threads.

use std::sync::Mutex;

use crate::cpu::address::{Axes, Walk};
use crate::cpu::block::{Block, Launched};
use crate::cpu::fold;
use crate::cpu::lanes::Source;
use crate::cpu::parallel;
use crate::cpu::tape::{Accumulator, Arg, Level, Op, Translator};
use crate::error::{Error, Result};
use crate::kernel::{Instr, Kernel, Phase, Reg, Tape};

/// Partial results of 16 blocks fold into one of the next level: the error grows with the logarithm of the length.
const LEVELS: usize = 6;
const FAN: u32 = 16;
const MAX_ACCUMULATORS: usize = 32;
/// Inner loops up to this length stay in registers between phases.
const KEEP: usize = 4096;
const BLOCK: usize = 1024;
const TASK: usize = 32_768;
/// Rows shorter than this share a block.
const SHORT: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    InnerFast,
    RowFast,
}

#[derive(Debug)]
pub(crate) struct PhaseOps {
    expansions: Vec<Op>,
    pub(crate) each: Vec<Op>,
    folds: Vec<Op>,
    pub(crate) after: Vec<Op>,
    accumulators: Vec<Accumulator>,
}

/// A translated Row kernel.
#[derive(Debug)]
pub(crate) struct RowKernel {
    pub(crate) before: Vec<Op>,
    pub(crate) phases: Vec<PhaseOps>,
    order: Order,
    rows: usize,
    inner: usize,
    /// Rows of a block.
    group: usize,
    /// Inner points of a block.
    chunk: usize,
    /// Parts into which the inner loop is split over tasks.
    splits: usize,
    slots: usize,
    width: usize,
    /// First slot of the accumulators' levels, and a spare slot before it.
    levels: usize,
    /// One value for each (block of rows, split, accumulator, row), where the inner loop is split.
    partials: Mutex<Vec<u32>>,
}

fn axes(kernel: &Kernel, order: Order) -> (Axes, Axes) {
    let rows: Axes = kernel.rows.iter().copied().enumerate().collect();
    let first = rows.len();
    let inner: Axes = kernel.inner.iter().enumerate().map(|(i, n)| (first + i, *n)).collect();
    let full = match order {
        Order::InnerFast => rows.iter().chain(&inner).copied().collect(),
        Order::RowFast => inner.iter().chain(&rows).copied().collect(),
    };
    (rows, full)
}

/// Lanes lie along the loop in which most accesses are contiguous.
fn choose_order(kernel: &Kernel, tape: &Tape, phases: &[Phase]) -> Order {
    let (rows, full) = axes(kernel, Order::InnerFast);
    let inner: Axes = full[rows.len()..].to_vec();
    let mut balance = 0i32;
    for reg in phases.iter().flat_map(|p| &p.each) {
        if let Instr::Load { map, .. } | Instr::Store { map, .. } = &tape.instrs[*reg as usize] {
            let along = |axes: &Axes| i32::from(Walk::new(map, axes).last_stride() == 1);
            balance += along(&rows) - along(&inner);
        }
    }
    let many = kernel.rows.iter().product::<usize>() >= 4;
    if balance > 0 && many { Order::RowFast } else { Order::InnerFast }
}

impl RowKernel {
    pub(crate) fn new(kernel: &Kernel, tape: &Tape, before: &[Reg], phases: &[Phase]) -> Result<RowKernel> {
        let order = choose_order(kernel, tape, phases);
        let rows: usize = kernel.rows.iter().product();
        let inner: usize = kernel.inner.iter().product();
        let (group, chunk) = match order {
            Order::InnerFast if inner < SHORT => ((BLOCK / inner.max(1)).min(rows).max(1), inner),
            Order::InnerFast if inner <= KEEP => (1, inner),
            Order::InnerFast => (1, BLOCK),
            Order::RowFast if rows <= BLOCK / 2 => (rows.max(1), (BLOCK / rows.max(1)).min(inner.max(1))),
            Order::RowFast => (BLOCK / 2, 1),
        };
        let level = if order == Order::InnerFast && group == 1 { Level::OneRow } else { Level::ManyRows };
        let keep = chunk >= inner;
        let mut translation = Translation {
            translator: Translator::new(kernel, tape)?,
            axes: axes(kernel, order),
            level,
            keep,
        };
        let (before_ops, phase_ops) = translation.all(before, phases);
        let most = phase_ops.iter().map(|p| p.accumulators.len()).max().unwrap_or(0);
        if most > MAX_ACCUMULATORS {
            return Err(Error::Kernel(format!("{}: too many reductions in one phase", kernel.name)));
        }
        let levels = translation.translator.slots + 1;
        let blocks = rows.div_ceil(group);
        let single = phases.len() == 1 && blocks < 16;
        let splits = if single {
            (inner * group / TASK).clamp(1, 64).min(inner.div_ceil(chunk.max(1)).max(1))
        } else {
            1
        };
        let partials = if splits > 1 { blocks * splits * most * group } else { 0 };
        Ok(RowKernel {
            before: before_ops,
            phases: phase_ops,
            order,
            rows,
            inner,
            group,
            chunk: chunk.max(1),
            splits,
            slots: levels + most * LEVELS,
            width: (group * chunk).max(group).max(1),
            levels,
            partials: Mutex::new(vec![0; partials]),
        })
    }

    pub(crate) fn tasks(&self) -> usize {
        let blocks = self.rows.div_ceil(self.group);
        if self.splits > 1 { blocks * self.splits } else { blocks.div_ceil(self.blocks_of_task()) }
    }

    fn blocks_of_task(&self) -> usize {
        (TASK / (self.group * self.inner.max(1))).max(1)
    }

    pub(crate) fn run(&self, launched: Launched) {
        if self.rows == 0 {
            return;
        }
        if self.splits > 1 {
            return self.run_split(launched);
        }
        let (blocks, each) = (self.rows.div_ceil(self.group), self.blocks_of_task());
        parallel(self.tasks(), |task| {
            Block::with(launched, self.slots, self.width, |block| {
                for number in task * each..((task + 1) * each).min(blocks) {
                    let (row, count) = self.rows_of(number);
                    block.execute(&self.before, row, count);
                    for phase in &self.phases {
                        let mut folds = Folds::new(self, phase, count);
                        self.pass(block, phase, &mut folds, row, 0, self.inner);
                        folds.finish(block);
                        block.execute(&phase.after, row, count);
                    }
                }
            });
        });
    }

    fn rows_of(&self, number: usize) -> (usize, usize) {
        let row = number * self.group;
        (row, self.group.min(self.rows - row))
    }

    /// Splits the inner loop: every task folds its part, then the parts fold in order.
    fn run_split(&self, launched: Launched) {
        let phase = &self.phases[0];
        let count = phase.accumulators.len();
        let blocks = self.rows.div_ceil(self.group);
        let mut partials = self.partials.lock().unwrap_or_else(|e| e.into_inner());
        let of_task = (count * self.group).max(1);
        let part = self.inner.div_ceil(self.splits).next_multiple_of(self.chunk);
        let target = Partials(partials.as_mut_ptr());
        parallel(self.tasks(), |task| {
            let (number, split) = (task / self.splits, task % self.splits);
            let (row, rows) = self.rows_of(number);
            Block::with(launched, self.slots, self.width, |block| {
                block.execute(&self.before, row, rows);
                let mut folds = Folds::new(self, phase, rows);
                let low = (split * part).min(self.inner);
                self.pass(block, phase, &mut folds, row, low, (low + part).min(self.inner));
                folds.finish(block);
                for (i, accumulator) in phase.accumulators.iter().enumerate() {
                    let result = block.slot(accumulator.out, rows);
                    // SAFETY: every task has its own part of the partial results.
                    let own = unsafe { target.part(task * of_task + i * self.group, rows) };
                    own.copy_from_slice(result);
                }
            });
        });
        for number in 0..blocks {
            let (row, rows) = self.rows_of(number);
            Block::with(launched, self.slots, self.width, |block| {
                block.execute(&self.before, row, rows);
                let mut folds = Folds::new(self, phase, rows);
                for split in 0..self.splits {
                    for i in 0..count {
                        let at = (number * self.splits + split) * of_task + i * self.group;
                        folds.push(block, i, &partials[at..at + rows]);
                    }
                }
                folds.finish(block);
                block.execute(&phase.after, row, rows);
            });
        }
    }

    /// One pass of a phase over the inner points `low..high` of a block of rows.
    fn pass(
        &self,
        block: &mut Block,
        phase: &PhaseOps,
        folds: &mut Folds,
        row: usize,
        low: usize,
        high: usize,
    ) {
        let rows = folds.rows;
        if low == high {
            return;
        }
        for op in &phase.expansions {
            if let Op::Expand { row, out } = op {
                self.expand(block, *row, *out, rows, self.chunk.min(high - low));
            }
        }
        let mut at = low;
        while at < high {
            let count = self.chunk.min(high - at);
            let start = match self.order {
                Order::InnerFast => row * self.inner + at,
                Order::RowFast => at * self.rows + row,
            };
            block.execute(&phase.each, start, rows * count);
            for op in &phase.folds {
                if let Op::Reduce { source, accumulator } = op {
                    self.fold(block, folds, *source, *accumulator, count);
                }
            }
            at += count;
        }
    }

    fn expand(&self, block: &mut Block, row: usize, out: usize, rows: usize, count: usize) {
        let source = block.slot(row, rows);
        let target = block.slot_mut(out, rows * count);
        match self.order {
            Order::InnerFast => {
                for (lanes, value) in target.chunks_exact_mut(count).zip(source) {
                    lanes.fill(*value);
                }
            }
            Order::RowFast => target.chunks_exact_mut(rows).for_each(|lanes| lanes.copy_from_slice(source)),
        }
    }

    /// Folds the lanes of a block into one value for each of its rows.
    fn fold(&self, block: &mut Block, folds: &mut Folds, source: Arg, number: usize, count: usize) {
        let isa = block.launched.isa;
        let Accumulator { fold, identity, .. } = folds.phase.accumulators[number];
        let rows = folds.rows;
        let spare = self.levels - 1;
        let lanes = match block.source(source, rows * count) {
            Source::Lanes(lanes) => lanes,
            Source::Splat(bits) => {
                // A value of its own slot: the spare one is written below.
                let lanes = block.slot_mut(self.levels + number * LEVELS + LEVELS - 1, rows * count);
                lanes.fill(bits);
                lanes
            }
        };
        match self.order {
            Order::InnerFast => {
                let target = block.slot_mut(spare, rows);
                fold::rows(isa, fold, identity, lanes, count, target);
                folds.push(block, number, target);
            }
            Order::RowFast if count == 1 => folds.push(block, number, lanes),
            Order::RowFast => {
                let target = block.slot_mut(spare, rows * count);
                target.copy_from_slice(lanes);
                let mut left = count;
                while left > 1 {
                    let half = left / 2;
                    let (low, high) = target.split_at_mut((left - half) * rows);
                    fold::accumulate(isa, fold, &mut low[..half * rows], &high[..half * rows]);
                    left -= half;
                }
                folds.push(block, number, &target[..rows]);
            }
        }
    }
}

struct Partials(*mut u32);

// SAFETY: tasks use disjoint parts.
unsafe impl Sync for Partials {}

impl Partials {
    /// # Safety
    /// No other reference to this part may be live.
    #[allow(clippy::mut_from_ref)]
    unsafe fn part(&self, first: usize, count: usize) -> &mut [u32] {
        // SAFETY: the caller's promise; the parts lie within the vector that the pointer is from.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first), count) }
    }
}

/// The accumulators of a phase for one block of rows: partial results fold 16 by 16 into higher levels.
struct Folds<'a> {
    kernel: &'a RowKernel,
    phase: &'a PhaseOps,
    rows: usize,
    counts: [[u32; LEVELS]; MAX_ACCUMULATORS],
}

impl<'a> Folds<'a> {
    fn new(kernel: &'a RowKernel, phase: &'a PhaseOps, rows: usize) -> Folds<'a> {
        Folds { kernel, phase, rows, counts: [[0; LEVELS]; MAX_ACCUMULATORS] }
    }

    fn level(&self, number: usize, level: usize) -> usize {
        self.kernel.levels + number * LEVELS + level
    }

    fn push(&mut self, block: &mut Block, number: usize, values: &[u32]) {
        let Accumulator { fold, .. } = self.phase.accumulators[number];
        let mut values = values;
        for level in 0..LEVELS {
            let target = block.slot_mut(self.level(number, level), self.rows);
            if self.counts[number][level] == 0 {
                target.copy_from_slice(values);
            } else {
                fold::accumulate(block.launched.isa, fold, target, values);
            }
            self.counts[number][level] += 1;
            if self.counts[number][level] < FAN || level + 1 == LEVELS {
                return;
            }
            self.counts[number][level] = 0;
            values = block.slot(self.level(number, level), self.rows);
        }
    }

    /// Leaves every result in its row register.
    fn finish(&self, block: &mut Block) {
        for (number, accumulator) in self.phase.accumulators.iter().enumerate() {
            let out = block.slot_mut(accumulator.out, self.rows);
            out.fill(accumulator.identity);
            for level in (0..LEVELS).filter(|l| self.counts[number][*l] > 0) {
                let values = block.slot(self.level(number, level), self.rows);
                fold::accumulate(block.launched.isa, accumulator.fold, out, values);
            }
        }
    }
}

struct Translation<'a> {
    translator: Translator<'a>,
    /// Those of rows, and of full values.
    axes: (Axes, Axes),
    level: Level,
    /// Full values stay between phases.
    keep: bool,
}

impl Translation<'_> {
    fn all(&mut self, before: &[Reg], phases: &[Phase]) -> (Vec<Op>, Vec<PhaseOps>) {
        let row_values: Vec<Reg> =
            before.iter().chain(phases.iter().flat_map(|p| &p.after)).copied().collect();
        let schedule: Vec<Reg> =
            before.iter().chain(phases.iter().flat_map(|p| p.each.iter().chain(&p.after))).copied().collect();
        self.plan(&schedule, &row_values);
        let before_ops = self.translator.section(before, 0, Level::Points, &self.axes.0, &mut Vec::new());
        self.translator.mark_rows(before);
        let mut first = before.len();
        let mut translated = Vec::new();
        for phase in phases {
            if !self.keep {
                let schedule: Vec<Reg> = phase.each.iter().chain(&phase.after).copied().collect();
                self.plan(&schedule, &row_values);
                first = 0;
            }
            translated.push(self.phase(phase, first));
            first += phase.each.len() + phase.after.len();
        }
        (before_ops, translated)
    }

    fn plan(&mut self, schedule: &[Reg], row_values: &[Reg]) {
        self.translator.plan_uses(schedule);
        for reg in row_values {
            self.translator.pin(*reg);
        }
    }

    fn phase(&mut self, phase: &Phase, first: usize) -> PhaseOps {
        let (mut expansions, mut folds, mut accumulators) = (Vec::new(), Vec::new(), Vec::new());
        let translator = &mut self.translator;
        let each = translator.section(&phase.each, first, self.level, &self.axes.1, &mut expansions);
        for reg in &phase.after {
            translator.reduce(*reg, self.level, &mut accumulators, &mut expansions, &mut folds);
        }
        let after_first = first + phase.each.len();
        let after =
            translator.section(&phase.after, after_first, Level::Points, &self.axes.0, &mut Vec::new());
        translator.mark_rows(&phase.after);
        translator.end_phase();
        PhaseOps { expansions, each, folds, after, accumulators }
    }
}
