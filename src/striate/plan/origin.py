"""What a step is for: the layers that its node comes from, and what it has to multiply and add."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from striate.ir import Graph, Node
from striate.plan.lowering import conv_spec
from striate.plan.plan import Origin


def origin_of(node: Node) -> Origin:
    """The origin of a node, through fusion."""
    parts = list(_parts(node))
    where = dict.fromkeys(n.where for n in (node, *parts) if n.where)
    return Origin(parts[0].op, tuple(where), sum(map(_flops, parts)))


def _parts(node: Node) -> Iterator[Node]:
    graph = node.params.get("graph") if node.op == "fused" else None
    if not isinstance(graph, Graph):
        yield node
        return
    for part in graph.nodes:
        yield from _parts(part)


def _flops(node: Node) -> int:
    if node.op in ("conv", "conv_input_grad", "conv_kernel_grad"):
        spec = conv_spec(node)
        return 2 * prod(spec.out_shape) * spec.taps * spec.w_shape[-2]
    return 2 * node.outputs[0].size * node.inputs[0].shape[-1] if node.op == "matmul" else 0
