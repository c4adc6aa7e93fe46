"""Losses of embeddings: Circle."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.losses.loss import NamedLoss
from striate.losses.pairs import as_float
from striate.trace.masks import set_keras_mask


def _column(labels: Any, dtype: str) -> Any:
    return ops.reshape(ops.cast(labels, dtype), (-1, 1))


def _pairs(labels: Any, others: Any, remove_diagonal: bool, dtype: str) -> tuple[Any, Any]:
    """Which pairs have one class, and which have two."""
    same = ops.equal(_column(labels, dtype), ops.transpose(_column(others, dtype)))
    rows, columns = same.shape
    positive = ops.logical_and(same, ~np.eye(rows, columns, dtype=bool)) if remove_diagonal else same
    return positive, ops.logical_not(same)


def _gathered(logits: Any, chosen: Any) -> Any:
    """log(sum(exp(logits))) of the chosen pairs of each row; a number far below all others where there are none."""
    lowest = float(np.finfo(ops.dtype(logits)).min) / 4
    return ops.logsumexp(ops.where(chosen, logits, lowest), axis=1)


@export("keras.losses.circle")
def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """log(1 + sum exp(gamma a_n (s_n - m)) sum exp(-gamma a_p (s_p - 1 + m))) per example (Sun et al., 2020,
    arXiv:2002.10857).

    s_p and s_n are the similarities (products, at most 1) with examples of the same and of other classes, their weights
    are a_p = max(1 + m - s_p, 0) and a_n = max(s_n + m, 0). As in Keras gradients flow through the weights, too (the
    paper holds them fixed). An example without pairs of both kinds has the loss 0, and means leave it out.

    Args:
        y_true: class numbers, `(batch,)` or `(batch, 1)`.
        y_pred: embeddings of length 1, `(batch, size)`.
        ref_labels, ref_embeddings: the examples to compare with. By default those of the batch themselves.
        remove_diagonal: whether the i-th example is not compared with the i-th one. Defaults to True.
        gamma: the scale. Defaults to 80.
        margin: m. Defaults to 0.4.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    x = as_float(y_pred)
    others = x if ref_embeddings is None else ops.cast(ref_embeddings, ops.dtype(x))
    names = y_true if ref_labels is None else ref_labels
    positive, negative = _pairs(y_true, names, remove_diagonal, ops.dtype(x))
    apart = ops.maximum(ops.subtract(1.0, ops.matmul(x, ops.transpose(others))), 0.0)
    if tuple(apart.shape) != tuple(positive.shape):
        problem = f"labels give {tuple(positive.shape)} pairs, embeddings {tuple(apart.shape)}"
        raise TypeError(message("circle", problem, "Give one class number per embedding"))
    pull = ops.multiply(ops.maximum(ops.add(apart, margin), 0.0), ops.multiply(ops.subtract(apart, margin), gamma))
    push = ops.maximum(ops.subtract(1.0 + margin, apart), 0.0)
    push = ops.multiply(push, ops.multiply(ops.subtract(1.0 - margin, apart), gamma))
    values = ops.softplus(ops.add(_gathered(pull, positive), _gathered(push, negative)))
    set_keras_mask(values, ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1)))
    return values


@export("keras.losses.Circle")
class Circle(NamedLoss):
    """Circle loss of the pairs in a batch; see `circle`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(circle, reduction, name, dtype, gamma=gamma, margin=margin, remove_diagonal=remove_diagonal)
