"""Several primitives as one step: what a pass found that a compiled kernel does at once.

A `fused` node holds the graph that it stands for, so its reference and its rule follow from those of its parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.ir import Aval, Graph
from striate.primitives.base import Primitive, register
from striate.primitives.interpret import run_graph


def _infer(*inputs: Aval, graph: Graph, **_: Any) -> Any:
    outputs = tuple(v.aval for v in graph.outputs)
    return outputs[0] if len(outputs) == 1 else outputs


def _reference(*inputs: np.ndarray, graph: Graph, **_: Any) -> Any:
    outputs = run_graph(graph, inputs)
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


# Parameters: graph; kind, "linear", "elementwise", "sum" or "block"; for "linear": activation (name or None),
# activation_params (a dict's items as a tuple), bias and residual (bools). Inputs of a "linear" node: x, weights, then
# bias, then residual.
fused: Primitive = register(Primitive("fused", _infer, _reference, None, "fused"))
