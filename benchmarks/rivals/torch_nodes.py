"""A list of nodes (benchmarks.nodes) as a PyTorch module, channels first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import nodes as plain

Node = dict[str, Any]
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM = {3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d, 2: nn.BatchNorm1d}
MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "linear": lambda x: x,
    "softmax": lambda x: F.softmax(x, dim=1), "gelu": F.gelu, "silu": F.silu, "elu": F.elu,
}  # fmt: skip


class NodeModule(nn.Module):
    """Runs the nodes in order; batch normalizations after convolutions go into these with `fold`."""

    def __init__(self, nodes: list[Node], arrays: list[np.ndarray], fold: bool) -> None:
        super().__init__()
        if fold:
            nodes, arrays = plain.folded(nodes, arrays)
        self.nodes = nodes
        self.parts = nn.ModuleList([_module(node, arrays) for node in nodes])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: dict[str, torch.Tensor] = {}
        for node, part in zip(self.nodes, self.parts):
            inputs = [values[name] for name in node["inputs"]]
            values[node["name"]] = x if node["op"] == "input" else part(*inputs)
        return values[self.nodes[-1]["name"]]


class _Apply(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


def _module(node: Node, arrays: list[np.ndarray]) -> nn.Module:
    made = MAKERS[node["op"]](node, [arrays[i] for i in node["weights"]])
    return made if isinstance(made, nn.Module) else _Apply(made)


def _even(pads: list[list[int]]) -> list[int] | None:
    return [low for low, _ in pads] if all(low == high for low, high in pads) else None


def _pad(pads: list[list[int]], value: float = 0.0) -> Callable[[torch.Tensor], torch.Tensor]:
    flat = [size for pair in reversed(pads) for size in pair]
    return lambda x: F.pad(x, flat, value=value)


def _fill(module: nn.Module, weight: np.ndarray, bias: np.ndarray | None) -> None:
    module.weight.data = torch.from_numpy(weight)
    if bias is not None:
        module.bias.data = torch.from_numpy(bias.copy())


def _conv(node: Node, arrays: list[np.ndarray]) -> nn.Module:
    weight = plain.conv_weight(node, arrays[0])
    padding = _even(node["pads"])
    made = CONV[len(node["kernel"])](
        weight.shape[1] * node["groups"], weight.shape[0], node["kernel"], node["strides"], padding or 0,
        node["dilation"], node["groups"], bias=len(arrays) > 1,
    )  # fmt: skip
    _fill(made, weight, arrays[1] if len(arrays) > 1 else None)
    return made if padding is not None else nn.Sequential(_Apply(_pad(node["pads"])), made)


def _conv_transpose(node: Node, arrays: list[np.ndarray]) -> nn.Module:
    """PyTorch takes one padding per axis: the smaller one; the rest is cut off, or added at the end."""
    weight = plain.transposed_weight(arrays[0])
    low = [min(pair) for pair in node["pads"]]
    made = CONV_TRANSPOSE[len(node["kernel"])](
        weight.shape[0], weight.shape[1], node["kernel"], node["strides"], low, bias=len(arrays) > 1
    )
    _fill(made, weight, arrays[1] if len(arrays) > 1 else None)
    rest = [[p - a for p in pair] for pair, a in zip(node["pads"], low)]
    added = [[-first, extra - last] for (first, last), extra in zip(rest, node["extra"])]
    if not any(any(pair) for pair in added):
        return made
    return nn.Sequential(made, _Apply(_pad(added)))


def _batch_norm(node: Node, arrays: list[np.ndarray]) -> nn.Module:
    return _BatchNorm(node, [torch.from_numpy(a.copy()) for a in arrays])


class _BatchNorm(nn.Module):
    def __init__(self, node: Node, arrays: list[torch.Tensor]) -> None:
        super().__init__()
        self.epsilon = node["epsilon"]
        self.weight = nn.Parameter(arrays.pop(0)) if node["scale"] else None
        self.bias = nn.Parameter(arrays.pop(0)) if node["center"] else None
        self.register_buffer("mean", arrays[0])
        self.register_buffer("variance", arrays[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, self.training, 0.01, self.epsilon)


def _pool(functions: dict[int, Callable[..., torch.Tensor]], lowest: float) -> Callable[..., Any]:
    def make(node: Node, arrays: list[np.ndarray]) -> Callable[[torch.Tensor], torch.Tensor]:
        pool, padding = functions[len(node["kernel"])], _even(node["pads"])
        if padding is not None and not (any(padding) and lowest == 0.0):
            return lambda x: pool(x, node["kernel"], node["strides"], padding)
        if lowest == 0.0:
            raise ValueError(f"{node['name']}: padded average pooling")
        pad = _pad(node["pads"], lowest)
        return lambda x: pool(pad(x), node["kernel"], node["strides"])

    return make


def _dense(node: Node, arrays: list[np.ndarray]) -> nn.Module:
    weight = plain.dense_weight(node, arrays[0])
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=len(arrays) > 1)
    _fill(made, weight, arrays[1] if len(arrays) > 1 else None)
    return made


def _mean(node: Node, arrays: list[np.ndarray]) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x.mean(dim=tuple(range(2, x.ndim)))


MAKERS: dict[str, Callable[[Node, list[np.ndarray]], Any]] = {
    "input": lambda n, a: nn.Identity(), "conv": _conv, "conv_transpose": _conv_transpose, "batch_norm": _batch_norm,
    "activation": lambda n, a: ACTIVATIONS[n["function"]], "dense": _dense, "global_average_pool": _mean,
    "max_pool": _pool(MAX_POOL, -float("inf")), "average_pool": _pool(AVERAGE_POOL, 0.0),
    "global_max_pool": lambda n, a: lambda x: x.amax(dim=tuple(range(2, x.ndim))),
    "add": lambda n, a: lambda *xs: sum(xs[1:], xs[0]), "concat": lambda n, a: lambda *xs: torch.cat(xs, 1),
    "flatten": lambda n, a: nn.Flatten(), "dropout": lambda n, a: nn.Dropout(n["rate"]),
    "pad": lambda n, a: _pad(n["pads"]),
}  # fmt: skip
