"""Window maxima and averages, and pools over all cells."""

import numpy as np
import tensorflow as tf
import torch
import torch.nn.functional as F

from families.convolution import channels_first, channels_last, explicit, pad_spatial
from recorder import distinct, normal

MAXIMUM = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def pool(x, kind, size, strides, padding):
    rank = len(size)
    pads = explicit(padding, x.shape[1:-1], size, strides, [1] * rank)
    x = channels_first(x)
    if kind == "max":
        return channels_last(MAXIMUM[rank](pad_spatial(x, pads, float("-inf")), size, strides))
    # only real cells count: an average of the ones tells how many there were
    real = AVERAGE[rank](pad_spatial(torch.ones_like(x), pads), size, strides)
    return channels_last(AVERAGE[rank](pad_spatial(x, pads), size, strides) / real)


def record(recorder):
    for kind, recipe in (("max", distinct), ("average", normal)):
        for name, shape, size, strides, padding in (
            ("1d", (2, 8, 3), [2], [2], "valid"),
            ("1d_same_odd", (2, 9, 2), [2], [2], "same"),
            ("1d_overlapping", (1, 9, 2), [3], [1], "same"),
            ("2d", (2, 6, 4, 3), [2, 2], [2, 2], "valid"),
            ("2d_rest", (1, 7, 5, 2), [2, 2], [2, 2], "valid"),
            ("2d_same_odd", (1, 7, 5, 2), [2, 2], [2, 2], "same"),
            ("2d_same_overlapping", (1, 6, 7, 2), [3, 3], [2, 2], "same"),
            ("2d_same_unit", (1, 4, 5, 2), [3, 2], [1, 1], "same"),
            ("2d_unequal", (1, 8, 9, 2), [3, 2], [2, 3], "valid"),
            ("2d_gaps", (1, 9, 8, 2), [2, 1], [3, 2], "same"),
            ("2d_lanes", (16, 4, 4, 3), [2, 2], [2, 2], "valid"),
            ("3d", (1, 4, 4, 6, 2), [2, 2, 2], [2, 2, 2], "valid"),
            ("3d_same", (1, 3, 5, 4, 2), [2, 3, 2], [2, 2, 1], "same"),
        ):
            in_tensorflow = len(size) < 3 and all(s <= w for s, w in zip(strides, size))
            recorder.case(
                f"{kind}_pool/{name}", f"{kind}_pool", lambda x: pool(x, kind, size, strides, padding), [recipe(*shape)],
                {"rank": len(size), "size": size, "strides": strides, "padding": padding},
                reference=(lambda x: tf.nn.pool(x, size, {"max": "MAX", "average": "AVG"}[kind], strides, padding.upper())) if in_tensorflow else None,
            )
    recorder.case(
        "max_pool/2d_explicit", "max_pool", lambda x: pool(x, "max", [3, 3], [2, 2], [[1, 1], [1, 1]]), [distinct(1, 6, 7, 3)],
        {"rank": 2, "size": [3, 3], "strides": [2, 2], "padding": [[1, 1], [1, 1]]},
    )
    below_zero = lambda rng: distinct(1, 5, 5, 1)(rng) - np.float32(20)
    recorder.case(
        "max_pool/2d_same_of_negatives", "max_pool", lambda x: pool(x, "max", [3, 3], [2, 2], "same"), [below_zero],
        {"rank": 2, "size": [3, 3], "strides": [2, 2], "padding": "same"},
    )
    for op, function in (("global_average_pool", torch.mean), ("global_max_pool", torch.amax)):
        for name, shape in (("1d", (2, 7, 3)), ("2d", (2, 5, 3, 4)), ("3d", (2, 2, 3, 2, 3))):
            axes = list(range(1, len(shape) - 1))
            for keepdims in (False, True):
                recorder.case(
                    f"{op}/{name}" + "_keepdims" * keepdims, op, lambda x: function(x, dim=axes, keepdim=keepdims),
                    [distinct(*shape)], {"rank": len(axes), "keepdims": keepdims},
                )
