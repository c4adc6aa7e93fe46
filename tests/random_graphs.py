"""Random graphs of primitives: values of many shapes, weights and constants among them, joined by all kinds of ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.ir import Builder, Graph, Value, building, verify
from striate.primitives import get, infer_node

UNARY = ["neg", "abs", "tanh", "relu", "sigmoid", "sin", "softplus", "gelu", "silu", "elu", "square", "erf", "mish",
         "leaky_relu", "hard_sigmoid", "floor", "sign", "stop_gradient", "arctan", "relu6", "softsign"]  # fmt: skip
SMOOTH = ["neg", "tanh", "sigmoid", "sin", "softplus", "gelu", "silu", "erf", "mish", "arctan", "softsign", "square"]
BINARY = ["add", "add", "sub", "mul", "maximum", "minimum"]
SMOOTH_BINARY = ["add", "add", "sub", "mul"]
LIMIT = 6000


class GraphMaker:
    """Draws nodes over a growing list of float32 values. `smooth`: only what finite differences can follow."""

    def __init__(self, seed: int, smooth: bool = False, dtype: str = "float32") -> None:
        self.rng, self.smooth, self.dtype = np.random.default_rng(seed), smooth, dtype
        self.builder = Builder()
        self.arrays: list[np.ndarray] = []
        self.values: list[Value] = []

    def pick(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def some(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi + 1))

    def new(self, shape: tuple[int, ...]) -> Value:
        """An input, or a constant (for a scalar sometimes one that passes simplify away), of order 1."""
        array = self.rng.standard_normal(shape).astype(self.dtype)
        if self.rng.random() < 0.3:
            neutral = self.rng.random() < 0.5 and array.size == 1
            data = np.full(shape, self.pick([0.0, 1.0, -1.0]), self.dtype) if neutral else array
            return self.builder.constant(data)
        self.arrays.append(array)
        return self.builder.input(shape, self.dtype)

    def any(self) -> Value:
        return self.pick(self.values)

    def of_rank(self, lo: int, hi: int) -> Value:
        found = [v for v in self.values if lo <= len(v.shape) <= hi]
        return self.pick(found) if found else self.new(tuple(self.some(0, 5) for _ in range(self.some(lo, hi))))

    def axes(self, value: Value) -> tuple[int, ...]:
        return tuple(a for a in range(len(value.shape)) if self.rng.random() < 0.4)

    # Each method draws one node -------------------------------------------------------------------------------------

    def unary(self) -> Value:
        name = self.pick(SMOOTH if self.smooth else UNARY)
        x = self.any()
        params = {"gelu": {"approximate": bool(self.some(0, 1))}}.get(name, {})
        return get(name)(get("tanh")(x) if name == "square" else x, **params)

    def binary(self) -> Value:
        x = self.any()
        if self.rng.random() < 0.4:
            same = [v for v in self.values if v.shape == x.shape]
            y = self.pick(same)
        else:
            cut = tuple(1 if self.rng.random() < 0.4 else n for n in x.shape)
            y = self.new(cut[self.some(0, len(cut)) :])
        pair = (x, y) if self.rng.random() < 0.5 else (y, x)
        return get(self.pick(SMOOTH_BINARY if self.smooth else BINARY))(*pair)

    def choice(self) -> Value:
        x, y = self.any(), self.any()
        condition = get("greater")(x, self.builder.constant(np.zeros((), self.dtype)))
        return get("where")(condition, x, y) if x.shape == y.shape and not self.smooth else get("tanh")(x)

    def reduction(self) -> Value:
        x = self.any()
        axes = self.axes(x)
        if self.smooth or not all(x.shape[a] for a in axes):
            return get("reduce_sum")(get("tanh")(x), axes=axes, keepdims=bool(self.some(0, 1)))
        return get(self.pick(["reduce_sum", "reduce_max", "reduce_min", "logsumexp"]))(x, axes=axes, keepdims=False)

    def reshape(self) -> Value:
        x = self.any()
        sizes = [n for n in x.shape if n != 1]
        if self.rng.random() < 0.5 and x.size:
            sizes = [x.size]
        for _ in range(self.some(0, 2)):
            sizes.insert(self.some(0, len(sizes)), 1)
        return get("reshape")(x, shape=tuple(sizes[:7])) if len(sizes) < 7 else x

    def transpose(self) -> Value:
        x = self.any()
        return get("transpose")(x, axes=tuple(int(a) for a in self.rng.permutation(len(x.shape))))

    def slice(self) -> Value:
        x = self.any()
        starts = tuple(self.some(0, n) for n in x.shape)
        stops = tuple(self.some(a, n) for a, n in zip(starts, x.shape, strict=True))
        return get("slice")(x, starts=starts, stops=stops, steps=tuple(self.some(1, 2) for _ in x.shape))

    def pad(self) -> Value:
        x = self.any()
        widths = tuple((self.some(0, 2), self.some(0, 2)) for _ in x.shape)
        return get("pad")(x, widths=widths, mode="constant", value=float(self.some(-1, 1)))

    def concatenate(self) -> Value:
        x = self.of_rank(1, 5)
        return get("concatenate")(x, self.pick([x, get("tanh")(x)]), x, axis=self.some(0, len(x.shape) - 1))

    def softmax(self) -> Value:
        x = self.of_rank(1, 5)
        axis = self.some(0, len(x.shape) - 1)
        return get(self.pick(["softmax", "log_softmax"]))(x, axis=axis) if x.size else x

    def matmul(self) -> Value:
        x = self.of_rank(2, 4)
        k, n = x.shape[-1], self.some(0, 9)
        w = self.new((k, n)) if self.rng.random() < 0.6 else self.new((*x.shape[:-2], k, n))
        y = get("matmul")(get("tanh")(x), w)
        return self.affine(y) if self.rng.random() < 0.6 else y

    def conv(self) -> Value:
        x = self.of_rank(3, 5)
        if not 0 < x.shape[-1] <= 32:
            return x
        rank = len(x.shape) - 2
        kernel = tuple(self.some(1, 3) for _ in range(rank))
        padding = tuple((self.some(0, 2) + k // 2, k) for k in kernel)
        made = {"strides": tuple(self.some(1, 2) for _ in kernel), "padding": padding, "dilation": (1,) * rank}
        w = self.new((*kernel, x.shape[-1], self.some(1, 17)))
        y = get("conv")(get("tanh")(x), w, **made, groups=1)
        return self.affine(y) if self.rng.random() < 0.7 else y

    def affine(self, y: Value) -> Value:
        """What batch normalization becomes, and what the folding pass looks for, in several orders."""
        n = y.shape[-1]
        for name in self.pick(
            [["mul"], ["add"], ["mul", "add"], ["add", "mul"], ["sub", "mul", "add"], ["add", "add"]]
        ):
            ones = (1,) * self.some(0, len(y.shape) - 1)
            y = get(name)(y, self.new((*ones, n)))
        return y

    def node(self) -> Value:
        kinds = [
            *(self.unary, self.unary, self.binary, self.binary, self.binary, self.choice, self.reduction),
            *(self.reshape, self.transpose, self.slice, self.pad, self.concatenate, self.softmax),
            *(self.matmul, self.conv),
        ]
        return self.pick(kinds)()

    def graph(self, nodes: int) -> Graph:
        with building(self.builder):
            for _ in range(3):
                self.values.append(self.new(tuple(self.some(0 if self.rng.random() < 0.1 else 1, 6)
                                                  for _ in range(self.some(0, 4)))))  # fmt: skip
            while len(self.values) < nodes:
                made = self.node()
                if made.size <= LIMIT and len(made.shape) <= 6:
                    self.values.append(made)
            outputs = [self.any() for _ in range(self.some(1, 4))]
            outputs = [v if self.rng.random() < 0.2 else get("tanh")(v) for v in [*outputs, self.values[-1]]]
        return verify(self.builder.graph(outputs), infer_node)


def random_graph(seed: int, nodes: int = 20, smooth: bool = False, dtype: str = "float32") -> tuple[Graph, list[Any]]:
    """A graph and arrays for its inputs."""
    maker = GraphMaker(seed, smooth, dtype)
    graph = maker.graph(maker.some(4, nodes))
    return graph, maker.arrays
