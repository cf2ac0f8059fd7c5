//! Errors of products of matrices and of convolutions: sums of products, which the interpreter forms of errors too.

use kiln_graph::graph::Node;
use kiln_graph::op::Op;
use kiln_graph::{DType, Result};

use super::fold::{grid, sums_exactly};
use super::number::{SMALLEST, U, stored};
use super::{Near, single};

/// (8 + √K) u of the sum of K magnitudes, and what the errors of the factors make.
pub(super) fn product(
    node: &Node,
    forms: &[(&[usize], DType)],
    inputs: &[&[Near]],
    values: &[f64],
) -> Result<Vec<Near>> {
    let all_exact = inputs.iter().all(|x| x.iter().all(Near::is_exact));
    if !node.dtype.is_float() {
        let each = |y: &f64| if all_exact { Near::exact(*y) } else { Near::unknown(*y) };
        return Ok(values.iter().map(each).collect());
    }
    // In numbers, whatever the type: the interpreter does not round floats.
    let of = |a: &dyn Fn(&Near) -> f64, b: &dyn Fn(&Near) -> f64| {
        let lists = [inputs[0].iter().map(a).collect::<Vec<f64>>(), inputs[1].iter().map(b).collect()];
        single(node, forms, &lists)
    };
    let usable = |x: &Near| x.value.is_finite() && !x.is_unknown();
    let size = |x: &Near| if usable(x) { x.value.abs() } else { 0.0 };
    let reach = |x: &Near| if usable(x) { x.value.abs() + x.error } else { 0.0 };
    let error = |x: &Near| if usable(x) { x.error } else { 0.0 };
    let one = |_: &Near| 1.0;
    let bad = |x: &Near| f64::from(u8::from(!usable(x)));
    let count = of(&one, &one)?;
    let magnitude = of(&reach, &reach)?;
    let zeros = || vec![0.0; values.len()];
    let exact = |n: usize| inputs[n].iter().all(Near::is_exact);
    let left = if exact(0) { zeros() } else { of(&error, &reach)? };
    let right = if exact(1) { zeros() } else { of(&size, &error)? };
    let tainted = match inputs.iter().all(|x| x.iter().all(usable)) {
        true => zeros(),
        false => of(&bad, &one)?.iter().zip(of(&one, &bad)?).map(|(a, b)| a + b).collect(),
    };
    // Zeros of the padding times what is no number are NaN, or not, as an executor forms them.
    let padded = matches!(node.op, Op::Conv { .. }) && inputs.iter().any(|x| !x.iter().all(usable));
    let on_grid = inputs.iter().map(|x| grid(x.iter().filter(|x| usable(x)).map(|x| x.value)));
    let on_grid: f64 = on_grid.map(|g| if g.is_finite() { g } else { 1.0 }).product();
    let one = |i: usize| {
        if padded || tainted[i] > 0.0 || magnitude[i] > f64::from(f32::MAX) {
            return Near::unknown(values[i]);
        }
        if all_exact && sums_exactly(on_grid, magnitude[i]) {
            return stored(Near::exact(values[i]), node.dtype);
        }
        let own = (8.0 + count[i].sqrt()) * U * magnitude[i] + count[i] * SMALLEST;
        stored(Near::within(values[i], left[i] + right[i] + own), node.dtype)
    };
    Ok((0..values.len()).map(one).collect())
}
