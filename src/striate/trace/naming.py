"""Automatic names: `conv2d`, `conv2d_1`, ... counted per process, as Keras numbers them."""

from __future__ import annotations

import re
import threading
from collections import defaultdict

_COUNTS: defaultdict[str, int] = defaultdict(int)
_LOCK = threading.Lock()


def to_snake_case(name: str) -> str:
    """`Conv2DTranspose` -> `conv2d_transpose`, by Keras's rule."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """`prefix`, numbered from the second time on that it is asked for."""
    return uniquify(to_snake_case(prefix))


def uniquify(name: str) -> str:
    """`name` with `_1`, `_2`, ... behind it if it was given before."""
    with _LOCK:
        count = _COUNTS[name]
        _COUNTS[name] += 1
    return f"{name}_{count}" if count else name


def count(prefix: str) -> int:
    """How often this was asked for `prefix`, this time included."""
    with _LOCK:
        _COUNTS["uid " + prefix] += 1
        return _COUNTS["uid " + prefix]


def reset() -> None:
    """Starts counting anew (`clear_session`)."""
    with _LOCK:
        _COUNTS.clear()
