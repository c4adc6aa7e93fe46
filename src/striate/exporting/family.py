"""One program, traced for several sizes of its unknown axes, as one list of steps.

ONNX files hold formulas for any batch and often for any height and width, while striate traces sizes that are known.
So the program is traced with several fillings of what is unknown. Where all traces agree a number is what it is; where
they differ it follows from the unknown sizes, and the rules that write the file say how (`Varying`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core.errors import message
from striate.ir import Graph, Node, Value

FIX = "Export it with known sizes: `export(path, input_signature=[InputSpec(shape=(1, 224, 224, 3))])`, say"


@dataclass(frozen=True)
class Varying:
    """A number that follows from unknown sizes: one for each filling."""

    values: tuple[Any, ...]


class OpenSizeError(ValueError):
    """Something in the program follows from a size that is unknown, in a way that ONNX cannot say."""


@dataclass(eq=False)
class Val:
    """A value of all traces: `shape` holds ints and `Varying`, `data` is set for a constant that all traces share."""

    shape: tuple[Any, ...]
    dtype: str
    data: np.ndarray | None = None
    variants: tuple[np.ndarray, ...] = ()  # of a constant that differs from trace to trace
    name: str = ""  # of the variable that it is

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_constant(self) -> bool:
        return self.data is not None


@dataclass(eq=False)
class Step:
    """A node of all traces, with `Varying` in the parameters that differ."""

    op: str
    inputs: list[Val]
    params: dict[str, Any]
    outputs: list[Val]
    where: str


@dataclass(eq=False)
class Family:
    """The graphs of all traces as one."""

    inputs: list[Val]
    steps: list[Step]
    outputs: list[Val]


def merged(values: Sequence[Any]) -> Any:
    """One value for those of all traces: itself where they agree, else a `Varying`, deep inside tuples."""
    first = values[0]
    if isinstance(first, Graph):
        return family(values)
    if all(type(v) is type(first) and v == first for v in values):
        return first
    if all(isinstance(v, tuple) and len(v) == len(first) for v in values):
        return tuple(merged(parts) for parts in zip(*values, strict=True))
    return Varying(tuple(values))


def known(value: Any, step: Step, what: str) -> Any:
    """`value`, in which nothing may vary."""
    if any(True for _ in _varying(value)):
        problem = f"{what} of '{step.op}' follows from a size that is unknown, which ONNX's operator cannot take"
        raise OpenSizeError(message(step.where, problem, FIX))
    return value


def _varying(value: Any) -> Iterator[Varying]:
    if isinstance(value, Varying):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _varying(part)


def is_known(value: Any) -> bool:
    """Whether nothing in `value` varies."""
    return not any(True for _ in _varying(value))


def of_trace(value: Any, index: int) -> Any:
    """`value` in trace number `index`."""
    if isinstance(value, tuple):
        return tuple(of_trace(part, index) for part in value)
    return value.values[index] if isinstance(value, Varying) else value


def count_of(values: Sequence[Any]) -> int:
    """How many traces the `Varying` among `values` come from; 1 if there are none."""
    return next((len(v.values) for v in _varying(list(values))), 1)


def family(graphs: Sequence[Graph], names: Sequence[str] = ()) -> Family:
    """The graphs of all traces as one; OpenSizeError where they are not the same but for sizes."""
    return _Union(graphs, names).made()


class _Union:
    def __init__(self, graphs: Sequence[Graph], names: Sequence[str]) -> None:
        self.graphs, self.names = graphs, names
        self.table: dict[int, Val] = {}  # by the ids of the first trace's values
        self.numbers: list[dict[int, int]] = [{} for _ in graphs]

    def made(self) -> Family:
        inputs = [self._new(vs) for vs in zip(*(g.inputs for g in self.graphs), strict=True)]
        if len({len(g.nodes) for g in self.graphs}) > 1:
            raise OpenSizeError(message("export", "the program has other steps for other sizes", FIX))
        steps = [self._step(nodes) for nodes in zip(*(g.nodes for g in self.graphs), strict=True)]
        outputs = [self._old(vs) for vs in zip(*(g.outputs for g in self.graphs), strict=True)]
        return Family(inputs, steps, outputs)

    def _step(self, nodes: Sequence[Node]) -> Step:
        first = nodes[0]
        same = all(n.op == first.op and len(n.inputs) == len(first.inputs) for n in nodes)
        if not same or any(n.params.keys() != first.params.keys() for n in nodes):
            raise OpenSizeError(message(first.where, "the program has other steps for other sizes", FIX))
        inputs = [self._old(vs) for vs in zip(*(n.inputs for n in nodes), strict=True)]
        params = {k: merged([n.params[k] for n in nodes]) for k in first.params}
        outputs = [self._new(vs) for vs in zip(*(n.outputs for n in nodes), strict=True)]
        return Step(first.op, inputs, params, outputs, first.where)

    def _new(self, values: Sequence[Value]) -> Val:
        made = Val(merged([v.shape for v in values]), values[0].dtype)
        for value, numbers in zip(values, self.numbers, strict=True):
            numbers[id(value)] = len(self.table)
        self.table[id(values[0])] = made
        return made

    def _old(self, values: Sequence[Value]) -> Val:
        if all(v.is_constant for v in values):
            return self._constant(values)
        found = {numbers.get(id(v)) for v, numbers in zip(values, self.numbers, strict=True)}
        if len(found) > 1 or None in found:
            raise OpenSizeError(message("export", "the program is wired otherwise for other sizes", FIX))
        return self.table[id(values[0])]

    def _constant(self, values: Sequence[Value]) -> Val:
        if id(values[0]) not in self.table:
            arrays = [np.asarray(v.data) for v in values]
            alike = all(a is arrays[0] or _equal(a, arrays[0]) for a in arrays)
            made = Val(merged([v.shape for v in values]), values[0].dtype, arrays[0] if alike else None)
            made.variants = () if alike else tuple(arrays)
            self.table[id(values[0])] = made
        return self.table[id(values[0])]


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.all((a == b) | ((a != a) & (b != b))))
