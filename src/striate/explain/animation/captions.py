"""What a frame says in words: where it is, and the sum written out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .frames import Frame
from .operation import Operation
from .scene import number, signed

_TERMS = 16  # a longer sum is given by channels
_AXES = ("slice", "row", "column")


def caption(op: Operation, frame: Frame) -> tuple[str, ...]:
    """Two lines."""
    if op.kind == "scatter":
        return _where(op, frame, "Input"), _scattered(op, frame)
    return _where(op, frame, "Output"), _convolved(op, frame) if op.kernel is not None else _pooled(op, frame)


def _where(op: Operation, frame: Frame, what: str) -> str:
    names, at = _AXES[3 - op.rank :], frame.at[3 - op.rank :]
    sizes = [len(axis) for axis in op.places][3 - op.rank :]
    if op.rank == 1:
        names = ("step",)
    place = ", ".join(f"{n} {a + 1} of {size}" for n, a, size in zip(names, at, sizes, strict=True))
    which = "filter" if op.kernel is not None else "channel"
    return f"{what}: {place}" + (f"; {which} {frame.filter + 1} of {op.filters}" if op.filters > 1 else "")


def _added(parts: Sequence[float] | np.ndarray) -> str:
    """A sum with its signs."""
    text = number(parts[0])
    for part in parts[1:]:
        shown = number(part)
        text += f" − {shown[1:]}" if shown.startswith("−") else f" + {shown}"
    return text


def _convolved(op: Operation, frame: Frame) -> str:
    parts = frame.products.reshape(len(frame.channels), -1)
    if frame.products.size <= _TERMS and frame.weights is not None:
        pairs = zip(frame.values.ravel(), frame.weights.ravel(), strict=True)
        text = " + ".join(f"{signed(a)}·{signed(b)}" for a, b in pairs)
    elif len(parts) == 1:
        text = f"sum of {parts.size} products"
    else:
        text = "products, channel by channel: " + _some(parts.sum(1))
    return f"{text} = {number(frame.total)}" + _finish(op, frame)


def _some(parts: np.ndarray) -> str:
    return _added(parts) if len(parts) <= _TERMS else f"{_added(parts[:3])} + … + {signed(parts[-1])}"


def _finish(op: Operation, frame: Frame) -> str:
    """Bias and activation, formula (2)."""
    text = ""
    if op.bias is not None and frame.bias:
        text += f";  with the bias {number(frame.bias)}: {number(frame.total + frame.bias)}"
    return text + (f";  {op.activation} gives {number(frame.result)}" if op.activation else "")


def _pooled(op: Operation, frame: Frame) -> str:
    values = frame.values[frame.counts]
    few = values.size <= _TERMS
    result = number(frame.result)
    if op.kind == "max":
        return f"largest of {', '.join(map(number, values)) if few else f'{values.size} numbers'}: {result}"
    if op.kind == "average":
        return f"({_added(values) if few else f'sum of {values.size} numbers'}) / {values.size} = {result}"
    power = "²" if op.power == 2 else f"^{number(op.power)}"
    root = "√" if op.power == 2 else f"{number(op.power)}-th root of "
    terms = " + ".join(f"{signed(v)}{power}" for v in values) if few else f"{values.size} powers"
    return f"{root}({terms}) = {result}"


def _scattered(op: Operation, frame: Frame) -> str:
    shown = " and ".join(map(number, frame.values)) if len(frame.values) <= 4 else f"{len(frame.values)} numbers"
    kernel = "the kernel" if len(frame.values) == 1 else "their kernels"
    spans = zip(_AXES[3 - op.rank :], frame.window[3 - op.rank :], op.y.shape[3 - op.rank :], strict=False)
    where = ", ".join(_span("step" if op.rank == 1 else name, axis, size) for name, axis, size in spans)
    last = [len(axis) - 1 for axis in op.places] == list(frame.at)
    return f"{shown} times {kernel} is added to the output's {where}" + (_last(op, frame) if last else "")


def _span(name: str, positions: Sequence[int], size: int) -> str:
    """The rows (or columns) of the output that are reached, counted from 1."""
    inside = [p + 1 for p in positions if 0 <= p < size] or [0]
    return f"{name} {inside[0]}" if len(inside) == 1 else f"{name}s {inside[0]}–{inside[-1]}"


def _last(op: Operation, frame: Frame) -> str:
    bias = f"; then the bias {number(frame.bias)}" if frame.bias else ""
    return bias + (f"; then {op.activation}" if op.activation else "")
