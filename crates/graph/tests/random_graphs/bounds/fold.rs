//! Errors of folds: reductions, running folds and scattered ones.

use kiln_graph::{DType, ReduceOp};

use super::Near;
use super::binary::{extreme, range};
use super::number::{SMALLEST, U, stored};

/// The weight of the last bit of a number.
fn last_bit(x: f64) -> f64 {
    let bits = x.to_bits();
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1075;
    2f64.powi(exponent + mantissa.trailing_zeros() as i32)
}

/// The coarsest grid, of powers of 2, that holds all of some numbers.
pub(super) fn grid(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|v| *v != 0.0).map(last_bit).fold(f64::INFINITY, f64::min)
}

/// True where every partial sum, in any order, of numbers on a grid is an `f32`.
pub(super) fn sums_exactly(grid: f64, magnitude: f64) -> bool {
    magnitude == 0.0 || magnitude / grid <= (1u64 << 24) as f64
}

/// A sum of floats in any order: 4 u log2(n) of the sum of magnitudes, and the errors of the terms.
pub(super) fn sum(terms: &[Near], dtype: DType, y: f64) -> Near {
    if terms.iter().any(|t| t.value.is_nan() && t.is_exact()) {
        return Near::exact(f64::NAN);
    }
    if terms.iter().any(Near::is_unknown) {
        return Near::unknown(y);
    }
    let finite = terms.iter().filter(|t| t.value.is_finite());
    let magnitude: f64 = finite.clone().map(|t| t.value.abs() + t.error).sum();
    // A part of the sum may be infinite, of either sign.
    if magnitude > f64::from(f32::MAX) {
        return Near::unknown(y);
    }
    if finite.count() < terms.len() {
        return Near::exact(y);
    }
    let exact = terms.iter().all(Near::is_exact);
    if exact && sums_exactly(grid(terms.iter().map(|t| t.value)), magnitude) {
        return stored(Near::exact(y), dtype);
    }
    let count = terms.len().max(2) as f64;
    let passed: f64 = terms.iter().map(|t| t.error).sum();
    stored(Near::within(y, passed + 4.0 * U * count.log2() * magnitude + SMALLEST), dtype)
}

/// A product of floats in any order: 2n + 1 units in the last place, and the errors of the factors.
fn product(factors: &[Near], dtype: DType, y: f64) -> Near {
    if factors.iter().any(|t| t.value.is_nan() && t.is_exact()) {
        return Near::exact(f64::NAN);
    }
    if factors.iter().any(|t| t.is_unknown() || t.value.is_infinite()) {
        return Near::unknown(y);
    }
    if factors.iter().any(|t| t.is_exact() && t.value == 0.0) {
        // Of finite factors whose partial products are finite too.
        let reach: f64 = factors.iter().map(|t| (t.value.abs() + t.error).max(1.0)).product();
        return if reach < 1e38 { Near::exact(0.0) } else { Near::unknown(y) };
    }
    let reach: f64 = factors.iter().map(|t| (t.value.abs() + t.error).max(1.0)).product();
    let depth: f64 = factors.iter().map(|t| (t.value.abs() + t.error).min(1.0)).product();
    if reach > f64::from(f32::MAX) {
        return Near::unknown(y);
    }
    let odd: f64 = factors.iter().map(|t| (t.value / last_bit(t.value)).abs()).product();
    let exact = factors.iter().all(Near::is_exact);
    if exact && odd <= (1u64 << 24) as f64 && depth >= 1e-30 {
        return stored(Near::exact(y), dtype);
    }
    let multiplied = factors.iter().fold((1.0, 0.0), |(value, error): (f64, f64), t| {
        (value * t.value, value.abs() * t.error + t.value.abs() * error + error * t.error)
    });
    let own = 2.0 * (2 * factors.len() + 1) as f64 * U * (y.abs() + multiplied.1);
    // A partial product that is subnormal loses its digits.
    let lost = if depth < 1e-30 { depth * reach + SMALLEST * reach } else { 0.0 };
    stored(Near::within(y, multiplied.1 + own + lost), dtype)
}

/// A fold of integers or booleans by addition or multiplication.
fn whole(op: ReduceOp, terms: &[Near], dtype: DType, y: f64) -> Near {
    if terms.iter().all(Near::is_exact) {
        return Near::exact(y);
    }
    let (low, high) = range(dtype);
    let (middle, error) = terms.iter().fold((0.0, 0.0), |(m, e), t| (m + t.value, e + t.error));
    let kept = op == ReduceOp::Sum && middle - error >= low && middle + error <= high;
    Near::within(y, if kept { error } else { f64::INFINITY })
}

/// A fold of terms in order; the interpreter's result is `y`.
fn folded(op: ReduceOp, terms: &[Near], dtype: DType, y: f64) -> Near {
    match op {
        ReduceOp::Max | ReduceOp::Min => {
            let larger = op == ReduceOp::Max;
            terms.iter().copied().reduce(|a, b| extreme(larger, a, b)).unwrap_or(Near::exact(y))
        }
        _ if !dtype.is_float() => whole(op, terms, dtype, y),
        ReduceOp::Sum => sum(terms, dtype, y),
        ReduceOp::Prod => product(terms, dtype, y),
    }
}

/// The point at a place in row-major order.
fn point(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut point = vec![0; shape.len()];
    for i in (0..shape.len()).rev() {
        point[i] = place % shape[i];
        place /= shape[i];
    }
    point
}

pub(super) fn reduce(
    op: ReduceOp,
    axes: &[usize],
    x: &[Near],
    shape: &[usize],
    dtype: DType,
    values: &[f64],
) -> Vec<Near> {
    let mut groups: Vec<Vec<Near>> = vec![vec![]; values.len()];
    for (place, near) in x.iter().enumerate() {
        let point = point(place, shape);
        let kept = (0..shape.len()).filter(|i| !axes.contains(i));
        groups[kept.fold(0, |at, i| at * shape[i] + point[i])].push(*near);
    }
    groups.iter().zip(values).map(|(terms, y)| folded(op, terms, dtype, *y)).collect()
}

pub(super) fn scan(
    op: ReduceOp,
    (axis, reverse): (usize, bool),
    x: &[Near],
    shape: &[usize],
    dtype: DType,
    values: &[f64],
) -> Vec<Near> {
    let inner: usize = shape[axis + 1..].iter().product();
    let length = shape[axis];
    let mut result = exact_like(values);
    for start in (0..x.len()).filter(|i| (i / inner.max(1)).is_multiple_of(length.max(1))) {
        let line: Vec<usize> = (0..length).map(|k| start + k * inner).collect();
        let line: Vec<usize> = if reverse { line.into_iter().rev().collect() } else { line };
        let terms: Vec<Near> = line.iter().map(|at| x[*at]).collect();
        for (k, at) in line.iter().enumerate() {
            result[*at] = folded(op, &terms[..=k], dtype, values[*at]);
        }
        // The tree of a running sum is that of the whole line.
        if op == ReduceOp::Sum && dtype.is_float() {
            let slack = |k: usize| (length.max(2) as f64).log2() - (k.max(1) as f64 + 1.0).log2().max(1.0);
            for (k, at) in line.iter().enumerate() {
                let near = &mut result[*at];
                let magnitude: f64 = terms[..=k].iter().map(|t| t.value.abs() + t.error).sum();
                if near.error > 0.0 && !near.is_unknown() {
                    near.error += 4.0 * U * slack(k).max(0.0) * magnitude;
                }
            }
        }
    }
    result
}

fn exact_like(values: &[f64]) -> Vec<Near> {
    values.iter().map(|v| Near::exact(*v)).collect()
}

/// Rows folded into rows; an index outside is skipped.
pub(super) fn scatter(
    op: ReduceOp,
    inputs: &[&[Near]],
    shape: &[usize],
    dtype: DType,
    values: &[f64],
) -> Vec<Near> {
    let (x, indices, updates) = (inputs[0], inputs[1], inputs[2]);
    if !indices.iter().all(Near::is_exact) {
        return values.iter().map(|y| super::unknown_of(dtype, *y)).collect();
    }
    let width: usize = shape[1..].iter().product();
    let mut terms: Vec<Vec<Near>> = x.iter().map(|near| vec![*near]).collect();
    for (n, index) in indices.iter().enumerate().filter(|(_, i)| (0.0..shape[0] as f64).contains(&i.value)) {
        for column in 0..width {
            terms[index.value as usize * width + column].push(updates[n * width + column]);
        }
    }
    // What no update touches is as it was.
    let one = |(terms, y): (&Vec<Near>, &f64)| {
        if terms.len() == 1 { terms[0] } else { folded(op, terms, dtype, *y) }
    };
    terms.iter().zip(values).map(one).collect()
}
