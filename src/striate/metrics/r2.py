"""The coefficient of determination."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core.registry import export
from striate.losses.reduction import squeeze_or_expand_to_same_rank
from striate.metrics.metric import Metric
from striate.metrics.shapes import check_matrices, same_shape, weights_like
from striate.trace import Variable, current_tracer

_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


@export("keras.metrics.R2Score")
class R2Score(Metric):
    """R^2 = 1 - sum((t - p)^2) / sum((t - mean(t))^2): 1 where predictions are right, 0 where they are no better than
    the mean.

    Args:
        class_aggregation: None for one score per column, "uniform_average" (default) for their mean,
            "variance_weighted_average" for their mean weighted by the columns' variances.
        num_regressors: p in the adjusted score 1 - (1 - R^2) (n - 1) / (n - p - 1), with n the number of values; 0
            (default) for the plain score, which also stands where p >= n - 1 (eagerly with a warning).
        name: defaults to "r2_score".
        dtype: of the computation. Defaults to `floatx()`.

    Raises:
        ValueError: another aggregation, a negative number; a batch that is no matrix.
    """

    _direction = "up"
    squared_sum: Variable
    sum: Variable
    total_mse: Variable
    count: Variable

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if class_aggregation not in _AGGREGATIONS:
            raise ValueError(
                f"Invalid value for argument `class_aggregation`. Expected one of {_AGGREGATIONS}. Received: "
                f"class_aggregation={class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                "Invalid value for argument `num_regressors`. Expected a value >= 0. Received: "
                f"num_regressors={num_regressors}"
            )
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_variable((), "zeros", name="num_samples")
        self._built = False

    def _build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        check_matrices("R2Score", y_true_shape, y_pred_shape)
        made = {"squared_sum": "squared_sum", "sum": "sum", "total_mse": "residual", "count": "count"}
        for attribute, name in made.items():
            setattr(self, attribute, self.add_variable((int(y_pred_shape[-1] or 0),), "zeros", name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: targets and predictions of shape (examples, columns), weights per example or of that shape."""
        pair = (ops.convert_to_tensor(y, self.dtype) for y in (y_true, y_pred))
        y_true, y_pred = squeeze_or_expand_to_same_rank(*pair)
        if not self._built:
            self._build(y_true.shape, y_pred.shape)
        y_true, y_pred = same_shape(y_true, y_pred, self.name)
        weights = self._weights(sample_weight, y_true)
        weighted = ops.multiply(y_true, weights)
        error = ops.multiply(ops.square(ops.subtract(y_true, y_pred)), weights)
        self.sum.assign_add(ops.sum(weighted, axis=0))
        self.squared_sum.assign_add(ops.sum(ops.multiply(y_true, weighted), axis=0))
        self.total_mse.assign_add(ops.sum(error, axis=0))
        self.count.assign_add(ops.sum(weights, axis=0))
        self.num_samples.assign_add(ops.size(y_true))

    def _weights(self, sample_weight: Any, like: Any) -> Any:
        weights = ops.convert_to_tensor(1.0 if sample_weight is None else sample_weight, self.dtype)
        weights = ops.expand_dims(weights, 1) if len(weights.shape) == 1 else weights
        return weights_like(weights, like, self.name)

    def result(self) -> Any:
        """The score so far: a scalar, or of shape (columns,) without aggregation."""
        total = ops.subtract(self.squared_sum, ops.divide(ops.square(self.sum), self.count))
        scores = ops.subtract(1.0, ops.divide(self.total_mse, total))
        scores = ops.where(ops.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = ops.divide(ops.sum(ops.multiply(total, scores)), ops.sum(total))
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, score: Any) -> Any:
        free = ops.subtract(self.num_samples, self.num_regressors + 1.0)
        if current_tracer() is None:
            _warn(float(free))
        ratio = ops.divide(ops.subtract(self.num_samples, 1.0), ops.where(ops.greater(free, 0.0), free, 1.0))
        adjusted = ops.subtract(1.0, ops.multiply(ops.subtract(1.0, score), ratio))
        return ops.where(ops.greater(free, 0.0), adjusted, score)

    def get_config(self) -> dict[str, Any]:
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **own}


def _warn(free: float) -> None:
    if free > 0:
        return
    why = "Division by zero" if free == 0 else "More independent predictors than datapoints"
    fix = "Falling back to standard R2 score."
    warnings.warn(f"{why} in {'A' if free == 0 else 'a'}djusted R2 score. {fix}", stacklevel=4)
