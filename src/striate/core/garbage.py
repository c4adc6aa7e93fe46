"""Python's collector of garbage, which is in the way where a great many small objects are made that all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, cycles of references are not looked for: a trace makes tens of thousands of objects, and each look goes
    over all of them again. Where the collector was off it stays off."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
