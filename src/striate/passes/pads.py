"""Zeros that stand around a tensor become the padding of the convolution or maximum that reads it, and are not written.

Networks from elsewhere pad in a layer of its own (`ZeroPadding2D`), which costs a copy of the whole tensor and keeps
the layers on its two sides from being fused.
"""

from __future__ import annotations

from collections.abc import Sequence

from striate.core.window import effective_kernel
from striate.ir import Graph, Node, Value
from striate.passes.rewrite import rewrite
from striate.primitives import get
from striate.primitives.conv import conv_input_grad

Pads = tuple[tuple[int, int], ...]

_NEVER_NEGATIVE = ("relu", "relu6", "sigmoid", "softmax")


def merge_pads(graph: Graph) -> Graph:
    """Takes zero padding into convolutions, into their gradients, and into maxima of what is never negative."""
    users = _Users(graph)

    def rule(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
        if node.op in ("conv", "conv_kernel_grad"):
            return _padded_convolution(node, inputs)
        if node.op == "max_pool" and users.are_maxima(node.inputs[0]):
            return _padded_maximum(node, inputs[0])
        if node.op != "slice" or not users.only(node.inputs[0]):
            return None
        if users.are_rectified(node.inputs[0].node):
            return _cut_maxima(inputs[0].node)
        return _cut_gradient(node, inputs[0])

    return rewrite(graph, rule)


class _Users:
    """Who reads each value of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.of: dict[int, list[Node]] = {id(v): [] for n in graph.nodes for v in n.outputs}
        for node in graph.nodes:
            for value in node.inputs:
                self.of.setdefault(id(value), []).append(node)
        self.results = {id(v) for v in graph.outputs}

    def only(self, value: Value) -> Node | None:
        """The one node that reads `value`, if nothing else does."""
        found = self.of[id(value)]
        return found[0] if len(found) == 1 and id(value) not in self.results else None

    def are_maxima(self, padded: Value) -> bool:
        """Whether all that reads `padded` takes maxima, or is their gradient and does without the padding."""
        others = [n for n in self.of[id(padded)] if n.op != "max_pool"]
        return id(padded) not in self.results and all(self.are_rectified(n) for n in others)

    def are_rectified(self, node: Node | None) -> bool:
        """Whether `node` is the gradient of maxima over a padded rectifier, cut off to its size and masked by it: that
        of a zero, in or around the image, comes to nothing."""
        if node is None or node.op != "max_pool_grad" or (cut := self.only(node.outputs[0])) is None:
            return False
        pads, source = _zeros_around(node.inputs[0])
        if source is None or source.node is None or source.node.op != "relu" or not _cuts(cut, pads):
            return False
        masks = self.of[id(cut.outputs[0])]
        masked = all(m.op == "relu_grad" and m.inputs[0] is source for m in masks)
        return masked and id(cut.outputs[0]) not in self.results and _merges_maxima(node, pads)


def _cuts(node: Node, pads: Pads) -> bool:
    """Whether `node` is the slice that cuts `pads` off."""
    p = node.params
    if node.op != "slice" or set(p["steps"]) - {1}:
        return False
    cut = [(lo, n - hi) for lo, hi, n in zip(p["starts"], p["stops"], node.inputs[0].shape, strict=True)]
    return cut == [(0, 0), *pads, (0, 0)]


def _padded_convolution(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
    pads, source = _zeros_around(inputs[0])
    kernel = node.params["kernel_shape"] if node.op == "conv_kernel_grad" else inputs[1].shape
    merged = source and _merged(node, kernel[:-2], pads)
    return [get(node.op)(source, inputs[1], **{**node.params, "padding": merged})] if source and merged else None


def _padded_maximum(node: Node, x: Value) -> Sequence[Value] | None:
    """A maximum over zeros and what is never negative is one over the latter, which every window meets."""
    pads, source = _zeros_around(x)
    if source is None or source.node is None or source.node.op not in _NEVER_NEGATIVE:
        return None
    if not _merges_maxima(node, pads):
        return None
    return [get(node.op)(source, **{**node.params, "padding": _merged(node, node.params["window"], pads)})]


def _merges_maxima(node: Node, pads: Pads) -> bool:
    return set(node.params["dilation"]) <= {1} and _merged(node, node.params["window"], pads) is not None


def _cut_maxima(made: Node | None) -> Sequence[Value] | None:
    """The gradient of maxima over a padded rectifier, which `_Users.are_rectified` allows."""
    if made is None:
        return None
    pads, source = _zeros_around(made.inputs[0])
    merged = _merged(made, made.params["window"], pads)
    return [get(made.op)(source, made.inputs[1], **{**made.params, "padding": merged})]


def _cut_gradient(node: Node, x: Value) -> Sequence[Value] | None:
    """The gradient of padding cuts it off again: it need not be computed."""
    if x.node is None or x.node.op != "conv_input_grad" or set(node.params["steps"]) - {1}:
        return None
    p, made = node.params, x.node
    pads = tuple((lo, n - hi) for lo, hi, n in zip(p["starts"], p["stops"], x.shape, strict=True))
    merged = _merged(made, made.inputs[1].shape[:-2], pads[1:-1]) if _spatial(pads) else None
    if merged is None:
        return None
    shape = node.outputs[0].shape
    return [conv_input_grad(*made.inputs, **{**made.params, "input_shape": shape, "padding": merged})]


def _zeros_around(x: Value) -> tuple[Pads, Value | None]:
    """The zeros around the spatial axes of `x` and what is inside; None where `x` is something else."""
    node = x.node
    if node is None or node.op != "pad" or node.params.get("mode", "constant") != "constant":
        return (), None
    widths: Pads = tuple((lo, hi) for lo, hi in node.params["widths"])
    plain = len(widths) > 2 and _spatial(widths) and node.params.get("value", 0) == 0
    return (widths[1:-1], node.inputs[0]) if plain else ((), None)


def _spatial(widths: Pads) -> bool:
    return widths[0] == widths[-1] == (0, 0) and all(lo >= 0 and hi >= 0 for lo, hi in widths)


def _merged(node: Node, window: Sequence[int], pads: Pads) -> Pads | None:
    """The node's own padding and `pads`; None where a window would see nothing else, for which kernels aren't made."""
    own = [tuple(pair) for pair in node.params["padding"]]
    if any(lo < 0 or hi < 0 for lo, hi in own):
        return None
    merged = tuple((a + lo, b + hi) for (a, b), (lo, hi) in zip(own, pads, strict=True))
    reach = [effective_kernel(k, d) for k, d in zip(window, node.params["dilation"], strict=True)]
    return merged if all(max(pair) < r for pair, r in zip(merged, reach, strict=True)) else None
