"""Name scopes: what stands before a variable's name in its path."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STATE = threading.local()


def current_path() -> str:
    """The names of the scopes that are open in this thread, joined by `/`."""
    return "/".join(getattr(_STATE, "names", []))


@contextmanager
def name_scope(name: str, *, absolute: bool = False) -> Iterator[str]:
    """Variables made inside have `name` in their path; `absolute` drops the scopes outside."""
    before = getattr(_STATE, "names", [])
    _STATE.names = ([] if absolute else before) + ([name] if name else [])
    try:
        yield name
    finally:
        _STATE.names = before
