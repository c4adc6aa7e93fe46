"""Hinge losses: margins between classes."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.registry import export
from striate.losses.loss import NamedLoss
from striate.losses.pairs import pair


def _signed(labels: Any) -> Any:
    """Labels -1 and 1 from 0 and 1; any others stay as they are."""
    binary = ops.all(ops.logical_or(ops.equal(labels, 0.0), ops.equal(labels, 1.0)))
    return ops.where(binary, ops.subtract(ops.multiply(labels, 2.0), 1.0), labels)


def _margins(y_true: Any, y_pred: Any, where: str) -> Any:
    t, p = pair(y_true, y_pred, where)
    return ops.maximum(ops.subtract(1.0, ops.multiply(_signed(t), p)), 0.0)


@export("keras.losses.hinge", "keras.metrics.hinge")
def hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - t p, 0)) along the last axis.

    Args:
        y_true: labels t, -1 or 1; 0 and 1 are turned into those.
        y_pred: predictions p, of the same shape.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    return ops.mean(_margins(y_true, y_pred, "hinge"), axis=-1)


@export("keras.losses.squared_hinge", "keras.metrics.squared_hinge")
def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - t p, 0)^2) along the last axis; arguments and errors as in `hinge`."""
    return ops.mean(ops.square(_margins(y_true, y_pred, "squared_hinge")), axis=-1)


@export("keras.losses.categorical_hinge", "keras.metrics.categorical_hinge")
def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """max(max((1 - t) p) - sum(t p) + 1, 0) along the last axis.

    Args:
        y_true: labels t, 0 or 1, one per class.
        y_pred: predictions p, of the same shape.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    t, p = pair(y_true, y_pred, "categorical_hinge")
    right = ops.sum(ops.multiply(t, p), axis=-1)
    wrong = ops.max(ops.multiply(ops.subtract(1.0, t), p), axis=-1)
    return ops.maximum(ops.add(ops.subtract(wrong, right), 1.0), 0.0)


@export("keras.losses.Hinge")
class Hinge(NamedLoss):
    """mean(max(1 - t p, 0)); see `hinge`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "hinge", dtype: Any = None) -> None:
        super().__init__(hinge, reduction, name, dtype)


@export("keras.losses.SquaredHinge")
class SquaredHinge(NamedLoss):
    """mean(max(1 - t p, 0)^2); see `squared_hinge`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "squared_hinge", dtype: Any = None
    ) -> None:
        super().__init__(squared_hinge, reduction, name, dtype)


@export("keras.losses.CategoricalHinge")
class CategoricalHinge(NamedLoss):
    """max(max((1 - t) p) - sum(t p) + 1, 0); see `categorical_hinge`, and `Loss` for the arguments."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "categorical_hinge", dtype: Any = None
    ) -> None:
        super().__init__(categorical_hinge, reduction, name, dtype)
