//! Elements of any type as `f64`, for tests that compare with the interpreter.

use kiln_graph::{DType, Tensor};

/// A number in 0..1 that differs from that of other elements and seeds: splitmix64.
pub(crate) fn unit(element: usize, seed: usize) -> f64 {
    let mut z = (element as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((seed as u64 + 1) << 40);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// A leaf of any element type.
pub(crate) fn tensor_of(numbers: &[f64], shape: &[usize], dtype: DType) -> Tensor {
    fn leaf<T: kiln_graph::Element>(numbers: &[f64], shape: &[usize], number: impl Fn(f64) -> T) -> Tensor {
        Tensor::from_vec(numbers.iter().map(|x| number(*x)).collect::<Vec<T>>(), shape)
    }
    match dtype {
        DType::F32 => leaf(numbers, shape, |x| x as f32),
        DType::F64 => leaf(numbers, shape, |x| x),
        DType::I64 => leaf(numbers, shape, |x| x as i64),
        DType::F16 => leaf(numbers, shape, kiln_device::nearest_f16),
        DType::BF16 => leaf(numbers, shape, kiln_device::nearest_bf16),
        DType::I32 => leaf(numbers, shape, |x| x as i32),
        DType::U32 => leaf(numbers, shape, |x| x as u32),
        DType::U8 => leaf(numbers, shape, |x| x as u8),
        DType::Bool => leaf(numbers, shape, |x| x != 0.0),
    }
}

/// A tensor's elements, computed by its executor.
pub(crate) fn computed(tensor: &Tensor) -> kiln_graph::Result<Vec<f64>> {
    Ok(match tensor.dtype() {
        DType::F32 => tensor.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
        DType::F64 => tensor.to_vec::<f64>()?,
        DType::I64 => tensor.to_vec::<i64>()?.into_iter().map(|n| n as f64).collect(),
        DType::F16 => tensor.to_vec::<half::f16>()?.into_iter().map(f64::from).collect(),
        DType::BF16 => tensor.to_vec::<half::bf16>()?.into_iter().map(f64::from).collect(),
        DType::I32 => tensor.to_vec::<i32>()?.into_iter().map(f64::from).collect(),
        DType::U32 => tensor.to_vec::<u32>()?.into_iter().map(f64::from).collect(),
        DType::U8 => tensor.to_vec::<u8>()?.into_iter().map(f64::from).collect(),
        DType::Bool => tensor.to_vec::<bool>()?.into_iter().map(f64::from).collect(),
    })
}
