"""A functional model that starts at results of layers: the calls between there and the outputs, recorded once more."""

from __future__ import annotations

from typing import Any

from striate.core import tree
from striate.layers.input_layer import Input
from striate.models.graph import calls_between, producer
from striate.trace import KerasTensor, Node


def starting_at(inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """`inputs` and `outputs`, as they are if all inputs come from `Input`, else on new inputs with the same layers."""
    flat = tree.flatten(inputs)
    if all(producer(t).is_input for t in flat):
        return inputs, outputs
    made: dict[int, KerasTensor] = {}
    for tensor in flat:
        made[id(tensor)] = tensor if producer(tensor).is_input else _new_input(tensor)
    nodes = calls_between(flat, tree.flatten(outputs))
    for tensor in tree.flatten(outputs):
        if id(tensor) not in made:
            made[id(tensor)] = _copy(tensor)
            made[id(tensor)]._keras_history = tensor._keras_history
    for node in nodes:
        if not node.is_input:
            _record_again(node, made)
    return _replaced(inputs, made), _replaced(outputs, made)


def _new_input(tensor: KerasTensor) -> KerasTensor:
    return Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"{tensor.name}CLONE")


def _copy(tensor: KerasTensor) -> KerasTensor:
    return KerasTensor(tensor.shape, tensor.dtype, sparse=tensor.sparse, name=f"{tensor.name}_clone")


def _replaced(nest: Any, made: dict[int, KerasTensor]) -> Any:
    return tree.map_structure(lambda x: made.get(id(x), x) if isinstance(x, KerasTensor) else x, nest)


def _record_again(node: Node, made: dict[int, KerasTensor]) -> None:
    for tensor in node.output_tensors:
        if id(tensor) not in made:
            made[id(tensor)] = _copy(tensor)
    Node(
        node.operation,
        _replaced(node.args, made),
        _replaced(node.kwargs, made),
        [made[id(t)] for t in node.output_tensors],
    )
