"""What belongs to a layer: its variables and its sublayers, also inside lists and dicts, in the order of their making."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from striate.trace import Variable


class Tracked:
    """Finds the variables and sublayers that an object holds in its attributes.

    A class that inherits this calls `_begin_tracking()` before it sets other attributes. Attributes in `_UNTRACKED` hold
    references to things that belong to somebody else.
    """

    _UNTRACKED = frozenset({"_inbound_nodes", "_outbound_nodes", "_auto_config_args", "_nested_inputs", "_nested_outputs"})

    def _begin_tracking(self) -> None:
        self.__dict__["_own"] = []
        self.__dict__["_children"] = []

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if "_own" not in self.__dict__:
            if isinstance(value, Variable | Tracked):
                raise RuntimeError(
                    f"In layer {type(self).__name__}, you forgot to call `super().__init__()` as the first statement in "
                    "the `__init__()` method. Go add it!"
                )
            return
        if name not in self._UNTRACKED:
            self._track(value)

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        super().__delattr__(name)
        for held in ("_own", "_children"):
            self.__dict__[held] = [v for v in self.__dict__.get(held, []) if v is not value]

    def _track(self, value: Any) -> None:
        if isinstance(value, Variable):
            _append(self.__dict__["_own"], value)
        elif isinstance(value, Tracked):
            _append(self.__dict__["_children"], value)
        elif isinstance(value, list | tuple | dict | set):
            _append(self.__dict__["_children"], value)

    def _own_variables(self) -> list[Variable]:
        """The variables of this object itself, not those of its sublayers."""
        found = list(self.__dict__["_own"])
        for leaf in _leaves(c for c in self.__dict__["_children"] if not isinstance(c, Tracked)):
            if isinstance(leaf, Variable):
                _append(found, leaf)
        return found

    def _sublayers(self) -> list[Any]:
        """The layers that this object holds, each once."""
        found: list[Any] = []
        for leaf in _leaves(self.__dict__["_children"]):
            if isinstance(leaf, Tracked):
                _append(found, leaf)
        return found

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> Iterator[Any]:
        """This layer and those below it, each once."""
        seen: set[int] = set()
        stack: list[Any] = [self] if include_self else list(self._sublayers())
        while stack:
            layer = stack.pop(0)
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            yield layer
            if recursive or layer is self:
                stack[:0] = layer._sublayers()


def _append(found: list[Any], value: Any) -> None:
    if not any(v is value for v in found):
        found.append(value)


def _leaves(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, dict):
            yield from _leaves(item.values())
        elif isinstance(item, list | tuple | set):
            yield from _leaves(item)
        else:
            yield item


def unique(variables: Iterable[Any]) -> list[Any]:
    """`variables`, each once, in the order of their first appearance."""
    seen: dict[int, Any] = {}
    for v in variables:
        seen.setdefault(id(v), v)
    return list(seen.values())
