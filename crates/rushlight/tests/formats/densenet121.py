"""A DenseNet-121 made by Keras, predicted and trained further by the command, beside Keras itself.

    python densenet121.py FOLDER make                 # the model, inputs, and what Keras computes (30 MB, minutes)
    python densenet121.py FOLDER compare RUSHLIGHT    # runs the command on them and prints the differences
"""

import json
import os
import pathlib
import subprocess
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np

SIZE, CLASSES, IMAGES, BATCH, EPOCHS = 64, 10, 32, 16, 4
folder, task = pathlib.Path(sys.argv[1]), sys.argv[2]


def make():
    import keras

    keras.utils.set_random_seed(5)
    model = keras.applications.DenseNet121(weights=None, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
    model.compile(keras.optimizers.SGD(0.002, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    generator = np.random.default_rng(1)
    x = generator.normal(size=(IMAGES, SIZE, SIZE, 3)).astype("float32")
    y = generator.integers(0, CLASSES, IMAGES).astype("int32")
    # Some steps, so that moving statistics and momenta are not those of a new model.
    model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    model.save(folder / "densenet121.keras")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    np.save(folder / "predicted.npy", model.predict(x, verbose=0))
    np.save(folder / "losses.npy", train(model, x, y))
    np.save(folder / "trained.npy", model.predict(x, verbose=0))
    # The same in double precision tells what rounding alone does to the curve.
    stored = keras.models.load_model(folder / "densenet121.keras")
    keras.config.set_floatx("float64")
    exact = keras.applications.DenseNet121(weights=None, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
    exact.set_weights([weight.numpy().astype("float64") for weight in stored.weights])
    exact.compile(keras.optimizers.SGD(0.002, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    exact.optimizer.build(exact.trainable_variables)
    for variable, value in zip(exact.optimizer.variables, stored.optimizer.variables, strict=True):
        variable.assign(value.numpy().astype(variable.dtype))
    np.save(folder / "exact_losses.npy", train(exact, x.astype("float64"), y))


def train(model, x, y):
    losses = []
    for _ in range(EPOCHS):
        for start in range(0, IMAGES, BATCH):
            model.reset_metrics()
            losses.append(float(model.train_on_batch(x[start : start + BATCH], y[start : start + BATCH])[0]))
    return np.array(losses, "float64")


def compare(command):
    def run(*arguments):
        subprocess.run([command, *map(str, arguments)], check=True, cwd=folder, stdout=subprocess.DEVNULL)

    def load(name):
        return np.load(folder / name)

    run("predict", "densenet121.keras", "--input", "x.npy", "--output", "p.npy")
    print("predictions: largest difference", abs(load("p.npy") - load("predicted.npy")).max())
    run(
        *("fit", "densenet121.keras", "--input", "x.npy", "--target", "y.npy", "--batch-size", BATCH),
        *("--epochs", EPOCHS, "--shuffle", "false", "--history", "h.json", "--save", "out.keras"),
    )
    ours = json.loads((folder / "h.json").read_text())["batch_loss"]
    print("loss of each step: the command's, Keras's, Keras's in double precision; differences from the last one")
    for a, b, c in zip(ours, load("losses.npy"), load("exact_losses.npy"), strict=True):
        print(f"  {a:.6f}  {b:.6f}  {c:.6f}  {abs(a - c):.1e}  {abs(b - c):.1e}")
    run("predict", "out.keras", "--input", "x.npy", "--output", "q.npy")
    print("predictions after training: largest difference", abs(load("q.npy") - load("trained.npy")).max())


make() if task == "make" else compare(sys.argv[3])
