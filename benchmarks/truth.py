"""A chain of 3x3 convolutions in float64 with NumPy, tap by tap: what VGG-19's features are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Node = dict[str, Any]


def features(nodes: list[Node], arrays: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Runs a chain of input, convolutions (stride 1), ReLUs and 2x2 poolings. KeyError for other nodes."""
    y = x.astype(np.float64)
    for node in nodes:
        y = OPS[node["op"]](node, [arrays[i].astype(np.float64) for i in node["weights"]], y)
    return y


def _conv(node: Node, arrays: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    kernel, bias = arrays
    height, width = x.shape[1:3]
    padded = np.pad(x, [(0, 0), *map(tuple, node["pads"]), (0, 0)])
    y = np.zeros((*x.shape[:3], kernel.shape[-1])) + bias
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            y += padded[:, i : i + height, j : j + width] @ kernel[i, j]
    return y


def _max_pool(node: Node, arrays: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    n, height, width, c = x.shape
    return x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, c).max((2, 4))


def _activation(node: Node, arrays: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    return {"relu": lambda: np.maximum(x, 0)}[node["function"]]()


OPS: dict[str, Callable[[Node, list[np.ndarray], np.ndarray], np.ndarray]] = {
    "input": lambda node, arrays, x: x, "conv": _conv, "max_pool": _max_pool, "activation": _activation,
}  # fmt: skip
