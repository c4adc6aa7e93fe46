"""The backward side of maximum pooling without the tensor that was pooled: positions, one byte each, stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate.ir import Graph, Node, Value
from striate.passes.rewrite import rewrite
from striate.primitives.activations import relu_grad
from striate.primitives.pool import max_pool, max_pool_grad, max_pool_positions, unpool
from striate.primitives.reduce import reduce_sum


def shrink_pooling(graph: Graph) -> Graph:
    """Rewrites the gradients of pooling whose windows lie side by side inside the input."""
    if not any(node.op in ("max_pool_grad", "unpool") for node in graph.nodes):
        return graph
    return rewrite(rewrite(graph, _rectify_before), _from_positions)


def _lies_side_by_side(x: Value, params: dict[str, Any]) -> bool:
    plain = tuple(params["window"]) == tuple(params["strides"]) and all(d == 1 for d in params["dilation"])
    cells = 1
    for size in params["window"]:
        cells *= size
    return plain and cells <= 255 and all(p == (0, 0) for p in map(tuple, params["padding"])) and x.dtype == "float32"


def _rectify_before(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
    """A rectifier's mask on an unpooled gradient is one on the pooled gradient: a maximum is its cell."""
    if node.op != "relu_grad" or (inner := inputs[1].node) is None or inner.op != "max_pool_grad":
        return None
    x, g = inner.inputs
    if x is not inputs[0] or not _lies_side_by_side(x, inner.params):
        return None
    return [max_pool_grad(x, relu_grad(max_pool(x, **inner.params), g), **inner.params)]


def _from_positions(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
    if node.op == "max_pool_grad" and _lies_side_by_side(inputs[0], node.params):
        x, g = inputs
        return [unpool(max_pool_positions(x, **node.params), g, input_shape=x.shape, **node.params)]
    if node.op == "reduce_sum" and (inner := inputs[0].node) is not None and inner.op == "unpool":
        spatial = set(range(1, len(inputs[0].shape) - 1))
        if spatial <= set(node.params["axes"]):  # each value stands once in the unpooled tensor
            return [reduce_sum(inner.inputs[1], **node.params)]
    return None
