"""Optimizers as config dictionaries, and back: below the classes, so that those that hold others can use it."""

from __future__ import annotations

from typing import Any

from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import custom_object_scope, export, module_objects
from striate.optimizers.optimizer import Optimizer


@export("keras.optimizers.serialize")
def serialize(optimizer: Optimizer) -> dict[str, Any] | None:
    """The config dictionary of an optimizer, without its state."""
    return serialize_object(optimizer)


@export("keras.optimizers.deserialize")
def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The optimizer that a config dictionary stands for; ValueError if it is not known.

    The names of the built-in ones may be written in any case.
    """
    if not isinstance(config, dict):
        return config
    classes = {name: found for name, found in module_objects("keras.optimizers").items() if isinstance(found, type)}
    table = {name.lower(): found for name, found in classes.items()} | classes
    lowered = str(config.get("class_name")).lower()
    known = config | ({"class_name": lowered} if lowered in table else {})
    with custom_object_scope(custom_objects):
        return deserialize_object(known, table, "optimizer")


@export("keras.optimizers.get")
def get(identifier: Any) -> Any:
    """The optimizer for a name, a config dictionary or an optimizer; None stays None; else ValueError."""
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        identifier = {"class_name": identifier, "config": {}}
    made = deserialize(identifier)
    if isinstance(made, Optimizer):
        return made
    raise ValueError(
        f"Could not interpret optimizer identifier: {identifier!r}. Expected a name such as 'adam', a config "
        "dictionary, or an Optimizer (an object, not its class)."
    )
