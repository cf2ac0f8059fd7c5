//! Operations with several results.

use kiln_device::DType;

use super::{Array, from_host};
use crate::error::{Error, Result};
use crate::op::{Call, Work};
use crate::tensor::Element;

/// The results of a call.
pub(super) fn call(call: &Call, inputs: &[Array<'_>]) -> Result<Vec<Vec<f64>>> {
    match &call.work {
        Work::Host(host) => {
            if let Some(numbers) = &host.numbers {
                let values: Vec<&[f64]> = inputs.iter().map(|x| x.values).collect();
                return numbers(&values).map_err(|message| Error::Device(host.function.error(message)));
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
        DType::F16 => elements(values, half::f16::from_f64),
        DType::BF16 => elements(values, half::bf16::from_f64),
        DType::I32 => elements(values, |v| v as i32),
        DType::U32 => elements(values, |v| v as u32),
        DType::U8 => elements(values, |v| v as u8),
        DType::Bool => elements(values, |v| v != 0.0),
    }
}
