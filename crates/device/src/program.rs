//! A program: kernels in order over named buffers. The graph crate makes it once; an executor prepares and replays it.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::Kernel;

/// Index into [`Program::buffers`].
pub type BufferId = usize;

/// Who provides a buffer of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The caller passes it to every run (inputs, states, outputs), as number `n` of its bindings.
    External(usize),
    /// The prepared program owns it; its contents mean nothing between runs.
    Temporary,
}

/// A buffer of a program. Several tensors of one program may take turns in a temporary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSpec {
    /// Who provides it.
    pub role: Role,
    /// Its size on the device in bytes (see [`crate::Device::element_size`]); at least this much must be bound.
    pub bytes: usize,
}

/// One kernel and the buffers it is bound to.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// What runs.
    pub kernel: Kernel,
    /// One buffer per binding of the kernel.
    pub buffers: Vec<BufferId>,
}

/// A step of a program; steps take effect in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Runs a kernel.
    Launch(Box<Launch>),
    /// Copies `count` elements of `dtype` from the start of one buffer to the start of another.
    Copy {
        /// Source.
        from: BufferId,
        /// Destination.
        to: BufferId,
        /// Element type.
        dtype: DType,
        /// Number of elements.
        count: usize,
    },
}

/// A place where a kernel checks data, for the error text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSite {
    /// The operation, `gather` for instance.
    pub op: String,
    /// Valid values are `0..bound`.
    pub bound: u64,
    /// The user's file and line, or empty.
    pub at: String,
}

impl CheckSite {
    /// The error of this site for a value found.
    pub fn error(&self, value: i64, position: u64) -> Error {
        let at = if self.at.is_empty() { String::new() } else { format!(" ({})", self.at) };
        Error::IndexOutOfRange { op: self.op.clone(), value, position, bound: self.bound, at }
    }
}

/// Everything a device needs to run a compiled function again and again.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The buffers.
    pub buffers: Vec<BufferSpec>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// The check sites that kernels refer to.
    pub checks: Vec<CheckSite>,
}

impl Program {
    /// The kernels, in order of launch.
    pub fn launches(&self) -> impl Iterator<Item = &Launch> {
        self.steps.iter().filter_map(|step| match step {
            Step::Launch(launch) => Some(&**launch),
            Step::Copy { .. } => None,
        })
    }

    /// Bytes of all temporaries.
    pub fn temporary_bytes(&self) -> usize {
        self.buffers.iter().filter(|b| b.role == Role::Temporary).map(|b| b.bytes).sum()
    }

    /// Number of bindings a caller must pass.
    pub fn externals(&self) -> usize {
        self.buffers
            .iter()
            .filter_map(|b| match b.role {
                Role::External(n) => Some(n + 1),
                Role::Temporary => None,
            })
            .max()
            .unwrap_or(0)
    }

    /// Checks every kernel and every binding against the contract.
    pub fn verify(&self) -> Result<()> {
        for launch in self.launches() {
            let kernel = &launch.kernel;
            kernel.verify()?;
            if launch.buffers.len() != kernel.buffers.len()
                || launch.buffers.iter().any(|b| *b >= self.buffers.len())
            {
                return Err(Error::Kernel(format!("{}: bindings do not match its buffers", kernel.name)));
            }
            for (i, a) in launch.buffers.iter().enumerate() {
                for (j, b) in launch.buffers.iter().enumerate().skip(i + 1) {
                    let reads = |n: usize| kernel.buffers[n].access == crate::kernel::Access::Read;
                    if a == b && !(reads(i) && reads(j)) {
                        return Err(Error::Kernel(format!(
                            "{}: buffer {a} is bound twice and written",
                            kernel.name
                        )));
                    }
                }
            }
        }
        Ok(())
    }
}
