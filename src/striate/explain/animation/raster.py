"""Frames as pixels, drawn by Pillow: PNG stills, GIF, and what a film is made of."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .layout import HEADING, LINE, MARGIN, READABLE, Placed, Sheet
from .scene import Cell, Plane, Sign
from .svg import grey
from .themes import FADED, colours
from .view import View

if TYPE_CHECKING:
    from PIL import Image

_DASH = 3.0


@cache
def font(size: float, bold: bool = False) -> Any:
    """DejaVu Sans where matplotlib brings it, otherwise the font that Pillow has."""
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    folder = Path(os.path.dirname(found.origin or "")) / "mpl-data/fonts/ttf" if found else Path()
    path = folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(str(path), size) if path.is_file() else ImageFont.load_default(size)


class Painter:
    """Draws views of one sheet.

    Args:
        sheet: what stands where.
        theme: `"light"` or `"dark"`.
        scale: pixels per CSS pixel.
    """

    def __init__(self, sheet: Sheet, theme: str = "light", scale: float = 2.0) -> None:
        self.sheet, self.scale, self.colours = sheet, scale, colours(theme)

    def paint(self, view: View, lines: Sequence[str]) -> Image.Image:
        """One frame; width and height are even, as films need them."""
        from PIL import Image, ImageDraw

        size = (2 * round(self.sheet.width * self.scale / 2), 2 * round(self.sheet.height * self.scale / 2))
        image = Image.new("RGB", size, self.colours["paper"])
        draw = ImageDraw.Draw(image)
        for placed in self.sheet.placed:
            self._placed(draw, placed, view)
        for n, line in enumerate(lines):
            self._text(draw, MARGIN, self.sheet.words + LINE * n + 6, line, 12.5, "ink", anchor="lm")
        return image

    def _placed(self, draw: Any, p: Placed, view: View) -> None:
        if isinstance(p.item, Plane):
            self._plane(draw, p, p.item, view)
            return
        sign = p.item.text if isinstance(p.item, Sign) else p.item
        heading = sign.startswith(HEADING)
        size = 20.0 if isinstance(p.item, Sign) else 13.0 if heading else 11.0
        x, y = p.x + p.width / 2, p.y + p.height / 2
        self._text(draw, x, y, sign.removeprefix(HEADING), size, "ink" if heading else "soft", bold=heading)

    def _plane(self, draw: Any, p: Placed, plane: Plane, view: View) -> None:
        lit = set(view.look.lit.get(plane.name, ()))
        later = []
        for n, cell in enumerate(view.cells(plane)):
            x, y = p.x + n % plane.shape[1] * p.cell, p.y + n // plane.shape[1] * p.cell
            self._cell(draw, cell, x, y, p.cell)
            if n in lit:
                later.append((cell, x, y))
            else:
                self._number(draw, cell, x, y, p.cell, False)
        for cell, x, y in later:  # over their neighbours' lines
            if view.look.sparse(plane.name):
                self._box(draw, x, y, p.cell, p.cell, None, self.colours["mark"], 1.5)
            self._number(draw, cell, x, y, p.cell, True)
        box = view.look.outlines.get(plane.name)
        if box:
            row, column, height, width = (n * p.cell for n in box)
            self._box(draw, p.x + column, p.y + row, width, height, None, self.colours["mark"], 3)

    def _cell(self, draw: Any, cell: Cell, x: float, y: float, side: float) -> None:
        fill = grey(cell.shade) if cell.kind == "pixel" else self._mixed(cell)
        if cell.kind not in FADED:
            line = None if cell.kind == "pixel" and side < READABLE else self.colours["line"]
            self._box(draw, x, y, side, side, fill, line, 1 if side >= READABLE else 0.5)
            return
        self._box(draw, x, y, side, side, fill, None, 0)
        self._dashes(draw, x, y, side)

    def _mixed(self, cell: Cell) -> str:
        """The cell's colour over the paper."""
        over, under = self.colours[cell.kind], self.colours["paper"]
        part = 1.0 if cell.kind == "gap" else cell.shade
        pairs = ((int(over[n : n + 2], 16), int(under[n : n + 2], 16)) for n in (1, 3, 5))
        return "#" + "".join(f"{round(a * part + b * (1 - part)):02x}" for a, b in pairs)

    def _box(self, draw: Any, x: float, y: float, w: float, h: float, fill: Any, line: Any, width: float) -> None:
        thick = max(1, round(width * self.scale)) if line else 0
        half = thick // 2
        left, top, right, bottom = (round(v * self.scale) for v in (x, y, x + w, y + h))
        draw.rectangle((left - half, top - half, right + half, bottom + half), fill=fill, outline=line, width=thick)

    def _dashes(self, draw: Any, x: float, y: float, side: float) -> None:
        line, step, at = self.colours["line"], _DASH, 0.0
        while at < side:
            end = min(at + step, side)
            for a, b in (
                ((at, 0), (end, 0)),
                ((at, side), (end, side)),
                ((0, at), (0, end)),
                ((side, at), (side, end)),
            ):
                ends = [((x + u) * self.scale, (y + v) * self.scale) for u, v in (a, b)]
                draw.line(ends, fill=line, width=max(1, round(self.scale * 0.8)))
            at += 2 * step

    def _number(self, draw: Any, cell: Cell, x: float, y: float, side: float, bold: bool) -> None:
        if not cell.text or side < READABLE:
            return
        size = 11.5 if len(cell.text) <= 3 else 10.0 if len(cell.text) == 4 else 8.5
        tone = "soft" if cell.kind in FADED else "ink"
        self._text(draw, x + side / 2, y + side / 2, cell.text, size, tone, bold=bold)

    def _text(
        self, draw: Any, x: float, y: float, text: str, size: float, tone: str, bold: bool = False, anchor: str = "mm"
    ) -> None:
        place = (x * self.scale, y * self.scale)
        draw.text(place, text, fill=self.colours[tone], font=font(size * self.scale, bold), anchor=anchor)


def to_palette(images: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """The frames in one palette, that of the first ones together, so that colours don't flicker."""
    from PIL import Image

    base = None
    for image in images:
        if base is None:
            base = image.quantize(192, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        yield image.quantize(palette=base, dither=Image.Dither.NONE)


def save_gif(path: str, images: Iterable[Image.Image], milliseconds: int) -> None:
    """A GIF that runs for ever; the last frame stays longer."""
    frames = list(to_palette(images))
    times = [milliseconds] * len(frames)
    times[-1] += 1500
    frames[0].save(
        path, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False, disposal=1
    )
