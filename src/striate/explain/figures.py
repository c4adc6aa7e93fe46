"""Matplotlib figures that are handed back and never shown by themselves, readable on light and on dark pages.

They are made without `pyplot`, so that nothing global is touched, and every colour is set on the artist itself.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from striate.core.errors import message


class Theme(NamedTuple):
    """Background, text and lines of a figure."""

    paper: str
    ink: str
    faint: str


THEMES = {
    "light": Theme("#ffffff", "#1f2328", "#6e7681"),
    "dark": Theme("#14171c", "#e6e9ee", "#9aa3af"),
    "auto": Theme("none", "#7b7f87", "#7b7f87"),  # transparent, in a grey that can be read on either
}


def theme_of(name: str) -> Theme:
    """The colours of `"light"`, `"dark"` or `"auto"` (transparent).

    Raises:
        ValueError: another name.
    """
    if name not in THEMES:
        raise ValueError(message("figure", f"there is no theme {name!r}", "Use 'light', 'dark' or 'auto'"))
    return THEMES[name]


def new_figure(width: float, height: float, theme: str = "light") -> Any:
    """An empty figure of `width` by `height` inches.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        problem = "drawing needs matplotlib, which is not installed"
        raise ImportError(message("figure", problem, "Install it with: pip install 'striate[viz]'")) from error
    spaces: Any = {"w_pad": 0.04, "h_pad": 0.05, "wspace": 0.02, "hspace": 0.02}
    layout = ConstrainedLayoutEngine(**spaces)
    return Figure(figsize=(width, height), dpi=110, layout=layout, facecolor=theme_of(theme).paper)


def panel(axes: Any, title: str, theme: str, size: float = 10, note: str = "") -> None:
    """Takes the ticks away and writes a title, under it a fainter note."""
    colours = theme_of(theme)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_facecolor("none")
    axes.set_title(title, fontsize=size, color=colours.ink, pad=5)
    axes.set_xlabel(note, fontsize=size * 0.86, color=colours.faint, labelpad=3)


def show(
    axes: Any,
    values: np.ndarray,
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    colour: bool = False,
) -> Any:
    """Draws a plane `(height, width)`; a row of numbers becomes a strip, a volume its middle.

    Args:
        colour: whether a last axis of three or four numbers is a colour.
    """
    plane = drawable(values, colour)
    ends: Any = limits or (None, None)
    return axes.imshow(plane, cmap=cmap, vmin=ends[0], vmax=ends[1], interpolation="nearest", aspect=_aspect(plane))


def _aspect(plane: np.ndarray) -> Any:
    """Square pixels, but strips and single rows are drawn high enough to be seen."""
    height, width = plane.shape[:2]
    return "auto" if max(height, width) > 6 * min(height, width) else "equal"


def drawable(values: np.ndarray, colour: bool = False) -> np.ndarray:
    """What `imshow` takes: 1-D as a row, the middle slice of a volume."""
    values = np.asarray(values)
    if values.ndim == 0:
        return values.reshape(1, 1)
    while values.ndim > 3 or (values.ndim == 3 and not (colour and values.shape[-1] in (3, 4))):
        values = values[len(values) // 2]
    return values[None] if values.ndim == 1 else values


def picture(image: np.ndarray, rank: int = 2) -> np.ndarray:
    """An image with `rank` axes of places, and one of channels after them, as numbers from 0 to 1 that can be drawn.

    What stands within 0 to 255 or 0 to 1 is taken as it is; anything else, such as a picture that was preprocessed,
    is spread over the range from its least number to its largest.
    """
    image = np.asarray(image, "float64")
    if image.ndim == 2 and rank == 1:
        image = image.T  # a row per channel
    elif image.ndim > rank and (image.shape[-1] not in (3, 4) or rank != 2):
        image = image[..., 0] if image.shape[-1] == 1 else image.mean(-1)
    low, high = float(image.min(initial=0)), float(image.max(initial=0))
    if low >= 0 and high <= 255:
        return image / (1 if high <= 1 else 255)
    low = float(image.min())
    return (image - low) / max(high - low, 1e-12)


def colour_bar(figure: Any, drawn: Any, axes: Any, theme: str, label: str = "") -> None:
    """A thin scale beside `axes`."""
    colours = theme_of(theme)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02, aspect=24)
    bar.ax.tick_params(colors=colours.faint, labelsize=8, length=2)
    bar.outline.set_visible(False)
    bar.set_label(label, color=colours.ink, fontsize=9)


def png(figure: Any, dpi: int = 110) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def as_html(figure: Any, alt: str) -> str:
    """The figure as an image in HTML."""
    data = base64.b64encode(png(figure)).decode()
    label = html.escape(alt, quote=True)
    return f'<img alt="{label}" style="max-width:100%;height:auto" src="data:image/png;base64,{data}">'


def grid_of(count: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns for `count` panels, nearly square."""
    wide = columns or max(1, int(np.ceil(np.sqrt(count))))
    return max(1, -(-count // wide)), wide


def names(values: Sequence[Any], most: int = 4) -> str:
    """`"1, 2, 3"`, the rest counted."""
    shown = ", ".join(str(v) for v in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
