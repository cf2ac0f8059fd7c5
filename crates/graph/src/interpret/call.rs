//! Operations with several results.

use kiln_device::DType;

use super::{Array, Interpreted, from_host, interpret, whole};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::op::{Call, Work};
use crate::tensor::Element;

/// The results of a call; the first index found out of range inside becomes `failure` where there is none yet.
pub(super) fn call(
    call: &Call,
    inputs: &[Array<'_>],
    failure: &mut Option<kiln_device::Error>,
) -> Result<Vec<Vec<f64>>> {
    let mut run = |graph: &Graph, leaves: &[Vec<f64>]| {
        let interpreted = interpret(graph, leaves)?;
        *failure = failure.take().or(interpreted.failure.clone());
        Ok::<Interpreted, Error>(interpreted)
    };
    let all = |inputs: &[Array<'_>]| inputs.iter().map(|x| x.values.to_vec()).collect::<Vec<_>>();
    match &call.work {
        Work::Switch(arms) => {
            let arm = inputs[0].values[0].clamp(0.0, arms.len() as f64 - 1.0) as usize;
            Ok(run(&arms[arm], &all(&inputs[1..]))?.outputs)
        }
        Work::Loop(looped) => {
            let mut leaves = all(inputs);
            for _ in 0..looped.most.unwrap_or(usize::MAX) {
                if looped.conditional && leaves[0][0] == 0.0 {
                    break;
                }
                let assigned = run(&looped.body, &leaves)?.assigned;
                for (assign, value) in looped.body.assigns.iter().zip(assigned) {
                    leaves[assign.leaf] = value;
                }
            }
            leaves.truncate(call.results.len());
            Ok(leaves)
        }
        Work::Host(host) => {
            if let Some(numbers) = &host.numbers {
                let values: Vec<&[f64]> = inputs.iter().map(|x| x.values).collect();
                return numbers(&values)
                    .map_err(|message| Error::Device(host.function.failed(message, None)));
            }
            let bytes: Vec<Vec<u8>> = inputs.iter().map(|x| to_host(x.values, x.dtype)).collect();
            let results = host.function.call_bytes(&bytes)?;
            Ok(results
                .iter()
                .zip(&call.results)
                .map(|(bytes, (_, dtype))| from_host(bytes, *dtype))
                .collect())
        }
    }
}

/// Numbers as host elements: floats are rounded here.
fn to_host(values: &[f64], dtype: DType) -> Vec<u8> {
    fn elements<T: Element>(values: &[f64], element: impl Fn(f64) -> T) -> Vec<u8> {
        T::to_bytes(&values.iter().map(|v| element(*v)).collect::<Vec<T>>())
    }
    match dtype {
        DType::F32 => elements(values, |v| v as f32),
        DType::F64 => elements(values, |v| v),
        DType::F16 => elements(values, kiln_device::nearest_f16),
        DType::BF16 => elements(values, kiln_device::nearest_bf16),
        DType::I32 => elements(values, |v| v as i32),
        DType::I64 => elements(values, whole),
        DType::U32 => elements(values, |v| v as u32),
        DType::U8 => elements(values, |v| v as u8),
        DType::Bool => elements(values, |v| v != 0.0),
    }
}
