"""Taking and putting by index, one-hot vectors, sorting and the largest elements."""

import numpy as np
import torch

from recorder import distinct, given, integers, normal

EXACT = {"tolerance": 0.0, "tolerance_float64": 0.0}


def take(values, indices, axis):
    axis %= values.dim()
    flat = values.index_select(axis, indices.reshape(-1).long())
    return flat.reshape(*values.shape[:axis], *indices.shape, *values.shape[axis + 1 :])


def take_add(operand, indices, updates, axis):
    axis %= operand.dim()
    flat = updates.reshape(*operand.shape[:axis], -1, *operand.shape[axis + 1 :])
    return operand.index_add(axis, indices.reshape(-1).long(), flat)


def record(recorder):
    case, stored = recorder.case, recorder.stored
    for kind, shape, indices, axis in (
        ("rows", (5, 3), [4, 0, 4, 2], 0), ("columns", (3, 5), [1, 1, 3], 1), ("last", (2, 3, 4), [3, 0], -1), ("scalar_index", (5, 3), 2, 0),
        ("matrix_of_indices", (6, 2), [[0, 5], [5, 5], [1, 2]], 0), ("middle_matrix", (2, 4, 3), [[3, 1], [0, 3]], 1), ("no_index", (4, 2), [], 0),
        ("vector", (7,), [6, 6, 0, 3, 1], 0),
    ):
        for dtype in (np.int32, np.int64):
            name = f"{kind}_{np.dtype(dtype).name}"
            if dtype == np.int64 and kind not in ("rows", "middle_matrix"):
                continue
            index = given(indices, dtype)
            gathered = list(shape[:axis % len(shape)]) + list(np.shape(indices)) + list(shape[axis % len(shape) + 1 :])
            case(f"take/{name}", "take", lambda x, i: take(x, i, axis), [normal(*shape), index], {"axis": axis}, tolerance=1e-6)
            case(
                f"take_add/{name}", "take_add", lambda x, i, u: take_add(x, i, u, axis), [normal(*shape), index, normal(*gathered)],
                {"axis": axis}, tolerance=1e-6,
            )
    stored("take/int32_values", "take", lambda x, i: x[i], [integers(0, 99, 6, 2), given([5, 1], np.int32)], {"axis": 0})

    for kind, shape, chosen, axis in (
        ("rows", (3, 4), (2, 4), 0), ("columns", (3, 4), (3, 6), 1), ("last", (2, 3, 4), (2, 3, 2), -1), ("middle", (2, 4, 3), (2, 5, 3), 1), ("vector", (6,), (4,), 0),
    ):
        index = integers(0, shape[axis], *chosen)
        case(f"take_along_axis/{kind}", "take_along_axis", lambda x, i: torch.gather(x, axis, i.long()), [normal(*shape), index], {"axis": axis}, tolerance=1e-6)
        case(
            f"scatter_add/{kind}", "scatter_add", lambda x, i, u: x.scatter_add(axis, i.long(), u), [normal(*shape), index, normal(*chosen)],
            {"axis": axis}, tolerance=1e-6,
        )
    # distinct places, so that the order of writing does not matter
    case(
        "scatter_set/distinct", "scatter_set", lambda x, i, u: x.scatter(1, i.long(), u),
        [normal(3, 5), given([[0, 4], [3, 1], [2, 0]], np.int32), normal(3, 2)], {"axis": 1}, **EXACT,
    )
    case(
        "scatter_set/first_axis", "scatter_set", lambda x, i, u: x.scatter(0, i.long(), u),
        [normal(4, 3), given([[3, 0, 1]], np.int32), normal(1, 3)], {"axis": 0}, **EXACT,
    )
    stored(
        "scatter_set/last_one_wins", "scatter_set", lambda x, i, u: np.array([20, 1, 30, 3], np.float32),
        [given([0, 1, 2, 3]), given([2, 0, 2], np.int32), given([10, 20, 30])], {"axis": 0},
    )

    def one_hot(indices, classes, axis):
        # an index outside has no hot place
        return np.moveaxis((indices[..., None] == np.arange(classes)).astype(np.float32), -1, axis)

    for kind, indices, classes, axis in (
        ("vector", [0, 2, 1, 2], 3, -1), ("matrix", [[0, 1], [3, 2]], 4, -1), ("first_axis", [0, 2, 1], 3, 0), ("middle_axis", [[0, 1], [1, 2]], 3, 1),
        ("scalar", 1, 3, -1), ("outside", [-1, 0, 3, 1], 3, -1),
    ):
        for dtype in (np.int32, np.int64):
            stored(
                f"one_hot/{kind}_{np.dtype(dtype).name}", "one_hot", lambda i: one_hot(i, classes, axis), [given(indices, dtype)],
                {"classes": classes, "axis": axis, "dtype": "float32"},
            )
    order(recorder)


def stable_sort(x, axis, descending):
    return torch.sort(x, dim=axis, descending=descending, stable=True)


def order(recorder):
    case, stored = recorder.case, recorder.stored
    for kind, shape, axis in (("vector", (37,), 0), ("last", (3, 8), -1), ("first", (6, 4), 0), ("middle", (2, 5, 3), 1), ("one", (3, 1), 1)):
        for descending in (False, True):
            name, attributes = kind + "_descending" * descending, {"axis": axis, "descending": descending}
            case(
                f"sort/{name}", "sort", lambda x: stable_sort(x, axis, descending)[0], [distinct(*shape)],
                attributes, **EXACT,
            )
            stored(
                f"argsort/{name}", "argsort",
                lambda x: stable_sort(torch.from_numpy(x), axis, descending)[1].int(), [distinct(*shape)], attributes, made_by="torch",
            )
    for descending in (False, True):
        name, attributes = "descending" if descending else "ascending", {"axis": 0, "descending": descending}
        ties = given([2, 1, 2, 1, 3, 1, 2], np.int32)
        stored(f"argsort/stable_{name}", "argsort", lambda x: stable_sort(torch.from_numpy(x), 0, descending)[1].int(), [ties], attributes, made_by="torch")
        stored(f"sort/int32_{name}", "sort", lambda x: np.sort(x)[:: -1 if descending else 1], [ties], attributes)

        def nan_last(x):
            numbers = np.sort(x[~np.isnan(x)])[:: -1 if descending else 1]
            return np.concatenate([numbers, x[np.isnan(x)]])

        stored(f"sort/nan_last_{name}", "sort", nan_last, [given([3, np.nan, -np.inf, 1, np.inf, np.nan, -2])], attributes)
    for kind, shape, k in (("vector", (9,), 3), ("matrix", (4, 7), 2), ("all", (2, 5), 5), ("one", (3, 4), 1), ("batch", (2, 3, 6), 4)):
        case(f"top_k/{kind}", "top_k", lambda x: (lambda v, i: (v, i.int()))(*torch.topk(x, k)), [distinct(*shape)], {"k": k}, **EXACT)
    stored(
        "top_k/first_of_equals", "top_k", lambda x: (np.array([5, 3, 3], np.float32), np.array([2, 1, 3], np.int32)),
        [given([1, 3, 5, 3, 3, 0])], {"k": 3},
    )
    for low, high, step, dtype in ((0, 5, 1, np.int32), (2, 11, 3, np.int64), (5, 0, -2, np.int32), (0, 1, 0.25, np.float32)):
        stored(
            f"arange/{low}_{high}_{step}", "arange", lambda: np.arange(low, high, step).astype(dtype), [],
            {"start": low, "stop": high, "step": step, "dtype": np.dtype(dtype).name},
        )
