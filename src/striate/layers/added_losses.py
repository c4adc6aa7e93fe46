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
    for x in values:
        _add(layer, convert(x))


def _add(layer: Any, loss: Any) -> None:
    if isinstance(loss, Value):
        _of_trace().setdefault(id(layer), (layer, []))[1].append(loss)
    else:
        layer._losses.append(loss)
        _HOLDING[id(layer)] = layer


def added(layer: Any) -> list[Any]:
    """The losses of `layer`: in a trace those of the trace as well."""
    return [*layer._losses, *_of_trace().get(id(layer), (layer, []))[1]]


def clear(layer: Any) -> None:
    """Forgets the losses of `layer` and of the layers below it."""
    traced = _of_trace()
    if not traced and not _HOLDING:
        return
    for found in layer._flatten_layers():
        found._losses.clear()
        _HOLDING.pop(id(found), None)
        traced.pop(id(found), None)


def _of_trace() -> dict[int, tuple[Any, list[Any]]]:
    """By layer; a layer is held on to, so that its id is not another one's."""
    tracer = current_tracer()
    return {} if tracer is None else tracer.root.__dict__.setdefault("added_losses", {})
