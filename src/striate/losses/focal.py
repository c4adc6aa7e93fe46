"""Focal crossentropies, which dwell on examples that are still wrong (Lin et al., 2017, arXiv:1708.02002)."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.config import epsilon
from striate.core.registry import export
from striate.losses.crossentropy import SPARSE_HINT, smoothed_binary, smoothed_classes, warn_of_one_class
from striate.losses.loss import NamedLoss
from striate.losses.pairs import as_float, need_axis, need_same_shape, pair


def _mixed(labels: Any, yes: Any, no: Any) -> Any:
    """t yes + (1 - t) no."""
    return ops.add(ops.multiply(labels, yes), ops.multiply(ops.subtract(1.0, labels), no))


@export("keras.losses.binary_focal_crossentropy", "keras.metrics.binary_focal_crossentropy")
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: Any = -1,
) -> Any:
    """The mean of (1 - q)^gamma times the binary crossentropy along `axis`, q = t p + (1 - t)(1 - p).

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as in `binary_crossentropy`.
        apply_class_balancing: whether class 1 weighs `alpha` and class 0 weighs 1 - `alpha`. Defaults to False.
        alpha: defaults to 0.25.
        gamma: how much right predictions are held back. Defaults to 2.0.

    Raises:
        ValueError: shapes that differ.
    """
    p = as_float(y_pred)
    t = ops.cast(y_true, ops.dtype(p))
    need_same_shape(t, p, "binary_focal_crossentropy", "One probability per label is needed")
    t = smoothed_binary(t, label_smoothing)
    p = ops.sigmoid(p) if from_logits else p
    values = ops.binary_crossentropy(t, p)
    right = _mixed(t, p, ops.subtract(1.0, p))
    values = ops.multiply(ops.power(ops.subtract(1.0, right), gamma), values)
    if apply_class_balancing:
        values = ops.multiply(_mixed(t, alpha, 1.0 - alpha), values)
    return ops.mean(values, axis=axis)


@export("keras.losses.categorical_focal_crossentropy", "keras.metrics.categorical_focal_crossentropy")
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """-sum(alpha (1 - p)^gamma t log p) along `axis`.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as in `categorical_crossentropy`.
        alpha: a weight, or one per class. Defaults to 0.25.
        gamma: how much right predictions are held back. Defaults to 2.0.

    Raises:
        ValueError, TypeError: shapes that don't fit, or an `axis` that is no int.
    """
    where = "categorical_focal_crossentropy"
    need_axis(axis, where)
    t, p = pair(y_true, y_pred, where, fix=SPARSE_HINT)
    warn_of_one_class(p, axis, where)
    t = smoothed_classes(t, label_smoothing)
    p = ops.softmax(p, axis=axis) if from_logits else p
    p = ops.divide(p, ops.sum(p, axis=axis, keepdims=True))
    p = ops.clip(p, epsilon(), 1.0 - epsilon())
    focus = ops.multiply(ops.power(ops.subtract(1.0, p), gamma), ops.cast(alpha, ops.dtype(p)))
    return ops.negative(ops.sum(ops.multiply(focus, ops.multiply(t, ops.log(p))), axis=axis))


@export("keras.losses.BinaryFocalCrossentropy")
class BinaryFocalCrossentropy(NamedLoss):
    """(1 - q)^gamma times the binary crossentropy; see `binary_focal_crossentropy`, and `Loss` for the rest."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


@export("keras.losses.CategoricalFocalCrossentropy")
class CategoricalFocalCrossentropy(NamedLoss):
    """-sum(alpha (1 - p)^gamma t log p); see `categorical_focal_crossentropy`, and `Loss` for the rest."""

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
