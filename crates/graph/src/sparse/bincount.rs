//! Counts of values.

use std::collections::BTreeMap;

use kiln_device::{DType, ReduceOp};

use super::{Coordinates, SparseTensor};
use crate::error::Result;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::{Items, fold_segments};

/// How values are counted.
#[derive(Clone, Debug, Default)]
pub struct BincountOptions {
    /// Counts of every row of the last axis on its own, where true (`axis = -1`); else of all values together.
    pub by_row: bool,
    /// The result has at least so many bins.
    pub minlength: Option<usize>,
    /// Values from here on are not counted.
    pub maxlength: Option<usize>,
    /// 1 for every value that occurs, instead of its count.
    pub binary_output: bool,
}

/// What is counted: values with the row each stands in.
pub(crate) struct Bins<'a> {
    pub(crate) rows: Vec<i32>,
    pub(crate) values: Vec<i32>,
    /// The number of rows, where rows are counted on their own.
    pub(crate) row_count: Option<usize>,
    /// A weight for every value.
    pub(crate) weights: Option<&'a Tensor>,
}

/// How often each value of an integer tensor occurs, as a sparse tensor over values `[bins]`, or `[rows, bins]` where
/// `by_row`. With `weights`, of the shape of `values`, the sum of the weights. The values are read at once.
///
/// ```
/// use kiln_graph::{Tensor, sparse};
/// let counts = sparse::bincount(&Tensor::from_slice(&[1, 3, 1]), None, &Default::default());
/// assert_eq!(counts.to_dense(0).to_vec::<i32>()?, [0, 2, 0, 1]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn bincount(values: &Tensor, weights: Option<&Tensor>, options: &BincountOptions) -> SparseTensor {
    let site = Site::new("sparse.bincount");
    site.settle(|| {
        values.check()?;
        site.expect((1..=2).contains(&values.rank()) || !options.by_row, || {
            format!("expected rank 1 or 2 to count by row, received shape {:?}", values.shape())
        })?;
        if let Some(weights) = weights {
            weights.check()?;
            site.expect(weights.shape() == values.shape(), || {
                format!("expected weights of shape {:?}, received {:?}", values.shape(), weights.shape())
            })?;
        }
        let numbers = site.integers(values)?;
        let by_row = options.by_row && values.rank() == 2;
        let width = if by_row { values.shape()[1].max(1) } else { numbers.len().max(1) };
        let bins = Bins {
            rows: (0..numbers.len()).map(|i| (i / width) as i32).collect(),
            values: numbers,
            row_count: by_row.then(|| values.shape()[0]),
            weights,
        };
        counted(site, &bins, options)
    })
}

impl SparseTensor {
    /// How often each value occurs among the stored entries; see [`bincount`]. `weights` is a vector, one for each entry.
    #[track_caller]
    pub fn bincount(&self, weights: Option<&Tensor>, options: &BincountOptions) -> SparseTensor {
        let site = Site::new("sparse.bincount");
        site.settle(|| {
            self.check()?;
            let by_row = options.by_row && self.rank() == 2;
            site.expect(self.rank() <= 2 || !options.by_row, || {
                format!("expected rank 1 or 2 to count by row, received shape {:?}", self.shape())
            })?;
            let bins = Bins {
                rows: if by_row { self.places.column(0) } else { vec![0; self.entries()] },
                values: site.integers(&self.values)?,
                row_count: by_row.then(|| self.shape()[0]),
                weights,
            };
            counted(site, &bins, options)
        })
    }
}

/// The counts or sums of weights, in row-major order.
pub(crate) fn counted(site: Site, bins: &Bins<'_>, options: &BincountOptions) -> Result<SparseTensor> {
    if let Some(value) = bins.values.iter().find(|value| **value < 0) {
        return Err(site.error(format!("expected values of 0 or more, received {value}")));
    }
    if let Some(weights) = bins.weights {
        weights.check()?;
        site.expect(!options.binary_output, || {
            "weights and binary_output exclude each other; leave one out".to_owned()
        })?;
        site.expect(weights.len() == bins.values.len(), || {
            format!("expected {} weights, received shape {:?}", bins.values.len(), weights.shape())
        })?;
    }
    let below = options.maxlength.unwrap_or(usize::MAX);
    let mut found: BTreeMap<(i32, i32), Vec<i32>> = BTreeMap::new();
    for (i, (row, value)) in bins.rows.iter().zip(&bins.values).enumerate() {
        if (*value as usize) < below {
            found.entry((*row, *value)).or_default().push(i as i32);
        }
    }
    let most = bins.values.iter().max().map_or(0, |value| *value as usize + 1);
    let length = most.max(options.minlength.unwrap_or(0)).min(below);
    let flat: Vec<i32> = match bins.row_count {
        Some(_) => found.keys().flat_map(|(row, value)| [*row, *value]).collect(),
        None => found.keys().map(|(_, value)| *value).collect(),
    };
    let shape = bins.row_count.map_or_else(|| vec![length], |rows| vec![rows, length]);
    let values = match bins.weights {
        Some(weights) => {
            let members: Vec<i32> = found.values().flatten().copied().collect();
            let groups: Vec<i32> =
                (0i32..).zip(found.values()).flat_map(|(i, m)| std::iter::repeat_n(i, m.len())).collect();
            let flat = weights.reshape_at(vec![weights.len()], site.at).pick(&members, site.at);
            site.part(fold_segments(&flat, &groups, found.len(), ReduceOp::Sum, site.at))?
        }
        None if options.binary_output => Tensor::full(&[found.len()], 1.0, DType::I32),
        None => Tensor::from_slice(&found.values().map(|m| m.len() as i32).collect::<Vec<i32>>()),
    };
    SparseTensor::with_places(site, Coordinates::checked(site, flat, shape)?.into(), values)
}
