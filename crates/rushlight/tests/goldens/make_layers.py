#!/usr/bin/env python3
"""Makes `layers.json` and `layers.safetensors`: what every layer of Keras gives, and the gradients, in float64.

Run from anywhere, in an environment with the packages below (benches/peers/setup.sh makes one):

    python crates/rushlight/tests/goldens/make_layers.py

The files here were made with Python 3.11, keras 3.15.1 on tensorflow 2.21.0, and safetensors 0.8.0. Every number is
drawn with a generator seeded by its case's name, and is a float32 number; results are rounded to float32.
"""

import json
import os
import sys
import zlib
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.dont_write_bytecode = True

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import constraints, initializers, layers, regularizers  # noqa: E402
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

FOLDER = Path(__file__).resolve().parent
keras.config.set_floatx("float64")
CASES, TENSORS = [], {}


def store(name, value):
    value = np.array(value)
    TENSORS[name] = value.astype(np.float32) if value.dtype == np.float64 else value
    return name


def single(values):
    """Rounded to float32, kept as float64."""
    return np.asarray(values).astype(np.float32).astype(np.float64)


def as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def normal(*shape):
    return lambda rng: single(rng.standard_normal(shape))


def positive(*shape):
    return lambda rng: single(rng.uniform(0.2, 2.0, shape))


def distinct(*shape):
    """Values at least 0.05 apart, so that no maximum hangs on a rounding."""
    count = int(np.prod(shape))
    return lambda rng: single(((rng.permutation(count) - count / 2 + 0.25) * 0.0625).reshape(shape))


def integers(high, *shape):
    return lambda rng: rng.integers(0, high, shape).astype(np.int32)


def given(values, dtype=np.float64):
    return lambda rng: np.asarray(values, dtype)


def serialized(layer):
    whole = keras.saving.serialize_keras_object(layer)
    return {"class_name": whole["class_name"], "config": whole["config"]}


def call(stack, inputs, how, training, arguments):
    first, rest = stack[0], stack[1:]
    arguments = dict(arguments)
    if "training" in first._call_signature.parameters:
        arguments["training"] = training
    if how == "list":
        y = first(list(inputs), **arguments)
    elif how == "states":
        y = first(inputs[0], initial_state=list(inputs[1:]), **arguments)
    else:
        y = first(*inputs, **arguments)
    for layer in rest:
        y = layer(y, training=training) if "training" in layer._call_signature.parameters else layer(y)
    return as_list(y)


def randomize(weights, rng):
    values = []
    for weight in weights:
        low, high = (0.3, 1.5) if any(word in weight.path for word in ("variance", "scale")) else (None, None)
        value = rng.uniform(low, high, weight.shape) if low else rng.standard_normal(weight.shape) * 0.5
        weight.assign(single(value))
        values.append(single(value))
    return values


def case(name, stack, *recipes, masks=(), how="args", order=None, random=False, tolerance=2e-6, gradients=True, **arguments):
    """One case: `stack` is a layer or a list of layers, called one after the other on the drawn inputs.

    `random`: the layer draws while training, so that only inference can be compared. `order`: names of the weights in
    Rushlight's order, where a wrapper has weights beside those of its layer.
    """
    stack = as_list(stack)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    arrays = [recipe(rng) for recipe in recipes]

    def inputs():
        tensors = [tf.constant(array) for array in arrays]
        for tensor, mask in zip(tensors, masks):
            if mask is not None:
                set_keras_mask(tensor, tf.constant(np.asarray(mask, bool)))
        return tensors

    call(stack, inputs(), how, False, arguments)
    weights = [weight for layer in stack for weight in layer.weights]
    if order:
        weights.sort(key=lambda weight: order.index(weight.path.split("/")[-1]))
    first_values = randomize(weights, rng)
    outputs = call(stack, inputs(), how, False, arguments)
    masked = get_keras_mask(outputs[0])
    record = {
        "name": name,
        "layers": [serialized(layer) for layer in stack],
        "tolerance": tolerance,
        "random": random,
        "arguments": arguments,
        "inputs": [store(f"{name}/input{i}", array) for i, array in enumerate(arrays)],
        "masks": [None if mask is None else store(f"{name}/mask{i}", np.asarray(mask, bool)) for i, mask in enumerate(masks)],
        "weights": [store(f"{name}/weight{i}", value) for i, value in enumerate(first_values)],
        "weight_names": [weight.path.split("/")[-1] for weight in weights],
        "trainable": [bool(weight.trainable) for weight in weights],
        "outputs": [store(f"{name}/output{i}", output) for i, output in enumerate(outputs)],
        "output_mask": None if masked is None else store(f"{name}/output_mask", masked),
    }
    tensors = inputs()
    floats = [i for i, tensor in enumerate(tensors) if tensor.dtype.is_floating]
    trained = [i for i, weight in enumerate(weights) if weight.trainable]
    with tf.GradientTape() as tape:
        for i in floats:
            tape.watch(tensors[i])
        outputs = call(stack, tensors, how, not random, arguments)
        cotangents = [single(rng.standard_normal(output.shape)) for output in outputs]
        total = sum(tf.reduce_sum(tf.cast(output, tf.float64) * cotangent) for output, cotangent in zip(outputs, cotangents) if output.dtype.is_floating)
        losses = [loss for layer in stack for loss in layer.losses]
        if losses:
            total += sum(losses)
    record["losses"] = float(sum(losses)) if losses else None
    if not random:
        record["training_outputs"] = [store(f"{name}/training_output{i}", output) for i, output in enumerate(outputs)]
        record["weights_after"] = [
            None if weight.trainable and np.array_equal(weight.numpy(), value) else store(f"{name}/after{i}", weight.numpy())
            for i, (weight, value) in enumerate(zip(weights, first_values))
        ]
    if gradients:
        sources = [tensors[i] for i in floats] + [weights[i].value for i in trained]
        found = tape.gradient(total, sources)
        zeros = [np.zeros(source.shape) if g is None else tf.convert_to_tensor(g).numpy() for g, source in zip(found, sources)]
        record["cotangents"] = [store(f"{name}/cotangent{i}", cotangent) for i, cotangent in enumerate(cotangents)]
        record["input_gradients"] = {str(i): store(f"{name}/input_gradient{i}", g) for i, g in zip(floats, zeros)}
        record["weight_gradients"] = {str(i): store(f"{name}/weight_gradient{i}", g) for i, g in zip(trained, zeros[len(floats):])}
    CASES.append(record)


def orthogonal(mode):
    regularizer = regularizers.OrthogonalRegularizer(0.5, mode)
    regularizer.factor = tf.constant(0.5, tf.float64)  # Keras makes a float32 of it, whatever floats are.
    return regularizer


def sparsemax(x, axis=-1):
    """By the paper: Keras 3.15 on TensorFlow adds up the cumulated sums, and its rows do not sum to 1."""
    descending = tf.sort(x, direction="DESCENDING", axis=axis)
    places = tf.range(1, x.shape[axis] + 1, dtype=x.dtype)
    inside = 1 + places * descending > tf.cumsum(descending, axis=axis)
    count = tf.reduce_sum(tf.cast(inside, x.dtype), axis=axis, keepdims=True)
    total = tf.reduce_sum(tf.where(inside, descending, tf.zeros_like(x)), axis=axis, keepdims=True)
    return tf.nn.relu(x - (total - 1) / count)


keras.src.backend.nn.sparsemax = sparsemax


def core():
    case("dense", layers.Dense(4), normal(3, 5))
    case("dense relu no bias", layers.Dense(4, activation="relu", use_bias=False), normal(2, 3, 5))
    case("dense regularized", layers.Dense(4, kernel_regularizer=regularizers.L1L2(0.1, 0.2), bias_regularizer="l2",
         activity_regularizer=regularizers.L1(0.3), kernel_constraint=constraints.MaxNorm(1.5),
         bias_constraint="non_neg", kernel_initializer=initializers.HeNormal(seed=3)), normal(3, 5))
    case("dense orthogonal regularizer", layers.Dense(4, kernel_regularizer=orthogonal("columns"),
         kernel_constraint=constraints.MinMaxNorm(0.5, 1.5, 0.7, axis=1), bias_constraint=constraints.UnitNorm()), normal(3, 5))
    case("dense orthogonal rows", layers.Dense(4, kernel_regularizer=orthogonal("rows")), normal(3, 5))
    case("dense prelu", layers.Dense(4, activation=layers.PReLU()), normal(3, 5))
    case("dense leaky", layers.Dense(4, activation=layers.LeakyReLU(0.1)), normal(3, 5))
    frozen = layers.Dense(4)
    frozen.trainable = False
    case("dense frozen", frozen, normal(3, 5))
    case("einsum dense", layers.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d"), normal(2, 4, 5))
    case("einsum dense heads", layers.EinsumDense("abc,cde->abde", output_shape=(4, 3, 2), bias_axes="de", activation="tanh"), normal(2, 4, 5))
    case("einsum dense left", layers.EinsumDense("...x,xy->...y", output_shape=6, bias_axes="y"), normal(2, 4, 5))
    case("einsum dense right", layers.EinsumDense("ab...,bc->ac...", output_shape=6, bias_axes="c"), normal(2, 5, 4, 3))
    case("embedding", layers.Embedding(7, 3), integers(7, 2, 4))
    case("embedding mask", [layers.Embedding(7, 3, mask_zero=True, embeddings_regularizer="l2"), layers.GlobalAveragePooling1D()], given([[1, 0, 2, 0], [3, 4, 5, 0]], np.int32))
    case("embedding of floats", layers.Embedding(7, 3), given([[1.0, 0.0], [6.0, 3.0]]))
    case("identity", layers.Identity(), normal(2, 3))
    case("masking", [layers.Masking(0.0), layers.GlobalAveragePooling1D()], given([[[1, 2], [0, 0], [3, 0]], [[0, 0], [0, 5], [1, 1]]]))
    case("masking value", layers.Masking(-1.0), given([[[1, 2], [-1, -1], [3, -1]]]))


ACTIVATIONS = """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus
tanh tanh_shrink""".split()


def activations():
    for name in ACTIVATIONS:
        case(f"activation {name}", layers.Activation(name), lambda rng: single(rng.standard_normal((3, 6)) * 2.0))
    case("relu", layers.ReLU(), normal(3, 6))
    case("relu settings", layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.3), normal(4, 6))
    case("leaky relu", layers.LeakyReLU(), normal(3, 6))
    case("elu", layers.ELU(0.7), normal(3, 6))
    case("prelu", layers.PReLU(), normal(2, 3, 4))
    case("prelu shared", layers.PReLU(alpha_initializer=initializers.Constant(0.2), alpha_regularizer="l1", shared_axes=[1, 2]), normal(2, 3, 4, 2))
    case("softmax", layers.Softmax(), normal(3, 6))
    case("softmax axis", layers.Softmax(axis=1), normal(2, 3, 4))
    case("softmax axes", layers.Softmax(axis=[1, 2]), normal(2, 3, 4))


def convolutions():
    case("conv1d", layers.Conv1D(4, 3), normal(2, 8, 3))
    case("conv1d same", layers.Conv1D(4, 3, strides=2, padding="same", activation="relu"), normal(2, 9, 3))
    case("conv1d causal", layers.Conv1D(4, 3, padding="causal", dilation_rate=2), normal(2, 8, 3))
    case("conv1d causal strides", layers.Conv1D(4, 3, padding="causal", strides=2, use_bias=False), normal(2, 8, 3))
    case("conv1d groups", layers.Conv1D(4, 3, groups=2), normal(2, 8, 4))
    case("conv2d", layers.Conv2D(4, 3), normal(2, 6, 5, 3))
    case("conv2d same", layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", kernel_regularizer="l2", kernel_constraint=constraints.MaxNorm(2, axis=[0, 1, 2])), normal(2, 6, 5, 3))
    case("conv2d dilated", layers.Conv2D(4, 2, dilation_rate=(2, 1), padding="same", use_bias=False), normal(2, 6, 5, 3))
    case("conv2d groups", layers.Conv2D(6, 3, groups=3, activation="tanh"), normal(2, 6, 5, 6))
    case("conv3d", layers.Conv3D(3, 2), normal(2, 4, 3, 5, 2))
    case("conv3d same", layers.Conv3D(3, (3, 2, 2), strides=(1, 2, 1), padding="same"), normal(2, 4, 3, 5, 2))
    case("conv1d transpose", layers.Conv1DTranspose(4, 3), normal(2, 5, 3))
    case("conv1d transpose same", layers.Conv1DTranspose(4, 3, strides=2, padding="same", activation="relu"), normal(2, 5, 3))
    case("conv1d transpose output padding", layers.Conv1DTranspose(4, 3, strides=3, output_padding=1), normal(2, 5, 3))
    case("conv2d transpose", layers.Conv2DTranspose(4, 3, strides=2), normal(2, 4, 3, 3))
    case("conv2d transpose same", layers.Conv2DTranspose(4, (3, 2), strides=(2, 3), padding="same", use_bias=False), normal(2, 4, 3, 3))
    case("conv2d transpose same output padding", layers.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1), normal(2, 4, 3, 3))
    case("conv3d transpose", layers.Conv3DTranspose(2, 2, strides=(1, 2, 1)), normal(1, 3, 2, 3, 2))
    case("conv3d transpose same", layers.Conv3DTranspose(2, 3, strides=2, padding="same"), normal(1, 2, 2, 3, 2))
    case("depthwise conv1d", layers.DepthwiseConv1D(3, depth_multiplier=2), normal(2, 8, 3))
    case("depthwise conv1d same", layers.DepthwiseConv1D(3, strides=2, padding="same"), normal(2, 8, 3))
    case("depthwise conv2d", layers.DepthwiseConv2D(3), normal(2, 6, 5, 3))
    case("depthwise conv2d same", layers.DepthwiseConv2D((3, 2), strides=2, padding="same", depth_multiplier=2, activation="relu", depthwise_regularizer="l2"), normal(2, 6, 5, 3))
    case("depthwise conv2d dilated", layers.DepthwiseConv2D(2, dilation_rate=2, use_bias=False), normal(2, 6, 5, 3))
    case("separable conv1d", layers.SeparableConv1D(4, 3, depth_multiplier=2), normal(2, 8, 3))
    case("separable conv1d same", layers.SeparableConv1D(4, 3, padding="same", strides=2), normal(2, 8, 3))
    case("separable conv2d", layers.SeparableConv2D(4, 3, padding="same", activation="relu"), normal(2, 6, 5, 3))
    case("separable conv2d strides", layers.SeparableConv2D(4, 3, strides=2, depth_multiplier=2, use_bias=False, pointwise_regularizer="l1"), normal(2, 6, 5, 3))


def pooling():
    shapes = {1: (2, 7, 3), 2: (2, 7, 5, 3), 3: (2, 5, 4, 6, 2)}
    for rank, shape in shapes.items():
        for kind in ("Max", "Average"):
            pool = getattr(layers, f"{kind}Pooling{rank}D")
            # TensorFlow has three axes in single precision only.
            dtype = {"dtype": "float32"} if rank == 3 else {}
            case(f"{kind.lower()} pooling {rank}d", pool(2, **dtype), distinct(*shape))
            case(f"{kind.lower()} pooling {rank}d same", pool(3, strides=2, padding="same", **dtype), distinct(*shape))
            case(f"{kind.lower()} pooling {rank}d overlapping", pool(3, strides=1, **dtype), distinct(*shape))
            whole = getattr(layers, f"Global{kind}Pooling{rank}D")
            case(f"global {kind.lower()} pooling {rank}d", whole(), distinct(*shape))
            case(f"global {kind.lower()} pooling {rank}d keepdims", whole(keepdims=True), distinct(*shape))
            adaptive = getattr(layers, f"Adaptive{kind}Pooling{rank}D")
            case(f"adaptive {kind.lower()} pooling {rank}d", adaptive(3, **dtype), distinct(*shape))
    case("adaptive average pooling 2d sizes", layers.AdaptiveAveragePooling2D((4, 2)), distinct(2, 7, 5, 3))
    case("global average pooling 1d mask", layers.GlobalAveragePooling1D(), normal(2, 3, 2), masks=[[[1, 1, 0], [0, 1, 0]]])


def normalizations():
    case("batch normalization", layers.BatchNormalization(), normal(4, 3))
    case("batch normalization images", layers.BatchNormalization(momentum=0.8, epsilon=1e-2, gamma_regularizer="l2"), normal(3, 4, 2, 3))
    case("batch normalization axis", layers.BatchNormalization(axis=1, scale=False), normal(3, 4, 2, 3))
    case("batch normalization no center", layers.BatchNormalization(center=False), normal(4, 3))
    case("batch normalization mask", layers.BatchNormalization(momentum=0.5), normal(3, 4, 2), masks=[[[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]], tolerance=1e-5)
    frozen = layers.BatchNormalization()
    frozen.trainable = False
    case("batch normalization frozen", frozen, normal(4, 3))
    case("layer normalization", layers.LayerNormalization(), normal(3, 5))
    case("layer normalization axes", layers.LayerNormalization(axis=[1, 2], epsilon=1e-2), normal(2, 3, 4))
    case("layer normalization plain", layers.LayerNormalization(center=False, scale=False), normal(2, 3, 4))
    case("rms normalization", layers.RMSNormalization(), normal(3, 5))
    case("rms normalization axes", layers.RMSNormalization(axis=[1, 2], epsilon=1e-2), normal(2, 3, 4))
    case("group normalization", layers.GroupNormalization(groups=2), normal(2, 3, 4, 6))
    case("group normalization instance", layers.GroupNormalization(groups=-1, center=False), normal(2, 5, 6))
    case("group normalization axis", layers.GroupNormalization(groups=2, axis=1, scale=False), normal(2, 4, 3))
    case("unit normalization", layers.UnitNormalization(), normal(3, 5))
    case("unit normalization axes", layers.UnitNormalization(axis=[1, 2]), normal(2, 3, 4))
    spectral = ["vector_u", "kernel", "bias"]
    case("spectral normalization", layers.SpectralNormalization(layers.Dense(4)), normal(3, 5), gradients=False, order=spectral)
    case("spectral normalization conv", layers.SpectralNormalization(layers.Conv2D(4, 2), power_iterations=3), normal(2, 4, 4, 3), gradients=False, order=spectral)


def regularization():
    case("dropout", layers.Dropout(0.4, seed=3), normal(3, 5), random=True)
    case("dropout noise shape", layers.Dropout(0.4, noise_shape=(None, 1, None)), normal(3, 4, 5), random=True)
    case("dropout of nothing", layers.Dropout(0.0), normal(3, 5))
    case("spatial dropout 1d", layers.SpatialDropout1D(0.4), normal(3, 4, 5), random=True)
    case("spatial dropout 2d", layers.SpatialDropout2D(0.4), normal(3, 4, 2, 5), random=True)
    case("spatial dropout 3d", layers.SpatialDropout3D(0.4), normal(3, 4, 2, 2, 5), random=True)
    case("gaussian noise", layers.GaussianNoise(0.4, seed=7), normal(3, 5), random=True)
    case("gaussian dropout", layers.GaussianDropout(0.4), normal(3, 5), random=True)
    case("alpha dropout", layers.AlphaDropout(0.4), normal(3, 5), random=True)
    case("activity regularization", layers.ActivityRegularization(l1=0.1, l2=0.2), normal(3, 5))


def merging():
    two = (distinct(2, 3, 4), normal(2, 3, 4))
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        case(name.lower(), getattr(layers, name)(), *two, how="list")
        case(f"{name.lower()} broadcast", getattr(layers, name)(), distinct(2, 3, 4), normal(2, 1, 4), how="list")
    case("add three", layers.Add(), normal(2, 3), normal(2, 3), normal(2, 3), how="list")
    case("add ranks", layers.Add(), normal(2, 3, 4), normal(2, 4), how="list")
    case("average three", layers.Average(), normal(2, 3), normal(2, 3), normal(2, 3), how="list")
    case("add masks", layers.Add(), normal(2, 3, 2), normal(2, 3, 2), how="list", masks=[[[1, 0, 0], [1, 1, 0]], [[0, 1, 0], [0, 1, 0]]])
    case("concatenate", layers.Concatenate(), normal(2, 3), normal(2, 4), how="list")
    case("concatenate axis", layers.Concatenate(axis=1), normal(2, 3, 2), normal(2, 1, 2), normal(2, 2, 2), how="list")
    case("concatenate masks", layers.Concatenate(axis=1), normal(2, 3, 2), normal(2, 2, 2), how="list", masks=[[[1, 0, 0], [1, 1, 0]], None])
    case("dot", layers.Dot(axes=1), normal(2, 5), normal(2, 5), how="list")
    case("dot matrices", layers.Dot(axes=(2, 1)), normal(2, 3, 5), normal(2, 5, 4), how="list")
    case("dot normalize", layers.Dot(axes=-1, normalize=True), normal(2, 3, 5), normal(2, 4, 5), how="list")
    case("dot vector", layers.Dot(axes=(1, 2)), normal(2, 5), normal(2, 4, 5), how="list")


def reshaping():
    case("flatten", layers.Flatten(), normal(2, 3, 4))
    case("flatten vector", layers.Flatten(), normal(3))
    case("reshape", layers.Reshape((4, -1)), normal(2, 3, 8))
    case("permute", layers.Permute((3, 1, 2)), normal(2, 3, 4, 5))
    case("repeat vector", layers.RepeatVector(3), normal(2, 4))
    case("zero padding 1d", layers.ZeroPadding1D((1, 2)), normal(2, 4, 3))
    case("zero padding 2d", layers.ZeroPadding2D(((1, 0), (2, 1))), normal(2, 4, 3, 2))
    case("zero padding 3d", layers.ZeroPadding3D((1, 0, 2)), normal(2, 2, 3, 2, 2))
    case("cropping 1d", layers.Cropping1D(1), normal(2, 6, 3))
    case("cropping 2d", layers.Cropping2D(((1, 0), (0, 2))), normal(2, 5, 6, 2))
    case("cropping 3d", layers.Cropping3D((1, 0, 1)), normal(2, 4, 3, 5, 2))
    case("up sampling 1d", layers.UpSampling1D(3), normal(2, 4, 3))
    case("up sampling 2d", layers.UpSampling2D((2, 3)), normal(2, 4, 3, 2))
    case("up sampling 2d bilinear", layers.UpSampling2D((2, 3), interpolation="bilinear"), normal(2, 4, 3, 2), tolerance=1e-5, gradients=False)
    case("up sampling 3d", layers.UpSampling3D((1, 2, 2)), normal(2, 2, 3, 2, 2))


def images():
    resize = dict(tolerance=1e-5, gradients=False)
    case("resizing", layers.Resizing(5, 7), normal(2, 4, 3, 2), **resize)
    case("resizing down", layers.Resizing(3, 2), normal(2, 7, 6, 2), **resize)
    case("resizing nearest", layers.Resizing(5, 7, interpolation="nearest"), normal(2, 4, 3, 2), **resize)
    case("resizing crop", layers.Resizing(4, 4, crop_to_aspect_ratio=True), normal(2, 8, 5, 2), **resize)
    case("rescaling", layers.Rescaling(1 / 255.0, offset=-0.5), normal(2, 4, 3, 2))
    case("rescaling channels", layers.Rescaling([0.5, 2.0], offset=[1.0, -1.0]), normal(2, 4, 3, 2))
    case("normalization given", layers.Normalization(mean=[0.3, -0.5, 1.0], variance=[2.0, 0.4, 1.5]), normal(4, 3))
    case("normalization inverted", layers.Normalization(mean=0.3, variance=2.0, axis=None, invert=True), normal(4, 3))
    case("center crop", layers.CenterCrop(3, 4), normal(2, 6, 7, 2), gradients=False)
    case("center crop resized", layers.CenterCrop(5, 4), normal(2, 4, 7, 2), **resize)
    noise = dict(random=True, gradients=False)
    case("random flip", layers.RandomFlip("horizontal"), normal(2, 4, 5, 3), **noise)
    # Of larger images Keras gives the whole in inference, and Rushlight the middle, which has the promised shape.
    case("random crop", layers.RandomCrop(3, 4), normal(2, 3, 4, 2), **noise)
    case("random translation", layers.RandomTranslation(0.2, (-0.1, 0.3)), normal(2, 4, 5, 3), **noise)
    case("random rotation", layers.RandomRotation(0.2), normal(2, 4, 5, 3), **noise)
    case("random zoom", layers.RandomZoom(0.2, (-0.1, 0.3)), normal(2, 4, 5, 3), **noise)
    case("random contrast", layers.RandomContrast(0.2), positive(2, 4, 5, 3), **noise)
    case("random brightness", layers.RandomBrightness(0.2, value_range=(0, 1)), positive(2, 4, 5, 3), **noise)


def recurrent():
    mask = [[[1, 1, 0, 1], [0, 1, 1, 0]]]
    for name in ("SimpleRNN", "LSTM", "GRU"):
        rnn, low = getattr(layers, name), name.lower()
        case(low, rnn(3), normal(2, 4, 5))
        case(f"{low} sequences", rnn(3, return_sequences=True, use_bias=False), normal(2, 4, 5))
        case(f"{low} state", rnn(3, return_sequences=True, return_state=True, go_backwards=True), normal(2, 4, 5))
        case(f"{low} activation", rnn(3, activation="relu", kernel_regularizer="l2", recurrent_regularizer="l1", activity_regularizer="l2"), normal(2, 4, 5))
        case(f"{low} mask", rnn(3, return_sequences=True, return_state=True), normal(2, 4, 5), masks=mask)
        case(f"{low} mask last", rnn(3, go_backwards=True), normal(2, 4, 5), masks=mask)
        states = [normal(2, 3)] * (2 if name == "LSTM" else 1)
        case(f"{low} initial state", rnn(3, return_state=True), normal(2, 4, 5), *states, how="states")
        case(f"{low} dropout", rnn(3, dropout=0.3, recurrent_dropout=0.2, seed=5), normal(2, 4, 5), random=True)
    case("lstm hard", layers.LSTM(3, recurrent_activation="hard_sigmoid", unit_forget_bias=False), normal(2, 4, 5))
    case("lstm zero output", layers.LSTM(3, return_sequences=True, zero_output_for_mask=True), normal(2, 4, 5), masks=mask)
    case("gru reset before", layers.GRU(3, reset_after=False, return_sequences=True), normal(2, 4, 5))
    case("embedding lstm", [layers.Embedding(7, 4, mask_zero=True), layers.LSTM(3, return_sequences=True), layers.Dense(2), layers.GRU(3)],
         given([[1, 0, 2, 5], [3, 4, 0, 0]], np.int32))
    case("bidirectional lstm", layers.Bidirectional(layers.LSTM(3, return_sequences=True)), normal(2, 4, 5))
    case("bidirectional gru last", layers.Bidirectional(layers.GRU(3), merge_mode="sum"), normal(2, 4, 5))
    case("bidirectional average", layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True), merge_mode="ave"), normal(2, 4, 5))
    case("bidirectional product", layers.Bidirectional(layers.SimpleRNN(3), merge_mode="mul"), normal(2, 4, 5))
    case("bidirectional both", layers.Bidirectional(layers.SimpleRNN(3), merge_mode=None), normal(2, 4, 5))
    case("bidirectional state", layers.Bidirectional(layers.LSTM(3, return_state=True)), normal(2, 4, 5))
    case("bidirectional mask", layers.Bidirectional(layers.LSTM(3, return_sequences=True)), normal(2, 4, 5), masks=mask)
    case("time distributed dense", layers.TimeDistributed(layers.Dense(3, activation="relu")), normal(2, 4, 5))
    case("time distributed conv", layers.TimeDistributed(layers.Conv2D(2, 2)), normal(2, 3, 4, 4, 2))


def attentions():
    q, v, k = normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 4)
    case("attention", layers.Attention(), q, v, how="list")
    case("attention key", layers.Attention(use_scale=True), q, v, k, how="list")
    case("attention concat", layers.Attention(score_mode="concat"), q, v, k, how="list")
    case("attention causal", layers.Attention(), normal(2, 4, 3), normal(2, 4, 3), how="list", use_causal_mask=True)
    case("attention masks", layers.Attention(), q, v, how="list", masks=[[[1, 1, 0], [1, 0, 0]], [[1, 1, 1, 0, 0], [1, 0, 1, 0, 1]]])
    case("additive attention", layers.AdditiveAttention(), q, v, how="list")
    case("additive attention plain", layers.AdditiveAttention(use_scale=False), q, v, k, how="list")
    case("multi head attention", layers.MultiHeadAttention(2, 3), normal(2, 3, 4), normal(2, 5, 4))
    case("multi head attention settings", layers.MultiHeadAttention(2, 3, value_dim=5, use_bias=False, output_shape=7), normal(2, 3, 4), normal(2, 5, 6), normal(2, 5, 8))
    case("multi head attention causal", layers.MultiHeadAttention(2, 3), normal(2, 4, 4), normal(2, 4, 4), use_causal_mask=True)
    case("multi head attention masks", layers.MultiHeadAttention(2, 3), normal(2, 3, 4), normal(2, 5, 4), masks=[[[1, 1, 0], [1, 0, 0]], [[1, 1, 1, 0, 0], [1, 0, 1, 0, 1]]])
    case("multi head attention axes", layers.MultiHeadAttention(2, 3, attention_axes=(1, 2)), normal(2, 3, 2, 4), normal(2, 3, 2, 4))
    case("multi head attention dropout", layers.MultiHeadAttention(2, 3, dropout=0.3), normal(2, 3, 4), normal(2, 5, 4), random=True)
    case("group query attention", layers.GroupQueryAttention(3, 4, 2), normal(2, 3, 4), normal(2, 5, 4))
    case("group query attention causal", layers.GroupQueryAttention(3, 4, 2, use_bias=False), normal(2, 4, 6), normal(2, 4, 6), use_causal_mask=True)


def main():
    for family in (core, activations, convolutions, pooling, normalizations, regularization, merging, reshaping, images, recurrent, attentions):
        before = len(CASES)
        family()
        print(f"{family.__name__}: {len(CASES) - before} cases")
    made_with = f"python {sys.version.split()[0]}, keras {keras.__version__}, tensorflow {tf.__version__}, numpy {np.__version__}"
    save_file(TENSORS, FOLDER / "layers.safetensors", metadata={"made_with": made_with})
    lines = ",\n".join(json.dumps(record, separators=(",", ":")) for record in CASES)
    (FOLDER / "layers.json").write_text(f'{{"made_with":{json.dumps(made_with)},"cases":[\n{lines}\n]}}\n')
    for file in ("layers.safetensors", "layers.json"):
        print(f"{file}: {(FOLDER / file).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
