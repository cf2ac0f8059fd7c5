//! How the points of a Row kernel are divided into blocks of lanes.

use crate::cpu::address::{Axes, Walk};
use crate::cpu::tape::Level;
use crate::kernel::{Instr, Kernel, Phase, Reg, Tape};

/// Inner loops up to this length stay in registers between phases.
const KEEP: usize = 4096;
/// Lanes of a block, and of one that is only loaded and folded.
const BLOCK: usize = 1024;
const FOLDED: usize = 4096;
/// Rows shorter than this share a block.
const SHORT: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    InnerFast,
    RowFast,
}

/// How the points of a kernel are divided into blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) order: Order,
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    /// Rows that lanes walk along (all of a block's in `InnerFast`); slower rows come before the inner loop.
    pub(crate) fast: usize,
    /// Rows of a block.
    pub(crate) group: usize,
    /// Inner points of a block.
    pub(crate) chunk: usize,
}

/// The rows of one block, and where its points are in walking order.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) first: usize,
    /// Points from one inner point to the next.
    pub(crate) stride: usize,
}

impl Shape {
    pub(crate) fn new(kernel: &Kernel, tape: &Tape, phases: &[Phase]) -> Shape {
        let (order, block) = (choose_order(kernel, tape, phases), block_lanes(tape, phases));
        let rows: usize = kernel.rows.iter().product();
        let inner: usize = kernel.inner.iter().product();
        if order == Order::InnerFast {
            let (group, chunk) = match inner {
                n if n < SHORT => ((BLOCK / n.max(1)).min(rows).max(1), n.max(1)),
                n if n <= KEEP => (1, n),
                _ => (1, block),
            };
            return Shape { order, rows, inner, fast: rows, group, chunk };
        }
        // As few of the fastest rows as fill a block together with the inner loop.
        let mut fast = 1;
        for extent in kernel.rows.iter().rev() {
            if fast > 1 && (fast * inner >= BLOCK || fast * extent > BLOCK) {
                break;
            }
            fast *= extent;
        }
        let group = fast.clamp(1, BLOCK);
        let chunk = if fast > group { 1 } else { (block.max(2 * BLOCK) / group).clamp(1, inner.max(1)) };
        Shape { order, rows, inner, fast: fast.max(1), group, chunk }
    }

    /// Windows of `group` rows into which the fast rows are divided.
    fn windows(&self) -> usize {
        self.fast.div_ceil(self.group)
    }

    pub(crate) fn blocks(&self) -> usize {
        self.rows / self.fast.max(1) * self.windows()
    }

    /// True where a block holds its rows' whole inner loops.
    pub(crate) fn whole(&self) -> bool {
        self.chunk == self.inner
    }

    pub(crate) fn span(&self, number: usize) -> Span {
        let (slow, low) = (number / self.windows(), number % self.windows() * self.group);
        let (row, rows) = (slow * self.fast + low, self.group.min(self.fast - low));
        match self.order {
            Order::InnerFast => Span { row, rows, first: row * self.inner, stride: 1 },
            Order::RowFast => {
                Span { row, rows, first: slow * self.inner * self.fast + low, stride: self.fast }
            }
        }
    }

    /// Axes of rows, and of all points in walking order.
    pub(crate) fn axes(&self, kernel: &Kernel) -> (Axes, Axes) {
        let (rows, inner) = axes(kernel);
        let slow = match self.order {
            Order::InnerFast => rows.len(),
            Order::RowFast => {
                let products =
                    (0..=rows.len()).rev().map(|n| rows[n..].iter().map(|a| a.1).product::<usize>());
                rows.len() - products.take_while(|p| *p < self.fast).count()
            }
        };
        let full = [&rows[..slow], &inner, &rows[slow..]].concat();
        (rows, full)
    }

    /// How full lanes relate to row values.
    pub(crate) fn level(&self) -> Level {
        match self.order {
            Order::InnerFast if self.group == 1 => Level::OneRow,
            Order::RowFast if self.chunk == 1 => Level::Points,
            _ => Level::ManyRows,
        }
    }
}

/// Axes of the rows, and of the inner loop.
fn axes(kernel: &Kernel) -> (Axes, Axes) {
    let rows: Axes = kernel.rows.iter().copied().enumerate().collect();
    let first = rows.len();
    (rows, kernel.inner.iter().enumerate().map(|(i, n)| (first + i, *n)).collect())
}

/// Lanes lie along the loop in which most accesses are contiguous.
pub(crate) fn choose_order(kernel: &Kernel, tape: &Tape, phases: &[Phase]) -> Order {
    let (rows, inner) = axes(kernel);
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

/// Lanes of a block of the kernel.
fn block_lanes(tape: &Tape, phases: &[Phase]) -> usize {
    let computes = |reg: &Reg| {
        !matches!(tape.instrs[*reg as usize], Instr::Load { .. } | Instr::Const(_) | Instr::Bitcast(..))
    };
    if phases.iter().flat_map(|p| &p.each).any(computes) { BLOCK } else { FOLDED }
}
