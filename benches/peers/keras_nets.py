"""DenseNet in Keras's functional API, from the numbers in nets.py."""

import keras
from keras import layers


def densenet(net):
    """A model that gives logits. Every layer has a name that says where it is; weights come in the order of their making."""

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


def trainable_parameters(model):
    return sum(int(w.value.shape.num_elements()) for w in model.trainable_weights)
