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
GROUPS = ["arrange", "core", "creation", "elementwise", "image", "indexing", "linalg", "math", "nn", "products", "statistics"]
HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
# Operations whose results depend on the type in ways that are no part of a contract, with the reason.
SKIP = {
    "empty": "its values are not defined", "empty_like": "its values are not defined",
    "nextafter": "a step of the type itself; the group of elementwise operations has half precision",
    "result_type": "not of values", "view": "of bits", "elastic_transform": "random",
    "histogram": "JAX counts in floats, NumPy and Kiln in integers",
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


unmapped, meaningless, seen = set(), [], {}
for name in GROUPS:
    tensors = load(gzip.open(HERE / f"{name}.safetensors.gz").read())
    raw = gzip.open(HERE / f"{name}.safetensors.gz").read()
    cases = json.loads(json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["cases"])
    for case in cases:
        op, args = case["op"], case["args"]
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
        for kind in ["int32", "uint8", "bool", "float16", "bfloat16"]:
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
            tol = "rel:1e-5" if op in ("lstsq", "pinv") else "ulp:8"
            if kind in HALVES:
                wide = called(run, [x.astype(np.float32) if x.dtype.name == kind else x for x in others], args)
                outputs = [w.astype(o.dtype) for w, o in zip(wide, outputs)]
                tol = f"rel:{2 * HALVES[kind]}"
            group.case(op, others, args, outputs, tol)
group.write()
mapped = {op for op in seen if isinstance(op, str)}
print("not repeated by Keras:", sorted(unmapped - mapped))
print("no meaning:", *meaningless, sep="\n  ")
