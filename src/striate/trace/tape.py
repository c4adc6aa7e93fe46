"""A tape: a tracer that computes as it records, so that the code it watches may print, branch and use NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.ir import Aval, Builder, Value
from striate.primitives.base import get
from striate.primitives.interpret import results_of
from striate.trace.tracing import TracedTensor, Tracer


class RecordedTensor(TracedTensor):
    """A tensor whose value is known and whose making was recorded."""

    __slots__ = ("array",)

    def __init__(self, aval: Aval, node: Any = None, index: int = 0, data: np.ndarray | None = None) -> None:
        super().__init__(aval, node, index, data)
        self.array: Any = data

    def numpy(self) -> np.ndarray:
        """The value."""
        return self.array

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        return self.array.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype) if copy else np.asarray(self.array, dtype)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __index__(self) -> int:
        return self.array.__index__()

    def __repr__(self) -> str:
        return f"<RecordedTensor shape={self.shape}, dtype={self.dtype}, value={self.array}>"

    def __format__(self, spec: str) -> str:
        return format(self.array[()] if self.ndim == 0 else self.array, spec)


class Tape(Tracer):
    """Computes each op at once on the current engine and records it for differentiation."""

    def __init__(self) -> None:
        Builder.__init__(self, RecordedTensor)
        self.reads: dict[int, tuple[Any, Value]] = {}
        self.assigned: dict[int, tuple[Any, Value]] = {}

    def add(self, op: str, inputs: Sequence[Value], params: dict[str, Any], avals: Sequence[Aval]) -> tuple[Value, ...]:
        outputs = super().add(op, inputs, params, avals)
        arrays = [v.array if isinstance(v, RecordedTensor) else v.data for v in inputs]
        for made, result in zip(outputs, results_of(get(op)(*arrays, **params)), strict=True):
            made.array = result  # type: ignore[attr-defined]
        return outputs

    def hold(self, array: np.ndarray) -> Value:
        """`array` as a value to differentiate by."""
        made = self.input(array.shape, str(array.dtype))
        made.array = array  # type: ignore[attr-defined]
        return made

    def read(self, variable: Any) -> Value:
        known = id(variable) in self.reads
        value = super().read(variable)
        if not known and id(variable) not in self.assigned:
            value.array = variable.array  # type: ignore[attr-defined]
        return value

    def commit(self) -> None:
        """Stores what was assigned to variables meanwhile."""
        for variable, value in self.assigned.values():
            variable.commit(np.array(value.array))  # type: ignore[attr-defined]


def concrete(x: Any) -> Any:
    """What code behind the tape gets: the array of a recorded tensor, anything else as it is."""
    return x.array if isinstance(x, RecordedTensor) else x
