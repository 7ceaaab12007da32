"""Makes the small Keras files beside it, with what Keras computes from them (needs keras, tensorflow, numpy).

Each `name.keras` has a `name.npz`: inputs `input_0`…, predictions `output_0`…; for models that are compiled also
`target_0`…, `loss` (of each step of fit without shuffling, before the step's update) and the predictions after it,
`trained_0`….
"""

import os
import pathlib
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
from keras import layers, ops

HERE = pathlib.Path(__file__).parent
BATCH = 4


def values(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(model):
    """Weights that nothing guesses: biases and statistics are not zero and one."""
    generator = np.random.default_rng(7)
    for weight in model.weights:
        if "seed" in weight.path or weight.dtype == "int64":
            continue
        fresh = generator.normal(size=weight.shape, scale=0.3)
        if "variance" in weight.path:
            fresh = np.abs(fresh) + 0.5
        if "gamma" in weight.path:
            fresh = fresh + 1
        weight.assign(fresh)


class Losses(keras.callbacks.Callback):
    """Keras reports means over the epoch so far: from them the loss of each step follows, for equal batches."""

    def on_train_begin(self, logs=None):
        self.losses, self.total = [], 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.total = 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = logs["loss"] * (batch + 1)
        self.losses.append(total - self.total)
        self.total = total


def save(name, model, train_before=0, steps=0, targets=None, rows=8, ending="keras"):
    randomize(model)
    inputs = [values((rows, *i.shape[1:]), index) for index, i in enumerate(model.inputs)]
    for index, symbolic in enumerate(model.inputs):
        if "int" in str(symbolic.dtype):
            inputs[index] = np.random.default_rng(index).integers(0, 5, (rows, *symbolic.shape[1:])).astype("int32")
        if "bool" in str(symbolic.dtype):
            inputs[index] = np.random.default_rng(index).uniform(size=(rows, *symbolic.shape[1:])) < 0.7
    if name == "masks":
        inputs[0][::2, 1] = 0  # steps that the layer Masking finds
        inputs[1][:, 0] = True
    feed = inputs if len(inputs) > 1 else inputs[0]
    arrays = {f"input_{i}": x for i, x in enumerate(inputs)}
    if train_before:
        model.fit(feed, targets, epochs=train_before, batch_size=BATCH, shuffle=False, verbose=0)
    model.save(HERE / f"{name}.{ending}")

    def predictions(prefix):
        result = model.predict(feed, verbose=0)
        for i, y in enumerate(result if isinstance(result, (list, tuple)) else [result]):
            arrays[f"{prefix}_{i}"] = np.asarray(y)

    predictions("output")
    if steps:
        for i, y in enumerate(targets if isinstance(targets, list) else [targets]):
            arrays[f"target_{i}"] = y
        record = Losses()
        model.fit(feed, targets, epochs=steps, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[record])
        arrays["loss"] = np.array(record.losses)
        predictions("trained")
    np.savez(HERE / f"{name}.npz", **arrays)
    print(name, (HERE / f"{name}.{ending}").stat().st_size)


def classes(count, rows=8):
    return np.random.default_rng(3).integers(0, count, rows).astype("int32")


def sequential():
    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(6, activation="tanh"),
        layers.Dense(3, activation="softmax"),
    ])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    save("sequential", model, steps=3, targets=classes(3))


def dense_block():
    x = image = keras.Input((8, 8, 2), name="image")
    for _ in range(2):
        y = layers.BatchNormalization()(x)
        y = layers.Activation("relu")(y)
        y = layers.Conv2D(3, 3, padding="same", use_bias=False)(y)
        x = layers.Concatenate()([x, y])
    x = layers.AveragePooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(4, name="logits")(x), name="dense_block")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    save("dense_block", model, train_before=2, steps=3, targets=classes(4))


def shared_and_nested():
    inner_in = keras.Input((5,), name="inner_in")
    inner = keras.Model(inner_in, layers.Dense(4, activation="relu", name="inside")(inner_in), name="encoder")
    row = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.LayerNormalization()], name="row")
    left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    shared = layers.Dense(4, name="shared")
    a, b = inner(left), inner(right)
    joined = layers.Add()([shared(a), shared(b)]) + row(a) * 2.0 - ops.mean(b, axis=-1, keepdims=True)
    first = layers.Dense(2, name="first")(joined)
    second = layers.Dense(1, name="second", activation="sigmoid")(ops.relu(joined))
    model = keras.Model([left, right], [first, second])
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        {"first": "mse", "second": "binary_crossentropy"},
        loss_weights={"first": 0.5, "second": 2.0},
    )
    targets = [values((8, 2), 20), (values((8, 1), 21) > 0).astype("float32")]
    save("shared_and_nested", model, train_before=1, steps=3, targets=targets)


def operators():
    x = keras.Input((4, 6), name="x")
    parts = [
        1.0 - x / 3.0 + x**2,
        ops.concatenate([ops.softmax(x), ops.gelu(-x)], axis=-1)[:, :, 3:9],
        ops.transpose(ops.reshape(x, (-1, 6, 4)), (0, 2, 1)),
        ops.where(x > 0, x, 0.1 * x) * ops.expand_dims(x[:, 1], 1),
        ops.max(x, axis=1, keepdims=True) + ops.split(ops.concatenate([x, x], -1), 2, axis=-1)[1],
        ops.clip(x, -0.5, 0.5) + np.arange(6, dtype="float32"),
        ops.matmul(ops.matmul(x, ops.transpose(x, (0, 2, 1))), x),
    ]
    y = layers.Dense(2)(ops.concatenate(parts, axis=1))
    save("operators", keras.Model(x, y))


def recurrent():
    x = keras.Input((6,), dtype="int32", name="words")
    y = layers.Embedding(7, 5, mask_zero=True)(x)
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(y)
    y = layers.GRU(4)(y)
    model = keras.Model(x, layers.Dense(2)(y))
    # Of a word that comes twice, Keras on TensorFlow adds up squares of gradients where it should square their sum.
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    save("recurrent", model, train_before=1, steps=2, targets=values((8, 2), 9))


def attention():
    x = keras.Input((5, 8), name="x")
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(2, 4)(y, y, use_causal_mask=True)
    y = layers.Add()([x, y])
    y = layers.Dense(8, activation="gelu", kernel_regularizer=keras.regularizers.L2(0.01))(y)
    y = layers.GlobalAveragePooling1D()(y)
    model = keras.Model(x, layers.Dense(3)(y))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.01), "mae")
    save("attention", model, train_before=1, steps=2, targets=values((8, 3), 10))


def mobile():
    x = keras.Input((8, 8, 3), name="image")
    y = layers.Rescaling(0.5, offset=0.1)(x)
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(y)
    y = layers.SeparableConv2D(4, 3, strides=2, padding="same")(y)
    y = layers.LeakyReLU(0.2)(y)
    y = layers.UpSampling2D(2, interpolation="bilinear")(y)
    y = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(y)
    y = layers.Cropping2D(1)(layers.ZeroPadding2D(2)(y))
    y = layers.PReLU(shared_axes=[1, 2])(y)
    y = layers.Dropout(0.3)(y)
    y = layers.GroupNormalization(3)(y)
    y = layers.GlobalMaxPooling2D()(y)
    save("mobile", keras.Model(x, layers.Reshape((3, 1))(y)))


def masks():
    """Masks that come with the data, that layers find, and that are inputs of the model."""
    x, counts, pairs = keras.Input((5, 4), name="x"), keras.Input((5,), dtype="bool", name="counts"), keras.Input((5, 5), dtype="bool", name="pairs")
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x, mask=counts)
    y = layers.TimeDistributed(layers.Dense(4))(y)
    y = layers.Attention()([y, y])
    # At another rate training would be chance.
    y = layers.Dropout(0.0)(y)
    z = layers.Masking()(x)
    z = layers.Concatenate()([z, layers.GRU(3, return_sequences=True)(z)])
    y = layers.Concatenate()([y, layers.SimpleRNN(3, return_sequences=True, go_backwards=True)(z)])
    heads = layers.MultiHeadAttention(2, 3)
    # A call of this layer takes the mask from its inputs: a second one would not find it.
    other = layers.LayerNormalization()(y)
    y = layers.Add()([heads(y, y, attention_mask=pairs), heads(query=other, value=other, key=other)])
    outputs = [layers.GlobalAveragePooling1D()(y), layers.LSTM(2)(y)]
    model = keras.Model([x, counts, pairs], outputs)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    save("masks", model, steps=2, targets=[values((8, 7), 11), values((8, 2), 12)])


def legacy():
    """The old form of a whole model: HDF5 alone."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)])
    model.compile("adam", "mse")
    save("legacy", model, rows=3, ending="h5")
    model.save_weights(HERE / "legacy.weights.h5")


def legacy_trained():
    inside = [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(3, activation="relu")]
    model = keras.Sequential([keras.Input((4,)), keras.Sequential(inside), layers.BatchNormalization(), layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
    save("legacy_trained", model, train_before=2, steps=3, targets=values((8, 2), 13), ending="h5")


ALL = [sequential, dense_block, shared_and_nested, operators, recurrent, attention, mobile, masks, legacy, legacy_trained]
for make in ALL:
    if len(sys.argv) < 2 or make.__name__ in sys.argv[1:]:
        keras.utils.clear_session()
        keras.utils.set_random_seed(1)
        make()
