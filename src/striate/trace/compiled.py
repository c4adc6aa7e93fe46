"""Compiled functions: a traced graph on an engine, with its variables read before and assigned after a run."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate import engines
from striate.core import config, dtypes, tree
from striate.core.garbage import uncollected
from striate.ir import Aval
from striate.trace.tracing import Traced, trace
from striate.trace.variable import Variable


class CompiledFunction:
    """One signature of a function, compiled. Assignments are committed together, after the run has succeeded."""

    def __init__(self, traced: Traced, engine: engines.Engine) -> None:
        self.traced = traced
        first = len(traced.graph.inputs) - len(traced.reads)
        written = {id(v) for v in traced.assigns}
        stable = frozenset(first + i for i, v in enumerate(traced.reads) if id(v) not in written)
        self._weights = [v for v in traced.reads if id(v) not in written]
        self._large = [(i, v) for i, v in enumerate(traced.assigns) if v.array.nbytes >= _LARGE]
        self.executable = engine.compile(traced.graph, stable)

    def __call__(self, arrays: Sequence[np.ndarray]) -> Any:
        reads = self.traced.reads
        # Versions first: where another thread assigns in between, the newer array is known by the older version, and
        # what was prepared for it is prepared anew the next time. The other way round it would stay stale.
        versions = tuple([v.version for v in self._weights])
        given = [*arrays, *[v.array for v in reads]]
        if self.traced.assigns:
            outputs = self._assigning(given, versions)
        else:
            outputs = self.executable(given, versions)
        structure = self.traced.structure
        if structure == 0:
            return outputs[0]
        return tree.map_structure(lambda i: None if i is None else outputs[i], structure)

    def timed(
        self, arrays: Sequence[np.ndarray], spare: Sequence[np.ndarray] = ()
    ) -> tuple[list[np.ndarray], list[int]]:
        """Runs without assigning: all outputs, and the nanoseconds of each of the plan's steps (native engine only).

        `spare`: the outputs of an earlier run, which nobody needs any more.
        """
        versions = tuple([v.version for v in self._weights])
        given = [*arrays, *[v.array for v in self.traced.reads]]
        return self.executable.timed(given, versions, dict(enumerate(spare)))  # type: ignore[attr-defined]

    def _assigning(self, given: list[np.ndarray], versions: Any) -> list[np.ndarray]:
        """Runs and assigns. The large arrays that a step's results replace take the results of the next one."""
        first = self.traced.n_results
        spare = {first + i: a for i, v in self._large if (a := v.take_spare()) is not None}
        outputs = self.executable(given, versions, spare) if spare else self.executable(given, versions)
        given.clear()
        before = _commit(self.traced.assigns, outputs[first:])
        for i, variable in self._large:
            _keep(variable, before, i)
        return outputs


_LARGE = 1 << 16  # bytes: below, a new array costs nothing


def _keep(variable: Any, arrays: list[np.ndarray], i: int) -> None:
    """Lays `arrays[i]`, its large value from before, aside, if nobody else has a hold of it."""
    if arrays[i].base is None and sys.getrefcount(arrays[i]) <= 2:  # the list, and the call itself
        arrays[i].flags.writeable = True
        variable.spare = arrays[i]


def _commit(variables: Sequence[Any], values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Assigns all, or, where Ctrl-C comes in between, none. Returns the values from before."""
    before = [v.array for v in variables]
    try:
        Variable.commit_all(variables, values)
    except BaseException:
        Variable.commit_all(variables, before)
        raise
    return before


def _full(key: Any, engine: engines.Engine, arrays: Sequence[np.ndarray]) -> Any:
    return key, engine.name, config.conv_precision(), tuple([(a.shape, a.dtype) for a in arrays])


class Cache:
    """The compiled signatures of one function, the longest unused ones dropped first.

    Args:
        limit: how many there may be.
        budget: how many bytes they may keep; one is always kept.
    """

    def __init__(self, limit: int = 32, budget: int = 1 << 30) -> None:
        self.limit, self.budget = limit, budget
        self._entries: OrderedDict[Any, CompiledFunction] = OrderedDict()
        self._lock = threading.RLock()

    def find(self, key: Any, arrays: Sequence[np.ndarray]) -> CompiledFunction | None:
        """What `get` has made for such arrays before, if it is still there."""
        with self._lock:
            full = _full(key, engines.current(), arrays)
            found = self._entries.get(full)
            if found is not None:
                self._entries.move_to_end(full)
        return found

    def get(self, key: Any, fn: Callable[..., Any], arrays: Sequence[np.ndarray]) -> CompiledFunction:
        """The compiled `fn` for arrays of these shapes and dtypes; `key` says what else its trace depends on."""
        engine = engines.current()
        full = _full(key, engine, arrays)
        with self._lock:
            found = self._entries.get(full)
            if found is None:
                with uncollected():
                    traced = trace(fn, [Aval(a.shape, dtypes.name_of(a.dtype)) for a in arrays])
                    found = self._entries[full] = CompiledFunction(traced, engine)
                self._trim()
            self._entries.move_to_end(full)
        return found

    def _trim(self) -> None:
        while len(self._entries) > self.limit or (len(self._entries) > 1 and self.nbytes > self.budget):
            self._entries.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """What the plans keep allocated between calls: constants and prepared weights."""
        return sum(getattr(e.executable, "nbytes", 0) for e in self._entries.values())

    def __reduce__(self) -> Any:
        """A copy starts empty."""
        return Cache, (self.limit, self.budget)

    def clear(self) -> None:
        """Drops everything: what the traces depended on has changed."""
        with self._lock:
            self._entries.clear()
