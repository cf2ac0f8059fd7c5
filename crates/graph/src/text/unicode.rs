//! Strings and their code points.

use crate::error::Result;
use crate::ragged::{Nest, RaggedOrDense, RaggedStrings, RaggedTensor};
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;

/// What becomes of a number that is no code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrors {
    /// This character stands in its place; U+FFFD by default.
    Replace(char),
    /// It is left out.
    Ignore,
    /// It is an error.
    Strict,
}

impl Default for DecodeErrors {
    fn default() -> DecodeErrors {
        DecodeErrors::Replace(char::REPLACEMENT_CHARACTER)
    }
}

/// An error where an encoding is not that of strings.
fn expect_utf8(site: Site, encoding: &str) -> Result<()> {
    site.expect(encoding.eq_ignore_ascii_case("utf-8") || encoding.eq_ignore_ascii_case("utf8"), || {
        format!("expected encoding UTF-8, in which strings of Rust are, received {encoding:?}; convert the bytes first")
    })
}

/// The character, or another in the place of control characters (U+0000 to U+001F), where they are replaced.
fn shown(c: char, replace_control: Option<char>) -> char {
    match replace_control {
        Some(other) if c < ' ' => other,
        _ => c,
    }
}

impl StringTensor {
    /// The code points of every string, `int32`, with one more axis. Control characters (U+0000 to U+001F) become
    /// `replace_control` where there is one.
    ///
    /// ```
    /// use kiln_graph::StringTensor;
    /// let points = StringTensor::from_slice(&["aé", ""]).unicode_decode("UTF-8", None);
    /// assert_eq!(points.to_rows::<i32>()?, [vec![97, 233], vec![]]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn unicode_decode(&self, input_encoding: &str, replace_control: Option<char>) -> RaggedTensor {
        let site = Site::new("strings.unicode_decode");
        site.settle(|| {
            expect_utf8(site, input_encoding)?;
            let points = |s: &str| s.chars().map(|c| shown(c, replace_control) as i32).collect();
            self.divided(site, points).check().cloned()
        })
    }

    /// As [`StringTensor::unicode_decode`], and the position of each code point in its string, in bytes.
    #[track_caller]
    pub fn unicode_decode_with_offsets(
        &self,
        input_encoding: &str,
        replace_control: Option<char>,
    ) -> (RaggedTensor, RaggedTensor) {
        let site = Site::new("strings.unicode_decode_with_offsets");
        site.settle(|| {
            expect_utf8(site, input_encoding)?;
            let points = |s: &str| s.chars().map(|c| shown(c, replace_control) as i32).collect();
            Ok((self.divided(site, points).check()?.clone(), self.offsets(site)?))
        })
    }

    /// The characters of every string, with one more axis.
    #[track_caller]
    pub fn unicode_split(&self, input_encoding: &str) -> RaggedStrings {
        let site = Site::new("strings.unicode_split");
        site.settle(|| {
            expect_utf8(site, input_encoding)?;
            self.parted(site, |s| s.chars().map(String::from).collect()).check().cloned()
        })
    }

    /// As [`StringTensor::unicode_split`], and the position of each character in its string, in bytes.
    #[track_caller]
    pub fn unicode_split_with_offsets(&self, input_encoding: &str) -> (RaggedStrings, RaggedTensor) {
        let site = Site::new("strings.unicode_split_with_offsets");
        site.settle(|| {
            expect_utf8(site, input_encoding)?;
            let parts = self.parted(site, |s| s.chars().map(String::from).collect());
            Ok((parts.check()?.clone(), self.offsets(site)?))
        })
    }

    fn offsets(&self, site: Site) -> Result<RaggedTensor> {
        self.check()?.elements().iter().try_for_each(|s| site.index(s.len()).map(drop))?;
        self.divided(site, |s| s.char_indices().map(|(at, _)| at as i32).collect()).check().cloned()
    }

    /// The strings in another encoding, which can only be UTF-8 too: what remains is that control characters become
    /// `replace_control` where there is one.
    #[track_caller]
    pub fn unicode_transcode(
        &self,
        input_encoding: &str,
        output_encoding: &str,
        replace_control: Option<char>,
    ) -> StringTensor {
        let site = Site::new("strings.unicode_transcode");
        site.settle(|| {
            expect_utf8(site, input_encoding)?;
            expect_utf8(site, output_encoding)?;
            self.check()?;
            Ok(self.map(|s| s.chars().map(|c| shown(c, replace_control)).collect()))
        })
    }
}

/// Strings of code points (integers, read at once) along the last axis, ragged or dense; the result has one axis less.
///
/// ```
/// use kiln_graph::{StringTensor, ragged, text};
/// let points = ragged::constant(&[vec![72, 105], vec![8364]]);
/// let strings = text::unicode_encode(points, "UTF-8", Default::default()).dense();
/// assert_eq!(strings.to_vec()?, ["Hi", "€"]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn unicode_encode(
    points: impl Into<RaggedOrDense>,
    output_encoding: &str,
    errors: DecodeErrors,
) -> RaggedOrDense<StringTensor> {
    let site = Site::new("strings.unicode_encode");
    site.settle(|| {
        expect_utf8(site, output_encoding)?;
        let nest = points.into().nest(site)?;
        let single = nest.rank() == 1;
        // A vector is one string: as if it were the only row.
        let nest = if single { nest.expanded(0, site)? } else { nest };
        let mut nest: Nest<Tensor> = nest.with_partitions(nest.rank() - 1, site)?;
        let innermost = nest.partitions.pop().ok_or_else(|| site.error("expected rows"))?;
        let points = site.integers(&nest.flat)?;
        let row = |row: usize| -> Result<String> {
            let range = innermost.row(row);
            let numbers = &points[range.start as usize..range.end as usize];
            numbers.iter().filter_map(|number| character(site, *number, errors).transpose()).collect()
        };
        let strings = (0..innermost.rows()).map(row).collect::<Result<Vec<_>>>()?;
        let shape = if single { vec![] } else { vec![strings.len()] };
        Ok(RaggedOrDense::of(Nest { partitions: nest.partitions, flat: StringTensor::made(strings, shape) }))
    })
}

fn character(site: Site, number: i32, errors: DecodeErrors) -> Result<Option<char>> {
    let found = u32::try_from(number).ok().and_then(char::from_u32);
    match (found, errors) {
        (Some(c), _) => Ok(Some(c)),
        (None, DecodeErrors::Replace(other)) => Ok(Some(other)),
        (None, DecodeErrors::Ignore) => Ok(None),
        (None, DecodeErrors::Strict) => Err(site.error(format!("expected code points, received {number}"))),
    }
}
