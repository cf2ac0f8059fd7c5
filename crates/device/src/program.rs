//! A program: kernels in order over named buffers. The graph crate makes it once; an executor prepares and replays it.
//!
//! Steps may nest: a branch runs one of several blocks, a loop runs a block again and again, all over one table of
//! buffers. Steps that do something (launches, copies, calls of the host) are numbered depth first.

use std::fmt;
use std::sync::Arc;

use crate::dtype::DType;
use crate::error::{Cause, Error, Result};
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
    /// Calls a function of the host.
    Host(Box<HostStep>),
    /// Runs one of several blocks.
    Branch {
        /// One `i32`: the number of the block, clamped to those there are.
        index: BufferId,
        /// The blocks, at least one.
        arms: Vec<Vec<Step>>,
    },
    /// Runs a block up to `most` times.
    Loop {
        /// How often; at most so often where there is a condition.
        most: usize,
        /// One `bool`, read before every time: where it is false the loop ends.
        condition: Option<BufferId>,
        /// The block.
        body: Vec<Step>,
    },
}

/// Elements that a host function takes or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostBinding {
    /// The buffer.
    pub buffer: BufferId,
    /// The first element.
    pub first: usize,
    /// Number of elements.
    pub count: usize,
    /// Their type.
    pub dtype: DType,
}

/// A function of the host between kernels, and what it is bound to.
#[derive(Clone, Debug, PartialEq)]
pub struct HostStep {
    /// What is called.
    pub function: HostFunction,
    /// What it is passed, in the host's layout.
    pub inputs: Vec<HostBinding>,
    /// Where its results go.
    pub outputs: Vec<HostBinding>,
}

/// What a function of the host fails with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

type Body = dyn Fn(&[Vec<u8>]) -> std::result::Result<Vec<Vec<u8>>, Failure> + Send + Sync;

/// A function from the bytes of its inputs to those of its outputs. It must not use the device that calls it.
#[derive(Clone)]
pub struct HostFunction {
    op: String,
    at: String,
    body: Arc<Body>,
}

impl HostFunction {
    /// A function; `op` and `at` (the user's file and line) are for the error text.
    pub fn new(
        op: impl Into<String>,
        at: impl Into<String>,
        body: impl Fn(&[Vec<u8>]) -> std::result::Result<Vec<Vec<u8>>, Failure> + Send + Sync + 'static,
    ) -> HostFunction {
        HostFunction { op: op.into(), at: at.into(), body: Arc::new(body) }
    }

    /// The operation, for people.
    pub fn op(&self) -> &str {
        &self.op
    }

    /// Calls it on bytes.
    ///
    /// # Errors
    /// [`Error::Host`] where it fails.
    pub fn call_bytes(&self, inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        (self.body)(inputs).map_err(|cause| {
            let text = cause.to_string();
            self.failed(text, Some(Cause::from(cause)))
        })
    }

    /// Calls it.
    ///
    /// # Errors
    /// [`Error::Host`] where it fails or gives other sizes than its outputs have.
    pub(crate) fn call(&self, inputs: &[Vec<u8>], outputs: &[HostBinding]) -> Result<Vec<Vec<u8>>> {
        let results = self.call_bytes(inputs)?;
        let fits = |(bytes, output): (&Vec<u8>, &HostBinding)| {
            output.count.checked_mul(output.dtype.host_size()) == Some(bytes.len())
        };
        if results.len() != outputs.len() || !results.iter().zip(outputs).all(fits) {
            return Err(self.failed("gave other sizes than it declared".into(), None));
        }
        Ok(results)
    }

    /// [`Error::Host`]: this function failed, for a reason of its own or of somebody else's.
    pub fn failed(&self, message: String, source: Option<Cause>) -> Error {
        // An error of this operation as text has its name and line already.
        let (message, at) = match message.strip_prefix(&format!("[{}] ", self.op)) {
            Some(rest) => (rest.to_owned(), String::new()),
            None if self.at.is_empty() => (message, String::new()),
            None => (message, format!(" (at {})", self.at)),
        };
        Error::Host { op: self.op.clone(), message, at, source }
    }
}

impl fmt::Debug for HostFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostFunction({})", self.op)
    }
}

impl PartialEq for HostFunction {
    fn eq(&self, other: &HostFunction) -> bool {
        Arc::ptr_eq(&self.body, &other.body)
    }
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
    /// The kernels, depth first.
    pub fn launches(&self) -> Vec<&Launch> {
        let mut found = vec![];
        launches_of(&self.steps, &mut found);
        found
    }

    /// Whether a function of the host may be called.
    pub fn calls_host(&self) -> bool {
        fn any(steps: &[Step]) -> bool {
            steps.iter().any(|step| match step {
                Step::Host(_) => true,
                Step::Branch { arms, .. } => arms.iter().any(|arm| any(arm)),
                Step::Loop { body, .. } => any(body),
                Step::Launch(_) | Step::Copy { .. } => false,
            })
        }
        any(&self.steps)
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

    /// The 64-bit types that it stores or computes with.
    pub(crate) fn wide_types(&self) -> Result<Vec<DType>> {
        let mut found = vec![];
        wide_types_of(&self.steps, &mut found)?;
        Ok(found)
    }

    /// Checks every kernel and every binding against the contract.
    pub fn verify(&self) -> Result<()> {
        self.verify_steps(&self.steps)
    }

    fn verify_steps(&self, steps: &[Step]) -> Result<()> {
        let holds = |buffer: &BufferId, bytes: usize| match self.buffers.get(*buffer) {
            Some(spec) if spec.bytes >= bytes => Ok(()),
            _ => Err(Error::Kernel(format!("a step names buffer {buffer}, which is not there or too small"))),
        };
        let is_there = |buffer: &BufferId| holds(buffer, 0);
        for step in steps {
            match step {
                Step::Launch(launch) => self.verify_launch(launch)?,
                Step::Copy { from, to, .. } => [from, to].into_iter().try_for_each(is_there)?,
                Step::Host(host) => {
                    host.inputs.iter().chain(&host.outputs).try_for_each(|b| is_there(&b.buffer))?;
                }
                Step::Branch { index, arms } => {
                    holds(index, 4)?;
                    if arms.is_empty() {
                        return Err(Error::Kernel("a branch has no block".into()));
                    }
                    arms.iter().try_for_each(|arm| self.verify_steps(arm))?;
                }
                Step::Loop { condition, body, .. } => {
                    condition.iter().try_for_each(|c| holds(c, 1))?;
                    self.verify_steps(body)?;
                }
            }
        }
        Ok(())
    }

    fn verify_launch(&self, launch: &Launch) -> Result<()> {
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
        Ok(())
    }
}

fn wide_types_of(steps: &[Step], found: &mut Vec<DType>) -> Result<()> {
    for step in steps {
        let dtypes: Vec<DType> = match step {
            Step::Launch(launch) => launch.kernel.types()?,
            Step::Copy { dtype, .. } => vec![*dtype],
            Step::Host(host) => host.inputs.iter().chain(&host.outputs).map(|b| b.dtype).collect(),
            Step::Branch { arms, .. } => {
                arms.iter().try_for_each(|arm| wide_types_of(arm, found))?;
                vec![]
            }
            Step::Loop { body, .. } => {
                wide_types_of(body, found)?;
                vec![]
            }
        };
        found.extend(dtypes.into_iter().filter(|d| d.is_wide()));
    }
    Ok(())
}

fn launches_of<'a>(steps: &'a [Step], found: &mut Vec<&'a Launch>) {
    for step in steps {
        match step {
            Step::Launch(launch) => found.push(launch),
            Step::Copy { .. } | Step::Host(_) => {}
            Step::Branch { arms, .. } => arms.iter().for_each(|arm| launches_of(arm, found)),
            Step::Loop { body, .. } => launches_of(body, found),
        }
    }
}
