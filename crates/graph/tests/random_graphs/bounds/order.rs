//! Errors of an order: a place is known where its element's interval meets no other.

use super::Near;

/// Positions that sort the last axis, `values` by the interpreter.
pub(super) fn argsort(x: &[Near], shape: &[usize], values: &[f64]) -> Vec<Near> {
    let length = shape.last().copied().unwrap_or(1).max(1);
    x.chunks(length).zip(values.chunks(length)).flat_map(|(line, order)| sorted(line, order)).collect()
}

fn sorted(line: &[Near], order: &[f64]) -> Vec<Near> {
    let known = |at: &f64| {
        let here = *at as usize;
        (0..line.len()).all(|other| other == here || is_settled(&line[here], &line[other]))
    };
    order.iter().map(|at| if known(at) { Near::exact(*at) } else { Near::unknown(*at) }).collect()
}

/// Whether two elements have one order; equal ones stay in theirs, and NaN comes last.
fn is_settled(a: &Near, b: &Near) -> bool {
    if a.is_unknown() || b.is_unknown() {
        return false;
    }
    let same = a.copies(b) || a.is_exact() && b.is_exact();
    same || a.value.is_nan() || b.value.is_nan() || (a.value - b.value).abs() > a.error + b.error
}
