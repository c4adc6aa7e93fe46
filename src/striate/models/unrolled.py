"""The layer graph of a model whose layers are called by Python code: the code is run once on symbols."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from striate.core import tree
from striate.core.errors import message
from striate.layers.input_layer import Input
from striate.models.function import Function


def unrolled(model: Any, input_shape: Any = None) -> Function:
    """What `model.call` computes, as a graph of the layers and functions that it calls; the model stays as it is.

    Args:
        model: a subclassed model or layer.
        input_shape: `(batch, ...)`, of several inputs a list; by default that of the first call.

    Raises:
        ValueError: no shape is known, or the code asks for values, which symbols have none of.
    """
    where = f"{type(model).__name__} '{model.name}'"
    if input_shape is None and not getattr(model, "_build_shapes", None):
        raise ValueError(message(where, "its input has no size yet", "Give `input_shape`, or call it first"))
    shapes = next(iter(model._build_shapes.values())) if input_shape is None else input_shape
    several = bool(shapes) and isinstance(shapes[0], list | tuple)
    inputs = [Input(batch_shape=(None, *s[1:])) for s in (shapes if several else [shapes])]
    with _unrecorded(model):
        return Function(inputs, _called(model, inputs if several else inputs[0], where))


def _called(model: Any, inputs: Any, where: str) -> Any:
    takes_training = "training" in inspect.signature(model.call).parameters
    try:
        outputs = model.call(inputs, **({"training": False} if takes_training else {}))
    except (TypeError, ValueError) as error:
        problem = f"its layers are called by Python code that gives no graph ({type(error).__name__}: {error})"
        raise ValueError(message(where, problem, "Explain its layers one by one")) from error
    return [x for x in tree.flatten(outputs) if x is not None]


@contextmanager
def _unrecorded(model: Any) -> Iterator[None]:
    """Calls inside leave no trace on the layers."""
    layers = model._flatten_layers(include_self=False)
    before = [(x, len(x._inbound_nodes), len(x._outbound_nodes)) for x in layers]
    try:
        yield
    finally:
        for layer, came, went in before:
            del layer._inbound_nodes[came:], layer._outbound_nodes[went:]
