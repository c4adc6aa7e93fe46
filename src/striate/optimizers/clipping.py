"""Gradients of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from striate import ops


def global_norm(values: Sequence[Any]) -> Any:
    """The L2 norm of all `values` together, a scalar; None counts as nothing."""
    squares = [ops.sum(ops.square(v)) for v in values if v is not None]
    return ops.sqrt(ops.sum(ops.stack(squares)))


def clip_by_global_norm(values: Sequence[Any], clip_norm: float) -> list[Any]:
    """`values` times the one factor that makes their norm together `clip_norm`, if it is larger.

    Where the norm is not finite the results are NaN.
    """
    norm = global_norm(values)
    factor = ops.multiply(ops.minimum(ops.divide(1.0, norm), 1.0 / clip_norm), clip_norm)
    factor = ops.add(factor, ops.subtract(norm, norm))
    return on_each(values, lambda v: ops.multiply(v, factor))


def clip_by_norm(values: Any, clip_norm: float, axes: Any = None) -> Any:
    """`values` times the factor that makes their norm along `axes` (None: of all) `clip_norm`, if it is larger."""
    squares = ops.sum(ops.square(values), axes, keepdims=True)
    positive = ops.greater(squares, 0)  # the root of a 1 instead of a 0, so that its derivative is finite
    norm = ops.where(positive, ops.sqrt(ops.where(positive, squares, ops.ones_like(squares))), squares)
    return ops.divide(ops.multiply(values, clip_norm), ops.maximum(norm, clip_norm))


def on_each(values: Sequence[Any], fn: Callable[[Any], Any]) -> list[Any]:
    """`fn` of each value that is not None."""
    return [None if v is None else fn(v) for v in values]
