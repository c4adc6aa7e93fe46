"""Where nodes come from: the names of the layers whose calls were under way, joined by `/`; "" outside all."""

from __future__ import annotations

import threading

AGAIN, GRADIENT = " (again)", " (gradient)"


class _State(threading.local):
    where = ""


_STATE = _State()


def here() -> str:
    """What new nodes of this thread are marked with."""
    return _STATE.where


class at:
    """New nodes made inside this context are marked with `where`."""

    __slots__ = ("before", "where")

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        self.before, _STATE.where = _STATE.where, self.where

    def __exit__(self, *_: object) -> None:
        _STATE.where = self.before


def inside(name: str) -> at:
    """New nodes made inside this context are marked with `name` below what is under way."""
    return at(f"{_STATE.where}/{name}" if _STATE.where else name)


def noted(where: str, note: str) -> str:
    """`where` with a note behind it, such as `GRADIENT`, once."""
    return where if not where or where.endswith(note) else where + note
