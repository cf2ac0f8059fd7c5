"""Sums of products: NumPy's product functions, einsum, and derivatives of compositions."""
from base import Group, np, widened

group = Group("products")
rng = np.random.default_rng(21)


def f(*shape):
    return rng.uniform(-2, 2, shape).astype(np.float32)


def i(*shape):
    return rng.integers(-9, 10, shape).astype(np.int32)


def case(op, inputs, reference, args=None, tol=None, grad=False):
    """A sum may be off by four units in the last place of the largest sum of the absolute values of its terms."""
    made = np.asarray(reference(*[widened(x) for x in inputs]))
    if tol is None:
        terms = np.abs(reference(*[np.abs(widened(x)) for x in inputs])).max(initial=0)
        if op == "cross":
            terms = 2 * np.prod([np.abs(x).max() for x in inputs], dtype=float)
        tol = f"abs:{4 * 2**-23 * max(terms, 2**-23):.3e}"
    group.case(op, inputs, args or {}, outputs=[made.astype(np.int32) if made.dtype.kind in "ib" else made], tol=tol, grad=grad)


for a, b in [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)),
             ((5, 1, 2, 3), (4, 3, 2)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((2, 0), (0, 3)), ((0, 3), (3, 2)), ((17, 33), (33, 9))]:
    case("matmul", [f(*a), f(*b)], np.matmul, grad=len(a) + len(b) < 7)
case("matmul", [i(3, 4), i(4, 2)], np.matmul, tol="exact")
for a, b in [((), ()), ((), (2, 3)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((2, 3), (4, 3, 5)), ((3,), (4, 3, 5)), ((2, 0), (0, 3))]:
    case("dot", [f(*a), f(*b)], np.dot, grad=True)
case("dot", [i(3), i(3)], np.dot, tol="exact")
for a, b in [((), (2,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((2, 3), (5, 4, 3)), ((2, 0), (3, 0))]:
    case("inner", [f(*a), f(*b)], np.inner, grad=True)
for a, b in [((3,), (4,)), ((2, 2), (3,)), ((), (3,)), ((0,), (3,))]:
    case("outer", [f(*a), f(*b)], np.outer, grad=True)
case("outer", [i(3), i(2)], np.outer, tol="exact")
for a, b in [((3,), (3,)), ((2, 3), (3, 2)), ((), ()), ((0,), (0,))]:
    case("vdot", [f(*a), f(*b)], np.vdot, grad=True)
for a, b, axes in [((2, 3), (4, 5), 0), ((2, 3, 4), (3, 4, 5), 2), ((2, 3, 4), (4, 5), 1), ((2, 3, 4), (3, 2, 5), ([0, 1], [1, 0])),
                   ((2, 3, 4), (4, 3), ([-1, -2], [0, 1])), ((2, 0), (0, 3), 1)]:
    args = {"axes": axes} if isinstance(axes, int) else {"first": axes[0], "second": axes[1]}
    case("tensordot", [f(*a), f(*b)], lambda a, b: np.tensordot(a, b, axes), args, grad=True)
for a, b in [((2, 3), (4, 5)), ((3,), (2,)), ((2, 2), (3,)), ((), (3,)), ((2, 1, 2), (2, 3)), ((0, 2), (2, 2))]:
    case("kron", [f(*a), f(*b)], np.kron, grad=True)
for a, b in [((3,), (3,)), ((5, 3), (3,)), ((2, 5, 3), (5, 3)), ((5, 2), (5, 3)), ((5, 3), (5, 2)), ((1, 3), (4, 3))]:
    case("cross", [f(*a), f(*b)], np.cross, grad=True)
case("cross", [f(4, 2), f(4, 2)], lambda a, b: a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], grad=True)
case("cross", [f(3, 4), f(4, 3)], lambda a, b: np.cross(a, b, 0, 1, 0), {"axisa": 0, "axisb": 1, "axisc": 0}, grad=True)
case("cross", [f(3, 4), f(3, 4)], lambda a, b: np.cross(a, b, axis=0), {"axis": 0})
case("cross", [i(3), i(3)], np.cross, tol="exact")

for subscripts, shapes in [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ba", [(2, 3)]), ("ij->", [(2, 3)]), ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]), ("iij->ij", [(3, 3, 2)]), ("iji->j", [(3, 2, 3)]), ("iii->i", [(3, 3, 3)]), ("i,i", [(4,), (4,)]),
    ("i,j->ij", [(3,), (4,)]), ("i,j", [(3,), (4,)]), ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]), ("bij,bjk->ikb", [(5, 2, 3), (5, 3, 4)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]), ("...ij,...jk", [(4, 1, 2, 3), (5, 3, 2)]), ("...", [(2, 3)]), ("...i->i...", [(2, 3, 4)]),
    ("i...->...", [(2, 3, 4)]), ("...ii->...i", [(2, 3, 3)]), ("i...,i...->...", [(3, 2), (3, 4, 1)]), ("ij,ij->i", [(2, 3), (2, 3)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]), ("ij,ik->jk", [(3, 2), (3, 4)]), ("ijk,jil->kl", [(3, 4, 5), (4, 3, 2)]), ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("ij,jk,ki->", [(2, 3), (3, 4), (4, 2)]), ("i,i,i->i", [(3,), (3,), (3,)]), ("ab,cd,ef->abcdef", [(1, 2), (2, 1), (2, 2)]),
    ("bhid,bhjd->bhij", [(2, 2, 3, 4), (2, 2, 5, 4)]), ("bhij,bhjd->bhid", [(2, 2, 3, 5), (2, 2, 5, 4)]), ("bsd,dhk->bshk", [(2, 3, 4), (4, 2, 3)]),
    ("ij,j", [(2, 3), (3,)]), ("Ab,bC", [(2, 3), (3, 4)]), ("ij,kl->", [(2, 3), (4, 5)]), (" i j , j -> i ", [(2, 3), (3,)]),
    ("ij,jk->ik", [(1, 1), (3, 4)]), ("ij,ij->ij", [(1, 3), (2, 1)]), ("ij,jk->ik", [(2, 0), (0, 3)]), ("i,->i", [(3,), ()]), (",", [(), ()]),
    ("ii,ij->j", [(3, 3), (3, 2)]), ("aab,bc,cc->a", [(2, 2, 3), (3, 4), (4, 4)]), ("ij,kj,lj->ikl", [(2, 3), (4, 3), (5, 3)]),
]:
    operands = [f(*s) for s in shapes]
    case("einsum", operands, lambda *a: np.einsum(subscripts, *a), {"subscripts": subscripts}, grad=True)
case("einsum", [i(2, 3), i(3, 2)], lambda a, b: np.einsum("ij,jk->ik", a, b), {"subscripts": "ij,jk->ik"}, tol="exact")
case("einsum", [i(3, 3), f(3)], lambda a, b: np.einsum("ii,i->i", a, b), {"subscripts": "ii,i->i"})

# einops' own examples, by NumPy.
x = f(2, 4, 6, 3)
for pattern, lengths, reference in [
    ("b h w c -> b c h w", {}, lambda a: a.transpose(0, 3, 1, 2)),
    ("b h w c -> (b h) w c", {}, lambda a: a.reshape(8, 6, 3)),
    ("b h w c -> h (b w) c", {}, lambda a: a.transpose(1, 0, 2, 3).reshape(4, 12, 3)),
    ("b h w c -> b (c h w)", {}, lambda a: a.transpose(0, 3, 1, 2).reshape(2, 72)),
    ("b (h1 h) (w1 w) c -> (b h1 w1) h w c", {"h1": 2, "w1": 2}, lambda a: a.reshape(2, 2, 2, 2, 3, 3).transpose(0, 1, 3, 2, 4, 5).reshape(8, 2, 3, 3)),
    ("b (h h1) (w w1) c -> b h w (c h1 w1)", {"h1": 2, "w1": 2}, lambda a: a.reshape(2, 2, 2, 3, 2, 3).transpose(0, 1, 3, 5, 2, 4).reshape(2, 2, 3, 12)),
    ("b ... c -> c ... b", {}, lambda a: a.transpose(3, 1, 2, 0)),
    ("... (w p) c -> ... w (c p)", {"p": 3}, lambda a: a.reshape(2, 4, 2, 3, 3).swapaxes(-1, -2).reshape(2, 4, 2, 9)),
    ("b h w c -> b 1 h w () c", {}, lambda a: a[:, None, :, :, None]),
    ("a_1 b2 ... -> (b2 a_1) ...", {}, lambda a: a.swapaxes(0, 1).reshape(8, 6, 3)),
]:
    case("rearrange", [x], reference, {"pattern": pattern, "lengths": lengths}, tol="exact", grad=pattern.startswith("b ("))
case("rearrange", [f(0, 3)], lambda a: a.T, {"pattern": "a b -> b a", "lengths": {}}, tol="exact")

# Derivatives.
case("jvp", [f(4), f(4)], lambda x, t: np.cos(x) * t * np.exp(np.sin(x)), tol="ulp:16", grad=True)
case("custom_gradient", [f(4)], lambda x: np.log1p(np.exp(x)), tol="ulp:8", grad=True)
group.write()
