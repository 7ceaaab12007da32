"""The same elements in another shape or order: views, padding, joining, splitting."""

import numpy as np
import torch

from recorder import booleans, integers, normal

EXACT = {"tolerance": 0.0, "tolerance_float64": 0.0}


def record(recorder):
    views(recorder)
    pads(recorder)
    joins(recorder)


def views(recorder):
    case, stored = recorder.case, recorder.stored
    for kind, shape, target in (
        ("flatten", (2, 3, 4), [24]), ("fold", (24,), [2, 3, 4]), ("infer", (2, 6), [3, -1]), ("to_scalar", (1, 1), []),
        ("from_scalar", (), [1, 1]), ("same", (2, 3), [2, 3]), ("empty", (0, 4), [2, 0, 7]),
    ):
        case(f"reshape/{kind}", "reshape", lambda x: x.reshape(target), [normal(*shape)], {"shape": target}, **EXACT)
    for kind, shape, permutation in (
        ("matrix", (3, 4), [1, 0]), ("identity", (2, 3, 4), [0, 1, 2]), ("rotate", (2, 3, 4), [2, 0, 1]),
        ("swap_last", (2, 3, 4), [0, 2, 1]), ("channels_first", (2, 3, 4, 5), [0, 3, 1, 2]), ("five", (2, 1, 3, 2, 2), [4, 2, 0, 3, 1]),
        ("negative", (2, 3, 4), [-1, 0, -2]),
    ):
        case(f"transpose/{kind}", "transpose", lambda x: x.permute(permutation), [normal(*shape)], {"permutation": permutation}, **EXACT)
    for kind, shape, target in (
        ("new_axes", (3,), [2, 4, 3]), ("ones", (3, 1), [3, 5]), ("scalar", (), [2, 3]), ("middle", (2, 1, 3), [2, 4, 3]),
        ("all_ways", (1, 3, 1), [2, 2, 3, 4]), ("same", (2, 3), [2, 3]), ("to_empty", (1, 3), [0, 3]),
    ):
        # gradients are sums here, so not exact
        case(f"broadcast_to/{kind}", "broadcast_to", lambda x: x.broadcast_to(target), [normal(*shape)], {"shape": target}, tolerance=1e-6)
    for axis in (0, 1, -1):
        case(f"expand_dims/{axis}", "expand_dims", lambda x: x.unsqueeze(axis), [normal(2, 3)], {"axis": axis}, **EXACT)
    for kind, shape, axes in (("one", (2, 1, 3), [1]), ("all", (1, 2, 1), None), ("negative", (2, 3, 1), [-1]), ("two", (1, 2, 1), [0, 2])):
        case(
            f"squeeze/{kind}", "squeeze", lambda x: x.squeeze() if axes is None else x.squeeze(tuple(axes)), [normal(*shape)],
            {"axes": axes}, **EXACT,
        )
    for kind, shape, start, stop, step in (
        ("vector", (10,), [2], [7], [1]), ("steps", (10,), [1], [10], [3]), ("exact_step", (9,), [0], [9], [3]),
        ("matrix", (5, 6), [1, 2], [4, 6], [1, 1]), ("matrix_steps", (7, 8), [0, 1], [7, 8], [2, 3]), ("whole", (2, 3), [0, 0], [2, 3], [1, 1]),
        ("one_cell", (4, 4), [3, 2], [4, 3], [1, 1]), ("nothing", (4, 3), [2, 0], [2, 3], [1, 1]), ("long_step", (5, 4), [0, 1], [5, 4], [9, 2]),
        ("volume", (3, 4, 5), [1, 0, 1], [3, 4, 5], [1, 2, 2]),
    ):
        index = tuple(slice(*bounds) for bounds in zip(start, stop, step))
        case(f"slice/{kind}", "slice", lambda x: x[index], [normal(*shape)], {"start": start, "stop": stop, "step": step}, **EXACT)
    for kind, shape, axes in (
        ("vector", (7,), [0]), ("last", (3, 5), [-1]), ("first", (3, 5), [0]), ("both", (3, 5), [0, 1]), ("ends", (2, 3, 4), [0, 2]), ("none", (2, 3), []),
    ):
        case(f"flip/{kind}", "flip", lambda x: x.flip(axes), [normal(*shape)], {"axes": axes}, **EXACT)
    for kind, shape, shift, axis in (("right", (5,), 2, 0), ("left", (3, 5), -1, 1), ("beyond", (4,), 11, 0)):
        case(f"roll/{kind}", "roll", lambda x: x.roll(shift, axis), [normal(*shape)], {"shift": shift, "axis": axis}, **EXACT)
    for op, function in (("tril", torch.tril), ("triu", torch.triu)):
        for kind, shape, diagonal in (
            ("square", (4, 4), 0), ("wide_up", (3, 6), 2), ("tall_down", (6, 3), -2), ("batch", (2, 3, 4), 1), ("beyond", (3, 3), 5), ("below", (3, 3), -5),
        ):
            case(f"{op}/{kind}", op, lambda x: function(x, diagonal), [normal(*shape)], {"diagonal": diagonal}, **EXACT)
    stored("reshape/int32", "reshape", lambda x: x.reshape(6), [integers(0, 9, 2, 3)], {"shape": [6]})
    stored("transpose/bool", "transpose", np.transpose, [booleans(3, 4)], {"permutation": [1, 0]})
    stored("slice/int64", "slice", lambda x: x[1:5:2], [integers(-9, 9, 6, dtype=np.int64)], {"start": [1], "stop": [5], "step": [2]})
    stored("flip/uint8", "flip", lambda x: x[::-1], [integers(0, 9, 5, dtype=np.uint8)], {"axes": [0]})


def pads(recorder):
    for kind, shape, pairs in (
        ("vector", (4,), [[1, 2]]), ("matrix", (3, 4), [[1, 0], [2, 3]]), ("none", (2, 3), [[0, 0], [0, 0]]),
        ("images", (2, 3, 3, 2), [[0, 0], [1, 1], [0, 2], [0, 0]]), ("empty", (0, 2), [[1, 1], [0, 1]]),
    ):
        for value in (0.0, -1.5, float("-inf")):
            if value != 0.0 and kind not in ("matrix", "images"):
                continue
            flat = [side for pair in reversed(pairs) for side in pair]
            label = {0.0: "zero", -1.5: "value", float("-inf"): "infinity"}[value]
            recorder.case(
                f"pad/{kind}_{label}", "pad", lambda x: torch.nn.functional.pad(x, flat, value=value), [normal(*shape)],
                {"padding": pairs, "value": value if np.isfinite(value) else "-inf"}, gradients=bool(np.isfinite(value)), **EXACT,
            )
    recorder.stored("pad/int32", "pad", lambda x: np.pad(x, [[1, 0], [0, 2]], constant_values=7), [integers(0, 9, 2, 3)],
                    {"padding": [[1, 0], [0, 2]], "value": 7})
    recorder.stored("pad/bool", "pad", lambda x: np.pad(x, [[1, 1]], constant_values=True), [given_bools], {"padding": [[1, 1]], "value": True})


def given_bools(rng):
    return np.array([False, True, False])


def joins(recorder):
    case, stored = recorder.case, recorder.stored
    for kind, shapes, axis in (
        ("rows", [(2, 3), (1, 3)], 0), ("columns", [(2, 3), (2, 1), (2, 4)], 1), ("last", [(2, 2, 3), (2, 2, 2)], -1),
        ("images", [(1, 3, 3, 4), (1, 3, 3, 2)], -1), ("one", [(2, 3)], 0), ("with_empty", [(2, 3), (0, 3), (1, 3)], 0),
        ("middle", [(2, 1, 3), (2, 3, 3)], 1), ("vectors", [(3,), (2,), (1,)], 0),
    ):
        case(f"concat/{kind}", "concat", lambda *xs: torch.cat(xs, axis), [normal(*s) for s in shapes], {"axis": axis}, **EXACT)
    for kind, shape, count, axis in (("first", (2, 3), 3, 0), ("last", (2, 3), 2, -1), ("middle", (2, 3), 2, 1), ("scalars", (), 4, 0), ("one", (2,), 1, 0)):
        case(f"stack/{kind}", "stack", lambda *xs: torch.stack(xs, axis), [normal(*shape)] * count, {"axis": axis}, **EXACT)
    for kind, shape, sizes, axis in (
        ("equal", (6, 2), [2, 2, 2], 0), ("unequal", (3, 7), [1, 4, 2], 1), ("last", (2, 2, 4), [3, 1], -1), ("one", (2, 3), [3], 1), ("with_empty", (4,), [4, 0], 0),
    ):
        case(f"split/{kind}", "split", lambda x: torch.split(x, sizes, axis), [normal(*shape)], {"sizes": sizes, "axis": axis}, **EXACT)
    for kind, shape, repeats in (("vector", (3,), [2]), ("matrix", (2, 3), [2, 3]), ("new_axis", (3,), [2, 2])):
        case(f"tile/{kind}", "tile", lambda x: x.tile(repeats), [normal(*shape)], {"repeats": repeats}, tolerance=1e-6)
    for kind, shape, repeats, axis in (("first", (2, 3), 3, 0), ("last", (2, 3), 2, -1)):
        case(f"repeat/{kind}", "repeat", lambda x: x.repeat_interleave(repeats, axis), [normal(*shape)], {"repeats": repeats, "axis": axis}, tolerance=1e-6)
    stored("concat/int64", "concat", lambda a, b: np.concatenate([a, b], 1), [integers(0, 9, 2, 2, dtype=np.int64), integers(0, 9, 2, 1, dtype=np.int64)], {"axis": 1})
    stored("concat/bool", "concat", lambda a, b: np.concatenate([a, b]), [booleans(3), booleans(2)], {"axis": 0})
