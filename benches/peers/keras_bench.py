#!/usr/bin/env python3
"""Times Keras on TensorFlow: forward + softmax cross-entropy + backward + SGD, on one resident random batch.

usage: keras_bench.py <net> [--batch-size 64] [--jit | --eager]      (default: a TensorFlow graph)
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
sys.dont_write_bytecode = True

from timing import arguments, report  # noqa: E402

options = arguments({"jit": "jit_compile=True (XLA)", "eager": "run_eagerly=True"})
os.environ["OMP_NUM_THREADS"] = str(options.threads)

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from keras_nets import build  # noqa: E402
from nets import NETS  # noqa: E402


def main():
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    net = NETS[options.net]
    keras.utils.set_random_seed(0)
    model = build(net)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=net["momentum"]), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=options.jit, run_eagerly=options.eager,
    )
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.standard_normal((options.batch_size, *net["input_shape"]), np.float32))
    labels = tf.constant(rng.integers(0, net["classes"], options.batch_size).astype(np.int32))

    # Keras's own step functions on resident tensors, without the data adapter around them
    train_function = wrapped(lambda: model.train_step((inputs, labels)))
    infer_function = wrapped(lambda: model(inputs, training=False))
    mode = "jit" if options.jit else "eager" if options.eager else "graph"
    report(
        "keras-tensorflow", mode, options, {"keras": keras.__version__, "tensorflow": tf.__version__},
        lambda: float(train_function()["loss"]), lambda: infer_function().numpy(),
    )


def wrapped(function):
    return function if options.eager else tf.function(function, jit_compile=options.jit)


if __name__ == "__main__":
    main()
