"""keras.ops.numpy: tensors made of shapes and numbers, windows; references are NumPy's in float64."""
import numpy as np
from base import Group
from samples import *

group = Group("creation")
KINDS = ["float32", "float16", "int32", "uint32", "uint8", "bool"]


def single(value):
    """float64 results as float32, int64 ones as int32."""
    value = np.asarray(value)
    return value.astype({"float64": np.float32, "int64": np.int32}.get(str(value.dtype), value.dtype))


def case(op, args, value, *inputs, tol="exact", grad=False):
    group.case(op, list(inputs), args, [single(value)], tol, grad)


for shape in [[], [0], [3], [2, 0, 3], [2, 3, 4]]:
    for kind in KINDS:
        for op in ["zeros", "ones"]:
            case(op, {"shape": shape, "dtype": kind}, getattr(np, op)(shape, kind))
        # What `empty` holds is open in Keras; here it is 0.
        case("empty", {"shape": shape, "dtype": kind}, np.zeros(shape, kind))
        case("full", {"shape": shape, "fill_value": 3, "dtype": kind}, np.full(shape, 3, kind))
    case("full", {"shape": shape, "fill_value": -2.5, "dtype": "float32"}, np.full(shape, -2.5, np.float32))
case("full", {"shape": [4, 2, 3], "dtype": "float32"}, np.broadcast_to(normal((2, 1), 1), (4, 2, 3)), normal((2, 1), 1), grad=True)
case("full", {"shape": [2, 2], "dtype": "int32"}, np.array([[1, -2], [1, -2]], np.int32), np.array([1.5, -2.5], np.float32))
for x in [normal((2, 3), 1), normal((), 1), np.zeros((0, 2), np.float16), INTS, UINTS, BYTES, BOOLS]:
    for op in ["zeros_like", "ones_like"]:
        case(op, {}, getattr(np, op)(x), x)
        case(op, {"dtype": "int32"}, getattr(np, op)(x, dtype=np.int32), x)
    case("empty_like", {}, np.zeros_like(x), x)
    case("empty_like", {"dtype": "float16"}, np.zeros_like(x, dtype=np.float16), x)
    case("full_like", {"fill_value": 3}, np.full_like(x, 3), x)
    case("full_like", {"fill_value": 2, "dtype": "float32"}, np.full_like(x, 2, dtype=np.float32), x)
for n, m, k in [(3, None, 0), (0, None, 0), (1, None, 0), (3, 5, 1), (5, 3, -1), (4, 4, 9), (4, 4, -9), (2, 0, 0), (3, 3, 2**40), (3, 3, -2**40)]:
    for kind in ["float32", "int32", "bool", "float16"]:
        case("eye", {"N": n, "M": m, "k": k, "dtype": kind}, np.eye(n, m, max(-99, min(99, k)), dtype=kind))
        case("tri", {"N": n, "M": m, "k": k, "dtype": kind}, np.tri(n, m, max(-99, min(99, k)), dtype=kind))
for n in [0, 1, 4]:
    for kind in KINDS:
        case("identity", {"n": n, "dtype": kind}, np.identity(n, kind))
for start, stop, step in [(0, 5, 1), (0, 0, 1), (5, 0, 1), (5, 0, -2), (-3, 4, 3), (1, 7, 2), (0, 1000, 7), (2147483640, 2147483647, 3)]:
    case("arange", {"start": start, "stop": stop, "step": step, "dtype": "int32"}, np.arange(start, stop, step, dtype=np.int32))
    case("arange", {"start": start, "stop": stop, "step": step, "dtype": "float32"}, np.arange(start, stop, step).astype(np.float32))
for start, stop, step in [(0, 1, 0.1), (0.5, 3.7, 0.3), (1, -1, -0.25), (-1, 1, 0.01), (0, 5, 1.5)]:
    case("arange", {"start": start, "stop": stop, "step": step, "dtype": "float32"}, np.arange(start, stop, step).astype(np.float32))
    case("arange", {"start": start, "stop": stop, "step": step, "dtype": "float16"}, np.arange(start, stop, step).astype(np.float16), tol="ulp:1")
case("arange", {"start": 3000000000, "stop": 3000000009, "step": 2, "dtype": "uint32"}, np.arange(3000000000, 3000000009, 2).astype(np.uint32))
case("arange", {"start": 0, "stop": 200, "step": 9, "dtype": "uint8"}, np.arange(0, 200, 9).astype(np.uint8))
case("arange", {"start": 0.5, "stop": 6.5, "step": 1.7, "dtype": "int32"}, np.arange(0.5, 6.5, 1.7, dtype=np.int32))

ENDS = [(np.float32(0), np.float32(1)), (np.float32(-2), np.float32(5)), (np.float32(3), np.float32(3)), (np.float32(1e-3), np.float32(-7.5)),
        (np.float32(-3.4e38), np.float32(3.4e38)), (normal(3, 1), normal(3, 2)), (normal((2, 1), 3), normal((1, 3), 4)), (normal((0,), 3), np.float32(1)),
        (np.int32(0), np.int32(10))]
for start, stop in ENDS:
    for num in [0, 1, 2, 5, 50]:
        for endpoint in [True, False]:
            args = {"num": num, "endpoint": endpoint}
            a, b = (np.asarray(v).astype(np.float64) for v in (start, stop))
            case("linspace", args, np.linspace(a, b, **args), start, stop, tol="rel:2e-7")
for axis in [0, 1, -1, 2, -3]:
    args = {"num": 4, "axis": axis}
    a, b = normal((2, 3), 1), normal((2, 3), 2)
    case("linspace", args, np.linspace(a.astype(np.float64), b, **args), a, b, tol="rel:2e-7", grad=True)
for kind in ["int32", "float16"]:
    for start, stop in [(0, 10), (-3, 7), (0, 49), (5, -5)]:
        for num in [5, 11, 50]:
            args = {"num": num, "dtype": kind}
            a, b = np.float32(start), np.float32(stop)
            case("linspace", args, np.linspace(start, stop, **args), a, b, tol="exact" if kind == "int32" else "ulp:1")
case("linspace", {"num": 3}, np.linspace(1, 2, 3).astype(np.float16), np.float16(1), np.float16(2), tol="ulp:1")
for start, stop in ENDS[:4] + [(normal(3, 1), normal(3, 2)), (np.int32(0), np.int32(3))]:
    for args in [{"num": 1}, {"num": 5}, {"num": 20, "endpoint": False}, {"num": 7, "base": 2.0}]:
        a, b = (np.asarray(v).astype(np.float64) for v in (start, stop))
        case("logspace", args, np.logspace(a, b, **args), start, stop, tol="rel:2e-6")
case("logspace", {"num": 4, "axis": 1}, np.logspace(normal(3, 1).astype(np.float64), 1.0, 4, axis=1), normal(3, 1), np.float32(1), tol="rel:2e-6", grad=True)
case("logspace", {"num": 11, "dtype": "int32", "base": 2.0}, np.logspace(0, 10, 11, base=2.0).round().astype(np.int32), np.float32(0), np.float32(10))
for start, stop in [(1, 1000), (1e-30, 1e30), (256, 2), (-1, -1000), (5, 5), (0.1, 0.2)]:
    for args in [{"num": 0}, {"num": 1}, {"num": 4}, {"num": 31, "endpoint": False}]:
        a, b = np.float32(start), np.float32(stop)
        value = np.geomspace(np.float64(a), np.float64(b), **args)
        case("geomspace", args, value, a, b, tol=f"ulp:{16 + abs(np.log(np.float64(b) / a)):.0f}")
a, b = between(0.5, 2, (2, 1), 1), between(3, 9, (3,), 2)
case("geomspace", {"num": 5, "axis": -1}, np.geomspace(a.astype(np.float64), b.astype(np.float64), 5, axis=-1), a, b, tol="ulp:16", grad=True)
for op in ["bartlett", "blackman", "hamming", "hanning"]:
    for length in [0, 1, 2, 3, 8, 51]:
        case(op, {"x": length}, getattr(np, op)(length), tol="ulp:1")
for length in [0, 1, 2, 9, 50]:
    for beta in [0.0, 2.5, 14.0, 100.0, 900.0]:
        value = np.kaiser(length, beta) if beta < 500 else None
        if value is None:
            import scipy.special

            s = np.linspace(-1, 1, length) if length > 1 else np.zeros(length)
            angle = beta * np.sqrt(1 - s * s)
            value = scipy.special.i0e(angle) / scipy.special.i0e(beta) * np.exp(angle - beta)
        case("kaiser", {"x": length, "beta": beta}, value, tol="ulp:2")
for x in [normal((2, 3), 1), INTS, np.float32(2.5), np.zeros((0, 1), np.uint8), BOOLS]:
    for op in ["array", "convert_to_tensor"]:
        case(op, {}, x, x)
        case(op, {"dtype": "float32"}, np.asarray(x).astype(np.float32), x)
    case("ndim", {}, np.int32(np.ndim(x)), x)
    case("size", {}, np.int32(np.size(x)), x)
    case("shape", {}, np.array(np.shape(x), np.int32), x)
    case("dtype", {}, np.zeros(0, np.asarray(x).dtype), x)
group.write()
