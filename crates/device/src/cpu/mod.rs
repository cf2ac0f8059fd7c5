//! The native CPU executor.

use std::sync::Arc;

use crate::device::{DeviceInfo, Executor, Prepared};
use crate::dtype::DType;
use crate::error::Result;
use crate::memory::{Buffer, Ledger};
use crate::program::Program;

#[derive(Debug)]
pub(crate) struct Memory;

#[derive(Debug)]
pub(crate) struct CpuExecutor;

impl CpuExecutor {
    pub(crate) fn new() -> CpuExecutor {
        todo!()
    }
    pub(crate) fn with_threads(_threads: usize) -> Result<CpuExecutor> {
        todo!()
    }
}

impl Executor for CpuExecutor {
    fn info(&self) -> &DeviceInfo {
        todo!()
    }
    fn ledger(&self) -> &Arc<Ledger> {
        todo!()
    }
    fn element_size(&self, _dtype: DType) -> usize {
        todo!()
    }
    fn allocate(&self, _bytes: usize) -> Result<Buffer> {
        todo!()
    }
    fn upload(&self, _: &Buffer, _: DType, _: usize, _: &[u8]) -> Result<()> {
        todo!()
    }
    fn download(&self, _: &Buffer, _: DType, _: usize, _: &mut [u8]) -> Result<()> {
        todo!()
    }
    fn copy(&self, _: &Buffer, _: usize, _: &Buffer, _: usize, _: DType, _: usize) -> Result<()> {
        todo!()
    }
    fn prepare(&self, _: Program) -> Result<Box<dyn Prepared>> {
        todo!()
    }
    fn synchronize(&self) -> Result<()> {
        todo!()
    }
}
