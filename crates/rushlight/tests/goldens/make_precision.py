#!/usr/bin/env python3
"""Makes `precision.json`: what Keras gives under mixed precision, and where masks reach losses and metrics.

Run from anywhere, in the environment of make_layers.py:

    python crates/rushlight/tests/goldens/make_precision.py

The file here was made with Python 3.11 and keras 3.15.1 on tensorflow 2.21.0 (CPU).
"""

import json
import os
import sys
import zlib
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.dont_write_bytecode = True

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers as kl  # noqa: E402

FOLDER = Path(__file__).resolve().parent


def array(value):
    value = np.asarray(value)
    kind = "i" if value.dtype.kind in "iu" else "f"
    value = value.astype(np.float32 if kind == "f" else np.int32)
    numbers = [float(f"{number:.8g}") if kind == "f" else int(number) for number in value.ravel()]
    return {"dims": list(value.shape), "kind": kind, "numbers": numbers}


def serialized(layer):
    whole = keras.saving.serialize_keras_object(layer)
    return {"class_name": whole["class_name"], "config": whole["config"]}


def randomize(weights, rng):
    for weight in weights:
        value = rng.standard_normal(weight.shape) * 0.5
        if "variance" in weight.path or "gamma" in weight.path:
            value = rng.uniform(0.5, 1.5, weight.shape)
        weight.assign(value.astype(np.float32))


# Layers: outputs in inference and gradients in training.
LAYERS = {
    "dense": (lambda: kl.Dense(6, activation="relu"), (5, 7)),
    "dense softmax": (lambda: kl.Dense(6, activation="softmax"), (5, 7)),
    "dense regularized": (lambda: kl.Dense(4, kernel_regularizer="l2", activity_regularizer="l1"), (3, 5)),
    "conv": (lambda: kl.Conv2D(4, 3, padding="same", activation="gelu"), (2, 6, 5, 3)),
    "conv transpose": (lambda: kl.Conv2DTranspose(3, 3, strides=2), (2, 4, 4, 3)),
    "depthwise": (lambda: kl.DepthwiseConv2D(3, depth_multiplier=2), (2, 6, 5, 3)),
    "separable": (lambda: kl.SeparableConv1D(4, 3), (2, 8, 3)),
    "batch normalization": (lambda: kl.BatchNormalization(momentum=0.9), (4, 3, 3, 5)),
    "layer normalization": (lambda: kl.LayerNormalization(), (4, 6)),
    "group normalization": (lambda: kl.GroupNormalization(2), (2, 3, 3, 4)),
    "rms normalization": (lambda: kl.RMSNormalization(), (4, 6)),
    "max pooling": (lambda: kl.MaxPooling2D(2), (2, 6, 6, 3)),
    "average pooling": (lambda: kl.AveragePooling2D(2), (2, 6, 6, 3)),
    "global average": (lambda: kl.GlobalAveragePooling2D(), (2, 6, 6, 3)),
    "prelu": (lambda: kl.PReLU(), (3, 8)),
    "simple rnn": (lambda: kl.SimpleRNN(4, return_sequences=True), (2, 5, 3)),
    "lstm": (lambda: kl.LSTM(4), (2, 5, 3)),
    "gru": (lambda: kl.GRU(4, return_sequences=True), (2, 5, 3)),
    "bidirectional": (lambda: kl.Bidirectional(kl.LSTM(3)), (2, 5, 3)),
    "embedding": (lambda: kl.Embedding(9, 4), None),
    "multi head attention": (lambda: kl.MultiHeadAttention(2, 3), (2, 4, 6)),
    "einsum dense": (lambda: kl.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d"), (2, 3, 4)),
}


def layer_case(name, policy):
    make, shape = LAYERS[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    results = {}
    for floats in (policy, "float32"):
        keras.config.set_dtype_policy(floats)
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        x = rng.integers(0, 9, (3, 4)).astype(np.int32) if shape is None else rng.standard_normal(shape).astype(np.float32)
        layer = make()
        both = isinstance(layer, kl.MultiHeadAttention)
        call = (lambda x, training: layer(x, x, training=training)) if both else (
            lambda x, training: layer(x, training=training) if "training" in layer._call_signature.parameters else layer(x)
        )
        call(tf.constant(x), False)
        randomize(layer.weights, rng)
        weights = [weight.numpy() for weight in layer.weights]
        x = tf.constant(x)
        inference = call(x, False)
        cotangent = rng.standard_normal(inference.shape).astype(np.float32)
        trained = [weight for weight in layer.weights if weight.trainable]
        with tf.GradientTape() as tape:
            if x.dtype.is_floating:
                tape.watch(x)
            y = call(x, True)
            total = tf.reduce_sum(tf.cast(y, tf.float32) * cotangent)
            losses = sum(tf.cast(loss, tf.float32) for loss in layer.losses)
            total = total + losses
        sources = ([x] if x.dtype.is_floating else []) + [weight.value for weight in trained]
        gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, sources)]
        results[floats] = {
            "output": np.asarray(tf.cast(inference, tf.float32)),
            "training_output": np.asarray(tf.cast(y, tf.float32)),
            "gradients": gradients,
            "losses": float(losses),
            "after": [weight.numpy() for weight in layer.weights],
            "dtype": inference.dtype.name,
            "weight_dtypes": [weight.dtype for weight in layer.weights],
        }
    mixed, single = results[policy], results["float32"]
    assert set(mixed["weight_dtypes"]) <= {"float32"}, name
    keras.config.set_dtype_policy(policy)
    return {
        "name": name,
        "policy": policy,
        "layer": serialized(make()),
        "twice": both,
        "input": array(x.numpy()),
        "weights": [array(weight) for weight in weights],
        "cotangent": array(cotangent),
        "dtype": mixed["dtype"],
        "output": array(mixed["output"]),
        "training_output": array(mixed["training_output"]),
        "gradients": [array(g) for g in mixed["gradients"]],
        "after": [array(value) for value in mixed["after"]],
        "losses": mixed["losses"],
        # How far half precision strays at all: a layer that ignored the policy would be off by so much.
        "apart": float(np.abs(mixed["output"] - single["output"]).max()),
    }


# Training: a small net with everything that is kept in full precision, step by step.
STEPS, BATCH, VARIANTS = 12, 16, 3


def net():
    return [
        kl.Conv2D(8, 3, padding="same", use_bias=False),
        kl.BatchNormalization(momentum=0.9),
        kl.ReLU(),
        kl.Conv2D(12, 3, strides=2, padding="same", use_bias=False),
        kl.BatchNormalization(momentum=0.9),
        kl.ReLU(),
        kl.GlobalAveragePooling2D(),
        kl.Dense(16, activation="tanh", kernel_regularizer=keras.regularizers.L2(1e-3)),
        kl.Dense(5),
    ]


def train(policy, start, images, labels, kind):
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input(images.shape[2:]), *net()])
    if start is None:
        rng = np.random.default_rng(5)
        start = [(w.numpy() if w.name == "kernel" else w.numpy() + 0.1 * rng.standard_normal(w.shape)).astype(np.float32) for w in model.weights]
        for value, weight in zip(start, model.weights):
            if "variance" in weight.path:
                np.abs(value, out=value)
    model.set_weights(start)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9) if kind == "sgd" else keras.optimizers.Adam(0.01)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**15, dynamic_growth_steps=3)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], auto_scale_loss=False)
    losses, scales, accuracies = [], [], []
    for step in range(STEPS):
        logs = model.train_on_batch(images[step % len(images)], labels[step % len(images)], return_dict=True)
        losses.append(float(logs["loss"]))
        accuracies.append(float(logs["accuracy"]))
        model.reset_metrics()
        if policy == "mixed_float16":
            scales.append(float(optimizer.dynamic_scale))
    return {
        "start": start, "losses": losses, "scales": scales, "accuracies": accuracies,
        "weights": [w.numpy() for w in model.weights],
        "predictions": np.asarray(model(images[0], training=False)).astype(np.float32),
    }


def training_case(policy, kind):
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(11)
    images = rng.standard_normal((4, BATCH, 8, 8, 3)).astype(np.float32)
    labels = rng.integers(0, 5, (4, BATCH)).astype(np.int32)
    truth = train(policy, None, images, labels, kind)
    strays = []
    for variant in range(VARIANTS):
        rng = np.random.default_rng(100 + variant)
        # Half of what bf16 numbers (f16: an eighth of it) are apart: what rounding alone may do.
        size = 2.0**-9 if policy == "mixed_bfloat16" else 2.0**-12
        start = [(w * (1 + size * rng.standard_normal(w.shape))).astype(np.float32) for w in truth["start"]]
        strays.append(train(policy, start, images, labels, kind))
    single = train("float32", truth["start"], images, labels, kind)
    off = lambda part: max(float(np.abs(np.asarray(s[part]) - np.asarray(truth[part])).max()) for s in strays)
    each = np.maximum.accumulate(np.abs(np.array([s["losses"] for s in strays]) - truth["losses"]).max(0))
    weights = [max(float(np.abs(s["weights"][i] - value).max()) for s in strays) for i, value in enumerate(truth["weights"])]
    keras.config.set_dtype_policy(policy)
    return {
        "policy": policy, "optimizer": kind,
        "layers": [serialized(layer) for layer in net()],
        "images": array(images), "labels": array(labels),
        "start": [array(w) for w in truth["start"]],
        "losses": truth["losses"], "losses_float32": single["losses"], "scales": truth["scales"],
        "accuracies": truth["accuracies"],
        "weights": [array(w) for w in truth["weights"]],
        "predictions": array(truth["predictions"]),
        "tolerances": {"losses": [float(f"{3 * t + 1e-3:.2e}") for t in each], "weights": [3 * t + 1e-4 for t in weights], "predictions": 3 * off("predictions") + 1e-3},
    }


# Masks: from Masking and Embedding to losses and metrics.
def mask_case(name, start, loss, metrics, weighted):
    keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    words = rng.integers(1, 7, (4, 6)).astype(np.int32)
    words[0, 4:], words[1, 1:], words[3, 2:3] = 0, 0, 0
    if start == "embedding":
        x = words
        stack = [kl.Embedding(7, 3, mask_zero=True), kl.LSTM(4, return_sequences=True), kl.Dense(3)]
        model = keras.Sequential([keras.Input((6,), dtype="int32"), *stack])
    else:
        x = rng.standard_normal((4, 6, 3)).astype(np.float32) * (words > 0)[..., None]
        stack = [kl.Masking(0.0), kl.Dense(4, activation="tanh"), kl.Dense(3)]
        model = keras.Sequential([keras.Input((6, 3)), *stack])
    randomize(model.weights, rng)
    weights = [w.numpy() for w in model.weights]
    sparse = "sparse" in loss["class_name"].lower()
    y = rng.integers(0, 3, (4, 6)).astype(np.int32) if sparse else rng.standard_normal((4, 6, 3)).astype(np.float32)
    sample = rng.uniform(0.2, 2.0, (4, 6) if weighted == "steps" else (4, 1)).astype(np.float32) if weighted else None
    measure = keras.losses.deserialize(loss)
    with tf.GradientTape() as tape:
        value = measure(y, model(x), sample_weight=sample)
        total = tf.reduce_sum(value)
    gradients = tape.gradient(total, [w.value for w in model.trainable_weights])
    results = []
    for metric in metrics:
        made = keras.metrics.deserialize(metric)
        made.update_state(y, model(x), sample_weight=sample)
        results.append(float(made.result()))
    return {
        "name": name, "layers": [serialized(layer) for layer in stack], "input": array(x), "target": array(y),
        "sample_weights": None if sample is None else array(sample), "loss": loss, "metrics": metrics,
        "weights": [array(w) for w in weights], "value": array(value), "results": results,
        "gradients": [array(tf.convert_to_tensor(g).numpy()) for g in gradients],
    }


def mask_cases():
    def loss(name, reduction, **more):
        return {"class_name": name, "config": {"reduction": reduction, **more}}

    sparse_metrics = [{"class_name": "SparseCategoricalAccuracy", "config": {}}, {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}]
    plain_metrics = [{"class_name": "MeanSquaredError", "config": {}}, {"class_name": "MeanAbsoluteError", "config": {}}, {"class_name": "RootMeanSquaredError", "config": {}}]
    cases = []
    for start in ("masking", "embedding"):
        for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none"):
            for weighted in (None, "examples", "steps"):
                if weighted == "examples" and reduction == "none":
                    continue
                name = f"{start}, {reduction}, weights for {weighted or 'nothing'}"
                if start == "embedding":
                    made = loss("SparseCategoricalCrossentropy", reduction, from_logits=True), sparse_metrics
                else:
                    made = loss("MeanSquaredError", reduction), plain_metrics
                cases.append(mask_case(name, start, made[0], made[1], weighted))
    return cases


def main():
    masks = mask_cases()
    layers = [layer_case(name, "mixed_bfloat16") for name in LAYERS]
    layers += [layer_case(name, "mixed_float16") for name in ("dense", "conv", "batch normalization", "lstm")]
    training = [training_case("mixed_bfloat16", "sgd"), training_case("mixed_bfloat16", "adam"), training_case("mixed_float16", "sgd")]
    whole = {"layers": layers, "training": training, "masks": masks}
    for case in training:
        # The same for all of them.
        whole["images"], whole["labels"] = case.pop("images"), case.pop("labels")
    (FOLDER / "precision.json").write_text(json.dumps(whole, separators=(",", ":")) + "\n")
    for case in layers:
        print(case["name"], case["policy"], case["dtype"], f"{case['apart']:.2e}")
    for case in training:
        print(case["policy"], case["optimizer"], case["losses"], case["tolerances"]["losses"], case["scales"])
        print("  float32", case["losses_float32"])
    for case in whole["masks"]:
        print(case["name"], case["value"]["numbers"][:3], case["results"])


main()
