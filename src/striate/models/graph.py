"""The part of the layer graph between given inputs and outputs: its nodes and operations, in order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from striate.trace import KerasTensor, Node, Operation


class LayerGraph(NamedTuple):
    """Nodes by decreasing depth (distance from the outputs), operations in the same order, the depth of each
    node."""

    nodes: list[Node]
    operations: list[Operation]
    node_depths: list[int]


def map_graph(inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]) -> LayerGraph:
    """The nodes that lead from `inputs` to `outputs`, ordered as Keras orders layers.

    Raises:
        ValueError: an output that needs a tensor which is not computed from `inputs`, a cycle, or two operations of
        one name.
    """
    finished, order = _visit(inputs, outputs)
    node_depth, op_depth = _depths(finished)
    _add_unused_inputs(inputs, finished, order, node_depth, op_depth)
    _check_connected(inputs, outputs, finished)
    position = {id(node): i for i, node in enumerate(finished)}
    nodes = sorted(finished, key=lambda n: (-node_depth[id(n)], position[id(n)]))
    operations = sorted(order.values(), key=lambda item: (-op_depth[id(item[1])], item[0]))
    listed = [operation for _, operation in operations]
    _check_names(listed)
    return LayerGraph(nodes, listed, [node_depth[id(n)] for n in nodes])


def calls_between(inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]) -> list[Node]:
    """The nodes that compute `outputs` from `inputs`, in an order in which they can be computed."""
    return _visit(inputs, outputs)[0]


def producer(tensor: KerasTensor) -> Node:
    """The node that made `tensor`."""
    history = tensor._keras_history
    if history is None:
        raise ValueError(f"{tensor} was not made by `Input` or by a layer. Start the graph with `keras.Input(shape)`.")
    return history.operation._inbound_nodes[history.node_index]


def _visit(inputs: Any, outputs: Any) -> tuple[list[Node], dict[int, tuple[int, Operation]]]:
    """Nodes in the order in which they can be computed, and operations in the order in which they are met."""
    stops = {id(t) for t in inputs}
    finished: list[Node] = []
    state: dict[int, str] = {}
    order: dict[int, tuple[int, Operation]] = {}
    stack = [(t, "enter") for t in reversed(outputs)]
    while stack:
        tensor, step = stack.pop()
        node = producer(tensor)
        if step == "leave":
            state[id(node)] = "done"
            finished.append(node)
        elif id(tensor) in stops and not node.is_input:
            state.setdefault(id(node), "done")  # where the function starts: what made it stands outside
        elif state.get(id(node)) == "open":
            raise ValueError(f"Tensor {tensor} from operation '{node.operation.name}' is part of a cycle.")
        elif id(node) not in state:
            state[id(node)] = "open"
            order.setdefault(id(node.operation), (len(order), node.operation))
            stack.append((tensor, "leave"))
            stack.extend((t, "enter") for t in reversed(node.input_tensors) if not _is(state, producer(t), "done"))
    return finished, order


def _is(state: dict[int, str], node: Node, what: str) -> bool:
    return state.get(id(node)) == what


def _depths(finished: Sequence[Node]) -> tuple[dict[int, int], dict[int, int]]:
    inside = {id(n) for n in finished}
    nodes: dict[int, int] = defaultdict(int)
    operations: dict[int, int] = defaultdict(int)
    for node in reversed(finished):
        depth = max(nodes[id(node)], operations[id(node.operation)])
        operations[id(node.operation)] = nodes[id(node)] = depth
        for parent in (p for p in node.parent_nodes if id(p) in inside):
            nodes[id(parent)] = max(depth + 1, nodes[id(parent)])
    return nodes, operations


def _add_unused_inputs(inputs: Any, finished: Any, order: Any, node_depth: Any, op_depth: Any) -> None:
    for tensor in inputs:
        node = producer(tensor)
        if id(node.operation) not in order and node.is_input:
            order[id(node.operation)] = (-1, node.operation)
            node_depth[id(node)] = op_depth[id(node.operation)] = 0
            finished.append(node)


def _check_connected(inputs: Any, outputs: Any, finished: Sequence[Node]) -> None:
    known = {id(t) for t in inputs}
    for tensor in outputs:
        if not finished and id(tensor) not in known:
            _disconnected(tensor, producer(tensor).operation)
    for node in finished:
        if all(id(t) in known for t in node.output_tensors):
            continue
        for tensor in node.input_tensors:
            if id(tensor) not in known:
                _disconnected(tensor, node.operation)
        if node.is_input:
            _disconnected(node.output_tensors[0], node.operation)
        known.update(id(t) for t in node.output_tensors)


def _disconnected(tensor: KerasTensor, operation: Operation) -> None:
    raise ValueError(
        f"Graph disconnected: the outputs need {tensor} at layer '{operation.name}', which is not computed from the "
        "`inputs` of the model. Add its `Input` to `inputs`."
    )


def _check_names(operations: Sequence[Operation]) -> None:
    for name, count in Counter(o.name for o in operations).items():
        if count > 1:
            raise ValueError(
                f'The name "{name}" is used {count} times in the model. All operation names should be unique. '
                "Pass another `name=` to one of them."
            )
