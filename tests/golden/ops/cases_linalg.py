"""Golden cases of `keras.ops.linalg`, and of `slogdet`, `svdvals` and `expm`.

Factors that are unique only up to signs or order are compared by what they make: the table gives the products.
"""
import numpy as np, scipy.linalg as sl
from base import Group

group = Group("linalg")
rng = np.random.default_rng(7)
F = np.float32


def normal(*shape):
    return rng.standard_normal(shape).astype(F)


def definite(*shape):
    a = rng.standard_normal(shape)
    return (a @ np.swapaxes(a, -1, -2) + shape[-1] * np.eye(shape[-1])).astype(F)


def symmetric(*shape):
    a = rng.standard_normal(shape)
    return ((a + np.swapaxes(a, -1, -2)) / 2).astype(F)


def t(x):
    return np.swapaxes(x, -1, -2)


def wide(x):
    return x.astype(float)


def eyes(x, n):
    return np.broadcast_to(np.eye(n), (*x.shape[:-2], n, n))


near = dict(tol="rel:1e-6")
squares = [(1, 1), (2, 2), (5, 5), (3, 4, 4), (2, 1, 3, 3), (30, 30), (0, 3, 3)]
small = lambda shape: 0 < int(np.prod(shape)) <= 50

# Cholesky -------------------------------------------------------------------------------------------------------------
for shape in squares:
    x = definite(*shape)
    lower = np.linalg.cholesky(wide(x))
    group.case("cholesky", [x], {}, outputs=[lower], grad=small(shape), **near)
    group.case("cholesky", [x], {"upper": True}, outputs=[t(lower)], grad=small(shape), **near)
    for upper in (False, True):
        factor = (t(lower) if upper else lower).astype(F)
        whole = t(wide(factor)) @ wide(factor) if upper else wide(factor) @ t(wide(factor))
        group.case("cholesky_inverse", [factor], {"upper": upper}, outputs=[np.linalg.inv(whole)], grad=small(shape), tol="rel:3e-6")
group.case("cholesky", [np.array([[4, 2], [2, 5]], np.int32)], outputs=[np.array([[2, 0], [1, 2.0]])])

# Determinants and inverses --------------------------------------------------------------------------------------------
for shape in squares:
    x = normal(*shape)
    group.case("det", [x], outputs=[np.linalg.det(wide(x))], grad=small(shape), **near)
    group.case("slogdet", [x], outputs=list(np.linalg.slogdet(wide(x))), grad=small(shape), **near)
    group.case("inv", [x], outputs=[np.linalg.inv(wide(x))], grad=small(shape), **near)
    p = definite(*shape)
    group.case("logdet", [p], outputs=[np.linalg.slogdet(wide(p))[1]], grad=small(shape), **near)
singular = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], F)
group.case("det", [singular], outputs=[0.0], tol="abs:1e-6", grad=True)
group.case("det", [np.array([[1, 2], [2, 4]], F)], outputs=[0.0], tol="exact")
group.case("slogdet", [np.array([[1, 2], [2, 4]], F)], outputs=[0.0, -np.inf], tol="exact")
group.case("det", [np.zeros((2, 0, 0), F)], outputs=[np.ones(2)], tol="exact")
group.case("slogdet", [np.zeros((0, 0), F)], outputs=[1.0, 0.0], tol="exact")
group.case("inv", [np.array([[2, 0], [0, 4]], np.int32)], outputs=[np.array([[0.5, 0], [0, 0.25]])])
group.case("inv", [np.array([[1, 1], [0, 1e-20]], F)], outputs=[np.linalg.inv(np.array([[1, 1], [0, F(1e-20)]], float))], **near)
group.case("inv", [np.array([[2, 0], [0, 4]], np.float16)], outputs=[np.array([[0.5, 0], [0, 0.25]], np.float16)])

# Systems --------------------------------------------------------------------------------------------------------------
for a, b in [((1, 1), (1,)), ((4, 4), (4,)), ((4, 4), (4, 2)), ((2, 3, 3), (2, 3)), ((2, 3, 3), (2, 3, 4)), ((5, 1, 3, 3), (1, 2, 3, 1)), ((2, 3, 3), (3,)), ((25, 25), (25, 3)), ((3, 3), (3, 0))]:
    x, y = definite(*a) - F(0.5), normal(*b)
    vectors = len(b) == 1 or len(b) + 1 == len(a)
    sides = wide(y)[..., None] if vectors else wide(y)
    out = np.linalg.solve(wide(x), np.broadcast_to(sides, (*np.broadcast_shapes(a[:-2], sides.shape[:-2]), *sides.shape[-2:])))
    out = out[..., 0] if vectors else out
    grad = small(a) and out.size > 0
    group.case("solve", [x, y], outputs=[out], grad=bool(grad), **near)
    for lower in (False, True):
        triangle = np.tril(wide(x)) if lower else np.triu(wide(x))
        out = np.linalg.solve(triangle, np.broadcast_to(sides, (*np.broadcast_shapes(a[:-2], sides.shape[:-2]), *sides.shape[-2:])))
        out = out[..., 0] if vectors else out
        group.case("solve_triangular", [x, y], {"lower": lower}, outputs=[out], grad=bool(grad), **near)
for a, b, args in [((5, 3), (5,), {}), ((5, 3), (5, 2), {}), ((3, 5), (3, 2), {}), ((4, 4), (4,), {}), ((2, 5, 3), (2, 5, 2), {}), ((20, 6), (20, 3), {"rcond": 0.5}), ((3, 5), (3,), {"rcond": 0.01})]:
    x, y = normal(*a), normal(*b)
    rcond = args.get("rcond", max(a[-2:]) * np.finfo(F).eps)
    pseudo = np.linalg.pinv(wide(x), rcond)
    out = pseudo @ wide(y)
    group.case("lstsq", [x, y], args, outputs=[out], grad=True, **near)
rank_one = np.outer(np.arange(1, 5), [1, 2, 3]).astype(F)
y = normal(4)
group.case("lstsq", [rank_one, y], outputs=[np.linalg.pinv(wide(rank_one), 1e-6) @ wide(y)], **near)
for shape in [(3, 3), (5, 2), (2, 5), (2, 4, 3), (1, 1), (30, 20)]:
    x = normal(*shape)
    group.case("pinv", [x], outputs=[np.linalg.pinv(wide(x))], grad=small(shape), **near)
group.case("pinv", [rank_one], outputs=[np.linalg.pinv(wide(rank_one), 1e-6)], **near)
group.case("pinv", [np.diag([4.0, 2, 1]).astype(F)], {"rcond": 0.3}, outputs=[np.diag([0.25, 0.5, 0])], grad=True, **near)
group.case("pinv", [np.zeros((3, 2), F)], outputs=[np.zeros((2, 3))], **near)
group.case("pinv", [np.zeros((2, 0, 3), F)], outputs=[np.zeros((2, 3, 0))], **near)
for x, args in [(rank_one, {}), (normal(4, 6), {}), (normal(2, 5, 3), {}), (np.zeros((3, 3), F), {}), (np.diag([3.0, 1, 1e-9]).astype(F), {}), (np.diag([3.0, 1, 0.5]).astype(F), {"tol": 0.7})]:
    group.case("matrix_rank", [x], args, outputs=[np.asarray(np.linalg.matrix_rank(x, tol=args.get("tol"))).astype(np.int32)], tol="exact")

# Spectra: (values, V diag(w) Vᵀ, VᵀV), so that signs do not count -----------------------------------------------------
for shape in squares:
    x = symmetric(*shape)
    group.case("eigh", [x], outputs=[np.linalg.eigvalsh(wide(x)), wide(x), eyes(x, shape[-1])], grad=small(shape), **near)
    if small(shape):
        # A function of the vectors that no sign changes: (V∘V) and V c Vᵀ.
        w, v = np.linalg.eigh(wide(x))
        group.case("eigh_vectors", [x], outputs=[v * v, (v * np.arange(1, shape[-1] + 1)) @ t(v)], tol="rel:2e-6", grad=True)
for shape in [(1, 1), (2, 2), (5, 5), (2, 4, 4), (20, 20)]:
    x = normal(*shape)
    # Power sums of the eigenvalues, and A V − V diag(w).
    powers = [np.trace(np.linalg.matrix_power(wide(x), k), axis1=-2, axis2=-1) for k in (1, 2, 3)]
    group.case("eig", [x], outputs=[*powers, np.zeros(shape), np.zeros(shape), np.ones(shape[:-1])], tol="abs:1e-4" if shape[-1] < 20 else "abs:3e-3")
shapes = [(1, 1), (3, 3), (5, 2), (2, 5), (2, 4, 3), (2, 3, 4), (25, 10), (1, 6), (0, 3, 2)]
for shape in shapes:
    x = normal(*shape)
    m, n = shape[-2:]
    k = min(m, n)
    s = np.linalg.svd(wide(x), compute_uv=False)
    group.case("svdvals", [x], outputs=[s], grad=small(shape), **near)
    for full in (False, True):
        rows, columns = (m, n) if full else (k, k)
        group.case("svd", [x], {"full_matrices": full}, outputs=[s, wide(x), eyes(x, rows), eyes(x, columns)], grad=small(shape) and (not full or m == n), **near)
    if small(shape):
        u, s, vt = np.linalg.svd(wide(x), full_matrices=False)
        c = np.arange(1, k + 1)
        group.case("svd_vectors", [x], outputs=[u * u, (u * c) @ t(u), (t(vt) * c) @ vt, (u * c) @ vt], tol="rel:3e-6", grad=True)

# Orthogonal and triangular factors ------------------------------------------------------------------------------------
for shape in shapes:
    x = normal(*shape)
    m, n = shape[-2:]
    for mode in ("reduced", "complete"):
        k = min(m, n) if mode == "reduced" else m
        # QR, QᵀQ, what is below R's diagonal, and |R|.
        r = np.abs(np.linalg.qr(wide(x), mode)[1])
        group.case("qr", [x], {"mode": mode}, outputs=[wide(x), eyes(x, k), np.zeros_like(r), r], grad=small(shape) and (mode == "reduced" or m <= n), **near)
    if small(shape):
        q = np.linalg.qr(wide(x))[0]
        group.case("qr_vectors", [x], outputs=[q * q, (q * np.arange(1, q.shape[-1] + 1)) @ t(q)], grad=True, **near)
for shape in [(1, 1), (3, 3), (6, 6), (2, 4, 4), (5, 3), (3, 5), (25, 25)]:
    x = normal(*shape)
    flat = [sl.lu_factor(wide(y)) for y in x.reshape(-1, *shape[-2:])]
    packed = np.stack([f[0] for f in flat]).reshape(shape)
    pivots = np.stack([f[1] for f in flat]).astype(np.int32).reshape(*shape[:-2], -1)
    group.case("lu_factor", [x], outputs=[packed, pivots], grad=small(shape) and shape[-1] == shape[-2], **near)

# Exponential ----------------------------------------------------------------------------------------------------------
for shape in [(1, 1), (3, 3), (2, 4, 4), (15, 15)]:
    x = normal(*shape)
    group.case("expm", [x], outputs=[sl.expm(wide(x))], grad=small(shape), **near)
group.case("expm", [np.array([[0, -30], [30, 0]], F)], outputs=[sl.expm(np.array([[0, -30], [30, 0]], float))], **near)

# Norms ----------------------------------------------------------------------------------------------------------------
def order_of(order):
    return {"inf": np.inf, "-inf": -np.inf}.get(order, order)


def norm(x, **args):
    axis = args.get("axis")
    args = {"ord": order_of(args.get("ord")), "axis": tuple(axis) if isinstance(axis, list) else axis, "keepdims": args.get("keepdims", False)}
    grad = x.size > 0 and x.dtype == F and args["ord"] != 0
    given = {k: v for k, v in args.items() if v is not None and v is not False}
    given["ord"] = {np.inf: "inf", -np.inf: "-inf"}.get(args["ord"], args["ord"])
    if given["ord"] is None:
        del given["ord"]
    group.case("norm", [x], {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}, outputs=[np.linalg.norm(wide(x), **args)], grad=bool(grad), **near)


vector, grid, cube = normal(7), normal(4, 3), normal(2, 3, 4)
for x in (vector, grid, cube, np.zeros((0,), F), normal(1, 1)):
    norm(x)
    norm(x, keepdims=True)
for order in (None, 0, 1, 2, -1, -2, 3, 0.5, "inf", "-inf"):
    norm(vector, ord=order)
    norm(cube, ord=order, axis=1)
    norm(cube, ord=order, axis=-1, keepdims=True)
for order in (None, "fro", "nuc", 1, -1, 2, -2, "inf", "-inf"):
    norm(grid, ord=order)
    norm(cube, ord=order, axis=[0, 2])
    norm(cube, ord=order, axis=[-1, 0], keepdims=True)
norm(np.arange(6, dtype=np.int32).reshape(2, 3) - 3)
norm(np.arange(6, dtype=np.int32) - 3, ord=1)
norm(1000 * normal(50, 30), axis=[0, 1])

# First gradients against JAX; the harness checks second ones ------------------------------------------------------------
import jax, jax.numpy as jnp, jax.scipy.linalg as jsl

jax.config.update("jax_enable_x64", True)


def gradient(op, inputs, f, tol="rel:1e-6", **args):
    def loss(*x):
        outputs = f(*x)
        return sum(jnp.sum(y.ravel() * jnp.cos(0.7 * jnp.arange(y.size))) for y in (outputs if isinstance(outputs, tuple) else (outputs,)))

    outputs = jax.grad(loss, tuple(range(len(inputs))))(*[wide(x) for x in inputs])
    group.case(f"gradient_{op}", inputs, args, outputs=[np.asarray(y) for y in outputs], tol=tol, grad=True)


def qr_of(x):
    q, r = jnp.linalg.qr(x)
    return q * q, jnp.abs(r)


def eigh_of(x):
    w, v = jnp.linalg.eigh(x)
    return w, v * v


def svd_of(x):
    u, s, vt = jnp.linalg.svd(x, full_matrices=False)
    return u * u, s, vt * vt


for upper in (False, True):
    gradient("cholesky", [definite(2, 3, 3)], lambda x: jnp.linalg.cholesky(x, upper=upper), upper=upper)
for op, f in [("det", jnp.linalg.det), ("inv", jnp.linalg.inv), ("expm", jsl.expm)]:
    gradient(op, [normal(2, 3, 3)], f, tol="rel:3e-6")
gradient("logdet", [definite(2, 3, 3)], lambda x: jnp.linalg.slogdet(x)[1])
gradient("lu_factor", [normal(4, 4)], lambda x: jsl.lu_factor(x)[0], tol="rel:3e-6")
gradient("solve", [definite(2, 3, 3), normal(2, 3, 2)], jnp.linalg.solve)
gradient("solve", [definite(3, 3), normal(3)], jnp.linalg.solve)
for lower in (False, True):
    gradient("solve_triangular", [definite(3, 3), normal(3, 2)], lambda a, b: jsl.solve_triangular(a, b, lower=lower), lower=lower)
for shape in [(4, 4), (5, 3), (3, 5)]:
    gradient("pinv", [normal(*shape)], jnp.linalg.pinv, tol="rel:3e-6")
    gradient("lstsq", [normal(*shape), normal(shape[0], 2)], lambda a, b: jnp.linalg.lstsq(a, b)[0], tol="rel:3e-6")
    gradient("svd", [normal(*shape)], svd_of, tol="rel:3e-6")
    gradient("svdvals", [normal(*shape)], lambda x: jnp.linalg.svd(x, compute_uv=False), tol="rel:3e-6")
gradient("qr", [normal(4, 4)], qr_of, tol="rel:3e-6")
gradient("qr", [normal(5, 3)], qr_of, tol="rel:3e-6")
gradient("eigh", [symmetric(2, 4, 4)], eigh_of, tol="rel:3e-6")
for order in (None, "nuc", 2):
    gradient("norm", [normal(3, 4)], lambda x: jnp.linalg.norm(x, ord=order), **({} if order is None else {"ord": order}))
gradient("norm", [normal(3, 4)], lambda x: jnp.linalg.norm(x, ord=3, axis=1), ord=3, axis=1)


# Eigenvectors and their gradients, which JAX has where it is asked for them. Values in the order of re + 0.37 im, and what no
# sign changes; then what neither order nor turn changes.
def eig(x):
    return jax.lax.linalg.eig(x, compute_left_eigenvectors=False, enable_eigvec_derivs=True)


def sorted_eig(x):
    w, v = np.linalg.eig(wide(x))
    k = np.argsort(w.real + 0.37 * w.imag, -1)
    w, v = np.take_along_axis(w, k, -1), np.take_along_axis(v, k[..., None, :], -1)
    return w.real, w.imag, v.real**2, v.real * v.imag


def eigen_invariants(x):
    w, v = eig(x)
    whole = (v * w.real[..., None, :]) @ jnp.swapaxes(v.conj(), -1, -2)
    return (w.real**2).sum(-1), (w.imag**2).sum(-1), whole.real, whole.imag


triangular = (np.triu(rng.standard_normal((4, 4))) + np.diag([1.0, 3, 5, 7])).astype(F)
quarter = np.array([[0, -2], [1, 0]], F)
for x in [normal(1, 1), normal(3, 3), normal(5, 5), normal(2, 4, 4), triangular, quarter]:
    group.case("eig_vectors", [x], outputs=list(sorted_eig(x)), tol="rel:1e-5", grad=True)
    gradient("eig", [x], eigen_invariants, tol="rel:1e-5")
group.case("eig_vectors", [np.zeros((2, 0, 0), F)], outputs=[np.zeros((2, 0)), np.zeros((2, 0)), *[np.zeros((2, 0, 0))] * 2], tol="exact")


# Singular values that are cut off and not 0.
def cut_pinv(x, rcond):
    u, s, vt = jnp.linalg.svd(x, full_matrices=False)
    kept = s > rcond * s[..., :1]
    inverse = jnp.where(kept, 1 / jnp.where(kept, s, 1), 0)
    return (jnp.swapaxes(vt, -1, -2) * inverse[..., None, :]) @ jnp.swapaxes(u, -1, -2)


for shape, rcond in [((4, 4), 0.5), ((5, 3), 0.6), ((3, 5), 0.4), ((2, 4, 3), 0.5), ((6, 6), 0.3), ((3, 3), 2.0)]:
    x = normal(*shape)
    group.case("pinv", [x], {"rcond": rcond}, outputs=[np.asarray(cut_pinv(wide(x), rcond))], grad=True, **near)
    gradient("pinv", [x], lambda x: cut_pinv(x, rcond), tol="rel:3e-6", rcond=rcond)
    y = normal(*shape[:-1], 2)
    gradient("lstsq", [x, y], lambda x, y: cut_pinv(x, rcond) @ y, tol="rel:3e-6", rcond=rcond)
# Equal ones and zeros among those kept and those cut, where the vectors have no gradient of their own.
turn = lambda n: np.linalg.qr(rng.standard_normal((n, n)))[0]
for m, n, s in [(5, 5, [4, 2, 2, 1, 1]), (5, 4, [4, 4, 1, 0]), (4, 6, [3, 3, 0, 0])]:
    x = (turn(m)[:, :len(s)] * np.array(s)) @ turn(n)[:, :len(s)].T
    group.case("pinv", [x.astype(F)], {"rcond": 0.4}, outputs=[np.linalg.pinv(x, 0.4)], grad=True, tol="rel:2e-6")
group.write()
