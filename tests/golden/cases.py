"""The cases of the golden files, one table a section; make_golden.py runs them through Keras."""

import re

# ------------------------------------------------------------------------------------------------------------- layers
# id: (class, input shape, constructor arguments, how to draw the input and call the layer)

TIES = {"values": "ties"}
TRAINING = {"training": True}
IMAGE, ODD, GROUPED = (2, 8, 8, 3), (2, 7, 9, 3), (2, 6, 6, 4)

LAYERS = {
    "dense": ("Dense", (4, 5), dict(units=3)),
    "dense_no_bias": ("Dense", (4, 5), dict(units=3, use_bias=False)),
    "dense_rank3": ("Dense", (2, 3, 5), dict(units=4, activation="tanh")),
    "dense_one_unit": ("Dense", (7, 6), dict(units=1, activation="sigmoid")),
    "conv2d_valid": ("Conv2D", IMAGE, dict(filters=4, kernel_size=3)),
    "conv2d_same": ("Conv2D", IMAGE, dict(filters=4, kernel_size=3, padding="same")),
    "conv2d_relu": ("Conv2D", IMAGE, dict(filters=4, kernel_size=3, activation="relu")),
    "conv2d_no_bias": ("Conv2D", IMAGE, dict(filters=4, kernel_size=3, use_bias=False)),
    "conv2d_strided_valid": ("Conv2D", IMAGE, dict(filters=4, kernel_size=3, strides=2)),
    "conv2d_strided_same": ("Conv2D", IMAGE, dict(filters=4, kernel_size=3, strides=2, padding="same")),
    "conv2d_odd_strided_valid": ("Conv2D", ODD, dict(filters=4, kernel_size=3, strides=2)),
    "conv2d_odd_strided_same": ("Conv2D", ODD, dict(filters=4, kernel_size=3, strides=2, padding="same")),
    "conv2d_even_kernel_same": ("Conv2D", ODD, dict(filters=2, kernel_size=(2, 4), padding="same")),
    "conv2d_strides_differ": ("Conv2D", ODD, dict(filters=2, kernel_size=(3, 2), strides=(1, 2))),
    "conv2d_dilated_valid": ("Conv2D", ODD, dict(filters=4, kernel_size=3, dilation_rate=2)),
    "conv2d_dilated_same": ("Conv2D", ODD, dict(filters=4, kernel_size=3, dilation_rate=2, padding="same")),
    "conv2d_groups": ("Conv2D", GROUPED, dict(filters=6, kernel_size=3, groups=2)),
    "conv2d_groups_same": ("Conv2D", GROUPED, dict(filters=4, kernel_size=3, groups=2, padding="same", strides=2)),
    "conv2d_1x1": ("Conv2D", IMAGE, dict(filters=5, kernel_size=1)),
    "conv2d_1x1_strided": ("Conv2D", ODD, dict(filters=5, kernel_size=1, strides=2, padding="same")),
    "conv2d_5x5": ("Conv2D", IMAGE, dict(filters=2, kernel_size=5)),
    "conv2d_5x5_same": ("Conv2D", ODD, dict(filters=2, kernel_size=5, padding="same", activation="relu")),
    "flatten": ("Flatten", (2, 3, 4, 2), {}),
    "flatten_rank2": ("Flatten", (3, 4), {}),
    "reshape": ("Reshape", (2, 12), dict(target_shape=[3, 4])),
    "reshape_infer": ("Reshape", (2, 3, 8), dict(target_shape=[4, -1])),
    "dropout_inference": ("Dropout", (3, 5), dict(rate=0.5)),
    "dropout_rate_zero_training": ("Dropout", (3, 5), dict(rate=0.0), TRAINING),
    "batch_normalization": ("BatchNormalization", (6, 4), {}),
    "batch_normalization_image": ("BatchNormalization", (2, 3, 3, 4), dict(epsilon=1e-4)),
    "batch_normalization_training": ("BatchNormalization", (6, 4), {}, TRAINING),
    "batch_normalization_image_training": ("BatchNormalization", (2, 3, 3, 4), dict(momentum=0.8), TRAINING),
    "batch_normalization_no_scale": ("BatchNormalization", (6, 4), dict(scale=False), TRAINING),
    "batch_normalization_no_center": ("BatchNormalization", (2, 3, 3, 4), dict(center=False), TRAINING),
    "batch_normalization_plain": ("BatchNormalization", (6, 4), dict(scale=False, center=False)),
    "batch_normalization_axis1_training": ("BatchNormalization", (2, 3, 4, 4), dict(axis=1), TRAINING),
    "layer_normalization": ("LayerNormalization", (4, 6), {}),
    "layer_normalization_rank3": ("LayerNormalization", (2, 3, 6), dict(epsilon=1e-5)),
    "layer_normalization_axes": ("LayerNormalization", (3, 4, 5), dict(axis=[1, 2])),
    "layer_normalization_no_scale": ("LayerNormalization", (4, 6), dict(scale=False)),
    "layer_normalization_no_center": ("LayerNormalization", (4, 6), dict(center=False)),
    "activation_relu_at_zero": ("Activation", (3, 4), dict(activation="relu"), TIES),
    "embedding": ("Embedding", (3, 4), dict(input_dim=7, output_dim=5), {"values": "tokens"}),
}
for name in "relu softmax tanh gelu sigmoid elu selu silu softplus".split():
    LAYERS[f"dense_{name}"] = ("Dense", (4, 5), dict(units=3, activation=name))
for kind in ("Max", "Average"):
    for name, shape, options in (
        ("2x2", (2, 6, 6, 3), dict(pool_size=2)),
        ("2x2_odd", (2, 7, 5, 3), dict(pool_size=2)),
        ("2x2_odd_same", (2, 7, 5, 3), dict(pool_size=2, padding="same")),
        ("3x3_stride2", (2, 7, 9, 2), dict(pool_size=3, strides=2)),
        ("3x3_stride2_same", (2, 7, 9, 2), dict(pool_size=3, strides=2, padding="same")),
        ("3x3_stride2_same_even", (2, 8, 6, 2), dict(pool_size=3, strides=2, padding="same")),
        ("3x2_stride1", (2, 5, 6, 2), dict(pool_size=(3, 2), strides=1)),
    ):
        LAYERS[f"{kind.lower()}_pooling2d_{name}"] = (f"{kind}Pooling2D", shape, options)
        LAYERS[f"{kind.lower()}_pooling2d_{name}_ties"] = (f"{kind}Pooling2D", shape, options, TIES)
for name in """celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
squareplus swish tanh tanh_shrink""".split():
    LAYERS[f"activation_{name}"] = ("Activation", (4, 6), dict(activation=name), {"values": "wide"})

# ------------------------------------------------------------------------------------------------------------- losses
# id: (class, constructor arguments, shape of y_pred, how to draw the data)


def to_snake_case(class_name):
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", class_name).lower()


def loss_table():
    table = {}
    crossentropies = ("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy")
    for class_name in crossentropies + ("MeanSquaredError", "MeanAbsoluteError"):
        stem = to_snake_case(class_name)
        kinds = [("", {})]
        if class_name in crossentropies:
            kinds = [("", dict(from_logits=False)), ("_logits", dict(from_logits=True))]
        for suffix, arguments in kinds:
            for reduction in ("sum_over_batch_size", "sum", "none", "mean_with_sample_weight"):
                for weighted in (False, True):
                    name = f"{stem}{suffix}_{reduction}" + ("_weighted" if weighted else "")
                    table[name] = (class_name, dict(arguments, reduction=reduction), (6, 5), {"weighted": weighted})
            if class_name in ("CategoricalCrossentropy", "BinaryCrossentropy"):
                table[f"{stem}{suffix}_smoothing"] = (class_name, dict(arguments, label_smoothing=0.1), (6, 5), {})
            table[f"{stem}{suffix}_rank3"] = (class_name, arguments, (2, 3, 4), {"weighted": True})
    table["sparse_categorical_crossentropy_column"] = (crossentropies[0], {}, (6, 5), {"column": True})
    table["binary_crossentropy_column"] = (crossentropies[2], {}, (6, 1), {})
    table["binary_crossentropy_flat_labels"] = (crossentropies[2], dict(from_logits=True), (6, 1), {"column": True})
    return table


LOSSES = loss_table()

# ------------------------------------------------------------------------------------------------------------ metrics
# id: (class, constructor arguments, shape of y_pred, how to draw the data)

BATCHES = (5, 3, 7)
METRICS = {
    "accuracy": ("Accuracy", {}, (), "labels"),
    "binary_accuracy": ("BinaryAccuracy", {}, (3,), "binary"),
    "binary_accuracy_threshold": ("BinaryAccuracy", dict(threshold=0.3), (1,), "binary"),
    "binary_accuracy_ties": ("BinaryAccuracy", {}, (3,), "binary ties"),
    "categorical_accuracy": ("CategoricalAccuracy", {}, (4,), "one_hot"),
    "categorical_accuracy_ties": ("CategoricalAccuracy", {}, (4,), "one_hot ties"),
    "sparse_categorical_accuracy": ("SparseCategoricalAccuracy", {}, (4,), "labels"),
    "sparse_categorical_accuracy_ties": ("SparseCategoricalAccuracy", {}, (4,), "labels ties"),
    "top_k_categorical_accuracy": ("TopKCategoricalAccuracy", {}, (9,), "one_hot"),
    "top_k_categorical_accuracy_2": ("TopKCategoricalAccuracy", dict(k=2), (5,), "one_hot"),
    "top_k_categorical_accuracy_ties": ("TopKCategoricalAccuracy", dict(k=2), (5,), "one_hot ties"),
    "sparse_top_k_categorical_accuracy": ("SparseTopKCategoricalAccuracy", {}, (9,), "labels"),
    "sparse_top_k_categorical_accuracy_2": ("SparseTopKCategoricalAccuracy", dict(k=2), (5,), "labels"),
    "sparse_top_k_categorical_accuracy_ties": ("SparseTopKCategoricalAccuracy", dict(k=2), (5,), "labels ties"),
    "mean": ("Mean", {}, (), "values"),
    "mean_matrix": ("Mean", {}, (3,), "values"),
    "mean_squared_error": ("MeanSquaredError", {}, (3,), "real"),
    "mean_absolute_error": ("MeanAbsoluteError", {}, (3,), "real"),
    "binary_crossentropy": ("BinaryCrossentropy", {}, (3,), "binary"),
    "binary_crossentropy_logits": ("BinaryCrossentropy", dict(from_logits=True, label_smoothing=0.1), (3,), "binary"),
    "categorical_crossentropy": ("CategoricalCrossentropy", {}, (4,), "one_hot"),
    "categorical_crossentropy_logits": (
        "CategoricalCrossentropy", dict(from_logits=True, label_smoothing=0.1), (4,), "one_hot"),
    "sparse_categorical_crossentropy": ("SparseCategoricalCrossentropy", {}, (4,), "labels"),
    "sparse_categorical_crossentropy_logits": (
        "SparseCategoricalCrossentropy", dict(from_logits=True), (4,), "labels"),
}

# ----------------------------------------------------------------------------------------------------------- training
# model: (input shape, whether it ends in logits, layers); optimizer: (class, constructor arguments)

STEPS = 20
TRAINING_BATCHES = (8, 5, 3)
MODELS = {
    "mlp": ((12,), True, [("Dense", dict(units=8, activation="relu")), ("Dense", dict(units=5))]),
    "mlp_softmax": ((12,), False, [
        ("Dense", dict(units=8, activation="relu")), ("Dense", dict(units=5, activation="softmax"))]),
    "convnet": ((6, 6, 2), True, [
        ("Conv2D", dict(filters=4, kernel_size=3, padding="same", activation="relu")), ("BatchNormalization", {}),
        ("MaxPooling2D", dict(pool_size=2)), ("Flatten", {}), ("Dense", dict(units=5))]),
}
OPTIMIZERS = {
    "sgd": ("SGD", {}),
    "sgd_fast": ("SGD", dict(learning_rate=0.1)),
    "sgd_momentum": ("SGD", dict(learning_rate=0.05, momentum=0.9)),
    "sgd_nesterov": ("SGD", dict(learning_rate=0.05, momentum=0.9, nesterov=True)),
    "sgd_weight_decay": ("SGD", dict(learning_rate=0.1, weight_decay=0.1)),
    "sgd_clipnorm": ("SGD", dict(learning_rate=0.1, clipnorm=0.2)),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_momentum": ("RMSprop", dict(learning_rate=0.01, momentum=0.9)),
    "rmsprop_centered": ("RMSprop", dict(learning_rate=0.01, centered=True)),
    "adam": ("Adam", {}),
    "adam_fast": ("Adam", dict(learning_rate=0.01)),
    "adam_amsgrad": ("Adam", dict(learning_rate=0.01, amsgrad=True)),
    "adam_clipnorm": ("Adam", dict(learning_rate=0.01, clipnorm=0.2)),
    "adam_clipvalue": ("Adam", dict(learning_rate=0.01, clipvalue=0.02)),
    "adam_global_clipnorm": ("Adam", dict(learning_rate=0.01, global_clipnorm=0.3)),
    "adamw": ("AdamW", {}),
    "adamw_decay": ("AdamW", dict(learning_rate=0.01, weight_decay=0.1)),
}
RUNS_OF = {
    "mlp": OPTIMIZERS,
    "mlp_softmax": ("sgd_fast", "adam_fast"),
    "convnet": ("sgd_fast", "sgd_momentum", "rmsprop", "adam", "adam_fast", "adamw"),
}
TRAINING_RUNS = [(model, optimizer) for model, optimizers in RUNS_OF.items() for optimizer in optimizers]
