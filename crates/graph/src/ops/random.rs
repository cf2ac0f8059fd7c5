//! Counter-based random numbers: a key gives the same bits on every device.

use kiln_device::{DType, math};

use crate::op::Op;
use crate::tensor::{Tensor, here};

impl Tensor {
    /// 32 random bits an element, `uint32`, from a key (`uint32 [2]`): threefry2x32 of the key and the element's number.
    #[track_caller]
    pub fn random_bits(key: &Tensor, shape: &[usize]) -> Tensor {
        Tensor::op(Op::Random, vec![key.clone()], shape.to_vec(), DType::U32, here())
    }

    /// Uniform in `[0, 1)`, `float32`, in steps of 2⁻²⁴.
    #[track_caller]
    pub fn random_uniform(key: &Tensor, shape: &[usize]) -> Tensor {
        Tensor::random_bits(key, shape).right_shift(8).cast(DType::F32) * (1.0 / 16_777_216.0)
    }

    /// Standard normal, `float32`, by the method of Box and Muller.
    #[track_caller]
    pub fn random_normal(key: &Tensor, shape: &[usize]) -> Tensor {
        let pair = Tensor::random_uniform(key, &[&[2], shape].concat());
        let part = |i: i64| pair.slice_axis(0, i, i + 1).squeeze(0);
        let radius = ((1.0 - part(0)).log() * -2.0).sqrt();
        radius * (part(1) * std::f32::consts::TAU).cos()
    }
}

/// A key derived from a seed and a stream number, for [`Tensor::random_bits`]; streams of one seed are independent.
pub fn random_key(seed: u64, stream: u64) -> [u32; 2] {
    math::threefry2x32([seed as u32, (seed >> 32) as u32], [stream as u32, (stream >> 32) as u32])
}
