"""Golden values of sparse, ragged and string tensors and of sets, from TensorFlow 2.21 on the CPU.

    pip install tensorflow-cpu==2.21.0
    python structures.py [PATH OF keras_api.json]

Writes structures.json, one case a line: `op`, `in` and `out` (values), `args`, `tol` (largest relative error of floats; 0 is
exact). A value is numbers or strings `{t, shape, data}`, a sparse `{indices, dense_shape, values}` or a ragged `{splits, flat}`
(and `uniform`, the row lengths that are promised).
With the path of a list of TensorFlow's names, writes those that a case or an exclusion must stand for too.
"""

import json
import os
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
import tensorflow as tf

TYPES = {"float32": "f32", "int32": "i32", "int64": "i32", "bool": "bool", "uint8": "u8"}
cases = []


def number(x, dtype):
    if dtype == "bool":
        return bool(x)
    if dtype == "f32":
        x = float(np.float32(x))
        return x if np.isfinite(x) else str(x)
    return int(x)


def dense(x):
    x = np.asarray(x)
    if x.dtype.kind in "OSU":
        data = [s if isinstance(s, str) else s.decode() for s in x.reshape(-1).tolist()]
        return {"t": "str", "shape": list(x.shape), "data": data}
    dtype = TYPES[str(x.dtype)]
    return {"t": dtype, "shape": list(x.shape), "data": [number(v, dtype) for v in x.reshape(-1)]}


def value(x):
    if isinstance(x, tf.SparseTensor):
        return {
            "indices": x.indices.numpy().tolist(),
            "dense_shape": x.dense_shape.numpy().tolist(),
            "values": dense(x.values.numpy()),
        }
    if isinstance(x, tf.RaggedTensor):
        made = {"splits": [s.numpy().tolist() for s in x.nested_row_splits], "flat": dense(x.flat_values.numpy())}
        uniform, level = [], x
        while isinstance(level, tf.RaggedTensor):
            uniform.append(None if level.uniform_row_length is None else int(level.uniform_row_length))
            level = level.values
        return made if set(uniform) == {None} else {**made, "uniform": uniform}
    return dense(x.numpy() if hasattr(x, "numpy") else x)


def case(op, run, *inputs, tol=0, **args):
    out = run(*inputs, **args)
    outs = list(out) if isinstance(out, (tuple, list)) else [out]
    cases.append({
        "op": op,
        "in": [value(x) for x in inputs],
        "args": args,
        "out": [value(x) for x in outs],
        "tol": tol,
    })


rng = np.random.default_rng(7)


def floats(*shape):
    return np.round(rng.normal(size=shape) * 4, 3).astype(np.float32)


def sparse(shape, places, values=None):
    values = floats(len(places)) if values is None else np.asarray(values)
    if values.dtype == np.int64:
        values = values.astype(np.int32)
    return tf.SparseTensor(np.asarray(places, np.int64).reshape(-1, len(shape)), values, shape)


def some(shape, fraction, values=None):
    """A sparse tensor with about so many of its places."""
    count = int(np.prod(shape))
    chosen = np.sort(rng.choice(count, max(1, int(count * fraction)), replace=False))
    return sparse(shape, np.stack(np.unravel_index(chosen, shape), 1), values)


def ragged(rows, dtype=None, **kw):
    dtype = dtype or None
    return tf.ragged.constant(rows, dtype=dtype, **kw)


A = some([4, 5], 0.4)
B = some([4, 5], 0.5)
C = some([2, 3, 4], 0.4)
D = some([2, 3, 4], 0.5)
NONE = sparse([3, 4], [], np.zeros(0, np.float32))
GAPS = sparse([5, 4], [[1, 0], [1, 3], [3, 1]])
MIXED = sparse([3, 4], [[2, 1], [0, 3], [1, 0], [0, 1]])
INTS = sparse([3, 4], [[0, 1], [1, 0], [1, 3], [2, 2]], np.asarray([3, -1, 4, 2], np.int32))
WORDS = sparse([3, 4], [[0, 1], [1, 0], [1, 3]], np.asarray(["a", "bb", "c"]))


def sparse_cases():
    s = tf.sparse
    for a, b in [(A, B), (C, D), (NONE, some([3, 4], 0.5)), (NONE, NONE)]:
        case("sparse.add", lambda a, b: s.add(a, b), a, b, tol=1e-6)
        case("sparse.maximum", s.maximum, a, b)
        case("sparse.minimum", s.minimum, a, b)
        case("sparse.add_dense", lambda a, b: s.add(a, b), a, tf.constant(floats(*a.shape)), tol=1e-6)
    for other in ([4, 5], [5], [4, 1], [1, 5], [1, 1], []):
        d = tf.constant(floats(*other) + 10)
        case("sparse.mul_dense", lambda a, d: a * d, A, d, tol=1e-6)
        case("sparse.div_dense", lambda a, d: a / d, A, d, tol=1e-6)
    case("sparse.mul_dense", lambda a, d: a * d, C, tf.constant(floats(3, 1)), tol=1e-6)
    for a in (A, C, GAPS, NONE, INTS, MIXED):
        for axis in [None, 0, -1, [0, 1], [1]]:
            for keepdims in (False, True):
                case("sparse.reduce_sum", s.reduce_sum, a, axis=axis, keepdims=keepdims, tol=1e-6)
                case("sparse.reduce_max", s.reduce_max, a, axis=axis, keepdims=keepdims)
    for axis in (0, -1):
        for keepdims in (False, True):
            run = lambda a, axis, keepdims: s.reduce_sum(a, axis, keepdims, output_is_sparse=True)
            case("sparse.reduce_sum_sparse", run, A, axis=axis, keepdims=keepdims, tol=1e-6)
            run = lambda a, axis, keepdims: s.reduce_max(a, axis, keepdims, output_is_sparse=True)
            case("sparse.reduce_max_sparse", run, C, axis=axis, keepdims=keepdims)
    case("sparse.reorder", s.reorder, MIXED)
    case("sparse.to_dense", s.to_dense, A)
    case("sparse.to_dense", s.to_dense, C, default_value=-1.5)
    case("sparse.to_dense", s.to_dense, NONE)
    case("sparse.to_dense", s.to_dense, WORDS, default_value="?")
    case("sparse.from_dense", s.from_dense, tf.constant([[0.0, 1.5, np.nan], [-0.0, 0.0, -2.0]]))
    case("sparse.from_dense", s.from_dense, tf.constant([[[0, 1], [2, 0]]]))
    case("sparse.from_dense", s.from_dense, tf.constant([["", "a"], ["b", ""]]))
    case("sparse.from_dense", s.from_dense, tf.zeros([2, 0]))
    for shape in ([2, 10], [-1, 2], [20], [1, 5, -1]):
        case("sparse.reshape", s.reshape, A, shape=shape)
    case("sparse.reshape", s.reshape, C, shape=[4, -1])
    case("sparse.transpose", s.transpose, A)
    case("sparse.transpose", s.transpose, C, perm=[2, 0, 1])
    for axis in (0, 1, -1):
        case("sparse.expand_dims", s.expand_dims, C, axis=axis)
    case("sparse.reset_shape", s.reset_shape, GAPS)
    case("sparse.reset_shape", s.reset_shape, GAPS, new_shape=[7, 4])
    case("sparse.slice", s.slice, A, start=[1, 1], size=[2, 3])
    case("sparse.slice", s.slice, C, start=[0, 1, 2], size=[2, 9, 1])
    case("sparse.slice", s.slice, NONE, start=[0, 1], size=[2, 2])
    case("sparse.split", lambda a, num_split, axis: s.split(a, num_split, axis), A, num_split=2, axis=0)
    case("sparse.split", lambda a, num_split, axis: s.split(a, num_split, axis), A, num_split=3, axis=1)
    case("sparse.split", lambda a, num_split, axis: s.split(a, num_split, axis), C, num_split=2, axis=-1)
    case("sparse.concat", lambda *t, axis, expand_nonconcat_dims: s.concat(axis, list(t), expand_nonconcat_dims), A, B,
         axis=0, expand_nonconcat_dims=False)
    case("sparse.concat", lambda *t, axis, expand_nonconcat_dims: s.concat(axis, list(t), expand_nonconcat_dims), A, B, A,
         axis=1, expand_nonconcat_dims=False)
    case("sparse.concat", lambda *t, axis, expand_nonconcat_dims: s.concat(axis, list(t), expand_nonconcat_dims), A,
         some([2, 7], 0.3), axis=-2, expand_nonconcat_dims=True)
    case("sparse.concat", lambda *t, axis, expand_nonconcat_dims: s.concat(axis, list(t), expand_nonconcat_dims), WORDS, WORDS,
         axis=1, expand_nonconcat_dims=False)
    case("sparse.retain", lambda a, to_retain: s.retain(a, to_retain), MIXED, to_retain=[True, False, False, True])
    case("sparse.fill_empty_rows", lambda a, default_value: s.fill_empty_rows(a, default_value), GAPS, default_value=-1.0)
    case("sparse.fill_empty_rows", lambda a, default_value: s.fill_empty_rows(a, default_value), WORDS, default_value="-")
    case("sparse.fill_empty_rows", lambda a, default_value: s.fill_empty_rows(a, default_value), NONE, default_value=2.0)
    case("sparse.map_values", lambda a: s.map_values(tf.exp, a), A, tol=1e-6)

    def masked(a, mask_indices):
        out = s.mask(tf.IndexedSlices(a.values, a.indices[:, 0]), mask_indices)
        return tf.SparseTensor(out.indices[:, None], out.values, a.dense_shape)

    case("sparse.mask", masked, sparse([9], [[1], [2], [5], [8]]), mask_indices=[2, 8])
    case("sparse.softmax", s.softmax, A, tol=1e-6)
    case("sparse.softmax", s.softmax, C, tol=1e-6)
    for m, n, ta, tb in [(5, 3, False, False), (4, 3, True, False), (5, 3, False, True), (4, 3, True, True), (5, 1, False, False)]:
        b = tf.constant(floats(*((n, m) if tb else (m, n))))
        case("sparse.sparse_dense_matmul", s.sparse_dense_matmul, A, b, adjoint_a=ta, adjoint_b=tb, tol=1e-6)
    case("sparse.sparse_dense_matmul", s.sparse_dense_matmul, NONE, tf.constant(floats(4, 2)), adjoint_a=False, adjoint_b=False)
    case("sparse.sparse_dense_matmul", s.sparse_dense_matmul, INTS, tf.constant([[1, 2], [3, 4], [5, 6], [7, 8]]),
         adjoint_a=False, adjoint_b=False)
    data = tf.constant(floats(4, 3))
    for op in ("segment_sum", "segment_mean", "segment_sqrt_n"):
        case("sparse." + op, lambda d, op=op, **k: getattr(s, op)(d, **k), data, indices=[0, 3, 1, 1], segment_ids=[0, 0, 2, 2],
             tol=1e-6)
        case("sparse." + op, lambda d, op=op, **k: getattr(s, op)(d, **k), data, indices=[0, 2], segment_ids=[1, 1],
             num_segments=4, tol=1e-6)
    case("sparse.eye", lambda num_rows, num_columns: s.eye(num_rows, num_columns), num_rows=3, num_columns=5)
    case("sparse.eye", lambda num_rows, num_columns: s.eye(num_rows, num_columns), num_rows=4, num_columns=2)
    case("sparse.to_indicator", lambda a, vocab_size: s.to_indicator(tf.cast(a, tf.int64), vocab_size),
         sparse([2, 3], [[0, 0], [0, 2], [1, 1]], np.asarray([4, 1, 0], np.int32)), vocab_size=6)
    numbers = tf.constant([[3, 1, 3], [0, 5, 1]])
    weights = tf.constant(floats(2, 3))
    for axis in (0, -1):
        case("sparse.bincount", s.bincount, numbers, axis=axis)
        case("sparse.bincount", s.bincount, numbers, axis=axis, minlength=9)
        case("sparse.bincount", s.bincount, numbers, axis=axis, maxlength=4)
        case("sparse.bincount", s.bincount, numbers, axis=axis, binary_output=True)
        case("sparse.bincount", s.bincount, numbers, weights, axis=axis, tol=1e-6)
        counted = sparse([3, 4], [[0, 0], [0, 2], [2, 1]], np.asarray([2, 2, 4], np.int32))
        case("sparse.bincount", s.bincount, counted, axis=axis)
        case("sparse.bincount", s.bincount, ragged([[1, 1, 2], [], [0]], tf.int32), axis=axis)
    c = sparse([2, 2], [[0, 1], [1, 0], [1, 1]])
    case("sparse.sampled_addmm", lambda c, a, b, beta, alpha: s.sampled_addmm(c.indices, c.values, tf.cast(c.dense_shape, tf.int32), a, b, beta, alpha)[1],
         c, tf.constant(floats(2, 3)), tf.constant(floats(3, 2)), beta=0.5, alpha=2.0, tol=1e-6)
    one = tf.constant([["red"], ["blue"]])
    two = sparse([2, 3], [[0, 0], [0, 2], [1, 1]], np.asarray(["x", "y", "z"]))
    three = tf.constant([[1, 2], [3, 40]], tf.int64)
    # TensorFlow moves sparse inputs before dense ones; here they stand there already.
    case("sparse.cross", lambda *t, separator: s.cross(list(t), separator=separator), two, one, three, separator="_X_")
    case("sparse.cross", lambda *t, separator: s.cross(list(t), separator=separator), two, two, separator="-")
    for key in (None, 17):
        case("sparse.cross_hashed", lambda *t, num_buckets, hash_key: s.cross_hashed(list(t), num_buckets, hash_key),
             two, one, three, num_buckets=2147483647, hash_key=key)
    case("sparse.with_values", lambda a, v: a.with_values(v), A, tf.constant(floats(8)))


R = ragged([[3.5, 1.0, 4.0], [], [1.0, 5.0], [9.0]], tf.float32)
R2 = ragged([[[1.0, 2.0], [3.0]], [], [[4.0, 5.0, 6.0], [], [7.0]]], tf.float32)
I = ragged([[3, 1, 4], [], [1, 5], [9]], tf.int32)
FULL = ragged([[3.5, 1.0, 4.0], [2.0], [1.0, 5.0]], tf.float32)
INNER = tf.RaggedTensor.from_row_splits(floats(5, 2), [0, 2, 2, 5])
S = ragged([["a", "bb"], [], ["c"]])
UNIFORM = tf.RaggedTensor.from_uniform_row_length(R2.values, 1)


def ragged_cases():
    r, T = tf.ragged, tf.RaggedTensor
    v = tf.constant(floats(6, 2))
    case("ragged.from_row_splits", lambda v, p: T.from_row_splits(v, p), v, p=[0, 2, 2, 6])
    case("ragged.from_row_lengths", lambda v, p: T.from_row_lengths(v, p), v, p=[2, 0, 4])
    case("ragged.from_row_starts", lambda v, p: T.from_row_starts(v, p), v, p=[0, 2, 2, 6])
    case("ragged.from_row_limits", lambda v, p: T.from_row_limits(v, p), v, p=[2, 2, 6])
    case("ragged.from_value_rowids", lambda v, p, nrows: T.from_value_rowids(v, p, nrows), v, p=[0, 0, 2, 2, 2, 3], nrows=6)
    case("ragged.from_value_rowids", lambda v, p, nrows: T.from_value_rowids(v, p, nrows), v, p=[0, 0, 2, 2, 2, 3], nrows=None)
    case("ragged.from_uniform_row_length", lambda v, p: T.from_uniform_row_length(v, p), v, p=3)
    case("ragged.from_nested_row_splits", lambda v, p: T.from_nested_row_splits(v, p), v, p=[[0, 1, 3], [0, 2, 2, 6]])
    case("ragged.from_nested_row_lengths", lambda v, p: T.from_nested_row_lengths(v, p), v, p=[[1, 2], [2, 0, 4]])
    case("ragged.from_nested_value_rowids", lambda v, p, nrows: T.from_nested_value_rowids(v, p, nrows), v,
         p=[[0, 0, 2], [0, 0, 1, 1, 1, 2]], nrows=[4, 3])
    for t in (R, R2, INNER, UNIFORM, S):
        case("ragged.parts", lambda t: (t.row_splits, t.row_lengths(), t.row_starts(), t.row_limits(), t.value_rowids(), t.nrows(),
             t.bounding_shape(), t.flat_values, t.values), t)
        case("ragged.nested_parts", lambda t: (*t.nested_row_splits, *t.nested_row_lengths(), *t.nested_value_rowids()), t)
        case("ragged.to_sparse", lambda t: t.to_sparse(), t)
    for axis in (0, 1, 2, -1):
        case("ragged.row_lengths_at", lambda t, axis: t.row_lengths(axis), R2, axis=axis)
    case("ragged.row_lengths_at", lambda t, axis: t.row_lengths(axis), INNER, axis=2)
    case("ragged.to_tensor", lambda t, **k: t.to_tensor(**k), R)
    case("ragged.to_tensor", lambda t, **k: t.to_tensor(**k), R2, default_value=-1.0)
    case("ragged.to_tensor", lambda t, **k: t.to_tensor(**k), R2, shape=[None, 2, 4])
    case("ragged.to_tensor", lambda t, **k: t.to_tensor(**k), R, shape=[3, 2])
    case("ragged.to_tensor", lambda t, **k: t.to_tensor(**k), R, shape=[6, None])
    case("ragged.to_tensor", lambda t, **k: t.to_tensor(**k), INNER)
    case("ragged.to_tensor", lambda t, **k: t.to_tensor(**k), S, default_value="-")
    d = tf.constant([[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3.0, 4.0, 5.0, 6.0]])
    case("ragged.from_tensor", lambda d, **k: T.from_tensor(d, **k), d, ragged_rank=1)
    case("ragged.from_tensor", lambda d, **k: T.from_tensor(d, **k), tf.constant(floats(2, 3, 2)), ragged_rank=2)
    case("ragged.from_tensor", lambda d, **k: T.from_tensor(d, **k), tf.constant(floats(2, 3, 2)), ragged_rank=1)
    case("ragged.from_tensor", lambda d, **k: T.from_tensor(d, **k), d, lengths=[2, 0, 3])
    case("ragged.from_tensor", lambda d, **k: T.from_tensor(d, **k), d, padding=0.0)
    case("ragged.from_tensor", lambda d, **k: T.from_tensor(d, **k), tf.constant([[["a", "-"], ["-", "-"]], [["-", "b"], ["c", "d"]]]),
         padding="-", ragged_rank=2)
    case("ragged.from_sparse", T.from_sparse, sparse([4, 3], [[0, 0], [0, 1], [2, 0]]))
    for op in ("sum", "prod", "mean", "max", "min", "any", "all", "variance", "std"):
        fn = getattr(tf, "reduce_" + op, None) or getattr(tf.math, "reduce_" + op)
        tensors = [FULL, INNER] if op in ("max", "min", "mean", "variance", "std") else [R, R2, INNER, I]
        if op in ("any", "all"):
            tensors = [ragged([[True, False], [], [True]]), ragged([[[True], [False, True]], [[False]]])]
        if op in ("max", "min", "mean"):
            tensors.append(ragged([[[1.0, 2.0], [3.0]], [[4.0, 5.0, 6.0], [8.0], [7.0]]], tf.float32))
        for t in tensors:
            for axis in [None, 0, 1, -1, [0, 1], [-1, 0]]:
                for keepdims in (False, True):
                    if t is INNER and axis is None and keepdims:
                        continue  # TensorFlow adds an axis too many.
                    if t is INNER and axis in (1, [-1, 1]) and op in ("max", "min"):
                        continue  # Of an empty row TensorFlow gives the least finite float, Kiln -inf as NumPy and JAX.
                    case("ragged.reduce_" + op, lambda t, axis, keepdims, fn=fn: fn(t, axis, keepdims), t, axis=axis,
                         keepdims=keepdims, tol=2e-5 if op in ("variance", "std") else 2e-6)
    case("ragged.reduce_mean", lambda t, axis, keepdims: tf.reduce_mean(t, axis, keepdims), R, axis=1, keepdims=False, tol=2e-6)
    case("ragged.softmax", lambda t: tf.nn.softmax(t), FULL, tol=1e-6)
    join = lambda *t, axis: tf.concat(list(t), axis)
    for axis in (0, 1, -1):
        case("ragged.concat", join, R, ragged([[1.0], [2.0, 3.0], [], [4.0]], tf.float32), axis=axis)
    for axis in (0, 1):
        case("ragged.concat", join, R2, ragged([[[1.0]], [[2.0], [3.0, 4.0]], []], tf.float32), R2, axis=axis)
    case("ragged.concat", join, R2, R2, axis=2)
    case("ragged.concat", join, INNER, INNER, axis=2)
    case("ragged.concat", join, S, S, axis=1)
    pile = lambda *t, axis: r.stack(list(t), axis)
    for axis in (0, 1, 2):
        case("ragged.stack", pile, R, R, axis=axis)
    case("ragged.stack", pile, R, ragged([[1.0]], tf.float32), axis=0)
    case("ragged.stack", pile, R2, R2, axis=1)
    case("ragged.stack", pile, tf.constant([1, 2]), tf.constant([3]), tf.constant([4, 5, 6]), axis=0)
    case("ragged.stack", pile, tf.constant([[1, 2]]), tf.constant([[3], [4]]), axis=0)
    case("ragged.stack_dynamic_partitions", lambda d, p, n: r.stack_dynamic_partitions(d, p, n), tf.constant(["a", "b", "c", "d", "e"]),
         p=[3, 0, 2, 2, 3], n=5)
    case("ragged.stack_dynamic_partitions", lambda d, p, n: r.stack_dynamic_partitions(d, p, n), R, p=[1, 0, 1, 1], n=2)
    case("ragged.gather", lambda t, rows: tf.gather(t, rows), R, rows=[2, 0, 0, 1])
    case("ragged.gather", lambda t, rows: tf.gather(t, rows), R2, rows=[2, 1, 0])
    case("ragged.gather", lambda t, rows: tf.gather(t, rows), S, rows=[2, 0])
    case("ragged.gather_ragged", lambda t, i: tf.gather(t, i), R, ragged([[0, 2], [], [3]], tf.int32))
    mask = ragged([[True, False, True], [], [False, True], [False]])
    case("ragged.boolean_mask", lambda t, m: r.boolean_mask(t, m), R, mask)
    case("ragged.boolean_mask", lambda t, m: r.boolean_mask(t, m), R, tf.constant([True, False, True, False]))
    case("ragged.boolean_mask", lambda t, m: r.boolean_mask(t, m), R2, ragged([[True, False], [], [False, True, True]]))
    case("ragged.boolean_mask", lambda t, m: r.boolean_mask(t, m), R2,
         ragged([[[True, False], [True]], [], [[False, True, True], [], [False]]]))
    case("ragged.masked_tensor", lambda t, m: r.boolean_mask(t, m), d, tf.constant(floats(3, 4) > 0))
    case("ragged.row", lambda t, i: t[i], R, i=2)
    case("ragged.row", lambda t, i: t[i], R2, i=-1)
    case("ragged.slice_rows", lambda t, start, stop: t[start:stop], R2, start=1, stop=3)
    for start, stop in [(1, None), (None, -1), (-2, None), (0, 1)]:
        case("ragged.slice_axis", lambda t, axis, start, stop: t[:, start:stop], R, axis=1, start=start, stop=stop)
        case("ragged.slice_axis", lambda t, axis, start, stop: t[:, :, start:stop], R2, axis=2, start=start, stop=stop)
        case("ragged.slice_axis", lambda t, axis, start, stop: t[:, :, start:stop], INNER, axis=2, start=start, stop=stop)
    case("ragged.map_flat_values", lambda t: r.map_flat_values(lambda x: x * 2 + 1, t), R2)
    table = tf.constant(floats(4, 2))
    case("ragged.embedding", lambda t, ids: tf.nn.embedding_lookup(t, ids), table, ragged([[3, 0], [], [1]], tf.int32))
    for a, b in [(R, R), (R, tf.constant([[10.0], [20.0], [30.0], [40.0]])), (R, tf.constant(2.0)), (R2, R2),
                 (R2, tf.constant([[[1.0]], [[2.0]], [[3.0]]])), (INNER, tf.constant([10.0, 20.0])), (INNER, INNER),
                 (R, tf.RaggedTensor.from_uniform_row_length([1.0, 2.0, 3.0, 4.0], 1)), (ragged([[1.0, 2.0]], tf.float32), R[2:3]),
                 (tf.RaggedTensor.from_uniform_row_length([1.0, 2.0], 1), tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))]:
        case("ragged.add", lambda a, b: a + b, a, b)
        case("ragged.mul", lambda a, b: a * b, a, b)
    case("ragged.maximum", lambda a, b: tf.maximum(a, b), R, tf.constant([[2.0], [1.0], [3.0], [1.0]]))
    for outer, inner in [(0, 1), (1, 2), (0, 2)]:
        case("ragged.merge_dims", lambda t, outer, inner: t.merge_dims(outer, inner), R2, outer=outer, inner=inner)
    case("ragged.merge_dims", lambda t, outer, inner: t.merge_dims(outer, inner), INNER, outer=1, inner=2)
    case("ragged.merge_dims", lambda t, outer, inner: t.merge_dims(outer, inner), INNER, outer=0, inner=2)
    for axis in (0, 1, 2, -1):
        case("ragged.expand_dims", lambda t, axis: tf.expand_dims(t, axis), R, axis=axis)
        case("ragged.expand_dims", lambda t, axis: tf.expand_dims(t, axis), INNER, axis=axis)
    case("ragged.range", lambda **k: r.range(**k), starts=[3, 5, 2, 4], limits=[5, 3, 9, 4], deltas=[1, 1, 3, 2])
    case("ragged.range", lambda **k: r.range(**k), starts=[0, 0, 0], limits=[3, 0, -4], deltas=[-1, -1, -3])
    case("ragged.range_floats", lambda **k: r.range(**k), starts=[0.0, 1.0], limits=[1.0, -1.0], deltas=[0.25, -0.75], tol=1e-6)
    case("ragged.row_splits_to_segment_ids", lambda splits: r.row_splits_to_segment_ids(splits), splits=[0, 3, 3, 5, 6, 9])
    case("ragged.segment_ids_to_row_splits", lambda ids, n: r.segment_ids_to_row_splits(ids, n), ids=[0, 0, 0, 2, 2, 3, 4, 4, 4], n=7)
    case("ragged.segment_ids_to_row_splits", lambda ids, n: r.segment_ids_to_row_splits(ids, n), ids=[0, 2], n=None)
    one, two = ragged([["a"], ["b", "c"], []]), ragged([["d"], ["e"], ["f"]])
    three = ragged([[1, 2], [30], [4]], tf.int64)
    case("ragged.cross", lambda *t: r.cross(list(t)), one, two, three)
    for key in (None, 5):
        case("ragged.cross_hashed", lambda *t, num_buckets, hash_key: r.cross_hashed(list(t), num_buckets, hash_key), one, two, three,
             num_buckets=1000003, hash_key=key)
    case("ragged.with_values", lambda t, v: t.with_values(v), R, I.flat_values)
    case("ragged.with_flat_values", lambda t, v: t.with_flat_values(v), R2, tf.range(7))
    case("ragged.constant", lambda: r.constant([[1, 2], [], [3]], tf.int32))


def string_cases():
    s = tf.strings
    text = tf.constant([["Hello, World", "  Straße\t"], ["", "ÀÉ añ\n"]])
    for unit in ("BYTE", "UTF8_CHAR"):
        case("strings.length", s.length, text, unit=unit)
    for encoding in ("", "utf-8"):
        case("strings.lower", s.lower, text, encoding=encoding)
        case("strings.upper", s.upper, text, encoding=encoding)
    case("strings.strip", s.strip, text)
    case("strings.strip", s.strip, tf.constant([" \x0b a b\x0c \r\n", "\u00a0a"]))
    for pos, ln in [(1, 3), (-4, 3), (0, 99)]:
        case("strings.substr", lambda t, pos, len: s.substr(t, pos, len), tf.constant(["abcdef", "wxyz"]), pos=pos, len=ln)
    case("strings.substr", lambda t, pos, len, unit: s.substr(t, pos, len, unit), tf.constant(["äöü", "日本語"]), pos=1, len=2,
         unit="UTF8_CHAR")
    a, b = tf.constant([["a", "b"], ["c", "d"]]), tf.constant([["1", "2"], ["3", "4"]])
    case("strings.join", lambda *t, separator: s.join(list(t), separator), a, b, separator="-")
    case("strings.join", lambda *t, separator: s.join(list(t), separator), a, tf.constant("x"), b, separator="")
    for axis in (None, 0, 1, -1, [0, 1], [1, 0]):
        for keepdims in (False, True):
            case("strings.reduce_join", s.reduce_join, a, axis=axis, keepdims=keepdims, separator=".")
    lines = tf.constant(["a b  c ", "", "d"])
    case("strings.split", s.split, lines)
    case("strings.split", s.split, lines, sep=" ")
    case("strings.split", s.split, tf.constant(["a<>b<>c", "<><>", ""]), sep="<>")
    case("strings.split", s.split, tf.constant(["a<>b<>c", "<>"]), sep="<>", maxsplit=1)
    case("strings.split", s.split, tf.constant([" a b c", "d e"]), maxsplit=1)
    case("strings.split", s.split, tf.constant([["a b", "c"], ["", "d e f"]]))
    byte = lambda t: tf.ragged.map_flat_values(lambda x: tf.reshape(tf.io.decode_raw(x, tf.uint8), [-1]), s.bytes_split(t))
    case("strings.bytes_split", byte, tf.constant(["abc", "", "é"]))
    case("strings.regex_replace", s.regex_replace, tf.constant(["a1b22", "xyz", "é9"]), pattern=r"\d+", rewrite="#")
    case("strings.regex_replace", s.regex_replace, tf.constant(["a1b22"]), pattern=r"\d+", rewrite="#", replace_global=False)
    case("strings.regex_replace", s.regex_replace, tf.constant(["John Smith", "x"]), pattern=r"(\w+)\s(\w+)", rewrite=r"\2\\\1[\0]")
    case("strings.regex_replace", s.regex_replace, tf.constant(["Don't stop: [now]! \\ ~ok~"]),
         pattern=r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']', rewrite="")
    case("strings.regex_replace", s.regex_replace, tf.constant(["naïve café", "ab"]), pattern=r"\w", rewrite="w")
    case("strings.regex_replace", s.regex_replace, tf.constant(["abc"]), pattern="", rewrite="-")
    case("strings.regex_replace", s.regex_replace, tf.constant(["aXbx"]), pattern="(?i)x", rewrite="")
    case("strings.regex_full_match", s.regex_full_match, tf.constant(["abc", "abcd", "", "ab\n"]), pattern="abc?|")
    case("strings.regex_full_match", s.regex_full_match, tf.constant(["ab", "ba"]), pattern="a|ab")
    case("strings.to_number", lambda t, out_type: s.to_number(t, getattr(tf, out_type)), tf.constant(["1", "-2.5e3", " 7 ", "inf", "nan", ".5"]),
         out_type="float32")
    case("strings.to_number", lambda t, out_type: s.to_number(t, getattr(tf, out_type)), tf.constant([["12", "-7"], ["0", "2147483647"]]),
         out_type="int32")
    x = tf.constant([3.14159, -0.5, 1234567.0, 1e-7, 1e20, np.inf, -np.inf, np.nan, 0.0, 100.0], tf.float32)
    n = tf.constant([42, -7, 0])
    for k in [{}, {"precision": 2}, {"scientific": True}, {"shortest": True}, {"precision": 3, "scientific": True},
              {"precision": 3, "shortest": True}, {"width": 12, "precision": 1}, {"width": 12, "fill": "0", "precision": 1},
              {"width": 12, "fill": "-", "precision": 0}, {"width": 9, "fill": "+", "shortest": True}, {"width": 9, "fill": " "}]:
        case("strings.as_string", s.as_string, x, **k)
    for k in [{}, {"width": 6}, {"width": 6, "fill": "0"}, {"width": 6, "fill": "-"}, {"width": 6, "fill": "+"}]:
        case("strings.as_string", s.as_string, n, **k)
    case("strings.as_string", s.as_string, tf.constant([True, False]))
    fill = lambda *t, template, summarize=3: s.format(template, tuple(t), summarize=summarize)
    case("strings.format", fill, tf.constant([[1, 2], [3, 4]]), tf.constant(0.1), template="a {} b {}!")
    case("strings.format", fill, tf.range(9), template="{}")
    case("strings.format", fill, tf.range(9), template="{}", summarize=-1)
    case("strings.format", fill, tf.constant(floats(2, 7, 3)), template="{}", summarize=2)
    case("strings.format", fill, tf.constant(["a\"b", "c\n"]), template="<{}>")
    case("strings.format", fill, tf.constant([True, False]), tf.constant([1e-7, 1e20, 123456.789, np.inf, -2.5, np.nan], tf.float32),
         template="{} {}", summarize=9)
    long = tf.constant(["", "a", "abc", "abcd", "abcdefg", "abcdefgh", "x" * 16, "y" * 17, "The quick brown fox jumps over it",
                        "z" * 32, "w" * 33, "0123456789" * 6, "v" * 64, "u" * 65, "The quick brown fox. " * 7, "é" * 64, "t" * 193])
    for n in (2147483647, 1000, 1):
        case("strings.to_hash_bucket", s.to_hash_bucket, long, num_buckets=n)
        case("strings.to_hash_bucket_fast", s.to_hash_bucket_fast, long, num_buckets=n)
        case("strings.to_hash_bucket_strong", lambda t, num_buckets, key: s.to_hash_bucket_strong(t, num_buckets, key), long,
             num_buckets=n, key=[1234567890123, 98765])
    words = ragged([["aa", "bb", "cc", "dd"], ["ee"], [], ["ff", "gg"]])
    for k in [dict(ngram_width=2), dict(ngram_width=[1, 3], separator="|"), dict(ngram_width=2, pad_values=["<", ">"]),
              dict(ngram_width=3, pad_values=["<", ">"], padding_width=1), dict(ngram_width=3, preserve_short_sequences=True),
              dict(ngram_width=5, pad_values=["<", ">"], padding_width=1, preserve_short_sequences=True)]:
        run = lambda t, ngram_width, pad_values=None, **k: s.ngrams(t, ngram_width, pad_values=pad_values and tuple(pad_values), **k)
        case("strings.ngrams", run, words, **k)
        case("strings.ngrams", run, tf.constant([["a", "b", "c"], ["d", "e", "f"]]), **k)
    nested = ragged([[["a", "b", "c"]], [], [["d"], ["e", "f"]]])
    case("strings.ngrams", lambda t, ngram_width: s.ngrams(t, ngram_width), nested, ngram_width=2)
    u = tf.constant(["aé€😀", "", "x\x01y"])
    case("strings.unicode_decode", lambda t: s.unicode_decode(t, "UTF-8"), u)
    case("strings.unicode_decode", lambda t, control: s.unicode_decode(t, "UTF-8", replace_control_characters=True, replacement_char=63), u,
         control="?")
    case("strings.unicode_decode_with_offsets", lambda t: s.unicode_decode_with_offsets(t, "UTF-8"), u)
    case("strings.unicode_decode", lambda t: s.unicode_decode(t, "UTF-8"), tf.constant([["ab", "c"], ["", "dé"]]))
    case("strings.unicode_split", lambda t: s.unicode_split(t, "UTF-8"), u)
    case("strings.unicode_split_with_offsets", lambda t: s.unicode_split_with_offsets(t, "UTF-8"), u)
    points = ragged([[97, 233], [8364, 128512], [], [55296, 65, 1114112]], tf.int32)
    case("strings.unicode_encode", lambda t, errors: s.unicode_encode(t, "UTF-8", errors), points, errors="replace")
    case("strings.unicode_encode", lambda t, errors: s.unicode_encode(t, "UTF-8", errors), points, errors="ignore")
    case("strings.unicode_encode", lambda t, errors: s.unicode_encode(t, "UTF-8", errors), tf.constant([72, 105]), errors="strict")
    case("strings.unicode_encode", lambda t, errors: s.unicode_encode(t, "UTF-8", errors), ragged([[[72], [105, 33]], []], tf.int32),
         errors="strict")
    case("strings.unicode_transcode", lambda t, control: s.unicode_transcode(t, "UTF-8", "UTF-8", replace_control_characters=True,
         replacement_char=63), u, control="?")
    case("strings.unsorted_segment_join", lambda t, segment_ids, num_segments, separator: s.unsorted_segment_join(
        t, segment_ids, num_segments, separator), tf.constant(["a", "b", "c", "d"]), segment_ids=[1, 0, 1, 3], num_segments=5,
         separator=":")
    case("strings.unsorted_segment_join", lambda t, segment_ids, num_segments, separator: s.unsorted_segment_join(
        t, segment_ids, num_segments, separator), a, segment_ids=[1, 1], num_segments=2, separator="")


def set_cases():
    s = tf.sets
    a = tf.constant([[[1, 2, 2], [5, 3, 1]], [[4, 4, 4], [0, 1, 2]]])
    b = tf.constant([[[2, 3], [1, 9]], [[5, 6], [2, 1]]])
    sp = tf.SparseTensor(np.asarray([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 2]], np.int64), np.asarray([2, 1, 2, 7], np.int32), [2, 2, 3])
    w = tf.constant([["b", "a", "b"], ["é", "c", "z"]])
    x = tf.constant([["a", "q"], ["z", "é"]])
    for p, q in [(a, b), (b, a), (sp, sp), (a, sp), (w, x)]:
        case("sets.intersection", s.intersection, p, q)
        case("sets.union", s.union, p, q)
        case("sets.difference", s.difference, p, q, aminusb=True)
        case("sets.difference", s.difference, p, q, aminusb=False)
    case("sets.size", s.size, sp)
    case("sets.size", lambda t: s.size(t, validate_indices=False),
         tf.SparseTensor(np.asarray([[0, 0], [0, 2], [2, 1]], np.int64), np.asarray([5, 5, 1], np.int32), [3, 4]))


def lookup_cases():
    k = tf.lookup
    index = {"line": k.TextFileIndex.WHOLE_LINE, "number": k.TextFileIndex.LINE_NUMBER, "0": 0, "1": 1, "2": 2}
    types = {"str": tf.string, "i32": tf.int64, "f32": tf.float32}
    words = tf.constant(["b", "", "é", "b"])
    numbers = tf.constant([70, -5, 2**31 - 1, 70], tf.int64)
    asked = tf.constant([["b", "x", "é"], ["", "B", "b"]])
    places = tf.constant([[-5, 0], [2**31 - 1, -(2**31)], [70, 71]], tf.int64)

    def table(keys, values, default, queries):
        made = k.StaticHashTable(k.KeyValueTensorInitializer(keys, values), default)
        return made.lookup(queries), made.size()

    for name in ["lookup.StaticHashTable", "lookup.KeyValueTensorInitializer"]:
        case(name, table, words, tf.constant([1, 2, 3, 1], tf.int64), tf.constant(-1, tf.int64), asked)
        case(name, table, words, tf.constant([1.5, -2, 3, 1.5]), tf.constant(0.5), asked)
        case(name, table, numbers, tf.constant([1, 2, 3, 1], tf.int64), tf.constant(-1, tf.int64), places)
        case(name, table, numbers, tf.constant(["p", "q", "r", "p"]), tf.constant("none"), places)
    case("lookup.StaticHashTable", table, words, tf.constant([1, 2, 3, 1], tf.int64), tf.constant(-1, tf.int64), WORDS)
    case("lookup.StaticHashTable", table, words, tf.constant([1, 2, 3, 1], tf.int64), tf.constant(-1, tf.int64),
         ragged([["b"], [], ["x", "é"]]))

    def vocabulary(keys, ids, queries, buckets):
        made = k.StaticVocabularyTable(k.KeyValueTensorInitializer(keys, ids), buckets, lookup_key_dtype=keys.dtype)
        return made.lookup(queries), made.size()

    unknown = tf.constant([["a", "b", "c"], ["dd", "", "a longer text than all the others, by far"]])
    case("lookup.StaticVocabularyTable", vocabulary, tf.constant(["a", "b"]), tf.constant([0, 1], tf.int64), unknown, buckets=3)
    case("lookup.StaticVocabularyTable", vocabulary, tf.constant(["b"]), tf.constant([0], tf.int64), unknown, buckets=1)
    case("lookup.StaticVocabularyTable", vocabulary, tf.constant([5, 7], tf.int64), tf.constant([0, 1], tf.int64),
         tf.constant([5, 7, 1, 2, 3, -4, 100000], tf.int64), buckets=3)
    case("lookup.StaticVocabularyTable", vocabulary, tf.constant(["a", "b"]), tf.constant([0, 1], tf.int64), WORDS, buckets=4)

    def mutable(keys, values, default, more, others, removed, queries):
        made = k.experimental.MutableHashTable(keys.dtype, values.dtype, default)
        made.insert(keys, values)
        made.insert(more, others)
        made.remove(removed)
        return made.lookup(queries), made.size()

    case("lookup.MutableHashTable", mutable, tf.constant(["a", "b"]), tf.constant([[1.0, 2], [3, 4]]), tf.constant([0.0, -1]),
         tf.constant(["b", "c", "c"]), tf.constant([[5.0, 6], [7, 8], [9, 10]]), tf.constant(["a", "z"]),
         tf.constant([["a", "b"], ["c", "z"]]))
    case("lookup.MutableHashTable", mutable, tf.constant([3, 1], tf.int64), tf.constant([30, 10], tf.int64), tf.constant(-1, tf.int64),
         tf.constant([[1, 2]], tf.int64), tf.constant([[11, 20]], tf.int64), tf.constant([3, 3], tf.int64),
         tf.constant([1, 2, 3], tf.int64))

    def file(queries, default, lines, key, value, vocab_size, delimiter, offset):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "lines.txt")
            with open(path, "w", newline="") as out:
                out.write(lines)
            keys, values = types[dense(queries)["t"]], types[dense(default)["t"]]
            init = k.TextFileInitializer(path, keys, index[key], values, index[value], vocab_size, delimiter, value_index_offset=offset)
            made = k.StaticHashTable(init, default)
            return made.lookup(queries), made.size()

    lines, columns = "alpha\nbeta\ngämma\n", "b 1 2.5\na 2 -1e3\nc -3 0"
    none = tf.constant(-1, tf.int64)
    plain = dict(vocab_size=None, delimiter="\t", offset=0)
    spaced = dict(vocab_size=None, delimiter=" ", offset=0)
    for name in ["lookup.TextFileInitializer", "lookup.TextFileIndex"]:
        case(name, file, tf.constant(["beta", "gämma", ""]), none, lines=lines, key="line", value="number", **plain)
        case(name, file, tf.constant([2, 0, 3], tf.int64), tf.constant("?"), lines=lines, key="number", value="line", **plain)
        case(name, file, tf.constant(["a", "b", "1"]), none, lines=columns, key="0", value="1", **spaced)
        case(name, file, tf.constant(["a", "b", "1"]), tf.constant(0.5), lines=columns, key="0", value="2", **spaced)
        case(name, file, tf.constant([-3, 2, 0], tf.int64), tf.constant("?"), lines=columns, key="1", value="0", **spaced)
        case(name, file, tf.constant(["beta", "gämma"]), none, lines=lines, key="line", value="number", vocab_size=2,
             delimiter="\t", offset=5)


def main():
    sparse_cases()
    ragged_cases()
    string_cases()
    set_cases()
    lookup_cases()
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "structures.json")
    names = json.load(open(path))["names"] if os.path.exists(path) else {}
    if len(sys.argv) > 1:
        api = json.load(open(sys.argv[1]))
        kept = ["tf.SparseTensor.members", "tf.sparse", "tf.RaggedTensor.members", "tf.ragged", "tf.strings", "tf.sets", "tf.lookup",
                "tf.TensorArray.members", "tf.Variable.members", "tf.IndexedSlices.members", "tf.Tensor.members", "tf.Tensor.operators"]
        names = {key: api[key] for key in kept}
        names["tf.queue"] = [n for n in dir(tf.queue) if not n.startswith("_")]
        names["tf.queue.QueueBase.members"] = [n for n in dir(tf.queue.QueueBase) if not n.startswith("_")]
    lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases)
    with open(path, "w") as file:
        file.write('{"tensorflow":%s,\n"names":%s,\n"cases":[\n%s\n]}\n'
                   % (json.dumps(tf.__version__), json.dumps(names, separators=(",", ":")), lines))
    print(len(cases), "cases", os.path.getsize(path), "bytes")


main()
