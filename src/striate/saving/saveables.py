"""Walking a model: everything below it that has state of its own, with the path under which Keras 3's files keep it.

The path of a layer is made of attribute names, and in lists (such as `layers` of a model) of class names in snake case,
numbered: `layers/conv2d`, `layers/conv2d_1`. What is shared stands once, where it is met first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from typing import Any

from striate.core import registry
from striate.layers.layer import Layer
from striate.trace.naming import to_snake_case

_GRAPHS = ("Functional", "Sequential")
_KINDS = ("keras.optimizers.Optimizer", "keras.metrics.Metric", "keras.losses.Loss")


Present = Callable[[str], bool]


def owners(model: Any, skip: Iterable[Any] = (), present: Present | None = None) -> list[tuple[str, Any]]:
    """The model and all below it that may have state, each once, with its path in the file.

    Args:
        model: a model or layer.
        skip: objects that are left out, with what only they hold.
        present: whether a file has a path; an object that has several (under another name, a property) gets one that
            the file has, if any.
    """
    found: dict[int, tuple[str, Any]] = {}
    seen = {id(x) for x in skip}
    for path, owner in _walk(model, "", seen, present, frozenset()):
        if id(owner) not in found or (present is not None and present(path)):
            found[id(owner)] = (path, owner)
    return list(found.values())


def _walk(
    owner: Any, path: str, seen: set[int], present: Present | None, above: frozenset[int]
) -> Iterator[tuple[str, Any]]:
    if id(owner) in seen or id(owner) in above:
        return
    if present is None or present(path):
        seen.add(id(owner))
    yield path, owner
    inside = above | {id(owner)}
    for name, value in _attributes(owner):
        yield from _walk_value(value, f"{path}/{name}" if path else name, seen, present, inside)


def _walk_value(
    value: Any, path: str, seen: set[int], present: Present | None, above: frozenset[int]
) -> Iterator[tuple[str, Any]]:
    if is_saveable(value):
        yield from _walk(value, path, seen, present, above)
    elif isinstance(value, list | tuple | dict) and id(value) not in above:
        used: dict[str, int] = {}
        inside = above | {id(value)}
        for item in list(value.values()) if isinstance(value, dict) else list(value):
            if is_saveable(item) or isinstance(item, list | tuple | dict):
                kind = to_snake_case(type(item).__name__) if is_saveable(item) else "container"
                yield from _walk_value(item, f"{path}/{_numbered(kind, used)}", seen, present, inside)


def _numbered(name: str, used: dict[str, int]) -> str:
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name


def is_saveable(value: Any) -> bool:
    """Whether `value` is a layer, model, optimizer, metric or loss: what the walk goes into."""
    return isinstance(value, Layer) or (not isinstance(value, type) and isinstance(value, _kinds()))


def _kinds() -> tuple[type, ...]:
    return tuple(registry.exports()[name] for name in _KINDS if name in registry.exports())


def _attributes(owner: Any) -> list[tuple[str, Any]]:
    """The attributes that are walked, by name, private ones last; a model of a graph shows its layers first."""
    graph = any(base.__name__ in _GRAPHS for base in type(owner).__mro__)
    order = sorted(_names(owner), key=lambda name: (graph and name != "layers", name.startswith("_"), name))
    return [(name, value) for name in order for value in _value(owner, name)]


def _names(owner: Any) -> set[str]:
    names = {name for name in vars(owner) if name not in _internal()}
    for cls in type(owner).__mro__[:-1]:
        if not cls.__module__.startswith("striate."):
            names |= {name for name, value in vars(cls).items() if isinstance(value, property | cached_property)}
    model = isinstance(owner, registry.exports().get("keras.Model", ()))
    return {name for name in names if not name.startswith("__")} | ({"layers"} if model else set())


def _value(owner: Any, name: str) -> list[Any]:
    try:
        return [getattr(owner, name)]
    except Exception:  # a property of the user's own that has no value yet
        return []


@cache
def _internal() -> frozenset[str]:
    """The attributes that every layer and model has for its own book-keeping."""
    made = [registry.exports()[name]() for name in ("keras.Layer", "keras.Model", "keras.Sequential")]
    known = {"_functional", *(name for owner in made for name in vars(owner))}
    of_training: frozenset[str] = getattr(registry.exports()["keras.Model"], "_OF_TRAINING", frozenset())
    return frozenset((known | of_training) - {"layers", "optimizer", "loss"})


def variables_of(found: Iterable[tuple[str, Any]]) -> list[Any]:
    """The variables that the owners themselves hold, seeds included."""
    listed: list[Any] = []
    for _, owner in found:
        listed += owner._own_variables() if isinstance(owner, Layer) else getattr(owner, "variables", [])
    return listed
