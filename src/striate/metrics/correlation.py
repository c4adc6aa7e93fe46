"""Correlations of targets and predictions, example by example."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core import config
from striate.core.registry import export
from striate.losses.reduction import squeeze_or_expand_to_same_rank
from striate.metrics.reduction import NamedMean
from striate.metrics.shapes import same_shape


def _pair(y_true: Any, y_pred: Any, where: str) -> tuple[Any, Any]:
    y_pred = ops.convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(ops.convert_to_tensor(y_true, ops.dtype(y_pred)), y_pred)
    return same_shape(y_true, y_pred, where)


@export("keras.metrics.pearson_correlation")
def pearson_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """mean((t - mean(t)) (p - mean(p))) / (std(t) std(p)) along `axis`.

    Args:
        y_true, y_pred: of one shape; a last axis of size 1 may be missing in one of them.
        axis: an axis or several. Defaults to -1.
    """
    y_true, y_pred = _pair(y_true, y_pred, "pearson_correlation")
    t = ops.subtract(y_true, ops.mean(y_true, axis=axis, keepdims=True))
    p = ops.subtract(y_pred, ops.mean(y_pred, axis=axis, keepdims=True))
    spread = ops.multiply(*(ops.sqrt(ops.mean(ops.square(x), axis=axis)) for x in (t, p)))
    return ops.divide(ops.mean(ops.multiply(t, p), axis=axis), spread)


@export("keras.metrics.concordance_correlation")
def concordance_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """2 mean((t - mean(p)) (p - mean(p))) / (var(t) + var(p) + (mean(t) - mean(p))^2 + epsilon) along `axis`.

    Args:
        y_true, y_pred: of one shape; a last axis of size 1 may be missing in one of them.
        axis: an axis or several. Defaults to -1.
    """
    y_true, y_pred = _pair(y_true, y_pred, "concordance_correlation")
    means = [ops.mean(x, axis=axis, keepdims=True) for x in (y_true, y_pred)]
    t, p = ops.subtract(y_true, means[0]), ops.subtract(y_pred, means[1])
    apart = ops.subtract(*means)
    spread = ops.add(ops.mean(ops.square(t), axis=axis), ops.mean(ops.square(p), axis=axis))
    spread = ops.add(spread, ops.mean(ops.square(apart), axis=axis))
    together = ops.mean(ops.multiply(ops.subtract(y_true, means[1]), p), axis=axis)
    return ops.divide(ops.multiply(together, 2.0), ops.add(spread, config.epsilon()))


@export("keras.metrics.PearsonCorrelation")
class PearsonCorrelation(NamedMean):
    """The mean of the examples' Pearson correlations: see `pearson_correlation`.

    Args:
        name: defaults to "pearson_correlation".
        dtype: of the computation and the result. Defaults to `floatx()`.
        axis: along which targets and predictions are compared. Defaults to -1.
    """

    _direction = "up"

    def __init__(self, name: str | None = "pearson_correlation", dtype: Any = None, axis: Any = -1) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)


@export("keras.metrics.ConcordanceCorrelation")
class ConcordanceCorrelation(NamedMean):
    """The mean of the examples' concordance correlations: see `concordance_correlation`.

    Args:
        name: defaults to "concordance_correlation".
        dtype: of the computation and the result. Defaults to `floatx()`.
        axis: along which targets and predictions are compared. Defaults to -1.
    """

    _direction = "up"

    def __init__(self, name: str | None = "concordance_correlation", dtype: Any = None, axis: Any = -1) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
