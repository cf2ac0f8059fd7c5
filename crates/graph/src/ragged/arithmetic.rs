//! Elementwise operations: on flat values, and between tensors that broadcast.

use std::sync::Arc;

use kiln_device::DType;

use super::{Nest, Partition, RaggedOrDense, RaggedTensor};
use crate::error::{At, Result};
use crate::ops::Operand;
use crate::site::Site;
use crate::tensor::{Tensor, here};
use crate::values::{Items, Values, is_identity};

impl<V: Values> RaggedTensor<V> {
    /// `change` of the flat values, under the same partitions: any elementwise function, or one that keeps the number of
    /// items along the first axis.
    ///
    /// ```
    /// use kiln_graph::{Tensor, ragged};
    /// let tokens = ragged::constant(&[vec![2, 0], vec![1]]);
    /// let table = Tensor::from_vec(&[0.0f32, 0.5, 1.0, 1.5, 2.0, 2.5], &[3, 2]);
    /// let embedded = tokens.map_flat_values(|ids| table.take(ids, 0));
    /// assert_eq!(embedded.shape(), [Some(2), None, Some(2)]);
    /// ```
    #[track_caller]
    pub fn map_flat_values<W: Values>(&self, change: impl FnOnce(&V) -> W) -> RaggedTensor<W> {
        let site = Site::new("ragged.map_flat_values");
        site.settle(|| {
            self.check()?;
            self.with_flat(site, change(self.flat_values()))
        })
    }
}

/// `change` of the flat values of several ragged tensors with the same partitions.
///
/// ```
/// use kiln_graph::ragged;
/// let a = ragged::constant(&[vec![1.0f32, 4.0], vec![9.0]]);
/// let b = ragged::map_flat_values(&[&a, &a.map_flat_values(|v| v.sqrt())], |flat| &flat[0] / &flat[1]);
/// assert_eq!(b.to_rows::<f32>()?, [vec![1.0, 2.0], vec![3.0]]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn map_flat_values<V: Values, W: Values>(
    tensors: &[&RaggedTensor<V>],
    change: impl FnOnce(&[V]) -> W,
) -> RaggedTensor<W> {
    let site = Site::new("ragged.map_flat_values");
    site.settle(|| {
        let Some(first) = tensors.first() else {
            return Err(site.error("expected at least one ragged tensor, received none"));
        };
        for other in tensors {
            other.check()?;
            site.expect(other.nested_row_splits() == first.nested_row_splits(), || {
                "expected the same row splits in every tensor, received different ones; `zip_with` broadcasts"
                    .into()
            })?;
        }
        let flat: Vec<V> = tensors.iter().map(|tensor| tensor.flat_values().clone()).collect();
        first.with_flat(site, change(&flat))
    })
}

/// What meets a ragged tensor elementwise: a ragged or dense tensor, or a number.
pub trait RaggedOperand {
    /// As a tensor that meets another of dtype `with`.
    fn meeting(&self, with: DType, at: At) -> RaggedOrDense;
}

impl RaggedOperand for RaggedTensor {
    fn meeting(&self, _: DType, _: At) -> RaggedOrDense {
        RaggedOrDense::Ragged(self.clone())
    }
}

impl RaggedOperand for &RaggedTensor {
    fn meeting(&self, _: DType, _: At) -> RaggedOrDense {
        RaggedOrDense::Ragged((*self).clone())
    }
}

impl RaggedOperand for RaggedOrDense {
    fn meeting(&self, _: DType, _: At) -> RaggedOrDense {
        self.clone()
    }
}

macro_rules! dense_operand {
    ($($type:ty),*) => { $(
        impl RaggedOperand for $type {
            fn meeting(&self, with: DType, at: At) -> RaggedOrDense {
                RaggedOrDense::Dense(self.tensor(with, at))
            }
        }
    )* };
}
dense_operand!(Tensor, &Tensor, f32, f64, i32, i64);

impl RaggedTensor {
    /// `meet` of the values of two tensors that broadcast, as NumPy's do: axes are aligned from the last, and rows of one
    /// axis must have equal lengths, or the axis has extent 1 on one side (a uniform axis: rows that only happen to hold
    /// one item do not broadcast).
    ///
    /// ```
    /// use kiln_graph::{Tensor, ragged};
    /// let rows = ragged::constant(&[vec![1, 5], vec![3]]);
    /// let limits = Tensor::from_vec([2, 4], &[2, 1]);
    /// let cut = rows.zip_with(limits, |a, b| a.minimum(b));
    /// assert_eq!(cut.to_rows::<i32>()?, [vec![1, 2], vec![3]]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn zip_with(
        &self,
        other: impl RaggedOperand,
        meet: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    ) -> RaggedTensor {
        self.zip(Site::new("ragged.zip_with"), &other, meet)
    }

    pub(crate) fn zip(
        &self,
        site: Site,
        other: &impl RaggedOperand,
        meet: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    ) -> RaggedTensor {
        site.settle(|| {
            self.check()?;
            let other = other.meeting(self.dtype(), site.at);
            if let Some(error) = other.error() {
                return Err(error.clone());
            }
            let (partitions, flat) = match other {
                RaggedOrDense::Ragged(ragged) => (ragged.nest.partitions, ragged.nest.flat),
                RaggedOrDense::Dense(values) => (vec![], values),
            };
            let same = partitions.len() == self.ragged_rank()
                && partitions.iter().zip(&self.nest().partitions).all(|(a, b)| a.splits() == b.splits());
            if (same && flat.rank() == self.flat_values().rank())
                || (partitions.is_empty() && flat.rank() == 0)
            {
                return self.with_flat(site, meet(self.flat_values(), &flat));
            }
            let nest = Nest { partitions, flat };
            let (rank, depth) = (self.rank().max(nest.rank()), self.ragged_rank().max(nest.partitions.len()));
            // Where a rank grows, ragged axes move inwards.
            let moved = |nest: &Nest<Tensor>| {
                if nest.partitions.is_empty() { 0 } else { nest.partitions.len() + rank - nest.rank() }
            };
            let depth = depth.max(moved(self.nest())).max(moved(&nest));
            let (left, right) =
                (aligned(self.nest(), rank, depth, site)?, aligned(&nest, rank, depth, site)?);
            let (partitions, a, b) = paired(&left, &right, site)?;
            let spread = |nest: &Nest<Tensor>, items: &[i32]| {
                // A single item broadcasts by itself.
                if nest.flat.shape()[0] == 1 && !is_identity(items, 1) {
                    return nest.flat.clone();
                }
                nest.flat.pick(items, site.at)
            };
            let flat = site.part(meet(&spread(&left, &a), &spread(&right, &b)))?;
            let items = a.len();
            site.expect(flat.shape().first() == Some(&items), || {
                format!(
                    "expected a result with {items} items along the first axis, received {:?}",
                    flat.shape()
                )
            })?;
            RaggedTensor::of(site, Nest { partitions, flat })
        })
    }
}

/// A tensor with axes of extent 1 before its own up to `rank`, and with `depth` partitions.
fn aligned(nest: &Nest<Tensor>, rank: usize, depth: usize, site: Site) -> Result<Nest<Tensor>> {
    let mut nest = nest.clone();
    if nest.partitions.is_empty() {
        let shape = [&vec![1; rank - nest.rank()], nest.flat.shape()].concat();
        nest.flat = nest.flat.reshape_at(shape, site.at);
    }
    while nest.rank() < rank {
        nest = nest.expanded(0, site)?;
    }
    nest.with_partitions(depth, site)
}

/// Partitions, and the item of each side at every place.
type Pairs = (Vec<Arc<Partition>>, Vec<i32>, Vec<i32>);

/// What two nests of equal depth broadcast to.
fn paired(left: &Nest<Tensor>, right: &Nest<Tensor>, site: Site) -> Result<Pairs> {
    // An extent of 1 that is promised broadcasts; a row that happens to hold one item does not.
    let meet = |axis: usize, (a, a_spreads): (usize, bool), (b, b_spreads): (usize, bool)| {
        let spread = if a == 1 && a_spreads { Some(b) } else { (b == 1 && b_spreads).then_some(a) };
        spread.or((a == b).then_some(a)).ok_or_else(|| {
            site.error(format!(
                "expected rows of equal lengths, or an extent of 1 on one side, received {a} and {b} along axis {axis}"
            ))
        })
    };
    let item = |start: i32, length: usize, i: usize| if length == 1 { start } else { start + i as i32 };
    let count = meet(0, (left.rows(), true), (right.rows(), true))?;
    let mut a: Vec<i32> = (0..count).map(|i| item(0, left.rows(), i)).collect();
    let mut b: Vec<i32> = (0..count).map(|i| item(0, right.rows(), i)).collect();
    let mut partitions = vec![];
    for (level, (p, q)) in left.partitions.iter().zip(&right.partitions).enumerate() {
        let (mut lengths, mut next_a, mut next_b) = (vec![], vec![], vec![]);
        let (p_spreads, q_spreads) = (p.uniform_length() == Some(1), q.uniform_length() == Some(1));
        for (row_a, row_b) in a.iter().zip(&b) {
            let (in_a, in_b) = (p.row(*row_a as usize), q.row(*row_b as usize));
            let length = meet(level + 1, (in_a.len(), p_spreads), (in_b.len(), q_spreads))?;
            lengths.push(length);
            next_a.extend((0..length).map(|i| item(in_a.start, in_a.len(), i)));
            next_b.extend((0..length).map(|i| item(in_b.start, in_b.len(), i)));
        }
        let uniform = match (p.uniform_length(), q.uniform_length()) {
            (Some(a), Some(b)) => meet(level + 1, (a, true), (b, true)).ok(),
            _ => None,
        };
        partitions.push(Arc::new(Partition::of_lengths(site, lengths)?.promised(uniform)));
        (a, b) = (next_a, next_b);
    }
    Ok((partitions, a, b))
}

macro_rules! operator {
    ($($trait:ident $method:ident;)*) => { $(
        operator!(@one $trait $method, &RaggedTensor);
        operator!(@one $trait $method, &Tensor);
        operator!(@one $trait $method, f64);
        operator!(@one $trait $method, i32);
        operator!(@left $trait $method, f64);
        operator!(@left $trait $method, i32);
        operator!(@left $trait $method, &Tensor);
    )* };
    (@one $trait:ident $method:ident, $other:ty) => {
        impl std::ops::$trait<$other> for &RaggedTensor {
            type Output = RaggedTensor;
            #[track_caller]
            fn $method(self, other: $other) -> RaggedTensor {
                let site = Site { op: concat!("ragged.", stringify!($method)), at: here() };
                self.zip(site, &other, |a, b| std::ops::$trait::$method(a, b))
            }
        }
    };
    (@left $trait:ident $method:ident, $other:ty) => {
        impl std::ops::$trait<&RaggedTensor> for $other {
            type Output = RaggedTensor;
            #[track_caller]
            fn $method(self, other: &RaggedTensor) -> RaggedTensor {
                let site = Site { op: concat!("ragged.", stringify!($method)), at: here() };
                other.zip(site, &self, |b, a| std::ops::$trait::$method(a, b))
            }
        }
    };
}

operator! {
    Add add;
    Sub sub;
    Mul mul;
    Div div;
    Rem rem;
}

impl std::ops::Neg for &RaggedTensor {
    type Output = RaggedTensor;
    #[track_caller]
    fn neg(self) -> RaggedTensor {
        self.map_flat_values(|values| -values)
    }
}
