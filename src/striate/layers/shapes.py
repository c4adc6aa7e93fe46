"""Shapes and nests of shapes, as layers get and return them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from striate.trace import KerasTensor


def is_shape(x: Any) -> bool:
    """Whether `x` is one shape rather than a nest of shapes."""
    return isinstance(x, list | tuple) and all(n is None or isinstance(n, int | np.integer) for n in x)


def _map_shapes(fn: Any, nest: Any) -> Any:
    if isinstance(nest, dict):
        return {k: fn(v) for k, v in nest.items()}
    return type(nest)(fn(v) for v in nest)


def specs_of(shape: Any, dtype: str) -> Any:
    """Symbolic tensors for a shape or a nest of shapes."""
    if is_shape(shape):
        return KerasTensor(shape, dtype)
    return _map_shapes(lambda s: specs_of(s, dtype), shape)


def input_shape_argument(kwargs: dict[str, Any], where: str) -> Any:
    """Keras 2's `input_shape=` and `input_dim=` of a first layer."""
    shape = kwargs.pop("input_shape", None)
    if "input_dim" in kwargs:
        shape = (kwargs.pop("input_dim"),)
    if kwargs:
        raise ValueError(
            f"Unrecognized keyword arguments passed to {where}: {kwargs}. Check their spelling, or remove them."
        )
    if shape is None:
        return None
    warnings.warn(
        "Do not pass an `input_shape`/`input_dim` argument to a layer. When using Sequential models, prefer using an "
        "`Input(shape)` object as the first layer in the model instead.",
        stacklevel=4,
    )
    return tuple(shape) if isinstance(shape, list | tuple) else (shape,)
