"""A model as a list of plain nodes, for runtimes that don't read Keras's: what PyTorch and ncnn are given.

A node is {"name", "op", "inputs": names, "weights": numbers in the order of `get_weights`, ...attributes}. Spatial
attributes are lists with one entry per axis; padding is in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Node = dict[str, Any]
Arrays = list[np.ndarray]


def nodes_of(model: Any) -> list[Node]:
    """The nodes of a functional or sequential model, each layer used once, in order. TypeError for an unknown layer."""
    made: list[Node] = []
    names: dict[int, str] = {}
    count = 0
    tensors = [tensor for layer in model.layers for tensor in _listed(layer.output)]  # keeps their ids
    for layer in _layers(model):
        sources = [] if _kind(layer) == "InputLayer" else _listed(layer.input)
        inputs = [names.get(id(t), made[-1]["name"] if made else "") for t in sources]
        numbers = list(range(count, count + len(layer.weights)))
        count += len(numbers)
        made += _node(layer, inputs, numbers)
        names[id(layer.output)] = made[-1]["name"]
    del tensors
    return _with_flattened(_with_pads(made))


def _layers(model: Any) -> list[Any]:
    """With an input node first, which a Sequential leaves out."""
    layers = list(model.layers)
    return layers if _kind(layers[0]) == "InputLayer" else [_Input(layers[0].input), *layers]


class _Input:
    """What a Sequential's layers start from."""

    name, weights = "input", ()

    def __init__(self, tensor: Any) -> None:
        self.output = tensor


def _kind(layer: Any) -> str:
    return "InputLayer" if isinstance(layer, _Input) else type(layer).__name__


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _node(layer: Any, inputs: list[str], numbers: list[int]) -> list[Node]:
    """The node of a layer and, if it has an activation, that one's."""
    kind = _kind(layer)
    family = kind.rstrip("123D") if kind[-2:] in ("1D", "2D", "3D") else kind
    make = FAMILIES.get(family)
    if make is None:
        raise TypeError(f"{kind} {layer.name!r}: no node for it")
    node = {"name": layer.name, "inputs": inputs, "weights": numbers, **make(layer)}
    if isinstance(layer, _Input):
        return [node]
    activation = layer.get_config().get("activation", "linear")
    if activation == "linear" or node["op"] == "activation":
        return [node]
    name = f"{layer.name}_{activation}"
    return [node, {"name": name, "op": "activation", "inputs": [layer.name], "weights": [], "function": activation}]


def _spatial(layer: Any) -> tuple[int, ...]:
    return tuple(layer.input.shape[1:-1])


def pads(size: int, kernel: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """One axis; 'same' as TensorFlow has it."""
    if padding == "valid":
        return 0, 0
    reach = (kernel - 1) * dilation + 1
    if padding == "causal":
        return reach - 1, 0
    total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def _all_pads(sizes: Sequence[int], c: dict[str, Any], kernel: Sequence[int], strides: Sequence[int]) -> list:
    dilation = c.get("dilation_rate") or [1] * len(kernel)
    return [pads(*axis, c["padding"]) for axis in zip(sizes, kernel, strides, dilation)]


def _axes(value: Any, rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value)


def _conv(layer: Any) -> Node:
    c, sizes = layer.get_config(), _spatial(layer)
    kernel, strides = _axes(c["kernel_size"], len(sizes)), _axes(c["strides"], len(sizes))
    dilation = _axes(c["dilation_rate"], len(sizes))
    depthwise = "depth_multiplier" in c
    groups = int(layer.input.shape[-1]) if depthwise else c["groups"]
    return {
        "op": "conv", "kernel": kernel, "strides": strides, "dilation": dilation, "groups": groups,
        "pads": _all_pads(sizes, {**c, "dilation_rate": dilation}, kernel, strides), "depthwise": depthwise,
    }  # fmt: skip


def _conv_transpose(layer: Any) -> Node:
    """`pads` are those of the convolution whose gradient this is: from the output to the input."""
    c, sizes, large = layer.get_config(), _spatial(layer), layer.output.shape[1:-1]
    kernel, strides = _axes(c["kernel_size"], len(sizes)), _axes(c["strides"], len(sizes))
    found = [pads(*axis, 1, c["padding"]) for axis in zip(large, kernel, strides)]
    extra = [o - (s * (i - 1) + k - sum(p)) for o, s, i, k, p in zip(large, strides, sizes, kernel, found)]
    return {"op": "conv_transpose", "kernel": kernel, "strides": strides, "pads": found, "extra": extra}


def _pool(op: str) -> Callable[[Any], Node]:
    def make(layer: Any) -> Node:
        c, sizes = layer.get_config(), _spatial(layer)
        kernel = _axes(c["pool_size"], len(sizes))
        strides = _axes(c["strides"] or kernel, len(sizes))
        return {"op": op, "kernel": kernel, "strides": strides, "pads": _all_pads(sizes, c, kernel, strides)}

    return make


def _batch_norm(layer: Any) -> Node:
    c = layer.get_config()
    return {"op": "batch_norm", "epsilon": c["epsilon"], "scale": c["scale"], "center": c["center"]}


def _relu(layer: Any) -> Node:
    c = layer.get_config()
    limit = c.get("max_value")
    return {"op": "activation", "function": "relu" if limit is None else f"relu{limit:g}"}


def _pad(layer: Any) -> Node:
    p = layer.get_config()["padding"]
    pairs = [[p, p]] if isinstance(p, int) else [list(q) if isinstance(q, list | tuple) else [q, q] for q in p]
    return {"op": "pad", "pads": pairs * (len(_spatial(layer)) if len(pairs) == 1 else 1)}


def _fixed(op: str) -> Callable[[Any], Node]:
    return lambda layer: {"op": op}


FAMILIES: dict[str, Callable[[Any], Node]] = {
    "InputLayer": lambda layer: {"op": "input", "shape": list(layer.output.shape[1:])},
    "Conv": _conv, "DepthwiseConv": _conv, "ConvTranspose": _conv_transpose,
    "Conv1DTranspose": _conv_transpose, "Conv2DTranspose": _conv_transpose, "Conv3DTranspose": _conv_transpose,
    "MaxPooling": _pool("max_pool"), "AveragePooling": _pool("average_pool"),
    "MaxPool": _pool("max_pool"), "AvgPool": _pool("average_pool"),
    "GlobalAveragePooling": _fixed("global_average_pool"), "GlobalMaxPooling": _fixed("global_max_pool"),
    "BatchNormalization": _batch_norm, "ReLU": _relu, "ZeroPadding": _pad,
    "Activation": lambda layer: {"op": "activation", "function": layer.get_config()["activation"]},
    "Softmax": lambda layer: {"op": "activation", "function": "softmax"},
    "Dense": _fixed("dense"), "Flatten": lambda layer: {"op": "flatten", "shape": list(layer.input.shape[1:])},
    "Add": _fixed("add"), "Concatenate": _fixed("concat"),
    "Dropout": lambda layer: {"op": "dropout", "rate": layer.get_config()["rate"]},
}  # fmt: skip


def _with_pads(nodes: list[Node]) -> list[Node]:
    """Zeros around the input of a convolution are its padding, as users of other runtimes write it; those around a
    maximum too where nothing is below zero."""
    by_name, users, gone = {n["name"]: dict(n) for n in nodes}, _users(nodes), set()
    for node in by_name.values():
        before = by_name.get(node["inputs"][0]) if node["inputs"] else None
        if before and before["op"] == "pad" and users[before["name"]] == 1:
            source = by_name[before["inputs"][0]]
            if node["op"] == "conv" or (node["op"] == "max_pool" and source.get("function") in ("relu", "relu6")):
                node["pads"] = [[a + c, b + d] for (a, b), (c, d) in zip(before["pads"], node["pads"])]
                node["inputs"] = before["inputs"]
                gone.add(before["name"])
    return [node for node in by_name.values() if node["name"] not in gone]


def _with_flattened(nodes: list[Node]) -> list[Node]:
    """A dense layer after `flatten` says which shape (...spatial, channels) its rows come from."""
    shapes = {n["name"]: n["shape"] for n in nodes if n["op"] == "flatten"}
    found = []
    for node in nodes:
        if node["op"] == "dropout" and node["inputs"][0] in shapes:
            shapes[node["name"]] = shapes[node["inputs"][0]]
        flattened = shapes.get(node["inputs"][0]) if node["op"] == "dense" else None
        found.append({**node, "flattened": flattened} if flattened else node)
    return found


# --- weights, channels first --------------------------------------------------------------------------------------


def conv_weight(node: Node, kernel: np.ndarray) -> np.ndarray:
    """(...kernel, in/groups, out) to (out, in/groups, ...kernel); depthwise ones to (c * m, 1, ...kernel)."""
    if node["depthwise"]:
        kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def transposed_weight(kernel: np.ndarray) -> np.ndarray:
    """(...kernel, out, in) to (in, out, ...kernel)."""
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def dense_weight(node: Node, kernel: np.ndarray) -> np.ndarray:
    """(in, out) to (out, in), its rows in the order of channels-first flattening where the input was flattened."""
    shape = node.get("flattened")
    if shape:
        kernel = np.moveaxis(kernel.reshape(*shape, -1), -2, 0).reshape(kernel.shape)
    return np.ascontiguousarray(kernel.T)


def folded(nodes: list[Node], arrays: Arrays) -> tuple[list[Node], Arrays]:
    """Without the batch normalizations that follow a convolution directly: they go into its kernel and bias."""
    arrays, users = list(arrays), _users(nodes)
    by_name = {n["name"]: dict(n) for n in nodes}
    renamed: dict[str, str] = {}
    for node in nodes:
        before = by_name.get(node["inputs"][0]) if node["op"] == "batch_norm" else None
        if before and before["op"] == "conv" and users[before["name"]] == 1:
            _fold(before, node, arrays)
            renamed[node["name"]] = before["name"]
    kept = [by_name[n["name"]] for n in nodes if n["name"] not in renamed]
    return [{**n, "inputs": [renamed.get(i, i) for i in n["inputs"]]} for n in kept], arrays


def _users(nodes: list[Node]) -> dict[str, int]:
    counts = {n["name"]: 0 for n in nodes}
    for node in nodes:
        for name in node["inputs"]:
            counts[name] += 1
    return counts


def _fold(conv: Node, norm: Node, arrays: Arrays) -> None:
    scale, shift = affine(norm, arrays)
    kernel = arrays[conv["weights"][0]].astype(np.float64)
    factors = scale.reshape(kernel.shape[-2:]) if conv["depthwise"] else scale
    bias = arrays[conv["weights"][1]] if len(conv["weights"]) > 1 else np.zeros(len(scale))
    arrays += [(kernel * factors).astype(np.float32), (bias * scale + shift).astype(np.float32)]
    conv["weights"] = [len(arrays) - 2, len(arrays) - 1]


def affine(norm: Node, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """A batch normalization at inference as y = scale * x + shift, in float64."""
    values = [arrays[i].astype(np.float64) for i in norm["weights"]]
    gamma = values.pop(0) if norm["scale"] else 1.0
    beta = values.pop(0) if norm["center"] else 0.0
    mean, variance = values
    scale = gamma / np.sqrt(variance + norm["epsilon"])
    return scale, beta - mean * scale
