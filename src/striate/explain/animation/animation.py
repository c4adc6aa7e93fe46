"""`animate`: a layer at work on real numbers, as an object that shows itself in a notebook and saves itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core import window
from striate.core.errors import message
from striate.saving.atomic import replacing

from ..drawing import Drawing
from ..formulas import formula_6, formula_padding, formula_transposed, math, transposed_terms
from .frames import Frame, Frames, kept
from .layout import sheet, side_for, wrapped
from .operation import Operation, beside, operation, zeros_between
from .picture import Picture, times
from .player import document, player
from .raster import Painter, save_gif
from .scene import Group, Look
from .svg import still
from .themes import colours
from .video import encoder, save_mp4
from .view import View, views

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".html", ".gif", ".mp4", ".svg", ".png")
_FILTERS = 4
_LONG = 60  # frames from which on progress is worth a line


class Animation:
    """A layer at work: `frames` are the moments, `still(i)` draws one, `save(path)` writes a file, a notebook plays it.

    Attributes:
        frames: what each moment reads and makes, with the numbers.
        words: what is to be seen, in a sentence.
    """

    def __init__(
        self, scene: Group, frames: Sequence[Frame], looks: Sequence[Look], words: str,
        notes: Sequence[tuple[str, str]] = (), seconds: float = 0.7, theme: str | None = None, autoplay: bool = False,
    ) -> None:  # fmt: skip
        self.frames, self.words, self.seconds, self.theme = tuple(frames), words, seconds, theme
        self._scene, self._looks, self._notes, self._autoplay = scene, tuple(looks), tuple(notes), autoplay

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return f"<Animation: {self.words}, {len(self)} frames>"

    def _repr_html_(self) -> str:
        notes = [html for _, html in self._notes]
        return player(self._scene, self._looks, self.words, notes, self.seconds, self.theme, self._autoplay)

    def still(self, i: int, theme: str | None = None, tall: bool = False) -> Drawing:
        """Frame `i` as SVG (`.html`), counted from 0, from the end where negative; `tall` for narrow screens."""
        number, view = self._at(i)
        page, lines = self._sheet(tall)
        return Drawing(
            still(view, page, lines(view.look), self._named(number), theme or self.theme), self._named(number)
        )

    def _at(self, i: int) -> tuple[int, View]:
        """Frame `i`, its number and what is to be seen; IndexError where there is none."""
        number, view = range(len(self))[i], View(self._scene)
        for look in self._looks[: number + 1]:
            view.then(look)
        return number, view

    def _named(self, number: int) -> str:
        return f"{self.words}, frame {number + 1} of {len(self)}"

    def _sheet(self, tall: bool) -> tuple[Any, Callable[[Look], list[str]]]:
        """Where everything stands, and the words below a frame."""
        side = side_for(self._scene, self._looks)
        width = sheet(self._scene, side, 0, tall).width

        def lines(look: Look) -> list[str]:
            return wrapped((*look.caption, *(text for text, _ in self._notes)), width)

        return sheet(self._scene, side, max(len(lines(look)) for look in self._looks), tall), lines

    def images(self, theme: str = "light", scale: float = 1.5, tall: bool = False) -> Iterator[Image.Image]:
        """The frames as Pillow's images."""
        page, lines = self._sheet(tall)
        painter = Painter(page, theme, scale)
        for view in views(self._scene, self._looks):
            yield painter.paint(view, lines(view.look))

    def image(self, i: int, theme: str = "light", scale: float = 2.0, tall: bool = False) -> Image.Image:
        """Frame `i` as Pillow's image."""
        view = self._at(i)[1]
        page, lines = self._sheet(tall)
        return Painter(page, theme, scale).paint(view, lines(view.look))

    def save(
        self, path: Any, frame: int | None = None, theme: str | None = None, tall: bool = False, progress: bool = True
    ) -> Path:
        """Writes a file of the kind that the suffix says; the whole of it, or on an error or Ctrl-C nothing.

        Args:
            path: `.html` (plays, with controls), `.gif`, `.mp4`, or one frame as `.svg` or `.png`.
            frame: the one for a still; by default the one half-way.
            theme: `"light"` or `"dark"`; by default pages and SVG follow the reader's preference, the others are light.
            tall: parts below each other, for narrow screens (pages arrange themselves).
            progress: a bar on stderr for long ones.

        Raises:
            ValueError: for another suffix or theme.
            IndexError: there is no such frame.
            RuntimeError: a film without ffmpeg.
        """
        suffix = checked_suffix(path)
        theme = theme or self.theme
        colours(theme or "light")
        number = range(len(self))[len(self) // 2 if frame is None else frame]
        with replacing(path) as temporary:
            if suffix in (".html", ".svg"):
                text = self._page(theme) if suffix == ".html" else self.still(number, theme, tall).html
                Path(temporary).write_text(text, encoding="utf-8")
            elif suffix == ".png":
                self.image(number, theme or "light", 2.0, tall).save(temporary, "PNG")
            else:
                images = watched(self.images(theme or "light", 1.5, tall), len(self), progress)
                self._film(suffix, temporary, images)
        return Path(path)

    def _film(self, suffix: str, path: str, images: Iterable[Image.Image]) -> None:
        if suffix == ".gif":
            save_gif(path, images, round(self.seconds * 1000))
        else:
            save_mp4(path, images, self.seconds)

    def _page(self, theme: str | None) -> str:
        notes = [html for _, html in self._notes]
        figure = player(self._scene, self._looks, self.words, notes, self.seconds, theme, self._autoplay)
        return document(figure, self.words, theme)


def checked_suffix(path: Any) -> str:
    """The suffix of a path in lower case.

    Raises:
        ValueError: for one that can't be written; RuntimeError: `.mp4` without an encoder.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in SUFFIXES:
        raise ValueError(message("animate", f"'{path}' ends with none of {', '.join(SUFFIXES)}", "Use .html, or .gif"))
    if suffix == ".mp4":
        encoder()
    return suffix


def watched(items: Iterable[Any], count: int, progress: bool = True) -> Iterator[Any]:
    """The items, with a bar on stderr where there are many and somebody looks."""
    if count < _LONG or not progress:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, "frames", total=count, console=console, transient=True, disable=not console.is_terminal)


def animate(
    layer: Any,
    x: Any,
    path: Any = None,
    *,
    view: str = "scatter",
    beside: Any = None,
    filters: Sequence[int] | None = None,
    pixels: bool | None = None,
    limit: int = 240,
    seconds: float = 0.7,
    autoplay: bool = False,
    frame: int | None = None,
    theme: str | None = None,
    tall: bool = False,
) -> Animation:
    """A convolution, pooling or transposed convolution at work on `x`, window by window, with all numbers.

    Positions come from `core.window`, results from running the layer; the products that are shown are checked to add up
    to what the layer gives.

    Args:
        layer: of 1, 2 or 3 spatial axes; built for `x` where it isn't yet.
        x: one sample `(*spatial, channels)`; a batch axis of size 1 may be there, a channel axis of size 1 be missing.
        path: a file to write, see `Animation.save`; None for none.
        view: of a transposed convolution: `"scatter"`, each input number times the kernel added to the output, or
            `"zeros"`, an ordinary convolution with zeros put between and around the input's units.
        beside: for a transposed convolution the input of the convolution that it belongs to, which is shown beside it;
            by default what the transposed one gave. False for none.
        filters: the output channels to show, counted from 0; by default the first four.
        pixels: input and output as greys in the place of numbers; by default from 17 columns on.
        limit: the most frames; of more windows some are left out, evenly.
        seconds: how long a frame is shown.
        autoplay: pages start by themselves, unless the reader wants less motion.
        frame, theme, tall: for `path`, as in `Animation.save`.

    Returns:
        An `Animation`.

    Raises:
        TypeError: for a layer without a window.
        ValueError: for an input, a view, a filter or a path that won't do.
        RuntimeError: for an `.mp4` without an encoder.

    >>> from striate import layers
    >>> animate(layers.MaxPool2D(2), [[1, 2], [3, 4]])
    <Animation: MaxPooling2D: 2×2 → 1×1, 1 frames>
    """
    if path is not None:
        checked_suffix(path)
    colours(theme or "light")
    if not seconds > 0:
        raise ValueError(message("animate", f"a frame can't be shown for {seconds!r} seconds", "Use 0.7 or so"))
    if view not in ("scatter", "zeros"):
        raise ValueError(message("animate", f"there is no view {view!r}", "Use 'scatter' or 'zeros'"))
    made = _Made(layer, operation(layer, x), view, beside, filters, pixels)
    frames, looks = made.run(max(limit, 1))
    found = Animation(made.scene, frames, looks, made.words, made.notes, seconds, theme, autoplay)
    if path is not None:
        found.save(path, frame, theme, tall)
    return found


class _Made:
    """The parts of an animation."""

    def __init__(self, layer: Any, op: Operation, view: str, x: Any, filters: Any, pixels: bool | None) -> None:
        self.transposed = op.kind == "scatter"
        self.near = beside_or_none(layer, op, x) if self.transposed else None
        self.words = f"{type(layer).__name__}: {_spatial(op, op.known)} → {_spatial(op, op.y)}"
        self.notes = _notes(op, self.transposed)
        zeros = self.transposed and view == "zeros"
        self.op = zeros_between(layer, op) if zeros else op
        self.filters = tuple(range(min(op.filters, _FILTERS))) if filters is None else tuple(filters)
        self.moments = Frames(self.op, self.filters)
        titles = {"input": "zeros between and around", "kernel": "kernel, turned"} if zeros else {}
        titles |= {} if self.op.kernel is not None else {"products": "window"}
        self.picture = Picture(self.op, self.filters, pixels, "", titles)
        self.other = Picture(self.near, range(self.near.filters), pixels, "c") if self.near else None
        self.scene = self._scene()

    def _scene(self) -> Group:
        main = self.picture.group()
        if self.other is None:
            return main
        own = Group((main,), self.op.rank != 2, "its transposed convolution")
        return Group((Group((self.other.whole(),), self.op.rank != 2, "a convolution"), own), self.op.rank != 2)

    def run(self, limit: int) -> tuple[list[Frame], list[Look]]:
        """Frames and what they show."""
        frames, looks, done = [], [], 0
        for number, place in enumerate(kept(len(self.moments.order), limit)):
            made = self.moments.frame(number, place)
            frames.append(made)
            looks.append(self._look(made, self.moments.order[done : place + 1]))
            done = place + 1
        return frames, looks

    def _look(self, frame: Frame, fresh: Any) -> Look:
        look = self.picture.look(frame, fresh)
        if self.other is None or self.near is None:
            return look
        if self.op.kind == "scatter":
            over = self.other.marks("x", frame.window, self.other.channels)
            unit = self.other.marks("y", tuple((n,) for n in frame.at), self.other.filters)
        else:
            over = self.other.marks("x", tuple((n,) for n in frame.at), [frame.filter])
            seen = [[n for n, cells in enumerate(axis) if at in cells] for axis, at in zip(self.near.places, frame.at)]
            unit = self.other.marks("y", seen, self.other.filters)
        return look.and_also(Look(*over)).and_also(Look(*unit))


def beside_or_none(layer: Any, op: Operation, x: Any) -> Operation | None:
    """The convolution beside a transposed one, unless it is not wanted."""
    return None if x is False else beside(layer, op, x)


def _spatial(op: Operation, array: Any) -> str:
    sizes = array.shape[:3] if array is not op.known else [n - lo - hi for n, (lo, hi) in zip(array.shape, op.pads)]
    return times(sizes[3 - op.rank :])


def _notes(op: Operation, transposed: bool) -> list[tuple[str, str]]:
    """The formula for each axis, as text and as MathML."""
    names = (("steps",), ("height", "width"), ("depth", "height", "width"))[op.rank - 1]
    found = []
    for name, axis in zip(names, op.sizes, strict=False):
        if transposed:
            i, k, s, padding, d, extra = axis
            size, (p, a) = (
                window.transposed_size(i, k, s, padding, d, extra),
                transposed_terms(i, k, s, padding, extra, d),
            )
            text = f"{name}: o' = {s}({i} - 1) + {a} + {window.effective_kernel(k, d)} - {p} = {size}"
            here = math(f"p = {p}"), math(f"a = {a}"), formula_padding(i, k, s, padding, extra, d)
            found.append((text, f"{name}: {formula_transposed(i, k, s, padding, extra, d)} with {', '.join(here)}"))
        else:
            found.append((f"{name}: {window.formula(*axis)}", f"{name}: {formula_6(*axis)}"))
    return found
