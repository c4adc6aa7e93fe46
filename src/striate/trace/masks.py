"""Masks: which entries of a tensor count (True) and which are only filling. They stand beside the tensor, not in it."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from striate.core.registry import export
from striate.ir import Value
from striate.trace.keras_tensor import KerasTensor

_OF_ARRAYS: dict[int, tuple[weakref.ref[np.ndarray], Any]] = {}  # arrays take no attributes


@export("keras.backend.get_keras_mask")
def get_keras_mask(x: Any) -> Any:
    """The mask of a tensor; None if it has none."""
    if isinstance(x, np.ndarray):
        found = _OF_ARRAYS.get(id(x))
        return found[1] if found is not None and found[0]() is x else None
    if isinstance(x, Value):
        return getattr(x.owner, "masks", {}).get(id(x), (x, None))[1]
    return getattr(x, "_keras_mask", None)


@export("keras.backend.set_keras_mask")
def set_keras_mask(x: Any, mask: Any) -> None:
    """Puts `mask` beside a tensor; what is no tensor takes none."""
    if isinstance(x, np.ndarray):
        key = id(x)
        _OF_ARRAYS[key] = (weakref.ref(x, lambda _: _OF_ARRAYS.pop(key, None)), mask)
    elif isinstance(x, Value) and x.owner is not None:
        x.owner.__dict__.setdefault("masks", {})[id(x)] = (x, mask)
    elif isinstance(x, KerasTensor):
        x.__dict__["_keras_mask"] = mask
