"""Collects golden cases: runs the reference in float64, differentiates it, and keeps every tensor by name."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file


# Inputs are written as recipes (`normal(2, 3)`) and drawn with a generator seeded by the case's name,
# so that a new case leaves the numbers of all others as they were.


def normal(*shape):
    return lambda rng: rng.standard_normal(shape).astype(np.float32)


def uniform(low, high, *shape):
    return lambda rng: rng.uniform(low, high, shape).astype(np.float32)


def distinct(*shape):
    """Values at least 0.05 apart, so that no maximum or order hangs on a rounding."""
    count = int(np.prod(shape))
    return lambda rng: ((rng.permutation(count) - count / 2 + 0.25) * 0.0625).reshape(shape).astype(np.float32)


def integers(low, high, *shape, dtype=np.int32):
    return lambda rng: rng.integers(low, high, shape).astype(dtype)


def booleans(*shape):
    return lambda rng: rng.random(shape) < 0.5


def given(values, dtype=np.float32):
    return lambda rng: np.asarray(values, dtype)


def tensor_of(array):
    return array.detach() if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array, order="C", copy=True))


def as_list(outputs):
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def differentiate(values, outputs, cotangents):
    """The gradient of sum(outputs · cotangents) for each input, None for those without."""
    leaves = [value for value in values if value.requires_grad]
    if not leaves:
        return [None] * len(values)
    total = sum((o * c.to(o.dtype)).sum() for o, c in zip(outputs, cotangents) if c is not None)
    of_leaves = dict(zip(map(id, leaves), torch.autograd.grad(total, leaves)))
    return [of_leaves.get(id(value)) for value in values]


def check_close(what, got, truth, tolerance, scale):
    """The rule of README.md: |got − truth| ≤ tolerance · max(|truth|, scale); NaN equals NaN, ∞ itself."""
    got, truth = got.double(), truth.double()
    finite = truth.isfinite()
    if scale is None:
        scale = truth[finite].abs().max().item() if finite.any() else 0.0
    close = (got - truth).abs() <= tolerance * truth.abs().clamp(min=scale)
    same = (got == truth) | (got.isnan() & truth.isnan())
    if got.shape != truth.shape or not (same | (finite & close)).all():
        raise AssertionError(f"{what}: {got.flatten()[:12]} is not within {tolerance} of {truth.flatten()[:12]}")


class Recorder:
    def __init__(self):
        self.cases, self.tensors, self.names = [], {}, set()

    def case(
        self, name, op, function, inputs, attributes=None, *,
        gradients=True, tolerance=1e-5, tolerance_float64=1e-11, scale=None, gradient_scale=None,
        made_by="torch", reference=None,
    ):
        """Records `op` on `inputs`.

        `function` takes float64 torch tensors (other dtypes as they are) and returns one or a tuple.
        `gradients` is whether to differentiate, or a list of that per input.
        `reference` computes the same in another library, from the same arguments as NumPy arrays;
        the two must agree, or nothing is written.
        """
        arrays, rng = self._draw(name, inputs)
        values = [tensor_of(array) for array in arrays]
        values = [value.double() if value.is_floating_point() else value for value in values]
        wanted = gradients if isinstance(gradients, list) else [gradients] * len(values)
        for value, want in zip(values, wanted):
            value.requires_grad_(want and value.is_floating_point())
        outputs = as_list(function(*values))
        if reference is not None:
            self._cross_check(name, reference, values, outputs)
        cotangents = [
            torch.from_numpy(rng.standard_normal(tuple(o.shape)).astype(np.float32)) if o.requires_grad else None for o in outputs
        ]
        of_inputs = differentiate(values, outputs, cotangents)
        outputs = [output.detach() for output in outputs]
        self._attainable_in_float32(name, function, values, cotangents, outputs, of_inputs, tolerance, (scale, gradient_scale))
        self._keep(
            name, op, attributes, [tensor_of(a) for a in arrays], outputs, cotangents, of_inputs,
            floats="both", tolerance=tolerance, tolerance_float64=tolerance_float64, scale=scale,
            gradient_scale=gradient_scale, made_by=made_by,
        )

    def stored(self, name, op, function, inputs, attributes=None, *, tolerance=0.0, scale=None, made_by="numpy"):
        """Records a case for the stored dtypes alone: `function` takes NumPy arrays (or torch tensors, as given)."""
        arrays, _ = self._draw(name, inputs)
        outputs = as_list(function(*arrays))
        self._keep(
            name, op, attributes, [tensor_of(a) for a in arrays], [tensor_of(o) for o in outputs],
            [None] * len(outputs), [None] * len(arrays),
            floats="stored", tolerance=tolerance, tolerance_float64=tolerance, scale=scale,
            gradient_scale=None, made_by=made_by,
        )

    def _draw(self, name, inputs):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        return [recipe(rng) for recipe in inputs], rng

    def _cross_check(self, name, reference, values, outputs):
        with np.errstate(all="ignore"):
            others = as_list(reference(*[value.detach().numpy() for value in values]))
        for output, other in zip(outputs, others, strict=True):
            np.testing.assert_allclose(
                output.detach().numpy(), np.asarray(other), rtol=1e-9, atol=1e-9, err_msg=f"references disagree: {name}"
            )

    def _attainable_in_float32(self, name, function, values, cotangents, outputs, of_inputs, tolerance, scales):
        """Repeats the case in float32: a tolerance that torch itself misses would be none to hold others to."""
        lesser = [
            v.detach().float().requires_grad_(v.requires_grad) if v.is_floating_point() else v for v in values
        ]
        got = as_list(function(*lesser))
        for output, truth in zip(got, outputs, strict=True):
            check_close(f"{name} in float32", output.detach(), truth, tolerance, scales[0])
        for gradient, truth in zip(differentiate(lesser, got, cotangents), of_inputs, strict=True):
            if truth is not None:
                check_close(f"gradient of {name} in float32", gradient, truth, tolerance, scales[1])

    def _keep(self, name, op, attributes, inputs, outputs, cotangents, gradients, **rest):
        if name in self.names:
            raise ValueError(f"two cases are called {name}")
        self.names.add(name)
        case = {"name": name, "op": op, "attributes": attributes or {}}
        for role, tensors in (("inputs", inputs), ("outputs", outputs), ("cotangents", cotangents), ("gradients", gradients)):
            case[role] = [self._store(f"{name}/{role}{i}", tensor) for i, tensor in enumerate(tensors)]
        self.cases.append(case | rest)

    def _store(self, name, tensor):
        if tensor is None:
            return None
        self.tensors[name] = tensor.contiguous().clone()
        return name

    def write(self, folder, made_with):
        folder = Path(folder)
        save_file(self.tensors, folder / "ops.safetensors", metadata={"made_with": made_with})
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in self.cases)
        (folder / "ops.json").write_text(f'{{"made_with":{json.dumps(made_with)},"cases":[\n{lines}\n]}}\n')
