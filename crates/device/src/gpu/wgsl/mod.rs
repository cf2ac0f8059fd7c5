//! Kernels as WGSL.
//!
//! The text of a kernel depends on its structure; its sizes and constants are parameters. Order of reading: [`collapse`]
//! (fewer axes) → `printer` (scopes, parameters, addresses) → `tape` (instructions) → `map`, `row`, `contract`,
//! `array` (bodies) → `library` (functions that kernels call).

mod array;
mod collapse;
mod contract;
mod library;
mod map;
mod printer;
mod row;
pub(crate) mod split;
mod tape;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::kernel::{Access, Body, Instr, Kernel, Tape};
use printer::Printer;

/// Threads of a workgroup, contractions apart.
pub(crate) const GROUP: usize = 256;

/// What the text may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Half-precision elements in memory; without it they are stored as `f32`.
    pub(crate) f16: bool,
}

/// How many workgroups a kernel needs, and of how many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) groups: usize,
    pub(crate) threads: usize,
}

impl Shape {
    /// Workgroups of the usual size.
    pub(crate) fn linear(groups: usize) -> Shape {
        Shape { groups, threads: GROUP }
    }
}

/// A kernel ready for the device.
#[derive(Clone, Debug)]
pub(crate) struct Printed {
    /// The WGSL module; its entry point is `main`.
    pub(crate) text: String,
    /// The uniform's words.
    pub(crate) params: Vec<u32>,
    /// Which of them are numbers of check sites.
    pub(crate) sites: Vec<usize>,
    /// Workgroups to launch; 0 where there is nothing to do.
    pub(crate) groups: usize,
    /// True where a buffer may only be read, per binding.
    pub(crate) read_only: Vec<bool>,
    /// True where the report buffer is bound after the parameters.
    pub(crate) checks: bool,
}

/// Prints a verified kernel.
pub(crate) fn print(kernel: &Kernel, target: Target) -> Result<Printed> {
    let kernel = collapse::collapse(&contract::lower(&without_empty_rows(kernel))?);
    let mut printer = Printer::new(&kernel, target);
    let (shape, template) = match &kernel.body {
        Body::Map(tape) => (printer.map(tape)?, None),
        Body::Row { tape, before, phases } => (printer.row(tape, before, phases)?, None),
        Body::Contract { batch, m, lhs, rhs, epilogue } => {
            (printer.contract(*batch, *m, [lhs, rhs], epilogue)?, None)
        }
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {
            let (shape, text) = printer.array()?;
            (shape, Some(text))
        }
    };
    let groups = shape.groups.max(usize::from(!kernel.once.instrs.is_empty()));
    Ok(assemble(printer, shape.threads, groups, template))
}

/// A kernel without points still executes its `once` tape.
fn without_empty_rows(kernel: &Kernel) -> Kernel {
    let mut result = kernel.clone();
    let loops = matches!(kernel.body, Body::Map(_) | Body::Row { .. } | Body::Contract { .. });
    if loops && kernel.rows.contains(&0) {
        result.body = Body::Map(Tape::default());
        result.rows = vec![0];
        result.inner = vec![];
        for instr in &mut result.once.instrs {
            if let Instr::Load { map, .. } | Instr::Store { map, .. } = instr {
                map.base.coefficients = vec![0];
                map.guards.iter_mut().for_each(|g| g.position.coefficients = vec![0]);
            } else if let Instr::Index(affine) = instr {
                affine.coefficients = vec![0];
            }
        }
    }
    result
}

/// Puts declarations, library and entry point together.
fn assemble(printer: Printer, threads: usize, groups: usize, template: Option<String>) -> Printed {
    let kernel = printer.kernel;
    let mut head = String::new();
    let stored = |b| printer.stored_type(b);
    if kernel.buffers.iter().any(|b| stored(b.dtype) == "f16") {
        head.push_str("enable f16;\n\n");
    }
    for buffer in 0..kernel.buffers.len() {
        head.push_str(&printer.declaration(buffer));
    }
    let uniform = kernel.buffers.len();
    let read_only = kernel.buffers.iter().map(|b| b.access == Access::Read).collect();
    let gathered = printer.finish();
    let _ = write!(
        head,
        "\nstruct Parameters {{\n{}}}\n@group(0) @binding({uniform}) var<uniform> params: Parameters;\n",
        gathered.members
    );
    let checks = gathered.body.contains("kiln_report(");
    if checks {
        let binding = uniform + 1;
        let _ = writeln!(
            head,
            "@group(0) @binding({binding}) var<storage, read_write> reports: array<atomic<u32>>;"
        );
    }
    let main = template.unwrap_or_else(|| {
        format!(
            "@compute @workgroup_size({threads})\nfn main(\n    @builtin(workgroup_id) group: vec3<u32>,\n    \
             @builtin(num_workgroups) groups: vec3<u32>,\n    @builtin(local_invocation_index) local: u32,\n) \
             {{\n{}}}\n",
            gathered.body
        )
    });
    let rest = format!("{}\n{main}", gathered.globals);
    let library = library::needed(&rest);
    Printed {
        text: format!("{head}\n{library}{rest}"),
        params: gathered.params,
        sites: gathered.sites,
        groups,
        read_only,
        checks,
    }
}

/// Number of points of a loop; indices are 32-bit.
fn loop_count(extents: &[usize]) -> Result<usize> {
    let count = crate::size::element_count(extents)?;
    if count > i32::MAX as usize {
        return Err(Error::Limit {
            what: "loop",
            value: count as u64,
            limit: i32::MAX as u64,
            device: "gpu".into(),
            hint: "split the tensor",
        });
    }
    Ok(count)
}
