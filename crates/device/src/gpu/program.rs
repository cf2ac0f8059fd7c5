//! Programs made ready: pipelines, parameters, temporaries and bind groups built once, replayed by recording alone.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::context::Context;
use super::fault::lock;
use super::pipeline::{Pipeline, Pipelines};
use super::plans::{Plan, Plans, limit};
use super::profile;
use super::reports::{self, Pages};
use super::run::{Recorder, Run, walk};
use super::wgsl::Printed;
use crate::device::Prepared;
use crate::error::{Error, Result};
use crate::kernel::Access;
use crate::memory::Buffer;
use crate::program::{BufferId, BufferSpec, HostStep, Program, Role, Step};

/// Sets of external buffers whose bind groups are kept.
const KEPT_SETS: usize = 8;

/// One recorded command.
pub(crate) enum Work {
    Dispatch(Dispatch),
    Copy { from: BufferId, to: BufferId, bytes: u64 },
}

/// What runs in order.
pub(crate) enum Block {
    /// Pieces of work, recorded one behind the other.
    Record(Range<usize>),
    /// A function of the host, with its number among the steps.
    Host(usize, Box<HostStep>),
    Branch {
        index: BufferId,
        arms: Vec<Vec<Block>>,
    },
    Loop {
        most: usize,
        condition: Option<BufferId>,
        body: Vec<Block>,
    },
}

/// A kernel with its pipeline and its place among the parameters.
pub(crate) struct Dispatch {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) grid: [u32; 2],
    buffers: Vec<BufferId>,
    read_only: Vec<bool>,
    params: Range<u64>,
    checks: bool,
}

/// The wgpu buffers of one run, by buffer of the program, and a bind group per piece of work that needs one.
pub(crate) struct BoundSet {
    slots: Vec<u64>,
    buffers: Vec<wgpu::Buffer>,
    pub(crate) groups: Vec<Option<wgpu::BindGroup>>,
}

/// A program on the device.
pub(crate) struct GpuProgram {
    pub(crate) context: Arc<Context>,
    program: Program,
    temporaries: Vec<Option<Buffer>>,
    params: wgpu::Buffer,
    /// What can be recorded, with the step it belongs to.
    pub(crate) work: Vec<(usize, Work)>,
    pub(crate) blocks: Vec<Block>,
    /// Number of steps, those inside branches and loops included.
    pub(crate) steps: usize,
    sources: Vec<String>,
    sets: Mutex<Vec<Arc<BoundSet>>>,
    /// Held while a run is submitted: two runs share the temporaries.
    turn: Mutex<()>,
    site_base: u32,
    /// The report pages of the threads that ran it.
    ran_on: AtomicU64,
    /// Numbers of the external buffers that are written.
    written: Vec<usize>,
}

/// Workgroups in two dimensions, at least as many as asked for.
fn grid(context: &Context, groups: usize) -> Result<[u32; 2]> {
    let most = context.limits.max_compute_workgroups_per_dimension as usize;
    let down = groups.div_ceil(most).max(1);
    if down > most {
        return Err(limit(context, "workgroups", groups, most * most));
    }
    Ok([groups.div_ceil(down) as u32, down as u32])
}

impl GpuProgram {
    pub(crate) fn new(
        context: &Arc<Context>,
        pipelines: &Pipelines,
        mut program: Program,
    ) -> Result<GpuProgram> {
        context.check()?;
        let mut plans = Plans::default();
        let blocks = plans.blocks(context, &program, &program.steps)?;
        let kernels: Vec<Printed> = plans
            .work
            .iter()
            .filter_map(|(_, plan)| match plan {
                Plan::Kernel(kernel, _) => Some(kernel.clone()),
                Plan::Copy(..) => None,
            })
            .collect();
        let mut compiled = pipelines.get(context, &kernels)?.into_iter();
        program
            .buffers
            .extend(plans.partials.iter().map(|bytes| BufferSpec { role: Role::Temporary, bytes: *bytes }));
        let temporaries = program
            .buffers
            .iter()
            .map(|spec| match spec.role {
                Role::Temporary => context.pool.allocate(spec.bytes).map(Some),
                Role::External(_) => Ok(None),
            })
            .collect::<Result<Vec<_>>>()?;
        let written = written(&program);
        let site_base = context.reports.register(&program.checks);
        let (mut words, mut work) = (vec![], vec![]);
        for (step, plan) in plans.work {
            let piece = match plan {
                Plan::Copy(from, to, bytes) => Work::Copy { from, to, bytes },
                Plan::Kernel(kernel, buffers) => Work::Dispatch(Dispatch {
                    pipeline: compiled.next().ok_or_else(|| Error::Kernel("a pipeline is missing".into()))?,
                    grid: grid(context, kernel.groups)?,
                    params: place(context, &mut words, &kernel, site_base),
                    checks: kernel.checks,
                    read_only: kernel.read_only,
                    buffers,
                }),
            };
            work.push((step, piece));
        }
        Ok(GpuProgram {
            context: context.clone(),
            temporaries,
            params: parameter_buffer(context, &words)?,
            work,
            blocks,
            steps: plans.steps,
            sources: plans.sources,
            sets: Mutex::default(),
            turn: Mutex::default(),
            site_base,
            ran_on: AtomicU64::new(0),
            written,
            program,
        })
    }

    /// The bind groups for these external buffers, built where they are new.
    pub(crate) fn bind(&self, external: &[Buffer]) -> Result<Arc<BoundSet>> {
        self.context.check()?;
        let (buffers, slots) = self.resolve(external)?;
        let mut sets = lock(&self.sets);
        if let Some(at) = sets.iter().position(|set| set.slots == slots) {
            let set = sets.remove(at);
            sets.push(set.clone());
            return Ok(set);
        }
        let mut groups = Vec::with_capacity(self.work.len());
        for (at, (_, work)) in self.work.iter().enumerate() {
            groups.push(match work {
                Work::Copy { .. } => None,
                Work::Dispatch(dispatch) => Some(self.group(at, dispatch, &buffers, &slots, &sets)?),
            });
        }
        let set = Arc::new(BoundSet { slots, buffers, groups });
        if sets.len() == KEPT_SETS {
            sets.remove(0);
        }
        sets.push(set.clone());
        Ok(set)
    }

    /// The wgpu buffer and its number, per buffer of the program.
    fn resolve(&self, external: &[Buffer]) -> Result<(Vec<wgpu::Buffer>, Vec<u64>)> {
        let mut resolved = (vec![], vec![]);
        for (id, spec) in self.program.buffers.iter().enumerate() {
            let buffer = self.buffer(id, external)?;
            if buffer.bytes() < spec.bytes {
                return Err(Error::Buffer(format!(
                    "a buffer of {} bytes is bound where {} are needed",
                    buffer.bytes(),
                    spec.bytes
                )));
            }
            let (raw, number) = self.context.slot(buffer)?;
            resolved.0.push(raw.clone());
            resolved.1.push(number);
        }
        Ok(resolved)
    }

    /// The bind group of one dispatch, taken from an earlier set where its buffers are the same.
    fn group(
        &self,
        at: usize,
        dispatch: &Dispatch,
        buffers: &[wgpu::Buffer],
        slots: &[u64],
        sets: &[Arc<BoundSet>],
    ) -> Result<wgpu::BindGroup> {
        let same = |set: &&Arc<BoundSet>| dispatch.buffers.iter().all(|b| set.slots[*b] == slots[*b]);
        if let Some(group) = sets.iter().find(same).and_then(|set| set.groups[at].clone()) {
            return Ok(group);
        }
        for (i, a) in dispatch.buffers.iter().enumerate() {
            for (j, b) in dispatch.buffers.iter().enumerate().skip(i + 1) {
                if slots[*a] == slots[*b] && !(dispatch.read_only[i] && dispatch.read_only[j]) {
                    return Err(Error::Buffer("one buffer is bound twice to a kernel that writes it".into()));
                }
            }
        }
        let whole = |buffer| wgpu::BindingResource::Buffer(wgpu::Buffer::as_entire_buffer_binding(buffer));
        let mut resources: Vec<_> = dispatch.buffers.iter().map(|b| whole(&buffers[*b])).collect();
        resources.push(wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.params,
            offset: dispatch.params.start,
            size: wgpu::BufferSize::new(dispatch.params.end - dispatch.params.start),
        }));
        if dispatch.checks {
            resources.push(wgpu::BindingResource::Buffer(self.context.reports.binding()));
        }
        let entries: Vec<_> = resources
            .into_iter()
            .zip(0..)
            .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let device = &self.context.device;
        self.context.faults.scoped(device, || {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &dispatch.pipeline.layout,
                entries: &entries,
            })
        })
    }

    /// A buffer of the program.
    pub(crate) fn buffer<'b>(&'b self, id: BufferId, external: &'b [Buffer]) -> Result<&'b Buffer> {
        match (self.program.buffers[id].role, &self.temporaries[id]) {
            (Role::External(number), _) => external
                .get(number)
                .ok_or_else(|| Error::Buffer(format!("external buffer {number} is missing"))),
            (Role::Temporary, Some(buffer)) => Ok(buffer),
            (Role::Temporary, None) => Err(Error::Buffer("a temporary is missing".into())),
        }
    }

    /// Records pieces of work; consecutive dispatches share a pass.
    pub(crate) fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        set: &BoundSet,
        pieces: &[usize],
        timestamps: Option<wgpu::ComputePassTimestampWrites>,
    ) {
        let mut rest = pieces;
        while let Some(at) = rest.first() {
            if let Work::Copy { from, to, bytes } = &self.work[*at].1 {
                let (from, to) = (&set.buffers[*from], &set.buffers[*to]);
                if from != to {
                    encoder.copy_buffer_to_buffer(from, 0, to, 0, *bytes);
                }
                rest = &rest[1..];
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: timestamps.clone(),
            });
            while let Some((at, Work::Dispatch(dispatch))) = rest.first().map(|at| (*at, &self.work[*at].1)) {
                pass.set_pipeline(&dispatch.pipeline.pipeline);
                let page: &[u32] = if dispatch.checks { &[reports::own_offset()] } else { &[] };
                pass.set_bind_group(0, &set.groups[at], page);
                pass.dispatch_workgroups(dispatch.grid[0], dispatch.grid[1], 1);
                rest = &rest[1..];
            }
        }
    }

    /// The report pages that the results of a run depend on; the buffers that it writes know them from now on.
    pub(crate) fn depend(&self, external: &[Buffer]) -> Result<Pages> {
        let mut pages = if self.program.checks.is_empty() { Pages::default() } else { Pages::own() };
        for buffer in external {
            pages = pages.and(self.context.memory(buffer)?.pages());
        }
        if pages != Pages::default() {
            for buffer in self.written.iter().filter_map(|number| external.get(*number)) {
                self.context.memory(buffer)?.depend_on(pages);
            }
        }
        Ok(pages)
    }

    /// After a submission: its checks may have reported.
    pub(crate) fn note_checks(&self) {
        if !self.program.checks.is_empty() {
            let page = self.context.reports.submitted();
            self.ran_on.fetch_or(page.0, Ordering::SeqCst);
        }
    }
}

/// Numbers of the external buffers that a program writes.
fn written(program: &Program) -> Vec<usize> {
    let mut written = vec![];
    let mut pending: Vec<&Step> = program.steps.iter().collect();
    while let Some(step) = pending.pop() {
        let targets: Vec<BufferId> = match step {
            Step::Launch(launch) => {
                let bindings = launch.kernel.buffers.iter().zip(&launch.buffers);
                bindings.filter(|(binding, _)| binding.access != Access::Read).map(|(_, id)| *id).collect()
            }
            Step::Copy { to, .. } => vec![*to],
            Step::Host(host) => host.outputs.iter().map(|output| output.buffer).collect(),
            Step::Branch { arms, .. } => {
                pending.extend(arms.iter().flatten());
                continue;
            }
            Step::Loop { body, .. } => {
                pending.extend(body);
                continue;
            }
        };
        written.extend(targets.into_iter().filter_map(|id| match program.buffers[id].role {
            Role::External(number) => Some(number),
            Role::Temporary => None,
        }));
    }
    written.sort_unstable();
    written.dedup();
    written
}

/// Appends a kernel's parameters; their place in bytes.
fn place(context: &Context, words: &mut Vec<u32>, kernel: &Printed, site_base: u32) -> Range<u64> {
    let align = (context.limits.min_uniform_buffer_offset_alignment as usize / 4).max(4);
    let start = words.len().next_multiple_of(align);
    words.resize(start, 0);
    words.extend(&kernel.params);
    for site in &kernel.sites {
        words[start + site] = words[start + site].wrapping_add(site_base);
    }
    words.resize(words.len().next_multiple_of(4), 0);
    (start * 4) as u64..(words.len() * 4) as u64
}

fn parameter_buffer(context: &Context, words: &[u32]) -> Result<wgpu::Buffer> {
    let buffer = context.faults.scoped(&context.device, || {
        context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: (words.len() * 4).max(16) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    })?;
    if !words.is_empty() {
        context.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    }
    Ok(buffer)
}

impl Prepared for GpuProgram {
    fn run(&self, external: &[Buffer]) -> Result<()> {
        let set = self.bind(external)?;
        let _turn = lock(&self.turn);
        let mut recorder = Recorder::new(self, &set);
        let run = Run { program: self, external, pages: self.depend(external)? };
        let outcome = walk(&run, &self.blocks, &mut recorder);
        recorder.submit();
        outcome?;
        self.context.check()
    }

    fn profile(&self, external: &[Buffer]) -> Result<Vec<Duration>> {
        let _turn = lock(&self.turn);
        profile::profile(self, external)
    }

    fn sources(&self) -> Vec<String> {
        self.sources.clone()
    }
}

impl Drop for GpuProgram {
    fn drop(&mut self) {
        if !self.program.checks.is_empty() {
            self.context.reports.retire(self.site_base, Pages(self.ran_on.load(Ordering::SeqCst)));
        }
    }
}
