"""`equivalence(layer, x)`: what a convolution and its transposed convolution are, shown on numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from striate import engines, ops
from striate.core import window
from striate.core.errors import message
from striate.layers.convolutional.base import BaseConv
from striate.layers.convolutional.depthwise import BaseDepthwiseConv
from striate.layers.convolutional.separable import BaseSeparableConv
from striate.layers.convolutional.transpose import BaseConvTranspose
from striate.models.windows import axes_of
from striate.trace import grad

from .drawing import Drawing
from .matrices import draw_matrices
from .prose import Line, Part, Prose
from .transposition import transposed_of

TOLERANCE = 1e-6  # of the largest number
_LARGEST = 2**22  # entries of a matrix


def equivalence(layer: Any, x: Any) -> Equivalence:
    """Shows on `x` that a convolution is a matrix product, and that its transposed convolution is the product with the
    transposed matrix, an ordinary convolution over zero-stuffed inputs, and the convolution's input gradient.

    Args:
        layer: a convolution (also with groups, or depthwise), or a transposed one; if it is not built, `x` builds it.
        x: an input of the layer, with or without the batch axis; the first sample is taken. Small: the matrix has
            a row for each output number and a column for each input number.

    Returns:
        An object with `.differences` (by name; the largest difference over the largest number), `.holds`, `.matrix`,
        `.x`, `.y`, `.stuffed`, `.convolution`, `.transposed`, and `.draw()`, the sparse matrix drawn.

    Raises:
        ValueError: no convolution, or a matrix of more than four million entries.
    """
    if not isinstance(layer, BaseConv) or isinstance(layer, BaseSeparableConv):
        problem = f"expected a convolution or a transposed one. Received: {type(layer).__name__}"
        raise ValueError(message("equivalence", problem, "A separable convolution is two: show each of them"))
    array = np.asarray(x, "float64")
    array = array[None] if array.ndim == layer.rank + 1 else array
    if array.ndim != layer.rank + 2:
        problem = f"expected x with {layer.rank + 1} or {layer.rank + 2} axes. Received the shape {array.shape}"
        raise ValueError(message(f"equivalence {type(layer).__name__} '{layer.name}'", problem))
    if not layer.built:
        layer.build(array.shape)
    return Equivalence(layer, array[:1])


class Equivalence(Prose):
    """What `equivalence` found.

    Attributes:
        layer: what was asked about. convolution: it, or the convolution that it belongs to.
        transposed: the transposed convolution as a layer; None where there is none (groups).
        x, y: the input of the convolution, and that of the transposed one: of a convolution, y is its output.
        matrix: `(numbers in the output, numbers in the input)` of the convolution, rows in the order of the axes.
        stuffed: y with zeros between its units and around them.
        differences: by name, the largest difference over the largest number. holds: whether all are below `TOLERANCE`.
    """

    def __init__(self, layer: Any, x: np.ndarray) -> None:
        self.layer = layer
        backwards = isinstance(layer, BaseConvTranspose)
        self.convolution = transposed_of(layer, x.shape) if backwards else layer
        shape = tuple(layer.compute_output_shape(x.shape)) if backwards else x.shape
        self._shape = (1, *shape[1:])
        self.transposed = layer if backwards else _transposed(layer, self._shape)
        self._axes = axes_of(self.convolution, self._shape) or ()
        self._check_size()
        self.x = np.random.default_rng(0).normal(size=self._shape) if backwards else x
        self.y = x if backwards else self._forward(x)
        self.differences = self._compared()

    def _check_size(self) -> None:
        out = self.convolution.compute_output_shape(self._shape)
        entries = int(np.prod(self._shape[1:])) * int(np.prod(out[1:]))
        if entries > _LARGEST:
            problem = f"the matrix would have {entries:,} entries, {np.prod(out[1:])} by {np.prod(self._shape[1:])}"
            raise ValueError(message("equivalence", problem, f"Give a smaller x: up to {_LARGEST:,} entries are shown"))

    @property
    def holds(self) -> bool:
        """Whether all differences are below `TOLERANCE`."""
        return all(d < TOLERANCE for d in self.differences.values())

    # The same thing in several ways ----------------------------------------------------------------------------------

    def _forward(self, x: Any) -> np.ndarray:
        """The convolution alone, in double precision."""
        with engines.use("float64"):
            return np.asarray(self.convolution.convolution_op(x, _double(self.convolution.kernel)))

    def _backward(self, y: np.ndarray) -> np.ndarray:
        """The transposed convolution as its layer computes it."""
        layer = self.transposed
        with engines.use("float64"):
            made = ops.conv_transpose(
                y, _double(layer.kernel), strides=list(layer.strides), padding=layer.padding,
                output_padding=layer._extra(layer._split(y.shape)[0]), data_format=layer.data_format,
                dilation_rate=layer.dilation_rate,
            )  # fmt: skip
            return np.asarray(made)

    def _gradient(self, y: np.ndarray) -> np.ndarray:
        """The gradient of the sum of y times the convolution's output, by its input."""
        kernel = _double(self.convolution.kernel)

        def product(x: Any) -> Any:
            return ops.sum(ops.multiply(self.convolution.convolution_op(x, kernel), y))

        with engines.use("float64"):
            return np.asarray(grad(product)(self.x))

    @cached_property
    def full_kernel(self) -> np.ndarray:
        """The kernel `(*kernel size, channels, filters)` with the zeros that groups leave out."""
        kernel = _double(self.convolution.kernel)
        channels = self.convolution._split(self._shape)[1]
        if isinstance(self.convolution, BaseDepthwiseConv):
            return _spread_depthwise(kernel)
        return _spread_groups(kernel, channels)

    @cached_property
    def matrix(self) -> np.ndarray:
        """The convolution as a matrix: M[(o, f), (i, c)] = w[t, c, f] where i = o s + t d - lo along each axis."""
        sizes, out = [a.i or 0 for a in self._axes], [a.o or 0 for a in self._axes]
        *taps, channels, filters = self.full_kernel.shape
        made = np.zeros((*out, filters, *sizes, channels))
        for place in np.ndindex(*out):
            for tap in np.ndindex(*taps):
                at = [o * a.s + t * a.d - (a.pads or (0, 0))[0] for o, t, a in zip(place, tap, self._axes, strict=True)]
                if all(0 <= n < size for n, size in zip(at, sizes, strict=True)):
                    made[(*place, slice(None), *at)] += self.full_kernel[tap].T
        return made.reshape(int(np.prod(out)) * filters, -1)

    @cached_property
    def stuffed(self) -> np.ndarray:
        """y, channels last, with s - 1 zeros between its units and p' around them."""
        y = _last(self.convolution, self.y)[0]
        for n, a in enumerate(self._axes):
            around = window.spread_pads(
                a.k, a.s, a.pads or (0, 0), a.d, window.leftover(a.i, a.k, a.s, a.pads or (0, 0), a.d)
            )
            y = _stuff(y, n, a.s, around)
        return y

    def _over_zeros(self) -> np.ndarray:
        """The ordinary convolution over `stuffed`: the kernel turned by half a turn, channels and filters swapped."""
        rank = len(self._axes)
        turned = np.flip(self.full_kernel, tuple(range(rank))).swapaxes(-1, -2)
        with engines.use("float64"):
            made = ops.conv(
                self.stuffed[None], turned, data_format="channels_last", dilation_rate=[a.d for a in self._axes]
            )
        return np.asarray(made)

    def _compared(self) -> dict[str, float]:
        conv, y = self.convolution, self.y
        gradient = _last(conv, self._gradient(y))
        base = gradient if self.transposed is None else _last(conv, self._backward(y))
        through = self.matrix.T @ _last(conv, y).ravel()
        found = {
            "the convolution is a matrix product": _difference(
                _last(conv, self._forward(self.x)).ravel(), self.matrix @ _last(conv, self.x).ravel()
            ),
            "the transposed convolution is the transposed matrix": _difference(base.ravel(), through),
            "the transposed convolution is a convolution over a zero-stuffed input": _difference(
                base, self._over_zeros()
            ),
        }
        if self.transposed is not None:
            found["the transposed convolution is the convolution's input gradient"] = _difference(base, gradient)
        return found

    # What is shown ---------------------------------------------------------------------------------------------------

    def parts(self) -> Sequence[Part]:
        rows, columns = self.matrix.shape
        zeros = 1 - np.count_nonzero(self.matrix) / self.matrix.size
        head = f"{type(self.layer).__name__} '{self.layer.name}': {_cross(self._shape)} ⇄ {_cross(self._out())}"
        weights = np.count_nonzero(self.full_kernel)
        words = f"{rows} by {columns}, {zeros:.0%} of it zeros; the same {weights} weights at every place"
        lines = [
            Line("matrix", words),
            Line("stuffed", f"y {_cross(self._out())} becomes {'x'.join(map(str, self.stuffed.shape))}"),
        ]
        checks = [Line(f"{d:.0e}" if d else "0", name) for name, d in self.differences.items()]
        verdict = "all below" if self.holds else "NOT all below"
        return [
            Part(head, tuple(lines)),
            Part(f"largest differences ({verdict} {TOLERANCE:g} of the largest number)", tuple(checks)),
        ]

    def _out(self) -> tuple[Any, ...]:
        return tuple(self.convolution.compute_output_shape(self._shape))

    def to_dict(self) -> dict[str, Any]:
        """The differences, as JSON takes them."""
        return {"layer": self.layer.name, "holds": self.holds, "differences": self.differences}

    def draw(self) -> Drawing:
        """The matrix and the transposed one, each weight in the colour of its tap.

        Raises:
            ValueError: the matrix has more rows or columns than a picture can show.
        """
        names = f"matrix of {type(self.convolution).__name__}", "its transpose"
        return draw_matrices(self.matrix, names)


def _transposed(layer: Any, shape: tuple[Any, ...]) -> Any:
    """The transposed layer; None where Keras has none."""
    if isinstance(layer, BaseDepthwiseConv) or layer.groups > 1:
        return None
    return transposed_of(layer, shape)


def _double(kernel: Any) -> np.ndarray:
    return np.asarray(kernel, "float64")


def _last(layer: Any, array: np.ndarray) -> np.ndarray:
    return array if layer.data_format == "channels_last" else np.moveaxis(array, 1, -1)


def _spread_depthwise(kernel: np.ndarray) -> np.ndarray:
    *taps, channels, times = kernel.shape
    made = np.zeros((*taps, channels, channels, times))
    for c in range(channels):
        made[..., c, c, :] = kernel[..., c, :]
    return made.reshape(*taps, channels, channels * times)


def _spread_groups(kernel: np.ndarray, channels: int) -> np.ndarray:
    *taps, taken, filters = kernel.shape
    groups = channels // taken
    made = np.zeros((*taps, channels, filters))
    each = filters // groups
    for g in range(groups):
        made[..., g * taken : (g + 1) * taken, g * each : (g + 1) * each] = kernel[..., g * each : (g + 1) * each]
    return made


def _stuff(y: np.ndarray, axis: int, s: int, around: tuple[int, int]) -> np.ndarray:
    """Zeros between and around the units of one axis; a negative number takes cells away."""
    y = np.moveaxis(y, axis, 0)
    made = np.zeros((s * (len(y) - 1) + 1, *y.shape[1:]))
    made[::s] = y
    made = np.pad(made, [(max(around[0], 0), max(around[1], 0)), *((0, 0),) * (y.ndim - 1)])
    made = made[max(-around[0], 0) : len(made) - max(-around[1], 0)]
    return np.moveaxis(made, 0, axis)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a - b).max() / (np.abs(b).max() or 1.0))


def _cross(shape: tuple[Any, ...]) -> str:
    return "x".join(str(n) for n in shape[1:])
