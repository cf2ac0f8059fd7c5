//! Map kernels (and `once` tapes): the tape over flat blocks of the row space.

use crate::cpu::address::Axes;
use crate::cpu::block::{Block, Launched};
use crate::cpu::parallel;
use crate::cpu::tape::{Level, Op, Translator};
use crate::error::Result;
use crate::kernel::{Kernel, Reg, Tape};

/// Points of one task: enough to outweigh handing it to a thread.
const TASK: usize = 32_768;

/// A translated tape over a space of points.
#[derive(Debug)]
pub(crate) struct MapKernel {
    /// What is the same at every point.
    once: Vec<Op>,
    pub(crate) ops: Vec<Op>,
    slots: usize,
    width: usize,
    points: usize,
}

impl MapKernel {
    /// Translates a tape over these axes.
    pub(crate) fn new(kernel: &Kernel, tape: &Tape, axes: &Axes) -> Result<MapKernel> {
        let mut translator = Translator::new(kernel, tape)?;
        translator.once = Some(Vec::new());
        let schedule: Vec<Reg> = (0..tape.instrs.len() as Reg).collect();
        translator.plan_uses(&schedule);
        let ops = translator.section(&schedule, 0, Level::Points, axes, &mut Vec::new());
        let points: usize = axes.iter().map(|a| a.1).product();
        let width = if translator.slots <= 6 { 1024 } else { 512 };
        let once = translator.once.take().unwrap_or_default();
        Ok(MapKernel { once, ops, slots: translator.slots, width: width.min(points.max(1)), points })
    }

    pub(crate) fn tasks(&self) -> usize {
        self.points.div_ceil(TASK)
    }

    pub(crate) fn run(&self, launched: Launched) {
        if self.ops.is_empty() {
            return;
        }
        parallel(self.tasks(), |task| {
            Block::with(launched, self.slots, self.width, |block| {
                block.execute(&self.once, 0, 1);
                let end = ((task + 1) * TASK).min(self.points);
                let mut start = task * TASK;
                while start < end {
                    let count = self.width.min(end - start);
                    block.execute(&self.ops, start, count);
                    start += count;
                }
            });
        });
    }
}
