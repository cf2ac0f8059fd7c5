//! The time of every step: device timestamps where there are any, else the host's clock around a wait.

use std::time::{Duration, Instant};

use super::context::Context;
use super::program::{BoundSet, GpuProgram, Work};
use super::run::{Run, Sink, walk};
use crate::error::Result;
use crate::memory::Buffer;

/// Timestamps at the edges of a pass.
struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    period: f64,
}

impl Stamps {
    fn new(context: &Context) -> Result<Option<Stamps>> {
        let device = &context.device;
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let (queries, resolved) = context.faults.scoped(device, || {
            let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            });
            let resolved = device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            (queries, resolved)
        })?;
        Ok(Some(Stamps { queries, resolved, period: f64::from(context.queue.get_timestamp_period()) }))
    }
}

/// One run of a program, a submission and a wait per piece of work; the times are summed by step.
pub(crate) fn profile(program: &GpuProgram, external: &[Buffer]) -> Result<Vec<Duration>> {
    let set = program.bind(external)?;
    let stamps = Stamps::new(&program.context)?;
    program.context.wait()?;
    let times = vec![Duration::ZERO; program.steps];
    let mut profiler = Profiler { program, set: &set, stamps, times };
    let run = Run { program, external, pages: program.depend(external)? };
    walk(&run, &program.blocks, &mut profiler)?;
    Ok(profiler.times)
}

struct Profiler<'a> {
    program: &'a GpuProgram,
    set: &'a BoundSet,
    stamps: Option<Stamps>,
    times: Vec<Duration>,
}

impl Sink for Profiler<'_> {
    fn piece(&mut self, at: usize) -> Result<()> {
        let (step, work) = &self.program.work[at];
        self.times[*step] += match (&self.stamps, work) {
            (Some(stamps), Work::Dispatch(_)) => stamped(self.program, self.set, at, stamps)?,
            _ => clocked(self.program, self.set, at)?,
        };
        self.program.note_checks();
        Ok(())
    }

    fn flush(&mut self) {}

    fn called(&mut self, step: usize, time: Duration) {
        self.times[step] += time;
    }
}

fn clocked(program: &GpuProgram, set: &BoundSet, at: usize) -> Result<Duration> {
    let context = &program.context;
    let start = Instant::now();
    let mut encoder = context.device.create_command_encoder(&Default::default());
    program.record(&mut encoder, set, &[at], None);
    context.queue.submit([encoder.finish()]);
    context.wait()?;
    Ok(start.elapsed())
}

fn stamped(program: &GpuProgram, set: &BoundSet, at: usize, stamps: &Stamps) -> Result<Duration> {
    let context = &program.context;
    let mut encoder = context.device.create_command_encoder(&Default::default());
    let writes = wgpu::ComputePassTimestampWrites {
        query_set: &stamps.queries,
        beginning_of_pass_write_index: Some(0),
        end_of_pass_write_index: Some(1),
    };
    program.record(&mut encoder, set, &[at], Some(writes));
    encoder.resolve_query_set(&stamps.queries, 0..2, &stamps.resolved, 0);
    context.queue.submit([encoder.finish()]);
    let mut ticks = [0u64; 2];
    context.read(&stamps.resolved, 0, bytemuck::cast_slice_mut(&mut ticks))?;
    let nanoseconds = ticks[1].saturating_sub(ticks[0]) as f64 * stamps.period;
    Ok(Duration::from_nanos(nanoseconds as u64))
}
