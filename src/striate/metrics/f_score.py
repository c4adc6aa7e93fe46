"""F scores: precision and recall in one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core import config
from striate.core.registry import export
from striate.metrics.metric import Metric
from striate.metrics.shapes import check_matrices, same_shape
from striate.trace import Variable


@export("keras.metrics.FBetaScore")
class FBetaScore(Metric):
    """F = (1 + b^2) precision recall / (b^2 precision + recall), for each class.

    Args:
        average: None (default) for one score per class, "micro" for one of all classes counted together, "macro" for
            the classes' mean, "weighted" for their mean weighted by how often each is the label.
        beta: how much more recall counts than precision; positive. Defaults to 1.
        threshold: predictions above it count as positive; None (default): the greatest of each example.
        name: defaults to "fbeta_score".
        dtype: of the computation and the result. Defaults to `floatx()`.

    Raises:
        ValueError: an unknown average; beta or threshold that are no floats, or out of range; a batch that is no
            matrix.
    """

    _direction = "up"
    true_positives: Variable
    false_positives: Variable
    false_negatives: Variable
    intermediate_weights: Variable

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                "Invalid `average` argument value. Expected one of: {None, 'micro', 'macro', 'weighted'}. Received: "
                f"average={average}"
            )
        _check_float("beta", beta, beta_like=True)
        if threshold is not None:
            _check_float("threshold", threshold, beta_like=False)
        self.average, self.beta, self.threshold = average, beta, threshold
        self.axis = None if average == "micro" else 0
        self._built = False

    def _build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        check_matrices("FBetaScore", y_true_shape, y_pred_shape)
        shape = () if self.average == "micro" else (int(y_pred_shape[-1] or 0),)
        for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
            setattr(self, name, self.add_variable(shape, "zeros", self.dtype, name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels 0 and 1 and predictions of shape (examples, classes), one weight per example."""
        y_true = ops.convert_to_tensor(y_true, self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        if not self._built:
            self._build(y_true.shape, y_pred.shape)
        y_true, y_pred = same_shape(y_true, y_pred, self.name)
        found = ops.cast(self._positive(y_pred), self.dtype)
        hit = ops.multiply(found, y_true)
        true, expected, positive = (self._total(x, sample_weight) for x in (hit, y_true, found))
        self.true_positives.assign_add(true)
        self.false_positives.assign_add(ops.subtract(positive, true))
        self.false_negatives.assign_add(ops.subtract(expected, true))
        self.intermediate_weights.assign_add(expected)

    def _positive(self, y_pred: Any) -> Any:
        if self.threshold is not None:
            return ops.greater(y_pred, self.threshold)
        greatest = ops.greater_equal(y_pred, ops.max(y_pred, axis=-1, keepdims=True))
        return ops.logical_and(greatest, ops.greater(ops.absolute(y_pred), 1e-9))  # a row of zeros has none

    def _total(self, x: Any, sample_weight: Any) -> Any:
        if sample_weight is not None:
            weights = ops.expand_dims(ops.convert_to_tensor(sample_weight, self.dtype), 1)
            x = ops.multiply(x, same_shape(weights, x, f"{self.name}, sample_weight")[0])
        return ops.sum(x, axis=self.axis)

    def result(self) -> Any:
        """The score so far: of shape (classes,) without averaging, else a scalar."""
        least, true = config.epsilon(), self.true_positives.value
        precision = ops.divide(true, ops.add(ops.add(true, self.false_positives), least))
        recall = ops.divide(true, ops.add(ops.add(true, self.false_negatives), least))
        both = ops.add(ops.multiply(precision, self.beta**2), recall)
        mean = ops.divide(ops.multiply(precision, recall), ops.add(both, least))
        return self._averaged(ops.multiply(mean, 1.0 + self.beta**2))

    def _averaged(self, score: Any) -> Any:
        if self.average == "weighted":
            weights = self.intermediate_weights.value
            share = ops.divide(weights, ops.add(ops.sum(weights), config.epsilon()))
            return ops.sum(ops.multiply(score, share))
        return score if self.average is None else ops.mean(score)

    def get_config(self) -> dict[str, Any]:
        own = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **own}


def _check_float(name: str, value: Any, beta_like: bool) -> None:
    """ValueError unless `value` is a float above 0 (and, if not `beta_like`, at most 1)."""
    if not isinstance(value, float):
        problem = f"It should be a Python float. Received: {name}={value} of type '{type(value)}'"
    elif value <= 0.0 or (value > 1.0 and not beta_like):
        expected = "It should be > 0." if beta_like else "It should verify 0 < threshold <= 1."
        problem = f"{expected} Received: {name}={value}"
    else:
        return
    raise ValueError(f"Invalid `{name}` argument value. {problem}")


@export("keras.metrics.F1Score")
class F1Score(FBetaScore):
    """F = 2 precision recall / (precision + recall), for each class.

    Args:
        average, threshold, dtype: as of `FBetaScore`.
        name: defaults to "f1_score".

    Raises:
        ValueError: as `FBetaScore`.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average=average, beta=1.0, threshold=threshold, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "beta"}
