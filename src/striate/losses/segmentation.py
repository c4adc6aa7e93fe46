"""Losses of overlaps: Dice and Tversky."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.config import epsilon
from striate.core.registry import export
from striate.losses.loss import NamedLoss
from striate.losses.pairs import pair


@export("keras.losses.dice")
def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """1 - 2 sum(t p) / (sum(t) + sum(p) + epsilon).

    Args:
        y_true, y_pred: tensors of one shape.
        axis: the axes of the sums. Defaults to None: all of them, so that a batch has one loss.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    t, p = pair(y_true, y_pred, "dice")
    both = ops.sum(ops.multiply(t, p), axis=axis)
    total = ops.add(ops.add(ops.sum(t, axis=axis), ops.sum(p, axis=axis)), epsilon())
    return ops.subtract(1.0, ops.divide(ops.multiply(both, 2.0), total))


@export("keras.losses.tversky")
def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """1 - I / (I + alpha FN + beta FP + epsilon), I = sum(t p), FN = sum(t (1 - p)), FP = sum((1 - t) p) (Salehi et
    al., 2017, arXiv:1706.05721).

    That is Keras's order: the paper has alpha at the false positives and beta at the false negatives.

    Args:
        y_true, y_pred: tensors of one shape.
        alpha: the weight of false negatives. Defaults to 0.5.
        beta: the weight of false positives. Defaults to 0.5.
        axis: the axes of the sums. Defaults to None: all of them, so that a batch has one loss.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    t, p = pair(y_true, y_pred, "tversky")
    if axis is None:
        t, p = ops.reshape(t, (-1,)), ops.reshape(p, (-1,))
    both = ops.sum(ops.multiply(t, p), axis=axis)
    false_positives = ops.subtract(ops.sum(p, axis=axis), both)
    false_negatives = ops.subtract(ops.sum(t, axis=axis), both)
    wrong = ops.add(ops.multiply(false_negatives, alpha), ops.multiply(false_positives, beta))
    return ops.subtract(1.0, ops.divide(both, ops.add(ops.add(both, wrong), epsilon())))


@export("keras.losses.Dice")
class Dice(NamedLoss):
    """1 - 2 sum(t p) / (sum(t) + sum(p)); see `dice`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(dice, reduction, name, dtype, axis=axis)


@export("keras.losses.Tversky")
class Tversky(NamedLoss):
    """Dice with weights for both kinds of errors; see `tversky`, and `Loss` for `reduction`, `name`, `dtype`."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
