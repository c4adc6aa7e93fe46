"""Reverse mode: walk the nodes backwards, ask each primitive for its rule, add up what meets (Rumelhart et al.
1986).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from striate.autodiff.again import Again
from striate.core import dtypes
from striate.ir import Builder, Graph, Node, Value, at, building, toposort
from striate.ir.where import GRADIENT, noted
from striate.primitives import get
from striate.primitives.base import Array, Vjp
from striate.primitives.control import DIFFERENTIATE
from striate.primitives.elementwise import add
from striate.primitives.interpret import apply_graph


class NotDifferentiableError(ValueError):
    """A gradient was asked for through an op that has none."""


def gradients(
    outputs: Sequence[Value],
    cotangents: Sequence[Array],
    wrt: Sequence[Value],
    rules: Mapping[str, Vjp] | None = None,
) -> list[Array]:
    """The gradients of `sum(outputs * cotangents)` with respect to `wrt`, as values of the current builder.

    Args:
        outputs: values of the current builder; those of integer or bool dtype have no gradient.
        cotangents: one per output, of its shape and dtype.
        wrt: the values to differentiate by; one that the outputs don't depend on gets zeros.
        rules: by the names of ops, other rules than the primitives' own.

    Raises:
        NotDifferentiableError: a path from `wrt` to `outputs` passes an op without a gradient.
    """
    nodes = toposort(outputs, wrt)
    active, again = _active(nodes, wrt), Again(nodes, outputs)
    sums: dict[int, Array] = {}
    for value, g in zip(outputs, cotangents, strict=True):
        _accumulate(sums, active, value, g)
    for node in reversed(nodes):
        with at(noted(node.where, GRADIENT)):
            _backward(node, sums, active, rules or {}, again)
    return [sums.get(id(v), _zeros(v)) for v in wrt]


def vjp(graph: Graph, wrt: Sequence[int]) -> Graph:
    """The graph (inputs, one cotangent per output) -> gradients by the inputs whose positions `wrt` names."""
    builder = Builder()
    inputs = [builder.input(v.shape, v.dtype) for v in graph.inputs]
    cotangents = [builder.input(v.shape, v.dtype) for v in graph.outputs]
    with building(builder):
        outputs = [_value(builder, r) for r in apply_graph(graph, inputs)]
        results = gradients(outputs, cotangents, [inputs[i] for i in wrt])
        return builder.graph([_value(builder, r) for r in results])


def _value(builder: Builder, array: Array) -> Value:
    return array if isinstance(array, Value) else builder.constant(array)


def _zeros(value: Value) -> np.ndarray:
    return np.broadcast_to(np.zeros((), value.dtype), value.shape)


def _active(nodes: Sequence[Node], wrt: Sequence[Value]) -> set[int]:
    """The values that depend on `wrt` and can carry a gradient."""
    active = {id(v) for v in wrt}
    for node in nodes:
        if any(id(v) in active for v in node.inputs):
            active.update(id(v) for v in node.outputs if dtypes.is_floating(v.dtype))
    return active


def _accumulate(sums: dict[int, Array], active: set[int], value: Value, g: Array | None) -> None:
    if g is not None and id(value) in active:
        sums[id(value)] = add(sums[id(value)], g) if id(value) in sums else g


def _backward(node: Node, sums: dict[int, Array], active: set[int], rules: Mapping[str, Vjp], again: Again) -> None:
    if not any(id(v) in sums for v in node.outputs) or not any(id(v) in active for v in node.inputs):
        return
    rule = rules.get(node.op, get(node.op).vjp)
    if rule is None:
        raise NotDifferentiableError(f"'{node.op}' has no gradient. Put stop_gradient before it, or use another op.")
    gs = tuple(sums.get(id(v), _zeros(v)) for v in node.outputs)
    single = get(node.op).avals(node.inputs, node.params)[1]
    inputs, outputs = again.values(node)
    results = rule(gs[0] if single else gs, outputs[0] if single else tuple(outputs), *inputs, **node.params)
    for value, g in zip(node.inputs, results, strict=True):
        _accumulate(sums, active, value, g)


DIFFERENTIATE.vjp = vjp
