//! Conversions, and what can be asked of a tensor without computing it.

use kiln_device::DType;

use super::pointwise::composed;
use crate::tensor::{Tensor, here};

/// Conversion by value: floats to integers truncate and saturate (NaN gives 0), integers wrap, anything to `bool` is
/// `≠ 0`.
#[doc(alias = "astype")]
#[track_caller]
pub fn cast(x: &Tensor, dtype: DType) -> Tensor {
    composed("cast", here(), &[x], || x.cast(dtype))
}

/// Conversion by value, limited to what the type can hold: `-1` as `uint8` is 0, `1e6` as `float16` is 65504.
///
/// ```
/// use kiln_graph::{DType, Tensor, ops};
/// let x = Tensor::from_slice(&[-1i32, 7, 256]);
/// assert_eq!(ops::saturate_cast(&x, DType::U8).to_vec::<u8>()?, [0, 7, 255]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn saturate_cast(x: &Tensor, dtype: DType) -> Tensor {
    composed("saturate_cast", here(), &[x], || {
        let source = x.dtype();
        match (source, dtype) {
            // Infinities become the largest number, as in Keras.
            (source, dtype) if source.is_float() && dtype.is_float() => {
                let limit = largest(source).min(largest(dtype));
                x.clip(-limit, limit).cast(dtype)
            }
            (DType::F16, DType::I32 | DType::U32 | DType::I64) => x.clip(-65504.0, 65504.0).cast(dtype),
            (DType::I32 | DType::U32 | DType::I64, DType::F16) => {
                x.cast(DType::F32).clip(-65504.0, 65504.0).cast(dtype)
            }
            (DType::I32 | DType::I64, DType::U8) => x.clip(0, 255).cast(dtype),
            (DType::I64, DType::I32) => x.clip(i32::MIN, i32::MAX).cast(dtype),
            (DType::I64, DType::U32) => x.clip(0, i64::from(u32::MAX)).cast(dtype),
            (DType::U32, DType::U8) => x.minimum(255).cast(dtype),
            (DType::I32, DType::U32) => x.maximum(0).cast(dtype),
            (DType::U32, DType::I32) => x.minimum(i32::MAX).cast(dtype),
            // As Keras: limited to 0..1 first, so that negative numbers are false.
            (source, DType::Bool) if source != DType::Bool => x.clip(0, 1).cast(dtype),
            // Floats to integers saturate in any case; the rest fits.
            _ => x.cast(dtype),
        }
    })
}

/// The distance of 1 from the next number of a float type.
pub(crate) fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => half::f16::EPSILON.to_f64(),
        DType::BF16 => half::bf16::EPSILON.to_f64(),
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}

/// The largest finite number of a float type.
pub(super) fn largest(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => half::f16::MAX.to_f64(),
        DType::BF16 => half::bf16::MAX.to_f64(),
        DType::F64 => f64::MAX,
        _ => f64::from(f32::MAX),
    }
}

/// A number or tensor as a tensor, of a type if one is given.
#[track_caller]
pub fn convert_to_tensor(x: impl Into<Tensor>, dtype: Option<DType>) -> Tensor {
    let x = x.into();
    composed("convert_to_tensor", here(), &[&x], || dtype.map_or(x.clone(), |dtype| x.cast(dtype)))
}

/// A number or tensor as a tensor, of a type if one is given, under NumPy's name.
#[track_caller]
pub fn array(x: impl Into<Tensor>, dtype: Option<DType>) -> Tensor {
    let x = x.into();
    composed("array", here(), &[&x], || dtype.map_or(x.clone(), |dtype| x.cast(dtype)))
}

/// The element type.
pub fn dtype(x: &Tensor) -> DType {
    x.dtype()
}

/// The dimensions; empty for a scalar.
pub fn shape(x: &Tensor) -> Vec<usize> {
    x.shape().to_vec()
}

/// Number of dimensions.
pub fn ndim(x: &Tensor) -> usize {
    x.rank()
}

/// Number of elements.
pub fn size(x: &Tensor) -> usize {
    x.len()
}

/// The value; gradients do not flow through it.
#[doc(alias = "detach")]
#[track_caller]
pub fn stop_gradient(variable: &Tensor) -> Tensor {
    composed("stop_gradient", here(), &[variable], || variable.stop_gradient())
}
