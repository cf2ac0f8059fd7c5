//! Kernels and buffers on a device.
//!
//! This crate executes [`Program`]s: [`Kernel`]s in order over [`Buffer`]s. It has two executors of one contract
//! ([`kernel`]): `gpu` prints kernels as WGSL and runs them through wgpu on Vulkan, Metal or DX12; `cpu` interprets the
//! same kernels in cache-sized blocks over threads. It knows nothing of tensors, graphs or gradients, and no kernel
//! allocates, waits or reads back.
//!
//! Order of reading: [`dtype`] → [`op`] → [`kernel`] → [`program`] → [`Device`] → `cpu`, `gpu`.

#![recursion_limit = "256"]

pub mod dtype;
pub mod error;
pub mod kernel;
pub mod op;
pub mod program;
pub mod size;

mod cpu;
mod device;
#[cfg(feature = "gpu")]
mod gpu;
pub mod math;
mod memory;

pub use device::{Device, DeviceInfo, DeviceKind, Executable};
pub use dtype::{DType, Scalar, Value, nearest_bf16, nearest_f16};
pub use error::{Cause, Error, Result};
pub use kernel::{
    Access, Affine, Binding, Body, Guard, Instr, Kernel, Map, Operand, Phase, Reg, ScatterOp, Tape,
};
pub use memory::Buffer;
pub use op::{BinaryOp, CompareOp, ReduceOp, UnaryOp};
pub use program::{
    BufferId, BufferSpec, CheckSite, HostBinding, HostFunction, HostStep, Launch, Program, Role, Step,
};
