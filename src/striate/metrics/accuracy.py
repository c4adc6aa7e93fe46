"""How often predictions are right: equal, on the right side of a threshold, the greatest, among the k greatest."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core.errors import message
from striate.core.registry import export
from striate.losses.reduction import squeeze_or_expand_to_same_rank
from striate.metrics.reduction import NamedMean
from striate.metrics.shapes import same_shape


def _hits(matches: Any) -> Any:
    """1 and 0 in `floatx()`."""
    return ops.cast(matches, None)


def _equal(y_true: Any, y_pred: Any, where: str) -> Any:
    """1 where both are equal, else 0."""
    return _hits(ops.equal(*same_shape(y_true, y_pred, where)))


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where `y_true` equals `y_pred`, else 0; a last axis of size 1 may be missing in one of them."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, ops.dtype(y_pred))
    return _equal(*squeeze_or_expand_to_same_rank(y_true, y_pred), "accuracy")


@export("keras.metrics.binary_accuracy")
def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where y_true = [y_pred > threshold], else 0.

    Args:
        y_true: labels 0 and 1, of the shape of `y_pred`; a last axis of size 1 may be missing in one of them.
        y_pred: predictions.
        threshold: defaults to 0.5.
    """
    pair = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(*pair)
    return _equal(y_true, ops.cast(ops.greater(y_pred, threshold), ops.dtype(y_true)), "binary_accuracy")


@export("keras.metrics.categorical_accuracy")
def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the greatest of `y_pred` is where the greatest of `y_true` is, else 0.

    Args:
        y_true: one-hot labels, of shape (..., classes).
        y_pred: scores, of shape (..., classes).
    """
    y_pred, y_true = ops.convert_to_tensor(y_pred), ops.argmax(y_true, axis=-1)
    shape = tuple(y_true.shape)
    squeezed = len(shape) == len(y_pred.shape)
    y_true = ops.squeeze(y_true, -1) if squeezed else y_true
    matches = _equal(y_true, ops.argmax(y_pred, axis=-1), "categorical_accuracy")
    return ops.reshape(matches, shape) if squeezed else matches


@export("keras.metrics.sparse_categorical_accuracy")
def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the greatest of `y_pred` is the class `y_true`, else 0.

    Args:
        y_true: numbers of classes, of shape (...) or (..., 1).
        y_pred: scores, of shape (..., classes).
    """
    y_pred, y_true = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    matches = _equal(y_true, ops.argmax(y_pred, axis=-1), "sparse_categorical_accuracy")
    return ops.squeeze(matches, -1) if len(matches.shape) > 1 and matches.shape[-1] == 1 else matches


def _rows(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Labels as a vector, scores as a matrix."""
    y_true = y_true if len(y_true.shape) == 1 else ops.reshape(y_true, (-1,))
    y_pred = ops.reshape(y_pred, (-1, y_pred.shape[-1])) if len(y_pred.shape) > 2 else y_pred
    if tuple(y_true.shape) not in (y_pred.shape[:1], (1,)):
        problem = f"{y_true.shape[0]} labels for {y_pred.shape[0]} rows of scores"
        raise ValueError(message("top_k_categorical_accuracy", problem, "Give one label for each row"))
    same = tuple(y_true.shape) == tuple(y_pred.shape[:1])
    return y_true if same else ops.broadcast_to(y_true, y_pred.shape[:1]), y_pred


@export("keras.metrics.top_k_categorical_accuracy")
def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where the class of `y_true` is among the `k` greatest of `y_pred`, else 0.

    Args:
        y_true: one-hot labels, of shape (..., classes).
        y_pred: scores, of shape (..., classes).
        k: defaults to 5.
    """
    return sparse_top_k_categorical_accuracy(ops.argmax(y_true, axis=-1), y_pred, k)


@export("keras.metrics.sparse_top_k_categorical_accuracy")
def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> Any:
    """1 where the class `y_true` is among the `k` greatest of `y_pred`, else 0; of the shape of `y_true`.

    Args:
        y_true: numbers of classes.
        y_pred: scores, of shape (..., classes), or with `from_sorted_ids` numbers of classes, the best first.
        k: defaults to 5.
        from_sorted_ids: defaults to False.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, ops.dtype(y_pred) if from_sorted_ids else "int32")
    labels, scores = _rows(y_true, y_pred)
    if from_sorted_ids:
        matches = ops.any(ops.equal(ops.expand_dims(labels, 1), scores[:, :k]), axis=1)
    else:
        matches = ops.in_top_k(labels, scores, k)
    matches = _hits(matches)
    return matches if len(y_true.shape) == 1 else ops.reshape(matches, tuple(y_true.shape))


@export("keras.metrics.Accuracy")
class Accuracy(NamedMean):
    """How often predictions equal labels.

    Args:
        name: defaults to "accuracy".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "up"

    def __init__(self, name: str | None = "accuracy", dtype: Any = None) -> None:
        super().__init__(accuracy, name, dtype)


@export("keras.metrics.BinaryAccuracy")
class BinaryAccuracy(NamedMean):
    """How often predictions are on the right side of a threshold: see `binary_accuracy`.

    Args:
        name: defaults to "binary_accuracy".
        dtype: of the computation and the result. Defaults to `floatx()`.
        threshold: predictions above it count as 1. Defaults to 0.5.
    """

    _direction = "up"

    def __init__(self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


@export("keras.metrics.CategoricalAccuracy")
class CategoricalAccuracy(NamedMean):
    """How often the class with the greatest score is that of the one-hot label.

    Args:
        name: defaults to "categorical_accuracy".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "up"

    def __init__(self, name: str | None = "categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


@export("keras.metrics.SparseCategoricalAccuracy")
class SparseCategoricalAccuracy(NamedMean):
    """How often the class with the greatest score is the label, a number of a class.

    Args:
        name: defaults to "sparse_categorical_accuracy".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "up"

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


@export("keras.metrics.TopKCategoricalAccuracy")
class TopKCategoricalAccuracy(NamedMean):
    """How often the class of the one-hot label has one of the `k` greatest scores.

    Args:
        k: defaults to 5.
        name: defaults to "top_k_categorical_accuracy".
        dtype: of the computation and the result. Defaults to `floatx()`.
    """

    _direction = "up"

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


@export("keras.metrics.SparseTopKCategoricalAccuracy")
class SparseTopKCategoricalAccuracy(NamedMean):
    """How often the label, a number of a class, has one of the `k` greatest scores.

    Args:
        k: defaults to 5.
        name: defaults to "sparse_top_k_categorical_accuracy".
        dtype: of the computation and the result. Defaults to `floatx()`.
        from_sorted_ids: whether predictions are numbers of classes, the best first, instead of scores. Defaults to
            False.
    """

    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config if config["from_sorted_ids"] else {k: v for k, v in config.items() if k != "from_sorted_ids"}
