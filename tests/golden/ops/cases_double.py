"""Golden cases in float64 and int64: a few of every other group's, with their inputs widened.

References of the other groups are computed in float64 and rounded; here they are kept. Cases of integers are those of
operations whose results stay integers.
"""
import collections, os

os.environ.update(KERAS_BACKEND="jax", JAX_ENABLE_X64="1")  # the backend that has them all in float64
import numpy as np
import base
from base import FLOATS, HERE, keras, results, widened

FEW, SMALL = 3, 260
WHOLE = set("""absolute add subtract multiply floor_divide mod power sign negative maximum minimum clip square gcd lcm
bitwise_and bitwise_or bitwise_xor bitwise_not left_shift right_shift sum prod max min amax amin cumsum cumprod sort argsort
argmax argmin where take take_along_axis equal less greater_equal dot matmul tensordot einsum inner outer vdot trace diff
count_nonzero roll flip transpose concatenate stack pad tile repeat diagonal tril searchsorted top_k segment_sum segment_max
one_hot fmod relu bincount cross kron vander logical_and isclose divide mean sqrt""".split())
counts = collections.Counter()
group = base.Group("double")


class Doubled(base.Group):
    def case(self, op, inputs, args=None, outputs=None, tol="ulp:4", grad=False):
        args = args or {}
        inputs = [np.asarray(x) for x in inputs]
        if sum(x.size for x in inputs) > SMALL:
            return
        floats, ints = any(x.dtype == np.float32 for x in inputs), all(x.dtype in (np.int32, np.bool_) for x in inputs)
        if floats and not any(x.dtype == np.float16 or str(x.dtype) == "bfloat16" for x in inputs):
            self.doubles(op, [widened(x) for x in inputs], args, outputs, tol)
        elif ints and inputs and op in WHOLE and outputs is None:
            self.wholes(op, [x.astype(np.int64) if x.dtype == np.int32 else x for x in inputs], args)

    def doubles(self, op, inputs, args, outputs, tol):
        if "dtype" in args or counts[op, "f"] >= FEW:
            return
        # Keras takes the other norms in float32.
        if op == "normalize" and args["order"] != 2:
            return
        if outputs is None:
            try:
                outputs = results(getattr(keras.ops, op)(*inputs, **args))
            except Exception as error:
                return print(f"{op}: no form in float64 ({str(error)[:60]})")
        outputs = [np.asarray(y) for y in outputs]
        if any(y.dtype in (np.float32, np.float16) or str(y.dtype) == "bfloat16" for y in outputs):
            return
        counts[op, "f"] += 1
        # What is left of A V = V diag(w) is nearly 0.
        tol = "abs:1e-12" if op == "eig" else tol
        keep(op, inputs, args, outputs, tol if tol == "exact" or op == "eig" else "ulp:1024" if tol.startswith("ulp") else "rel:1e-12")

    def wholes(self, op, inputs, args):
        if "dtype" in args or counts[op, "i"] >= FEW:
            return
        outputs = results(getattr(keras.ops, op)(*inputs, **args))
        counts[op, "i"] += 1
        keep(op, inputs, args, outputs, "ulp:4")

    def write(self):
        pass


def keep(op, inputs, args, outputs, tol):
    number = len(group.cases)
    names = lambda kind, arrays: [f"{number}.{kind}{i}" for i in range(len(arrays))]
    for kind, arrays in (("x", inputs), ("y", outputs)):
        for name, array in zip(names(kind, arrays), arrays):
            group.tensors[name] = np.array(array, order="C")
    group.cases.append({"op": op, "args": args, "inputs": names("x", inputs), "outputs": names("y", outputs), "tol": tol,
                        "grad": False})


# The elementwise group rounds its references itself, to the types that Keras' JAX backend gives.
UNROUNDED = {
    'os.environ["KERAS_BACKEND"] = "jax"\n': "",
    "    inputs = [jax.ShapeDtypeStruct((2,), kind) for kind in kinds]": "    return np.dtype(float)",
    "    kind = dtype_of(op, *inputs, **args)\n": "",
    '[value.astype(np.float32).astype(kind) if kind.kind == "f" else value.astype(kind)]': "[value]",
}
Group, base.Group = base.Group, Doubled
for path in sorted(HERE.glob("cases_*.py")):
    if path.name not in ("cases_double.py", "cases_dtypes.py"):
        text = path.read_text()
        if path.name == "cases_elementwise.py":
            for old, new in UNROUNDED.items():
                assert old in text, old
                text = text.replace(old, new)
        exec(compile(text, str(path), "exec"), {"__name__": "cases"})
base.Group = Group

# Beyond what a double holds exactly.
big = np.array([2**53 + 1, -(2**53) - 3, 2**62 - 7, -(2**62) + 5, 2**40, -1, 0, 2**31], np.int64)
other = np.array([3, 2**33 + 1, -(2**31), 7, 2**53 + 1, 2**62, 5, -(2**31)], np.int64)
for op in "add subtract multiply floor_divide mod maximum minimum bitwise_and bitwise_or bitwise_xor".split():
    keep(op, [big, other], {}, [getattr(np, op)(big, other)], "exact")
for op in "equal not_equal less less_equal greater greater_equal".split():
    keep(op, [big, big + np.array([0, 1, -1, 0, 1, -1, 0, 1])], {}, [getattr(np, op)(big, big + np.array([0, 1, -1, 0, 1, -1, 0, 1]))], "exact")
for op in "sum prod max min cumsum cumprod sort".split():
    keep(op, [big], {}, [getattr(np, op)(big)], "exact")
keep("argsort", [big], {}, [np.argsort(big).astype(np.int32)], "exact")
keep("gcd", [big[:7], other[:7]], {}, [np.gcd(big[:7], other[:7])], "exact")
keep("matmul", [big.reshape(2, 4), other.reshape(4, 2)], {}, [big.reshape(2, 4) @ other.reshape(4, 2)], "exact")
group.write()
