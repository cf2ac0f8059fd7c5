#!/usr/bin/env python3
"""Writes the golden files of this folder: what Keras (TensorFlow, CPU, float32) computes, case by case.

usage: python make_golden.py [SECTION ...]     sections: layers losses metrics training
Each section becomes SECTION.safetensors (arrays) and SECTION.json (cases that name them); see README.md.
The cases stand in cases.py. Every case draws from a generator seeded by its id, so adding a case changes no other.
"""
import json, os, pathlib, sys, zlib

os.environ.update(KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="")
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import keras, numpy as np, tensorflow as tf
from safetensors.numpy import save

from cases import BATCHES, LAYERS, LOSSES, METRICS, MODELS, OPTIMIZERS, STEPS, TRAINING_BATCHES, TRAINING_RUNS

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
HERE = pathlib.Path(__file__).parent

CONFIG_KEYS = """activation amsgrad axis beta_1 beta_2 center centered clipnorm clipvalue dilation_rate epsilon filters
from_logits global_clipnorm groups ignore_class input_dim k kernel_size label_smoothing learning_rate mask_zero momentum
nesterov output_dim padding pool_size rate reduction rho scale strides target_shape threshold units use_bias
weight_decay""".split()


def random(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def config_of(thing):
    """The part of get_config that decides the numbers; keys whose value is None are left out."""
    config = thing.get_config()
    return {key: config[key] for key in CONFIG_KEYS if config.get(key) is not None}


def set_random_weights(thing, generator):
    """Normal(0, 0.3) for every weight; moving variances are made positive."""
    for variable in thing.weights:
        value = 0.3 * generator.standard_normal(variable.shape)
        variable.assign(np.abs(value) + 0.5 if variable.name == "moving_variance" else value)


class Section:
    """Collects the tensors and cases of one pair of files."""

    def __init__(self):
        self.tensors, self.cases = {}, []

    def put(self, owner, key, value):
        value = np.asarray(value)
        kind = np.int32 if value.dtype.kind in "iub" else np.float32
        name = f"{owner}/{key}"
        assert name not in self.tensors, name
        self.tensors[name] = np.array(value, dtype=kind, order="C")
        return name

    def put_all(self, owner, key, values):
        return [self.put(owner, f"{key}{index}", value) for index, value in enumerate(values)]

    def write(self, name):
        assert len({case["id"] for case in self.cases}) == len(self.cases)
        (HERE / f"{name}.safetensors").write_bytes(save(self.tensors))
        lines = ",\n".join(json.dumps(case) for case in self.cases)
        (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")
        print(f"{name}: {len(self.cases)} cases, {len(self.tensors)} tensors")


# ------------------------------------------------------------------------------------------------------------- layers


def layer_input(shape, values, generator):
    if values == "tokens":
        return generator.integers(0, 7, shape).astype(np.int32)
    if values == "ties":  # few distinct values, so that windows hold their maximum more than once
        return generator.integers(-2, 3, shape).astype(np.float32) / 2
    if values == "wide":  # the last row reaches far into both tails
        x = 2 * generator.standard_normal(shape)
        x[-1] = np.linspace(-20, 20, shape[-1])
        return x.astype(np.float32)
    return generator.standard_normal(shape).astype(np.float32)


def make_layers(section):
    for name, (class_name, shape, arguments, *options) in LAYERS.items():
        options = options[0] if options else {}
        generator, training = random(name), options.get("training", False)
        layer = getattr(keras.layers, class_name)(**arguments)
        layer.build(shape)
        set_random_weights(layer, generator)
        x = layer_input(shape, options.get("values"), generator)
        case = {"id": name, "class": class_name, "config": config_of(layer), "training": training}
        case["inputs"] = section.put_all(name, "x", [x])
        case["weights"] = section.put_all(name, "w", [w.numpy() for w in layer.weights])

        source = tf.constant(x)
        watched = [source] if source.dtype.is_floating else []
        with tf.GradientTape() as tape:
            tape.watch(watched)
            y = layer(source, training=training)
            cotangent = generator.standard_normal(y.shape).astype(np.float32)
            total = tf.reduce_sum(y * cotangent)
        trainable = [w.value for w in layer.trainable_weights]
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(total, watched + trainable)]

        case["outputs"] = section.put_all(name, "y", [y])
        case["cotangents"] = section.put_all(name, "c", [cotangent])
        case["input_gradients"] = section.put_all(name, "g_x", gradients[: len(watched)])
        case["weight_gradients"] = section.put_all(name, "g_w", gradients[len(watched) :])
        if training and layer.weights:
            case["weights_after"] = section.put_all(name, "w_after", [w.numpy() for w in layer.weights])
        section.cases.append(case)


# ------------------------------------------------------------------------------------------------------------- losses


def loss_data(class_name, shape, generator, from_logits=False, column=False):
    """y_true and y_pred; probabilities hold exact zeros, ones and a row that does not sum to one."""
    y_pred = generator.standard_normal(shape)
    if class_name.startswith("Mean"):
        y_true = generator.standard_normal(shape).astype(np.float32)
        y_pred.flat[:2] = y_true.flat[:2]  # an error of exactly zero
        return y_true, y_pred.astype(np.float32)
    if class_name.startswith("Binary"):
        y_true = generator.integers(0, 2, shape).astype(np.float32)
        if not from_logits:
            y_pred = 1 / (1 + np.exp(-y_pred))
            y_pred.flat[:4], y_true.flat[:4] = [0, 0, 1, 1], [0, 1, 0, 1]
        return y_true[:, 0] if column else y_true, y_pred.astype(np.float32)
    labels = generator.integers(0, shape[-1], shape[:-1]).astype(np.int32)
    if not from_logits:
        y_pred = np.exp(y_pred) / np.exp(y_pred).sum(-1, keepdims=True)
        rows = y_pred.reshape(-1, shape[-1])
        rows[0], rows[1] = np.eye(shape[-1])[:2]  # certain: the first right, the second wrong
        labels.flat[:2] = [0, 0]
        rows[2] *= 1.5
        rows[3, 0], rows[3, 1] = rows[3, 0] + rows[3, 1], 0
    y_true = labels if class_name.startswith("Sparse") else np.eye(shape[-1], dtype=np.float32)[labels]
    return y_true[:, None] if column else y_true, y_pred.astype(np.float32)


def make_losses(section):
    for name, (class_name, arguments, shape, options) in LOSSES.items():
        generator = random(name)
        loss = getattr(keras.losses, class_name)(**arguments)
        y_true, y_pred = loss_data(
            class_name, shape, generator, arguments.get("from_logits", False), options.get("column", False))
        case = {"id": name, "class": class_name, "config": config_of(loss)}
        case["inputs"] = [section.put(name, "y_true", y_true), section.put(name, "y_pred", y_pred)]
        weight = None
        if options.get("weighted"):
            weight = generator.uniform(0, 2, shape[:-1]).astype(np.float32)
            weight.flat[-1] = 0
            case["sample_weight"] = section.put(name, "sample_weight", weight)
        source = tf.constant(y_pred)
        with tf.GradientTape() as tape:
            tape.watch(source)
            out = loss(y_true, source, sample_weight=weight)
            total = tf.reduce_sum(out)
        case["outputs"] = [section.put(name, "out", out)]
        case["input_gradients"] = [section.put(name, "grad", tape.gradient(total, source))]
        section.cases.append(case)


# ------------------------------------------------------------------------------------------------------------ metrics


def metric_data(kind, shape, arguments, generator):
    """The positional arguments of update_state for all batches together: y_true and y_pred, or the values."""
    kind, *ties = kind.split()
    count = sum(BATCHES)
    if kind == "values":
        return [generator.standard_normal((count, *shape))]
    if kind == "real":
        return [generator.standard_normal((count, *shape)) for _ in range(2)]
    if not shape:  # Accuracy compares labels with labels
        return [generator.integers(0, 3, count) for _ in range(2)]
    y_pred = generator.standard_normal((count, *shape))
    if ties:
        y_pred = generator.integers(0, 3, y_pred.shape) / 2
    elif kind == "binary" and not arguments.get("from_logits"):
        y_pred = 1 / (1 + np.exp(-y_pred))
    elif not arguments.get("from_logits"):
        y_pred = np.exp(y_pred) / np.exp(y_pred).sum(-1, keepdims=True)
    if kind == "binary":
        return [generator.integers(0, 2, y_pred.shape).astype(np.float32), y_pred]
    labels = generator.integers(0, shape[-1], count)
    return [np.eye(shape[-1])[labels] if kind == "one_hot" else labels, y_pred]


def make_metrics(section):
    for stem, (class_name, arguments, shape, kind) in METRICS.items():
        for weighted in (False, True):
            name = stem + ("_weighted" if weighted else "")
            generator = random(name)
            metric = getattr(keras.metrics, class_name)(**arguments)
            data = metric_data(kind, shape, arguments, generator)
            keys = ["values"] if kind == "values" else ["y_true", "y_pred"]
            case = {"id": name, "class": class_name, "config": config_of(metric), "batches": list(BATCHES)}
            case["inputs"] = [section.put(name, key, value) for key, value in zip(keys, data)]
            weight = None
            if weighted:
                weight = generator.uniform(0, 2, sum(BATCHES)).astype(np.float32)
                case["sample_weight"] = section.put(name, "sample_weight", weight)
            results, start = [], 0
            for size in BATCHES:
                part = slice(start, start + size)
                arrays = [section.tensors[key][part] for key in case["inputs"]]
                metric.update_state(*arrays, sample_weight=None if weight is None else weight[part])
                results.append(float(metric.result()))
                start += size
            case["outputs"] = [section.put(name, "out", np.array(results))]
            section.cases.append(case)


# ----------------------------------------------------------------------------------------------------------- training


def build_model(model_name):
    shape, _, layers = MODELS[model_name]
    model = keras.Sequential([keras.Input(shape)] + [getattr(keras.layers, c)(**arguments) for c, arguments in layers])
    set_random_weights(model, random(model_name))
    return model


def make_training(section):
    shared = {}  # the data and initial weights of a model are stored once, under the model's name
    for model_name, (shape, _, _) in MODELS.items():
        generator = random(f"{model_name} data")
        inputs = [generator.standard_normal((size, *shape)) for size in TRAINING_BATCHES]
        targets = [generator.integers(0, 5, size) for size in TRAINING_BATCHES]
        shared[model_name] = {
            "inputs": section.put_all(model_name, "b_x", inputs),
            "targets": section.put_all(model_name, "b_y", targets),
            "weights": section.put_all(model_name, "w", build_model(model_name).get_weights()),
        }
    for model_name, optimizer_name in TRAINING_RUNS:
        shape, from_logits, _ = MODELS[model_name]
        name, keys = f"{model_name}_{optimizer_name}", shared[model_name]
        class_name, arguments = OPTIMIZERS[optimizer_name]
        model, optimizer = build_model(model_name), getattr(keras.optimizers, class_name)(**arguments)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        model.compile(optimizer, loss, run_eagerly=True, jit_compile=False)
        losses = []
        for step in range(STEPS):
            index = step % len(TRAINING_BATCHES)
            model.reset_metrics()  # train_on_batch reports the mean since the last reset
            x, y = section.tensors[keys["inputs"][index]], section.tensors[keys["targets"][index]]
            losses.append(model.train_on_batch(x, y))
        section.cases.append({
            "id": name,
            "input_shape": list(shape),
            "layers": [{"class": type(layer).__name__, "config": config_of(layer)} for layer in model.layers],
            "loss": {"class": type(loss).__name__, "config": config_of(loss)},
            "optimizer": {"class": class_name, "config": config_of(optimizer)},
            "steps": STEPS,
            **keys,
            "losses": section.put(name, "losses", np.array(losses)),
            "weights_after": section.put_all(name, "w_after", model.get_weights()),
            "outputs": section.put_all(name, "y", [model(section.tensors[keys["inputs"][0]], training=False)]),
        })


SECTIONS = {"layers": make_layers, "losses": make_losses, "metrics": make_metrics, "training": make_training}

if __name__ == "__main__":
    for section_name in sys.argv[1:] or SECTIONS:
        current = Section()
        SECTIONS[section_name](current)
        current.write(section_name)
