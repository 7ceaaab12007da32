"""The nets of the comparison, as numbers: what each framework's builder is given.

`layers` counts the dense layers of each block; `bottleneck` puts a 1×1 convolution to 4·growth before each 3×3 one.
`parameters` is the number of trainable ones, which the builders are held to.
"""

NETS = {
    "small": {
        "input_shape": [32, 32, 3], "stem": "cifar", "first_filters": 24, "layers": [4, 4, 4], "growth": 12,
        "bottleneck": False, "compression": 0.5, "classes": 10, "parameters": 76_810,
    },
    "densenet-40-12": {
        "input_shape": [32, 32, 3], "stem": "cifar", "first_filters": 16, "layers": [12, 12, 12], "growth": 12,
        "bottleneck": False, "compression": 1.0, "classes": 10, "parameters": 1_019_722,
    },
    "densenet-bc-100-12": {
        "input_shape": [32, 32, 3], "stem": "cifar", "first_filters": 24, "layers": [16, 16, 16], "growth": 12,
        "bottleneck": True, "compression": 0.5, "classes": 10, "parameters": 769_162,
    },
    "densenet-121": {
        "input_shape": [224, 224, 3], "stem": "imagenet", "first_filters": 64, "layers": [6, 12, 24, 16], "growth": 32,
        "bottleneck": True, "compression": 0.5, "classes": 1000, "parameters": 7_978_856,
    },
}
