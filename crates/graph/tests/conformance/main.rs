//! Operations against what Keras, NumPy, SciPy and JAX give: golden cases on the executors, gradients against
//! differences, and a list of what is covered.
//!
//! A group is a table here (`GROUP.rs`: the name of an operation, and how a case calls it) and a file of cases
//! (`tests/golden/ops/GROUP.safetensors.gz`, made by `cases_GROUP.py` beside it). The WGSL
//! path runs every case but those of 64 bits. `KILN_UPDATE=1` writes `docs/operations.md` anew.

mod bad;
mod call;
mod coverage;
mod excluded;
mod golden;
#[path = "../support/gpu.rs"]
mod gpu;
mod gradients;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashSet;

use call::Call;
use golden::{Case, Golden, Zeros};
use kiln_graph::{Device, Tensor, with_device};

/// How a case calls an operation.
pub(crate) type Run = fn(&Call<'_>) -> Vec<Tensor>;

/// Operations of one subject and their cases.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    table: &'static [(&'static str, Run)],
    packed: &'static [u8],
}

macro_rules! groups {
    ($($name:ident,)*) => {
        $(mod $name;)*

        /// Every group.
        pub(crate) fn groups() -> Vec<Group> {
            vec![$(Group {
                name: stringify!($name),
                table: $name::TABLE,
                packed: include_bytes!(concat!("../../../../tests/golden/ops/", stringify!($name), ".safetensors.gz")),
            },)*]
        }
    };
}

groups! {
    arrange,
    core,
    creation,
    double,
    dtypes,
    elementwise,
    image,
    indexing,
    linalg,
    math,
    nn,
    products,
    statistics,
}

impl Group {
    pub(crate) fn golden(&self) -> Golden {
        Golden::unpack(self.name, self.packed)
    }

    /// The names of its operations.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.table.iter().map(|(name, _)| *name)
    }

    /// The line of an operation: in this group's table, or in that of another.
    pub(crate) fn run(&self, op: &str) -> Run {
        let line = |group: &Group| group.table.iter().find(|(name, _)| *name == op).map(|(_, run)| *run);
        let line = line(self).or_else(|| groups().iter().find_map(line));
        line.unwrap_or_else(|| panic!("{op} of {} has no line in a table", self.name))
    }

    /// Fresh leaves of a case and what the operation makes of them.
    pub(crate) fn call(&self, golden: &Golden, case: &Case) -> Result<(Vec<Tensor>, Vec<Tensor>), String> {
        let run = self.run(&case.op);
        let inputs: Vec<Tensor> = case.inputs.iter().map(|name| golden.tensor(name)).collect();
        let outputs = run(&Call::new(&inputs, &case.args));
        Ok((inputs, outputs))
    }

    /// Whether the WGSL path runs its cases: it has no 64 bits.
    pub(crate) fn is_for_wgsl(&self) -> bool {
        self.name != "double"
    }

    /// What is wrong with the cases on a device.
    fn failures(&self, device: &Device, zeros: Zeros) -> Vec<String> {
        let golden = self.golden();
        let check = |case: &Case| -> Result<(), String> {
            let (_, outputs) = with_device(device, || self.call(&golden, case))?;
            with_device(device, || Tensor::eval_all(&outputs)).map_err(|e| e.to_string())?;
            golden.compare(case, &outputs, zeros)
        };
        let failed = |(number, case): (usize, &Case)| {
            let error = check(case).err()?;
            Some(format!("{} case {number} {} {}: {error}", self.name, case.op, case.args))
        };
        golden.cases.iter().enumerate().filter_map(failed).collect()
    }
}

pub(crate) fn none_failed(failures: Vec<String>) {
    let shown = failures.iter().take(400).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} cases failed:\n{shown}", failures.len());
}

#[test]
fn operations_agree_with_their_references() {
    let device = Device::cpu();
    none_failed(groups().iter().flat_map(|group| group.failures(&device, Zeros::Signed)).collect());
}

#[test]
fn the_wgsl_path_agrees_with_the_references() {
    let Some(device) = gpu::gpu() else { return };
    let groups = groups().into_iter().filter(Group::is_for_wgsl);
    none_failed(groups.flat_map(|group| group.failures(&device, Zeros::Unsigned)).collect());
}

#[test]
fn every_line_of_a_table_has_a_case() {
    for group in groups() {
        let ops: HashSet<String> = group.golden().cases.into_iter().map(|c| c.op).collect();
        let idle: Vec<&str> =
            group.table.iter().map(|(name, _)| *name).filter(|n| !ops.contains(*n)).collect();
        assert!(idle.is_empty(), "{}: no case of {idle:?}", group.name);
    }
}
