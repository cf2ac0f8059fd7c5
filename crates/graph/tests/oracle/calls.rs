//! Cases of operations with several results.

use kiln_graph::{DType, HostArray, Tensor, host_call, ops};

use crate::case::Tolerance::{Exact, Largest};
use crate::case::{Case, Input};

pub(crate) fn cases() -> Vec<Case> {
    vec![host(), switch(), looped(), conditional()]
}

/// Twice the first input. Not for differences: the interpreter's numbers are rounded for the host.
fn host() -> Case {
    fn double(x: &[HostArray]) -> Result<Vec<HostArray>, String> {
        let doubled = match x[0].dtype() {
            DType::F64 => {
                let numbers = x[0].as_slice::<f64>()?.iter().map(|x| x * 2.0).collect();
                HostArray::new(x[0].shape(), numbers)
            }
            _ => {
                let numbers = x[0].as_slice::<f32>()?.iter().map(|x| x * 2.0).collect();
                HostArray::new(x[0].shape(), numbers)
            }
        };
        Ok(vec![x[1].clone(), doubled])
    }
    let input = [Input::whole(&[2, 3], -9, 9).cast(DType::F32), Input::whole(&[4], 0, 9)];
    let build = |x: &[Tensor]| {
        let forms = [(vec![4], DType::I32), (vec![2, 3], x[0].dtype())];
        let y = host_call("double", x, &forms, double);
        &y[1] + y[0].sum(()).cast(x[0].dtype())
    };
    Case::new("host", input, Exact, build)
}

fn switch() -> Case {
    let input = [Input::range(&[3, 2], -1.0, 1.0), Input::whole(&[], 1, 1)];
    let build = |x: &[Tensor]| {
        let factor = x[0].square();
        let branches: [ops::Branch<'_>; 2] = [&|x| vec![x[0].sum(0)], &|x| vec![(&x[0] * &factor).sum(0)]];
        ops::switch(&x[1], &branches, &x[..1]).remove(0)
    };
    Case::new("switch", input, Largest(16.0), build).differentiable()
}

fn looped() -> Case {
    let input = [Input::range(&[4, 3], -1.0, 1.0), Input::range(&[3], -1.0, 1.0)];
    let build = |x: &[Tensor]| {
        let f = |c: &[Tensor], x: &[Tensor]| {
            let c = &c[0] * 0.5 + &x[0] * &x[0];
            (vec![c.clone()], vec![c.sum(()) * &x[0]])
        };
        let (last, rows) = ops::scan(f, &x[1..], &x[..1], None, true);
        &rows[0] + &last[0]
    };
    Case::new("loop", input, Largest(32.0), build).differentiable()
}

fn conditional() -> Case {
    let input = [Input::range(&[5], 0.5, 1.0)];
    let build = |x: &[Tensor]| {
        let grows = |x: &[Tensor]| x[0].sum(()).less(20.0);
        ops::while_loop(grows, |x| vec![&x[0] * &x[0] + 0.75], x, Some(7)).remove(0)
    };
    Case::new("loop with a condition", input, Largest(64.0), build).differentiable()
}
