"""Common subexpressions: equal ops on equal inputs are computed once."""

from __future__ import annotations

from typing import Any

from striate.ir import Builder, Graph, Node, Value, at
from striate.passes.rewrite import mapped


def merge_common(graph: Graph) -> Graph:
    """Lets nodes with one op, one set of parameters and the same inputs share their result."""
    builder = Builder()
    table: dict[int, Value] = {id(v): builder.input(v.shape, v.dtype) for v in graph.inputs}
    seen: dict[Any, tuple[Value, ...]] = {}
    for node in graph.nodes:
        inputs = [mapped(table, v) for v in node.inputs]
        key = _key(node, inputs)
        outputs = seen.get(key) if key is not None else None
        if outputs is None:
            with at(node.where):
                outputs = builder.add(node.op, inputs, node.params, [v.aval for v in node.outputs])
            seen[key if key is not None else id(node)] = outputs
        table.update((id(old), new) for old, new in zip(node.outputs, outputs, strict=True))
    return builder.graph([mapped(table, v) for v in graph.outputs])


def _key(node: Node, inputs: list[Value]) -> Any:
    key = (node.op, tuple(_input_key(v) for v in inputs), tuple(sorted(node.params.items())))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _input_key(value: Value) -> Any:
    if value.data is not None and value.size == 1:
        return (value.dtype, value.shape, value.data.tobytes())
    return id(value)
