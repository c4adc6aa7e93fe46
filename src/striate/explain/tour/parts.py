"""What a tour is made of: parts of the chapter, each a sequence of prose and code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Text:
    """Prose, as HTML."""

    html: str


@dataclass(frozen=True)
class Code:
    """A cell: its source is shown and run; `alt` says in words what its pictures show."""

    source: str
    alt: str = ""


@dataclass(frozen=True)
class Options:
    """What differs from one tour to the next.

    Attributes:
        image: the source that gives the picture's path.
        vgg: the source that gives VGG-19's `weights` argument.
        weights_note: where its weights come from, as HTML.
        shrink: the source that makes a large picture smaller once it is loaded; nothing for others.
    """

    image: str
    vgg: str
    weights_note: str
    shrink: str = ""


Step = Text | Code


@dataclass(frozen=True)
class Part:
    """One section of the page."""

    id: str
    title: str
    steps: Callable[[Options], Sequence[Step]]


LARGEST = 1024  # pixels of the longer side; VGG-19's first maps take 64 numbers for each pixel


def shrink_source(path: Path | None) -> str:
    """The source that keeps a large picture within `LARGEST`."""
    if path is None:
        return ""
    from PIL import Image

    with Image.open(path) as opened:
        fits = max(opened.size) <= LARGEST
    return "" if fits else f"image.thumbnail(({LARGEST}, {LARGEST}))  # it is large: smaller is quicker\n"


def image_source(path: Path | None) -> str:
    """The source of the line that names the picture."""
    if path is None:
        return 'from matplotlib import cbook\n\nimage_file = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)'
    return f"image_file = {str(path)!r}"
