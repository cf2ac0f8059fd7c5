"""keras.ops' branches and loops: cond, switch, scan, associative_scan, while_loop, fori_loop, map, vectorized_map.

Their bodies have names (`BODIES`; `crates/graph/tests/conformance/bodies.rs` has the same ones). A body takes all that it
works on as one list: what is carried, the rows, and what it captures, in this order, and gives one list back. Keras (JAX)
computes the references in float64. `gradient_NAME` are gradients of the sum of cos(0.7 i) · yᵢ over all float results
with respect to the float inputs, by jax.grad; those of while loops, which JAX cannot differentiate backwards, by its
forward mode.
"""
import os

os.environ.update(KERAS_BACKEND="jax", JAX_ENABLE_X64="1")
import jax, jax.numpy as jnp, keras, ml_dtypes, numpy as np
from base import Group

jax.config.update("jax_enable_x64", True)
F, I = np.float32, np.int32
group = Group("control")
random = np.random.default_rng(7)


def normal(*shape):
    return random.normal(size=shape).astype(F)


def scalar(number, kind=F):
    return np.array(number, kind)


# Constructs that stand inside others ------------------------------------------------------------------------------------
def scanned(body, carried, rows, captured=(), length=None, reverse=False):
    """The last carry and the stacked results, in one list."""
    def f(carry, x):
        out = BODIES[body](*carry, *(x if x is not None else ()), *captured)
        return tuple(out[: len(carried)]), tuple(out[len(carried):])

    last, stacked = keras.ops.scan(f, tuple(carried), tuple(rows) if rows else None, length=length, reverse=reverse)
    return [*last, *stacked]


def repeated(condition, body, variables, captured=(), most=None):
    return list(keras.ops.while_loop(
        lambda *x: BODIES[condition](*x, *captured)[0], lambda *x: tuple(BODIES[body](*x, *captured)), tuple(variables), most))


def counted(lower, upper, body, variables, captured=()):
    return list(keras.ops.fori_loop(lower, upper, lambda i, x: tuple(BODIES[body](i, *x, *captured)), tuple(variables)))


def chosen(predicate, then, otherwise, operands):
    # Whatever is a list in both is one structure for JAX.
    return list(keras.ops.cond(predicate, lambda: tuple(BODIES[then](*operands)), lambda: tuple(BODIES[otherwise](*operands))))


def switched(index, branches, operands):
    return list(keras.ops.switch(index, [lambda *x, b=b: tuple(BODIES[b](*x)) for b in branches], *operands))


def mapped(body, rows, captured=(), vectorized=False):
    run = keras.ops.vectorized_map if vectorized else keras.ops.map
    return list(run(lambda x: tuple(BODIES[body](*x, *captured)), tuple(rows)))


def associated(body, elements, reverse=False, axis=0):
    f = lambda a, b: tuple(BODIES[body](*a, *b))
    # JAX turns axes round that count from the front only.
    return list(keras.ops.associative_scan(f, tuple(elements), reverse=reverse, axis=axis % elements[0].ndim))


BODIES = {
    # Branches, and rows.
    "square": lambda a, *_: [a * a],
    "product": lambda a, b, *_: [a * b],
    "shifted_exponential": lambda a, b, *_: [jnp.exp(b) + 1],
    "tanh_of_product_and_sum": lambda a, b: [jnp.tanh(a @ b), a.sum()],
    "triple_product_and_sum": lambda a, b: [3 * (a @ b), (2 * b).sum()],
    "exchange": lambda a, b: [b, a],
    "same": lambda *x: list(x),
    "by_the_sign_of_the_sum": lambda a, b, *_: chosen(a.sum() > 0, "product", "shifted_exponential", [a, b]),
    "length": lambda a: [jnp.sqrt((a * a).sum())],
    "length_and_halves": lambda a: [jnp.sqrt((a * a).sum()), a * 0.5],
    "row_times": lambda a, w: [a @ w],
    "sum_of_products": lambda a, b: [(a * b).sum(), a - b],
    "running_sums_of_row": lambda a: scanned("running_sum", [a[0] * 0], [a]),
    "root_by_newton": lambda a: repeated("far_from_root", "newton_step", [jnp.ones_like(a), a], most=40)[:1],
    "halved_below_one": lambda a: repeated("above_one", "half", [a], most=60),
    "choice_by_index": lambda i, a, b: switched(i, ["square", "product", "shifted_exponential"], [a, b]),
    "outer_by_map": lambda a, b: mapped("scaled_row", [a], [b]),
    "scaled_row": lambda a, b: [a * b],
    "matrix_product": lambda a, b: [a @ b],
    # Scans.
    "running_sum": lambda c, x: [c + x, c + x],
    "running_product": lambda c, x: [c * x],
    "recurrent": lambda h, x, w, u, b: [jnp.tanh(x @ w + h @ u + b)] * 2,
    "gated": lambda h, c, x, w: [
        jnp.tanh(c * jax.nn.sigmoid(x @ w) + h), c * 0.9 + jax.nn.sigmoid(h) * x, h - c, (h * c).sum()],
    "grow": lambda c: [c * 1.1, c - 1],
    "two_arrays": lambda c, x, y: [c + x * y, x - c, c.sum()],
    "count_larger": lambda c, n, x: [jnp.maximum(c, x), n + (x > c).astype(n.dtype), x > c],
    "inner_running_sums": lambda c, x: scanned("running_sum", [c], [x]),
    "inner_reverse": lambda c, x: scanned("two_arrays", [c], [x, x * x], reverse=True)[:2],
    "add_or_halve": lambda c, x: chosen(x > 0, "first_plus_second", "half_of_first", [c, x]) * 2,
    "first_plus_second": lambda c, x: [c + x],
    "half_of_first": lambda c, x: [c * 0.5],
    "halve_while_above_one": lambda c, x: (lambda h: [h + x, h])(repeated("above_one", "half", [c], most=30)[0]),
    "power_inside": lambda c, x: counted(0, 3, "times_second", [c, x])[:1] * 2,
    "polynomial": lambda c, k, x: [c * x + k, c],
    # Of numbered turns.
    "add_index": lambda i, x: [x + i.astype(x.dtype)],
    "times_matrix": lambda i, x, w: [jnp.tanh(x @ w)],
    "fibonacci": lambda i, a, b: [b, a + b],
    "times_second": lambda i, a, b: [a * b, b],
    "mix_in_index": lambda i, x: [jnp.sin(x) + 0.1 * i.astype(x.dtype)],
    "loop_of_index": lambda i, x: counted(0, i, "add_index", [x]),
    "inner_fixed_loop": lambda i, x: counted(1, 4, "mix_in_index", [x]),
    "row_of_captured": lambda i, x, a: [x + jnp.take(a, i, axis=0) * x],
    # Conditions and their bodies.
    "below_hundred": lambda x, *_: [x.sum() < 100],
    "double": lambda x, *_: [x * 2],
    "first_below": lambda i, *x: [i < x[-1]],
    "step_and_decay": lambda i, x, n: [i + 1, x * 0.9 + 0.1],
    "above_one": lambda x: [x > 1],
    "half": lambda x: [x * 0.5],
    "far_from_root": lambda x, a: [jnp.abs(x * x - a) > 0.05 * a],
    "newton_step": lambda x, a: [0.5 * (x + a / x), a],
    "second_not_zero": lambda a, b: [b != 0],
    "euclid": lambda a, b: [b, a % b],
    "not_one": lambda n, k: [n != 1],
    "collatz": lambda n, k: [jnp.where(n % 2 == 0, n // 2, 3 * n + 1), k + 1],
    "never": lambda x: [x.sum() < -1e30],
    "always": lambda x, *_: [jnp.asarray(True)],
    "next_row": lambda i, x, a, n: [i + 1, x * jnp.take(a, i, axis=0)],
    "with_scan": lambda i, x, a, n: [i + 1, scanned("running_product", [x], [a])[0]],
    # Associative ones, of a list of first and a list of second elements.
    "sum": lambda a, b: [a + b],
    "times": lambda a, b: [a * b],
    "larger": lambda a, b: [jnp.maximum(a, b)],
    "affine": lambda a, b, c, d: [a * c, b * c + d],
    "product_of_matrices": lambda a, b: [a @ b],
    "exclusive_or": lambda a, b: [a ^ b],
}


# Cases ------------------------------------------------------------------------------------------------------------------
def run(op, inputs, args):
    """A case as the Rust table runs it."""
    carried, arrays = args.get("carried", 0), args.get("arrays", 0)
    variables, rows, rest = inputs[:carried], inputs[carried:carried + arrays], inputs[carried + arrays:]
    match op:
        case "cond":
            return chosen(inputs[0], args["then"], args["otherwise"], inputs[1:])
        case "switch":
            return switched(inputs[0], args["branches"], inputs[1:])
        case "scan":
            return scanned(args["body"], variables, rows, rest, args.get("length"), args.get("reverse", False))
        case "while_loop":
            return repeated(args["condition"], args["body"], variables, rest, args.get("maximum_iterations"))
        case "fori_loop":
            if "lower" not in args:
                # Ends that the graph does not know.
                return counted(inputs[0], inputs[1], args["body"], inputs[2:])
            return counted(args["lower"], args["upper"], args["body"], variables, rest)
        case "map" | "vectorized_map":
            return mapped(args["body"], rows, rest, op == "vectorized_map")
        case "associative_scan":
            return associated(args["body"], inputs, args.get("reverse", False), args.get("axis", 0))
    raise ValueError(op)


def is_float(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def wide(x):
    return jnp.asarray(x, np.float64) if x.dtype == F else jnp.asarray(x)


def case(op, inputs, tol="ulp:16", gradient=True, grad=True, **args):
    inputs = [np.asarray(x) for x in inputs]
    widened = [wide(x) for x in inputs]
    outputs = run(op, widened, args)
    group.case(op, inputs, args, [np.asarray(y) for y in outputs], tol, grad and gradient)
    places = [n for n, x in enumerate(inputs) if x.dtype == F]
    if not gradient or not places:
        return

    def loss(*floats):
        x = list(widened)
        for n, value in zip(places, floats):
            x[n] = value
        floating = [y for y in run(op, x, args) if is_float(y)]
        return sum(jnp.sum(y.ravel() * jnp.cos(0.7 * jnp.arange(y.size))) for y in floating)

    numbers, floats = tuple(range(len(places))), [widened[n] for n in places]
    try:
        gradients = jax.grad(loss, numbers)(*floats)
    except ValueError as error:
        assert "Reverse-mode differentiation does not work for" in str(error), error
        gradients = jax.jacfwd(loss, numbers)(*floats)
    # Of the largest of all, or of a loss of 1: a gradient is a sum of terms that may cancel.
    near = 2e-6 * max([1.0, *(float(np.abs(g).max()) for g in gradients if g.size)])
    group.case(f"gradient_{op}", inputs, args, [np.asarray(g) for g in gradients], f"abs:{near:.1e}", grad)


yes, no = scalar(True, bool), scalar(False, bool)
for flag in (yes, no):
    case("cond", [flag, normal(3, 4), normal(4, 2)], then="tanh_of_product_and_sum", otherwise="triple_product_and_sum")
    case("cond", [flag, normal(5), normal(5)], then="exchange", otherwise="same")
    case("cond", [flag, normal(2, 3), normal(2, 3)], then="by_the_sign_of_the_sum", otherwise="product")
    case("cond", [flag, np.arange(4, dtype=I), np.arange(4, dtype=I) - 7], then="square", otherwise="product", tol="exact")
    case("cond", [flag, np.zeros((0, 3), F), np.zeros((0, 3), F)], then="square", otherwise="product", grad=False)
    case("cond", [flag, scalar(2.5), scalar(-0.5)], then="same", otherwise="exchange")
    for kind in (np.float16, ml_dtypes.bfloat16, np.uint8, np.uint32):
        case("cond", [flag, np.arange(4).astype(kind), np.full(4, 3).astype(kind)], then="square", otherwise="product", tol="exact")
for values in (normal(6), -np.abs(normal(6))):
    case("cond", [yes, values, normal(6)], then="by_the_sign_of_the_sum", otherwise="product")
# The branch that is not taken is not computed: its infinity leaves no trace, in the gradient neither.
case("cond", [no, scalar(1.0), scalar(1000.0)], then="shifted_exponential", otherwise="product")

THREE = ["square", "product", "shifted_exponential"]
for index in (-3, 0, 1, 2, 9):
    case("switch", [scalar(index, I), normal(3), normal(3)], branches=THREE)
case("switch", [scalar(1, I), normal(2, 2), normal(2, 2)], branches=["square", "by_the_sign_of_the_sum"])
case("switch", [scalar(0, I), normal(2)], branches=["square"])
case("switch", [scalar(200, np.uint8), np.arange(3, dtype=I), np.arange(3, dtype=I)], branches=["square", "product"], tol="exact")
case("switch", [scalar(2, np.uint32), np.zeros((2, 0), F), np.zeros((2, 0), F)], branches=THREE, grad=False)
case("switch", [scalar(1, I), normal(2), normal(2)], branches=["exchange", "same"])
case("switch", [scalar(1, I), np.array([1, 2, 4], np.float16), np.array([3, 0.5, 2], np.float16)], branches=["square", "product"], tol="exact")

for reverse in (False, True):
    way = {"reverse": True} if reverse else {}
    case("scan", [scalar(0.5), normal(7)], body="running_sum", carried=1, arrays=1, **way)
    case("scan", [normal(2, 3), normal(4, 2, 3)], body="running_product", carried=1, arrays=1, **way)
    case("scan", [normal(2, 4), normal(6, 2, 3), normal(3, 4), normal(4, 4), normal(4)], body="recurrent", carried=1, arrays=1, **way)
    case("scan", [normal(3), normal(3), normal(5, 3), normal(3, 3)], body="gated", carried=2, arrays=1, **way)
    case("scan", [normal(3), normal(4, 3), normal(4, 3)], body="two_arrays", carried=1, arrays=2, **way)
    case("scan", [scalar(0.25), scalar(0, I), normal(9)], body="count_larger", carried=2, arrays=1, **way)
    case("scan", [scalar(0.5), normal(3, 5)], body="inner_running_sums", carried=1, arrays=1, **way)
    case("scan", [normal(2), normal(3, 4, 2)], body="inner_reverse", carried=1, arrays=1, **way)
    case("scan", [scalar(0.5), normal(8)], body="add_or_halve", carried=1, arrays=1, **way)
    case("scan", [scalar(9.0), 2 + np.abs(normal(5))], body="halve_while_above_one", carried=1, arrays=1, **way)
    case("scan", [scalar(1.5), normal(4)], body="power_inside", carried=1, arrays=1, **way)
    case("scan", [scalar(0.0), normal(6), scalar(0.7)], body="polynomial", carried=1, arrays=1, **way)
    case("scan", [scalar(3, I), np.array([5, -2, 7], I)], body="running_sum", carried=1, arrays=1, tol="exact", **way)
    # No rows, no array, one row.
    case("scan", [normal(3), np.zeros((0, 3), F)], body="running_sum", carried=1, arrays=1, **way)
    case("scan", [normal(2, 4), np.zeros((0, 2, 3), F), normal(3, 4), normal(4, 4), normal(4)], body="recurrent", carried=1, arrays=1, **way)
    case("scan", [np.zeros((0,), F), np.zeros((4, 0), F)], body="running_sum", carried=1, arrays=1, grad=False, **way)
    case("scan", [normal(2)], body="grow", carried=1, length=5, **way)
    case("scan", [normal(2)], body="grow", carried=1, length=0, **way)
    case("scan", [scalar(0.5), normal(1)], body="running_sum", carried=1, arrays=1, length=1, **way)
    case("scan", [scalar(0.5), normal(3, 0)], body="inner_running_sums", carried=1, arrays=1, **way)
for kind in (np.float16, ml_dtypes.bfloat16, np.uint8, np.uint32):
    case("scan", [np.array(2, kind), np.array([1, 2, 0, 4, 8], kind)], body="running_sum", carried=1, arrays=1, tol="exact")
case("scan", [scalar(200, np.uint8), np.array([100, 100], np.uint8)], body="running_sum", carried=1, arrays=1, tol="exact")
case("scan", [scalar(0.0), np.array([1, np.nan, 2], F)], body="running_sum", carried=1, arrays=1, gradient=False)
case("scan", [scalar(1.0), np.array([2, np.inf, -3, 0], F)], body="running_product", carried=1, arrays=1, gradient=False)

for most in (None, 3, 0, 50):
    limit = {} if most is None else {"maximum_iterations": most}
    bounded = most is not None
    case("while_loop", [np.array([1.25, 2.5], F)], condition="below_hundred", body="double", carried=1, gradient=bounded, **limit)
    case("while_loop", [scalar(0, I), normal(3), scalar(6, I)], condition="first_below", body="step_and_decay", carried=2, gradient=bounded, **limit)
    case("while_loop", [normal(2)], condition="never", body="double", carried=1, gradient=bounded, **limit)
case("while_loop", [scalar(1.0), scalar(7.5)], condition="far_from_root", body="newton_step", carried=2, maximum_iterations=40)
case("while_loop", [scalar(84, I), scalar(36, I)], condition="second_not_zero", body="euclid", carried=2, tol="exact")
case("while_loop", [scalar(84, np.uint32), scalar(30, np.uint32)], condition="second_not_zero", body="euclid", carried=2, tol="exact")
case("while_loop", [scalar(84, np.uint8), scalar(0, np.uint8)], condition="second_not_zero", body="euclid", carried=2, tol="exact")
case("while_loop", [scalar(27, I), scalar(0, I)], condition="not_one", body="collatz", carried=2, tol="exact")
case("while_loop", [normal(3)], condition="always", body="double", carried=1, maximum_iterations=4)
case("while_loop", [np.zeros((0, 2), F)], condition="always", body="double", carried=1, maximum_iterations=4, grad=False)
case("while_loop", [np.array([0.5, 3], np.float16)], condition="always", body="double", carried=1, maximum_iterations=4, tol="exact")
case("while_loop", [np.array([0.5, 3], ml_dtypes.bfloat16)], condition="always", body="double", carried=1, maximum_iterations=4, tol="exact")
case("while_loop", [scalar(0, I), normal(2), normal(4, 2), scalar(4, I)], condition="first_below", body="next_row", carried=2, maximum_iterations=9)
case("while_loop", [scalar(0, I), normal(2), normal(3, 2), scalar(3, I)], condition="first_below", body="with_scan", carried=2, maximum_iterations=9)

for lower, upper in ((0, 5), (2, 3), (3, 3), (4, 1), (-3, 2)):
    ends = {"lower": lower, "upper": upper}
    case("fori_loop", [normal(3)], body="add_index", carried=1, **ends)
    case("fori_loop", [scalar(0, I), scalar(1, I)], body="fibonacci", carried=2, tol="exact", **ends)
case("fori_loop", [normal(2, 3), normal(3, 3)], body="times_matrix", carried=1, lower=0, upper=4)
case("fori_loop", [scalar(1.5), scalar(0.8)], body="times_second", carried=2, lower=0, upper=6)
case("fori_loop", [normal(4)], body="mix_in_index", carried=1, lower=1, upper=6)
case("fori_loop", [normal(2)], body="inner_fixed_loop", carried=1, lower=0, upper=3)
case("fori_loop", [scalar(0.5)], body="loop_of_index", carried=1, lower=0, upper=5, gradient=False)
case("fori_loop", [normal(2), normal(5, 2)], body="row_of_captured", carried=1, lower=1, upper=4)
case("fori_loop", [np.zeros((0,), F)], body="add_index", carried=1, lower=0, upper=3, grad=False)
for kind in (np.float16, ml_dtypes.bfloat16):
    case("fori_loop", [np.array([0.5, 2], kind)], body="add_index", carried=1, lower=0, upper=5, tol="exact")
for kind in (np.uint8, np.uint32):
    case("fori_loop", [scalar(1, kind), scalar(2, kind)], body="fibonacci", carried=2, lower=0, upper=5, tol="exact")
for lower, upper in ((0, 6), (5, 2), (3, 3)):
    case("fori_loop", [scalar(lower, I), scalar(upper, I), scalar(2.0)], body="add_index", gradient=False)
    case("fori_loop", [scalar(lower, I), scalar(upper, I), scalar(0, I), scalar(1, I)], body="fibonacci", tol="exact")

for op in ("map", "vectorized_map"):
    case(op, [normal(4, 3)], body="length", arrays=1)
    case(op, [normal(4, 3)], body="length_and_halves", arrays=1)
    case(op, [normal(3, 2), normal(2, 4)], body="row_times", arrays=1)
    case(op, [normal(4, 3), normal(4, 3)], body="sum_of_products", arrays=2)
    case(op, [normal(3, 2, 2), normal(3, 2, 2)], body="matrix_product", arrays=2)
    case(op, [normal(5)], body="square", arrays=1)
    case(op, [normal(3, 4)], body="running_sums_of_row", arrays=1)
    case(op, [normal(4, 3), normal(4, 3)], body="by_the_sign_of_the_sum", arrays=2)
    case(op, [np.array([0, 2, 1, 7, -1], I), normal(5, 2), normal(5, 2)], body="choice_by_index", arrays=3)
    case(op, [np.array([0.5, 2, 3.25, 9, 40], F)], body="root_by_newton", arrays=1, tol="rel:2e-6")
    case(op, [np.array([0.5, 9, 2.5], F)], body="halved_below_one", arrays=1)
    case(op, [normal(3, 2), scalar(1.5)], body="outer_by_map", arrays=1)
    case(op, [np.array([[1, 2], [3, 4]], I)], body="square", arrays=1, tol="exact")
    for kind in (np.float16, ml_dtypes.bfloat16, np.uint8, np.uint32):
        case(op, [np.array([[1, 2], [3, 4]], kind), np.array([[2, 2], [3, 0]], kind)], body="product", arrays=2, tol="exact")
    # No rows, rows without elements, one row.
    case(op, [np.zeros((0, 3), F)], body="length_and_halves", arrays=1)
    case(op, [np.zeros((0, 3), F), normal(3, 2)], body="row_times", arrays=1)
    case(op, [np.zeros((3, 0), F)], body="square", arrays=1, grad=False)
    case(op, [normal(1, 3), normal(1, 3)], body="by_the_sign_of_the_sum", arrays=2)

for reverse in (False, True):
    way = {"reverse": True} if reverse else {}
    for length in (0, 1, 2, 3, 5, 8, 13):
        case("associative_scan", [normal(length)], body="sum", **way)
        case("associative_scan", [normal(length, 2), normal(length, 2)], body="affine", tol="rel:2e-6", **way)
    case("associative_scan", [normal(5, 2, 2)], body="product_of_matrices", **way)
    case("associative_scan", [normal(3, 6)], body="times", axis=1, **way)
    case("associative_scan", [normal(2, 5, 2)], body="sum", axis=-2, **way)
    case("associative_scan", [normal(7)], body="larger", **way)
    case("associative_scan", [np.array([3, 5, 6, 255, 1], I)], body="exclusive_or", tol="exact", **way)
    case("associative_scan", [normal(0, 3)], body="sum", axis=1, grad=False, **way)
    for kind in (np.float16, ml_dtypes.bfloat16, np.uint8, np.uint32, np.int32):
        case("associative_scan", [np.array([1, 2, 0, 4, 8], kind)], body="sum", tol="exact", **way)
group.write()
