//! Tensors of strings, in host memory, and what preprocessing does with them.
//!
//! A string is UTF-8 text: bytes that are none do not become a [`StringTensor`]. Everything here is computed at once on
//! the host, by the thread that asks; no string ever reaches a device. What results in numbers (lengths, hashes, code
//! points) is a [`Tensor`] of host data, and what splits strings is a
//! [`RaggedTensor`](crate::RaggedTensor). Names, defaults and results are those of `tf.strings`.
//!
//! As with tensors, a wrong argument gives a value that carries the error, which the first read returns.
//!
//! ```
//! use kiln_graph::{StringTensor, text::Encoding};
//! let lines = StringTensor::from_slice(&["Hello, World!", "  again "]);
//! let words = lines.lower(Encoding::Ascii).regex_replace("[,!]", "", true).split(None, None);
//! assert_eq!(words.to_string_rows()?, [vec!["hello", "world"], vec!["again"]]);
//! # Ok::<(), kiln_graph::Error>(())
//! ```

mod cross;
mod farmhash;
mod format;
mod hash;
mod ngrams;
mod number;
mod regex;
mod split;
mod transform;
mod unicode;

use std::sync::Arc;

use kiln_device::{DType, size};

pub use cross::{CrossInput, DEFAULT_HASH_KEY};
pub(crate) use cross::{Features, crossed_hashes, crossed_strings};
pub use farmhash::fingerprint64;
pub use format::{Formatted, format};
pub use ngrams::NgramOptions;
pub use number::{NumberFormat, as_string};
pub use transform::{Encoding, Unit, join};
pub use unicode::{DecodeErrors, unicode_encode};

use crate::error::{At, Error, Result};
use crate::shape::Shape;
use crate::site::{Fallible, Site};
use crate::tensor::Tensor;
use crate::values::{Items, is_identity};

/// An n-dimensional array of strings in host memory.
///
/// Cloning is cheap; a string tensor never changes.
///
/// ```
/// use kiln_graph::StringTensor;
/// let names = StringTensor::from_slice(&["Ada", "Grace"]);
/// assert_eq!(names.shape(), [2]);
/// assert_eq!(names.to_vec()?, ["Ada", "Grace"]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "tf.strings")]
#[derive(Clone)]
pub struct StringTensor {
    shape: Shape,
    elements: Result<Arc<[String]>>,
}

impl StringTensor {
    /// A vector of the slice's strings.
    #[track_caller]
    pub fn from_slice<S: AsRef<str>>(elements: &[S]) -> StringTensor {
        StringTensor::from_vec(elements, &[elements.len()])
    }

    /// Strings in row-major order under a shape.
    ///
    /// Carries an error where there are not as many strings as the shape has elements.
    #[track_caller]
    pub fn from_vec<S: AsRef<str>>(elements: impl AsRef<[S]>, shape: &[usize]) -> StringTensor {
        let site = Site::new("strings.from_vec");
        let elements: Vec<String> = elements.as_ref().iter().map(|s| s.as_ref().to_owned()).collect();
        site.settle(|| {
            let count = size::element_count(shape).map_err(|e| site.error(e.to_string()))?;
            site.expect(count == elements.len(), || {
                format!("expected {count} strings for shape {shape:?}, received {}", elements.len())
            })?;
            Ok(StringTensor::made(elements, shape.to_vec()))
        })
    }

    /// One string, of rank 0.
    pub fn scalar(element: impl Into<String>) -> StringTensor {
        StringTensor::made(vec![element.into()], vec![])
    }

    /// As many strings as the shape has elements.
    pub(crate) fn made(elements: Vec<String>, shape: Shape) -> StringTensor {
        StringTensor { shape, elements: Ok(elements.into()) }
    }

    /// The dimensions; empty for one string.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.elements().len()
    }

    /// True where there are no strings.
    pub fn is_empty(&self) -> bool {
        self.elements().is_empty()
    }

    /// The strings in row-major order; none where the tensor carries an error.
    pub fn elements(&self) -> &[String] {
        self.elements.as_ref().map_or(&[], |e| e)
    }

    /// The strings in row-major order.
    ///
    /// # Errors
    /// The first error of what made the tensor.
    pub fn to_vec(&self) -> Result<Vec<String>> {
        Ok(self.check()?.elements().to_vec())
    }

    /// The only string.
    ///
    /// # Errors
    /// As [`StringTensor::to_vec`], and where there is not exactly one string.
    #[track_caller]
    pub fn item(&self) -> Result<String> {
        let site = Site::new("strings.item");
        match self.check()?.elements() {
            [one] => Ok(one.clone()),
            _ => Err(site.error(format!("expected one string, received shape {:?}", self.shape))),
        }
    }

    /// The error that is carried in the place of strings, if there is one.
    pub fn error(&self) -> Option<&Error> {
        self.elements.as_ref().err()
    }

    /// The tensor itself, or the error it carries.
    ///
    /// # Errors
    /// The error it carries.
    pub fn check(&self) -> Result<&StringTensor> {
        self.error().map_or(Ok(self), |e| Err(e.clone()))
    }

    /// The same strings in row-major order under another shape; one dimension may be −1 and is worked out.
    #[track_caller]
    pub fn reshape(&self, shape: &[i64]) -> StringTensor {
        let site = Site::new("strings.reshape");
        site.settle(|| {
            self.check()?;
            let shape = resolve_shape(site, shape, self.len(), &self.shape)?;
            Ok(StringTensor { shape, elements: self.elements.clone() })
        })
    }

    /// Every string in another form.
    pub(crate) fn map(&self, change: impl Fn(&str) -> String) -> StringTensor {
        match &self.elements {
            Ok(elements) => {
                StringTensor::made(elements.iter().map(|s| change(s)).collect(), self.shape.clone())
            }
            Err(_) => self.clone(),
        }
    }

    /// Every string in another form, or the first error.
    pub(crate) fn try_map(&self, site: Site, change: impl Fn(&str) -> Result<String>) -> StringTensor {
        site.settle(|| {
            let elements = self.check()?.elements().iter().map(|s| change(s)).collect::<Result<Vec<_>>>()?;
            Ok(StringTensor::made(elements, self.shape.clone()))
        })
    }
}

/// A target shape with at most one −1, for `count` elements of shape `from`.
pub(crate) fn resolve_shape(site: Site, shape: &[i64], count: usize, from: &[usize]) -> Result<Shape> {
    let known = shape.iter().filter(|d| **d >= 0).try_fold(1usize, |n, d| n.checked_mul(*d as usize));
    let unknown = shape.iter().filter(|d| **d == -1).count();
    let fits = match (unknown, known) {
        (0, Some(known)) => known == count,
        (1, Some(known)) => known > 0 && count.is_multiple_of(known),
        _ => false,
    };
    let wrong = shape.iter().any(|d| *d < -1);
    site.expect(fits && !wrong, || {
        format!("the number of elements must stay: {from:?} has {count}, received target shape {shape:?}")
    })?;
    let fill = |d: &i64| if *d < 0 { count / known.unwrap_or(1).max(1) } else { *d as usize };
    Ok(shape.iter().map(fill).collect())
}

impl Fallible for StringTensor {
    fn carrying(error: Error, _: At) -> StringTensor {
        StringTensor { shape: vec![], elements: Err(error) }
    }
}

impl Items for StringTensor {
    fn failed_with(error: Error, at: At) -> StringTensor {
        StringTensor::carrying(error, at)
    }

    fn pick(&self, indices: &[i32], _: At) -> StringTensor {
        if self.error().is_some() || is_identity(indices, self.shape[0]) {
            return self.clone();
        }
        let width: usize = self.shape[1..].iter().product();
        let all = self.elements();
        let item = |i: &i32| &all[*i as usize * width..(*i as usize + 1) * width];
        let elements = indices.iter().flat_map(item).cloned().collect();
        StringTensor::made(elements, [&[indices.len()], &self.shape[1..]].concat())
    }

    fn reshaped(&self, shape: Vec<usize>, _: At) -> StringTensor {
        StringTensor { shape, elements: self.elements.clone() }
    }

    fn joined(parts: &[StringTensor], axis: usize, op: &'static str, at: At) -> Result<StringTensor> {
        let site = Site { op, at };
        let Some(first) = parts.first() else {
            return Err(site.error("expected at least one tensor of strings, received none"));
        };
        let fits = |part: &StringTensor| {
            part.rank() == first.rank()
                && (0..first.rank()).all(|i| i == axis || part.shape[i] == first.shape[i])
        };
        if !parts.iter().all(fits) {
            let shapes: Vec<&[usize]> = parts.iter().map(StringTensor::shape).collect();
            return Err(
                site.error(format!("expected equal shapes except along axis {axis}, received {shapes:?}"))
            );
        }
        let mut shape = first.shape.clone();
        shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
        let outer: usize = shape[..axis].iter().product();
        let mut elements = vec![];
        for row in 0..outer {
            for part in parts {
                let width: usize = part.shape[axis..].iter().product();
                elements.extend_from_slice(&part.check()?.elements()[row * width..(row + 1) * width]);
            }
        }
        Ok(StringTensor::made(elements, shape))
    }

    fn placed(
        &self,
        cells: usize,
        positions: &[i32],
        default: &StringTensor,
        op: &'static str,
        at: At,
    ) -> Result<StringTensor> {
        let site = Site { op, at };
        let item = &self.shape[1..];
        let width: usize = item.iter().product();
        let default = default.check()?.broadcast_elements(item).ok_or_else(|| {
            site.error(format!("default {:?} does not broadcast to an item {item:?}", default.shape))
        })?;
        let mut elements: Vec<String> = (0..cells).flat_map(|_| default.iter().cloned()).collect();
        for (i, cell) in positions.iter().enumerate() {
            let (from, to) = (i * width, *cell as usize * width);
            elements[to..to + width].clone_from_slice(&self.elements()[from..from + width]);
        }
        Ok(StringTensor::made(elements, [&[cells], item].concat()))
    }

    fn at_places(&self, places: &Tensor, op: &'static str, at: At) -> Result<StringTensor> {
        let rows = self.pick(&Site { op, at }.integers(places)?, at);
        Ok(rows.reshaped([places.shape(), &self.shape[1..]].concat(), at))
    }

    fn present(&self, _: &'static str, _: At) -> Result<Vec<bool>> {
        Ok(self.check()?.elements().iter().map(|s| !s.is_empty()).collect())
    }

    fn equal_to(&self, item: &StringTensor, op: &'static str, at: At) -> Result<Vec<bool>> {
        let site = Site { op, at };
        let item = item.check()?.broadcast_elements(&self.shape[1..]).ok_or_else(|| {
            site.error(format!("value {:?} does not broadcast to an item of {:?}", item.shape, self.shape))
        })?;
        if item.is_empty() {
            return Ok(vec![true; self.shape[0]]);
        }
        Ok(self.check()?.elements().chunks_exact(item.len()).map(|chunk| chunk == item).collect())
    }

    fn number_type(&self) -> Option<DType> {
        None
    }

    fn blank(&self, _: At) -> StringTensor {
        StringTensor::scalar("")
    }

    fn settled(&self, _: &'static str, _: At) -> Result<()> {
        self.check().map(drop)
    }
}

impl StringTensor {
    /// The strings under a shape that the tensor's broadcasts to.
    pub(crate) fn broadcast_elements(&self, shape: &[usize]) -> Option<Vec<String>> {
        if crate::shape::broadcast(&self.shape, shape)? != shape {
            return None;
        }
        let count: usize = shape.iter().product();
        let (from, to) = (crate::shape::strides(&self.shape), crate::shape::strides(shape));
        let lead = shape.len() - self.rank();
        let source = |flat: usize| -> usize {
            (0..self.rank())
                .filter(|i| self.shape[*i] != 1)
                .map(|i| flat / to[lead + i] % shape[lead + i] * from[i])
                .sum()
        };
        Some((0..count).map(|flat| self.elements()[source(flat)].clone()).collect())
    }
}

impl From<&str> for StringTensor {
    fn from(text: &str) -> StringTensor {
        StringTensor::scalar(text)
    }
}

impl From<String> for StringTensor {
    fn from(text: String) -> StringTensor {
        StringTensor::scalar(text)
    }
}

impl From<&StringTensor> for StringTensor {
    fn from(tensor: &StringTensor) -> StringTensor {
        tensor.clone()
    }
}

impl std::fmt::Debug for StringTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.elements {
            Ok(elements) => write!(f, "StringTensor({:?}, {elements:?})", self.shape),
            Err(error) => write!(f, "StringTensor({error})"),
        }
    }
}

impl std::fmt::Display for StringTensor {
    /// The strings in NumPy's nesting, quoted; an error prints as its text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.elements {
            Ok(_) => f.write_str(&format::nested(self, None)),
            Err(error) => write!(f, "{error}"),
        }
    }
}
