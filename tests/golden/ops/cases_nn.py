"""keras.ops.nn: activations, convolutions, pooling, normalisation, losses, attention, CTC."""
import itertools, os

os.environ.update(KERAS_BACKEND="jax", JAX_ENABLE_X64="1")  # the backend that has them all in float64
import numpy as np
from keras import ops
from base import Group, results, widened

group = Group("nn")
rng = np.random.default_rng(7)
f32 = lambda *shape: rng.normal(size=shape).astype(np.float32)
unit = lambda *shape: rng.uniform(0.05, 0.95, size=shape).astype(np.float32)


def given(op, inputs, args, call, **options):
    """A case whose inputs are not the operation's first parameters: `call(*inputs)` is the reference."""
    inputs = [np.asarray(x) for x in inputs]
    dtypes = [r.dtype for r in results(call(*inputs))]
    exact = results(call(*[widened(x) for x in inputs]))
    group.case(op, inputs, args, outputs=[e.astype(d) for e, d in zip(exact, dtypes)], **options)


# Activations.
SPECIAL = np.array([0.0, -0.0, 1e-40, -1e-40, 1e-7, -1e-7, 0.5, -0.5, 1, -1, 2.9999, -3, 3, 6, 6.5, -20, 20, 88, -88,
                    150, -150, 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32)
SMOOTH = np.array([[-4.1, -2.3, -1.4, -0.7, -0.2], [0.13, 0.6, 1.7, 2.4, 7.3]], np.float32)
PLAIN = ["relu", "relu6", "selu", "sigmoid", "log_sigmoid", "softplus", "softsign", "silu", "hard_sigmoid", "hard_silu",
         "hard_tanh", "tanh_shrink", "sparse_plus", "sparse_sigmoid"]
FINITE = SPECIAL[np.isfinite(SPECIAL)]
for op in PLAIN:
    # Where a formula gives inf − inf or 0 · inf, backends differ.
    group.case(op, [SPECIAL if op in ("relu", "relu6", "sigmoid", "hard_tanh", "selu", "softplus") else FINITE])
    group.case(op, [SMOOTH], grad=True)
    group.case(op, [f32(3, 1, 65)])
    group.case(op, [np.zeros((0, 3), np.float32)])
    group.case(op, [f32(17).astype(np.float16)], tol="rel:2e-3")
for slope in (0.2, 0.01, 0.0):
    group.case("leaky_relu", [FINITE], {"negative_slope": slope})
group.case("leaky_relu", [SMOOTH], {"negative_slope": 0.3}, grad=True)
for op, name in (("elu", "alpha"), ("celu", "alpha")):
    group.case(op, [SPECIAL], {name: 1.0})
    group.case(op, [SMOOTH], {name: 0.7}, grad=True)
for approximate in (True, False):
    group.case("gelu", [SPECIAL[np.abs(SPECIAL) < 1e3]], {"approximate": approximate}, tol="abs:2e-6")
    group.case("gelu", [SMOOTH], {"approximate": approximate}, tol="abs:1e-6", grad=True)
for op in ("hard_shrink", "soft_shrink"):
    group.case(op, [FINITE], {"threshold": 0.5})
    group.case(op, [SMOOTH], {"threshold": 1.0}, grad=True)
group.case("squareplus", [FINITE[np.abs(FINITE) < 1e18]], {"b": 4}, tol="rel:1e-6")
group.case("squareplus", [SMOOTH], {"b": 2}, grad=True)
group.case("threshold", [FINITE], {"threshold": 0.6, "default_value": -2.0})
group.case("threshold", [SMOOTH], {"threshold": 1.0, "default_value": 5.0}, grad=True)
for shape, axis in (((4, 6), -1), ((4, 6, 3), 0), ((2, 8, 3), 1)):
    group.case("glu", [f32(*shape)], {"axis": axis}, grad=shape == (4, 6))
for op in ("softmax", "log_softmax"):
    tol = "rel:5e-7" if op == "softmax" else "abs:2e-6"
    group.case(op, [f32(5, 7)], {"axis": -1}, tol=tol, grad=True)
    group.case(op, [f32(5, 7, 3)], {"axis": 1}, tol=tol)
    group.case(op, [np.array([[1e30, -1e30, 0], [-500, -501, -502]], np.float32)], {"axis": -1}, tol=tol)
x = f32(3, 4, 5)
soft = np.exp(widened(x)) / np.exp(widened(x)).sum((0, 2), keepdims=True)
group.case("softmax", [x], {"axis": [0, 2]}, outputs=[soft.astype(np.float32)], tol="rel:5e-7", grad=True)
group.case("log_softmax", [x], {"axis": [0, 2]}, outputs=[np.log(soft).astype(np.float32)], tol="abs:2e-6", grad=True)


def sparsemax(x, axis):
    """By its definition: keras.ops.sparsemax 3.15 sums the running sums, and its result has another sum than 1."""
    x = np.moveaxis(x, axis, -1)
    down = np.sort(x, -1)[..., ::-1]
    sums = np.cumsum(down, -1)
    count = (1 + np.arange(1, x.shape[-1] + 1) * down > sums).sum(-1, keepdims=True)
    threshold = (np.take_along_axis(sums, count - 1, -1) - 1) / count
    return np.moveaxis(np.maximum(x - threshold, 0), -1, axis).astype(x.dtype)


for x, axis in ((f32(4, 6), -1), (3 * f32(5, 3, 2), 0), (np.array([[0, 0, 0], [1, 1, -5]], np.float32), 1),
                (np.array([[1e6, 1e6 + 0.5, 0]], np.float32), -1)):
    given("sparsemax", [x], {"axis": axis}, lambda x: sparsemax(x, axis), tol="abs:1e-6", grad=x.shape[0] in (4, 5))

# Convolutions.
CASES = [
    # input spatial, window, channels, filters, strides, padding, dilation
    ((9,), (3,), 4, 5, 1, "valid", 1), ((9,), (4,), 4, 5, 2, "same", 1), ((11,), (3,), 6, 4, 1, "same", 3),
    ((1,), (3,), 2, 3, 1, "same", 1), ((6, 7), (3, 2), 3, 4, 1, "valid", 1), ((6, 7), (3, 3), 3, 4, [2, 1], "same", 1),
    ((8, 9), (2, 3), 4, 6, 1, "same", [2, 1]), ((8, 8), (3, 3), 4, 4, 3, "valid", 1), ((5, 4), (1, 1), 3, 2, 1, "valid", 1),
    ((4, 5, 6), (2, 3, 2), 2, 3, 1, "valid", 1), ((4, 5, 3), (3, 3, 2), 2, 3, 2, "same", 1),
]
for spatial, window, channels, filters, strides, padding, dilation in CASES:
    x, w = f32(2, *spatial, channels), f32(*window, channels, filters)
    args = {"strides": strides, "padding": padding, "data_format": "channels_last", "dilation_rate": dilation}
    small = x.size < 400
    group.case("conv", [x, w], args, tol="rel:2e-6", grad=small)
    first = np.moveaxis(x, -1, 1)
    call = lambda a, b: np.moveaxis(ops.convert_to_numpy(
        ops.conv(np.moveaxis(a, 1, -1), b, strides, padding, "channels_last", dilation)), -1, 1)
    given("conv", [first, w], {**args, "data_format": "channels_first"}, call, tol="rel:2e-6")
    deep = f32(*window, channels, 2)
    if len(spatial) < 3 and (strides == 1 or dilation == 1) and len(set(np.atleast_1d(strides))) == 1:
        group.case("depthwise_conv", [x, deep], args, tol="rel:2e-6", grad=small)
        point = f32(*([1] * len(window)), channels * 2, filters)
        group.case("separable_conv", [x, deep, point], args, tol="rel:2e-6", grad=small)
# Groups: by the kernel's channels. TensorFlow on CPU has no gradient of these, hence NumPy.
x, w = f32(2, 6, 5, 6), f32(3, 2, 2, 9)
parts = lambda x, w: np.concatenate([ops.convert_to_numpy(
    ops.conv(x[..., 2 * g:2 * g + 2], w[..., 3 * g:3 * g + 3], 1, "same", "channels_last")) for g in range(3)], -1)
given("conv", [x, w], {"strides": 1, "padding": "same", "data_format": "channels_last", "dilation_rate": 1}, parts,
      tol="rel:2e-6", grad=True)


def transposed(x, w, strides, before, after):
    """Every element of the input adds its window to a full result, of which `before` and `after` are cut; zeros added."""
    spatial, window = x.shape[1:-1], w.shape[:-2]
    full = [(n - 1) * s + k for n, s, k in zip(spatial, strides, window)]
    y = np.zeros((x.shape[0], *full, w.shape[-2]), np.float64)
    for at in np.ndindex(*spatial):
        place = tuple(slice(i * s, i * s + k) for i, s, k in zip(at, strides, window))
        y[(slice(None), *place)] += np.tensordot(x[(slice(None), *at)], w, [[1], [w.ndim - 1]])
    return y


for spatial, window, strides, padding, extra, dilation in [
    ((5,), (3,), 1, "valid", None, 1), ((5,), (3,), 2, "valid", None, 1), ((5,), (2,), 3, "valid", None, 1),
    ((5,), (3,), 2, "same", None, 1), ((5,), (4,), 2, "same", None, 1), ((5,), (3,), 1, "same", None, 2),
    ((4, 5), (3, 3), 2, "same", None, 1), ((4, 5), (3, 2), [2, 1], "valid", None, 1), ((4, 5), (3, 3), 2, "same", 1, 1),
    ((4, 5), (3, 3), 2, "valid", 1, 1), ((4, 5), (1, 2), 2, "same", None, 1), ((3, 2, 4), (2, 3, 2), 2, "same", None, 1),
    ((3, 2, 4), (2, 3, 2), 1, "valid", None, 1), ((1, 1), (3, 3), 2, "same", None, 1),
]:
    x, w = f32(2, *spatial, 3), f32(*window, 4, 3)
    args = {"strides": strides, "padding": padding, "output_padding": extra, "data_format": "channels_last",
            "dilation_rate": dilation}
    small = x.size < 130
    group.case("conv_transpose", [x, w], args, tol="rel:2e-6", grad=small)
    if len(spatial) == 2:
        call = lambda a, b: np.moveaxis(ops.convert_to_numpy(
            ops.conv_transpose(np.moveaxis(a, 1, -1), b, strides, padding, extra, "channels_last", dilation)), -1, 1)
        given("conv_transpose", [np.moveaxis(x, -1, 1), w], {**args, "data_format": "channels_first"}, call, tol="rel:2e-6")
x, w = f32(1, 3, 2, 2), f32(2, 2, 3, 2)
given("conv_transpose", [x, w], {"strides": 2, "padding": "valid", "output_padding": 0, "data_format": "channels_last",
      "dilation_rate": 1}, lambda x, w: transposed(x, w, (2, 2), 0, 0).astype(x.dtype), tol="rel:2e-6")

# Pooling.
for op in ("max_pool", "average_pool"):
    tol = "exact" if op == "max_pool" else "ulp:8"
    for spatial, pool, strides, padding in [((9,), 2, None, "valid"), ((9,), 3, 2, "same"), ((7, 6), 2, 1, "valid"),
                                            ((7, 6), [3, 2], [2, 1], "same"), ((4, 5, 6), 2, None, "same"),
                                            ((4, 4, 5), 3, 1, "valid"), ((5, 5), 2, 3, "valid"), ((1, 1), 1, None, "valid")]:
        x = f32(2, *spatial, 3)
        args = {"pool_size": pool, "strides": strides, "padding": padding, "data_format": "channels_last"}
        # Keras on JAX has no strides None.
        last = lambda a: ops.convert_to_numpy(getattr(ops, op)(
            a, tuple(np.broadcast_to(pool, len(spatial)).tolist()),
            tuple(np.broadcast_to(strides or pool, len(spatial)).tolist()), padding, "channels_last"))
        given(op, [x], args, last, tol=tol, grad=x.size < 300)
        call = lambda a: np.moveaxis(last(np.moveaxis(a, 1, -1)), -1, 1)
        given(op, [np.moveaxis(x, -1, 1)], {**args, "data_format": "channels_first"}, call, tol=tol)
for op, fold in (("adaptive_average_pool", np.mean), ("adaptive_max_pool", np.max)):
    def adaptive(x, size):
        for axis, count in enumerate(size, 1):
            n = x.shape[axis]
            parts = [fold(np.take(x, range(i * n // count, -(-(i + 1) * n // count)), axis), axis=axis, keepdims=True)
                     for i in range(count)]
            x = np.concatenate(parts, axis)
        return x
    for spatial, size in [((8,), 4), ((7,), 3), ((3,), 5), ((6, 7), [2, 3]), ((5, 5), 1), ((4, 5, 6), [3, 2, 4])]:
        x = f32(2, *spatial, 2)
        sizes = [size] * len(spatial) if isinstance(size, int) else size
        tol = "exact" if op == "adaptive_max_pool" else "ulp:16"
        args = {"output_size": size, "data_format": "channels_last"}
        given(op, [x], args, lambda a: adaptive(a, sizes), tol=tol, grad=x.size < 120)
        given(op, [np.moveaxis(x, -1, 1)], {**args, "data_format": "channels_first"},
              lambda a: np.moveaxis(adaptive(np.moveaxis(a, 1, -1), sizes), -1, 1), tol=tol)

# Blocks.
for shape, args in [((2, 3, 6, 7), {"kernel_size": 2}), ((1, 2, 7, 8), {"kernel_size": [3, 2], "padding": 1, "stride": 2}),
                    ((1, 1, 9, 8), {"kernel_size": 3, "dilation": 2, "padding": [0, 2], "stride": [1, 3]})]:
    x = f32(*shape)
    group.case("unfold", [x], args, tol="exact", grad=x.size < 130)
    columns = f32(*ops.unfold(x, **args).shape)

    def fold(columns):
        # The transpose of unfold, element by element.
        where = ops.convert_to_numpy(ops.unfold(1 + np.arange(np.prod(shape), dtype=np.float64).reshape(shape), **args))
        image = np.zeros(np.prod(shape) + 1, columns.dtype)
        np.add.at(image, np.broadcast_to(where, columns.shape).astype(int).ravel(), columns.ravel())
        return image[1:].reshape(shape)
    given("fold", [columns], {"output_size": list(shape[2:]), **args}, fold, tol="ulp:8", grad=columns.size < 300)
for format in ("channels_last", "channels_first"):
    for block, shape in ((2, (2, 4, 6, 8)), (3, (1, 9, 3, 9))):
        x = f32(*shape)
        pair = lambda op: group.case(op, [x], {"block_size": block, "data_format": format}, tol="exact", grad=block == 3)
        if shape[3 if format == "channels_last" else 1] % block ** 2 == 0:
            pair("depth_to_space")
        if all(n % block == 0 for n in (shape[1:3] if format == "channels_last" else shape[2:])):
            pair("space_to_depth")

# Normalisation.
x = f32(4, 5, 6)
for axes, keep in (([0], False), ([0, 2], True), ([-1], False), ([0, 1, 2], False)):
    group.case("moments", [x], {"axes": axes, "keepdims": keep}, tol="ulp:16", grad=axes == [0, 2])
group.case("moments", [1000 + f32(64)], {"axes": [0], "keepdims": False}, tol="rel:1e-6")
group.case("moments", [f32(3, 4).astype(np.float16)], {"axes": [1], "keepdims": False}, tol="rel:2e-3")
for axis in (-1, 1):
    n = x.shape[axis]
    mean, variance, offset, scale = f32(n), unit(n), f32(n), f32(n)
    batch = lambda x, m, v, o=None, s=None: ops.batch_normalization(x, m, v, axis, o, s, 1e-3)
    given("batch_normalization", [x, mean, variance, offset, scale], {"axis": axis, "epsilon": 1e-3}, batch,
          tol="rel:1e-6", grad=True)
    given("batch_normalization", [x, mean, variance], {"axis": axis, "epsilon": 1e-3}, batch, tol="rel:1e-6")
for axis in ([-1], [1], [1, 2]):
    weight = [x.shape[a] for a in axis]
    layer = lambda x, g=None, b=None: ops.layer_normalization(x, g, b, axis=axis, epsilon=1e-3)
    given("layer_normalization", [x, f32(*weight), f32(*weight)], {"axis": axis, "epsilon": 1e-3}, layer, tol="rel:2e-6",
          grad=True)
    given("layer_normalization", [x], {"axis": axis, "epsilon": 1e-3}, layer, tol="rel:2e-6")
given("rms_normalization", [x, f32(6)], {"axis": [-1], "epsilon": 1e-7}, lambda x, s: ops.rms_normalization(x, s, -1, 1e-7),
      tol="rel:1e-6", grad=True)
for axis in ([0], [1, 2]):
    given("rms_normalization", [x], {"axis": axis, "epsilon": 1e-3}, lambda x: ops.rms_normalization(x, None, axis, 1e-3),
          tol="rel:1e-6")
for order in (1, 2, 3):
    group.case("normalize", [x], {"axis": 1, "order": order, "epsilon": 1e-7}, tol="ulp:16", grad=True)
group.case("normalize", [np.array([[0, 0], [3, 4], [1e-12, 0]], np.float32)], {"axis": -1, "order": 2, "epsilon": 1e-7})

# Losses, labels, measures.
target, logits = rng.integers(0, 2, (4, 5)).astype(np.float32), 3 * f32(4, 5)
for inputs, from_logits in (([target, unit(4, 5)], False), ([unit(4, 5), logits], True)):
    group.case("binary_crossentropy", inputs, {"from_logits": from_logits}, tol="ulp:16", grad=True)
# What 1 − 1e-7 is depends on the dtype: the reference in float32.
edges = np.array([[0, 1, 1e-9, 1, 0.5]] * 4, np.float32)
group.case("binary_crossentropy", [target, edges], {"from_logits": False}, tol="ulp:16",
           outputs=[ops.convert_to_numpy(ops.binary_crossentropy(target, edges))])
group.case("categorical_crossentropy", [target, edges], {"from_logits": False, "axis": -1}, tol="ulp:16",
           outputs=[ops.convert_to_numpy(ops.categorical_crossentropy(target, edges))])
soft = unit(4, 5)
soft /= soft.sum(-1, keepdims=True)
for axis in (-1, 0):
    group.case("categorical_crossentropy", [soft, logits], {"from_logits": True, "axis": axis}, tol="ulp:16", grad=True)
    group.case("categorical_crossentropy", [soft, unit(4, 5)], {"from_logits": False, "axis": axis}, tol="ulp:16", grad=True)
labels = rng.integers(0, 5, (4, 3)).astype(np.int32)
for shape, axis, target in (((4, 3, 5), -1, labels), ((4, 3, 5), -1, labels[..., None]), ((4, 5, 3), 1, labels)):
    for from_logits in (True, False):
        x = 2 * f32(*shape) if from_logits else unit(*shape)

        def sparse(t, x):
            x = np.moveaxis(x, axis, -1)
            x = x if from_logits else np.log(np.clip(x, 1e-7, 1 - 1e-7))
            log = x - np.log(np.exp(x).sum(-1, keepdims=True))
            return -np.take_along_axis(log, t.reshape(labels.shape)[..., None].astype(int), -1)[..., 0]
        given("sparse_categorical_crossentropy", [target, x], {"from_logits": from_logits, "axis": axis}, sparse,
              tol="ulp:16", grad=target.ndim == 2)
for x, n, axis, dtype in ((labels, 5, -1, "float32"), (labels, 4, 0, "float32"), (labels, 6, 1, "int32"),
                          (np.array([-1, 0, 7, 2], np.int32), 3, -1, "float32"), (np.array(2, np.int32), 4, -1, "float32"),
                          (np.zeros((0,), np.int32), 3, -1, "bool"), (labels.astype(np.uint8), 5, -1, "bool")):
    group.case("one_hot", [x], {"num_classes": n, "axis": axis, "dtype": dtype}, tol="exact")
for x, n in ((labels, 5), (np.array([0, 3, 3], np.int32), 4)):
    group.case("multi_hot", [x], {"num_classes": n, "axis": -1, "dtype": "float32"}, tol="exact")
group.case("psnr", [f32(3, 4), f32(3, 4)], {"max_val": 2.5}, tol="rel:1e-6", grad=True)
given("polar", [unit(3, 4), 3 * f32(3, 4)], {}, lambda r, a: [r * np.cos(a), r * np.sin(a)], tol="rel:1e-6", grad=True)

# Attention.
for heads, groups, causal, extra in ((3, 3, False, ""), (4, 2, False, "bias"), (4, 1, True, ""), (2, 2, False, "mask"),
                                     (4, 2, True, "bias mask")):
    q, k, v = f32(2, 5, heads, 4), f32(2, 6 - causal, groups, 4), f32(2, 6 - causal, groups, 4)
    sources = k.shape[1]
    bias = f32(2, heads, 5, sources) if "bias" in extra else None
    mask = (rng.uniform(size=(2, 1, 5, sources)) < 0.7) if "mask" in extra else None

    def attend(q, k, v, *rest):
        rest = list(rest)
        b = rest.pop(0) if bias is not None else 0
        logits = np.einsum("btnh,bsnh->bnts", q, np.repeat(k, heads // groups, 2)) * 0.37 + b
        low = -0.7 * np.finfo(np.float32).max
        if mask is not None:
            logits = np.where(mask, logits, low)
        if causal:
            logits = np.where(np.tril(np.ones((5, sources), bool)), logits, low)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("bnts,bsnh->btnh", weights, np.repeat(v, heads // groups, 2)).astype(q.dtype)
    inputs = [q, k, v] + [t for t in (bias, mask) if t is not None]
    args = {"scale": 0.37, "is_causal": causal, "has_bias": bias is not None, "has_mask": mask is not None}
    given("dot_product_attention", inputs, args, attend, tol="rel:2e-6", grad=not causal or "mask" in extra)
q, k, v = f32(1, 3, 2, 4), f32(1, 4, 2, 4), f32(1, 4, 2, 4)
group.case("dot_product_attention", [q, k, v], {}, tol="rel:2e-6")

# CTC.
def ctc(target, output, target_length, output_length, blank):
    """The sum over all paths, frame by frame, in float64."""
    losses = []
    for t, x, n, frames in zip(target, output, target_length, output_length):
        log = x - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(-1, keepdims=True)
        states = [blank] + [s for label in t[:n] for s in (label, blank)]
        alpha = np.full(len(states), -np.inf)
        alpha[0] = 0
        for frame in log[:frames]:
            new = np.full(len(states), -np.inf)
            for s, state in enumerate(states):
                terms = [alpha[s]] + ([alpha[s - 1]] if s else [])
                if s > 1 and state != blank and state != states[s - 2]:
                    terms.append(alpha[s - 2])
                new[s] = np.logaddexp.reduce(terms) + frame[state]
            alpha = new
        losses.append(-np.logaddexp.reduce(alpha[max(0, len(states) - 2):]))
    return np.array(losses)


target = np.array([[1, 2, 2, 3], [3, 3, 0, 0], [2, 0, 0, 0], [1, 1, 1, 1], [4, 1, 0, 0]], np.int32)
target_length, output_length = np.array([4, 2, 1, 4, 0], np.int32), np.array([9, 7, 3, 6, 5], np.int32)
output = 2 * f32(5, 9, 5)
given("ctc_loss", [target, output, target_length, output_length], {"mask_index": 0},
      lambda t, x, n, m: ctc(t, x, n, m, 0).astype(x.dtype), tol="rel:2e-6", grad=False)
given("ctc_loss", [target[:3] - 1, output[:3], target_length[:3], output_length[:3]], {"mask_index": 4},
      lambda t, x, n, m: ctc(t, x, n, m, 4).astype(x.dtype), tol="rel:2e-6", grad=True)
lengths = np.array([9, 7, 3, 0, 5], np.int32)


def decode(x, lengths, merge, blank):
    paths, scores = [], []
    for frames, n in zip(x, lengths):
        best = frames.argmax(-1)[:n]
        kept = [c for i, c in enumerate(best) if c != blank and not (merge and i and best[i - 1] == c)]
        paths.append(kept + [-1] * (len(frames) - len(kept)))
        scores.append([-frames.max(-1)[:n].sum()])
    return [np.array([paths], np.int32), np.array(scores, x.dtype)]


for merge, blank in ((True, 0), (False, 0), (True, 4)):
    given("ctc_decode", [2 * f32(5, 9, 5), lengths], {"strategy": "greedy", "merge_repeated": merge, "mask_index": blank},
          lambda x, n: decode(x, n, merge, blank), tol="rel:1e-6")
def beams(x, lengths, top, blank):
    """Every path of few frames and classes."""
    paths, scores = [], []
    for frames, n in zip(x, lengths):
        log = frames - np.log(np.exp(frames).sum(-1, keepdims=True))
        found = {}
        for path in itertools.product(range(x.shape[2]), repeat=int(n)):
            spelt = tuple(c for c, _ in itertools.groupby(path) if c != blank)
            odds = sum(log[i, c] for i, c in enumerate(path))
            found[spelt] = np.logaddexp(found.get(spelt, -np.inf), odds)
        best = sorted(found.items(), key=lambda item: -item[1])[:top]
        paths.append([list(p) + [-1] * (len(frames) - len(p)) for p, _ in best])
        scores.append([s for _, s in best])
    return [np.array(paths, np.int32).swapaxes(0, 1), np.array(scores, x.dtype)]


x, n = 2 * f32(3, 6, 4), np.array([6, 4, 2], np.int32)
given("ctc_decode", [x, n], {"strategy": "beam_search", "beam_width": 5000, "top_paths": 3, "mask_index": 0},
      lambda x, n: beams(x, n, 3, 0), tol="abs:2e-6")

# No batch: none of results (Keras on JAX).
for op in ("adaptive_average_pool", "adaptive_max_pool"):
    for shape, size in [((0, 5, 2), [3]), ((0, 5, 4, 2), [2, 7]), ((3, 4, 4, 0), [2, 2]), ((0, 3, 4, 5, 2), [1, 2, 3])]:
        group.case(op, [np.zeros(shape, np.float32)], {"output_size": size, "data_format": "channels_last"},
                   [np.zeros((shape[0], *size, shape[-1]), np.float32)], "exact")
group.write()
