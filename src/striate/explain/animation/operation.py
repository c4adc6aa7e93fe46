"""A layer and its input as numbers: where each window lies, what stands around the input, what the layer made of it.

Everything has three spatial axes here (depth, height, width); those that a layer lacks are of size 1 in front. Each
position comes from `core.window`, each result from the layer itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate import ops
from striate.core import window
from striate.core.errors import message
from striate.layers.convolutional.base import PADDING_MODES, BaseConv
from striate.layers.convolutional.depthwise import BaseDepthwiseConv
from striate.layers.convolutional.separable import BaseSeparableConv
from striate.layers.convolutional.transpose import BaseConvTranspose
from striate.layers.pooling import (
    BaseAdaptiveMaxPooling,
    BaseAdaptivePooling,
    BaseGlobalMaxPooling,
    BaseGlobalPooling,
    BaseLpPooling,
    BaseMaxPooling,
    BasePooling,
)

from .reading import Input, Result, lifted, run

Axis = tuple[tuple[int, ...], ...]  # per window: the positions that it covers, counted without the padding

_KNOWN = "convolutions (also depthwise and transposed ones) and pooling layers, for 1, 2 and 3 spatial axes"


@dataclass(frozen=True, eq=False)
class Operation:
    """One layer on one input.

    Attributes:
        kind: `"convolution"`, `"scatter"`, `"max"`, `"average"` or `"norm"`.
        rank: the layer's spatial axes.
        field: the input with what is around it, `(depth, height, width, channels)`.
        known: which of the field's cells are the input's own; `(depth, height, width)`.
        pads: cells around the input per axis, `(before, after)`.
        places: per axis and window the positions that it covers.
        y: what the layer gave, `(depth, height, width, filters)`.
        kernel: `(depth, height, width, channels / groups, filters)`; None for pooling.
        bias: one number per filter, or None.
        activation: its name, or "".
        power: the exponent of a norm.
        gaps: which of the field's cells are zeros put between the input's units.
        sizes: per axis of the layer, the chapter's formula as an argument list (see `formulas`).
    """

    kind: str
    rank: int
    field: np.ndarray
    known: np.ndarray
    pads: tuple[window.Pair, ...]
    places: tuple[Axis, ...]
    y: np.ndarray
    kernel: np.ndarray | None = None
    groups: int = 1
    bias: np.ndarray | None = None
    activation: str = ""
    power: float = 2.0
    gaps: np.ndarray | None = None
    dilation: tuple[int, ...] = (1, 1, 1)
    sizes: tuple[tuple[Any, ...], ...] = ()

    @property
    def filters(self) -> int:
        return int(self.y.shape[-1])

    @property
    def channels(self) -> int:
        return int(self.field.shape[-1])

    @property
    def weights(self) -> np.ndarray:
        """The kernel; for pooling an empty one."""
        return np.zeros((0, 0, 0, 0, 0)) if self.kernel is None else self.kernel

    def read_by(self, output: int) -> tuple[int, ...]:
        """The input channels that an output channel is made of."""
        if self.kernel is None:
            return (output,)
        each = self.kernel.shape[3]
        first = output // (self.filters // self.groups) * each
        return tuple(range(first, first + each))


def operation(layer: Any, x: Any) -> Operation:
    """`layer` run on `x`; for a transposed convolution, each input number scattered over the output.

    Raises:
        TypeError: for a layer that has no window.
        ValueError: for an input that does not fit.
    """
    if isinstance(layer, BaseSeparableConv) or not isinstance(
        layer, BaseConv | BasePooling | BaseGlobalPooling | BaseAdaptivePooling
    ):
        hint = " Show its two steps one by one: DepthwiseConv, then Conv" if "Separable" in type(layer).__name__ else ""
        raise TypeError(message("animate", f"a {type(layer).__name__} is not one of the {_KNOWN}.{hint}"))
    made = run(layer, x)
    if isinstance(layer, BaseConvTranspose):
        return _scatter(layer, made)
    return _convolution(layer, made) if isinstance(layer, BaseConv) else _pooling(layer, made)


def _places(sizes: Sequence[int], k: Any, s: Any, pads: Any, d: Any) -> tuple[Axis, ...]:
    """Per axis, for each of `sizes` windows, the positions that it covers."""
    return tuple(
        tuple(_covered(n, *axis) for n in range(size)) for size, *axis in zip(sizes, k, s, pads, d, strict=True)
    )


def _covered(n: int, k: int, s: int, pad: Any, d: int) -> tuple[int, ...]:
    first, last = window.Receptive().then(k, s, pad, d).span(n) or (0, -1)
    return tuple(range(round(first), round(last) + 1, d))


def _around(x: np.ndarray, pads: Any, mode: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The input with its padding, and which cells are its own; negative padding cuts."""
    cut = tuple(slice(max(-lo, 0), n - max(-hi, 0)) for n, (lo, hi) in zip(x.shape, pads, strict=False))
    width = [(max(lo, 0), max(hi, 0)) for lo, hi in pads]
    kind: Any = mode or "constant"
    return np.pad(x[cut], [*width, (0, 0)], mode=kind), np.pad(np.ones(x[cut].shape[:3], bool), width)


def _convolution(layer: Any, made: Result) -> Operation:
    k, s, d = layer.kernel_size, layer.strides, layer.dilation_rate
    pads = window.kernel_pads(made.spatial, k, s, layer.padding, d)
    sizes = tuple(zip(made.spatial, k, s, pads, d, strict=True))
    k, s, d, around = (lifted(v, n) for v, n in ((k, 1), (s, 1), (d, 1), (pads, (0, 0))))
    field, known = _around(made.x, around, PADDING_MODES[layer.padding_mode])
    kernel, groups = np.asarray(layer.kernel, "float64"), layer.groups
    if isinstance(layer, BaseDepthwiseConv):
        kernel, groups = kernel.reshape(*layer.kernel_size, 1, -1), made.x.shape[-1]
    found = Operation(
        "convolution", layer.rank, field, known, around, _places(made.y.shape[:3], k, s, around, d), made.y,
        kernel.reshape(*k, *kernel.shape[-2:]), groups, made.bias, made.activation, dilation=d, sizes=sizes,
    )  # fmt: skip
    return checked(found, layer)


def _pooling(layer: Any, made: Result) -> Operation:
    if isinstance(layer, BaseAdaptivePooling):
        ends = [window.adaptive_windows(i, o) for i, o in zip(made.spatial, layer.output_size, strict=True)]
        places: Any = lifted(tuple(tuple(tuple(range(a, b)) for a, b in axis) for axis in ends), ((0,),))
        pads = ((0, 0),) * 3
        sizes: tuple[Any, ...] = ()
    else:
        whole = isinstance(layer, BaseGlobalPooling)
        k = made.spatial if whole else layer.pool_size
        s, padding = (k, "valid") if whole else (layer.strides, layer.padding)
        near = window.resolve_pads(made.spatial, k, s, padding, (1,) * layer.rank)
        sizes = tuple(zip(made.spatial, k, s, near, (1,) * layer.rank, strict=True))
        pads = lifted(near, (0, 0))
        places = _places(made.y.shape[:3], lifted(k, 1), lifted(s, 1), pads, (1, 1, 1))
    field, known = _around(made.x, pads)
    kind = "max" if isinstance(layer, BaseMaxPooling | BaseGlobalMaxPooling | BaseAdaptiveMaxPooling) else "average"
    kind, power = ("norm", layer.p) if isinstance(layer, BaseLpPooling) else (kind, 2.0)
    return Operation(kind, layer.rank, field, known, pads, places, made.y, power=power, sizes=sizes)


# Transposed convolutions ----------------------------------------------------------------------------------------------


def _transposed_axes(layer: Any, made: Result) -> list[tuple[Any, ...]]:
    """Per axis i', k, s, padding, d and a, as `core.window` takes them."""
    extra = layer._extra(made.spatial)
    axes = layer.kernel_size, layer.strides, layer._paddings_per_axis(), layer.dilation_rate
    return list(zip(made.spatial, *axes, (None,) * layer.rank if extra is None else extra, strict=True))


def _scatter(layer: Any, made: Result) -> Operation:
    """Each input unit over the output cells that its window in the associated convolution covers."""
    axes = _transposed_axes(layer, made)
    pads = lifted(tuple(window.transposed_pads(*axis) for axis in axes), (0, 0))
    k, s, d = (lifted(v, 1) for v in (layer.kernel_size, layer.strides, layer.dilation_rate))
    kernel = np.moveaxis(np.asarray(layer.kernel, "float64"), -2, -1)
    found = Operation(
        "scatter", layer.rank, made.x, np.ones(made.x.shape[:3], bool), ((0, 0),) * 3,
        _places(made.x.shape[:3], k, s, pads, d), made.y, kernel.reshape(*k, *kernel.shape[-2:]), 1, made.bias,
        made.activation, dilation=d, sizes=tuple(axes),
    )  # fmt: skip
    return checked(found, layer)


def zeros_between(layer: Any, scattered: Operation) -> Operation:
    """The same transposed convolution as an ordinary one: zeros put between its units and around."""
    given = scattered.field
    s, d = lifted(layer.strides, 1), scattered.dilation
    kernel = scattered.weights
    spread = tuple(window.effective_kernel(i, n) for i, n in zip(given.shape[:3], s, strict=True))
    x, unit = np.zeros((*spread, given.shape[-1])), np.zeros(spread, bool)
    at = tuple(slice(None, None, n) for n in s)
    x[at], unit[at] = given, True
    before = [window.transposed_pads(*axis)[0] for axis in scattered.sizes]
    pads = tuple(
        _zeros_around(i, o, k, lo, n)
        for i, o, k, lo, n in zip(spread, scattered.y.shape, kernel.shape, lifted(tuple(before), 0), d, strict=False)
    )
    field, known = _around(x, pads)
    units, _ = _around(unit[..., None], pads)
    places = _places(scattered.y.shape[:3], kernel.shape[:3], (1, 1, 1), pads, d)
    found = Operation(
        "convolution", scattered.rank, field, known, pads, places, scattered.y, kernel[::-1, ::-1, ::-1], 1,
        scattered.bias, scattered.activation, gaps=known & ~units[..., 0], dilation=d, sizes=scattered.sizes,
    )  # fmt: skip
    return checked(found, layer)


def _zeros_around(i: int, o: int, k: int, lo: int, d: int) -> window.Pair:
    """k - 1 zeros less the convolution's padding before, and after as many as the output's size needs."""
    reach = sum(window.pads("causal", i, k, 1, d) or ())
    here = window.output_size(i, k, 1, (reach - lo, 0), d) or 0
    return reach - lo, o - here


def beside(layer: Any, scattered: Operation, x: Any) -> Operation:
    """The convolution that a transposed one belongs to, on `x` (by default on what the layer gave)."""
    rank, y = scattered.rank, scattered.y
    shape = tuple(y.shape[3 - rank :])
    given = y.reshape(shape) if x is None else Input(rank, shape[-1], "animate: beside").sample(x)
    if given.shape != shape:
        problem = f"the convolution beside it starts from the shape {shape}, `beside` has {given.shape}"
        raise ValueError(message("animate", problem, f"Pass beside=x with x of shape {shape}, or none"))
    pads = tuple(window.transposed_pads(*axis) for axis in scattered.sizes)
    kernel, s, d = np.asarray(layer.kernel, "float32"), layer.strides, layer.dilation_rate
    out = np.asarray(ops.conv(given[None].astype("float32"), kernel, list(s), pads, "channels_last", d)[0], "float64")
    around = lifted(pads, (0, 0))
    field, known = _around(given.reshape(y.shape), around)
    k, s, d = (lifted(v, 1) for v in (layer.kernel_size, s, d))
    out = out.reshape((1,) * (3 - rank) + out.shape)
    sizes = tuple(
        (i, kk, ss, p, dd)
        for i, kk, ss, p, dd in zip(shape[:-1], k[3 - rank :], s[3 - rank :], pads, d[3 - rank :], strict=True)
    )
    return Operation(
        "convolution", rank, field, known, around, _places(out.shape[:3], k, s, around, d), out,
        kernel.reshape(*k, *kernel.shape[-2:]).astype("float64"), dilation=d, sizes=sizes,
    )  # fmt: skip


# The picture and the layer --------------------------------------------------------------------------------------------


@np.errstate(invalid="ignore", over="ignore")
def sums(op: Operation) -> np.ndarray:
    """What the drawn products add up to, for every output cell, before bias and activation."""
    parts = [_group_sums(op, op.weights[..., g], op.read_by(g)) for g in range(op.filters)]
    return np.stack(parts, -1)


def _group_sums(op: Operation, kernel: np.ndarray, channels: tuple[int, ...]) -> np.ndarray:
    at = [np.asarray(axis) for axis in op.places]
    total = np.zeros(op.y.shape[:3])
    x = op.field[..., list(channels)]
    for tap in np.ndindex(*kernel.shape[:3]):
        cells = [axis[:, t] for axis, t in zip(at, tap, strict=True)]
        if op.kind == "scatter":
            _put(total, cells, x @ kernel[tap])
        else:
            total += x[np.ix_(*(c + lo for c, (lo, _) in zip(cells, op.pads, strict=True)))] @ kernel[tap]
    return total


def _put(total: np.ndarray, cells: list[np.ndarray], values: np.ndarray) -> None:
    """Adds where the cells lie in the output."""
    kept = [np.flatnonzero((c >= 0) & (c < n)) for c, n in zip(cells, total.shape, strict=True)]
    total[np.ix_(*(c[k] for c, k in zip(cells, kept, strict=True)))] += values[np.ix_(*kept)]


@np.errstate(invalid="ignore", over="ignore")
def checked(op: Operation, layer: Any) -> Operation:
    """`op`, if its products add up to what the layer gave.

    Raises:
        RuntimeError: they do not: the picture would show something else than the layer does.
    """
    total = sums(op) + (0 if op.bias is None else op.bias)
    axes = op.y.shape[3 - op.rank :]
    if layer.activation is not None:
        total = np.asarray(layer.activation(total.reshape(1, *axes).astype("float32")), "float64").reshape(op.y.shape)
    size = max(float(np.abs(op.field[np.isfinite(op.field)]).max(initial=1)) * float(np.abs(op.weights).sum()), 1.0)
    half = "16" in str(getattr(layer, "compute_dtype", ""))
    if not np.allclose(total, op.y, rtol=2e-2 if half else 1e-3, atol=(1e-2 if half else 1e-5) * size, equal_nan=True):
        problem = f"the products of the picture differ from what the layer gave by {np.nanmax(abs(total - op.y)):.3g}"
        fix = "A layer of a class of its own may do more than its window does: show the layer that it stands on"
        raise RuntimeError(message(f"{type(layer).__name__} '{layer.name}'", problem, fix))
    return op
