"""Grids of cells as SVG that follows the page's colours, and the `Drawing` that a notebook shows."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CELL = 32
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


def grid(rows: Sequence[Sequence[Cell]], title: str, alt: str = "") -> str:
    """One captioned grid."""
    height, width = len(rows), len(rows[0]) if rows else 0
    squares = "".join(_square(c, r, n) for r, row in enumerate(rows) for n, c in enumerate(row))
    label = html.escape(alt or f"{title}, {height} by {width}", quote=True)
    w, h = width * CELL + 6, height * CELL + 6
    zoom = min(1.0, _FULL_SIZE / max(width, 1))
    svg = (
        f'<svg role="img" aria-label="{label}" viewBox="-3 -3 {w} {h}" width="{w * zoom:.0f}" height="{h * zoom:.0f}" '
        f'style="max-width:100%;height:auto;font:13px ui-sans-serif,system-ui,sans-serif">'
        f"{squares}</svg>"
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


def side_by_side(parts: Iterable[str], under: str = "") -> str:
    """Grids and the signs between them in a row that wraps on a narrow page."""
    row = "".join(part if part.startswith("<") else f'<span style="font-size:1.5em">{part}</span>' for part in parts)
    style = "display:flex;flex-wrap:wrap;gap:1rem 1.4rem;align-items:center"
    return f'<div class="striate-drawing" tabindex="0"><div style="{style}">{row}</div>{under}</div>'
