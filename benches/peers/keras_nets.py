"""The nets in Keras's functional API, from the numbers in nets.py."""

import math

import keras
from keras import layers


def build(net):
    """A model that gives logits."""
    builders = [densenet, vgg, resnet, mobilenet, lstm, transformer, mlp]
    model = {builder.__name__: builder for builder in builders}[net["kind"]](net)
    assert trainable_parameters(model) == net["parameters"]
    return model


def densenet(net):
    """Every layer has a name that says where it is; weights come in the order of their making."""

    def normalized(x, name):
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))

    def convolution(x, filters, size, name, **options):
        return layers.Conv2D(filters, size, padding="same", use_bias=False, name=f"{name}_conv", **options)(x)

    image = layers.Input(net["input_shape"], name="image")
    if net["stem"] == "imagenet":
        x = layers.ZeroPadding2D(3)(image)
        x = layers.Conv2D(net["first_filters"], 7, strides=2, use_bias=False, name="first_conv")(x)
        x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(normalized(x, "first")))
    else:
        x = convolution(image, net["first_filters"], 3, "first")
    for b, count in enumerate(net["layers"]):
        for i in range(count):
            name = f"block{b}_layer{i}"
            y = x
            if net["bottleneck"]:
                y = convolution(normalized(y, f"{name}_narrow"), 4 * net["growth"], 1, f"{name}_narrow")
            y = convolution(normalized(y, name), net["growth"], 3, name)
            x = layers.Concatenate(name=f"{name}_concat")([x, y])
        if b + 1 < len(net["layers"]):
            name = f"transition{b}"
            x = convolution(normalized(x, name), int(x.shape[-1] * net["compression"]), 1, name)
            x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(normalized(x, "last"))
    return keras.Model(image, layers.Dense(net["classes"], name="classes")(x))


def vgg(net):
    image = x = layers.Input(net["input_shape"])
    for filters in net["blocks"]:
        for count in filters:
            x = layers.Conv2D(count, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for units in net["dense"]:
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(image, layers.Dense(net["classes"])(x))


def resnet(net):
    def convolution(x, filters, size, stride):
        x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    image = layers.Input(net["input_shape"])
    channels = net["stages"][0][0]
    x = layers.ReLU()(convolution(image, channels, 3, 1))
    for stage, (filters, blocks) in enumerate(net["stages"]):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            y = layers.ReLU()(convolution(x, filters, 3, stride))
            y = convolution(y, filters, 3, 1)
            shortcut = x if stride == 1 and channels == filters else convolution(x, filters, 1, stride)
            x, channels = layers.ReLU()(layers.Add()([y, shortcut])), filters
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(net["classes"])(x))


def mobilenet(net):
    def rectified(x):
        return layers.ReLU()(layers.BatchNormalization()(x))

    image = layers.Input(net["input_shape"])
    x = rectified(layers.Conv2D(net["first_filters"], 3, padding="same", use_bias=False)(image))
    for filters, stride in net["blocks"]:
        x = rectified(layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x))
        x = rectified(layers.Conv2D(filters, 1, padding="same", use_bias=False)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(net["classes"])(x))


def lstm(net):
    sequence = layers.Input(net["input_shape"])
    return keras.Model(sequence, layers.Dense(net["classes"])(layers.LSTM(net["units"])(sequence)))


def transformer(net):
    sequence = layers.Input(net["input_shape"])
    x = layers.Dense(net["width"])(sequence)
    for _ in range(net["blocks"]):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(net["heads"], net["width"] // net["heads"])(y, y)])
        y = layers.Dense(net["hidden"], activation="relu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(net["width"])(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(sequence, layers.Dense(net["classes"])(x))


def mlp(net):
    features = x = layers.Input(net["input_shape"])
    for units in net["hidden"]:
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(features, layers.Dense(net["classes"])(x))


def trainable_parameters(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)
