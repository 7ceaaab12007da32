"""The nets of the comparison, as numbers: what each framework's builder is given.

`kind` says which builder. Of a DenseNet, `layers` counts the dense layers of each block; `bottleneck` puts a 1×1
convolution to 4·growth before each 3×3 one. A `vgg` has 3×3 convolutions with ReLU of so many filters in `blocks`, 2×2
max pooling behind each block, then `dense` layers. A `resnet` has `stages` of (filters, blocks of two 3×3
convolutions), the later ones halve the image. A `mobilenet` has `blocks` of (filters, stride): a depthwise 3×3 convolution
of that stride and a 1×1 one, each with normalization and ReLU. An `lstm` has one layer of so many `units`, whose last
output is classified. A `transformer` has `blocks` of multi-head attention and two dense layers, normalized before and
added; the mean over the steps is classified. An `mlp` has `hidden` layers with ReLU. All end in logits.
`parameters` is the number of trainable ones, which the builders are held to; `momentum` that of SGD.
"""

CIFAR = {"input_shape": [32, 32, 3], "classes": 10, "momentum": 0.9}
DENSENET = CIFAR | {"kind": "densenet", "stem": "cifar", "growth": 12, "bottleneck": False, "compression": 1.0}

NETS = {
    "small": DENSENET | {"first_filters": 24, "layers": [4, 4, 4], "compression": 0.5, "parameters": 76_810},
    "densenet-40-12": DENSENET | {"first_filters": 16, "layers": [12, 12, 12], "parameters": 1_019_722},
    "densenet-bc-100-12": DENSENET | {
        "first_filters": 24, "layers": [16, 16, 16], "bottleneck": True, "compression": 0.5, "parameters": 769_162,
    },
    "densenet-121": DENSENET | {
        "input_shape": [224, 224, 3], "stem": "imagenet", "first_filters": 64, "layers": [6, 12, 24, 16], "growth": 32,
        "bottleneck": True, "compression": 0.5, "classes": 1000, "parameters": 7_978_856,
    },
    "vgg-32": CIFAR | {"kind": "vgg", "blocks": [[64, 64], [128, 128], [256, 256]], "dense": [256], "parameters": 2_196_810},
    "resnet-18": CIFAR | {"kind": "resnet", "stages": [(64, 2), (128, 2), (256, 2), (512, 2)], "parameters": 11_173_962},
    "mobilenet-32": CIFAR | {
        "kind": "mobilenet", "first_filters": 32, "parameters": 543_050,
        "blocks": [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)],
    },
    "lstm-28-128": {"kind": "lstm", "input_shape": [28, 28], "units": 128, "classes": 10, "momentum": 0.9, "parameters": 81_674},
    "transformer-64-128": {
        "kind": "transformer", "input_shape": [64, 32], "blocks": 2, "heads": 4, "width": 128, "hidden": 512, "classes": 10,
        "momentum": 0.9, "parameters": 402_314,
    },
    "mlp-784-512-512-10": {
        "kind": "mlp", "input_shape": [784], "hidden": [512, 512], "classes": 10, "momentum": 0.9, "parameters": 669_706,
    },
    "mlp-784-128-10": {"kind": "mlp", "input_shape": [784], "hidden": [128], "classes": 10, "momentum": 0.0, "parameters": 101_770},
    "mlp-16-16-4": {"kind": "mlp", "input_shape": [16], "hidden": [16], "classes": 4, "momentum": 0.0, "parameters": 340},
}
