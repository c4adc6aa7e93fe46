"""The values that layers add to the loss. Those of a trace belong to the trace and end with it."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from striate.core import tree
from striate.ir import Value
from striate.trace import Variable, convert, current_tracer

_HOLDING: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # layers with losses that are arrays


def add(layer: Any, losses: Any) -> None:
    """Adds a tensor, or a nest of them, to the losses of `layer`.

    Raises:
        ValueError: what is no tensor.
    """
    values = tree.flatten(losses)
    for x in values:
        if not isinstance(x, np.ndarray | np.generic | Value | Variable):
            raise ValueError(
                "`add_loss()` can only be called from inside `build()` or `call()`, on a tensor input. Received "
                f"invalid value: {x!r} in layer '{layer.name}'. Compute it from the inputs of `call`."
            )
    own = _of(layer)
    if not values:
        return
    own.extend(convert(x) for x in values)
    if current_tracer() is None:
        _HOLDING[id(layer)] = layer


def added(layer: Any) -> list[Any]:
    """The losses of `layer`; in a trace those of the trace."""
    return list(_of(layer))


def clear(layer: Any) -> None:
    """Forgets the losses of `layer` and of the layers below it; in a trace those of the trace."""
    if _HOLDING if current_tracer() is None else _of_trace():
        for found in layer._flatten_layers():
            _of(found).clear()
            if current_tracer() is None:
                _HOLDING.pop(id(found), None)


def _of(layer: Any) -> list[Any]:
    if current_tracer() is None:
        return layer._losses
    return _of_trace().setdefault(id(layer), (layer, []))[1]


def _of_trace() -> dict[int, tuple[Any, list[Any]]]:
    """By layer; a layer is held on to, so that its id is not another one's."""
    tracer = current_tracer()
    return {} if tracer is None else tracer.root.__dict__.setdefault("added_losses", {})
