"""Softmax, losses from logits, normalizations."""

import numpy as np
import scipy.special
import torch
import torch.nn.functional as F

from recorder import given, integers, normal, uniform


def record(recorder):
    softmaxes(recorder)
    losses(recorder)
    normalizations(recorder)


def softmaxes(recorder):
    for op, function, reference in (
        ("softmax", torch.softmax, scipy.special.softmax), ("log_softmax", torch.log_softmax, scipy.special.log_softmax),
    ):
        for kind, shape, axis in (("last", (4, 10), -1), ("first", (5, 3), 0), ("middle", (2, 4, 3), 1), ("vector", (37,), 0), ("one", (3, 1), -1)):
            recorder.case(
                f"{op}/{kind}", op, lambda x: function(x, axis), [uniform(-5, 5, *shape)], {"axis": axis},
                reference=lambda x: reference(x, axis=axis),
            )
        recorder.case(
            f"{op}/large", op, lambda x: function(x, -1), [given([[1e4, 1e4 - 1, 0], [-1e4, -1e4, -1e4], [1e30, 0, 1e30], [88, 89, 90]])], {"axis": -1},
        )
        recorder.case(
            f"{op}/masked", op, lambda x: function(x, -1), [given([[1, -np.inf, 2], [-np.inf, -np.inf, 0]])], {"axis": -1}, gradients=False,
        )


def losses(recorder):
    case = recorder.case
    attributes = {"from_logits": True, "axis": -1}

    def sparse(target, logits):
        flat = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1).long(), reduction="none")
        return flat.reshape(target.shape)

    for kind, shape, dtype in (("batch", (7, 10), np.int32), ("batch_int64", (5, 3), np.int64), ("sequence", (2, 4, 6), np.int32), ("one", (6,), np.int32)):
        case(
            f"sparse_categorical_crossentropy/{kind}", "sparse_categorical_crossentropy", sparse,
            [integers(0, shape[-1], *shape[:-1], dtype=dtype), uniform(-4, 4, *shape)], attributes, gradients=[False, True],
        )
    case(
        "sparse_categorical_crossentropy/large", "sparse_categorical_crossentropy", sparse,
        [given([0, 1, 2, 0], np.int32), given([[1000, 0, -1000], [1000, 0, -1000], [1000, 0, -1000], [0, 0, 0]])], attributes, gradients=[False, True],
    )

    def categorical(target, logits):
        return -(target * torch.log_softmax(logits, -1)).sum(-1)

    def distributions(*shape):
        def draw(rng):
            p = rng.random(shape) + 0.1
            return (p / p.sum(-1, keepdims=True)).astype(np.float32)

        return draw

    for kind, shape in (("batch", (7, 10)), ("sequence", (2, 3, 5))):
        case(
            f"categorical_crossentropy/{kind}", "categorical_crossentropy", categorical, [distributions(*shape), uniform(-4, 4, *shape)],
            attributes, gradients=[False, True],
        )
    case(
        "categorical_crossentropy/one_hot", "categorical_crossentropy", categorical,
        [given(np.eye(4)[[2, 0, 1]]), uniform(-4, 4, 3, 4)], attributes, gradients=[False, True],
    )

    def binary(target, logits):
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    for kind, shape in (("vector", (11,)), ("matrix", (4, 3))):
        case(
            f"binary_crossentropy/{kind}", "binary_crossentropy", binary, [uniform(0, 1, *shape), uniform(-6, 6, *shape)],
            {"from_logits": True}, gradients=[False, True],
        )
    case(
        "binary_crossentropy/large", "binary_crossentropy", binary,
        [given([0, 1, 0, 1, 0, 1, 0.5]), given([100, 100, -100, -100, 1e4, -1e4, 0])], {"from_logits": True}, gradients=[False, True],
    )


def normalizations(recorder):
    def batch(x, gamma, beta, axis, epsilon):
        axes = [a for a in range(x.dim()) if a != axis % x.dim()]
        mean, variance = x.mean(axes), x.var(axes, correction=0)
        return apply_statistics(x, gamma, beta, mean, variance, axis, epsilon), mean, variance

    def apply_statistics(x, gamma, beta, mean, variance, axis, epsilon):
        shape = [1] * x.dim()
        shape[axis % x.dim()] = -1
        mean, variance, gamma, beta = (t.reshape(shape) for t in (mean, variance, gamma, beta))
        return (x - mean) / torch.sqrt(variance + epsilon) * gamma + beta

    for kind, shape, axis, epsilon in (
        ("matrix", (8, 5), -1, 1e-3), ("images", (4, 3, 3, 6), -1, 1e-3), ("lanes", (16, 2, 2, 5), -1, 1e-3), ("channels_first", (4, 3, 5), 1, 1e-5), ("volume", (2, 2, 3, 2, 3), -1, 1e-3),
    ):
        channels = shape[axis]
        attributes = {"axis": axis, "epsilon": epsilon}
        recorder.case(
            f"batch_normalization/training_{kind}", "batch_normalization", lambda x, g, b: batch(x, g, b, axis, epsilon),
            [normal(*shape), uniform(0.5, 1.5, channels), normal(channels)], attributes | {"training": True}, tolerance=2e-5,
            reference=lambda x, g, b: in_torch(x, g, b, axis, epsilon),
        )
        recorder.case(
            f"batch_normalization/inference_{kind}", "batch_normalization",
            lambda x, g, b, m, v: apply_statistics(x, g, b, m, v, axis, epsilon),
            [normal(*shape), uniform(0.5, 1.5, channels), normal(channels), normal(channels), uniform(0.3, 2, channels)],
            attributes | {"training": False}, tolerance=2e-5,
        )

    for kind, shape, axes, epsilon in (
        ("last", (4, 10), [-1], 1e-3), ("tokens", (2, 3, 8), [-1], 1e-6), ("two_axes", (3, 4, 5), [-2, -1], 1e-3), ("vector", (16,), [0], 1e-3), ("offset", (2, 12), [-1], 1e-3),
    ):
        sizes = [shape[a] for a in axes]
        recipe = uniform(10, 12, *shape) if kind == "offset" else normal(*shape)
        recorder.case(
            f"layer_normalization/{kind}", "layer_normalization", lambda x, g, b: F.layer_norm(x, sizes, g, b, epsilon),
            [recipe, uniform(0.5, 1.5, *sizes), normal(*sizes)], {"axes": axes, "epsilon": epsilon}, tolerance=5e-5,
        )


def in_torch(x, gamma, beta, axis, epsilon):
    """The library's own batch normalization, channels second."""
    x, gamma, beta = (torch.from_numpy(a) for a in (x, gamma, beta))
    moved = x.movedim(axis, 1)
    mean, unbiased = torch.zeros_like(gamma), torch.zeros_like(gamma)
    y = F.batch_norm(moved, mean, unbiased, gamma, beta, training=True, momentum=1.0, eps=epsilon).movedim(1, axis)
    count = x.numel() // gamma.numel()
    return y.numpy(), mean.numpy(), (unbiased * (count - 1) / count).numpy()
