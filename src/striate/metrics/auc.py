"""The area under a curve that a threshold runs through: ROC, precision over recall, and their gains."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Self

import numpy as np

from striate import ops
from striate.core import config
from striate.core.registry import export
from striate.metrics.counting import Thresholds, count_into, evenly_distributed, prepared
from striate.metrics.metric import Metric
from striate.trace import Variable


class AUCCurve(Enum):
    """What is drawn: recall over the rate of false positives, precision over recall, or gain over gain."""

    ROC = "ROC"
    PR = "PR"
    PRGAIN = "PRGAIN"

    @staticmethod
    def from_str(key: Any) -> AUCCurve:
        """The curve called `key`; ValueError for another name."""
        for curve in AUCCurve:
            if key in (curve.value, curve.value.lower()):
                return curve
        raise ValueError(f'Invalid AUC curve value: "{key}". Expected values are ["PR", "ROC", "PRGAIN"]')


class AUCSummationMethod(Enum):
    """How high the curve counts between two points: between both, as the higher one, as the lower one."""

    INTERPOLATION = "interpolation"
    MAJORING = "majoring"
    MINORING = "minoring"

    @staticmethod
    def from_str(key: Any) -> AUCSummationMethod:
        """The method called `key`; ValueError for another name."""
        for method in AUCSummationMethod:
            if key in (method.value, method.value.capitalize()):
                return method
        raise ValueError(
            f'Invalid AUC summation method value: "{key}". Expected values are ["interpolation", "majoring", '
            '"minoring"]'
        )


_NAMES = ("true_positives", "false_positives", "true_negatives", "false_negatives")


@export("keras.metrics.AUC")
class AUC(Metric):
    """The area under the ROC curve (or another one), from counts at many thresholds.

    Args:
        num_thresholds: how many, evenly over [0, 1]; at least 2. Defaults to 200.
        curve: "ROC" (default: tp / (tp + fn) over fp / (fp + tn)), "PR" (tp / (tp + fp) over tp / (tp + fn)) or
            "PRGAIN" (precision gain over recall gain, after Flach and Kull, 2015).
        summation_method: "interpolation" (default: the trapezoidal rule; for PR after Davis and Goadrich, 2006),
            "minoring" (the lower end of each interval) or "majoring" (the higher one).
        name: defaults to a numbered "auc".
        dtype: defaults to `floatx()`.
        thresholds: the numbers to use instead, beside the two ends of [0, 1].
        multi_label: whether the labels of a (examples, labels) batch get areas of their own, of which the result is
            the mean. Defaults to False: all are counted together.
        num_labels: how many labels there are; by default that is seen from the first batch. Only with `multi_label`.
        label_weights: a weight for each label: of its area with `multi_label`, else of its counts.
        from_logits: whether predictions are logits, to which the sigmoid is applied. Defaults to False.

    Raises:
        ValueError: too few thresholds, an unknown curve or method, `num_labels` without
            `multi_label`; with it, predictions that are no matrix.
    """

    _direction = "up"
    true_positives: Variable
    false_positives: Variable
    true_negatives: Variable
    false_negatives: Variable

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: Any = "ROC",
        summation_method: Any = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        if thresholds is None and num_thresholds <= 1:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 1. Received: num_thresholds={num_thresholds}"
            )
        self.curve = curve if isinstance(curve, AUCCurve) else AUCCurve.from_str(curve)
        known = isinstance(summation_method, AUCSummationMethod)
        self.summation_method = summation_method if known else AUCSummationMethod.from_str(summation_method)
        super().__init__(name=name, dtype=dtype)
        self._init_from_thresholds = thresholds is not None
        self._cuts = _cuts(thresholds, num_thresholds)
        self.num_thresholds = len(self._cuts.values)
        self.multi_label, self.num_labels, self._from_logits = multi_label, num_labels, from_logits
        self.label_weights = None if label_weights is None else ops.convert_to_tensor(label_weights, self.dtype)
        if num_labels and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self._built = False
        if num_labels or not multi_label:
            self._build((None, num_labels))

    @property
    def thresholds(self) -> list[float]:
        """All thresholds, those just outside [0, 1] at both ends included."""
        return list(self._cuts.values)

    def _build(self, shape: Sequence[int | None]) -> None:
        if self.multi_label and len(shape) != 2:
            raise ValueError(
                f"`y_pred` must have rank 2 when `multi_label=True`. Found rank {len(shape)}. Full shape received for "
                f"`y_pred`: {tuple(shape)}"
            )
        labels = [int(shape[1] or 0)] if self.multi_label else []
        for name in _NAMES:
            setattr(self, name, self.add_variable([self.num_thresholds, *labels], "zeros", name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels and predictions of one shape, weights per example or of that shape."""
        y_pred = ops.convert_to_tensor(y_pred)
        if not self._built:
            self._build(tuple(y_pred.shape))
        kinds = {"tp": self.true_positives, "fp": self.false_positives} | {
            "tn": self.true_negatives, "fn": self.false_negatives
        }  # fmt: skip
        y_pred = ops.sigmoid(y_pred) if self._from_logits else y_pred
        batch = prepared(y_true, y_pred, sample_weight, self.true_positives.dtype, where=self.name)
        if self.label_weights is not None and not self.multi_label:
            batch = batch._replace(weights=_times(batch.weights, self.label_weights, batch.y_pred))
        count_into(kinds, batch, self._cuts, per_label=self.multi_label, where=self.name)

    def result(self) -> Any:
        """The area so far, a scalar."""
        if self.curve is AUCCurve.PR and self.summation_method is AUCSummationMethod.INTERPOLATION:
            return self.interpolate_pr_auc()
        x, y = self._curve()
        left, right = y[:-1], y[1:]
        heights = {
            AUCSummationMethod.INTERPOLATION: lambda: ops.multiply(ops.add(left, right), 0.5),
            AUCSummationMethod.MINORING: lambda: ops.minimum(left, right),
            AUCSummationMethod.MAJORING: lambda: ops.maximum(left, right),
        }[self.summation_method]()
        return self._summed(ops.multiply(ops.subtract(x[:-1], x[1:]), heights))

    def _curve(self) -> tuple[Any, Any]:
        """x and y at each threshold."""
        tp, fp, tn, fn = (getattr(self, name).value for name in _NAMES)
        recall = ops.divide_no_nan(tp, ops.add(tp, fn))
        if self.curve is AUCCurve.ROC:
            return ops.divide_no_nan(fp, ops.add(fp, tn)), recall
        if self.curve is AUCCurve.PR:
            return recall, ops.divide_no_nan(tp, ops.add(tp, fp))
        return _gains(tp, fp, tn, fn)

    def interpolate_pr_auc(self) -> Any:
        """The area under precision over recall, true positives taken to grow evenly with all positives between two
        thresholds (Davis and Goadrich, 2006).

        With P = TP + FP, slope s = dTP / dP and intercept TP - s P, the area of an interval [A, B] is
        s (dTP + (TP_B - s P_B) log(P_A / P_B)) / (TP + FN); where one of P_A, P_B is 0, the logarithm counts as 0.
        """
        tp, fp = self.true_positives.value, self.false_positives.value
        p, relevant = ops.add(tp, fp), ops.add(tp, self.false_negatives)[1:]
        gained, low, high = ops.subtract(tp[:-1], tp[1:]), p[1:], p[:-1]
        slope = ops.divide_no_nan(gained, ops.maximum(ops.subtract(high, low), 0.0))
        intercept = ops.subtract(tp[1:], ops.multiply(slope, low))
        both = ops.logical_and(ops.greater(high, 0.0), ops.greater(low, 0.0))
        ratio = ops.where(both, ops.divide_no_nan(high, low), 1.0)
        area = ops.multiply(slope, ops.add(gained, ops.multiply(intercept, ops.log(ratio))))
        return self._summed(ops.divide_no_nan(area, ops.maximum(relevant, 0.0)))

    def _summed(self, areas: Any) -> Any:
        """The intervals' areas as one number."""
        if not self.multi_label:
            return ops.sum(areas)
        by_label = ops.sum(areas, axis=0)
        if self.label_weights is None:
            return ops.mean(by_label)
        weighted = ops.sum(ops.multiply(by_label, self.label_weights))
        return ops.divide_no_nan(weighted, ops.sum(self.label_weights))

    def get_config(self) -> dict[str, Any]:
        weights = self.label_weights
        made = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve.value,
            "summation_method": self.summation_method.value,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if weights is None else np.asarray(weights).tolist(),
            "from_logits": self._from_logits,
        }
        chosen = {"thresholds": [float(t) for t in self.thresholds[1:-1]]} if self._init_from_thresholds else {}
        return {**super().get_config(), **made, **chosen}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        weights = config.get("label_weights")
        if isinstance(weights, dict):  # an array, as Keras's files have it
            config = {**config, "label_weights": weights["config"]["value"]}
        return cls(**config)


def _cuts(thresholds: Any, count: int) -> Thresholds:
    """The thresholds between two that lie just outside [0, 1]."""
    inner = [(i + 1) / (count - 1) for i in range(count - 2)] if thresholds is None else sorted(thresholds)
    even = thresholds is None or evenly_distributed([0.0, *inner, 1.0])
    return Thresholds([-config.epsilon(), *inner, 1.0 + config.epsilon()], even)


def _times(weights: Any, label_weights: Any, like: Any) -> Any:
    """Both weights in one, of the shape of `like`."""
    factor = ops.broadcast_to(ops.expand_dims(ops.cast(label_weights, ops.dtype(like)), 0), like.shape)
    return factor if weights is None else ops.multiply(weights, factor)


def _gains(tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
    """Recall gain 1 - c fn / tp and precision gain 1 - c fp / tp, c = positives / negatives (Flach and Kull, 2015).

    Without true positives they are 0 and 1; a recall gain below 0 counts as 0.
    """
    scale = ops.divide_no_nan(ops.add(tp, fn), ops.add(tn, fp))
    none = ops.equal(tp, 0.0)
    recall = ops.subtract(1.0, ops.multiply(scale, ops.divide_no_nan(fn, tp)))
    precision = ops.subtract(1.0, ops.multiply(scale, ops.divide_no_nan(fp, tp)))
    return ops.maximum(ops.where(none, 0.0, recall), 0.0), ops.where(none, 1.0, precision)
