//! Tensors made of shapes and numbers.

use kiln_device::DType;

use super::elementwise::Operand;
use super::pointwise::composed;
use crate::tensor::{Element, Tensor, here};

/// A tensor of one value: a plain number, or a tensor that broadcasts to the shape.
///
/// ```
/// use kiln_graph::{DType, Tensor, ops};
/// let row = Tensor::from_slice(&[1.0f32, 2.0]);
/// assert_eq!(ops::full(&[2, 2], &row, DType::I32).to_vec::<i32>()?, [1, 2, 1, 2]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn full(shape: &[usize], fill_value: impl Operand, dtype: DType) -> Tensor {
    let at = here();
    let value = fill_value.tensor(dtype, at);
    composed("full", at, &[&value], || value.cast(dtype).broadcast_to(shape))
}

/// A tensor of one value in another's shape, and type unless one is given.
#[track_caller]
pub fn full_like(x: &Tensor, fill_value: impl Operand, dtype: Option<DType>) -> Tensor {
    let (at, dtype) = (here(), dtype.unwrap_or(x.dtype()));
    let value = fill_value.tensor(dtype, at);
    composed("full_like", at, &[x, &value], || value.cast(dtype).broadcast_to(x.shape()))
}

/// Zeros.
#[track_caller]
pub fn zeros(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::full(shape, 0.0, dtype).part_of("zeros", here(), &[])
}

/// Ones.
#[track_caller]
pub fn ones(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::full(shape, 1.0, dtype).part_of("ones", here(), &[])
}

/// Zeros: nothing in Kiln is uninitialised.
#[track_caller]
pub fn empty(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::full(shape, 0.0, dtype).part_of("empty", here(), &[])
}

/// Zeros of a tensor's shape, and type unless one is given.
#[track_caller]
pub fn zeros_like(x: &Tensor, dtype: Option<DType>) -> Tensor {
    composed("zeros_like", here(), &[x], || Tensor::full(x.shape(), 0.0, dtype.unwrap_or(x.dtype())))
}

/// Ones of a tensor's shape, and type unless one is given.
#[track_caller]
pub fn ones_like(x: &Tensor, dtype: Option<DType>) -> Tensor {
    composed("ones_like", here(), &[x], || Tensor::full(x.shape(), 1.0, dtype.unwrap_or(x.dtype())))
}

/// Zeros of a tensor's shape, and type unless one is given: nothing in Kiln is uninitialised.
#[track_caller]
pub fn empty_like(x: &Tensor, dtype: Option<DType>) -> Tensor {
    zeros_like(x, dtype)
}

/// Ones on the `k`-th diagonal of an `n` × `m` matrix (square where `m` is none), zeros elsewhere. `k` counts upwards
/// from the main diagonal.
///
/// ```
/// use kiln_graph::{DType, ops};
/// assert_eq!(ops::eye(2, Some(3), 1, DType::I32).to_vec::<i32>()?, [0, 1, 0, 0, 0, 1]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn eye(n: usize, m: Option<usize>, k: i64, dtype: DType) -> Tensor {
    composed("eye", here(), &[], || {
        let (row, column) = coordinates(n, m.unwrap_or(n));
        column.equal(row + offset(k)).cast(dtype)
    })
}

/// The identity matrix.
#[doc(alias = "eye")]
#[track_caller]
pub fn identity(n: usize, dtype: DType) -> Tensor {
    composed("identity", here(), &[], || eye(n, None, 0, dtype))
}

/// Ones on and below the `k`-th diagonal of an `n` × `m` matrix (square where `m` is none), zeros above.
#[track_caller]
pub fn tri(n: usize, m: Option<usize>, k: i64, dtype: DType) -> Tensor {
    composed("tri", here(), &[], || {
        let (row, column) = coordinates(n, m.unwrap_or(n));
        column.less_equal(row + offset(k)).cast(dtype)
    })
}

fn coordinates(rows: usize, columns: usize) -> (Tensor, Tensor) {
    (Tensor::iota(&[rows, columns], 0), Tensor::iota(&[rows, columns], 1))
}

/// A diagonal's number; those beyond any matrix as less, so that no sum wraps.
fn offset(k: i64) -> i32 {
    k.clamp(-(1 << 30), 1 << 30) as i32
}

/// `start, start + step, …` below (above, for a negative step) `stop`. Floats are rounded once from the sum in `f64`;
/// integers step by whole distances, as in NumPy.
///
/// ```
/// use kiln_graph::{DType, ops};
/// assert_eq!(ops::arange(1.0, 7.0, 2.0, DType::I32).to_vec::<i32>()?, [1, 3, 5]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "range")]
#[track_caller]
pub fn arange(start: f64, stop: f64, step: f64, dtype: DType) -> Tensor {
    composed("arange", here(), &[], || {
        let count = ((stop - start) / step).ceil();
        if step == 0.0 || !count.is_finite() || dtype == DType::Bool {
            let message = format!(
                "expected finite bounds, a step other than 0 and a number type, received {start}..{stop} by {step}, \
                 {dtype}"
            );
            return Tensor::invalid("", message);
        }
        let count = count.max(0.0);
        if count > f64::from(i32::MAX) {
            let message = format!("{start}..{stop} by {step} has {count} elements; 2^31 − 1 is the limit");
            return Tensor::invalid("", message);
        }
        steps(start, step, count as usize, dtype)
    })
}

fn steps(start: f64, step: f64, count: usize, dtype: DType) -> Tensor {
    // NumPy's distance: that of the first two elements.
    let (start, step) = match dtype.is_float() {
        true => (start, start + step - start),
        false => (start.trunc(), (start + step).trunc() - start.trunc()),
    };
    let last = start + step * count.saturating_sub(1) as f64;
    let small = |x: f64| x.abs() <= f64::from(i32::MAX);
    if !dtype.is_float() && small(start) && small(step) && small(last) {
        return (Tensor::range(count) * step as i32 + start as i32).cast(dtype);
    }
    let sum = |i: usize| start + i as f64 * step;
    match dtype {
        DType::U32 => listed(count, |i| sum(i) as u32),
        DType::F64 => listed(count, sum),
        DType::I64 => listed(count, |i| (start as i64).wrapping_add((step as i64).wrapping_mul(i as i64))),
        _ => listed(count, |i| sum(i) as f32).cast(dtype),
    }
}

fn listed<T: Element>(count: usize, element: impl Fn(usize) -> T) -> Tensor {
    let mut elements: Vec<T> = vec![];
    if elements.try_reserve_exact(count).is_err() {
        return Tensor::invalid("", format!("{count} elements do not fit host memory"));
    }
    elements.extend((0..count).map(element));
    Tensor::from_slice(&elements)
}
