"""A bar for what takes long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def tracked(items: Iterable[T], what: str, shown: bool) -> Iterator[T]:
    """Goes through `items`; if asked for, with a bar on stderr that goes away at the end, also after Ctrl-C."""
    if not shown:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, what, console=Console(stderr=True), transient=True)
