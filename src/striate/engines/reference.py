"""The reference engine: an interpreter over the primitives' NumPy references. The oracle of every test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.ir import Graph, Node, Value
from striate.passes.precision import in_float64
from striate.primitives import Primitive, get, run_reference


class ReferenceExecutable:
    """Interprets a graph node by node; a value is dropped after its last use."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._last = _last_uses(graph)

    def __call__(self, inputs: Sequence[np.ndarray], versions: tuple[Any, ...] | None = None) -> list[np.ndarray]:
        env = {id(v): np.asarray(a, dtype=v.dtype) for v, a in zip(self.graph.inputs, inputs, strict=True)}
        for node in self.graph.nodes:
            self._step(node, env)
        return [np.array(_read(env, v)) for v in self.graph.outputs]

    def _step(self, node: Node, env: dict[int, np.ndarray]) -> None:
        result = run_reference(get(node.op), [_read(env, v) for v in node.inputs], node.params)
        for value, array in zip(node.outputs, (result,) if isinstance(result, np.ndarray) else result, strict=True):
            env[id(value)] = array
        for key in self._last.get(id(node), ()):
            env.pop(key, None)


def _read(env: dict[int, np.ndarray], value: Value) -> np.ndarray:
    return env[id(value)] if value.data is None else value.data


def _last_uses(graph: Graph) -> dict[int, list[int]]:
    last = {id(v): id(node) for node in graph.nodes for v in (*node.inputs, *node.outputs)}
    keep = {id(v) for v in graph.outputs}
    table: dict[int, list[int]] = {}
    for value, node in last.items():
        if value not in keep:
            table.setdefault(node, []).append(value)
    return table


class ReferenceEngine:
    """NumPy, step by step; with `precision='float64'` every float is computed in float64."""

    def __init__(self, name: str = "reference", precision: str | None = None) -> None:
        self.name, self.precision = name, precision

    def compile(self, graph: Graph, stable: frozenset[int] = frozenset()) -> ReferenceExecutable:
        return ReferenceExecutable(in_float64(graph) if self.precision == "float64" else graph)

    def eager(self, primitive: Primitive, inputs: Sequence[np.ndarray], params: dict[str, Any]) -> Any:
        return run_reference(primitive, inputs, params)

