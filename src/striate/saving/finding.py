"""From the names in a config to classes and functions: registered, exported by this package, or given by the caller.

Nothing is ever imported for a file's sake. In modules that are already imported only classes of Keras's kinds are found
(layers, losses, metrics, ...), never functions and never anything else.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from striate.core import registry
from striate.core.errors import message

_SPACES = (
    "keras.layers", "keras.models", "keras", "keras.optimizers", "keras.optimizers.schedules", "keras.losses",
    "keras.metrics", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.activations",
)  # fmt: skip
_FUNCTION_SPACES = (
    "keras.activations", "keras.constraints", "keras.initializers", "keras.losses", "keras.metrics",
    "keras.optimizers", "keras.regularizers",
)  # fmt: skip
_BASES = (
    "keras.Operation", "keras.losses.Loss", "keras.metrics.Metric", "keras.optimizers.Optimizer",
    "keras.optimizers.schedules.LearningRateSchedule", "keras.initializers.Initializer",
    "keras.regularizers.Regularizer", "keras.constraints.Constraint", "keras.DTypePolicy",
)  # fmt: skip
_NO_PART = frozenset({"deserialize", "serialize", "get"})


class UnknownObjectError(TypeError, ValueError):
    """A config names a class or function that is neither registered nor public. (Keras raises a TypeError.)"""


def find(name: str, config: Mapping[str, Any], kind: str) -> Any:
    """The class or function called `name` in an entry of a config.

    Args:
        config: the entry.
        kind: "class" or "function".

    Raises:
        UnknownObjectError: there is none, or none that a model may be made of.
    """
    found = _registered(name, config, kind)
    if found is None:
        found = _function(name, config) if kind == "function" else _class(name, config)
    if found is None:
        problem = f"Could not locate {kind} '{name}' (module {config.get('module')!r})"
        fix = (
            "Register it with `@keras.saving.register_keras_serializable()` (and import the module that does so) "
            f"before loading, or pass it as custom_objects={{{name!r}: ...}}"
        )
        raise UnknownObjectError(message("deserialize_keras_object", problem, fix))
    return found


def _registered(name: str, config: Mapping[str, Any], kind: str) -> Any:
    keys = (config.get("registered_name"), name) if kind == "class" else (name, config.get("registered_name"))
    for key in keys:
        found = (
            registry.get_registered_object(key) if isinstance(key, str) and key not in ("function", "class") else None
        )
        if found is not None:
            return found
    return None


def _function(name: str, config: Mapping[str, Any]) -> Any:
    """A function that a model may be made of: an activation, a loss, an op ..."""
    module = str(config.get("module") or "builtins")
    spaces = (module,) if module in (*_FUNCTION_SPACES, "keras.ops") else _FUNCTION_SPACES
    if module not in (*spaces, "builtins") or name in _NO_PART:
        return None
    exported = (registry.exports().get(f"{space}.{name}") for space in spaces)
    found = next((x for x in exported if inspect.isfunction(x)), None)
    if found is not None:
        _refuse_other_name(name, config)
        return found
    ends = (obj for key, obj in registry.custom_objects().items() if key.endswith(f">{name}") and ">" not in name)
    return next(ends, None)  # Keras up to 3.6 wrote functions without their package


def _refuse_other_name(name: str, config: Mapping[str, Any]) -> None:
    """Keras's own classes and functions have no registered name; another one in a file is a trap."""
    given = config.get("registered_name")
    if given and given not in (name, config.get("class_name")):
        problem = f"`registered_name={given!r}` was provided in the config, but {name!r} resolved to a Keras built-in"
        raise ValueError(message("deserialize_keras_object", problem, "Remove it from the config"))


def _class(name: str, config: Mapping[str, Any]) -> Any:
    module = str(config.get("module") or "")
    if not module or module.split(".")[0] in ("keras", "builtins"):
        exported = (registry.exports().get(f"{space}.{name}") for space in (module, *_SPACES))
        found = next((x for x in exported if inspect.isclass(x) and hasattr(x, "from_config")), None)
        if found is not None:
            _refuse_other_name(name, config)
        return found
    imported = sys.modules.get(module)
    cls = vars(imported).get(name) if imported is not None else None  # no `__getattr__` of the module's is asked
    bases = tuple(b for b in (registry.exports().get(base) for base in _BASES) if b is not None)
    return cls if inspect.isclass(cls) and issubclass(cls, bases) else None
