"""Every operation in the other types: int32, uint8, bool, float16 and bfloat16 in the place of float32.

The cases are those of the other groups, small ones, whose references Keras (JAX) repeats; with the other type Keras says
whether the operation has a meaning, in which type its results are, and what they are. Half precision is computed in
float32 from the rounded inputs and rounded once.
"""
import gzip, json, os, sys, warnings

os.environ["KERAS_BACKEND"] = "jax"
import jax, keras, ml_dtypes, numpy as np
from safetensors.numpy import load
from base import HERE, Group, results

warnings.filterwarnings("ignore")
np.seterr(all="ignore")
group = Group("dtypes")
GROUPS = [] if os.environ.get("QUICK") else ["arrange", "core", "creation", "elementwise", "image", "indexing", "linalg", "math", "nn", "products", "statistics"]
HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
# Operations whose results depend on the type in ways that are no part of a contract, with the reason.
SKIP = {
    "empty": "its values are not defined", "empty_like": "its values are not defined",
    "nextafter": "a step of the type itself; the group of elementwise operations has half precision",
    "result_type": "not of values", "view": "of bits", "elastic_transform": "random",
    "histogram": "JAX counts in floats, NumPy and Kiln in integers",
    "custom_gradient": "a combination of others", "jvp": "a combination of others",
    "ssim": "a difference of nearly equal squares, of which half precision holds no digit",
    "polar": "no backend of Keras has complex numbers but of float32 and float64",
    "view_as_complex": "as polar", "view_as_real": "as polar",
    "fft": "Keras' backends take float32 and float64 alone", "fft2": "as fft", "ifft2": "as fft", "irfft": "as fft", "istft": "as fft",
    "ctc_loss": "Keras' backends compute it in float32 alone", "ctc_decode": "as ctc_loss",
    "sparse_categorical_crossentropy": "Keras' backends differ in the type of half precision",
    "ifft": "as fft", "stft": "as fft", "eig": "see eig_vectors",
    **dict.fromkeys(("bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
                     "left_shift", "right_shift"), "as gcd"),
    "gcd": "of integers, all of which the group of elementwise operations has",
    "lcm": "as gcd", "argpartition": "of integers there too", "eye": "its type is an argument; the group of creation has all", "arange": "as eye",
    "identity": "as eye", "tri": "as eye", "zeros": "as eye", "ones": "as eye",
    "bartlett": "always float32", "blackman": "always float32", "hamming": "always float32", "hanning": "always float32", "kaiser": "always float32",
}
# Types of single operations, with the reason.
SKIP_KINDS = {
    ("angle", "float16"): "Keras says half and JAX gives float32", ("angle", "bfloat16"): "as float16",
    ("saturate_cast", "int32"): "Keras gives the lowest int32 for every element",
    ("resize", "int32"): "Keras' backends differ in the type", ("resize", "uint8"): "as int32", ("resize", "bool"): "as int32",
    ("inv", "int32"): "singular", ("inv", "uint8"): "singular", ("inv", "bool"): "singular",
    ("solve", "int32"): "singular", ("solve", "uint8"): "singular", ("solve", "bool"): "singular",
    ("in_top_k", "uint8"): "JAX counts a target outside the classes", ("in_top_k", "bool"): "as uint8",
    ("in_top_k", "int32"): "as uint8",
    ("relu6", "int32"): "JAX gives floats, Keras says the type of the input", ("relu6", "uint8"): "as int32",
    ("softmax", "uint8"): "JAX wraps below 0", ("log_softmax", "uint8"): "JAX wraps below 0", ("psnr", "uint8"): "JAX wraps below 0",
    ("hard_tanh", "uint8"): "JAX wraps below 0", ("psnr", "int32"): "Keras rounds max_val", ("max_pool", "bool"): "JAX starts from false and true",
    ("categorical_crossentropy", "float16"): "the clip at 1e-7 is another number in half",
}
# Operations of which the first input alone is converted: the others are shares or limits.
FIRST = {"quantile", "percentile", "nanquantile", "nanpercentile"}
# Operations of which also float32 results of integers are sums that may cancel.
LOOSE = {"eigh", "svd", "qr", "svdvals", "expm", "inv", "solve", "stft", "istft", "batch_normalization", "layer_normalization",
         "rms_normalization", "dot_product_attention", "ssim"}
# An input that must be in order.
SORTED = {"searchsorted": 0, "digitize": 1}


def operation(name):
    for place in (keras.ops, keras.ops.nn, keras.ops.image, keras.ops.linalg, keras.ops.numpy):
        if hasattr(place, name):
            return getattr(place, name)


def converted(x, kind):
    """Floats as another type: whole numbers of a few sizes for integers."""
    if kind in HALVES:
        return x.astype(ml_dtypes.bfloat16 if kind == "bfloat16" else np.float16)
    whole = np.round(np.nan_to_num(x.astype(np.float64), nan=0, posinf=9, neginf=-9).clip(-40, 40) * 3)
    return {"int32": whole.astype(np.int32), "uint8": np.abs(whole).astype(np.uint8), "bool": np.asarray(x) > 0}[kind]


def close(a, b):
    return len(a) == len(b) and all(
        x.shape == y.shape and np.allclose(x.astype(np.float64), y.astype(np.float64), 1e-4, 1e-4, equal_nan=True) for x, y in zip(a, b))


def called(run, inputs, args):
    outputs = [np.asarray(a) for a in results(run(*[jax.numpy.asarray(x) for x in inputs], **args))]
    if any(a.dtype.kind == "c" for a in outputs):
        raise TypeError("complex")
    return outputs


def in_other_types(op, run, inputs, args, factor=2, kinds=("int32", "uint8", "bool", "float16", "bfloat16")):
    """A case in each type of which Keras gives a result."""
    for kind in kinds:
        if (op, kind) in SKIP_KINDS:
            continue
        others = [converted(x, kind) if x.dtype == np.float32 and (op not in FIRST or i == 0) else x for i, x in enumerate(inputs)]
        if op in SORTED:
            others[SORTED[op]] = np.sort(others[SORTED[op]])
        try:
            outputs = called(run, others, args)
        except Exception as error:
            meaningless.append(f"{op} {kind}: {str(error).splitlines()[0][:80] if str(error) else type(error).__name__}")
            continue
        tol = "rel:1e-5" if op in ("lstsq", "pinv") or op in LOOSE else "ulp:8"
        if kind in HALVES:
            wide = called(run, [x.astype(np.float32) if x.dtype.name == kind else x for x in others], args)
            outputs = [w.astype(o.dtype) for w, o in zip(wide, outputs)]
            tol = f"rel:{factor * HALVES[kind]}"
        group.case(op, others, args, outputs, tol)


unmapped, meaningless, seen = set(), [], {}
everything = set()
for name in GROUPS:
    tensors = load(gzip.open(HERE / f"{name}.safetensors.gz").read())
    raw = gzip.open(HERE / f"{name}.safetensors.gz").read()
    cases = json.loads(json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["cases"])
    for case in cases:
        op, args = case["op"], case["args"]
        everything.add(op)
        run = operation(op)
        inputs = [tensors[x] for x in case["inputs"]]
        floats = [x for x in inputs if x.dtype == np.float32]
        form = (op, tuple(x.ndim for x in inputs), tuple(args))
        if (run is None or op in SKIP or not floats or sum(x.size for x in inputs) > 64 or min(x.size for x in inputs) == 0
                or seen.get(op, 0) >= 2 or form in seen or not all(np.isfinite(x).all() for x in floats)):
            continue
        try:
            assert close(called(run, inputs, args), [tensors[y] for y in case["outputs"]])
        except Exception as error:
            unmapped.add(op)
            continue
        seen[op], seen[form] = seen.get(op, 0) + 1, True
        in_other_types(op, run, inputs, args)

# Operations whose cases above are called, or give their results, in another form than Keras': each with its own call.
jnp, F = jax.numpy, np.float32
ops, nn, image = keras.ops, keras.ops.nn, keras.ops.image
random = np.random.default_rng(5)
f = lambda *shape: random.normal(size=shape).astype(F)
distinct = lambda *shape: (random.permutation(int(np.prod(shape))).reshape(shape) - 3).astype(F)
whole = lambda *rows: np.array(rows, np.int32)
t = lambda a: jnp.swapaxes(a, -1, -2)
definite = lambda n: (lambda a: (a @ a.T + 4 * np.eye(n)).astype(F))(random.integers(-2, 3, (n, n)))


def in_half(run):
    """A factorisation, which JAX has in float32 alone: of half precision its result is of half precision too."""
    def wider(*x):
        y = run(*[a.astype(F) for a in x])
        return [a.astype(x[0].dtype) if x[0].dtype.name in HALVES else a for a in (y if isinstance(y, (list, tuple)) else [y])]
    return wider


def eigh(a):
    w, v = jnp.linalg.eigh((a + t(a)) / 2)
    return [w, (a + t(a)) / 2, v @ t(v)]


def svd(a):
    _, s, _ = jnp.linalg.svd(a, full_matrices=False)
    eye = jnp.eye(s.shape[-1], dtype=a.dtype)
    return [s, a, eye, eye]


def qr(a):
    q, r = jnp.linalg.qr(a)
    return [a, jnp.eye(q.shape[-1], dtype=a.dtype), jnp.zeros_like(r), jnp.abs(r)]


def scattered(x, k, v, how):
    return getattr(x.at[tuple(k.T)], how)(v)


ALL = ("int32", "uint8", "bool", "float16", "bfloat16")
PARTS, HALF, INTS = ALL[:2] + ALL[3:], ALL[3:], ALL[:3]
k = whole([0, 1], [2, 0], [0, 1])
once = whole([0, 1], [2, 0])
span = [{"start": 0, "stop": 2, "step": 1}]
for op, how in [("at_add", "add"), ("at_max", "max"), ("at_min", "min"), ("at_multiply", "multiply"), ("at_set", "set")]:
    in_other_types(op, lambda x, v, key: getattr(x.at[0:2], how)(v), [f(3, 2), f(2, 2)], {"key": span}, kinds=PARTS)
in_other_types("get_item", lambda x, key: x[0:2], [f(3, 2)], {"key": span})
in_other_types("get_item", lambda x, k, key: x[k], [f(3, 2), whole(2, 0, 2)], {"key": [{"tensor": 0}]})
for op, how in [("tensor_scatter_nd_add", "add"), ("tensor_scatter_nd_max", "max"), ("tensor_scatter_nd_min", "min"),
                ("tensor_scatter_nd_sub", "subtract"), ("tensor_scatter_nd_update", "set")]:
    in_other_types(op, lambda x, k, v: scattered(x, k, v, how), [f(3, 2), once, f(2)], {}, kinds=PARTS)
for op in ("scatter", "scatter_nd"):
    in_other_types(op, lambda k, v, shape: ops.scatter(k, v, shape), [k, f(3)], {"shape": [3, 2]}, kinds=PARTS)
in_other_types("scatter_update", lambda x, k, v: ops.scatter_update(x, k, v), [f(3, 2), once, f(2)], {})
in_other_types("slice_update", lambda x, v, start_indices: ops.slice_update(x, start_indices, v), [f(3, 2), f(1, 2)], {"start_indices": [1, 0]})
in_other_types("gather", lambda x, k, axis, batch_dims: jnp.take(x, k, axis), [f(3, 4), whole(2, 0)], {"axis": 0, "batch_dims": 0})
in_other_types("gather_nd", lambda x, k, batch_dims: x[tuple(k.T)], [f(3, 2), k], {"batch_dims": 0})
in_other_types("take", lambda x, k, axis: ops.take(x, k, axis), [f(3, 4), whole(2, 0)], {"axis": 1})
in_other_types("argsort", lambda x, axis: ops.argsort(x, axis), [distinct(3, 4)], {"axis": -1}, kinds=HALF + INTS[:1])
in_other_types("isin", lambda x, y, invert: ops.isin(x, y, invert=invert), [distinct(2, 3), distinct(4)], {"invert": False})
in_other_types("nonzero", lambda x: list(ops.nonzero(x)), [np.array([[0, 1.5], [2, 0]], F)], {})
in_other_types("select", lambda c, d, a, b, default: ops.select([c, d], [a, b], default), [f(4) > 0, f(4) > 0, f(4), f(4)], {"default": 1}, kinds=HALF)
for op in ("concatenate", "stack"):
    in_other_types(op, lambda *x, axis: getattr(ops, op)(list(x), axis=axis), [f(2, 3), f(2, 3)], {"axis": 1})
for op in ("hstack", "vstack"):
    in_other_types(op, lambda *x: getattr(ops, op)(list(x)), [f(2, 3), f(2, 3)], {})
in_other_types("dstack", lambda *x: jnp.dstack(x), [f(2, 3), f(2, 3)], {})
in_other_types("moveaxis", lambda x, source, destination: ops.moveaxis(x, source, destination), [f(2, 3, 2)], {"source": [0], "destination": [-1]})
in_other_types("einsum", lambda a, b, subscripts: ops.einsum(subscripts, a, b), [f(2, 3), f(3, 2)], {"subscripts": "ij,jk->ik"}, kinds=PARTS)
in_other_types("rearrange", lambda x, **_: jnp.moveaxis(x, 1, 0), [f(2, 3)], {"pattern": "a b -> b a", "lengths": {}})
in_other_types("shape", lambda x: jnp.array(x.shape, jnp.int32), [f(2, 3)], {})
in_other_types("dtype", lambda x: jnp.zeros(0, x.dtype), [f(2)], {})
in_other_types("stop_gradient", ops.stop_gradient, [f(3)], {})
in_other_types("unfold", lambda x, **a: nn.unfold(x, **a), [f(1, 2, 4, 4)], {"kernel_size": 2, "dilation": 1, "padding": 0, "stride": 2}, kinds=HALF)
in_other_types("fold", lambda x, **a: nn.fold(x, **a), [f(1, 4, 4)], {"output_size": [3, 3], "kernel_size": 2, "dilation": 1, "padding": 0, "stride": 1}, kinds=HALF)
for op in ("depth_to_space", "space_to_depth"):
    in_other_types(op, lambda x, **a: getattr(nn, op)(x, **a), [f(1, 2, 2, 4)], {"block_size": 2, "data_format": "channels_last"})
patches = {"padding": "valid", "size": [2, 2, 2], "strides": 1, "data_format": "channels_last"}
in_other_types("extract_patches_3d", lambda x, **a: image.extract_patches_3d(x, **a), [f(2, 3, 3, 1)], patches, kinds=HALF)
in_other_types("sobel_edges", lambda x, **a: image.sobel_edges(x, **a), [f(1, 4, 4, 1)], {"data_format": "channels_last"}, factor=8, kinds=HALF)
scaled = {"output_shape": [5], "spatial_dims": [-1], "method": "linear", "antialias": True}
in_other_types("scale_and_translate", lambda x, s, m, output_shape, spatial_dims, method, antialias: image.scale_and_translate(
    x, tuple(output_shape), s, m, tuple(spatial_dims), method, antialias), [f(4), np.array([2], F), np.array([1], F)], scaled, kinds=HALF)
norm = {"axis": 1, "epsilon": 1e-3}
in_other_types("batch_normalization", lambda x, m, v, o, s, axis, epsilon: nn.batch_normalization(x, m, v, axis, o, s, epsilon),
               [f(3, 2), f(2), 1 + abs(f(2)), f(2), f(2)], norm, factor=8, kinds=HALF)
norm = {"axis": [-1], "epsilon": 1e-3}
in_other_types("layer_normalization", lambda x, g, b, axis, epsilon: nn.layer_normalization(x, g, b, axis=axis, epsilon=epsilon),
               [f(2, 4), f(4), f(4)], norm, factor=8, kinds=HALF)
in_other_types("rms_normalization", lambda x, g, axis, epsilon: nn.rms_normalization(x, g, axis, epsilon), [f(2, 4), f(4)], norm, factor=8, kinds=HALF)
in_other_types("dot_product_attention", nn.dot_product_attention, [f(1, 3, 2, 4), f(1, 3, 2, 4), f(1, 3, 2, 4)], {}, factor=8, kinds=HALF)
for kind in ALL + ("float32",):
    hot = {"num_classes": 4, "axis": -1, "dtype": kind}
    group.case("one_hot", [whole(1, 3, 0)], hot, [np.asarray(nn.one_hot(whole(1, 3, 0), 4, dtype=kind))], "exact")
    group.case("multi_hot", [whole([1, 3], [0, 0])], hot, [np.asarray(nn.multi_hot(whole([1, 3], [0, 0]), 4, dtype=kind))], "exact")
for kind in ("uint8", "uint32"):
    group.case("one_hot", [np.array([1, 3, 9], kind)], hot, [np.asarray(nn.one_hot(jnp.array([1, 3, 9], kind), 4))], "exact")
    group.case("unravel_index", [np.array([5, 2], kind)], {"shape": [2, 3]}, [np.array([1, 0], kind), np.array([2, 2], kind)], "exact")
for op, run, inputs, args in [("eigh", eigh, [definite(3)], {}), ("svd", svd, [definite(3)], {"full_matrices": False}), ("qr", qr, [definite(3)], {"mode": "reduced"}),
                        ("svdvals", lambda a: jnp.linalg.svd(a, compute_uv=False), [definite(3)], {}), ("inv", jnp.linalg.inv, [definite(3)], {}),
                        ("solve", jnp.linalg.solve, [definite(3), np.array([1, 2, -1], F)], {}), ("expm", lambda a: jax.scipy.linalg.expm(a), [definite(2) / 8], {})]:
    in_other_types(op, in_half(lambda *x, **_: run(*x)) if args == {} else (lambda r: lambda *x, **_: in_half(r)(*x))(run), inputs, args, factor=16,
                   kinds=HALF if op in ("inv", "solve", "expm") else HALF + INTS[:1])
def eig_vectors(a):
    # Of real eigenvalues, in their order.
    w, v = jnp.linalg.eig(a)
    k = jnp.argsort(w.real)
    return [w.real[k], w.imag[k], v.real[:, k] ** 2, jnp.zeros_like(a)]


def sparsemax(x, axis):
    # By its definition, as in the group of neural operations.
    falling = -jnp.sort(-x, axis)
    sums, count = jnp.cumsum(falling, axis), jnp.arange(1, x.shape[axis] + 1)
    support = (1 + count * falling > sums).sum(axis, keepdims=True)
    limit = (jnp.take_along_axis(sums, support - 1, axis) - 1) / support
    return jnp.maximum(x - limit, 0).astype(x.dtype)


def unique(values):
    v, *places = np.unique(values, True, True, True)
    return [v, *[p.astype(np.int32) for p in places]]


steps = np.array([[1, 2, 0], [0, 3, 1], [0, 0, 7]], F)
in_other_types("eig_vectors", in_half(eig_vectors), [steps], {}, factor=16, kinds=HALF)
in_other_types("sparsemax", sparsemax, [f(2, 4)], {"axis": -1}, factor=4, kinds=HALF)
for kind in ALL:
    values = converted(np.array([3, 1, 3, 0, 1], F), kind)
    group.case("unique", [values], {"fill_value": 0}, unique(values), "exact")
    for fill in ALL:
        number = converted(np.array(1.5, F), fill)
        group.case("full", [number], {"shape": [2], "dtype": kind}, [np.full(2, number.astype(F)).astype(number.dtype).astype(converted(np.zeros(1, F), kind).dtype)], "exact")
group.write()
mapped = {op for op in seen if isinstance(op, str)}
print("not repeated by Keras:", sorted(unmapped - mapped))
print("no meaning:", *meaningless, sep="\n  ")
# Every operation has cases here or a reason why not, but derivatives and lines of the tables that combine operations.
combined = {op for op in everything if op.startswith("gradient_") or op in ("eigh_vectors", "qr_vectors", "svd_vectors", "erfc_log")}
without = everything - {case["op"] for case in group.cases} - set(SKIP) - combined
assert not without, sorted(without)
