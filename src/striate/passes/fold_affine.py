"""Folds a scale and shift per channel (batch normalization at inference) into the convolution or product before it.

Only factors that depend on weights alone are folded, so that the scaled weights are computed once per weight version.
"""

from __future__ import annotations

from collections.abc import Sequence

from striate.ir import Graph, Node, Value, at
from striate.passes.rewrite import rewrite
from striate.passes.stable import is_stable, stable_values
from striate.primitives import get
from striate.primitives.elementwise import add, mul, sub
from striate.primitives.structural import reshape

# The axis of the weights that makes the output's channels, counted from the end.
_LINEAR = {"conv": -1, "matmul": -1, "conv_input_grad": -2}


class _Folder:
    def __init__(self, graph: Graph, stable_inputs: frozenset[int]) -> None:
        self.stable = stable_values(graph, stable_inputs)
        self.uses: dict[int, int] = {}
        for value in (*(v for n in graph.nodes for v in n.inputs), *graph.outputs):
            self.uses[id(value)] = self.uses.get(id(value), 0) + 1
        self.new_stable: set[int] = set()
        self.single: set[int] = set()

    def rule(self, node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
        self._note(node, inputs)
        result = self._scaled(node, inputs) if node.op == "mul" else self._shifted(node, inputs)
        if result is not None and self.uses.get(id(node.outputs[0]), 0) == 1:
            self.single.add(id(result))
        return None if result is None else [result]

    def _note(self, node: Node, inputs: Sequence[Value]) -> None:
        """Carries over to the copies which values are stable and used once."""
        for old, new in zip(node.inputs, inputs, strict=True):
            if is_stable(old, self.stable):
                self.new_stable.add(id(new))
            if self.uses[id(old)] == 1:
                self.single.add(id(new))

    def _scaled(self, node: Node, inputs: Sequence[Value]) -> Value | None:
        for x, factor in (inputs, inputs[::-1]):
            if self._per_channel(factor, x) and node.outputs[0].shape == x.shape and x.node and id(x) in self.single:
                if x.node.op == "add":
                    return self._scaled_sum(x.node, factor)
                return self._scaled_weights(x.node, factor)
        return None

    def _scaled_sum(self, node: Node, factor: Value) -> Value | None:
        for u, shift in (node.inputs, node.inputs[::-1]):
            if self._per_channel(shift, u) and u.node is not None and u.node.op in _LINEAR:
                scaled = self._scaled_weights(u.node, factor)
                return None if scaled is None else add(scaled, self._kept(mul(shift, factor)))
        return None

    def _scaled_weights(self, node: Node, factor: Value) -> Value | None:
        axis = _LINEAR.get(node.op)
        if axis is None or id(node.inputs[1]) not in self.new_stable:
            return None
        x, w = node.inputs
        if (axis == -2 and node.params["groups"] != 1) or (node.op == "matmul" and len(w.shape) != 2):
            return None
        flat = reshape(factor, shape=(factor.size,))
        wide = flat if axis == -1 else reshape(flat, shape=(factor.size, 1))
        with at(node.where):  # still the layer's own, with other weights
            return get(node.op)(x, self._kept(mul(w, wide)), **node.params)

    def _shifted(self, node: Node, inputs: Sequence[Value]) -> Value | None:
        """(u + a) + b with stable a and b becomes u + (a + b); likewise for a difference."""
        if node.op not in ("add", "sub"):
            return None
        x, shift = inputs if self._per_channel(inputs[1], inputs[0]) else inputs[::-1]
        if (node.op == "sub" and x is not inputs[0]) or not self._per_channel(shift, x) or x.node is None:
            return None
        if x.node.op != "add" or id(x) not in self.single or node.outputs[0].shape != x.shape:
            return None
        for u, first in (x.node.inputs, x.node.inputs[::-1]):
            if self._per_channel(first, u) and id(u) not in self.new_stable:
                return add(u, self._kept((add if node.op == "add" else sub)(first, shift)))
        return None

    def _kept(self, value: Value) -> Value:
        self.new_stable.add(id(value))
        return value

    def _per_channel(self, value: Value, x: Value) -> bool:
        """Whether `value` is a stable vector along the last axis of `x` (or a scalar is not: sizes must agree)."""
        known = value.is_constant or id(value) in self.new_stable
        return known and len(x.shape) > 0 and value.size == x.shape[-1] and value.shape[-1:] == x.shape[-1:]


def fold_affine(graph: Graph, stable_inputs: frozenset[int]) -> Graph:
    """Folds per-channel factors and shifts; results change by rounding only."""
    folder = _Folder(graph, stable_inputs)
    return rewrite(graph, folder.rule)
