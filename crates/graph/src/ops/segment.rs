//! Folds of rows by segment: `keras.ops.segment_sum` and its like.

use kiln_device::{DType, ReduceOp, ScatterOp};

use crate::error::At;
use crate::tensor::{Tensor, here};
use crate::trace;

/// Sum of the rows of each segment: data `[n, d..]`, segment ids `[n]` (integers), result `[segments, d..]`.
///
/// Ids need not be sorted. Rows with an id below 0 or from `num_segments` on are dropped; a segment without rows is 0.
/// Without `num_segments` it is one more than the largest id, which is read at once, so not while a function is traced.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let data = Tensor::from_slice(&[1.0f32, 2.0, 10.0, 20.0]);
/// let ids = Tensor::from_slice(&[0, 0, 2, -1]);
/// assert_eq!(ops::segment_sum(&data, &ids, 3).to_vec::<f32>()?, [3.0, 0.0, 10.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "unsorted_segment_sum")]
#[track_caller]
pub fn segment_sum(data: &Tensor, segment_ids: &Tensor, num_segments: impl Into<Option<usize>>) -> Tensor {
    segments(ReduceOp::Sum, data, segment_ids, num_segments.into(), "segment_sum", here())
}

/// Product of the rows of each segment, as [`segment_sum`]; a segment without rows is 1.
#[doc(alias = "unsorted_segment_prod")]
#[track_caller]
pub fn segment_prod(data: &Tensor, segment_ids: &Tensor, num_segments: impl Into<Option<usize>>) -> Tensor {
    segments(ReduceOp::Prod, data, segment_ids, num_segments.into(), "segment_prod", here())
}

/// Largest of the rows of each segment, as [`segment_sum`]; a segment without rows is −∞, or the smallest integer.
#[doc(alias = "unsorted_segment_max")]
#[track_caller]
pub fn segment_max(data: &Tensor, segment_ids: &Tensor, num_segments: impl Into<Option<usize>>) -> Tensor {
    segments(ReduceOp::Max, data, segment_ids, num_segments.into(), "segment_max", here())
}

/// Smallest of the rows of each segment, as [`segment_sum`]; a segment without rows is ∞, or the largest integer.
#[doc(alias = "unsorted_segment_min")]
#[track_caller]
pub fn segment_min(data: &Tensor, segment_ids: &Tensor, num_segments: impl Into<Option<usize>>) -> Tensor {
    segments(ReduceOp::Min, data, segment_ids, num_segments.into(), "segment_min", here())
}

fn segments(
    op: ReduceOp,
    data: &Tensor,
    ids: &Tensor,
    count: Option<usize>,
    name: &'static str,
    at: At,
) -> Tensor {
    let inputs = [data.clone(), ids.clone()];
    if let Some(failed) = inputs.iter().find(|t| t.error().is_some()) {
        return failed.clone();
    }
    if ids.rank() != 1 || !ids.dtype().is_integer() || data.shape().first() != ids.shape().first() {
        let message = format!(
            "expected data [n, d..] and integer segment ids [n], received {:?} and {:?} {}; flatten them first",
            data.shape(),
            ids.shape(),
            ids.dtype()
        );
        return Tensor::failed(name, message, at);
    }
    let ids = ids.narrow_index(at);
    let count = match count.map_or_else(|| largest(&ids, name, at), Ok) {
        Ok(count) => count,
        Err(failed) => return failed,
    };
    // One segment more takes the rows that count for none.
    let Some(rows) = i32::try_from(count).ok().and_then(|n| n.checked_add(1)) else {
        return Tensor::failed(name, format!("expected fewer than 2³¹ segments, received {count}"), at);
    };
    // The largest and smallest of booleans are booleans.
    let chooses = matches!(op, ReduceOp::Max | ReduceOp::Min);
    let given = data.dtype();
    let data = if given == DType::Bool { data.cast_at(DType::I32, at) } else { data.clone() };
    let known = ids.greater_equal(0).logical_and(ids.less(rows - 1));
    let ids = Tensor::select(&known, &ids, rows - 1);
    let shape = [&[rows as usize], &data.shape()[1..]].concat();
    let start = identity(op, data.dtype(), &shape, at);
    let folded =
        if ids.is_empty() { start } else { start.scatter_rows(&ids, &data, ScatterOp::Fold(op), at) };
    let folded = folded.slice_axis(0, 0, count as i64);
    let folded = if given == DType::Bool && chooses { folded.greater(0) } else { folded };
    folded.part_of(name, at, &inputs)
}

/// One more than the largest id, read at once.
fn largest(ids: &Tensor, name: &'static str, at: At) -> Result<usize, Tensor> {
    if trace::current().is_some() && ids.node.value.get().is_none() {
        let message = "expected num_segments: the number of segments depends on the ids, which are not known while a \
                       function is traced";
        return Err(Tensor::failed(name, message.into(), at));
    }
    let values = ids.to_vec::<i32>().map_err(|error| Tensor::from_error(error, at))?;
    Ok(values.into_iter().max().map_or(0, |id| usize::try_from(i64::from(id) + 1).unwrap_or(0)))
}

/// What folding starts from.
fn identity(op: ReduceOp, dtype: DType, shape: &[usize], at: At) -> Tensor {
    let value = op.identity(dtype.scalar());
    match (op, dtype) {
        (ReduceOp::Min, DType::U8) => Tensor::full(shape, f64::from(u8::MAX), dtype),
        _ => Tensor::constant(value, shape.to_vec(), dtype, at),
    }
}
