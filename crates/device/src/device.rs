//! The device: which one, and what can be asked of it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cpu::CpuExecutor;
use crate::dtype::DType;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu::GpuExecutor;
use crate::memory::{Buffer, Ledger};
use crate::program::Program;

/// What kind of executor a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// The native executor on this machine's cores.
    Cpu,
    /// A graphics processor through wgpu.
    Gpu,
    /// A software rasteriser (Mesa lavapipe) through wgpu: for tests of the WGSL path.
    Software,
}

/// What a device is called and can do.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// Its name, for people.
    pub name: String,
    /// Which executor it is.
    pub kind: DeviceKind,
    /// The interface it is reached by, `Vulkan` for instance, or the instruction set of the CPU.
    pub backend: String,
    /// Most bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Most buffers that one kernel binds.
    pub max_bindings: usize,
}

/// What an executor does. There are two; the rest of Kiln sees only [`Device`].
pub(crate) trait Executor: Send + Sync + fmt::Debug {
    fn info(&self) -> &DeviceInfo;
    fn ledger(&self) -> &Arc<Ledger>;
    /// True where kernels can compute with the type and buffers hold it.
    fn supports(&self, dtype: DType) -> bool;
    /// Bytes of one stored element.
    fn element_size(&self, dtype: DType) -> usize;
    /// Memory with unspecified contents (never another process's).
    fn allocate(&self, bytes: usize) -> Result<Buffer>;
    /// Writes host elements (`count × dtype.host_size()` bytes) at element `first` of the buffer.
    fn upload(&self, buffer: &Buffer, dtype: DType, first: usize, host: &[u8]) -> Result<()>;
    /// Waits for what was submitted, reads elements back; an error where a check failed on which they depend, or in a run
    /// of this thread, that was not told yet.
    fn download(&self, buffer: &Buffer, dtype: DType, first: usize, host: &mut [u8]) -> Result<()>;
    /// Copies elements between two buffers (or two disjoint ranges of one), in order with submitted programs.
    fn copy(
        &self,
        from: &Buffer,
        first: usize,
        to: &Buffer,
        to_first: usize,
        dtype: DType,
        count: usize,
    ) -> Result<()>;
    /// Makes a verified program ready to run: pipelines, temporaries.
    fn prepare(&self, program: Program) -> Result<Box<dyn Prepared>>;
    /// Waits until all submitted work is done; an error where a check failed in a run of this thread that was not told
    /// yet, or the device is lost.
    fn synchronize(&self) -> Result<()>;
    /// Number of distinct shaders compiled so far.
    fn shader_count(&self) -> usize;
}

/// A program ready to run on one device.
pub(crate) trait Prepared: Send + Sync {
    /// Submits one run; `external` are the buffers of [`crate::Role::External`], by number.
    fn run(&self, external: &[Buffer]) -> Result<()>;
    /// One run with the time that every launch, copy and host call took in all its turns, depth first; waits for it.
    fn profile(&self, external: &[Buffer]) -> Result<Vec<Duration>>;
    /// The text of every launch's kernel as this executor has it (WGSL on a GPU), in launch order.
    fn sources(&self) -> Vec<String>;
}

/// A handle to a device; cheap to clone.
///
/// ```
/// use kiln_device::Device;
/// let device = Device::cpu();
/// assert_eq!(device.to_string(), "cpu");
/// ```
#[derive(Clone)]
pub struct Device {
    executor: Arc<dyn Executor>,
    label: Arc<str>,
}

/// A program compiled for a device.
pub struct Executable {
    prepared: Box<dyn Prepared>,
    device: Device,
}

impl Device {
    fn new(label: &str, executor: Arc<dyn Executor>) -> Device {
        Device { executor, label: label.into() }
    }

    /// The native CPU executor, one per process. Needs no driver. `KILN_THREADS` bounds its threads.
    pub fn cpu() -> Device {
        static CPU: OnceLock<Device> = OnceLock::new();
        CPU.get_or_init(|| Device::new("cpu", Arc::new(CpuExecutor::new()))).clone()
    }

    /// A CPU device of its own, with its own memory budget and number of threads; results do not depend on `threads`.
    ///
    /// # Errors
    /// Where the threads cannot be started.
    pub fn cpu_with_threads(threads: usize) -> Result<Device> {
        Ok(Device::new("cpu", Arc::new(CpuExecutor::with_threads(threads)?)))
    }

    /// The first real graphics processor.
    ///
    /// # Errors
    /// [`Error::UnknownDevice`] where there is none; [`Error::Open`] where its driver fails.
    pub fn gpu() -> Result<Device> {
        Device::open("gpu")
    }

    /// A device by name: `cpu`, `gpu`, `gpu:1`, `software`.
    ///
    /// # Errors
    /// [`Error::UnknownDevice`], listing what there is; [`Error::Open`] where its driver fails.
    pub fn open(name: &str) -> Result<Device> {
        match name {
            "cpu" => Ok(Device::cpu()),
            other => Device::open_gpu(other),
        }
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(name: &str) -> Result<Device> {
        GpuExecutor::open(name).map(|executor| Device::new(name, executor))
    }

    #[cfg(not(feature = "gpu"))]
    fn open_gpu(name: &str) -> Result<Device> {
        Err(Error::UnknownDevice {
            asked: name.to_owned(),
            available: "cpu".into(),
            hint: "; this build has no GPU executor, enable the feature `gpu`".into(),
        })
    }

    /// The device to use when the user names none: `KILN_DEVICE` if set, else the first real GPU, else the CPU.
    /// Never a software rasteriser. Decided once per process.
    ///
    /// # Errors
    /// Where `KILN_DEVICE` names a device that is not there.
    pub fn auto() -> Result<Device> {
        static AUTO: OnceLock<Result<Device>> = OnceLock::new();
        AUTO.get_or_init(|| match std::env::var("KILN_DEVICE") {
            Ok(name) if !name.is_empty() => Device::open(&name),
            _ => Ok(Device::gpu().unwrap_or_else(|_| Device::cpu())),
        })
        .clone()
    }

    /// The names that [`Device::open`] takes on this machine.
    pub fn available() -> Vec<String> {
        #[allow(unused_mut)]
        let mut names = vec!["cpu".to_owned()];
        #[cfg(feature = "gpu")]
        names.extend(GpuExecutor::available());
        names
    }

    /// A text that tells devices of this process apart, as `==` does.
    pub fn identity(&self) -> String {
        format!("{}@{:p}", self.label, Arc::as_ptr(&self.executor))
    }

    /// Name, kind, backend and limits.
    pub fn info(&self) -> &DeviceInfo {
        self.executor.info()
    }

    /// Number of distinct shaders that this device has compiled so far; programs that differ in sizes alone share them.
    /// Always 0 on the CPU, which compiles none.
    pub fn shader_count(&self) -> usize {
        self.executor.shader_count()
    }

    /// True where the device has elements of this type: every type on the CPU, none of 64 bits on a GPU.
    pub fn supports(&self, dtype: DType) -> bool {
        self.executor.supports(dtype)
    }

    /// Nothing where the device has the type; `op` and `at` (the user's file and line, or empty) are for the error.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn require(&self, dtype: DType, op: &str, at: &str) -> Result<()> {
        if self.supports(dtype) {
            return Ok(());
        }
        let at = if at.is_empty() { String::new() } else { format!(" ({at})") };
        Err(Error::Unsupported { op: op.to_owned(), dtype, device: self.info().name.clone(), at })
    }

    /// Bytes that one stored element takes on this device.
    pub fn element_size(&self, dtype: DType) -> usize {
        self.executor.element_size(dtype)
    }

    /// Memory for `count` elements; its contents are unspecified.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Limit`], [`Error::SizeOverflow`], [`Error::Unsupported`].
    pub fn allocate(&self, dtype: DType, count: usize) -> Result<Buffer> {
        self.require(dtype, "buffer", "")?;
        let bytes = crate::size::byte_length(count, self.element_size(dtype))?;
        let limit = self.info().max_buffer_bytes;
        if bytes as u64 > limit {
            return Err(Error::Limit {
                what: "buffer",
                value: bytes as u64,
                limit,
                device: self.info().name.clone(),
                hint: "split the tensor",
            });
        }
        self.executor.allocate(bytes)
    }

    /// A buffer with the given host elements (`host.len() / dtype.host_size()` of them).
    ///
    /// # Errors
    /// As [`Device::allocate`]; [`Error::Lost`].
    pub fn buffer_from(&self, dtype: DType, host: &[u8]) -> Result<Buffer> {
        let buffer = self.allocate(dtype, host.len() / dtype.host_size())?;
        self.upload(&buffer, dtype, 0, host)?;
        Ok(buffer)
    }

    /// Writes host elements at element `first`, in order with submitted programs.
    ///
    /// # Errors
    /// [`Error::Buffer`] where they do not fit; [`Error::Lost`].
    pub fn upload(&self, buffer: &Buffer, dtype: DType, first: usize, host: &[u8]) -> Result<()> {
        self.check_range(buffer, dtype, first, host.len() / dtype.host_size())?;
        self.executor.upload(buffer, dtype, first, host)
    }

    /// Reads `count` elements from element `first` back as host bytes, waiting for submitted work.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`] of an earlier run; [`Error::Buffer`]; [`Error::Lost`].
    pub fn download(&self, buffer: &Buffer, dtype: DType, first: usize, count: usize) -> Result<Vec<u8>> {
        self.check_range(buffer, dtype, first, count)?;
        let mut host = vec![0; crate::size::byte_length(count, dtype.host_size())?];
        self.executor.download(buffer, dtype, first, &mut host)?;
        Ok(host)
    }

    /// Copies elements from one buffer to another on the device.
    ///
    /// # Errors
    /// [`Error::Buffer`] where a range does not fit; [`Error::Lost`].
    pub fn copy(
        &self,
        from: &Buffer,
        first: usize,
        to: &Buffer,
        to_first: usize,
        dtype: DType,
        count: usize,
    ) -> Result<()> {
        self.check_range(from, dtype, first, count)?;
        self.check_range(to, dtype, to_first, count)?;
        self.executor.copy(from, first, to, to_first, dtype, count)
    }

    /// Compiles a program.
    ///
    /// # Errors
    /// [`Error::Kernel`] for a broken program (a bug in Kiln), [`Error::OutOfMemory`], [`Error::Limit`],
    /// [`Error::Unsupported`].
    pub fn compile(&self, program: Program) -> Result<Executable> {
        program.verify()?;
        for dtype in program.wide_types()? {
            self.require(dtype, "compile", "")?;
        }
        Ok(Executable { prepared: self.executor.prepare(program)?, device: self.clone() })
    }

    /// Waits for all submitted work.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`] of an earlier run of this thread; [`Error::Lost`].
    pub fn synchronize(&self) -> Result<()> {
        self.executor.synchronize()
    }

    /// The most bytes that buffers of this device may take together.
    pub fn set_memory_budget(&self, bytes: u64) {
        self.executor.ledger().set_budget(bytes);
    }

    /// Bytes of live buffers.
    pub fn memory_in_use(&self) -> u64 {
        self.executor.ledger().in_use()
    }

    /// The most bytes of live buffers so far.
    pub fn memory_peak(&self) -> u64 {
        self.executor.ledger().peak()
    }

    fn check_range(&self, buffer: &Buffer, dtype: DType, first: usize, count: usize) -> Result<()> {
        self.require(dtype, "buffer", "")?;
        let size = self.element_size(dtype);
        let end = first.checked_add(count).and_then(|n| n.checked_mul(size));
        if end.is_none_or(|end| end > buffer.bytes()) {
            return Err(Error::Buffer(format!(
                "elements {first}..{} of {dtype} do not fit a buffer of {} bytes",
                first.saturating_add(count),
                buffer.bytes()
            )));
        }
        Ok(())
    }
}

impl Executable {
    /// Submits one run over the external buffers, by their number. Work may still be going on when it returns.
    ///
    /// # Errors
    /// [`Error::Buffer`] for wrong bindings, [`Error::IndexOutOfRange`] where the device reports at once, [`Error::Lost`].
    pub fn run(&self, external: &[Buffer]) -> Result<()> {
        self.prepared.run(external)
    }

    /// One run with the time that each launch, copy and host call took in all its turns, depth first.
    ///
    /// # Errors
    /// As [`Executable::run`].
    pub fn profile(&self, external: &[Buffer]) -> Result<Vec<Duration>> {
        self.prepared.profile(external)
    }

    /// The text of each launch's kernel.
    pub fn sources(&self) -> Vec<String> {
        self.prepared.sources()
    }

    /// The device it was compiled for.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.executor), Arc::as_ptr(&other.executor))
    }
}

impl Eq for Device {}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.label)
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executable(on {})", self.device)
    }
}
