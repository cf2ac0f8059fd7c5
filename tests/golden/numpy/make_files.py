"""Small .npy and .npz files written by NumPy, and what they hold.

    python make_files.py

`files.json` says for each file which type Kiln reads it as, its shape and its elements in row-major order; or, for those it
must refuse, what its message says. Non-finite numbers are strings.
"""

import io
import json
import os
import struct

import ml_dtypes
import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))
READ_AS = {"f2": "float16", "f4": "float32", "f8": "float64", "u1": "uint8", "b1": "bool"}
READ_AS |= {f"i{n}": "int32" for n in (1, 2, 4)} | {f"u{n}": "uint32" for n in (2, 4)} | {"i8": "int64", "u8": "int64"}
files, refused = [], []


def elements(x, dtype):
    if dtype.startswith("float"):
        return [float(v) if np.isfinite(v) else str(v) for v in x.astype(dtype).reshape(-1)]
    return [int(v) for v in x.reshape(-1)]


def keep(name, x, canonical=False):
    np.save(name, x)
    dtype = READ_AS[f"{x.dtype.kind}{x.dtype.itemsize}"]
    files.append({"file": name, "dtype": dtype, "shape": list(x.shape), "data": elements(x, dtype), "canonical": canonical})


def refuse(name, says, content):
    if isinstance(content, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, content, allow_pickle=True)
        content = buffer.getvalue()
    with open(name, "wb") as file:
        file.write(content)
    refused.append({"file": name, "says": says})


numbers = np.array([[0, 1, 2], [100, 3, 7]])
for code in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
    for order in "<>":
        if code[1] == "1" and order == ">":
            continue
        x = numbers.astype(order + code)
        if code[0] != "u":
            x = -x
        native = code in ("f2", "f4", "f8", "i4", "i8", "u1", "u4") and order == "<"
        keep(f"{code}_{'little' if order == '<' else 'big'}.npy", x, canonical=native)
keep("bool.npy", numbers > 1, canonical=True)
keep("extremes_i8.npy", np.array([-(2**63), 2**63 - 1], "i8"))
keep("extremes_u8.npy", np.array([0, 2**63 - 1], "u8"))
keep("special_f8.npy", np.array([np.nan, np.inf, -np.inf, -0.0, 1e-300, 0.1, 3.4028234e38], "f8"))
keep("scalar.npy", np.array(2.5, "f4"), canonical=True)
keep("empty.npy", np.zeros((0, 3), "f4"), canonical=True)
keep("vector.npy", np.arange(5, dtype="i4"), canonical=True)
keep("fortran.npy", np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4)))
keep("fortran_big.npy", np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)))
keep("fortran_empty.npy", np.asfortranarray(np.zeros((2, 0, 3), "f4")))
for version in [(2, 0), (3, 0)]:
    name = f"version_{version[0]}.npy"
    x = np.arange(3, dtype="f4")
    with open(name, "wb") as file:
        np.lib.format.write_array(file, x, version=version)
    files.append({"file": name, "dtype": "float32", "shape": [3], "data": [0, 1, 2], "canonical": False})

refuse("beyond_u8.npy", "9223372036854775808 is beyond int64", np.array([2**63], "u8"))
refuse("bfloat16.npy", "save bfloat16 as float32", np.array([1, -2.5], ml_dtypes.bfloat16))
refuse("objects.npy", "pickled objects", np.array([{}], object))
refuse("strings.npy", "strings", np.array(["a", "b"]))
refuse("complex.npy", "complex", np.array([1j]))
refuse("records.npy", "records", np.zeros(2, [("a", "f4"), ("b", "i4")]))
refuse("times.npy", "times", np.array(["2020-01-01"], "M8[D]"))


def forged(text, version=(1, 0), data=b"", length=None):
    text = text.encode()
    length = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", length) + text + data


refuse("forged_long_header.npy", "ends within its header", forged("{", (3, 0), length=0xFFFFFFF0))
refuse("forged_huge_shape.npy", "number of elements", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }"))
refuse("forged_large_shape.npy", "expected 400000000000 bytes", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000,), }"))
refuse("forged_overflow.npy", "number of elements", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 3), }"))
refuse("forged_zero_overflow.npy", "number of elements", forged("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 18446744073709551615, 3), }"))
refuse("forged_digits.npy", "expected a dimension", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,), }"))
refuse("forged_negative.npy", "expected a dimension", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"))
refuse("forged_dimensions.npy", "at most 64 dimensions", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 65 + "), }", data=b"\0" * 4))
refuse("forged_size.npy", "no type here holds", forged("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", data=b"\0" * 3))
refuse("forged_code.npy", "expected a type such as", forged("{'descr': '<f4f', 'fortran_order': False, 'shape': (1,), }", data=b"\0" * 4))
refuse("forged_twice.npy", "twice", forged("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (), }", data=b"\0" * 4))
refuse("forged_missing.npy", "no entry `shape`", forged("{'descr': '<f4', 'fortran_order': False, }"))
refuse("forged_entry.npy", "unknown entry", forged("{'evil': '<f4', }"))
refuse("forged_after.npy", "the end of the header", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (), } + x", data=b"\0" * 4))
refuse("forged_version.npy", "version 1, 2 or 3", forged("{}", (1, 0))[:6] + b"\x09\x00")
refuse("short_data.npy", "found 7", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", data=b"\0" * 7))
refuse("more_data.npy", "found 9", forged("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", data=b"\0" * 9))
refuse("not_npy.npy", "is no .npy file", b"PK\x03\x04")
refuse("no_bytes.npy", "is no .npy file", b"")

arrays = {"x": np.arange(6, dtype="f4").reshape(2, 3), "layer/y": np.array([1, 2], "i8")}
np.savez("stored.npz", **arrays)
np.savez_compressed("compressed.npz", **arrays)
# Every number type, long enough to be compressed.
TYPES = ["bool"] + [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)] + ["float16", "float32", "float64"]
np.savez_compressed("types.npz", **{name: (np.arange(600) % 2).reshape(20, 30).astype(name) for name in TYPES})
with open("files.json", "w") as file:
    lines = ",\n".join("  " + json.dumps(f) for f in files)
    bad = ",\n".join("  " + json.dumps(f) for f in refused)
    file.write(f'{{"numpy": "{np.__version__}", "files": [\n{lines}\n], "refused": [\n{bad}\n]}}\n')
