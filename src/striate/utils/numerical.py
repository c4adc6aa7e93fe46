"""Labels and rows: `to_categorical` and `normalize`, on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.errors import message
from striate.core.registry import export


@export("keras.utils.to_categorical")
def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Class numbers as one-hot rows.

    Args:
        x: integers from 0 to `num_classes - 1`, of any shape; a last axis of size 1 is dropped.
        num_classes: None (default) for the greatest number plus one.

    Returns:
        A float64 array of the shape of x, with the axis of classes behind.

    Raises:
        IndexError: a number that is no class. ValueError: no numbers at all, and `num_classes` not given.
    """
    labels = np.array(x, dtype="int64")
    labels = labels[..., 0] if labels.ndim > 1 and labels.shape[-1] == 1 else labels
    if not num_classes and labels.size == 0:
        raise ValueError(message("to_categorical", "there are no labels to count the classes from", "Pass num_classes"))
    classes = int(num_classes or labels.max() + 1)
    if labels.size and (labels.max() >= classes or labels.min() < -classes):
        problem = f"the labels run from {labels.min()} to {labels.max()}, with num_classes={classes}"
        raise IndexError(message("to_categorical", problem, f"Labels must be from 0 to {classes - 1}"))
    return np.eye(classes)[labels]


@export("keras.utils.normalize")
def normalize(x: Any, axis: int = -1, order: Any = 2) -> np.ndarray:
    """`x` divided by its norm along `axis`; where the norm is 0, as it is.

    Args:
        x: an array.
        axis: default -1.
        order: of the norm, as in `numpy.linalg.norm`; default 2, the Euclidean one.
    """
    values = np.asarray(x)
    norm = np.linalg.norm(values, order, axis, keepdims=True)
    return values / np.where(norm == 0, 1, norm)
