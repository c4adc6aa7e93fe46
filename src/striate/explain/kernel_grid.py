"""The kernels of a layer, drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.core.errors import message
from striate.explain import figures


@dataclass(frozen=True)
class Filters:
    """Kernels as arrays and as a picture.

    Attributes:
        kernels: `(*kernel size, channels in, filters)`.
        chosen: the filters to draw.
        name: the layer's.
        planes: the input channels to draw of each filter; None: all three as one colour.
    """

    kernels: np.ndarray
    chosen: tuple[int, ...]
    name: str
    planes: tuple[int, ...] | None

    def figure(self, columns: int | None = None, cmap: str = "RdBu_r", theme: str = "light") -> Any:
        """The kernels as a matplotlib `Figure`; signs by colour, white for zero, the same scale everywhere.

        Kernels over three channels are drawn in colour, each from its least number to its largest; others have a row
        per filter, a panel per input channel.
        """
        if self.planes is None or len(self.planes) == 1:
            return self._grid(columns, cmap, theme)
        wide, limit = len(self.planes), float(np.abs(self.kernels).max()) or 1.0
        figure = figures.new_figure(0.95 * wide + 0.9, 1.12 * len(self.chosen) + 0.5, theme)
        axes = figure.subplots(len(self.chosen), wide, squeeze=False)
        for row, f in zip(axes, self.chosen, strict=True):
            for place, c in zip(row, self.planes, strict=True):
                drawn = figures.show(place, self.kernels[..., c, f], cmap, (-limit, limit))
                figures.panel(place, f"in {c}" if f == self.chosen[0] else "", theme, 8)
            row[0].set_ylabel(f"filter {f}", fontsize=8.5, color=figures.theme_of(theme).ink)
        figures.colour_bar(figure, drawn, axes, theme, self.name)
        return figure

    def _grid(self, columns: int | None, cmap: str, theme: str) -> Any:
        high, wide = figures.grid_of(len(self.chosen), columns or min(8, len(self.chosen)))
        figure = figures.new_figure(0.95 * wide + 0.9, 1.16 * high + 0.3, theme)
        axes = figure.subplots(high, wide, squeeze=False)
        limit = float(np.abs(self.kernels).max()) or 1.0
        for place in axes.flat:
            place.set_axis_off()
        for place, f in zip(axes.flat, self.chosen, strict=False):
            place.set_axis_on()
            plane = _coloured(self.kernels[..., f]) if self.planes is None else self.kernels[..., self.planes[0], f]
            drawn = figures.show(place, plane, cmap, (-limit, limit), self.planes is None)
            figures.panel(place, f"{f}", theme, 8)
        if self.planes is not None:
            figures.colour_bar(figure, drawn, axes, theme, self.name)
        return figure

    def _repr_html_(self) -> str:
        return figures.as_html(self.figure(theme="auto"), repr(self))

    def __repr__(self) -> str:
        return f"<Filters of {self.name}: {' by '.join(str(n) for n in self.kernels.shape)}>"


def _coloured(kernel: np.ndarray) -> np.ndarray:
    low, high = float(kernel.min()), float(kernel.max())
    return (kernel - low) / (high - low or 1.0)


def filters(layer: Any, count: int = 32, channels: int = 8, by: str = "first", seed: int | None = 0) -> Filters:
    """The kernels of a convolution.

    Args:
        layer: a built layer with a kernel: convolution, transposed, depthwise, separable or dense.
        count: how many filters to draw at most.
        channels: how many input channels of each, where they are not the three of a colour picture.
        by: which filters: `"first"`, `"random"` (with `seed`) or `"strength"` (those of the largest norm).

    Returns:
        `Filters`: arrays, and `.figure()`.

    Raises:
        ValueError: the layer has no kernel, or is not built.
    """
    kernels = _kernels(layer)
    total, inputs = kernels.shape[-1], kernels.shape[-2]
    chosen = _chosen(kernels, min(count, total), by, seed)
    in_colour = inputs == 3 and kernels.ndim == 4
    return Filters(kernels, chosen, layer.name, None if in_colour else tuple(range(min(channels, inputs))))


def _chosen(kernels: np.ndarray, count: int, by: str, seed: int | None) -> tuple[int, ...]:
    total = kernels.shape[-1]
    if by == "first":
        return tuple(range(count))
    if by == "random":
        return tuple(sorted(int(n) for n in np.random.default_rng(seed).choice(total, count, replace=False)))
    if by == "strength":
        norms = np.linalg.norm(kernels.reshape(-1, total), axis=0)
        return tuple(int(n) for n in np.argsort(-norms, kind="stable")[:count])
    raise ValueError(message("filters", f"filters can't be chosen by {by!r}", "Use 'first', 'random' or 'strength'"))


def _kernels(layer: Any) -> np.ndarray:
    """`(..., channels in, filters)`, float64 not needed: as they are."""
    held = getattr(layer, "layer", layer)  # a wrapper's
    if not getattr(held, "built", False):
        raise ValueError(message("filters", f"layer '{held.name}' is not built", "Call it on an input first"))
    variable = next((getattr(held, n) for n in ("kernel", "depthwise_kernel") if getattr(held, n, None) is not None),
                    None)  # fmt: skip
    if variable is None:
        kind = type(held).__name__
        raise ValueError(message("filters", f"{kind} '{held.name}' has no kernel", "Give a convolutional layer"))
    array = np.array(variable)
    if hasattr(held, "depth_multiplier"):  # (..., channels, multiplier): each filter sees one channel
        return array.reshape(*array.shape[:-2], 1, -1)
    if "Transpose" in type(held).__name__:  # (..., filters, channels in)
        return np.swapaxes(array, -1, -2)
    return array
