//! Checked sizes: the only place where dimensions are multiplied.

use crate::error::{Error, Result};

/// Number of elements of a shape. An empty shape has one element.
///
/// # Errors
/// [`Error::SizeOverflow`] where the product, or four bytes for each element, does not fit an `i64`.
pub fn element_count(dims: &[usize]) -> Result<usize> {
    let overflow = || Error::SizeOverflow { what: "the number of elements", detail: format!("{dims:?}") };
    // The product of the non-zero dimensions must fit too: strides are products of some of them.
    let mut product = 1usize;
    for dim in dims.iter().filter(|d| **d != 0) {
        product = product.checked_mul(*dim).ok_or_else(overflow)?;
    }
    if product > (i64::MAX / 16) as usize {
        return Err(overflow());
    }
    Ok(if dims.contains(&0) { 0 } else { product })
}

/// Bytes of `count` elements of `size` bytes.
///
/// # Errors
/// [`Error::SizeOverflow`] where the product does not fit.
pub fn byte_length(count: usize, size: usize) -> Result<usize> {
    count.checked_mul(size).ok_or_else(|| Error::SizeOverflow {
        what: "the number of bytes",
        detail: format!("{count} elements of {size} bytes"),
    })
}
