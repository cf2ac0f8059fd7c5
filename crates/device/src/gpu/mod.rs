//! The wgpu executor: kernels printed as WGSL, run on Vulkan, Metal or DX12.
//!
//! Order of reading: [`wgsl`] (kernel → text) → `plans` → `pipeline` → `program`, `run` (replay) → `memory`, `transfer`, `reports`
//! (buffers, read-back, failed checks) → `adapter`, `context`, `fault` (which device, and what goes wrong on it).
//! A steady run creates no GPU object, waits for nothing and reads nothing back, unless the program branches, loops
//! on a condition or calls the host.

mod adapter;
mod context;
mod fault;
mod memory;
mod pipeline;
mod plans;
mod profile;
mod program;
mod reports;
mod run;
#[cfg(test)]
mod tests;
mod transfer;
pub(crate) mod wgsl;

use std::sync::{Arc, Mutex};

use crate::device::{DeviceInfo, Executor, Prepared};
use crate::dtype::DType;
use crate::error::Result;
use crate::memory::{Buffer, Ledger};
use crate::program::Program;
use context::Context;
use fault::Faults;
use pipeline::Pipelines;
use program::GpuProgram;
use reports::{Pages, Reports};
use wgsl::Target;

pub(crate) use memory::Memory;

/// One open adapter.
#[derive(Debug)]
pub(crate) struct GpuExecutor {
    context: Arc<Context>,
    info: DeviceInfo,
    ledger: Arc<Ledger>,
    pipelines: Pipelines,
}

impl GpuExecutor {
    /// Opens a device by name: `gpu`, `gpu:1`, `software`. One per adapter and process.
    pub(crate) fn open(name: &str) -> Result<Arc<GpuExecutor>> {
        adapter::open(name)
    }

    /// The names that can be opened.
    pub(crate) fn available() -> Vec<String> {
        adapter::available()
    }

    fn new(adapter: &wgpu::Adapter) -> Result<GpuExecutor> {
        let (device, queue) = adapter::request(adapter)?;
        let (found, features, limits) = (adapter.get_info(), device.features(), device.limits());
        let mut backend = format!("{:?}", found.backend);
        let tiers = [
            (wgpu::Features::SHADER_F16, "f16"),
            (wgpu::Features::SUBGROUP, "subgroups"),
            (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        ];
        for (_, tier) in tiers.iter().filter(|(feature, _)| features.contains(*feature)) {
            backend = format!("{backend}, {tier}");
        }
        let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size) & !3;
        let max_bindings = limits.max_storage_buffers_per_shader_stage as usize;
        let ledger = Ledger::new(&found.name, u64::MAX);
        let faults = Faults::watch(&device, &found.name, &ledger);
        let context = Context {
            name: found.name.clone(),
            target: Target { f16: features.contains(wgpu::Features::SHADER_F16) },
            pool: memory::Pool::new(&device, &faults, &ledger, most),
            reports: Reports::new(&device),
            staging: Mutex::default(),
            device,
            queue,
            limits,
            faults,
        };
        Ok(GpuExecutor {
            context: Arc::new(context),
            info: DeviceInfo {
                name: found.name.clone(),
                kind: adapter::kind(&found),
                backend,
                max_buffer_bytes: most,
                max_bindings,
            },
            ledger,
            pipelines: Pipelines::default(),
        })
    }

    /// Ends the device as a driver failure would.
    #[cfg(test)]
    fn destroy(&self) {
        self.context.device.destroy();
    }

    fn is_lost(&self) -> bool {
        self.context.faults.is_lost()
    }
}

impl Executor for GpuExecutor {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    fn supports(&self, dtype: DType) -> bool {
        !dtype.is_wide()
    }

    fn element_size(&self, dtype: DType) -> usize {
        self.context.element_size(dtype)
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        self.context.pool.allocate(bytes)
    }

    fn upload(&self, buffer: &Buffer, dtype: DType, first: usize, host: &[u8]) -> Result<()> {
        self.context.upload(buffer, dtype, first, host)
    }

    fn download(&self, buffer: &Buffer, dtype: DType, first: usize, host: &mut [u8]) -> Result<()> {
        self.context.download(buffer, dtype, first, host)
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
        self.context.check()?;
        let size = self.element_size(dtype);
        let (bytes, at, to_at) = (count * size, first * size, to_first * size);
        if count == 0 {
            return Ok(());
        }
        if [bytes, at, to_at].iter().all(|n| n.is_multiple_of(4)) {
            let (from, to) = (self.context.memory(from)?, self.context.memory(to)?);
            to.depend_on(from.pages());
            let (from, to) = (from.slot()?.0, to.slot()?.0);
            return self.context.copy_words((from, at as u64), (to, to_at as u64), bytes as u64);
        }
        // Halves that do not fill words go through the host: rare, and never inside a program.
        let mut host = vec![0; count * dtype.host_size()];
        self.context.download(from, dtype, first, &mut host)?;
        self.context.upload(to, dtype, to_first, &host)
    }

    fn prepare(&self, program: Program) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(GpuProgram::new(&self.context, &self.pipelines, program)?))
    }

    fn synchronize(&self) -> Result<()> {
        self.context.synchronize_reports(Pages::default())?;
        self.context.wait()
    }

    fn shader_count(&self) -> usize {
        self.pipelines.count()
    }
}
