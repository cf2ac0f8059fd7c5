//! Elements chosen by an index, by NumPy's rules for slices and for index tensors.

use kiln_device::DType;

use super::arrange::{failed_among, permuted};
use super::creation::value_of;
use super::indexing::{Index, IndexItem};
use super::search::coordinates;
use crate::error::At;
use crate::op::Op;
use crate::shape::{broadcast, strides};
use crate::tensor::{Tensor, here};

/// What an item does to the axes, once ellipses and masks are resolved.
#[derive(Clone, Debug)]
enum Entry {
    /// One element of the next axis, which goes.
    Drop(usize),
    /// `count` elements of the next axis.
    Keep { start: usize, step: i64, count: usize },
    /// A new axis.
    New,
    /// Elements of the next axis that an `int32` tensor names.
    Chosen(Tensor),
    /// A scalar mask: so many repetitions, of no axis.
    Repeated(usize),
}

/// An index resolved for one shape: a block of the tensor, and rows of that block.
pub(super) struct Choice {
    shape: Vec<usize>,
    entries: Vec<Entry>,
    op: &'static str,
    at: At,
}

impl Choice {
    /// Resolves an index; masks are read at once.
    pub(super) fn new(x: &Tensor, index: &Index, op: &'static str, at: At) -> Result<Choice, Tensor> {
        x.check().map_err(|_| x.clone())?;
        let tensors =
            index.items.iter().filter_map(|i| if let IndexItem::Tensor(t) = i { Some(t) } else { None });
        if let Some(failed) = failed_among(tensors) {
            return Err(failed);
        }
        let named: usize = index.items.iter().map(consumed).sum();
        let ellipses = index.items.iter().filter(|i| matches!(i, IndexItem::Ellipsis)).count();
        if named > x.rank() || ellipses > 1 {
            let message = format!(
                "expected at most {} indices and one ellipsis for shape {:?}, received {named} and {ellipses}",
                x.rank(),
                x.shape()
            );
            return Err(Tensor::failed(op, message, at));
        }
        let whole = |extent: &usize| Entry::Keep { start: 0, step: 1, count: *extent };
        let (mut entries, mut axis) = (vec![], 0);
        for item in &index.items {
            match item {
                IndexItem::Ellipsis => {
                    let hidden = x.rank() - named;
                    entries.extend(x.shape()[axis..axis + hidden].iter().map(whole));
                    axis += hidden;
                }
                _ => entries.extend(resolve(item, &x.shape()[axis..], op, at)?),
            }
            axis += consumed(item);
        }
        entries.extend(x.shape()[axis..].iter().map(whole));
        Ok(Choice { shape: x.shape().to_vec(), entries, op, at })
    }

    /// True where index tensors take part.
    fn is_advanced(&self) -> bool {
        self.entries.iter().any(|e| matches!(e, Entry::Chosen(_) | Entry::Repeated(_)))
    }

    /// Start, step and extent of every axis of the block that the slices and numbers leave; chosen axes are whole.
    fn block(&self) -> (Vec<usize>, Vec<i64>, Vec<usize>) {
        let (mut start, mut step, mut shape) = (vec![], vec![], vec![]);
        for entry in &self.entries {
            let part = match entry {
                Entry::Drop(place) => (*place, 1, 1),
                Entry::Keep { start, step, count } => (*start, *step, *count),
                Entry::Chosen(_) => (0, 1, self.shape[start.len()]),
                Entry::New | Entry::Repeated(_) => continue,
            };
            start.push(part.0);
            step.push(part.1);
            shape.push(part.2);
        }
        (start, step, shape)
    }

    /// The elements.
    pub(super) fn of(&self, x: &Tensor) -> Tensor {
        let block = self.block_of(x);
        if !self.is_advanced() {
            return block.reshape_at(self.basic_shape(), self.at);
        }
        let rows = match self.rows() {
            Ok(rows) => rows,
            Err(failed) => return failed,
        };
        let chosen = rows.table(&block, self.at).gather_rows(&rows.index, self.at);
        permuted(&chosen, rows.outwards(), self.at).reshape_at(rows.shape, self.at)
    }

    fn block_of(&self, x: &Tensor) -> Tensor {
        let (start, step, shape) = self.block();
        if shape == self.shape && step.iter().all(|s| *s == 1) {
            return x.clone();
        }
        Tensor::op(Op::Slice { start, step }, vec![x.clone()], shape, x.dtype(), self.at)
    }

    /// The shape of the elements where no tensor takes part.
    fn basic_shape(&self) -> Vec<usize> {
        let dim = |entry: &Entry| match entry {
            Entry::Keep { count, .. } => Some(*count),
            Entry::New => Some(1),
            _ => None,
        };
        self.entries.iter().filter_map(dim).collect()
    }

    /// `x` with the block written by `combine(x, values at their places, where they are)`, the values having the shape
    /// of the elements.
    pub(super) fn update(
        &self,
        x: &Tensor,
        values: &Tensor,
        scatter: kiln_device::ScatterOp,
        combine: &dyn Fn(&Tensor, &Block) -> Tensor,
    ) -> Tensor {
        let (start, step, shape) = self.block();
        if !self.is_advanced() {
            let values = spread(values, &self.basic_shape(), self.op, self.at);
            let block = Block { start, step, values: values.reshape_at(shape, self.at) };
            return if block.values.is_empty() && block.values.error().is_none() {
                x.clone()
            } else {
                combine(x, &block)
            };
        }
        let rows = match self.rows() {
            Ok(rows) => rows,
            Err(failed) => return failed,
        };
        let values = spread(values, &rows.shape, self.op, self.at);
        if values.is_empty() && values.error().is_none() {
            return x.clone();
        }
        // From the result's axes back to those of the rows.
        let outwards = rows.outwards();
        let dense: Vec<usize> = outwards.iter().map(|i| rows.gathered()[*i]).collect();
        let updates = permuted(&values.reshape_at(dense, self.at), inverse(&outwards), self.at);
        let block = self.block_of(x);
        let written = rows.table(&block, self.at).scatter_rows(&rows.index, &updates, scatter, self.at);
        let moved: Vec<usize> = rows.inwards.iter().map(|i| block.shape()[*i]).collect();
        let written = permuted(&written.reshape_at(moved, self.at), inverse(&rows.inwards), self.at);
        if shape == self.shape && step.iter().all(|s| *s == 1) {
            return written;
        }
        Block { start, step, values: written }.set(x, self.at)
    }

    /// How index tensors choose rows of the block.
    fn rows(&self) -> Result<Rows, Tensor> {
        let (_, _, block) = self.block();
        let (mut chosen, mut kept, mut dropped) = (vec![], vec![], vec![]);
        let (mut shape, mut tensors, mut extents) = (vec![], vec![], vec![]);
        // How many kept axes, and axes of the result, stand before the first chosen one.
        let mut first: Option<(usize, usize)> = None;
        // Numbers and index tensors stand next to each other, or a slice has ended their run.
        let (mut together, mut ended) = (true, false);
        let mut axis = 0;
        for entry in &self.entries {
            match entry {
                Entry::Keep { .. } | Entry::New => ended = first.is_some(),
                Entry::Drop(_) | Entry::Chosen(_) | Entry::Repeated(_) => {
                    together &= !ended;
                    first.get_or_insert((kept.len(), shape.len()));
                }
            }
            match entry {
                Entry::Drop(_) => dropped.push(axis),
                Entry::Keep { count, .. } => {
                    shape.push(*count);
                    kept.push(axis);
                }
                Entry::New => shape.push(1),
                Entry::Chosen(index) => {
                    tensors.push(index.clone());
                    extents.push(block[axis]);
                    chosen.push(axis);
                }
                Entry::Repeated(count) => {
                    tensors.push(Tensor::full(&[*count], 0.0, DType::I32));
                    extents.push(1);
                }
            }
            axis += usize::from(!matches!(entry, Entry::New | Entry::Repeated(_)));
        }
        let (before, place) = first.filter(|_| together).unwrap_or((0, 0));
        let index = linear(&tensors, &extents, &[], self.op, self.at)?;
        shape.splice(place..place, index.shape().iter().copied());
        let count = extents.iter().product();
        let kept_extents = kept.iter().map(|a| block[*a]).collect();
        Ok(Rows {
            index,
            count,
            before,
            kept: kept_extents,
            inwards: [chosen, kept, dropped].concat(),
            shape,
        })
    }
}

/// Rows of a block: those of the table `[count, kept..]` that the index names.
struct Rows {
    /// Which, `int32`, checked.
    index: Tensor,
    /// Number of rows of the table.
    count: usize,
    /// How many kept axes stand before the index's in the result.
    before: usize,
    /// Extents of the kept axes.
    kept: Vec<usize>,
    /// The block's axes in the order chosen, kept, dropped.
    inwards: Vec<usize>,
    /// The result's shape.
    shape: Vec<usize>,
}

impl Rows {
    fn table(&self, block: &Tensor, at: At) -> Tensor {
        let shape = [&[self.count], &self.kept[..]].concat();
        permuted(block, self.inwards.clone(), at).reshape_at(shape, at)
    }

    /// The shape of the rows gathered: the index's axes, then the kept ones.
    fn gathered(&self) -> Vec<usize> {
        [self.index.shape(), &self.kept].concat()
    }

    /// From the gathered axes to those of the result.
    fn outwards(&self) -> Vec<usize> {
        let n = self.index.rank();
        (n..n + self.before).chain(0..n).chain(n + self.before..n + self.kept.len()).collect()
    }
}

/// A block of a tensor: values and where they stand.
pub(crate) struct Block {
    /// Place of the first element on each axis.
    pub(crate) start: Vec<usize>,
    /// Distance of two elements on each axis.
    pub(crate) step: Vec<i64>,
    /// The elements.
    pub(crate) values: Tensor,
}

impl Block {
    /// The values at their places in a shape, `fill` elsewhere.
    pub(crate) fn placed(&self, shape: &[usize], fill: f64, at: At) -> Tensor {
        let values = &self.values;
        if values.error().is_some() {
            return values.clone();
        }
        if values.is_empty() {
            return Tensor::full(shape, fill, values.dtype());
        }
        let reversed: Vec<i64> = (0..shape.len()).filter(|i| self.step[*i] < 0).map(|i| i as i64).collect();
        let forward = if reversed.is_empty() { values.clone() } else { values.flip(reversed) };
        let (mut low, mut high) = (self.start.clone(), vec![0; shape.len()]);
        for i in 0..shape.len() {
            let reach = (values.shape()[i] - 1) * self.step[i].unsigned_abs() as usize;
            low[i] = if self.step[i] < 0 { self.start[i] - reach } else { self.start[i] };
            high[i] = shape[i] - low[i] - reach - 1;
        }
        let interior = self.step.iter().map(|s| s.unsigned_abs() as usize - 1).collect();
        let op = Op::Pad { low, high, interior, value: value_of(fill, values.dtype()) };
        Tensor::op(op, vec![forward], shape.to_vec(), values.dtype(), at)
    }

    /// `x` with the values in their places.
    pub(super) fn set(&self, x: &Tensor, at: At) -> Tensor {
        if self.values.error().is_some()
            || self.values.shape() == x.shape() && self.step.iter().all(|s| *s == 1)
        {
            return self.values.clone();
        }
        let ones = Tensor::full(self.values.shape(), 1.0, DType::Bool);
        let (start, step) = (self.start.clone(), self.step.clone());
        let inside = Block { start, step, values: ones }.placed(x.shape(), 0.0, at);
        Tensor::select(&inside, self.placed(x.shape(), 0.0, at), x)
    }
}

/// How many axes an item stands for.
fn consumed(item: &IndexItem) -> usize {
    match item {
        IndexItem::At(_) | IndexItem::Span(_) => 1,
        IndexItem::Tensor(t) if t.dtype() == DType::Bool => t.rank(),
        IndexItem::Tensor(_) => 1,
        IndexItem::Ellipsis | IndexItem::NewAxis => 0,
    }
}

/// The entries of one item that stands for the first of `axes`.
fn resolve(item: &IndexItem, axes: &[usize], op: &'static str, at: At) -> Result<Vec<Entry>, Tensor> {
    let fail = |message: String| Tensor::failed(op, message, at);
    match item {
        IndexItem::Ellipsis => Ok(vec![]),
        IndexItem::NewAxis => Ok(vec![Entry::New]),
        IndexItem::At(place) => {
            let extent = axes[0] as i64;
            let from_start = if *place < 0 { place.saturating_add(extent) } else { *place };
            if (0..extent).contains(&from_start) {
                return Ok(vec![Entry::Drop(from_start as usize)]);
            }
            Err(fail(format!(
                "index {place} is out of range for an axis of extent {extent}; expected −{extent} ≤ index < {extent}"
            )))
        }
        IndexItem::Span(span) => {
            let (start, count) = span.on(axes[0]).map_err(fail)?;
            // A step beyond one element is never taken.
            let step = if count > 1 { span.step } else { 1 };
            Ok(vec![Entry::Keep { start, step, count }])
        }
        IndexItem::Tensor(mask) if mask.dtype() == DType::Bool => {
            if mask.shape() != &axes[..mask.rank()] {
                let message = format!(
                    "a mask of shape {:?} does not fit axes {:?}",
                    mask.shape(),
                    &axes[..mask.rank()]
                );
                return Err(fail(message));
            }
            if mask.rank() == 0 {
                let marked = super::search::read_now::<bool>(mask, op, at)?[0];
                return Ok(vec![Entry::Repeated(usize::from(marked))]);
            }
            let chosen = coordinates(mask, op, at)?;
            Ok(chosen.iter().map(|c| Entry::Chosen(Tensor::from_slice(c))).collect())
        }
        IndexItem::Tensor(places) if places.dtype().is_integer() => Ok(vec![Entry::Chosen(places.clone())]),
        IndexItem::Tensor(other) => {
            Err(fail(format!("expected index tensors of integers or bool, received {}", other.dtype())))
        }
    }
}

/// Positions in row-major order of elements at coordinates, which broadcast, also to `like`; negative ones count from the
/// end.
pub(super) fn linear(
    indices: &[Tensor],
    extents: &[usize],
    like: &[usize],
    op: &'static str,
    at: At,
) -> Result<Tensor, Tensor> {
    let shape = indices.iter().try_fold(like.to_vec(), |shape, index| broadcast(&shape, index.shape()));
    let Some(shape) = shape else {
        let shapes: Vec<&[usize]> = indices.iter().map(Tensor::shape).collect();
        return Err(Tensor::failed(op, format!("index tensors of shapes {shapes:?} do not broadcast"), at));
    };
    let count = extents.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    if count.is_none_or(|n| i32::try_from(n).is_err()) {
        let message = format!(
            "expected at most 2³¹ − 1 places along the indexed axes, received extents {extents:?}; index parts of them"
        );
        return Err(Tensor::failed(op, message, at));
    }
    let mut sum = Tensor::full(&shape, 0.0, DType::I32);
    for ((index, extent), stride) in indices.iter().zip(extents).zip(strides(extents)) {
        let place = index.wrapped_index(*extent, op, at).broadcast_at(&shape, at);
        sum = sum + place * stride as i32;
    }
    sum.check().map_err(|_| sum.clone())?;
    Ok(sum)
}

/// Values broadcast to the shape of the elements they replace.
fn spread(values: &Tensor, shape: &[usize], op: &'static str, at: At) -> Tensor {
    values.broadcast_to(shape).part_of(op, at, std::slice::from_ref(values))
}

pub(super) fn inverse(permutation: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; permutation.len()];
    for (i, p) in permutation.iter().enumerate() {
        inverse[*p] = i;
    }
    inverse
}

impl Tensor {
    /// The elements that an index chooses, by NumPy's rules: whole numbers drop an axis, ranges keep it, negative numbers
    /// count from the end; integer tensors choose along an axis, several of them together and broadcast, and their axes
    /// stand in the place of theirs (first, where a range stands between them); a `bool` tensor chooses where it is true.
    ///
    /// Numbers out of range are an error, in a tensor an error of the run. A `bool` tensor is read at once, since the
    /// result's shape depends on it, which a function being traced cannot.
    ///
    /// ```
    /// use kiln_graph::{Tensor, ops::NewAxis, s};
    /// let x = Tensor::range(12).reshape(&[3, 4]);
    /// assert_eq!(x.index((1, 1..3)).to_vec::<i32>()?, [5, 6]);
    /// assert_eq!(x.index((.., -1)).to_vec::<i32>()?, [3, 7, 11]);
    /// assert_eq!(x.index((NewAxis, ..)).shape(), [1, 3, 4]);
    /// assert_eq!(x.index(s![.., ..;-2]).to_vec::<i32>()?, [3, 1, 7, 5, 11, 9]);
    /// let (rows, columns) = (Tensor::from_slice(&[0, 2]), Tensor::from_slice(&[3, -4]));
    /// assert_eq!(x.index((&rows, &columns)).to_vec::<i32>()?, [3, 8]);
    /// assert_eq!(x.index(x.greater(9)).to_vec::<i32>()?, [10, 11]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[doc(alias("slice", "getitem", "strided_slice"))]
    #[track_caller]
    pub fn index(&self, index: impl Into<Index>) -> Tensor {
        indexed(self, &index.into(), "index", here())
    }
}

fn indexed(x: &Tensor, index: &Index, op: &'static str, at: At) -> Tensor {
    match Choice::new(x, index, op, at) {
        Ok(choice) => choice.of(x).part_of(op, at, std::slice::from_ref(x)),
        Err(failed) => failed,
    }
}

/// `x` at an index: [`Tensor::index`].
#[track_caller]
pub fn get_item(x: &Tensor, key: impl Into<Index>) -> Tensor {
    indexed(x, &key.into(), "get_item", here())
}
