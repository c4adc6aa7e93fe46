"""`remat`: a function or a layer whose values are computed again in the backward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from striate.core.registry import export
from striate.layers.layer import Layer
from striate.layers.tracking import note_change
from striate.trace import any_symbolic
from striate.trace.remat import RematMode, segment


@export("keras.remat")
def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, with rematerialisation: what it computes in between is not kept for the gradient, but computed again from
    its inputs when the gradient needs it.

    It takes less memory in plans (`fit`, `train_on_batch`, `striate.jit`) and costs, at most, the time of a second
    forward pass through `f`. Results, gradients, random numbers and assigned variables are the same, to the bit.

    Args:
        f: a function of tensors, such as a block of layers; or a layer, which is changed and returned. A `Model` is cut
            into segments so that its peak of memory is least; any other layer is one segment.

    Raises:
        TypeError: `f` is not callable, or the function is called on symbolic tensors.
    """
    if not callable(f):
        raise TypeError(f"remat: expected a function or a layer, received {f!r}.")
    if isinstance(f, Layer):
        for layer in _marked(f):
            layer.__dict__["_remat_mode"] = RematMode("full")
        note_change()
        return f

    @functools.wraps(f)
    def again(*args: Any, **kwargs: Any) -> Any:
        if any_symbolic(args, kwargs):
            raise TypeError(
                f"remat of '{getattr(f, '__name__', 'a function')}' was called on symbolic tensors. Call it in the "
                "`call` of a layer, or make the layers inside `with RematScope():`."
            )
        with segment():
            return f(*args, **kwargs)

    return again


def _marked(layer: Layer) -> Iterator[Any]:
    """Where segments begin: a layer; of a model the models in it, which cut themselves, and the layers of those that
    are written in Python."""
    yield layer
    for part in layer._flatten_layers() if layer._has_parts else []:
        if part._has_parts:
            yield part
            yield from [] if part._cuts_itself else part._sublayers()
