"""How far predictions are from targets: means of errors, and similarities."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.registry import export
from striate.losses import cosine_similarity as minus_cosine
from striate.losses import (
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from striate.losses.reduction import squeeze_or_expand_to_same_rank
from striate.metrics.reduction import Mean, NamedMean
from striate.metrics.shapes import same_shape


def cosine_similarity(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """sum(t p) / (|t| |p|) along `axis`: 1 for one direction, 0 for right angles, -1 for opposite ones."""
    return ops.negative(minus_cosine(y_true, y_pred, axis=axis))


@export("keras.metrics.MeanSquaredError")
class MeanSquaredError(NamedMean):
    """The mean of (t - p)^2.

    Args:
        name: defaults to "mean_squared_error".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "mean_squared_error", dtype: Any = None) -> None:
        super().__init__(mean_squared_error, name, dtype)


@export("keras.metrics.MeanAbsoluteError")
class MeanAbsoluteError(NamedMean):
    """The mean of |t - p|.

    Args:
        name: defaults to "mean_absolute_error".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "mean_absolute_error", dtype: Any = None) -> None:
        super().__init__(mean_absolute_error, name, dtype)


@export("keras.metrics.MeanAbsolutePercentageError")
class MeanAbsolutePercentageError(NamedMean):
    """The mean of 100 |t - p| / max(|t|, epsilon).

    Args:
        name: defaults to "mean_absolute_percentage_error".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "mean_absolute_percentage_error", dtype: Any = None) -> None:
        super().__init__(mean_absolute_percentage_error, name, dtype)


@export("keras.metrics.MeanSquaredLogarithmicError")
class MeanSquaredLogarithmicError(NamedMean):
    """The mean of (log(t + 1) - log(p + 1))^2.

    Args:
        name: defaults to "mean_squared_logarithmic_error".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "mean_squared_logarithmic_error", dtype: Any = None) -> None:
        super().__init__(mean_squared_logarithmic_error, name, dtype)


@export("keras.metrics.LogCoshError")
class LogCoshError(NamedMean):
    """The mean of log(cosh(p - t)).

    Args:
        name: defaults to "logcosh".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(log_cosh, name, dtype)


@export("keras.metrics.CosineSimilarity")
class CosineSimilarity(NamedMean):
    """The mean of the cosine of the angle between targets and predictions.

    Args:
        name: defaults to "cosine_similarity".
        dtype: of the computation and the result. Defaults to `floatx()`.
        axis: along which they are vectors. Defaults to -1.
    """

    _direction = "up"

    def __init__(self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)


@export("keras.metrics.RootMeanSquaredError")
class RootMeanSquaredError(Mean):
    """The square root of the mean of (t - p)^2.

    Args:
        name: defaults to "root_mean_squared_error".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "down"

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch: targets and predictions of one shape, weights per example or of that shape."""
        pair = tuple(ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred))
        pair = same_shape(*squeeze_or_expand_to_same_rank(*pair), self.name)
        super().update_state(ops.square(ops.subtract(*pair)), sample_weight)

    def result(self) -> Any:
        """The root of the mean so far, a scalar."""
        return ops.sqrt(super().result())
