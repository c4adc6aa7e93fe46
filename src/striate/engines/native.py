"""The native engine: passes, a plan, its steps on compiled kernels, and NumPy steps for the rare ops in between."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from striate import kernels
from striate.core import dtypes
from striate.ir import Builder, Graph, verify
from striate.passes.pipeline import optimize
from striate.plan import Operand, Place, Plan, Step, build
from striate.primitives import Primitive, get, infer_node, run_reference
from striate.primitives.base import aval_of


class NativeExecutable:
    """A plan with its constants, ready to run. Safe to call from several threads at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._lock = threading.Lock()
        self._kept: tuple[Any, dict[int, np.ndarray]] | None = None
        self._once, self._main = _Sequence(plan, plan.once), _Sequence(plan, plan.steps)
        self._constants = {i: b.data for i, b in enumerate(plan.buffers) if b.data is not None}
        self._inputs = [(i, b) for i, b in enumerate(plan.buffers) if b.place is Place.INPUT]
        self._outputs = [(i, b) for i, b in enumerate(plan.buffers) if b.place is Place.OUTPUT]
        self._arena = [(i, b) for i, b in enumerate(plan.buffers) if b.place is Place.ARENA]
        self._used = {o.slot for s in plan.steps for o in s.inputs}

    def __call__(self, inputs: Sequence[np.ndarray], versions: tuple[Any, ...] | None = None) -> list[np.ndarray]:
        given = {slot: _native(inputs[b.index], b.dtype) for slot, b in self._inputs}
        kept = self._weights(given, versions)
        results = {slot: np.empty(b.shape, dtypes.as_numpy(b.dtype)) for slot, b in self._outputs}
        with kernels.arena(self.plan.arena_bytes) as memory:
            self._main.run({**self._constants, **given, **kept, **results}, memory)
        return [results[o.slot].reshape(o.shape) for o in self.plan.outputs]

    def _weights(self, given: dict[int, np.ndarray], versions: tuple[Any, ...] | None) -> dict[int, np.ndarray]:
        """What depends on the weights alone, computed anew when their versions have changed."""
        if not self.plan.once:
            return {}
        with self._lock:
            if self._kept is None or versions is None or self._kept[0] != versions:
                self._kept = (versions, self._compute_kept(given))
            return self._kept[1]

    def _compute_kept(self, given: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        made = {
            i: kernels.aligned_empty(b.shape, dtypes.as_numpy(b.dtype))
            for i, b in enumerate(self.plan.buffers)
            if b.place is Place.KEPT
        }
        self._once.run({**self._constants, **given, **made}, None)
        return {i: a for i, a in made.items() if i in self._used}

    @property
    def nbytes(self) -> int:
        """Bytes that stay allocated between calls."""
        kept = self._kept[1].values() if self._kept else ()
        return sum(a.nbytes for a in (*kept, *self._constants.values()))


class _Sequence:
    """Steps in order: runs of compiled ones in single calls, NumPy steps between them."""

    def __init__(self, plan: Plan, steps: Sequence[Step]) -> None:
        self.buffers = plan.buffers
        self.parts: list[Callable[[Any, dict[int, np.ndarray], Any], None]] = []
        self.arena = [(i, b.index) for i, b in enumerate(plan.buffers) if b.place is Place.ARENA]
        for compiled, group in groupby(steps, key=lambda s: s.kernel is not None):
            listed = list(group)
            if compiled:
                self.parts.append(_Compiled(listed, len(plan.buffers)))
            else:
                self.parts.extend(_NumpyStep(s, plan) for s in listed)

    def run(self, arrays: dict[int, np.ndarray], memory: Any) -> None:
        if not self.parts:
            return
        pointers = np.zeros(len(self.buffers), np.int64)
        for slot, array in arrays.items():
            pointers[slot] = array.ctypes.data
        if memory is not None:
            for slot, offset in self.arena:
                pointers[slot] = memory.address + offset
        for part in self.parts:
            part(pointers, arrays, memory)


class _Compiled:
    def __init__(self, steps: Sequence[Step], n_slots: int) -> None:
        self.program = kernels.Program(
            [(s.kernel, _operands(s.inputs), _operands(s.outputs), s.ints, s.floats) for s in steps], n_slots
        )

    def __call__(self, pointers: np.ndarray, arrays: dict[int, np.ndarray], memory: Any) -> None:
        self.program.run(pointers)


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

    def _array(self, operand: Operand, arrays: dict[int, np.ndarray], memory: Any) -> np.ndarray:
        if operand.slot in arrays:
            return arrays[operand.slot].reshape(operand.shape)
        buffer = self.buffers[operand.slot]
        raw = memory.view[buffer.index : buffer.index + buffer.nbytes]
        return raw.view(dtypes.as_numpy(operand.dtype)).reshape(operand.shape)


def _native(array: np.ndarray, dtype: str) -> np.ndarray:
    """`array` as the kernels need it: dense, in C order, aligned."""
    wanted = dtypes.as_numpy(dtype)
    if array.dtype == wanted and array.flags.c_contiguous and array.flags.aligned:
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
        return NativeExecutable(build(optimize(graph, stable), stable))

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
        key = (primitive.name, tuple(aval_of(a) for a in inputs), tuple(sorted(params.items())))
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
    values = [builder.input(a.shape, str(a.dtype)) for a in inputs]
    avals, _ = primitive.avals(values, params)
    outputs = builder.add(primitive.name, values, params, avals)
    return verify(builder.graph(outputs), infer_node)
