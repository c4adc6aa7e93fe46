"""Whether targets, predictions and weights fit together; what to say if they don't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate import ops
from striate.core.errors import message
from striate.losses.reduction import broadcasts


def same_shape(y_true: Any, y_pred: Any, where: str) -> tuple[Any, Any]:
    """Both, with axes of size 1 repeated to the size of the other one's.

    Raises:
        TypeError: sizes differ (as in Keras). ValueError: so do the numbers of axes.
    """
    shapes = tuple(y_true.shape), tuple(y_pred.shape)
    if shapes[0] == shapes[1]:
        return y_true, y_pred
    if not broadcasts(*shapes):
        names = ("weights", "values") if where.endswith("sample_weight") else ("y_true", "y_pred")
        problem = f"{names[0]} of shape {shapes[0]} don't fit {names[1]} of shape {shapes[1]}"
        kind = TypeError if len(shapes[0]) == len(shapes[1]) else ValueError
        raise kind(message(where, problem, "Give one for each"))
    common = np.broadcast_shapes(*shapes)
    return _to(y_true, common), _to(y_pred, common)


def check_matrices(where: str, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
    """ValueError unless both shapes are (examples, columns), with a known number of columns."""
    shapes = tuple(y_true_shape), tuple(y_pred_shape)
    if all(len(shape) == 2 and shape[-1] is not None for shape in shapes):
        return
    known = "" if any(len(shape) != 2 for shape in shapes) else ", with output_dim fully defined (not None)"
    raise ValueError(
        f"{where} expects 2D inputs with shape (batch_size, output_dim){known}. Received input shapes: "
        f"y_pred.shape={shapes[1]} and y_true.shape={shapes[0]}."
    )


def weights_like(weights: Any, values: Any, where: str) -> Any:
    """`weights`, repeated to the shape of `values`; ValueError if they don't fit."""
    shape, wanted = tuple(weights.shape), tuple(values.shape)
    if shape == wanted:
        return weights
    if len(shape) > len(wanted) or not broadcasts(shape, wanted) or np.broadcast_shapes(shape, wanted) != wanted:
        problem = f"weights of shape {shape} don't fit values of shape {wanted}"
        fix = "Give one weight per example, or weights of the shape of the values"
        raise ValueError(message(f"{where}, sample_weight", problem, fix))
    return ops.broadcast_to(weights, wanted)


def _to(x: Any, shape: tuple[int, ...]) -> Any:
    return x if tuple(x.shape) == shape else ops.broadcast_to(x, shape)
