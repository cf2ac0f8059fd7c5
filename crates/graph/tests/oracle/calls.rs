//! Cases of operations with several results.

use kiln_graph::{DType, HostArray, Tensor, host_call};

use crate::case::Tolerance::Exact;
use crate::case::{Case, Input};

pub(crate) fn cases() -> Vec<Case> {
    vec![host()]
}

/// Twice the first input. Not for differences: the interpreter's numbers are rounded for the host.
fn host() -> Case {
    fn double(x: &[HostArray]) -> Result<Vec<HostArray>, String> {
        let doubled = x[0].as_slice::<f32>()?.iter().map(|x| x * 2.0).collect();
        Ok(vec![x[1].clone(), HostArray::new(x[0].shape(), doubled)])
    }
    let input = [Input::whole(&[2, 3], -9, 9).cast(DType::F32), Input::whole(&[4], 0, 9)];
    let build = |x: &[Tensor]| {
        let forms = [(vec![4], DType::I32), (vec![2, 3], DType::F32)];
        let y = host_call("double", x, &forms, double);
        &y[1] + y[0].sum(()).cast(DType::F32)
    };
    Case::new("host", input, Exact, build)
}
