"""The best of one share where another one reaches a value: sensitivity at specificity and the like."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.registry import export
from striate.metrics.counting import Thresholds, count_into, prepared
from striate.metrics.metric import Metric


class _AtValue(Metric):
    """The greatest `_wanted` among the thresholds at which `_held` is at least a value; 0 if there is none."""

    _direction = "up"
    _value_name: str

    def __init__(self, value: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any) -> None:
        if not 0 <= value <= 1:
            what = self._value_name
            raise ValueError(f"Argument `{what}` must be in the range [0, 1]. Received: {what}={value}")
        super().__init__(name=name, dtype=dtype)
        if num_thresholds <= 0:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 0. Received: num_thresholds={num_thresholds}"
            )
        self.value, self.num_thresholds, self.class_id = value, num_thresholds, class_id
        self._cuts = _spread(num_thresholds)
        self.thresholds = list(self._cuts.values)
        size = (len(self.thresholds),)
        self.true_positives = self.add_variable(size, "zeros", name="true_positives")
        self.false_positives = self.add_variable(size, "zeros", name="false_positives")
        self.true_negatives = self.add_variable(size, "zeros", name="true_negatives")
        self.false_negatives = self.add_variable(size, "zeros", name="false_negatives")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels and predictions of one shape, weights per example or of that shape."""
        kinds = {
            "tp": self.true_positives, "fp": self.false_positives, "tn": self.true_negatives,
            "fn": self.false_negatives,
        }  # fmt: skip
        batch = prepared(y_true, y_pred, sample_weight, self.true_positives.dtype, None, self.class_id, self.name)
        count_into(kinds, batch, self._cuts, per_label=False, where=self.name)

    def _found(self, wanted: Any, held: Any) -> Any:
        return ops.max(ops.where(ops.greater_equal(held, self.value), wanted, 0.0), initial=0.0)

    def _sensitivities(self) -> Any:
        return _share(self.true_positives, self.false_negatives)

    def _specificities(self) -> Any:
        return _share(self.true_negatives, self.false_positives)

    def _precisions(self) -> Any:
        return _share(self.true_positives, self.false_positives)

    def get_config(self) -> dict[str, Any]:
        own = {"num_thresholds": self.num_thresholds, self._value_name: self.value, "class_id": self.class_id}
        return {**super().get_config(), **own}


def _share(part: Any, rest: Any) -> Any:
    return ops.divide_no_nan(part, ops.add(part, rest))


def _spread(count: int) -> Thresholds:
    """`count` of them, evenly over [0, 1]."""
    if count == 1:
        return Thresholds([0.5], False)
    return Thresholds([0.0, *((i + 1) / (count - 1) for i in range(count - 2)), 1.0], True)


@export("keras.metrics.SensitivityAtSpecificity")
class SensitivityAtSpecificity(_AtValue):
    """The best sensitivity tp / (tp + fn) at which the specificity tn / (tn + fp) is at least a value;
    0 if none is.

    Args:
        specificity: the value, in [0, 1].
        num_thresholds: how many thresholds, evenly over [0, 1], are tried. Defaults to 200.
        class_id: look at this class only, a place on the last axis. By default at all.
        name: defaults to a numbered "sensitivity_at_specificity".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a value outside [0, 1], or no threshold.
    """

    _value_name = "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self) -> Any:
        """The value so far, a scalar."""
        return self._found(self._sensitivities(), held=self._specificities())


@export("keras.metrics.SpecificityAtSensitivity")
class SpecificityAtSensitivity(_AtValue):
    """The best specificity tn / (tn + fp) at which the sensitivity tp / (tp + fn) is at least a value;
    0 if none is.

    Args:
        sensitivity: the value, in [0, 1].
        num_thresholds: how many thresholds, evenly over [0, 1], are tried. Defaults to 200.
        class_id: look at this class only, a place on the last axis. By default at all.
        name: defaults to a numbered "specificity_at_sensitivity".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a value outside [0, 1], or no threshold.
    """

    _value_name = "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self) -> Any:
        """The value so far, a scalar."""
        return self._found(self._specificities(), held=self._sensitivities())


@export("keras.metrics.PrecisionAtRecall")
class PrecisionAtRecall(_AtValue):
    """The best precision tp / (tp + fp) at which the recall tp / (tp + fn) is at least a value;
    0 if none is.

    Args:
        recall: the value, in [0, 1].
        num_thresholds: how many thresholds, evenly over [0, 1], are tried. Defaults to 200.
        class_id: look at this class only, a place on the last axis. By default at all.
        name: defaults to a numbered "precision_at_recall".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a value outside [0, 1], or no threshold.
    """

    _value_name = "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self) -> Any:
        """The value so far, a scalar."""
        return self._found(self._precisions(), held=self._sensitivities())


@export("keras.metrics.RecallAtPrecision")
class RecallAtPrecision(_AtValue):
    """The best recall tp / (tp + fn) at which the precision tp / (tp + fp) is at least a value;
    0 if none is.

    Args:
        precision: the value, in [0, 1].
        num_thresholds: how many thresholds, evenly over [0, 1], are tried. Defaults to 200.
        class_id: look at this class only, a place on the last axis. By default at all.
        name: defaults to a numbered "recall_at_precision".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a value outside [0, 1], or no threshold.
    """

    _value_name = "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self) -> Any:
        """The value so far, a scalar."""
        return self._found(self._sensitivities(), held=self._precisions())
