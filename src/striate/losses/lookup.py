"""Losses by name, and as config dictionaries."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from striate.core.errors import message
from striate.core.objects import deserialize_object, serialize_object
from striate.core.registry import export, get_registered_object, module_objects
from striate.losses import crossentropy, ctc, divergence, focal, hinge, regression, segmentation, similarity
from striate.losses.loss import NAMES

# Importing those modules has published their losses.
MODULES = (crossentropy, ctc, divergence, focal, hinge, regression, segmentation, similarity)
NAMES.update(module_objects("keras.losses"))


@export("keras.losses.serialize")
def serialize(loss: Any) -> dict[str, Any] | None:
    """The config dictionary of a loss, an object or a function."""
    return serialize_object(loss)


@export("keras.losses.deserialize")
def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that a name or a config dictionary stands for.

    Args:
        name: what `serialize` returned, or a name.
        custom_objects: names and the classes or functions they stand for.

    Raises:
        ValueError: an unknown name; close ones are suggested.
    """
    _need_known(name, custom_objects)
    return deserialize_object(name, NAMES, "loss", custom_objects)


def _need_known(given: Any, custom_objects: Mapping[str, Any] | None) -> None:
    entry = given if isinstance(given, dict) else {"class_name": given}
    of_function = entry.get("class_name") == "function"
    keys = [entry.get("config")] if of_function else [entry.get("registered_name"), entry.get("class_name")]
    if any(k and get_registered_object(str(k), custom_objects, NAMES) is not None for k in keys):
        return
    near = difflib.get_close_matches(str(keys[-1]), NAMES, n=3)
    fix = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Pass a name such as 'mse', or a `Loss`"
    raise ValueError(message("", f"Could not interpret loss identifier: {given}", fix))


@export("keras.losses.get")
def get(identifier: Any) -> Any:
    """The loss for a name, a config dictionary, a class, an object or a function; None stays None.

    Raises:
        ValueError: for anything else; close names are suggested.
    """
    if identifier is None:
        return None
    found = deserialize(identifier) if isinstance(identifier, str | dict) else identifier
    found = found() if inspect.isclass(found) else found
    if callable(found):
        return found
    problem = f"Could not interpret loss identifier: {identifier!r} of type {type(identifier).__name__}"
    raise ValueError(message("", problem, "Pass a name such as 'mse', a `Loss`, or a function of y_true and y_pred"))
