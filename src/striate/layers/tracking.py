"""What belongs to a layer: its variables and its sublayers, also inside lists and dicts, in the order of their
making."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from striate.trace import Variable

_BIRTHS = itertools.count()
_CHANGES = [0]


def changes() -> int:
    """A number that grows whenever an attribute of one of striate's own, built layers is replaced: plans made before
    are
    out of date."""
    return _CHANGES[0]


def note_change() -> None:
    """Says that plans made so far are out of date."""
    _CHANGES[0] += 1


class Tracked:
    """Finds the variables and sublayers that an object holds in its attributes.

    A class that inherits this calls `_begin_tracking()` before it sets other attributes. Attributes in `_UNTRACKED`
    hold
    references to things that belong to somebody else.
    """

    _UNTRACKED = frozenset(
        {
            "_auto_config_args", "_build_shapes", "_inbound_nodes", "_losses", "_nested_inputs", "_nested_outputs",
            "_outbound_nodes",
        }
    )  # fmt: skip

    def _begin_tracking(self) -> None:
        if "_held" not in self.__dict__:
            self.__dict__.update(_held=[], _containers=[], _late=[], _birth=next(_BIRTHS))

    def __setattr__(self, name: str, value: Any) -> None:
        self._note(name)
        super().__setattr__(name, value)
        if "_held" not in self.__dict__:
            if isinstance(value, Variable | Tracked):
                raise RuntimeError(
                    f"In layer {type(self).__name__}, you forgot to call `super().__init__()` as the first "
                    "statement in "
                    "the `__init__()` method. Go add it!"
                )
            return
        if name not in self._UNTRACKED:
            self._track(value)

    def _note(self, name: str) -> None:
        if name.startswith("_") or name in self._UNTRACKED or not self.__dict__.get("built"):
            return
        replaced = name in self.__dict__ or isinstance(getattr(type(self), name, None), property)
        if replaced and name != "built" and type(self).__module__.startswith("striate."):
            note_change()

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        super().__delattr__(name)
        for kept in ("_held", "_containers", "_late"):
            self.__dict__[kept] = [v for v in self.__dict__.get(kept, []) if v is not value]

    def _track(self, value: Any) -> None:
        if isinstance(value, Variable | Tracked):
            self._look()
            _append(self.__dict__["_held"], value)
        elif isinstance(value, list | tuple | dict | set):
            self._look()
            _append(self.__dict__["_containers"], value)
            for leaf in _members([value]):
                _append(self.__dict__["_late"], leaf)
                _append(self.__dict__["_held"], leaf)
        elif _is_generator(value):
            _append(self.__dict__["_held"], value.state)

    def _look(self) -> list[Any]:
        """What this object holds, now: containers may have got and lost members since."""
        held, late = self.__dict__["_held"], self.__dict__["_late"]
        if not late and not self.__dict__["_containers"]:
            return held
        present = list(_members(self.__dict__["_containers"]))
        gone = [v for v in late if not _among(present, v)]
        for value in gone:
            _remove(held, value)
            _remove(late, value)
        found = [v for v in unique(present) if not _among(held, v)]
        found.sort(key=lambda v: v.__dict__.get("_birth", -1))
        held.extend(found)
        late.extend(found)
        return held

    def _own_variables(self) -> list[Variable]:
        """The variables of this object itself, not those of its sublayers."""
        return [v for v in self._look() if isinstance(v, Variable)]

    @property
    def _seed_generators(self) -> list[Any]:
        """The seed generators that this object itself holds, each once."""
        return unique(v for name, v in self.__dict__.items() if name not in self._UNTRACKED for v in _generators(v))

    def _own_metrics(self) -> list[Any]:
        """The metrics that this object itself holds, each once; they are neither weights nor layers."""
        values = [(k, v) for k, v in self.__dict__.items() if isinstance(v, _CONTAINERS) or _is_metric(v)]
        if not values:
            return []
        others = self._UNTRACKED | {"_held", "_containers", "_late"}
        return unique(m for name, v in values if name not in others for m in _metrics(v))

    def _sublayers(self) -> list[Any]:
        """The layers that this object holds, each once."""
        return [v for v in self._look() if isinstance(v, Tracked)]

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list[Any]:
        """This layer and those below it, each once."""
        found: dict[int, Any] = {}
        stack: list[Any] = [self] if include_self else list(self._sublayers())
        while stack:
            layer = stack.pop(0)
            if id(layer) in found:
                continue
            found[id(layer)] = layer
            if recursive or layer is self:
                stack[:0] = layer._sublayers()
        return list(found.values())


def _leaves(value: Any, above: frozenset[int] = frozenset()) -> Iterator[Any]:
    """What stands in nested containers; one that holds itself is entered once."""
    if not isinstance(value, list | tuple | set | dict):
        yield value
    elif id(value) not in above:
        inside = above | {id(value)}
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item, inside)


def _members(containers: list[Any]) -> Iterator[Any]:
    """The variables and layers in nested containers."""
    for leaf in _leaves(containers):
        if isinstance(leaf, Variable | Tracked):
            yield leaf
        elif _is_generator(leaf):
            yield leaf.state


def _generators(value: Any) -> Iterator[Any]:
    return (leaf for leaf in _leaves(value) if _is_generator(leaf))


def _is_generator(value: Any) -> bool:
    """Whether `value` is a SeedGenerator."""
    other = isinstance(value, Tracked) or _is_metric(value)
    return not other and isinstance(getattr(value, "state", None), Variable)


def _is_metric(value: Any) -> bool:
    return getattr(type(value), "_is_metric", False)


# What attributes hold layers and variables in, wrapped by tracking or not.
_CONTAINERS = (list, tuple, set, dict)


def _metrics(value: Any) -> Iterator[Any]:
    """The metrics in nested containers."""
    return (leaf for leaf in _leaves(value) if _is_metric(leaf))


def _among(found: list[Any], value: Any) -> bool:
    return any(v is value for v in found)


def _append(found: list[Any], value: Any) -> None:
    if not _among(found, value):
        found.append(value)


def _remove(found: list[Any], value: Any) -> None:
    found[:] = [v for v in found if v is not value]


def unique(variables: Iterable[Any]) -> list[Any]:
    """`variables`, each once, in the order of their first appearance."""
    seen: dict[int, Any] = {}
    for v in variables:
        seen.setdefault(id(v), v)
    return list(seen.values())
