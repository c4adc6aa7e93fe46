"""A list of nodes (benchmarks.nodes) as an ONNX file, channels first: what ONNX Runtime and OpenVINO are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import nodes as plain

Node = dict[str, Any]
OPSET, IR_VERSION = 17, 8
FUNCTIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "elu": "Elu", "softmax": "Softmax"}


def write(nodes: list[Node], arrays: list[np.ndarray], output: tuple[int | None, ...], path: Path) -> None:
    """Writes the file; the batch is left open. `output` is the result's shape, channels
    last. KeyError for a node that is not known here.
    """
    graph = _Graph(arrays)
    for node in nodes:
        graph.add(node)
    shapes = [["n", shape[-1], *shape[:-1]] for shape in (nodes[0]["shape"], output[1:])]
    x = helper.make_tensor_value_info(nodes[0]["name"], TensorProto.FLOAT, shapes[0])
    y = helper.make_tensor_value_info(nodes[-1]["name"], TensorProto.FLOAT, shapes[1])
    made = helper.make_graph(graph.nodes, "model", [x], [y], graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = arrays
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, node: Node) -> None:
        if node["op"] != "input":
            MAKERS[node["op"]](self, node, [self.arrays[i] for i in node["weights"]])

    def put(self, kind: str, node: Node, weights: list[np.ndarray], **attributes: Any) -> None:
        """One ONNX node with its weights behind its inputs."""
        names = [f"{node['name']}.{i}" for i in range(len(weights))]
        self.weights += [numpy_helper.from_array(np.ascontiguousarray(w), n) for w, n in zip(weights, names)]
        self.nodes.append(helper.make_node(kind, [*node["inputs"], *names], [node["name"]], node["name"], **attributes))


def _window(node: Node) -> dict[str, Any]:
    pads = [low for low, _ in node["pads"]] + [high for _, high in node["pads"]]
    return {"kernel_shape": node["kernel"], "strides": node["strides"], "pads": pads}


def _conv(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
    weights = [plain.conv_weight(node, arrays[0]), *arrays[1:]]
    graph.put("Conv", node, weights, **_window(node), dilations=node["dilation"], group=node["groups"])


def _conv_transpose(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
    weights = [plain.transposed_weight(arrays[0]), *arrays[1:]]
    graph.put("ConvTranspose", node, weights, **_window(node), output_padding=node["extra"])


def _batch_norm(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
    values = list(arrays)
    gamma = values.pop(0) if node["scale"] else np.ones_like(arrays[-1])
    beta = values.pop(0) if node["center"] else np.zeros_like(arrays[-1])
    graph.put("BatchNormalization", node, [gamma, beta, *values], epsilon=node["epsilon"])


def _activation(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
    if node["function"] == "relu6":
        graph.put("Clip", node, [np.float32(0), np.float32(6)])
    else:
        graph.put(FUNCTIONS[node["function"]], node, [], **({"axis": 1} if node["function"] == "softmax" else {}))


def _dense(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
    graph.put("Gemm", node, [plain.dense_weight(node, arrays[0]), *arrays[1:]], transB=1)


def _flat(kind: str) -> Callable[[_Graph, Node, list[np.ndarray]], None]:
    """A global pooling, then without the axes of size 1."""

    def make(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
        pooled = f"{node['name']}.pooled"
        graph.put(kind, {**node, "name": pooled}, [])
        graph.put("Flatten", {**node, "inputs": [pooled]}, [])

    return make


def _plain(kind: str, **attributes: Any) -> Callable[[_Graph, Node, list[np.ndarray]], None]:
    return lambda graph, node, arrays: graph.put(kind, node, [], **attributes)


def _pad(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
    low, high = zip(*[(0, 0), (0, 0), *node["pads"]])
    graph.put("Pad", node, [np.array([*low, *high], np.int64)])


def _add(graph: _Graph, node: Node, arrays: list[np.ndarray]) -> None:
    graph.put("Add" if len(node["inputs"]) == 2 else "Sum", node, [])


MAKERS: dict[str, Callable[[_Graph, Node, list[np.ndarray]], None]] = {
    "conv": _conv, "conv_transpose": _conv_transpose, "batch_norm": _batch_norm, "activation": _activation,
    "max_pool": lambda g, n, a: g.put("MaxPool", n, [], **_window(n)),
    "average_pool": lambda g, n, a: g.put("AveragePool", n, [], **_window(n)),
    "global_average_pool": _flat("GlobalAveragePool"), "global_max_pool": _flat("GlobalMaxPool"), "dense": _dense,
    "flatten": _plain("Flatten"), "dropout": _plain("Identity"), "concat": _plain("Concat", axis=1), "add": _add,
    "pad": _pad,
}  # fmt: skip
