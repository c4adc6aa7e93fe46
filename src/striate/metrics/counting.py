"""Counts of a binary decision at one or many thresholds: true and false positives, true and false negatives.

A prediction is positive at a threshold t if it is greater than t. Labels other than 0 are positive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from striate import ops
from striate.core import config
from striate.core.errors import message
from striate.losses.reduction import squeeze_or_expand_to_same_rank
from striate.metrics.shapes import weights_like
from striate.trace import Variable

LOWEST = -1e10  # below any prediction


class Thresholds(NamedTuple):
    """Where predictions are cut.

    values: rising, if `even`.
    even: whether they are 0, 1/(n-1), 2/(n-1) ... 1, so that a prediction's place among them can be computed.
    """

    values: Sequence[float]
    even: bool

    @property
    def padded(self) -> bool:
        """Whether the outermost ones lie just outside [0, 1], so that no prediction falls out."""
        return self.values[0] < 0.0 or self.values[-1] > 1.0


def thresholds_of(given: Any, default: float) -> Thresholds:
    """`given`, a number or several, as thresholds; None for the default.

    Raises:
        ValueError: one that is not in [0, 1].
    """
    if given is None:
        return Thresholds([default], False)
    values = list(given) if isinstance(given, list | tuple) else [given]
    wrong = [t for t in values if t is None or not 0 <= t <= 1]
    if wrong:
        raise ValueError(message("", f"Threshold values must be in [0, 1]. Received: {wrong}"))
    return Thresholds(values, evenly_distributed(values))


def evenly_distributed(values: Sequence[float]) -> bool:
    """Whether `values` are 0, 1/(n-1) ... 1, with n at least 3."""
    n = len(values)
    return n >= 3 and bool(np.allclose(values, np.arange(n, dtype="float32") / (n - 1), atol=config.epsilon()))


class Batch(NamedTuple):
    """Targets, predictions and weights that stand side by side; weights None for 1."""

    y_true: Any
    y_pred: Any
    weights: Any


def prepared(
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
    dtype: str,
    top_k: int | None = None,
    class_id: int | None = None,
    where: str = "",
) -> Batch:
    """The batch as tensors of `dtype`: targets 0 and 1, predictions cut to the `top_k` best or to one class.

    Args:
        y_true, y_pred: of one shape; a last axis of size 1 may be missing in one of them.
        sample_weight: one per example, or of the shape of `y_true`.
        where: the metric, for errors.

    Raises:
        ValueError: a `class_id` for predictions that are a vector; weights that don't fit.
    """
    y_true = ops.cast(ops.cast(y_true, "bool"), dtype)
    y_pred, y_true = squeeze_or_expand_to_same_rank(ops.cast(y_pred, dtype), y_true)
    weights = None if sample_weight is None else ops.expand_dims(ops.cast(sample_weight, dtype), -1)
    if weights is not None:
        _, weights = squeeze_or_expand_to_same_rank(y_true, weights, expand_rank_1=False)
    y_pred = y_pred if top_k is None else _best(y_pred, top_k, dtype)
    if class_id is not None:
        y_true, y_pred = _of_class(y_true, class_id), _of_class(y_pred, class_id)
    return Batch(y_true, y_pred, None if weights is None else weights_like(weights, y_pred, where))


def _best(y_pred: Any, k: int, dtype: str) -> Any:
    """The `k` greatest of each row; the rest is `LOWEST`."""
    _, places = ops.top_k(y_pred, k)
    kept = ops.sum(ops.one_hot(places, y_pred.shape[-1], dtype=dtype), axis=-2)
    return ops.where(ops.greater(kept, 0), y_pred, LOWEST)


def _of_class(x: Any, class_id: int) -> Any:
    if len(x.shape) == 1:
        raise ValueError(
            "When class_id is provided, y_pred must be a 2D array with shape (num_samples, num_classes), found shape: "
            f"{tuple(x.shape)}"
        )
    return x[..., class_id : class_id + 1] if class_id != -1 else x[..., -1:]


def count_into(
    variables: Mapping[str, Variable], batch: Batch, thresholds: Thresholds, per_label: bool, where: str
) -> None:
    """Adds the counts of a batch to `variables`.

    Args:
        variables: any of "tp", "fp", "tn", "fn", of shape (thresholds,), or (thresholds, labels) with `per_label`.
        batch: as `prepared` gives it.
        per_label: whether each label of a (examples, labels) batch is counted apart.
        where: the metric, for errors.

    Raises:
        ValueError: targets that don't fit the predictions; TypeError, as in Keras, if thresholds are not even.
    """
    batch = _fitting(batch, thresholds.even, where)
    labels = (batch.y_true.shape[-1],) if per_label else (1,)
    true, pred, weights = (x if x is None else ops.reshape(x, (-1, *labels)) for x in batch)
    negative = ops.subtract(1.0, true)
    if weights is not None:
        true, negative = ops.multiply(true, weights), ops.multiply(negative, weights)
    kinds = [k for k in (("tp", "fn", true), ("fp", "tn", negative)) if k[0] in variables or k[1] in variables]
    above = _in_buckets if thresholds.even else _compared
    found = above([counted for _, _, counted in kinds], pred, thresholds)
    for (positives, negatives, counted), sums in zip(kinds, found, strict=True):
        _add(variables.get(positives), sums, per_label)
        if negatives in variables:
            _add(variables[negatives], ops.subtract(ops.sum(counted, axis=0), sums), per_label)


def _fitting(batch: Batch, even: bool, where: str) -> Batch:
    """The batch, a single target repeated for all predictions."""
    true, pred = tuple(batch.y_true.shape), tuple(batch.y_pred.shape)
    if math.prod(true) == math.prod(pred):
        return batch
    if math.prod(true) != 1 or even:
        problem = f"y_true of shape {true} doesn't fit y_pred of shape {pred}"
        raise (ValueError if even else TypeError)(message(where, problem, "Give one target for each prediction"))
    return batch._replace(y_true=ops.broadcast_to(ops.reshape(batch.y_true, (1,) * len(pred)), pred))


def _add(variable: Variable | None, found: Any, per_label: bool) -> None:
    if variable is not None:
        variable.assign_add(found if per_label else found[:, 0])


def _compared(counted: Sequence[Any], pred: Any, thresholds: Thresholds) -> list[Any]:
    """For each threshold and label what lies above it of each of `counted`: of shape (thresholds, labels)."""
    cuts = np.asarray(thresholds.values, ops.dtype(pred)).reshape(-1, 1, 1)
    above = ops.greater(pred, cuts)
    return [ops.sum(ops.where(above, x, 0.0), axis=1) for x in counted]


def _in_buckets(counted: Sequence[Any], pred: Any, thresholds: Thresholds) -> list[Any]:
    """As `_compared`, but in one go: ceil(p (n-1)) thresholds lie below a prediction p, and all of `counted` is added
    up by that number (each kind and label apart), then from the end on.
    """
    n, labels, kinds = len(thresholds.values), pred.shape[1], len(counted)
    places = ops.ceil(ops.multiply(ops.clip(pred, 0.0, 1.0), n - 1.0))
    places = ops.cast(ops.maximum(places, 1.0) if thresholds.padded else places, "int32")
    first = np.arange(kinds * labels, dtype="int32").reshape(kinds, 1, labels) * (n + 1)
    places = ops.reshape(ops.add(places, first), (-1,))
    sums = ops.segment_sum(ops.reshape(ops.stack(list(counted)), (-1,)), places, kinds * labels * (n + 1))
    sums = ops.flip(ops.reshape(sums, (kinds, labels, n + 1)), axis=2)
    above = ops.flip(ops.cumsum(sums, axis=2), axis=2)[:, :, 1:]
    return [ops.transpose(above[kind]) for kind in range(kinds)]
