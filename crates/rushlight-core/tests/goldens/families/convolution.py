"""Convolutions over 1 to 3 axes, and transposed ones with Keras's rules; TensorFlow confirms what it can express."""

import tensorflow as tf
import torch
import torch.nn.functional as F

from recorder import normal

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def channels_first(x):
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


def same_padding(size, kernel, stride, dilation=1):
    """Cells before and after an axis so that the output has ceil(size / stride) cells; the odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return (total // 2, total - total // 2)


def explicit(padding, sizes, kernel, strides, dilations):
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding == "same":
        return [same_padding(*axis) for axis in zip(sizes, kernel, strides, dilations)]
    return padding


def pad_spatial(x, pads, value=0.0):
    """Pads (or, where negative, crops) the spatial axes of channels-first `x`."""
    flat = [side for pair in reversed(pads) for side in pair]
    return F.pad(x, flat, value=value)


def convolve(x, kernel, strides, dilations, padding, groups):
    rank = x.dim() - 2
    pads = explicit(padding, x.shape[1:-1], kernel.shape[:rank], strides, dilations)
    weight = kernel.movedim(-1, 0).movedim(-1, 1)
    y = CONVOLVE[rank](pad_spatial(channels_first(x), pads), weight, stride=strides, dilation=dilations, groups=groups)
    return channels_last(y)


def record(recorder):
    # name, input, kernel, strides, dilations, padding, groups
    cases = [
        ("conv1d/valid", (2, 9, 3), (3, 3, 4), [1], [1], "valid", 1),
        ("conv1d/same_even_kernel", (2, 9, 3), (4, 3, 2), [1], [1], "same", 1),
        ("conv1d/strided", (2, 10, 3), (3, 3, 2), [2], [1], "same", 1),
        ("conv1d/dilated", (1, 11, 2), (3, 2, 3), [1], [3], "same", 1),
        ("conv1d/groups", (2, 7, 4), (3, 2, 6), [1], [1], "valid", 2),
        ("conv1d/causal", (2, 6, 2), (3, 2, 2), [1], [1], [[2, 0]], 1),
        ("conv2d/valid", (2, 6, 7, 3), (3, 3, 3, 4), [1, 1], [1, 1], "valid", 1),
        ("conv2d/same", (2, 5, 7, 3), (3, 3, 3, 4), [1, 1], [1, 1], "same", 1),
        ("conv2d/pointwise", (2, 4, 3, 5), (1, 1, 5, 6), [1, 1], [1, 1], "valid", 1),
        ("conv2d/pointwise_strided", (2, 5, 4, 3), (1, 1, 3, 4), [2, 2], [1, 1], "same", 1),
        ("conv2d/same_strided_even", (1, 8, 6, 2), (3, 3, 2, 3), [2, 2], [1, 1], "same", 1),
        ("conv2d/same_strided_odd", (1, 7, 9, 2), (3, 3, 2, 3), [2, 2], [1, 1], "same", 1),
        ("conv2d/same_even_kernel", (1, 5, 6, 2), (2, 4, 2, 3), [1, 1], [1, 1], "same", 1),
        ("conv2d/unequal", (1, 9, 8, 2), (5, 2, 2, 3), [3, 2], [1, 1], "same", 1),
        ("conv2d/stride_beyond_kernel", (1, 9, 8, 2), (2, 1, 2, 3), [4, 3], [1, 1], "same", 1),
        ("conv2d/valid_strided_rest", (1, 8, 9, 2), (3, 3, 2, 2), [2, 3], [1, 1], "valid", 1),
        ("conv2d/dilated", (1, 9, 9, 2), (3, 3, 2, 3), [1, 1], [2, 3], "same", 1),
        ("conv2d/dilated_valid", (1, 9, 9, 2), (3, 3, 2, 3), [1, 1], [2, 2], "valid", 1),
        ("conv2d/explicit", (1, 5, 6, 2), (3, 3, 2, 3), [1, 1], [1, 1], [[1, 2], [0, 3]], 1),
        ("conv2d/explicit_strided", (1, 8, 8, 3), (7, 7, 3, 2), [2, 2], [1, 1], [[3, 3], [3, 3]], 1),
        ("conv2d/groups", (2, 5, 5, 4), (3, 3, 2, 6), [1, 1], [1, 1], "same", 2),
        ("conv2d/groups_strided_dilated", (1, 9, 8, 6), (3, 2, 2, 3), [2, 2], [2, 1], [[1, 2], [1, 0]], 3),
        ("conv2d/depthwise_by_groups", (2, 5, 6, 4), (3, 3, 1, 4), [1, 1], [1, 1], "same", 4),
        ("conv2d/depthwise_multiplier_by_groups", (1, 5, 6, 3), (3, 3, 1, 6), [2, 2], [1, 1], "same", 3),
        ("conv2d/lanes", (16, 4, 4, 5), (3, 3, 5, 12), [1, 1], [1, 1], "same", 1),
        ("conv2d/one_cell", (1, 1, 1, 3), (3, 3, 3, 2), [1, 1], [1, 1], "same", 1),
        ("conv2d/many_filters", (1, 4, 4, 2), (3, 3, 2, 33), [1, 1], [1, 1], "same", 1),
        ("conv2d/empty_batch", (0, 4, 4, 2), (3, 3, 2, 3), [1, 1], [1, 1], "same", 1),
        ("conv3d/valid", (1, 4, 5, 4, 2), (2, 3, 2, 2, 3), [1, 1, 1], [1, 1, 1], "valid", 1),
        ("conv3d/same_strided", (1, 5, 4, 5, 2), (3, 3, 3, 2, 2), [2, 2, 2], [1, 1, 1], "same", 1),
        ("conv3d/dilated", (1, 5, 5, 5, 1), (2, 2, 2, 1, 2), [1, 1, 1], [2, 2, 2], "valid", 1),
        ("conv3d/groups", (1, 3, 4, 3, 4), (2, 2, 2, 2, 4), [1, 1, 1], [1, 1, 1], "same", 2),
    ]
    for name, shape, kernel, strides, dilations, padding, groups in cases:
        rank = len(strides)
        in_tensorflow = isinstance(padding, str) and groups == 1 and shape[0] and (max(strides) == 1 or max(dilations) == 1)
        recorder.case(
            name, "conv", lambda x, k: convolve(x, k, strides, dilations, padding, groups), [normal(*shape), normal(*kernel)],
            {"rank": rank, "strides": strides, "dilations": dilations, "padding": padding, "groups": groups},
            reference=(lambda x, k: tf.nn.convolution(x, k, strides, padding.upper(), dilations=dilations)) if in_tensorflow and rank < 3 else None,
        )

    for name, shape, kernel, strides, dilations, padding in (
        ("depthwise_conv/same", (2, 5, 6, 3), (3, 3, 3, 1), [1, 1], [1, 1], "same"),
        ("depthwise_conv/multiplier", (1, 6, 5, 3), (3, 2, 3, 2), [1, 1], [1, 1], "valid"),
        ("depthwise_conv/strided", (1, 7, 8, 2), (3, 3, 2, 2), [2, 2], [1, 1], "same"),
        ("depthwise_conv/dilated", (1, 7, 7, 2), (3, 3, 2, 1), [1, 1], [2, 2], "same"),
        ("depthwise_conv/one_axis", (2, 8, 3), (3, 3, 2), [1], [1], "same"),
    ):
        rank = len(strides)

        def depthwise(x, k):
            grouped = k.reshape(*k.shape[:rank], 1, k.shape[-1] * k.shape[-2])
            return convolve(x, grouped, strides, dilations, padding, x.shape[-1])

        recorder.case(
            name, "depthwise_conv", depthwise, [normal(*shape), normal(*kernel)],
            {"rank": rank, "strides": strides, "dilations": dilations, "padding": padding},
            reference=(lambda x, k: tf.nn.depthwise_conv2d(x, k, [1, *strides, 1], padding.upper(), dilations=dilations)) if rank == 2 else None,
        )

    transposed(recorder)


def conv_transpose(x, kernel, strides, dilations, padding):
    """Keras's rule: "valid" gives size·stride + max(kernel − stride, 0) cells, "same" gives size·stride."""
    rank = x.dim() - 2
    weight = kernel.movedim(-1, 0).movedim(-1, 1)
    full = TRANSPOSED[rank](channels_first(x), weight, stride=strides, dilation=dilations)
    pads = []
    for size, cells, k, stride, dilation in zip(x.shape[1:-1], full.shape[2:], kernel.shape, strides, dilations):
        reach = (k - 1) * dilation + 1
        if padding == "same":
            low, target = max(reach - stride, 0) // 2, size * stride
        else:
            low, target = 0, size * stride + max(reach - stride, 0)
        pads.append((-low, target - cells + low))
    return channels_last(pad_spatial(full, pads))


def transposed(recorder):
    import keras

    for name, shape, kernel, strides, dilations in (
        ("conv1d", (2, 5, 3), (3, 4, 3), [2], [1]),
        ("conv1d_unit", (2, 5, 3), (4, 2, 3), [1], [1]),
        ("conv2d", (2, 3, 4, 3), (3, 3, 2, 3), [2, 2], [1, 1]),
        ("conv2d_even", (1, 4, 3, 2), (4, 4, 3, 2), [2, 2], [1, 1]),
        ("conv2d_unit", (1, 4, 5, 2), (3, 3, 3, 2), [1, 1], [1, 1]),
        ("conv2d_unequal", (1, 3, 4, 2), (5, 2, 3, 2), [3, 2], [1, 1]),
        ("conv2d_short_kernel", (1, 3, 3, 2), (2, 1, 2, 2), [3, 2], [1, 1]),
        ("conv2d_dilated", (1, 4, 4, 2), (3, 3, 2, 2), [1, 1], [2, 2]),
        ("conv3d", (1, 2, 3, 2, 2), (3, 2, 3, 2, 2), [2, 2, 2], [1, 1, 1]),
    ):
        for padding in ("same", "valid"):

            def in_keras(x, k):
                return keras.ops.conv_transpose(x, k, strides, padding, dilation_rate=dilations, data_format="channels_last")

            recorder.case(
                f"conv_transpose/{name}_{padding}", "conv_transpose", lambda x, k: conv_transpose(x, k, strides, dilations, padding),
                [normal(*shape), normal(*kernel)],
                {"rank": len(strides), "strides": strides, "dilations": dilations, "padding": padding},
                reference=in_keras if max(dilations) == 1 else None,  # TensorFlow on CPU has no dilated one
            )
