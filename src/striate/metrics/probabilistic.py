"""Means of crossentropies and of the divergences from distributions."""

from __future__ import annotations

from typing import Any

from striate.core.registry import export
from striate.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from striate.metrics.reduction import NamedMean


@export("keras.metrics.KLDivergence")
class KLDivergence(NamedMean):
    """The mean of sum(t log(t / p)), both clipped to [epsilon, 1].

    Args:
        name: defaults to "kl_divergence".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(kl_divergence, name, dtype)


@export("keras.metrics.Poisson")
class Poisson(NamedMean):
    """The mean of p - t log(p + epsilon).

    Args:
        name: defaults to "poisson".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "poisson", dtype: Any = None) -> None:
        super().__init__(poisson, name, dtype)


@export("keras.metrics.BinaryCrossentropy")
class BinaryCrossentropy(NamedMean):
    """The mean of -t log(p) - (1 - t) log(1 - p).

    Args:
        name: defaults to "binary_crossentropy".
        dtype: of the computation and the result. Defaults to `floatx()`.
        from_logits: whether predictions are logits instead of probabilities. Defaults to False.
        label_smoothing: how far, in [0, 1], labels are drawn to their mean. Defaults to 0.
    """

    _direction = "down"

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


@export("keras.metrics.CategoricalCrossentropy")
class CategoricalCrossentropy(NamedMean):
    """The mean of -sum(t log(p)), labels one-hot.

    Args:
        name: defaults to "categorical_crossentropy".
        dtype: of the computation and the result. Defaults to `floatx()`.
        from_logits: whether predictions are logits instead of probabilities. Defaults to False.
        label_smoothing: how far, in [0, 1], labels are drawn to their mean. Defaults to 0.
        axis: the axis of the classes. Defaults to -1.
    """

    _direction = "down"

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(
            categorical_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis
        )


@export("keras.metrics.SparseCategoricalCrossentropy")
class SparseCategoricalCrossentropy(NamedMean):
    """The mean of -log(p of the label), labels numbers of classes.

    Args:
        name: defaults to "sparse_categorical_crossentropy".
        dtype: of the computation and the result. Defaults to `floatx()`.
        from_logits: whether predictions are logits instead of probabilities. Defaults to False.
        ignore_class: a label whose places have the loss 0. By default none.
        axis: the axis of the classes. Defaults to -1.
    """

    _direction = "down"

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(
            sparse_categorical_crossentropy, name, dtype, from_logits=from_logits, ignore_class=ignore_class, axis=axis
        )
