//! Stub.
use std::time::Duration;

use kiln_device::{Device, Program};

use crate::error::Result;
use crate::graph::Graph;

/// Who an external buffer of a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum External {
    /// The n-th leaf.
    Leaf(usize),
    /// The n-th output.
    Output(usize),
}

pub(crate) struct Plan {
    pub(crate) program: Program,
    pub(crate) externals: Vec<External>,
    pub(crate) report: Report,
}

/// One kernel of a compiled program.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelReport {
    /// What it computes.
    pub name: String,
}

/// What a compiled program does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The kernels, in order of launch.
    pub kernels: Vec<KernelReport>,
}

impl Report {
    pub(crate) fn timed(self, _times: Vec<Duration>) -> Report {
        self
    }
}

pub(crate) fn plan(_graph: &Graph, _device: &Device) -> Result<Plan> {
    todo!()
}
