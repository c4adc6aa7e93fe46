"""Grids of cells as SVG that follows the page's colours, and the `Drawing` that a notebook shows."""

from __future__ import annotations

import html
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CELL = 32
SECONDS_PER_STEP = 0.55
_FULL_SIZE = 11  # columns; wider grids are drawn smaller, so that their result has room beside them

# Colours of the Okabe-Ito palette, which stays apart for every kind of colour vision; a page may set the variables.
FILL = {
    "value": "var(--striate-cell, #56b4e9)",
    "negative": "var(--striate-negative, #e69f00)",
    "kernel": "var(--striate-kernel, #009e73)",
    "pad": "none",
    "gap": "none",
    "plain": "var(--striate-cell, #56b4e9)",
}
LINE = "var(--striate-line, #8a8f98)"
INK = "var(--striate-ink, currentColor)"
MARK = "var(--striate-mark, #d55e00)"


@dataclass(frozen=True)
class Cell:
    """Its text, its kind (`value`, `kernel`, `pad`, `gap`, `plain`), and how strongly it is filled (0 to 1)."""

    text: str = ""
    kind: str = "plain"
    shade: float = 0.2


@dataclass(frozen=True)
class Mark:
    """The outline of a window: size in cells, and the positions (row, column) that it takes one after another."""

    size: tuple[int, int]
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Drawing:
    """HTML with inline SVG; `alt` says in words what is to be seen."""

    html: str
    alt: str = ""
    notes: tuple[str, ...] = field(default=())

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<Drawing: {self.alt}>"


def number(value: float) -> str:
    """A number for a cell: whole numbers without a point, a true minus sign."""
    text = f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def cells(values: Any, kind: str = "value", limit: float | None = None) -> list[list[Cell]]:
    """The cells of a matrix, filled by size; negative numbers have a colour of their own."""
    array = np.asarray(values, dtype="float64")
    top = limit or float(np.abs(array).max()) or 1.0

    def cell(v: float) -> Cell:
        return Cell(number(v), "negative" if v < 0 else kind, 0.08 + 0.62 * min(abs(v) / top, 1))

    return [[cell(v) for v in row] for row in array]


def padded(inner: Sequence[Sequence[Cell]], pads: Sequence[tuple[int, int]]) -> list[list[Cell]]:
    """The cells with the zeros of the padding around them."""
    zero = Cell("0", "pad")
    (top, bottom), (left, right) = pads
    width = left + right + (len(inner[0]) if inner else 0)
    rows = [[zero] * left + list(row) + [zero] * right for row in inner]
    return [[zero] * width for _ in range(top)] + rows + [[zero] * width for _ in range(bottom)]


def grid(rows: Sequence[Sequence[Cell]], title: str, mark: Mark | None = None, alt: str = "") -> str:
    """One captioned grid; the mark sweeps over its places (and rests where the reader wants less motion)."""
    height, width = len(rows), len(rows[0]) if rows else 0
    squares = "".join(_square(c, r, n) for r, row in enumerate(rows) for n, c in enumerate(row))
    label = html.escape(alt or f"{title}, {height} by {width}", quote=True)
    w, h = width * CELL + 6, height * CELL + 6
    zoom = min(1.0, _FULL_SIZE / max(width, 1))
    svg = (
        f'<svg role="img" aria-label="{label}" viewBox="-3 -3 {w} {h}" width="{w * zoom:.0f}" height="{h * zoom:.0f}" '
        f'style="max-width:100%;height:auto;font:13px ui-sans-serif,system-ui,sans-serif">'
        f"{squares}{_outline(mark)}</svg>"
    )
    return (
        f'<figure class="striate-grid" style="margin:0;text-align:center;max-width:100%">{svg}'
        f'<figcaption style="font-size:.85em">{title}</figcaption></figure>'
    )


def _square(cell: Cell, row: int, column: int) -> str:
    x, y = column * CELL, row * CELL
    dashed = ";stroke-dasharray:3 3" if cell.kind in ("pad", "gap") else ""
    fill = f"fill:{FILL[cell.kind]};fill-opacity:{cell.shade:.2f};stroke:{LINE}{dashed}"
    faint = ";opacity:.6" if cell.kind in ("pad", "gap") else ""
    place = f'x="{x + CELL / 2:g}" y="{y + CELL / 2 + 4.5:g}" text-anchor="middle"'
    text = html.escape(cell.text)
    label = f'<text {place} style="fill:{INK}{faint}">{text}</text>' if text else ""
    return f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" style="{fill}"/>{label}'


def _outline(mark: Mark | None) -> str:
    if mark is None or not mark.places:
        return ""
    (h, w), (row, column) = mark.size, mark.places[0]
    style = f"fill:none;stroke:{MARK};stroke-width:3"
    sheet = ""
    if len(mark.places) > 1:
        name, sheet = _sweep(mark.places)
        style += f";animation:{name} {len(mark.places) * SECONDS_PER_STEP:g}s step-end infinite"
    rect = f'<rect class="striate-sweep" x="{column * CELL}" y="{row * CELL}" width="{w * CELL}" height="{h * CELL}" '
    return f'{sheet}{rect} rx="3" style="{style}"/>'


def _sweep(places: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """The animation as a style sheet; its name comes from its content, so that equal ones may meet on a page."""
    first = places[0]
    frames = "".join(
        f"{100 * n / len(places):.4g}%{{transform:translate({(c - first[1]) * CELL}px,{(r - first[0]) * CELL}px)}}"
        for n, (r, c) in enumerate(places)
    )
    name = f"striate-{zlib.crc32(frames.encode()):08x}"
    return name, f"<style>@keyframes {name}{{{frames}}}</style>"


def side_by_side(parts: Iterable[str], under: str = "") -> str:
    """Grids and the signs between them in a row that wraps on a narrow page."""
    row = "".join(part if part.startswith("<") else f'<span style="font-size:1.5em">{part}</span>' for part in parts)
    style = "display:flex;flex-wrap:wrap;gap:1rem 1.4rem;align-items:center"
    return f'<div class="striate-drawing" tabindex="0"><div style="{style}">{row}</div>{under}</div>'
