#!/usr/bin/env python3
"""What a call of a compiled function costs where there is little to compute, and what a turn of a loop in it does.

usage: overheads.py jax|tensorflow|torch                                     (one JSON object a case)
       overheads.py --rushlight <the example overheads> [--python <interpreter>] [--peers jax tensorflow torch] [--rounds 3]
                                                                             (all in turn, then a Markdown table)

The cases, all in f32 on the same two processors, medians in microseconds a call:
  empty             a function that returns its argument, of ten elements
  scalars_10        a chain of ten multiplications and additions of a scalar
  scalars_1000      a chain of a thousand
  mlp_1             a training step of an MLP 784-128-10 on a batch of 32: softmax cross-entropy, SGD
  mlp_100           a hundred such steps in one call, each on its own batch (torch: a hundred calls, it compiles no loop)
  recurrent_1000    tanh(x W + h U + b) over a thousand steps, batch 1, 32 units
  newton            a square root by Newton's method until it no longer falls: the data decide after how many turns
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

CASES = ["empty", "scalars_10", "scalars_1000", "mlp_1", "mlp_100", "recurrent_1000", "newton"]
BATCH, FEATURES, HIDDEN, CLASSES, STEPS = 32, 784, 128, 10, 100
TURNS, UNITS = 1000, 32
ROUNDS, SECONDS_A_ROUND = 15, 0.05


def measure(call):
    """The median over rounds of the mean time of a call, in microseconds."""
    start = time.perf_counter()
    call()
    call()
    once = max((time.perf_counter() - start) / 2, 1e-7)
    count = 3
    while True:
        start = time.perf_counter()
        for _ in range(count):
            call()
        took = time.perf_counter() - start
        if took > SECONDS_A_ROUND:
            break
        count = max(count + 1, int(count * min(10, 1.2 * SECONDS_A_ROUND / max(took, once * 0.1))))
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(count):
            call()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times) * 1e6


def weights(rng):
    import numpy as np

    return [
        rng.standard_normal((FEATURES, HIDDEN), np.float32) * 0.03,
        np.zeros(HIDDEN, np.float32),
        rng.standard_normal((HIDDEN, CLASSES), np.float32) * 0.08,
        np.zeros(CLASSES, np.float32),
    ]


def data(rng):
    import numpy as np

    images = rng.standard_normal((STEPS, BATCH, FEATURES), np.float32)
    return images, rng.integers(0, CLASSES, (STEPS, BATCH)).astype(np.int32)


def cell(rng):
    import numpy as np

    draw = lambda *shape: rng.standard_normal(shape, np.float32) * 0.2
    return draw(TURNS, 1, UNITS), draw(UNITS, UNITS), draw(UNITS, UNITS), draw(UNITS)


def with_jax(rng):
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp

    def chain(ops):
        def run(x):
            for number in range(ops // 2):
                x = x * (1.0 + 1e-4 * number) + 0.1
            return x

        return jax.jit(run)

    def loss(state, images, labels):
        w, b, v, c = state
        logits = jax.nn.relu(images @ w + b) @ v + c
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))

    def step(state, batch):
        value, slopes = jax.value_and_grad(loss)(state, *batch)
        return [w - 0.01 * g for w, g in zip(state, slopes)], value

    one = jax.jit(lambda state, images, labels: step(state, (images, labels)), donate_argnums=0)
    many = jax.jit(lambda state, images, labels: jax.lax.scan(step, state, (images, labels)), donate_argnums=0)
    images, labels = map(jnp.asarray, data(rng))
    state = [[jnp.asarray(w) for w in weights(rng)]]

    def train(function, images, labels):
        state[0], value = function(state[0], images, labels)
        jax.block_until_ready(value)

    sequence, w, u, b = map(jnp.asarray, cell(rng))
    run = lambda h, x: (jnp.tanh(x @ w + h @ u + b),) * 2
    recur = jax.jit(lambda sequence: jax.lax.scan(run, jnp.zeros((1, UNITS)), sequence)[0])

    def newton(a):
        better = lambda x: (a / x + x) * 0.5
        return jax.lax.while_loop(lambda s: s[1] < s[0], lambda s: (s[1], better(s[1])), (a, a * 0.5 + 0.5))[0]

    root = jax.jit(newton)
    ten, one_number, large = jnp.ones(10), jnp.float32(1.0), jnp.float32(2e6)
    empty, short, long = jax.jit(lambda x: x), chain(10), chain(1000)
    ready = jax.block_until_ready
    first = (images[0], labels[0])
    return jax.__version__, {
        "empty": lambda: ready(empty(ten)),
        "scalars_10": lambda: ready(short(one_number)),
        "scalars_1000": lambda: ready(long(one_number)),
        "mlp_1": lambda: train(one, *first),
        "mlp_100": lambda: train(many, images, labels),
        "recurrent_1000": lambda: ready(recur(sequence)),
        "newton": lambda: ready(root(large)),
    }


def with_tensorflow(rng):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    def chain(ops):
        @tf.function
        def run(x):
            for number in range(ops // 2):
                x = x * (1.0 + 1e-4 * number) + 0.1
            return x

        return run

    state = [tf.Variable(w) for w in weights(rng)]

    def step(images, labels):
        with tf.GradientTape() as tape:
            logits = tf.nn.relu(images @ state[0] + state[1]) @ state[2] + state[3]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        for w, g in zip(state, tape.gradient(loss, state)):
            w.assign_sub(0.01 * g)
        return loss

    one = tf.function(step)

    @tf.function
    def many(images, labels):
        loss = tf.constant(0.0)
        for number in tf.range(STEPS):
            loss = step(images[number], labels[number])
        return loss

    sequence, w, u, b = map(tf.constant, cell(rng))

    @tf.function
    def recur(sequence):
        h = tf.zeros((1, UNITS))
        for number in tf.range(TURNS):
            h = tf.tanh(sequence[number] @ w + h @ u + b)
        return h

    @tf.function
    def root(a):
        old, new = a, a * 0.5 + 0.5
        while new < old:
            old, new = new, (a / new + new) * 0.5
        return old

    images, labels = map(tf.constant, data(rng))
    first = (images[0], labels[0])
    ten, one_number, large = tf.ones(10), tf.constant(1.0), tf.constant(2e6)
    empty, short, long = tf.function(lambda x: x), chain(10), chain(1000)
    return tf.__version__, {
        "empty": lambda: empty(ten),
        "scalars_10": lambda: short(one_number).numpy(),
        "scalars_1000": lambda: long(one_number).numpy(),
        "mlp_1": lambda: one(*first).numpy(),
        "mlp_100": lambda: many(images, labels).numpy(),
        "recurrent_1000": lambda: recur(sequence).numpy(),
        "newton": lambda: root(large).numpy(),
    }


def with_torch(rng):
    import torch

    torch.set_num_threads(2)

    def chain(ops):
        def run(x):
            for number in range(ops // 2):
                x = x * (1.0 + 1e-4 * number) + 0.1
            return x

        return torch.compile(run)

    state = [torch.tensor(w, requires_grad=True) for w in weights(rng)]
    optimizer = torch.optim.SGD(state, 0.01)

    @torch.compile
    def loss(images, labels):
        logits = torch.relu(images @ state[0] + state[1]) @ state[2] + state[3]
        return torch.nn.functional.cross_entropy(logits, labels)

    def step(images, labels):
        optimizer.zero_grad()
        loss(images, labels).backward()
        optimizer.step()

    def many():
        for image, label in zip(images, labels):
            step(image, label)

    images, labels = map(torch.tensor, data(rng))
    labels = labels.long()
    sequence, w, u, b = cell(rng)
    recurrent = torch.nn.RNN(UNITS, UNITS)
    sequence = torch.tensor(sequence)

    def recur():
        with torch.inference_mode():
            recurrent(sequence)

    @torch.jit.script
    def root(a: torch.Tensor) -> torch.Tensor:
        old, new = a, a * 0.5 + 0.5
        while bool(new < old):
            old, new = new, (a / new + new) * 0.5
        return old

    first = (images[0], labels[0])
    ten, one_number, large = torch.ones(10), torch.tensor(1.0), torch.tensor(2e6)
    empty, short, long = torch.compile(lambda x: x), chain(10), chain(1000)
    return torch.__version__, {
        "empty": lambda: empty(ten),
        "scalars_10": lambda: short(one_number),
        "scalars_1000": lambda: long(one_number),
        "mlp_1": lambda: step(*first),
        "mlp_100": many,
        "recurrent_1000": recur,
        "newton": lambda: root(large),
    }


PEERS = {"jax": with_jax, "tensorflow": with_tensorflow, "torch": with_torch}


def run_peer(name, only):
    import numpy as np

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    version, cases = PEERS[name](np.random.default_rng(0))
    for case in CASES:
        if only and case not in only:
            continue
        try:
            microseconds = round(measure(cases[case]), 3)
        except Exception as error:  # a peer may not be able to compile a case on this machine
            print(f"{name} {case}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
            microseconds = None
        print(json.dumps({"peer": name, "version": version, "case": case, "us": microseconds}), flush=True)


def compare(options):
    here = os.path.abspath(__file__)
    commands = {"rushlight": [options.rushlight]} | {peer: [options.python, here, peer] for peer in options.peers}
    times, versions = {}, {}
    for round_number in range(options.rounds):
        for peer, command in commands.items():
            print(f"round {round_number + 1}: {peer}", file=sys.stderr, flush=True)
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for line in printed.splitlines():
                if line.startswith("{"):
                    result = json.loads(line)
                    versions[peer] = result["version"]
                    if result["us"] is not None:
                        times.setdefault((peer, result["case"]), []).append(result["us"])
    median = {key: statistics.median(values) for key, values in times.items()}
    print(f"{platform.machine()}, two processors; medians of {options.rounds} rounds, microseconds a call\n")
    print("| case | " + " | ".join(f"{peer} {versions.get(peer, '')}" for peer in commands) + " | best peer / rushlight |")
    print("|---|" + "---|" * (len(commands) + 1))
    for case in CASES:
        cells = [median.get((peer, case)) for peer in commands]
        best = min((value for value in cells[1:] if value is not None), default=None)
        ratio = f"{best / cells[0]:.1f}" if best and cells[0] else "-"
        print(f"| {case} | " + " | ".join("-" if value is None else f"{value:.2f}" for value in cells) + f" | {ratio} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", nargs="?", choices=list(PEERS))
    parser.add_argument("--only", nargs="*", choices=CASES, help="measure only these cases of one peer")
    parser.add_argument("--rushlight", help="the compiled example overheads")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.peer:
        run_peer(options.peer, options.only)
    elif options.rushlight:
        compare(options)
    else:
        parser.error("name a peer, or --rushlight to compare with all of them")


if __name__ == "__main__":
    main()
