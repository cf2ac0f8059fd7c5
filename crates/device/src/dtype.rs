//! Element types: what a tensor stores ([`DType`]) and what a kernel computes in ([`Scalar`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The element type of a tensor.
///
/// `F16` and `BF16` are storage types: arithmetic happens in `f32`. `F64` and `I64` are computed as they are stored. A device may store an element in more bytes
/// than the host does (see [`crate::Device::element_size`]); uploads and downloads convert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision.
    #[serde(rename = "float32")]
    F32,
    /// IEEE double precision; on the native CPU executor alone.
    #[serde(rename = "float64")]
    F64,
    /// IEEE half precision, stored; computed as `f32`.
    #[serde(rename = "float16")]
    F16,
    /// bfloat16, stored; computed as `f32`.
    #[serde(rename = "bfloat16")]
    BF16,
    /// 32-bit signed integer.
    #[serde(rename = "int32")]
    I32,
    /// 64-bit signed integer; on the native CPU executor alone.
    #[serde(rename = "int64")]
    I64,
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
    pub const ALL: [DType; 9] = [
        DType::F32,
        DType::F64,
        DType::F16,
        DType::BF16,
        DType::I32,
        DType::I64,
        DType::U32,
        DType::U8,
        DType::Bool,
    ];

    /// Bytes of one element in host memory.
    pub const fn host_size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// The type that kernels compute in after loading such an element.
    pub const fn scalar(self) -> Scalar {
        match self {
            DType::F32 | DType::F16 | DType::BF16 => Scalar::F32,
            DType::F64 => Scalar::F64,
            DType::I32 => Scalar::I32,
            DType::I64 => Scalar::I64,
            DType::U32 | DType::U8 => Scalar::U32,
            DType::Bool => Scalar::Bool,
        }
    }

    /// True for `F32`, `F64`, `F16` and `BF16`.
    pub const fn is_float(self) -> bool {
        self.scalar().is_float()
    }

    /// True for `I32`, `I64`, `U32` and `U8`.
    pub const fn is_integer(self) -> bool {
        self.scalar().is_integer()
    }

    /// True for `F64` and `I64`, which the native CPU executor alone has.
    pub const fn is_wide(self) -> bool {
        self.scalar().is_wide()
    }

    /// The name that Keras and NumPy use, `float32` for instance.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::I32 => "int32",
            DType::I64 => "int64",
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
    /// `f64`.
    F64,
    /// `i32`, wrapping.
    I32,
    /// `i64`, wrapping.
    I64,
    /// `u32`, wrapping.
    U32,
    /// `bool`.
    Bool,
}

impl Scalar {
    /// True for `F32` and `F64`.
    pub const fn is_float(self) -> bool {
        matches!(self, Scalar::F32 | Scalar::F64)
    }

    /// True for `I32`, `I64` and `U32`.
    pub const fn is_integer(self) -> bool {
        matches!(self, Scalar::I32 | Scalar::I64 | Scalar::U32)
    }

    /// The element type that stores such a register as it is.
    pub const fn dtype(self) -> DType {
        match self {
            Scalar::F32 => DType::F32,
            Scalar::F64 => DType::F64,
            Scalar::I32 => DType::I32,
            Scalar::I64 => DType::I64,
            Scalar::U32 => DType::U32,
            Scalar::Bool => DType::Bool,
        }
    }

    /// True for `F64` and `I64`, whose registers have 64 bits.
    pub const fn is_wide(self) -> bool {
        matches!(self, Scalar::F64 | Scalar::I64)
    }
}

/// A constant of a register's type. Floats compare and hash by bits, so that `-0.0` and `0.0` differ.
///
/// In files it is its type and its bits in words of 32, the low one first: every float survives.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(into = "Words", try_from = "Words")]
pub enum Value {
    /// An `f32` constant.
    F32(f32),
    /// An `f64` constant.
    F64(f64),
    /// An `i32` constant.
    I32(i32),
    /// An `i64` constant.
    I64(i64),
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
            Value::F64(_) => Scalar::F64,
            Value::I32(_) => Scalar::I32,
            Value::I64(_) => Scalar::I64,
            Value::U32(_) => Scalar::U32,
            Value::Bool(_) => Scalar::Bool,
        }
    }

    /// The zero (or `false`) of a register type.
    pub const fn zero(scalar: Scalar) -> Value {
        match scalar {
            Scalar::F32 => Value::F32(0.0),
            Scalar::F64 => Value::F64(0.0),
            Scalar::I32 => Value::I32(0),
            Scalar::I64 => Value::I64(0),
            Scalar::U32 => Value::U32(0),
            Scalar::Bool => Value::Bool(false),
        }
    }

    /// Its bits; those of 32-bit types in the low half.
    pub const fn bits(self) -> u64 {
        match self {
            Value::F32(v) => v.to_bits() as u64,
            Value::F64(v) => v.to_bits(),
            Value::I32(v) => v as u32 as u64,
            Value::I64(v) => v as u64,
            Value::U32(v) => v as u64,
            Value::Bool(v) => v as u64,
        }
    }

    /// The 32 bits of a constant whose type has no more.
    pub const fn word(self) -> u32 {
        self.bits() as u32
    }

    /// The value as `f64`; an `i64` beyond 2⁵³ is rounded.
    pub const fn as_f64(self) -> f64 {
        match self {
            Value::F32(v) => v as f64,
            Value::F64(v) => v,
            Value::I32(v) => v as f64,
            Value::I64(v) => v as f64,
            Value::U32(v) => v as f64,
            Value::Bool(v) => v as u32 as f64,
        }
    }
}

/// A constant in a file: its type, and one word or two.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Words {
    Narrow(Scalar, u32),
    Wide(Scalar, u32, u32),
}

impl From<Value> for Words {
    fn from(value: Value) -> Words {
        let (scalar, bits) = (value.scalar(), value.bits());
        if scalar.is_wide() {
            Words::Wide(scalar, bits as u32, (bits >> 32) as u32)
        } else {
            Words::Narrow(scalar, bits as u32)
        }
    }
}

impl TryFrom<Words> for Value {
    type Error = String;

    fn try_from(words: Words) -> Result<Value, String> {
        match words {
            Words::Narrow(Scalar::F32, word) => Ok(Value::F32(f32::from_bits(word))),
            Words::Narrow(Scalar::I32, word) => Ok(Value::I32(word as i32)),
            Words::Narrow(Scalar::U32, word) => Ok(Value::U32(word)),
            Words::Narrow(Scalar::Bool, word) => Ok(Value::Bool(word != 0)),
            Words::Wide(scalar, low, high) if scalar.is_wide() => {
                let bits = u64::from(high) << 32 | u64::from(low);
                Ok(if scalar == Scalar::F64 {
                    Value::F64(f64::from_bits(bits))
                } else {
                    Value::I64(bits as i64)
                })
            }
            Words::Narrow(scalar, _) | Words::Wide(scalar, ..) => {
                Err(format!("a constant of type {scalar:?} has another number of words"))
            }
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
            Value::F64(v) => write!(f, "{v}"),
            Value::I32(v) => write!(f, "{v}"),
            Value::I64(v) => write!(f, "{v}"),
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
