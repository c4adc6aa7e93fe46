"""Config dictionaries as objects: Keras 3's format. Nothing that a config holds is ever run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from striate.core import dtypes, registry
from striate.core.errors import message
from striate.core.registry import export
from striate.saving.finding import find
from striate.saving.operations import is_operation, operation_of
from striate.trace import KerasTensor, Operation

WHERE = "deserialize_keras_object"

_shared: ContextVar[dict[Any, Any] | None] = ContextVar("striate_shared_objects_read", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Inside, entries with the same `shared_object_id` become one object."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


@export("keras.config.enable_unsafe_deserialization")
def enable_unsafe_deserialization() -> None:
    """Accepted for Keras's sake; it changes nothing: bytecode in a file is never run here.

    A `Lambda` layer whose function a file holds as bytecode is loaded by giving its function:
    `load_model(path, custom_objects={"<name of the layer>": function})`.
    """


@export("keras.saving.deserialize_keras_object", "keras.utils.deserialize_keras_object")
def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True, **kwargs: Any
) -> Any:
    """The object that `serialize_keras_object` described.

    Args:
        config: what it returned.
        custom_objects: names and the classes or functions they stand for.
        safe_mode: accepted for Keras's sake; bytecode is refused in any case.
        **kwargs: `module_objects`, further names.

    Raises:
        TypeError (and ValueError): an unknown class or function.
        ValueError: bytecode, or a dictionary that is no config.
    """
    further = kwargs.pop("module_objects", None)
    with registry.custom_object_scope(custom_objects or {}):
        return _decoded(config) if further is None else _among(config, further)


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


def _among(config: Any, names: Mapping[str, Any]) -> Any:
    """The object for a name, or for an entry with a name, that `names` has."""
    key = config.get("class_name") if isinstance(config, dict) else config
    if isinstance(config, dict) and key in ("function", "class"):
        key, config = config["config"], config["config"]
    found = registry.get_registered_object(key) if isinstance(key, str) else None
    found = names.get(key) if found is None and isinstance(key, str) else found
    if found is None or not inspect.isclass(found):
        return found if found is not None else _decoded(config)
    return _instance(found, config if isinstance(config, dict) else {"class_name": key, "config": {}})


def _decoded(config: Any) -> Any:
    if isinstance(config, str):
        found = registry.get_registered_object(config)
        return config if found is None else found
    if isinstance(config, list | tuple):
        return type(config)(_decoded(x) for x in config)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {k: _decoded(v) for k, v in config.items()}
    decode = _DECODERS.get(config["class_name"]) if isinstance(config["class_name"], str) else None
    return decode(config["config"]) if decode else _object(config)


def _tensor(config: dict[str, Any]) -> KerasTensor:
    made = KerasTensor(config["shape"], config["dtype"], name="revived")
    made.__dict__["_revived_from"] = config.get("keras_history")
    return made


def _array(config: dict[str, Any]) -> np.ndarray:
    return np.array(config["value"], dtype=dtypes.as_numpy(config["dtype"]))


def _refused(config: Any) -> Any:
    problem = "the config holds a Python lambda as bytecode, which is never run, with `safe_mode=False` neither"
    fix = "Give it a name: register the function with `@keras.saving.register_keras_serializable()` and save it again"
    raise ValueError(message(WHERE, problem, fix))


def _no_typespec(config: Any) -> Any:
    raise TypeError(message(WHERE, "the config holds a TypeSpec of TensorFlow's, which has no meaning here"))


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "__keras_tensor__": _tensor,
    "__numpy__": _array,
    "__tensor__": _array,
    "__bytes__": lambda c: c["value"].encode("utf-8"),
    "__ellipsis__": lambda c: ...,
    "__slice__": lambda c: slice(_decoded(c["start"]), _decoded(c["stop"]), _decoded(c["step"])),
    "__lambda__": _refused,
    "__typespec__": _no_typespec,
}


def _object(config: dict[str, Any]) -> Any:
    kind, inner = config["class_name"], config["config"]
    if not isinstance(kind, str):
        raise TypeError(message(WHERE, f"expected a string as 'class_name', received {kind!r}"))
    if kind in ("function", "class"):
        if not isinstance(inner, str):
            raise TypeError(message(WHERE, f"Expected 'config' to be a non-null str for a {kind}, received {inner!r}"))
        return find(inner, config, kind)
    if is_operation(config):
        return operation_of(config, _decoded)
    shared, key = _shared.get(), config.get("shared_object_id")
    if shared is not None and key is not None and key in shared:
        return shared[key]
    cls = find(kind, config, "class")
    if inspect.isfunction(cls):
        return cls
    made = _instance(cls, config)
    if shared is not None and key is not None:
        shared[key] = made
    return made


def _instance(cls: Any, config: dict[str, Any]) -> Any:
    inner = {} if config["config"] is None else config["config"]
    if not isinstance(inner, dict):
        raise TypeError(message(WHERE, f"Expected 'config' to be a dict for {cls.__name__}, received {inner!r}"))
    if not hasattr(cls, "from_config"):
        problem = f"Unable to reconstruct an instance of {cls!r}: the class is missing a `from_config()` method"
        raise TypeError(message(WHERE, problem, "Give it one"))
    try:
        made = cls.from_config(_without_defaults(cls, inner))
    except TypeError as error:
        problem = f"{cls} could not be deserialized properly: {error}. Received config={config}"
        fix = "Ensure that objects returned by `get_config()` are explicitly deserialized in `from_config()`"
        raise TypeError(message(WHERE, problem, fix)) from error
    _build_and_compile(made, config)
    return made


def _build_and_compile(made: Any, config: dict[str, Any]) -> None:
    build_config, compile_config = config.get("build_config"), config.get("compile_config")
    if build_config and not getattr(made, "built", True):
        made.build_from_config(_decoded(build_config))
        made.built = True
    if compile_config and hasattr(made, "compile_from_config"):
        made.compile_from_config(compile_config)


# Arguments that Keras's layers have and striate's lack, with the values that change nothing.
_ONLY_IN_KERAS = {"quantization_config": None, "renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99}


def _without_defaults(cls: Any, config: dict[str, Any]) -> dict[str, Any]:
    if not str(getattr(cls, "__module__", "")).startswith("striate."):
        return dict(config)
    known = inspect.signature(cls.__init__).parameters
    return {k: v for k, v in config.items() if k in known or k not in _ONLY_IN_KERAS or v != _ONLY_IN_KERAS[k]}
