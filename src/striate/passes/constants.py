"""Constant folding: what depends on no input is computed while compiling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.ir import Aval, Graph, Node, Value
from striate.passes.rewrite import rewrite
from striate.primitives import get, run_reference

# A larger result is better computed when needed than kept.
_LARGEST = 1 << 20


def fold_constants(graph: Graph) -> Graph:
    """Replaces nodes whose inputs are all constant by their results."""
    return rewrite(graph, _fold) if any(_is_constant(n, n.inputs) for n in graph.nodes) else graph


def _is_constant(node: Node, inputs: Sequence[Value]) -> bool:
    constant = bool(inputs) and all(v.data is not None for v in inputs)
    return constant and sum(v.size for v in node.outputs) <= _LARGEST


def _fold(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
    if not _is_constant(node, inputs):
        return None
    result = run_reference(get(node.op), [v.data for v in inputs if v.data is not None], node.params)
    arrays = (result,) if isinstance(result, np.ndarray) else result
    return [Value(Aval(a.shape, str(a.dtype)), data=a) for a in arrays]
