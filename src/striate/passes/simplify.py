"""Local simplifications: reshapes and transposes that undo each other, no-ops, and adding nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from striate.ir import Graph, Node, Value
from striate.passes.rewrite import rewrite
from striate.primitives import get
from striate.primitives.structural import broadcast_to, reshape, transpose

Rule = Callable[[Node, Sequence[Value]], Value | None]


def simplify(graph: Graph) -> Graph:
    """Applies the rules of this file from the inputs to the outputs, once."""
    return rewrite(graph, _apply)


def _apply(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
    rule = _RULES.get(node.op)
    result = rule(node, inputs) if rule else None
    if result is None and any(_is_broadcast(v) for v in inputs):
        result = _before_broadcast(node, inputs)
    return None if result is None else [result]


def _is_broadcast(value: Value) -> bool:
    return value.node is not None and value.node.op == "broadcast_to"


def _before_broadcast(node: Node, inputs: Sequence[Value]) -> Value | None:
    """An elementwise op repeats its inputs by itself: it takes them as they were, and its result is repeated if needed.

    What is never written out need not be read back; gradients of means and of batch statistics are full of it.
    """
    primitive = get(node.op)
    if not primitive.elementwise:
        return None
    sources = [v.node.inputs[0] if v.node is not None and _is_broadcast(v) else v for v in inputs]
    made = primitive(*sources, **node.params)
    wanted = node.outputs[0].shape
    return made if made.shape == wanted else broadcast_to(made, shape=wanted)


def _reshape(node: Node, inputs: Sequence[Value]) -> Value | None:
    (x,) = inputs
    if x.shape == tuple(node.params["shape"]):
        return x
    if x.node is not None and x.node.op == "reshape":
        source = x.node.inputs[0]
        return source if source.shape == tuple(node.params["shape"]) else reshape(source, shape=node.params["shape"])
    return None


def _transpose(node: Node, inputs: Sequence[Value]) -> Value | None:
    (x,), axes = inputs, node.params["axes"]
    if tuple(axes) == tuple(range(len(axes))):
        return x
    if x.node is not None and x.node.op == "transpose":
        both = tuple(x.node.params["axes"][a] for a in axes)
        source = x.node.inputs[0]
        return source if both == tuple(range(len(both))) else transpose(source, axes=both)
    if _moves_ones_only(x.shape, axes):
        return reshape(x, shape=tuple(x.shape[a] for a in axes))
    return None


def _moves_ones_only(shape: Sequence[int], axes: Sequence[int]) -> bool:
    long_axes = [a for a in axes if shape[a] != 1]
    return long_axes == sorted(long_axes)


def _same(node: Node, inputs: Sequence[Value]) -> Value | None:
    return inputs[0]


def _cast(node: Node, inputs: Sequence[Value]) -> Value | None:
    return inputs[0] if inputs[0].dtype == node.params["dtype"] else None


def _broadcast(node: Node, inputs: Sequence[Value]) -> Value | None:
    return inputs[0] if inputs[0].shape == tuple(node.params["shape"]) else None


def _neutral(number: float, sides: tuple[int, ...]) -> Rule:
    def rule(node: Node, inputs: Sequence[Value]) -> Value | None:
        for side in sides:
            if _is_scalar(inputs[side], number) and inputs[1 - side].shape == node.outputs[0].shape:
                return inputs[1 - side]
        return None

    return rule


def _is_scalar(value: Value, number: float) -> bool:
    return value.data is not None and value.size == 1 and bool(np.all(value.data == number))


def _concatenate(node: Node, inputs: Sequence[Value]) -> Value | None:
    return inputs[0] if len(inputs) == 1 else None


# x + 0 turns -0.0 into 0.0; nothing that a user could see depends on the difference.
_RULES: dict[str, Rule] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "stop_gradient": _same,
    "cast": _cast,
    "broadcast_to": _broadcast,
    "concatenate": _concatenate,
    "add": _neutral(0.0, (0, 1)),
    "sub": _neutral(0.0, (1,)),
    "mul": _neutral(1.0, (0, 1)),
    "div": _neutral(1.0, (1,)),
}
