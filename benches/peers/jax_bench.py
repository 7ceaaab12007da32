#!/usr/bin/env python3
"""Times Keras on JAX, or an MLP in JAX alone: forward + softmax cross-entropy + backward + SGD, on one resident random batch.

usage: jax_bench.py <net> [--batch-size 64] [--plain]      (default: Keras's model and optimizer in one jitted step)
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
sys.dont_write_bytecode = True

from timing import arguments, report  # noqa: E402

options = arguments({"plain": "JAX without Keras (MLPs)"})
# XLA's thread pool has as many threads as the process may use processors
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from nets import NETS  # noqa: E402


def main():
    net = NETS[options.net]
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.standard_normal((options.batch_size, *net["input_shape"]), np.float32))
    labels = jnp.asarray(rng.integers(0, net["classes"], options.batch_size).astype(np.int32))
    train, infer, versions = (plain if options.plain else with_keras)(net, inputs, labels)
    report("jax", "plain" if options.plain else "keras", options, versions | {"jax": jax.__version__}, train, infer)


def cross_entropy(logits, labels):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))


def plain(net, inputs, labels):
    if net["kind"] != "mlp":
        raise SystemExit("--plain is for MLPs")
    sizes = [*net["input_shape"], *net["hidden"], net["classes"]]
    rng = np.random.default_rng(0)
    weights = [
        (jnp.asarray(rng.standard_normal((a, b), np.float32) / a**0.5), jnp.zeros(b, np.float32)) for a, b in zip(sizes, sizes[1:])
    ]
    state = [weights, jax.tree.map(jnp.zeros_like, weights)] if net["momentum"] else [weights]

    def forward(weights, x):
        for kernel, bias in weights[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        return x @ weights[-1][0] + weights[-1][1]

    def step(state, inputs, labels):
        loss, gradients = jax.value_and_grad(lambda weights: cross_entropy(forward(weights, inputs), labels))(state[0])
        velocities = []
        if net["momentum"]:
            gradients = jax.tree.map(lambda v, g: net["momentum"] * v + g, state[1], gradients)
            velocities = [gradients]
        return [jax.tree.map(lambda w, g: w - 0.1 * g, state[0], gradients), *velocities], loss

    jitted, inference = jax.jit(step, donate_argnums=0), jax.jit(forward)

    def train():
        nonlocal state
        state, loss = jitted(state, inputs, labels)
        return float(loss)

    return train, lambda: np.asarray(inference(state[0], inputs)), {}


def with_keras(net, inputs, labels):
    import keras

    from keras_nets import build

    keras.utils.set_random_seed(0)
    model = build(net)
    optimizer = keras.optimizers.SGD(0.1, momentum=net["momentum"])
    optimizer.build(model.trainable_variables)
    state = [[v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)]

    def loss_of(trainable, others, inputs, labels):
        logits, others = model.stateless_call(trainable, others, inputs, training=True)
        return cross_entropy(logits, labels), others

    def step(state, inputs, labels):
        trainable, others, slots = state
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others, inputs, labels)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return [trainable, others, slots], loss

    jitted = jax.jit(step, donate_argnums=0)
    inference = jax.jit(lambda trainable, others, inputs: model.stateless_call(trainable, others, inputs, training=False)[0])

    def train():
        nonlocal state
        state, loss = jitted(state, inputs, labels)
        return float(loss)

    return train, lambda: np.asarray(inference(*state[:2], inputs)), {"keras": keras.__version__}


if __name__ == "__main__":
    main()
