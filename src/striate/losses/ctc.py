"""Losses of sequences: connectionist temporal classification."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.losses.loss import NamedLoss
from striate.losses.pairs import as_float


@export("keras.losses.ctc")
def ctc(y_true: Any, y_pred: Any) -> Any:
    """-log of the probability that predictions read as the labels, blanks and repetitions taken out (Graves et al.,
    2006).

    Args:
        y_true: labels `(batch, labels)`, integers from 1 on; 0 is blank and fills up short rows.
        y_pred: logits `(batch, time, classes)`.

    Raises:
        ValueError: other ranks, batches of different sizes, a label that is no class.
    """
    logits, labels = as_float(y_pred), ops.cast(y_true, "int32")
    _need_rank(labels, 2, "Targets `y_true`", "`(batch_size, max_length)` in integer format")
    _need_rank(logits, 3, "Logits `y_pred`", "`(batch_size, max_length, num_classes)`")
    n_labels = ops.sum(ops.cast(ops.not_equal(labels, 0), "int32"), axis=-1)
    n_steps = ops.full_like(n_labels, logits.shape[1])
    return ops.ctc_loss(labels, logits, n_labels, n_steps)


def _need_rank(x: Any, rank: int, what: str, shape: str) -> None:
    if len(x.shape) != rank:
        problem = f"{what} are expected to be a tensor of shape {shape}. Received: shape={tuple(x.shape)}"
        raise ValueError(message("ctc", problem))


@export("keras.losses.CTC")
class CTC(NamedLoss):
    """Connectionist temporal classification; see `ctc`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "ctc", dtype: Any = None) -> None:
        super().__init__(ctc, reduction, name, dtype)
