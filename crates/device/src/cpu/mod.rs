//! The native CPU executor: kernels interpreted in cache-sized blocks of lanes, over threads.
//!
//! A program is translated once (`program`, `tape`, `address`); a run walks the translated kernels (`map`, `row`,
//! `contract`, `whole`), whose inner loops exist for several instruction sets (`isa`, `lanes`, `matmul`). How work is
//! cut into tasks, and in what order results fold, depends on sizes alone: results are the same bit for bit for any
//! number of threads. Between instruction sets they differ by whether a multiply-add rounds once, in contractions and in
//! transcendental functions, and by nothing else (`docs/design/cpu_lanes.md`). Kernels with 64-bit values have an executor
//! of their own (`wide`).

mod address;
mod block;
mod contract;
mod fold;
mod isa;
mod lanes;
mod map;
mod matmul;
mod memory;
mod panel;
mod print;
mod program;
mod row;
mod separable;
mod shape;
mod tape;
mod transpose;
mod whole;
mod wide;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::cpu::isa::Isa;
pub(crate) use crate::cpu::memory::Memory;
use crate::cpu::memory::Pool;
use crate::cpu::program::PreparedProgram;
use crate::device::{DeviceInfo, DeviceKind, Executor, Prepared};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::memory::{Buffer, Ledger, Storage};
use crate::program::Program;

/// The executor; a handle to what its prepared programs share.
#[derive(Clone, Debug)]
pub(crate) struct CpuExecutor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    info: DeviceInfo,
    ledger: Arc<Ledger>,
    pool: Arc<Pool>,
    /// `None` where everything runs on the calling thread.
    threads: Option<rayon::ThreadPool>,
    isa: Isa,
    /// Orders runs, uploads, downloads and copies.
    queue: Mutex<()>,
}

/// Bytes of memory of this machine, or practically no bound where it does not say.
fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or(1 << 46, |k| k * 1024)
}

/// Runs tasks `0..count` on the threads of the pool that the caller is in, or one by one where it is in none.
fn parallel(count: usize, task: impl Fn(usize) + Sync) {
    if count <= 1 || rayon::current_thread_index().is_none() {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(&task);
    }
}

impl CpuExecutor {
    /// The executor with `KILN_THREADS` threads, or as many as the machine runs at once.
    pub(crate) fn new() -> CpuExecutor {
        let wanted = std::env::var("KILN_THREADS").ok().and_then(|t| t.parse().ok());
        let threads = wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        CpuExecutor::build(Self::pool(threads).unwrap_or(None))
    }

    pub(crate) fn with_threads(threads: usize) -> Result<CpuExecutor> {
        let pool =
            Self::pool(threads).map_err(|e| Error::Open { device: "cpu".into(), reason: e.to_string() })?;
        Ok(CpuExecutor::build(pool))
    }

    fn pool(threads: usize) -> Result<Option<rayon::ThreadPool>, rayon::ThreadPoolBuildError> {
        if threads <= 1 {
            return Ok(None);
        }
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.thread_name(|i| format!("kiln-{i}")).build().map(Some)
    }

    fn build(threads: Option<rayon::ThreadPool>) -> CpuExecutor {
        let isa = Isa::detect();
        let info = DeviceInfo {
            name: "cpu".into(),
            kind: DeviceKind::Cpu,
            backend: isa.name().into(),
            max_buffer_bytes: isize::MAX as u64,
            max_bindings: usize::MAX,
        };
        CpuExecutor {
            shared: Arc::new(Shared {
                info,
                ledger: Ledger::new("cpu", machine_memory()),
                pool: Arc::default(),
                threads,
                isa,
                queue: Mutex::new(()),
            }),
        }
    }

    fn queue(&self) -> MutexGuard<'_, ()> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of a buffer of this device.
fn memory(buffer: &Buffer) -> Result<&Memory> {
    match buffer.storage() {
        Storage::Cpu(memory) => Ok(memory),
        #[cfg(feature = "gpu")]
        Storage::Gpu(_) => Err(Error::Buffer("a buffer of a GPU was passed to the CPU".into())),
    }
}

impl Executor for CpuExecutor {
    fn info(&self) -> &DeviceInfo {
        &self.shared.info
    }

    fn ledger(&self) -> &Arc<Ledger> {
        &self.shared.ledger
    }

    fn supports(&self, _: DType) -> bool {
        true
    }

    fn element_size(&self, dtype: DType) -> usize {
        dtype.host_size()
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        let lease = self.shared.ledger.reserve(bytes)?;
        match self.shared.pool.take(bytes) {
            Some(memory) => Ok(Buffer::new(bytes, Storage::Cpu(memory), lease)),
            None => {
                drop(lease);
                Err(self.shared.ledger.refused(bytes))
            }
        }
    }

    fn upload(&self, buffer: &Buffer, dtype: DType, first: usize, host: &[u8]) -> Result<()> {
        let memory = memory(buffer)?;
        let _queue = self.queue();
        // SAFETY: the device checked that the elements lie within the buffer; the queue excludes other uses.
        unsafe {
            let target = memory.pointer().add(first * dtype.host_size());
            std::ptr::copy_nonoverlapping(host.as_ptr(), target, host.len());
        }
        Ok(())
    }

    fn download(&self, buffer: &Buffer, dtype: DType, first: usize, host: &mut [u8]) -> Result<()> {
        let memory = memory(buffer)?;
        let _queue = self.queue();
        // SAFETY: as for `upload`.
        unsafe {
            let source = memory.pointer().add(first * dtype.host_size());
            std::ptr::copy_nonoverlapping(source, host.as_mut_ptr(), host.len());
        }
        Ok(())
    }

    fn copy(
        &self,
        from: &Buffer,
        first: usize,
        to: &Buffer,
        to_first: usize,
        dtype: DType,
        count: usize,
    ) -> Result<()> {
        let (from, to) = (memory(from)?, memory(to)?);
        let size = dtype.host_size();
        let _queue = self.queue();
        // SAFETY: as for `upload`; ranges of one buffer may overlap.
        unsafe {
            std::ptr::copy(from.pointer().add(first * size), to.pointer().add(to_first * size), count * size)
        };
        Ok(())
    }

    fn prepare(&self, program: Program) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(PreparedProgram::new(self.clone(), program)?))
    }

    fn synchronize(&self) -> Result<()> {
        drop(self.queue());
        Ok(())
    }

    fn shader_count(&self) -> usize {
        0
    }
}
