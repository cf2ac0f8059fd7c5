//! Row kernels: some threads of a workgroup share a row, each takes a part of the inner loop, a tree of fixed shape folds
//! their partial results. How many share a row is a parameter, so that a longer row is not another shader; that it is
//! one thread alone is structure.

use super::contract::unit_stride;
use super::printer::{Frame, Printer, wgsl_type};
use super::tape::{Place, binary};
use super::{GROUP, Shape};
use crate::dtype::Scalar;
use crate::error::Result;
use crate::kernel::{Access, Instr, Kernel, Map, Phase, Reg, Tape};
use crate::op::ReduceOp;

/// How the threads of a workgroup are laid over rows and inner loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Threads that share a row, a power of two.
    pub(crate) lanes: usize,
    /// True where neighbouring threads take neighbouring rows, false where they take neighbouring inner elements.
    pub(crate) along_rows: bool,
}

/// Partial sums are folded into a second accumulator after this many terms, for accuracy.
const BLOCK: usize = 32;

/// True where an address depends on any of the variables.
fn uses(map: &Map, variables: std::ops::Range<usize>) -> bool {
    let used = |coefficients: &[i64]| coefficients[variables.clone()].iter().any(|c| *c != 0);
    used(&map.base.coefficients) || map.guards.iter().any(|g| used(&g.position.coefficients))
}

/// Chooses by size and by the direction in which most full accesses are contiguous. What all rows share is cached, so
/// its direction does not matter.
pub(crate) fn layout(kernel: &Kernel, tape: &Tape, phases: &[Phase], rows: usize, inner: usize) -> Layout {
    let (mut by_rows, mut by_inner) = (0, 0);
    let (row_axes, axes) = (kernel.rows.len(), kernel.variables());
    for r in phases.iter().flat_map(|p| &p.each) {
        if let Instr::Load { map, .. } | Instr::Store { map, .. } = &tape.instrs[*r as usize]
            && uses(map, 0..row_axes)
            && uses(map, row_axes..axes)
        {
            by_inner += usize::from(unit_stride(map, axes - 1));
            by_rows += usize::from(unit_stride(map, row_axes - 1));
        }
    }
    if by_rows > by_inner {
        let lanes = match inner {
            0..=32 => 1,
            _ if rows >= 1 << 16 => 1,
            33..=512 => 8,
            _ if rows >= 1 << 13 => 8,
            _ => 32,
        };
        return Layout { lanes, along_rows: true };
    }
    let lanes = match inner {
        0..=8 => 1,
        9..=64 => 8,
        65..=512 if rows >= 1024 => 32,
        65..=128 => 32,
        _ => 256,
    };
    Layout { lanes, along_rows: false }
}

/// What the phases of one kernel have in common.
struct Row<'a> {
    tape: &'a Tape,
    types: &'a [Scalar],
    layout: Layout,
    frame: Frame,
    effects: String,
    inner: String,
}

impl Row<'_> {
    fn place<'b>(&'b self, frame: &'b Frame, effects: Option<&'b str>) -> Place<'b> {
        Place { frame, types: self.types, prefix: "r", effects, accumulator: "" }
    }
}

impl Printer<'_> {
    /// Prints a Row kernel.
    pub(crate) fn row(&mut self, tape: &Tape, before: &[Reg], phases: &[Phase]) -> Result<Shape> {
        let kernel = self.kernel;
        let (rows, inner) = (super::loop_count(&kernel.rows)?, super::loop_count(&kernel.inner)?);
        let layout = layout(kernel, tape, phases, rows, inner);
        let lines = GROUP / layout.lanes;
        self.row_position(layout);
        self.once("line == 0u && lane == 0u")?;
        let count = self.count(rows);
        self.line(&format!("let alive = line < {count};"));
        self.line("let row = select(0u, line, alive);");
        let mut frame = self.split("row", "v", &kernel.rows);
        frame.resize(kernel.variables(), None);
        let inner = self.count(inner);
        self.line(&format!("let limit = select(0u, {inner}, alive);"));
        let effects = if layout.lanes == 1 { "alive" } else { "alive && lane == 0u" };
        let types = tape.types(kernel)?;
        let row = Row { tape, types: &types, layout, frame, effects: effects.into(), inner: "limit".into() };
        for r in before {
            self.row_instr(*r, &row);
        }
        for phase in phases {
            self.phase(phase, &row);
        }
        Ok(Shape::linear(rows.div_ceil(lines)))
    }

    fn row_position(&mut self, layout: Layout) {
        if layout.lanes == 1 {
            self.line("let lane = 0u;");
            return self.line(&format!("let line = (group.y * groups.x + group.x) * {GROUP}u + local;"));
        }
        let shift = self.count(layout.lanes.trailing_zeros() as usize);
        self.line(&format!("let lane_bits = {shift};"));
        self.line("let lanes = 1u << lane_bits;");
        self.line(&format!("let lines = {GROUP}u >> lane_bits;"));
        let (within, lane) = match layout.along_rows {
            true => ("local & (lines - 1u)", format!("local >> ({}u - lane_bits)", GROUP.trailing_zeros())),
            false => ("local >> lane_bits", "local & (lanes - 1u)".to_owned()),
        };
        self.line(&format!("let lane = {lane};"));
        self.line(&format!("let within = {within};"));
        self.line("let line = (group.y * groups.x + group.x) * lines + within;");
    }

    /// A row value: every thread of the row computes it, one has its effects.
    fn row_instr(&mut self, at: Reg, row: &Row) {
        let instr = &row.tape.instrs[at as usize];
        let rewrites = match instr {
            Instr::Store { buffer, .. } => self.kernel.buffers[*buffer].access == Access::ReadWrite,
            _ => false,
        };
        // The other threads of the row must have read what one of them now overwrites.
        let fence = rewrites && row.layout.lanes > 1;
        if fence {
            self.line("storageBarrier();");
        }
        self.instr(at, instr, &row.place(&row.frame, Some(&row.effects)));
        if fence {
            self.line("storageBarrier();");
        }
    }

    fn phase(&mut self, phase: &Phase, row: &Row) {
        let kernel = self.kernel;
        let reduces: Vec<(Reg, ReduceOp, Reg)> = phase
            .after
            .iter()
            .filter_map(|r| match &row.tape.instrs[*r as usize] {
                Instr::Reduce(op, of) => Some((*r, *op, *of)),
                _ => None,
            })
            .collect();
        for (r, op, _) in &reduces {
            let scalar = row.types[*r as usize];
            let identity = self.constant(op.identity(scalar));
            self.line(&format!("var acc{r}: {} = {identity};", wgsl_type(scalar)));
            if blocked(*op, scalar) {
                self.line(&format!("var sum{r} = 0.0f;"));
            }
        }
        let step = if row.layout.lanes == 1 { "1u" } else { "lanes" };
        self.open(&format!("for (var at = lane; at < {}; at += {step}) {{", row.inner));
        let inner = self.split("at", "w", &kernel.inner);
        let mut frame = row.frame.clone();
        frame.splice(kernel.rows.len().., inner);
        for r in &phase.each {
            self.instr(*r, &row.tape.instrs[*r as usize], &row.place(&frame, None));
        }
        for (r, op, of) in &reduces {
            self.accumulate(*r, *op, *of, row);
        }
        self.close("}");
        for r in &phase.after {
            match &row.tape.instrs[*r as usize] {
                Instr::Reduce(op, _) => self.fold(*r, *op, row),
                _ => self.row_instr(*r, row),
            }
        }
    }

    fn accumulate(&mut self, r: Reg, op: ReduceOp, of: Reg, row: &Row) {
        let scalar = row.types[r as usize];
        let folded = combine(op, &format!("acc{r}"), &format!("r{of}"), scalar);
        self.line(&format!("acc{r} = {folded};"));
        if blocked(op, scalar) {
            let term = if row.layout.lanes == 1 { "at" } else { "(at >> lane_bits)" };
            let last = BLOCK - 1;
            self.line(&format!("if ({term} % {BLOCK}u == {last}u) {{ sum{r} += acc{r}; acc{r} = 0.0f; }}"));
        }
    }

    /// Folds the threads' partial results; all threads of the row receive the result.
    fn fold(&mut self, r: Reg, op: ReduceOp, row: &Row) {
        let scalar = row.types[r as usize];
        let Layout { lanes, along_rows } = row.layout;
        let own = if blocked(op, scalar) { format!("sum{r} + acc{r}") } else { format!("acc{r}") };
        if lanes == 1 {
            return self.line(&format!("let r{r} = {own};"));
        }
        let (array, stored) = match scalar {
            Scalar::Bool => ("shared_bool".to_owned(), "u32"),
            other => (format!("shared_{}", wgsl_type(other)), wgsl_type(other)),
        };
        self.global(&format!("var<workgroup> {array}: array<{stored}, {GROUP}>;"));
        self.line("workgroupBarrier();");
        self.line(&format!("{array}[local] = {stored}({own});"));
        self.line("workgroupBarrier();");
        let (other, first) = match along_rows {
            true => ("local + half * lines", "within"),
            false => ("local + half", "within << lane_bits"),
        };
        let folded = combine(op, &format!("{array}[local]"), &format!("{array}[{other}]"), scalar);
        self.open("for (var half = lanes >> 1u; half > 0u; half >>= 1u) {");
        self.line(&format!("if (lane < half) {{ {array}[local] = {folded}; }}"));
        self.line("workgroupBarrier();");
        self.close("}");
        let result = match scalar {
            Scalar::Bool => format!("{array}[{first}] != 0u"),
            _ => format!("{array}[{first}]"),
        };
        self.line(&format!("let r{r} = {result};"));
    }
}

/// Long sums of floats go through blocks.
fn blocked(op: ReduceOp, scalar: Scalar) -> bool {
    op == ReduceOp::Sum && scalar == Scalar::F32
}

/// Folds two partial results; on `bool`, sums and products are logical.
pub(crate) fn combine(op: ReduceOp, a: &str, b: &str, scalar: Scalar) -> String {
    match (op, scalar) {
        (ReduceOp::Sum, Scalar::Bool) => format!("{a} | {b}"),
        (ReduceOp::Prod, Scalar::Bool) => format!("{a} & {b}"),
        (op, scalar) => binary(op.combine(), a, b, scalar),
    }
}
