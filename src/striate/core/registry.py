"""Names and the objects behind them: what the package exports under Keras's paths, and what users register for saving.

Layers, initializers and the rest add themselves with `@export("keras.layers.Conv2D")`; saving looks classes up here and
so never has to import them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Self, TypeVar

from striate.core.errors import message

T = TypeVar("T")

_exports: dict[str, Any] = {}  # "keras.layers.Conv2D" -> object
_first_path: dict[
    int, tuple[Any, str]
] = {}  # id -> (the object, kept alive so that the id stays its own; its first path)
_registered: dict[str, Any] = {}  # "package>name" -> object
_registered_names: dict[int, tuple[Any, str]] = {}
_scope: ContextVar[Mapping[str, Any]] = ContextVar("striate_custom_objects", default=MappingProxyType({}))


def export(*paths: str) -> Callable[[T], T]:
    """Decorator: makes the object public under each of `paths`, such as `"keras.layers.Conv2D"`; the first one is its
    name.

    Raises:
        ValueError: without a path, or where a path already belongs to something else.
    """
    if not paths:
        raise ValueError(message("export", "no path was given", "Pass at least one, such as 'keras.layers.Conv2D'"))

    def decorator(obj: T) -> T:
        for path in paths:
            _claim(path, obj)
        _first_path[id(obj)] = (obj, paths[0])
        return obj

    return decorator


def _claim(path: str, obj: Any) -> None:
    held = _exports.setdefault(path, obj)
    if _origin(held) != _origin(obj):
        raise ValueError(message("export", f"{path!r} already names {held!r}, so {obj!r} cannot have it"))
    _exports[path] = obj  # the same definition run again (a reloaded module): the newer one counts


def _origin(obj: Any) -> tuple[Any, Any]:
    return getattr(obj, "__module__", None), getattr(obj, "__qualname__", id(obj))


def exports() -> Mapping[str, Any]:
    """Every public path and its object, read-only and live."""
    return MappingProxyType(_exports)


def public_name(obj: Any) -> str | None:
    """The first path under which `obj` itself (not a base class of it) was exported, or None."""
    found = _first_path.get(id(obj))
    return found[1] if found else None


def module_objects(module: str) -> dict[str, Any]:
    """What stands directly in `module`: `module_objects("keras.layers")["Conv2D"]` is the class."""
    prefix = module + "."
    inside = {path[len(prefix) :]: obj for path, obj in _exports.items() if path.startswith(prefix)}
    return {name: obj for name, obj in inside.items() if "." not in name}


@export(
    "keras.saving.custom_object_scope",
    "keras.saving.CustomObjectScope",
    "keras.utils.custom_object_scope",
    "keras.utils.CustomObjectScope",
)
class CustomObjectScope:
    """Inside the `with` block, names in `custom_objects` are found when models and layers are made from configs or
    files.

    It holds for the thread (or asynchronous task) that entered it. Scopes nest: the inner one is asked first.

    Args:
        custom_objects: names and the classes or functions they stand for; None for none.
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})
        self._tokens: list[Any] = []

    def __enter__(self) -> Self:
        self._tokens.append(_scope.set({**_scope.get(), **self.custom_objects}))
        return self

    def __exit__(self, *exc: object) -> None:
        _scope.reset(self._tokens.pop())


custom_object_scope = CustomObjectScope


@export("keras.saving.get_custom_objects", "keras.utils.get_custom_objects")
def get_custom_objects() -> dict[str, Any]:
    """The live dictionary of globally registered objects (without those of a `custom_object_scope`)."""
    return _registered


@export("keras.saving.register_keras_serializable", "keras.utils.register_keras_serializable")
def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Decorator: registers a class or function for saving and loading, under `"package>name"`.

    Args:
        package: the package it belongs to. Defaults to `"Custom"`.
        name: its name there. Defaults to its Python name.

    Raises:
        ValueError: for a class without `get_config`.
    """

    def decorator(obj: T) -> T:
        own = getattr(obj, "__name__", str(obj))
        key = f"{package}>{own if name is None else name}"
        if inspect.isclass(obj) and not hasattr(obj, "get_config"):
            problem = "Cannot register a class that does not have a get_config() method"
            raise ValueError(message(f"register_keras_serializable of {own!r}", problem, "Give it one"))
        _registered[key] = obj
        _registered_names[id(obj)] = (obj, key)
        return obj

    return decorator


def custom_objects() -> dict[str, Any]:
    """What is registered, and what the open scopes have."""
    return {**_registered, **_scope.get()}


@export("keras.saving.get_registered_name", "keras.utils.get_registered_name")
def get_registered_name(obj: Any) -> str:
    """The name `obj` was registered under, such as `"my_package>MyLayer"`, or its Python name."""
    found = _registered_names.get(id(obj))
    return found[1] if found else obj.__name__


@export("keras.saving.get_registered_object", "keras.utils.get_registered_object")
def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """What `name` stands for, or None: asked are the open scopes, the registered objects, then the two arguments."""
    for table in (_scope.get(), _registered, custom_objects or {}, module_objects or {}):
        if name in table:
            return table[name]
    return None
