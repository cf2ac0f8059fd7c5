//! From flat values and how they are divided.

use super::{Nest, Partition, RaggedOrDense, RaggedTensor, partition};
use crate::error::Result;
use crate::site::Site;
use crate::tensor::{Element, Tensor};
use crate::text::StringTensor;
use crate::values::Values;

impl<V: Values> RaggedTensor<V> {
    /// Values divided by one partition.
    fn divide(
        site: Site,
        values: RaggedOrDense<V>,
        partition: impl FnOnce(usize) -> Result<Partition>,
    ) -> RaggedTensor<V> {
        site.settle(|| {
            let inner = values.nest(site)?;
            let partition = partition(inner.rows())?;
            RaggedTensor::of(site, inner.divided(partition))
        })
    }

    /// Row `i` holds `values[splits[i]..splits[i + 1]]`. The values may be ragged themselves.
    ///
    /// Carries an error where the splits do not start at 0, descend, or do not end at the number of values.
    #[track_caller]
    pub fn from_row_splits(values: impl Into<RaggedOrDense<V>>, splits: &[i32]) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_row_splits");
        RaggedTensor::divide(site, values.into(), |items| Partition::of_splits(site, splits.to_vec(), items))
    }

    /// Rows of the lengths given, behind one another.
    ///
    /// Carries an error where a length is negative or they do not add up to the number of values.
    #[track_caller]
    pub fn from_row_lengths(values: impl Into<RaggedOrDense<V>>, lengths: &[i32]) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_row_lengths");
        RaggedTensor::divide(site, values.into(), |items| {
            let sum: i64 = lengths.iter().map(|length| *length as i64).sum();
            site.expect(lengths.iter().all(|length| *length >= 0) && sum == items as i64, || {
                format!("expected row lengths of 0 or more that add up to {items}, received {lengths:?}")
            })?;
            Partition::of_lengths(site, lengths.iter().map(|length| *length as usize))
        })
    }

    /// The row of every value, ascending; there are `rows` of them, or as many as the last one tells.
    #[track_caller]
    pub fn from_value_rowids(
        values: impl Into<RaggedOrDense<V>>,
        rowids: &[i32],
        rows: Option<usize>,
    ) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_value_rowids");
        RaggedTensor::divide(site, values.into(), |items| {
            site.expect(rowids.len() == items, || {
                format!("expected a row id for each of {items} values, received {}", rowids.len())
            })?;
            let rows = partition::check_ids(site, rowids, rows)?;
            Partition::of_splits(site, partition::splits_of_ids(rowids, rows), items)
        })
    }

    /// Row `i` starts at `starts[i]`, which ascend from 0; it ends where the next starts.
    #[track_caller]
    pub fn from_row_starts(values: impl Into<RaggedOrDense<V>>, starts: &[i32]) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_row_starts");
        RaggedTensor::divide(site, values.into(), |items| {
            let splits = [starts, &[site.index(items)?]].concat();
            Partition::of_splits(site, splits, items)
        })
    }

    /// Row `i` ends at `limits[i]`, which ascend to the number of values; it starts where the last one ends.
    #[track_caller]
    pub fn from_row_limits(values: impl Into<RaggedOrDense<V>>, limits: &[i32]) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_row_limits");
        RaggedTensor::divide(site, values.into(), |items| {
            Partition::of_splits(site, [&[0], limits].concat(), items)
        })
    }

    /// Rows of one length. `rows` says how many where the length is 0.
    #[track_caller]
    pub fn from_uniform_row_length(
        values: impl Into<RaggedOrDense<V>>,
        length: usize,
        rows: Option<usize>,
    ) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_uniform_row_length");
        RaggedTensor::divide(site, values.into(), |items| {
            let rows = rows.unwrap_or_else(|| items.checked_div(length).unwrap_or(0));
            site.expect(rows.checked_mul(length) == Some(items), || {
                format!("expected {items} values in rows of {length}, received {rows} rows")
            })?;
            Partition::uniform(site, rows, length)
        })
    }

    /// Flat values under row splits of every ragged axis, the outermost first.
    #[track_caller]
    pub fn from_nested_row_splits<S: AsRef<[i32]>>(flat: V, splits: &[S]) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_nested_row_splits");
        RaggedTensor::nested(site, flat, splits.len(), |level, items| {
            Partition::of_splits(site, splits[level].as_ref().to_vec(), items)
        })
    }

    /// Flat values under row lengths of every ragged axis, the outermost first.
    #[track_caller]
    pub fn from_nested_row_lengths<S: AsRef<[i32]>>(flat: V, lengths: &[S]) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_nested_row_lengths");
        RaggedTensor::nested(site, flat, lengths.len(), |level, items| {
            let lengths = lengths[level].as_ref();
            let sum: i64 = lengths.iter().map(|length| *length as i64).sum();
            site.expect(lengths.iter().all(|length| *length >= 0) && sum == items as i64, || {
                format!("expected row lengths of 0 or more that add up to {items}, received {lengths:?}")
            })?;
            Partition::of_lengths(site, lengths.iter().map(|length| *length as usize))
        })
    }

    /// Flat values under the rows of the values of every ragged axis, the outermost first, and the numbers of rows where
    /// they are more than the last id tells.
    #[track_caller]
    pub fn from_nested_value_rowids<S: AsRef<[i32]>>(
        flat: V,
        rowids: &[S],
        rows: Option<&[usize]>,
    ) -> RaggedTensor<V> {
        let site = Site::new("ragged.from_nested_value_rowids");
        if let Some(rows) = rows.filter(|rows| rows.len() != rowids.len()) {
            let message =
                format!("expected {} numbers of rows, one for each axis, received {rows:?}", rowids.len());
            return site.settle(|| Err(site.error(message)));
        }
        RaggedTensor::nested(site, flat, rowids.len(), |level, items| {
            let ids = rowids[level].as_ref();
            site.expect(ids.len() == items, || {
                format!("expected a row id for each of {items} values, received {}", ids.len())
            })?;
            let count = partition::check_ids(site, ids, rows.map(|rows| rows[level]))?;
            Partition::of_splits(site, partition::splits_of_ids(ids, count), items)
        })
    }

    fn nested(
        site: Site,
        flat: V,
        levels: usize,
        partition: impl Fn(usize, usize) -> Result<Partition>,
    ) -> RaggedTensor<V> {
        site.settle(|| {
            if let Some(error) = flat.fault() {
                return Err(error.clone());
            }
            site.expect(levels > 0 && !flat.dims().is_empty(), || {
                format!("expected at least one ragged axis and values of one axis, received {levels} of them")
            })?;
            let mut nest = Nest::dense(flat);
            for level in (0..levels).rev() {
                let partition = partition(level, nest.rows())?;
                nest = nest.divided(partition);
            }
            RaggedTensor::of(site, nest)
        })
    }
}

/// Numbers and strings that stand in [`NestedRows`].
pub trait RowScalar: Sized {
    /// The tensor of these: a `Tensor`, or a `StringTensor`.
    type Values: Values;

    /// A vector of scalars.
    fn vector(scalars: &[Self]) -> Self::Values;
}

/// Vectors of vectors, to any depth, of numbers or strings.
pub trait NestedRows {
    /// What the innermost vectors hold.
    type Scalar: RowScalar + Clone;
    /// How deep the vectors are nested; 0 for a scalar.
    const DEPTH: usize;

    /// Adds the lengths of this and what it holds to `lengths` (of `DEPTH` levels), and the scalars to `flat`.
    fn collect(&self, lengths: &mut [Vec<i32>], flat: &mut Vec<Self::Scalar>);
}

macro_rules! scalar {
    ($($type:ty),*) => { $(
        impl RowScalar for $type {
            type Values = Tensor;

            #[track_caller]
            fn vector(scalars: &[$type]) -> Tensor {
                Tensor::from_vec(scalars, &[scalars.len()])
            }
        }

        impl NestedRows for $type {
            type Scalar = $type;
            const DEPTH: usize = 0;

            fn collect(&self, _: &mut [Vec<i32>], flat: &mut Vec<$type>) {
                flat.push(*self);
            }
        }
    )* };
}
scalar!(f32, f64, half::f16, half::bf16, i32, i64, u32, u8, bool);

macro_rules! text {
    ($([$($life:lifetime)?] $type:ty),*) => { $(
        impl$(<$life>)? RowScalar for $type {
            type Values = StringTensor;

            fn vector(scalars: &[$type]) -> StringTensor {
                StringTensor::made(scalars.iter().map(|s| s.to_string()).collect(), vec![scalars.len()])
            }
        }

        impl$(<$life>)? NestedRows for $type {
            type Scalar = $type;
            const DEPTH: usize = 0;

            fn collect(&self, _: &mut [Vec<i32>], flat: &mut Vec<$type>) {
                flat.push(self.clone());
            }
        }
    )* };
}
text!(['a] &'a str, [] String);

fn collect_all<N: NestedRows>(rows: &[N], lengths: &mut [Vec<i32>], flat: &mut Vec<N::Scalar>) {
    if let Some((first, rest)) = lengths.split_first_mut() {
        // A length past `i32` fails where the partitions are made: the lengths then do not add up.
        first.push(i32::try_from(rows.len()).unwrap_or(i32::MAX));
        rows.iter().for_each(|row| row.collect(rest, flat));
    }
}

impl<N: NestedRows> NestedRows for Vec<N> {
    type Scalar = N::Scalar;
    const DEPTH: usize = N::DEPTH + 1;

    fn collect(&self, lengths: &mut [Vec<i32>], flat: &mut Vec<N::Scalar>) {
        collect_all(self, lengths, flat);
    }
}

impl<N: NestedRows> NestedRows for &[N] {
    type Scalar = N::Scalar;
    const DEPTH: usize = N::DEPTH + 1;

    fn collect(&self, lengths: &mut [Vec<i32>], flat: &mut Vec<N::Scalar>) {
        collect_all(self, lengths, flat);
    }
}

impl<N: NestedRows, const L: usize> NestedRows for [N; L] {
    type Scalar = N::Scalar;
    const DEPTH: usize = N::DEPTH + 1;

    fn collect(&self, lengths: &mut [Vec<i32>], flat: &mut Vec<N::Scalar>) {
        collect_all(self, lengths, flat);
    }
}

/// The ragged tensor of nested vectors: every level below the outermost is a ragged axis.
///
/// ```
/// use kiln_graph::ragged;
/// let names = ragged::constant(&[vec!["a", "b"], vec![], vec!["c"]]);
/// assert_eq!(names.row_lengths(), [2, 0, 1]);
/// ```
#[track_caller]
pub fn constant<N: NestedRows>(rows: &[N]) -> RaggedTensor<<N::Scalar as RowScalar>::Values> {
    let site = Site::new("ragged.constant");
    site.settle(|| {
        site.expect(N::DEPTH >= 1, || "expected vectors of vectors, received a vector".to_owned())?;
        let mut lengths = vec![vec![]; N::DEPTH];
        let mut flat = vec![];
        rows.iter().for_each(|row| row.collect(&mut lengths, &mut flat));
        let mut nest = Nest::dense(N::Scalar::vector(&flat));
        for level in lengths.iter().rev() {
            let partition = Partition::of_lengths(site, level.iter().map(|length| *length as usize))?;
            site.expect(partition.items() == nest.rows(), || "rows have too many items".to_owned())?;
            nest = nest.divided(partition);
        }
        RaggedTensor::of(site, nest)
    })
}

impl<E: Element> From<&[E]> for RaggedOrDense {
    #[track_caller]
    fn from(values: &[E]) -> RaggedOrDense {
        RaggedOrDense::Dense(Tensor::from_slice(values))
    }
}

impl From<&Tensor> for RaggedOrDense {
    fn from(values: &Tensor) -> RaggedOrDense {
        RaggedOrDense::Dense(values.clone())
    }
}

impl<V: Clone> From<&RaggedTensor<V>> for RaggedOrDense<V> {
    fn from(ragged: &RaggedTensor<V>) -> RaggedOrDense<V> {
        RaggedOrDense::Ragged(ragged.clone())
    }
}

impl From<&StringTensor> for RaggedOrDense<StringTensor> {
    fn from(values: &StringTensor) -> RaggedOrDense<StringTensor> {
        RaggedOrDense::Dense(values.clone())
    }
}
