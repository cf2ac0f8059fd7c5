//! Updates at an index: new tensors that differ from another in some elements.

use kiln_device::{DType, ReduceOp, ScatterOp};

use super::Operand;
use super::choose::{Block, Choice};
use super::indexing::{Index, IndexItem, Span};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// A tensor at an index, from [`Tensor::at`]: each method gives a new tensor in which the elements there are updated.
///
/// The values broadcast to the shape of the elements and take the tensor's dtype. Where an index tensor names an element
/// twice, the last value stays for `set`; the other methods fold in all of them.
#[derive(Clone, Debug)]
#[must_use]
pub struct Indexed<'x> {
    x: &'x Tensor,
    index: Index,
}

impl Tensor {
    /// The tensor at an index, for an update of the elements there; all that [`Tensor::index`] takes.
    ///
    /// ```
    /// use kiln_graph::{Tensor, s};
    /// let x = Tensor::range(6).reshape(&[2, 3]);
    /// assert_eq!(x.at((.., 1)).set(0).to_vec::<i32>()?, [0, 0, 2, 3, 0, 5]);
    /// assert_eq!(x.at(s![0, ::2]).add(10).to_vec::<i32>()?, [10, 1, 12, 3, 4, 5]);
    /// assert_eq!(x.at((0, [1, 1])).add(1).to_vec::<i32>()?, [0, 3, 2, 3, 4, 5]);
    /// assert_eq!(x.at(x.greater(3)).multiply(-1).to_vec::<i32>()?, [0, 1, 2, 3, -4, -5]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    pub fn at(&self, index: impl Into<Index>) -> Indexed<'_> {
        Indexed { x: self, index: index.into() }
    }
}

impl Indexed<'_> {
    /// The elements replaced by the values.
    #[track_caller]
    pub fn set(&self, values: impl Operand) -> Tensor {
        self.update(values, ScatterOp::Set, here())
    }

    /// The values added.
    #[track_caller]
    pub fn add(&self, values: impl Operand) -> Tensor {
        self.update(values, ScatterOp::Fold(ReduceOp::Sum), here())
    }

    /// The elements multiplied by the values.
    #[doc(alias = "mul")]
    #[track_caller]
    pub fn multiply(&self, values: impl Operand) -> Tensor {
        self.update(values, ScatterOp::Fold(ReduceOp::Prod), here())
    }

    /// The smaller of elements and values; NaN if either is.
    #[doc(alias("reduce_min", "amin"))]
    #[track_caller]
    pub fn min(&self, values: impl Operand) -> Tensor {
        self.update(values, ScatterOp::Fold(ReduceOp::Min), here())
    }

    /// The larger of elements and values; NaN if either is.
    #[doc(alias("reduce_max", "amax"))]
    #[track_caller]
    pub fn max(&self, values: impl Operand) -> Tensor {
        self.update(values, ScatterOp::Fold(ReduceOp::Max), here())
    }

    fn update(&self, values: impl Operand, op: ScatterOp, at: At) -> Tensor {
        let values = values.tensor(self.x.dtype(), at).cast_at(self.x.dtype(), at);
        self.written(&values, op, at).part_of("at", at, &[self.x.clone(), values])
    }

    fn written(&self, values: &Tensor, op: ScatterOp, at: At) -> Tensor {
        let x = self.x;
        if let Some(failed) = super::arrange::failed_among([x, values]) {
            return failed;
        }
        if x.dtype() == DType::Bool && op != ScatterOp::Set {
            return Tensor::failed("at", "expected numbers to fold into, received bool; use set".into(), at);
        }
        if let (Some(mask), 0) = (self.mask(), values.rank()) {
            // One value for all that a mask marks needs no list of places, so it can be traced.
            let folded = match op {
                ScatterOp::Set => values.broadcast_at(x.shape(), at),
                ScatterOp::Fold(fold) => folded(fold, x, values),
            };
            return Tensor::select(&mask, folded, x);
        }
        let write = |x: &Tensor, block: &Block| match op {
            ScatterOp::Set => block.set(x, at),
            ScatterOp::Fold(fold) => folded(fold, x, &block.placed(x.shape(), identity(fold), at)),
        };
        match Choice::new(x, &self.index, "at", at) {
            Ok(choice) => choice.update(x, values, op, &write),
            Err(failed) => failed,
        }
    }

    /// The mask, if the index is one and nothing else, with axes to broadcast against the tensor.
    fn mask(&self) -> Option<Tensor> {
        let is_rest = |i: &IndexItem| matches!(i, IndexItem::Ellipsis | IndexItem::Span(Span::ALL));
        let [IndexItem::Tensor(mask), rest @ ..] = &self.index.items[..] else { return None };
        let spans = rest.iter().filter(|i| matches!(i, IndexItem::Span(_))).count();
        let fits = mask.dtype() == DType::Bool
            && rest.iter().all(is_rest)
            && rest.len() <= spans + 1
            && mask.rank() + spans <= self.x.rank()
            && mask.shape() == &self.x.shape()[..mask.rank()];
        fits.then(|| {
            let trailing = vec![1; self.x.rank() - mask.rank()];
            mask.reshape_at([mask.shape(), &trailing].concat(), mask.node.at)
        })
    }
}

fn folded(fold: ReduceOp, x: &Tensor, values: &Tensor) -> Tensor {
    match fold {
        ReduceOp::Sum => x + values,
        ReduceOp::Prod => x * values,
        ReduceOp::Max => x.maximum(values),
        ReduceOp::Min => x.minimum(values),
    }
}

/// What changes no element; limits of a type saturate.
fn identity(fold: ReduceOp) -> f64 {
    match fold {
        ReduceOp::Sum => -0.0,
        ReduceOp::Prod => 1.0,
        ReduceOp::Max => f64::NEG_INFINITY,
        ReduceOp::Min => f64::INFINITY,
    }
}
