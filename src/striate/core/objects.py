"""Initializers, regularizers and their kind as config dictionaries, and back: Keras's form `{module, class_name,
config, ...}`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from striate.core.registry import exports, get_registered_name, get_registered_object, public_name


def serialize_object(obj: Any) -> dict[str, Any] | None:
    """`obj` as Keras's files have it; None stays None."""
    if obj is None:
        return None
    if inspect.isfunction(obj) or inspect.isclass(obj):
        kind = "function" if inspect.isfunction(obj) else "class"
        name = get_registered_name(obj)
        return {"module": "builtins", "class_name": kind, "config": name, "registered_name": kind}
    cls = type(obj)
    path = public_name(cls)
    if path is not None:
        module, name = path.rsplit(".", 1)
        return {"module": module, "class_name": name, "config": obj.get_config(), "registered_name": None}
    return {
        "module": cls.__module__,
        "class_name": cls.__name__,
        "config": obj.get_config(),
        "registered_name": get_registered_name(cls),
    }


def deserialize_object(
    config: Any, table: Mapping[str, Any], what: str, custom_objects: Mapping[str, Any] | None = None
) -> Any:
    """The object that `config`, a name or a dictionary, stands for.

    Args:
        table: the names that `what` has of itself.
        what: "initializer", "regularizer" ... for the error.

    Raises:
        ValueError: an unknown name, or no config at all.
    """
    if config is None or (not isinstance(config, str | dict)):
        return config
    entry = {"class_name": config, "config": {}} if isinstance(config, str) else config
    name = entry.get("class_name")
    if name == "function":  # a registered function, by its name
        name, entry = entry.get("config"), {}
    registered = entry.get("registered_name") or name
    found = get_registered_object(str(registered), custom_objects, table)
    found = found if found is not None else get_registered_object(str(name), custom_objects, table)
    if found is None and isinstance(config, dict):  # a layer as an activation, for one
        found = exports().get(f"{entry.get('module')}.{name}")
        found = found if inspect.isclass(found) and hasattr(found, "from_config") else None
    if found is None:
        raise ValueError(f"Could not interpret {what} identifier: {config}. Known names: {', '.join(sorted(table))}.")
    if not inspect.isclass(found):
        return found
    if isinstance(config, dict) and not hasattr(found, "from_config"):
        raise TypeError(
            f"Unable to reconstruct an instance of {name!r} because the class is missing a `from_config()` method. "
            f"Full config: {config}"
        )
    return found.from_config(entry.get("config") or {}) if hasattr(found, "from_config") else found()


def lookup(identifier: Any, table: Mapping[str, Any], what: str) -> Any:
    """What `get` of a family returns: an object for a name, a dictionary, a class or an object; None stays None.

    Raises:
        ValueError: for anything else.
    """
    found = deserialize_object(identifier, table, what)
    if inspect.isclass(found):
        found = found()
    if found is None or callable(found):
        return found
    raise ValueError(f"Could not interpret {what} identifier: {identifier}")


def names_of(*classes: type, **further: type) -> dict[str, Any]:
    """The names under which classes are found: their own, and in snake case."""
    table: dict[str, Any] = {cls.__name__: cls for cls in classes}
    table |= {snake(cls.__name__): cls for cls in classes}
    return table | further


def snake(name: str) -> str:
    """`GlorotUniform` -> `glorot_uniform`, `L1L2` -> `l1_l2`, `STFT` -> `stft`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
