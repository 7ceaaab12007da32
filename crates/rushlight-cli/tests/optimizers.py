"""Trains a small net with every optimizer of Keras, goes on by the command, and then with Keras again.

    python optimizers.py RUSHLIGHT FOLDER

Prints a line for each optimizer that differs; the losses of all steps must agree, and so must what is written of how
the model is compiled.
"""

import json
import os
import pathlib
import subprocess
import sys
import warnings
import zipfile

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
from keras import layers, optimizers
from keras.optimizers import schedules

command, folder = sys.argv[1], pathlib.Path(sys.argv[2])
rng = np.random.default_rng(0)
x, y = rng.normal(size=(8, 6)).astype("float32"), rng.integers(0, 3, 8).astype("int32")
np.save(folder / "x.npy", x)
np.save(folder / "y.npy", y)

CHOICES = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
    "nesterov clipnorm": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=0.5),
    "global clipnorm": lambda: optimizers.SGD(0.1, global_clipnorm=0.5),
    "clipvalue": lambda: optimizers.SGD(0.1, clipvalue=0.01),
    "adam": lambda: optimizers.Adam(0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adam moving average": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "adam accumulation": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.02),
    "nadam": lambda: optimizers.Nadam(0.01),
    "adamax": lambda: optimizers.Adamax(0.01),
    "adadelta": lambda: optimizers.Adadelta(0.5),
    "adagrad": lambda: optimizers.Adagrad(0.05),
    "rmsprop": lambda: optimizers.RMSprop(0.005),
    "rmsprop centered": lambda: optimizers.RMSprop(0.005, momentum=0.9, centered=True),
    "lion": lambda: optimizers.Lion(0.005),
    "ftrl": lambda: optimizers.Ftrl(0.05),
    "lamb": lambda: optimizers.Lamb(0.01),
    "adafactor": lambda: optimizers.Adafactor(0.01),
    "exponential": lambda: optimizers.SGD(schedules.ExponentialDecay(0.1, 3, 0.5)),
    "cosine": lambda: optimizers.Adam(schedules.CosineDecay(0.05, 10, warmup_steps=2, warmup_target=0.1)),
    "restarts": lambda: optimizers.Adam(schedules.CosineDecayRestarts(0.05, 3)),
    "polynomial": lambda: optimizers.SGD(schedules.PolynomialDecay(0.1, 8, 0.01, power=2.0)),
    "inverse time": lambda: optimizers.SGD(schedules.InverseTimeDecay(0.1, 2, 0.5, staircase=True)),
    "piecewise": lambda: optimizers.SGD(schedules.PiecewiseConstantDecay([2, 5], [0.1, 0.05, 0.01])),
}


class Losses(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.losses = []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])


def train(model, epochs):
    record = Losses()
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=[record])
    return record.losses


def compiled(path):
    """What decides training, without what only says how Keras runs it."""
    config = json.loads(zipfile.ZipFile(path).read("config.json"))["compile_config"]
    optimizer = config["optimizer"]
    own = {key: value for key, value in optimizer["config"].items() if key not in ("name", "loss_scale_factor")}
    rate = own.get("learning_rate")
    if isinstance(rate, dict):
        own["learning_rate"] = [rate["class_name"], {k: v for k, v in rate["config"].items() if k != "name"}]
    return [optimizer["class_name"], own, config["metrics"]]


def same(one, other):
    if isinstance(one, dict):
        return all(same(value, other.get(key)) for key, value in one.items())
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (int, float)) and not isinstance(one, bool):
        return isinstance(other, (int, float)) and abs(one - other) <= 1e-6 * max(1.0, abs(one))
    return one == other


def run(name):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh", kernel_regularizer="l2")(inputs)
    outputs = layers.Dense(3, activation="softmax")(layers.BatchNormalization()(hidden))
    model = keras.Model(inputs, outputs)
    model.compile(CHOICES[name](), "sparse_categorical_crossentropy", metrics=["accuracy"])
    train(model, 3)
    model.save(folder / "a.keras")
    # In two parts, because moving averages replace the weights at the end of each.
    alone = keras.models.load_model(folder / "a.keras")
    wanted = train(alone, 3) + train(alone, 3)
    arguments = ["fit", "a.keras", "--input", "x.npy", "--target", "y.npy", "--batch-size", "8", "--epochs", "3", "--shuffle", "false"]
    done = subprocess.run([command, *arguments, "--history", "h.json", "--save", "b.keras"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        return done.stderr.strip()
    ours = json.loads((folder / "h.json").read_text())["loss"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        again = keras.models.load_model(folder / "b.keras")
    if any("Skipping variable loading" in str(warning.message) for warning in said):
        return "Keras does not take the optimizer's state"
    if int(again.optimizer.iterations) == 0:
        return "the iterations are lost"
    if not same(compiled(folder / "a.keras"), compiled(folder / "b.keras")):
        return f"compiled otherwise: {compiled(folder / 'a.keras')} became {compiled(folder / 'b.keras')}"
    got = ours + train(again, 3)
    worst = max(abs(a - b) for a, b in zip(got, wanted, strict=True))
    print(f"{name:20} largest difference of six losses {worst:.1e}", file=sys.stderr)
    return "" if worst < 2e-5 else f"losses {got} instead of {wanted}"


for name in CHOICES:
    failure = run(name)
    if failure:
        print(f"{name}: {failure}")
