"""`keras.ops.image`: the functions of this family by name, as they were published."""

from __future__ import annotations

from typing import Any

from striate.core.registry import module_objects


def __getattr__(name: str) -> Any:
    found = module_objects("keras.ops.image")
    if name not in found:
        raise AttributeError(f"module 'striate.ops.image' has no attribute '{name}'.")
    return found[name]


def __dir__() -> list[str]:
    return sorted(module_objects("keras.ops.image"))
