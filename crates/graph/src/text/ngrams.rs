//! N-grams: neighbouring strings joined.

use crate::error::Result;
use crate::ragged::{Nest, Partition, RaggedStrings, RaggedTensor};
use crate::site::Site;
use crate::text::StringTensor;

/// How n-grams are made.
#[derive(Clone, Debug)]
pub struct NgramOptions {
    /// How many strings each n-gram joins; with several widths, the n-grams of the first come first in every row.
    pub widths: Vec<usize>,
    /// What stands between the strings.
    pub separator: String,
    /// What stands before and after every row, where it is padded.
    pub pad_values: Option<(String, String)>,
    /// How often the padding stands at each end, and at most one time less than the width; `None` is that.
    pub padding_width: Option<usize>,
    /// A row that is too short for any n-gram, and not empty, becomes one itself.
    pub preserve_short_sequences: bool,
}

impl NgramOptions {
    /// N-grams of one width, joined by a space, without padding.
    pub fn new(width: usize) -> NgramOptions {
        NgramOptions {
            widths: vec![width],
            separator: " ".into(),
            pad_values: None,
            padding_width: None,
            preserve_short_sequences: false,
        }
    }

    fn check(&self, site: Site) -> Result<()> {
        site.expect(!self.widths.is_empty() && !self.widths.contains(&0), || {
            format!("expected widths of 1 or more, received {:?}", self.widths)
        })?;
        site.expect(self.padding_width.is_none() || self.pad_values.is_some(), || {
            "expected pad_values beside padding_width".to_owned()
        })
    }

    /// How often the padding stands at each end of a row, for n-grams of a width.
    fn padding(&self, width: usize) -> usize {
        match self.pad_values {
            Some(_) => self.padding_width.unwrap_or(usize::MAX).min(width - 1),
            None => 0,
        }
    }

    fn of_row(&self, row: &[String]) -> Vec<String> {
        let mut made = vec![];
        for width in &self.widths {
            let padding = self.padding(*width);
            let count = (row.len() + 2 * padding + 1).saturating_sub(*width);
            made.extend((0..count).map(|first| self.joined(row, first, *width, padding)));
        }
        if made.is_empty() && self.preserve_short_sequences && !row.is_empty() {
            let padding = self.padding_width.filter(|_| self.pad_values.is_some()).unwrap_or(0);
            made.push(self.joined(row, 0, row.len() + 2 * padding, padding));
        }
        made
    }

    /// `width` strings of a padded row from position `first` on.
    fn joined(&self, row: &[String], first: usize, width: usize, padding: usize) -> String {
        let (left, right) = self.pad_values.as_ref().map_or(("", ""), |(left, right)| (left, right));
        let item = |position: usize| match position.checked_sub(padding) {
            None => left,
            Some(position) => row.get(position).map_or(right, String::as_str),
        };
        (first..first + width).map(item).collect::<Vec<_>>().join(&self.separator)
    }
}

impl RaggedStrings {
    /// The n-grams of the rows of the last axis.
    ///
    /// ```
    /// use kiln_graph::{ragged, text::NgramOptions};
    /// let words = ragged::constant(&[vec!["a", "b", "c"], vec!["d"]]);
    /// let pairs = words.ngrams(&NgramOptions::new(2));
    /// assert_eq!(pairs.to_string_rows()?, [vec!["a b", "b c"], vec![]]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn ngrams(&self, options: &NgramOptions) -> RaggedStrings {
        let site = Site::new("strings.ngrams");
        site.settle(|| {
            self.check()?;
            options.check(site)?;
            let mut nest = self.nest().with_partitions(self.rank() - 1, site)?;
            let innermost = nest.partitions.pop().ok_or_else(|| site.error("expected rows"))?;
            let row = |row: usize| {
                let range = innermost.row(row);
                options.of_row(&nest.flat.elements()[range.start as usize..range.end as usize])
            };
            let rows: Vec<Vec<String>> = (0..innermost.rows()).map(row).collect();
            let partition = Partition::of_lengths(site, rows.iter().map(Vec::len))?;
            let flat = StringTensor::made(rows.concat(), vec![partition.items()]);
            nest.partitions.push(partition.into());
            RaggedTensor::of(site, Nest { partitions: nest.partitions, flat })
        })
    }
}

impl StringTensor {
    /// The n-grams along the last axis; see [`RaggedTensor::ngrams`].
    #[track_caller]
    pub fn ngrams(&self, options: &NgramOptions) -> StringTensor {
        let site = Site::new("strings.ngrams");
        site.settle(|| {
            self.check()?;
            options.check(site)?;
            let Some((length, outer)) = self.shape().split_last() else {
                return Err(site.error("expected at least one axis, received a single string"));
            };
            let rows = site.count(outer)?;
            let row = |row: usize| options.of_row(&self.elements()[row * length..(row + 1) * length]);
            let made: Vec<Vec<String>> = (0..rows).map(row).collect();
            let blank = vec![String::new(); *length];
            let count = made.first().map_or_else(|| options.of_row(&blank).len(), Vec::len);
            Ok(StringTensor::made(made.concat(), [outer, &[count]].concat()))
        })
    }
}
