"""Optimizers by name, and as config dictionaries, and back."""

from __future__ import annotations

from typing import Any

from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export
from striate.optimizers.adam import Adam, AdamW
from striate.optimizers.optimizer import Optimizer
from striate.optimizers.sgd import SGD

_CLASSES = (Adam, AdamW, Optimizer, SGD)
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES}
_TABLE |= {name.lower(): cls for name, cls in _TABLE.items()}


@export("keras.optimizers.serialize")
def serialize(optimizer: Optimizer) -> dict[str, Any] | None:
    """The config dictionary of an optimizer, without its state."""
    return serialize_object(optimizer)


@export("keras.optimizers.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The optimizer that a config dictionary stands for; ValueError if it is not known.

    The names of the built-in ones may be written in any case.
    """
    known = dict(config)
    lowered = str(known.get("class_name")).lower()
    return deserialize_object(
        known | ({"class_name": lowered} if lowered in _TABLE else {}), _TABLE, "optimizer", custom_objects
    )


@export("keras.optimizers.get")
def get(identifier: Any) -> Any:
    """The optimizer for a name, a config dictionary or an optimizer; None stays None; else ValueError."""
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        identifier = {"class_name": identifier, "config": {}}
    made = deserialize(identifier) if isinstance(identifier, dict) else identifier
    if isinstance(made, Optimizer):
        return made
    raise ValueError(
        f"Could not interpret optimizer identifier: {identifier!r}. Expected a name such as 'adam', a config "
        "dictionary, or an Optimizer (an object, not its class)."
    )
