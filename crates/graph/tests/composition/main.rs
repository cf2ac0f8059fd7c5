//! Functions among themselves and with the rest: functions in functions, devices, what errors say, structures.

mod devices;
mod files;
mod lines;
mod nested;
mod structures;
mod trees;
mod user_errors;
mod warnings;

use kiln_graph::{Device, Result, Tensor, Variable, with_device};

/// Runs a test's body on the CPU.
fn on_cpu(body: impl FnOnce() -> Result<()>) {
    with_device(&Device::cpu(), body).unwrap_or_else(|e| panic!("{e}"));
}

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

fn variable(values: &[f32]) -> Result<Variable> {
    Variable::new(&vector(values))
}

/// The text of an error.
fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.expect_err("an error").to_string()
}
