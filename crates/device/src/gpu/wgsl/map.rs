//! Map kernels: one thread a point.

use super::printer::{Frame, Printer, Variable};
use super::tape::Place;
use super::{GROUP, Shape};
use crate::error::Result;
use crate::kernel::Tape;

impl Printer<'_> {
    /// Splits a flat index (a `u32` name) into one `i32` variable per axis.
    pub(crate) fn split(&mut self, index: &str, prefix: &str, extents: &[usize]) -> Frame {
        let level = self.level();
        let mut rest = index.to_owned();
        let mut names = vec![String::new(); extents.len()];
        for (axis, extent) in extents.iter().enumerate().rev() {
            names[axis] = format!("{prefix}{axis}");
            if axis == 0 {
                self.line(&format!("let {} = i32({rest});", names[axis]));
            } else {
                let extent = self.count(*extent);
                let quotient = self.fresh("d");
                self.line(&format!("let {quotient} = {rest} / {extent};"));
                self.line(&format!("let {} = i32({rest} - {quotient} * {extent});", names[axis]));
                rest = quotient;
            }
        }
        names.into_iter().map(|name| Some(Variable { name, level })).collect()
    }

    /// The `once` tape, for the one thread for which `condition` holds.
    pub(crate) fn once(&mut self, condition: &str) -> Result<()> {
        let kernel = self.kernel;
        if kernel.once.instrs.is_empty() {
            return Ok(());
        }
        let types = kernel.once.types(kernel)?;
        let frame = vec![None; kernel.variables()];
        self.open(&format!("if ({condition}) {{"));
        let place = Place { frame: &frame, types: &types, prefix: "s", effects: None, accumulator: "" };
        self.tape(&kernel.once, &place);
        self.close("}");
        Ok(())
    }

    /// Prints a Map kernel.
    pub(crate) fn map(&mut self, tape: &Tape) -> Result<Shape> {
        let kernel = self.kernel;
        let points = super::loop_count(&kernel.rows)?;
        self.line(&format!("let point = (group.y * groups.x + group.x) * {GROUP}u + local;"));
        self.once("point == 0u")?;
        let count = self.count(points);
        self.line(&format!("if (point >= {count}) {{ return; }}"));
        let frame = self.split("point", "v", &kernel.rows);
        let types = tape.types(kernel)?;
        let place = Place { frame: &frame, types: &types, prefix: "r", effects: None, accumulator: "" };
        self.tape(tape, &place);
        Ok(Shape::linear(points.div_ceil(GROUP)))
    }
}
