"""Mistakes of the user's, which are answered with a sentence and not with a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # what shells report after Ctrl-C: 128 + SIGINT


class UserError(Exception):
    """A wrong argument, a missing file, a missing extra: the text says what came and what would work."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C inside ends the process with one line and the exit code that shells expect."""
    try:
        yield
    except KeyboardInterrupt:
        print("striate: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
