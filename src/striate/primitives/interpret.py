"""Running a graph node by node: with NumPy references, or by applying each primitive anew (arrays or symbols)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from striate.ir import Graph, Node, Value, at
from striate.ir.where import here
from striate.primitives.base import Array, get, run_reference

Step = Callable[[Node, Sequence[Array]], Any]


def run_graph(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of `graph` for arrays, computed by the primitives' references; each value is dropped after its
    last use.
    """
    arrays = [np.asarray(a, dtype=v.dtype) for v, a in zip(graph.inputs, inputs, strict=True)]
    return _run(graph, arrays, lambda node, args: run_reference(get(node.op), args, node.params))


def apply_graph(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """Applies the primitives of `graph` to `inputs`: at once to arrays, as nodes of the current graph to symbols."""

    def step(node: Node, args: Sequence[Array]) -> Any:
        with at(node.where or here()):
            return get(node.op)(*args, **node.params)

    return _run(graph, inputs, step)


def _run(graph: Graph, inputs: Sequence[Array], step: Step) -> list[Array]:
    env: dict[int, Array] = {id(v): a for v, a in zip(graph.inputs, inputs, strict=True)}
    last = last_uses(graph)
    for node in graph.nodes:
        results = results_of(step(node, [_read(env, v) for v in node.inputs]))
        env.update((id(v), r) for v, r in zip(node.outputs, results, strict=True))
        for key in last.get(id(node), ()):
            env.pop(key, None)
    return [_read(env, v) for v in graph.outputs]


def results_of(result: Any) -> Sequence[Array]:
    """The results of a primitive as a sequence, also when it has only one."""
    return result if isinstance(result, tuple | list) else (result,)


def last_uses(graph: Graph) -> dict[int, list[int]]:
    """For each node (by its id) the values (by theirs) that nothing needs after it."""
    last = {id(v): id(node) for node in graph.nodes for v in (*node.inputs, *node.outputs)}
    keep = {id(v) for v in graph.outputs}
    table: dict[int, list[int]] = {}
    for value, node in last.items():
        if value not in keep:
            table.setdefault(node, []).append(value)
    return table


def _read(env: dict[int, Array], value: Value) -> Array:
    return env[id(value)] if value.data is None else value.data
