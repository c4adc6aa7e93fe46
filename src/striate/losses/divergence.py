"""Losses of distributions: Kullback-Leibler divergence and Poisson."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.config import epsilon
from striate.core.registry import export
from striate.losses.loss import NamedLoss
from striate.losses.pairs import pair


@export(
    "keras.losses.kl_divergence",
    "keras.metrics.kl_divergence",
    "keras.losses.kld",
    "keras.losses.KLD",
    "keras.losses.kullback_leibler_divergence",
)
def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """sum(t log(t / p)) along the last axis, t and p kept between `epsilon()` and 1.

    Args:
        y_true, y_pred: distributions along the last axis, tensors of one shape.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    t, p = (ops.clip(x, epsilon(), 1.0) for x in pair(y_true, y_pred, "kl_divergence"))
    return ops.sum(ops.multiply(t, ops.log(ops.divide(t, p))), axis=-1)


@export("keras.losses.poisson", "keras.metrics.poisson")
def poisson(y_true: Any, y_pred: Any) -> Any:
    """mean(p - t log(p + epsilon)) along the last axis: counts t, expected counts p.

    Args:
        y_true, y_pred: tensors of one shape.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    t, p = pair(y_true, y_pred, "poisson")
    return ops.mean(ops.subtract(p, ops.multiply(t, ops.log(ops.add(p, epsilon())))), axis=-1)


@export("keras.losses.KLDivergence")
class KLDivergence(NamedLoss):
    """sum(t log(t / p)); see `kl_divergence`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "kl_divergence", dtype: Any = None
    ) -> None:
        super().__init__(kl_divergence, reduction, name, dtype)


@export("keras.losses.Poisson")
class Poisson(NamedLoss):
    """mean(p - t log p); see `poisson`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "poisson", dtype: Any = None) -> None:
        super().__init__(poisson, reduction, name, dtype)
