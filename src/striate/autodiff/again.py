"""Rematerialisation: values of a segment that the backward side needs are computed again from what goes into it.

What a segment takes in and what others use of it is kept; what lies in between is not (Griewank and Walther 2000, Chen
et al. 2016). A barrier stands before each value that goes in, so that no pass takes the second computation for the
first one, and nodes stay in the order in which they are made: here, where the backward side reaches the segment.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from striate.ir import Node, Segment, Value, at
from striate.ir.where import AGAIN, noted
from striate.primitives import get
from striate.primitives.base import Array
from striate.primitives.interpret import results_of
from striate.primitives.structural import barrier

_NUMBERS = itertools.count()


class Again:
    """What the rules of a backward pass see of the forward values.

    Args:
        nodes: the forward side, in order.
        outputs: its results, which are kept.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[Value]) -> None:
        self.nodes: dict[Segment, list[Node]] = {}
        for node in nodes:
            if (segment := node.segment) is not None and not segment.dissolved:
                self.nodes.setdefault(segment, []).append(node)
        self.kept = {id(v) for v in outputs} | {id(v) for n in nodes for v in n.inputs if _leaves(v, n)}
        self.tables: dict[Segment, dict[int, Array]] = {}

    def values(self, node: Node) -> tuple[list[Array], list[Array]]:
        """The inputs and outputs of `node`, computed again where they are not kept."""
        segment = node.segment
        if segment not in self.nodes or segment is None:
            return list(node.inputs), list(node.outputs)
        if segment not in self.tables:
            self.tables[segment] = self._computed(self.nodes[segment])
        table = self.tables[segment]
        return [table.get(id(v), v) for v in node.inputs], [table.get(id(v), v) for v in node.outputs]

    def _computed(self, nodes: Sequence[Node]) -> dict[int, Array]:
        """The values of a segment that are not kept; what turns out not to be needed is left out of the graph."""
        number = next(_NUMBERS)
        table: dict[int, Array] = {}
        barred: dict[int, Array] = {}

        def seen(value: Value) -> Array:
            if value.is_constant or id(value) in table:
                return table.get(id(value), value)
            if id(value) not in barred:
                barred[id(value)] = barrier(value, number=number)
            return barred[id(value)]

        for node in nodes:
            with at(noted(node.where, AGAIN)):
                results = results_of(get(node.op)(*map(seen, node.inputs), **node.params))
            made = zip(node.outputs, results, strict=True)
            table.update((id(v), r) for v, r in made if id(v) not in self.kept)
        return table


def _leaves(value: Value, user: Node) -> bool:
    """Whether `value` is made in a segment and used outside it."""
    return value.node is not None and value.node.segment is not None and value.node.segment is not user.segment
