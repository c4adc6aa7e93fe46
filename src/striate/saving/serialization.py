"""Objects as config dictionaries, and back: Keras 3's format. Only registered, exported or imported classes are
made."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from striate.core import registry
from striate.core.errors import message
from striate.core.objects import serialize_object
from striate.core.registry import export
from striate.trace import OPS, FunctionOperation, KerasTensor, Operation, to_snake_case

_PLAIN = (str, int, float, bool, type(None))


@export("keras.saving.serialize_keras_object", "keras.utils.serialize_keras_object")
def serialize_keras_object(obj: Any) -> Any:
    """`obj` as plain data: numbers, strings, lists, tuples and dictionaries.

    Raises:
        ValueError: an object without `get_config`.
    """
    if isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, list | tuple):
        return type(obj)(serialize_keras_object(x) for x in obj)
    if isinstance(obj, dict):
        return {k: serialize_keras_object(v) for k, v in obj.items()}
    for kind, encode in _ENCODERS:
        if isinstance(obj, kind):
            return encode(obj)
    if isinstance(obj, FunctionOperation):
        return _of_function(obj)
    if not (inspect.isfunction(obj) or inspect.isclass(obj) or hasattr(obj, "get_config")):
        problem = f"cannot serialize {obj!r} of type {type(obj).__name__}"
        raise ValueError(message("serialize_keras_object", problem, "Give its class a `get_config` method"))
    made = dict(serialize_object(obj) or {})
    build_config = obj.get_build_config() if hasattr(obj, "get_build_config") else None
    return made | {"build_config": serialize_keras_object(build_config)} if build_config is not None else made


@export("keras.layers.serialize")
def serialize_layer(layer: Any) -> Any:
    """The config dictionary of a layer: see `serialize_keras_object`."""
    return serialize_keras_object(layer)


@export("keras.layers.deserialize")
def deserialize_layer(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The layer that a config dictionary describes.

    Raises:
        ValueError: an unknown class, or the config of something else than a layer.
    """
    made = deserialize_keras_object(config, custom_objects)
    if not isinstance(made, Operation):
        raise ValueError(message("layers.deserialize", f"expected the config of a layer, received {config!r}"))
    return made


def _entry(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def _of_tensor(x: KerasTensor) -> dict[str, Any]:
    history = x._keras_history
    place = None if history is None else [history.operation.name, history.node_index, history.tensor_index]
    return _entry("__keras_tensor__", shape=x.shape, dtype=x.dtype, keras_history=place)


_ENCODERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (KerasTensor, _of_tensor),
    (np.ndarray, lambda x: _entry("__numpy__", value=x.tolist(), dtype=str(x.dtype))),
    (np.generic, lambda x: x.item()),
    (bytes, lambda x: _entry("__bytes__", value=x.decode("latin-1"))),
    (type(...), lambda x: _entry("__ellipsis__")),
    (
        slice,
        lambda x: _entry("__slice__", **{k: serialize_keras_object(getattr(x, k)) for k in ("start", "stop", "step")}),
    ),
)


def _of_function(operation: FunctionOperation) -> dict[str, Any]:
    name = "".join(part[:1].upper() + part[1:] for part in operation.fn.__name__.split("_"))
    return {"module": "keras.ops", "class_name": name, "config": {"name": operation.name}, "registered_name": name}


@export("keras.saving.deserialize_keras_object", "keras.utils.deserialize_keras_object")
def deserialize_keras_object(config: Any, custom_objects: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
    """The object that `serialize_keras_object` described.

    Args:
        config: what it returned.
        custom_objects: names and the classes or functions they stand for.

    Raises:
        ValueError: an unknown class, or a dictionary that is no config.
    """
    with registry.custom_object_scope(custom_objects or {}):
        return _decoded(config)


def _decoded(config: Any) -> Any:
    if isinstance(config, list | tuple):
        return type(config)(_decoded(x) for x in config)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {k: _decoded(v) for k, v in config.items()}
    decode = _DECODERS.get(config["class_name"])
    return decode(config["config"]) if decode else _object(config)


def _tensor(config: dict[str, Any]) -> KerasTensor:
    made = KerasTensor(config["shape"], config["dtype"], name="revived")
    made.__dict__["_revived_from"] = config.get("keras_history")
    return made


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "__keras_tensor__": _tensor,
    "__numpy__": lambda c: np.array(c["value"], dtype=c["dtype"]),
    "__tensor__": lambda c: np.array(c["value"], dtype=c["dtype"]),
    "__bytes__": lambda c: c["value"].encode("latin-1"),
    "__ellipsis__": lambda c: ...,
    "__slice__": lambda c: slice(_decoded(c["start"]), _decoded(c["stop"]), _decoded(c["step"])),
}


def _object(config: dict[str, Any]) -> Any:
    inner = config["config"]
    if config["class_name"] in ("function", "class") and isinstance(inner, str):
        return _found(inner, config)
    operation = _operation(config)
    if operation is not None:
        return operation
    cls = _found(config["class_name"], config)
    if not hasattr(cls, "from_config"):
        raise ValueError(message("deserialize_keras_object", f"{cls!r} has no `from_config`", "Give it one"))
    made = cls.from_config(_without_defaults(cls, inner))
    build_config = config.get("build_config")
    if build_config and not getattr(made, "built", True):
        made.build_from_config(_decoded(build_config))
    return made


# Arguments that Keras's layers have and striate's lack, with the values that change nothing.
_ONLY_IN_KERAS = {"quantization_config": None, "renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99}


def _without_defaults(cls: Any, config: dict[str, Any]) -> dict[str, Any]:
    if not str(getattr(cls, "__module__", "")).startswith("striate."):
        return dict(config)
    known = inspect.signature(cls.__init__).parameters
    return {k: v for k, v in config.items() if k in known or k not in _ONLY_IN_KERAS or v != _ONLY_IN_KERAS[k]}


def _operation(config: dict[str, Any]) -> FunctionOperation | None:
    """A call of a function of `keras.ops`."""
    if not str(config.get("module", "")).startswith(("keras.ops", "keras.src.ops")):
        return None
    wanted = to_snake_case(config["class_name"])
    names = {n.replace("_", ""): n for n in OPS}
    fn = OPS.get(wanted) or OPS.get(names.get(wanted.replace("_", ""), ""))
    if fn is None:
        raise ValueError(
            message("deserialize_keras_object", f"there is no `keras.ops` function for {config['class_name']!r}")
        )
    return FunctionOperation(inspect.unwrap(fn), name=config["config"].get("name"))


def _found(name: str, config: dict[str, Any]) -> Any:
    """The class or function called `name`: registered, public, or in a module that is already imported."""
    for key in (config.get("registered_name"), name):
        found = registry.get_registered_object(key) if key else None
        if found is not None:
            return found
    module = str(config.get("module") or "")
    spaces = [module, "keras.layers", "keras.models"] if module.startswith(("keras", "builtins")) else [module]
    exported = (registry.exports().get(f"{space}.{name}") for space in spaces)
    found = next((x for x in exported if x is not None), None) or getattr(sys.modules.get(module), name, None)
    if found is None:
        raise ValueError(
            message(
                "deserialize_keras_object",
                f"Could not locate {config['class_name']} '{name}' (module {module!r})",
                "Register it with `@keras.saving.register_keras_serializable()`, or pass it in `custom_objects`",
            )
        )
    return found
