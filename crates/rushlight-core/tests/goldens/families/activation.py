"""The activations that are composed of elementwise functions; Keras confirms each."""

import keras
import torch.nn.functional as F

from recorder import uniform


def record(recorder):
    in_keras = keras.activations
    for op, function, reference, attributes in (
        ("elu", F.elu, in_keras.elu, {"alpha": 1.0}),
        ("elu", lambda x: F.elu(x, 0.5), lambda x: in_keras.elu(x, 0.5), {"alpha": 0.5}),
        ("celu", F.celu, in_keras.celu, {"alpha": 1.0}),
        ("celu", lambda x: F.celu(x, 2.0), lambda x: in_keras.celu(x, 2.0), {"alpha": 2.0}),
        ("selu", F.selu, in_keras.selu, {}),
        # a slope that float32 holds exactly, since TensorFlow rounds it
        ("leaky_relu", lambda x: F.leaky_relu(x, 0.25), lambda x: in_keras.leaky_relu(x, 0.25), {"negative_slope": 0.25}),
        ("relu6", F.relu6, in_keras.relu6, {}),
        # not F.hardsigmoid, whose gradient takes a float32 sixth also in float64
        ("hard_sigmoid", lambda x: F.relu6(x + 3) / 6, in_keras.hard_sigmoid, {}),
        ("hard_silu", F.hardswish, in_keras.hard_silu, {}),
        ("hard_tanh", F.hardtanh, in_keras.hard_tanh, {}),
        ("mish", F.mish, in_keras.mish, {}),
        ("softsign", F.softsign, in_keras.softsign, {}),
        ("tanh_shrink", F.tanhshrink, in_keras.tanh_shrink, {}),
        ("log_sigmoid", F.logsigmoid, in_keras.log_sigmoid, {}),
    ):
        label = "_".join(["matrix", *map(str, attributes.values())])
        for kind, spread in ((label, 8.0), (f"{label}_near_zero", 0.9)):
            recorder.case(
                f"{op}/{kind}", op, function, [uniform(-spread, spread, 5, 21)], attributes, scale=0.1,
                reference=lambda x: keras.ops.convert_to_numpy(reference(x)),
            )
