"""Indices, and gathering and scattering by tensors of coordinates. References are NumPy's, and TensorFlow's where NumPy
has no such function."""
from base import Group, np, widened

group = Group("indexing")
rng = np.random.default_rng(22)
A = np.newaxis


def f(*shape):
    return rng.uniform(-2, 2, shape).astype(np.float32)


def i(*shape, low=-9, high=10):
    return rng.integers(low, high, shape).astype(np.int32)


def case(op, inputs, reference, args=None, tol="exact", grad=False):
    made = reference(*[widened(x) for x in inputs])
    outputs = list(made) if isinstance(made, (list, tuple)) else [made]
    keep = lambda a: np.asarray(a).astype(np.int32) if np.asarray(a).dtype == np.int64 else a
    group.case(op, inputs, args or {}, outputs=[keep(o) for o in outputs], tol=tol, grad=grad)


def described(key):
    """The items of an index as JSON; arrays become inputs of the case."""
    items, arrays = [], []
    for item in key if isinstance(key, tuple) else (key,):
        if item is Ellipsis:
            items.append("ellipsis")
        elif item is None:
            items.append("new")
        elif isinstance(item, slice):
            items.append({"start": item.start, "stop": item.stop, "step": item.step or 1})
        elif isinstance(item, np.ndarray):
            items.append({"tensor": len(arrays)})
            arrays.append(item)
        else:
            items.append(int(item))
    return items, arrays


def indexed(x, key, grad=True):
    """x[key] and every update there."""
    items, arrays = described(key)
    chosen = x[key]
    case("get_item", [x] + arrays, lambda a, *_: a[key], {"key": items}, grad=grad)
    # Values that broadcast to the elements: all of them, and one row of them.
    value = rng.uniform(-2, 2, np.shape(chosen)).astype(np.float32)
    narrow = value[-1:] if value.ndim and value.shape[0] else np.float32(1.5)
    for whole, v in ((True, value), (False, narrow)):
        v = np.asarray(v).astype(x.dtype)
        for op, ufunc in [("set", None), ("add", np.add), ("multiply", np.multiply), ("min", np.minimum), ("max", np.maximum)]:
            if not whole and op not in ("set", "add"):
                continue
            def update(a, *rest):
                b, w = a.copy(), rest[-1]
                if ufunc is None:
                    b[key] = w
                else:
                    ufunc.at(b, key, w)
                return b
            name = {"set": "at_set", "add": "at_add", "multiply": "at_multiply", "min": "at_min", "max": "at_max"}[op]
            case(name, [x] + arrays + [v], update, {"key": items}, tol="ulp:4", grad=grad and op in ("set", "add"))


places = lambda *values: np.array(values, np.int32)
three = f(4, 5, 6)
for key in [1, -1, slice(1, 3), slice(None, None, 2), slice(None, None, -1), slice(-2, None), slice(4, 1, -2), slice(9, 20), slice(3, 1),
            slice(None, -1), (1, 2), (1, 2, 3), (slice(None), -1), (Ellipsis, 0), (Ellipsis, slice(1, 2)), (0, Ellipsis, 1), (None, 1),
            (slice(None), None, slice(1, 3)), (Ellipsis, None), (slice(0, 4, 3), slice(4, None, -3), slice(1, 6, 2)), (), Ellipsis,
            (1, 2, 3, Ellipsis), (None, Ellipsis, None), (slice(-100, 100), slice(100, -100, -1))]:
    indexed(three, key, grad=not isinstance(key, int))
# Index tensors: alone, together, apart, with numbers, slices and new axes.
a, b = places(0, 2, -1), places(1, -5, 3)
m = np.array([[0, 1], [-1, 3]], np.int32)
for key in [a, m, (a, b), (a, slice(None), b), (slice(None), a), (slice(None), a, b), (Ellipsis, a), (a, Ellipsis), (a, 1), (1, a), (0, slice(None), a),
            (a, slice(None), 1), (a[:, A], b), (m, 1, m), (None, a), (a, None, b), (a, None), (slice(1, 3), a), (slice(1, 3), slice(None, None, -2), a),
            (slice(None), a, slice(1, 4)), (a, b, places(0, 1, -1)), (a, slice(None), None), (slice(None, None, 2), a[:, A], b), (a, Ellipsis, b),
            (Ellipsis, a, b), (places(), slice(None)), np.array(2, np.int32), (slice(None), np.array(-1, np.int32)), (places(1, 1, 1), 0),
            (slice(None), None, a), (0, None, a), (a, b, Ellipsis, 2)]:
    indexed(three, key)
# Masks.
rows = np.array([True, False, True, True])
columns = np.array([True, False, False, True, True])
for key in [rows, (rows, 1), (slice(None), columns), three > 0.5, three[..., 0] > 0, (slice(None), three[0] > 0), (rows, slice(1, 3)), (rows, Ellipsis),
            (Ellipsis, np.array([True, False] * 3)), (np.array([True, False, False, True]), np.array([False, True, True, False, False])), rows & False,
            (rows, a), (1, columns), (None, rows), (rows, None), three > 9]:
    indexed(three, key, grad=False)
whole = i(3, 4)
for key in [1, (slice(None), places(0, -1)), whole > 0, (places(0, 0, 2), places(1, 1, 3))]:
    indexed(whole, key, grad=False)
indexed(f(5), places(1, 1, 3))
indexed(f(0, 3), slice(None), grad=False)
indexed(f(0, 3), places(), grad=False)
scalar = f()
for key in [(), None, Ellipsis, (None, None)]:
    indexed(scalar, key)
for truth in [True, False]:
    case("get_item", [three, np.array(truth)], lambda x, k: x[k], {"key": [{"tensor": 0}]})
case("get_item", [three, np.array(True), a], lambda x, k, p: x[k, p], {"key": [{"tensor": 0}, {"tensor": 1}]})

# Along an axis.
for axis in [0, 1, -1, None]:
    args = {} if axis is None else {"axis": axis}
    for index in [places(0, 2, -1), m, np.array(1, np.int32), places()]:
        case("take", [three, index], lambda x, k: np.take(x, k, axis), args, grad=index is m)
case("take", [i(4, 3), np.array([1, 0], np.uint8)], lambda x, k: np.take(x, k, 0), {"axis": 0})
for axis, index in [(0, i(2, 5, 6, low=-4, high=4)), (1, i(4, 3, 6, low=-5, high=5)), (-1, i(4, 5, 1, low=-6, high=6)), (1, i(1, 3, 1, low=0, high=5)),
                    (None, i(7, low=-120, high=120))]:
    args = {} if axis is None else {"axis": axis}
    case("take_along_axis", [three, index], lambda x, k: np.take_along_axis(x, k, axis), args, grad=True)
case("take_along_axis", [f(1, 5), i(3, 2, low=0, high=5)], lambda x, k: np.take_along_axis(x, k, 1), {"axis": 1}, grad=True)

# Blocks.
for start, shape in [([0, 0, 0], [4, 5, 6]), ([1, 2, 3], [2, 2, 2]), ([3, 0, 5], [1, 5, 1]), ([4, 0, 0], [0, 5, 6])]:
    block = tuple(slice(s, s + n) for s, n in zip(start, shape))
    def put(x, *rest):
        y = x.copy()
        y[block] = rest[-1]
        return y
    values = f(*shape)
    case("slice", [three], lambda x: x[block], {"start_indices": start, "shape": shape}, grad=True)
    case("slice_update", [three, values], put, {"start_indices": start}, grad=True)
    if 0 not in shape:
        case("slice", [three, np.array(start, np.int32)], lambda x, _: x[block], {"shape": shape}, grad=True)
        case("slice_update", [three, np.array(start, np.int32), values], put, grad=True)
case("slice", [f()], lambda x: x, {"start_indices": [], "shape": []})

# Coordinates.
pairs = np.array([[0, 1], [3, -2], [0, 1], [2, 0]], np.int32)
for index in [pairs, pairs[:, :1], pairs[:2].reshape(1, 2, 2), np.array([[1, 2, 3], [0, 0, -1]], np.int32), np.array([1, 2], np.int32), np.zeros((3, 0), np.int32)]:
    key = tuple(np.moveaxis(index, -1, 0))
    n, rest = index.shape[:-1], three.shape[index.shape[-1]:]
    values = f(*n, *rest)
    def scattered(x, v, ufunc):
        y = x.copy()
        for place in np.ndindex(*n):
            at = tuple(index[place])
            y[at] = v[place] if ufunc is None else ufunc(y[at], v[place])
        return y
    case("gather_nd", [three, index], lambda x, _: np.stack([x[tuple(index[p])] for p in np.ndindex(*n)]).reshape(n + rest), {"batch_dims": 0}, grad=True)
    case("scatter", [index, values], lambda _, v: scattered(np.zeros(three.shape), v, np.add), {"shape": [4, 5, 6]}, tol="ulp:4", grad=True)
    case("scatter_nd", [index, values], lambda _, v: scattered(np.zeros(three.shape), v, np.add), {"shape": [4, 5, 6]}, tol="ulp:4")
    for reduction, ufunc, name in [(None, None, "update"), ("add", np.add, "add"), ("max", np.maximum, "max"), ("min", np.minimum, "min"), ("mul", np.multiply, None)]:
        args = {} if reduction is None else {"reduction": reduction}
        case("scatter_update", [three, index, values], lambda x, _, v: scattered(x, v, ufunc), args, tol="ulp:4", grad=reduction != "mul")
        if name:
            case(f"tensor_scatter_nd_{name}", [three, index, values], lambda x, _, v: scattered(x, v, ufunc), tol="ulp:4")
    case("tensor_scatter_nd_sub", [three, index, values], lambda x, _, v: scattered(x, v, np.subtract), tol="ulp:4")
case("scatter_update", [i(5), np.array([[1], [1], [4]], np.int32), i(3)], lambda x, k, v: [x.__setitem__(k[:, 0], v), x][1], tol="exact")

# With leading axes that belong together.
for shape, index, batch in [((2, 3, 4), i(2, 5, low=0, high=3), 1), ((2, 3, 4), i(2, 3, low=0, high=4), 2), ((2, 3, 4), i(2, low=0, high=3), 1),
                            ((2, 3, 4, 5), i(2, 2, 2, low=-4, high=4), 1), ((3, 4), i(2, 2, low=0, high=3), 0)]:
    for axis in range(batch, len(shape)):
        if np.any(index >= shape[axis]) or np.any(index < -shape[axis]):
            index = index % shape[axis]
        x = f(*shape)
        def gathered(a, k):
            out = np.empty(k.shape[:batch], object)
            for p in np.ndindex(*k.shape[:batch]):
                out[p] = np.take(a[p], k[p], axis - batch)
            flat = np.stack([out[p] for p in np.ndindex(*k.shape[:batch])])
            return flat.reshape(k.shape[:batch] + flat.shape[1:])
        case("gather", [x, index], gathered, {"axis": axis, "batch_dims": batch}, grad=True)
for index, batch in [(np.array([[1, 0], [2, 3]], np.int32).reshape(2, 1, 2), 1), (i(2, 3, 1, low=0, high=4), 2), (i(2, 3, 0), 2)]:
    x = f(2, 3, 4)
    def gathered_nd(a, k):
        return np.stack([a[p[:batch]][tuple(k[p])] for p in np.ndindex(*k.shape[:-1])]).reshape(k.shape[:-1] + a.shape[batch + k.shape[-1]:])
    case("gather_nd", [x, index], gathered_nd, {"batch_dims": batch}, grad=True)
group.write()
