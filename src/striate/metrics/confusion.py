"""Counts of right and wrong decisions, and two shares of them: precision and recall."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.registry import export
from striate.metrics.counting import LOWEST, count_into, prepared, thresholds_of
from striate.metrics.metric import Metric


class _Count(Metric):
    """How much weight one of the four cases has: examples, or their weights, added up for each threshold."""

    _case: str

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self._cuts = thresholds_of(thresholds, 0.5)
        self.thresholds = list(self._cuts.values)
        self.accumulator = self.add_variable((len(self.thresholds),), "zeros", name="accumulator")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels and predictions of one shape, weights per example or of that shape."""
        batch = prepared(y_true, y_pred, sample_weight, self.accumulator.dtype, where=self.name)
        count_into({self._case: self.accumulator}, batch, self._cuts, per_label=False, where=self.name)

    def result(self) -> Any:
        """The count so far: a scalar, or of shape (thresholds,) if there are several."""
        return self.accumulator[0] if len(self.thresholds) == 1 else self.accumulator.value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


@export("keras.metrics.FalsePositives")
class FalsePositives(_Count):
    """Negative labels with a prediction above the threshold: their number, or the sum of their weights.

    Args:
        thresholds: one or several in [0, 1]. Defaults to 0.5; for logits take 0.
        name: defaults to a numbered "false_positives".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a threshold outside [0, 1].
    """

    _case = "fp"


@export("keras.metrics.FalseNegatives")
class FalseNegatives(_Count):
    """Positive labels with a prediction not above the threshold: their number, or the sum of their weights.

    Args:
        thresholds: one or several in [0, 1]. Defaults to 0.5; for logits take 0.
        name: defaults to a numbered "false_negatives".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a threshold outside [0, 1].
    """

    _case = "fn"


@export("keras.metrics.TrueNegatives")
class TrueNegatives(_Count):
    """Negative labels with a prediction not above the threshold: their number, or the sum of their weights.

    Args:
        thresholds: one or several in [0, 1]. Defaults to 0.5; for logits take 0.
        name: defaults to a numbered "true_negatives".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a threshold outside [0, 1].
    """

    _case = "tn"


@export("keras.metrics.TruePositives")
class TruePositives(_Count):
    """Positive labels with a prediction above the threshold: their number, or the sum of their weights.

    Args:
        thresholds: one or several in [0, 1]. Defaults to 0.5; for logits take 0.
        name: defaults to a numbered "true_positives".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a threshold outside [0, 1].
    """

    _case = "tp"


class _Share(Metric):
    """What share of the positives of one kind are true ones."""

    _direction = "up"
    _other: tuple[str, str]

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self._cuts = thresholds_of(thresholds, 0.5 if top_k is None else LOWEST)
        self.thresholds = list(self._cuts.values)
        self.true_positives = self.add_variable((len(self.thresholds),), "zeros", name="true_positives")
        self._rest = self.add_variable((len(self.thresholds),), "zeros", name=self._other[1])
        setattr(self, self._other[1], self._rest)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels and predictions of one shape, weights per example or of that shape."""
        kinds = {"tp": self.true_positives, self._other[0]: self._rest}
        batch = prepared(y_true, y_pred, sample_weight, self._rest.dtype, self.top_k, self.class_id, self.name)
        count_into(kinds, batch, self._cuts, per_label=False, where=self.name)

    def result(self) -> Any:
        """The share so far: a scalar, or of shape (thresholds,) if there are several; 0 where there is nothing."""
        share = ops.divide_no_nan(self.true_positives, ops.add(self.true_positives, self._rest))
        return share[0] if len(self.thresholds) == 1 else share

    def get_config(self) -> dict[str, Any]:
        own = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **own}


@export("keras.metrics.Precision")
class Precision(_Share):
    """tp / (tp + fp): which share of what was found is right.

    Args:
        thresholds: one or several in [0, 1]; predictions above count as positive. Defaults to 0.5 (with `top_k` to
            none); for logits take 0.
        top_k: count only the `top_k` greatest predictions of each example. By default all.
        class_id: look at this class only, a place on the last axis. By default at all.
        name: defaults to a numbered "precision".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a threshold outside [0, 1]; with `class_id`, predictions that are a vector.
    """

    _other = ("fp", "false_positives")


@export("keras.metrics.Recall")
class Recall(_Share):
    """tp / (tp + fn): which share of what is right was found.

    Args:
        thresholds: one or several in [0, 1]; predictions above count as positive. Defaults to 0.5 (with `top_k` to
            none); for logits take 0.
        top_k: count only the `top_k` greatest predictions of each example. By default all.
        class_id: look at this class only, a place on the last axis. By default at all.
        name: defaults to a numbered "recall".
        dtype: defaults to `floatx()`.

    Raises:
        ValueError: a threshold outside [0, 1]; with `class_id`, predictions that are a vector.
    """

    _other = ("fn", "false_negatives")
