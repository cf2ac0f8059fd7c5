//! What everything on one device shares.

use std::sync::{Arc, Mutex};

use super::fault::{Faults, lock};
use super::memory::Pool;
use super::reports::Reports;
use super::wgsl::Target;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// An open device with its queue, buffers and errors.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) limits: wgpu::Limits,
    pub(crate) target: Target,
    pub(crate) faults: Arc<Faults>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) reports: Reports,
    pub(crate) staging: Mutex<Vec<wgpu::Buffer>>,
}

/// Staging buffers kept for the next read-back.
const KEPT_STAGING: usize = 4;

impl Context {
    /// Bytes of a stored element.
    pub(crate) fn element_size(&self, dtype: DType) -> usize {
        match dtype {
            DType::F16 if self.target.f16 => 2,
            DType::F64 | DType::I64 => 8,
            _ => 4,
        }
    }

    /// Returns what went wrong on the device since the last call.
    pub(crate) fn check(&self) -> Result<()> {
        self.faults.report(&self.device)
    }

    /// Waits for everything submitted.
    pub(crate) fn wait(&self) -> Result<()> {
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        waited.map(|_| ()).map_err(|error| Error::Kernel(error.to_string()))
    }

    /// A mappable buffer of at least `bytes`.
    pub(crate) fn staging(&self, bytes: usize) -> Result<wgpu::Buffer> {
        let mut kept = lock(&self.staging);
        if let Some(at) = kept.iter().position(|b| b.size() >= bytes as u64) {
            return Ok(kept.swap_remove(at));
        }
        drop(kept);
        let size = bytes.next_power_of_two().max(4096) as u64;
        self.faults.scoped(&self.device, || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("staging"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// Keeps an unmapped staging buffer.
    pub(crate) fn keep_staging(&self, buffer: wgpu::Buffer) {
        let mut kept = lock(&self.staging);
        if kept.len() < KEPT_STAGING {
            kept.push(buffer);
        }
    }
}
