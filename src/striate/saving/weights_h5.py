"""Keras 3's `.weights.h5`: a tree of groups that follows the objects, each with its variables in `vars/0`, `vars/1`.

The path of a layer is made of attribute names, and in lists (such as `layers` of a model) of class names in snake case,
numbered: `layers/conv2d/vars/0`, `layers/conv2d_1/vars/0`. A shared layer is kept once, where it is met first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from striate.core import registry
from striate.core.errors import message
from striate.saving import h5
from striate.saving.legacy_h5 import fits
from striate.trace.naming import to_snake_case

WHERE = "load_weights"


def read_tree(root: Any, model: Any, skip_mismatch: bool = False) -> h5.Values:
    """The model's variables with the values that an open file has for them.

    Raises:
        ValueError: a layer's group is missing, or numbers or shapes of weights differ (with `skip_mismatch` a warning,
            and the weight keeps its value); the file holds links or no plain numbers.
    """
    pairs: list[tuple[Any, Any]] = []
    for path, owner in owners(model):
        pairs += _match(root, path, owner, skip_mismatch)
    return h5.read_all(pairs, WHERE)


def _match(root: Any, path: str, owner: Any, skip_mismatch: bool) -> list[tuple[Any, Any]]:
    weights = own_weights(owner)
    group = _vars(root, path)
    saved = len(group) if group is not None else 0
    if saved != len(weights):
        _count_mismatch(root, path, owner, weights, saved, skip_mismatch)
        return []
    found = [(v, h5.get_dataset(group, str(i), WHERE)) for i, v in enumerate(weights)]
    return [pair for pair in found if fits(*pair, f"layer {owner.name!r}", skip_mismatch)]


def _vars(root: Any, path: str) -> Any:
    """The group of a layer's own variables, or None. A file of a single layer's kind may lack empty groups."""
    full = f"{path}/vars" if path else "vars"
    group = root
    for name in full.split("/"):
        if name not in group:
            return None
        group = h5.get_group(group, name, WHERE)
    return group


def _count_mismatch(root: Any, path: str, owner: Any, weights: list[Any], saved: int, skip: bool) -> None:
    expected = [f"{v.path} {tuple(v.shape)}" for v in weights]
    problem = (
        f"layer {owner.name!r} has {len(weights)} weights {expected}, "
        f"the group {path or '/'!r} of {h5.file_name(root)} has {saved}"
    )
    built = getattr(owner, "built", True)
    fix = "Is this the file of another model?" if built else "Build the model first: call it once, or give it an Input"
    if not skip:
        raise ValueError(message(WHERE, problem, fix))
    h5.warn(message(WHERE, problem) + " Skipped.")


# ----------------------------------------------------------------------------------------------------- walking a model


def owners(model: Any) -> Iterator[tuple[str, Any]]:
    """The model and all below it that holds variables, each once, with its path in the file."""
    yield from _walk(model, "", set())


def _walk(owner: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(owner) in seen:
        return
    seen.add(id(owner))
    yield path, owner
    for name, value in _attributes(owner):
        below = f"{path}/{name}" if path else name
        if _holds_variables(value):
            yield from _walk(value, below, seen)
        elif isinstance(value, list | tuple | dict):
            yield from _walk_container(value, below, seen)


def _walk_container(container: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    used: dict[str, int] = {}
    for value in list(container.values()) if isinstance(container, dict) else container:
        if _holds_variables(value):
            yield from _walk(value, f"{path}/{_numbered(to_snake_case(type(value).__name__), used)}", seen)
        elif isinstance(value, list | tuple | dict):
            yield from _walk_container(value, f"{path}/{_numbered('container', used)}", seen)


def _numbered(name: str, used: dict[str, int]) -> str:
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name


def _holds_variables(value: Any) -> bool:
    return hasattr(value, "_own_variables") and hasattr(value, "weights")


def _attributes(owner: Any) -> list[tuple[str, Any]]:
    """The attributes that are walked, by name, private ones last; a model of a graph shows its layers first."""
    model = isinstance(owner, registry.exports().get("keras.Model", ()))
    graph = any(base.__name__ in ("Functional", "Sequential") for base in type(owner).__mro__)
    names = {name for name in vars(owner) if name not in _internal()} | ({"layers"} if model else set())
    order = sorted(names, key=lambda name: (graph and name != "layers", name.startswith("_"), name))
    return [(name, getattr(owner, name)) for name in order]


@cache
def _internal() -> frozenset[str]:
    """The attributes that every layer and model has for its own book-keeping."""
    made = [registry.exports()[name]() for name in ("keras.Layer", "keras.Model", "keras.Sequential")]
    return frozenset({"_functional", *(name for owner in made for name in vars(owner))} - {"layers"})


def own_weights(owner: Any) -> list[Any]:
    """The variables that belong to this object itself, those made as trainable first; no random seeds."""
    own = {id(v) for v in owner._own_variables()}
    return [v for v in owner.weights if id(v) in own]


# ------------------------------------------------------------------------------------------------------------- writing


def save_weights_to_tree(path: str | os.PathLike[str], model: Any) -> None:
    """Write a `.weights.h5` file, beside the target and then moved into place."""
    h5.write(path, lambda root: _fill(root, model))


def _fill(root: Any, model: Any) -> None:
    for path, owner in owners(model):
        group = root.create_group(f"{path}/vars" if path else "vars")
        group.attrs["name"] = owner.name
        for i, variable in enumerate(own_weights(owner)):
            group.create_dataset(str(i), data=np.asarray(variable.numpy()))
