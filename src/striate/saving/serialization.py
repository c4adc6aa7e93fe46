"""Objects as config dictionaries: Keras 3's format. The way back is in `deserialization`."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.errors import message
from striate.core.objects import serialize_object
from striate.core.registry import export
from striate.layers.functions import FunctionConfig
from striate.saving.deserialization import deserialize_keras_object, deserialize_layer
from striate.saving.operations import entry_of
from striate.trace import FunctionOperation, KerasTensor

__all__ = [
    "deserialize_keras_object",
    "deserialize_layer",
    "serialize_keras_object",
    "serialize_layer",
    "serialize_shared",
]

_PLAIN = (str, int, float, bool, type(None))
_SHARED = "shared_object_id"
_seen: ContextVar[dict[int, Any] | None] = ContextVar("striate_shared_objects", default=None)


def serialize_shared(obj: Any) -> Any:
    """As `serialize_keras_object`; an object that is met twice has a `shared_object_id` in all its entries."""
    token = _seen.set({})
    try:
        made = serialize_keras_object(obj)
    finally:
        _seen.reset(token)
    counts = Counter(_ids(made))
    return _without_single(made, counts)


def _ids(config: Any) -> Iterator[int]:
    if isinstance(config, dict) and _SHARED in config:
        yield config[_SHARED]
    for child in config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ():
        yield from _ids(child)


def _without_single(config: Any, counts: Counter[int]) -> Any:
    if isinstance(config, list | tuple):
        return type(config)(_without_single(x, counts) for x in config)
    if not isinstance(config, dict) or isinstance(config, FunctionConfig):
        return config
    single = counts.get(config.get(_SHARED, 0), 0) == 1
    return {k: _without_single(v, counts) for k, v in config.items() if k != _SHARED or not single}


@export("keras.saving.serialize_keras_object", "keras.utils.serialize_keras_object")
def serialize_keras_object(obj: Any) -> Any:
    """`obj` as plain data: numbers, strings, lists, tuples and dictionaries.

    Raises:
        ValueError: an object without `get_config`. TypeError: a `get_config` that returns no dictionary.
    """
    if isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, list | tuple):
        made = [serialize_keras_object(x) for x in obj]
        return tuple(made) if isinstance(obj, tuple) else made
    if isinstance(obj, dict):
        return obj if isinstance(obj, FunctionConfig) else {k: serialize_keras_object(v) for k, v in obj.items()}
    for kind, encode in _ENCODERS:
        if isinstance(obj, kind):
            return encode(obj)
    if isinstance(obj, FunctionOperation):
        return entry_of(obj)
    if not (inspect.isroutine(obj) or inspect.isclass(obj) or hasattr(obj, "get_config")):
        problem = f"cannot serialize {obj!r} of type {type(obj).__name__}"
        raise UnserializableError(message("serialize_keras_object", problem, "Give its class a `get_config` method"))
    return _of_object(obj)


class UnserializableError(TypeError, ValueError):
    """An object has no `get_config`. (Keras raises a TypeError.)"""


def _of_object(obj: Any) -> dict[str, Any]:
    made = dict(serialize_object(obj) or {})
    if not isinstance(made["config"], dict | str):
        problem = f"`get_config()` of {obj!r} should return a dict. It returned: {made['config']!r}"
        raise TypeError(message("serialize_keras_object", problem))
    made["config"] = serialize_keras_object(made["config"])
    if made["module"] == "__main__":
        made["module"] = None
    for key in ("build_config", "compile_config"):
        config = getattr(obj, f"get_{key}")() if hasattr(obj, f"get_{key}") and not inspect.isclass(obj) else None
        if config is not None:
            made[key] = serialize_keras_object(config)
    _note_shared(obj, made)
    return made


def _note_shared(obj: Any, made: dict[str, Any]) -> None:
    """Each entry gets the id of its object, which is kept alive so that the id stays its own."""
    seen = _seen.get()
    if seen is not None and not inspect.isroutine(obj) and not inspect.isclass(obj):
        seen[id(obj)] = obj
        made[_SHARED] = id(obj)


@export("keras.layers.serialize")
def serialize_layer(layer: Any) -> Any:
    """The config dictionary of a layer: see `serialize_keras_object`."""
    return serialize_keras_object(layer)


def _entry(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def _of_tensor(x: KerasTensor) -> dict[str, Any]:
    history = x._keras_history
    place = None if history is None else [history.operation.name, history.node_index, history.tensor_index]
    return _entry("__keras_tensor__", shape=x.shape, dtype=x.dtype, keras_history=place)


def _of_array(x: np.ndarray) -> Any:
    return _entry("__numpy__", value=x.tolist(), dtype=dtypes.name_of(x.dtype)) if x.ndim else x.item()


_ENCODERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (KerasTensor, _of_tensor),
    (np.ndarray, _of_array),
    (np.generic, lambda x: x.item()),
    (bytes, lambda x: _entry("__bytes__", value=x.decode("utf-8"))),
    (type(...), lambda x: _entry("__ellipsis__")),
    (
        slice,
        lambda x: _entry("__slice__", **{k: serialize_keras_object(getattr(x, k)) for k in ("start", "stop", "step")}),
    ),
)
