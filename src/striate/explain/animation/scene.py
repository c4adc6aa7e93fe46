"""What a picture is made of: cells, planes of them, groups of planes; and what one frame changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Box = tuple[int, int, int, int]  # row, column, height, width, in cells


@dataclass(frozen=True)
class Cell:
    """One number. `kind`: `value`, `negative`, `kernel`, `pad` (around the input), `gap` (a zero put between units),
    `empty` (not there yet), `pixel` (a grey of `shade`). `shade` says how strongly it is filled, 0 to 1."""

    text: str = ""
    kind: str = "empty"
    shade: float = 0.0
    value: float | None = None


EMPTY = Cell()


@dataclass(frozen=True)
class Plane:
    """A grid of cells with a title; `pixels` where they are too small for numbers."""

    name: str
    title: str
    shape: tuple[int, int]
    cells: tuple[Cell, ...]
    pixels: bool = False


@dataclass(frozen=True)
class Sign:
    """What stands between two planes."""

    text: str


@dataclass(frozen=True)
class Group:
    """Planes, signs and groups beside each other or, with `down`, below each other."""

    items: tuple[Any, ...]
    down: bool = False
    title: str = ""

    def planes(self) -> Iterator[Plane]:
        """All planes in it, in reading order."""
        for item in self.items:
            if isinstance(item, Group):
                yield from item.planes()
            elif isinstance(item, Plane):
                yield item


@dataclass(frozen=True)
class Look:
    """What one frame shows: outlined windows, lit cells, planes that are new, cells that are written for good."""

    outlines: dict[str, Box] = field(default_factory=dict)
    lit: dict[str, tuple[int, ...]] = field(default_factory=dict)
    planes: dict[str, tuple[Cell, ...]] = field(default_factory=dict)
    written: tuple[tuple[str, int, Cell], ...] = ()
    caption: tuple[str, ...] = ()

    def sparse(self, plane: str) -> bool:
        """Whether the lit cells leave out some under their outline, as those of dilated kernels do."""
        _, _, height, width = self.outlines.get(plane, (0, 0, 0, 0))
        return len(self.lit.get(plane, ())) < height * width and plane in self.lit

    def and_also(self, other: Look) -> Look:
        """Both at once, under this one's caption."""
        return replace(
            self,
            outlines=self.outlines | other.outlines,
            lit=self.lit | other.lit,
            planes=self.planes | other.planes,
            written=self.written + other.written,
        )


def number(value: float) -> str:
    """A number for a cell: at most four or five signs, a true minus sign."""
    if not np.isfinite(value):
        return "nan" if np.isnan(value) else "∞" if value > 0 else "−∞"
    if abs(value) >= 1e5 or 0 < abs(value) < 5e-3:
        return _minus(f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-"))
    if float(value).is_integer():
        return _minus(f"{value:.0f}")
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{places}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def _minus(text: str) -> str:
    return "0" if text == "-0" else text.replace("-", "−")


def signed(value: float) -> str:
    """A number as a factor: in brackets where it is negative."""
    text = number(value)
    return f"({text})" if text.startswith("−") else text


class Shades:
    """How numbers of one plane, or of several that are to be compared, are filled."""

    def __init__(self, values: Any, pixels: bool = False, kind: str = "value") -> None:
        finite = np.asarray(values, "float64")
        finite = finite[np.isfinite(finite)]
        self.low, self.high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        self.top = max(abs(self.low), abs(self.high)) or 1.0
        self.pixels, self.kind = pixels, kind

    def cell(self, value: float, kind: str = "") -> Cell:
        """The cell of a number; `pad` and `gap` say what it is instead of what it counts."""
        if self.pixels and kind != "gap":
            span = self.high - self.low or 1.0
            return Cell("", kind or "pixel", min(max((value - self.low) / span, 0.0), 1.0), value)
        if kind:
            return Cell(number(value), kind, 0.0, value)
        strength = min(abs(value) / self.top, 1.0) if np.isfinite(value) else 1.0
        return Cell(number(value), "negative" if value < 0 else self.kind, round(0.07 + 0.6 * strength, 2), value)
