//! Sparse tensors against TensorFlow.

use kiln_graph::sparse::{self, BincountOptions};
use kiln_graph::text::{CrossInput, DEFAULT_HASH_KEY};
use kiln_graph::{DType, SparseTensor, Tensor};

use crate::Run;
use crate::value::{Call, Value};

fn segment(c: &Call, run: fn(&Tensor, &[i32], &[i32], Option<usize>) -> Tensor) -> Vec<Value> {
    vec![run(&c.x(0), &c.ints("indices"), &c.ints("segment_ids"), c.size("num_segments")).into()]
}

/// The inputs of a cross, which are of any kind.
pub(crate) fn crossed<T>(c: &Call, run: impl FnOnce(&[&dyn CrossInput]) -> T) -> T {
    let input = |i: usize| -> Box<dyn CrossInput> {
        match (&c.inputs[i], c.is_text(i)) {
            (Value::Dense(_), true) => Box::new(c.s(i)),
            (Value::Dense(_), false) => Box::new(c.x(i)),
            (Value::Sparse { .. }, true) => Box::new(c.sparse_strings(i)),
            (Value::Sparse { .. }, false) => Box::new(c.sparse(i)),
            (Value::Ragged { .. }, true) => Box::new(c.ragged_strings(i)),
            (Value::Ragged { .. }, false) => Box::new(c.ragged(i)),
        }
    };
    let inputs: Vec<Box<dyn CrossInput>> = (0..c.inputs.len()).map(input).collect();
    run(&inputs.iter().map(Box::as_ref).collect::<Vec<_>>())
}

/// The seed of a hashed cross.
pub(crate) fn hash_key(c: &Call) -> u64 {
    if c.has("hash_key") { c.int("hash_key") as u64 } else { DEFAULT_HASH_KEY }
}

fn bincount(c: &Call) -> Vec<Value> {
    let options = BincountOptions {
        by_row: c.int("axis") == -1,
        minlength: c.size("minlength"),
        maxlength: c.size("maxlength"),
        binary_output: c.flag("binary_output"),
    };
    let weights = (c.inputs.len() > 1).then(|| c.x(1));
    let counts = match &c.inputs[0] {
        Value::Dense(_) => sparse::bincount(&c.x(0), weights.as_ref(), &options),
        Value::Sparse { .. } => c.sparse(0).bincount(weights.as_ref(), &options),
        Value::Ragged { .. } => c.ragged(0).bincount(weights.as_ref(), &options),
    };
    vec![counts.into()]
}

fn concat(c: &Call) -> Vec<Value> {
    let (axis, expand) = (c.int("axis"), c.flag("expand_nonconcat_dims"));
    if c.is_text(0) {
        let all: Vec<_> = (0..c.inputs.len()).map(|i| c.sparse_strings(i)).collect();
        return vec![sparse::concat(&all, axis, expand).into()];
    }
    let all: Vec<_> = (0..c.inputs.len()).map(|i| c.sparse(i)).collect();
    vec![sparse::concat(&all, axis, expand).into()]
}

fn to_dense(c: &Call) -> Vec<Value> {
    match c.is_text(0) {
        true => vec![c.sparse_strings(0).to_dense(c.text("default_value").unwrap_or("")).into()],
        false => vec![c.sparse(0).to_dense(c.float_or("default_value", 0.0)).into()],
    }
}

fn fill_empty_rows(c: &Call) -> Vec<Value> {
    if let Some(text) = c.text("default_value") {
        let (filled, empty) = c.sparse_strings(0).fill_empty_rows(text);
        return vec![filled.into(), empty.into()];
    }
    let (filled, empty) = c.sparse(0).fill_empty_rows(c.float("default_value"));
    vec![filled.into(), empty.into()]
}

pub(crate) const TABLE: &[(&str, Run)] = &[
    ("sparse.add", |c| vec![c.sparse(0).add(&c.sparse(1)).into()]),
    ("sparse.add_dense", |c| vec![c.sparse(0).add_dense(&c.x(1)).into()]),
    ("sparse.bincount", bincount),
    ("sparse.concat", concat),
    ("sparse.cross", |c| {
        vec![crossed(c, |all| sparse::cross(all, c.text("separator").unwrap_or("_X_"))).into()]
    }),
    ("sparse.cross_hashed", |c| {
        let buckets = c.size("num_buckets").unwrap_or(0);
        vec![crossed(c, |all| sparse::cross_hashed(all, buckets, hash_key(c))).into()]
    }),
    ("sparse.div_dense", |c| vec![c.sparse(0).div_dense(c.x(1)).into()]),
    ("sparse.expand_dims", |c| vec![c.sparse(0).expand_dims(c.int("axis")).into()]),
    ("sparse.eye", |c| {
        let (rows, columns) = (c.int("num_rows") as usize, c.int("num_columns") as usize);
        vec![sparse::eye(rows, columns, DType::F32).into()]
    }),
    ("sparse.fill_empty_rows", fill_empty_rows),
    ("sparse.from_dense", |c| match c.is_text(0) {
        true => vec![SparseTensor::from_dense(&c.s(0)).into()],
        false => vec![SparseTensor::from_dense(&c.x(0)).into()],
    }),
    ("sparse.map_values", |c| vec![c.sparse(0).map_values(Tensor::exp).into()]),
    ("sparse.mask", |c| vec![c.sparse(0).mask(&c.ints("mask_indices")).into()]),
    ("sparse.maximum", |c| vec![c.sparse(0).maximum(&c.sparse(1)).into()]),
    ("sparse.minimum", |c| vec![c.sparse(0).minimum(&c.sparse(1)).into()]),
    ("sparse.mul_dense", |c| vec![c.sparse(0).mul_dense(c.x(1)).into()]),
    ("sparse.reduce_max", |c| vec![c.sparse(0).reduce_max(c.axes(), c.flag("keepdims")).into()]),
    ("sparse.reduce_max_sparse", |c| {
        vec![c.sparse(0).reduce_max_sparse(c.axes(), c.flag("keepdims")).into()]
    }),
    ("sparse.reduce_sum", |c| vec![c.sparse(0).reduce_sum(c.axes(), c.flag("keepdims")).into()]),
    ("sparse.reduce_sum_sparse", |c| {
        vec![c.sparse(0).reduce_sum_sparse(c.axes(), c.flag("keepdims")).into()]
    }),
    ("sparse.reorder", |c| vec![c.sparse(0).reorder().into()]),
    ("sparse.reset_shape", |c| {
        let shape = c.has("new_shape").then(|| c.sizes("new_shape"));
        vec![c.sparse(0).reset_shape(shape.as_deref()).into()]
    }),
    ("sparse.reshape", |c| vec![c.sparse(0).reshape(&c.longs("shape")).into()]),
    ("sparse.retain", |c| vec![c.sparse(0).retain(&c.flags("to_retain")).into()]),
    ("sparse.sampled_addmm", |c| {
        let (beta, alpha) = (c.float("beta"), c.float("alpha"));
        // TensorFlow gives the values alone.
        vec![sparse::sampled_addmm(&c.sparse(0), &c.x(1), &c.x(2), beta, alpha).values().clone().into()]
    }),
    ("sparse.segment_mean", |c| segment(c, sparse::segment_mean)),
    ("sparse.segment_sqrt_n", |c| segment(c, sparse::segment_sqrt_n)),
    ("sparse.segment_sum", |c| segment(c, sparse::segment_sum)),
    ("sparse.slice", |c| vec![c.sparse(0).slice(&c.sizes("start"), &c.sizes("size")).into()]),
    ("sparse.softmax", |c| vec![c.sparse(0).softmax().into()]),
    ("sparse.sparse_dense_matmul", |c| {
        vec![c.sparse(0).sparse_dense_matmul(&c.x(1), c.flag("adjoint_a"), c.flag("adjoint_b")).into()]
    }),
    ("sparse.split", |c| {
        let parts = c.size("num_split").expect("num_split");
        c.sparse(0).split(parts, c.int("axis")).into_iter().map(Value::from).collect()
    }),
    ("sparse.to_dense", to_dense),
    ("sparse.to_indicator", |c| {
        vec![c.sparse(0).to_indicator(c.size("vocab_size").expect("vocab_size")).into()]
    }),
    ("sparse.transpose", |c| {
        let permutation = if c.has("perm") { c.longs("perm") } else { vec![] };
        vec![c.sparse(0).transpose(&permutation).into()]
    }),
    ("sparse.with_values", |c| vec![c.sparse(0).with_values(c.x(1)).into()]),
];
