"""A plan in the making: variables without memory yet, and the steps that compute them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.ir import Aval, Graph, Node, Value
from striate.plan.plan import Origin


@dataclass(eq=False)
class Var:
    """An array of the plan. A view shares the memory of `base`. One that is `pooled` or `turned` is computed if a step
    needs it."""

    shape: tuple[int, ...]
    dtype: str
    stable: bool
    base: Var | None = None
    input: int | None = None
    data: np.ndarray | None = None
    pooled: Pooled | None = None
    turned: Turned | None = None

    @property
    def root(self) -> Var:
        return self if self.base is None else self.base.root


@dataclass(frozen=True, eq=False)
class Pooled:
    """A gradient as it stands before it is spread to the positions of the maxima; `ints`: those of the pooling."""

    positions: Var
    values: Var
    ints: tuple[int, ...]
    two_by_two: bool


@dataclass(frozen=True, eq=False)
class Turned:
    """A matrix as it stands before it is transposed; `ints`: the axes."""

    matrix: Var
    ints: tuple[int, ...]


@dataclass(eq=False)
class DraftStep:
    """A step over variables."""

    inputs: tuple[Var, ...]
    outputs: tuple[Var, ...]
    kernel: str | None = None
    ints: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    primitive: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def stable(self) -> bool:
        """Whether the step belongs to what is computed once per version of the weights."""
        return all(v.root.stable for v in self.outputs)


class Draft:
    """Collects steps; lowering rules call `step` and `view`."""

    def __init__(self, graph: Graph, stable_inputs: frozenset[int]) -> None:
        self.steps: list[DraftStep] = []
        self.origin: Origin | None = None  # of the steps that come next
        self._vars: dict[int, Var] = {}
        self._spread: dict[int, Var] = {}
        for i, value in enumerate(graph.inputs):
            self._vars[id(value)] = Var(value.shape, value.dtype, i in stable_inputs, input=i)

    def var(self, value: Value) -> Var:
        """The variable of a graph's value; constants get theirs when they are first asked for."""
        if id(value) not in self._vars:
            data = np.ascontiguousarray(value.data)
            self._vars[id(value)] = Var(value.shape, value.dtype, True, data=data)
        return self._vars[id(value)]

    def bind(self, values: Sequence[Value], variables: Sequence[Var]) -> None:
        """Says which variables hold a node's outputs."""
        self._vars.update((id(v), var) for v, var in zip(values, variables, strict=True))

    def is_stable(self, var: Var) -> bool:
        """Whether `var` depends on weights and constants alone."""
        return var.root.stable

    def solid(self, var: Var) -> Var:
        """`var` as memory: what is kept in its pooled form is spread out, once, and what is turned is transposed."""
        p, t = var.pooled, var.turned
        if id(var) not in self._spread and p is not None:
            self._spread[id(var)] = self.step("unpool", [p.positions, p.values], (var.shape, var.dtype), p.ints, ())
        if id(var) not in self._spread and t is not None:
            self._spread[id(var)] = self.step("transpose", [t.matrix], (var.shape, var.dtype), t.ints, ())
        return self._spread.get(id(var), var)

    def view(self, var: Var, shape: Sequence[int]) -> Var:
        """`var` under another shape."""
        return Var(tuple(shape), var.dtype, var.stable, base=var.root)

    def step(
        self, kernel: str | None, inputs: Sequence[Var], aval: Aval | tuple[Any, str], ints: Sequence[int],
        floats: Sequence[float],
    ) -> Var:  # fmt: skip
        """Adds a run of `kernel` and returns its result."""
        return self.steps_of(kernel, inputs, [aval], ints, floats)[0]

    def steps_of(
        self,
        kernel: str | None,
        inputs: Sequence[Var],
        avals: Sequence[Any],
        ints: Sequence[int],
        floats: Sequence[float],
    ) -> list[Var]:
        """Adds a run of a kernel with several results."""
        outputs = self._results(inputs, avals)
        step = DraftStep(tuple(inputs), tuple(outputs), kernel, tuple(int(i) for i in ints), tuple(map(float, floats)))
        step.origin = self.origin
        self.steps.append(step)
        return outputs

    def numpy_step(self, node: Node, inputs: Sequence[Var]) -> list[Var]:
        """Adds a NumPy step for an op without a kernel."""
        outputs = self._results(inputs, [v.aval for v in node.outputs])
        step = DraftStep(tuple(inputs), tuple(outputs), primitive=node.op, params=node.params, origin=self.origin)
        self.steps.append(step)
        return outputs

    def _results(self, inputs: Sequence[Var], avals: Sequence[Any]) -> list[Var]:
        stable = bool(inputs) and all(v.root.stable for v in inputs)
        return [Var(tuple(shape), dtype, stable) for shape, dtype in avals]
