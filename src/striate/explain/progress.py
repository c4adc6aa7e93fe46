"""A bar for what takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_PATIENCE = 1.0  # seconds before a bar comes by itself


def tracked(items: Sequence[T], what: str, shown: bool | None = None) -> Iterator[T]:
    """Goes through `items` with a bar on stderr that goes away at the end, also after Ctrl-C.

    Args:
        shown: whether there is a bar; None: in a terminal, once it has taken longer than a second.
    """
    if shown is None and not sys.stderr.isatty():
        shown = False
    start, bar = time.perf_counter(), _bar() if shown else None
    task = None
    try:
        for n, item in enumerate(items):
            if bar is None and shown is None and time.perf_counter() - start > _PATIENCE:
                bar = _bar()
            if bar is not None:
                task = bar.add_task(what, total=len(items)) if task is None else task
                bar.update(task, completed=n)
            yield item
    finally:
        if bar is not None:
            bar.stop()


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import Progress

    made = Progress(console=Console(stderr=True), transient=True)
    made.start()
    return made
