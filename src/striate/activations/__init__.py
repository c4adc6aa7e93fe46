"""Activation functions by name: every entry of the primitives' table of activations appears here by itself."""

from typing import Any

from striate.activations.functions import FUNCTIONS, deserialize, get, serialize

__all__ = ["deserialize", "get", "serialize", *FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise AttributeError(
        f"module 'striate.activations' has no attribute '{name}'. Known: {', '.join(sorted(FUNCTIONS))}."
    )


def __dir__() -> list[str]:
    return sorted(__all__)
