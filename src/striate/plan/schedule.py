"""The order in which nodes run: that of the program, but what frees as much memory as it takes runs at once.

Updates of weights follow their gradients in this way, instead of all standing at the end with every gradient waiting.
"""

from __future__ import annotations

from collections.abc import Iterable

from striate.core import dtypes
from striate.ir import Graph, Node, Value
from striate.passes.stable import stable_values

# What gives its input's memory another name.
_VIEWS = ("reshape", "stop_gradient", "barrier")


def ordered(graph: Graph, stable_inputs: frozenset[int]) -> list[Node]:
    """The nodes of `graph` in an order that needs no more memory than their own, and mostly less."""
    schedule = _Schedule(graph, stable_inputs)
    for node in graph.nodes:
        schedule.run(node)
    return schedule.order


class _Schedule:
    def __init__(self, graph: Graph, stable_inputs: frozenset[int]) -> None:
        self.order: list[Node] = []
        self.done: set[int] = set()
        self.roots: dict[int, Value] = {}
        self.users: dict[int, list[Node]] = {}
        self.known = {id(node) for node in graph.nodes}
        self.missing = {id(node): self._note(node) for node in graph.nodes}
        self.uses: dict[int, int] = {}  # of memory, by its root
        for node in graph.nodes:
            for root in self._memory(node.inputs):
                self.uses[id(root)] = self.uses.get(id(root), 0) + 1
        free = {*(id(v) for v in graph.inputs), *(id(self._root(v)) for v in graph.outputs)}
        self.free = free | stable_values(graph, stable_inputs)  # what takes no room between steps

    def _note(self, node: Node) -> int:
        """Learns who uses what; the number of inputs that other nodes make."""
        if node.op in _VIEWS:
            self.roots[id(node.outputs[0])] = self._root(node.inputs[0])
        made = {id(v) for v in node.inputs if id(v.node) in self.known}
        for key in made:
            self.users.setdefault(key, []).append(node)
        return len(made)

    def _root(self, value: Value) -> Value:
        return self.roots.get(id(value), value)

    def _memory(self, values: Iterable[Value]) -> list[Value]:
        return list({id(r): r for r in map(self._root, values)}.values())

    def run(self, node: Node) -> None:
        """Puts `node` next, and behind it what costs nothing from there on."""
        pending = [node]
        while pending:
            found = pending.pop()
            if id(found) not in self.done:
                self._put(found)
                pending += reversed([n for n in self._ready(found) if self._costs_nothing(n)])

    def _put(self, node: Node) -> None:
        self.done.add(id(node))
        self.order.append(node)
        for root in self._memory(node.inputs):
            self.uses[id(root)] -= 1

    def _ready(self, node: Node) -> list[Node]:
        """The users of what `node` makes that now have all their inputs."""
        ready = []
        for value in node.outputs:
            for user in self.users.get(id(value), ()):
                self.missing[id(user)] -= 1
                if not self.missing[id(user)]:
                    ready.append(user)
        return ready

    def _costs_nothing(self, node: Node) -> bool:
        """Whether at least as much memory is free after `node` as before. A barrier is there to stay where it is."""
        if node.op == "barrier":
            return False
        made = 0 if node.op in _VIEWS else sum(self._nbytes(v) for v in node.outputs)
        return made <= sum(self._nbytes(r) for r in self._memory(node.inputs) if self.uses[id(r)] == 1)

    def _nbytes(self, value: Value) -> int:
        if value.is_constant or id(value) in self.free:
            return 0
        return value.size * dtypes.as_numpy(value.dtype).itemsize
