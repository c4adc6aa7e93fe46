"""Structural checks of a graph; tests run them after each pass."""

from __future__ import annotations

from collections.abc import Callable

from striate.ir.graph import Aval, Graph, Node, Value

Infer = Callable[[Node], tuple[Aval, ...]]


class GraphError(RuntimeError):
    """A graph that breaks a rule of the representation: a mistake in a pass, never in a user's code."""


def verify(graph: Graph, infer: Infer | None = None) -> Graph:
    """Raises GraphError unless each value is defined once, before its use, with the aval that its op's rule gives.

    `infer` gives a node's output avals by its primitive's rule; without it only the structure is checked.
    """
    known = {id(v) for v in graph.inputs}
    for node in graph.nodes:
        _check_inputs(node, known)
        _check_outputs(node, known)
        if infer is not None:
            _check_avals(node, infer(node))
    for value in graph.outputs:
        _check_known(value, known, "an output of the graph")
    return graph


def _check_known(value: Value, known: set[int], what: str) -> None:
    if not value.is_constant and id(value) not in known:
        raise GraphError(f"{what} ({value.dtype}{list(value.shape)}) is used before it is computed")


def _check_inputs(node: Node, known: set[int]) -> None:
    for position, value in enumerate(node.inputs):
        _check_known(value, known, f"input {position} of '{node.op}'")


def _check_outputs(node: Node, known: set[int]) -> None:
    for index, value in enumerate(node.outputs):
        if id(value) in known or value.node is not node or value.index != index:
            raise GraphError(f"output {index} of '{node.op}' is defined twice or does not know its node")
        known.add(id(value))


def _check_avals(node: Node, avals: tuple[Aval, ...]) -> None:
    found = tuple(v.aval for v in node.outputs)
    if found != avals:
        raise GraphError(f"'{node.op}' gives {avals} by its rule, but the graph says {found}")
