"""The base of the layers that stand before a network: they take plain numbers and nested lists as well as arrays."""

from __future__ import annotations

from typing import Any

from striate import ops
from striate.core import tree
from striate.layers.layer import Layer


class DataLayer(Layer):
    """A layer whose input may be a number, or nested lists of numbers."""

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(_as_tensor(inputs), *args, **kwargs)


def _as_tensor(x: Any) -> Any:
    if isinstance(x, int | float | list | tuple):
        leaves = tree.flatten(x)
        if leaves and all(isinstance(v, int | float) for v in leaves):
            return ops.convert_to_tensor(x)
    return x
