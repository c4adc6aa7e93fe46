"""Losses of numbers: squared, absolute and relative errors, Huber, log-cosh, angles."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from striate import ops
from striate.core.config import epsilon
from striate.core.registry import export
from striate.losses.loss import NamedLoss
from striate.losses.pairs import pair


def _paths(*names: str) -> Any:
    return export(*(f"keras.{family}.{name}" for name in names for family in ("losses", "metrics")))


@_paths("mean_squared_error", "mse", "MSE")
def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """mean((t - p)^2) along the last axis, for labels t and predictions p.

    Args:
        y_true, y_pred: tensors of one shape `(batch, d0, ..., dN)`; the result has `(batch, d0, ..., dN-1)`.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    t, p = pair(y_true, y_pred, "mean_squared_error", same_rank=True)
    return ops.mean(ops.square(ops.subtract(t, p)), axis=-1)


@_paths("mean_absolute_error", "mae", "MAE")
def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """mean(|t - p|) along the last axis; arguments and errors as in `mean_squared_error`."""
    t, p = pair(y_true, y_pred, "mean_absolute_error", same_rank=True)
    return ops.mean(ops.abs(ops.subtract(t, p)), axis=-1)


@_paths("mean_absolute_percentage_error", "mape", "MAPE")
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """100 mean(|t - p| / max(|t|, epsilon)) along the last axis; arguments and errors as in `mean_squared_error`."""
    t, p = pair(y_true, y_pred, "mean_absolute_percentage_error", same_rank=True)
    share = ops.abs(ops.divide(ops.subtract(t, p), ops.maximum(ops.abs(t), epsilon())))
    return ops.multiply(ops.mean(share, axis=-1), 100.0)


@_paths("mean_squared_logarithmic_error", "msle", "MSLE")
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """mean((log(1 + max(t, epsilon)) - log(1 + max(p, epsilon)))^2) along the last axis.

    Arguments and errors as in `mean_squared_error`.
    """
    t, p = pair(y_true, y_pred, "mean_squared_logarithmic_error", same_rank=True)
    log_t, log_p = (ops.log(ops.add(ops.maximum(x, epsilon()), 1.0)) for x in (t, p))
    return ops.mean(ops.square(ops.subtract(log_p, log_t)), axis=-1)


@export("keras.losses.cosine_similarity")
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between labels and predictions along `axis`, negated: -1 is the best, 1 the worst.

    Args:
        y_true, y_pred: tensors of one shape. A vector of length 0 has the cosine 0 with all others.
        axis: defaults to -1.

    Raises:
        ValueError, TypeError: shapes that don't fit together.
    """
    t, p = pair(y_true, y_pred, "cosine_similarity", same_rank=True)
    cosines = ops.multiply(ops.normalize(t, axis=axis), ops.normalize(p, axis=axis))
    return ops.negative(ops.sum(cosines, axis=axis))


@_paths("huber")
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """The mean along the last axis of e^2 / 2 where |e| <= delta and delta |e| - delta^2 / 2 elsewhere, e = t - p
    (Huber, 1964).

    Args:
        delta: where squares turn into lines. Defaults to 1.0.
        y_true, y_pred: as in `mean_squared_error`, errors, too.
    """
    t, p = pair(y_true, y_pred, "huber", same_rank=True)
    error = ops.subtract(p, t)
    size = ops.abs(error)
    line = ops.subtract(ops.multiply(size, delta), 0.5 * delta * delta)
    return ops.mean(ops.where(ops.less_equal(size, delta), ops.multiply(ops.square(error), 0.5), line), axis=-1)


@_paths("log_cosh", "logcosh")
def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """mean(log(cosh(p - t))) along the last axis, without overflow; arguments and errors as in `mean_squared_error`."""
    t, p = pair(y_true, y_pred, "log_cosh", same_rank=True)
    error = ops.subtract(p, t)
    values = ops.subtract(ops.add(error, ops.softplus(ops.multiply(error, -2.0))), math.log(2.0))
    return ops.mean(values, axis=-1)


@export("keras.losses.MeanSquaredError")
class MeanSquaredError(NamedLoss):
    """mean((t - p)^2); see `mean_squared_error`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(mean_squared_error, reduction, name, dtype)


@export("keras.losses.MeanAbsoluteError")
class MeanAbsoluteError(NamedLoss):
    """mean(|t - p|); see `mean_absolute_error`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(mean_absolute_error, reduction, name, dtype)


@export("keras.losses.MeanAbsolutePercentageError")
class MeanAbsolutePercentageError(NamedLoss):
    """100 mean(|t - p| / |t|); see `mean_absolute_percentage_error`, and `Loss` for the arguments."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


@export("keras.losses.MeanSquaredLogarithmicError")
class MeanSquaredLogarithmicError(NamedLoss):
    """mean((log(1 + t) - log(1 + p))^2); see `mean_squared_logarithmic_error`, and `Loss` for the arguments."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


@export("keras.losses.CosineSimilarity")
class CosineSimilarity(NamedLoss):
    """The negated cosine along `axis` (default -1); see `cosine_similarity`, and `Loss` for the other arguments."""

    unsaid: ClassVar[dict[str, Any]] = {"axis": -1}

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


@export("keras.losses.Huber")
class Huber(NamedLoss):
    """Squares up to `delta` (default 1.0), lines beyond; see `huber`, and `Loss` for the other arguments."""

    unsaid: ClassVar[dict[str, Any]] = {"delta": 1.0}

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(huber, reduction, name, dtype, delta=delta)


@export("keras.losses.LogCosh")
class LogCosh(NamedLoss):
    """mean(log(cosh(p - t))); see `log_cosh`, and `Loss` for `reduction`, `name` and `dtype`."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "log_cosh", dtype: Any = None
    ) -> None:
        super().__init__(log_cosh, reduction, name, dtype)
