//! Scatter, Sort and Scan: templates of the shaders crate, filled in for types and operations.

use super::printer::{Printer, WIDE, wgsl_type};
use super::row::combine;
use super::{GROUP, Shape};
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::kernel::{Body, ScatterOp};
use crate::op::ReduceOp;

/// Longest line that is sorted in workgroup memory.
const LOCAL_SORT: usize = 2048;

/// Replaces every `{{key}}`.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value))
}

impl Printer<'_> {
    /// Prints a whole-array kernel.
    pub(crate) fn array(&mut self) -> Result<Filled> {
        match self.kernel.body {
            Body::Scatter { op, targets, updates, width } => self.scatter(op, [targets, updates, width]),
            Body::Sort { lines, length, descending } => self.sort(lines, length, descending),
            Body::Scan { op, outer, length, inner, reverse } => {
                self.scan(op, [outer, length, inner], reverse)
            }
            _ => Err(Error::Kernel(format!("{}: not an array kernel", self.kernel.name))),
        }
    }

    /// The `once` tape as text of the template.
    fn once_text(&mut self) -> Result<String> {
        self.once("task == 0u && local == 0u")?;
        Ok(self.take_lines())
    }

    fn register_of(&self, buffer: usize) -> Scalar {
        self.kernel.buffers[buffer].dtype.scalar()
    }

    fn scatter(&mut self, op: ScatterOp, [targets, updates, width]: [usize; 3]) -> Result<Filled> {
        super::loop_count(&[targets.max(updates), width])?;
        let in_place = self.kernel.buffers.len() == 3;
        let (out, buckets) = if in_place { (0, updates) } else { (3, targets) };
        let scalar = self.register_of(out);
        if scalar != self.register_of(0)
            || scalar != self.register_of(2)
            || self.kernel.buffers[1].dtype != DType::I32
        {
            return Err(Error::Kernel(format!("{}: scatter types", self.kernel.name)));
        }
        let parts = width.div_ceil(GROUP);
        let fold = match op {
            ScatterOp::Set => "term".to_owned(),
            ScatterOp::Fold(op) => combine(op, "value", "term", scalar),
        };
        let once = self.once_text()?;
        let [parts_name, targets_name, updates, width] =
            [parts.max(1), targets, updates, width].map(|n| self.count(n));
        let template = if in_place { kiln_shaders::SCATTER_IN_PLACE } else { kiln_shaders::SCATTER };
        let text = fill(
            template,
            &[
                ("once", &once),
                ("parts", &parts_name),
                ("targets", &targets_name),
                ("updates", &updates),
                ("width", &width),
                ("register", wgsl_type(scalar)),
                ("operand", &self.element(0, "at")),
                ("update", &self.element(2, "source")),
                ("fold", &fold),
                ("store", &self.assignment(out, "at", "value")),
            ],
        );
        Ok((Shape::linear(buckets * parts), text))
    }

    fn sort(&mut self, lines: usize, length: usize, descending: bool) -> Result<Filled> {
        super::loop_count(&[lines, length])?;
        let scalar = self.register_of(0);
        let padded = length.next_power_of_two().max(2);
        let local = length <= LOCAL_SORT;
        let rising = match scalar {
            Scalar::F32 => kiln_shaders::SORT_RANK_F32,
            Scalar::I32 => "fn rising(value: i32) -> u32 { return bitcast<u32>(value) ^ 0x80000000u; }\n",
            Scalar::U32 => "fn rising(value: u32) -> u32 { return value; }\n",
            Scalar::Bool => "fn rising(value: bool) -> u32 { return u32(value); }\n",
            Scalar::F64 | Scalar::I64 => unreachable!("{WIDE}"),
        };
        let direction = match (descending, scalar) {
            (false, _) => "rising(value)",
            (true, Scalar::F32) => "select(~rising(value), 0xffffffffu, kiln_is_nan(value))",
            (true, _) => "~rising(value)",
        };
        let pairs = if local { kiln_shaders::SORT_LOCAL } else { kiln_shaders::SORT_GLOBAL };
        let once = self.once_text()?;
        let text = format!("{rising}{}", kiln_shaders::SORT.replace("{{pairs}}", pairs));
        let text = fill(
            &text,
            &[
                ("once", &once),
                ("lines", &self.count(lines)),
                ("length", &self.count(length)),
                ("padded", &self.count(padded)),
                ("capacity", &padded.to_string()),
                ("register", wgsl_type(scalar)),
                ("rank", direction),
                ("key", &self.element(0, "at")),
                ("store", &self.assignment(1, "at", "value")),
                ("barrier", if local { "workgroupBarrier();" } else { "storageBarrier();" }),
            ],
        );
        Ok((Shape::linear(if length == 0 { 0 } else { lines }), text))
    }

    fn scan(&mut self, op: ReduceOp, [outer, length, inner]: [usize; 3], reverse: bool) -> Result<Filled> {
        super::loop_count(&[outer, length, inner])?;
        let scalar = self.register_of(0);
        let lines = super::loop_count(&[outer, inner])?;
        let once = self.once_text()?;
        let length_name = self.count(length);
        let step = if reverse { format!("{length_name} - 1u - step") } else { "step".to_owned() };
        let text = fill(
            kiln_shaders::SCAN,
            &[
                ("once", &once),
                ("lines", &self.count(lines)),
                ("inner", &self.count(inner)),
                ("length", &length_name),
                ("position", &step),
                ("register", wgsl_type(scalar)),
                ("identity", &self.constant(op.identity(scalar))),
                ("load", &self.element(0, "at")),
                ("fold", &combine(op, "value", "term", scalar)),
                ("store", &self.assignment(1, "at", "value")),
            ],
        );
        Ok((Shape::linear(lines.div_ceil(GROUP)), text))
    }
}

/// The shape of a kernel and its text.
type Filled = (Shape, String);
