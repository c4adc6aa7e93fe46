"""Engines answer one question: `compile(graph) -> executable`. `reference` interprets with NumPy; `native` is the default."""

from striate.engines import reference  # noqa: F401 - registers itself; the last engine registered is the default
from striate.engines.base import Engine, Executable, current, get, register, use

__all__ = ["Engine", "Executable", "current", "get", "register", "use"]
