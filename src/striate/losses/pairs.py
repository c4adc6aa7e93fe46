"""What every loss does first: labels and predictions become tensors of one dtype whose shapes fit."""

from __future__ import annotations

from typing import Any, NoReturn

from striate import ops
from striate.core import dtypes
from striate.core.errors import message
from striate.losses.reduction import broadcasts, squeeze_or_expand_to_same_rank


def as_float(x: Any) -> Any:
    """`x` as a tensor of a float dtype: its own, or `floatx()` for integers and bools."""
    x = ops.convert_to_tensor(x)
    return x if dtypes.is_floating(ops.dtype(x)) else ops.cast(x, dtypes.result_type(ops.dtype(x), float))


SHAPES = "Give labels of the shape of the predictions"


def pair(y_true: Any, y_pred: Any, where: str, same_rank: bool = False, fix: str = SHAPES) -> tuple[Any, Any]:
    """Labels and predictions as float tensors, in the dtype of the predictions.

    Args:
        where: the loss, for errors.
        same_rank: whether a last axis of size 1 that one of them has too many is adapted.
        fix: what the error for other shapes advises.

    Raises:
        ValueError: predictions without axes, or shapes of different ranks that don't fit together; TypeError, as in
            Keras, if only sizes differ.
    """
    y_pred = as_float(y_pred)
    y_true = ops.cast(y_true, ops.dtype(y_pred))
    if same_rank:
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    if not len(y_pred.shape):
        raise ValueError(message(where, "y_pred is a single number, without an axis", "Give it a batch axis"))
    if not broadcasts(y_true.shape, y_pred.shape):
        _refuse(y_true, y_pred, where, fix)
    return y_true, y_pred


def _refuse(y_true: Any, y_pred: Any, where: str, fix: str) -> NoReturn:
    """Raises the error for shapes that don't fit."""
    shapes = f"y_true.shape={tuple(y_true.shape)}, y_pred.shape={tuple(y_pred.shape)}"
    problem = f"labels and predictions have incompatible shapes for broadcasting: {shapes}"
    raise (TypeError if len(y_true.shape) == len(y_pred.shape) else ValueError)(message(where, problem, fix))


def need_same_shape(y_true: Any, y_pred: Any, where: str, fix: str) -> None:
    """ValueError unless the two shapes are equal, as far as they are known."""
    sizes = zip(y_true.shape, y_pred.shape, strict=False)
    if len(y_true.shape) == len(y_pred.shape) and all(m == n or None in (m, n) for m, n in sizes):
        return
    shapes = f"y_true.shape={tuple(y_true.shape)}, y_pred.shape={tuple(y_pred.shape)}"
    raise ValueError(message(where, f"`y_true` and `y_pred` must have the same shape. Received: {shapes}", fix))


def need_axis(axis: Any, where: str) -> None:
    """ValueError unless `axis` is an int."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        problem = f"`axis` must be of type `int`. Received: axis={axis!r} of type {type(axis)}"
        raise ValueError(message(where, problem, "The default, -1, is the last axis"))
