"""A model as a family of traces, ready to be written: weights put in, what depends on them alone computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from striate.core import dtypes
from striate.core.errors import message
from striate.exporting.family import Family, family
from striate.exporting.rules import NoEquivalentError
from striate.exporting.signature import Signature
from striate.ir import Aval, Graph, Node, Value
from striate.passes.constants import fold_constants
from striate.passes.cse import merge_common
from striate.passes.fold_affine import fold_affine
from striate.passes.pads import merge_pads
from striate.passes.rewrite import rewrite
from striate.passes.simplify import simplify
from striate.primitives import get, run_reference
from striate.primitives.elementwise import square, sub
from striate.primitives.interpret import apply_graph
from striate.primitives.structural import reduce_sum
from striate.trace.tracing import Traced, trace

# What stands for unknown sizes: the batch, and other axes. First multiples of 64, which suit any network of poolings;
# then odd sizes, which tell apart paddings that follow from the size, where the network takes such.
_BATCHES = (2, 3, 5)
_SIZES = ((256, 320, 384, 448, 512), (384, 512, 576, 640, 704), (277, 331, 389, 443, 509))

# What is computed from weights alone may be this much larger than they are before it is left to the reader.
_GROWTH = 1 << 20


def prepared(signature: Signature) -> tuple[Family, Any]:
    """The family of `signature`'s program, and the nest of its results.

    Raises:
        OpenSizeError: the program is another one for other sizes.
    """
    traces = _traces(signature)
    variables, count = traces[0].reads, len(signature.leaves)
    weights = [_weight(v, i.dtype) for v, i in zip(variables, traces[0].graph.inputs[count:], strict=True)]
    made = family([_with_weights(t, weights, count) for t in traces])
    _name_weights(made, {_place(w): v.path for w, v in zip(weights, variables, strict=True)})
    for leaf, value in zip(signature.leaves, made.inputs, strict=True):
        value.name = leaf.name
    return made, traces[0].structure


def _weight(variable: Any, dtype: str) -> np.ndarray:
    """The variable's value as the program reads it (in half precision it reads copies)."""
    return np.asarray(variable.numpy()).astype(dtypes.as_numpy(dtype), copy=False)


def _place(array: np.ndarray) -> Any:
    """What a weight and its views of another shape have in common."""
    return array.__array_interface__["data"][0], array.size, str(array.dtype)


def _traces(signature: Signature) -> list[Traced]:
    fills = list(zip(_BATCHES, _SIZES, strict=True))
    if signature.is_closed:
        return [trace(signature.call, signature.fill(*fills[0]))]
    traces = [trace(signature.call, signature.fill(*fill)) for fill in fills[:2]]
    with suppress(ValueError):  # a network that takes no odd sizes
        traces.append(trace(signature.call, signature.fill(*fills[2])))
    return traces


def _with_weights(traced: Traced, weights: Sequence[np.ndarray], count: int) -> Graph:
    """The graph of the results, simplified, with `weights` in the places of the variables."""
    graph = Graph(traced.graph.inputs, traced.graph.nodes, traced.graph.outputs[: traced.n_results])
    stable = frozenset(range(count, count + len(weights)))
    for step in _PASSES:
        graph = step(graph, stable)
    _check_state(traced, graph, count)
    return _evaluated(graph, weights, count)


def _check_state(traced: Traced, graph: Graph, count: int) -> None:
    """A variable that each call changes is no constant."""
    changed = {id(v) for v in traced.assigns}
    used = {id(v) for v in (*(v for n in graph.nodes for v in n.inputs), *graph.outputs)}
    for variable, value in zip(traced.reads, graph.inputs[count:], strict=True):
        if id(variable) in changed and id(value) in used:
            problem = f"each call changes the variable '{variable.path}', which a file cannot"
            raise NoEquivalentError(message("export", problem, "Leave out what draws random numbers or counts"))


_PASSES: tuple[Callable[[Graph, frozenset[int]], Graph], ...] = (
    lambda g, _: rewrite(g, _inlined),
    lambda g, _: fold_constants(g),
    lambda g, _: simplify(g),
    lambda g, _: merge_common(g),
    lambda g, _: merge_pads(g),
    fold_affine,
)


def _inlined(node: Node, inputs: Sequence[Value]) -> Sequence[Value] | None:
    if node.op == "custom_vjp":
        return apply_graph(node.params["graph"], list(inputs))
    if node.op == "reduce_deviation":
        return [reduce_sum(square(sub(*inputs)), **node.params)]
    return [inputs[0]] if node.op in ("barrier", "stop_gradient") else None


def _evaluated(graph: Graph, weights: Sequence[np.ndarray], count: int) -> Graph:
    """`graph` without the inputs behind the first `count`: what they alone lead to is computed."""
    constants = [Value(Aval(w.shape, v.dtype), data=w) for w, v in zip(weights, graph.inputs[count:], strict=True)]
    table = {id(v): c for v, c in zip(graph.inputs[count:], constants, strict=True)}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = [table.get(id(v), v) for v in node.inputs]
        if _worth_it(node, inputs):
            table.update(zip(map(id, node.outputs), _computed(node, inputs), strict=True))
        else:
            node.inputs = tuple(inputs)
            nodes.append(node)
    return Graph(graph.inputs[:count], nodes, [table.get(id(v), v) for v in graph.outputs])


def _worth_it(node: Node, inputs: Sequence[Value]) -> bool:
    if not inputs or any(v.data is None for v in inputs):
        return False
    return sum(v.size for v in node.outputs) <= max(_GROWTH, sum(v.size for v in inputs))


def _computed(node: Node, inputs: Sequence[Value]) -> list[Value]:
    result = run_reference(get(node.op), [v.data for v in inputs if v.data is not None], node.params)
    arrays = (result,) if isinstance(result, np.ndarray) else result
    return [Value(v.aval, data=a) for v, a in zip(node.outputs, arrays, strict=True)]


def _name_weights(made: Family, paths: dict[int, str]) -> None:
    for value in (*(v for step in made.steps for v in step.inputs), *made.outputs):
        if value.data is not None and value.data.size > 1:
            value.name = paths.get(_place(value.data), "")
