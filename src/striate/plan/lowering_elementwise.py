"""Elementwise ops, alone and in chains, as one loop over blocks that stay in cache."""

from __future__ import annotations

from collections.abc import Sequence

from striate.ir import Graph, Node, Value
from striate.kernels import attributes
from striate.plan.draft import Draft, Var

_DTYPES = ("float32", "bool")


def lower_chain(draft: Draft, graph: Graph, inputs: Sequence[Var]) -> Sequence[Var] | None:
    """The `elementwise` kernel's program for a graph of elementwise nodes; None where the kernel lacks an op."""
    program = _attributes(graph.inputs, graph.nodes, graph.outputs[:-1])
    return None if program is None else draft.steps_of("elementwise", inputs, [v.aval for v in graph.outputs], *program)


def lower_sum(draft: Draft, graph: Graph, inputs: Sequence[Var]) -> Sequence[Var] | None:
    """The `chain_sum` kernel's program for a graph of elementwise nodes with a sum at its end."""
    *chain, last = graph.nodes
    program = _attributes(graph.inputs, chain)
    if program is None:
        return None
    return [draft.step("chain_sum", inputs, last.outputs[0].aval, *program)]


def _attributes(
    inputs: Sequence[Value], nodes: Sequence[Node], exits: Sequence[Value] = ()
) -> attributes.Attributes | None:
    values = [*inputs, *(v for n in nodes for v in n.outputs)]
    known = all(n.op in attributes.ELEMENTWISE_OPS for n in nodes)
    if not known or any(v.dtype not in _DTYPES for v in values) or len(inputs) > attributes.MAX_OPERANDS:
        return None
    program = _Program(inputs, nodes)
    if program.constants is None or len(program.code) > attributes.MAX_INSTRUCTIONS:
        return None
    return attributes.elementwise(len(inputs), program.code, [program.numbers[id(v)] - program.first for v in exits])


class _Program:
    """Instructions over numbered operands: the inputs first, then the results."""

    def __init__(self, inputs: Sequence[Value], nodes: Sequence[Node]) -> None:
        self.numbers = {id(v): i for i, v in enumerate(inputs)}
        self.first = len(inputs)
        self.code: list[tuple[str, list[int], tuple[float, ...]]] = []
        self.constants: bool | None = True
        for node in nodes:
            operands = [self._operand(v) for v in node.inputs]
            floats = attributes.activation_floats(node.op, node.params) if node.op in attributes.ACTIVATION_IDS else ()
            self._add(node.op, operands, floats, node.outputs[0])

    def _add(self, op: str, operands: list[int], floats: tuple[float, ...], value: Value) -> int:
        self.code.append((op, operands, floats))
        self.numbers[id(value)] = self.first + len(self.code) - 1
        return self.numbers[id(value)]

    def _operand(self, value: Value) -> int:
        if id(value) in self.numbers:
            return self.numbers[id(value)]
        if value.data is None or value.size != 1:
            self.constants = None  # a larger constant has to be an input
            return 0
        return self._add("constant", [], (float(value.data.reshape(())),), value)


def counts(node: Node) -> bool:
    """Whether integers of one dtype are added that stand side by side: steps are counted so."""
    kinds = {(v.dtype, v.shape) for v in (*node.inputs, *node.outputs)}
    return len(kinds) == 1 and node.outputs[0].dtype in ("int32", "int64")


def lower_single(draft: Draft, node: Node, inputs: Sequence[Var]) -> Sequence[Var] | None:
    """One elementwise op, with its scalar constants in the program."""
    if node.op in attributes.ACTIVATION_IDS and node.op not in attributes.ELEMENTWISE_OPS:
        return None
    kept = [i for i, v in enumerate(node.inputs) if not (v.is_constant and v.size == 1)]
    if not kept:
        return None
    graph = Graph([node.inputs[i] for i in kept], [node], node.outputs)
    return lower_chain(draft, graph, [inputs[i] for i in kept])
