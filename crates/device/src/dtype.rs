//! Element types: what a tensor stores ([`DType`]) and what a kernel computes in ([`Scalar`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The element type of a tensor.
///
/// `F16` and `BF16` are storage types: arithmetic happens in `f32`. A device may store an element in more bytes
/// than the host does (see [`crate::Device::element_size`]); uploads and downloads convert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision.
    #[serde(rename = "float32")]
    F32,
    /// IEEE half precision, stored; computed as `f32`.
    #[serde(rename = "float16")]
    F16,
    /// bfloat16, stored; computed as `f32`.
    #[serde(rename = "bfloat16")]
    BF16,
    /// 32-bit signed integer.
    #[serde(rename = "int32")]
    I32,
    /// 32-bit unsigned integer.
    #[serde(rename = "uint32")]
    U32,
    /// 8-bit unsigned integer, stored; computed as `u32`.
    #[serde(rename = "uint8")]
    U8,
    /// Boolean, one byte on the host.
    Bool,
}

impl DType {
    /// Every element type, in declaration order.
    pub const ALL: [DType; 7] =
        [DType::F32, DType::F16, DType::BF16, DType::I32, DType::U32, DType::U8, DType::Bool];

    /// Bytes of one element in host memory.
    pub const fn host_size(self) -> usize {
        match self {
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// The type that kernels compute in after loading such an element.
    pub const fn scalar(self) -> Scalar {
        match self {
            DType::F32 | DType::F16 | DType::BF16 => Scalar::F32,
            DType::I32 => Scalar::I32,
            DType::U32 | DType::U8 => Scalar::U32,
            DType::Bool => Scalar::Bool,
        }
    }

    /// True for `F32`, `F16` and `BF16`.
    pub const fn is_float(self) -> bool {
        matches!(self.scalar(), Scalar::F32)
    }

    /// True for `I32`, `U32` and `U8`.
    pub const fn is_integer(self) -> bool {
        matches!(self.scalar(), Scalar::I32 | Scalar::U32)
    }

    /// The name that Keras and NumPy use, `float32` for instance.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::I32 => "int32",
            DType::U32 => "uint32",
            DType::U8 => "uint8",
            DType::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The nearest `f16`, halves to even. The conversion of the `half` crate drops half of the mantissa first, so that it takes
/// numbers close to the middle of two for the middle.
pub fn nearest_f16(x: f64) -> half::f16 {
    half::f16::from_f32(to_odd(x))
}

/// The nearest `bf16`, halves to even; see [`nearest_f16`].
pub fn nearest_bf16(x: f64) -> half::bf16 {
    half::bf16::from_f32(to_odd(x))
}

/// A number cut off to `f32`, with the last bit set where anything was lost: rounded again, to fewer digits, the result is
/// as if rounded once.
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || x.is_nan() {
        return near;
    }
    let farther = f64::from(near).abs() > x.abs();
    f32::from_bits((near.to_bits() - u32::from(farther)) | 1)
}

/// The type of a kernel register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scalar {
    /// `f32`.
    F32,
    /// `i32`, wrapping.
    I32,
    /// `u32`, wrapping.
    U32,
    /// `bool`.
    Bool,
}

/// A constant of a register's type. Floats compare and hash by bits, so that `-0.0` and `0.0` differ.
///
/// In files it is its type and its 32 bits: every float survives.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(into = "(Scalar, u32)", from = "(Scalar, u32)")]
pub enum Value {
    /// An `f32` constant.
    F32(f32),
    /// An `i32` constant.
    I32(i32),
    /// A `u32` constant.
    U32(u32),
    /// A `bool` constant.
    Bool(bool),
}

impl Value {
    /// The register type of the constant.
    pub const fn scalar(self) -> Scalar {
        match self {
            Value::F32(_) => Scalar::F32,
            Value::I32(_) => Scalar::I32,
            Value::U32(_) => Scalar::U32,
            Value::Bool(_) => Scalar::Bool,
        }
    }

    /// The zero (or `false`) of a register type.
    pub const fn zero(scalar: Scalar) -> Value {
        match scalar {
            Scalar::F32 => Value::F32(0.0),
            Scalar::I32 => Value::I32(0),
            Scalar::U32 => Value::U32(0),
            Scalar::Bool => Value::Bool(false),
        }
    }

    /// The 32 bits that a kernel parameter holds for it.
    pub const fn bits(self) -> u32 {
        match self {
            Value::F32(v) => v.to_bits(),
            Value::I32(v) => v as u32,
            Value::U32(v) => v,
            Value::Bool(v) => v as u32,
        }
    }

    /// The value as `f64`, the type of the reference interpreter.
    pub const fn as_f64(self) -> f64 {
        match self {
            Value::F32(v) => v as f64,
            Value::I32(v) => v as f64,
            Value::U32(v) => v as f64,
            Value::Bool(v) => v as u32 as f64,
        }
    }
}

impl From<Value> for (Scalar, u32) {
    fn from(value: Value) -> (Scalar, u32) {
        (value.scalar(), value.bits())
    }
}

impl From<(Scalar, u32)> for Value {
    fn from((scalar, bits): (Scalar, u32)) -> Value {
        match scalar {
            Scalar::F32 => Value::F32(f32::from_bits(bits)),
            Scalar::I32 => Value::I32(bits as i32),
            Scalar::U32 => Value::U32(bits),
            Scalar::Bool => Value::Bool(bits != 0),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.scalar() == other.scalar() && self.bits() == other.bits()
    }
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.scalar().hash(state);
        self.bits().hash(state);
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::F32(v) => write!(f, "{v}"),
            Value::I32(v) => write!(f, "{v}"),
            Value::U32(v) => write!(f, "{v}"),
            Value::Bool(v) => write!(f, "{v}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{nearest_bf16, nearest_f16};

    #[test]
    fn numbers_close_to_the_middle_of_two_are_rounded_to_the_nearer() {
        let step = f64::from(2.0f32).powi(-40);
        let middle = 1.0 + f64::from(2.0f32).powi(-8);
        assert_eq!(nearest_bf16(middle).to_f64(), 1.0);
        assert_eq!(nearest_bf16(middle + step).to_f64(), 1.0078125);
        assert_eq!(nearest_bf16(-middle - step).to_f64(), -1.0078125);
        assert_eq!(nearest_bf16(middle - step).to_f64(), 1.0);
        let middle = 1.0 + f64::from(2.0f32).powi(-11);
        assert_eq!(nearest_f16(middle).to_f64(), 1.0);
        assert_eq!(nearest_f16(middle + step).to_f64(), 1.0009765625);
        assert_eq!(nearest_f16(65519.99).to_f64(), 65504.0);
        assert_eq!(nearest_f16(65520.0).to_f64(), f64::INFINITY);
        assert_eq!(nearest_f16(1e300).to_f64(), f64::INFINITY);
        assert_eq!(nearest_bf16(1e-50).to_f64(), 0.0);
        assert!(nearest_f16(f64::NAN).is_nan());
        assert_eq!(nearest_f16(f64::NEG_INFINITY).to_f64(), f64::NEG_INFINITY);
    }
}
