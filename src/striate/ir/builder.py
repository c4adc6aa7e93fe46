"""Building a graph node by node. A stack of builders per thread says where new nodes go."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from striate.ir.graph import Aval, Graph, Node, Segment, Value


class Builder:
    """Collects nodes. Values of another builder that a node uses are captured: they become inputs of the graph.

    Args:
        value_type: the class of new values; tracing passes one that has operators.
    """

    def __init__(self, value_type: type[Value] = Value, parent: Builder | None = None) -> None:
        self.value_type, self.parent = value_type, parent
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.captured: dict[int, tuple[Value, Value]] = {}
        self.segment: Segment | None = None  # that new nodes belong to

    def value(self, aval: Aval, node: Node | None = None, index: int = 0, data: np.ndarray | None = None) -> Value:
        made = self.value_type(aval, node, index, data)
        made.owner = self
        return made

    def input(self, shape: Sequence[int], dtype: str) -> Value:
        made = self.value(Aval(tuple(shape), dtype))
        self.inputs.append(made)
        return made

    def constant(self, array: np.ndarray) -> Value:
        return self.value(Aval(array.shape, str(array.dtype)), data=array)

    def own(self, value: Value) -> Value:
        """`value` itself, or for a value of an enclosing builder the input that stands for it here."""
        if value.owner is self or value.is_constant or value.owner is None:
            return value
        if not self._encloses(value.owner):
            raise RuntimeError(_ESCAPED)
        if id(value) not in self.captured:
            self.captured[id(value)] = (value, self.value(value.aval))
        return self.captured[id(value)][1]

    def _encloses(self, owner: Any) -> bool:
        builder = self.parent
        while builder is not None and builder is not owner:
            builder = builder.parent
        return builder is owner

    def add(self, op: str, inputs: Sequence[Value], params: dict[str, Any], avals: Sequence[Aval]) -> tuple[Value, ...]:
        node = Node(op, [v if v.owner is self or v.data is not None else self.own(v) for v in inputs], params)
        node.outputs = tuple(self.value(aval, node, i) for i, aval in enumerate(avals))
        node.segment = self.segment
        self.nodes.append(node)
        return node.outputs

    def graph(self, outputs: Sequence[Value], extra_inputs: Sequence[Value] = ()) -> Graph:
        """The graph of `outputs`: its inputs are the declared ones, then the captured ones, then `extra_inputs`."""
        outputs = [self.own(v) for v in outputs]
        inputs = [*self.inputs, *(inner for _, inner in self.captured.values()), *extra_inputs]
        return Graph(inputs, _needed(self.nodes, outputs), outputs)


def _needed(nodes: Sequence[Node], outputs: Sequence[Value]) -> list[Node]:
    """Those of `nodes`, in their order, that `outputs` depend on."""
    wanted = {id(v.node) for v in outputs}
    kept = []
    for node in reversed(nodes):
        if id(node) in wanted:
            kept.append(node)
            wanted.update(id(v.node) for v in node.inputs)
    kept.reverse()
    return kept


_ESCAPED = (
    "a symbolic tensor was used after the function that it was traced in had ended. Return it from that function, "
    "or keep it in a Variable with `assign`, instead of storing it on an object."
)
_STATE = threading.local()


def current() -> Builder | None:
    """The builder that new nodes of this thread go to, or None outside tracing."""
    stack = getattr(_STATE, "stack", None)
    return stack[-1] if stack else None


@contextmanager
def building(builder: Builder) -> Iterator[Builder]:
    """New nodes of this thread go to `builder` inside this context."""
    if not hasattr(_STATE, "stack"):
        _STATE.stack = []
    _STATE.stack.append(builder)
    try:
        yield builder
    finally:
        _STATE.stack.pop()


@contextmanager
def paused() -> Iterator[None]:
    """Arrays are computed at once inside this context, also in the middle of tracing (initial values of variables)."""
    saved = getattr(_STATE, "stack", [])
    _STATE.stack = []
    try:
        yield
    finally:
        _STATE.stack = saved
