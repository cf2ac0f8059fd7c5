"""keras.ops.core: casts and the like."""
import numpy as np
from base import Group

group = Group("core")
SPECIAL = np.array([0.0, -0.0, 1.5, -1.5, 2.5, 254.7, 1e-40, 3e38, np.inf, -np.inf], np.float32)
WHOLE = np.array([0, 1, 7, 200, 255], np.int32)
for dtype in ["float16", "bfloat16", "bool", "float32"]:
    outputs = None
    if dtype == "bfloat16":
        continue  # NumPy has no such type
    group.case("cast", [SPECIAL], {"dtype": dtype}, tol="exact")
for source in ["int32", "uint32", "uint8", "bool", "float32"]:
    for target in ["int32", "uint32", "uint8", "bool", "float32", "float16"]:
        group.case("cast", [WHOLE.astype(source)], {"dtype": target}, tol="exact")
group.case("cast", [np.zeros((0, 3), np.float32)], {"dtype": "int32"}, tol="exact")
group.case("stop_gradient", [SPECIAL], tol="exact")

# Limited to what both types hold, as Keras has it: infinities too, NaN not.
EDGES = {
    "float32": SPECIAL.tolist() + [-300.0, 300.0, 70000.0, -70000.0, 3e9, 5e9, -5e9, 0.4],
    "float16": [0.0, 1.5, -1.5, 300.0, -300.0, 65504.0, np.inf, -np.inf, 0.4],
    "int32": [0, 1, -1, 255, 256, 70000, -70000, 2147483647, -2147483648],
    "uint32": [0, 1, 255, 256, 70000, 2147483647, 2147483648, 4294967295],
    "uint8": [0, 1, 200, 255],
    "bool": [False, True],
}
LIMITS = {k: (np.iinfo(k).min, np.iinfo(k).max) for k in ["int32", "uint32", "uint8"]}
LIMITS |= {k: (float(np.finfo(k).min), float(np.finfo(k).max)) for k in ["float16", "float32"]} | {"bool": (0, 1)}
for source, values in EDGES.items():
    x = np.array(values, source)
    for target in EDGES:
        low, high = max(LIMITS[source][0], LIMITS[target][0]), min(LIMITS[source][1], LIMITS[target][1])
        limited = np.clip(x.astype(np.float64), low, high)
        # 3e38 lies between the largest float16 and the largest float32.
        group.case("saturate_cast", [x], {"dtype": target}, [limited.astype(target)], "exact")
group.case("saturate_cast", [np.array([np.nan, 1.0], np.float32)], {"dtype": "float16"}, [np.array([np.nan, 1.0], np.float16)], "exact")
group.case("saturate_cast", [np.zeros((0, 3), np.float32)], {"dtype": "uint8"}, [np.zeros((0, 3), np.uint8)], "exact")
group.case("saturate_cast", [np.array([[0.5, -3.0]], np.float32)], {"dtype": "float32"}, [np.array([[0.5, -3.0]], np.float32)], "exact", grad=True)

# The type in which every two types meet: zeros of it.
import keras  # noqa: E402

KINDS = ["float32", "float16", "bfloat16", "int32", "uint32", "uint8", "bool"]
# Kiln has no int64, in which TensorFlow lets int32 and uint32 meet; as in JAX by default it is int32.
meet = lambda a, b: KINDS.index(keras.backend.result_type(a, b).replace("int64", "int32"))
meetings = [[meet(a, b) for b in KINDS] for a in KINDS]
group.case("result_type", [], {"kinds": KINDS}, [np.array(meetings, np.int32)], "exact")
group.write()
