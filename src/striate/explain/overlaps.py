"""`overlap(layer, input_shape)`: how evenly a layer treats its cells, before any training."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from striate.core import window
from striate.core.errors import message
from striate.layers.convolutional.base import BaseConv
from striate.layers.convolutional.separable import BaseSeparableConv
from striate.layers.pooling import BasePooling
from striate.models.windows import Axis, axes_of

from .derivation import NAMES, listed
from .drawing import Drawing, cells, grid, side_by_side
from .layer_arithmetic import full_shape
from .prose import Line, Part, Prose

_MOST_DRAWN = 48
_FREQUENCIES = 64  # how finely the kernels' frequencies are looked at


def overlap(layer: Any, input_shape: Any = None) -> Overlap:
    """How many windows meet in each cell: of the output of a transposed convolution (its checkerboard), of the input of
    a convolution or pooling (what it looks at most, and what not at all); and what the stride aliases.

    A transposed convolution is even where each output is the sum of the same number of products: the stride divides
    the kernel (Odena, Dumoulin, Olah 2016, "Deconvolution and checkerboard artifacts"). A convolution with stride s
    keeps waves of 2s cells and longer; shorter ones come out as longer ones.

    Args:
        layer: a convolution, a pooling layer or a transposed convolution.
        input_shape: with or without the batch axis; by default what the layer was built for.

    Returns:
        An object with `.counts`, `.even`, `.even_kernels`, `.even_strides`, `.aliased`, `.steps`, `.draw()`.

    Raises:
        ValueError: the layer has no such window, or a size is not known.
    """
    shape = full_shape(layer, input_shape)
    axes = axes_of(layer, shape) if isinstance(layer, BaseConv | BasePooling) else None
    where = f"overlap {type(layer).__name__}"
    if axes is None:
        problem = "has no kernel that moves in strides"
        raise ValueError(message(where, problem, "Take a convolution, a pooling layer or a transposed convolution"))
    if any(a.i is None or a.o is None for a in axes):
        raise ValueError(message(where, f"the sizes in {shape} must be known", "Give numbers"))
    layer.compute_output_shape(shape)  # says what would fit
    return Overlap(layer, axes)


@dataclass(frozen=True)
class AxisOverlap:
    """One axis.

    Attributes:
        axis: its name. counts: windows in each cell. even: whether all cells away from the border have as many.
        unseen: input cells that no window reaches (of a transposed convolution, outputs that nothing reaches).
        even_kernels, even_strides: the nearest that would be even, with the other settings as they are.
        shortest: the shortest wave, in cells, that the stride keeps.
    """

    axis: str
    kind: str
    kernel: int
    stride: int
    counts: tuple[int, ...]
    even: bool
    unseen: tuple[int, ...]
    even_kernels: tuple[int, ...]
    even_strides: tuple[int, ...]
    shortest: int


class Overlap(Prose):
    """What `overlap` found.

    Attributes:
        layer: what was asked about. steps: one `AxisOverlap` per axis.
        counts: an array over the cells, the product of the axes' counts. even: of all axes.
        aliased: of a convolution or average pooling with strides, the share of the energy of white noise behind the
            kernel (before the stride takes cells away) that the stride folds into other frequencies; else None.
    """

    def __init__(self, layer: Any, axes: Sequence[Axis]) -> None:
        self.layer, self._axes = layer, tuple(axes)
        names = NAMES[len(axes)]
        self.steps = tuple(_axis_overlap(name, axis) for name, axis in zip(names, axes, strict=True))
        self.aliased = _aliased(layer, axes)

    @property
    def counts(self) -> np.ndarray:
        """Windows that meet in each cell."""
        return reduce(np.multiply.outer, [np.array(s.counts) for s in self.steps])

    @property
    def even(self) -> bool:
        """Whether no axis makes a pattern."""
        return all(s.even for s in self.steps)

    @property
    def even_kernels(self) -> tuple[tuple[int, ...], ...]:
        """Per axis, the nearest kernel sizes without a pattern."""
        return tuple(s.even_kernels for s in self.steps)

    @property
    def even_strides(self) -> tuple[tuple[int, ...], ...]:
        """Per axis, strides without a pattern."""
        return tuple(s.even_strides for s in self.steps)

    def parts(self) -> Sequence[Part]:
        back = self.steps[0].kind == "transposed"
        what = "products summed in each output cell" if back else "windows that look at each input cell"
        head = f"{type(self.layer).__name__} '{self.layer.name}': {what}"
        verdict = "even" if self.even else "uneven: a checkerboard" if back else "uneven"
        parts = [Part(head, (Line("verdict", f"{verdict}, away from the border"),))]
        return [*parts, *(Part(s.axis, tuple(_lines(s))) for s in self.steps), *self._alias_parts()]

    def _alias_parts(self) -> list[Part]:
        if self.aliased is None:
            return []
        share = f"{self.aliased:.0%} of the energy of white noise behind these kernels folds into other frequencies"
        return [Part("aliasing", (Line("of the kernels", share),))]

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        steps = [{k: list(v) if isinstance(v, tuple) else v for k, v in vars(s).items()} for s in self.steps]
        return {"layer": self.layer.name, "even": self.even, "aliased": self.aliased, "steps": steps}

    def draw(self) -> Drawing:
        """The map, coloured by the counts; of the first 48 cells either way."""
        shown = self.counts
        while shown.ndim > 2:
            shown = shown[len(shown) // 2]
        plane = np.atleast_2d(shown)[:_MOST_DRAWN, :_MOST_DRAWN]
        kind = "output" if self.steps[0].kind == "transposed" else "input"
        words = f"{'even' if self.even else 'uneven'} coverage of the {kind}"
        return Drawing(side_by_side([grid(cells(plane), f"{words}, {'×'.join(map(str, plane.shape))}")]), words)


def _lines(step: AxisOverlap) -> list[Line]:
    counts = [str(n) for n in step.counts]
    text = " ".join(counts if len(counts) <= 24 else [*counts[:12], "…", *counts[-8:]])
    lines = [Line("counts", text)]
    if step.unseen:
        lines.append(Line("never reached", f"{len(step.unseen)} cells, such as {listed(step.unseen[:3])}"))
    if not step.even:
        kernels = " or ".join(map(str, step.even_kernels))
        strides = f"; strides {listed(step.even_strides)} with this kernel" if step.even_strides else ""
        lines.append(Line("even with", f"kernels of {kernels} at stride {step.stride}{strides}"))
    if step.kind == "window" and step.stride > 1:
        seen = _apparent(step.stride)
        lines.append(Line("stride", f"keeps waves of {step.shortest} cells and longer; {seen}"))
    return lines


def _apparent(s: int) -> str:
    """What becomes of waves that are too short: a frequency f comes out as its distance from the nearest n / s."""
    words = []
    for period in range(2, 2 * s):
        rest = (s / period) % 1
        away = min(rest, 1 - rest)
        length = "even brightness" if away < 1e-9 else f"one of {s / away:.3g}"
        words.append(f"one of {period} looks like {length}")
    return ", ".join(words[:3])


def _axis_overlap(name: str, axis: Axis) -> AxisOverlap:
    counts = _counts(axis)
    even = _is_even(axis.k, axis.s, axis.d)
    kernels = [k for k in range(1, axis.k + 2 * axis.s + 1) if _is_even(k, axis.s, axis.d)]
    nearest = tuple(sorted(sorted(kernels, key=lambda k: abs(k - axis.k))[:2]))
    strides = tuple(s for s in range(1, max(axis.k, axis.s) + 1) if _is_even(axis.k, s, axis.d))
    unseen = tuple(n for n, count in enumerate(counts) if count == 0)
    return AxisOverlap(name, axis.kind, axis.k, axis.s, counts, even, unseen, nearest, strides, 2 * axis.s)


def _is_even(k: int, s: int, d: int) -> bool:
    """Whether the taps fall on all phases of the stride alike."""
    hits = np.bincount([t * d % s for t in range(k)], minlength=s)
    return bool((hits == hits[0]).all())


def _counts(axis: Axis) -> tuple[int, ...]:
    """By walking over all windows: along the output of a transposed convolution, along the input of others."""
    back = axis.kind == "transposed"
    lo = (axis.pads or (0, 0))[0]
    cells_, places = (axis.o or 0, axis.i or 0) if back else (axis.i or 0, axis.o or 0)
    made = np.zeros(cells_, "int64")
    for n in range(places):
        first = int(window.seen((n, n), axis.k, axis.s, lo, axis.d)[0])
        at = np.arange(first, first + axis.k * axis.d, axis.d)
        made[at[(at >= 0) & (at < cells_)]] += 1
    return tuple(int(n) for n in made)


def _aliased(layer: Any, axes: Sequence[Axis]) -> float | None:
    """The share of |K(f)|² beyond the highest frequency that the stride keeps."""
    if all(a.s == 1 for a in axes) or any(a.kind != "window" for a in axes):
        return None
    power = _power(layer, axes)
    if power is None:
        return None
    kept = [np.abs(np.fft.fftfreq(_FREQUENCIES)) <= 0.5 / a.s + 1e-12 for a in axes]
    inside = reduce(np.multiply.outer, kept)
    return float(1 - power[inside].sum() / power.sum()) if power.sum() else None


def _power(layer: Any, axes: Sequence[Axis]) -> np.ndarray | None:
    """|K(f)|² summed over channels and filters: of the weights, or of the mean over a pooling window; a kernel that is
    not there yet is taken as random, with all frequencies alike."""
    sizes = [_FREQUENCIES] * len(axes)
    if isinstance(layer, BasePooling):
        average = "Average" in type(layer).__name__
        kernel = np.ones([a.k for a in axes])[..., None] if average else None
    elif isinstance(layer, BaseSeparableConv):
        kernel = np.asarray(layer.depthwise_kernel, "float64") if layer.built else None
    else:
        kernel = np.asarray(layer.kernel, "float64") if layer.built else None
    if kernel is None:
        return None if isinstance(layer, BasePooling) else np.ones(sizes)
    return _spectrum(kernel.reshape(*(a.k for a in axes), -1), [a.d for a in axes])


def _spectrum(kernel: np.ndarray, dilation: Sequence[int]) -> np.ndarray:
    """Σ |K(f)|² over the last axis, as the transform of the summed autocorrelation: it needs no array per channel."""
    taps = list(np.ndindex(*kernel.shape[:-1]))
    flat = kernel.reshape(len(taps), -1)
    gram = flat @ flat.T
    made = np.zeros([_FREQUENCIES] * len(dilation))
    for (m, one), (n, other) in itertools.product(enumerate(taps), repeat=2):
        away = zip(one, other, dilation, strict=True)
        made[tuple((a - b) * d % _FREQUENCIES for a, b, d in away)] += gram[m, n]
    return np.fft.fftn(made).real
