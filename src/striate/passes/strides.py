"""What is read with strides is computed with strides: pixels that nobody reads cost as much as others.

A residual network that halves its images by 1x1 convolutions with a stride of 2 reads a quarter of the block before
them: its last two convolutions, its sum and its rectifier are computed there only. Where such a stride meets a
value that others need whole (the other side of the sum), the pixels are copied out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from striate.ir import Graph, Node, Value
from striate.passes.rewrite import rewrite
from striate.primitives import get
from striate.primitives.structural import slice_

Steps = tuple[int, ...]  # along the spatial axes, the first of which is axis 1


def thin(graph: Graph) -> Graph:
    """Moves strides up the graph as far as convolutions get smaller by it."""
    asked = _asked(graph)
    if all(set(steps) <= {1} for steps in asked.values()):
        return graph
    kept = _kept(graph, asked)
    return rewrite(graph, lambda node, inputs: _rule(node, inputs, kept)) if kept else graph


def _spatial(value: Value) -> tuple[int, ...]:
    return value.shape[1:-1]


def _all(value: Value) -> Steps:
    return (1,) * len(_spatial(value))


def _asked(graph: Graph) -> dict[int, Steps]:
    """Of which pixels each value is needed: every so many along each axis, from the first one on."""
    asked = {id(v): _all(v) for v in graph.outputs}
    for node in reversed(graph.nodes):
        own = asked.get(id(node.outputs[0]), _all(node.outputs[0])) if len(node.outputs) == 1 else ()
        for i, value in enumerate(node.inputs):
            steps = _steps_of(node, i, own)
            before = asked.get(id(value), steps)
            asked[id(value)] = tuple(map(gcd, before, steps))
    return asked


def _steps_of(node: Node, i: int, own: Steps) -> Steps:
    """What `node` needs of its input number `i` if every `own` pixel of its result is needed."""
    value = node.inputs[i]
    if i == 0 and (strides := _strides(node)) is not None:
        return tuple(t * s for t, s in zip(strides, own, strict=True))
    return own if _is_map(node) and _is_whole(node, value) else _all(value)


def _strides(node: Node) -> Steps | None:
    """With which strides `node` reads single pixels, None where it reads anything else."""
    p = node.params
    if node.op == "conv":
        return tuple(p["strides"]) if set(node.inputs[1].shape[:-2]) == {1} and _is_unpadded(node) else None
    if node.op in ("max_pool", "avg_pool"):
        return tuple(p["strides"]) if set(p["window"]) == {1} and _is_unpadded(node) else None
    if node.op != "slice" or len(node.inputs[0].shape) < 3:
        return None
    whole = not any(p["starts"]) and tuple(p["stops"]) == node.inputs[0].shape
    return tuple(p["steps"][1:-1]) if whole and p["steps"][0] == p["steps"][-1] == 1 else None


def _is_unpadded(node: Node) -> bool:
    return all(tuple(pair) == (0, 0) for pair in node.params["padding"])


def _is_map(node: Node) -> bool:
    """Whether each pixel of the result follows from the same pixel of what is as large, and from single values."""
    out = node.outputs[0]
    if len(node.outputs) != 1 or len(out.shape) < 3 or not get(node.op).elementwise:
        return False
    return all(_is_whole(node, v) or _is_repeated(node, v) for v in node.inputs)


def _is_repeated(node: Node, value: Value) -> bool:
    missing = len(node.outputs[0].shape) - len(value.shape)
    return set(((1,) * missing + value.shape)[1:-1]) <= {1}


def _is_whole(node: Node, value: Value) -> bool:
    return len(value.shape) == len(node.outputs[0].shape) and _spatial(value) == _spatial(node.outputs[0])


def _kept(graph: Graph, asked: dict[int, Steps]) -> dict[int, Steps]:
    """The values that lose pixels, and which stay: results of convolutions, of what reads single pixels, and of what is
    computed from such."""
    kept: dict[int, Steps] = {}
    for node in graph.nodes:
        steps = asked.get(id(node.outputs[0]), ())
        if len(node.outputs) == 1 and prod(steps) > 1:
            thinned = any(_is_whole(node, v) and id(v) in kept for v in node.inputs)
            if node.op == "conv" or _strides(node) is not None or (_is_map(node) and thinned):
                kept[id(node.outputs[0])] = steps
    return kept


def _rule(node: Node, inputs: Sequence[Value], kept: dict[int, Steps]) -> Sequence[Value] | None:
    own = kept.get(id(node.outputs[0]))
    strides = _strides(node)
    if node.op == "conv" or strides is not None:
        there = kept.get(id(node.inputs[0]), _all(node.inputs[0]))
        return _strided(node, inputs, own or _all(node.outputs[0]), there)
    if own is None:
        return None
    copies = [
        _thinned(new, own, kept.get(id(old), _all(old))) if _is_whole(node, old) else new
        for old, new in zip(node.inputs, inputs, strict=True)
    ]
    return [get(node.op)(*copies, **node.params)]


def _strided(node: Node, inputs: Sequence[Value], own: Steps, there: Steps) -> Sequence[Value] | None:
    """The node with the strides that lead from the pixels that are `there` to its `own`."""
    if prod(own) == prod(there) == 1:
        return None
    if node.op == "slice":
        steps = tuple(s * o for s, o in zip(node.params["steps"][1:-1], own, strict=True))
        return [_thinned(inputs[0], steps, there)]
    strides = tuple(t * o // x for t, o, x in zip(node.params["strides"], own, there, strict=True))
    return [get(node.op)(*inputs, **{**node.params, "strides": strides})]


def _thinned(value: Value, wanted: Steps, there: Steps) -> Value:
    """Every `wanted` pixel of what has every one that is `there`."""
    steps = tuple(w // t for w, t in zip(wanted, there, strict=True))
    if prod(steps) == 1:
        return value
    return slice_(value, starts=(0,) * len(value.shape), stops=value.shape, steps=(1, *steps, 1))
