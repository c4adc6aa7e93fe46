"""Computes every float of a graph in float64: the oracle's arithmetic."""

from __future__ import annotations

from typing import Any

from striate.ir import Aval, Builder, Graph, Node, Value, toposort
from striate.primitives import get

_WIDE = {"float16": "float64", "float32": "float64", "bfloat16": "float64"}


def in_float64(graph: Graph) -> Graph:
    """The same graph with each float16, bfloat16 and float32 replaced by float64 (in parameters and subgraphs too)."""
    builder = Builder()
    table = {id(v): builder.input(v.shape, _wide(v.dtype)) for v in graph.inputs}
    for node in graph.nodes:
        inputs = [_constant(builder, v) if v.is_constant else table[id(v)] for v in node.inputs]
        table.update((id(a), b) for a, b in zip(node.outputs, _node(builder, node, inputs), strict=True))
    outputs = [_constant(builder, v) if v.is_constant else table[id(v)] for v in graph.outputs]
    return Graph(builder.inputs, toposort(outputs, builder.inputs), outputs)


def _wide(dtype: str) -> str:
    return _WIDE.get(dtype, dtype)


def _constant(builder: Builder, value: Value) -> Value:
    return builder.constant(value.data.astype(_wide(value.dtype)))  # type: ignore[union-attr]


def _node(builder: Builder, node: Node, inputs: list[Value]) -> tuple[Value, ...]:
    params = {k: _param(k, v) for k, v in node.params.items()}
    avals, _ = get(node.op).avals(inputs, params)
    return builder.add(node.op, inputs, params, [Aval(a.shape, a.dtype) for a in avals])


def _param(name: str, value: Any) -> Any:
    if isinstance(value, Graph):
        return in_float64(value)
    return _wide(value) if name == "dtype" else value
