//! Row kernels: passes over an inner loop with reductions.
//!
//! A block of lanes is a rectangle of rows × inner points. Its lanes lie along the inner loop (softmax) or along the
//! fastest rows (column sums, pooling), whichever its loads prefer. All shapes of blocks, folds and splits follow from
//! sizes alone, so that results do not depend on the number of threads.

use std::sync::Mutex;

use crate::cpu::address::Axes;
use crate::cpu::block::{Block, Launched};
use crate::cpu::fold;
use crate::cpu::lanes::Source;
use crate::cpu::parallel;
use crate::cpu::shape::{Order, Shape, Span};
use crate::cpu::tape::{Accumulator, Arg, Level, Op, Translator};
use crate::error::Result;
use crate::kernel::{Kernel, Phase, Reg, Tape};

/// Partial results of 16 blocks fold into one of the next level: the error grows with the logarithm of the length.
const LEVELS: usize = 6;
const FAN: u8 = 16;
const TASK: usize = 65_536;
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
    /// What is the same at every point.
    once: Vec<Op>,
    pub(crate) before: Vec<Op>,
    pub(crate) phases: Vec<PhaseOps>,
    shape: Shape,
    /// Parts into which the inner loop is split over tasks.
    splits: usize,
    slots: usize,
    width: usize,
    /// First slot of the accumulators' levels, and a spare slot before it.
    levels: usize,
    /// One value for each (block of rows, split, accumulator, row), where the inner loop is split.
    partials: Mutex<Vec<u32>>,
}

impl RowKernel {
    pub(crate) fn new(kernel: &Kernel, tape: &Tape, before: &[Reg], phases: &[Phase]) -> Result<RowKernel> {
        let shape = Shape::new(kernel, tape, phases);
        let mut translation = Translation {
            translator: Translator::new(kernel, tape)?,
            axes: shape.axes(kernel),
            level: shape.level(),
            keep: shape.whole(),
        };
        translation.translator.once = Some(Vec::new());
        let (before_ops, phase_ops) = translation.all(before, phases);
        let most = phase_ops.iter().map(|p| p.accumulators.len()).max().unwrap_or(0);
        let levels = translation.translator.slots + 1;
        let Shape { inner, group, chunk, .. } = shape;
        let splits = if phases.len() == 1 && shape.blocks() < 16 {
            (inner * group / TASK).clamp(1, 64).min(inner.div_ceil(chunk).max(1))
        } else {
            1
        };
        let partials = if splits > 1 { shape.blocks() * splits * most * group } else { 0 };
        Ok(RowKernel {
            once: translation.translator.once.take().unwrap_or_default(),
            before: before_ops,
            phases: phase_ops,
            shape,
            splits,
            slots: levels + most * LEVELS,
            width: group * chunk,
            levels,
            partials: Mutex::new(vec![0; partials]),
        })
    }

    pub(crate) fn tasks(&self) -> usize {
        let blocks = self.shape.blocks();
        if self.splits > 1 { blocks * self.splits } else { blocks.div_ceil(self.blocks_of_task()) }
    }

    fn blocks_of_task(&self) -> usize {
        (TASK / (self.shape.group * self.shape.inner.max(1))).max(1)
    }

    pub(crate) fn run(&self, launched: Launched) {
        if self.shape.rows == 0 {
            return;
        }
        if self.splits > 1 {
            return self.run_split(launched);
        }
        let (blocks, each) = (self.shape.blocks(), self.blocks_of_task());
        parallel(self.tasks(), |task| {
            self.with_block(launched, |block| {
                for number in task * each..((task + 1) * each).min(blocks) {
                    let span = self.shape.span(number);
                    block.execute(&self.before, span.row, span.rows);
                    for phase in &self.phases {
                        if self.shape.whole() {
                            self.whole(block, phase, span);
                        } else {
                            let mut folds = Folds::new(self, phase, span);
                            self.pass(block, &mut folds, 0, self.shape.inner);
                            folds.finish(block);
                        }
                        block.execute(&phase.after, span.row, span.rows);
                    }
                }
            });
        });
    }

    fn with_block(&self, launched: Launched, body: impl FnOnce(&mut Block)) {
        Block::with(launched, self.slots, self.width, |block| {
            block.execute(&self.once, 0, 1);
            body(block);
        });
    }

    /// Splits the inner loop: every task folds its part, then the parts fold in order.
    fn run_split(&self, launched: Launched) {
        let phase = &self.phases[0];
        let (count, group) = (phase.accumulators.len(), self.shape.group);
        let mut partials = self.partials.lock().unwrap_or_else(|e| e.into_inner());
        let of_task = (count * group).max(1);
        let part = self.shape.inner.div_ceil(self.splits).next_multiple_of(self.shape.chunk);
        let target = Partials(partials.as_mut_ptr());
        parallel(self.tasks(), |task| {
            let (number, split) = (task / self.splits, task % self.splits);
            let span = self.shape.span(number);
            self.with_block(launched, |block| {
                block.execute(&self.before, span.row, span.rows);
                let mut folds = Folds::new(self, phase, span);
                let low = (split * part).min(self.shape.inner);
                self.pass(block, &mut folds, low, (low + part).min(self.shape.inner));
                folds.finish(block);
                for (i, accumulator) in phase.accumulators.iter().enumerate() {
                    let result = block.slot(accumulator.out, span.rows);
                    // SAFETY: every task has its own part of the partial results.
                    let own = unsafe { target.part(task * of_task + i * group, span.rows) };
                    own.copy_from_slice(result);
                }
            });
        });
        for number in 0..self.shape.blocks() {
            let span = self.shape.span(number);
            self.with_block(launched, |block| {
                block.execute(&self.before, span.row, span.rows);
                let mut folds = Folds::new(self, phase, span);
                for split in 0..self.splits {
                    for i in 0..count {
                        let at = (number * self.splits + split) * of_task + i * group;
                        folds.push(block, i, &partials[at..at + span.rows]);
                    }
                }
                folds.finish(block);
                block.execute(&phase.after, span.row, span.rows);
            });
        }
    }

    /// A phase of a block that holds its rows' whole inner loops.
    fn whole(&self, block: &mut Block, phase: &PhaseOps, span: Span) {
        let inner = self.shape.inner;
        self.expand_all(block, phase, span.rows, inner);
        block.execute(&phase.each, span.first, span.rows * inner);
        for op in &phase.folds {
            if let Op::Reduce { source, accumulator } = op {
                let lanes = self.lanes(block, *source, *accumulator, span.rows * inner);
                let accumulator = phase.accumulators[*accumulator];
                self.fold(block, accumulator, lanes, span.rows, accumulator.out);
            }
        }
    }

    /// One pass of a phase over the inner points `low..high` of a block of rows.
    fn pass(&self, block: &mut Block, folds: &mut Folds, low: usize, high: usize) {
        let Span { rows, first, stride, .. } = folds.span;
        let (phase, chunk) = (folds.phase, self.shape.chunk);
        if low == high {
            return;
        }
        self.expand_all(block, phase, rows, chunk.min(high - low));
        let mut at = low;
        while at < high {
            let count = chunk.min(high - at);
            block.execute(&phase.each, first + at * stride, rows * count);
            for op in &phase.folds {
                if let Op::Reduce { source, accumulator } = op {
                    let mut lanes = self.lanes(block, *source, *accumulator, rows * count);
                    if self.shape.order == Order::InnerFast || count > 1 {
                        let accumulator = phase.accumulators[*accumulator];
                        lanes = self.fold(block, accumulator, lanes, rows, self.levels - 1);
                    }
                    folds.push(block, *accumulator, lanes);
                }
            }
            at += count;
        }
    }

    fn expand_all(&self, block: &mut Block, phase: &PhaseOps, rows: usize, count: usize) {
        for op in &phase.expansions {
            if let Op::Expand { row, out } = op {
                self.expand(block, *row, *out, rows, count);
            }
        }
    }

    fn expand(&self, block: &mut Block, row: usize, out: usize, rows: usize, count: usize) {
        let source = block.slot(row, rows);
        let target = block.slot_mut(out, rows * count);
        match self.shape.order {
            Order::InnerFast => {
                for (lanes, value) in target.chunks_exact_mut(count).zip(source) {
                    lanes.fill(*value);
                }
            }
            Order::RowFast => target.chunks_exact_mut(rows).for_each(|lanes| lanes.copy_from_slice(source)),
        }
    }

    /// The lanes that a fold reads.
    fn lanes<'b>(&self, block: &mut Block, source: Arg, number: usize, count: usize) -> &'b [u32] {
        match block.source(source, count) {
            Source::Lanes(lanes) => lanes,
            Source::Splat(bits) => {
                // The highest level's slot: it is not written before the lanes are folded.
                let lanes = block.slot_mut(self.levels + number * LEVELS + LEVELS - 1, count);
                lanes.fill(bits);
                lanes
            }
        }
    }

    /// Folds the lanes of a block into one value for each of its rows, in the slot `target`.
    fn fold<'b>(
        &self,
        block: &mut Block,
        accumulator: Accumulator,
        lanes: &[u32],
        rows: usize,
        target: usize,
    ) -> &'b [u32] {
        let (isa, Accumulator { fold, identity, .. }) = (block.launched.isa, accumulator);
        let count = lanes.len() / rows;
        block.fetch();
        let target = block.slot_mut(target, rows * count.div_ceil(2));
        match self.shape.order {
            Order::InnerFast => fold::rows(isa, fold, identity, lanes, count, &mut target[..rows]),
            Order::RowFast => fold::columns(isa, fold, lanes, rows, target),
        }
        &target[..rows]
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
    span: Span,
    counts: [[u8; LEVELS]; Kernel::MOST_REDUCTIONS],
}

impl<'a> Folds<'a> {
    fn new(kernel: &'a RowKernel, phase: &'a PhaseOps, span: Span) -> Folds<'a> {
        let counts = [[0; LEVELS]; Kernel::MOST_REDUCTIONS];
        Folds { kernel, phase, span, counts }
    }

    fn level(&self, number: usize, level: usize) -> usize {
        self.kernel.levels + number * LEVELS + level
    }

    fn push(&mut self, block: &mut Block, number: usize, values: &[u32]) {
        let Accumulator { fold, .. } = self.phase.accumulators[number];
        let mut values = values;
        for level in 0..LEVELS {
            let target = block.slot_mut(self.level(number, level), self.span.rows);
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
            values = block.slot(self.level(number, level), self.span.rows);
        }
    }

    /// Leaves every result in its row register.
    fn finish(&self, block: &mut Block) {
        for (number, accumulator) in self.phase.accumulators.iter().enumerate() {
            let out = block.slot_mut(accumulator.out, self.span.rows);
            out.fill(accumulator.identity);
            for level in (0..LEVELS).filter(|l| self.counts[number][*l] > 0) {
                let values = block.slot(self.level(number, level), self.span.rows);
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
