"""Reductions over axes, positions of extremes, running totals."""

import numpy as np
import torch

from recorder import booleans, distinct, given, integers, normal, uniform

# axes None means all of them
AXES = [
    ("all", (4, 5), None, False),
    ("all_keepdims", (4, 5), None, True),
    ("first", (4, 5), [0], False),
    ("last", (4, 37), [-1], False),
    ("last_keepdims", (4, 37), [-1], True),
    ("middle", (3, 4, 5), [1], False),
    ("ends", (3, 4, 5), [0, 2], False),
    ("ends_keepdims", (3, 4, 5), [0, -1], True),
    ("channels", (2, 3, 4, 6), [0, 1, 2], False),
    ("negative_pair", (2, 3, 4), [-1, -2], False),
    ("one_long", (1, 301), [1], False),
    ("none", (2, 3), [], False),
]


def over(function):
    """Applies a reduction of one axis to several."""

    def reduce(x, axes, keepdims):
        axes = range(x.dim()) if axes is None else [a % x.dim() for a in axes]
        for axis in sorted(axes, reverse=True):
            x = function(x, axis, keepdims)
        return x

    return reduce


def moments(function):
    def reduce(x, axes, keepdims):
        if axes == []:
            return torch.sqrt(x * 0) if function is torch.std else x * 0
        return function(x, dim=axes, correction=0, keepdim=keepdims)

    return reduce


def record(recorder):
    case, stored = recorder.case, recorder.stored
    table = [
        ("sum", over(lambda x, a, k: torch.sum(x, a, keepdim=k)), normal),
        ("mean", over(lambda x, a, k: torch.mean(x, a, keepdim=k)), normal),
        ("prod", over(lambda x, a, k: torch.prod(x, a, keepdim=k)), lambda *s: uniform(0.8, 1.25, *s)),
        ("max", over(lambda x, a, k: torch.amax(x, a, keepdim=k)), distinct),
        ("min", over(lambda x, a, k: torch.amin(x, a, keepdim=k)), distinct),
        ("var", moments(torch.var), normal),
        ("std", moments(torch.std), normal),
        ("logsumexp", over(lambda x, a, k: torch.logsumexp(x, a, keepdim=k)), normal),
    ]
    for op, function, recipe in table:
        for kind, shape, axes, keepdims in AXES:
            if kind == "none" and op in ("var", "std"):
                continue
            case(
                f"{op}/{kind}", op, lambda x: function(x, axes, keepdims), [recipe(*shape)],
                {"axes": axes, "keepdims": keepdims},
            )
        if op not in ("var", "std"):
            case(f"{op}/scalar", op, lambda x: function(x, None, False), [recipe()], {"axes": None, "keepdims": False})

    attributes = {"axes": [1], "keepdims": False}
    for op, function in (("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax), ("min", torch.amin), ("prod", torch.prod)):
        with_nan = given([[1, np.nan, 3], [np.inf, 1, 2], [-np.inf, 1, 2], [np.inf, -np.inf, 0], [np.nan, np.inf, 1]])
        case(f"{op}/special", op, lambda x: function(x, dim=1), [with_nan], attributes, gradients=False)
    case("logsumexp/special", "logsumexp", lambda x: torch.logsumexp(x, 1),
         [given([[1000, 1000, 999], [-1000, -1001, -1000], [-np.inf, 0, 1], [-np.inf] * 3, [np.inf, 0, 1], [np.nan, 0, 1]])],
         attributes, gradients=False)
    case("logsumexp/large", "logsumexp", lambda x: torch.logsumexp(x, 1), [uniform(900, 1000, 3, 8)], attributes)
    case("prod/zeros", "prod", lambda x: torch.prod(x, 1), [given([[2, 0, 3, 4], [0, 0, 5, 6], [1, 2, 3, 4]])], attributes)
    case("var/offset", "var", lambda x: torch.var(x, 1, correction=0), [uniform(100, 101, 2, 50)], attributes, tolerance=1e-4)
    # nothing to reduce: the neutral element
    case("sum/empty", "sum", lambda x: torch.sum(x, 0), [normal(0, 3)], {"axes": [0], "keepdims": False})
    case("prod/empty", "prod", lambda x: torch.prod(x, 0), [normal(0, 3)], {"axes": [0], "keepdims": False})
    case("mean/empty", "mean", lambda x: torch.mean(x, 0), [normal(0, 3)], {"axes": [0], "keepdims": False}, gradients=False)
    case("sum/empty_result", "sum", lambda x: torch.sum(x, 1), [normal(0, 3)], attributes)

    for dtype in (np.int32, np.int64):
        kind = np.dtype(dtype).name
        for op, function in (("sum", np.sum), ("prod", np.prod), ("max", np.max), ("min", np.min)):
            stored(f"{op}/{kind}", op, lambda x: np.asarray(function(x, axis=1)).astype(dtype),
                   [integers(-4, 5, 3, 5, dtype=dtype)], attributes)
    for op, function in (("any", np.any), ("all", np.all)):
        for kind, shape, axes, keepdims in AXES:
            axis = None if axes is None else tuple(axes)
            stored(f"{op}/{kind}", op, lambda x: function(x, axis=axis, keepdims=keepdims), [booleans(*shape)],
                   {"axes": axes, "keepdims": keepdims})
        stored(f"{op}/empty", op, lambda x: function(x, axis=0), [booleans(0, 2)], {"axes": [0], "keepdims": False})

    positions(recorder)
    totals(recorder)


def positions(recorder):
    for op, function in (("argmax", np.argmax), ("argmin", np.argmin)):
        for kind, shape, axis, keepdims in (
            ("vector", (37,), 0, False), ("last", (4, 9), -1, False), ("first", (4, 9), 0, False),
            ("middle", (2, 5, 3), 1, False), ("keepdims", (2, 5, 3), -2, True),
        ):
            recorder.stored(
                f"{op}/{kind}", op, lambda x: np.asarray(function(x, axis=axis, keepdims=keepdims)).astype(np.int32),
                [distinct(*shape)], {"axis": axis, "keepdims": keepdims},
            )
        ties = given([[1, 3, 3, 1], [2, 2, 2, 2], [-np.inf, np.inf, np.inf, -np.inf]])
        recorder.stored(f"{op}/first_of_equals", op, lambda x: function(x, axis=1).astype(np.int32), [ties], {"axis": 1, "keepdims": False})
        recorder.stored(f"{op}/int32", op, lambda x: function(x, axis=0).astype(np.int32), [integers(-9, 9, 6, 4)], {"axis": 0, "keepdims": False})


def totals(recorder):
    def running(function, axis, reverse, exclusive, neutral):
        def run(x):
            y = x.flip(axis) if reverse else x
            y = function(y, axis)
            if exclusive:
                first = torch.full_like(y.narrow(axis, 0, 1), neutral)
                y = torch.cat([first, y.narrow(axis, 0, y.shape[axis] - 1)], axis)
            return y.flip(axis) if reverse else y

        return run

    for op, function, neutral, recipe in (
        ("cumsum", torch.cumsum, 0.0, normal), ("cumprod", torch.cumprod, 1.0, lambda *s: uniform(0.6, 1.5, *s)),
    ):
        for kind, shape, axis in (("vector", (9,), 0), ("last", (3, 6), -1), ("first", (5, 3), 0), ("middle", (2, 4, 3), 1)):
            for reverse in (False, True):
                for exclusive in (False, True):
                    name = f"{op}/{kind}" + "_reverse" * reverse + "_exclusive" * exclusive
                    recorder.case(
                        name, op, running(function, axis, reverse, exclusive, neutral), [recipe(*shape)],
                        {"axis": axis, "reverse": reverse, "exclusive": exclusive},
                    )
    recorder.case("cumprod/zeros", "cumprod", lambda x: torch.cumprod(x, 0), [given([2, 3, 0, 4, 0, 5])],
                  {"axis": 0, "reverse": False, "exclusive": False})
    recorder.stored("cumsum/int32", "cumsum", lambda x: np.cumsum(x, axis=1, dtype=np.int32), [integers(-9, 9, 3, 5)],
                    {"axis": 1, "reverse": False, "exclusive": False})
