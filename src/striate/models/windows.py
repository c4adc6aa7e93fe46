"""How each kind of layer works along its spatial axes, as `core.window` counts: what sizes, and who sees whom."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from striate.core import window
from striate.core.window import Padding, Pair, Size, Span
from striate.layers.activation import PReLU, Softmax, _ActivationLayer
from striate.layers.convolutional.base import BaseConv
from striate.layers.convolutional.transpose import BaseConvTranspose
from striate.layers.core import Activation, Dropout, Identity, Masking, Rescaling
from striate.layers.dense import Dense
from striate.layers.input_layer import InputLayer
from striate.layers.merging import Concatenate, Dot, Merge
from striate.layers.noise import ActivityRegularization, _Noise
from striate.layers.normalization import BatchNormalization
from striate.layers.normalization_layer import LayerNormalization, RMSNormalization, UnitNormalization
from striate.layers.normalization_spectral import SpectralNormalization
from striate.layers.pooling import BaseAdaptivePooling, BaseGlobalPooling, BasePooling
from striate.layers.preprocessing.normalization import Normalization
from striate.layers.reshaping import BaseCropping, BaseUpSampling, BaseZeroPadding
from striate.trace import FunctionOperation

ALL: Span = (-math.inf, math.inf)
_CELLWISE = (
    InputLayer, Activation, _ActivationLayer, PReLU, Identity, Masking, Dropout, Rescaling, _Noise, Normalization,
    ActivityRegularization, BatchNormalization,
)  # fmt: skip
_CHANNELWISE = (LayerNormalization, RMSNormalization, UnitNormalization, Softmax, Concatenate)
_FUNCTIONS = {
    "abs", "add", "cast", "celu", "clip", "divide", "elu", "exp", "gelu", "hard_sigmoid", "hard_silu", "hard_swish",
    "hard_tanh", "leaky_relu", "log", "log_sigmoid", "maximum", "minimum", "mish", "multiply", "negative", "power",
    "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "sqrt", "square", "subtract", "swish", "tanh",
    "true_divide", "where", "zeros_like", "ones_like",
}  # fmt: skip
_TAPS = {"nearest": 0, "bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


class Axis(NamedTuple):
    """How a layer works along one spatial axis.

    Attributes:
        kind: `"window"` (convolution, pooling), `"transposed"`, `"adaptive"`, `"global"`, `"shift"` (zeros around
            it, or cells taken away), `"resize"` or `"cell"` (each cell by itself).
        i, o: sizes of the input and the output.
        k, s, d: kernel, stride, dilation; of `"resize"`, s is the factor and k the cells read on either side.
        padding: a name or a pair. extra: `output_padding`.
    """

    kind: str
    i: Size = None
    k: int = 1
    s: int = 1
    padding: Padding = (0, 0)
    d: int = 1
    extra: Size = None
    o: Size = None

    @property
    def pads(self) -> Pair | None:
        """Zeros before and after; of a transposed convolution, those of the convolution that it belongs to."""
        if self.kind == "transposed":
            return window.transposed_pads(self.i, self.k, self.s, self.padding, self.d, self.extra)
        return window.pads(self.padding, self.i, self.k, self.s, self.d)

    @property
    def step(self) -> int | float:
        """How many input cells lie between what two neighbouring outputs see."""
        return 1 / self.s if self.kind in ("transposed", "resize") else self.s

    def back(self, span: Span) -> Span:
        """The input positions that the outputs in `span` see; nothing sees nothing."""
        if span[0] > span[1]:
            return span
        if self.kind == "global" or math.isinf(span[0]):
            return ALL
        return _BACK[self.kind](self, span)


def _through_window(axis: Axis, span: Span) -> Span:
    return window.seen(span, axis.k, axis.s, (axis.pads or (0, 0))[0], axis.d)


def _through_transposed(axis: Axis, span: Span) -> Span:
    return window.seen_transposed(span, axis.k, axis.s, (axis.pads or (0, 0))[0], axis.d)


def _through_adaptive(axis: Axis, span: Span) -> Span:
    if axis.i is None or axis.o is None:
        return ALL
    return window.seen_adaptive(span, axis.i, axis.o)


def _through_resize(axis: Axis, span: Span) -> Span:
    if axis.k == 0:
        return span[0] // axis.s, span[1] // axis.s
    first, last = ((n + 0.5) / axis.s - 0.5 for n in span)
    return math.floor(first) - axis.k + 1, math.ceil(last) + axis.k - 1


_BACK = {
    "window": _through_window,
    "transposed": _through_transposed,
    "adaptive": _through_adaptive,
    "resize": _through_resize,
    "shift": _through_window,
    "cell": lambda axis, span: span,
}


def axes_of(layer: Any, input_shape: Any) -> tuple[Axis, ...] | None:
    """How `layer` works along each spatial axis of an input of `input_shape` `(batch, ...)`; None where that is not
    known, as of layers of the user's own, and where the output's cells are no places any more."""
    if isinstance(layer, SpectralNormalization):
        return axes_of(layer.layer, input_shape)
    if isinstance(layer, BaseConv | BasePooling | BaseGlobalPooling | BaseAdaptivePooling):
        return _windowed(layer, layer._split(input_shape)[0])
    if isinstance(layer, BaseZeroPadding | BaseCropping | BaseUpSampling):
        return _moved(layer, layer._spatial(input_shape))
    if _is_cellwise(layer, input_shape):
        return tuple(Axis("cell", n) for n in input_shape[1:-1])
    return None


def _windowed(layer: Any, spatial: Any) -> tuple[Axis, ...]:
    if isinstance(layer, BaseGlobalPooling):
        return tuple(Axis("global", n, o=1) for n in spatial)
    if isinstance(layer, BaseAdaptivePooling):
        return tuple(Axis("adaptive", i, o=o) for i, o in zip(spatial, layer.output_size, strict=True))
    rank = layer.rank
    paddings = (layer.padding,) * rank if isinstance(layer.padding, str) else layer.padding
    if isinstance(layer, BaseConvTranspose):
        extra = layer._extra(spatial) or (None,) * rank
        sizes = zip(spatial, layer.kernel_size, layer.strides, paddings, layer.dilation_rate, extra, strict=True)
        return tuple(_transposed(*axis) for axis in sizes)
    kernel = layer.kernel_size if isinstance(layer, BaseConv) else layer.pool_size
    dilation = layer.dilation_rate if isinstance(layer, BaseConv) else (1,) * rank
    settings = zip(spatial, kernel, layer.strides, paddings, dilation, strict=True)
    return tuple(Axis("window", i, k, s, p, d, o=window.output_size(i, k, s, p, d)) for i, k, s, p, d in settings)


def _transposed(i: Size, k: int, s: int, padding: Padding, d: int, extra: Size) -> Axis:
    return Axis("transposed", i, k, s, padding, d, extra, window.transposed_size(i, k, s, padding, d, extra))


def _moved(layer: Any, spatial: Any) -> tuple[Axis, ...]:
    if isinstance(layer, BaseUpSampling):
        taps = _TAPS[getattr(layer, "interpolation", "nearest")]
        sizes = zip(spatial, layer.size, strict=True)
        return tuple(Axis("resize", i, taps, s, o=None if i is None else i * s) for i, s in sizes)
    cut = isinstance(layer, BaseCropping)
    pairs = [(-a, -b) for a, b in layer.cropping] if cut else layer.padding
    ends = zip(spatial, pairs, strict=True)
    return tuple(Axis("shift", i, padding=p, o=None if i is None else i + sum(p)) for i, p in ends)


def _is_cellwise(layer: Any, input_shape: Any) -> bool:
    """Whether each output cell depends on that cell alone, over all channels."""
    if isinstance(layer, FunctionOperation):
        return layer.fn.__name__ in _FUNCTIONS
    if isinstance(layer, _CHANNELWISE):
        axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
        return all(a in (-1, len(input_shape) - 1) for a in axes)
    return isinstance(layer, (*_CELLWISE, Dense)) or (isinstance(layer, Merge) and not isinstance(layer, Dot))
