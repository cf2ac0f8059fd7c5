//! Errors of an order: it is known where the intervals of neighbours do not meet.

use super::Near;

/// Positions that sort the last axis, `values` by the interpreter.
pub(super) fn argsort(descending: bool, x: &[Near], shape: &[usize], values: &[f64]) -> Vec<Near> {
    let length = shape.last().copied().unwrap_or(1).max(1);
    let line = |(line, order): (&[Near], &[f64])| sorted(descending, line, order);
    x.chunks(length).zip(values.chunks(length)).flat_map(line).collect()
}

fn sorted(descending: bool, line: &[Near], order: &[f64]) -> Vec<Near> {
    if line.iter().any(Near::is_unknown) {
        return order.iter().map(|at| Near::unknown(*at)).collect();
    }
    let sign = if descending { -1.0 } else { 1.0 };
    let in_order: Vec<Near> = order.iter().map(|at| line[*at as usize]).collect();
    let mut known = vec![true; order.len()];
    // Of those before, the one that reaches furthest, and where its doubtful neighbours begin.
    let (mut furthest, mut from) = (f64::NEG_INFINITY, 0);
    for i in 0..order.len() {
        let Near { value, error, .. } = in_order[i];
        if value.is_nan() {
            break;
        }
        let same = i > 0 && {
            let before = in_order[i - 1];
            before.copies(&in_order[i]) || before.is_exact() && error == 0.0
        };
        if i > 0 && sign * value - error <= furthest && !(same && from == i - 1 && known[i - 1]) {
            known[from..=i].fill(false);
        } else if !same {
            from = i;
        }
        if same && known[i] {
            from = i;
        }
        furthest = furthest.max(sign * value + error);
    }
    order
        .iter()
        .zip(known)
        .map(|(at, known)| if known { Near::exact(*at) } else { Near::unknown(*at) })
        .collect()
}
