//! Updates of some elements of a variable, in place. TensorFlow's names and rules.

use kiln_device::{DType, ReduceOp, ScatterOp};

use super::Variable;
use crate::error::{At, Error, Result};
use crate::evaluate::{step, stored_on};
use crate::ops::{self, Operand};
use crate::tensor::{Tensor, here};
use crate::trace;

use Change::{Divide, Subtract};

/// What an update does to elements.
#[derive(Clone, Copy)]
enum Change {
    Fold(ScatterOp),
    Subtract,
    Divide,
}

const SET: Change = Change::Fold(ScatterOp::Set);
const ADD: Change = Change::Fold(ScatterOp::Fold(ReduceOp::Sum));
const MULTIPLY: Change = Change::Fold(ScatterOp::Fold(ReduceOp::Prod));
const SMALLER: Change = Change::Fold(ScatterOp::Fold(ReduceOp::Min));
const LARGER: Change = Change::Fold(ScatterOp::Fold(ReduceOp::Max));

macro_rules! updates {
    ($($(#[$doc:meta])* $name:ident $change:ident $nd:literal;)*) => {
        /// Updates of some elements: `scatter_…` takes indices `[n..]` of rows and updates `[n.., rest..]`, `scatter_nd_…`
        /// indices `[n.., k]` of places on the first `k` axes. Updates broadcast to their shape and take the variable's
        /// dtype. Negative indices count from the end. Where a place is named several times, the last value stays, or all
        /// are folded in.
        ///
        /// Only the elements named are touched. Where an index is out of range nothing is, and the error comes from this
        /// call, in a function from its call; a GPU may report it at the next read. Inside a [`crate::Function`] they are
        /// assignments as all others, which take effect at its end.
        impl Variable { $(
            $(#[$doc])*
            ///
            /// # Errors
            /// Where shapes do not fit, the dtype has no such operation or an index is out of range.
            #[track_caller]
            pub fn $name(&self, indices: &Tensor, updates: impl Operand) -> Result<()> {
                let at = here();
                let places = if $nd { indices.clone() } else { indices.expand_dims(-1) };
                self.updated(&places, updates.tensor(self.dtype(), at), $change, stringify!($name), at)
            }
        )* }
    };
}

updates! {
    /// Rows replaced.
    ///
    /// ```
    /// use kiln_graph::{Tensor, Variable};
    /// let table = Variable::new(&Tensor::zeros(&[4, 2]))?;
    /// table.scatter_update(&Tensor::from_slice(&[1, 3]), 1.0)?;
    /// table.scatter_add(&Tensor::from_slice(&[3, 3]), &Tensor::from_slice(&[1.0f32, 10.0]))?;
    /// assert_eq!(table.read().to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 3.0, 21.0]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    scatter_update SET false;
    /// Added to rows.
    scatter_add ADD false;
    /// Subtracted from rows.
    scatter_sub Subtract false;
    /// Rows multiplied.
    scatter_mul MULTIPLY false;
    /// Rows divided; a multiplication by the reciprocal, within 1 ulp. Of float variables.
    scatter_div Divide false;
    /// The smaller of rows and updates.
    scatter_min SMALLER false;
    /// The larger of rows and updates.
    scatter_max LARGER false;
    /// Places replaced.
    scatter_nd_update SET true;
    /// Added at places.
    scatter_nd_add ADD true;
    /// Subtracted at places.
    scatter_nd_sub Subtract true;
    /// The smaller of places and updates.
    scatter_nd_min SMALLER true;
    /// The larger of places and updates.
    scatter_nd_max LARGER true;
}

impl Variable {
    /// Rows replaced in each of a batch: indices `[b.., n]` name rows of the axis after those of the batch, and updates
    /// have shape `[b.., n, rest..]`.
    ///
    /// # Errors
    /// As [`Variable::scatter_update`].
    ///
    /// ```
    /// use kiln_graph::{Tensor, Variable};
    /// let x = Variable::new(&Tensor::zeros(&[2, 3]))?;
    /// x.batch_scatter_update(&Tensor::from_vec([2, 0], &[2, 1]), &Tensor::ones(&[2, 1]))?;
    /// assert_eq!(x.read().to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn batch_scatter_update(&self, indices: &Tensor, updates: impl Operand) -> Result<()> {
        let (at, op) = (here(), "batch_scatter_update");
        indices.check()?;
        let batch = indices.rank().saturating_sub(1);
        if indices.rank() == 0
            || indices.rank() > self.shape().len()
            || indices.shape()[..batch] != self.shape()[..batch]
        {
            let message = format!(
                "expected indices [b.., n] of a variable {:?}, received {:?}",
                self.shape(),
                indices.shape()
            );
            return Err(Error::Operation { op, message, at });
        }
        let of_batch = |axis| Tensor::iota(indices.shape(), axis);
        let columns: Vec<Tensor> =
            (0..batch).map(of_batch).chain([indices.cast_at(DType::I32, at)]).collect();
        let places = Tensor::stack(&columns, -1);
        self.updated(&places, updates.tensor(self.dtype(), at), SET, op, at)
    }

    /// Rows of the value: [`ops::gather`] along the first axis. TensorFlow's `sparse_read`.
    #[track_caller]
    pub fn sparse_read(&self, indices: &Tensor) -> Tensor {
        ops::gather(&self.read(), indices, 0, 0)
    }

    /// Slices of the value at places: [`ops::gather_nd`].
    #[track_caller]
    pub fn gather_nd(&self, indices: &Tensor) -> Tensor {
        ops::gather_nd(&self.read(), indices, 0)
    }

    fn updated(
        &self,
        places: &Tensor,
        updates: Tensor,
        change: Change,
        op: &'static str,
        at: At,
    ) -> Result<()> {
        let error = |message: String| Err(Error::Operation { op, message, at });
        self.check_place(op, at)?;
        places.check()?;
        updates.check()?;
        if !places.dtype().is_integer() {
            return error(format!("expected integer indices, received {}", places.dtype()));
        }
        let is_set = matches!(change, Change::Fold(ScatterOp::Set));
        if self.dtype() == DType::Bool && !is_set {
            return error("expected a variable of numbers, received bool; replace elements instead".into());
        }
        if matches!(change, Divide) && !self.dtype().is_float() {
            return error(format!("expected a float variable, received {}", self.dtype()));
        }
        let updates = updates.cast_at(self.dtype(), at);
        let (updates, fold) = match change {
            Change::Fold(fold) => (updates, fold),
            // Also of unsigned numbers.
            Subtract => (updates.zeros_like() - updates, ScatterOp::Fold(ReduceOp::Sum)),
            Divide => (updates.reciprocal(), ScatterOp::Fold(ReduceOp::Prod)),
        };
        if trace::is_active() {
            return self.apply(&Update { places, updates: &updates, fold, op, at });
        }
        // Computed first, so that only the update itself is a program over the variable.
        let device = self.device();
        let computed = |t: &Tensor| -> Result<Tensor> {
            Ok(Tensor::from_stored(t.shape().to_vec(), t.dtype(), stored_on(t, &device, at)?, at))
        };
        let (places, updates) = (computed(places)?, computed(&updates)?);
        let update = Update { places: &places, updates: &updates, fold, op, at };
        step(|| self.apply(&update), at)
    }

    fn apply(&self, update: &Update<'_>) -> Result<()> {
        let Update { places, updates, fold, op, at } = *update;
        let depth = places.shape().last().copied().filter(|depth| *depth <= self.shape().len());
        let Some(depth) = depth else {
            let (shape, places) = (self.shape(), places.shape());
            let message =
                format!("expected indices [n.., k] of the axes of a variable {shape:?}, received {places:?}");
            return Err(Error::Operation { op, message, at });
        };
        let (extents, rest) = self.shape().split_at(depth);
        let expected = [&places.shape()[..places.rank() - 1], rest].concat();
        let updates = updates.broadcast_to(&expected).part_of(op, at, &[]);
        updates.check()?;
        if updates.is_empty() {
            return Ok(());
        }
        let width: usize = rest.iter().product();
        let rows = ops::rows_or_none(places, extents, op, at).unwrap_or_else(|failed| failed);
        rows.check()?;
        let table = self.read_at(at).reshape_at([&[self.len() / width], rest].concat(), at);
        let value = table.scatter_rows(&rows, &updates, fold, at);
        self.set(&value.reshape_at(self.shape().to_vec(), at), op, at)
    }
}

/// An update of the rows or elements at places.
#[derive(Clone, Copy)]
struct Update<'a> {
    places: &'a Tensor,
    updates: &'a Tensor,
    fold: ScatterOp,
    op: &'static str,
    at: At,
}
