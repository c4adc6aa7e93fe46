"""Intersection over union of classes: what of all places that carry a class, by label or prediction, carries it by
both."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from striate import ops
from striate.core import config
from striate.core.registry import export
from striate.metrics.metric import Metric
from striate.metrics.shapes import same_shape, weights_like


class _Confusion(Metric):
    """Counts how often each class is predicted for each label: a (classes, classes) table, labels down."""

    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype=dtype or "int")
        self.num_classes, self.ignore_class, self.axis = num_classes, ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        size = (num_classes, num_classes)
        self.total_cm = self.add_variable(size, "zeros", self.dtype, name="total_confusion_matrix")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: numbers of classes (or scores on `axis`, where not sparse), and one weight for each place.

        Places whose label or prediction is none of the classes, and those labelled `ignore_class`, don't count.
        """
        true = self._classes(y_true, self.sparse_y_true)
        pred = self._classes(y_pred, self.sparse_y_pred)
        true, pred = same_shape(true, pred, self.name)
        weights = self._weights(sample_weight, true)
        cells = ops.add(ops.multiply(true, self.num_classes), pred)
        places = ops.where(self._counted(true, pred), cells, self.num_classes**2)  # one cell more for what is dropped
        sums = ops.segment_sum(weights, places, self.num_classes**2)
        self.total_cm.assign_add(ops.reshape(sums, self.total_cm.shape))

    def _classes(self, y: Any, sparse: bool) -> Any:
        """Numbers of classes as a vector; in the metric's dtype first, as Keras rounds them."""
        numbers = y if sparse else ops.argmax(y, axis=self.axis)
        numbers = ops.cast(ops.convert_to_tensor(numbers, self.dtype), "int32")
        return ops.reshape(numbers, (-1,)) if len(numbers.shape) != 1 else numbers

    def _weights(self, sample_weight: Any, like: Any) -> Any:
        if sample_weight is None:
            return ops.ones(like.shape, self.dtype)
        if "float" in str(getattr(sample_weight, "dtype", "")) and "int" in self.dtype:
            warnings.warn(
                "You are passing weight as `float`, but dtype is `int`. This may result in an incorrect weight due to "
                "type casting. Consider using integer weights, or dtype='float32'.",
                stacklevel=4,
            )
        weights = ops.convert_to_tensor(sample_weight, self.dtype)
        weights = ops.reshape(weights, (-1,)) if len(weights.shape) > 1 else weights
        return weights_like(weights, like, self.name)

    def _counted(self, true: Any, pred: Any) -> Any:
        known = [f(y) for y in (true, pred) for f in (lambda y: ops.greater_equal(y, 0), self._below)]
        if self.ignore_class is not None:
            known.append(ops.not_equal(true, self.ignore_class))
        counted = known[0]
        for condition in known[1:]:
            counted = ops.logical_and(counted, condition)
        return counted

    def _below(self, y: Any) -> Any:
        return ops.less(y, self.num_classes)

    def _config(self, *names: str) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@export("keras.metrics.IoU")
class IoU(_Confusion):
    """The mean of tp / (tp + fp + fn) over some classes; those that occur nowhere are left out.

    Args:
        num_classes: how many classes there are.
        target_class_ids: those whose mean is wanted.
        name: defaults to a numbered "io_u".
        dtype: of the counts. Defaults to int32; for weights that are no integers take a float dtype.
        ignore_class: a label whose places don't count. By default none.
        sparse_y_true, sparse_y_pred: whether labels and predictions are numbers of classes (default), or scores whose
            greatest on `axis` is taken.
        axis: the axis of the scores. Defaults to -1.

    Raises:
        ValueError: a target class that is not below `num_classes`.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        if max(target_class_ids) >= num_classes:
            raise ValueError(
                f"Target class id {max(target_class_ids)} is out of range, which is [0, {num_classes}). Pass a "
                "greater num_classes, or other target_class_ids."
            )
        self.target_class_ids = list(target_class_ids)

    def result(self) -> Any:
        """The mean so far, a float32 scalar."""
        table = self.total_cm.value
        both = ops.diag(table)
        either = ops.subtract(ops.add(ops.sum(table, axis=0), ops.sum(table, axis=1)), both)
        both, either = (ops.cast(self._targets(x), "float32") for x in (both, either))
        occurs = ops.greater(either, 1e-9)
        shares = ops.where(occurs, ops.divide(both, ops.add(either, config.epsilon())), 0.0)
        return ops.divide(ops.sum(shares), ops.add(ops.sum(ops.cast(occurs, "float32")), config.epsilon()))

    def _targets(self, by_class: Any) -> Any:
        every = self.target_class_ids == list(range(self.num_classes))
        return by_class if every else ops.take(by_class, self.target_class_ids, axis=0)

    def get_config(self) -> dict[str, Any]:
        return self._config(
            "num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis"
        )  # fmt: skip


@export("keras.metrics.BinaryIoU")
class BinaryIoU(IoU):
    """The mean of tp / (tp + fp + fn) over the classes 0 and 1 (or one of them) of a binary decision.

    Args:
        target_class_ids: (0,), (1,) or both (default).
        threshold: predictions of at least that are class 1. Defaults to 0.5.
        name: defaults to a numbered "binary_io_u".
        dtype: of the counts. Defaults to int32; for weights that are no integers take a float dtype.

    Raises:
        ValueError: a target class above 1.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels 0 and 1, predictions to be cut at the threshold, and one weight for each place."""
        above = ops.greater_equal(ops.convert_to_tensor(y_pred, "float32"), self.threshold)
        super().update_state(y_true, ops.cast(above, "int32"), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return self._config("target_class_ids", "threshold")


@export("keras.metrics.MeanIoU")
class MeanIoU(IoU):
    """The mean of tp / (tp + fp + fn) over all classes that occur.

    Args:
        num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis: as of `IoU`; the name defaults to
            a numbered "mean_io_u".
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        every = range(num_classes)
        super().__init__(num_classes, every, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")


@export("keras.metrics.OneHotIoU")
class OneHotIoU(IoU):
    """As `IoU`, for one-hot labels.

    Args:
        num_classes, target_class_ids, name, dtype, ignore_class, axis: as of `IoU`; the name defaults to a numbered
            "one_hot_io_u".
        sparse_y_pred: whether predictions are numbers of classes. Defaults to False.

    Raises:
        ValueError: as `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config("num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis")


@export("keras.metrics.OneHotMeanIoU")
class OneHotMeanIoU(MeanIoU):
    """As `MeanIoU`, for one-hot labels.

    Args:
        num_classes, name, dtype, ignore_class, axis: as of `IoU`; the name defaults to a numbered
            "one_hot_mean_io_u".
        sparse_y_pred: whether predictions are numbers of classes. Defaults to False.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config("num_classes", "ignore_class", "sparse_y_pred", "axis")
