"""keras.ops.numpy, element by element: functions of one and two tensors, logic, bits.

References are NumPy's and SciPy's in float64; the dtypes of results are what Keras gives (its JAX backend, where
backends differ).
"""
import functools, os

os.environ["KERAS_BACKEND"] = "jax"
import jax, keras, numpy as np, scipy.special
from base import Group
from samples import *

np.seterr(all="ignore")
group = Group("elementwise")
HALF = ["float16"]


@functools.cache
def dtype_of_kinds(op, kinds, args):
    inputs = [jax.ShapeDtypeStruct((2,), kind) for kind in kinds]
    result = jax.eval_shape(lambda *x: getattr(keras.ops, op)(*x, **dict(args)), *inputs)
    return np.dtype(keras.backend.standardize_dtype(result.dtype))


def dtype_of(op, *inputs, **args):
    return dtype_of_kinds(op, tuple(str(x.dtype) for x in inputs), tuple(args.items()))


def case(op, reference, *inputs, tol="ulp:4", grad=False, args=None):
    """`reference` gets float64 for floats, the inputs as they are else."""
    args = args or {}
    inputs = [np.asarray(x) for x in inputs]
    exact = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
    kind = dtype_of(op, *inputs, **args)
    value = np.asarray(reference(*exact, **args))
    group.case(op, inputs, args, [value.astype(np.float32).astype(kind) if kind.kind == "f" else value.astype(kind)], tol, grad)


def unary(op, reference, domain, tol="ulp:4", low=-2.0, high=2.0, grad=True, ints=True):
    """`domain`: values over the range of floats; `low..high`: where it is smooth."""
    case(op, reference, domain, tol=tol)
    for i, shape in enumerate(SHAPES):
        case(op, reference, between(low, high, shape, i), tol=tol)
    half = between(low, high, (4, 3), 99).astype(np.float16)
    case(op, reference, half, tol="exact" if tol == "exact" else "ulp:1")
    if ints:
        for x in [np.array([0, 1, 2, 3], np.int32), np.array([0, 1, 2, 3], np.uint32), np.array([0, 1, 2], np.uint8)]:
            case(op, lambda x: reference(x.astype(np.float64)), x, tol=tol)
        if ints != "no bool":
            case(op, lambda x: reference(x.astype(np.float64)), BOOLS, tol=tol)
    if grad:
        case(op, reference, between(low, high, (2, 3), 7), tol=tol, grad=True)
        case(op, reference, between(low, high, (), 8), tol=tol, grad=True)


def inside(x, low, high):
    """Those in a range, and the infinite ones and NaN."""
    return x[(x >= low) & (x <= high) | ~np.isfinite(x)]


X = wide(1)

# Primitives and what is a step from one.
unary("exp", np.exp, X)
unary("expm1", np.expm1, X)
unary("log", np.log, X, low=0.1, high=4)
unary("log1p", np.log1p, X, low=-0.5, high=4)
unary("sqrt", np.sqrt, X, tol="ulp:3", low=0.1, high=4)
unary("sin", np.sin, inside(X, -1e4, 1e4), tol="abs:1e-6")
unary("cos", np.cos, inside(X, -1e4, 1e4), tol="abs:1e-6")
unary("tan", np.tan, inside(X, -1.5, 1.5), low=-1.3, high=1.3)
case("tan", np.tan, between(-1e4, 1e4, 200, 12), tol="rel:2e-6")
unary("tanh", np.tanh, X)
unary("arctan", np.arctan, X)
unary("floor", np.floor, X, tol="exact")
unary("ceil", np.ceil, X, tol="exact")
unary("reciprocal", lambda x: 1 / x, X, tol="ulp:3", low=0.3, high=2)
unary("deg2rad", np.deg2rad, X, tol="ulp:2")
unary("rad2deg", np.rad2deg, X, tol="ulp:2")
unary("fabs", np.fabs, X, tol="exact", low=0.1, high=2)
unary("angle", lambda x: np.where(np.isnan(x), x, np.where(np.signbit(x), np.pi, 0.0)), X, tol="ulp:1", low=0.1, high=2)
for op, reference in [("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite), ("isposinf", np.isposinf),
                      ("isneginf", np.isneginf), ("signbit", np.signbit), ("isreal", np.isreal)]:
    unary(op, reference, X, tol="exact", grad=False, ints=False)
    for x in [INTS, UINTS, BYTES, BOOLS]:
        case(op, lambda x: reference(x.astype(np.float64)), x, tol="exact")
    case(op, reference, np.array([0, -0.0, np.inf, -np.inf, np.nan, 65504, 6e-8], np.float16), tol="exact")
for op, reference in [("abs", np.abs), ("absolute", np.absolute), ("square", np.square)]:
    case(op, reference, X, tol="exact")
    for x in [INTS, UINTS, BYTES]:
        case(op, reference, x, tol="exact")
    case(op, lambda x: x.astype(np.int32) if op == "square" else x, BOOLS, tol="exact")
    case(op, reference, np.array([-1.5, 2, 0.25, 100], np.float16), tol="exact")
    case(op, reference, between(0.3, 2, (2, 3), 1), tol="exact", grad=True)
    case(op, reference, between(-2, -0.3, (3,), 1), tol="exact", grad=True)
    for i, shape in enumerate(SHAPES):
        case(op, reference, normal(shape, i), tol="exact")
for op, reference in [("negative", np.negative), ("sign", np.sign)]:
    case(op, reference, X, tol="exact")
    for x in [INTS, UINTS, BYTES]:
        case(op, reference, x, tol="exact")
    for i, shape in enumerate(SHAPES):
        case(op, reference, normal(shape, i), tol="exact")
    case(op, reference, np.array([-1.5, 0, 0.25, 100], np.float16), tol="exact")
    case(op, reference, between(0.3, 2, (2, 3), 1), tol="exact", grad=True)
case("trunc", np.trunc, X, tol="exact")
for x in [INTS, UINTS, BYTES, BOOLS]:
    case("trunc", lambda x: x, x, tol="exact")
for i, shape in enumerate(SHAPES):
    case("trunc", np.trunc, normal(shape, i, 3), tol="exact")
case("trunc", np.trunc, np.array([-1.5, 0, 0.25, 100.75], np.float16), tol="exact")
case("trunc", np.trunc, np.array([-1.5, 0.1, 2.25], np.float32), tol="exact", grad=True)
for op in ["copy", "conj", "conjugate", "real", "imag"]:
    reference = np.zeros_like if op == "imag" else np.copy
    keras_op = op
    for x in [X, INTS, UINTS, BYTES, BOOLS, np.array([0.5, 1], np.float16), normal((2, 0, 3), 1), normal((), 1)]:
        group.case(op, [x], outputs=[reference(x)], tol="exact")
    group.case(op, [normal((2, 3), 1)], outputs=[reference(normal((2, 3), 1))], tol="exact", grad=True)

# Rounding to decimals.
finite = inside(X, -3.4e38, 3.4e38)
case("round", np.round, X, tol="exact", args={"decimals": 0})
case("round", np.round, X, tol="exact")
for decimals in [1, 2, 5, -1, -2, -5]:
    case("round", np.round, inside(X, -1e6, 1e6), tol="abs:0.0625" if decimals >= 0 else f"ulp:2", args={"decimals": decimals})
    case("round", np.round, between(-50, 50, (7, 3), decimals + 10), tol="ulp:2", args={"decimals": decimals})
case("round", np.round, np.array([1e10, 3.4e38, -3e38, np.inf, 123456.7, 8388608.0], np.float32), tol="ulp:2", args={"decimals": 3})
case("round", np.round, np.array([1.25, 2.5, -0.75], np.float16), tol="ulp:1", args={"decimals": 1})
whole = np.array([0, 4, 5, 6, 14, 15, 16, 25, 35, 44, 45, 99, 150, 250, 12345, 1500000000, -5, -15, -16, -25, -149, -150], np.int32)


def round_whole(x, decimals=0):
    step = 10 ** -decimals if decimals < 0 else 1
    low = x.astype(np.int64) // step * step
    rest = x.astype(np.int64) - low
    up = (2 * rest > step) | ((2 * rest == step) & (low // step % 2 == 1))
    return (low + up * step if step > 1 else x).astype(x.dtype)


for decimals in [0, 2, -1, -2, -3, -10]:
    case("round", round_whole, whole, tol="exact", args={"decimals": decimals})
    case("round", round_whole, np.abs(whole).astype(np.uint32), tol="exact", args={"decimals": decimals})
case("round", round_whole, np.array([0, 4, 5, 6, 15, 25, 99, 244], np.uint8), tol="exact", args={"decimals": -1})
case("round", round_whole, np.array([0, 4, 99, 244], np.uint8), tol="exact", args={"decimals": -3})
case("round", np.round, np.array([0.3, 1.2, -4.4], np.float32), tol="exact", grad=True)

# Functions over the whole float range.
unary("sinh", np.sinh, X)
unary("cosh", np.cosh, X)
unary("arcsin", np.arcsin, X, low=-0.9, high=0.9, ints=False)
unary("arccos", np.arccos, X, low=-0.9, high=0.9, ints=False)
unary("arcsinh", np.arcsinh, X)
unary("arccosh", np.arccosh, X, low=1.2, high=4)
unary("arctanh", np.arctanh, X, low=-0.9, high=0.9)
for op, reference in [("arcsin", np.arcsin), ("arccos", np.arccos), ("arctanh", np.arctanh)]:
    near_one = np.concatenate([1 - 2.0 ** -np.arange(1, 25), 2.0 ** -np.arange(1, 140, 7.0), [1, 1.0000001]]).astype(np.float32)
    case(op, reference, np.concatenate([near_one, -near_one]))
case("arccosh", np.arccosh, (1 + 2.0 ** -np.arange(0, 24)).astype(np.float32))
for op, reference in [("sinh", np.sinh), ("cosh", np.cosh), ("arcsinh", np.arcsinh)]:
    case(op, reference, np.concatenate([between(-95, 95, 400, 5), between(-1e-3, 1e-3, 100, 6)]))
unary("exp2", np.exp2, X)
case("exp2", np.exp2, np.arange(-152, 131).astype(np.float32), tol="exact")
case("exp2", np.exp2, between(-150, 128, 500, 3))
unary("log2", np.log2, X, low=0.1, high=4)
unary("log10", np.log10, X, low=0.1, high=4)
case("log2", np.log2, np.ldexp(np.float32(1), np.arange(-126, 128)).astype(np.float32), tol="exact")
case("log10", np.log10, np.array([10.0 ** i for i in range(0, 11)], np.float32), tol="ulp:1")
for op, reference in [("log2", np.log2), ("log10", np.log10)]:
    case(op, reference, np.concatenate([between(0.5, 2, 300, 4), (1 + 2.0 ** -np.arange(1, 24)), (1 - 2.0 ** -np.arange(1, 25))]).astype(np.float32))
unary("cbrt", np.cbrt, X, low=0.2, high=4)
case("cbrt", np.cbrt, np.concatenate([np.arange(-20.0, 21) ** 3, bits(300, 11)]).astype(np.float32), tol="ulp:2")
unary("sinc", np.sinc, inside(X, -1e7, 1e7), tol="abs:5e-7", low=-3, high=3)
case("sinc", lambda x: np.where(x == 0, 1.0, 0.0), np.arange(-5, 6).astype(np.float32), tol="exact")
case("sinc", np.sinc, np.array([1e-30, 1e-4, 0.01, 0.1, 0.25, 0.29, 0.31, 0.5, 1.0, 2.0], np.float32), tol="abs:5e-7", grad=True)
# SciPy's has no value at infinity.
bessel = lambda x: np.where(np.isinf(x), np.inf, scipy.special.i0(x))
unary("i0", bessel, X, tol="ulp:8", low=-3, high=3)
case("i0", bessel, between(-92, 92, 500, 3), tol="ulp:8")
case("i0", bessel, np.array([-20, -9, -7, 0.5, 6, 8.5, 30], np.float32), tol="ulp:8", grad=True)

# Functions of two tensors.


def binary(op, reference, tol="exact", low=0.3, high=2.0, grad=True, specials=True, ints="exact", args=None, keep=None):
    """`ints`: the tolerance of whole numbers, or None. `keep`: which pairs of special values count."""
    args = args or {}
    if specials:
        left, right = LEFT, RIGHT
        if keep is not None:
            chosen = keep(left.astype(np.float64), right.astype(np.float64))
            left, right = left[chosen], right[chosen]
        case(op, reference, left, right, tol=tol, args=args)
    for x, y in pairs_of(low, high, 5):
        case(op, reference, x, y, tol=tol, args=args)
    case(op, reference, between(low, high, (4, 3), 2).astype(np.float16), between(low, high, (3,), 3).astype(np.float16),
         tol="ulp:1", args=args)
    if ints is not None:
        a = np.array([0, 1, 2, 3, 5, 7, 12, 100], np.int32)
        b = np.array([1, 2, 3, 1, 4, 2, 5, 7], np.int32)
        kinds = [np.int32, np.uint32, np.uint8]
        for left in kinds:
            for right in kinds:
                case(op, lambda a, b: reference(a.astype(np.int64), b.astype(np.int64)), a.astype(left), b.astype(right), tol=ints, args=args)
            case(op, lambda a, b: reference(a.astype(np.float64), b.astype(np.float64)), a.astype(left), between(low, high, 8, 4), tol=tol, args=args)
            case(op, lambda a, b: reference(a.astype(np.int64), b.astype(np.int64)), a.astype(left), np.ones(8, bool), tol=ints, args=args)
            case(op, lambda a, b: reference(a.astype(np.float64), b.astype(np.float64)), a.astype(left),
                 between(low, high, 8, 4).astype(np.float16), tol="ulp:1", args=args)
    if grad:
        case(op, reference, between(low, high, (2, 3), 21), between(low, high, (2, 3), 22), tol=tol, grad=True, args=args)
        case(op, reference, between(low, high, (2, 1), 23), between(low, high, (3,), 24), tol=tol, grad=True, args=args)


binary("add", np.add)
binary("subtract", np.subtract, ints=None)
binary("multiply", np.multiply)
for op, reference in [("divide", np.true_divide), ("true_divide", np.true_divide)]:
    binary(op, reference, tol="ulp:3", ints="ulp:3")
binary("divide_no_nan", lambda a, b: np.where(b == 0, 0.0, a / np.where(b == 0, 1, b)), tol="ulp:3", ints="ulp:3")
binary("maximum", np.maximum)
binary("minimum", np.minimum)
binary("fmax", np.fmax)
binary("fmin", np.fmin)
# Beyond 2^23 quotients are not whole in float32.
moderate = lambda a, b: ~(np.abs(a / np.where(b == 0, 1, b)) > 2**22) | ~np.isfinite(a / np.where(b == 0, 1, b))
single = lambda f: lambda a, b: f(a.astype(np.float32), b.astype(np.float32)) if a.dtype.kind == "f" else f(a, b)
binary("mod", single(np.mod), tol="ulp:1", grad=False, ints="exact")
case("mod", np.mod, np.array([5.3, -5.3, 7.1], np.float32), np.array([2.0, 2.0, -3.0], np.float32), tol="ulp:4", grad=True)
binary("fmod", np.fmod, grad=False)
case("fmod", np.fmod, np.array([5.3, -5.3, 7.1, -0.5], np.float32), np.array([2.0, 2.0, -3.0, 3.0], np.float32), tol="exact", grad=True)
binary("floor_divide", single(np.floor_divide), grad=False, keep=moderate)
case("floor_divide", single(np.floor_divide), np.array([1.0, 0.3, 6.0, -1.0, -0.3, 2.3], np.float32), np.array([0.1, 0.1, 0.2, 0.1, 0.1, -0.1], np.float32), tol="exact")
case("floor_divide", single(np.floor_divide), np.array([1.05, 0.33, -1.05], np.float32), np.array([0.1, -0.1, 0.1], np.float32), tol="exact", grad=True)
for op, reference in [("mod", np.mod), ("fmod", np.fmod), ("floor_divide", np.floor_divide)]:
    for x in [INTS[INTS != -2147483648], UINTS, BYTES]:
        left, right = (a.ravel() for a in np.meshgrid(x, x))
        case(op, lambda a, b: np.where(b == 0, 0, reference(a.astype(np.int64), np.where(b == 0, 1, b).astype(np.int64))), left, right, tol="exact")
    case(op, lambda a, b: reference(a.astype(np.int32), b.astype(np.int32)), np.array([True, False]), np.array([True, True]), tol="exact")
for op, reference in [("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply), ("maximum", np.maximum), ("minimum", np.minimum), ("fmax", np.fmax), ("fmin", np.fmin)]:
    for x in [INTS, UINTS, BYTES]:
        left, right = (a.ravel() for a in np.meshgrid(x, x))
        case(op, reference, left, right, tol="exact")
    if op != "subtract":
        case(op, reference, np.array([False, False, True, True]), np.array([False, True, False, True]), tol="exact")


def whole_power(a, b):
    return np.array([pow(int(x), int(y)) if y >= 0 else {1: 1, -1: 1 if y % 2 == 0 else -1}.get(int(x), 0) for x, y in zip(a, b)])


binary("power", single(np.power), tol="ulp:16", low=0.3, high=2.5, ints=None)
a, b = (v.ravel() for v in np.meshgrid(np.array([0, 1, 2, 3, -1, -2, -3], np.int32), np.array([0, 1, 2, 3, 5, 12], np.int32)))
case("power", whole_power, a, b, tol="exact")
case("power", whole_power, np.abs(a).astype(np.uint32), b.astype(np.uint32), tol="exact")
case("power", lambda a, b: np.power(a, b.astype(np.float64)), np.array([0.5, 2, -3], np.float32), np.array([2, 3, 2], np.int32), tol="ulp:4")
case("power", np.power, np.array([0.0, 0.0, 2.0, 0.0], np.float32), np.array([2.0, 1.0, 0.0, 3.0], np.float32), tol="ulp:4")
case("arctan2", np.arctan2, LEFT, RIGHT, tol="ulp:8")
binary("arctan2", np.arctan2, tol="ulp:4", specials=False, ints="ulp:4")
binary("hypot", np.hypot, tol="ulp:4", ints="ulp:4")
case("hypot", np.hypot, bits(300, 31), bits(300, 32), tol="ulp:4")
binary("logaddexp", np.logaddexp, tol="ulp:4", low=-3, high=3, ints="ulp:4")
binary("logaddexp2", np.logaddexp2, tol="ulp:4", low=-3, high=3, ints="ulp:4")
for op, reference in [("logaddexp", np.logaddexp), ("logaddexp2", np.logaddexp2)]:
    case(op, reference, normal(300, 33, 30), normal(300, 34, 30), tol="ulp:4")
binary("heaviside", np.heaviside, ints="exact")
case("heaviside", np.heaviside, np.array([-1.0, 0.0, 2.0, -0.0, np.nan], np.float32), np.array([0.5, 0.5, 0.5, 7.0, 1.0], np.float32), tol="exact")

# Bits of floats.


def next_after(a, b):
    return np.nextafter(a.astype(np.float32), b.astype(np.float32))


binary("nextafter", next_after, ints=None, grad=False)
case("nextafter", next_after, bits(200, 41), bits(200, 42), tol="exact")
half = np.array([0.0, -0.0, 6e-8, -6e-8, 6.1e-5, 6.104e-5, 1, -1, 2, 1000, 65504, -65504, np.inf, -np.inf, np.nan], np.float16)
a, b = (v.ravel() for v in np.meshgrid(half, half))
group.case("nextafter", [a, b], outputs=[np.nextafter(a, b)], tol="exact")


def ld_exp(x, n):
    return np.ldexp(np.asarray(x, np.float64), n.astype(np.int64))


left, right = (v.ravel() for v in np.meshgrid(FEW, np.array([0, 1, -1, 10, -10, 126, 127, 128, -126, -127, -149, -150, 250, -250, 300, -300, 2**31 - 1, -2**31], np.int32)))
case("ldexp", lambda x, n: ld_exp(x, np.clip(n, -1000, 1000)), left, right, tol="exact")
for x, n in [(normal((3, 1), 1), np.array([1, 2, -3, 0], np.int32)), (normal((0, 3), 1), np.array([1, 2, 3], np.int32)), (np.float32(1.5), np.int32(3))]:
    case("ldexp", ld_exp, x, n, tol="exact")
case("ldexp", ld_exp, np.array([1.5, 2], np.float32), np.array([3, 4000000000], np.uint32), tol="exact")
case("ldexp", ld_exp, np.array([1.5, -2], np.float16), np.array([3, 4], np.uint8), tol="exact")
case("ldexp", ld_exp, np.array([3, -2], np.int32), np.array([3, 4], np.int32), tol="exact")
case("ldexp", ld_exp, normal((2, 3), 1), np.array([1, -2, 5], np.int32), tol="exact", grad=True)

# Bits of integers.
for op, reference in [("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor)]:
    for x in [INTS, UINTS, BYTES, BOOLS]:
        left, right = (a.ravel() for a in np.meshgrid(x, x))
        case(op, reference, left, right, tol="exact")
    case(op, reference, INTS[:, None], np.array([True, False]), tol="exact")
    case(op, reference, BYTES[:, None], BYTES[None, :3], tol="exact")
    case(op, lambda a, b: reference(a.astype(np.int64), b.astype(np.int64)), INTS[:5], UINTS[:5], tol="exact")
    case(op, reference, np.zeros((0, 2), np.int32), np.int32(3), tol="exact")
for op in ["bitwise_not", "bitwise_invert"]:
    for x in [INTS, UINTS, BYTES, BOOLS, np.zeros((2, 0), np.int32), np.int32(5)]:
        case(op, np.invert, x, tol="exact")
for op, reference in [("bitwise_left_shift", np.left_shift), ("left_shift", np.left_shift),
                      ("bitwise_right_shift", np.right_shift), ("right_shift", np.right_shift)]:
    for x in [INTS, UINTS, BYTES]:
        left, right = (a.ravel() for a in np.meshgrid(x, np.array([0, 1, 3, 7, 8, 15, 31, 32, 33, 100]).astype(x.dtype)))
        if x.dtype == np.uint8:
            # NumPy's distance goes to 255; JAX's is the same.
            left, right = left[right < 200], right[right < 200]
        case(op, reference, left, right, tol="exact")
    case(op, lambda a, b: reference(a.astype(np.int32), b.astype(np.int32)), np.array([True, True, False]), np.array([True, False, True]), tol="exact")
    case(op, reference, INTS[:, None], np.array([1, 2], np.int32), tol="exact")
for op, reference in [("gcd", np.gcd), ("lcm", np.lcm)]:
    small = np.array([0, 1, 2, 3, 4, 6, 12, 18, 35, 97, 100, 210, -4, -6, -35], np.int32)
    left, right = (a.ravel() for a in np.meshgrid(small, small))
    case(op, reference, left, right, tol="exact")
    case(op, reference, np.abs(left).astype(np.uint32), np.abs(right).astype(np.uint32), tol="exact")
    case(op, lambda a, b: reference(a, b), np.array([0, 6, 15, 200, 255], np.uint8), np.array([0, 9, 10, 25, 1], np.uint8), tol="exact")
    case(op, reference, small[:, None], np.array([12, 30], np.int32), tol="exact")
    case(op, reference, np.zeros((0,), np.int32), np.int32(3), tol="exact")
case("gcd", np.gcd, np.array([1836311903, 2147483647, -2147483648, 2147483646, 0], np.int32), np.array([1134903170, 1, 6, 4, -7], np.int32), tol="exact")
case("gcd", np.gcd, np.array([2971215073, 4294967295, 4294967294], np.uint32), np.array([1836311903, 5, 4], np.uint32), tol="exact")

# Comparisons and logic.
for op in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]:
    reference = getattr(np, op)
    binary(op, reference, ints="exact", grad=False)
    for x in [INTS, UINTS, BYTES, BOOLS]:
        left, right = (a.ravel() for a in np.meshgrid(x, x))
        case(op, reference, left, right, tol="exact")
for op in ["logical_and", "logical_or", "logical_xor"]:
    reference = getattr(np, op)
    binary(op, reference, ints="exact", grad=False)
    for x in [INTS, BYTES, BOOLS]:
        left, right = (a.ravel() for a in np.meshgrid(x, x))
        case(op, reference, left, right, tol="exact")
for x in [X, INTS, UINTS, BYTES, BOOLS, np.float32(0), normal((2, 0), 1), np.array([0, -0.0, np.nan, 1], np.float16)]:
    case("logical_not", np.logical_not, x, tol="exact")
for args in [{}, {"equal_nan": True}, {"rtol": 0.1}, {"atol": 0.5, "rtol": 0.0}]:
    near = lambda a, b, **k: np.isclose(a.astype(np.float64), b.astype(np.float64), **k)
    case("isclose", near, LEFT, RIGHT, tol="exact", args=args)
    case("isclose", near, np.array([1.0, 1.00002, 1.000001, 100, 0], np.float32), np.array([1, 1, 1, 100.2, 1e-9], np.float32), tol="exact", args=args)
    case("isclose", near, np.array([1, 2, 2147483647], np.int32), np.array([1, 3, 2147483647], np.int32), tol="exact", args=args)
    case("isclose", near, np.array([[1], [2]], np.float32), np.array([1, 2.0001], np.float32), tol="exact", args=args)
    for a, b in [([1.0, 2.0], [1.0, 2.000001]), ([1.0, 2.0], [1.0, 2.3]), ([np.nan], [np.nan]), ([np.inf], [np.inf]), ([], [])]:
        a, b = np.array(a, np.float32), np.array(b, np.float32)
        value = np.bool_(np.allclose(a.astype(np.float64), b.astype(np.float64), **args))
        group.case("allclose", [a, b], args, [value], "exact")
for condition, a, b in [
    (np.array([True, False, True]), normal(3, 1), normal(3, 2)),
    (np.array([[True], [False]]), normal(3, 1), normal((), 2)),
    (np.array([2, 0, -1], np.int32), INTS[:3], INTS[3:6]),
    (np.array([0.5, 0, np.nan], np.float32), SPECIAL[:3], SPECIAL[-3:]),
    (np.array([True, False]), np.array([1, 2], np.uint8), np.array([0.5, 1.5], np.float32)),
    (np.zeros((0, 2), bool), normal((1, 2), 1), normal((0, 1), 1)),
    (np.array([True, False]), BOOLS, BOOLS[::-1]),
]:
    group.case("where", [condition, a, b], outputs=[np.where(condition, a, b).astype(dtype_of("where", condition, a, b))], tol="exact")
group.case("where", [np.array([True, False, True]), normal(3, 1), normal((2, 3), 2)], outputs=[np.where([True, False, True], normal(3, 1), normal((2, 3), 2))], tol="exact", grad=True)

# Limits.
clipped = lambda x, x_min, x_max: np.clip(x, x_min, x_max)
case("clip", clipped, X, tol="exact", args={"x_min": -1.5, "x_max": 2.0})
case("clip", clipped, normal((2, 0, 3), 1), tol="exact", args={"x_min": -0.5, "x_max": 0.5})
case("clip", clipped, np.array([-1, 0.5, 3], np.float16), tol="exact", args={"x_min": -0.5, "x_max": 0.5})
case("clip", clipped, between(-1, 1, (3, 4), 1), tol="exact", grad=True, args={"x_min": -0.5, "x_max": 0.5})
for x in [INTS, np.array([0, 1, 5], np.uint32), np.array([0, 1, 255], np.uint8)]:
    case("clip", lambda x, x_min, x_max: np.clip(x.astype(np.int64), x_min, x_max), x, tol="exact", args={"x_min": 1, "x_max": 3})
    case("clip", lambda x, x_min, x_max: np.clip(x.astype(np.float64), x_min, x_max), x, tol="exact", args={"x_min": 0.5, "x_max": 3.5})
case("clip", lambda x, x_min, x_max: np.clip(x.astype(np.int32), x_min, x_max), BOOLS, tol="exact", args={"x_min": 0, "x_max": 1})
for args in [{}, {"nan": 7.0}, {"posinf": 1.0, "neginf": -1.0}, {"nan": -1.0, "posinf": 3.0}]:
    case("nan_to_num", lambda x, **k: np.nan_to_num(x.astype(np.float32), **k), X, tol="exact", args=args)
    group.case("nan_to_num", [np.array([np.nan, np.inf, -np.inf, 2], np.float16)], args,
               [np.nan_to_num(np.array([np.nan, np.inf, -np.inf, 2], np.float16), **args)], "exact")
for x in [INTS, BOOLS, normal((0, 2), 1), normal((), 1)]:
    case("nan_to_num", lambda x: x, x, tol="exact")
case("nan_to_num", lambda x: x, normal((2, 3), 1), tol="exact", grad=True)

group.write()
