"""Stills as SVG, and a plane's cells as markup, which the player uses too."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

from .layout import HEADING, LINE, MARGIN, READABLE, Placed, Sheet
from .scene import Box, Cell, Plane, Sign
from .themes import style
from .view import View


def cells(plane: Plane, shown: Sequence[Cell], lit: Collection[int], side: float) -> str:
    """A plane's cells as SVG, each with its place and its number in `data-` attributes."""
    columns = plane.shape[1]
    return "".join(_cell(c, n // columns, n % columns, n in lit, side) for n, c in enumerate(shown))


def _cell(cell: Cell, row: int, column: int, lit: bool, side: float) -> str:
    x, y = column * side, row * side
    value = "" if cell.value is None else f' data-value="{cell.value:.9g}"'
    fill = f' style="fill:{grey(cell.shade)}"' if cell.kind == "pixel" else ""
    opacity = 1 if cell.kind in ("pixel", "gap") else cell.shade
    words = (
        f'<text x="{x + side / 2:g}" y="{y + side / 2:g}">{html.escape(cell.text)}</text>' if side >= READABLE else ""
    )
    small = " small" if side < READABLE else ""
    return (
        f'<g class="cell {cell.kind}{small}{" on" if lit else ""}" data-at="{row},{column}"{value}>'
        f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" fill-opacity="{opacity:g}"{fill}/>{words}</g>'
    )


def grey(shade: float) -> str:
    """A grey from black (0) to white (1)."""
    level = round(255 * shade)
    return f"#{level:02x}{level:02x}{level:02x}"


def outline(box: Box | None, side: float) -> str:
    """The window as a rectangle; without one it is there and hidden."""
    row, column, height, width = box or (0, 0, 0, 0)
    hidden = "" if box else ' visibility="hidden"'
    return (
        f'<rect class="window" x="{column * side:g}" y="{row * side:g}" width="{width * side:g}" '
        f'height="{height * side:g}" rx="2"{hidden}/>'
    )


def still(view: View, sheet: Sheet, lines: Sequence[str], words: str, theme: str | None) -> str:
    """One frame as an SVG of its own."""
    inner = "".join(_placed(p, view) for p in sheet.placed)
    text = "".join(_line(line, sheet.words + LINE * n + 6) for n, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="striate-still" role="img" '
        f'aria-label="{html.escape(words, quote=True)}" viewBox="0 0 {sheet.width:g} {sheet.height:g}" '
        f'width="{sheet.width:g}" height="{sheet.height:g}" style="max-width:100%;height:auto" font-size="12">'
        f'<style>{style(".striate-still", theme)}</style><rect class="paper" width="100%" height="100%"/>'
        f"{inner}{text}</svg>\n"
    )


def _line(text: str, y: float) -> str:
    return f'<text class="start" x="{MARGIN:g}" y="{y:g}" font-size="13">{html.escape(text)}</text>'


def _placed(p: Placed, view: View) -> str:
    if isinstance(p.item, Plane):
        plane = p.item
        name = html.escape(plane.name, quote=True)
        inner = cells(plane, view.cells(plane), view.look.lit.get(plane.name, ()), p.cell)
        box = outline(view.look.outlines.get(plane.name), p.cell)
        sparse = ' class="sparse"' if view.look.sparse(plane.name) else ""
        return f'<g{sparse} data-plane="{name}" transform="translate({p.x:g} {p.y:g})">{inner}{box}</g>'
    middle = f'x="{p.x + p.width / 2:g}" y="{p.y + p.height / 2:g}"'
    if isinstance(p.item, Sign):
        return f'<text class="soft" font-size="20" {middle}>{html.escape(p.item.text)}</text>'
    if p.item.startswith(HEADING):
        return f'<text font-size="14" font-weight="600" {middle}>{html.escape(p.item[1:])}</text>'
    return f'<text class="soft" font-size="12" {middle}>{html.escape(p.item)}</text>'
