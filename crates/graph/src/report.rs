//! What a compiled program does, for people: kernels, memory, and what was not fused and why.

use std::fmt;
use std::time::Duration;

pub use crate::fuse::Refusal;

/// One kernel of a compiled program, or one call of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KernelReport {
    /// The operations inside, in order.
    pub name: String,
    /// `map`, `row`, `contract`, the name of a whole-array operation, or `host`.
    pub kind: &'static str,
    /// Extents of the loops over results.
    pub rows: Vec<usize>,
    /// Extents of the loops that are reduced or contracted.
    pub inner: Vec<usize>,
    /// Bytes of the buffers it reads and writes, each counted once.
    pub bytes: u64,
    /// Floating-point operations, roughly.
    pub flops: u64,
    /// Scalar operations of state that ride along.
    pub once: usize,
    /// Time of all its launches in one run, where it was profiled.
    pub time: Option<Duration>,
}

/// What a compiled program does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The kernels, in order of launch.
    pub kernels: Vec<KernelReport>,
    /// Bytes of the buffers inside the program: what it takes beside its leaves and outputs.
    pub temporary_bytes: u64,
    /// Bytes of the inputs and states it is bound to.
    pub leaf_bytes: u64,
    /// Bytes of the outputs of one run.
    pub output_bytes: u64,
    /// The most bytes of intermediate values that are alive at once: a lower bound of `temporary_bytes`.
    pub live_bytes: u64,
    /// What was not fused with what asks for it, and why.
    pub refusals: Vec<Refusal>,
}

impl Report {
    /// Peak memory of a run in bytes: leaves, outputs and temporaries together.
    pub fn peak_bytes(&self) -> u64 {
        self.temporary_bytes + self.leaf_bytes + self.output_bytes
    }

    /// The report with the times of the launches.
    pub(crate) fn timed(mut self, times: Vec<Duration>) -> Report {
        for (kernel, time) in self.kernels.iter_mut().zip(times) {
            kernel.time = Some(time);
        }
        self
    }
}

fn scaled(value: f64, unit: &str) -> String {
    let (factor, prefix) = match value {
        v if v >= 1e9 => (1e9, "G"),
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{:.1} {prefix}{unit}", value / factor)
}

impl fmt::Display for Report {
    /// A table of the kernels, then memory, then refusals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, " #  kind      loops                    bytes       FLOPs       kernel")?;
        for (i, kernel) in self.kernels.iter().enumerate() {
            let mut loops = format!("{:?}", kernel.rows);
            if !kernel.inner.is_empty() {
                loops.push_str(&format!(" × {:?}", kernel.inner));
            }
            let bytes = scaled(kernel.bytes as f64, "B");
            let flops = scaled(kernel.flops as f64, "F");
            write!(
                f,
                "{:2}  {:<8}  {loops:<23}  {bytes:<10}  {flops:<10}  {}",
                i + 1,
                kernel.kind,
                kernel.name
            )?;
            if kernel.once > 0 {
                write!(f, " (and {} scalars)", kernel.once)?;
            }
            match kernel.time {
                Some(time) => writeln!(f, "  {:.1} µs", time.as_secs_f64() * 1e6)?,
                None => writeln!(f)?,
            }
        }
        writeln!(
            f,
            "{} kernels; peak memory {} = {} of leaves + {} of outputs + {} of temporaries",
            self.kernels.len(),
            scaled(self.peak_bytes() as f64, "B"),
            scaled(self.leaf_bytes as f64, "B"),
            scaled(self.output_bytes as f64, "B"),
            scaled(self.temporary_bytes as f64, "B"),
        )?;
        for refusal in &self.refusals {
            writeln!(f, "not fused: %{} {}: {}", refusal.node, refusal.op, refusal.reason)?;
        }
        Ok(())
    }
}
