"""The native engine: passes, a plan, its steps on compiled kernels, and NumPy steps for the rare ops in between."""

from __future__ import annotations

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from striate import kernels
from striate.core import config, dtypes
from striate.engines.kept import Kept
from striate.ir import Builder, Graph, verify
from striate.passes.pipeline import optimize
from striate.plan import Buffer, Operand, Place, Plan, Step, build
from striate.primitives import Primitive, get, infer_node, run_reference
from striate.primitives.base import aval_of, check_size


class _Prepared(NamedTuple):
    """What stays from call to call: constants, weights and what was computed from them, and where they lie."""

    versions: Any
    arrays: dict[int, np.ndarray]
    pointers: np.ndarray


class _Garbage:
    """Models are cycles of references, which Python frees when it gets round to it: it counts objects, not bytes. Here
    it is asked to, whenever new plans have prepared a lot of weights.
    """

    ENOUGH = 256 << 20

    def __init__(self) -> None:
        self.prepared = 0

    def expect(self, nbytes: int) -> None:
        """`nbytes` are about to be allocated for a plan that is new."""
        self.prepared += nbytes
        if self.prepared > self.ENOUGH:
            self.prepared = 0
            gc.collect()


_GARBAGE = _Garbage()


class NativeExecutable:
    """A plan with its constants, ready to run. Safe to call from several threads at once.

    Args:
        plan: what to run.
        stable: the inputs (weights) that are the same as long as the versions are.
    """

    def __init__(self, plan: Plan, stable: frozenset[int] = frozenset()) -> None:
        for buffer in plan.buffers:
            check_size(buffer.shape, "a model's plan")
        self.plan = plan
        self._lock = threading.Lock()
        self._prepared: _Prepared | None = None
        self._main = _Sequence(plan, plan.steps)
        self._constants = {i: b.data for i, b in enumerate(plan.buffers) if b.data is not None}
        inputs = [(i, b.index, dtypes.as_numpy(b.dtype)) for i, b in _placed(plan, Place.INPUT)]
        self._weights = [entry for entry in inputs if entry[1] in stable]
        self._given = [entry for entry in inputs if entry[1] not in stable]
        self._outputs = [(i, b.shape, dtypes.as_numpy(b.dtype)) for i, b in _placed(plan, Place.OUTPUT)]
        self._results = [(o.slot, None if o.shape == plan.buffers[o.slot].shape else o.shape) for o in plan.outputs]
        self._kept = Kept(plan, stable)
        self._is_new = True
        self._used = {o.slot for s in plan.steps for o in s.inputs}

    def __call__(
        self,
        inputs: Sequence[np.ndarray],
        versions: tuple[int, ...] | None = None,
        spare: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> list[np.ndarray]:
        return self._run(inputs, versions, spare, self._main.run)

    def timed(
        self,
        inputs: Sequence[np.ndarray],
        versions: tuple[int, ...] | None = None,
        spare: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> tuple[list[np.ndarray], list[int]]:
        """As a call; says also how many nanoseconds each of `plan.steps` took."""
        times: list[int] = []
        run = self._main.timed
        return self._run(inputs, versions, spare, lambda *args: times.extend(run(*args))), times

    def _run(
        self, inputs: Sequence[np.ndarray], versions: tuple[int, ...] | None, spare: Mapping[int, np.ndarray], run: Any
    ) -> list[np.ndarray]:
        prepared = self._prepare(inputs, versions)
        arrays = {slot: _native(inputs[index], dtype) for slot, index, dtype in self._given}
        used = {self._results[i][0]: array for i, array in spare.items()}
        for slot, shape, dtype in self._outputs:
            old = used.get(slot)
            usable = old is not None and old.shape == shape and old.dtype == dtype
            arrays[slot] = old if old is not None and usable else kernels.empty(shape, dtype)
        memory = kernels.acquire(self.plan.arena_bytes) if self.plan.arena_bytes else None
        run(prepared, arrays, memory)
        return [arrays[slot] if shape is None else arrays[slot].reshape(shape) for slot, shape in self._results]

    def _prepare(self, inputs: Sequence[np.ndarray], versions: tuple[int, ...] | None) -> _Prepared:
        """What depends on the weights alone, computed anew when their versions have changed."""
        found = self._prepared
        if found is not None and versions is not None and found.versions == versions:
            return found
        with self._lock:
            found = self._prepared
            if found is None or versions is None or found.versions != versions:
                found = self._prepared = None  # the old arrays go before the new ones come
                found = self._prepared = self._compute(inputs, versions)
            return found

    def _compute(self, inputs: Sequence[np.ndarray], versions: tuple[int, ...] | None) -> _Prepared:
        weights = {slot: _native(inputs[index], dtype) for slot, index, dtype in self._weights}
        known = self._fixed({**self._constants, **weights}, versions)
        if self._is_new:
            _GARBAGE.expect(self._kept.nbytes)
            self._is_new = False
        names, kept = self._kept.found(versions)
        missing = self._kept.slots - kept.keys()
        if missing:
            steps = self._kept.steps(missing)
            made = self._kept.room(steps, missing)
            _Sequence(self.plan, steps).run(known, made, None)
            made = {slot: made[slot] for slot in missing}
            self._kept.share(names, made)
            kept.update(made)
        known_used = {slot: a for slot, a in known.arrays.items() if slot in self._used}
        return self._fixed({**known_used, **kept}, versions)

    def _fixed(self, arrays: dict[int, np.ndarray], versions: Any) -> _Prepared:
        pointers = np.zeros(len(self.plan.buffers), np.int64)
        kernels.place_arrays(pointers, arrays)
        return _Prepared(versions, arrays, pointers)

    @property
    def nbytes(self) -> int:
        """Bytes that stay allocated between calls, the weights' own not counted."""
        weights = {slot for slot, _, _ in self._weights}
        prepared = self._prepared
        kept = (a.nbytes for slot, a in prepared.arrays.items() if slot not in weights) if prepared else ()
        return sum(kept) + sum(a.nbytes for slot, a in self._constants.items() if slot not in self._used)


def _placed(plan: Plan, place: Place) -> list[tuple[int, Buffer]]:
    return [(i, b) for i, b in enumerate(plan.buffers) if b.place is place]


class _Sequence:
    """Steps in order: runs of compiled ones in single calls, NumPy steps between them."""

    def __init__(self, plan: Plan, steps: Sequence[Step]) -> None:
        self.parts: list[_Compiled | _NumpyStep] = []
        arena = [(i, b.index) for i, b in _placed(plan, Place.ARENA)]
        self.slots = np.array([i for i, _ in arena], np.int64)
        self.offsets = np.array([offset for _, offset in arena], np.int64)
        for compiled, group in groupby(steps, key=lambda s: s.kernel is not None):
            listed = list(group)
            if compiled:
                self.parts.append(_Compiled(listed, len(plan.buffers)))
            else:
                self.parts.extend(_NumpyStep(s, plan) for s in listed)
        self.all_compiled = all(isinstance(p, _Compiled) for p in self.parts)

    def run(self, prepared: _Prepared, arrays: dict[int, np.ndarray], memory: Any) -> None:
        """Runs the steps on what is prepared, `arrays` by slot, and the arena."""
        pointers, everything = self._bound(prepared, arrays, memory)
        for part in self.parts:
            part(pointers, everything, memory)

    def timed(self, prepared: _Prepared, arrays: dict[int, np.ndarray], memory: Any) -> list[int]:
        """As `run`; the nanoseconds of each step."""
        pointers, everything = self._bound(prepared, arrays, memory)
        return [spent for part in self.parts for spent in part.timed(pointers, everything, memory)]

    def _bound(self, prepared: _Prepared, arrays: dict[int, np.ndarray], memory: Any) -> tuple[np.ndarray, Any]:
        """The addresses by slot, and the arrays that NumPy steps may need."""
        pointers = prepared.pointers.copy()
        kernels.place_arrays(pointers, arrays)
        if memory is not None:
            kernels.place_buffers(pointers, self.slots, self.offsets, memory.address)
        return pointers, arrays if self.all_compiled else {**prepared.arrays, **arrays}


class _Compiled:
    def __init__(self, steps: Sequence[Step], n_slots: int) -> None:
        self.program = kernels.Program(
            [(s.kernel, _operands(s.inputs), _operands(s.outputs), s.ints, s.floats) for s in steps], n_slots
        )

    def __call__(self, pointers: np.ndarray, arrays: dict[int, np.ndarray], memory: Any) -> None:
        self.program.run(pointers)

    def timed(self, pointers: np.ndarray, arrays: dict[int, np.ndarray], memory: Any) -> list[int]:
        return self.program.run_timed(pointers)


def _operands(operands: Sequence[Operand]) -> list[tuple[int, tuple[int, ...], str]]:
    return [(o.slot, o.shape, o.dtype) for o in operands]


class _NumpyStep:
    def __init__(self, step: Step, plan: Plan) -> None:
        self.step, self.primitive = step, get(step.primitive or "")
        self.buffers = plan.buffers

    def __call__(self, pointers: np.ndarray, arrays: dict[int, np.ndarray], memory: Any) -> None:
        inputs = [self._array(o, arrays, memory) for o in self.step.inputs]
        result = run_reference(self.primitive, inputs, self.step.params)
        for operand, value in zip(
            self.step.outputs, (result,) if isinstance(result, np.ndarray) else result, strict=True
        ):
            self._array(operand, arrays, memory)[...] = value

    def timed(self, pointers: np.ndarray, arrays: dict[int, np.ndarray], memory: Any) -> list[int]:
        start = time.perf_counter_ns()
        self(pointers, arrays, memory)
        return [time.perf_counter_ns() - start]

    def _array(self, operand: Operand, arrays: dict[int, np.ndarray], memory: Any) -> np.ndarray:
        if operand.slot in arrays:
            return arrays[operand.slot].reshape(operand.shape)
        buffer = self.buffers[operand.slot]
        raw = memory.view[buffer.index : buffer.index + buffer.nbytes]
        return raw.view(dtypes.as_numpy(operand.dtype)).reshape(operand.shape)


def _native(array: np.ndarray, wanted: np.dtype[Any]) -> np.ndarray:
    """`array` as the kernels need it: dense, in C order, aligned."""
    flags = array.flags
    if array.dtype == wanted and flags.c_contiguous and flags.aligned:
        return array
    return np.require(array, wanted, ["C", "A"])


class NativeEngine:
    """Compiled kernels for float32; everything else as NumPy steps."""

    name = "native"
    # Below this many elements in all, a NumPy call costs less than a plan.
    _SMALL = 4096
    _FAMILIES = frozenset({"conv", "matmul", "pool", "softmax", "resize", "elementwise", "reduce"})

    def __init__(self) -> None:
        self._singles: OrderedDict[Any, NativeExecutable] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, graph: Graph, stable: frozenset[int] = frozenset()) -> NativeExecutable:
        return NativeExecutable(build(optimize(graph, stable), stable), stable)

    def eager(self, primitive: Primitive, inputs: Sequence[np.ndarray], params: dict[str, Any]) -> Any:
        if primitive.kernel not in self._FAMILIES or not self._worthwhile(primitive, inputs):
            return run_reference(primitive, inputs, params)
        executable = self._single(primitive, inputs, params)
        if executable is None:
            return run_reference(primitive, inputs, params)
        results = executable(inputs)
        return results[0] if len(results) == 1 else tuple(results)

    def _worthwhile(self, primitive: Primitive, inputs: Sequence[np.ndarray]) -> bool:
        floats = any(a.dtype == np.float32 for a in inputs)
        return floats and (primitive.kernel == "conv" or sum(a.size for a in inputs) >= self._SMALL)

    def _single(self, primitive: Primitive, inputs: Sequence[np.ndarray], params: dict[str, Any]) -> Any:
        """The executable for one op on arrays of these shapes, kept for the next time."""
        key = (primitive.name, config.conv_precision(), tuple(map(aval_of, inputs)), tuple(sorted(params.items())))
        try:
            with self._lock:
                if key in self._singles:
                    self._singles.move_to_end(key)
                    return self._singles[key]
        except TypeError:
            return None
        made = NativeExecutable(build(_single_graph(primitive, inputs, params), frozenset()))
        with self._lock:
            self._singles[key] = made
            while len(self._singles) > 256:
                self._singles.popitem(last=False)
        return made


def _single_graph(primitive: Primitive, inputs: Sequence[np.ndarray], params: dict[str, Any]) -> Graph:
    builder = Builder()
    values = [builder.input(a.shape, dtypes.name_of(a.dtype)) for a in inputs]
    avals, _ = primitive.avals(values, params)
    outputs = builder.add(primitive.name, values, params, avals)
    return verify(builder.graph(outputs), infer_node)
