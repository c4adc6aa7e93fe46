"""Saying that something long is under way, once it turns out to be long."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from striate.core.interactive import is_interactive_logging_enabled


@contextmanager
def waiting(what: str, after: float = 1.0, enabled: bool = True) -> Iterator[None]:
    """Shows `what` with a spinner on the terminal while the block runs, from `after` seconds on.

    Nothing is shown where the standard error is no terminal.
    """
    if not (enabled and is_interactive_logging_enabled() and sys.stderr is not None and sys.stderr.isatty()):
        yield
        return
    shown: list[Any] = []
    timer = threading.Timer(after, lambda: shown.append(_spinner(what)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for spinner in shown:
            spinner.stop()


def _spinner(what: str) -> Any:
    from rich.console import Console
    from rich.status import Status

    status = Status(f"{what} ...", console=Console(stderr=True))
    status.start()
    return status
