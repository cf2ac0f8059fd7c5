"""What the case files of this folder share: collecting cases, computing references, writing a group's file.

A group is `GROUP.safetensors.gz`: the tensors of its cases, and in the metadata, under `cases`, a JSON list of
    {"op", "args", "inputs": [names], "outputs": [names], "tol", "grad"}
`tol` is "exact", "ulp:N" (N units in the last place of the reference, or 2e-7), "rel:R" (R times the largest finite
|reference| of that output) or "abs:A". `grad` asks for gradients against differences too.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 jax numpy scipy safetensors
    python cases_GROUP.py

Runs are deterministic: the same versions give the same bytes.
"""
import gzip, json, os, pathlib

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.update(CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import keras, numpy as np
from safetensors.numpy import save

HERE = pathlib.Path(__file__).parent
FLOATS = (np.float16, np.float32, np.float64)


def widened(value):
    """float32 arrays as float64, for a reference that does not round on its way."""
    value = np.asarray(value)
    return value.astype(np.float64) if value.dtype in (np.float16, np.float32) else value


def results(outputs):
    """What an operation returned, as a flat list of arrays."""
    if isinstance(outputs, (list, tuple)):
        return [array for output in outputs for array in results(output)]
    return [keras.ops.convert_to_numpy(outputs)]


class Group:
    """The cases of one file."""

    def __init__(self, name):
        self.name, self.cases, self.tensors = name, [], {}

    def case(self, op, inputs, args=None, outputs=None, tol="ulp:4", grad=False):
        """Adds a case; without `outputs` they are `keras.ops.OP(*inputs, **args)`, computed in float64 and stored in the
        dtype that Keras gives for these inputs. An operation without a float64 form is computed as it is."""
        args = args or {}
        inputs = [np.asarray(x) for x in inputs]
        if outputs is None:
            call = getattr(keras.ops, op)
            given = results(call(*inputs, **args))
            try:
                exact = results(call(*[widened(x) for x in inputs], **args))
            except Exception as error:
                print(f"{self.name}: {op} in its own dtype ({str(error)[:60]})")
                exact = given
            outputs = [e.astype(g.dtype) for e, g in zip(exact, given)]
        number = len(self.cases)
        put = lambda kind, arrays: [self.put(f"{number}.{kind}{i}", a) for i, a in enumerate(arrays)]
        self.cases.append({
            "op": op, "args": args, "inputs": put("x", inputs), "outputs": put("y", outputs), "tol": tol, "grad": grad,
        })

    def put(self, name, array):
        array = np.asarray(array)
        kinds = {"float64": np.float32, "int64": np.int32, "uint64": np.uint32, "int16": np.int32, "int8": np.int32}
        array = array.astype(kinds.get(str(array.dtype), array.dtype))
        self.tensors[name] = np.array(array, order="C")
        return name

    def write(self):
        data = save(self.tensors, {"cases": json.dumps(self.cases)})
        path = HERE / f"{self.name}.safetensors.gz"
        with open(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            packed.write(data)
        print(f"{self.name}: {len(self.cases)} cases of {len({c['op'] for c in self.cases})} operations, "
              f"{path.stat().st_size / 1024:.0f} KiB")
