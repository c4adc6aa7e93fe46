"""How large a variable may be while a model is made from a file, whose word is not taken for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_largest: ContextVar[int | None] = ContextVar("striate_largest_variable", default=None)


@contextmanager
def largest_variable(values: int) -> Iterator[None]:
    """Inside, a variable of more than so many values is refused."""
    token = _largest.set(values)
    try:
        yield
    finally:
        _largest.reset(token)


def check_size(shape: Sequence[Any], path: str) -> None:
    """ValueError where a variable of `shape` is larger than what the file that is being read could hold."""
    limit = _largest.get()
    if limit is not None and math.prod(shape) > limit:
        raise ValueError(
            f"variable '{path}': the file describes the shape {tuple(shape)}, which is far more than what it stores; "
            "refused."
        )
