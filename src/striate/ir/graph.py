"""Values, nodes and graphs. A graph is a list of nodes in execution order over values with known shapes and dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from striate.ir.where import here


class Aval(NamedTuple):
    """What is known of a value before it is computed: its shape (all sizes known) and the name of its dtype."""

    shape: tuple[int, ...]
    dtype: str


class Value:
    """One array in a graph: an input, a constant (`data` is set) or an output of `node`."""

    __slots__ = ("data", "dtype", "index", "node", "owner", "shape")

    def __init__(self, aval: Aval, node: Node | None = None, index: int = 0, data: np.ndarray | None = None) -> None:
        self.shape, self.dtype = tuple(aval.shape), aval.dtype
        self.node, self.index, self.data = node, index, data
        self.owner: Any = None

    @property
    def aval(self) -> Aval:
        return Aval(self.shape, self.dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def is_constant(self) -> bool:
        return self.data is not None


class Node:
    """One application of a primitive, by name.

    `where`: the layers that it comes from (see `ir.where`); `segment`: the part of a program that it belongs to.
    """

    __slots__ = ("inputs", "op", "outputs", "params", "segment", "where")

    def __init__(
        self, op: str, inputs: Sequence[Value], params: Mapping[str, Any], outputs: Sequence[Value] = ()
    ) -> None:
        self.op, self.inputs, self.params = op, tuple(inputs), dict(params)
        self.outputs = tuple(outputs)
        self.where = here()
        self.segment: Segment | None = None


class Segment:
    """A part of a program whose values are computed again for the backward side, unless it is `dissolved`."""

    __slots__ = ("dissolved",)

    def __init__(self) -> None:
        self.dissolved = False


class Graph:
    """A function of `inputs` that gives `outputs`; `nodes` stand in execution order."""

    __slots__ = ("inputs", "nodes", "outputs")

    def __init__(self, inputs: Sequence[Value], nodes: Sequence[Node], outputs: Sequence[Value]) -> None:
        self.inputs, self.nodes, self.outputs = tuple(inputs), tuple(nodes), tuple(outputs)

    def __str__(self) -> str:
        from_names = _names(self)
        lines = [f"graph({', '.join(_typed(v, from_names) for v in self.inputs)}):"]
        lines += [f"  {_line(node, from_names)}" for node in self.nodes]
        return "\n".join([*lines, f"  return {', '.join(from_names(v) for v in self.outputs)}"])


def toposort(outputs: Iterable[Value], inputs: Iterable[Value] = ()) -> list[Node]:
    """The nodes that `outputs` need, in an order that respects their inputs; stops at `inputs`."""
    stops = {id(v) for v in inputs}
    order: list[Node] = []
    state: dict[int, int] = {}
    stack = [v.node for v in outputs if v.node is not None and id(v) not in stops]
    stack.reverse()
    while stack:
        node = stack[-1]
        if state.get(id(node)) == 2:
            stack.pop()
        elif state.get(id(node)) == 1:
            state[id(node)] = 2
            order.append(stack.pop())
        else:
            state[id(node)] = 1
            needed = [v.node for v in node.inputs if v.node is not None and id(v) not in stops]
            stack.extend(n for n in reversed(needed) if id(n) not in state)
    return order


def _names(graph: Graph) -> Any:
    table: dict[int, str] = {}

    def name(value: Value) -> str:
        if value.is_constant and value.size <= 1:
            return repr(np.asarray(value.data).item()) if value.size else "[]"
        return table.setdefault(id(value), f"{'c' if value.is_constant else '%'}{len(table)}")

    return name


def _typed(value: Value, name: Any) -> str:
    return f"{name(value)}: {value.dtype}{list(value.shape)}"


def _line(node: Node, name: Any) -> str:
    params = ", ".join(f"{k}={_short(v)}" for k, v in node.params.items())
    outs = ", ".join(_typed(v, name) for v in node.outputs)
    return f"{outs} = {node.op}({', '.join(name(v) for v in node.inputs)}{'; ' + params if params else ''})"


def _short(value: Any) -> str:
    return "graph" if isinstance(value, Graph) else repr(value)
