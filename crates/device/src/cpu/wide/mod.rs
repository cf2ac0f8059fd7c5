//! Kernels with 64-bit values: a second executor of the same contract.
//!
//! The fast path's registers are lanes of 32 bits, and stay so. A kernel in which any element, constant or register has
//! 64 bits comes here instead: instruction by instruction over blocks of lanes as wide as their types, on the same walks
//! and threads. What has 32 bits is computed by the fast path's functions, with the same bits. How work is cut and folded
//! follows from sizes alone. Why there are two: `docs/design/dtypes.md`.

mod contract;
mod fold;
mod lanes;
mod loops;
mod memory;
mod product;
mod tape;
mod whole;

use crate::cpu::block::Launched;
use crate::cpu::wide::contract::ContractKernel;
use crate::cpu::wide::loops::RowKernel;
use crate::cpu::wide::whole::WholeKernel;
use crate::error::Result;
use crate::kernel::{Body, Kernel, Tape};

pub(crate) use crate::cpu::wide::loops::MapKernel;

/// A translated kernel.
#[derive(Debug)]
pub(crate) enum WideKernel {
    Map(MapKernel),
    Row(RowKernel),
    Contract(Box<ContractKernel>),
    Whole(WholeKernel),
}

/// True where a register of the tape has 64 bits.
pub(crate) fn tape_is_wide(kernel: &Kernel, tape: &Tape) -> Result<bool> {
    Ok(tape.types(kernel)?.iter().any(|scalar| scalar.is_wide()))
}

/// True where the body of a kernel is executed here.
pub(crate) fn body_is_wide(kernel: &Kernel) -> Result<bool> {
    let stored = |buffer: usize| kernel.buffers[buffer].dtype.is_wide();
    match &kernel.body {
        Body::Map(tape) | Body::Row { tape, .. } => tape_is_wide(kernel, tape),
        Body::Contract { lhs, rhs, epilogue, .. } => {
            Ok(stored(lhs.buffer) || stored(rhs.buffer) || tape_is_wide(kernel, epilogue)?)
        }
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => Ok(stored(0)),
    }
}

impl WideKernel {
    pub(crate) fn new(kernel: &Kernel) -> Result<WideKernel> {
        Ok(match &kernel.body {
            Body::Map(tape) => WideKernel::Map(MapKernel::new(kernel, tape, &kernel.rows)?),
            Body::Row { tape, before, phases } => {
                WideKernel::Row(RowKernel::new(kernel, tape, before, phases)?)
            }
            Body::Contract { batch, m, lhs, rhs, epilogue } => WideKernel::Contract(Box::new(
                ContractKernel::new(kernel, (*batch, *m), (lhs, rhs), epilogue)?,
            )),
            Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {
                WideKernel::Whole(WholeKernel::new(kernel))
            }
        })
    }

    pub(crate) fn tasks(&self) -> usize {
        match self {
            WideKernel::Map(map) => map.tasks(),
            WideKernel::Row(row) => row.tasks(),
            WideKernel::Contract(contract) => contract.tasks(),
            WideKernel::Whole(whole) => whole.tasks(),
        }
    }

    pub(crate) fn run(&self, launched: Launched) {
        match self {
            WideKernel::Map(map) => map.run(launched),
            WideKernel::Row(row) => row.run(launched),
            WideKernel::Contract(contract) => contract.run(launched),
            WideKernel::Whole(whole) => whole.run(launched),
        }
    }
}
