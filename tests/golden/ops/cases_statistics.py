"""keras.ops.numpy: reductions, running folds, quantiles, counts; references are NumPy's in float64, dtypes Keras'."""
import warnings

import numpy as np
from base import Group
from samples import *

warnings.simplefilter("ignore")
np.seterr(all="ignore")
group = Group("statistics")
SUMS = {"bool": np.int32, "uint8": np.uint32}
# Shape and axes of reductions.
REDUCTIONS = [((), None), ((1,), 0), ((7,), None), ((7,), -1), ((2, 3, 4), None), ((2, 3, 4), 0), ((2, 3, 4), -1), ((2, 3, 4), [0, 2]),
              ((2, 3, 4), [-1, 1]), ((3, 1), 1), ((300,), 0), ((33, 65), 0), ((33, 65), 1)]
EMPTY = [((0,), None), ((2, 0, 3), 1), ((2, 0, 3), 0), ((0, 3), 1)]


def exact(x):
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def kind_of(x, kind):
    """`kind`: "float" (integers become float32), "sum" (as sums count), "same", or a dtype."""
    if kind == "float":
        return x.dtype if x.dtype.kind == "f" else np.float32
    if kind == "sum":
        return SUMS.get(str(x.dtype), x.dtype)
    return x.dtype if kind == "same" else kind


def case(op, reference, x, args=None, kind="float", tol="ulp:4", grad=False, more=()):
    args = args or {}
    called = {k: tuple(v) if isinstance(v, list) else v for k, v in args.items()}
    value = np.asarray(reference(exact(np.asarray(x)), *[exact(m) for m in more], **called))
    kind = np.dtype(kind_of(np.asarray(x), kind))
    group.case(op, [x, *more], args, [value.astype(np.float32).astype(kind) if kind.kind == "f" else value.astype(kind)], tol, grad)


def whole(shape, kind, seed):
    return random(seed).integers(0, 2 if kind == "bool" else 9, shape).astype(kind)


def reduction(op, reference, kind, tol, empty=True, nan=None, half=True, bools=True, axes=True, keepdims=True, grad=True):
    """Over shapes, axes, dtypes, special values; `empty`: of no elements too; `nan`: whether NaN is left out."""
    chosen = [r for r in REDUCTIONS if axes or not isinstance(r[1], list)]
    for i, (shape, axis) in enumerate(chosen + (EMPTY if empty else [])):
        for keep in [False, True] if keepdims else [False]:
            args = {"axis": axis} | ({"keepdims": True} if keep else {})
            x = distinct(shape, i)
            case(op, reference, x, args, kind, tol)
            if nan and x.size:
                holes = x.copy()
                holes[random(i).random(shape) < 0.3] = np.nan
                case(op, reference, holes, args, kind, tol)
    for k in ["int32", "uint32", "uint8"] + (["bool"] if bools else []):
        case(op, lambda x, **a: reference(x.astype(np.int64) if k != "bool" else x, **a), whole((4, 5), k, 1), {"axis": -1}, kind, tol)
    if half:
        case(op, reference, between(0.5, 2, (4, 6), 2).astype(np.float16), {"axis": 0}, kind, "exact" if tol == "exact" else "ulp:1")
    special = np.array([[1, np.nan, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [np.inf, -np.inf, 0], [0.0, -0.0, 0], [np.nan] * 3], np.float32)
    case(op, reference, special, {"axis": 1}, kind, tol)
    if grad:
        for shape, axis in [((3, 4), 1), ((3, 4), 0), ((2, 3, 2), None if not axes else [0, 2])]:
            case(op, reference, distinct(shape, 31, 0.5, 2.0), {"axis": axis}, kind, tol, grad=True)
        if nan:
            case(op, reference, np.array([[1, np.nan, 2.5], [0.5, 3, np.nan]], np.float32), {"axis": 1}, kind, tol)


# Sums of up to 300 numbers below 2: 4 · log2 n · 2^-24 of the sum of magnitudes.
reduction("sum", np.sum, "sum", "abs:1e-4")
reduction("mean", np.mean, "float", "abs:1e-6")
reduction("var", np.var, "float", "ulp:12")
reduction("std", np.std, "float", "ulp:8")
reduction("prod", np.prod, "sum", "ulp:32")
for op in ["max", "amax"]:
    reduction(op, np.max, "same", "exact", empty=False)
for op in ["min", "amin"]:
    reduction(op, np.min, "same", "exact", empty=False)
reduction("ptp", lambda x, axis=None, keepdims=False: np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims),
          "same", "ulp:1", empty=False, bools=False)
for op, reference in [("any", np.any), ("all", np.all)]:
    reduction(op, reference, bool, "exact", grad=False)
    case(op, reference, np.array([[0, 0], [0, 1], [1, 1]], np.float32), {"axis": 1}, bool, "exact")
    case(op, reference, np.array([[False, False], [False, True], [True, True]]), {"axis": 1}, bool, "exact")
reduction("count_nonzero", np.count_nonzero, np.int32, "exact", keepdims=False, grad=False)
case("count_nonzero", np.count_nonzero, np.array([[0, 1, 2], [0, 0, np.nan]], np.float32), {"axis": 1}, np.int32, "exact")
case("var", np.var, (1e4 + normal((4, 50), 3)).astype(np.float32), {"axis": 1}, tol="rel:1e-5")
case("std", np.std, np.full((2, 3), 1.5, np.float32), {"axis": 1})
case("mean", np.mean, np.full((1000,), 60000, np.float16), {}, tol="exact")
case("var", np.var, np.array([300, -300, 250], np.float16), {}, tol="ulp:1")
for op, reference in [("max", np.max), ("min", np.min)]:
    for initial in [0.5, -100.0, 100.0]:
        case(op, reference, distinct((3, 4), 1), {"axis": 1, "initial": initial}, "same", "exact")
        case(op, reference, np.zeros((2, 0), np.float32), {"axis": 1, "initial": initial}, "same", "exact")
    case(op, reference, np.array([[1, 5], [7, 2]], np.int32), {"initial": 4, "keepdims": True}, "same", "exact")
for kind in ["float32", "int32"]:
    case("prod", lambda x, axis, dtype: np.prod(x.astype(kind), axis=axis), np.array([[1, 2, 3], [4, 5, 6]], np.uint8), {"axis": 1, "dtype": kind}, kind, "exact")

# Positions.
for op, reference in [("argmax", np.argmax), ("argmin", np.argmin)]:
    for i, (shape, axis) in enumerate(r for r in REDUCTIONS if not isinstance(r[1], list)):
        for args in [{"axis": axis}, {"axis": axis, "keepdims": True}]:
            case(op, reference, distinct(shape, i), args, np.int32, "exact")
    for x in [np.array([[1, 3, 3], [np.nan, 5, np.nan], [-np.inf, 0, np.inf], [2, 2, 2], [1, np.nan, 0]], np.float32), whole((4, 5), "int32", 1),
              whole((4, 5), "uint32", 1), whole((4, 5), "uint8", 1), whole((4, 5), "bool", 1), normal((4, 5), 1).astype(np.float16)]:
        case(op, reference, x, {"axis": 1}, np.int32, "exact")


def first_of_numbers(find, fill):
    def reference(x, axis=None, keepdims=False):
        if x.dtype.kind != "f":
            return find(x, axis=axis, keepdims=keepdims)
        best = (np.nanmax if fill < 0 else np.nanmin)(x, axis=axis, keepdims=True)
        hit = np.argmax(x == best, axis=axis, keepdims=keepdims)
        return np.where(np.isnan(x).all(axis=axis, keepdims=keepdims), -1, hit)

    return reference


for op, find, fill in [("nanargmax", np.argmax, -1), ("nanargmin", np.argmin, 1)]:
    reference = first_of_numbers(find, fill)
    for i, (shape, axis) in enumerate(r for r in REDUCTIONS if not isinstance(r[1], list)):
        for args in [{"axis": axis}, {"axis": axis, "keepdims": True}]:
            x = distinct(shape, i)
            case(op, reference, x, args, np.int32, "exact")
            if x.ndim:
                holes = x.copy()
                holes[random(i).random(shape) < 0.3] = np.nan
                case(op, reference, holes, args, np.int32, "exact")
    for x in [np.array([[np.nan, -np.inf, np.nan], [np.nan, np.inf, np.inf], [np.nan] * 3, [2, 2, 2]], np.float32), whole((4, 5), "int32", 1),
              whole((4, 5), "bool", 1), normal((4, 5), 1).astype(np.float16)]:
        case(op, reference, x, {"axis": 1}, np.int32, "exact")

# Without NaN.
reduction("nansum", np.nansum, "sum", "abs:1e-4", nan=True)
reduction("nanmean", np.nanmean, "float", "abs:1e-6", nan=True)
reduction("nanvar", np.nanvar, "float", "ulp:12", nan=True)
reduction("nanstd", np.nanstd, "float", "ulp:8", nan=True)
reduction("nanprod", np.nanprod, "sum", "ulp:32", nan=True)
reduction("nanmax", np.nanmax, "same", "exact", empty=False, nan=True)
reduction("nanmin", np.nanmin, "same", "exact", empty=False, nan=True)

# Running folds.
RUNS = {"bool": np.int32}
for op, reference, tol in [("cumsum", np.cumsum, "abs:1e-4"), ("cumprod", np.cumprod, "ulp:64"), ("nancumsum", np.nancumsum, "abs:1e-4"), ("nancumprod", np.nancumprod, "ulp:64")]:
    for i, (shape, axis) in enumerate([((), None), ((7,), None), ((7,), 0), ((2, 3, 4), None), ((2, 3, 4), 1), ((2, 3, 4), -1), ((0, 3), 0), ((3, 1), 1), ((1, 40), 1)]):
        x = distinct(shape, i)
        case(op, reference, x, {"axis": axis}, "same", tol)
        if op.startswith("nan") and shape:
            x = x.copy()
            x[random(i).random(shape) < 0.3] = np.nan
            case(op, reference, x, {"axis": axis}, "same", tol)
    for k in ["int32", "uint32", "uint8", "bool"]:
        x = whole((3, 4), k, 2)
        case(op, lambda x, axis: reference(x.astype(np.int64), axis=axis), x, {"axis": 1}, RUNS.get(k, np.dtype(k)), "exact")
        case(op, lambda x, axis, dtype: reference(x.astype(np.float64), axis=axis), x, {"axis": 1, "dtype": "float32"}, np.float32, "exact")
    case(op, reference, np.array([1, np.nan, 2, np.inf, 0.5], np.float32), {"axis": 0}, "same", tol)
    case(op, reference, between(0.5, 1.5, (3, 4), 3).astype(np.float16), {"axis": 0}, "same", "ulp:2")
    case(op, reference, distinct((3, 4), 3), {"axis": 1}, "same", tol, grad=True)
    case(op, reference, np.array([[1.5, 0, 2, 3], [0, 1, 0, 2], [1, 2, 3, 0]], np.float32), {"axis": 1}, "same", tol, grad=True)
    case(op, reference, np.array([[1.5, 0, 2, 3], [0, 1, 0, 2]], np.float32), {"axis": 0}, "same", tol, grad=True)

# Averages with weights.
case("average", np.average, normal((3, 4), 1), {}, tol="abs:1e-6")
case("average", np.average, normal((3, 4), 1), {"axis": 1}, tol="abs:1e-6", grad=True)
case("average", np.average, whole((3, 4), "int32", 1), {"axis": 0}, tol="ulp:2")
weighted = lambda x, w, axis=None: np.average(x, axis=axis, weights=w)
for shape, axis, weights in [((3, 4), None, (3, 4)), ((3, 4), 1, (3, 4)), ((3, 4), 1, (4,)), ((3, 4), 0, (3,)), ((3, 4), -1, (4,)), ((5,), None, (5,)), ((5,), 0, (5,))]:
    case("average", weighted, normal(shape, 1), {"axis": axis}, tol="abs:1e-6", grad=True, more=(between(0.5, 2, weights, 2),))
case("average", weighted, whole((3, 4), "int32", 1), {"axis": 1}, tol="ulp:4", more=(np.array([1, 2, 3, 4], np.int32),))
case("average", weighted, normal((3, 4), 1).astype(np.float16), {"axis": 1}, tol="abs:1e-3", more=(between(0.5, 2, (4,), 2).astype(np.float16),))

# Quantiles.
METHODS = ["linear", "lower", "higher", "midpoint", "nearest"]
LINES = [((7,), None), ((8,), 0), ((1,), 0), ((3, 4), None), ((3, 4), 0), ((3, 5), -1), ((2, 3, 4), [0, 2]), ((2, 3, 4), 1)]
QUANTILE = {"quantile": np.quantile, "percentile": np.percentile, "nanquantile": np.nanquantile, "nanpercentile": np.nanpercentile}
for op, reference in QUANTILE.items():
    scale = 100 if "percentile" in op else 1
    call = lambda x, q, **a: reference(x, q, **a)
    for i, (shape, axis) in enumerate(LINES):
        for method in METHODS:
            for keep in [False, True]:
                args = {"axis": axis, "method": method} | ({"keepdims": True} if keep else {})
                x = distinct(shape, i)
                case(op, call, x, args, tol="ulp:8", more=(np.float32(0.5 * scale),))
                case(op, call, x, args, tol="ulp:8", more=(np.array([0, 0.2, 0.375, 0.75, 1], np.float32) * np.float32(scale),))
    holes = np.array([[3, 1, np.nan, 2], [np.nan] * 4, [1, 2, 3, 4], [np.inf, 1, 2, -np.inf], [np.nan, 5, np.nan, np.nan]], np.float32)
    for method in METHODS:
        # On the line between infinite numbers NumPy gives NaN where Kiln gives the number itself.
        chosen = holes if method in ["lower", "higher", "nearest"] else holes[[0, 1, 2, 4]]
        for q in [0.0, 0.25, 0.5, 1.0]:
            case(op, call, chosen, {"axis": 1, "method": method}, tol="ulp:8", more=(np.float32(q * scale),))
    case(op, lambda x, q, axis: reference(x.astype(np.float64), q, axis=axis), whole((4, 5), "int32", 1), {"axis": 1}, np.float32, "ulp:4", more=(np.float32(0.3 * scale),))
    case(op, call, normal((4, 5), 1).astype(np.float16), {"axis": 1}, tol="abs:2e-3", more=(np.float32(0.3 * scale),))
    for method in METHODS:
        case(op, lambda x, axis, method, q: reference(x, np.float64(np.float32(q)), axis=axis, method=method), distinct((3, 5), 2), {"axis": 1, "method": method, "q": 0.3 * scale}, tol="ulp:8", grad=True)
for op, reference in [("median", np.median), ("nanmedian", np.nanmedian)]:
    reduction(op, reference, "float", "ulp:4", empty=False, nan=op == "nanmedian", grad=False)
    case(op, reference, distinct((3, 5), 2), {"axis": 1}, tol="ulp:4", grad=True)
    case(op, reference, distinct((3, 4), 2), {"axis": 0}, tol="ulp:4", grad=True)

# Counts.
for x in [[0, 1, 1, 3, 2, 1, 7], [5], [0, 0]]:
    for args in [{}, {"minlength": 4}, {"minlength": 10}]:
        for kind in [np.int32, np.uint8, np.uint32]:
            case("bincount", lambda x, minlength=0: np.bincount(x.astype(np.int64), minlength=minlength), np.array(x, kind), args, np.int32, "exact")
        w = normal(len(x), 1)
        group.case("bincount", [np.array(x, np.int32), w], args, [np.bincount(x, w.astype(np.float64), **args).astype(np.float32)], "abs:1e-6")
case("bincount", lambda x, minlength: np.zeros(3), np.zeros(0, np.int32), {"minlength": 3}, np.int32, "exact")
rows = np.array([[1, 2, 2], [0, 0, 5]], np.int32)
group.case("bincount", [rows], {}, [np.array([np.bincount(r, minlength=6) for r in rows], np.int32)], "exact")
group.case("bincount", [rows, normal((2, 3), 1)], {}, [np.array([np.bincount(r, w, 6) for r, w in zip(rows, normal((2, 3), 1).astype(np.float64))], np.float32)], "abs:1e-6", grad=True)
for x in [normal(200, 1), normal((7, 9), 2), np.array([1, 1, 1], np.float32), np.array([0, 0.5, 1, 1.0, 0.25], np.float32), whole((30,), "int32", 1).astype(np.float32)]:
    for args in [{}, {"bins": 4}, {"bins": 7, "range": [-1.0, 1.5]}, {"bins": 3, "range": [0.0, 1.0]}, {"bins": 5, "range": [50.0, 60.0]}]:
        counts, edges = np.histogram(x.astype(np.float64), **{k: tuple(v) if isinstance(v, list) else v for k, v in args.items()})
        group.case("histogram", [x], args, [counts.astype(np.int32), edges.astype(np.float32)], "rel:1e-6")
group.case("histogram", [np.array([np.nan, 0.5, np.inf, -np.inf, 1], np.float32)], {"bins": 2, "range": [0.0, 1.0]}, [np.array([0, 2], np.int32), np.array([0, 0.5, 1], np.float32)], "exact")
group.case("histogram", [np.array([3, 1, 2, 2], np.int32)], {"bins": 2}, [np.array([1, 3], np.int32), np.array([1, 2, 3], np.float32)], "exact")

# Vectors against one another.
for n, m in [(5, 3), (5, 2), (3, 5), (2, 5), (4, 4), (1, 1), (1, 6), (30, 7)]:
    for mode in ["valid", "same", "full"]:
        case("correlate", lambda a, v, mode: np.correlate(a, v, mode), normal(n, 1), {"mode": mode}, tol="abs:3e-6", more=(normal(m, 2),), grad=n < 6)
case("correlate", lambda a, v: np.correlate(a, v), np.array([1, 2, 3], np.int32), {}, np.float32, "exact", more=(np.array([1, 2], np.int32),))
case("correlate", lambda a, v: np.correlate(a, v), np.array([1, 2, 3], np.float16), {}, np.float16, "exact", more=(np.array([1, 2], np.float16),))
for shape in [(3, 8), (2, 2), (1, 5), (9,), (5, 40)]:
    case("corrcoef", np.corrcoef, normal(shape, 1), tol="abs:1e-6")
case("corrcoef", np.corrcoef, (normal((3, 8), 1) * np.float32(1e25)), tol="abs:1e-6")
case("corrcoef", np.corrcoef, (normal((3, 8), 1) * np.float32(1e-25)), tol="abs:1e-6")
case("corrcoef", np.corrcoef, np.array([[1, 2, 3], [5, 5, 5]], np.float32), tol="abs:1e-6")
case("corrcoef", np.corrcoef, np.array([[1, 2, 4], [5, 3, 5]], np.int32), tol="abs:1e-6")
case("corrcoef", np.corrcoef, normal((3, 8), 1).astype(np.float16), tol="abs:1e-3")
case("corrcoef", np.corrcoef, normal((3, 6), 1), tol="abs:1e-6", grad=True)
trapezoid = lambda y, x=None, dx=1.0, axis=-1: np.trapezoid(y, x, dx, axis)
for shape, args in [((6,), {}), ((3, 4), {"axis": 0}), ((3, 4), {"axis": -1, "dx": 0.25}), ((1,), {}), ((0,), {}), ((2, 0, 3), {"axis": 0}), ((2, 3, 4), {"axis": 1})]:
    case("trapezoid", trapezoid, normal(shape, 1), args, tol="abs:2e-6", grad=len(shape) == 2)
case("trapezoid", trapezoid, normal((3, 4), 1), {"axis": 0}, tol="abs:2e-6", more=(np.array([0, 1, 3], np.float32),), grad=True)
case("trapezoid", trapezoid, normal((3, 4), 1), {"axis": 1}, tol="abs:2e-6", more=(normal((3, 4), 2),), grad=True)
case("trapezoid", trapezoid, np.array([1, 2, 3], np.int32), tol="exact")
case("trapezoid", trapezoid, np.array([1, 2, 3], np.float16), tol="exact")
vander = lambda x, N=None, increasing=False: np.vander(x, N, increasing)
for x in [normal(4, 1), np.array([0, 1, -2, 0.5], np.float32), np.array([3], np.float32), np.zeros(0, np.float32)]:
    for args in [{}, {"N": 3}, {"N": 0}, {"N": 6, "increasing": True}]:
        case("vander", vander, x, args, "same", "ulp:16")
case("vander", vander, np.array([0, 2, -3], np.int32), {"N": 5}, "same", "exact")
case("vander", vander, np.array([0, 2, 3], np.uint8), {"N": 4}, "same", "exact")
case("vander", vander, np.array([0.5, -2, 3], np.float32), {"N": 4}, "same", "ulp:16", grad=True)
group.write()
