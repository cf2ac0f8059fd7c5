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
group.write()
