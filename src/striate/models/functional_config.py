"""A functional model as a config dictionary, and back: Keras 3's layout."""

from __future__ import annotations

import copy
from typing import Any

from striate.core import registry, tree
from striate.layers import call_spec
from striate.saving.operations import call_arguments, entry_of, split
from striate.saving.serialization import deserialize_keras_object, serialize_keras_object
from striate.trace import FunctionOperation, KerasTensor, Node, Operation


def config_of(model: Any) -> dict[str, Any]:
    """The layers of `model` with their calls (`inbound_nodes`), the inputs and the outputs."""
    kept = {id(n) for n in model._nodes}
    layers = [_layer_config(op, kept) for op in model.operations]
    made = {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": tree.map_structure(lambda t: _place(t, kept), model.input),
        "output_layers": tree.map_structure(lambda t: _place(t, kept), model.output),
    }
    return copy.deepcopy(made)


def _layer_config(operation: Operation, kept: set[int]) -> dict[str, Any]:
    nodes = [n for n in operation._inbound_nodes if id(n) in kept and n.input_tensors]
    if isinstance(operation, FunctionOperation) and nodes:
        arguments, args, kwargs = split(operation, nodes[0].args, nodes[0].kwargs)
        made = entry_of(operation, serialize_keras_object(arguments))
        return {**made, "name": operation.name, "inbound_nodes": [_call_config(args, kwargs, kept)]}
    made = serialize_keras_object(operation)
    return {**made, "name": operation.name, "inbound_nodes": [_node_config(n, kept) for n in nodes]}


def _node_config(node: Node, kept: set[int]) -> dict[str, Any]:
    return _call_config(node.args, node.kwargs, kept)


def _call_config(call_args: Any, call_kwargs: Any, kept: set[int]) -> dict[str, Any]:
    def place(x: Any) -> Any:
        if not isinstance(x, KerasTensor):
            return x
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": x.shape, "dtype": x.dtype, "keras_history": _place(x, kept)},
        }

    args = [serialize_keras_object(tree.map_structure(place, a)) for a in call_args]
    return {"args": tuple(args), "kwargs": serialize_keras_object(tree.map_structure(place, call_kwargs))}


def _place(tensor: KerasTensor, kept: set[int]) -> list[Any]:
    """`[operation, which of its calls in this model, which output]`."""
    operation, index, output = tensor._keras_history
    before = sum(id(n) in kept for n in operation._inbound_nodes[:index])
    return [operation.name, before, output]


class _NotYet(Exception):
    """A tensor that a call needs is not computed yet."""


def graph_from(config: dict[str, Any], custom_objects: Any = None) -> tuple[Any, Any, dict[str, Any]]:
    """The inputs, the outputs and the other arguments of the model that `config` describes.

    Raises:
        ValueError: calls that need each other, or a layer that is not there.
    """
    with registry.custom_object_scope(custom_objects or {}):
        layers = {entry["name"]: _made(entry) for entry in config["layers"]}
    offset = {name: len(layer._inbound_nodes) if not _is_source(layer) else 0 for name, layer in layers.items()}
    waiting = [(entry["name"], node) for entry in config["layers"] for node in entry["inbound_nodes"]]
    while waiting:
        left = [(name, node) for name, node in waiting if not _called(name, node, layers, offset)]
        if len(left) == len(waiting):
            names = sorted({name for name, _ in left})
            raise ValueError(
                f"The graph of the model either has loops or disconnected nodes. These were never reached: {names}."
            )
        waiting = left
    rest = {k: v for k, v in config.items() if k not in ("layers", "input_layers", "output_layers")}
    find = lambda nest: _tensors(nest, layers, offset)  # noqa: E731
    return find(config["input_layers"]), find(config["output_layers"]), rest


def _made(entry: dict[str, Any]) -> Operation:
    layer = deserialize_keras_object(entry)
    if not isinstance(layer, Operation):
        raise ValueError(f"expected a layer or operation for '{entry['name']}', got {type(layer).__name__}.")
    return layer


def _is_source(layer: Operation) -> bool:
    return len(layer._inbound_nodes) == 1 and layer._inbound_nodes[0].is_input


def _called(name: str, node: Any, layers: dict[str, Any], offset: dict[str, int]) -> bool:
    """Calls a layer as `node` says; False if what it needs is not there yet. A layer's calls keep their order."""
    try:
        args, kwargs = _arguments(node, layers, offset)
    except _NotYet:
        return False
    args, kwargs = call_arguments(layers[name], args, _without_training(layers[name], kwargs))
    layers[name](*args, **kwargs)
    return True


def _without_training(layer: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keras notes the default of `training` with each call, which is no wish: the model's call decides later on."""
    if "training" not in kwargs:
        return kwargs
    default = call_spec.default(type(layer).call, "training")
    noted = kwargs["training"] in (None, False) or kwargs["training"] == default
    return {k: v for k, v in kwargs.items() if k != "training"} if noted else kwargs


def _arguments(node: Any, layers: dict[str, Any], offset: dict[str, int]) -> tuple[Any, Any]:
    if isinstance(node, list):  # the layout of Keras 2
        tensors = [_tensor(item[:3], layers, offset) for item in node]
        kwargs: dict[str, Any] = next((item[3] for item in node if len(item) > 3), {})
        return [tensors[0] if len(tensors) == 1 else tensors], kwargs

    def revive(x: Any) -> Any:
        place = x.__dict__.get("_revived_from") if isinstance(x, KerasTensor) else None
        return x if place is None else _tensor(place, layers, offset)

    args = tree.map_structure(revive, deserialize_keras_object(node["args"]))
    return args, tree.map_structure(revive, deserialize_keras_object(node["kwargs"]))


def _tensor(place: Any, layers: dict[str, Any], offset: dict[str, int]) -> KerasTensor:
    name, index, output = place
    if name not in layers:
        raise ValueError(f"the config names a layer '{name}' that it does not have. Its layers: {sorted(layers)}.")
    nodes = layers[name]._inbound_nodes[offset[name] :]
    if index >= len(nodes):
        raise _NotYet
    return nodes[index].output_tensors[output]


def _tensors(nest: Any, layers: dict[str, Any], offset: dict[str, int]) -> Any:
    if isinstance(nest, list | tuple) and len(nest) == 3 and isinstance(nest[0], str):
        return _tensor(nest, layers, offset)
    if isinstance(nest, dict):
        return {k: _tensors(v, layers, offset) for k, v in nest.items()}
    return type(nest)(_tensors(v, layers, offset) for v in nest)
