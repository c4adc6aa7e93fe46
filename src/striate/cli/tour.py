"""`striate tour`: the chapter on one page."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from pathlib import Path
from typing import Any

from striate.alias import install_as_keras
from striate.explain import tour

from .user import UserError, interruptible


def run_tour(image: Path | None, weights: Path | None, out: Path) -> None:
    """Writes the tour to `out/index.html`, with a line of progress for each part.

    Raises:
        UserError: a file is missing or unreadable, `out` is no folder, or matplotlib is not installed.
    """
    _check(image, weights, out)
    install_as_keras()
    with interruptible():
        _write_tour(image, weights, out)


def _check(image: Path | None, weights: Path | None, out: Path) -> None:
    for path, option in ((image, "--image"), (weights, "--weights")):
        if path is not None and not path.is_file():
            raise UserError(f"tour: {option}: there is no file '{path}'.")
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "tour: drawing needs matplotlib, which is not installed. Install it with: pip install 'striate[viz]'"
        )
    if image is not None:
        _check_image(image)
    if out.exists() and not out.is_dir():
        raise UserError(f"tour: --out: '{out}' is a file, and a folder is needed. Name another one.")


def _check_image(image: Path) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(image) as opened:
            opened.load()  # all of it: the end may be missing
            size = opened.size
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise UserError(f"tour: --image: '{image}' is not an image that Pillow can read (PNG, JPEG, ...).") from None
    if min(size) < 32:
        raise UserError(f"tour: --image: '{image}' has a side of {min(size)} pixels; VGG-19 needs at least 32.")
    if max(size) > 32 * min(size):
        raise UserError(f"tour: --image: '{image}' is {size[0]} by {size[1]} pixels, too narrow. Cut a part out of it.")


def _write_tour(image: Path | None, weights: Path | None, out: Path) -> None:
    from rich.console import Console

    console, start = Console(stderr=True, highlight=False), time.perf_counter()
    with console.status("VGG-19's weights") as status:
        options = tour.options_for(image and image.resolve(), weights and weights.resolve())

        def watch(part: object, seconds: float | None) -> None:
            title = getattr(part, "title", "")
            status.update(title)
            if seconds is not None:
                console.print(f"[green]✓[/] {title} [dim]{seconds:.2f} s[/]")

        page = _page(options, watch, weights)
    target = out / "index.html"
    _put(page, target)
    console.print(f"{target} [dim]({len(page) / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s)[/]")


def _put(page: str, target: Path) -> None:
    """Beside the target and then into place, so that there is never half a page."""
    part = target.with_name(f".index.html.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise UserError(f"tour: '{target}' can't be written: {error.strerror}.") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _page(options: Any, watch: Any, weights: Path | None) -> str:
    """The page; a weight file that does not fit is the user's mistake."""
    try:
        return tour.build_page(options, watch)
    except (ValueError, OSError) as error:
        if weights is None:
            raise
        raise UserError(f"tour: --weights: {error}") from None
