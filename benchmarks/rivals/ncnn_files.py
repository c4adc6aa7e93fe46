"""Writes a list of nodes (benchmarks.nodes) in ncnn's format: a text file of layers, a binary file of weights.

Activations go into the convolution or dense layer before them, as ncnn's own converter does. A value that several
layers read passes through a `Split`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import nodes as plain

Node = dict[str, Any]
Parameters = dict[int, Any]
INPUT, OUTPUT = "in", "out"
MAGIC = 7767517
RAW = np.zeros(1, np.int32).tobytes()  # the mark before weights: plain float32
FUSED = {"relu": (1, []), "relu6": (3, [0.0, 6.0]), "sigmoid": (4, [])}


def write(nodes: list[Node], arrays: list[np.ndarray], param: str, binary: str) -> None:
    """Writes both files. KeyError for a node that ncnn's writer does not know."""
    nodes, arrays = plain.folded(_without_dropout(nodes), arrays)
    nodes = _with_splits(_fused(nodes))
    lines, blobs = [], b""
    for node in nodes:
        kind, parameters, data = MAKERS[node["op"]](node, [arrays[i] for i in node["weights"]])
        lines.append(_line(kind, node, parameters))
        blobs += data
    count = sum(len(node["outputs"]) for node in nodes)
    Path(param).write_text("\n".join([str(MAGIC), f"{len(nodes)} {count}", *lines, ""]))
    Path(binary).write_bytes(blobs)


def _line(kind: str, node: Node, parameters: Parameters) -> str:
    names = [*node["inputs"], *node["outputs"]]
    head = [kind, node["name"], str(len(node["inputs"])), str(len(node["outputs"])), *names]
    return " ".join([*head, *(f"{key}={_value(value)}" for key, value in parameters.items())])


def _value(value: Any) -> str:
    return ",".join([str(len(value)), *map(str, value)]) if isinstance(value, list) else str(value)


# --- the graph ----------------------------------------------------------------------------------------------------


def _without_dropout(nodes: list[Node]) -> list[Node]:
    gone = {n["name"]: n["inputs"][0] for n in nodes if n["op"] == "dropout"}

    def source(name: str) -> str:
        return source(gone[name]) if name in gone else name

    return [{**n, "inputs": [source(i) for i in n["inputs"]]} for n in nodes if n["name"] not in gone]


def _fused(nodes: list[Node]) -> list[Node]:
    """Activations inside the layer before them where that one is read by nobody else."""
    users = plain._users(nodes)
    by_name: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in nodes:
        node = {**node, "inputs": [renamed.get(i, i) for i in node["inputs"]]}
        before = by_name.get(node["inputs"][0]) if node["op"] == "activation" else None
        fits = before and before["op"] in ("conv", "conv_transpose", "dense") and "fused" not in before
        if before and fits and node["function"] in FUSED and users[before["name"]] == 1:
            before["fused"] = node["function"]
            renamed[node["name"]] = before["name"]
        else:
            by_name[node["name"]] = node
    return list(by_name.values())


def _with_splits(nodes: list[Node]) -> list[Node]:
    """Every value gets as many names as it has readers; the last node's is OUTPUT, the first one's INPUT."""
    users, taken, found = plain._users(nodes), dict.fromkeys((n["name"] for n in nodes), 0), []

    def read(name: str) -> str:
        taken[name] += 1
        return _blob(nodes, name) if users[name] < 2 else f"{_blob(nodes, name)}_{taken[name] - 1}"

    for node in nodes:
        blob, readers = _blob(nodes, node["name"]), users[node["name"]]
        found.append({**node, "inputs": [read(i) for i in node["inputs"]], "outputs": [blob]})
        if readers > 1:
            outputs = [f"{blob}_{i}" for i in range(readers)]
            split = {"name": f"split_{blob}", "op": "split", "weights": [], "inputs": [blob], "outputs": outputs}
            found.append(split)
    return found


def _blob(nodes: list[Node], name: str) -> str:
    return {nodes[0]["name"]: INPUT, nodes[-1]["name"]: OUTPUT}.get(name, f"v_{name}")


# --- the layers ---------------------------------------------------------------------------------------------------

Made = tuple[str, Parameters, bytes]


def _activation(node: Node) -> Parameters:
    number, values = FUSED[node["fused"]] if "fused" in node else (0, [])
    return {9: number, **({-23310: values} if values else {})}


def _window(node: Node) -> Parameters:
    """Kernel, stride and padding under the numbers that convolutions use; 1D ones have the width alone."""
    (kernel, stride, pads), rank = (node["kernel"], node["strides"], node["pads"]), len(node["kernel"])
    if rank not in (1, 2):
        raise KeyError(f"{node['name']}: {rank} spatial axes")
    found = {1: kernel[-1], 3: stride[-1], 4: pads[-1][0], 15: pads[-1][1]}
    return found | ({11: kernel[0], 13: stride[0], 14: pads[0][0], 16: pads[0][1]} if rank == 2 else {})


def _numbers(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, np.float32).tobytes()


def _bias(arrays: list[np.ndarray]) -> bytes:
    return _numbers(arrays[1]) if len(arrays) > 1 else b""


def _conv(node: Node, arrays: list[np.ndarray]) -> Made:
    weight = plain.conv_weight(node, arrays[0])
    dilation = dict(zip((12, 2), node["dilation"])) if len(node["kernel"]) == 2 else {2: node["dilation"][0]}
    shape = {0: weight.shape[0], **_window(node), **dilation, 5: int(len(arrays) > 1), 6: weight.size}
    kind = "Convolution1D" if len(node["kernel"]) == 1 else "Convolution"
    if node["groups"] > 1:
        kind = kind.replace("Convolution", "ConvolutionDepthWise")
        shape[7] = node["groups"]
    return kind, {**shape, **_activation(node)}, RAW + _numbers(weight) + _bias(arrays)


def _conv_transpose(node: Node, arrays: list[np.ndarray]) -> Made:
    """Its kernels are (out, in, ...)."""
    weight = np.moveaxis(arrays[0], (-2, -1), (0, 1))
    shape = {0: weight.shape[0], **_window(node), 2: 1, 12: 1, 5: int(len(arrays) > 1), 6: weight.size}
    shape |= {18: node["extra"][-1], 19: node["extra"][0]}
    return "Deconvolution", {**shape, **_activation(node)}, RAW + _numbers(weight) + _bias(arrays)


def _dense(node: Node, arrays: list[np.ndarray]) -> Made:
    weight = plain.dense_weight(node, arrays[0])
    shape = {0: weight.shape[0], 1: int(len(arrays) > 1), 2: weight.size}
    return "InnerProduct", {**shape, **_activation(node)}, RAW + _numbers(weight) + _bias(arrays)


def _batch_norm(node: Node, arrays: list[np.ndarray]) -> Made:
    scale, shift = plain.affine({**node, "weights": list(range(len(arrays)))}, arrays)
    zeros, ones = np.zeros_like(scale), np.ones_like(scale)
    return "BatchNorm", {0: len(scale), 1: 0.0}, b"".join(map(_numbers, (scale, zeros, ones, shift)))


def _pool(number: int) -> Callable[[Node, list[np.ndarray]], Made]:
    def make(node: Node, arrays: list[np.ndarray]) -> Made:
        (kernel, stride, pads), rank = (node["kernel"], node["strides"], node["pads"]), len(node["kernel"])
        found = {0: number, 1: kernel[-1], 2: stride[-1], 3: pads[-1][0], 14: pads[-1][1], 5: 1}
        if rank == 2:
            found |= {11: kernel[0], 12: stride[0], 13: pads[0][0], 15: pads[0][1]}
        return "Pooling1D" if rank == 1 else "Pooling", found, b""

    return make


def _function(node: Node, arrays: list[np.ndarray]) -> Made:
    kinds: dict[str, tuple[str, Parameters]] = {
        "relu": ("ReLU", {}), "relu6": ("Clip", {0: 0.0, 1: 6.0}), "sigmoid": ("Sigmoid", {}), "tanh": ("TanH", {}),
        "softmax": ("Softmax", {0: 0, 1: 1}),
    }  # fmt: skip
    kind, parameters = kinds[node["function"]]
    return kind, parameters, b""


def _pad(node: Node, arrays: list[np.ndarray]) -> Made:
    (top, bottom), (left, right) = node["pads"] if len(node["pads"]) == 2 else [[0, 0], *node["pads"]]
    return "Padding", {0: top, 1: bottom, 2: left, 3: right, 4: 0, 5: 0.0}, b""


def _add(node: Node, arrays: list[np.ndarray]) -> Made:
    return ("BinaryOp", {0: 0}, b"") if len(node["inputs"]) == 2 else ("Eltwise", {0: 1}, b"")


def _fixed(kind: str, parameters: Parameters) -> Callable[[Node, list[np.ndarray]], Made]:
    return lambda node, arrays: (kind, parameters, b"")


MAKERS: dict[str, Callable[[Node, list[np.ndarray]], Made]] = {
    "input": _fixed("Input", {}), "split": _fixed("Split", {}), "flatten": _fixed("Flatten", {}),
    "conv": _conv, "conv_transpose": _conv_transpose, "dense": _dense, "batch_norm": _batch_norm,
    "max_pool": _pool(0), "average_pool": _pool(1), "activation": _function, "pad": _pad,
    "global_average_pool": _fixed("Pooling", {0: 1, 4: 1}), "global_max_pool": _fixed("Pooling", {0: 0, 4: 1}),
    "add": _add, "concat": _fixed("Concat", {0: 0}),
}  # fmt: skip
