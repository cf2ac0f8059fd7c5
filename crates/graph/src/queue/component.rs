//! What the components of a queue's elements are.

use kiln_device::DType;

use crate::values::Values;

/// What one component of every element is.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    dtype: Option<DType>,
    /// `None` where any shape will do; a `None` extent where that may differ.
    shape: Option<Vec<Option<usize>>>,
}

impl Component {
    /// Tensors of one shape.
    pub fn new(dtype: DType, shape: &[usize]) -> Component {
        Component { dtype: Some(dtype), shape: Some(shape.iter().map(|extent| Some(*extent)).collect()) }
    }

    /// Tensors of any shape, which cannot be dequeued in batches.
    pub fn any(dtype: DType) -> Component {
        Component { dtype: Some(dtype), shape: None }
    }

    /// Tensors whose `None` extents differ and are padded in batches of [`Queue::padding_fifo`](super::Queue::padding_fifo).
    pub fn padded(dtype: DType, shape: &[Option<usize>]) -> Component {
        Component { dtype: Some(dtype), shape: Some(shape.to_vec()) }
    }

    /// Strings of one shape, or of one whose `None` extents differ; `None` for any shape.
    pub fn text(shape: Option<&[Option<usize>]>) -> Component {
        Component { dtype: None, shape: shape.map(<[Option<usize>]>::to_vec) }
    }

    /// The type of numbers; `None` for strings.
    pub fn dtype(&self) -> Option<DType> {
        self.dtype
    }

    /// The shape, where it is promised.
    pub fn shape(&self) -> Option<&[Option<usize>]> {
        self.shape.as_deref()
    }

    pub(super) fn fits<V: Values>(&self, dims: &[usize], values: &V) -> bool {
        let extents = |shape: &Vec<Option<usize>>| {
            shape.len() == dims.len() && shape.iter().zip(dims).all(|(s, d)| s.is_none_or(|s| s == *d))
        };
        values.number_type() == self.dtype && self.shape.as_ref().is_none_or(extents)
    }
}
