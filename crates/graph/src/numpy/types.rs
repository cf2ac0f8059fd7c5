//! Which of Kiln's types each of NumPy's is read as, and written as.

use half::f16;
use kiln_device::DType;

use super::Reason;
use super::header::Header;
use crate::tensor::Element;

/// How elements of a type of NumPy's become a type of Kiln's: little-endian bytes to host bytes.
type Convert = fn(&[u8]) -> Result<Vec<u8>, Reason>;

/// A type of NumPy's.
struct Type {
    kind: char,
    size: usize,
    dtype: DType,
    convert: Convert,
    /// Whether `dtype` is written as this type.
    written: bool,
}

/// A type of NumPy's, how its elements are read, and whether the type here is written as it.
macro_rules! types {
    ($($kind:literal $size:literal => $dtype:ident, $parse:expr, $convert:expr, $written:literal;)*) => {
        /// The only list of them.
        const TYPES: &[Type] = &[$(Type {
            kind: $kind,
            size: $size,
            dtype: DType::$dtype,
            convert: |data| each(data, $parse, $convert),
            written: $written,
        }),*];
    };
}

types! {
    'f' 2 => F16, f16::from_le_bytes, Ok, true;
    'f' 4 => F32, f32::from_le_bytes, Ok, true;
    'f' 8 => F64, f64::from_le_bytes, Ok, true;
    'i' 1 => I32, i8::from_le_bytes, |n| Ok(i32::from(n)), false;
    'i' 2 => I32, i16::from_le_bytes, |n| Ok(i32::from(n)), false;
    'i' 4 => I32, i32::from_le_bytes, Ok, true;
    'i' 8 => I64, i64::from_le_bytes, Ok, true;
    'u' 1 => U8, u8::from_le_bytes, Ok, true;
    'u' 2 => U32, u16::from_le_bytes, |n| Ok(u32::from(n)), false;
    'u' 4 => U32, u32::from_le_bytes, Ok, true;
    'u' 8 => I64, u64::from_le_bytes, long, false;
    'b' 1 => Bool, u8::from_le_bytes, |b| Ok(b != 0), true;
}

/// Every element of `N` little-endian bytes, converted.
fn each<S, T: Element, const N: usize>(
    data: &[u8],
    parse: impl Fn([u8; N]) -> S,
    convert: impl Fn(S) -> Result<T, Reason>,
) -> Result<Vec<u8>, Reason> {
    let elements: Result<Vec<T>, Reason> =
        data.as_chunks::<N>().0.iter().map(|b| convert(parse(*b))).collect();
    Ok(T::to_bytes(&elements?))
}

fn rounded(x: &f64) -> Result<f32, Reason> {
    let narrow = *x as f32;
    if narrow.is_finite() == x.is_finite() {
        return Ok(narrow);
    }
    Err(format!("the number {x:e} is beyond float32; scale the data first"))
}

fn whole(n: &i64) -> Result<i32, Reason> {
    i32::try_from(*n)
        .map_err(|_| format!("the integer {n} is beyond int32; make floats of the data, or shift it"))
}

fn long(n: u64) -> Result<i64, Reason> {
    i64::try_from(n)
        .map_err(|_| format!("the integer {n} is beyond int64; save it as a float, or shift the data"))
}

/// 64-bit elements as 32-bit ones; none where they have no 64 bits.
pub(super) fn narrowed(dtype: DType, bytes: &[u8]) -> Result<Option<(DType, Vec<u8>)>, Reason> {
    fn each<S: Element, T: Element>(
        bytes: &[u8],
        convert: impl Fn(&S) -> Result<T, Reason>,
    ) -> Result<Option<(DType, Vec<u8>)>, Reason> {
        let elements = S::from_bytes(bytes).iter().map(convert).collect::<Result<Vec<T>, Reason>>()?;
        Ok(Some((T::DTYPE, T::to_bytes(&elements))))
    }
    match dtype {
        DType::F64 => each(bytes, rounded),
        DType::I64 => each(bytes, whole),
        _ => Ok(None),
    }
}

/// The type that elements of a file have here, and their host bytes.
pub(super) fn read(header: &Header, data: &[u8]) -> Result<(DType, Vec<u8>), Reason> {
    let known = TYPES.iter().find(|t| t.kind == header.kind && t.size == header.size);
    let known = known.ok_or_else(|| {
        format!("no type here holds elements of `{}`; save them as one of {}", header.code, listed())
    })?;
    let bytes = match header.big_endian {
        true => (known.convert)(&swapped(data, known.size)),
        false => (known.convert)(data),
    };
    Ok((known.dtype, bytes?))
}

fn listed() -> String {
    TYPES.iter().map(|t| format!("{}{}", t.kind, t.size)).collect::<Vec<_>>().join(", ")
}

/// NumPy's code for a type, and the little-endian bytes of its elements.
pub(super) fn written(dtype: DType, bytes: &[u8]) -> Result<(String, Vec<u8>), Reason> {
    let known = TYPES.iter().find(|t| t.dtype == dtype && t.written);
    let known = known.ok_or_else(|| format!("NumPy has no {dtype}; cast it to float32 first"))?;
    let order = if known.size == 1 { '|' } else { '<' };
    let data = if cfg!(target_endian = "big") { swapped(bytes, known.size) } else { bytes.to_vec() };
    Ok((format!("{order}{}{}", known.kind, known.size), data))
}

/// Elements of `size` bytes in the other byte order.
fn swapped(data: &[u8], size: usize) -> Vec<u8> {
    let mut data = data.to_vec();
    data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    data
}
