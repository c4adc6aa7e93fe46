"""What an engine is, and which one is current."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from striate.ir import Graph
from striate.primitives import EAGER, Primitive


class Executable(Protocol):
    """A compiled graph. Safe to call from several threads at once."""

    def __call__(
        self,
        inputs: Sequence[np.ndarray],
        versions: tuple[int, ...] | None = None,
        spare: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> list[np.ndarray]:
        """Runs the graph; results are new arrays that alias neither the inputs nor the engine's memory.

        `versions` has a number for each stable input (see `Engine.compile`), in their order. It stands for the present
        value and nothing else in this process (`Variable.version`), so what is computed from it may be shared with
        other executables. None: they may have changed.
        `spare` holds arrays that nobody needs any more: the result of that number may be written to it.
        """


class Engine(Protocol):
    """Turns graphs into executables, and applies single primitives to arrays."""

    name: str

    def compile(self, graph: Graph, stable: frozenset[int] = frozenset()) -> Executable:
        """Compiles `graph`.

        `stable` names the inputs (weights) that rarely change: what depends on them alone is computed once per version.
        """

    def eager(self, primitive: Primitive, inputs: Sequence[np.ndarray], params: dict[str, Any]) -> Any:
        """Applies one primitive to arrays at once."""


_ENGINES: dict[str, Engine] = {}
_CURRENT: list[Engine] = []


def register(engine: Engine) -> None:
    """Makes `engine` known by its name."""
    _ENGINES[engine.name] = engine


def get(name: str) -> Engine:
    """The engine called `name`; ValueError that lists the engines if there is none."""
    if name not in _ENGINES:
        raise ValueError(f"unknown engine {name!r}. Use one of {', '.join(sorted(_ENGINES))}.")
    return _ENGINES[name]


def current() -> Engine:
    """The engine that new computations run on."""
    return _CURRENT[0]


def set_current(name: str) -> None:
    """Makes the engine called `name` the current one of the process."""
    _set(get(name))


def _set(engine: Engine) -> None:
    _CURRENT[:] = [engine]
    EAGER.run = engine.eager


@contextmanager
def use(name: str) -> Iterator[Engine]:
    """Computations inside this context run on the engine called `name` (for the whole process)."""
    before, engine = current(), get(name)
    _set(engine)
    try:
        yield engine
    finally:
        _set(before)
