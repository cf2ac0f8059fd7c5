//! What a program launches: its steps as printed kernels and copies.

use super::context::Context;
use super::program::Block;
use super::wgsl::{self, Printed};
use crate::dtype::{DType, Value};
use crate::error::{Error, Result};
use crate::kernel::{Access, Affine, Binding, Body, Instr, Kernel, Map, Tape};
use crate::program::{BufferId, Launch, Program, Step};

/// What a program launches: texts per launch, and what is recorded with the step it belongs to.
#[derive(Default)]
pub(super) struct Plans {
    pub(super) sources: Vec<String>,
    pub(super) work: Vec<(usize, Plan)>,
    /// Number of steps so far, depth first.
    pub(super) steps: usize,
    /// Sizes of buffers beyond the program's own.
    pub(super) partials: Vec<usize>,
}

impl Plans {
    pub(super) fn blocks(
        &mut self,
        context: &Context,
        program: &Program,
        steps: &[Step],
    ) -> Result<Vec<Block>> {
        let mut blocks = vec![];
        for step in steps {
            let first = self.work.len();
            match step {
                Step::Launch(launch) => {
                    let at = self.next();
                    let source = self.launch(context, program, at, launch)?;
                    self.sources.push(source);
                }
                Step::Copy { from, to, dtype, count } => {
                    let at = self.next();
                    self.copy(context, at, (*from, *to), *dtype, *count)?;
                }
                Step::Host(host) => blocks.push(Block::Host(self.next(), host.clone())),
                Step::Branch { index, arms } => {
                    let arms = arms.iter().map(|arm| self.blocks(context, program, arm));
                    blocks.push(Block::Branch { index: *index, arms: arms.collect::<Result<_>>()? });
                    continue;
                }
                Step::Loop { most, condition, body } => {
                    let body = self.blocks(context, program, body)?;
                    blocks.push(Block::Loop { most: *most, condition: *condition, body });
                    continue;
                }
            }
            match blocks.last_mut() {
                _ if self.work.len() == first => {}
                Some(Block::Record(range)) if range.end == first => range.end = self.work.len(),
                _ => blocks.push(Block::Record(first..self.work.len())),
            }
        }
        Ok(blocks)
    }

    fn next(&mut self) -> usize {
        self.steps += 1;
        self.steps - 1
    }

    fn copy(
        &mut self,
        context: &Context,
        at: usize,
        (from, to): (BufferId, BufferId),
        dtype: DType,
        count: usize,
    ) -> Result<()> {
        if count == 0 || from == to {
            return Ok(());
        }
        let bytes = crate::size::byte_length(count, context.element_size(dtype))?;
        if bytes.is_multiple_of(4) {
            self.work.push((at, Plan::Copy(from, to, bytes as u64)));
            return Ok(());
        }
        self.kernel(context, at, &copy_kernel(dtype, count), vec![from, to]).map(drop)
    }

    /// One launch of the program, as one kernel or as partial sums and their total.
    fn launch(&mut self, context: &Context, program: &Program, at: usize, launch: &Launch) -> Result<String> {
        // The total binds one more buffer than the kernel, and the reports.
        let most = context.limits.max_storage_buffers_per_shader_stage as usize;
        let split = if launch.buffers.len() + 2 > most { None } else { wgsl::split::split(&launch.kernel)? };
        let Some(split) = split else {
            return self.kernel(context, at, &launch.kernel, launch.buffers.clone());
        };
        let partial = program.buffers.len() + self.partials.len();
        self.partials.push(split.bytes);
        let [lhs, rhs] = split.operands.map(|operand| launch.buffers[operand]);
        let first = self.kernel(context, at, &split.partial, vec![lhs, rhs, partial])?;
        let buffers = [launch.buffers.as_slice(), &[partial]].concat();
        let second = self.kernel(context, at, &split.total, buffers)?;
        Ok(format!("{first}\n{second}"))
    }

    fn kernel(
        &mut self,
        context: &Context,
        step: usize,
        kernel: &Kernel,
        buffers: Vec<BufferId>,
    ) -> Result<String> {
        let kernel = wgsl::print(kernel, context.target)?;
        let storage = kernel.read_only.len() + usize::from(kernel.checks);
        let most = context.limits.max_storage_buffers_per_shader_stage as usize;
        if storage > most {
            return Err(limit(context, "storage buffers", storage, most));
        }
        let most = context.limits.max_uniform_buffer_binding_size as usize;
        if kernel.params.len() * 4 > most {
            return Err(limit(context, "kernel parameters", kernel.params.len() * 4, most));
        }
        let text = kernel.text.clone();
        if kernel.groups > 0 {
            self.work.push((step, Plan::Kernel(kernel, buffers)));
        }
        Ok(text)
    }
}

/// One piece of work, before anything is compiled.
pub(super) enum Plan {
    Kernel(Printed, Vec<BufferId>),
    Copy(BufferId, BufferId, u64),
}

/// A kernel that copies the first elements of a buffer: for sizes that are not whole words.
fn copy_kernel(dtype: DType, count: usize) -> Kernel {
    let map = Map { base: Affine { coefficients: vec![1], offset: 0 }, guards: vec![] };
    let load = Instr::Load { buffer: 0, map: map.clone(), fill: Value::zero(dtype.scalar()) };
    let store = Instr::Store { buffer: 1, map, value: 0 };
    let buffer = |access| Binding { dtype, access };
    Kernel {
        name: "copy".into(),
        rows: vec![count],
        inner: vec![],
        buffers: vec![buffer(Access::Read), buffer(Access::Write)],
        body: Body::Map(Tape { instrs: vec![load, store] }),
        once: Tape::default(),
    }
}

pub(super) fn limit(context: &Context, what: &'static str, value: usize, limit: usize) -> Error {
    Error::Limit {
        what,
        value: value as u64,
        limit: limit as u64,
        device: context.name.clone(),
        hint: "split the kernel",
    }
}
