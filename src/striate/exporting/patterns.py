"""Steps that one operator of ONNX stands for: means, convolutions with their biases, cells repeated along axes."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np

from striate.exporting.family import Family, Step, Val, count_of, of_trace

_CONVOLUTIONS = ("conv", "conv_input_grad")


def merge_patterns(family: Family) -> Family:
    """The family with `reduce_mean` steps, and convolutions whose third input is a bias `(channels,)`."""
    uses = Counter(id(v) for v in (*(v for s in family.steps for v in s.inputs), *family.outputs))
    makers: dict[int, Step] = {}
    steps: list[Step] = []
    for step in map(_repeats, family.steps):
        before = _joined(step, makers, uses)
        if before is not None:
            steps.remove(before[0])
            step = before[1]
        steps.append(step)
        makers.update((id(v), step) for v in step.outputs)
    return Family(family.inputs, steps, family.outputs)


def _joined(step: Step, makers: dict[int, Step], uses: Counter[int]) -> tuple[Step, Step] | None:
    """The earlier step that `step` can be joined with, and what both are."""
    made = makers.get(id(step.inputs[0])) if step.inputs else None
    if step.op == "repeat" and made is not None and made.op == "repeat" and uses[id(step.inputs[0])] == 1:
        times = tuple(a * b for a, b in zip(made.params["times"], step.params["times"], strict=True))
        return made, Step("repeat", made.inputs, {"times": times}, step.outputs, step.where)
    for x, other in (step.inputs, step.inputs[::-1]) if len(step.inputs) == 2 else ():
        made = makers.get(id(x))
        if made is None or uses[id(x)] != 1 or not (other.is_constant or other.variants):
            continue
        if step.op == "div" and x is step.inputs[0] and made.op == "reduce_sum" and _is_count(made, other):
            return made, Step("reduce_mean", made.inputs, made.params, step.outputs, step.where)
        if step.op == "add" and made.op in _CONVOLUTIONS and len(made.inputs) == 2 and _is_bias(other, x):
            bias = Val((other.shape[-1],), other.dtype, np.reshape(np.asarray(other.data), -1), name=other.name)
            return made, Step(made.op, [*made.inputs, bias], made.params, step.outputs, made.where)
    return None


def _is_count(total: Step, divisor: Val) -> bool:
    shape, axes = total.inputs[0].shape, total.params["axes"]
    if divisor.data is not None:
        sizes = [shape[a] for a in axes]
        return all(isinstance(n, int) for n in sizes) and divisor.data.size == 1 and divisor.data.item() == prod(sizes)
    count = count_of(shape)
    return len(divisor.variants) == count and all(
        d.size == 1 and d.item() == prod(of_trace(shape[a], i) for a in axes) for i, d in enumerate(divisor.variants)
    )


def _is_bias(value: Val, x: Val) -> bool:
    return value.data is not None and value.rank > 0 and value.data.size == value.shape[-1] == x.shape[-1]


def _repeats(step: Step) -> Step:
    """Reading each place of an axis several times, in order, as a `repeat` of `times` per axis."""
    if step.op != "take" or step.inputs[1].rank != 1 or step.inputs[0].dtype not in ("float32", "int32", "uint8"):
        return step
    (x, indices), axis = step.inputs, step.params["axis"]
    found = indices.variants or ((indices.data,) if indices.data is not None else ())
    times = {_times(np.asarray(f), of_trace(x.shape[axis], i)) for i, f in enumerate(found)}
    if len(times) != 1 or None in times:
        return step
    per_axis = tuple(max(times) if a == axis else 1 for a in range(x.rank))  # type: ignore[type-var]
    return Step("repeat", [x], {"times": per_axis}, step.outputs, step.where)


def _times(places: np.ndarray, size: int) -> int | None:
    times = len(places) // size if size else 0
    return times if times > 1 and np.array_equal(places, np.repeat(np.arange(size), times)) else None
