//! Fewer axes for the same loops: drops axes of one element and merges neighbours that every address walks through in
//! one stride. A contiguous elementwise kernel comes out with one axis, and its text without a division.

use crate::kernel::{Affine, Body, Instr, Kernel, Map, Operand, Tape};

/// The kernel with as few row and inner axes as its addresses allow. Both loops visit their points in the same order.
pub(crate) fn collapse(kernel: &Kernel) -> Kernel {
    let mut result = kernel.clone();
    let rows = kernel.rows.len();
    let mut groups: Vec<(usize, usize)> = match &kernel.body {
        Body::Contract { batch, m, .. } => vec![(0, *batch), (*batch, batch + m), (batch + m, rows)],
        _ => vec![(0, rows)],
    };
    groups.push((rows, kernel.variables()));

    let extents: Vec<usize> = kernel.rows.iter().chain(&kernel.inner).copied().collect();
    let affines = affines(kernel);
    let mut kept = Vec::new();
    let mut merged_extents = Vec::new();
    let mut sizes = Vec::new();
    for (from, to) in groups {
        let before = kept.len();
        merge_group(&extents, &affines, from..to, &mut kept, &mut merged_extents, before);
        sizes.push(kept.len() - before);
    }

    let inner_axes = sizes.pop().unwrap_or(0);
    let row_axes = kept.len() - inner_axes;
    result.inner = merged_extents.split_off(row_axes);
    result.rows = merged_extents;
    let select = |a: &mut Affine| a.coefficients = kept.iter().map(|k| a.coefficients[*k]).collect();
    for_each_affine(&mut result, select);
    if let Body::Contract { batch, m, .. } = &mut result.body {
        (*batch, *m) = (sizes[0], sizes[1]);
    }
    result
}

/// Appends the axes of one group that remain: the original axis whose factor stands for each, and its extent.
fn merge_group(
    extents: &[usize],
    affines: &[&Affine],
    axes: std::ops::Range<usize>,
    kept: &mut Vec<usize>,
    merged: &mut Vec<usize>,
    before: usize,
) {
    for axis in axes.filter(|a| extents[*a] != 1) {
        let extent = extents[axis];
        let last = kept.len().checked_sub(1).filter(|l| *l >= before);
        match last {
            Some(last)
                if affines.iter().all(|a| {
                    a.coefficients[kept[last]] == a.coefficients[axis].wrapping_mul(extent as i64)
                }) =>
            {
                kept[last] = axis;
                merged[last] = merged[last].saturating_mul(extent);
            }
            _ => {
                kept.push(axis);
                merged.push(extent);
            }
        }
    }
}

/// Every affine function of the body's loops. The `once` tape is executed where all variables are 0.
fn affines(kernel: &Kernel) -> Vec<&Affine> {
    fn of_map(map: &Map) -> impl Iterator<Item = &Affine> {
        std::iter::once(&map.base).chain(map.guards.iter().map(|g| &g.position))
    }
    fn of_tape<'t>(tape: &'t Tape, list: &mut Vec<&'t Affine>) {
        for instr in &tape.instrs {
            match instr {
                Instr::Index(affine) => list.push(affine),
                Instr::Load { map, .. } | Instr::Store { map, .. } => list.extend(of_map(map)),
                _ => {}
            }
        }
    }
    let mut list = Vec::new();
    match &kernel.body {
        Body::Map(tape) | Body::Row { tape, .. } => of_tape(tape, &mut list),
        Body::Contract { lhs, rhs, epilogue, .. } => {
            of_tape(epilogue, &mut list);
            list.extend(of_map(&lhs.map).chain(of_map(&rhs.map)));
        }
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {}
    }
    list
}

fn for_each_affine(kernel: &mut Kernel, change: impl Fn(&mut Affine)) {
    let in_map = |map: &mut Map| {
        change(&mut map.base);
        map.guards.iter_mut().for_each(|g| change(&mut g.position));
    };
    let in_tape = |tape: &mut Tape| {
        for instr in &mut tape.instrs {
            match instr {
                Instr::Index(affine) => change(affine),
                Instr::Load { map, .. } | Instr::Store { map, .. } => in_map(map),
                _ => {}
            }
        }
    };
    in_tape(&mut kernel.once);
    match &mut kernel.body {
        Body::Map(tape) | Body::Row { tape, .. } => in_tape(tape),
        Body::Contract { lhs, rhs, epilogue, .. } => {
            in_tape(epilogue);
            [lhs, rhs].into_iter().for_each(|Operand { map, .. }| in_map(map));
        }
        Body::Scatter { .. } | Body::Sort { .. } | Body::Scan { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::{DType, Value};
    use crate::kernel::{Access, Binding};

    fn map(coefficients: &[i64]) -> Map {
        Map { base: Affine { coefficients: coefficients.to_vec(), offset: 0 }, guards: vec![] }
    }

    fn copy(rows: &[usize], from: &[i64], to: &[i64]) -> Kernel {
        let buffer = |access| Binding { dtype: DType::F32, access };
        Kernel {
            name: "copy".into(),
            rows: rows.to_vec(),
            inner: vec![],
            buffers: vec![buffer(Access::Read), buffer(Access::Write)],
            body: Body::Map(Tape {
                instrs: vec![
                    Instr::Load { buffer: 0, map: map(from), fill: Value::F32(0.0) },
                    Instr::Store { buffer: 1, map: map(to), value: 0 },
                ],
            }),
            once: Tape::default(),
        }
    }

    #[test]
    fn contiguous_axes_become_one() {
        assert_eq!(collapse(&copy(&[2, 3, 1, 4], &[12, 4, 4, 1], &[12, 4, 9, 1])).rows, [24]);
    }

    #[test]
    fn a_transposition_keeps_its_axes() {
        assert_eq!(collapse(&copy(&[5, 3, 4], &[12, 1, 3], &[12, 4, 1])).rows, [5, 3, 4]);
        assert_eq!(collapse(&copy(&[5, 3, 4], &[1, 20, 5], &[12, 4, 1])).rows, [5, 12]);
    }

    #[test]
    fn single_points_and_empty_loops_stay_so() {
        assert!(collapse(&copy(&[1, 1], &[7, 7], &[1, 1])).rows.is_empty());
        assert_eq!(collapse(&copy(&[0, 3], &[3, 1], &[3, 1])).rows, [0]);
    }
}
