//! Gradients through sparse and ragged tensors against central differences in the interpreter's `f64`.

use kiln_graph::interpret::{graph_of, interpret};
use kiln_graph::{RaggedTensor, SparseTensor, Tensor, gradients_with, ragged, sparse};

use crate::value::{support_unit as unit, tensor_of};

const STEP: f64 = 1e-6;
const RELATIVE: f64 = 1e-6;

/// Numbers in −2..2, none near another.
fn leaf(shape: &[usize], seed: usize) -> Tensor {
    let count = shape.iter().product();
    let numbers: Vec<f64> = (0..count)
        .map(|i| (4.0 * (i as f64 + 0.5) / count as f64 - 2.0, unit(i, seed)))
        .map(|(even, random)| even + 0.3 * (random - 0.5) / count as f64)
        .collect();
    // In no order: a stride that is prime to the count.
    let stride = [7, 5, 3, 1].into_iter().find(|s| count % s != 0 || *s == 1).unwrap_or(1);
    let mixed: Vec<f64> = (0..count).map(|i| numbers[i * stride % count]).collect();
    tensor_of(&mixed, shape, kiln_graph::DType::F32)
}

/// Checks the gradients of an expression of leaves of the shapes given.
#[track_caller]
fn check(shapes: &[&[usize]], build: impl Fn(&[Tensor]) -> Tensor) {
    let leaves: Vec<Tensor> = shapes.iter().enumerate().map(|(i, shape)| leaf(shape, i)).collect();
    let y = build(&leaves);
    assert!(y.error().is_none(), "{y:?}");
    let weights: Vec<f64> = (0..y.len()).map(|i| ((0.5 + unit(i, 99)) as f32) as f64).collect();
    let cotangent = tensor_of(&weights, y.shape(), y.dtype());
    let slopes = gradients_with(&y, &cotangent, &leaves).expect("gradients");
    let (graph, values) = graph_of(&leaves, &slopes).expect("the gradients' graph");
    let analytic = interpret(&graph, &values).expect("the gradients' values").outputs;
    let (graph, mut values) = graph_of(&leaves, &[y]).expect("the graph");
    let sum = |values: &[Vec<f64>]| -> f64 {
        let outputs = interpret(&graph, values).expect("the value").outputs;
        outputs[0].iter().zip(&weights).map(|(y, w)| y * w).sum()
    };
    for (n, slope) in analytic.iter().enumerate() {
        let scale = slope.iter().fold(1e-3f64, |m, g| m.max(g.abs()));
        assert!(slope.iter().any(|g| *g != 0.0), "leaf {n} has no gradient at all");
        for (i, found) in slope.iter().enumerate() {
            let middle = values[n][i];
            values[n][i] = middle + STEP;
            let above = sum(&values);
            values[n][i] = middle - STEP;
            let below = sum(&values);
            values[n][i] = middle;
            let expected = (above - below) / (2.0 * STEP);
            assert!((found - expected).abs() <= RELATIVE * scale, "leaf {n}[{i}]: {found}, not {expected}");
        }
    }
}

const PLACES: [[i32; 2]; 5] = [[0, 1], [0, 3], [2, 0], [3, 3], [3, 1]];

fn matrix(values: &Tensor) -> SparseTensor {
    SparseTensor::new(&PLACES, values.clone(), &[4, 4])
}

fn rows(values: &Tensor) -> RaggedTensor {
    RaggedTensor::from_row_splits(values, &[0, 3, 3, 5, 6])
}

fn deep(values: &Tensor) -> RaggedTensor {
    RaggedTensor::from_nested_row_splits(
        values.clone(),
        &[[0, 2, 2, 5].to_vec(), [0, 2, 3, 6, 6, 7].to_vec()],
    )
}

#[test]
fn sparse_dense_products() {
    for (adjoint_a, adjoint_b) in [(false, false), (true, false), (false, true), (true, true)] {
        let b: &[usize] = if adjoint_b { &[3, 4] } else { &[4, 3] };
        check(&[&[5], b], |x| matrix(&x[0]).sparse_dense_matmul(&x[1], adjoint_a, adjoint_b));
    }
    // Two entries at one place.
    check(&[&[3], &[2, 2]], |x| {
        SparseTensor::new(&[[0, 1], [0, 1], [1, 0]], x[0].clone(), &[3, 2])
            .sparse_dense_matmul(&x[1], false, false)
    });
    check(&[&[5], &[4, 2], &[2, 4]], |x| {
        sparse::sampled_addmm(&matrix(&x[0]), &x[1], &x[2], 0.5, 2.0).values().clone()
    });
}

#[test]
fn sparse_arithmetic() {
    let other = |values: &Tensor| SparseTensor::new(&[[0, 1], [1, 1], [3, 3]], values.clone(), &[4, 4]);
    check(&[&[5], &[3]], |x| matrix(&x[0]).add(&other(&x[1])).values().square());
    check(&[&[5], &[3]], |x| matrix(&x[0]).maximum(&other(&x[1])).values().square());
    check(&[&[5], &[3]], |x| matrix(&x[0]).minimum(&other(&x[1])).to_dense(0.0).square());
    check(&[&[5], &[4, 4]], |x| matrix(&x[0]).add_dense(&x[1]).square());
    check(&[&[5], &[4, 1]], |x| matrix(&x[0]).mul_dense(&x[1]).values().square());
    check(&[&[5], &[4]], |x| matrix(&x[0]).div_dense(x[1].square()).values().clone());
    check(&[&[2, 3]], |x| SparseTensor::from_dense(&x[0]).map_values(|v| v.exp()).to_dense(0.0));
}

#[test]
fn sparse_reductions_and_shapes() {
    check(&[&[5]], |x| matrix(&x[0]).reduce_sum(0, false).square());
    check(&[&[5]], |x| matrix(&x[0]).reduce_max(1, true).square());
    check(&[&[5]], |x| matrix(&x[0]).reduce_max_sparse(1, false).values().square());
    check(&[&[5]], |x| matrix(&x[0]).softmax().values().clone());
    check(&[&[5]], |x| matrix(&x[0]).transpose(&[]).reshape(&[2, 8]).to_dense(1.0).square());
    check(&[&[5]], |x| {
        sparse::concat(&[matrix(&x[0]), matrix(&x[0])], 1, false).gather_rows(&[3, 0, 3]).values().square()
    });
    check(&[&[4, 2]], |x| sparse::segment_sqrt_n(&x[0], &[0, 3, 1, 2, 0], &[0, 0, 2, 2, 2], None).square());
}

#[test]
fn ragged_reductions() {
    type Reduce = fn(&RaggedTensor, i64) -> kiln_graph::RaggedOrDense;
    let reductions: [Reduce; 7] = [
        |t, axis| t.reduce_sum(axis, false),
        |t, axis| t.reduce_prod(axis, true),
        |t, axis| t.reduce_mean(axis, false),
        |t, axis| t.reduce_max(axis, false),
        |t, axis| t.reduce_min(axis, true),
        |t, axis| t.reduce_variance(axis, false),
        |t, axis| t.reduce_variance(axis, true),
    ];
    let flat = |either: kiln_graph::RaggedOrDense| match either {
        kiln_graph::RaggedOrDense::Ragged(ragged) => ragged.flat_values().clone(),
        kiln_graph::RaggedOrDense::Dense(values) => values,
    };
    for reduce in reductions {
        for axis in [0, 1] {
            // Every row has items, so that every result is finite.
            check(&[&[6]], |x| {
                flat(reduce(&RaggedTensor::from_row_lengths(&x[0], &[3, 2, 1]), axis)).square()
            });
            check(&[&[6, 2]], |x| {
                flat(reduce(&RaggedTensor::from_row_lengths(&x[0], &[3, 2, 1]), axis)).square()
            });
        }
        for axis in [0, 1, 2] {
            let nested =
                |x: &Tensor| RaggedTensor::from_nested_row_lengths(x.clone(), &[vec![2, 1], vec![2, 1, 3]]);
            check(&[&[6]], |x| flat(reduce(&nested(&x[0]), axis)).square());
        }
    }
    check(&[&[6]], |x| flat(rows(&x[0]).reduce_sum(1, false)).square());
    check(&[&[7]], |x| flat(deep(&x[0]).reduce_sum(0, false)).square());
    check(&[&[6]], |x| RaggedTensor::from_row_lengths(&x[0], &[3, 1, 2]).softmax(1).flat_values().square());
}

#[test]
fn ragged_structure() {
    check(&[&[6]], |x| rows(&x[0]).to_tensor(0.5, Some(&[None, Some(4)])).square());
    check(&[&[7]], |x| deep(&x[0]).to_tensor(0.0, None).square());
    check(&[&[6], &[4, 1]], |x| (&rows(&x[0]) * &x[1]).flat_values().square());
    check(&[&[7], &[3, 1, 1]], |x| (&deep(&x[0]) - &x[1]).flat_values().square());
    check(&[&[6], &[6]], |x| {
        ragged::concat([rows(&x[0]), rows(&x[1])], 1).ragged().gather(&[2, 0]).flat_values().square()
    });
    check(&[&[6]], |x| {
        ragged::stack([rows(&x[0]), rows(&x[0])], 1).slice_axis(2, Some(1), None).flat_values().square()
    });
    check(&[&[4, 2]], |x| {
        let tokens = ragged::constant(&[vec![3, 0], vec![], vec![1, 0, 2]]);
        tokens.map_flat_values(|ids| x[0].take(ids, 0)).reduce_sum(1, false).dense().square()
    });
    check(&[&[3, 4]], |x| {
        RaggedTensor::from_tensor_with_lengths(x[0].clone(), &[2, 0, 4])
            .to_sparse()
            .reduce_sum(0, false)
            .square()
    });
}
