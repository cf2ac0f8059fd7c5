//! Sparse and ragged tensors inside of a traced function: structure from outside, values as arguments.

use kiln_graph::{Error, Function, RaggedTensor, SparseTensor, Tensor, gradients};

#[test]
fn values_are_arguments() {
    let step = Function::new("step", |x: &[Tensor]| {
        let sparse = SparseTensor::new(&[[0, 1], [2, 0]], x[0].clone(), &[3, 2]);
        let rows = RaggedTensor::from_row_lengths(&x[1], &[1, 0, 2]);
        let y = sparse.sparse_dense_matmul(&x[2], false, false).sum(1) * rows.reduce_sum(1, false).dense();
        let slopes = gradients(&y.sum(()), &x[..2])?;
        Ok([vec![y], slopes].concat())
    });
    for scale in [1.0f32, 2.0] {
        let values = Tensor::from_slice(&[1.0, 2.0f32]) * scale;
        let items = Tensor::from_slice(&[1.0, 2.0, 3.0f32]);
        let dense = Tensor::from_vec([1.0, 0.0, 0.5, 0.25f32], &[2, 2]);
        let out = step.call(&[values, items, dense]).expect("the step");
        assert_eq!(out[0].to_vec::<f32>().expect("y"), [0.75 * scale, 0.0, 10.0 * scale]);
        assert_eq!(out[1].to_vec::<f32>().expect("slope"), [0.75, 5.0]);
        assert_eq!(out[2].to_vec::<f32>().expect("slope"), [0.75 * scale, 2.0 * scale, 2.0 * scale]);
    }
    assert_eq!(step.trace_count(), 1);
}

#[test]
fn structure_of_arguments_is_an_error() {
    let wrong =
        Function::new("step", |x: &[Tensor]| Ok(vec![SparseTensor::from_dense(&x[0]).values().clone()]));
    let error = wrong.call(&[Tensor::ones(&[2])]).expect_err("an error");
    assert!(matches!(error, Error::Trace { .. }), "{error}");
    assert!(
        error.to_string().contains("[sparse.from_dense]") && error.to_string().contains("outside"),
        "{error}"
    );
}
