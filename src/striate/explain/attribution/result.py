"""What attribution methods return: the map, what it explains, and pictures of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.explain import figures


@dataclass(frozen=True)
class Attribution:
    """How much each place of an input counts.

    Attributes:
        method: its name.
        map: one number per place, `(batch, height, width)` (any number of axes of places).
        image: the input that was explained, `(batch, height, width, channels)`.
        target: what was explained of each sample, in words. scores: its value, `(batch,)`.
        values: one number per number of the input, where the method gives those, else None.
        signed: whether the map has signs.
        why: in words, what the method chose by itself (a target layer) or found on the way.
        more: further results of the method, by name.
    """

    method: str
    map: np.ndarray
    image: np.ndarray
    target: tuple[str, ...]
    scores: np.ndarray
    values: np.ndarray | None = None
    signed: bool = False
    why: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def figure(
        self, image: Any = None, sample: int = 0, alpha: float = 0.6, cmap: str | None = None, theme: str = "light"
    ) -> Any:
        """The image, the map, and the map over the image, as a matplotlib `Figure`.

        Args:
            image: the picture as it was before preprocessing; the input by default.
            sample: which one of the batch.
            alpha: how strongly the map covers the image where it is largest.
            cmap: matplotlib's name of the colours: by default `"magma"`, with signs `"RdBu_r"`.
            theme: `"light"`, `"dark"` or `"auto"` (transparent, grey text).
        """
        shown = figures.picture(self.image[sample] if image is None else np.asarray(image), self.map.ndim - 1)
        plane = figures.drawable(self.map[sample])
        height, width = figures.drawable(shown, True).shape[:2]
        figure = figures.new_figure(9.6, 3.0 * float(np.clip(height / width, 0.3, 1.6)) + 0.5, theme)
        left, middle, right = figure.subplots(1, 3)
        figures.show(left, shown, "gray", colour=True)
        figures.panel(left, "image", theme, 10)
        limit, colours = _limit(plane), cmap or ("RdBu_r" if self.signed else "magma")
        limits = (-limit, limit) if self.signed else (0.0, limit)
        drawn = figures.show(middle, plane, colours, limits)
        figures.panel(middle, self.method, theme, 10, "" if plane.any() else "zero everywhere")
        below = figures.show(right, _grey(shown, self.map.ndim), "gray", (0, 1))
        cover = np.clip(np.abs(plane) / limit, 0, 1) ** 0.7 * alpha
        over: Any = {"cmap": colours, "vmin": limits[0], "vmax": limits[1], "interpolation": "nearest"}
        right.imshow(plane, alpha=cover, extent=below.get_extent(), aspect=right.get_aspect(), **over)
        figures.panel(right, f"{self.target[sample]}: {_number(self.scores[sample])}", theme, 10)
        figures.colour_bar(figure, drawn, [left, middle, right], theme)
        return figure

    def _repr_html_(self) -> str:
        return figures.as_html(self.figure(theme="auto"), repr(self))

    def __repr__(self) -> str:
        what = figures.names(list(dict.fromkeys(self.target)))
        return f"<{self.method} of {what}, {' by '.join(str(n) for n in self.map.shape[1:])} places>"


def _number(x: float) -> str:
    return f"{x:.3g}".replace("-", "−")


def _limit(plane: np.ndarray) -> float:
    """The number that has full colour: the largest but for one in two hundred, so that a single one hides nothing."""
    sizes = np.abs(plane)
    return float(np.quantile(sizes, 0.995)) or float(sizes.max()) or 1.0


def _grey(image: np.ndarray, rank: int) -> np.ndarray:
    """Faint, so that the map's colours stand out."""
    image = image.mean(-1) if image.ndim == 3 == rank else image
    return 0.25 + 0.6 * image
