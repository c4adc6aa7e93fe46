"""Crossentropies of probabilities and of logits."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from striate import ops
from striate.core.registry import export
from striate.losses.loss import NamedLoss
from striate.losses.pairs import as_float, need_axis, need_same_shape
from striate.trace.masks import set_keras_mask

SPARSE_HINT = "For class numbers as labels use SparseCategoricalCrossentropy, or to_categorical(y_true)"


def smoothed_binary(labels: Any, smoothing: Any) -> Any:
    """Labels 0 and 1, moved by `smoothing` towards 1/2."""
    if isinstance(smoothing, int | float) and not smoothing:
        return labels
    return ops.add(ops.multiply(labels, 1.0 - smoothing), 0.5 * smoothing)


def smoothed_classes(labels: Any, smoothing: Any) -> Any:
    """One-hot labels, moved by `smoothing` towards 1 / classes; like Keras, the classes of the last axis."""
    if isinstance(smoothing, int | float) and not smoothing:
        return labels
    return ops.add(ops.multiply(labels, 1.0 - smoothing), smoothing / labels.shape[-1])


def warn_of_one_class(y_pred: Any, axis: int, where: str) -> None:
    """SyntaxWarning for predictions of one class: their categorical crossentropy is always 0."""
    rank = len(y_pred.shape)
    if -rank <= axis < rank and y_pred.shape[axis] == 1:
        warnings.warn(
            f"In loss {where}, expected y_pred.shape to be (batch_size, num_classes) with num_classes > 1. Received: "
            f"y_pred.shape={tuple(y_pred.shape)}. Consider using 'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=3,
        )


@export("keras.losses.binary_crossentropy", "keras.metrics.binary_crossentropy", "keras.losses.bce", "keras.losses.BCE")
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: Any = -1
) -> Any:
    """The mean of -(t log p + (1 - t) log(1 - p)) along `axis`.

    Args:
        y_true: labels t, 0 or 1 (or between).
        y_pred: probabilities p of the same shape, kept away from 0 and 1 by `epsilon()`; or logits.
        from_logits: whether p = sigmoid(y_pred). Defaults to False.
        label_smoothing: s in [0, 1] makes labels t (1 - s) + s / 2. Defaults to 0.0.
        axis: the axis (or axes, None for all) of the mean. Defaults to -1.

    Raises:
        ValueError: shapes that differ.
    """
    where = "binary_crossentropy"
    y_pred = as_float(y_pred)
    y_true = ops.cast(y_true, ops.dtype(y_pred))
    need_same_shape(y_true, y_pred, where, "One probability per label is needed: check the units of the last layer")
    labels = smoothed_binary(y_true, label_smoothing)
    return ops.mean(ops.binary_crossentropy(labels, y_pred, from_logits=from_logits), axis=axis)


@export("keras.losses.categorical_crossentropy", "keras.metrics.categorical_crossentropy")
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """-sum(t log p) along `axis`.

    Args:
        y_true: labels t, one-hot (or any distribution) along `axis`.
        y_pred: probabilities p of the same shape, which are divided by their sum and kept away from 0 and 1 by
            `epsilon()`; or logits.
        from_logits: whether p = softmax(y_pred). Defaults to False.
        label_smoothing: s in [0, 1] makes labels t (1 - s) + s / n, n the size of the last axis. Defaults to 0.0.
        axis: the axis of the classes. Defaults to -1.

    Raises:
        ValueError: shapes that differ, or an `axis` that is no int.
    """
    where = "categorical_crossentropy"
    need_axis(axis, where)
    y_pred = as_float(y_pred)
    y_true = ops.cast(y_true, ops.dtype(y_pred))
    need_same_shape(y_true, y_pred, where, SPARSE_HINT)
    warn_of_one_class(y_pred, axis, where)
    labels = smoothed_classes(y_true, label_smoothing)
    return ops.categorical_crossentropy(labels, y_pred, from_logits=from_logits, axis=axis)


@export("keras.losses.sparse_categorical_crossentropy", "keras.metrics.sparse_categorical_crossentropy")
def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """-log p of the true class.

    Args:
        y_true: class numbers, `y_pred`'s shape without `axis`, or with size 1 there at the end. Numbers outside
            [0, classes) give 0.
        y_pred: probabilities p, which are divided by their sum and kept away from 0 and 1 by `epsilon()`; or logits.
        from_logits: whether p = softmax(y_pred). Defaults to False.
        ignore_class: where labels are this number the loss is 0, and means leave it out. Defaults to None.
        axis: the axis of the classes. Defaults to -1.

    Raises:
        ValueError: shapes that don't fit, or an `axis` that is no int.
    """
    need_axis(axis, "sparse_categorical_crossentropy")
    y_pred, labels = as_float(y_pred), ops.cast(y_true, "int32")
    labels = _class_numbers(labels, y_pred, axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=from_logits, axis=axis)
    valid = ops.not_equal(labels, int(ignore_class))
    labels = ops.where(valid, labels, 0)
    values = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=from_logits, axis=axis)
    values = ops.where(valid, values, 0.0)
    set_keras_mask(values, valid)
    return values


def _class_numbers(labels: Any, y_pred: Any, axis: int) -> Any:
    """`labels` without a last axis of size 1 too many; ValueError for a shape that is not that of the classes."""
    rank = len(y_pred.shape)
    if len(labels.shape) == rank and rank and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, -1)
    expected = [n for i, n in enumerate(y_pred.shape) if i != axis % rank] if -rank <= axis < rank else []
    sizes = zip(labels.shape, expected, strict=False)
    if rank and len(labels.shape) == len(expected) and all(m == n or None in (m, n) for m, n in sizes):
        return labels
    end = "up until the last dimension" if axis in (-1, rank - 1) else f"except for axis {axis}"
    same = tuple(labels.shape) == tuple(y_pred.shape)
    raise ValueError(
        f"sparse_categorical_crossentropy: `y_true` and `y_pred` must have the same shape {end}. Received: "
        f"y_true.shape={tuple(labels.shape)}, y_pred.shape={tuple(y_pred.shape)}. "
        + ("For one-hot labels use CategoricalCrossentropy." if same else "Give one class number per prediction.")
    )


@export("keras.losses.categorical_generalized_cross_entropy")
def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """(1 - p^q) / q for the probability p of the true class (Zhang and Sabuncu, 2018, arXiv:1805.07836).

    Args:
        y_true: class numbers, of `y_pred`'s shape without its last axis.
        y_pred: probabilities, classes along the last axis.
        q: between 0 (crossentropy) and 1 (mean absolute error), which bears noisy labels.

    Raises:
        ValueError: shapes that don't fit.
    """
    y_pred, labels = as_float(y_pred), ops.cast(y_true, "int32")
    fits = len(labels.shape) == len(y_pred.shape) - 1 and all(
        m == n or None in (m, n) for m, n in zip(labels.shape, y_pred.shape, strict=False)
    )
    if not fits:
        raise ValueError(
            "categorical_generalized_cross_entropy: incompatible shapes for broadcasting: "
            f"y_true.shape={tuple(labels.shape)}, y_pred.shape={tuple(y_pred.shape)}. Labels are class numbers: "
            "y_pred's shape without its last axis."
        )
    hot = ops.one_hot(labels, y_pred.shape[-1], dtype=ops.dtype(y_pred))
    p = ops.sum(ops.multiply(hot, y_pred), axis=-1)
    return ops.divide(ops.subtract(1.0, ops.power(p, q)), q)


@export("keras.losses.BinaryCrossentropy")
class BinaryCrossentropy(NamedLoss):
    """-(t log p + (1 - t) log(1 - p)); see `binary_crossentropy`, and `Loss` for `reduction`, `name`, `dtype`."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(binary_crossentropy, reduction, name, dtype, **options)


@export("keras.losses.CategoricalCrossentropy")
class CategoricalCrossentropy(NamedLoss):
    """-sum(t log p) over classes; see `categorical_crossentropy`, and `Loss` for `reduction`, `name`, `dtype`."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(categorical_crossentropy, reduction, name, dtype, **options)


@export("keras.losses.SparseCategoricalCrossentropy")
class SparseCategoricalCrossentropy(NamedLoss):
    """-log p of the true class; see `sparse_categorical_crossentropy`, and `Loss` for `reduction`, `name`, `dtype`."""

    unsaid: ClassVar[dict[str, Any]] = {"axis": -1}

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        options = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(sparse_categorical_crossentropy, reduction, name, dtype, **options)


@export("keras.losses.CategoricalGeneralizedCrossEntropy")
class CategoricalGeneralizedCrossEntropy(NamedLoss):
    """(1 - p^q) / q for the true class; see `categorical_generalized_cross_entropy`, and `Loss` for the arguments.

    Raises:
        ValueError: `q` (default 0.5) not between 0 and 1.
    """

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(f"q must be in the interval (0, 1). Received: q={q}. The default is 0.5.")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss per example; labels may have a last axis of size 1."""
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        return categorical_generalized_cross_entropy(y_true, y_pred, **self._fn_kwargs)
