"""Functions in the configs of `Lambda` layers: by name. Bytecode is written, as Keras reads it, but never run."""

from __future__ import annotations

import base64
import inspect
import marshal
from collections.abc import Mapping
from typing import Any

from striate.core import registry
from striate.core.errors import message
from striate.core.objects import serialize_object

_SPACES = ("keras.activations", "keras.ops")


class FunctionConfig(dict[str, Any]):
    """What a config holds of a function; inside this program the function itself goes with it."""

    function: Any = None


def function_config(fn: Any) -> FunctionConfig:
    """The entry for a function: its registered name; for a `lambda`, which has none, its bytecode."""
    if getattr(fn, "__name__", "") == "<lambda>":
        made = FunctionConfig(class_name="__lambda__", config=_code(fn))
    else:
        made = FunctionConfig(serialize_object(fn) or {})
    made.function = fn
    return made


def _code(fn: Any) -> dict[str, Any]:
    """A lambda's bytecode as Keras's files hold it: Keras reads it if told to; striate never does."""
    cells = tuple(c.cell_contents for c in fn.__closure__) if fn.__closure__ else None
    code = base64.encodebytes(marshal.dumps(fn.__code__)).decode("ascii")
    return {"code": code, "defaults": fn.__defaults__, "closure": cells}


def function_of(entry: Any, custom_objects: Mapping[str, Any] | None, layer: str | None = None) -> Any:
    """The function that a config's entry stands for; what is no function as it is.

    Args:
        layer: the name of the layer, under which `custom_objects` may have the function, too.

    Raises:
        ValueError: bytecode, or a name that stands for nothing.
    """
    if isinstance(entry, FunctionConfig):
        return entry.function
    kind = entry.get("class_name") if isinstance(entry, dict) else None
    if kind not in ("__lambda__", "function"):
        return entry
    found = registry.get_registered_object(layer, custom_objects) if layer else None
    if kind == "__lambda__":
        return found if inspect.isfunction(found) else _refuse(layer)
    name = str(entry.get("config"))
    named = registry.get_registered_object(name, custom_objects) or _public(name)
    if named is None and not inspect.isfunction(found):
        fix = f"Pass custom_objects={{{name!r}: function}}, or register it"
        raise ValueError(message(f"Lambda '{layer}'", f"could not locate the function {name!r}", fix))
    return named if named is not None else found


def _public(name: str) -> Any:
    found = (registry.exports().get(f"{space}.{name}") for space in _SPACES)
    return next((fn for fn in found if inspect.isfunction(fn)), None)


def _refuse(layer: str | None) -> Any:
    problem = (
        "the function of this Lambda layer is bytecode from a file. That would be arbitrary code execution, so it is "
        "never run here, with `safe_mode=False` neither"
    )
    fix = (
        f"Pass the function itself: custom_objects={{{layer!r}: function}}. Better, make the layer with a named "
        "function that is registered by `keras.saving.register_keras_serializable()`, and save the model again"
    )
    raise ValueError(message(f"Lambda '{layer}'", problem, fix))
