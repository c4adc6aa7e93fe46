"""Means of the hinge losses."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export
from striate.losses import categorical_hinge, hinge, squared_hinge
from striate.metrics.reduction import NamedMean


@export("keras.metrics.Hinge")
class Hinge(NamedMean):
    """The mean of max(1 - t p, 0), labels -1 or 1 (0 counts as -1 where all are 0 or 1).

    Args:
        name: defaults to "hinge".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(hinge, name, dtype)


@export("keras.metrics.SquaredHinge")
class SquaredHinge(NamedMean):
    """The mean of max(1 - t p, 0)^2, labels -1 or 1 (0 counts as -1 where all are 0 or 1).

    Args:
        name: defaults to "squared_hinge".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(squared_hinge, name, dtype)


@export("keras.metrics.CategoricalHinge")
class CategoricalHinge(NamedMean):
    """The mean of max(1 + max((1 - t) p) - sum(t p), 0), labels one-hot.

    Args:
        name: defaults to "categorical_hinge".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(categorical_hinge, name, dtype)
