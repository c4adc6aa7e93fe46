"""What a layer costs: its parameters and its multiply-adds, counted from its settings."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from striate.layers.convolutional.base import BaseConv
from striate.layers.convolutional.depthwise import BaseDepthwiseConv
from striate.layers.convolutional.separable import BaseSeparableConv
from striate.layers.convolutional.transpose import BaseConvTranspose
from striate.layers.dense import Dense
from striate.layers.pooling import BasePooling

from .prose import Line


class Cost(NamedTuple):
    """Numbers, None where they depend on a size that is not known, and how they come about. Multiply-adds are those of
    convolutions and dense layers."""

    parameters: int | None
    multiply_adds: int | None
    parameters_text: str = ""
    multiply_adds_text: str = ""

    def lines(self) -> list[Line]:
        """For a derivation."""
        words = (("parameters", self.parameters_text), ("multiply-adds", self.multiply_adds_text))
        return [Line(label, text) for label, text in words if text]


def cost_of(layer: Any, input_shape: Any, output_shape: Any) -> Cost:
    """The cost of one call for one sample."""
    if isinstance(layer, BaseConv):
        return _convolution(layer, input_shape, output_shape)
    if isinstance(layer, Dense):
        return _dense(layer, input_shape)
    if isinstance(layer, BasePooling):
        text = f"none: {_times(layer.pool_size)} numbers are compared or added for each output"
        return Cost(0, 0, "none", text)
    built = getattr(layer, "built", None)
    count = layer.count_params() if built else 0 if built is None or not hasattr(layer, "build") else None
    return Cost(count, 0)


def _convolution(layer: Any, input_shape: Any, output_shape: Any) -> Cost:
    _, channels = layer._split(input_shape)
    moved = input_shape if isinstance(layer, BaseConvTranspose) else output_shape  # the places where the kernel is put
    places, _ = layer._split(moved)
    if channels is None:
        return Cost(None, None, "depend on the channels of the input", "")
    filters = layer._output_channels(input_shape)
    terms = _weights(layer, channels, filters)
    bias = filters if layer.use_bias else 0
    weights = sum(math.prod(t) for t in terms)
    words = " + ".join([*("·".join(map(str, t)) for t in terms), *([str(bias)] if bias else [])])
    total = weights + bias
    said = f"{words} = {total:,}" + (f" ({bias} of them the bias)" if bias else "")
    return Cost(total, *_multiplied(layer, places, weights, words.removesuffix(f" + {bias}"), said))


def _multiplied(layer: Any, places: Any, weights: int, words: str, said: str) -> tuple[int | None, str, str]:
    at = "inputs" if isinstance(layer, BaseConvTranspose) else "outputs"
    if None in places:
        return None, said, f"{weights:,} at each of the {at}"
    count = math.prod(places) * weights
    kernel = f"({words})" if "+" in words else words
    return count, said, f"{_times(places)} places · {kernel} = {count:,}"


def _weights(layer: Any, channels: int, filters: int) -> list[tuple[int, ...]]:
    """The kernels' sizes: factors whose product is the number of weights."""
    kernel = tuple(layer.kernel_size)
    if isinstance(layer, BaseSeparableConv):
        return [(*kernel, channels, layer.depth_multiplier), (channels * layer.depth_multiplier, filters)]
    if isinstance(layer, BaseDepthwiseConv):
        return [(*kernel, channels, layer.depth_multiplier)]
    return [(*kernel, channels // layer.groups, filters)]


def _dense(layer: Any, input_shape: Any) -> Cost:
    features, places = input_shape[-1], input_shape[1:-1]
    if features is None:
        return Cost(None, None)
    weights, bias = features * layer.units, layer.units if layer.use_bias else 0
    text = f"{features}·{layer.units}{f' + {bias}' if bias else ''} = {weights + bias:,}"
    multiply = None if None in places else weights * math.prod(places)
    return Cost(weights + bias, multiply, text, "" if multiply is None else f"{multiply:,}")


def _times(sizes: Any) -> str:
    return "x".join(str(n) for n in sizes)


def short(number: int | None) -> str:
    """`1.23 M` for 1,230,000; `?` where it is not known."""
    if number is None:
        return "?"
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**4, "k")):
        if number >= size:
            return f"{number / (1000 if unit == 'k' else size):.3g} {unit}"
    return f"{number:,}"
