#!/usr/bin/env python3
"""Makes `trajectories.safetensors` and `trajectories.json`: what Keras does in the first steps of training small nets.

Run from anywhere, in the environment of benches/peers/setup.sh:

    python crates/rushlight/tests/goldens/make_densenet.py

The files here were made with Python 3.11, keras 3.15.1 on tensorflow 2.21.0 (CPU), numpy 2.4.6 and safetensors 0.8.0.
Every run is made in float64, which is the truth, and then in float32, as it is and with starting weights off by about
1e-6: how far these stray is what rounding alone may do, and from it come the tolerances (see README.md).
"""

import json
import os
import platform
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.dont_write_bytecode = True
FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[3] / "benches/peers"))

import keras  # noqa: E402
import numpy as np  # noqa: E402
import safetensors  # noqa: E402
import tensorflow as tf  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from keras_nets import densenet, trainable_parameters  # noqa: E402
from nets import NETS  # noqa: E402

BATCH, BATCHES, VARIANTS = 16, 4, 9

PLAIN = {
    "kind": "densenet", "input_shape": [16, 16, 3], "stem": "cifar", "first_filters": 24, "layers": [3, 3, 3], "growth": 8,
    "bottleneck": False, "compression": 0.5, "classes": 10,
}
# A ReLU whose input is within rounding of zero may open in one run and not in another, and from there on the losses
# differ by 1e-3. The seeds are such that this comes late or (tiny, bottleneck) not at all.
MODELS = {
    "densenet": PLAIN | {"seed": 2},
    "densenet_tiny": PLAIN | {"seed": 18, "input_shape": [8, 8, 3], "first_filters": 8, "layers": [2, 2], "growth": 4},
    "densenet_bottleneck": PLAIN | {"seed": 44, "first_filters": 16, "layers": [2, 3, 2], "growth": 4, "bottleneck": True},
    "mlp": {"seed": 0, "kind": "mlp", "input_shape": [20], "units": [32, 16], "activation": "relu", "dropout": 0.0, "classes": 10},
}
SGD = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": None}
NESTEROV = SGD | {"nesterov": True, "weight_decay": 5e-4}
ADAM = {"kind": "adam", "learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": None}
ADAMW = ADAM | {"kind": "adamw", "weight_decay": 4e-3}
RUNS = [
    ("densenet", "sgd", SGD, 20),
    ("densenet", "nesterov_weight_decay", NESTEROV, 20),
    ("densenet", "adam", ADAM, 20),
    ("densenet_tiny", "sgd", SGD, 20),
    ("densenet_tiny", "nesterov_weight_decay", NESTEROV, 20),
    ("densenet_tiny", "adam", ADAM, 20),
    ("densenet_bottleneck", "sgd", SGD, 5),
    ("mlp", "sgd", SGD, 20),
    ("mlp", "nesterov_weight_decay", NESTEROV, 20),
    ("mlp", "adam", ADAM, 20),
    ("mlp", "adamw", ADAMW, 20),
]


def build(config):
    if config["kind"] == "densenet":
        return densenet(config)
    x = vector = keras.Input(config["input_shape"])
    for i, units in enumerate(config["units"]):
        x = keras.layers.Dense(units, activation=config["activation"], name=f"dense{i}")(x)
        x = keras.layers.Dropout(config["dropout"], name=f"dropout{i}")(x)
    return keras.Model(vector, keras.layers.Dense(config["classes"], name="classes")(x))


def optimizer_of(settings):
    kinds = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
    return kinds[settings["kind"]](**{key: value for key, value in settings.items() if key != "kind"})


def starting_weights(model, rng):
    """Kernels as Keras draws them; what would start at 0 or 1 is moved away, so that no mix-up stays hidden."""
    started = []
    for weight in model.weights:
        value = weight.numpy().astype(np.float32)
        if weight.name == "gamma" or weight.name == "moving_variance":
            value = rng.uniform(0.8, 1.25, value.shape)
        elif weight.name != "kernel":
            value = 0.1 * rng.standard_normal(value.shape)
        started.append(value.astype(np.float32))
    return started


def train(config, weights, settings, steps, images, labels, floats):
    keras.backend.set_floatx(floats)
    # The policy keeps the float type that was set when it was first asked for.
    keras.config.set_dtype_policy(floats)
    model, optimizer = build(config), optimizer_of(settings)
    model.set_weights([weight.astype(floats) for weight in weights])
    measure = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    images = images.astype(floats)
    seen = {"predictions_before": model(images[0], training=False).numpy(), "losses": []}

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = measure(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss, gradients

    for i in range(steps):
        loss, gradients = step(tf.constant(images[i % BATCHES]), tf.constant(labels[i % BATCHES]))
        seen["losses"].append(float(loss))
        if i == 0:
            seen["gradients"] = [g.numpy() for g in gradients]
    seen["weights_after"] = [w.numpy() for w in model.weights]
    seen["predictions_after"] = model(images[0], training=False).numpy()
    return seen


def perturbed(weights, variant):
    """The weights, or for variants above 0 weights off by about the error of a fast convolution."""
    rng = np.random.default_rng(variant)
    return [w * (1 + 1e-6 * (variant > 0) * rng.standard_normal(w.shape)).astype(np.float32) for w in weights]


def tolerances(truth, others):
    """Four times the farthest that a float32 run strays from the truth, by the parts of a run; losses: up to each step."""

    def farthest(part):
        return max(
            float(np.abs(np.asarray(a, np.float64) - b).max()) for other in others for a, b in zip(other[part], truth[part], strict=True)
        )

    losses = np.abs(np.array([other["losses"] for other in others]) - truth["losses"]).max(0)
    allowed = {part: 4 * farthest(part) for part in ("gradients", "weights_after", "predictions_before", "predictions_after")}
    return allowed | {"losses": [float(f"{4 * loss + 1e-6:.1e}") for loss in np.maximum.accumulate(losses)]}


def check_parameter_counts():
    for name, net in NETS.items():
        count = trainable_parameters(densenet(net))
        assert count == net["parameters"], f"{name} has {count} parameters, not {net['parameters']}"
        print(f"{name}: {count:,} trainable parameters")


def main():
    check_parameter_counts()
    tensors, models, runs = {}, {}, []
    for name, config in MODELS.items():
        keras.backend.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.utils.set_random_seed(config["seed"])
        rng = np.random.default_rng(config["seed"])
        model = build(config)
        tensors[f"{name}/images"] = rng.standard_normal((BATCHES, BATCH, *config["input_shape"])).astype(np.float32)
        tensors[f"{name}/labels"] = rng.integers(0, config["classes"], (BATCHES, BATCH)).astype(np.int32)
        listed = []
        trainable = {id(w) for w in model.trainable_weights}
        for weight, value in zip(model.weights, starting_weights(model, rng), strict=True):
            tensors[f"{name}/start/{weight.path}"] = value
            listed.append({"path": weight.path, "tensor": f"{name}/start/{weight.path}", "trainable": id(weight) in trainable})
        models[name] = config | {
            "batch_normalization": {"epsilon": 1e-3, "momentum": 0.99}, "parameters": trainable_parameters(model),
            "images": f"{name}/images", "labels": f"{name}/labels", "weights": listed, "gradients": {},
        }

    for name, label, settings, steps in RUNS:
        model, images, labels = models[name], tensors[f"{name}/images"], tensors[f"{name}/labels"]
        start = [tensors[weight["tensor"]] for weight in model["weights"]]

        def run_in(floats, weights):
            return train(MODELS[name], weights, settings, steps, images, labels, floats)

        truth = run_in("float64", start)
        others = [run_in("float32", perturbed(start, variant)) for variant in range(VARIANTS)]
        allowed = tolerances(truth, others)
        paths = [weight["path"] for weight in model["weights"]]
        trainable = [weight["path"] for weight in model["weights"] if weight["trainable"]]
        if not model["gradients"]:
            model["gradients"] = {path: f"{name}/gradients/{path}" for path in trainable}
            tensors.update(zip(model["gradients"].values(), (g.astype(np.float32) for g in truth["gradients"])))
            model["predictions_before"] = f"{name}/predictions_before"
            tensors[f"{name}/predictions_before"] = truth["predictions_before"].astype(np.float32)
        run = f"{name}/{label}"
        # of a DenseNet what only inference reads, of the small net every weight
        kept = [path for path in paths if path not in trainable or MODELS[name]["kind"] == "mlp"]
        after = {path: f"{run}/after/{path}" for path in kept}
        tensors.update({after[path]: truth["weights_after"][paths.index(path)].astype(np.float32) for path in kept})
        tensors[f"{run}/predictions_after"] = truth["predictions_after"].astype(np.float32)
        runs.append({
            "name": run, "model": name, "optimizer": settings, "steps": steps, "batch_of_step": "step % 4",
            "losses": truth["losses"], "losses_float32": others[0]["losses"], "weights_after": after,
            "predictions_after": f"{run}/predictions_after", "tolerances_float32": allowed,
        })
        print(f"{run}: loss {truth['losses'][0]:.4f} → {truth['losses'][-1]:.4f}; tolerances after 1, 10 and all steps"
              f" {allowed['losses'][0]:.0e} {allowed['losses'][: 10][-1]:.0e} {allowed['losses'][-1]:.0e}, gradients {allowed['gradients']:.0e},"
              f" predictions {allowed['predictions_after']:.0e}")

    made_with = ", ".join([f"python {platform.python_version()}"] + [f"{m.__name__} {m.__version__}" for m in (keras, tf, np, safetensors)])
    save_file(tensors, FOLDER / "trajectories.safetensors", metadata={"made_with": made_with})
    (FOLDER / "trajectories.safetensors").chmod(0o644)
    text = json.dumps({"made_with": made_with, "models": models, "runs": runs}, indent=1)
    (FOLDER / "trajectories.json").write_text(text + "\n")
    for file in ("trajectories.safetensors", "trajectories.json"):
        print(f"{file}: {(FOLDER / file).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
