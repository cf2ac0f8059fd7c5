//! How items are divided into rows: host data.

use crate::error::Result;
use crate::site::Site;
use crate::tensor::Tensor;

/// Row `i` holds items `splits[i]..splits[i + 1]`; `uniform` is every row's length where that is promised.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Partition {
    splits: Vec<i32>,
    uniform: Option<usize>,
}

impl Partition {
    /// Checks splits that came from outside.
    pub(crate) fn of_splits(site: Site, splits: Vec<i32>, items: usize) -> Result<Partition> {
        check_splits(site, &splits, items)?;
        Ok(Partition { splits, uniform: None })
    }

    /// Rows of the lengths given.
    pub(crate) fn of_lengths(site: Site, lengths: impl IntoIterator<Item = usize>) -> Result<Partition> {
        let mut splits = vec![0];
        let mut end = 0usize;
        for length in lengths {
            end = end.saturating_add(length);
            splits.push(site.index(end)?);
        }
        Ok(Partition { splits, uniform: None })
    }

    /// `rows` rows of one length.
    pub(crate) fn uniform(site: Site, rows: usize, length: usize) -> Result<Partition> {
        site.index(site.count(&[rows, length])?)?;
        let splits = (0..=rows).map(|row| (row * length) as i32).collect();
        Ok(Partition { splits, uniform: Some(length) })
    }

    /// The same rows, whose lengths are known to be `length`.
    pub(crate) fn promised(self, uniform: Option<usize>) -> Partition {
        Partition { uniform, ..self }
    }

    pub(crate) fn splits(&self) -> &[i32] {
        &self.splits
    }

    pub(crate) fn uniform_length(&self) -> Option<usize> {
        self.uniform
    }

    pub(crate) fn rows(&self) -> usize {
        self.splits.len() - 1
    }

    pub(crate) fn items(&self) -> usize {
        self.splits.last().map_or(0, |end| *end as usize)
    }

    /// The items of a row.
    pub(crate) fn row(&self, row: usize) -> std::ops::Range<i32> {
        self.splits[row]..self.splits[row + 1]
    }

    pub(crate) fn length(&self, row: usize) -> usize {
        self.row(row).len()
    }

    pub(crate) fn lengths(&self) -> Vec<i32> {
        self.splits.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// The row of every item.
    pub(crate) fn ids(&self) -> Vec<i32> {
        ids_of_splits(&self.splits)
    }

    /// The length of the longest row.
    pub(crate) fn longest(&self) -> usize {
        self.lengths().into_iter().max().unwrap_or(0) as usize
    }
}

/// An error where splits do not start at 0, descend, or do not end at the number of items.
pub(crate) fn check_splits(site: Site, splits: &[i32], items: usize) -> Result<()> {
    let ascends = splits.windows(2).all(|pair| pair[0] <= pair[1]);
    let whole = splits.first() == Some(&0) && splits.last().is_some_and(|end| *end as usize == items);
    site.expect(ascends && whole, || {
        format!("expected row splits that start at 0, never descend and end at {items}, received {splits:?}")
    })
}

/// The row of every item.
pub(crate) fn ids_of_splits(splits: &[i32]) -> Vec<i32> {
    let row = |(id, pair): (i32, &[i32])| std::iter::repeat_n(id, (pair[1] - pair[0]) as usize);
    (0i32..).zip(splits.windows(2)).flat_map(row).collect()
}

/// The splits of ascending row ids in `0..rows`.
pub(crate) fn splits_of_ids(ids: &[i32], rows: usize) -> Vec<i32> {
    let mut splits = vec![0; rows + 1];
    ids.iter().for_each(|id| splits[*id as usize + 1] += 1);
    (0..rows).for_each(|row| splits[row + 1] += splits[row]);
    splits
}

/// The segment of every item, of row splits: `[0, 2, 2, 3]` gives `[0, 0, 2]`.
///
/// ```
/// use kiln_graph::ragged;
/// assert_eq!(ragged::row_splits_to_segment_ids(&[0, 2, 2, 3]).to_vec::<i32>()?, [0, 0, 2]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn row_splits_to_segment_ids(splits: &[i32]) -> Tensor {
    let site = Site::new("ragged.row_splits_to_segment_ids");
    site.settle(|| {
        check_splits(site, splits, splits.last().map_or(0, |end| *end as usize))?;
        Ok(Tensor::from_slice(&ids_of_splits(splits)))
    })
}

/// The row splits of segment ids, which ascend: `[0, 0, 2]` gives `[0, 2, 2, 3]`. There are `num_segments` of them, or as
/// many as the last id tells.
#[track_caller]
pub fn segment_ids_to_row_splits(segment_ids: &[i32], num_segments: Option<usize>) -> Tensor {
    let site = Site::new("ragged.segment_ids_to_row_splits");
    site.settle(|| {
        let rows = check_ids(site, segment_ids, num_segments)?;
        Ok(Tensor::from_slice(&splits_of_ids(segment_ids, rows)))
    })
}

/// The number of rows of row ids, which must ascend and lie below it.
pub(crate) fn check_ids(site: Site, ids: &[i32], rows: Option<usize>) -> Result<usize> {
    let descends = ids.windows(2).any(|pair| pair[0] > pair[1]);
    site.expect(!descends && ids.first().is_none_or(|id| *id >= 0), || {
        format!("expected row ids that ascend from 0 or more, received {ids:?}")
    })?;
    let least = ids.last().map_or(0, |id| *id as usize + 1);
    let rows = rows.unwrap_or(least);
    site.index(rows)?;
    site.expect(least <= rows, || format!("expected row ids below {rows}, received {}", least - 1))?;
    Ok(rows)
}
