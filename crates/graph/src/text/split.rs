//! Strings divided into parts.

use crate::error::Result;
use crate::ragged::{Nest, Partition, RaggedStrings, RaggedTensor};
use crate::site::Site;
use crate::tensor::{Element, Tensor};
use crate::text::StringTensor;
use crate::values::Values;

impl StringTensor {
    /// The parts of every string between separators, as `str.split` of Python has them: `None` for runs of white space,
    /// which leave no empty parts, and at most `maxsplit` separations. The result has one more axis; a single string
    /// counts as a vector of one. (TensorFlow adds an empty part where `maxsplit` ends at the last word.)
    ///
    /// ```
    /// use kiln_graph::StringTensor;
    /// let lines = StringTensor::from_slice(&["a,b,,c", ""]);
    /// assert_eq!(lines.split(Some(","), None).to_string_rows()?, [vec!["a", "b", "", "c"], vec![""]]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, separator: Option<&str>, maxsplit: Option<usize>) -> RaggedStrings {
        let site = Site::new("strings.split");
        let most = maxsplit.map_or(usize::MAX, |most| most.saturating_add(1));
        self.parted(site, |s| match separator.filter(|separator| !separator.is_empty()) {
            Some(separator) => s.splitn(most, separator).map(str::to_owned).collect(),
            None => words(s, most),
        })
    }

    /// The bytes of every string, as numbers (`uint8`): one byte of a longer character is no string. The result has one
    /// more axis.
    #[track_caller]
    pub fn bytes_split(&self) -> RaggedTensor {
        let site = Site::new("strings.bytes_split");
        self.divided(site, |s| s.as_bytes().to_vec())
    }

    /// Every string divided into strings.
    pub(super) fn parted(&self, site: Site, parts: impl Fn(&str) -> Vec<String>) -> RaggedStrings {
        site.settle(|| {
            self.check()?;
            let parts: Vec<Vec<String>> = self.elements().iter().map(|s| parts(s)).collect();
            let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
            let flat: Vec<String> = parts.into_iter().flatten().collect();
            let count = flat.len();
            self.rows(site, &lengths, StringTensor::made(flat, vec![count]))
        })
    }

    /// Every string divided into numbers.
    pub(super) fn divided<T: Element>(&self, site: Site, parts: impl Fn(&str) -> Vec<T>) -> RaggedTensor {
        site.settle(|| {
            self.check()?;
            let parts: Vec<Vec<T>> = self.elements().iter().map(|s| parts(s)).collect();
            let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
            self.rows(site, &lengths, Tensor::from_slice(&parts.concat()))
        })
    }

    /// Parts under this tensor's axes, with so many parts for every string.
    fn rows<V: Values>(&self, site: Site, lengths: &[usize], flat: V) -> Result<RaggedTensor<V>> {
        let mut nest = Nest::dense(flat).divided(Partition::of_lengths(site, lengths.iter().copied())?);
        for axis in (1..self.rank()).rev() {
            let rows = self.shape()[..axis].iter().product();
            nest = nest.divided(Partition::uniform(site, rows, self.shape()[axis])?);
        }
        RaggedTensor::of(site, nest)
    }
}

/// Up to `most` words between runs of white space; the last one is the rest.
fn words(s: &str, most: usize) -> Vec<String> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
    let mut found = vec![];
    let mut rest = s.trim_start_matches(is_space);
    while !rest.is_empty() {
        if found.len() + 1 == most {
            found.push(rest.to_owned());
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        found.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches(is_space);
    }
    found
}
