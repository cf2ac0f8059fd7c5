//! Lengths, case, white space, parts and joins.

use crate::error::Result;
use crate::shape::{Axes, broadcast, strides};
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;

/// Which letters have a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// Those of ASCII alone; `encoding=''`, the default of `tf.strings`.
    #[default]
    Ascii,
    /// Those of Unicode; `encoding='utf-8'`.
    Utf8,
}

/// What positions and lengths count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Unit {
    /// Bytes of UTF-8; the default of `tf.strings`.
    #[default]
    Byte,
    /// Code points.
    Utf8Char,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

impl StringTensor {
    /// The length of every string, `int32`.
    #[track_caller]
    pub fn length(&self, unit: Unit) -> Tensor {
        let site = Site::new("strings.length");
        let count = |s: &String| match unit {
            Unit::Byte => s.len(),
            Unit::Utf8Char => s.chars().count(),
        };
        site.settle(|| {
            let lengths = self.check()?.elements().iter().map(|s| site.index(count(s)));
            Ok(Tensor::from_vec(lengths.collect::<Result<Vec<i32>>>()?, self.shape()))
        })
    }

    /// Lower case.
    pub fn lower(&self, encoding: Encoding) -> StringTensor {
        self.map(|s| match encoding {
            Encoding::Ascii => s.to_ascii_lowercase(),
            Encoding::Utf8 => s.to_lowercase(),
        })
    }

    /// Upper case.
    pub fn upper(&self, encoding: Encoding) -> StringTensor {
        self.map(|s| match encoding {
            Encoding::Ascii => s.to_ascii_uppercase(),
            Encoding::Utf8 => s.to_uppercase(),
        })
    }

    /// Without ASCII white space at both ends.
    pub fn strip(&self) -> StringTensor {
        self.map(|s| s.trim_matches(is_space).to_owned())
    }

    /// `length` bytes or characters from `position` on, which counts from the end where negative; cut at the end of the
    /// string.
    ///
    /// Carries an error where a position is outside of a string, or a cut in bytes falls inside of a character.
    #[track_caller]
    pub fn substr(&self, position: i64, length: usize, unit: Unit) -> StringTensor {
        let site = Site::new("strings.substr");
        self.try_map(site, |s| part(site, s, position, length, unit))
    }

    /// As [`StringTensor::substr`], with a position and a length for every string (integer tensors of its shape, read at
    /// once).
    #[track_caller]
    pub fn substr_each(&self, positions: &Tensor, lengths: &Tensor, unit: Unit) -> StringTensor {
        let site = Site::new("strings.substr");
        site.settle(|| {
            self.check()?;
            positions.check()?;
            lengths.check()?;
            site.expect(positions.shape() == self.shape() && lengths.shape() == self.shape(), || {
                format!(
                    "expected positions and lengths of shape {:?}, received {:?} and {:?}",
                    self.shape(),
                    positions.shape(),
                    lengths.shape()
                )
            })?;
            let (positions, lengths) = (site.integers(positions)?, site.integers(lengths)?);
            let cut = |((s, position), length): ((&String, &i32), &i32)| {
                let length = usize::try_from(*length)
                    .map_err(|_| site.error(format!("expected lengths of 0 or more, received {length}")))?;
                part(site, s, *position as i64, length, unit)
            };
            let parts = self.elements().iter().zip(&positions).zip(&lengths).map(cut);
            Ok(StringTensor::made(parts.collect::<Result<_>>()?, self.shape().to_vec()))
        })
    }

    /// The strings of some axes, `()` for all, as one. The axis named first is joined first: `[0, 1]` and
    /// `[1, 0]` differ.
    ///
    /// ```
    /// use kiln_graph::StringTensor;
    /// let letters = StringTensor::from_vec(["a", "b", "c", "d"], &[2, 2]);
    /// assert_eq!(letters.reduce_join(0, false, "").to_vec()?, ["ac", "bd"]);
    /// assert_eq!(letters.reduce_join([0, 1], false, "").item()?, "acbd");
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_join(&self, axes: impl Into<Axes>, keepdims: bool, separator: &str) -> StringTensor {
        let (site, axes) = (Site::new("strings.reduce_join"), axes.into());
        site.settle(|| {
            self.check()?;
            let rank = self.rank();
            let sorted = axes.resolve(rank).map_err(|message| site.error(message))?;
            let named: Vec<usize> = match &axes {
                Axes::All => sorted.clone(),
                Axes::Of(named) => {
                    // The first axis named is joined first: it is the fastest.
                    named.iter().rev().map(|axis| axis.rem_euclid(rank.max(1) as i64) as usize).collect()
                }
            };
            let kept: Vec<usize> = (0..rank).filter(|axis| !sorted.contains(axis)).collect();
            let steps = strides(self.shape());
            let walk = |axes: &[usize]| -> Vec<usize> {
                axes.iter().fold(vec![0], |starts, axis| {
                    let along = |start: usize| (0..self.shape()[*axis]).map(move |i| (start, i));
                    starts.into_iter().flat_map(along).map(|(start, i)| start + i * steps[*axis]).collect()
                })
            };
            let within = walk(&named);
            let joined = |start: usize| {
                let parts: Vec<&str> =
                    within.iter().map(|offset| self.elements()[start + offset].as_str()).collect();
                parts.join(separator)
            };
            let shape = (0..rank)
                .filter(|axis| keepdims || kept.contains(axis))
                .map(|axis| if kept.contains(&axis) { self.shape()[axis] } else { 1 });
            Ok(StringTensor::made(walk(&kept).into_iter().map(joined).collect(), shape.collect()))
        })
    }

    /// The strings of every segment as one, in their order: `segment_ids` names the segment of each row of the first axis,
    /// in any order. A segment without rows is empty.
    #[track_caller]
    pub fn unsorted_segment_join(
        &self,
        segment_ids: &[i32],
        num_segments: usize,
        separator: &str,
    ) -> StringTensor {
        let site = Site::new("strings.unsorted_segment_join");
        site.settle(|| {
            self.check()?;
            let inside = segment_ids.iter().all(|id| *id >= 0 && (*id as usize) < num_segments);
            site.expect(self.rank() >= 1 && segment_ids.len() == self.shape()[0] && inside, || {
                format!(
                    "expected a segment in 0..{num_segments} for each row of shape {:?}, received {segment_ids:?}",
                    self.shape()
                )
            })?;
            let width: usize = self.shape()[1..].iter().product();
            let cells = site.count(&[num_segments, width])?;
            let mut parts: Vec<Vec<&str>> = vec![vec![]; cells];
            for (i, s) in self.elements().iter().enumerate() {
                let segment = segment_ids[i / width] as usize;
                parts[segment * width + i % width].push(s);
            }
            let shape = [&[num_segments], &self.shape()[1..]].concat();
            Ok(StringTensor::made(parts.iter().map(|p| p.join(separator)).collect(), shape))
        })
    }
}

/// A part of one string.
fn part(site: Site, s: &str, position: i64, length: usize, unit: Unit) -> Result<String> {
    let count = match unit {
        Unit::Byte => s.len(),
        Unit::Utf8Char => s.chars().count(),
    };
    let start = if position < 0 { position.saturating_add(count as i64) } else { position };
    let start = usize::try_from(start)
        .ok()
        .filter(|start| *start <= count)
        .ok_or_else(|| site.error(format!("position {position} is outside of {s:?}, of length {count}")))?;
    let end = start.saturating_add(length).min(count);
    match unit {
        Unit::Utf8Char => Ok(s.chars().skip(start).take(end - start).collect()),
        Unit::Byte => s.get(start..end).map(str::to_owned).ok_or_else(|| {
            site.error(format!(
                "bytes {start}..{end} of {s:?} cut a character in two; count in Unit::Utf8Char instead"
            ))
        }),
    }
}

/// Strings of several tensors, which broadcast, behind one another with a separator between.
///
/// ```
/// use kiln_graph::{StringTensor, text};
/// let names = StringTensor::from_slice(&["a", "b"]);
/// let joined = text::join(&[&names, &"x".into(), &names], "-");
/// assert_eq!(joined.to_vec()?, ["a-x-a", "b-x-b"]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn join(tensors: &[&StringTensor], separator: &str) -> StringTensor {
    let site = Site::new("strings.join");
    site.settle(|| {
        let Some(first) = tensors.first() else {
            return Err(site.error("expected at least one tensor, received none"));
        };
        let mut shape = first.shape().to_vec();
        for tensor in tensors {
            tensor.check()?;
            shape = broadcast(&shape, tensor.shape()).ok_or_else(|| {
                site.error(format!("shapes {shape:?} and {:?} do not broadcast", tensor.shape()))
            })?;
        }
        site.count(&shape)?;
        let wide: Vec<Vec<String>> = tensors.iter().filter_map(|t| t.broadcast_elements(&shape)).collect();
        let joined = |i: usize| wide.iter().map(|w| w[i].as_str()).collect::<Vec<_>>().join(separator);
        Ok(StringTensor::made((0..wide[0].len()).map(joined).collect(), shape))
    })
}
