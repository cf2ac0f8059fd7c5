//! Runs of a program: blocks in order, recorded and submitted between what the host has to look at.
//!
//! Loops of a known length are recorded turn after turn and read nothing back. A branch, a loop with a condition and a
//! call of the host submit what is recorded and wait for the value they need.

use std::time::{Duration, Instant};

use super::program::{Block, BoundSet, GpuProgram};
use super::reports::Pages;
use crate::dtype::DType;
use crate::error::Result;
use crate::memory::Buffer;
use crate::program::{BufferId, HostStep};

/// Pieces of work per submission.
const PER_SUBMIT: usize = 256;

/// Who hears of the work of a run, in order.
pub(crate) trait Sink {
    /// A piece of work is next.
    fn piece(&mut self, at: usize) -> Result<()>;
    /// Everything so far must have been submitted.
    fn flush(&mut self);
    /// A call of the host, by number of its step, took so long.
    fn called(&mut self, step: usize, time: Duration);
}

/// Records pieces and submits them some at a time.
pub(crate) struct Recorder<'a> {
    program: &'a GpuProgram,
    set: &'a BoundSet,
    pieces: Vec<usize>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(program: &'a GpuProgram, set: &'a BoundSet) -> Recorder<'a> {
        Recorder { program, set, pieces: Vec::with_capacity(program.work.len().min(PER_SUBMIT)) }
    }

    /// Submits what is recorded.
    pub(crate) fn submit(&mut self) {
        if self.pieces.is_empty() {
            return;
        }
        let context = &self.program.context;
        let mut encoder = context.device.create_command_encoder(&Default::default());
        self.program.record(&mut encoder, self.set, &self.pieces, None);
        context.queue.submit([encoder.finish()]);
        self.program.note_checks();
        self.pieces.clear();
    }
}

impl Sink for Recorder<'_> {
    fn piece(&mut self, at: usize) -> Result<()> {
        self.pieces.push(at);
        if self.pieces.len() == PER_SUBMIT {
            self.submit();
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.submit();
    }

    fn called(&mut self, _: usize, _: Duration) {}
}

/// One run of a program.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a GpuProgram,
    pub(crate) external: &'a [Buffer],
    /// Where failures are reported that spoil what it computes.
    pub(crate) pages: Pages,
}

/// Sends the work of some blocks to a sink.
pub(crate) fn walk(run: &Run, blocks: &[Block], sink: &mut dyn Sink) -> Result<()> {
    for block in blocks {
        match block {
            Block::Record(range) => range.clone().try_for_each(|at| sink.piece(at))?,
            Block::Host(step, host) => {
                sink.flush();
                let start = Instant::now();
                run.call(host)?;
                sink.called(*step, start.elapsed());
            }
            Block::Branch { index, arms } => {
                sink.flush();
                let index = run.scalar(*index, DType::I32)?;
                let index = i32::from_ne_bytes([index[0], index[1], index[2], index[3]]);
                let arm = &arms[(index.max(0) as usize).min(arms.len() - 1)];
                walk(run, arm, sink)?;
            }
            Block::Loop { most, condition, body } => {
                for _ in 0..*most {
                    if let Some(condition) = condition {
                        sink.flush();
                        if run.scalar(*condition, DType::Bool)?[0] == 0 {
                            break;
                        }
                    }
                    walk(run, body, sink)?;
                }
            }
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Elements of a buffer, after everything submitted.
    fn read(&self, id: BufferId, dtype: DType, first: usize, host: &mut [u8]) -> Result<()> {
        let context = &self.program.context;
        context.synchronize_reports(self.pages)?;
        context.download(self.program.buffer(id, self.external)?, dtype, first, host)
    }

    /// The first element of a buffer.
    fn scalar(&self, id: BufferId, dtype: DType) -> Result<[u8; 4]> {
        let mut bytes = [0; 4];
        self.read(id, dtype, 0, &mut bytes[..dtype.host_size()])?;
        Ok(bytes)
    }

    fn call(&self, host: &HostStep) -> Result<()> {
        let mut inputs = Vec::with_capacity(host.inputs.len());
        for input in &host.inputs {
            let mut bytes = vec![0; crate::size::byte_length(input.count, input.dtype.host_size())?];
            if input.count > 0 {
                self.read(input.buffer, input.dtype, input.first, &mut bytes)?;
            }
            inputs.push(bytes);
        }
        let results = host.function.call(&inputs, &host.outputs)?;
        for (bytes, output) in results.iter().zip(&host.outputs).filter(|(bytes, _)| !bytes.is_empty()) {
            let buffer = self.program.buffer(output.buffer, self.external)?;
            self.program.context.upload(buffer, output.dtype, output.first, bytes)?;
        }
        Ok(())
    }
}
