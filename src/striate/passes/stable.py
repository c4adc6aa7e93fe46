"""Which values depend on weights and constants alone: they are computed once and kept until a weight changes."""

from __future__ import annotations

from collections.abc import Iterable

from striate.ir import Graph, Value


def stable_values(graph: Graph, stable_inputs: Iterable[int]) -> set[int]:
    """The ids of the values that change only when one of the inputs at `stable_inputs` does."""
    found = {id(graph.inputs[i]) for i in stable_inputs}
    for node in graph.nodes:
        if all(v.is_constant or id(v) in found for v in node.inputs) and node.inputs:
            found.update(id(v) for v in node.outputs)
    return found


def is_stable(value: Value, stable: set[int]) -> bool:
    """Whether `value` is a constant or among `stable`."""
    return value.is_constant or id(value) in stable
