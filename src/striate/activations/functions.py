"""The functions that layers take as `activation`, with Keras's signatures where they differ from those of
`keras.ops`.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from striate import ops
from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export, get_registered_object
from striate.ops import nn_activations
from striate.ops.base import OPS, symbolic

FUNCTIONS: dict[str, Callable[..., Any]] = {}


def _keep(fn: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    FUNCTIONS[name or fn.__name__] = export(f"keras.activations.{name or fn.__name__}")(fn)
    return fn


@_keep
@symbolic
def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """max(x, 0), with options.

    Args:
        negative_slope: the slope below the threshold. Defaults to 0.
        max_value: the largest value; None (default) for no limit.
        threshold: x below it counts as negative. Defaults to 0.
    """
    if max_value is None and threshold == 0:
        return OPS["leaky_relu"](x, negative_slope) if negative_slope else OPS["relu"](x)
    return nn_activations.relu_general(x, negative_slope, max_value, threshold)


@_keep
@symbolic
def gelu(x: Any, approximate: bool = False) -> Any:
    """x times the normal distribution function of x; `approximate` takes the tanh form (arXiv:1606.08415)."""
    return ops.gelu(x, approximate)


@_keep
@symbolic
def linear(x: Any) -> Any:
    """x itself."""
    return x


@_keep
@symbolic
def exponential(x: Any) -> Any:
    """e^x."""
    return ops.exp(x)


@_keep
@symbolic
def softmax(x: Any, axis: Any = -1) -> Any:
    """e^x / sum(e^x) along `axis`: an int, or several."""
    return ops.softmax(x, axis)


def _table() -> list[str]:
    own = [name for name in nn_activations.ACTIVATIONS if name != "relu_general"]
    return [*own, "log_softmax", "glu", "sparsemax"]


for _name in _table():
    if _name not in FUNCTIONS:
        _keep(OPS[_name])
for _alias, _name in (("swish", "silu"), ("hard_swish", "hard_silu")):
    _keep(FUNCTIONS[_name], _alias)
_NAMES = {id(fn): name for name, fn in reversed(FUNCTIONS.items())}


@export("keras.activations.serialize")
def serialize(activation: Any) -> Any:
    """The name of an activation, or the config dictionary of a registered function or of a layer.

    Raises:
        ValueError: a function that no name leads back to.
    """
    if id(activation) in _NAMES:
        return _NAMES[id(activation)]
    if not isinstance(activation, types.FunctionType):
        return serialize_object(activation)
    if activation.__name__ == "<lambda>":
        raise ValueError(
            f"Unknown activation function '{activation}' cannot be serialized, as a lambda has no name. Write a "
            "function with "
            "`def` and register it with `@keras.saving.register_keras_serializable()`."
        )
    return serialize_object(activation)


@export("keras.activations.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The activation that a name or a config dictionary stands for; ValueError if it is not known."""
    return deserialize_object(config, FUNCTIONS, "activation function", custom_objects)


@export("keras.activations.get")
def get(identifier: Any) -> Any:
    """The activation for a name, a config dictionary, a function or a layer; None is `linear`.

    Raises:
        ValueError: anything else.
    """
    if identifier is None:
        return linear
    found = identifier
    if isinstance(identifier, str):
        found = get_registered_object(identifier, None, FUNCTIONS)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    if callable(found) and not inspect.isclass(found):
        return found
    known = ", ".join(sorted(FUNCTIONS))
    raise ValueError(f"Could not interpret activation function identifier: {identifier}. Known names: {known}.")


__all__ = ["FUNCTIONS", "deserialize", "get", "serialize"]
