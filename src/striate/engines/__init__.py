"""Engines answer one question: `compile(graph) -> executable`. `native` is the default, `reference` the oracle."""

from striate.engines.base import Engine, Executable, current, get, register, set_current, use
from striate.engines.native import NativeEngine
from striate.engines.reference import ReferenceEngine

__all__ = ["Engine", "Executable", "current", "get", "register", "set_current", "use"]

register(ReferenceEngine())
register(ReferenceEngine("float64", precision="float64"))
register(NativeEngine())
set_current("native")
