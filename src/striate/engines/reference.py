"""The reference engine: an interpreter over the primitives' NumPy references. The oracle of every test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from striate.ir import Graph
from striate.passes.precision import in_float64
from striate.primitives import Primitive, run_reference
from striate.primitives.interpret import run_graph


class ReferenceExecutable:
    """Interprets a graph node by node."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(
        self, inputs: Sequence[np.ndarray], versions: tuple[int, ...] | None = None, spare: Any = None
    ) -> list[np.ndarray]:
        return [np.array(result) for result in run_graph(self.graph, inputs)]


class ReferenceEngine:
    """NumPy, step by step; with `precision='float64'` every float is computed in float64."""

    def __init__(self, name: str = "reference", precision: str | None = None) -> None:
        self.name, self.precision = name, precision

    def compile(self, graph: Graph, stable: frozenset[int] = frozenset()) -> ReferenceExecutable:
        return ReferenceExecutable(in_float64(graph) if self.precision == "float64" else graph)

    def eager(self, primitive: Primitive, inputs: Sequence[np.ndarray], params: dict[str, Any]) -> Any:
        return run_reference(primitive, inputs, params)
