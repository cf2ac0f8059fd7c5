//! The same bits as another type.

use kiln_device::DType;

use crate::error::At;
use crate::shape::Shape;
use crate::tensor::{Tensor, here};

/// The same bits as elements of another dtype, as NumPy's `view`: where the element sizes differ, the last axis grows or
/// shrinks by their ratio. Between `float32`, `int32`, `uint32` and `uint8`, little-endian, or
/// between `float64` and `int64`.
///
/// ```
/// use kiln_graph::{DType, Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32]);
/// assert_eq!(ops::view(&x, DType::U8).to_vec::<u8>()?, [0, 0, 128, 63]);
/// assert_eq!(ops::view(&x, DType::I32).to_vec::<i32>()?, [0x3f80_0000]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn view(x: &Tensor, dtype: DType) -> Tensor {
    let at = here();
    let word = |d: DType| matches!(d, DType::F32 | DType::I32 | DType::U32);
    match (x.dtype(), dtype) {
        _ if x.error().is_some() => x.clone(),
        (from, to) if from == to => x.clone(),
        (from, to) if word(from) && word(to) || from.is_wide() && to.is_wide() => x.bitcast(to),
        (from, DType::U8) if word(from) => bytes(&x.bitcast(DType::U32), at),
        (DType::U8, to) if word(to) => words(x, at).bitcast(to).part_of("view", at, std::slice::from_ref(x)),
        (from, to) => {
            let message = format!("bits of {from} cannot be seen as {to}; cast converts by value");
            Tensor::failed("view", message, at)
        }
    }
}

/// The four bytes of every word, lowest first, along the last axis.
fn bytes(words: &Tensor, at: At) -> Tensor {
    let Some(last) = words.shape().last() else {
        return Tensor::failed("view", "a scalar has no axis to grow; reshape it to [1] first".into(), at);
    };
    let lead = &words.shape()[..words.rank() - 1];
    let Some(grown) = last.checked_mul(4) else {
        return Tensor::failed("view", format!("shape {:?} overflows", words.shape()), at);
    };
    let shape: Shape = [words.shape(), &[4]].concat();
    let shift = (Tensor::iota(&shape, words.rank()) * 8).cast_at(DType::U32, at);
    let spread = words.reshape_at([words.shape(), &[1]].concat(), at).broadcast_at(&shape, at);
    let byte = spread.right_shift(&shift).logical_and(255).cast_at(DType::U8, at);
    byte.reshape_at([lead, &[grown]].concat(), at)
}

/// Words of four bytes each along the last axis.
fn words(bytes: &Tensor, at: At) -> Tensor {
    let Some(last) = bytes.shape().last().filter(|n| n.is_multiple_of(4)) else {
        let message =
            format!("expected a last axis of a multiple of 4 bytes, received shape {:?}", bytes.shape());
        return Tensor::failed("view", message, at);
    };
    let shape: Shape = [&bytes.shape()[..bytes.rank() - 1], &[last / 4, 4]].concat();
    let axis = shape.len() - 1;
    let shift = (Tensor::iota(&shape, axis) * 8).cast_at(DType::U32, at);
    // The bytes do not overlap, so their sum is their union.
    bytes.cast_at(DType::U32, at).reshape_at(shape, at).left_shift(&shift).sum(axis as i64)
}
