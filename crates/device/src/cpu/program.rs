//! Programs made ready: every launch translated, temporaries allocated.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::cpu::address::{Axes, MAX_GUARDS, MAX_RANK};
use crate::cpu::block::{Bases, Failure, Launched};
use crate::cpu::contract::ContractKernel;
use crate::cpu::map::MapKernel;
use crate::cpu::matmul::Kernels;
use crate::cpu::row::RowKernel;
use crate::cpu::whole::WholeKernel;
use crate::cpu::wide::{self, WideKernel};
use crate::cpu::{CpuExecutor, memory, parallel, print};
use crate::device::{Executor, Prepared};
use crate::error::{Error, Result};
use crate::kernel::{Body, Instr, Kernel, Tape};
use crate::memory::Buffer;
use crate::program::{BufferId, CheckSite, HostBinding, HostStep, Launch, Program, Role, Step};

#[derive(Debug)]
enum Work {
    Map(MapKernel),
    Row(RowKernel),
    Contract(Box<ContractKernel>),
    Whole(WholeKernel),
    Wide(WideKernel),
    Copy { bytes: usize },
}

/// A tape that runs beside a kernel.
#[derive(Debug)]
enum Once {
    Fast(MapKernel),
    Wide(wide::MapKernel),
}

#[derive(Debug)]
struct PreparedStep {
    /// Its number, depth first.
    number: usize,
    work: Work,
    once: Option<Once>,
    buffers: Vec<BufferId>,
    text: Option<String>,
}

/// What runs in order.
#[derive(Debug)]
enum Block {
    Step(Box<PreparedStep>),
    /// A function of the host, with its number.
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

/// A program ready to run.
pub(crate) struct PreparedProgram {
    executor: CpuExecutor,
    blocks: Vec<Block>,
    /// Number of steps, those inside branches and loops included.
    steps: usize,
    specs: Vec<crate::program::BufferSpec>,
    checks: Vec<CheckSite>,
    externals: usize,
    /// Some step has several tasks.
    threaded: bool,
    /// Some step calls the host.
    calls_host: bool,
    workspace: Mutex<Workspace>,
}

/// What one run at a time has for itself.
struct Workspace {
    temporaries: Vec<Option<Buffer>>,
    /// The base addresses of the program's buffers.
    buffers: Vec<*mut u8>,
    /// Those of the bindings of the current launch.
    bindings: Vec<*mut u8>,
}

// SAFETY: addresses of buffers that the run in progress holds; they are of no use after it.
unsafe impl Send for Workspace {}

impl Workspace {
    fn new(executor: &CpuExecutor, specs: &[crate::program::BufferSpec]) -> Result<Workspace> {
        let temporary = |spec: &crate::program::BufferSpec| match spec.role {
            Role::External(_) => Ok(None),
            Role::Temporary => executor.allocate(spec.bytes).map(Some),
        };
        let temporaries = specs.iter().map(temporary).collect::<Result<_>>()?;
        Ok(Workspace { temporaries, buffers: vec![], bindings: vec![] })
    }
}

/// The turn of a run at its device, which it gives up while it calls the host: the function may wait for another thread.
#[derive(Default)]
struct Turn<'a> {
    queue: Option<&'a Mutex<()>>,
    held: Option<MutexGuard<'a, ()>>,
}

impl<'a> Turn<'a> {
    fn of(queue: &'a Mutex<()>) -> Turn<'a> {
        let mut turn = Turn { queue: Some(queue), held: None };
        turn.resume();
        turn
    }

    fn pause(&mut self) {
        self.held = None;
    }

    fn resume(&mut self) {
        self.held = self.queue.map(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Bytes of one task of a copy.
const COPY: usize = 1 << 20;

/// Loops and guards that walking addresses has room for.
fn check_limits(kernel: &Kernel) -> Result<()> {
    let limit = |what, value: usize, limit: usize, hint| {
        let device = String::from("cpu");
        Err(Error::Limit { what, value: value as u64, limit: limit as u64, device, hint })
    };
    if kernel.variables() > MAX_RANK {
        return limit("loops of a kernel", kernel.variables(), MAX_RANK, "merge axes with reshape");
    }
    let of_tape = |tape: &Tape| {
        let of_instr = |i: &Instr| match i {
            Instr::Load { map, .. } | Instr::Store { map, .. } => map.guards.len(),
            _ => 0,
        };
        tape.instrs.iter().map(of_instr).max().unwrap_or(0)
    };
    let guards = match &kernel.body {
        Body::Map(tape) | Body::Row { tape, .. } => of_tape(tape),
        Body::Contract { lhs, rhs, epilogue, .. } => {
            of_tape(epilogue).max(lhs.map.guards.len()).max(rhs.map.guards.len())
        }
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => 0,
    };
    let guards = guards.max(of_tape(&kernel.once));
    if guards > MAX_GUARDS {
        return limit(
            "padded axes of a kernel",
            guards,
            MAX_GUARDS,
            "pad in two steps with a barrier between",
        );
    }
    Ok(())
}

fn translate(kernel: &Kernel, kernels: Kernels) -> Result<Work> {
    if wide::body_is_wide(kernel)? {
        return WideKernel::new(kernel).map(Work::Wide);
    }
    Ok(match &kernel.body {
        Body::Map(tape) => {
            let axes: Axes = kernel.rows.iter().copied().enumerate().collect();
            Work::Map(MapKernel::new(kernel, tape, &axes)?)
        }
        Body::Row { tape, before, phases } => Work::Row(RowKernel::new(kernel, tape, before, phases)?),
        Body::Contract { batch, m, lhs, rhs, epilogue } => Work::Contract(Box::new(ContractKernel::new(
            kernel,
            (*batch, *m),
            (lhs, rhs),
            epilogue,
            kernels,
        )?)),
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => Work::Whole(WholeKernel::new(kernel)),
    })
}

/// Prepares steps; `count` numbers them.
fn prepare(steps: &[Step], kernels: Kernels, count: &mut usize) -> Result<Vec<Block>> {
    let mut blocks = Vec::with_capacity(steps.len());
    for step in steps {
        blocks.push(match step {
            Step::Launch(launch) => {
                Block::Step(Box::new(PreparedStep::launch(next(count), launch, kernels)?))
            }
            Step::Copy { from, to, dtype, count: elements } => Block::Step(Box::new(PreparedStep {
                number: next(count),
                work: Work::Copy { bytes: elements * dtype.host_size() },
                once: None,
                buffers: vec![*from, *to],
                text: None,
            })),
            Step::Host(host) => Block::Host(next(count), host.clone()),
            Step::Branch { index, arms } => {
                let arms = arms.iter().map(|arm| prepare(arm, kernels, count)).collect::<Result<_>>()?;
                Block::Branch { index: *index, arms }
            }
            Step::Loop { most, condition, body } => {
                let body = prepare(body, kernels, count)?;
                Block::Loop { most: *most, condition: *condition, body }
            }
        });
    }
    Ok(blocks)
}

fn next(count: &mut usize) -> usize {
    std::mem::replace(count, *count + 1)
}

/// Every prepared step, depth first.
fn each<'a>(blocks: &'a [Block], visit: &mut dyn FnMut(&'a PreparedStep)) {
    for block in blocks {
        match block {
            Block::Step(step) => visit(step),
            Block::Host(..) => {}
            Block::Branch { arms, .. } => arms.iter().for_each(|arm| each(arm, visit)),
            Block::Loop { body, .. } => each(body, visit),
        }
    }
}

impl PreparedStep {
    fn launch(number: usize, launch: &Launch, kernels: Kernels) -> Result<PreparedStep> {
        let kernel = &launch.kernel;
        check_limits(kernel)?;
        let once = if kernel.once.instrs.is_empty() {
            None
        } else {
            Some(match wide::tape_is_wide(kernel, &kernel.once)? {
                true => Once::Wide(wide::MapKernel::new(kernel, &kernel.once, &[])?),
                false => Once::Fast(MapKernel::new(kernel, &kernel.once, &Axes::new())?),
            })
        };
        Ok(PreparedStep {
            number,
            work: translate(kernel, kernels)?,
            once,
            buffers: launch.buffers.clone(),
            text: Some(print::kernel(kernel)),
        })
    }

    fn tasks(&self) -> usize {
        match &self.work {
            Work::Map(map) => map.tasks(),
            Work::Row(row) => row.tasks(),
            Work::Contract(contract) => contract.tasks(),
            Work::Whole(whole) => whole.tasks(),
            Work::Wide(wide) => wide.tasks(),
            Work::Copy { bytes } => bytes.div_ceil(COPY),
        }
    }

    fn run(&self, launched: Launched) {
        match &self.work {
            Work::Map(map) => map.run(launched),
            Work::Row(row) => row.run(launched),
            Work::Contract(contract) => contract.run(launched),
            Work::Whole(whole) => whole.run(launched),
            Work::Wide(wide) => wide.run(launched),
            Work::Copy { bytes } => parallel(bytes.div_ceil(COPY), |task| {
                let first = task * COPY;
                let bases = launched.bases;
                // SAFETY: both buffers hold `bytes` bytes; tasks copy disjoint ranges.
                unsafe {
                    std::ptr::copy(bases.0[0].add(first), bases.0[1].add(first), COPY.min(bytes - first))
                };
            }),
        }
        match &self.once {
            Some(Once::Fast(once)) => once.run(launched),
            Some(Once::Wide(once)) => once.run(launched),
            None => {}
        }
    }
}

impl PreparedProgram {
    pub(crate) fn new(executor: CpuExecutor, program: Program) -> Result<PreparedProgram> {
        let kernels = Kernels::new(executor.shared.isa);
        let mut steps = 0;
        let blocks = prepare(&program.steps, kernels, &mut steps)?;
        let mut threaded = false;
        each(&blocks, &mut |step| threaded |= step.tasks() > 1);
        let workspace = Mutex::new(Workspace::new(&executor, &program.buffers)?);
        Ok(PreparedProgram {
            calls_host: program.calls_host(),
            externals: program.externals(),
            threaded,
            blocks,
            steps,
            specs: program.buffers,
            checks: program.checks,
            workspace,
            executor,
        })
    }

    fn resolve(&self, external: &[Buffer], workspace: &mut Workspace) -> Result<()> {
        if external.len() < self.externals {
            return Err(Error::Buffer(format!(
                "{} buffers are bound, {} are needed",
                external.len(),
                self.externals
            )));
        }
        workspace.buffers.clear();
        for (spec, temporary) in self.specs.iter().zip(&workspace.temporaries) {
            let buffer = match (spec.role, temporary) {
                (Role::External(n), _) => &external[n],
                (Role::Temporary, Some(buffer)) => buffer,
                (Role::Temporary, None) => unreachable!("allocated when prepared"),
            };
            if buffer.bytes() < spec.bytes {
                return Err(Error::Buffer(format!(
                    "{} bytes are bound, {} are needed",
                    buffer.bytes(),
                    spec.bytes
                )));
            }
            workspace.buffers.push(memory(buffer)?.pointer());
        }
        Ok(())
    }

    /// Runs all steps; `report` hears the number and time of each, every time it runs.
    fn execute(&self, external: &[Buffer], report: &mut (dyn FnMut(usize, Duration) + Send)) -> Result<()> {
        // Before the turn at the device, which a run that waits for the workspace must not take from its holder.
        let (mut kept, mut own);
        let workspace = match self.workspace.try_lock() {
            // A run that is calling the host may be waiting for this one.
            Err(TryLockError::WouldBlock) if self.calls_host => {
                own = Workspace::new(&self.executor, &self.specs)?;
                &mut own
            }
            Ok(free) => {
                kept = free;
                &mut *kept
            }
            Err(_) => {
                kept = self.workspace.lock().unwrap_or_else(PoisonError::into_inner);
                &mut *kept
            }
        };
        self.resolve(external, workspace)?;
        let shared = &self.executor.shared;
        let mut turn = Turn::of(&shared.queue);
        let failure: Mutex<Option<Failure>> = Mutex::new(None);
        let pool = shared.threads.as_ref().filter(|_| self.threaded);
        let Workspace { buffers, bindings, .. } = workspace;
        let mut run = Run { program: self, buffers, bindings, failure: &failure, report, pool: None };
        let outcome = match pool {
            // A function of the host runs on the caller's thread, so that it does not keep one of the pool waiting.
            Some(pool) if !self.calls_host => pool.install(|| run.all(&self.blocks, &mut Turn::default())),
            pool => {
                run.pool = pool;
                run.all(&self.blocks, &mut turn)
            }
        };
        let found = *failure.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Some((_, site, position, value)) => {
                Err(self.checks[site as usize].error(value, u64::from(position)))
            }
            None => outcome,
        }
    }
}

/// One run in progress.
struct Run<'a> {
    program: &'a PreparedProgram,
    buffers: &'a [*mut u8],
    bindings: &'a mut Vec<*mut u8>,
    failure: &'a Mutex<Option<Failure>>,
    report: &'a mut (dyn FnMut(usize, Duration) + Send),
    /// The threads for each step, where the run as a whole is on none of them.
    pool: Option<&'a rayon::ThreadPool>,
}

// SAFETY: the addresses are those of buffers that the caller holds during the run.
unsafe impl Send for Run<'_> {}

impl Run<'_> {
    fn all(&mut self, blocks: &[Block], turn: &mut Turn<'_>) -> Result<()> {
        for block in blocks {
            match block {
                Block::Step(step) => self.step(step),
                Block::Host(number, host) => {
                    let start = Instant::now();
                    self.host(host, turn)?;
                    (self.report)(*number, start.elapsed());
                }
                Block::Branch { index, arms } => {
                    // SAFETY: the buffer holds an `i32`, and nothing runs now.
                    let index = unsafe { self.buffers[*index].cast::<i32>().read_unaligned() };
                    self.all(&arms[(index.max(0) as usize).min(arms.len() - 1)], turn)?;
                }
                Block::Loop { most, condition, body } => {
                    // SAFETY: the buffer holds a `bool`, one byte, and nothing runs now.
                    let goes_on =
                        |run: &Self| condition.is_none_or(|c| unsafe { run.buffers[c].read() } != 0);
                    for _ in 0..*most {
                        if !goes_on(self) {
                            break;
                        }
                        self.all(body, turn)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &PreparedStep) {
        let start = Instant::now();
        self.bindings.clear();
        self.bindings.extend(step.buffers.iter().map(|b| self.buffers[*b]));
        let launched = Launched {
            isa: self.program.executor.shared.isa,
            bases: Bases(self.bindings),
            failure: self.failure,
            number: step.number,
        };
        match self.pool.filter(|_| step.tasks() > 1) {
            Some(pool) => pool.install(|| step.run(launched)),
            None => step.run(launched),
        }
        (self.report)(step.number, start.elapsed());
    }

    fn host(&self, host: &HostStep, turn: &mut Turn<'_>) -> Result<()> {
        let place = |binding: &HostBinding| {
            let size = binding.dtype.host_size();
            let end = binding.first.saturating_add(binding.count).saturating_mul(size);
            if end > self.program.specs[binding.buffer].bytes {
                return Err(Error::Buffer("a host function is bound past the end of a buffer".into()));
            }
            // SAFETY: every buffer that is bound holds the bytes of its spec, as checked when it was resolved.
            Ok((unsafe { self.buffers[binding.buffer].add(binding.first * size) }, binding.count * size))
        };
        let take = |binding: &HostBinding| {
            let (pointer, bytes) = place(binding)?;
            // SAFETY: as above; nothing writes it now.
            Ok(unsafe { std::slice::from_raw_parts(pointer, bytes) }.to_vec())
        };
        let inputs = host.inputs.iter().map(take).collect::<Result<Vec<_>>>()?;
        turn.pause();
        let results = host.function.call(&inputs, &host.outputs);
        turn.resume();
        let results = results?;
        for (bytes, output) in results.iter().zip(&host.outputs) {
            let (pointer, count) = place(output)?;
            // SAFETY: as above; `call` has checked the length, and nothing reads it now.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, count) };
        }
        Ok(())
    }
}

impl Prepared for PreparedProgram {
    fn run(&self, external: &[Buffer]) -> Result<()> {
        self.execute(external, &mut |_, _| {})
    }

    fn profile(&self, external: &[Buffer]) -> Result<Vec<Duration>> {
        let mut times = vec![Duration::ZERO; self.steps];
        self.execute(external, &mut |number, time| times[number] += time)?;
        Ok(times)
    }

    fn sources(&self) -> Vec<String> {
        let mut texts = vec![];
        each(&self.blocks, &mut |step| texts.extend(step.text.clone()));
        texts
    }
}
