//! Map and Row kernels: sections of a tape over blocks of points.
//!
//! The lanes of a Row kernel lie along the inner loop of one row, or along the rows with one inner point after another:
//! whichever its loads prefer.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::cpu::address::Axes;
use crate::cpu::block::Launched;
use crate::cpu::fold::Fold;
use crate::cpu::parallel;
use crate::cpu::shape::{Order, choose_order};
use crate::cpu::wide::fold::{self, Cascade};
use crate::cpu::wide::lanes::Lanes;
use crate::cpu::wide::tape::{Plan, Registers, Section};
use crate::error::Result;
use crate::kernel::{Instr, Kernel, Phase, Reg, Tape};

/// Lanes of a block.
const WIDTH: usize = 512;
/// Inner points up to which a row of several passes is one block, so that a pass keeps what an earlier one has computed.
const LONG: usize = 2048;
/// Lanes of a block along the rows, and the instructions up to which it has so many: a whole row of memory is read faster, and
/// few registers of that length fit the first cache.
const BROAD: usize = 2048;
const SIMPLE: usize = 4;
/// Points of one task.
const TASK: usize = 32_768;
/// Inner points that fold one after another along the rows, before they become a partial result.
const RUN: usize = 64;
/// Inner loops up to this length do not fill a block: lanes lie along the rows if there are more of them.
const SHORT: usize = 32;
/// Points from which an inner loop is split over tasks, and the most parts.
const PART: usize = 65_536;
const PARTS: usize = 64;

/// A tape over a space of points.
#[derive(Debug)]
pub(crate) struct MapKernel {
    plan: Plan,
    section: Section,
    points: usize,
}

impl MapKernel {
    /// The tape at every point of these extents, whose variables are the kernel's first.
    pub(crate) fn new(kernel: &Kernel, tape: &Tape, extents: &[usize]) -> Result<MapKernel> {
        let plan = Plan::new(kernel, tape)?;
        let axes: Axes = extents.iter().copied().enumerate().collect();
        let all: Vec<Reg> = (0..tape.instrs.len() as Reg).collect();
        let section = plan.section(kernel, tape, &all, &axes);
        Ok(MapKernel { plan, section, points: extents.iter().product() })
    }

    pub(crate) fn tasks(&self) -> usize {
        self.points.div_ceil(TASK)
    }

    pub(crate) fn run(&self, launched: Launched) {
        parallel(self.tasks(), |task| {
            let mut registers = self.plan.registers(launched);
            let end = ((task + 1) * TASK).min(self.points);
            for start in (task * TASK..end).step_by(WIDTH) {
                registers.execute(&self.section, start, WIDTH.min(end - start), false);
            }
        });
    }
}

/// A fold over the inner loop.
#[derive(Debug)]
struct Reduction {
    fold: Fold,
    source: Reg,
    out: Reg,
}

#[derive(Debug)]
struct Pass {
    each: Section,
    reductions: Vec<Reduction>,
    after: Section,
}

/// A translated Row kernel.
#[derive(Debug)]
pub(crate) struct RowKernel {
    plan: Plan,
    before: Section,
    passes: Vec<Pass>,
    rows: usize,
    inner: usize,
    order: Order,
    /// Rows of a block: 1 where lanes lie along the inner loop.
    group: usize,
    /// Inner points of a block where lanes lie along them.
    chunk: usize,
    /// Parts into which the inner loop is split over tasks.
    parts: usize,
}

impl RowKernel {
    pub(crate) fn new(kernel: &Kernel, tape: &Tape, before: &[Reg], phases: &[Phase]) -> Result<RowKernel> {
        let plan = Plan::new(kernel, tape)?;
        let (rows, inner): (usize, usize) = (kernel.rows.iter().product(), kernel.inner.iter().product());
        let order = match choose_order(kernel, tape, phases) {
            _ if rows < SHORT => Order::InnerFast,
            _ if inner < SHORT => Order::RowFast,
            preferred => preferred,
        };
        let row_axes: Axes = kernel.rows.iter().copied().enumerate().collect();
        let inner_axes: Axes =
            kernel.inner.iter().enumerate().map(|(i, n)| (row_axes.len() + i, *n)).collect();
        let all_axes = match order {
            Order::InnerFast => [&row_axes[..], &inner_axes].concat(),
            Order::RowFast => [&inner_axes[..], &row_axes].concat(),
        };
        let section = |regs: &[Reg], axes: &Axes| plan.section(kernel, tape, regs, axes);
        let reduction = |reg: &Reg| match tape.instrs[*reg as usize] {
            Instr::Reduce(op, source) => {
                let fold = Fold { op, scalar: plan.types[*reg as usize] };
                Some(Reduction { fold, source, out: *reg })
            }
            _ => None,
        };
        let keep = order == Order::InnerFast && phases.len() > 1 && inner <= LONG;
        let mut kept = HashSet::new();
        let mut pass = |phase: &Phase| Pass {
            each: {
                let new = |reg: &&Reg| !keep || kept.insert(**reg);
                section(&phase.each.iter().filter(new).copied().collect::<Vec<Reg>>(), &all_axes)
            },
            reductions: phase.after.iter().filter_map(reduction).collect(),
            after: section(&phase.after, &row_axes),
        };
        let before = section(before, &row_axes);
        let passes: Vec<Pass> = phases.iter().map(&mut pass).collect();
        let chunk = if keep { inner.max(1) } else { WIDTH };
        let simple = passes.iter().all(|pass| pass.each.len() <= SIMPLE);
        let group = match order {
            Order::InnerFast => 1,
            Order::RowFast if simple => BROAD.min(rows),
            Order::RowFast => WIDTH.min(rows),
        };
        let parts = match rows.div_ceil(group) < 16 && passes.len() == 1 {
            true => (inner * group / PART).clamp(1, PARTS),
            false => 1,
        };
        Ok(RowKernel { before, passes, plan, rows, inner, order, group, chunk, parts })
    }

    fn blocks(&self) -> usize {
        self.rows.div_ceil(self.group.max(1))
    }

    fn blocks_of_task(&self) -> usize {
        (TASK / (self.group * self.inner).max(1)).max(1)
    }

    pub(crate) fn tasks(&self) -> usize {
        if self.parts > 1 {
            self.blocks() * self.parts
        } else {
            self.blocks().div_ceil(self.blocks_of_task())
        }
    }

    pub(crate) fn run(&self, launched: Launched) {
        if self.rows == 0 {
            return;
        }
        if self.parts > 1 {
            return self.run_parts(launched);
        }
        let each = self.blocks_of_task();
        parallel(self.tasks(), |task| {
            let mut registers = self.plan.registers(launched);
            for block in task * each..((task + 1) * each).min(self.blocks()) {
                let (first, count) = self.block(block);
                self.row_section(&mut registers, &self.before, first, count);
                for pass in &self.passes {
                    let folded = self.fold(&mut registers, pass, (first, count), (0, self.inner));
                    self.finish(&mut registers, pass, folded, (first, count));
                }
            }
        });
    }

    /// Splits the inner loop: every task folds its part, then the parts fold in order.
    fn run_parts(&self, launched: Launched) {
        let pass = &self.passes[0];
        let found: Vec<Mutex<Vec<Lanes>>> = (0..self.tasks()).map(|_| Mutex::default()).collect();
        let part = self.inner.div_ceil(self.parts).next_multiple_of(WIDTH);
        parallel(self.tasks(), |task| {
            let mut registers = self.plan.registers(launched);
            let (first, count) = self.block(task / self.parts);
            self.row_section(&mut registers, &self.before, first, count);
            let low = (task % self.parts * part).min(self.inner);
            let range = (low, (low + part).min(self.inner));
            let folded = self.fold(&mut registers, pass, (first, count), range);
            *found[task].lock().unwrap_or_else(PoisonError::into_inner) = folded;
        });
        for block in 0..self.blocks() {
            let mut registers = self.plan.registers(launched);
            let (first, count) = self.block(block);
            self.row_section(&mut registers, &self.before, first, count);
            let mut sums: Vec<Cascade> = pass.reductions.iter().map(|_| Cascade::default()).collect();
            for part in &found[block * self.parts..(block + 1) * self.parts] {
                let folded = std::mem::take(&mut *part.lock().unwrap_or_else(PoisonError::into_inner));
                for ((sum, reduction), lanes) in sums.iter_mut().zip(&pass.reductions).zip(folded) {
                    sum.push(launched.isa, reduction.fold, lanes);
                }
            }
            let finished = sums.into_iter().zip(&pass.reductions);
            let folded = finished.map(|(sum, r)| sum.finish(launched.isa, r.fold, count)).collect();
            self.finish(&mut registers, pass, folded, (first, count));
        }
    }

    /// The rows of a block: the first, and how many.
    fn block(&self, number: usize) -> (usize, usize) {
        let first = number * self.group;
        (first, self.group.min(self.rows - first))
    }

    fn row_section(&self, registers: &mut Registers, section: &Section, first: usize, count: usize) {
        registers.execute(section, first, count, self.order == Order::InnerFast);
    }

    /// Sets the results of a pass's reductions and executes what follows from them.
    fn finish(
        &self,
        registers: &mut Registers,
        pass: &Pass,
        folded: Vec<Lanes>,
        (first, count): (usize, usize),
    ) {
        for (reduction, lanes) in pass.reductions.iter().zip(folded) {
            registers.set(reduction.out, lanes, self.order == Order::InnerFast);
        }
        self.row_section(registers, &pass.after, first, count);
    }

    /// Runs a pass over the inner points `low..high` of some rows: the result of each reduction, one lane a row.
    fn fold(
        &self,
        registers: &mut Registers,
        pass: &Pass,
        (row, rows): (usize, usize),
        (low, high): (usize, usize),
    ) -> Vec<Lanes> {
        match self.order {
            Order::InnerFast => self.fold_along(registers, pass, row, (low, high)),
            Order::RowFast => self.fold_across(registers, pass, (row, rows), (low, high)),
        }
    }

    /// The fold of one row, block after block.
    fn fold_along(
        &self,
        registers: &mut Registers,
        pass: &Pass,
        row: usize,
        (low, high): (usize, usize),
    ) -> Vec<Lanes> {
        let isa = registers.launched.isa;
        let mut blocks: Vec<Lanes> = pass.reductions.iter().map(|r| Lanes::of(r.fold.scalar)).collect();
        for at in (low..high).step_by(self.chunk) {
            let count = self.chunk.min(high - at);
            registers.execute(&pass.each, row * self.inner + at, count, false);
            for (blocks, reduction) in blocks.iter_mut().zip(&pass.reductions) {
                blocks.push(fold::collapse(isa, reduction.fold, registers.view(reduction.source), count));
            }
        }
        for (blocks, reduction) in blocks.iter_mut().zip(&pass.reductions) {
            fold::finish(isa, reduction.fold, blocks, WIDTH);
        }
        blocks
    }

    /// The folds of some rows side by side, run after run.
    fn fold_across(
        &self,
        registers: &mut Registers,
        pass: &Pass,
        (row, rows): (usize, usize),
        (low, high): (usize, usize),
    ) -> Vec<Lanes> {
        let isa = registers.launched.isa;
        let mut sums: Vec<Cascade> = pass.reductions.iter().map(|_| Cascade::default()).collect();
        for run in (low..high).step_by(RUN) {
            let mut partial: Vec<Option<Lanes>> = pass.reductions.iter().map(|_| None).collect();
            for at in run..high.min(run + RUN) {
                registers.execute(&pass.each, at * self.rows + row, rows, false);
                for (partial, reduction) in partial.iter_mut().zip(&pass.reductions) {
                    let lanes = registers.view(reduction.source);
                    match partial {
                        Some(sum) => fold::accumulate(isa, reduction.fold, sum, lanes),
                        None => *partial = Some(lanes.to_lanes(rows)),
                    }
                }
            }
            for ((sum, reduction), lanes) in sums.iter_mut().zip(&pass.reductions).zip(partial) {
                if let Some(lanes) = lanes {
                    sum.push(isa, reduction.fold, lanes);
                }
            }
        }
        let finished = sums.into_iter().zip(&pass.reductions);
        finished.map(|(sum, reduction)| sum.finish(isa, reduction.fold, rows)).collect()
    }
}
