"""Where elements stand: joins, splits, moves, repeats, padding, diagonals, order. References are NumPy's."""
from base import Group, np, widened

group = Group("arrange")
rng = np.random.default_rng(20)


def f(*shape):
    return rng.uniform(-2, 2, shape).astype(np.float32)


def i(*shape, low=-9, high=10):
    return rng.integers(low, high, shape).astype(np.int32)


def case(op, inputs, reference, args=None, tol="exact", grad=False):
    """A case whose reference is a function of the inputs, those in float32 widened to float64."""
    made = reference(*[widened(x) for x in inputs])
    outputs = list(made) if isinstance(made, (list, tuple)) else [made]
    keep = lambda a: np.asarray(a).astype(np.int32) if np.asarray(a).dtype == np.int64 else a
    group.case(op, inputs, args or {}, outputs=[keep(o) for o in outputs], tol=tol, grad=grad)


special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, -3e38], np.float32)

# Joins.
for axis in [None, 0, 1, -1]:
    case("append", [f(2, 3), f(2, 3)], lambda a, b: np.append(a, b, axis), {} if axis is None else {"axis": axis}, grad=True)
case("append", [i(4), i(0)], np.append)
case("append", [i(2), f(3)], np.append)
for axis in [0, 1, -1]:
    case("concatenate", [f(2, 3), f(2, 3), f(2, 3)], lambda *a: np.concatenate(a, axis), {"axis": axis}, grad=axis == 1)
case("concatenate", [f(2, 0), f(2, 3)], lambda *a: np.concatenate(a, 1), {"axis": 1})
case("concatenate", [i(2), special], lambda *a: np.concatenate([a[0].astype(np.float32), a[1]]), {"axis": 0})
for axis in [0, 1, 2, -1, -3]:
    case("stack", [f(2, 3), f(2, 3)], lambda *a: np.stack(a, axis), {"axis": axis}, grad=axis == -1)
case("stack", [f(), f(), f()], lambda *a: np.stack(a, 0), {"axis": 0}, grad=True)
for name in ["hstack", "vstack", "dstack"]:
    join = getattr(np, name)
    for shape in [(), (3,), (2, 3), (2, 3, 4)]:
        case(name, [f(*shape), f(*shape)], lambda *a: join(a), grad=len(shape) == 2)
case("hstack", [i(2, 3), i(2, 1)], lambda *a: np.hstack(a))
case("vstack", [i(2, 3), i(3)], lambda *a: np.vstack(a))

# Views.
case("broadcast_to", [f(3, 1)], lambda a: np.broadcast_to(a, (2, 3, 4)), {"shape": [2, 3, 4]}, grad=True)
case("broadcast_to", [f()], lambda a: np.broadcast_to(a, (0, 2)), {"shape": [0, 2]})
case("broadcast_to", [np.array([True, False])], lambda a: np.broadcast_to(a, (3, 2)), {"shape": [3, 2]})
for axis in [[0], [-1], [0, 2], [1, -1], [-1, -2]]:
    case("expand_dims", [f(2, 3)], lambda a: np.expand_dims(a, tuple(axis)), {"axis": axis}, grad=axis == [0])
for axis in [None, [0], [-1], [0, 3]]:
    case("squeeze", [f(1, 2, 3, 1)], lambda a: np.squeeze(a, axis and tuple(axis)), {} if axis is None else {"axis": axis})
for axis in [None, [0], [-1], [0, 2]]:
    case("flip", [f(2, 3, 4)], lambda a: np.flip(a, axis and tuple(axis)), {} if axis is None else {"axis": axis}, grad=axis == [0, 2])
case("flip", [f(0, 3)], lambda a: np.flip(a), {})
case("fliplr", [f(2, 3)], np.fliplr, grad=True)
case("flipud", [f(2, 3, 2)], np.flipud, grad=True)
for source, destination in [([0], [-1]), ([-1], [0]), ([0, 1], [-1, -2]), ([2, 0], [0, 3]), ([1], [1])]:
    case("moveaxis", [f(2, 3, 4, 5)], lambda a: np.moveaxis(a, source, destination), {"source": source, "destination": destination})
case("swapaxes", [f(2, 3, 4)], lambda a: np.swapaxes(a, 0, -1), {"axis1": 0, "axis2": -1}, grad=True)
for axes in [None, [2, 0, 1], [-1, 0, 1]]:
    case("transpose", [f(2, 3, 4)], lambda a: np.transpose(a, axes), {} if axes is None else {"axes": axes}, grad=axes is None)
case("transpose", [f()], np.transpose)
case("ravel", [f(2, 3, 4)], np.ravel, grad=True)
case("ravel", [f()], np.ravel)
for shape in [[6, 4], [-1], [2, -1, 3], [4, 6, 1], [2, 2, 2, 3]]:
    case("reshape", [f(2, 3, 4)], lambda a: np.reshape(a, shape), {"newshape": shape}, grad=shape == [6, 4])
case("reshape", [f(0, 3)], lambda a: np.reshape(a, (3, 0, 5)), {"newshape": [3, 0, 5]})
case("view", [f(2, 3)], lambda a: a.astype(np.float32).view(np.int32), {"dtype": "int32"})
case("view", [i(2, 3)], lambda a: a.view(np.uint32), {"dtype": "uint32"})
case("view", [f(2, 3)], lambda a: a.astype(np.float32).view(np.uint8), {"dtype": "uint8"})
case("view", [rng.integers(0, 256, (3, 8)).astype(np.uint8)], lambda a: a.view(np.int32), {"dtype": "int32"})
case("view", [np.array([0, 0, 128, 63, 0, 0, 0, 192], np.uint8)], lambda a: a.view(np.float32), {"dtype": "float32"})

# Repeats and turns.
for repeats, axis in [(2, None), (3, 0), (2, -1), (0, 1), ([1, 2, 0], 1), ([2], 0), ([3, 1], 0)]:
    args = {"repeats": repeats} | ({} if axis is None else {"axis": axis})
    case("repeat", [f(2, 3)], lambda a: np.repeat(a, repeats, axis), args, grad=True)
case("repeat", [i(3)], lambda a: np.repeat(a, [0, 0, 0], 0), {"repeats": [0, 0, 0], "axis": 0})
case("repeat", [i(40)], lambda a: np.repeat(a, np.arange(40) % 4, 0), {"repeats": [int(n) for n in np.arange(40) % 4], "axis": 0})
for repeats in [[2], [1, 2], [2, 1, 3], [0, 2], [2, 2, 1, 1], []]:
    case("tile", [f(2, 3)], lambda a: np.tile(a, repeats), {"repeats": repeats}, grad=repeats == [2, 1, 3])
case("tile", [f()], lambda a: np.tile(a, (2, 2)), {"repeats": [2, 2]})
for shift, axis in [([1], None), ([-2], [0]), ([7], [1]), ([1, -1], [0, 1]), ([1, 2], [1, 1]), ([1], [0, 1]), ([0], [0]), ([100], None)]:
    args = {"shift": shift} | ({} if axis is None else {"axis": axis})
    np_shift, np_axis = (shift[0] if len(shift) == 1 else shift), axis and tuple(axis)
    case("roll", [f(3, 4)], lambda a: np.roll(a, np_shift, np_axis), args, grad=axis == [0, 1])
case("roll", [f(0, 3)], lambda a: np.roll(a, 2, 0), {"shift": [2], "axis": [0]})
for k in range(-1, 5):
    case("rot90", [f(2, 3, 2)], lambda a: np.rot90(a, k), {"k": k}, grad=k == 1)
    case("rot90", [f(2, 3, 2)], lambda a: np.rot90(a, k, (-1, 0)), {"k": k, "axes": [-1, 0]})
for indexing in ["xy", "ij"]:
    for shapes in [(3,), (3, 2), (3, 2, 4), (2, 0)]:
        case("meshgrid", [f(n) for n in shapes], lambda *a: np.meshgrid(*a, indexing=indexing), {"indexing": indexing}, grad=len(shapes) == 3)
case("meshgrid", [f(), f(3)], lambda *a: np.meshgrid(*a), {"indexing": "xy"})
for n, axis in [(1, -1), (1, 0), (2, 1), (0, 0), (3, 1), (9, 1)]:
    case("diff", [f(4, 5)], lambda a: np.diff(a, n, axis), {"n": n, "axis": axis}, tol="ulp:4", grad=n < 4)
case("diff", [i(6)], np.diff, {"n": 1})
case("diff", [np.array([True, True, False, True])], np.diff, {"n": 1})

# Diagonals.
for k in [0, 1, -1, 3, -4, 9]:
    case("diag", [f(3)], lambda a: np.diag(a, k), {"k": k}, grad=k == 1)
    case("diag", [f(3, 4)], lambda a: np.diag(a, k), {"k": k}, grad=k == -1)
    case("diagflat", [f(2, 2)], lambda a: np.diagflat(a, k), {"k": k}, grad=k == -1)
    case("diagonal", [f(3, 4)], lambda a: np.diagonal(a, k), {"offset": k}, grad=k == 1)
    case("trace", [f(3, 4)], lambda a: np.trace(a, k), {"offset": k}, tol="ulp:4", grad=k == 1)
    case("tril", [f(3, 4)], lambda a: np.tril(a, k), {"k": k}, grad=k == -1)
    case("triu", [f(2, 4, 3)], lambda a: np.triu(a, k), {"k": k}, grad=k == 1)
case("diag", [i(0)], lambda a: np.diag(a, 2), {"k": 2})
for axes in [(0, 1), (1, 0), (-1, 0), (1, 2)]:
    for offset in [0, 1, -2]:
        args = {"offset": offset, "axis1": axes[0], "axis2": axes[1]}
        case("diagonal", [f(3, 4, 2)], lambda a: np.diagonal(a, offset, *axes), args, grad=offset == -2)
        case("trace", [i(3, 4, 2)], lambda a: np.trace(a, offset, *axes), args)
case("trace", [rng.integers(200, 256, (3, 3)).astype(np.uint8)], lambda a: np.trace(a, dtype=np.uint32))
case("trace", [np.eye(3, dtype=bool)], lambda a: np.trace(a, dtype=np.int32))
case("tril", [np.array([[np.nan, np.inf], [np.nan, -np.inf]], np.float32)], np.tril)
case("triu", [i(4)], np.triu)
case("tril", [np.ones((3, 3), bool)], np.tril)

# Padding.
for mode in ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean"]:
    for width in [[[1, 2], [2, 0]], [[0, 0], [3, 3]], [[7, 9], [0, 11]]]:
        tol = "ulp:4" if mode in ("linear_ramp", "mean") else "exact"
        case("pad", [f(3, 4)], lambda a: np.pad(a, width, mode=mode), {"pad_width": width, "mode": mode}, tol=tol, grad=width[0][0] < 3)
    if mode != "constant":
        case("pad", [f(1)], lambda a: np.pad(a, 3, mode=mode), {"pad_width": [[3, 3]], "mode": mode}, tol="ulp:4")
    case("pad", [i(2, 3)], lambda a: np.pad(a, 2, mode=mode), {"pad_width": [[2, 2]], "mode": mode})
case("pad", [f(2, 3)], lambda a: np.pad(a, 1, constant_values=7), {"pad_width": [[1, 1]], "mode": "constant", "constant_values": 7})
case("pad", [f(0, 3)], lambda a: np.pad(a, ((1, 1), (0, 0))), {"pad_width": [[1, 1], [0, 0]], "mode": "constant"})

# Splits.
for op, cut in [("split", np.split), ("array_split", np.array_split)]:
    for sections, axis in [(2, 0), (3, 1), ([1], 0), ([2, 5], 1), ([-1, 2, 9], 1), ([0, 0], 0), (1, 0)]:
        case(op, [f(4, 6)], lambda a: cut(a, sections, axis), {"indices_or_sections": sections, "axis": axis}, grad=sections == [2, 5])
for n in [3, 4, 5, 9]:
    case("array_split", [f(7)], lambda a: np.array_split(a, n), {"indices_or_sections": n, "axis": 0})
for name, shape in [("hsplit", (2, 4)), ("hsplit", (4,)), ("vsplit", (4, 3)), ("dsplit", (2, 3, 4))]:
    for sections in [2, [1, 3]]:
        case(name, [f(*shape)], lambda a: getattr(np, name)(a, sections), {"indices_or_sections": sections}, grad=sections == 2)
for axis in [0, 1, -1]:
    case("unstack", [f(2, 3, 4)], lambda a: list(np.moveaxis(a, axis, 0)), {"axis": axis}, grad=axis == 1)
case("unstack", [i(3)], lambda a: list(a), {"num": 3, "axis": 0})

# Order and membership.
for axis in [-1, 0, None, 1]:
    args = {} if axis is None else {"axis": axis}
    case("sort", [f(4, 5)], lambda a: np.sort(a, axis), args, grad=True)
    case("argsort", [i(4, 5)], lambda a: np.argsort(a, axis, kind="stable"), args)
case("sort", [special], lambda a: np.sort(a), {"axis": -1})
case("argsort", [special], lambda a: np.argsort(a, kind="stable"), {"axis": -1})
case("sort", [f(3, 0)], lambda a: np.sort(a), {"axis": -1})
for n in [1, 2, 7, 64, 1000]:
    values = i(n, low=-50, high=50)
    case("sort", [values], np.sort, {"axis": 0})
for kth, axis in [(2, -1), (0, 0), (-1, 1), (7, None)]:
    args = {"kth": kth} | ({} if axis is None else {"axis": axis})
    # The element in its place, and the sums of what stands before and after it.
    def partition(a):
        b, x = (a.ravel(), -1) if axis is None else (a, axis)
        s = np.sort(b, x)
        n = s.shape[x]
        k = kth % n
        return [np.take(s, k, x), np.sum(np.take(s, range(k), x), x), np.sum(np.take(s, range(k + 1, n), x), x)]
    case("argpartition", [i(4, 5, low=-99, high=99)], partition, args)
ordered = np.sort(f(9))
ties = np.array([-1, 0, 0, 0, 2, 2, 5, np.inf], np.float32)
for side in ["left", "right"]:
    for sequence, values in [(ordered, f(3, 4)), (ties, ties), (ties, special), (f(0), f(3)), (f(1), f(3)), (ordered, f(0))]:
        case("searchsorted", [sequence, values], lambda s, v: np.searchsorted(s, v, side), {"side": side})
    case("searchsorted", [np.sort(special), special], lambda s, v: np.searchsorted(s, v, side), {"side": side})
    case("searchsorted", [np.sort(i(100)), i(50)], lambda s, v: np.searchsorted(s, v, side), {"side": side})
    case("searchsorted", [np.sort(i(8)), f(5) * 4], lambda s, v: np.searchsorted(s, v, side), {"side": side})
case("digitize", [f(3, 4), np.array([-1.5, 0, 0.5, 1], np.float32)], np.digitize)
case("digitize", [np.array([0, 1, 2, 3, 9], np.int32), np.array([1, 2, 3], np.int32)], np.digitize)
for invert in [False, True]:
    case("isin", [i(3, 4), i(2, 3)], lambda a, b: np.isin(a, b, invert=invert), {"invert": invert})
    case("isin", [special, np.array([np.nan, np.inf, 0.0], np.float32)], lambda a, b: np.isin(a, b, invert=invert), {"invert": invert})
    case("isin", [f(3), f(0)], lambda a, b: np.isin(a, b, invert=invert), {"invert": invert})
case("isin", [np.array([True, False]), np.array([True])], np.isin)
for values in [i(3, 4, low=0, high=3), np.array([0.0, np.nan, 2.0, -0.0], np.float32), i(0), np.array([[True], [False]]), i(2, 2, 2, low=0, high=2)]:
    case("nonzero", [values], np.nonzero)
case("select", [f(5) > 0, f(5) > 0, f(5), f(5)], lambda c, d, a, b: np.select([c, d], [a, b], 0.5), {"default": 0.5}, grad=True)
case("select", [f(3, 1) > 0, f(4) > 0, f(3, 4), f(4)], lambda c, d, a, b: np.select([c, d], [a, b], -1.0), {"default": -1}, grad=True)
case("unravel_index", [np.array([[0, 5, 23], [7, 8, 9]], np.int32)], lambda a: np.unravel_index(a, (2, 3, 4)), {"shape": [2, 3, 4]})
case("unravel_index", [np.array([4], np.int32)], lambda a: np.unravel_index(a, (5,)), {"shape": [5]})


def unique(values, axis=None, size=None, fill=0):
    """NumPy's, where what is added for a size is the fill value, index 0 and count 0."""
    v, index, inverse, counts = np.unique(values, True, True, True, axis=axis, equal_nan=False)
    inverse = inverse.reshape(values.shape) if axis is None else inverse.ravel()
    if size is not None:
        d = axis or 0
        def fit(a, d, fill):
            a = np.take(a, range(min(size, a.shape[d])), d)
            widths = [(0, 0)] * a.ndim
            widths[d] = (0, size - a.shape[d])
            return np.pad(a, widths, constant_values=fill)
        v, index, counts = fit(v, d, fill), fit(index, 0, 0), fit(counts, 0, 0)
    return [v, index, inverse, counts]


for size in [None, 2, 5, 20]:
    fill = 0 if size is None else 7
    args = {"fill_value": fill} | ({} if size is None else {"size": size})
    for values in [i(12, low=0, high=5), i(3, 4, low=0, high=3), i(0), np.round(f(10)), np.array([np.nan, 1, np.nan, np.inf, 1], np.float32)]:
        case("unique", [values], lambda a: unique(a, None, size, fill), args)
    for axis in [0, 1, -1]:
        case("unique", [i(4, 3, low=0, high=2)], lambda a: unique(a, axis % 2, size, fill), args | {"axis": axis})
case("unique", [i(200, low=0, high=20)], unique, {"fill_value": 0})
case("unique", [np.array([True, False, True])], unique, {"fill_value": 0})

group.write()
