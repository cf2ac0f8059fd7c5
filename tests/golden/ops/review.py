"""Compares the ends of bad calls with Keras (JAX): where Kiln gives a result and Keras an error, the other way round, and
where both give results that differ.

    KILN_DUMP=/tmp/bad.jsonl cargo test -p kiln-graph --test conformance bad_calls
    python review.py /tmp/bad.jsonl
"""
import collections, json, os, sys, warnings

os.environ["KERAS_BACKEND"] = "jax"
import jax, keras, ml_dtypes, numpy as np

warnings.filterwarnings("ignore")
np.seterr(all="ignore")
PLACES = (keras.ops, keras.ops.nn, keras.ops.image, keras.ops.linalg, keras.ops.numpy)


def operation(name):
    return next((getattr(place, name) for place in PLACES if hasattr(place, name)), None)


def array(form):
    kind = ml_dtypes.bfloat16 if form["dtype"] == "bfloat16" else form["dtype"]
    return np.array([float(v) for v in form["values"]]).reshape(form["shape"]).astype(kind)


def flat(outputs):
    if isinstance(outputs, (list, tuple)):
        return [a for output in outputs for a in flat(output)]
    return [np.asarray(outputs)]


def said(call):
    if any(x["values"] is None for x in call["inputs"]) or any(abs(n) > 1e6 for n in numbers(call["args"])):
        return "huge", None
    run = operation(call["op"])
    if run is None:
        return "unknown", None
    try:
        return "result", flat(run(*[jax.numpy.asarray(array(x)) for x in call["inputs"]], **call["args"]))
    except Exception as error:
        return "error", f"{type(error).__name__}: {str(error)[:160]}"


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def differs(ours, theirs):
    if len(ours) != len(theirs):
        return f"{len(ours)} outputs, Keras {len(theirs)}"
    for a, b in zip(ours, theirs):
        if tuple(a["shape"]) != b.shape:
            return f"shape {a['shape']}, Keras {list(b.shape)}"
        if a["dtype"] != str(b.dtype):
            return f"{a['dtype']}, Keras {b.dtype}"
        if a["values"] is not None:
            x, y = array(a).astype(np.float64), b.astype(np.float64)
            if not np.allclose(x, y, 2e-2 if "16" in a["dtype"] else 1e-4, 1e-4, equal_nan=True):
                return f"values {x.ravel()[:6]}, Keras {y.ravel()[:6]}"


groups = collections.defaultdict(lambda: collections.defaultdict(list))
totals = collections.Counter()
for line in open(sys.argv[1]):
    call = json.loads(line)
    end, kind, theirs = call["end"], *said(call)
    ours = next(iter(end))
    verdict = f"{ours}/{kind}"
    note = ""
    if ours == "accepted" and kind == "error":
        note = f"{[o['shape'] for o in end['accepted']]} {theirs}"
    elif ours == "refused" and kind == "result":
        note = end["refused"][:200]
    elif ours == "accepted" and kind == "result":
        note = differs(end["accepted"], theirs) or ""
        verdict = "differs" if note else "same"
    totals[verdict] += 1
    if note:
        groups[verdict][call["op"]].append(f"{call['what']} of {[x['shape'] for x in call['inputs']]} {[x['dtype'] for x in call['inputs']]} {json.dumps(call['args'])[:120]}: {note}")
print(dict(totals))
for verdict, ops in groups.items():
    print(f"\n== {verdict}")
    for op, notes in ops.items():
        print(f"{op} ({len(notes)})")
        for note in notes[: int(sys.argv[2]) if len(sys.argv) > 2 else 4]:
            print("   ", note)
