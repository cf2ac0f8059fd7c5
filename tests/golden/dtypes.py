"""The types in which tensors meet, as Keras has it: `dtypes.json`, {"a": {"b": type}}.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0
    python dtypes.py
"""
import json, os, pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"  # others narrow 64 bits unless they are told not to
from keras.src.backend.common.dtypes import result_type

KINDS = ["bool", "uint8", "uint32", "int32", "int64", "bfloat16", "float16", "float32", "float64"]
table = {a: {b: result_type(a, b) for b in KINDS} for a in KINDS}
# Weak numbers of Python's.
weak = {a: {"int": result_type(a, int), "float": result_type(a, float)} for a in KINDS}
path = pathlib.Path(__file__).parent / "dtypes.json"
path.write_text(json.dumps({"pairs": table, "weak": weak}, indent=1) + "\n")
