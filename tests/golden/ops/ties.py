"""Gradients where an operation has a corner: at ties, at 0, at the bounds of clipping; from TensorFlow and JAX through keras.ops.

    pip install keras==3.15.0 tensorflow-cpu==2.21.0 jax
    python ties.py

Writes ties.json. Each case: `op` and `args`, the inputs `in` (float32), and the gradient of sum((i + 1) * f(...)[i]) with respect
to every input, from either (`tensorflow`, `jax`). Non-finite numbers are strings. `want` is the one that Kiln follows:
TensorFlow's, except where `why` says why not.
"""

import json
import os
import subprocess
import sys

N = None
Z3 = [-1.0, 0.0, 2.0]
TIES = [[1.0, 1.0, 0.0], [2.0, 3.0, 3.0]]


def cases():
    def c(op, *inputs, **args):
        return op, args, [x for x in inputs]

    one = [
        ("abs", Z3), ("absolute", Z3), ("relu", Z3), ("relu6", [-1.0, 0.0, 3.0, 6.0, 7.0]), ("leaky_relu", Z3), ("elu", Z3), ("selu", Z3),
        ("celu", Z3), ("hard_sigmoid", [-4.0, -3.0, 0.0, 3.0, 4.0]), ("hard_silu", [-4.0, -3.0, 0.0, 3.0, 4.0]),
        ("hard_tanh", [-2.0, -1.0, 0.0, 1.0, 2.0]), ("hard_shrink", [-1.0, -0.5, 0.0, 0.5, 1.0]),
        ("soft_shrink", [-1.0, -0.5, 0.0, 0.5, 1.0]), ("softsign", Z3), ("sparse_plus", [-2.0, -1.0, 0.0, 1.0, 2.0]),
        ("sparse_sigmoid", [-2.0, -1.0, 0.0, 1.0, 2.0]), ("squareplus", Z3), ("tanh_shrink", Z3), ("silu", Z3), ("gelu", Z3),
        ("log_sigmoid", Z3), ("softplus", Z3), ("sign", Z3), ("floor", Z3), ("ceil", Z3), ("round", [-0.5, 0.0, 0.5, 1.5]), ("trunc", Z3),
        ("sqrt", [0.0, 4.0]), ("rsqrt", [0.0, 4.0]), ("cbrt", [0.0, 8.0, -8.0]), ("square", Z3), ("reciprocal", [0.0, 2.0]),
        ("log", [0.0, 1.0]), ("log1p", [-1.0, 0.0]), ("log2", [0.0, 1.0]), ("log10", [0.0, 1.0]), ("expm1", Z3), ("sinc", [0.0, 0.5, 1.0]),
        ("arcsin", [-1.0, 0.0, 1.0]), ("arccos", [-1.0, 0.0, 1.0]), ("arctanh", [-1.0, 0.0, 1.0]), ("arccosh", [1.0, 2.0]),
        ("arcsinh", Z3), ("nan_to_num", ["nan", "inf", "-inf", 1.0]), ("exp2", Z3), ("angle", Z3),
    ]
    out = [c(op, x) for op, x in one]
    for op in ["maximum", "minimum", "fmax", "fmin"]:
        out.append(c(op, [1.0, 2.0, 3.0, 0.0], [2.0, 2.0, 1.0, 0.0]))
    out.append(c("maximum", [[1.0, 2.0], [2.0, 0.0]], [2.0]))
    out.append(c("clip", [-2.0, -1.0, 0.0, 1.0, 2.0], x_min=-1.0, x_max=1.0))
    for op in ["power"]:
        out.append(c(op, [0.0, 0.0, 0.0, 2.0, -2.0, 1.0], [0.0, 1.0, 2.0, 0.0, 2.0, 3.0]))
    out.append(c("arctan2", [0.0, 0.0, 1.0, -0.0], [0.0, -1.0, 0.0, 1.0]))
    out.append(c("hypot", [0.0, 3.0, 0.0], [0.0, 4.0, 2.0]))
    out.append(c("hypot", [3.0, -2.0], [3.0, 2.0]))
    out.append(c("logaddexp", [1.0, "-inf", 0.0], [1.0, 2.0, "-inf"]))
    out.append(c("logaddexp", ["-inf", 0.0], ["-inf", 0.0]))
    out.append(c("mod", [3.0, -3.0, 5.5, 0.0], [1.5, 1.5, 2.0, 2.0]))
    out.append(c("fmod", [3.0, -3.0, 5.5, 0.0], [1.5, 1.5, 2.0, 2.0]))
    out.append(c("floor_divide", [3.0, -3.0, 5.5], [1.5, 1.5, 2.0]))
    out.append(c("divide_no_nan", [1.0, 0.0, 2.0], [0.0, 0.0, 4.0]))
    out.append(c("heaviside", Z3, [0.5, 0.5, 0.5]))
    for op in ["max", "min", "amax", "amin", "ptp", "sort", "nanmax", "nanmin"]:
        out.append(c(op, TIES, axis=1))
    for op in ["max", "min"]:
        out.append(c(op, TIES, axis=None))
        out.append(c(op, [[2.0, 2.0], [2.0, 2.0]], axis=0))
    out.append(c("median", [[1.0, 2.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0]], axis=1))
    out.append(c("median", TIES, axis=1))
    out.append(c("quantile", [[1.0, 2.0, 2.0, 3.0, 3.0]], q=0.5, axis=1))
    out.append(c("top_k", [[1.0, 3.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]], k=2))
    out.append(c("prod", [[0.0, 2.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, 3.0]], axis=1))
    out.append(c("cumprod", [[0.0, 2.0, 3.0], [2.0, 0.0, 5.0], [1.0, 2.0, 3.0]], axis=1))
    out.append(c("std", [[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]], axis=1))
    out.append(c("var", [[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]], axis=1))
    out.append(c("logsumexp", [["-inf", "-inf"], [0.0, "-inf"], [1.0, 1.0]], axis=1))
    out.append(c("softmax", [["-inf", 0.0], [1.0, 1.0]], axis=1))
    out.append(c("sparsemax", [[1.0, 1.0, 0.0], [0.5, 0.5, 0.5], [2.0, 1.0, 0.0]], axis=1))
    for order in [None, 1, 2, 3, "inf", "-inf", 0]:
        out.append(c("norm", [[0.0, 0.0], [3.0, 4.0], [2.0, -2.0], [0.0, 5.0]], ord=order, axis=1))
    out.append(c("norm", [[0.0, 0.0], [0.0, 0.0]], ord="fro", axis=[0, 1]))
    out.append(c("normalize", [[0.0, 0.0], [3.0, 4.0]], axis=1))
    out.append(c("cdist", [[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [4.0, 5.0]]))
    flat = [[[[1.0], [1.0], [2.0], [2.0]], [[1.0], [1.0], [2.0], [2.0]], [[0.0], [3.0], [4.0], [4.0]], [[3.0], [0.0], [4.0], [4.0]]]]
    for padding in ["valid", "same"]:
        out.append(c("max_pool", flat, pool_size=2, strides=1, padding=padding))
        out.append(c("max_pool", flat, pool_size=2, strides=2, padding=padding))
    out.append(c("max_pool", [[[5.0], [5.0], [5.0], [5.0], [5.0]]], pool_size=3, strides=2, padding="same"))
    out.append(c("adaptive_max_pool", flat, output_size=2))
    for op in ["segment_max", "segment_min", "segment_prod"]:
        out.append(c(op, [1.0, 3.0, 3.0, 0.0, 2.0, 2.0], segment_ids=[0, 0, 0, 1, 2, 2], num_segments=4))
    out.append(c("binary_crossentropy", [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], from_logits=False))
    out.append(c("binary_crossentropy", [0.0, 1.0, 0.5], [0.0, 0.0, 0.0], from_logits=True))
    out.append(c("categorical_crossentropy", [[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]], from_logits=False))
    out.append(c("where", Z3, [5.0, 6.0, 7.0], condition=[True, False, True]))
    out.append(c("threshold", [-1.0, 0.5, 2.0], threshold=0.5, default_value=9.0))
    out.append(c("average", TIES, axis=1))
    return out


def number(x):
    return float(x)


def run(backend):
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    import numpy as np
    from keras import ops

    def array(x):
        return np.array([number(v) for v in np.asarray(x, object).reshape(-1)], np.float32).reshape(np.asarray(x, object).shape)

    def call(op, args, xs):
        args = dict(args)
        if op == "clip":
            return ops.clip(xs[0], args["x_min"], args["x_max"])
        if op == "norm" and args["ord"] in ("inf", "-inf"):
            args["ord"] = float(args["ord"])
        if op == "norm" and isinstance(args["axis"], list):
            args["axis"] = tuple(args["axis"])
        if op == "top_k":
            return ops.top_k(xs[0], args["k"])[0]
        if op == "where":
            return ops.where(np.array(args["condition"]), *xs)
        if op.startswith("segment"):
            return getattr(ops, op)(xs[0], np.array(args["segment_ids"], np.int32), args["num_segments"])
        if op == "average":
            return ops.average(xs[0], axis=args["axis"])
        return getattr(ops, op)(*xs, **args)

    def loss(op, args, xs):
        y = call(op, args, xs)
        weights = np.arange(1, int(np.prod(y.shape)) + 1, dtype=np.float32).reshape(tuple(y.shape))
        # The product with what is infinite would hide the gradient; a sum of products of the gradient does not.
        return ops.sum(y * weights)

    found = []
    for op, args, inputs in cases():
        xs = [array(x) for x in inputs]
        try:
            if backend == "tensorflow":
                import tensorflow as tf

                vs = [tf.constant(x) for x in xs]
                with tf.GradientTape() as tape:
                    tape.watch(vs)
                    y = loss(op, args, vs)
                gs = tape.gradient(y, vs)
                gs = [np.zeros_like(x) if g is None else np.asarray(tf.convert_to_tensor(g)) for g, x in zip(gs, xs)]
            else:
                import jax

                gs = jax.grad(lambda *v: loss(op, args, list(v)), argnums=tuple(range(len(xs))))(*xs)
                gs = [np.asarray(g) for g in gs]
            found.append([[float(v) if np.isfinite(v) else str(float(v)) for v in g.reshape(-1)] for g in gs])
        except Exception as error:
            found.append(f"{type(error).__name__}: {str(error)[:200]}")
    print("RESULT" + json.dumps(found))


# Where Kiln does not follow TensorFlow, whose gradient (in the environment of Keras' formulas) is not the derivative: whom it
# follows, and why.
ELSEWHERE = {
    "logaddexp": ("jax", "smooth at ties; each input has half of the slope"),
    "cumprod": ("jax", "a product of others has a slope beside a 0"),
    "sinc": ("jax", "smooth at 0, where the slope is 0"),
    "cbrt": ("jax", "the slope at 0 is infinite, not undefined"),
    "fmod": ("jax", "smooth in the dividend at 0"),
    "celu": ("jax", "smooth at 0 for alpha 1, where the slope is 1"),
    "sparsemax": ([[-0.5, 0.5, 0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0]], "both differentiate Keras' formula past its sort; this is "
                  "the derivative on the support (Martins and Astudillo 2016, equation 15)"),
}


# Of the pairs of points that do not coincide alone: (1 + i) times the unit vector between them.
CDIST = [
    [-2 * 4 / 41**0.5, -2 * 5 / 41**0.5, 3 / 2**0.5 - 4 * 3 / 5, 3 / 2**0.5 - 4 * 4 / 5],
    [-3 / 2**0.5, -3 / 2**0.5, 2 * 4 / 41**0.5 + 4 * 3 / 5, 2 * 5 / 41**0.5 + 4 * 4 / 5],
]


def main():
    found = {}
    for backend in ["tensorflow", "jax"]:
        out = subprocess.run([sys.executable, os.path.abspath(__file__), backend], capture_output=True, text=True)
        lines = [line for line in out.stdout.splitlines() if line.startswith("RESULT")]
        if not lines:
            raise SystemExit(out.stderr)
        found[backend] = json.loads(lines[0][6:])
    rows = []
    for (op, args, inputs), tf, jax in zip(cases(), found["tensorflow"], found["jax"]):
        row = {"op": op, "args": args, "in": inputs, "tensorflow": tf, "jax": jax, "want": tf}
        if op in ELSEWHERE:
            followed, row["why"] = ELSEWHERE[op]
            row["want"] = jax if followed == "jax" else followed
        if op == "hypot" and inputs[0][0] == 3.0:
            row["want"], row["why"] = jax, "smooth away from the origin; TensorFlow gives all to one of equal legs"
        if op == "logaddexp" and tf[0][0] == "nan":
            row["want"], row["why"] = [[0.5] + jax[0][1:], [0.5] + jax[1][1:]], "equal inputs have half of the slope each, at -inf too"
        if op in ("std", "norm", "cdist") and "nan" in str(tf):
            zeros = lambda g: [0.0 if v == "nan" else v for v in g]
            row["want"] = CDIST if op == "cdist" else [zeros(g) for g in tf]
            row["why"] = "the length of nothing has no slope; 0 is among its subgradients, and nothing else is spoilt"
        if op == "power":
            row["want"] = [[0.0] + tf[0][1:], tf[1]]
            row["why"] = "x to the power of 0 is 1 everywhere, also at 0"
        rows.append(row)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ties.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    for r in rows:
        flat = lambda g: g if isinstance(g, str) else [v for x in g for v in x]
        same = isinstance(r["tensorflow"], list) and isinstance(r["jax"], list) and all(
            a == b or (not isinstance(a, str) and not isinstance(b, str) and abs(a - b) < 1e-4) for a, b in zip(flat(r["tensorflow"]), flat(r["jax"])))
        if not same:
            print(r["op"], r["args"], r["in"], "\n   tf ", r["tensorflow"], "\n   jax", r["jax"])


if len(sys.argv) > 1:
    run(sys.argv[1])
else:
    main()
