//! Tensors cut into parts.

use super::arrange::{axis_of, stepped};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// Where an axis is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sections {
    /// Into so many parts.
    Count(usize),
    /// Before these positions; negative ones count from the end.
    At(Vec<i64>),
}

impl From<usize> for Sections {
    fn from(count: usize) -> Sections {
        Sections::Count(count)
    }
}

impl From<&[i64]> for Sections {
    fn from(positions: &[i64]) -> Sections {
        Sections::At(positions.to_vec())
    }
}

impl From<Vec<i64>> for Sections {
    fn from(positions: Vec<i64>) -> Sections {
        Sections::At(positions)
    }
}

impl<const N: usize> From<[i64; N]> for Sections {
    fn from(positions: [i64; N]) -> Sections {
        Sections::At(positions.to_vec())
    }
}

/// More parts than this are refused rather than made one by one.
const MOST_PARTS: usize = 1 << 16;

impl Sections {
    /// Number of parts.
    fn parts(&self) -> usize {
        match self {
            Sections::Count(count) => *count,
            Sections::At(positions) => positions.len() + 1,
        }
    }

    /// (start, extent) of every part of an axis, or what is wrong.
    fn bounds(&self, extent: usize, equal: bool) -> Result<Vec<(usize, usize)>, String> {
        match self {
            Sections::Count(0) => Err("expected at least one part".into()),
            Sections::Count(n) if *n > MOST_PARTS => {
                Err(format!("expected at most {MOST_PARTS} parts, received {n}"))
            }
            Sections::Count(n) if equal && !extent.is_multiple_of(*n) => Err(format!(
                "an axis of extent {extent} does not divide into {n} equal parts; use array_split"
            )),
            Sections::Count(n) => {
                // The first parts get the elements that are left over.
                let (each, longer) = (extent / n, extent % n);
                let start = |i: usize| i * each + i.min(longer);
                Ok((0..*n).map(|i| (start(i), start(i + 1) - start(i))).collect())
            }
            Sections::At(positions) => {
                let place = |p: &i64| {
                    let from_start = if *p < 0 { p.saturating_add(extent as i64) } else { *p };
                    from_start.clamp(0, extent as i64) as usize
                };
                let starts = std::iter::once(0).chain(positions.iter().map(place));
                let stops = positions.iter().map(place).chain([extent]);
                Ok(starts.zip(stops).map(|(a, b)| (a, b.saturating_sub(a))).collect())
            }
        }
    }
}

fn cut(x: &Tensor, sections: &Sections, axis: i64, equal: bool, op: &'static str, at: At) -> Vec<Tensor> {
    let axis = match axis_of(x, axis, op, at) {
        Ok(axis) => axis,
        Err(failed) => return failures(failed, sections),
    };
    match sections.bounds(x.shape()[axis], equal) {
        Ok(bounds) => bounds.into_iter().map(|(start, n)| stepped(x, axis, start, 1, n, op, at)).collect(),
        Err(message) => failures(Tensor::failed(op, message, at), sections),
    }
}

/// As many failed parts as were asked for, so that taking one of them apart is no panic.
fn failures(failed: Tensor, sections: &Sections) -> Vec<Tensor> {
    vec![failed; sections.parts().clamp(1, MOST_PARTS)]
}

/// Parts of an axis: so many equal ones, or cut before given positions.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::range(6);
/// let parts = ops::split(&x, [2, 5], 0);
/// assert_eq!(parts[1].to_vec::<i32>()?, [2, 3, 4]);
/// assert!(ops::split(&x, 4, 0)[0].error().is_some());
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "chunk")]
#[track_caller]
pub fn split(x: &Tensor, indices_or_sections: impl Into<Sections>, axis: i64) -> Vec<Tensor> {
    cut(x, &indices_or_sections.into(), axis, true, "split", here())
}

/// As [`split`], where a number of parts need not divide the axis: the first ones are one longer.
#[track_caller]
pub fn array_split(x: &Tensor, indices_or_sections: impl Into<Sections>, axis: i64) -> Vec<Tensor> {
    cut(x, &indices_or_sections.into(), axis, false, "array_split", here())
}

fn cut_along(x: &Tensor, sections: &Sections, axis: usize, op: &'static str, at: At) -> Vec<Tensor> {
    if x.error().is_none() && x.rank() <= axis {
        let message = format!("expected at least {} axes, received shape {:?}", axis + 1, x.shape());
        return failures(Tensor::failed(op, message, at), sections);
    }
    cut(x, sections, axis as i64, true, op, at)
}

/// Parts from left to right: of the second axis, or of the only one.
#[track_caller]
pub fn hsplit(x: &Tensor, indices_or_sections: impl Into<Sections>) -> Vec<Tensor> {
    cut_along(x, &indices_or_sections.into(), usize::from(x.rank() > 1), "hsplit", here())
}

/// Parts from top to bottom: of the first axis of a tensor of at least two.
#[track_caller]
pub fn vsplit(x: &Tensor, indices_or_sections: impl Into<Sections>) -> Vec<Tensor> {
    let (at, sections) = (here(), indices_or_sections.into());
    if x.error().is_none() && x.rank() < 2 {
        let message = format!("expected at least 2 axes, received shape {:?}", x.shape());
        return failures(Tensor::failed("vsplit", message, at), &sections);
    }
    cut_along(x, &sections, 0, "vsplit", at)
}

/// Parts in depth: of the third axis.
#[track_caller]
pub fn dsplit(x: &Tensor, indices_or_sections: impl Into<Sections>) -> Vec<Tensor> {
    cut_along(x, &indices_or_sections.into(), 2, "dsplit", here())
}

/// The slices along an axis, without it; the inverse of [`super::stack`]. `num`, where given, must be its extent.
#[doc(alias = "unbind")]
#[track_caller]
pub fn unstack(x: &Tensor, num: impl Into<Option<usize>>, axis: i64) -> Vec<Tensor> {
    let (at, num) = (here(), num.into());
    let axis = match axis_of(x, axis, "unstack", at) {
        Ok(axis) => axis,
        Err(failed) => return failures(failed, &Sections::Count(num.unwrap_or(1))),
    };
    let extent = x.shape()[axis];
    if num.is_some_and(|n| n != extent) || extent > MOST_PARTS {
        let expected =
            num.map_or(format!("an extent of at most {MOST_PARTS}"), |n| format!("extent {n} (`num`)"));
        let message = format!("expected {expected} along axis {axis}, received shape {:?}", x.shape());
        return failures(Tensor::failed("unstack", message, at), &Sections::Count(num.unwrap_or(1)));
    }
    let mut shape = x.shape().to_vec();
    shape.remove(axis);
    let slice = |i: usize| stepped(x, axis, i, 1, 1, "unstack", at).reshape_at(shape.clone(), at);
    (0..extent).map(slice).collect()
}
